"""A bound nearer to the best plan: the largest accounts are given to one rep after the other.

Prices of balance may split an account among reps, which is far from any plan where it fills most of a rep. So the
plans are divided by who gets the largest account, then the next, always where the bound is least (best-first
branch and bound; Land and Doig 1960). The least bound of all parts is one for every plan.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.territory import prices

if TYPE_CHECKING:
    from salesops_lib.territory.solve import Task

PAIRS, MOST = 1_000_000, 60  # pairs of account and rep priced in all, and parts, at most
NEAR = 1e-3  # gap from which on it is worth the time


def branched(
    task: Task, price: np.ndarray, bound: float, cost: float, most: int = MOST
) -> tuple[float, np.ndarray, np.ndarray]:
    """Raise a bound.

    Parameters
    ----------
    task
        With the costs of held units infinite elsewhere.
    price, bound
        From `prices.balance_prices`.
    most
        Parts looked at, at most.
    cost
        Of the best plan known, infinite where there is none; parts that cannot beat it are left aside.

    Returns
    -------
    bound, costs, price
        The bound; and of the part with the least one, where a good plan is likely, the costs (infinite where the
        part has no plan) and the prices.
    """
    largest = np.argsort(-task.weight.max(axis=1), kind="stable")
    parts, order, worst = min(most, PAIRS // task.cost.size), 0, bound
    heap, best = [(bound, order, bound, (), price)], ((), price)
    while heap and parts > 0 and cost - worst > NEAR * abs(worst):
        _, _, own, given, at = heapq.heappop(heap)
        if len(given) == len(largest):
            break
        i, part = largest[len(given)], _given(task.cost, largest, given)
        value = part[i] + task.weight[i] @ at.T
        for j in np.flatnonzero(own + value - value.min() < cost):
            child = _given(part, [i], (j,))
            found, proof = prices.balance_prices(child, task.weight, task.low, task.high, start=at)
            parts, order = parts - 1, order + 1
            if max(proof, worst) < cost:
                heapq.heappush(heap, (max(proof, worst), order, proof, (*given, j), found))
        worst = heap[0][0] if heap else cost
        best = heap[0][3:] if heap else best
    return max(worst, bound), _given(task.cost, largest, best[0]), best[1]


def _given(cost: np.ndarray, units, reps: tuple[int, ...]) -> np.ndarray:
    """Leave each of some units one rep."""
    cost = cost.copy()
    for i, j in zip(units, reps, strict=False):
        kept = cost[i, j]
        cost[i] = np.inf
        cost[i, j] = kept
    return cost
