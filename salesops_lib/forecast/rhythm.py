"""When things happen: how much of a week falls on each weekday, and of a fiscal quarter on each of its weeks.

Deals are won in the last days of a quarter and hardly on a Sunday. A forecast that counts days of such weight, not
days, needs no correction for holidays, for the end of a quarter, or for a window that cuts a week.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from salesops_lib.periods import FiscalCalendar

WEEKS = 13  # of a quarter, counted back from its end; the first one takes what is left
PHASES = np.array([2, 4, 9])  # weeks before the end of a quarter: its last two, the rest of its months
N_PHASES = len(PHASES) + 1
PRIOR = 20.0  # events by which the weight of a week is drawn towards 1
PRIOR_DAY = 1.0
AHEAD = 800  # days beyond the last known one
ROUNDS = 12
EPOCH = date(1970, 1, 1)


def phase(week: np.ndarray) -> np.ndarray:
    """Phase of the quarter, from its end: its last two weeks, the two before, the rest of its months."""
    return np.searchsorted(PHASES, week, side="right")


@dataclass(frozen=True)
class Rhythm:
    """The weight of each day; on average 1.

    Attributes
    ----------
    first
        Number of the first day.
    density, week
        Weight of each day from it on, and its week of the quarter, counted back from the end (0 the last one).
    by_week, by_weekday
        Weights of the weeks of a quarter, the last one first, and of the days from Monday on.
    """

    first: int
    density: np.ndarray
    week: np.ndarray
    by_week: np.ndarray
    by_weekday: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "_sums", np.concatenate([[0.0], np.cumsum(self.density)]))

    def between(self, after: np.ndarray | int, last: np.ndarray | int) -> np.ndarray:
        """Sum the weights of the days after `after` up to `last`."""
        begin, end = (np.clip(np.asarray(day) - self.first + 1, 0, len(self.density)) for day in (after, last))
        return self._sums[end] - self._sums[begin]

    def between_in(self, phases: np.ndarray, after: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Sum the weights of those days after `after` up to `last` that lie in the phase named for each."""
        begin, end = (np.clip(day - self.first + 1, 0, len(self.density)) for day in (after, last))
        return self._sums_in[phases, end] - self._sums_in[phases, begin]

    @cached_property
    def _sums_in(self) -> np.ndarray:
        days = self.density * (phase(self.week) == np.arange(N_PHASES)[:, None])
        return np.pad(np.cumsum(days, axis=1), ((0, 0), (1, 0)))

    def at(self, days: np.ndarray) -> np.ndarray:
        """Weight of each day."""
        return self.density[self._place(days)]

    def week_at(self, days: np.ndarray) -> np.ndarray:
        """Week of the quarter of each day, counted back from its end."""
        return self.week[self._place(days)]

    def _place(self, days: np.ndarray) -> np.ndarray:
        return np.clip(np.asarray(days) - self.first, 0, len(self.density) - 1)


def learn(calendar: FiscalCalendar, events: np.ndarray, until: int) -> Rhythm:
    """Learn the rhythm of events from their day numbers up to a day.

    Counts are explained as rate of the quarter × weight of its week × weight of the weekday, fitted in turn
    (Deming and Stephan 1940), so that a quarter of which only the start is known misleads nobody. Weights of weeks
    with few events are drawn towards 1.

    Parameters
    ----------
    calendar
        Fiscal quarters, holidays.
    events
        Day numbers, in any order; later ones than `until` are not looked at.
    until
        Last day known.
    """
    events = events[events <= until]
    first = int(events.min()) if len(events) else until - 91
    week, quarter, weekday = _calendar(calendar, first, until + AHEAD)
    n = np.bincount(events - first, minlength=len(week)).astype(float)[: until - first + 1]
    seen = slice(0, len(n))
    by_week, by_weekday = np.ones(WEEKS), np.ones(7)
    for _ in range(ROUNDS):
        weight = by_week[week[seen]] * by_weekday[weekday[seen]]
        rate = np.bincount(quarter[seen], n) / np.maximum(np.bincount(quarter[seen], weight), 1e-9)
        expected = rate[quarter[seen]]
        by_week = _weights(week[seen], n, expected * by_weekday[weekday[seen]], WEEKS, PRIOR)
        by_weekday = _weights(weekday[seen], n, expected * by_week[week[seen]], 7, PRIOR_DAY)
    return Rhythm(first, by_week[week] * by_weekday[weekday], week, by_week, by_weekday)


def _weights(group: np.ndarray, n: np.ndarray, expected: np.ndarray, groups: int, prior: float) -> np.ndarray:
    found = (np.bincount(group, n, groups) + prior) / (np.bincount(group, expected, groups) + prior)
    return found / found.mean()


def _calendar(calendar: FiscalCalendar, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Week back from the end of its quarter, running quarter, and weekday of each day; holidays are Sundays."""
    begin, count = EPOCH + timedelta(days=first), last - first + 1
    numbers = np.arange(first, last + 1)
    week, quarter, weekday = np.zeros(count, int), np.zeros(count, int), (numbers + 3) % 7
    at, number, day = 0, 0, begin
    while at < count:
        end = calendar.period("quarter", day).end
        stop = min((end - begin).days, count)
        left = (end - begin).days - np.arange(at, stop)
        week[at:stop], quarter[at:stop] = np.minimum((left - 1) // 7, WEEKS - 1), number
        at, number, day = stop, number + 1, end
    if calendar.holiday_country is not None:
        free = [not calendar.is_working_day(begin + timedelta(days=k)) for k in range(count)]
        weekday = np.where(np.array(free) & (weekday < 5), 6, weekday)
    return week, quarter, weekday
