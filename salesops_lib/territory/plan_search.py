"""Compiled search for plans within the tolerance: simulated annealing along near-tight arcs, then descent.

Kirkpatrick, Gelatt and Vecchi (1983). A load outside its limits costs `rho` a unit, so that a chain of moves may
pass through plans that are out of balance; at the end only those within count. Only arcs on which an account loses
little at the prices of balance are tried (`pairs`, an account and the place of a rep among its arcs, as one
number), and an exchange takes its second account from those that want to go where the first one leaves.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from salesops_lib.territory.chance import below, uniform

TIGHT = 1e-9
TRIES = 4  # second accounts looked at, in the hope of one with the right rep


@njit(cache=True)
def _out(load, low, high):
    if load > high:
        return load - high
    return low - load if load < low else 0.0


@njit(cache=True)
def outside(load, low, high):
    """Sum what the loads lie outside their limits."""
    total = 0.0
    for j in range(load.shape[0]):
        for m in range(load.shape[1]):
            total += _out(load[j, m], low[j, m], high[j, m])
    return total


def tallied(task, assign: np.ndarray) -> tuple[float, np.ndarray]:
    """Add up cost and loads."""
    load = np.zeros_like(task.low)
    for m, column in enumerate(task.weight.T):
        load[:, m] = np.bincount(assign, column, len(load))
    return float(task.cost[np.arange(len(assign)), assign].sum(dtype=float)), load


@njit(cache=True)
def _change(weight, load, low, high, i, k, a, b):
    """Change of what lies outside when `i` goes from `a` to `b`, and `k` (where there is one) the other way."""
    total = 0.0
    for m in range(weight.shape[1]):
        step = weight[i, m]
        if k >= 0:
            step -= weight[k, m]
        total += _out(load[a, m] - step, low[a, m], high[a, m]) - _out(load[a, m], low[a, m], high[a, m])
        total += _out(load[b, m] + step, low[b, m], high[b, m]) - _out(load[b, m], low[b, m], high[b, m])
    return total


@njit(cache=True)
def _move(weight, arcs, at, load, i, x):
    """Send `i` along its arc `x`."""
    a, b = arcs[i, at[i]], arcs[i, x]
    at[i] = x
    for m in range(weight.shape[1]):
        load[a, m] -= weight[i, m]
        load[b, m] += weight[i, m]


@njit(cache=True)
def anneal(far, weight, low, high, arcs, pairs, into, first, at, load, rng, steps, hot, cold, rho, stiff):
    """Move and exchange accounts at falling temperature and rising price of imbalance.

    `far` is the cost of every arc, `at` the arc each account is on; `into` lists the pairs by rep, those of rep
    `j` from ``first[j]`` on.
    """
    width = arcs.shape[1]
    fall, rise = (cold / hot) ** (1.0 / steps), stiff ** (1.0 / steps)
    heat = hot
    for _ in range(steps):
        heat *= fall
        rho *= rise
        pair = pairs[below(rng, pairs.shape[0])]
        i, x = pair // width, pair % width
        if x == at[i]:
            continue
        a, b = arcs[i, at[i]], arcs[i, x]
        gain = far[i, x] - far[i, at[i]]
        limit = -heat * np.log(1.0 - uniform(rng))
        if gain + rho * _change(weight, load, low, high, i, -1, a, b) <= limit:
            _move(weight, arcs, at, load, i, x)
            continue
        if first[a + 1] == first[a]:
            continue
        for _ in range(TRIES):
            other = into[first[a] + below(rng, first[a + 1] - first[a])]
            k, y = other // width, other % width
            if arcs[k, at[k]] != b:
                continue
            both = gain + far[k, y] - far[k, at[k]]
            if both + rho * _change(weight, load, low, high, i, k, a, b) <= limit:
                _move(weight, arcs, at, load, i, x)
                _move(weight, arcs, at, load, k, y)
                break


@njit(cache=True)
def descend(far, weight, low, high, arcs, pairs, into, first, at, load, rho, rounds):
    """Take the best move or exchange of every pair that helps at a price of imbalance, until none does."""
    width = arcs.shape[1]
    for _ in range(rounds):
        taken = 0
        for pair in pairs:
            i, x = pair // width, pair % width
            if x == at[i]:
                continue
            a, b = arcs[i, at[i]], arcs[i, x]
            gain = far[i, x] - far[i, at[i]]
            best, chosen = -TIGHT * (1.0 + rho), np.int64(-2)
            change = gain + rho * _change(weight, load, low, high, i, -1, a, b)
            if change < best:
                best, chosen = change, np.int64(-1)
            for z in range(first[a], first[a + 1]):
                k, y = into[z] // width, into[z] % width
                if arcs[k, at[k]] != b:
                    continue
                change = gain + far[k, y] - far[k, at[k]]
                if change > best + 2.0 * rho:
                    continue
                change += rho * _change(weight, load, low, high, i, k, a, b)
                if change < best:
                    best, chosen = change, into[z]
            if chosen >= -1:
                taken += 1
                _move(weight, arcs, at, load, i, x)
                if chosen >= 0:
                    _move(weight, arcs, at, load, chosen // width, chosen % width)
        if taken == 0:
            break
