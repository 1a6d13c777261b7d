"""Who serves which account: balanced, short, with little disruption, and a bound on how good it could be."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import ParameterError, listed
from salesops_lib.language import say
from salesops_lib.territory.inputs import LARGE_PAIRS, Inputs, read
from salesops_lib.territory.measures import compare, told

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.territory.solve import Found, Task

SHOWN = 200  # letters of names in a finding
MISFIT_KM = 1_000.0


@dataclass(frozen=True)
class Plan:
    """A territory plan.

    Attributes
    ----------
    headline
        One sentence: balance, travel, accounts moved, and how far from the best it can be at most.
    assignments
        One row an account: `account_id`, `user_id`, `previous_user_id` (empty where nobody had it), `distance_km`
        (one way, great circle; 0 without coordinates), `is_moved`, `is_locked`.
    reps
        One row a rep: `user_id`, `accounts`, `load`, `target`, `share` (load ÷ target) of the first balance
        measure,
        `travel_km` (distance × visits), `gained`, `lost` (accounts); and `load_…`, `share_…` of every measure.
    metrics
        One row a measure of the whole: `metric`, `unit`, `before` (today's owners; empty where there are none),
        `after`.
    cost, lower_bound, gap
        What was minimised, in kilometres a year; no plan within the tolerance costs less than `lower_bound`; and
        ``(cost − lower_bound) ÷ lower_bound``.
    findings
        What a planner should know, in sentences: accounts larger than a rep's share, owners who left, and the
        like.
    balance, tolerance
        As asked.
    prices
        What balance costs at the margin: `user_id`, one column a measure; to start the next plan from.
    """

    headline: str
    assignments: pd.DataFrame
    reps: pd.DataFrame
    metrics: pd.DataFrame
    cost: float
    lower_bound: float
    gap: float
    findings: tuple[str, ...]
    balance: tuple[str, ...]
    tolerance: float
    prices: pd.DataFrame = field(repr=False)


def design(
    accounts: pd.DataFrame,
    reps: pd.DataFrame,
    *,
    balance: tuple[str, ...] = ("potential_amount",),
    tolerance: float = 0.05,
    disruption: float = 0.0,
    locked: object = (),
    fit: pd.DataFrame | None = None,
    adjacency: pd.DataFrame | None = None,
    time_limit_s: float = 60,
    seed: int = 0,
    forbidden: object = (),
    misfit: float = MISFIT_KM,
    together: bool = True,
    bridge_islands: bool = False,
    start: Plan | None = None,
) -> Plan:
    """Assign accounts (or postal areas, counties, segments) to reps.

    Least travel, misfit and disruption, with every rep's load within the tolerance. Small cases are solved exactly
    (HiGHS); others by Lagrangian prices, annealing and local search, with a bound over all reps.

    Parameters
    ----------
    accounts
        `account_id`, the balance columns, and where there are any `lat`, `lon`, `owner_id`, `visits_per_year` (1),
        `revenue_amount` (the first balance column), `parent_account_id`. Without coordinates nothing travels.
    reps
        `user_id`, `home_lat`, `home_lon` (where accounts have places), `capacity_share` (equal).
    balance
        Columns whose sums are to be each rep's share.
    tolerance
        How far a rep's load may lie from target, as a share of it.
    disruption
        Kilometres a year that leaving an account of average revenue with its owner is worth.
    locked
        Accounts that stay with their owner, or pairs of account and rep (also a mapping or a frame).
    fit
        `user_id`, `fit` (such as points of win rate above the average, shrunken), and columns of `accounts` to
        match
        on (`segment`, `industry`, `account_id`); pairs not named have 0.
    adjacency
        `account_id`, `neighbour_id`: every territory becomes one connected piece.
    time_limit_s
        Seconds after which the best so far is returned; before that a seed gives one plan.
    forbidden
        Pairs of account and rep that may not be.
    misfit
        Kilometres a year that one unit of `fit` on an account of average weight is worth.
    together
        Keep accounts with one ultimate parent with one rep.
    bridge_islands
        Join pieces of `adjacency` that do not touch by their nearest accounts, instead of refusing.
    start
        An earlier plan to start from: few accounts move, and it takes a moment.

    Raises
    ------
    ParameterError
        For a tolerance that cannot be met (naming the smallest), more reps than accounts, contradictory locks,
        unknown names.
    DataContractError
        For rows that cannot be used, naming them.
    """
    from salesops_lib.territory import solve

    balance = (balance,) if isinstance(balance, str) else tuple(balance)
    if not balance or not tolerance >= 0 or not disruption >= 0:
        raise ParameterError("balance needs a column; tolerance and disruption are 0 or more.")
    solve.warm()
    until = time.monotonic() + time_limit_s
    given = read(accounts, reps, balance, locked, forbidden, fit, together)
    task, unit, findings = to_task(given, tolerance, disruption, misfit)
    if adjacency is not None:
        from salesops_lib.territory.contiguity import connected_plan

        found, more = connected_plan(task, unit, accounts, reps, adjacency, until, seed, bridge_islands)
        findings += more
    else:
        found = _found(task, until, seed, earlier_prices(start, given))
    if found.outside > 0:
        raise ParameterError(_refused(task, found, tolerance, given, adjacency is not None))
    return compose(given, found, unit, balance, tolerance, findings)


def to_task(
    given: Inputs, tolerance: float, disruption: float, misfit: float
) -> tuple[Task, np.ndarray, list[str]]:
    """Turn checked inputs into an assignment problem of units (accounts that stay together)."""
    from salesops_lib.territory.solve import Task

    kind = np.float64 if given.distance.size <= LARGE_PAIRS else np.float32
    cost = given.distance.astype(kind) * given.visits[:, None].astype(kind)
    if given.misfit is not None:
        cost += (misfit * given.misfit * (given.weight[:, [0]] / given.weight[:, 0].mean())).astype(kind)
    owned = given.owner >= 0
    if disruption and owned.any():
        price = disruption * given.revenue / max(given.revenue.mean(), 1e-12)
        cost[owned] += price[owned, None].astype(kind)
        cost[owned, given.owner[owned]] -= price[owned].astype(kind)
    if given.barred is not None:
        cost[given.barred] = np.inf
    reps = len(given.user)
    weight = given.weight * (reps / given.weight.sum(axis=0))
    target = np.repeat((given.share * reps)[:, None], weight.shape[1], axis=1)
    unit, findings = _fitting_units(given, weight, target * (1 + tolerance))
    cost, weight, held = _by_unit(cost, weight, given, unit)
    low, high, held, more = _giants(cost, weight, target, tolerance, held, unit, given)
    return Task(cost, weight, low, high, held), unit, [*given.findings, *findings, *more]


def _fitting_units(given: Inputs, weight, most) -> tuple[np.ndarray, list[str]]:
    """Take families apart that no rep could hold."""
    unit = given.unit
    if unit.max() + 1 == len(unit):
        return unit, []
    sums = np.column_stack([np.bincount(unit, column) for column in weight.T])
    wide = (sums > most.max(axis=0) + 1e-9).any(axis=1) & (np.bincount(unit) > 1)
    if not wide.any():
        return unit, []
    apart = wide[unit]
    unit = np.where(apart, unit.max() + 1 + np.arange(len(unit)), unit)
    names = listed(given.account[apart], most=SHOWN)
    said = say(
        "{n} families of accounts are larger than any rep's share and may be split: {names}.",
        n=int(wide.sum()), names=names,
    )  # fmt: skip
    return np.unique(unit, return_inverse=True)[1], [said]


def _by_unit(cost, weight, given: Inputs, unit) -> tuple[np.ndarray, ...]:
    count = unit.max() + 1
    if count == len(unit):
        return cost, weight, given.held
    out = np.zeros((count, cost.shape[1]), dtype=cost.dtype)
    np.add.at(out, unit, cost)
    held = np.full(count, -1)
    for at in np.flatnonzero(given.held >= 0):
        if held[unit[at]] not in (-1, given.held[at]):
            family = listed(given.account[unit == unit[at]], most=SHOWN)
            raise ParameterError(
                f"locked: accounts of one parent are locked to {given.user[held[unit[at]]]} and "
                f"{given.user[given.held[at]]} ({family}); lock them alike, or design with together=False."
            )
        held[unit[at]] = given.held[at]
    stuck = ~np.isfinite(np.where(held[:, None] >= 0, out[np.arange(count), held][:, None], out)).any(axis=1)
    if stuck.any():
        family = listed(given.account[stuck[unit]], most=SHOWN)
        raise ParameterError(f"forbidden pairs leave no rep for accounts kept together: {family}.")
    return out, np.column_stack([np.bincount(unit, column, count) for column in weight.T]), held


def _giants(cost, weight, target, tolerance, held, unit, given: Inputs):
    """Give accounts larger than any share a rep of their own, and share the rest out among the others."""
    held, alone, names = held.copy(), np.zeros(len(target), dtype=bool), []
    low, high = target * (1 - tolerance), target * (1 + tolerance)
    while not alone.all():
        settled = (held >= 0) & alone[held]
        large = (weight > high[~alone].max(axis=0) * (1 + 1e-9)).any(axis=1) & ~settled
        if not large.any():
            break
        i = int(np.argmax(np.where(large, weight.max(axis=1), -1)))
        j = _holder(i, cost, held, alone, given.owner[unit == i][0])
        held[i], alone[j] = j, True
        names.append(listed(given.account[unit == i], most=80))
        full = (held >= 0) & alone[held]
        rest = weight[~full].sum(axis=0) / np.maximum(target[~alone].sum(axis=0), 1e-12)
        low, high = target * rest * (1 - tolerance), target * rest * (1 + tolerance)
        low[alone] = 0.0
        for k in np.flatnonzero(alone):
            high[k] = weight[held == k].sum(axis=0) * (1 + 1e-9)
    if not names:
        return low, high, held, []
    said = say(
        "{n} accounts are larger than a whole share and fill a rep alone; the rest is balanced: {names}.",
        n=len(names), names=listed(names, most=SHOWN),
    )  # fmt: skip
    return low, high, held, [said]


def _holder(i: int, cost, held, alone, owner: int) -> int:
    """Choose the rep of a giant: the one it is locked to, its owner where free, else the cheapest free one."""
    if held[i] >= 0:
        return int(held[i])
    open_ = ~alone & np.isfinite(cost[i])
    if owner >= 0 and open_[owner]:
        return int(owner)
    return int(np.argmin(np.where(open_, cost[i], np.inf)))


def earlier_prices(start: Plan | None, given: Inputs) -> np.ndarray | None:
    """Take the prices of an earlier plan to start from; none where it balanced other measures."""
    if start is None:
        return None
    prices = start.prices.set_index("user_id").reindex(given.user)
    prices = prices.fillna(prices.median()).fillna(0.0).to_numpy()
    return prices if prices.shape[1] == given.weight.shape[1] else None


def _found(task: Task, until, seed, price) -> Found:
    """Solve; where every plan costs the same, the best balanced one is wanted."""
    from salesops_lib.territory import exact, solve

    if not solve.is_flat(task):
        return solve.solve(task, until=until, seed=seed, price=price)
    target = exact.middle(task)
    if task.cost.size <= solve.SMALL:
        closest = exact.closest_balance(solve.with_held(task), solve.EXACT_S)
        if closest is not None:
            return solve.judged(task, closest[0], np.zeros_like(target))
    tight = solve.Task(task.cost, task.weight, target, target, task.held)
    return solve.judged(task, solve.solve(tight, until=until, seed=seed).assign, np.zeros_like(target))


def _refused(task: Task, found: Found, tolerance, given: Inputs, connected: bool) -> str:
    """Say that the tolerance cannot be met, and the smallest that can."""
    from salesops_lib.territory import exact, solve

    proven = False
    best = furthest(task, found.assign)
    if task.cost.size <= solve.SMALL and not connected:
        closest = exact.closest_balance(solve.with_held(task), solve.EXACT_S)
        if closest is not None and closest[1] <= best + 1e-6:
            best, proven = furthest(task, closest[0]), closest[2]
    smallest = np.ceil(best * 1e4 - 1e-6) / 1e4
    said = "the smallest that can be met is" if proven else "the closest plan found needs"
    locks = int((given.held >= 0).sum())
    also = f" {locks} locked accounts take part of the freedom." if locks else ""
    return f"tolerance {tolerance:g} cannot be met: {said} {smallest:.4f}; ask for tolerance={smallest:.4f}.{also}"


def furthest(task: Task, assign: np.ndarray) -> float:
    """How far the furthest load of a plan lies from target, a share of it."""
    from salesops_lib.territory import exact, plan_search

    return float(np.abs(plan_search.tallied(task, assign)[1] / exact.middle(task) - 1).max())


def compose(given: Inputs, found: Found, unit, balance, tolerance, findings) -> Plan:
    """Write a plan found in numbers out."""
    import pandas as pd

    assign = found.assign[unit]
    i = np.arange(len(assign))
    before = pd.Series(given.user, dtype=object).reindex(given.owner).to_numpy()
    moved = (given.owner >= 0) & (given.owner != assign)
    rows = pd.DataFrame(
        {
            "account_id": given.account,
            "user_id": given.user[assign],
            "previous_user_id": before,
            "distance_km": given.distance[i, assign].astype(float),
            "is_moved": moved,
            "is_locked": given.held >= 0,
        }
    )
    metrics, sums = compare(given, assign, balance)
    gap = max(found.cost - found.bound, 0.0) / found.bound if found.bound > 0 else float(found.cost > 1e-9)
    prices = pd.DataFrame(found.price, columns=list(balance)).assign(user_id=given.user)
    return Plan(
        told(metrics, gap, len(given.user), len(i), balance[0]), rows, sums, metrics, found.cost, found.bound, gap,
        tuple(findings), balance, tolerance, prices,
    )  # fmt: skip
