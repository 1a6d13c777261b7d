"""Small cases by mixed-integer programming (HiGHS): the best plan, with proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from salesops_lib.territory.solve import Task


def solve_exactly(
    task: Task, limit_s: float, *, dear: float | None = None, nodes: int | None = None, gap: float = 0.0
) -> tuple[np.ndarray, float, bool] | None:
    """Solve a task by branch and bound.

    Parameters
    ----------
    limit_s, nodes
        Seconds, and nodes of the search tree, after which the best so far is returned.
    dear
        Price of a unit of load outside its limits; left out, no load may lie there.
    gap
        Relative distance from the bound that is good enough.

    Returns
    -------
    tuple or None
        A plan, a proven bound, and whether the plan is the best; None where none was found, or exists.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_matrix, hstack, identity

    n, reps = task.cost.shape
    allowed = np.isfinite(task.cost).ravel()
    slack = 0 if dear is None else 2 * reps * task.weight.shape[1]
    rows = [LinearConstraint(hstack([_once(n, reps)[0], csr_matrix((n, slack))]), 1.0, 1.0)]
    for m, (matrix, low, high) in enumerate(_loads(task)):
        parts = [csr_matrix((reps, reps))] * (slack // reps)
        if slack:
            parts[2 * m : 2 * m + 2] = [identity(reps), -identity(reps)]
        rows.append(LinearConstraint(hstack([matrix, *parts]), low, high))
    found = milp(
        np.r_[np.where(allowed, task.cost.ravel(), 0.0), np.full(slack, dear or 0.0)],
        integrality=np.r_[np.ones(n * reps), np.zeros(slack)],
        bounds=Bounds(0, np.r_[allowed.astype(float), np.full(slack, np.inf)]),
        constraints=rows,
        options={"time_limit": limit_s, "mip_rel_gap": gap} | ({"node_limit": nodes} if nodes else {}),
    )
    if found.x is None:
        return None
    bound = float(found.mip_dual_bound) if found.mip_dual_bound is not None else -np.inf
    return _taken(found.x[: n * reps], n, reps), bound - 1e-9 * (1 + abs(bound)), bool(found.status == 0)


def middle(task: Task) -> np.ndarray:
    """Loads that are neither too high nor too low; of a rep whom one account fills, that account."""
    return np.where(task.low > 0, (task.low + task.high) / 2, task.high)


def closest_balance(task: Task, limit_s: float) -> tuple[np.ndarray, float, bool] | None:
    """Return the plan nearest to its targets, its largest deviation, and whether that is proven."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_matrix, hstack

    n, reps = task.cost.shape
    allowed = np.isfinite(task.cost).ravel()
    target = middle(task)
    matrix, low, high = _once(n, reps)
    rows = [LinearConstraint(hstack([matrix, csr_matrix((n, 1))]), low, high)]
    for m in range(task.weight.shape[1]):
        matrix = _load_matrix(task.weight[:, m], n, reps)
        size = csr_matrix(target[:, [m]])
        rows.append(LinearConstraint(hstack([matrix, -size]), -np.inf, target[:, m]))
        rows.append(LinearConstraint(hstack([matrix, size]), target[:, m], np.inf))
    found = milp(
        np.r_[np.zeros(n * reps), 1.0],
        integrality=np.r_[np.ones(n * reps), 0],
        bounds=Bounds(0, np.r_[allowed.astype(float), np.inf]),
        constraints=rows,
        options={"time_limit": limit_s},
    )
    if found.x is None:
        return None
    return _taken(found.x[:-1], n, reps), float(found.x[-1]), bool(found.status == 0)


def _taken(x: np.ndarray, n: int, reps: int) -> np.ndarray:
    return x.reshape(n, reps).argmax(axis=1).astype(np.int64)


def _once(n: int, reps: int):
    from scipy.sparse import csr_matrix

    at = np.arange(n * reps)
    return csr_matrix((np.ones(n * reps), (at // reps, at)), shape=(n, n * reps)), 1.0, 1.0


def _load_matrix(weight: np.ndarray, n: int, reps: int):
    from scipy.sparse import csr_matrix

    at = np.arange(n * reps)
    return csr_matrix((np.repeat(weight, reps), (at % reps, at)), shape=(reps, n * reps))


def _loads(task: Task):
    n, reps = task.cost.shape
    for m in range(task.weight.shape[1]):
        yield _load_matrix(task.weight[:, m], n, reps), task.low[:, m], task.high[:, m]
