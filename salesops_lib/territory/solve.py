"""From costs, weights and limits to a plan: prices, rounding, annealing, repair; exact where a case is small."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

SMALL = 200  # pairs of account and rep up to which a case is solved exactly
EXACT_S, NODES = 10.0, 100  # seconds, and nodes of the search tree, for that at most
# temperature, in median distances between an account's best and second rep: at most, at least, and at last
HOT, COOL, COLD = 1.0, 0.1, 0.01
REACH = 30.0  # arcs on which an account loses more than so many temperatures are not tried
STIFF = 30.0  # how much the price of imbalance rises over a search
MOVES = (2_000, 200_000, 15_000_000, 3_000_000)  # a near-tight arc; least; most; most where accounts are small
MOST_PAIRS = 250_000  # near-tight arcs tried
SMALLEST = 150  # accounts a rep from which on they are small
MANY = 100_000  # pairs from which on accounts are small and the bound is near as it is
ARCS = 12  # reps an account may go to
INSIDE = 1e-9
MARGIN = 5e-3  # the search keeps so much of the tolerance back, for what it leaves outside at its end
TURNS, PARTS = 3, 10  # runs of the search at most; parts of a run, between which it looks at the clock


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


def solve(task: Task, *, until: float, seed: int = 0, price=None, budget: float = 1.0) -> Found:
    """Solve an assignment problem.

    Parameters
    ----------
    until
        Reading of `time.monotonic` after which the best so far is returned.
    price
        Prices to start from, where there are any.
    budget
        Share of the usual number of moves.
    """
    from salesops_lib.territory import prices

    task = with_held(task)
    price, bound = prices.balance_prices(task.cost, task.weight, task.low, task.high, start=price, seed=seed)
    if task.cost.size <= SMALL:
        from salesops_lib.territory.exact import solve_exactly

        exact = solve_exactly(task, min(EXACT_S, max(until - time.monotonic(), 1.0)), nodes=NODES)
        if exact is not None:
            assign, proven, is_best = exact
            bound = max(bound, proven)
            if is_best:  # else the clock decided, and a seed would not give one plan
                total, out = _scored(task, assign)
                return Found(assign, total, min(bound, total), price, out)
    assign = _searched(task, price, until, seed, budget)
    total, out = _scored(task, assign)
    if task.cost.size <= MANY:
        from salesops_lib.territory.branching import branched

        bound, cost, near = branched(task, price, bound, total if out <= INSIDE else np.inf)
        again = _searched(replace(task, cost=cost), near, until, seed, budget)
        if (_scored(task, again)[::-1]) < (out, total):
            assign, (total, out) = again, _scored(task, again)
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


def is_flat(task: Task) -> bool:
    """Whether every plan costs the same: then the best balanced one is wanted."""
    finite = np.where(np.isfinite(task.cost), task.cost, np.nan)
    return float(np.nanmax(np.nanmax(finite, axis=1) - np.nanmin(finite, axis=1))) <= 0


def judged(task: Task, assign: np.ndarray, price: np.ndarray) -> Found:
    """Score a plan found elsewhere, with the bound that prices prove."""
    from salesops_lib.territory import prices

    bound = prices.proven(with_held(task).cost, task.weight, task.low, task.high, price)
    total, out = _scored(task, assign)
    return Found(assign, total, min(bound, total) if out <= INSIDE else bound, price, out)


def _scored(task: Task, assign: np.ndarray) -> tuple[float, float]:
    from salesops_lib.territory import plan_search

    total, load = plan_search.tallied(task, assign)
    return total, float(plan_search.outside(load, task.low - INSIDE, task.high + INSIDE))


@dataclass(frozen=True)
class Arcs:
    """Reps that each account may go to, cheapest at the prices first.

    `rep`, `far` (cost) and `regret` (against the first) have one row an account.
    `pairs` are those that may be tried, least regret first, as ``account × width + place``; `unit` is the median
    regret of the second rep. The first arc counts with the second's regret, for it is the way back.
    """

    rep: np.ndarray
    far: np.ndarray
    regret: np.ndarray
    pairs: np.ndarray
    ready: np.ndarray
    unit: float


def arcs_of(task: Task, price: np.ndarray) -> Arcs:
    """List the arcs of least cost plus price."""
    from salesops_lib.territory import prices

    width = min(ARCS, task.cost.shape[1])
    rep, _ = prices.cheapest(task.cost, task.weight, price, width)
    far = np.take_along_axis(task.cost, rep, axis=1).astype(float)
    value = far + (task.weight[:, None, :] * price[rep]).sum(axis=2)
    regret = value - value[:, :1]
    second = regret[:, min(1, width - 1)]
    apart = second[np.isfinite(second) & (second > 0)]
    unit = max(float(np.median(apart)) if len(apart) else 1.0, 1e-9)
    loss = regret.copy()
    loss[:, 0] = second
    loss[task.held >= 0] = np.inf
    pairs = np.flatnonzero(loss.ravel() <= REACH * HOT * unit)
    pairs = pairs[np.argsort(loss.ravel()[pairs], kind="stable")][:MOST_PAIRS]
    return Arcs(rep, far, regret, pairs, loss.ravel()[pairs], unit)


def _searched(task, price, until, seed, budget) -> np.ndarray:
    """Anneal from the rounded prices, plan anew what is out of balance, and keep the best plan within."""
    from salesops_lib.territory import repair

    assign, arcs, rho = annealed(task, price, until, seed, budget)
    if arcs is None:
        return assign
    return repair.mended(task, arcs.rep, arcs.regret, assign, 10 * rho * STIFF, until)


def annealed(
    task: Task, price, until: float, seed: int, budget: float, *, start: np.ndarray | None = None
) -> tuple[np.ndarray, Arcs | None, float]:
    """Anneal from the rounded prices, or from a plan as far as it lies on their arcs.

    Returns the rep of every unit, the arcs (none where nothing can move) and the last price of imbalance.
    """
    from salesops_lib.territory import chance

    n, reps = task.cost.shape
    arcs, state = arcs_of(task, price), chance.start(seed)
    rho = dearest(price, arcs.unit, n / reps)
    assign = arcs.rep[:, 0].astype(np.int64)
    if reps == 1 or not len(arcs.pairs):
        return assign, None, rho
    at = np.zeros(n, np.int64) if start is None else _places(task, arcs, start)
    hot = float(np.clip(task.weight[task.held < 0].max(), COOL, HOT))  # large accounts: far from what prices say
    began, last = time.monotonic(), until - 0.2 * (until - time.monotonic())
    for _ in range(TURNS):
        _run(task, arcs, at, state, hot, rho, budget, (began, last))
        assign = np.take_along_axis(arcs.rep, at[:, None], axis=1)[:, 0].astype(np.int64)
        if _scored(task, assign)[1] <= 0 or time.monotonic() > last:
            break
        began, hot, rho = time.monotonic(), COOL, rho * 6  # warm up a little; balance is dearer than before
    return assign, arcs, rho


def _places(task: Task, arcs: Arcs, assign: np.ndarray) -> np.ndarray:
    """Arc of each unit that leads to its rep; the first where none does, or it is held."""
    same = (arcs.rep == assign[:, None]) & (task.held < 0)[:, None]
    return same.argmax(axis=1).astype(np.int64)


def _run(task: Task, arcs: Arcs, at, state, hot, rho, budget, clock) -> None:
    """Cool down once; pressed for time it cools faster."""
    from salesops_lib.territory import plan_search

    tried = np.searchsorted(arcs.ready, REACH * hot * arcs.unit, side="right")
    each, least, large, small = MOVES
    most = small if len(at) >= SMALLEST * task.cost.shape[1] else large
    part = int(budget * min(max(each * tried, least), most)) // PARTS + 1
    fall, rise, k = (COLD / hot) ** (1 / PARTS), STIFF ** (1 / PARTS), 0
    load = plan_search.tallied(task, np.take_along_axis(arcs.rep, at[:, None], axis=1)[:, 0])[1]
    margin = MARGIN * (task.high - task.low) / 2
    began, last = clock
    while k < PARTS:
        heat, dear = arcs.unit * hot * fall**k, rho * rise**k
        fixed = (
            arcs.far,
            task.weight,
            task.low + margin,
            task.high - margin,
            arcs.rep,
            *_tight(arcs, REACH * heat),
            at,
            load,
        )
        plan_search.anneal(*fixed, state, part, heat, heat * fall, dear, rise)
        late = int(PARTS * (time.monotonic() - began) / max(last - began, 1e-9))
        k = max(k + 1, min(late, PARTS - 1)) if k < PARTS - 1 else PARTS
    plan_search.descend(*fixed, rho * STIFF, 8 if most == large else 1)


def _tight(arcs: Arcs, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take the pairs of little regret, and list them by rep."""
    count = np.searchsorted(arcs.ready, reach, side="right")
    pairs = arcs.pairs[: max(count, min(len(arcs.pairs), 50))]
    rep = arcs.rep.ravel()[pairs]
    order = np.argsort(rep, kind="stable")
    reps = int(arcs.rep.max()) + 1
    return pairs, pairs[order], np.searchsorted(rep[order], np.arange(reps + 1))


def dearest(price, unit: float, each: float) -> float:
    """Return a price of imbalance that no single move can afford."""
    return float(np.abs(price).max()) + unit * each / 10 + 1e-9


@cache
def warm() -> None:
    """Compile, or read what was compiled before, ahead of the clock: else a first call would search less."""
    rng = np.random.default_rng(0)
    for kind in (np.float64, np.float32):
        cost = rng.random((400, 3)).astype(kind)
        one = np.ones((3, 1))
        task = Task(cost, np.full((400, 1), 3 / 400), 0.9 * one, 1.1 * one, np.full(400, -1))
        solve(task, until=time.monotonic() + 60, budget=1e-3)
