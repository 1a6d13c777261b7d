"""Both ways to a forecast, from the deals and from recent bookings: as they stand on a day, and as they stood."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import InsufficientData
from salesops_lib.forecast import arrivals, hazard, rhythm, sizes
from salesops_lib.forecast.deals import WON, Panel
from salesops_lib.forecast.scenario import AS_IT_IS, Scenario
from salesops_lib.periods import FiscalCalendar

if TYPE_CHECKING:
    import pandas as pd

TRAILING = 91
BLOCK = 91  # past forecasts share the model of the last day that this divides
LOOK_BACK = 52  # weeks of past forecasts
PAST = ["day", "bottom_up", "variance", "top_down", "actual"]
# a top-down forecast: what is known, the day, and the window after one day up to another
TopDown = Callable[[Panel, rhythm.Rhythm, int, int, int], float]


@dataclass(frozen=True)
class Model:
    """What was learnt by a day."""

    day: int
    hazard: hazard.Hazard
    sizes: sizes.Sizes

    def open(self, rows: pd.DataFrame, chance: np.ndarray) -> tuple[float, float]:
        """Expected amount of open deals and its variance, deals apart from each other."""
        first, square = self.sizes.moments(rows)
        return float(np.nansum(chance * first)), float(np.nansum(chance * square - np.square(chance * first)))


def model(panel: Panel, calendar: FiscalCalendar, day: int, reach: int) -> Model:
    """Learn from what a panel knew by a day, once.

    Raises
    ------
    InsufficientData
        Where too few deals were won by then.
    """
    return _model(panel.whole, calendar, min(day, panel.day), reach)


@lru_cache(maxsize=200)
def _model(panel: Panel, calendar: FiscalCalendar, day: int, reach: int) -> Model:
    known = panel.until(day)
    return Model(day, hazard.learn(known, calendar, reach=reach), sizes.learn(known))


def reach_of(length: int) -> int:
    """Days ahead a model must reach for a window that ends so many days ahead."""
    return next((reach for reach in hazard.REACHES if length <= reach), hazard.REACHES[-1])


def trailing(known: Panel, won: rhythm.Rhythm, day: int, after: int, last: int) -> float:
    """Top-down: bookings of the last 91 days, carried on in the rhythm of the quarter and the season of the year.

    Empty where nothing was booked in them.
    """
    rows = known.entries[known.entries["outcome"].eq(WON)]
    if rows.empty:
        return float("nan")
    end = rows["end"].to_numpy()
    begun = max(int(end.min()) - 1, day - TRAILING)
    booked, weight = rows.loc[end > begun, "worth"].sum(), float(won.between(begun, day))
    if not booked > 0 or not weight > 0:
        return float("nan")
    return booked / weight * float(won.between(after, last)) * arrivals.season(end, won, day, after, last)


def past(
    panel: Panel, calendar: FiscalCalendar, after: int, last: int, *, top_down: TopDown = trailing
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the forecast of a window again for each of the past 52 weeks, with what was known then.

    Parameters
    ----------
    panel
        What is known today.
    after, last
        The window of today's forecast; past ones lie as far ahead of their day.

    Returns
    -------
    tuple
        Forecasts: `day`, `bottom_up`, `variance`, `top_down`, `actual`. And deals: `day`, `chance` (of being won
        in the window), `won`, `stage`, `is_due` (expected to close by its end); both only of windows that have
        ended.
    """
    import pandas as pd

    length, reach = last - panel.day, reach_of(last - panel.day)
    days = [panel.day - 7 * k for k in range(LOOK_BACK + length // 7, 0, -1)]
    there = set(panel.rows["day"].unique())
    days = [day for day in days if day + length <= panel.day and day in there]
    rows, deals = [], []
    for learnt_by, mine in groupby(days, key=lambda day: day // BLOCK * BLOCK):
        try:
            learnt = model(panel, calendar, learnt_by, reach)
        except InsufficientData:
            continue
        for opened in open_deals(panel, learnt, list(mine)):
            begin, end = after + opened.day - panel.day, last + opened.day - panel.day
            try:
                found, chance = forecast(panel, calendar, opened, begin, end, top_down)
            except InsufficientData:
                continue
            rows.append(found | {"actual": booked(panel, begin, end)})
            ended = opened.rows["end"].to_numpy()
            won = opened.rows["outcome"].eq(WON).to_numpy() & (ended > begin) & (ended <= end)
            due = (opened.rows["due"] <= pd.Timestamp(end, unit="D")).to_numpy()
            deals.append(pd.DataFrame({"day": opened.day, "chance": chance, "won": won,
                                       "stage": opened.rows["stage"].to_numpy(), "is_due": due}))  # fmt: skip
    none = pd.DataFrame(columns=["day", "chance", "won", "stage", "is_due"])
    return pd.DataFrame(rows, columns=PAST), pd.concat(deals, ignore_index=True) if deals else none


@dataclass(frozen=True, eq=False)
class Opened:
    """The deals open on a day, and their rates of winning and losing as learnt by then."""

    day: int
    learnt: Model
    rows: pd.DataFrame
    rates: tuple[np.ndarray, np.ndarray]

    def won_by(self, after: int, days: np.ndarray, what: Scenario = AS_IT_IS) -> np.ndarray:
        """Probability of each deal to be won after `after` and up to each of the ascending `days`."""
        asked = np.concatenate([[after], days]) if after > self.day else days
        by = self.learnt.hazard.won_by(self.rates, self.day, asked, cycle=what.cycle)
        by = np.minimum(by * what.win_rate, 1.0)
        return by[:, 1:] - by[:, :1] if after > self.day else by  # what is won before the window is no win in it


def open_deals(panel: Panel, learnt: Model, days: list[int]) -> Iterator[Opened]:
    """Take the deals open on each of some days, all at once."""
    rows = panel.rows[panel.rows["day"].isin(days)]
    rates = learnt.hazard.rates(rows)
    of = rows["day"].to_numpy()
    for day in days:
        here = np.flatnonzero(of == day)
        yield Opened(day, learnt, rows.iloc[here], (rates[0][here], rates[1][here]))


def forecast(
    panel: Panel, calendar: FiscalCalendar, opened: Opened, after: int, last: int, top_down: TopDown
) -> tuple[dict[str, float], np.ndarray]:
    """Forecast a window both ways; also the chance of each open deal in it."""
    day, then = opened.day, panel.entries_until(opened.day)
    won = rhythm.learn(calendar, then.entries.loc[then.entries["outcome"].eq(WON), "end"].to_numpy(), day)
    chance = opened.won_by(after, np.array([last]))[:, 0]
    mean, variance = opened.learnt.open(opened.rows, chance)
    new_mean, new_variance = arrivals.learn(then, calendar, won=won).moments(day, after, last)
    return {
        "day": day,
        "bottom_up": mean + new_mean,
        "variance": variance + new_variance,
        "top_down": top_down(then, won, day, after, last),
    }, chance


def booked(panel: Panel, after: int, last: int) -> float:
    """Sum what was won after one day and up to another."""
    rows = panel.entries
    return float(rows.loc[rows["outcome"].eq(WON) & (rows["end"] > after) & (rows["end"] <= last), "worth"].sum())
