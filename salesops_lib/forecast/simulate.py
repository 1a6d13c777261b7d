"""Thousands of ways a window may go, deal by deal, with what all deals share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from salesops_lib.forecast.arrivals import Arrivals
from salesops_lib.forecast.blend import Blend
from salesops_lib.forecast.origins import Model

DEALS_AT_ONCE = 400


@dataclass(frozen=True)
class Draws:
    """What the draws brought.

    Attributes
    ----------
    open, new
        Cumulative amounts by draw and week end, from deals that are open and from those not yet created.
    deal, draw, amount
        One entry a deal won in a draw: position of the deal, draw, amount.
    """

    open: np.ndarray
    new: np.ndarray
    deal: np.ndarray
    draw: np.ndarray
    amount: np.ndarray

    def scaled(self, factor: float) -> Draws:
        """Multiply all amounts."""
        return Draws(self.open * factor, self.new * factor, self.deal, self.draw, self.amount * factor)


def simulate(learnt: Model, coming: Arrivals, blend: Blend, rows, weeks: np.ndarray, *, day: int, after: int,
             draws: int, seed: int) -> Draws:  # fmt: skip
    """Draw which deals are won by each week end of a window, and what they bring.

    Parameters
    ----------
    learnt, coming, blend
        What was learnt of open deals, of those to come, and of what they share.
    rows
        The open deals.
    weeks
        Ascending day numbers; the last one ends the window.
    day, after
        The as-of day; wins count after `after`.
    draws, seed
        How many, and the seed: the same gives the same.
    """
    rng = np.random.default_rng(seed)
    shared = np.exp(blend.spread * rng.standard_normal(draws) - blend.spread**2 / 2)
    deal, draw, week = _won(rng, learnt, rows, weeks, shared, day, after)
    amount = np.nan_to_num(learnt.sizes.draw(rng, rows, deal))
    new_draw, new_week, new_amount = _created(rng, coming, weeks, shared, day, after)
    return Draws(
        _cumulate(draw, week, amount, draws, len(weeks)),
        _cumulate(new_draw, new_week, new_amount, draws, len(weeks)),
        deal, draw, amount,
    )  # fmt: skip


def _won(rng, learnt: Model, rows, weeks, shared, day: int, after: int) -> tuple:
    """Which deals are won in which draw and week: the first in which the intensity exceeds an exponential draw."""
    days = np.concatenate([[after], weeks]) if after > day else weeks
    by = learnt.hazard.won_by(learnt.hazard.rates(rows), day, days)
    if after > day:  # what is won before the window is no win in it
        by = by[:, 1:] - by[:, :1]
    intensity = -np.log1p(-np.minimum(by, 1 - 1e-9))
    parts = []
    for first in range(0, len(rows), DEALS_AT_ONCE):
        block = intensity[first : first + DEALS_AT_ONCE]
        needed = rng.standard_exponential((len(shared), len(block)), dtype=np.float32) / shared[:, None]
        draw, deal = np.nonzero(needed < block[:, -1])
        week = (needed[draw, deal][:, None] >= block[deal]).sum(axis=1)
        parts.append((first + deal, draw, week))
    if not parts:
        return (np.empty(0, int),) * 3
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _created(rng, coming: Arrivals, weeks, shared, day: int, after: int) -> tuple:
    """Which past wins come again, in which draw and week."""
    edges = np.concatenate([[after], weeks])
    often = np.column_stack([coming.expected(day, int(a), int(b)) for a, b in pairwise(edges)])
    whole = often.sum()
    counts = rng.poisson(whole * shared)
    draw = np.repeat(np.arange(len(shared)), counts)
    cell = np.searchsorted(np.cumsum(often.ravel()), rng.random(len(draw)) * whole, side="right")
    win, week = np.divmod(np.minimum(cell, often.size - 1), len(weeks))
    return draw, week, coming.worth[win] if len(draw) else np.empty(0)


def _cumulate(draw, week, amount, draws: int, weeks: int) -> np.ndarray:
    sums = np.bincount(draw * weeks + week, amount, draws * weeks).reshape(draws, weeks)
    return np.cumsum(sums, axis=1)
