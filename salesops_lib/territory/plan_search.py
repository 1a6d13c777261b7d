"""Compiled search for plans within the tolerance: simulated annealing on the arcs that matter, then descent.

Kirkpatrick, Gelatt and Vecchi (1983). A load outside its limits costs `rho` a unit, so that a chain of moves
may pass
through plans that are out of balance; at the end only those within count.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from salesops_lib.territory.chance import below, uniform

TIGHT = 1e-9
NEVER = 1e300


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


@njit(cache=True)
def tallied(cost, weight, assign, load):
    """Add the loads up afresh, and return the cost."""
    load[:] = 0.0
    total = 0.0
    for i in range(assign.shape[0]):
        total += np.float64(cost[i, assign[i]])
        for m in range(weight.shape[1]):
            load[assign[i], m] += weight[i, m]
    return total


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
def _listed(assign, reps):
    """List the members of every rep: first of each rep, next and place in one array."""
    n = assign.shape[0]
    first, place = np.zeros(reps + 1, np.int64), np.empty(n, np.int64)
    for i in range(n):
        first[assign[i] + 1] += 1
    room = np.zeros(reps + 1, np.int64)
    for j in range(reps):
        room[j + 1] = room[j] + 2 * first[j + 1] + 64 + n // (4 * reps)
    member = np.empty(room[reps], np.int64)
    count = np.zeros(reps, np.int64)
    for i in range(n):
        j = assign[i]
        place[i] = room[j] + count[j]
        member[place[i]] = i
        count[j] += 1
    return room, member, place, count


@njit(cache=True)
def _move(weight, assign, load, room, member, place, count, i, b):
    """Give `i` to `b`; say False, and do nothing, where the list of `b` is full."""
    a = assign[i]
    if room[b] + count[b] >= room[b + 1]:
        return False
    last = member[room[a] + count[a] - 1]
    member[place[i]] = last
    place[last] = place[i]
    count[a] -= 1
    place[i] = room[b] + count[b]
    member[place[i]] = i
    count[b] += 1
    assign[i] = b
    for m in range(weight.shape[1]):
        load[a, m] -= weight[i, m]
        load[b, m] += weight[i, m]
    return True


@njit(cache=True)
def anneal(cost, weight, low, high, arcs, free, held, assign, load, rng, steps, hot, cold, rho, stiff):
    """Move and exchange accounts at falling temperature and rising price of imbalance; return that price."""
    reps, width = load.shape[0], arcs.shape[1]
    room, member, place, count = _listed(assign, reps)
    fall, rise = (cold / hot) ** (1.0 / steps), stiff ** (1.0 / steps)
    heat, spent = hot, free.shape[0]
    for _ in range(steps):
        heat *= fall
        rho *= rise
        i = free[below(rng, spent)]
        a = assign[i]
        # the first arcs are the likely ones
        b = arcs[i, int(width * uniform(rng) * uniform(rng))]
        if b == a:
            continue
        gain = np.float64(cost[i, b]) - np.float64(cost[i, a])
        limit = -heat * np.log(1.0 - uniform(rng))
        alone = gain + rho * _change(weight, load, low, high, i, -1, a, b)
        if alone <= limit:
            _move(weight, assign, load, room, member, place, count, i, b)
            continue
        if count[b] == 0 or gain > 6.0 * heat + rho:
            continue
        for _ in range(3):
            k = member[room[b] + below(rng, count[b])]
            back = np.float64(cost[k, a]) - np.float64(cost[k, b])
            if held[k] or gain + back > limit + 0.2 * rho:
                continue
            if gain + back + rho * _change(weight, load, low, high, i, k, a, b) <= limit:
                if _move(weight, assign, load, room, member, place, count, i, b):
                    _move(weight, assign, load, room, member, place, count, k, a)
                break
    return rho


@njit(cache=True)
def descend(cost, weight, low, high, arcs, free, held, assign, load, rho, rounds):
    """Take every move and exchange that helps at a price of imbalance; return the number taken."""
    reps, width, taken = load.shape[0], arcs.shape[1], 0
    room, member, place, count = _listed(assign, reps)
    for _ in range(rounds):
        before = taken
        for y in range(free.shape[0]):
            i = free[y]
            a = assign[i]
            best, to, other = -TIGHT * (1.0 + rho), -1, -1
            here = np.float64(cost[i, a])
            for x in range(width):
                b = arcs[i, x]
                if b == a:
                    continue
                gain = np.float64(cost[i, b]) - here
                change = gain + rho * _change(weight, load, low, high, i, -1, a, b)
                if change < best:
                    best, to, other = change, b, -1
                for z in range(room[b], room[b] + count[b]):
                    k = member[z]
                    if held[k]:
                        continue
                    change = gain + np.float64(cost[k, a]) - np.float64(cost[k, b])
                    if change > best + 2.0 * rho:
                        continue
                    change += rho * _change(weight, load, low, high, i, k, a, b)
                    if change < best:
                        best, to, other = change, b, k
            if to >= 0 and _move(weight, assign, load, room, member, place, count, i, to):
                taken += 1
                if other >= 0:
                    _move(weight, assign, load, room, member, place, count, other, a)
        if taken == before:
            break
    return taken
