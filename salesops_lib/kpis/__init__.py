"""The KPI catalogue: one definition per metric, one short registered function each.

`compute` returns one tidy frame for any KPIs, period and segment. Ids (K02 …) are stable and printed beside each
number. Every row has n and a 95 % interval, or a status that says why there is none. The definitions stand in
`results` (bookings, quota, size), `selling` (win rate, cycle, pipeline), `leads` (response, qualification,
customers), `distribution` (who gets which leads), `activity` (calls, meetings, time, entries) and `proposals`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING

from salesops_lib import stats, tables
from salesops_lib.book import Book
from salesops_lib.errors import ParameterError, unknown
from salesops_lib.facts import (
    LABELS,
    NOT_ASSIGNED,
    Facts,
    before_records,
    company,
    members,
    names,
    part,
    resolve_period,
)
from salesops_lib.kpis import (  # noqa: F401 - importing them registers their KPIs
    activity,
    distribution,
    effects,
    growth,
    leads,
    pipeline,
    proposals,
    reps,
    results,
    selling,
)
from salesops_lib.kpis.drill import rows as rows_behind
from salesops_lib.kpis.registry import REGISTRY, RESERVED, Kpi, words
from salesops_lib.language import mark, say
from salesops_lib.periods import KINDS, Period
from salesops_lib.stats import NO_DATA, NOT_DEFINED, Estimate

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "REGISTRY", "RESERVED", "before", "catalogue", "compute", "describe", "evaluate", "over_time", "rows_behind",
    "sources", "words",
]  # fmt: skip
COLUMNS = [
    "kpi_id", "name", "variant", "period", "segment", "segment_name",
    "value", "low", "high", "n", "unit", "status", "note",
]  # fmt: skip
TOLD = {
    stats.OK: mark("{n} have a number"),
    NOT_DEFINED: mark("{n} are not defined"),
    stats.TOO_FEW: mark("{n} rest on too few cases"),
    NO_DATA: mark("{n} lack data"),
}


def compute(
    book: Book,
    ids: Iterable[str] | str | None = None,
    period: Period | str = "quarter",
    *,
    by: str | None = None,
    segment: str = "",
    variants: str | Iterable[str] = "all",
    compare: bool = False,
) -> pd.DataFrame:
    """Compute KPIs as known to a book.

    Parameters
    ----------
    book
        The company at an instant.
    ids
        KPI ids; all by default.
    period
        A `Period`, ``week``, ``month``, ``quarter``, ``year`` (the one the book's last day lies in) or a number of
        them such as ``4 quarters``.
    by
        ``rep``, ``team``, ``region``, ``segment``, ``product``, ``source`` or ``type``; the company by default.
        People and teams without a deal are there too.
    segment
        Id of one value of `by`, to compute that alone.
    variants
        ``all``, ``default`` for the first variant of each, or names of the ones wanted.
    compare
        Add the same numbers of the period before and of the year before, as known after as many working days of
        theirs, and the difference with its interval.

    Returns
    -------
    DataFrame
        `kpi_id`, `name`, `variant`, `period`, `segment`, `segment_name`, `value`, `low`, `high`, `n`, `unit`,
        `status` (ok, too few, not defined, no data), `note`. Shares are 0–1, money in corporate currency. With
        `compare` also `last_value`, `last_change`, `last_change_low`, `last_change_high` and the same four for
        ``year_``; empty where either has no number.

    Raises
    ------
    ParameterError
        For an unknown KPI, period, dimension or variant, or a comparison of a period that is none of the calendar.
    """
    import pandas as pd

    chosen = [ids] if isinstance(ids, str) else list(ids or sorted(REGISTRY))
    for name in chosen:
        if name not in REGISTRY and name not in RESERVED:
            raise ParameterError(unknown("KPI", name, REGISTRY))
    reserved = [name for name in chosen if name in RESERVED]
    chosen = [name for name in chosen if name in REGISTRY]
    wanted = {name: _wanted(REGISTRY[name], variants) for name in chosen}
    window = resolve_period(book, period)
    listed = _listed(book, window, by, chosen)
    if by and segment:
        listed = {name: {segment} for name in chosen}
    rows = []
    for facts, shown in _segments(book, window, by, set().union(*listed.values())):
        for name in chosen:
            if by and facts.segment not in listed[name]:
                continue
            entry = REGISTRY[name]
            for variant, estimate in _evaluate(entry, facts, wanted[name]):
                rows.append(_row(entry, variant, facts, shown, estimate))
    rows += [_reserved(name, window) for name in reserved]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    if not compare:
        return frame
    for name, (day, span) in before(book, window).items():
        earlier = compute(book.at(day), chosen, span, by=by, segment=segment, variants=variants)
        frame = frame.join(_differences(frame, earlier, name))
    return frame


def evaluate(facts: Facts, kpi_id: str, variants: str | Iterable[str] = "all") -> dict[str, Estimate]:
    """Compute one KPI of one segment: its estimates by variant."""
    entry = REGISTRY[kpi_id]
    return dict(_evaluate(entry, facts, _wanted(entry, variants)))


def before(book: Book, window: Period) -> dict[str, tuple[date, Period]]:
    """Find what a period is compared with: ``last`` and ``year``, each with the day up to which it is seen.

    A running period is compared with as much of the other one as has gone by of it, in working days.

    Raises
    ------
    ParameterError
        For a window that is no fiscal period nor a number of them.
    """
    calendar = book.calendar
    number, _, kind = window.kind.rpartition(" ")
    n, kind = int(number or 1), kind.removesuffix("s")
    if kind not in KINDS:
        raise ParameterError(f"{window} is no fiscal week, month, quarter or year, so nothing compares with it.")
    running = calendar.period(kind, window.last_day)
    steps = {"last": calendar.shift(running, -n), "year": calendar.year_ago(running)}
    return {
        name: (calendar.same_progress(running, book.day, end).last_day,
               end if n == 1 else calendar.trailing(kind, n, end.start))
        for name, end in steps.items()
    }  # fmt: skip


def _reserved(kpi_id: str, window: Period) -> dict:
    name, awaited = RESERVED[kpi_id]
    told = {"kpi_id": kpi_id, "name": name, "variant": "", "period": window.label, "segment": "company"}
    none = {"value": stats.NONE, "low": stats.NONE, "high": stats.NONE, "n": 0, "unit": ""}
    note = say("waits for {what}", what=say(awaited))
    return told | none | {"segment_name": "company", "status": NO_DATA, "note": note}


def sources(book: Book) -> pd.DataFrame:
    """Say of each KPI which tables it needs and how much of them there is.

    Returns
    -------
    DataFrame
        `kpi_id`, `name`, `needs` (tables), `rows` (of the smallest of them as known to the book), `status` (``ok``
        or what is missing); ids kept for later come last.
    """
    import pandas as pd

    counts = {name: len(book.table(name, [tables.table(name).key[0]])) for name in _needed() if book.has(name)}
    out = []
    for entry in (REGISTRY[name] for name in sorted(REGISTRY)):
        missing = [name for name in entry.needs if not counts.get(name)]
        status = ", ".join(say("no {table}", table=name) for name in missing) or stats.OK
        smallest = min((counts.get(name, 0) for name in entry.needs), default=0)
        out.append((entry.id, entry.name, ", ".join(entry.needs), smallest, status))
    out += [(key, name, say(awaited), 0, mark("waits for it")) for key, (name, awaited) in RESERVED.items()]
    return pd.DataFrame(out, columns=["kpi_id", "name", "needs", "rows", "status"])


def _needed() -> set[str]:
    return {name for entry in REGISTRY.values() for name in entry.needs}


def _differences(frame: pd.DataFrame, earlier: pd.DataFrame, name: str) -> pd.DataFrame:
    """Set each row beside the same one of an earlier period."""
    import pandas as pd

    key = ["kpi_id", "variant", "segment"]
    kept = ["value", "low", "high", "n", "status", "note"]
    then = frame[key].merge(earlier[[*key, *kept]], how="left", on=key)
    rows = []
    for new, old in zip(frame[kept].itertuples(index=False), then[kept].itertuples(index=False), strict=True):
        if new.status == old.status == stats.OK:
            gap = stats.difference(Estimate(*new), Estimate(*old))
            rows.append((old.value, gap.value, gap.low, gap.high))
        else:
            rows.append((old.value if old.status == stats.OK else stats.NONE, *[stats.NONE] * 3))
    ends = ("value", "change", "change_low", "change_high")
    return pd.DataFrame(rows, index=frame.index, columns=[f"{name}_{end}" for end in ends], dtype="float64")


def over_time(book: Book, kpi_id: str, periods: Iterable[Period], *, by: str | None = None) -> pd.DataFrame:
    """Compute the default variant of one KPI for each period: the frame of `compute` and `period_start`."""
    import pandas as pd

    parts = []
    for period in periods:
        frame = compute(book, kpi_id, period, by=by, variants="default")
        parts.append(frame.assign(period_start=pd.Timestamp(period.start)))
    if not parts:
        raise ParameterError("over_time needs at least one period.")
    return pd.concat(parts, ignore_index=True)


def describe(frame: pd.DataFrame) -> str:
    """Say in one sentence how much of the catalogue has a number."""
    counts = frame["status"].value_counts()
    told = [say(words, n=counts.get(status, 0)) for status, words in TOLD.items()
            if status == stats.OK or counts.get(status)]  # fmt: skip
    return say(
        "{n} KPIs in {variants} variants for {period}: {counts}.",
        n=frame["kpi_id"].nunique(), variants=len(frame), period=frame["period"].iloc[0], counts=", ".join(told),
    )  # fmt: skip


def catalogue() -> pd.DataFrame:
    """List every KPI and variant with its definition: `kpi_id`, `name`, `variant`, `meaning`, `formula` …."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "kpi_id": k.id,
                "name": k.name,
                "variant": variant,
                "meaning": meaning,
                "formula": k.formula,
                "population": k.population,
                "attribution": k.attribution,
                "unit": k.unit_of(variant),
                "better": k.direction,
                "interval": k.interval,
                "least": k.least,
                "needs": ", ".join(k.needs),
                "source": k.source,
            }
            for k in (REGISTRY[name] for name in sorted(REGISTRY))
            for variant, meaning in k.variants.items()
        ]
    )


def _listed(book: Book, period: Period, by: str | None, chosen: list[str]) -> dict[str, set[str]]:
    """Name the segments each KPI is shown for: those of the deals and those it has beside them."""
    if by is None:
        return {}
    common = set(members(book, by, period))
    listed = dict.fromkeys(chosen, common)
    for name in chosen:
        entry = REGISTRY[name]
        if entry.members and by in (entry.dimensions or (by,)) and all(map(book.has, entry.needs)):
            listed[name] = common.union(entry.members(book, by, period))
    return listed


def _segments(book: Book, period: Period, by: str | None, listed: set[str]) -> Iterator[tuple[Facts, str]]:
    if by is None:
        yield company(book, period), "company"
        return
    shown = names(book, by)
    for member in sorted(listed, key=lambda value: (value == NOT_ASSIGNED, value)):
        called = say(NOT_ASSIGNED) if member == NOT_ASSIGNED else shown.get(member, member)
        yield part(book, period, by, member), called


def _wanted(entry: Kpi, variants: str | Iterable[str]) -> set[str]:
    if variants == "all":
        return set(entry.variants)
    if variants == "default":
        return {entry.default}
    named = {variants} if isinstance(variants, str) else set(variants)
    for name in named:
        if not any(name in kpi.variants for kpi in REGISTRY.values()):
            raise ParameterError(unknown(f"variant of {entry.id}", name, (*entry.variants, "all", "default")))
    return named


def _evaluate(entry: Kpi, facts: Facts, wanted: set[str]) -> Iterator[tuple[str, Estimate]]:
    """Yield the wanted variants; the dear ones come as calls, made only here."""
    missing = [name for name in entry.needs if not facts.book.has(name)]
    refused = None
    if missing:
        tables_said = reduce(lambda said, name: say("{tables} and no {table}", tables=said, table=name), missing)
        refused = Estimate.none(NO_DATA, 0, say("the source has no {tables}", tables=tables_said))
    elif facts.by and facts.by not in (entry.dimensions or (facts.by,)):
        told = ", ".join(say(LABELS[name]) for name in entry.dimensions)
        note = say("by {dimensions} only, not by {dimension}", dimensions=told, dimension=say(LABELS[facts.by]))
        refused = Estimate.none(NOT_DEFINED, 0, note)
    elif "opportunities" in entry.needs and (note := before_records(facts.book, facts.period)):
        refused = Estimate.none(NO_DATA, 0, note)
    if refused:
        yield from ((variant, refused) for variant in entry.variants if variant in wanted)
        return
    for variant, estimate in entry.compute(facts):
        if variant in wanted:
            yield variant, estimate() if callable(estimate) else estimate


def _row(entry: Kpi, variant: str, facts: Facts, shown: str, estimate: Estimate) -> dict:
    kept = ("value", "low", "high", "n", "status", "note")
    return {
        "kpi_id": entry.id,
        "name": entry.name,
        "variant": variant,
        "period": facts.period.label,
        "segment": facts.segment or "company",
        "segment_name": shown,
        "unit": entry.unit_of(variant),
        **{field: getattr(estimate, field) for field in kept},
    }
