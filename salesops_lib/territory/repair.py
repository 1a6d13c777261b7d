"""Repair by large neighbourhoods: a rep out of balance and its neighbours planned anew together (HiGHS).

Where accounts are few and large, balance is a packing problem that single moves do not solve (Pisinger and Ropke
2019 survey such searches).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.territory import exact, plan_search

if TYPE_CHECKING:
    from salesops_lib.territory.solve import Task

GROUPS = (4, 6, 9)  # reps planned anew together, the next size where the one before did not help
FREE = 240  # accounts planned anew, at most: those that lose least by a change
STEP_S, NODES, GAP = 6.0, 400, 2e-4
INSIDE = 1e-9


def mended(task: Task, arcs, regret, assign: np.ndarray, dear: float, until: float) -> np.ndarray:
    """Bring loads inside their limits, at little cost, as far as that can be done."""
    for size in GROUPS:
        while time.monotonic() < until:
            out = _outside(task, plan_search.tallied(task, assign)[1])
            if out.max() <= INSIDE:
                return assign
            tried = _anew(task, arcs, regret, assign, int(out.argmax()), size, dear)
            if _outside(task, plan_search.tallied(task, tried)[1]).sum() > 0.99 * out.sum():
                break
            assign = tried
    return assign


def _outside(task: Task, load: np.ndarray) -> np.ndarray:
    """How far each rep's loads lie outside their limits."""
    return np.maximum(np.maximum(load - task.high, task.low - load), 0.0).sum(axis=1)


def _anew(task: Task, arcs, regret, assign, rep: int, size: int, dear: float) -> np.ndarray:
    """Plan a rep and the reps it shares most accounts with anew."""
    from salesops_lib.territory.solve import Task

    reps = task.cost.shape[1]
    close = np.exp(-regret / max(float(np.median(regret[np.isfinite(regret)])), 1e-12))
    shared = np.zeros(reps)
    np.add.at(shared, arcs[assign == rep], close[assign == rep])
    wants = (arcs == rep).any(axis=1)
    np.add.at(shared, assign[wants], np.where(arcs == rep, close, 0.0).sum(axis=1)[wants])
    shared[rep] = np.inf
    group = np.sort(np.argsort(-shared, kind="stable")[:size])
    inside = np.flatnonzero(np.isin(assign, group) & (task.held < 0))
    ready = np.where(np.isin(arcs[inside], group) & (regret[inside] > 0), regret[inside], np.inf).min(axis=1)
    free = inside[np.argsort(ready, kind="stable")[:FREE]]
    rest = assign.copy()
    rest[free] = -1
    load = np.zeros_like(task.low)
    np.add.at(load, rest[rest >= 0], task.weight[rest >= 0])
    part = Task(
        task.cost[np.ix_(free, group)].astype(float), task.weight[free], (task.low - load)[group],
        (task.high - load)[group], np.full(len(free), -1),
    )  # fmt: skip
    found = exact.solve_exactly(part, STEP_S, dear=dear, nodes=NODES, gap=GAP)
    if found is not None:
        rest[free] = group[found[0]]
        return rest
    return assign
