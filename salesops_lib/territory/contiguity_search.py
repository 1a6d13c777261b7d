"""Compiled search for territories in one piece: units at a border change sides where the rest stays connected."""

from __future__ import annotations

import numpy as np
from numba import njit

from salesops_lib.territory.chance import below, uniform

STEEP = 10.0
ANEW = 0.05  # share of the steps that cut two territories anew


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
def _tree(first, neighbour, assign, a, b, start, size, order, parent, state, rng):
    """Draw a spanning tree of two touching territories, all alike likely (Wilson 1996); roots come first.

    `state` is −1 outside the tree and in it the place in `order`.
    """
    order[0], parent[0], state[start] = start, -1, 0
    count = 1
    step, path = np.empty(assign.shape[0], np.int64), np.empty(size, np.int64)
    queue = np.empty(size, np.int64)
    queue[0] = start
    tail, seen = 1, np.zeros(assign.shape[0], np.bool_)
    seen[start] = True
    for head in range(size):
        u = queue[head]
        for x in range(first[u], first[u + 1]):
            v = neighbour[x]
            if not seen[v] and (assign[v] == a or assign[v] == b):
                seen[v] = True
                queue[tail] = v
                tail += 1
    for x in range(size):
        u = queue[x]
        while state[u] < 0:  # walk at random; where a loop closes the later step overwrites the earlier
            v = neighbour[first[u] + below(rng, first[u + 1] - first[u])]
            if not seen[v]:
                continue
            step[u] = v
            u = v
        u, length = queue[x], 0
        while state[u] < 0:
            path[length] = u
            length += 1
            u = step[u]
        for y in range(length - 1, -1, -1):
            u = path[y]
            order[count], parent[count], state[u] = u, state[step[u]], count
            count += 1


@njit(cache=True)
def recombine(cost, weight, low, high, first, neighbour, assign, load, count, reach, rng, heat, rho):
    """Join two touching territories, and cut them apart again where it is cheapest along a random spanning tree.

    The step of DeFord, Duchin and Solomon (2021), with the best of all cuts instead of any balanced one. Units are
    drawn by weight (`reach` sums it up): few large ones at a border need as many trials as many small ones.
    """
    n, measures = weight.shape
    i = min(np.searchsorted(reach, uniform(rng) * reach[-1], side="right"), n - 1)
    degree = first[i + 1] - first[i]
    if degree == 0:
        return
    a, b = assign[i], assign[neighbour[first[i] + below(rng, degree)]]
    if a == b:
        return
    size = count[a] + count[b]
    order, parent, state = np.empty(size, np.int64), np.empty(size, np.int64), np.full(n, -1)
    _tree(first, neighbour, assign, a, b, i, size, order, parent, state, rng)
    to_a, to_b, sums = np.empty(size), np.empty(size), np.empty((size, measures))
    for x in range(size):
        to_a[x], to_b[x] = cost[order[x], a], cost[order[x], b]
        sums[x] = weight[order[x]]
    for x in range(size - 1, 0, -1):
        to_a[parent[x]] += to_a[x]
        to_b[parent[x]] += to_b[x]
        sums[parent[x]] += sums[x]
    now = 0.0
    for x in range(size):
        now += cost[order[x], assign[order[x]]]
    for m in range(measures):
        now += rho * (_off(load[a, m], low[a, m], high[a, m]) + _off(load[b, m], low[b, m], high[b, m]))
    best, cut, to = np.inf, 0, a
    for x in range(1, size):
        for turn in range(2):
            one, other = (a, b) if turn == 0 else (b, a)
            value = to_a[x] + to_b[0] - to_b[x] if turn == 0 else to_b[x] + to_a[0] - to_a[x]
            if value > best:
                continue
            for m in range(measures):
                value += rho * _off(sums[x, m], low[one, m], high[one, m])
                value += rho * _off(sums[0, m] - sums[x, m], low[other, m], high[other, m])
            if value < best:
                best, cut, to = value, x, one
    if best - now > -heat * np.log(1.0 - uniform(rng)):
        return
    inside, count[a], count[b], other = np.zeros(size, np.bool_), 0, 0, a + b - to
    for m in range(measures):
        load[to, m], load[other, m] = sums[cut, m], sums[0, m] - sums[cut, m]
    for x in range(size):
        inside[x] = x == cut or (x > cut and inside[parent[x]])
        assign[order[x]] = to if inside[x] else other
        count[assign[order[x]]] += 1


@njit(cache=True)
def anneal(
    cost, weight, low, high, first, neighbour, free, assign, load, count, seen, rng, steps, hot, cold, rho, stiff
):
    """Move units over borders, and now and then cut two territories anew, at falling temperature.

    `cost` is finite, very large where a pair may not be. The price of imbalance rises; it is returned.
    """
    queue = np.empty(assign.shape[0], np.int64)
    fall, rise, heat = (cold / hot) ** (1.0 / steps), stiff ** (1.0 / steps), hot
    mark, drawn = seen.max(), np.zeros(weight.shape[0])
    drawn[free] = weight[free, 0]
    reach = np.cumsum(drawn)
    for _ in range(steps):
        heat *= fall
        rho *= rise
        if uniform(rng) < ANEW:
            recombine(cost, weight, low, high, first, neighbour, assign, load, count, reach, rng, heat, rho)
            continue
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
