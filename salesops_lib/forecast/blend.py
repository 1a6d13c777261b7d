"""What past forecasts teach of today's: how much to trust deals and how much the recent past, and how wide to be.

At each past week the same forecast is made with what was known then, by both ways: bottom-up from the open deals
and those to be created, top-down from recent bookings. Their errors set the weight of each (Bates and Granger
1969), the part of the spread that all deals share, and the factor by which ranges were too narrow (split
conformal). As few forecasts teach little, each is drawn towards a plain default: equal weights, a spread of a
tenth, no stretching.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

PRIOR = 4.0  # past windows of their own length that the defaults are worth
PRIOR_BIAS = 8.0
SPREAD = 0.10
Z80 = 1.2815515655446004  # half an 80 % range, in standard deviations


@dataclass(frozen=True)
class Blend:
    """How to join the two ways.

    Attributes
    ----------
    weight
        Of the bottom-up way, 0 to 1.
    level
        Factor on the joint forecast: what came, on average, for each unit foreseen.
    spread
        Standard deviation of the factor that all deals share.
    stretch
        Factor on the width of ranges.
    n, n_apart
        Past forecasts, and how many windows that do not overlap they span.
    """

    weight: float = 0.5
    level: float = 1.0
    spread: float = SPREAD
    stretch: float = 1.0
    n: int = 0
    n_apart: float = 0.0

    def join(self, bottom_up: float, top_down: float) -> float:
        """Join two forecasts of one window; where there is but one, take it."""
        if np.isnan(top_down) or np.isnan(bottom_up):
            return bottom_up if np.isnan(top_down) else top_down
        return self.level * (self.weight * bottom_up + (1 - self.weight) * top_down)

    def deviation(self, row, middle: float) -> float:
        """Standard deviation of a joint forecast, before it is stretched."""
        deals = np.sqrt(row.variance) * middle / row.bottom_up if row.bottom_up > 0 else 0.0
        return float(np.hypot(deals, self.spread * middle))


def learn(past: pd.DataFrame, length: int, surprised: np.ndarray | None = None) -> Blend:
    """Learn from past forecasts of windows of one length.

    Parameters
    ----------
    past
        One row a past forecast: `day`, `bottom_up`, `variance` (of the bottom-up way, deals apart from each
        other), `top_down`, `actual`.
    length
        Days of a window.
    surprised
        `surprises` of these rows, where they are known.
    """
    found = _without_stretch(past, length)
    if not found.n:
        return found
    told = surprises(past, length) if surprised is None else surprised
    ratio = np.nanquantile(told, 0.8) / Z80
    stretch = float(np.exp(found.n_apart / (found.n_apart + PRIOR) * np.log(max(ratio, 0.2))))
    return replace(found, stretch=stretch)


def surprises(past: pd.DataFrame, length: int) -> np.ndarray:
    """Say how many standard deviations each past forecast was off, joined as what was known in its week had it.

    A blend judged by the forecasts it was fitted to looks surer than it is (prequential principle, Dawid 1984).
    """
    days = past["day"].to_numpy()
    out = np.full(len(past), np.nan)
    for k, row in enumerate(past.itertuples()):
        then = _without_stretch(past[days + length <= row.day], length)
        middle = then.join(row.bottom_up, row.top_down)
        if middle > 0:
            out[k] = abs(row.actual - middle) / then.deviation(row, middle)
    return out


def _without_stretch(past: pd.DataFrame, length: int) -> Blend:
    past = past[(past["bottom_up"] > 0) & (past["top_down"] > 0)]
    if past.empty:
        return Blend()
    apart = 1 + (past["day"].max() - past["day"].min()) / max(length, 1)
    apart = float(min(apart, len(past)))
    up, down, actual, variance = (
        past[c].to_numpy(dtype=float) for c in ("bottom_up", "top_down", "actual", "variance")
    )
    middle = (up + down) / 2
    weight = _weight((actual - up) / middle, (actual - down) / middle, apart)
    joint = weight * up + (1 - weight) * down
    level = float(np.exp(apart / (apart + PRIOR_BIAS) * np.log(max(actual.sum(), 1e-9) / joint.sum())))
    joint = joint * level
    variance = variance * np.square(joint / up)
    own = max((np.square(actual - joint) - variance).sum(), 0) / np.square(joint).sum()
    spread = float(np.sqrt((apart * own + PRIOR * SPREAD**2) / (apart + PRIOR)))
    return Blend(weight, level, spread, 1.0, len(past), apart)


def _weight(up: np.ndarray, down: np.ndarray, apart: float) -> float:
    """Weight of least squared error, its moments drawn towards equal and unrelated errors."""
    usual = (np.square(up).mean() + np.square(down).mean()) / 2
    own, other, both = (np.mean(a * b) for a, b in ((up, up), (down, down), (up, down)))
    own, other, both = (
        (apart * m + PRIOR * p) / (apart + PRIOR) for m, p in ((own, usual), (other, usual), (both, 0))
    )
    return float(np.clip((other - both) / max(own + other - 2 * both, 1e-12), 0, 1))
