"""One window foreseen from what a day knew: both ways joined, drawn, and widened by what past weeks taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.forecast import arrivals, blend, origins
from salesops_lib.forecast.deals import Panel, day_number
from salesops_lib.forecast.rhythm import EPOCH
from salesops_lib.forecast.scenario import AS_IT_IS, Scenario, share_of_a_hire
from salesops_lib.forecast.simulate import Draws, simulate
from salesops_lib.periods import FiscalCalendar

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Ground:
    """What a forecast of one window rests on, whatever is assumed of what is still to come.

    Attributes
    ----------
    panel
        What was known.
    learnt, coming, blend
        What was learnt of open deals, of deals to come, and of past forecasts.
    now
        `bottom_up`, `variance` and `top_down` of today.
    past, chances
        See `origins.past`.
    opened, chance
        The open deals, and the probability of each to be won in the window.
    ends
        Day numbers of the week ends in the window, the last of them its own end.
    length
        Days from the as-of day to the window's end.
    after, draws, seed
        As asked.
    drawn
        The draws as things are, before they are scaled.
    factor
        From the draws to the joint forecast.
    """

    panel: Panel
    learnt: origins.Model
    coming: arrivals.Arrivals
    blend: blend.Blend
    now: dict[str, float]
    past: pd.DataFrame
    chances: pd.DataFrame
    opened: origins.Opened
    chance: np.ndarray
    ends: np.ndarray
    length: int
    after: int
    draws: int
    seed: int
    drawn: Draws
    factor: float


@dataclass(frozen=True, eq=False)
class Foresight:
    """What a window will bring.

    Attributes
    ----------
    ground
        What it rests on.
    coming, chance
        Deals to come, and the probability of each open deal to be won in the window, under the scenario.
    drawn
        The draws, scaled to the joint forecast.
    rest
        Cumulative bookings of the window by draw and week end, widened.
    """

    ground: Ground
    coming: arrivals.Arrivals
    chance: np.ndarray
    drawn: Draws
    rest: np.ndarray

    @property
    def rows(self) -> pd.DataFrame:
        """The open deals."""
        return self.ground.opened.rows

    def by_part(self, deals: Mapping[str, str], parts: Sequence[str]) -> np.ndarray:
        """Bookings of the window by part of the company and draw, widened as `rest` is.

        Parameters
        ----------
        deals
            Part of each deal, by id; deals not yet created go where the past wins went that come again in them.
        parts
            The parts, in the order of the rows.
        """
        import pandas as pd

        drawn, order = self.drawn, pd.Index(list(parts))
        open_, new = (order.get_indexer(pd.Series(ids, dtype=object).map(deals))
                      for ids in (self.rows["opportunity_id"].to_numpy(), self.coming.deal))  # fmt: skip
        sums = drawn.open.by_part(open_, len(order), drawn.draws) + drawn.new.by_part(new, len(order), drawn.draws)
        return stretched(sums.T, self.ground.blend.stretch).T


def prepare(
    seen: Panel, calendar: FiscalCalendar, after: int, last: int, *, draws: int, seed: int,
    top_down: origins.TopDown = origins.trailing,
) -> Ground:  # fmt: skip
    """Learn all that the bookings after one day up to another depend on, and draw them as things are.

    Parameters
    ----------
    seen
        What is known; its day is the as-of one.
    after, last
        Day numbers of the window, neither before the as-of day.
    draws, seed
        Size of the simulation, and its seed.
    top_down
        The forecast from recent bookings.

    Raises
    ------
    InsufficientData
        Where too few deals were won or created by then.
    """
    day, length = seen.day, last - seen.day
    learnt = origins.model(seen, calendar, day, origins.reach_of(length))
    past, chances = origins.past(seen, calendar, after, last, top_down=top_down)
    (opened,) = origins.open_deals(seen, learnt, [day])
    now, chance = origins.forecast(seen, calendar, opened, after, last, top_down)
    joint = blend.learn(past, length)
    coming = arrivals.learn(seen, calendar, won=learnt.hazard.rhythms[0])
    ends = _ends(calendar, after, last)
    drawn = simulate(opened, coming, joint, ends, after=after, draws=draws, seed=seed)
    raw = sum(each.amount.sum() for each in (drawn.open, drawn.new)) / draws
    factor = joint.join(now["bottom_up"], now["top_down"]) / raw if raw > 0 else 1.0
    return Ground(
        seen, learnt, coming, joint, now, past, chances, opened, chance, ends, length, after, draws, seed, drawn,
        factor,
    )  # fmt: skip


def foresee(ground: Ground, what: Scenario = AS_IT_IS) -> Foresight:
    """Foresee a window under a scenario.

    Recent bookings know nothing of a scenario: the joint forecast moves by as much as the one from deals does, its
    factor on that one being that of the forecast as it is.
    """
    coming, chance, drawn, last = ground.coming, ground.chance, ground.drawn, ground.panel.day + ground.length
    if what != AS_IT_IS:
        coming = coming.under(what, share_of_a_hire(ground.panel) if what.hires else 0.0)
        chance = ground.opened.won_by(ground.after, np.array([last]), what)[:, 0]
        given = {"after": ground.after, "draws": ground.draws, "seed": ground.seed}
        drawn = simulate(ground.opened, coming, ground.blend, ground.ends, **given, what=what)
    drawn = drawn.scaled(ground.factor)
    rest = stretched(sum(drawn.paths()), ground.blend.stretch)
    return Foresight(ground, coming, chance, drawn, rest)


def _ends(calendar: FiscalCalendar, after: int, last: int) -> np.ndarray:
    """Number the last days of the weeks of a window."""
    first, final = EPOCH + timedelta(days=int(after) + 1), EPOCH + timedelta(days=int(last))
    weeks = calendar.between("week", first, final)
    return np.array([day_number(min(week.last_day, final)) for week in weeks])


def stretched(amounts: np.ndarray, factor: float) -> np.ndarray:
    """Widen the spread about the mean; bookings are not negative."""
    mean = amounts.mean(axis=0)
    return np.maximum(mean + factor * (amounts - mean), 0)
