"""Compiled local search for bases: regions of neighbouring territories are broken up and built again.

Iterated local search with threshold acceptance on the capacitated p-median problem: shift, swap, recentre and
relocate (Stefanello, de Araújo and Müller 2015 survey the moves). An overload costs `rho` a unit of demand, so
that
the way to a better plan may lead through one that does not fit.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from salesops_lib.territory.chance import below, uniform

EPS = 1e-9
PASSES = 30  # of one descent: rounding must never make it go round in circles


@njit(cache=True)
def _over(load, room):
    return load - room if load > room else 0.0


@njit(cache=True)
def _place(d, demand, cap, centre, assign, load, region, nr, pts, npts, rho):
    """Give every point of a region to the nearest base with room, those with most to lose first."""
    for c in range(nr):
        load[region[c]] = 0.0
    regret = np.empty(npts)
    for x in range(npts):
        i, first, second = pts[x], np.inf, np.inf
        for c in range(nr):
            far = d[i, centre[region[c]]]
            if far < first:
                first, second = far, first
            elif far < second:
                second = far
        regret[x] = -(second - first) if nr > 1 else 0.0
    for x in np.argsort(regret):
        i, best, at = pts[x], np.inf, region[0]
        for c in range(nr):
            k = region[c]
            room = cap[centre[k]]
            cost = d[i, centre[k]] + rho * (_over(load[k] + demand[i], room) - _over(load[k], room))
            if cost < best:
                best, at = cost, k
        assign[i] = at
        load[at] += demand[i]


@njit(cache=True)
def _shift_and_swap(d, demand, cap, centre, assign, load, region, nr, pts, npts, rho):
    """Move or exchange points until no single step helps."""
    again, least = True, EPS * (1.0 + 1e3 * rho)
    for _ in range(PASSES):
        if not again:
            return
        again = False
        for x in range(npts):
            i = pts[x]
            a = assign[i]
            here, qi, ca = d[i, centre[a]], demand[i], cap[centre[a]]
            before = _over(load[a], ca)
            left = _over(load[a] - qi, ca) - before
            best, to, other = -least, -1, -1
            for c in range(nr):
                b = region[c]
                if b == a:
                    continue
                room = cap[centre[b]]
                change = d[i, centre[b]] - here
                change += rho * (left + _over(load[b] + qi, room) - _over(load[b], room))
                if change < best:
                    best, to, other = change, b, -1
            for y in range(npts):
                k = pts[y]
                b = assign[k]
                if b == a:
                    continue
                change = d[i, centre[b]] + d[k, centre[a]] - here - d[k, centre[b]]
                if change >= best and before <= 0.0 and load[b] <= cap[centre[b]]:
                    continue
                step = qi - demand[k]
                room = cap[centre[b]]
                change += rho * (
                    _over(load[a] - step, ca) - before + _over(load[b] + step, room) - _over(load[b], room)
                )
                if change < best:
                    best, to, other = change, b, k
            if to >= 0:
                again = True
                load[a] -= qi
                load[to] += qi
                assign[i] = to
                if other >= 0:
                    load[to] -= demand[other]
                    load[a] += demand[other]
                    assign[other] = a


@njit(cache=True)
def _recentre(d, cap, centre, assign, load, region, nr, pts, npts, near, rho):
    """Put each base where its points are served at least cost; say whether any moved."""
    moved = False
    own = np.empty(npts, np.int64)
    for c in range(nr):
        k, n = region[c], 0
        for x in range(npts):
            if assign[pts[x]] == k:
                own[n] = pts[x]
                n += 1
        if n == 0:
            continue
        at = centre[k]
        best = rho * _over(load[k], cap[at])
        for x in range(n):
            best += d[own[x], at]
        wide = n > near.shape[1]
        for y in range(near.shape[1] if wide else n):
            j = near[at, y] if wide else own[y]
            if j == at or (wide and assign[j] != k):
                continue
            cost = rho * _over(load[k], cap[j])
            for x in range(n):
                cost += d[own[x], j]
                if cost >= best:
                    break
            if cost < best * (1.0 - 1e-11) - EPS:
                best, centre[k], moved = cost, j, True
    return moved


@njit(cache=True)
def descend(d, demand, cap, centre, assign, load, region, nr, pts, npts, near, rho):
    """Improve a region until neither points nor bases want to move."""
    for _ in range(PASSES):
        _shift_and_swap(d, demand, cap, centre, assign, load, region, nr, pts, npts, rho)
        if not _recentre(d, cap, centre, assign, load, region, nr, pts, npts, near, rho):
            return


@njit(cache=True)
def worth(d, cap, centre, assign, load, region, nr, pts, npts):
    """Return distance and overload of a region."""
    cost, over = 0.0, 0.0
    for x in range(npts):
        cost += d[pts[x], centre[assign[pts[x]]]]
    for c in range(nr):
        over += _over(load[region[c]], cap[centre[region[c]]])
    return cost, over


@njit(cache=True)
def _gather(d, centre, assign, k, wanted, region, pts, inside):
    """Collect the bases nearest to base `k` and their points."""
    p = centre.shape[0]
    inside[:] = False
    region[0], inside[k] = k, True
    for r in range(1, wanted):
        best, at = np.inf, -1
        for c in range(p):
            if not inside[c] and d[centre[k], centre[c]] < best:
                best, at = d[centre[k], centre[c]], c
        region[r], inside[at] = at, True
    n = 0
    for i in range(assign.shape[0]):
        if inside[assign[i]]:
            pts[n] = i
            n += 1
    return n


@njit(cache=True)
def _shake(centre, region, nr, pts, npts, near, rng):
    """Move a base of the region: anywhere in it, or to a near point."""
    k = region[below(rng, nr)]
    anywhere = npts > 0 and uniform(rng) < 0.6
    j = pts[below(rng, npts)] if anywhere else near[centre[k], below(rng, near.shape[1])]
    for c in range(centre.shape[0]):
        if centre[c] == j:
            return
    centre[k] = j


@njit(cache=True)
def iterate(d, demand, cap, near, centre, assign, load, best_centre, best_assign, tally, rng, steps, heat, most):
    """Break up and rebuild regions `steps` times.

    `tally` holds the present cost and overload, the best cost that fits, and the price of overload; all of it and
    the plans are changed in place, so that the next call goes on where this one stopped.
    """
    n, p = assign.shape[0], centre.shape[0]
    region, pts, inside = np.empty(p, np.int64), np.empty(n, np.int64), np.empty(p, np.bool_)
    old_assign, old_centre, old_load = np.empty(n, np.int64), np.empty(p, np.int64), np.empty(p)
    for _ in range(steps):
        rho = tally[3]
        nr = min(p, 2 + below(rng, most - 1))
        npts = _gather(d, centre, assign, below(rng, p), nr, region, pts, inside)
        cost, over = worth(d, cap, centre, assign, load, region, nr, pts, npts)
        for x in range(npts):
            old_assign[x] = assign[pts[x]]
        for c in range(nr):
            old_centre[c], old_load[c] = centre[region[c]], load[region[c]]
        _shake(centre, region, nr, pts, npts, near, rng)
        _place(d, demand, cap, centre, assign, load, region, nr, pts, npts, rho)
        descend(d, demand, cap, centre, assign, load, region, nr, pts, npts, near, rho)
        new_cost, new_over = worth(d, cap, centre, assign, load, region, nr, pts, npts)
        allowed = -heat * np.log(1.0 - uniform(rng))
        if new_cost + rho * new_over <= cost + rho * over + allowed:
            tally[0] += new_cost - cost
            tally[1] += new_over - over
        else:
            for x in range(npts):
                assign[pts[x]] = old_assign[x]
            for c in range(nr):
                centre[region[c]], load[region[c]] = old_centre[c], old_load[c]
        tally[3] *= 1.01 if tally[1] > 1e-7 else 0.998
        tally[3] = min(max(tally[3], tally[4]), tally[5])
        if tally[1] <= 1e-7 and tally[0] < tally[2] - EPS:
            tally[2] = tally[0]
            best_centre[:] = centre
            best_assign[:] = assign
