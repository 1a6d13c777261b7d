"""Compiled search for territories in one piece: units at a border change sides where the rest stays connected."""

from __future__ import annotations

import numpy as np
from numba import njit

from salesops_lib.territory.chance import below, uniform

STEEP = 10.0


@njit(cache=True)
def _off(load, low, high):
    """Imbalance of a load, its square too: between two overloaded neighbours the larger must want to give."""
    over = load - high if load > high else max(low - load, 0.0)
    return over + STEEP * over * over


@njit(cache=True)
def _change(weight, load, low, high, i, a, b):
    total = 0.0
    for m in range(weight.shape[1]):
        step = weight[i, m]
        total += _off(load[a, m] - step, low[a, m], high[a, m]) - _off(load[a, m], low[a, m], high[a, m])
        total += _off(load[b, m] + step, low[b, m], high[b, m]) - _off(load[b, m], low[b, m], high[b, m])
    return total


@njit(cache=True)
def grow(cost, weight, high, first, neighbour, assign, load, count):
    """Let every territory grow from its seeds: the one that lacks most takes its cheapest free neighbour."""
    n, reps = cost.shape
    left = 0
    for i in range(n):
        left += assign[i] < 0
    stuck = np.zeros(reps, np.bool_)
    while left > 0:
        j, least = -1, np.inf
        for r in range(reps):
            if not stuck[r]:
                fill = 0.0
                for m in range(weight.shape[1]):
                    fill = max(fill, load[r, m] / max(high[r, m], 1e-12))
                if fill < least:
                    least, j = fill, r
        if j < 0:
            return left
        best, at = np.inf, -1
        for i in range(n):
            if assign[i] >= 0 or not np.isfinite(cost[i, j]):
                continue
            for x in range(first[i], first[i + 1]):
                if assign[neighbour[x]] == j:
                    if cost[i, j] < best:
                        best, at = np.float64(cost[i, j]), i
                    break
        if at < 0:
            stuck[j] = True
            continue
        assign[at] = j
        count[j] += 1
        left -= 1
        for m in range(weight.shape[1]):
            load[j, m] += weight[at, m]
    return 0


@njit(cache=True)
def stays_whole(first, neighbour, assign, i, size, seen, mark, queue):
    """Whether the territory of `i`, of `size` units, stays connected without it; `mark` must be new each time."""
    a, ends = assign[i], 0
    start = -1
    for x in range(first[i], first[i + 1]):
        if assign[neighbour[x]] == a and neighbour[x] != i:
            ends += 1
            start = neighbour[x]
    if ends == 0:
        return size == 1
    if ends == 1:
        return True
    seen[i], seen[start] = mark, mark
    queue[0] = start
    head, tail, found = 0, 1, 1
    while head < tail:
        u = queue[head]
        head += 1
        for x in range(first[u], first[u + 1]):
            v = neighbour[x]
            if assign[v] == a and seen[v] != mark:
                seen[v] = mark
                queue[tail] = v
                tail += 1
                found += 1
    return found == size - 1


@njit(cache=True)
def anneal(
    cost, weight, low, high, first, neighbour, free, assign, load, count, seen, rng, steps, hot, cold, rho, stiff
):
    """Move units over borders at falling temperature and rising price of imbalance; return that price."""
    queue = np.empty(assign.shape[0], np.int64)
    fall, rise, heat = (cold / hot) ** (1.0 / steps), stiff ** (1.0 / steps), hot
    mark = seen.max()
    for _ in range(steps):
        heat *= fall
        rho *= rise
        i = free[below(rng, free.shape[0])]
        degree = first[i + 1] - first[i]
        if degree == 0:
            continue
        b = assign[neighbour[first[i] + below(rng, degree)]]
        a = assign[i]
        if a == b or count[a] < 2:
            continue
        change = np.float64(cost[i, b]) - np.float64(cost[i, a])
        change += rho * _change(weight, load, low, high, i, a, b)
        if change > -heat * np.log(1.0 - uniform(rng)):
            continue
        mark += 1
        if not stays_whole(first, neighbour, assign, i, count[a], seen, mark, queue):
            continue
        assign[i] = b
        count[a] -= 1
        count[b] += 1
        for m in range(weight.shape[1]):
            load[a, m] -= weight[i, m]
            load[b, m] += weight[i, m]
    return rho
