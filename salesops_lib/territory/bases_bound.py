"""What no choice of bases can undercut: the Lagrangian of “every point is served once”.

Without that constraint each base fills its own knapsack, and the best `p` are taken; prices of the points are
moved
along the subgradient (Held, Wolfe and Crowder 1974). Every pair of point and base takes part, so every value found
is a valid bound. With whole demands the knapsacks are solved exactly, which makes the bound the stronger one.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def _fractional(profit, demand, items, n, room, taken):
    """Fill a knapsack, the last item in part (Dantzig 1957)."""
    value = 0.0
    order = np.argsort(-profit[:n] / demand[items[:n]])
    for x in order:
        q = demand[items[x]]
        if q <= room:
            taken[x] = 1.0
            room -= q
            value += profit[x]
        else:
            taken[x] = room / q
            return value + profit[x] * room / q
    return value


@njit(cache=True)
def _whole(profit, demand, items, n, room, taken, table):
    """Fill a knapsack with whole items and whole demands, by dynamic programming."""
    size = int(room)
    table[0, : size + 1] = 0.0
    for x in range(n):
        q = int(demand[items[x]])
        for c in range(size + 1):
            best = table[x, c]
            if q <= c and table[x, c - q] + profit[x] > best:
                best = table[x, c - q] + profit[x]
            table[x + 1, c] = best
    c = size
    for x in range(n - 1, -1, -1):
        if table[x + 1, c] != table[x, c]:
            taken[x] = 1.0
            c -= int(demand[items[x]])
    return table[n, size]


@njit(cache=True)
def raise_bound(d, demand, cap, p, prices, best_prices, whole, upper, best, pace, rounds):
    """Take subgradient steps; return the best bound and the pace to go on with."""
    n = d.shape[0]
    value, served = np.empty(n), np.zeros((n, n))
    items, profit, taken = np.empty(n, np.int64), np.empty(n), np.empty(n)
    table = np.zeros((n + 1, int(cap.max()) + 1)) if whole else np.zeros((1, 1))
    idle = 0
    for _ in range(rounds):
        served[:] = 0.0
        for j in range(n):
            m = 0
            for i in range(n):
                gain = prices[i] - d[i, j]
                if gain > 0.0 and (whole or demand[i] > 0.0) and demand[i] <= cap[j]:
                    items[m], profit[m], taken[m] = i, gain, 0.0
                    m += 1
            value[j] = 0.0
            if m:
                if whole:
                    value[j] = _whole(profit, demand, items, m, cap[j], taken, table)
                else:
                    value[j] = _fractional(profit, demand, items, m, cap[j], taken)
            for x in range(m):
                served[j, items[x]] = taken[x]
        chosen = np.argsort(-value)[:p]
        bound, slope = 0.0, np.ones(n)
        for i in range(n):
            bound += prices[i] if whole or demand[i] > 0.0 else 0.0
        for j in chosen:
            bound -= value[j]
            slope -= served[j]
        if not whole:
            slope[demand <= 0.0] = 0.0
        if bound > best + 1e-9:
            best, idle = bound, 0
            best_prices[:] = prices
        else:
            idle += 1
            if idle >= 20:
                pace, idle = pace * 0.6, 0
                prices[:] = best_prices
        square = (slope**2).sum()
        if square < 1e-12 or pace < 1e-4:
            break
        prices += pace * max(upper - bound, 1e-3 * abs(upper)) / square * slope
    return best, pace
