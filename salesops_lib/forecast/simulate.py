"""Thousands of ways a window may go, deal by deal, with what all deals share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from salesops_lib.forecast.arrivals import Arrivals
from salesops_lib.forecast.blend import Blend
from salesops_lib.forecast.origins import Opened
from salesops_lib.forecast.scenario import AS_IT_IS, Scenario

DEALS_AT_ONCE = 400
DRAWS_AT_ONCE = 400  # so few that they stay in the processor's cache; more or fewer draw the same


@dataclass(frozen=True)
class Wins:
    """One entry a deal won in a draw.

    Attributes
    ----------
    deal
        Position of the open deal; of deals not yet created, of the past win that comes again.
    draw, week, amount
        In which draw and week of the window, and what it brings.
    """

    deal: np.ndarray
    draw: np.ndarray
    week: np.ndarray
    amount: np.ndarray

    def by_week(self, draws: int, weeks: int) -> np.ndarray:
        """Cumulative amounts by draw and week."""
        at = self.draw * weeks + self.week
        return np.cumsum(np.bincount(at, self.amount, draws * weeks).reshape(draws, weeks), axis=1)

    def by_part(self, part: np.ndarray, parts: int, draws: int) -> np.ndarray:
        """Sums by part and draw; `part` is that of each position of `deal`, -1 for none."""
        mine = part[self.deal]
        has = mine >= 0
        return np.bincount(mine[has] * draws + self.draw[has], self.amount[has], parts * draws).reshape(
            parts, draws
        )


@dataclass(frozen=True)
class Draws:
    """What the draws brought, from deals that are open and from those not yet created."""

    open: Wins
    new: Wins
    draws: int
    weeks: int

    def scaled(self, factor: float) -> Draws:
        """Multiply all amounts."""
        old, new = (replace(wins, amount=wins.amount * factor) for wins in (self.open, self.new))
        return replace(self, open=old, new=new)

    def paths(self) -> tuple[np.ndarray, np.ndarray]:
        """Cumulative amounts by draw and week end, open deals and new ones."""
        return self.open.by_week(self.draws, self.weeks), self.new.by_week(self.draws, self.weeks)


def simulate(
    opened: Opened, coming: Arrivals, blend: Blend, weeks: np.ndarray, *,
    after: int, draws: int, seed: int, what: Scenario = AS_IT_IS,
) -> Draws:  # fmt: skip
    """Draw which deals are won by each week end of a window, and what they bring.

    Parameters
    ----------
    opened, coming, blend
        The open deals; what was learnt of those to come, and of what they share.
    weeks
        Ascending day numbers; the last one ends the window.
    after
        Wins count after this day.
    draws, seed
        How many, and the seed: the same gives the same.
    what
        Factors on chances, time and amounts; those on new deals are in `coming` already.
    """
    # streams of their own: a scenario of new deals leaves the open ones as they were drawn
    common, won, size, new = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4))
    shared = np.exp(blend.spread * common.standard_normal(draws) - blend.spread**2 / 2)
    deal, draw, week = _won(won, opened.won_by(after, weeks, what), shared)
    amount = np.nan_to_num(opened.learnt.sizes.draw(size, opened.rows, deal))
    created = _created(new, coming, weeks, shared, opened.day, after)
    drawn = Draws(Wins(deal, draw, week, amount), created, draws, len(weeks))
    return drawn if what.deal_size == 1 else drawn.scaled(what.deal_size)


def _won(rng: np.random.Generator, by: np.ndarray, shared: np.ndarray) -> tuple:
    """Which deals are won in which draw and week: the first in which the intensity exceeds an exponential draw."""
    intensity, parts = -np.log1p(-np.minimum(by, 1 - 1e-9)), []
    for first in range(0, len(by), DEALS_AT_ONCE):
        block = np.ascontiguousarray(intensity[first : first + DEALS_AT_ONCE].T)
        for begin in range(0, len(shared), DRAWS_AT_ONCE):
            common = shared[begin : begin + DRAWS_AT_ONCE, None]
            needed = rng.standard_exponential((len(common), block.shape[1]), dtype=np.float32) / common
            at = np.flatnonzero(needed < block[-1])
            draw, deal = np.divmod(at, block.shape[1])
            took, week = needed.ravel()[at], np.zeros(len(at), dtype=np.int64)
            for enough in block[:-1]:
                week += took >= enough[deal]
            parts.append((first + deal, begin + draw, week))
    if not parts:
        return (np.empty(0, int),) * 3
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _created(
    rng: np.random.Generator, coming: Arrivals, weeks: np.ndarray, shared: np.ndarray, day: int, after: int
) -> Wins:
    """Which past wins come again, in which draw and week."""
    edges = np.concatenate([[after], weeks])
    often = np.column_stack([coming.expected(day, int(a), int(b)) for a, b in pairwise(edges)])
    whole = often.sum()
    counts = rng.poisson(whole * shared)
    draw = np.repeat(np.arange(len(shared)), counts)
    cell = _cells(np.cumsum(often.ravel()), rng.random(len(draw)) * whole)
    win, week = np.divmod(np.minimum(cell, max(often.size - 1, 0)), len(weeks))
    return Wins(win, draw, week, coming.worth[win] if len(draw) else np.empty(0))


def _cells(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Do ``np.searchsorted(edges, values, side="right")`` for very many values, from a table of where to start."""
    if not len(edges) or not edges[-1] > 0:
        return np.zeros(len(values), dtype=np.int64)
    steps, edges = 4 * len(edges), np.append(edges, np.inf)
    width = edges[-2] / steps
    starts = np.searchsorted(edges, width * np.arange(-1, steps + 1), side="right")  # one early, against rounding
    at = starts[(values / width).astype(np.int64)]
    for _ in range(2):
        at += edges[at] <= values
    left = np.flatnonzero(edges[at] <= values)
    at[left] = np.searchsorted(edges, values[left], side="right")
    return at
