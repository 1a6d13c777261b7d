"""Estimates with their doubt: thin wrappers around SciPy and statsmodels that every domain shares.

Each function returns an `Estimate`; too little data gives status ``too few`` and says how much is needed, a zero
denominator gives ``not defined``. Neither ever becomes a 0 or a 100 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

LEVEL = 0.95
RESAMPLES = 999
CELLS = 2_000_000  # resampled at a time
SEED = 20260101
OK, TOO_FEW, NOT_DEFINED, NO_DATA = "ok", "too few", "not defined", "no data"
NONE = float("nan")


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, the number of cases behind it, and a status.

    Attributes
    ----------
    value, low, high
        Empty (NaN) unless the status is ``ok``; the bounds also where a sum has no range.
    n
        Cases the number rests on.
    status
        ``ok``, ``too few``, ``not defined`` or ``no data``.
    note
        One clause for people: what was left out, or how much more data is needed.
    """

    value: float
    low: float
    high: float
    n: int
    status: str = OK
    note: str = ""

    @classmethod
    def none(cls, status: str, n: int, note: str) -> Estimate:
        """Say that there is no number, and why."""
        return cls(NONE, NONE, NONE, int(n), status, note)

    @classmethod
    def untold(cls, words: str) -> Estimate:
        """Say that the source never tells of something: it is unknown, not zero."""
        return cls.none(NO_DATA, 0, f"the source tells of no {words}")

    @property
    def is_noise(self) -> bool:
        """Whether the interval holds zero: for a difference, that chance alone may explain it."""
        return bool(self.low <= 0 <= self.high)  # without bounds nothing was tested, so nothing is called noise

    def scaled(self, factor: float) -> Estimate:
        """Multiply the number and its interval by a positive constant."""
        return replace(self, value=self.value * factor, low=self.low * factor, high=self.high * factor)

    def noted(self, *notes: str) -> Estimate:
        """Add clauses to the note; empty ones are skipped."""
        return replace(self, note="; ".join(note for note in (self.note, *notes) if note))


def proportion(k: int, n: int, *, level: float = LEVEL, exact: bool = False) -> Estimate:
    """Share `k` of `n` with the Wilson score interval (Wilson 1927; Brown, Cai and DasGupta 2001).

    `exact` takes that of Clopper and Pearson (1934), which never covers less than it says, however few there are.
    """
    from statsmodels.stats.proportion import proportion_confint

    if n == 0:
        return Estimate.none(NOT_DEFINED, 0, "no cases")
    low, high = proportion_confint(int(k), int(n), alpha=1 - level, method="beta" if exact else "wilson")
    return Estimate(k / n, float(low), float(high), int(n))


def count(n: int, *, level: float = LEVEL) -> Estimate:
    """Count with the exact Poisson interval (Garwood 1936).

    The count itself is certain; the interval says how far chance alone moves a period of the same pace.
    """
    from scipy.special import gammaincinv

    tail = (1 - level) / 2
    low = gammaincinv(n, tail) if n else 0.0
    return Estimate(float(n), float(low), float(gammaincinv(n + 1, 1 - tail)), int(n))


def total(amounts: pd.Series, *, level: float = LEVEL) -> Estimate:
    """Sum of amounts with the gamma interval of a weighted sum of Poisson counts (Fay and Feuer 1997).

    The sum is certain; the interval says how far chance alone moves a period of the same pace, with deals of such
    number and size. Where there is no amount above zero there is no range.
    """
    from scipy.special import gammaincinv

    values = to_float(amounts)
    value, square = float(exact_sum(amounts)), float(np.square(values).sum())
    if value <= 0 or (values < 0).any():
        return Estimate(value, NONE, NONE, len(values), note="" if len(values) else "no deals, so no range")
    tail, largest = (1 - level) / 2, float(values.max())
    low = gammaincinv(value**2 / square, tail) * square / value
    more, wider = value + largest, square + largest**2
    high = gammaincinv(more**2 / wider, 1 - tail) * wider / more
    return Estimate(value, float(low), float(high), len(values))


def mean(amounts: pd.Series, *, level: float = LEVEL, least: int = 5) -> Estimate:
    """Mean with the percentile bootstrap interval (Efron and Tibshirani 1993, ch. 13)."""
    values = to_float(amounts)
    if len(values) < least:
        return _too_few(len(values), least)
    low, high = _bootstrap((values,), np.mean, level)
    return Estimate(float(values.mean()), low, high, len(values))


def median(values: pd.Series, *, level: float = LEVEL, least: int = 6) -> Estimate:
    """Median with the exact distribution-free interval of order statistics (Conover 1999, ch. 3.2)."""
    values = np.sort(to_float(values))
    if len(values) < least:
        return _too_few(len(values), least)
    k = _outer_rank(len(values), level)
    low, high = (values[k], values[-1 - k]) if k >= 0 else (NONE, NONE)
    return Estimate(float(np.median(values)), float(low), float(high), len(values))


@lru_cache(maxsize=4096)
def _outer_rank(n: int, level: float) -> int:
    """Position, from either end, of the order statistics that hold a median; -1 where `n` is too small."""
    from scipy.stats import binom

    return int(binom.ppf((1 - level) / 2, n, 0.5)) - 1


def ratio_of_sums(part: pd.Series, whole: pd.Series, *, level: float = LEVEL, least: int = 5) -> Estimate:
    """``Σ part ÷ Σ whole``, never a mean of ratios, with a percentile bootstrap interval over cases.

    Efron and Tibshirani (1993), ch. 13.
    """
    part, whole = to_float(part), to_float(whole)
    if whole.sum() == 0:
        return Estimate.none(NOT_DEFINED, len(whole), "the denominator is zero")
    value = float(part.sum() / whole.sum())
    if len(whole) < least:
        return _too_few(len(whole), least)
    low, high = _bootstrap((part, whole), lambda p, w, axis=-1: p.sum(axis) / w.sum(axis), level)
    if not np.isfinite([low, high]).all():
        return Estimate.none(TOO_FEW, len(whole), "a single case makes up nearly all of the denominator")
    return Estimate(value, low, high, len(whole))


def incidence(
    days: pd.Series, outcome: pd.Series, horizon: float, *, level: float = LEVEL, least: int = 30
) -> Estimate:
    """Share with outcome 1 within `horizon` days; 2 competes, 0 is still open (Aalen and Johansen 1978).

    Parameters
    ----------
    days
        Time to the outcome, or to the as-of instant where still open.
    outcome
        0 open (censored), 1 the event, 2 a competing event.
    """
    from scipy.stats import norm
    from statsmodels.duration.survfunc import CumIncidenceRight

    days, outcome = to_float(days), np.asarray(outcome, dtype=int)
    reached = int((days >= horizon).sum()) + int(((outcome > 0) & (days < horizon)).sum())
    if reached < least:
        return _too_few(reached, least, f"cases followed for {horizon:.0f} days or closed before")
    if not (outcome == 1).any():
        return Estimate(0.0, 0.0, proportion(0, len(days), level=level).high, len(days))
    with np.errstate(divide="ignore", invalid="ignore"):  # statsmodels, where nobody is left at risk
        curve = CumIncidenceRight(np.maximum(days, 1e-6), outcome)
    at = np.searchsorted(curve.times, horizon, side="right") - 1
    if at < 0:
        return Estimate(0.0, 0.0, proportion(0, len(days), level=level).high, len(days))
    value, error = float(curve.cinc[0][at]), float(curve.cinc_se[0][at])
    z = norm.ppf((1 + level) / 2)
    low, high = max(value - z * error, 0.0), min(value + z * error, 1.0)
    return Estimate(value, float(low), float(high), len(days))


def within(
    event: pd.Series, rival: pd.Series, seen: pd.Series, horizon: float, *, level: float = LEVEL, least: int = 30
) -> Estimate:
    """`incidence` from days: the share whose `event` came within `horizon`.

    Where there is none, a day in `rival` says that it cannot come any more; the others are open on the day `seen`.
    """
    event, rival, seen = (np.maximum(np.asarray(days, dtype=float), 0) for days in (event, rival, seen))
    came, barred = ~np.isnan(event), ~np.isnan(rival)
    days, outcome = np.select([came, barred], [event, rival], seen), np.select([came, barred], [1, 2], 0)
    return incidence(days, outcome, horizon, level=level, least=least)


def survival_median(days: pd.Series, closed: pd.Series, *, level: float = LEVEL, least: int = 10) -> Estimate:
    """Median time to closing, open cases censored: `survival_quantile` at one half."""
    return survival_quantile(days, closed, 0.5, level=level, least=least)


def survival_quantile(
    times: pd.Series, ended: pd.Series, q: float, *, level: float = LEVEL, least: int = 10, of: str = "closed"
) -> Estimate:
    """Time by which a share `q` of the cases has ended, the others censored.

    Kaplan and Meier (1958); interval of Brookmeyer and Crowley (1982). `of` is the word for a case that has ended.
    """
    from statsmodels.duration.survfunc import SurvfuncRight

    times, ended = to_float(times), np.asarray(ended, dtype=int)
    if ended.sum() < least:
        return _too_few(int(ended.sum()), least, f"{of} cases")
    with np.errstate(divide="ignore", invalid="ignore"):
        curve = SurvfuncRight(np.maximum(times, 1e-6), ended)
        value = curve.quantile(q)
        if not np.isfinite(value):
            return Estimate.none(TOO_FEW, len(times), f"{q:.0%} of the cases {of} is not reached yet")
        low, high = curve.quantile_ci(q, alpha=1 - level)
    if np.isnan(low):  # ties: the curve falls through the whole band in one step
        low = high = value
    return Estimate(float(value), float(low), float(high), len(times))


def difference(after: Estimate, before: Estimate) -> Estimate:
    """Difference of two independent estimates, its interval recovered from theirs (Zou and Donner 2008).

    For two Wilson intervals this is Newcombe's method 10. Without two numbers there is no difference.
    """
    n = min(after.n, before.n)
    if not after.status == before.status == OK:
        missing = after if after.status != OK else before
        return Estimate.none(missing.status, n, missing.note)
    value = after.value - before.value
    low = value - np.hypot(after.value - after.low, before.high - before.value)
    high = value + np.hypot(after.high - after.value, before.value - before.low)
    return Estimate(value, float(low), float(high), n)


def ratio(after: Estimate, before: Estimate) -> Estimate:
    """Ratio of two independent estimates above zero, its interval recovered from theirs on the log scale.

    Zou and Donner (2008). Where either is without two numbers or `before` is not above zero there is no ratio.
    """
    n = min(after.n, before.n)
    if not after.status == before.status == OK:
        missing = after if after.status != OK else before
        return Estimate.none(missing.status, n, missing.note)
    if before.value <= 0:
        return Estimate.none(NOT_DEFINED, n, "the denominator is not above zero")
    value = after.value / before.value
    if min(after.value, after.low, before.low) > 0:
        down = np.hypot(np.log(after.value / after.low), np.log(before.high / before.value))
        up = np.hypot(np.log(after.high / after.value), np.log(before.value / before.low))
        return Estimate(value, float(value * np.exp(-down)), float(value * np.exp(up)), n)
    return Estimate(value, NONE, NONE, n)


def rank_correlation(x: pd.Series, y: pd.Series, *, level: float = LEVEL, least: int = 10) -> Estimate:
    """Spearman's rank correlation with Fisher's z interval, its error after Bonett and Wright (2000).

    Cases paired by position; where all of either are alike there is none.
    """
    from scipy.stats import norm, rankdata

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < least:
        return _too_few(len(x), least)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return Estimate.none(NOT_DEFINED, len(x), "all cases are alike")
    value = float(np.clip(np.corrcoef(rankdata(x), rankdata(y))[0, 1], -1, 1))
    reach = norm.ppf((1 + level) / 2) * np.sqrt((1 + value**2 / 2) / (len(x) - 3))
    with np.errstate(divide="ignore"):  # a perfect order has no error on this scale
        centre = np.arctanh(value)
    return Estimate(value, float(np.tanh(centre - reach)), float(np.tanh(centre + reach)), len(x))


def to_float(values: pd.Series | np.ndarray) -> np.ndarray:
    """Take the numbers out of a column of any dtype, money included, without its empty cells."""
    if not hasattr(values, "dropna"):
        return np.asarray(values, dtype=float)
    if getattr(values.dtype, "kind", "") != "f" and hasattr(values.array, "__arrow_array__"):
        import pyarrow as pa

        return pa.array(values.array).drop_null().cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(values.dropna(), dtype=float)


def exact_sum(amounts: pd.Series):
    """Sum a money column to the cent as a `Decimal`; 0 for an empty one."""
    from decimal import Decimal

    return Decimal(str(amounts.sum() if len(amounts) else 0))


def _too_few(n: int, least: int, of: str = "cases") -> Estimate:
    return Estimate.none(TOO_FEW, n, f"needs {least} {of}, has {n}")


def _bootstrap(samples: tuple[np.ndarray, ...], statistic: Callable, level: float) -> tuple[float, float]:
    """Resample cases, those of several samples together; a constant sample has no spread to resample."""
    if all(np.ptp(sample) == 0 for sample in samples):
        point = float(statistic(*samples))
        return point, point
    n, rng = len(samples[0]), np.random.default_rng(SEED)
    found = np.empty(RESAMPLES)
    step = max(1, CELLS // n)
    with np.errstate(divide="ignore", invalid="ignore"):
        for first in range(0, RESAMPLES, step):
            picked = rng.integers(0, n, (min(step, RESAMPLES - first), n), dtype=np.int32)
            found[first : first + step] = statistic(*(sample[picked] for sample in samples), axis=-1)
        low, high = np.percentile(found, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
