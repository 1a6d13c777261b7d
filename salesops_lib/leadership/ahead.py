"""What the period will come to: the forecast of the page, as it stands and as it stood at the last report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts, stats
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData
from salesops_lib.forecast import Projection, project_period, submitted_commit
from salesops_lib.forecast.deals import Panel, day_number, panel
from salesops_lib.language import dated, say, say_many
from salesops_lib.periods import Period
from salesops_lib.present import interval, number
from salesops_lib.stats import OK, Estimate

if TYPE_CHECKING:
    import pandas as pd

NEXT = ("month", "quarter")  # periods short enough to foresee the one after
TOP_DEALS = 7
TOP_SHARE = 3


@dataclass(frozen=True, eq=False)
class Ahead:
    """The forecasts of a page.

    Attributes
    ----------
    now, last, next
        Of the period today, of the period at the last report, and of the period after it; the last two are empty
        where there was too little to learn from.
    since
        Day of the last report.
    commit
        What people had submitted as commit by today; empty where nobody does.
    """

    now: Projection
    last: Projection | None
    next: Projection | None
    since: date
    commit: float

    @property
    def people(self) -> pd.DataFrame:
        """Teams: `forecast`, `forecast_low`, `forecast_high` (80 %), `p_quota`."""
        columns = {"mid": "forecast", "low": "forecast_low", "high": "forecast_high", "p_quota": "p_quota"}
        return self.now.teams.set_index("team")[list(columns)].rename(columns=columns)


@lru_cache(maxsize=4)
def forecasts(book: Book, period: Period, since: date) -> Ahead | InsufficientData | None:
    """Forecast the company's period as it stands and as it stood at the last report; nothing once it is over.

    A refusal, handed back, where there is too little to learn from.
    """
    if book.day >= period.last_day:
        return None
    seen = panel(book)
    try:
        now = project_period(book, period=period, known=seen)
    except InsufficientData as refusal:
        return refusal
    return Ahead(
        now=now,
        last=_or_none(book.at(since), period, _cut(seen, since)),
        next=_or_none(book, book.calendar.shift(period, 1), seen) if period.kind in NEXT else None,
        since=since,
        commit=submitted_commit(book, period),
    )


def _or_none(book: Book, period: Period, known: Panel | None) -> Projection | None:
    try:
        return project_period(book, period=period, known=known)
    except InsufficientData:
        return None


def _cut(seen: Panel, day: date) -> Panel | None:
    """Return the panel of an earlier day where it is one of the weeks known, so that models are learnt once."""
    number_ = day_number(day)
    return seen.until(number_) if len(seen.open(number_)) else None


def headline(found: Ahead) -> str:
    """Say what the period will most likely come to, and the chance of its quota, now and at the last report."""
    now, last = found.now, found.last
    bounds = interval(now.quantiles[0.1], now.quantiles[0.9], "money")
    most = number(now.quantiles[0.5], "money")
    said = say(
        "{period} most likely {amount} {currency} (80 % range {range})",
        period=now.period.label, amount=most, currency=now.currency, range=bounds,
    )  # fmt: skip
    if not now.quota > 0:
        return said
    chance = number(now.p_quota, "percent")
    if last and last.quota > 0:
        before, day = number(last.p_quota, "percent"), dated(found.since, "dd MMM")
        chance = say("{chance} ({day}: {before})", chance=chance, day=day, before=before)
    return say(
        "{forecast} against quota {quota}; chance to reach it {chance}",
        forecast=said, quota=number(now.quota, "money"), chance=chance,
    )  # fmt: skip


def measured(found: Projection) -> str:
    """Say what such forecasts were worth in the past."""
    if found.coverage.status != OK:
        return say("No past weeks to measure such forecasts on.")
    held = {"share": number(found.coverage.value, "percent"), "n": found.coverage.n}
    if found.error.status != OK:
        return say("80 % ranges held {share} of {n} past weeks.", **held)
    off = number(found.error.value, "percent")
    return say("80 % ranges held {share} of {n} past weeks; median error {error} of the rest.", **held, error=off)


def caption(found: Ahead) -> str:
    """Say what past forecasts were worth, and what the source cannot tell."""
    notes = "; ".join(found.now.notes)
    return f"{measured(found.now)} {say('Note: {notes}.', notes=notes) if notes else ''}".strip()


def tiles(found: Ahead) -> list[dict]:
    """Build the tiles of the forecast and of the chance to reach the quota."""
    now, last = found.now, found.last
    low, mid, high = now.quantiles[[0.1, 0.5, 0.9]]
    moved = number(mid - last.quantiles[0.5], "money", signed=True) if last else ""
    n = now.coverage.n
    first = {
        "label": say("Forecast, most likely, {currency}", currency=now.currency), "kpi_id": "",
        "value": number(mid, "money"),
        "range": f"80 %: {interval(low, high, 'money')}", "change": on_last(moved), "tone": "",
        "estimate": Estimate(mid, low, high, n),
    }  # fmt: skip
    if not now.quota > 0:
        return [first]
    both = last is not None and last.quota > 0
    moved = number(now.p_quota - last.p_quota, "points", signed=True) if both else ""
    quota, held = number(now.quota, "money"), number(now.coverage.value, "percent")
    told = say("quota {quota}; 80 % ranges not yet measured", quota=quota)
    if n:
        told = say("quota {quota}; 80 % ranges held {share}, n = {n} weeks", quota=quota, share=held, n=n)
    return [first, {
        "label": say("Chance to reach quota"), "kpi_id": "", "value": number(now.p_quota, "percent"),
        "range": told, "change": on_last(moved),
        "tone": "good" if mid >= now.quota else "bad",
        "estimate": Estimate(now.p_quota, np.nan, np.nan, len(now.totals)),
    }]  # fmt: skip


def on_last(change: str) -> str:
    """Say of a change that it is on the last report; nothing for none."""
    return say("{change} w/w", change=change) if change else ""


def watchlist(found: Ahead, book: Book, flagged: pd.DataFrame | None) -> tuple[pd.DataFrame, str]:
    """List the open deals on which the most of P(quota) hangs, both ways; without a quota, the most money.

    Parameters
    ----------
    flagged
        Deals that need somebody, with `opportunity_id` and `reasons`, from the pipeline review.

    Returns
    -------
    tuple
        At most seven rows: `deal`, `amount`, `p_win` and `p_win_before` (chance of being won in the period, now
        and at the last report), `if_won`, `if_not` (P(quota) then; absent without a quota), `reasons`, `owner`,
        `next_step` (reasons and step absent where none is known); and a sentence on concentration.
    """
    import pandas as pd

    every = found.now.deals.set_index("opportunity_id")
    rows = every.head(TOP_DEALS)
    last = (found.last or found.now).deals.set_index("opportunity_id")["p_win_in_period"]
    told = book.opportunities.set_index("opportunity_id")[["next_step"]].reindex(rows.index)
    reasons = pd.Series(dtype=str) if flagged is None else flagged.set_index("opportunity_id")["reasons"]
    shown = pd.DataFrame({
        "deal": facts.titles(book, rows.index),
        "amount": rows["amount"],
        "p_win": rows["p_win_in_period"],
        "p_win_before": last.reindex(rows.index) if found.last else np.nan,
        "if_won": rows["p_quota_if_won"],
        "if_not": rows["p_quota_if_not"],
        "reasons": reasons.reindex(rows.index),
        "owner": facts.named(book, "rep", rows["rep"]),
        "next_step": told["next_step"],
    }).reset_index(drop=True)  # fmt: skip
    optional = ("amount", "p_win_before", "if_won", "if_not", "reasons", "next_step")
    shown = shown.drop(columns=[name for name in optional if shown[name].isna().all()]).fillna({"reasons": ""})
    whole, n = every["expected"].sum(), min(TOP_SHARE, len(every))
    if not whole > 0:
        return shown, ""
    return shown, say_many(
        "The first {first} of {n} open deal carry {share} of the {amount} {currency} they are to bring in "
        "{period}.",
        "The first {first} of {n} open deals carry {share} of the {amount} {currency} they are to bring in "
        "{period}.",
        len(every), n=number(len(every), "count"), first=n,
        share=number(every["expected"].head(TOP_SHARE).sum() / whole, "percent"),
        amount=number(found.now.from_open, "money"), currency=found.now.currency, period=found.now.period.label,
    )  # fmt: skip


def next_period(found: Ahead) -> str:
    """Say what the period after this one will most likely come to."""
    later = found.next
    if later is None:
        return ""
    low, mid, high = later.quantiles[[0.1, 0.5, 0.9]]
    new = later.from_new / later.expected if later.expected > 0 else stats.NONE
    told = {
        "period": later.period.label, "amount": number(mid, "money"), "currency": later.currency,
        "range": interval(low, high, "money"), "share": number(new, "percent"),
    }  # fmt: skip
    if not later.quota > 0:
        return say(
            "{period} most likely {amount} {currency} {range} (80 %), {share} of it from deals not yet created.",
            **told,
        )
    return say(
        "{period} most likely {amount} {currency} {range} (80 %), {share} of it from deals not yet created; "
        "chance of its quota {chance}.", **told, chance=number(later.p_quota, "percent"),
    )  # fmt: skip
