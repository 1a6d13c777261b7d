"""Deals that do not exist yet: how many will be created, and which past wins could happen again among them.

Each past win, so many days after its creation, may come again for every deal that is still to be created; the
expected number of its kind in a window follows from the rate of creation. Sizes need no distribution of their own.
How soon a deal is won depends on when in the quarter it is created, as far as past deals tell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from salesops_lib.errors import InsufficientData
from salesops_lib.forecast import rhythm
from salesops_lib.forecast.deals import WON, Panel
from salesops_lib.forecast.scenario import Scenario, ramped_days
from salesops_lib.language import say
from salesops_lib.periods import FiscalCalendar

TRAILING = 91  # days that set the rate
LOOK_BACK = 455  # days of creation learnt from
YEAR = 364  # whole weeks
PRIOR = 40.0  # events by which a season is drawn towards 1
PRIOR_PHASE = 40.0  # deals of a phase of the quarter by which it is drawn towards all of them
LEAST = 20  # deals created


@dataclass(frozen=True)
class Arrivals:
    """What is created, and what becomes of it.

    Attributes
    ----------
    deal, age, worth
        Of each past win: its id, days from creation, won amount.
    chance
        Its share of the deals that were created so long ago or longer.
    phase, chance_in, trust
        Of the quarter it was created in; its share of those of them that were created in that phase; how much
        of the phase's own share to take, 0 to 1.
    rate
        Deals created a day of average weight, in the season of the quarter of a year ahead.
    created, won
        Rhythms of creation and of winning.
    n
        Deals created in the time looked back on.
    hired
        Share of `rate` that hires add once they are past their first six months.
    """

    deal: np.ndarray
    age: np.ndarray
    worth: np.ndarray
    chance: np.ndarray
    phase: np.ndarray
    chance_in: np.ndarray
    trust: np.ndarray
    rate: float
    created: rhythm.Rhythm
    won: rhythm.Rhythm
    n: int
    hired: float = 0.0

    def under(self, what: Scenario, hired: float) -> Arrivals:
        """Return what a scenario makes of it; `hired` is a hire's share of the deals created."""
        most = 1 / max(float(self.chance.sum()), 1e-9)  # all deals are won
        more = min(what.win_rate, max(most, 1.0))
        return replace(
            self,
            age=np.rint(self.age * what.cycle).astype(int),
            chance=self.chance * more,
            chance_in=self.chance_in * more,
            rate=self.rate * what.new_pipeline,
            hired=what.hires * hired,
        )

    def expected(self, day: int, after: int, last: int) -> np.ndarray:
        """How often each past win is to come again: created after `day`, won after `after` and up to `last`."""
        end = np.maximum(last - self.age, day)
        begin = np.minimum(np.maximum(after - self.age, day), end)
        days = np.maximum(end - begin, 1)
        density = self.won.between(begin + self.age, end + self.age) / days
        reps = 1 + self.hired * (ramped_days(end - day) - ramped_days(begin - day)) / days
        anew = (1 - self.trust) * self.chance * self.created.between(begin, end)
        anew += self.trust * self.chance_in * self.created.between_in(self.phase, begin, end)
        return self.rate * reps * anew * density

    def moments(self, day: int, after: int, last: int) -> tuple[float, float]:
        """Expected amount and its variance."""
        often = self.expected(day, after, last)
        return float(often @ self.worth), float(often @ np.square(self.worth))


def learn(known: Panel, calendar: FiscalCalendar, *, won: rhythm.Rhythm) -> Arrivals:
    """Learn from the deals created up to the panel's day.

    Raises
    ------
    InsufficientData
        Where fewer than 20 deals were created in the time looked back on.
    """
    day, entries = known.day, known.entries
    rows = entries[entries["entered"] > day - LOOK_BACK]
    if len(rows) < LEAST:
        what, of = say("Deals not yet created"), say("deals created before")
        raise InsufficientData(what, needed=LEAST, got=len(rows), of=of)
    entered = rows["entered"].to_numpy()
    wins = rows[rows["outcome"].eq(WON)]
    age = (wins["end"] - wins["entered"]).to_numpy()
    old_enough = np.searchsorted(np.sort(entered), day - age, side="right")
    created = rhythm.learn(calendar, entries["entered"].to_numpy(), day)
    phases, phase = (rhythm.phase(created.week_at(days)) for days in (entered, wins["entered"].to_numpy()))
    alike = np.zeros(len(wins), int)
    for k in range(rhythm.N_PHASES):
        mine = phase == k
        alike[mine] = np.searchsorted(np.sort(entered[phases == k]), day - age[mine], side="right")
    begun = max(int(entries["entered"].min()) - 1, day - TRAILING)
    n = int((entered > begun).sum())
    rate = n / max(float(created.between(begun, day)), 1e-9)
    rate *= season(entries["entered"].to_numpy(), created, day, day, day + TRAILING)
    deal, worth = wins["opportunity_id"].to_numpy(), wins["worth"].to_numpy()
    trust = alike / (alike + PRIOR_PHASE)
    return Arrivals(deal, age, worth, 1 / old_enough, phase, 1 / alike, trust, rate, created, won, len(rows))


def season(events: np.ndarray, weights: rhythm.Rhythm, day: int, after: int, last: int) -> float:
    """Say what a window was in past years to the quarter of a year before its as-of day, drawn towards 1.

    1 where the events do not reach back a year and a quarter.
    """
    events, n, expected = np.sort(events), 0.0, 0.0
    count = lambda a, b: float(np.searchsorted(events, b, "right") - np.searchsorted(events, a, "right"))  # noqa: E731
    for years in (1, 2, 3):
        then, back = day - TRAILING, years * YEAR
        if not len(events) or events[0] > then - back:
            break
        rate = count(then - back, day - back) / max(float(weights.between(then - back, day - back)), 1e-9)
        n += count(after - back, last - back)
        expected += rate * float(weights.between(after - back, last - back))
    return (n + PRIOR) / (expected + PRIOR)
