"""From costs, weights and limits to a plan: prices, rounding, annealing, repair; exact where a case is small."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import numpy as np

SMALL = 200  # pairs of account and rep up to which a case is solved exactly
EXACT_S = 10.0  # seconds for that at most
# temperature, in median distances between an account's best and second rep: at first (with few accounts a rep,
# and with many), in later runs, and at last
HOT, COOL, WARM, COLD = 2.0, 0.2, 0.1, 0.01
STIFF = 30.0  # how much the price of imbalance rises over a search
MOVES = (5_000, 200_000, 8_000_000, 20_000_000)  # an account; least; most; most where reps have few accounts
FEW, MANY = 40, 5_000  # accounts a rep, and accounts in all
INSIDE = 1e-9
TURNS, PARTS = 8, 10  # runs of the search at most; parts of a run, between which it looks at the clock


@dataclass(frozen=True)
class Task:
    """An assignment problem in numbers: `cost` of every unit with every rep, `weight` of every unit and measure.

    `low` and `high` are the loads wanted of every rep and measure; `held` is the rep a unit must stay with, or −1.
    Weights are scaled so that loads lie near 1.
    """

    cost: np.ndarray
    weight: np.ndarray
    low: np.ndarray
    high: np.ndarray
    held: np.ndarray


@dataclass(frozen=True)
class Found:
    """A plan in numbers: rep of every unit, its cost, the bound, the prices behind it, and what lies outside."""

    assign: np.ndarray
    cost: float
    bound: float
    price: np.ndarray
    outside: float


def solve(task: Task, *, until: float, seed: int = 0, start=None, price=None, budget: float = 1.0) -> Found:
    """Solve an assignment problem.

    Parameters
    ----------
    until
        Reading of `time.monotonic` after which the best so far is returned.
    start, price
        A plan and prices to start from, where there are any.
    budget
        Share of the usual number of moves.
    """
    from salesops_lib.territory import prices

    task = with_held(task)
    price, bound = prices.balance_prices(task.cost, task.weight, task.low, task.high, start=price, seed=seed)
    if task.cost.size <= SMALL:
        from salesops_lib.territory.exact import solve_exactly

        exact = solve_exactly(task, min(EXACT_S, max(until - time.monotonic(), 1.0)))
        if exact is not None:
            assign, proven, is_best = exact
            bound = max(bound, proven)
            if is_best:  # else the clock decided, and a seed would not give one plan
                total, out = _scored(task, assign)
                return Found(assign, total, min(bound, total), price, out)
    assign = _searched(task, price, until, seed, start, budget)
    total, out = _scored(task, assign)
    return Found(assign, total, min(bound, total) if out <= INSIDE else bound, price, out)


def with_held(task: Task) -> Task:
    """Make every rep but its own infinitely dear to a unit that must stay."""
    held = task.held >= 0
    if not held.any():
        return task
    cost = task.cost.copy()
    cost[held] = np.inf
    cost[held, task.held[held]] = task.cost[held, task.held[held]]
    return Task(cost, task.weight, task.low, task.high, task.held)


def judged(task: Task, assign: np.ndarray, price: np.ndarray) -> Found:
    """Score a plan found elsewhere, with the bound that prices prove."""
    from salesops_lib.territory import prices

    bound = prices.proven(with_held(task).cost, task.weight, task.low, task.high, price)
    total, out = _scored(task, assign)
    return Found(assign, total, min(bound, total) if out <= INSIDE else bound, price, out)


def _scored(task: Task, assign: np.ndarray) -> tuple[float, float]:
    from salesops_lib.territory import plan_search

    load = np.empty_like(task.low)
    total = plan_search.tallied(task.cost, task.weight, assign, load)
    return float(total), float(plan_search.outside(load, task.low - INSIDE, task.high + INSIDE))


def moves_for(n: int, reps: int) -> int:
    """Number of moves that a case of this size is worth."""
    each, least, most, most_few = MOVES
    few = n / reps < FEW
    most = most_few if few and n <= 2_000 else 1.5 * most if few else most
    return int(min(max(each * n * max(1.0, 80 * reps / n), least), most))


def _searched(task, price, until, seed, start, budget) -> np.ndarray:
    """Anneal from the rounded prices, repair what is out of balance, and keep the best plan within."""
    from salesops_lib.territory import chance, plan_search, prices

    n, reps = task.cost.shape
    arcs, _ = prices.cheapest(task.cost, task.weight, price, min(12, reps))
    unit, rho = scales(task, price, arcs)
    held = task.held >= 0
    free, load = np.flatnonzero(~held), np.empty_like(task.low)
    assign = arcs[:, 0].astype(np.int64) if start is None else start.astype(np.int64).copy()
    fixed = (task.cost, task.weight, task.low, task.high, arcs, free, held)
    state, best, best_key = chance.start(seed), assign.copy(), (np.inf, np.inf)
    steps = int(budget * moves_for(n, reps)) if reps > 1 and len(free) else 0
    began, limit, whole = time.monotonic(), 0.8 * (until - time.monotonic()), steps
    hot = min(HOT, max(COOL, FEW * reps / n))  # many accounts a rep: rounding is nearly right already
    for _ in range(TURNS if steps else 1):
        plan_search.tallied(task.cost, task.weight, assign, load)
        k, fall, rise, part = 0, (COLD / hot) ** (1 / PARTS), STIFF ** (1 / PARTS), max(steps // PARTS, 1)
        while k < PARTS and steps:
            at, dear = unit * hot * fall**k, rho * rise**k
            plan_search.anneal(*fixed, assign, load, state, part, at, at * fall, dear, rise)
            late = int(PARTS * (time.monotonic() - began) / max(limit, 1e-9))
            k = max(k + 1, min(late, PARTS - 1)) if k < PARTS - 1 else PARTS  # pressed for time it cools faster
        if steps:
            plan_search.descend(*fixed, assign, load, rho * STIFF, 8 if n <= MANY else 2)
        total = plan_search.tallied(task.cost, task.weight, assign, load)
        out = plan_search.outside(load, task.low, task.high)
        key = (out if out > INSIDE else 0.0, total)
        if key < best_key:
            best, best_key = assign.copy(), key
        if best_key[0] == 0 or time.monotonic() > until:
            break
        # a little out of balance: warm it up a little, and let balance be dearer than before
        assign, hot, steps, rho = best.copy(), WARM, whole // 3 + 1, rho * 6
    return best


def scales(task: Task, price, arcs) -> tuple[float, float]:
    """Return the scale of a choice between two reps, and of the price of imbalance."""
    i = np.arange(len(arcs))
    first, second = (
        task.cost[i, arcs[:, x]] + (task.weight * price[arcs[:, x]]).sum(axis=1)
        for x in (0, min(1, arcs.shape[1] - 1))
    )
    apart = second - first
    apart = apart[np.isfinite(apart) & (apart > 0)]
    unit = float(np.median(apart)) if len(apart) else 1.0
    return max(unit, 1e-9), float(np.abs(price).max()) + unit * len(i) / task.low.shape[0] / 10 + 1e-9


@cache
def warm() -> None:
    """Compile, or read what was compiled before, ahead of the clock: else a first call would search less."""
    rng = np.random.default_rng(0)
    for kind in (np.float64, np.float32):
        cost = rng.random((400, 3)).astype(kind)
        one = np.ones((3, 1))
        task = Task(cost, np.full((400, 1), 3 / 400), 0.9 * one, 1.1 * one, np.full(400, -1))
        solve(task, until=time.monotonic() + 60, budget=1e-3)
