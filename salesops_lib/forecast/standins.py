"""What is done for series that carry no model (too short, one value only, many zeros), and said in the label."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from salesops_lib.forecast.members import is_seasonal
from salesops_lib.language import say

RECENT = 3  # seasons whose values are the range of a sparse series
SMOOTHING = 0.1
TAILS = 8  # degrees of freedom of Student's t that past errors of combinations are nearest to


def naive(y: np.ndarray, why: str, horizon: int, levels: Sequence[float]) -> tuple[np.ndarray, str]:
    """Go on with the last value.

    The range is that of a random walk; less than three values tell nothing of it, so their own size is taken, and
    one value repeated n times may yet move by a share 1/(n + 1) of itself.
    """
    n, size = len(y), np.abs(y).mean()
    moves = np.diff(y)
    sigma = size if n < 3 else max(np.sqrt((moves**2).mean()), size / (n + 1))
    half = sigma * np.sqrt(np.arange(1, horizon + 1))
    return ranged(np.full(horizon, y[-1]), half[:, None] * z_values(levels)), f"{say('naive')} ({why})"


def sparse(y: np.ndarray, season: int, why: str, horizon: int, levels: Sequence[float]) -> tuple[np.ndarray, str]:
    """Forecast a series with many zeros: the mean by season where there is one, else the method of TSB.

    Teunter, Syntetos and Babai (2011). The range is that of the last three seasons' values.
    """
    from statsforecast.models import TSB

    n = len(y)
    recent = y[-max(RECENT * season, 24) :]
    places = (n + np.arange(horizon)) % season
    if season > 1 and n >= 3 * season and is_seasonal(y, season):
        start = (n - len(recent)) % season
        own = (start + np.arange(len(recent))) % season
        means = np.array([recent[own == place].mean() for place in range(season)])
        mean, around, name = means[places], recent - means[own], say("seasonal mean")
        bounds = [mean[:, None] + _tails(around, level) for level in levels]
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            level_now = TSB(alpha_d=SMOOTHING, alpha_p=SMOOTHING).forecast(y=y, h=1)["mean"][0]
        mean, name = np.full(horizon, float(level_now)), "tsb"
        bounds = [np.tile(_tails(recent, level), (horizon, 1)) for level in levels]
    return np.column_stack([mean, *bounds]), f"{name} ({why})"


def ranged(mean: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Put bounds around means: (…, step) and (…, step, level) make (…, step, mean, low and high of each level)."""
    centre = mean[..., None]
    sides = np.stack([centre - half, centre + half], axis=-1)
    return np.concatenate([centre, sides.reshape(*mean.shape, -1)], axis=-1)


def z_values(levels: Sequence[float]) -> np.ndarray:
    """Return how many standard deviations hold each level of a normal distribution."""
    from scipy.stats import norm

    return norm.ppf(0.5 + np.asarray(levels, float) / 200)


def tails(levels: Sequence[float]) -> np.ndarray:
    """Return by what half ranges of normal errors are multiplied for longer tails; 1 at 95 %."""
    from scipy.stats import t

    def drawn(percent: np.ndarray) -> np.ndarray:
        return t.ppf(0.5 + percent / 200, TAILS) / z_values(percent)

    return drawn(np.asarray(levels, float)) / drawn(np.array([95.0]))


def _tails(values: np.ndarray, level: float) -> np.ndarray:
    return np.percentile(values, [50 - level / 2, 50 + level / 2])
