"""Curves over time with open cases in them: cumulative incidence of competing outcomes, time until something ends.

Everything works on counts (time, outcome, how many), so a million deals cost what their different times cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from salesops_lib import stats
from salesops_lib.language import say
from salesops_lib.stats import LEVEL, TOO_FEW, Estimate

OPEN, EVENT, RIVAL = 0, 1, 2
LEAST = 30  # cases followed to the age asked, or ended before it
LEAST_ENDED = 10


@dataclass(frozen=True)
class Curve:
    """What became of cases by age.

    Attributes
    ----------
    time
        Ages at which anything was seen, ascending.
    ended
        Cases that ended at each age: a row for the event, a row for its rival.
    left
        Cases still open when they were last seen, at each age.
    """

    time: np.ndarray
    ended: np.ndarray
    left: np.ndarray

    @classmethod
    def of(cls, time: np.ndarray, outcome: np.ndarray, n: np.ndarray | None = None) -> Curve:
        """Count cases by age and outcome: 0 still open then, 1 the event, 2 its rival."""
        outcome = np.asarray(outcome, dtype=int)
        n = np.ones(len(outcome)) if n is None else np.asarray(n, dtype=float)
        at, place = np.unique(np.asarray(time, dtype=float), return_inverse=True)
        counts = np.bincount(3 * place + outcome, n, 3 * len(at)).reshape(-1, 3).T
        return cls(at, counts[1:], counts[0])

    @property
    def n(self) -> int:
        """Cases there were."""
        return round(self.ended.sum() + self.left.sum())

    @cached_property
    def at_risk(self) -> np.ndarray:
        """Cases neither ended nor out of sight before each age."""
        return np.cumsum((self.ended.sum(axis=0) + self.left)[::-1])[::-1]

    @cached_property
    def survival(self) -> np.ndarray:
        """Share not ended by each age (Kaplan and Meier 1958)."""
        return np.cumprod(1 - self.ended.sum(axis=0) / self.at_risk)

    @cached_property
    def incidence(self) -> np.ndarray:
        """Share ended by each age, by outcome (Aalen and Johansen 1978); with `survival` they add up to one."""
        before = np.r_[1.0, self.survival[:-1]]
        return np.cumsum(before * self.ended / self.at_risk, axis=1)

    @cached_property
    def error(self) -> np.ndarray:
        """Standard error of `incidence` (delta method; Marubini and Valsecchi 1995, ch. 10)."""
        n, d, share = self.at_risk, self.ended, self.incidence
        every, before = d.sum(axis=0), np.r_[1.0, self.survival[:-1]] / self.at_risk
        with np.errstate(divide="ignore", invalid="ignore"):
            pull = np.where(n > every, every / (n * (n - every)), 0.0)
        var = share**2 * np.cumsum(pull) - 2 * share * np.cumsum(share * pull, axis=1)
        var += np.cumsum(share**2 * pull, axis=1) + np.cumsum(before**2 * (n - d) * d / n, axis=1)
        var += 2 * np.cumsum(share * before * d / n, axis=1) - 2 * share * np.cumsum(before * d / n, axis=1)
        return np.sqrt(np.maximum(var, 0))

    def _place(self, age: float) -> int:
        return int(np.searchsorted(self.time, age, side="right")) - 1

    def risk_at(self, age: float) -> int:
        """Cases still followed at an age."""
        at = int(np.searchsorted(self.time, age, side="left"))
        return round(self.at_risk[at]) if at < len(self.time) else 0

    def ended_by(self, age: float, cause: int = EVENT) -> int:
        """Cases seen to end in this way by an age."""
        return round(self.ended[cause - 1, : self._place(age) + 1].sum())

    def share_by(self, age: float, *, cause: int = EVENT, level: float = LEVEL, least: int = LEAST) -> Estimate:
        """Share that ended in this way by an age, open cases followed as far as they are known.

        The interval is that of ``log(−log)`` (Kalbfleisch and Prentice 2002, ch. 8), which stays between 0 and 1.
        """
        from scipy.stats import norm

        known = self.risk_at(age) + self.ended_by(age, EVENT) + self.ended_by(age, RIVAL)
        if known < least:
            return Estimate.none(
                TOO_FEW, known,
                say("needs {least} cases followed for {age} days or ended, has {n}", least=least, age=f"{age:g}",
                    n=known),
            )  # fmt: skip
        at = self._place(age)
        value, error = (float(x[cause - 1, at]) if at >= 0 else 0.0 for x in (self.incidence, self.error))
        if value <= 0 or value >= 1:
            whole = stats.proportion(known if value >= 1 else 0, known, level=level)
            return Estimate(value, whole.low, whole.high, self.n)
        scale = np.log(-np.log(value))
        reach = norm.ppf((1 + level) / 2) * error / abs(value * np.log(value))
        low, high = np.exp(-np.exp([scale + reach, scale - reach]))
        return Estimate(value, float(low), float(high), self.n)

    def quantile(self, q: float, *, level: float = LEVEL, least: int = LEAST_ENDED) -> Estimate:
        """Age by which a share `q` has ended in any way; none where the curve does not fall so far while enough
        cases are followed, and an empty upper bound where its upper limit does not.

        Interval of Brookmeyer and Crowley (1982) on the ``log(−log)`` scale.
        """
        from scipy.stats import norm

        every = self.ended.sum(axis=0)
        if every.sum() < least:
            return Estimate.none(
                TOO_FEW, round(every.sum()),
                say("needs {least} cases that ended, has {n}", least=least, n=f"{every.sum():.0f}"),
            )  # fmt: skip
        reached = np.flatnonzero(self.survival <= 1 - q + 1e-12)
        if not len(reached) or self.at_risk[reached[0]] < min(least, (1 - q) * self.n / 2):
            return Estimate.none(TOO_FEW, self.n, say("{share} is not reached yet", share=f"{q:.0%}"))
        with np.errstate(divide="ignore", invalid="ignore"):
            green = np.cumsum(every / (self.at_risk * (self.at_risk - every)))
            logs = np.log(self.survival)
            off = (np.log(-logs) - np.log(-np.log(1 - q))) / (np.sqrt(green) / np.abs(logs))
        inside = np.flatnonzero(np.abs(off) <= norm.ppf((1 + level) / 2))
        value = float(self.time[reached[0]])
        if not len(inside):
            return Estimate(value, value, value, self.n)
        last = inside[-1] + 1
        high = float(self.time[last]) if last < len(self.time) else np.nan
        return Estimate(value, min(float(self.time[inside[0]]), value), float(np.maximum(high, value)), self.n)
