"""Pipeline coverage against what past periods needed, pipeline yield, stale share."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts as ground
from salesops_lib import stats
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData
from salesops_lib.facts import PEOPLE, Facts, deals, marked, priced_sum, quotas, whole_quota
from salesops_lib.kpis.registry import Variants, kpi
from salesops_lib.kpis.selling import before_blanked
from salesops_lib.periods import KINDS, Period
from salesops_lib.stats import NO_DATA, NOT_DEFINED, OK, TOO_FEW, Estimate

if TYPE_CHECKING:
    import pandas as pd

PAST = 8  # periods looked back on
LEAST = 4  # comparable periods below which no need is told
STALE_DAYS = 30
YIELD_COLUMNS = [
    "close_date", "expected_close_date", "is_closed", "is_won", "is_renewal", "is_disqualified", "priced",
    "amount", "currency",
]  # fmt: skip


@kpi(
    "K09",
    name="Pipeline coverage",
    formula="open pipeline due in the period ÷ (quota − bookings)",
    population="new business open at the as-of instant and due in the period, overdue in it included; quotas",
    attribution="owner at the as-of instant",
    unit="times",
    direction="up",
    variants={
        "open": "open pipeline for each unit of quota still missing",
        "needed": "open pipeline at the same week of past periods for each unit they still booked after it",
    },
    needs=("quotas", "opportunities"),
    least=LEAST,
    interval="Fay–Feuer gamma on the deals; bootstrap over past periods for what was needed",
    source="kpis.md K09",
)
def coverage(facts: Facts) -> Variants:
    """Divide what is open by what is still missing, and say how much that took before."""
    yield "open", partial(_coverage, facts)
    yield "needed", partial(needed, facts)


@kpi(
    "K11",
    name="Pipeline yield",
    formula="won amount ÷ (open amount due in the period at its start + amount created or pulled into it)",
    population="new business in the period's pipeline at its start, or come into it by the as-of day",
    attribution="owner at close, owner while open",
    unit="share",
    direction="up",
    variants={
        "yield": "share of all pipeline the period had that was won",
        "stale": f"share of the open amount without an activity or change for {STALE_DAYS} days",
    },
    needs=("opportunities",),
    least=5,
    interval="bootstrap over deals",
    source="kpis.md K11",
)
def pipeline_yield(facts: Facts) -> Variants:
    """Divide what was won by what there was to win; and what lies still by what is open."""
    yield "yield", partial(_yield, facts)
    yield "stale", partial(_stale, facts)


def due(facts: Facts) -> pd.DataFrame:
    """Open deals of new business expected to close in the period, those overdue within it included."""
    rows = facts.open()
    return rows[facts.period.contains(rows["expected_close_date"])]


@lru_cache(maxsize=32)
def same_week(book: Book, period: Period, past: int = PAST) -> pd.DataFrame:
    """List what past periods held open at the point where `period` stands, and what they booked after it.

    Returns
    -------
    DataFrame
        One row a deal and past period: the dimensions of `facts.DIMENSIONS`, `period` (label), `day` (its as-of
        day), `opened` and `booked_after` (corporate currency, one of them 0). Periods before the first deal, or
        at whose day stage, amount or expected close date of deals was not tracked, are left out.

    Raises
    ------
    InsufficientData
        Where fewer than four periods can be compared.
    """
    import pandas as pd

    calendar = book.calendar
    spans = [calendar.shift(period, -k) for k in range(past, 0, -1)]
    begun = deals(book)["created_at"].min()
    first = None if pd.isna(begun) else calendar.day_of(begun)
    days = {span: calendar.same_progress(period, book.day, span).last_day for span in spans}
    spans = [span for span in spans if first and span.start > first and span.last_day <= book.day]
    spans = [span for span in spans if book.tracks(*ground.OPEN, at=days[span])]
    if len(spans) < LEAST:
        raise InsufficientData(
            "Pipeline needed", needed=LEAST, got=len(spans), of="past periods with tracked deals"
        )
    won = deals(book)
    won = won[won["is_won"] & ~won["is_renewal"]]
    parts = []
    found = book.deals_over([days[span] for span in spans], ground.NEEDED)
    for span, (instant, frame) in zip(spans, found, strict=True):
        due_then = frame[~frame["is_closed"] & span.contains(frame["expected_close_date"])]
        rows = ground.prepare(book.at(instant), due_then)
        parts.append(_told(rows[~rows["is_renewal"]], span, days[span], "opened"))
        later = span.contains(won["close_date"]) & (won["close_date"] > pd.Timestamp(days[span]))
        parts.append(_told(won[later], span, days[span], "booked_after"))
    return pd.concat(parts, ignore_index=True)


def _told(rows: pd.DataFrame, span: Period, day: object, column: str) -> pd.DataFrame:
    told = {"opened": 0.0, "booked_after": 0.0, column: rows["priced"].astype("float64").fillna(0)}
    return rows[list(ground.DIMENSIONS)].assign(period=span.label, day=day, **told)


def missing(facts: Facts) -> float:
    """Quota that is not booked yet, in corporate currency; empty where there is no quota for the whole period."""
    target = whole_quota(facts)
    return target - float(stats.exact_sum(facts.won()["priced"])) if target > 0 else stats.NONE


def _coverage(facts: Facts) -> Estimate:
    left, booked, rows = missing(facts), priced_sum(facts, facts.won()), due(facts)
    if facts.by and facts.by not in PEOPLE:
        return Estimate.none(NOT_DEFINED, len(rows), f"quotas do not belong to a {facts.by}")
    if np.isnan(left):
        wrong = quotas(facts.book, facts.period).wrong
        return Estimate.none(NOT_DEFINED, len(rows), wrong or "no quota in this period")
    if booked.status != OK and booked.n:
        return booked
    if left <= 0:
        return Estimate.none(NOT_DEFINED, len(rows), "target met")
    return priced_sum(facts, rows).scaled(1 / left)


def needed(facts: Facts) -> Estimate:
    """What past periods had open at this point for each unit they still booked after it; see `same_week`."""
    if facts.period.kind not in KINDS:
        return Estimate.none(NOT_DEFINED, 0, "only for one fiscal period, not several together")
    try:
        rows = same_week(facts.book, facts.period)
    except InsufficientData as error:
        return Estimate.none(TOO_FEW, error.got, str(error))
    if facts.by:
        rows = rows[rows[facts.by].eq(facts.segment)]
    sums = rows.groupby("period")[["opened", "booked_after"]].sum()
    if len(sums) < LEAST or not sums["booked_after"].sum():
        booked = int((sums["booked_after"] > 0).sum())
        return Estimate.none(TOO_FEW, booked, f"needs {LEAST} past periods that booked after this week")
    return stats.ratio_of_sums(sums["opened"], sums["booked_after"], least=LEAST)


def _yield(facts: Facts) -> Estimate:
    """The pipeline of a period is every deal that was open and due in it at its start, or came into it since."""
    book, period = facts.book, facts.period
    day = period.start
    if not book.tracks(*ground.OPEN, at=day):
        return Estimate.none(NO_DATA, 0, f"deals were not tracked on {day:%d %b %Y}")
    rows = _had(book, period)
    rows = rows.loc[rows.index.intersection(facts.deals.index, sort=False)]
    return stats.ratio_of_sums(rows["won"], rows["worth"], least=5).noted(facts.unpriced(rows))


@lru_cache(maxsize=32)
def _had(book: Book, period: Period) -> pd.DataFrame:
    """Take the deals that a period had, by row of `deals(book)`: what each is worth, and of it won."""
    rows = deals(book)[YIELD_COLUMNS]
    inside = period.contains(rows["close_date"]) | (
        ~rows["is_closed"] & period.contains(rows["expected_close_date"])
    )
    rows = rows[(at_start(book, period) | inside) & ~rows["is_renewal"] & ~rows["is_disqualified"]]
    worth = rows["priced"].fillna(before_blanked(book).reindex(rows.index)).astype("float64").fillna(0)
    won = worth.where(rows["is_won"] & period.contains(rows["close_date"]), 0)
    return rows[["priced", "amount", "currency"]].assign(worth=worth, won=won)


@lru_cache(maxsize=32)
def at_start(book: Book, period: Period) -> pd.Series:
    """Which deals were open and due in the period as it began, by row of `deals(book)`."""
    import pandas as pd

    before = pd.Timestamp(period.start) - pd.Timedelta(days=1)
    ((_, frame),) = book.deals_over([before.date()], ["opportunity_id", "is_closed", "expected_close_date"])
    rows = frame[~frame["is_closed"] & period.contains(frame["expected_close_date"])]
    return marked(book, rows["opportunity_id"])


def _stale(facts: Facts) -> Estimate:
    rows = facts.open()
    idle = idle_days(facts.book).reindex(rows["opportunity_id"]).to_numpy(dtype=float)
    if len(rows) and np.isnan(idle).all():
        return Estimate.none(NO_DATA, len(rows), "the source keeps neither activities nor changes")
    worth = rows["priced"].astype("float64").fillna(0)
    return stats.ratio_of_sums(worth.where(idle >= STALE_DAYS, 0), worth, least=5).noted(facts.unpriced(rows))


@lru_cache(maxsize=16)
def idle_days(book: Book) -> pd.Series:
    """Days since the last activity of a person or change (bulk edits aside) of each deal, by `opportunity_id`.

    The CRM's own date of the last activity counts automated ones and is not kept for past days: it is taken only
    where the source has no activities. Where nothing is recorded, days since the creation; empty where the source
    keeps none of it for any deal.
    """
    import pandas as pd

    frame = book.opportunities.set_index("opportunity_id")
    active = book.query("""
        select opportunity_id, max(started_at) happened from activities
        where opportunity_id is not null and not is_automated group by opportunity_id
    """).set_index("opportunity_id")["happened"]
    happened = active.reindex(frame.index).astype(frame["last_changed_at"].dtype)
    noted = happened if book.has("activities") else frame["last_activity_at"]
    seen = pd.DataFrame({"changed": frame["last_changed_at"], "noted": noted})
    if seen.isna().all(axis=None):
        return pd.Series(np.nan, frame.index)
    last = seen.max(axis=1).fillna(frame["created_at"])
    return (book.known_until - last) / pd.Timedelta(days=1)
