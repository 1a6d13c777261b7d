"""The bookings of a period: what is booked, what open deals will bring, what deals not yet created will bring."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts, stats
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.forecast import blend, calibrate, origins
from salesops_lib.forecast.deals import Panel, day_number, panel
from salesops_lib.forecast.foresight import Foresight, foresee
from salesops_lib.forecast.simulate import Draws
from salesops_lib.periods import KINDS, Period
from salesops_lib.present import interval, number

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
MOST_DRAWS = 200_000


@dataclass(frozen=True)
class Projection:
    """What a period will book, with its range.

    Attributes
    ----------
    headline
        One sentence.
    period, day, currency
        The period, the last day seen, the currency of every amount.
    quota
        0 where there is none for the whole period.
    booked
        New business booked in the period so far, exact.
    from_open, from_new
        Expected from deals that are open, and from deals not yet created (or reopened).
    quantiles
        The period's bookings by probability, 0.025 to 0.975.
    p_quota
        Probability to reach the quota; empty without one.
    deals
        Open deals of new business, those first on which the most of P(quota) hangs: `opportunity_id`, `rep`,
        `team`, `stage_id`, `amount`, `expected_close_date`, `p_win_in_period`, `expected` (amount),
        `p_quota_if_won`, `p_quota_if_not`, `effect` (their difference), `swing` (standard deviation of P(quota)
        due to the deal).
    parts
        `part` (booked, open deals, deals not yet created, total), `expected`, `low`, `high` (80 %).
    weeks
        `week`, `end`, `booked` (cumulative, empty after the day), and the quantiles of the cumulative bookings
        (`q2.5` … `q97.5`, empty before it).
    calibration
        Past chances beside what came: `low`, `high` (of the class), `n`, `predicted`, `won`, `won_low`,
        `won_high`.
    slope
        Slope of what came on past chances, in logits; 1 is right.
    coverage
        Share of past weeks whose 80 % range held, each made with what was known then.
    past
        The past forecasts: see `origins.past`.
    blend
        Weight of both ways, level, shared spread, stretch.
    method, notes
        What was used and what the source cannot tell, in words.
    totals
        The draws of the period's bookings.
    """

    headline: str
    period: Period
    day: date
    currency: str
    quota: float
    booked: Decimal
    from_open: float
    from_new: float
    quantiles: pd.Series
    p_quota: float
    deals: pd.DataFrame
    parts: pd.DataFrame
    weeks: pd.DataFrame
    calibration: pd.DataFrame
    slope: stats.Estimate
    coverage: stats.Estimate
    past: pd.DataFrame
    blend: blend.Blend
    method: str
    notes: tuple[str, ...]
    totals: np.ndarray

    @property
    def expected(self) -> float:
        """Mean of the period's bookings: booked, from open deals, from deals not yet created."""
        return float(self.booked) + self.from_open + self.from_new

    def decide(self, *, over: float, under: float) -> float:
        """Name the figure to plan with where a unit forecast too much costs `over`, one too little `under`.

        The quantile ``under ÷ (under + over)`` (newsvendor).

        Raises
        ------
        ParameterError
            Where a cost is not above zero.
        """
        if not (over > 0 and under > 0):
            raise ParameterError(f"costs over = {over} and under = {under} have to be above zero.")
        return float(np.quantile(self.totals, under / (under + over)))


def window(book: Book, period: Period | str) -> Period:
    """Take a period, the fiscal ``week``, ``month``, ``quarter`` or ``year`` the day lies in, or what is next.

    ``next quarter`` is the one after it; ``next 4 weeks`` are the 28 days after the day.

    Raises
    ------
    ParameterError
        For anything else.
    """
    if isinstance(period, Period):
        return period
    words = str(period).split()
    if len(words) == 1 and words[0] in KINDS:
        return book.calendar.period(words[0], book.day)
    if len(words) == 2 and words[0] == "next" and words[1] in KINDS:
        return book.calendar.shift(book.calendar.period(words[1], book.day), 1)
    if len(words) == 3 and words[0] == "next" and words[1].isdecimal() and words[2].rstrip("s") == "week":
        first, weeks = book.day + timedelta(days=1), int(words[1])
        if 0 < weeks <= 52:
            return Period(
                first, first + timedelta(weeks=weeks), f"{weeks} weeks", f"the {weeks} weeks from {first}"
            )
    raise ParameterError(
        f"{unknown('period', str(period), KINDS)}; or 'next quarter', or 'next 4 weeks' (1 to 52)."
    )


def project_period(
    book: Book,
    *,
    period: Period | str = "quarter",
    draws: int = 10_000,
    seed: int = 0,
    top_down: origins.TopDown = origins.trailing,
    known: Panel | None = None,
) -> Projection:
    """Project the new business that a period will book.

    Parameters
    ----------
    book
        The company at the as-of instant.
    period
        See `window`.
    draws, seed
        Size of the simulation, and its seed: the same gives the same.
    top_down
        The forecast from recent bookings that the one from deals is joined with.
    known
        The panel of this book's day, where the caller has made it.

    Raises
    ------
    ParameterError
        For a period that is none, or draws that are not 100 to 200,000.
    InsufficientData
        Where too few deals were won or created by then to learn from; it says how many are needed.
    """
    span = window(book, period)
    if not 100 <= draws <= MOST_DRAWS:
        raise ParameterError(f"draws is {draws}; give 100 to {MOST_DRAWS:,}.")
    if facts.deals(book).empty:
        raise InsufficientData(f"Projection as of {book.day}", needed=1, got=0, of="deals known by then")
    seen = known or panel(book)
    own = facts.Facts(book, span, facts.deals(book))
    after = max(day_number(span.start) - 1, seen.day)
    last = day_number(span.last_day)
    if after >= last:
        return _finished(own)
    return _project(own, foresee(seen, book.calendar, after, last, draws=draws, seed=seed, top_down=top_down))


def _project(own: facts.Facts, found: Foresight) -> Projection:
    booked, quota = stats.exact_sum(own.won()["priced"]), facts.whole_quota(own)
    paths = float(booked) + found.rest
    totals = paths[:, -1]
    quantiles = _quantiles(totals)
    p_quota = float((totals >= quota).mean()) if quota > 0 else stats.NONE
    return Projection(
        headline=_headline(own, quantiles, quota, p_quota),
        period=own.period,
        day=own.book.day,
        currency=own.book.currency,
        quota=quota,
        booked=booked,
        from_open=float(found.drawn.open[:, -1].mean()),
        from_new=float(found.drawn.new[:, -1].mean()),
        quantiles=quantiles,
        p_quota=p_quota,
        deals=_deals(own, found, totals, quota),
        parts=_parts(float(booked), found.drawn, totals),
        weeks=_weeks(own, found.ends, paths),
        calibration=calibrate.classes(found.chances),
        slope=calibrate.slope(found.chances),
        coverage=calibrate.coverage(found.past, found.length),
        past=found.past,
        blend=found.blend,
        method=_method(found),
        notes=_notes(own, found),
        totals=totals,
    )


def _finished(own: facts.Facts) -> Projection:
    """A period that is over: what is booked is all there is."""
    import pandas as pd

    booked, quota = stats.exact_sum(own.won()["priced"]), facts.whole_quota(own)
    totals = np.full(1, float(booked))
    none = calibrate.classes(pd.DataFrame({"chance": [], "won": []}))
    quantiles = _quantiles(totals)
    p_quota = float(totals[0] >= quota) if quota > 0 else stats.NONE
    values = {"booked": totals[0], "open deals": 0.0, "deals not yet created": 0.0, "total": totals[0]}
    parts = [{"part": part, "expected": value, "low": value, "high": value} for part, value in values.items()]
    untold = stats.Estimate.none(stats.NOT_DEFINED, 0, "the period is over")
    return Projection(
        headline=f"{own.period} is over: {number(totals[0], 'money')} {own.book.currency} booked.",
        period=own.period, day=own.book.day, currency=own.book.currency, quota=quota, booked=booked,
        from_open=0.0, from_new=0.0, quantiles=quantiles, p_quota=p_quota,
        deals=pd.DataFrame(columns=DEALS), parts=pd.DataFrame(parts), weeks=_weeks(own, np.empty(0, int), None),
        calibration=none, slope=untold, coverage=untold,
        past=pd.DataFrame(columns=["day", "bottom_up", "variance", "top_down", "actual"]), blend=blend.Blend(),
        method="the period is over", notes=(), totals=totals,
    )  # fmt: skip


def _quantiles(totals: np.ndarray) -> pd.Series:
    import pandas as pd

    index = pd.Index(QUANTILES, name="quantile")
    return pd.Series(np.quantile(totals, QUANTILES), index=index, name="amount")


DEALS = [
    "opportunity_id", "rep", "team", "stage_id", "amount", "expected_close_date", "p_win_in_period", "expected",
    "p_quota_if_won", "p_quota_if_not", "effect", "swing",
]  # fmt: skip


def _deals(own: facts.Facts, found: Foresight, totals: np.ndarray, quota: float) -> pd.DataFrame:
    """Say of each open deal what its win, or its absence, would make of P(quota)."""
    import pandas as pd

    rows, chance, drawn = found.rows, found.chance, found.drawn
    worth = np.nan_to_num(found.learnt.sizes.moments(rows)[0])
    if_won, if_not = np.full((2, len(rows)), np.nan)
    if quota > 0:
        order = np.argsort(drawn.deal, kind="stable")
        starts = np.searchsorted(drawn.deal[order], np.arange(len(rows) + 1))
        for k in range(len(rows)):
            mine = order[starts[k] : starts[k + 1]]
            without = totals.copy()
            without[drawn.draw[mine]] -= drawn.amount[mine]
            if_won[k], if_not[k] = (without + worth[k] >= quota).mean(), (without >= quota).mean()
    known = own.deals.set_index("opportunity_id").reindex(rows["opportunity_id"])
    frame = pd.DataFrame({
        "opportunity_id": rows["opportunity_id"].to_numpy(),
        **{name: known[name].to_numpy() for name in ("rep", "team", "stage_id")},
        "amount": rows["amount"].to_numpy(),
        "expected_close_date": known["expected_close_date"].to_numpy(),
        "p_win_in_period": chance,
        "expected": chance * worth,
        "p_quota_if_won": if_won,
        "p_quota_if_not": if_not,
        "effect": if_won - if_not,
    })  # fmt: skip
    frame["swing"] = frame["effect"] * np.sqrt(chance * (1 - chance))
    return frame.sort_values(["swing", "expected", "opportunity_id"], ascending=[False, False, True],
                             ignore_index=True)[DEALS]  # fmt: skip


def _parts(booked: float, drawn: Draws, totals: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    amounts = {"open deals": drawn.open[:, -1], "deals not yet created": drawn.new[:, -1], "total": totals}
    rows = [{"part": "booked", "expected": booked, "low": booked, "high": booked}]
    for part, values in amounts.items():
        low, high = np.quantile(values, [0.1, 0.9])
        rows.append({"part": part, "expected": values.mean(), "low": low, "high": high})
    return pd.DataFrame(rows)


def _weeks(own: facts.Facts, ends: np.ndarray, paths: np.ndarray | None) -> pd.DataFrame:
    """Bookings so far by week, then the quantiles of what they will have come to."""
    import pandas as pd

    calendar, period, day = own.book.calendar, own.period, own.book.day
    won = own.won()
    names = [f"q{100 * q:g}" for q in QUANTILES]
    rows = []
    for k, week in enumerate(calendar.between("week", period.start, period.last_day), start=1):
        last = min(week.last_day, period.last_day)
        row = {"week": k, "end": pd.Timestamp(last)}
        if week.start <= day:
            row["booked"] = float(
                stats.exact_sum(won.loc[won["close_date"] <= pd.Timestamp(min(last, day)), "priced"])
            )
        at = np.flatnonzero(ends == day_number(last))
        if len(at):
            row |= dict(zip(names, np.quantile(paths[:, at[0]], QUANTILES), strict=True))
        rows.append(row)
    return pd.DataFrame(rows).reindex(columns=["week", "end", "booked", *names])


def _headline(own: facts.Facts, quantiles: pd.Series, quota: float, p_quota: float) -> str:
    said = (
        f"{own.period}: most likely {number(quantiles[0.5], 'money')} {own.book.currency}, 80 % range "
        f"{interval(quantiles[0.1], quantiles[0.9], 'money')}"
    )
    if quota > 0:
        said += f", against quota {number(quota, 'money')}; chance to reach it {number(p_quota, 'percent')}"
    return f"{said}."


def _method(found: Foresight) -> str:
    learnt, joint = found.learnt.hazard, found.blend
    how = "rates of winning and losing by what is known of each deal" if learnt.is_rich else (
        f"rates by stage and age alone, as only {learnt.wins} deals were won so far"
    )  # fmt: skip
    shares = [number(share, "percent") for share in (joint.weight, 1 - joint.weight)]
    weights = f"{shares[0]} open and new deals, {shares[1]} recent bookings"
    basis = (
        f"weights from {joint.n} past weeks"
        if joint.n
        else "weights are defaults, as there are no past weeks to learn from"
    )
    return f"{how}; joined: {weights} ({basis})"


WORDS = {
    "stage": "stages", "amount": "amounts", "expected_close_date": "expected close dates",
    "forecast_category": "forecast categories",
}  # fmt: skip


def _notes(own: facts.Facts, found: Foresight) -> tuple[str, ...]:
    """Say what the source cannot tell, and what is left out."""
    seen, notes = found.panel, []
    if seen.untold:
        told = ", ".join(WORDS[name] for name in seen.untold)
        notes.append(f"the source keeps no history of {told}: nothing is learnt from them")
    if seen.late:
        notes.append(f"filled in as deals close, so left out: {', '.join(seen.late)}")
    rest = len(own.open()) - len(seen.open())
    if rest > 0:
        notes.append(f"{rest:,} open deals without a day of creation count as not yet created")
    unpriced = own.unpriced(own.won())
    return (*notes, *([unpriced] if unpriced else []))
