"""Prices of balance, and the bound they prove.

Balance is relaxed: each rep and measure gets a price, every account goes where distance plus price is least,
and what
that costs less the prices' worth is a bound on every plan within the tolerance (Lagrangian duality). The
prices are
found by Newton's method on a smoothed dual, on the arcs that matter; the bound itself is taken over all reps.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SAMPLE = 3_000  # accounts that first prices are found on, with all reps
ARCS = 16  # reps an account may go to in later steps
SEEN = 0.01  # share of an account from which on it counts in the curvature
LONGEST = 30.0  # step of a price, in widths of the smoothing
SMOOTH = (1.0, 0.25, 0.06, 0.015, 0.004, 0.001)  # smoothing, in mean costs of an account


@njit(cache=True)
def cheapest(cost, weight, price, k):
    """List for every account the `k` reps of least cost plus price, the cheapest first, and the least value."""
    n, reps = cost.shape
    arcs, least = np.empty((n, k), np.int32), np.empty(n)
    value = np.empty(k)
    for i in range(n):
        count = 0
        for j in range(reps):
            v = np.float64(cost[i, j])
            for m in range(weight.shape[1]):
                v += weight[i, m] * price[j, m]
            if count == k and v >= value[k - 1]:
                continue
            x = count if count < k else k - 1
            while x > 0 and value[x - 1] > v:
                value[x] = value[x - 1]
                arcs[i, x] = arcs[i, x - 1]
                x -= 1
            value[x], arcs[i, x] = v, j
            if count < k:
                count += 1
        least[i] = value[0]
    return arcs, least


def proven(cost, weight, low, high, price) -> float:
    """Return the bound that some prices prove: one pass over all accounts and all reps."""
    least = cheapest(cost, weight, price, 1)[1]
    worth = np.where(price > 0, price * high, price * low)
    found = float(least.sum() - worth.sum())
    return found - 1e-9 * abs(found)


@njit(cache=True)
def _smooth(cost, weight, arcs, price, eps, scale, load, bend):
    """Return the smoothed least cost of all accounts; fill loads and, where it has room, curvature."""
    n, k = arcs.shape
    measures, wanted = weight.shape[1], bend.shape[0] > 0
    load[:] = 0.0
    bend[:] = 0.0
    share, total = np.empty(k), 0.0
    active = np.empty(k, np.int64)
    for i in range(n):
        least = np.inf
        for x in range(k):
            j = arcs[i, x]
            v = np.float64(cost[i, j])
            for m in range(measures):
                v += weight[i, m] * price[j, m]
            share[x] = v
            least = min(least, v)
        mass, count = 0.0, 0
        for x in range(k):
            far = (share[x] - least) / eps
            if far < 25.0:
                share[count] = np.exp(-far)
                active[count] = arcs[i, x]
                mass += share[count]
                count += 1
        total += least - eps * np.log(mass)
        for x in range(count):
            share[x] /= mass
            for m in range(measures):
                load[active[x], m] += scale * weight[i, m] * share[x]
        if wanted and count > 1:
            kept = 0  # small shares hardly bend anything, and there are many pairs of them
            for x in range(count):
                if share[x] > SEEN:
                    share[kept], active[kept] = share[x], active[x]
                    kept += 1
            count = kept
            for m in range(measures):
                for o in range(measures):
                    both = scale * weight[i, m] * weight[i, o] / eps
                    for x in range(count):
                        a = active[x] * measures + m
                        bend[a, active[x] * measures + o] += both * share[x]
                        for y in range(count):
                            bend[a, active[y] * measures + o] -= both * share[x] * share[y]
    return scale * total


def _worth(price, low, high, give):
    """Return the worth of prices, loads they ask for, and their change; `give` rounds the corner at 0."""
    middle, half = (low + high) / 2, (high - low) / 2
    asked = np.clip(middle + half * price / give, low, high)
    inside = np.abs(price) < give
    value = np.where(inside, price * middle + half * (price**2 + give**2) / (2 * give), asked * price)
    return float(value.sum()), asked, np.where(inside, half / give, 0.0)


def _newton(cost, weight, low, high, arcs, price, eps, give, scale, rounds, least_gain):
    """Climb the smoothed dual from given prices (damped Newton)."""
    load, size = np.empty_like(price), price.size
    bend = np.zeros((size, size))

    def value(at, curve):
        found = _smooth(cost, weight, arcs, at, eps, scale, load, curve)
        worth, asked, change = _worth(at, low, high, give)
        return found - worth, load - asked, change

    now, slope, change = value(price, bend)
    for _ in range(rounds):
        matrix = bend + np.diag(change.ravel())
        ridge = 1e-9 * np.trace(matrix) / size + 1e-12
        step = np.linalg.solve(matrix + np.eye(size) * ridge, slope.ravel()).reshape(price.shape)
        rise = float((slope * step).sum())
        length = min(1.0, LONGEST * give / max(np.abs(step).max(), 1e-300))
        while True:
            tried = price + length * step
            new = (
                _smooth(cost, weight, arcs, tried, eps, scale, load, bend[:0]) - _worth(tried, low, high, give)[0]
            )
            if new >= now + 1e-4 * length * rise or length < 1e-3:
                break
            length /= 2.5
        if new < now:
            break
        gain, price = new - now, tried
        now, slope, change = value(price, bend)
        if gain < least_gain * abs(now) and length == 1.0:
            break
    return price


def balance_prices(cost, weight, low, high, *, start=None, seed=0):
    """Find prices of balance.

    Parameters
    ----------
    cost
        Of every account (rows) with every rep; infinite where a pair is forbidden.
    weight
        Of every account in every measure, such that the loads of reps lie near 1.
    low, high
        Loads wanted of every rep in every measure.
    start
        Prices to start from, such as those of an earlier plan.

    Returns
    -------
    price, bound
        One price a rep and measure, and the best bound found on the way.
    """
    n, reps = cost.shape
    finite = cost[:: max(1, n // SAMPLE)]
    unit = float(np.mean(np.min(np.where(np.isfinite(finite), finite, np.inf), axis=1)))
    spread = np.where(np.isfinite(finite), finite, np.nan)
    unit = max(unit, float(np.nanmean(np.nanstd(spread, axis=1))) * 0.1, 1e-12)
    price = np.zeros_like(low) if start is None else start.copy()
    give, every = n / reps, np.tile(np.arange(reps, dtype=np.int32), (min(n, SAMPLE), 1))
    picked = np.sort(np.random.default_rng(seed).choice(n, SAMPLE, replace=False)) if n > SAMPLE else np.arange(n)
    some, part = np.ascontiguousarray(cost[picked]), np.ascontiguousarray(weight[picked])
    small = n <= SAMPLE
    stages = SMOOTH if start is None or small else ()
    for share in stages if small else stages[:4]:
        eps = share * unit
        price = _newton(some, part, low, high, every, price, eps, eps * give, n / len(picked), 30, 1e-6)
    bound, best = proven(cost, weight, low, high, price), price
    for share in () if small else SMOOTH[2:5]:
        arcs = cheapest(cost, weight, price, min(ARCS, reps))[0]
        eps = share * unit
        price = _newton(cost, weight, low, high, arcs, price, eps, eps * give, 1.0, 12, 1e-6)
        found = proven(cost, weight, low, high, price)
        if found > bound:
            bound, best = found, price
    return best, bound
