"""The six key figures, each beside the last report and the same week of last year."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from salesops_lib import kpis, stats
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData
from salesops_lib.facts import is_recorded, resolve_period, whole_quota
from salesops_lib.language import mark, say
from salesops_lib.leadership import ahead
from salesops_lib.leadership.outlook import Outlook, outlook
from salesops_lib.leadership.scope import Scope
from salesops_lib.periods import Period
from salesops_lib.present import fitting, interval, number
from salesops_lib.stats import OK, Estimate

if TYPE_CHECKING:
    import pandas as pd

ROLLING = "4 quarters"
# label, KPI, variant, whether over the last four quarters instead of the current period
TILES = {
    "booked": (mark("Booked"), "K26", "new business", False),
    "pace": (mark("Quota at this pace"), "K02", "pace", False),
    "coverage": (mark("Coverage of what is missing"), "K09", "open", False),
    "win rate": (mark("Win rate, 4 quarters"), "K03", "count", True),
}
BEFORE = {"year": mark("{change} y/y"), "last": mark("{change} on period before")}
LIKE_PAST = {
    "week": mark("Ends at, if like past weeks"), "month": mark("Ends at, if like past months"),
    "quarter": mark("Ends at, if like past quarters"), "year": mark("Ends at, if like past years"),
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """A figure now, at the last report, and at the same point of last year or else of the period before.

    `on` says which of the two it was: a key of `BEFORE`.
    """

    now: Estimate
    last: Estimate
    before: Estimate
    on: str


@dataclass(frozen=True)
class Desk:
    """What every tile reads: the part of the company, the period, and the two earlier days."""

    book: Book
    scope: Scope
    period: Period
    since: date

    def read(self, kpi_id: str, variant: str, rolling: bool = False) -> Reading:
        """Evaluate one figure at the three instants."""
        return _read(self, kpi_id, variant, rolling)

    def at(self, book: Book, window: Period, kpi_id: str, variant: str) -> Estimate:
        """Evaluate one figure of the part as known to a book."""
        return kpis.evaluate(self.scope.facts(book, window), kpi_id, variant)[variant]

    @cached_property
    def outlook(self) -> tuple[Outlook, Outlook | None]:
        """Where the period stands now and stood at the last report."""
        last = self.book.at(self.since)
        then = outlook(self.scope.facts(last, self.period)) if self.period.start <= self.since else None
        return outlook(self.scope.facts(self.book, self.period)), then

    @property
    def forecasts(self) -> ahead.Ahead | InsufficientData | None:
        """What the period will come to; only the company's is foreseen."""
        return None if self.scope.by else ahead.forecasts(self.book, self.period, self.since)

    @property
    def ahead(self) -> ahead.Ahead | None:
        """The forecasts, where there are any."""
        return self.forecasts if isinstance(self.forecasts, ahead.Ahead) else None


@lru_cache(maxsize=64)
def _read(desk: Desk, kpi_id: str, variant: str, rolling: bool) -> Reading:
    book, last = desk.book, desk.book.at(desk.since)
    window = resolve_period(book, ROLLING) if rolling else desk.period
    same = resolve_period(last, ROLLING) if rolling else desk.period
    now = desk.at(book, window, kpi_id, variant)
    then = Estimate.none(stats.NO_DATA, 0, "the period had not begun")
    if same.start <= desk.since:
        then = desk.at(last, same, kpi_id, variant)
    for name in BEFORE:
        day, span = kpis.before(book, window)[name]
        before = Estimate.none(stats.NO_DATA, 0, "the records do not reach so far")
        if is_recorded(book, span):
            before = desk.at(book.at(day), span, kpi_id, variant)
        found = Reading(now, then, before, name)
        if before.status == OK:
            break
    return found


def tiles(desk: Desk) -> pd.DataFrame:
    """Build the tiles: `label`, `kpi_id`, `value`, `range`, `change`, `tone` (text), and the raw `estimate`."""
    import pandas as pd

    read = {name: desk.read(kpi_id, variant, rolling) for name, (_, kpi_id, variant, rolling) in TILES.items()}
    rows = [_tile(desk, say(TILES[name][0]), TILES[name][1], reading) for name, reading in read.items()]
    gone = number(desk.book.calendar.elapsed(desk.period, desk.book.day), "percent")
    for row, name in zip(rows, read, strict=True):
        now = read[name].now
        if name == "booked" and now.status == OK:
            row["range"] = _of_quota(now, whole_quota(desk.scope.facts(desk.book, desk.period)))
        if name == "pace" and now.status == OK:
            row["tone"] = "good" if now.value >= 1 else "bad"
            row["range"] = say("{range}, {share} of days gone", range=row["range"], share=gone)
        if name == "coverage" and now.status == OK:
            row |= _needed(desk, now)
    foreseen = ahead.tiles(desk.ahead) if desk.ahead else [_range(desk)]
    rows[1 : len(foreseen)] = foreseen  # the chance to reach the quota takes the place of the pace
    rows.append(_at_quota(desk))
    return pd.DataFrame(rows)


def _of_quota(booked: Estimate, quota: float) -> str:
    n = number(booked.n, "count")
    if not quota > 0:
        return f"n = {n}"
    share = number(booked.value / quota, "percent")
    return say("{share} of quota {quota}, n = {n}", share=share, quota=number(quota, "money"), n=n)


def _tile(desk: Desk, label: str, kpi_id: str, reading: Reading) -> dict:
    unit = kpis.REGISTRY[kpi_id].unit
    now = reading.now
    return {
        "label": f"{label}, {desk.book.currency}" if unit == "money" else label,
        "kpi_id": kpi_id,
        "value": shown(now, unit) if now.status == OK else say(now.status),
        "range": spread(now, unit) if now.status == OK else now.note,
        "change": changes(reading, unit) if now.status == OK else "",
        "tone": "",
        "estimate": now,
    }


def _range(desk: Desk) -> dict:
    """The forecast's place: what past periods still booked after this week."""
    now, then = desk.outlook
    enough = now.ends_mid == now.ends_mid
    moved = number(now.ends_mid - then.ends_mid, "money", signed=True) if enough and then else ""
    bounds = interval(now.ends_low, now.ends_high, "money")
    return {
        "label": say(LIKE_PAST[desk.period.kind]),
        "kpi_id": "",
        "value": number(now.ends_mid, "money") if enough else say(stats.TOO_FEW),
        "range": say("{range} no forecast, last {n}", range=bounds, n=now.n) if enough else now.label,
        "change": ahead.on_last(moved),
        "tone": "",
        "estimate": Estimate(now.ends_mid, now.ends_low, now.ends_high, now.n, OK if enough else stats.TOO_FEW),
    }


def _needed(desk: Desk, now: Estimate) -> dict:
    needed = kpis.evaluate(desk.scope.facts(desk.book, desk.period), "K09", "needed")["needed"]
    if needed.status != OK:
        return {"range": f"n = {number(now.n, 'count')}; {needed.note}"}
    bounds = interval(needed.low, needed.high, "times")
    tone = "bad" if now.value < needed.low else "good" if now.value > needed.high else ""
    said = say("past need {needed} {range}", needed=number(needed.value, "times"), range=bounds)
    return {"range": "; ".join(part for part in (said, now.note) if part), "tone": tone}


def _at_quota(desk: Desk) -> dict:
    """Reps at quota, or the average deal where the page is one rep's or nobody has a quota."""
    if desk.scope.audience != "rep":
        variant = "on pace" if desk.book.day < desk.period.last_day else kpis.REGISTRY["K01"].default
        reading = desk.read("K01", variant)
        if reading.now.status == OK:
            label = say("Reps on pace for quota") if variant == "on pace" else say("Reps at quota")
            tile = _tile(desk, label, "K01", reading)
            reached = say("{n} of {total}", n=round(reading.now.value * reading.now.n), total=reading.now.n)
            return tile | {"value": reached, "range": spread(reading.now, "share")}
    return _tile(desk, say("Average deal, 4 quarters"), "K06", desk.read("K06", "won", rolling=True))


def shown(found: Estimate, unit: str) -> str:
    """Write a figure with no more digits than its interval bears."""
    return number(found.value, fitting(unit, found.low, found.high))


def spread(found: Estimate, unit: str) -> str:
    """Write the interval and n of a figure."""
    shown = interval(found.low, found.high, fitting(unit, found.low, found.high))
    return f"{shown} n = {number(found.n, 'count')}".strip()


def changes(reading: Reading, unit: str) -> str:
    """Say how a figure moved since the last report (w/w) and since last year (y/y), else on the period before."""
    last = ahead.on_last(_since_last(reading, unit))
    before = change(reading.now, reading.before, unit)
    return ", ".join(said for said in (last, before and say(BEFORE[reading.on], change=before)) if said)


def _since_last(reading: Reading, unit: str) -> str:
    """Say what came since the last report: money as money, as a share of a running total says little."""
    gap = stats.difference(reading.now, reading.last)
    if unit != "money" or gap.status != OK:
        return change(reading.now, reading.last, unit, test=False)
    return number(gap.value, "money", signed=True)


def change(now: Estimate, before: Estimate, unit: str, *, test: bool = True) -> str:
    """Say how a figure changed: relative for money, days and counts, in points for shares; n.s. inside noise.

    Empty where there is no earlier figure. Without `test` nothing is said of noise: the two share most cases.
    """
    gap = stats.difference(now, before)
    if gap.status != OK or (unit != "share" and not before.value):
        return ""
    said = (
        number(gap.value, "points", signed=True)
        if unit == "share"
        else number(gap.value / before.value, "percent", signed=True)
    )
    return say("{change} n.s.", change=said) if test and gap.is_noise else said
