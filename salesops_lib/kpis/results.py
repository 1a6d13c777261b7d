"""Bookings, quota attainment, deal size, revenue per rep."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from salesops_lib import stats
from salesops_lib.facts import LABELS, PEOPLE, Facts, elapsed, priced_sum, quota, quotas, so_far
from salesops_lib.kpis.registry import Variants, kpi
from salesops_lib.language import say
from salesops_lib.stats import NOT_DEFINED, Estimate

if TYPE_CHECKING:
    import pandas as pd


@kpi(
    "K02",
    name="Quota attainment",
    formula="Σ credited bookings ÷ Σ quota",
    population="new business won by close date in the period; quotas of measure bookings",
    attribution="owner at close; a team is the ratio of its members' sums",
    unit="share",
    direction="up",
    variants={
        "to date": "quota prorated for the days a person was there, against the whole period",
        "pace": "attainment ÷ share of the period's working days gone by",
        "quota as agreed": "quota not prorated for joining or leaving",
    },
    needs=("quotas", "users"),
    interval="Fay–Feuer gamma on the bookings",
    source="kpis.md K02",
)
def quota_attainment(facts: Facts) -> Variants:
    """Divide bookings by quota."""
    booked = priced_sum(facts, facts.won())
    prorated, agreed = quota(facts), quota(facts, prorated=False)
    _, wrong, is_partial = quotas(facts.book, facts.period)
    for variant, target, gone in (
        ("to date", prorated, 1.0),
        ("pace", prorated, elapsed(facts)),
        ("quota as agreed", agreed, 1.0),
    ):
        if target <= 0:
            yield variant, Estimate.none(NOT_DEFINED, booked.n, say("no quota in this period")).noted(wrong)
        elif is_partial:
            yield variant, Estimate.none(NOT_DEFINED, booked.n, wrong)
        elif gone <= 0:
            note = say("no working day of the period has gone by")
            yield variant, Estimate.none(NOT_DEFINED, booked.n, note)
        else:
            yield variant, booked.scaled(1 / (target * gone)).noted(so_far(facts), wrong)


@kpi(
    "K06",
    name="Average deal size",
    formula="Σ amount ÷ count",
    population="new business won by close date in the period, or open at the as-of instant",
    attribution="owner at close, owner while open",
    unit="money",
    direction="up",
    variants={
        "won": "mean of won deals; deals without an amount left out and counted",
        "won median": "median of won deals, because a few large ones move the mean",
        "open": "mean of deals open at the as-of instant",
    },
    needs=("opportunities",),
    interval="bootstrap over deals; order statistics for the median",
    least=5,
    source="kpis.md K06",
)
def deal_size(facts: Facts) -> Variants:
    """Average the amounts of won and of open deals."""
    won, still_open = facts.won(), facts.open()
    yield "won", partial(_size, facts, won, stats.mean)
    yield "won median", partial(_size, facts, won, stats.median)
    yield "open", partial(_size, facts, still_open, stats.mean)


@kpi(
    "K25",
    name="Deals won",
    formula="count of won deals",
    population="new business won by close date in the period",
    attribution="owner at close",
    unit="count",
    direction="up",
    variants={"new business": "new business and expansion", "renewals": "renewals only"},
    needs=("opportunities",),
    interval="exact Poisson (Garwood)",
    source="kpis.md K25",
)
def deals_won(facts: Facts) -> Variants:
    """Count won deals."""
    yield "new business", stats.count(len(facts.won())).noted(so_far(facts))
    yield "renewals", stats.count(len(facts.won(renewals=True))).noted(so_far(facts))


@kpi(
    "K26",
    name="Bookings",
    formula="Σ won amount",
    population="new business won by close date in the period; never added to recognised revenue",
    attribution="owner at close",
    unit="money",
    direction="up",
    variants={"new business": "new business and expansion", "renewals": "renewals only"},
    needs=("opportunities",),
    interval="Fay–Feuer gamma",
    source="kpis.md K26",
)
def bookings(facts: Facts) -> Variants:
    """Sum won amounts."""
    for variant, rows in (("new business", facts.won()), ("renewals", facts.won(renewals=True))):
        yield variant, priced_sum(facts, rows).noted(so_far(facts))


@kpi(
    "K27",
    name="Average quarterly revenue per rep",
    formula="bookings ÷ quarters ÷ average quota-carrying FTE",
    population="new business won by close date in the period; people who carry a quota, day-weighted",
    attribution="owner at close",
    unit="money",
    direction="up",
    variants={
        "per FTE": "÷ average full-time equivalents over the period so far",
        "per head at end": "÷ people carrying a quota on the last day seen",
    },
    needs=("opportunities", "users"),
    interval="Fay–Feuer gamma on the bookings",
    source="kpis.md K27",
)
def revenue_per_rep(facts: Facts) -> Variants:
    """Divide bookings by quarters and by quota-carrying people."""
    import pandas as pd

    booked = priced_sum(facts, facts.won()).noted(so_far(facts))
    period = facts.period
    parts = facts.book.calendar.between("quarter", period.start, period.last_day)
    refused = ""
    if facts.by and facts.by not in PEOPLE:
        refused = say("people do not belong to a {dimension}", dimension=say(LABELS[facts.by]))
    elif (parts[0].start, parts[-1].end) != (period.start, period.end):
        refused = say("needs whole quarters")
    if refused:
        yield from ((v, Estimate.none(NOT_DEFINED, booked.n, refused)) for v in ("per FTE", "per head at end"))
        return
    carriers = facts.carriers()
    day = min(pd.Timestamp(facts.period.last_day), pd.Timestamp(facts.book.day))
    heads = int((carriers["end_date"].isna() | (carriers["end_date"] >= day)).sum())
    for variant, people in (("per FTE", float(carriers["share"].sum())), ("per head at end", float(heads))):
        if people <= 0:
            yield variant, Estimate.none(NOT_DEFINED, booked.n, say("nobody carried a quota in this period"))
        else:
            yield variant, booked.scaled(1 / len(parts) / people)


def _size(facts: Facts, rows: pd.DataFrame, estimator: Callable[..., Estimate]) -> Estimate:
    return estimator(rows["priced"]).noted(facts.unpriced(rows))
