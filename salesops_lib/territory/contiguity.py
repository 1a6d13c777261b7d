"""Territories in one piece on a graph of neighbours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import DataContractError, ParameterError, listed, unknown
from salesops_lib.territory.rows import need

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.territory.solve import Found, Task

HOT, COLD, PARTS = 10.0, 0.01, 10  # temperature, in distances between best and second best rep; parts of a run
KEPT, MARGIN = 0.7, 0.04  # share of the tolerance that the search keeps back until balance is had, and then
WARM = 2.0  # temperature then
RINGS = 3  # territories so many borders from one out of balance are heated up again with it
DEAR, STIFF = 5.0, 300.0  # price of imbalance against that of the prices, and how much it rises in a run
TURNS, MOVES, LEAST, MOST = 14, 1_000, 100_000, 16_000_000  # runs; moves a unit, and limits of a run's moves
NEVER = 10.0  # what a forbidden pair costs, in the dearest plan there could be


def connected_plan(task: Task, unit, accounts, reps, adjacency, until, seed, bridge) -> tuple[Found, list[str]]:
    """Solve a task such that every rep's units are connected; return what was found and findings.

    The bound is that of the task without contiguity: valid, and the further off the more contiguity costs.

    Raises
    ------
    DataContractError
        For neighbours that are no accounts, or a graph in several pieces (naming them).
    ParameterError
        Where locks leave a territory no way to be in one piece.
    """
    from salesops_lib.territory import prices, solve

    first, neighbour, findings = graph(accounts, adjacency, unit, bridge)
    task = solve.with_held(task)
    price, bound = prices.balance_prices(task.cost, task.weight, task.low, task.high, seed=seed)
    best, (out, total) = _annealed(task, price, first, neighbour, until, seed)
    count = task.cost.shape[1]
    broken = [j for j in range(count) if pieces(first, neighbour, np.flatnonzero(best == j)) > 1]
    if broken:
        names = listed(reps["user_id"].to_numpy()[broken])
        raise ParameterError(f"locked accounts leave these territories in several pieces: {names}; unlock some.")
    return solve.Found(best, total, min(bound, total) if out == 0 else bound, price, out), findings


def _annealed(task: Task, price, first, neighbour, until, seed) -> tuple[np.ndarray, tuple[float, float]]:
    """Return the best plan in one piece each, what of it lies outside, and its cost."""
    from salesops_lib.territory import chance, contiguity_search, plan_search, solve

    n, count = task.cost.shape
    unit = solve.arcs_of(task, price).unit
    rho = solve.dearest(price, unit, n / count)
    state, best, key = chance.start(seed), None, (np.inf, np.inf)
    assign, load, size = _seeded(task, first, neighbour)
    free, seen = np.flatnonzero(task.held < 0), np.zeros(n, np.int64)
    finite = np.isfinite(task.cost)
    cost = np.where(finite, task.cost, NEVER * n * float(np.abs(task.cost[finite]).max() + unit)).astype(float)
    part = int(min(max(MOVES * n, LEAST), MOST)) // PARTS
    began, hot, dear, kept, where = time.monotonic(), HOT, DEAR * rho, KEPT, free
    for _ in range(TURNS):
        room = kept * (task.high - task.low) / 2
        limits = (cost, task.weight, task.low + room, task.high - room)
        fall, rise = (COLD / hot) ** (1 / PARTS), STIFF ** (1 / PARTS)
        for k in range(PARTS):
            fixed = (*limits, first, neighbour, where, assign, load, size, seen)
            at = unit * hot * fall**k
            dear = contiguity_search.anneal(*fixed, state, part, at, at * fall, dear, rise)
            if time.monotonic() - began > 0.9 * (until - began):
                break
        total, load = plan_search.tallied(task, assign)
        out = max(float(plan_search.outside(load, task.low, task.high)) - solve.INSIDE, 0.0)
        if (out, total) < key:
            best, key = assign.copy(), (out, total)
        if time.monotonic() > until or (out == 0 and kept < KEPT):
            break
        dear = DEAR * rho  # heat it up again: a dearer imbalance would only freeze it
        if key[0] == 0:  # balance is had: now the way
            hot, kept, dear, where = hot / 2 if kept < KEPT else WARM, MARGIN, dear * 10, free
            assign = best.copy()
            load, size = plan_search.tallied(task, assign)[1], np.bincount(assign, minlength=count)
        else:
            worst = int(np.maximum(load - task.high, task.low - load).max(axis=1).argmax())
            where = np.intersect1d(free, _around(first, neighbour, assign, worst))
    return best, key


def _around(first, neighbour, assign, rep: int) -> np.ndarray:
    """List the units of a territory and of those up to `RINGS` borders away."""
    a = np.repeat(assign, np.diff(first))
    near = np.arange(assign.max() + 1) == rep
    for _ in range(RINGS):
        near[assign[neighbour][near[a]]] = True
    return np.flatnonzero(near[assign])


def graph(
    accounts: pd.DataFrame, adjacency: pd.DataFrame, unit, bridge
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Turn neighbours into lists by unit: where each begins, and the neighbours."""
    import pandas as pd

    need(adjacency, ("account_id", "neighbour_id"), "adjacency")
    ids = pd.Index(accounts["account_id"])
    a, b = ids.get_indexer(adjacency["account_id"]), ids.get_indexer(adjacency["neighbour_id"])
    strange = (a < 0) | (b < 0)
    findings = []
    if strange.all():
        raise DataContractError(f"adjacency: {unknown('account', str(adjacency['account_id'].iloc[0]), ids[:50])}")
    if strange.any():
        findings.append(f"{int(strange.sum())} pairs of neighbours name accounts that are not there; left out.")
    a, b = unit[a[~strange]], unit[b[~strange]]
    a, b, more = _joined(accounts, unit, a, b, bridge)
    pairs = np.unique(np.r_[np.c_[a, b], np.c_[b, a]], axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    first = np.searchsorted(pairs[:, 0], np.arange(unit.max() + 2))
    return first.astype(np.int64), np.ascontiguousarray(pairs[:, 1]), findings + more


def _joined(accounts, unit, a, b, bridge):
    """Join pieces of the graph by their nearest accounts where that is wanted; refuse them otherwise."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n, ids, findings = unit.max() + 1, accounts["account_id"].to_numpy(), []
    k, piece = connected_components(coo_matrix((np.ones(len(a)), (a, b)), shape=(n, n)), directed=False)
    if k == 1:
        return a, b, findings
    sizes = np.bincount(piece)
    main = int(sizes.argmax())
    apart = ids[np.isin(piece[unit], np.flatnonzero(np.arange(k) != main))]
    said = (
        f"adjacency is in {k} pieces; {len(apart)} accounts do not touch the largest: {listed(apart, most=200)}."
    )
    if not bridge:
        raise DataContractError(
            f"{said} Add pairs of neighbours that join them, leave them out, or design with bridge_islands=True, "
            "which joins each piece by its nearest account."
        )
    if "lat" not in accounts:
        raise DataContractError(
            f"{said} Without coordinates nothing tells what is nearest; add pairs that join them."
        )
    return *_bridges(accounts, unit, piece, main, a, b), [f"{said} Each was joined by its nearest account."]


def _bridges(accounts, unit, piece, main, a, b):
    from salesops_lib.territory.geo import all_distances_km

    lat, lon = accounts["lat"].to_numpy(float), accounts["lon"].to_numpy(float)
    inside = piece[unit] == main
    waiting = [k for k in range(piece.max() + 1) if k != main]
    while waiting:
        near = []
        for k in waiting:
            own = np.flatnonzero(piece[unit] == k)
            d = all_distances_km(lat[own], lon[own], lat[inside], lon[inside])
            x, y = np.unravel_index(d.argmin(), d.shape)
            near.append((float(d[x, y]), k, own[x], np.flatnonzero(inside)[y]))
        _, k, here, there = min(near)
        a, b = np.r_[a, unit[here]], np.r_[b, unit[there]]
        inside |= piece[unit] == k
        waiting.remove(k)
    return a, b


def pieces(first: np.ndarray, neighbour: np.ndarray, units: np.ndarray) -> int:
    """Count the connected pieces of some units."""
    left, count = set(units.tolist()), 0
    while left:
        count += 1
        queue = [left.pop()]
        while queue:
            u = queue.pop()
            for v in neighbour[first[u] : first[u + 1]].tolist():
                if v in left:
                    left.remove(v)
                    queue.append(v)
    return count


def _seeded(task: Task, first, neighbour):
    """Start every territory at its locked units, else at its cheapest free one, and let it grow."""
    from salesops_lib.territory import contiguity_search

    reps = task.cost.shape[1]
    assign = task.held.astype(np.int64).copy()
    for j in np.argsort(task.cost.min(axis=0)):
        if not (assign == j).any():
            open_ = np.flatnonzero((assign < 0) & np.isfinite(task.cost[:, j]))
            assign[open_[np.argmin(task.cost[open_, j])]] = j
    load = np.zeros_like(task.low)
    np.add.at(load, assign[assign >= 0], task.weight[assign >= 0])
    size = np.bincount(assign[assign >= 0], minlength=reps)
    left = contiguity_search.grow(task.cost, task.weight, task.high, first, neighbour, assign, load, size)
    if left:
        raise ParameterError(
            f"{left} accounts can be reached by no territory: locks or forbidden pairs wall them in."
        )
    return assign, load, size
