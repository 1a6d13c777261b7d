"""The funnel on one page: what goes on from each stage, what a point is worth, where it leaks, what moved it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts, kpis, passages
from salesops_lib.ageing import stalled_deals
from salesops_lib.book import Book
from salesops_lib.decompose import mix_and_rate
from salesops_lib.errors import InsufficientData, attempt, needed
from salesops_lib.facts import Facts
from salesops_lib.funnel.conversion import Conversion, measure_conversion
from salesops_lib.funnel.leaks import loss_reasons, source_quality
from salesops_lib.funnel.levers import ARROW, Levers, rank_levers, velocity_change
from salesops_lib.language import mark, say
from salesops_lib.passages import called
from salesops_lib.periods import QUARTER_DAYS, Period
from salesops_lib.present import interval, number
from salesops_lib.present.numbers import localised

if TYPE_CHECKING:
    import pandas as pd

LEAST_CYCLES = 30
STEP_DAYS = 30  # to which a horizon that nobody set is rounded up


@dataclass(frozen=True)
class Review:
    """One look at the funnel; a part that the data cannot give holds the `InsufficientData` that says why.

    Attributes
    ----------
    headline
        Two sentences at most, computed from the frames below.
    period, currency
        Window of what has a period, in which currency.
    conversion
        From stage to stage, over all deals known (`Conversion`).
    journey
        The same along the buyer's journey: `steps` of the stages mapped to it.
    levers
        What one point of each stage is worth (`Levers`).
    change
        Win rate now against the period before, by segment: the frame of `decompose_change`.
    velocity
        `factor`, `before`, `after`, `effect` (currency a day); the effects add up to the change of velocity.
    reasons, competitors, sources
        Frames of `leaks`.
    stalled
        Open deals that have stood still (`ageing.stalled_deals`).
    """

    headline: str
    period: Period
    currency: str
    conversion: Conversion | InsufficientData
    journey: pd.DataFrame | InsufficientData
    levers: Levers | InsufficientData
    change: pd.DataFrame | InsufficientData
    velocity: pd.DataFrame | InsufficientData
    reasons: pd.DataFrame | InsufficientData
    competitors: pd.DataFrame | InsufficientData
    sources: pd.DataFrame | InsufficientData
    stalled: pd.DataFrame | InsufficientData

    @property
    def steps(self) -> pd.DataFrame | InsufficientData:
        """Steps of the conversion."""
        return self.conversion if isinstance(self.conversion, InsufficientData) else self.conversion.steps

    @property
    def cohorts(self) -> pd.DataFrame | InsufficientData:
        """Cohorts of the conversion."""
        return self.conversion if isinstance(self.conversion, InsufficientData) else self.conversion.cohorts

    @property
    def worth(self) -> pd.DataFrame | InsufficientData:
        """Table of the levers."""
        return self.levers if isinstance(self.levers, InsufficientData) else self.levers.table


def review(book: Book, *, period: str = "4 quarters", horizon_days: int = 0, by: str = "segment") -> Review:
    """Look at the whole funnel of new business.

    Parameters
    ----------
    book
        The company at the as-of instant.
    period
        ``month``, ``quarter``, ``year`` or a number of them: of what is compared with the period before.
    horizon_days
        Age at which conversion is read; 0 for twice the typical days to a win.
    by
        Dimension that changes are split by.

    Raises
    ------
    InsufficientData
        Where no deal was known at the as-of instant.
    ParameterError
        For an unknown period or dimension.
    """
    if facts.deals(book).empty:
        what = say("Funnel as of {day}", day=book.day)
        raise InsufficientData(what, needed=1, got=0, of=say("deals known by then"))
    window = facts.resolve_period(book, period)
    facts.members(book, by, window)  # an unknown dimension is refused
    horizon = horizon_days or _typical_horizon(book)
    found = attempt(lambda: _conversion(book, horizon))
    levers = attempt(lambda: _levers(book, window, found))
    change = attempt(lambda: _change(book, window, by))
    return Review(
        headline=_headline(found, levers, book.currency),
        period=window,
        currency=book.currency,
        conversion=found,
        journey=attempt(lambda: _journey(book, horizon)),
        levers=levers,
        change=change,
        velocity=attempt(lambda: _velocity(book, window, found)),
        reasons=attempt(lambda: loss_reasons(book, window)),
        competitors=attempt(lambda: loss_reasons(book, window, column="competitor")),
        sources=attempt(lambda: source_quality(book, window)),
        stalled=attempt(lambda: stalled_deals(book)),
    )


def _typical_horizon(book: Book) -> int:
    """Twice the median days from creation to a win, rounded up to whole months of 30 days."""
    rows = facts.deals(book)
    won = rows[rows["is_won"] & ~rows["is_renewal"]]
    days = (won["closed_at"] - won["created_at"]).dt.total_seconds() / 86400
    if len(days) < LEAST_CYCLES:
        what = say("A horizon for conversion")
        raise InsufficientData(what, needed=LEAST_CYCLES, got=len(days), of=say("won deals"))
    return int(np.ceil(2 * days.median() / STEP_DAYS) * STEP_DAYS)


def _conversion(book: Book, horizon: int) -> Conversion:
    moves, stages = passages.from_book(book)
    return measure_conversion(moves, stages, as_of=book.known_until, horizon_days=horizon)


def _journey(book: Book, horizon: int) -> pd.DataFrame:
    moves, stages = passages.from_book(book, "journey")
    if stages[0] == passages.ONLY:
        raise InsufficientData(say("The buyer's journey"), needed=1, got=0, of=say("recorded stage changes"))
    return measure_conversion(moves, stages, as_of=book.known_until, horizon_days=horizon).steps


def _levers(book: Book, window: Period, found: Conversion | InsufficientData) -> Levers:
    import pandas as pd

    found, here = needed(found), Facts(book, window, facts.deals(book))
    days = (min(window.last_day, book.day) - window.start).days + 1
    entered = found.cohorts[found.cohorts["cohort"].ge(pd.Timestamp(window.start).replace(day=1))]
    won = here.won()
    cycle = (won["closed_at"] - won["created_at"]).dt.total_seconds().median() / 86400
    return rank_levers(
        found, won["priced"], per_quarter=entered["n"].sum() / days * QUARTER_DAYS, cycle_days=float(cycle)
    )


def _change(book: Book, window: Period, by: str) -> pd.DataFrame:
    rows = facts.deals(book)
    before = Facts(book, _before(book, window), rows).closed()
    if before.empty:
        of = say("deals closed in {period}", period=_before(book, window))
        raise InsufficientData(say("Why the win rate changed"), needed=1, got=0, of=of)
    found = decompose_change(before[[by, "is_won"]], Facts(book, window, rows).closed()[[by, "is_won"]], by=by)
    return found.assign(**{by: facts.named(book, by, found[by])})


def _before(book: Book, window: Period) -> Period:
    """Return the window of the same length before this one."""
    n, _, kind = window.kind.rpartition(" ")
    parts = book.calendar.last(kind.removesuffix("s"), 2 * int(n or 1), window.last_day)
    label = say("{first} to {last}", first=parts[0], last=parts[int(n or 1) - 1]) if n else str(parts[0])
    return Period(parts[0].start, window.start, window.kind, label)


def _velocity(book: Book, window: Period, found: Conversion | InsufficientData) -> pd.DataFrame:
    """Split the change of velocity between this window and the one before it."""
    import pandas as pd

    cohorts, factors = needed(found).cohorts.dropna(subset=["ultimate"]), []
    for span in (_before(book, window), window):
        then = book if span is window else book.at(span.last_day)
        own = cohorts[span.contains(cohorts["cohort"])]
        open_now = Facts(then, span, facts.deals(then)).open()
        size = kpis.compute(then, "K06", span, variants="default").iloc[0]
        cycle = kpis.compute(then, "K05", span)
        cycle = cycle[cycle["variant"].eq("Kaplan–Meier")].iloc[0]
        if own.empty or not (size["value"] > 0 and cycle["value"] > 0):
            what, of = say("Velocity of {period}", period=span), say("factors of it: deals, wins and days known")
            raise InsufficientData(what, needed=1, got=0, of=of)
        factors.append({
            "deals": float(open_now["is_qualified"].sum()),
            "win_rate": float(np.average(own["ultimate"], weights=own["n"])),
            "size": float(size["value"]), "cycle_days": float(cycle["value"]),
        })  # fmt: skip
    effects = velocity_change(*factors)
    rows = [{"factor": name.replace("_", " "), "before": factors[0][name], "after": factors[1][name],
             "effect": effects[name]} for name in effects]  # fmt: skip
    speed = [f["deals"] * f["win_rate"] * f["size"] / f["cycle_days"] for f in factors]
    whole = {"factor": "velocity a day", "before": speed[0], "after": speed[1], "effect": sum(effects.values())}
    return pd.DataFrame([*rows, whole])


def _headline(found: Conversion | InsufficientData, levers: Levers | InsufficientData, currency: str) -> str:
    if isinstance(found, InsufficientData):
        return str(found)
    whole = found.whole.iloc[0]
    first = say(
        "{rate} {range} of {n} deals that reach {stage} are won within {days} days.",
        rate=number(whole["rate"], "percent"), range=interval(whole["low"], whole["high"], "percent"),
        n=number(whole["n"], "count"), stage=called(whole["stage"]), days=localised(f"{found.horizon_days:g}"),
    )  # fmt: skip
    if whole["rate"] != whole["rate"]:
        first = found.headline
    return first if isinstance(levers, InsufficientData) else f"{first} {_worth_said(levers, currency)}"


def _worth_said(levers: Levers, currency: str) -> str:
    stages = levers.table[levers.table["unit"].eq("1 point")]
    top = stages.iloc[0]
    stage, _, following = top["lever"].rpartition(ARROW)
    given = {"stage": called(stage), "following": called(following), "worth": number(top["worth"], "money"),
             "currency": currency, "range": interval(top["low"], top["high"], "money")}  # fmt: skip
    if len(stages) > 1:
        said = mark(
            "One point more from {stage} to {following} is worth most: {worth} {currency} a quarter {range}."
        )
    else:
        said = mark("One point more from {stage} to {following} is worth: {worth} {currency} a quarter {range}.")
    return say(said, **given)


def decompose_change(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    by: str | Iterable[str],
    rate: tuple[str, str] = ("is_won", "n"),
) -> pd.DataFrame:
    """Split the change of a rate, by default the win rate, into mix and rate of each segment.

    Parameters
    ----------
    before, after
        One row a closed deal, or a group of them.
    by
        Column or columns of the segment.
    rate
        Columns of the numerator and the denominator; where neither frame has the latter, each row counts one.

    Returns
    -------
    DataFrame
        One row a segment; see `decompose.mix_and_rate`. Their `total` adds up to the change.

    Raises
    ------
    InsufficientData
        Where a period has no case.
    ParameterError
        For a missing column, a cell that is empty or no number, a denominator below zero, a numerator without one.
    """
    return mix_and_rate(before, after, by=by, rate=rate)
