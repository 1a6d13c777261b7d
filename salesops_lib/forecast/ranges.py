"""Ranges scaled by what past ones held: the same models at earlier origins of the same series.

The half ranges of all series are multiplied by one number a level: the factor that would have made the past ranges
hold their share, drawn halfway to 1 (and further where origins are few). Halfway, because an earlier origin knows
less than today's: on eight public sets the whole factor made ranges too wide (88 % held where 80 % were meant, on
tourism), half of it came nearest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from salesops_lib.forecast import combine, members, series
from salesops_lib.forecast.series import Ask, Panel

ORIGINS = 2  # before the last one, a horizon apart
FEW = 20  # series × origins that weigh as much as knowing nothing
LEAST = 5  # series × origins below which nothing is learnt
COSTLY = ("auto_arima", "stl_arima", "arima_nonseasonal", combine.POOLED)  # left out at past origins


@dataclass(frozen=True)
class Scale:
    """Factors of the half ranges, one a level, and from how many past forecasts (series × origins) they come."""

    factors: np.ndarray
    n: int

    def apply(self, panel: Panel, numbers: np.ndarray) -> np.ndarray:
        """Widen or narrow the ranges of series × step × (mean, low and high of each level)."""
        out, mean = numbers.copy(), numbers[..., :1]
        out[..., 1::2] = mean + (numbers[..., 1::2] - mean) * self.factors
        out[..., 2::2] = mean + (numbers[..., 2::2] - mean) * self.factors
        return combine.tidied(panel, out)

    def __str__(self) -> str:
        return f"ranges × {np.round(self.factors, 2).tolist()} from {self.n} past forecasts"


def calibrated(
    panel: Panel, name: str, numbers: np.ndarray, labels: list[str], ask: Ask, fit: combine.Fit = members.fit
) -> combine.Answer:
    """Scale the ranges of the series that carry the model; those with a stand-in keep theirs."""
    scale = learn(panel, name, ask, fit)
    able = [label == name for label in labels] if scale.n >= LEAST else [False] * len(labels)
    out = np.where(np.array(able)[:, None, None], scale.apply(panel, numbers), numbers)
    return out, [f"{label}, {scale}" if on else label for label, on in zip(labels, able, strict=True)]


def learn(panel: Panel, name: str, ask: Ask, fit: combine.Fit = members.fit) -> Scale:
    """Learn from past origins how much too narrow or wide the ranges of a model were."""
    ratios = [_ratios(panel, k * ask.horizon, name, ask, fit) for k in range(1, ORIGINS + 1)]
    found = np.concatenate([part for part in ratios if len(part)] or [np.empty((0, ask.horizon, len(ask.levels)))])
    n = len(found)
    if n < LEAST:
        return Scale(np.ones(len(ask.levels)), n)
    needed = [np.quantile(found[..., k], level / 100) for k, level in enumerate(ask.levels)]
    return Scale(np.clip(needed, 0.25, 4) ** (n / (n + FEW) / 2), n)


def _ratios(panel: Panel, back: int, name: str, ask: Ask, fit: combine.Fit) -> np.ndarray:
    """Divide past errors by the half range on their side: series × step × level."""
    able = [k for k, y in enumerate(panel.values) if _carries(y[: len(y) - back], panel)]
    if not able:
        return np.empty((0, ask.horizon, len(ask.levels)))
    own = panel.pick(able)
    came = np.array([y[len(y) - back :][: ask.horizon] for y in own.values])[..., None]
    numbers = _past(own.cut(back), name, ask, fit)
    mean, low, high = numbers[..., :1], numbers[..., 1::2], numbers[..., 2::2]
    error = came - mean
    side = np.where(error > 0, high - mean, mean - low)
    return np.abs(error) / np.maximum(side, 1e-12 * np.abs(came).max())


def _past(known: Panel, name: str, ask: Ask, fit: combine.Fit) -> np.ndarray:
    pool = combine.pool_of(name, known.season)
    if pool is None:
        return combine.forecast(known, [name], ask, fit)[name][0]
    pool = replace(pool, names=tuple(part for part in pool.names if part not in COSTLY))
    names = list(dict.fromkeys([members.SAFE, *pool.names]))
    parts = dict(zip(names, fit(known, names, ask).swapaxes(0, 1), strict=True))
    return combine.tidied(known, combine.combined(pool, parts, ask, known))


def _carries(y: np.ndarray, panel: Panel) -> bool:
    return len(y) > 0 and series.thin(y, panel.season, panel.unit) is None
