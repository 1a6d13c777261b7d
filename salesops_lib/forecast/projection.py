"""The bookings of a period: what is booked, what open deals will bring, what deals not yet created will bring."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts, stats
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.forecast import blend, calibrate, origins, summary
from salesops_lib.forecast.deals import Panel, day_number, panel
from salesops_lib.forecast.foresight import Foresight, Ground, foresee, prepare
from salesops_lib.forecast.scenario import AS_IT_IS, FACTORS, Scenario
from salesops_lib.language import dated, say
from salesops_lib.periods import KINDS, FiscalCalendar, Period
from salesops_lib.present import number

if TYPE_CHECKING:
    import pandas as pd

DRAWS, MOST_DRAWS = 10_000, 200_000


@dataclass(frozen=True)
class Outcome:
    """What a period will book, in few numbers.

    Attributes
    ----------
    scenario
        The factors on what is to come.
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
    totals
        The draws of the period's bookings.
    """

    scenario: Scenario
    quota: float
    booked: Decimal
    from_open: float
    from_new: float
    quantiles: pd.Series
    p_quota: float
    totals: np.ndarray

    @property
    def expected(self) -> float:
        """Mean of the period's bookings: booked, from open deals, from deals not yet created."""
        return float(self.booked) + self.from_open + self.from_new


@dataclass(frozen=True)
class Projection(Outcome):
    """What a period will book, with its range and all it hangs on; the numbers of `Outcome`, and these.

    Attributes
    ----------
    headline
        One sentence.
    period, day, currency
        The period, the last day seen, the currency of every amount.
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
    teams
        One row a team: `team`, `quota` (0 where there is none), `booked`, `expected`, `low`, `mid`, `high` (80 %),
        `p_quota`; from the same draws, deals not yet created going to the teams of the past wins they repeat.
    calibration
        Past chances beside what came: `low`, `high` (of the class), `n`, `predicted`, `won`, `won_low`,
        `won_high`.
    slope
        Slope of what came on past chances, in logits; 1 is right.
    coverage
        Share of past weeks whose 80 % range held, each made with what was known then.
    error
        Median distance of those forecasts from what came in their window, as a share of it.
    past
        The past forecasts: see `origins.past`.
    blend
        Weight of both ways, level, shared spread, stretch.
    method, notes
        What was used and what the source cannot tell, in words.
    """

    headline: str
    period: Period
    day: date
    currency: str
    deals: pd.DataFrame
    parts: pd.DataFrame
    weeks: pd.DataFrame
    teams: pd.DataFrame
    calibration: pd.DataFrame
    slope: stats.Estimate
    coverage: stats.Estimate
    error: stats.Estimate
    past: pd.DataFrame
    blend: blend.Blend
    method: str
    notes: tuple[str, ...]

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to foresee."""
        return self.day >= self.period.last_day

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
            label = say("the {n} weeks from {day}", n=weeks, day=dated(first, "y-MM-dd"))
            return Period(first, first + timedelta(weeks=weeks), f"{weeks} weeks", label)
    raise ParameterError(
        f"{unknown('period', str(period), KINDS)}; or 'next quarter', or 'next 4 weeks' (1 to 52)."
    )


def project_period(
    book: Book,
    *,
    period: Period | str = "quarter",
    scenario: Scenario = AS_IT_IS,
    draws: int = DRAWS,
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
    scenario
        Factors on what is to come; what is booked stays, and so do the forecasts of the past.
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
    own, ground = _start(book, period, draws=draws, seed=seed, top_down=top_down, known=known)
    return _project(own, foresee(ground, scenario), scenario) if ground else _finished(own, scenario)


def outcome(
    book: Book, *, period: Period | str = "quarter", scenario: Scenario = AS_IT_IS, **options: object
) -> Outcome:
    """Say of a scenario what `project_period` does, in few numbers: at once where the period was projected before.

    Takes and raises what `project_period` does.
    """
    own, ground = _start(book, period, **options)
    return _outcome(own, foresee(ground, scenario) if ground else None, scenario)


def _start(
    book: Book, period: Period | str, *, draws: int = DRAWS, seed: int = 0,
    top_down: origins.TopDown = origins.trailing, known: Panel | None = None,
) -> tuple[facts.Facts, Ground | None]:  # fmt: skip
    """Take the deals of a period, and the ground of its forecast: none where the period is over."""
    span = window(book, period)
    if not 100 <= draws <= MOST_DRAWS:
        raise ParameterError(f"draws is {draws}; give 100 to {MOST_DRAWS:,}.")
    if facts.deals(book).empty:
        what = say("Projection as of {day}", day=dated(book.day, "y-MM-dd"))
        raise InsufficientData(what, needed=1, got=0, of=say("deals known by then"))
    own = facts.Facts(book, span, facts.deals(book))
    if book.day >= span.last_day:
        return own, None
    seen = known or panel(book)
    after, last = max(day_number(span.start) - 1, seen.day), day_number(span.last_day)
    return own, _ground(seen, book.calendar, after, last, draws, seed, top_down)


@lru_cache(maxsize=2)  # scenarios of a period share it
def _ground(
    seen: Panel, calendar: FiscalCalendar, after: int, last: int, draws: int, seed: int, top_down: origins.TopDown
) -> Ground:
    return prepare(seen, calendar, after, last, draws=draws, seed=seed, top_down=top_down)


def compare_scenarios(book: Book, scenarios: dict[str, Scenario], **options) -> pd.DataFrame:
    """Put scenarios of a period beside the projection as it is, all with the same draws of chance.

    Parameters
    ----------
    book
        The company at the as-of instant.
    scenarios
        By name.
    options
        As in `project_period`.

    Returns
    -------
    DataFrame
        `scenario` (``as it is`` first), its factors, `from_open`, `from_new`, `expected`, `change` (of expected on
        the first row), `low`, `mid`, `high` (80 %), `p_quota`; currency units.
    """
    import pandas as pd

    rows = []
    for name, what in {str(AS_IT_IS): AS_IT_IS, **scenarios}.items():
        found = outcome(book, scenario=what, **options)
        rows.append({
            "scenario": name, **{factor: getattr(what, factor) for factor in (*FACTORS, "hires")},
            "from_open": found.from_open, "from_new": found.from_new, "expected": found.expected,
            **dict(zip(("low", "mid", "high"), found.quantiles[[0.1, 0.5, 0.9]], strict=True)),
            "p_quota": found.p_quota,
        })  # fmt: skip
    out = pd.DataFrame(rows)
    out.insert(out.columns.get_loc("expected") + 1, "change", out["expected"] - out["expected"].iloc[0])
    return out


def compare_probabilities(
    book: Book, *, period: Period | str = "quarter", known: Panel | None = None
) -> pd.DataFrame:
    """Score the chances of past weeks, and those the CRM sets by stage, against what was won in their windows.

    The CRM's chance of a win in a window is the probability of the deal's stage where it was expected to close by
    the end of the window, overdue deals among them, else 0. Each window lies as far ahead of its day as the period
    does of today.

    Parameters
    ----------
    book, period, known
        As in `project_period`.

    Returns
    -------
    DataFrame
        One row a `way` (forecast, crm, share won: the same chance for all): `n` (deals and weeks), `predicted`
        (mean chance), `won` (share), `brier`, `log_loss` (chances kept within 0.001 and 0.999), `worse_by` (Brier
        score less the forecast's), `low`, `high` (95 %, counting windows that do not overlap).

    Raises
    ------
    InsufficientData
        Where the source tells no stages of the past or no probabilities, or the period is over.
    """
    span = window(book, period)
    if book.day >= span.last_day:
        raise InsufficientData(say("Chances in {period}", period=span), needed=1, got=0, of=say("days left"))
    seen = known or panel(book)
    after, last = max(day_number(span.start) - 1, seen.day), day_number(span.last_day)
    _, chances = origins.past(seen, book.calendar, after, last)
    stages = book.stages.drop_duplicates("stage_id", keep="last").set_index("stage_id")["probability_default"]
    return calibrate.compare(chances, stages.dropna().to_dict(), last - seen.day)


def _outcome(own: facts.Facts, found: Foresight | None, scenario: Scenario) -> Outcome:
    """Add what is booked to what is to come; nothing is where the period is over."""
    booked, quota = stats.exact_sum(own.won()["priced"]), facts.whole_quota(own)
    totals, parts = np.full(1, float(booked)), (np.zeros((1, 1)), np.zeros((1, 1)))
    if found:
        totals, parts = float(booked) + found.rest[:, -1], found.drawn.paths()
    return Outcome(
        scenario=scenario,
        quota=quota,
        booked=booked,
        from_open=float(parts[0][:, -1].mean()),
        from_new=float(parts[1][:, -1].mean()),
        quantiles=summary.quantiles(totals),
        p_quota=float((totals >= quota).mean()) if quota > 0 else stats.NONE,
        totals=totals,
    )


def _project(own: facts.Facts, found: Foresight, scenario: Scenario) -> Projection:
    first, ground = _outcome(own, found, scenario), found.ground
    booked, totals = float(first.booked), first.totals
    told = calibrate.retold(ground.past, ground.length)
    return Projection(
        **vars(first),
        headline=summary.headline(own, first.quantiles, first.quota, first.p_quota, scenario),
        period=own.period,
        day=own.book.day,
        currency=own.book.currency,
        deals=summary.deals(own, found, totals, first.quota, scenario),
        parts=summary.parts(booked, *found.drawn.paths(), totals),
        weeks=summary.weeks(own, ground.ends, booked + found.rest),
        teams=summary.teams(own, found),
        calibration=calibrate.classes(ground.chances),
        slope=calibrate.slope(ground.chances),
        coverage=calibrate.coverage(told, ground.length),
        error=calibrate.error(told),
        past=ground.past,
        blend=ground.blend,
        method=summary.method(found),
        notes=summary.notes(own, found),
    )


def _finished(own: facts.Facts, scenario: Scenario) -> Projection:
    """A period that is over: what is booked is all there is."""
    import pandas as pd

    first, nothing = _outcome(own, None, scenario), np.zeros((1, 1))
    totals = first.totals
    untold = stats.Estimate.none(stats.NOT_DEFINED, 0, say("the period is over"))
    return Projection(
        **vars(first),
        headline=say(
            "{period} is over: {amount} {currency} booked.",
            period=own.period, amount=number(totals[0], "money"), currency=own.book.currency,
        ),
        period=own.period, day=own.book.day, currency=own.book.currency,
        deals=pd.DataFrame(columns=summary.DEALS), parts=summary.parts(totals[0], nothing, nothing, totals),
        weeks=summary.weeks(own, np.empty(0, int), None), teams=summary.teams(own, None),
        calibration=calibrate.classes(pd.DataFrame({"chance": [], "won": []})), slope=untold,
        coverage=untold, error=untold, past=pd.DataFrame(columns=origins.PAST), blend=blend.Blend(),
        method=say("the period is over"), notes=(),
    )  # fmt: skip
