"""A plan at once, beside that of the page: for a planner who turns a knob and looks.

The page's plans for several prices of disruption are there already, with their prices of balance. From the nearest
of them, and from rounded prices, a few short searches are run; the bound is proven as ever, on the root alone, so
the gap told is wider than that of a plan that took its time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import InsufficientData, ParameterError
from salesops_lib.territory import solve
from salesops_lib.territory.analysis import MISFIT_KM, Plan, compose, design, earlier_prices, furthest, to_task
from salesops_lib.territory.handover import hand_over
from salesops_lib.territory.inputs import read
from salesops_lib.territory.scenarios import compare_plans

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.territory.review import Review
    from salesops_lib.territory.solve import Found, Task

EFFORT = 0.05  # share of the usual moves in each search
SEEDS = (0, 1)  # of searches from rounded prices, the last where none before is within the tolerance
ENOUGH, FAR = 0.025, 0.02  # gap, and distance from the tolerance, from which on no further search is run
MOST = 300  # accounts to pick from
LONGEST_S = 5.0


@dataclass(frozen=True)
class Tried:
    """A plan tried beside the page's.

    Attributes
    ----------
    page, this
        The plans.
    names
        Name of each rep by id.
    """

    page: Plan
    this: Plan
    names: Mapping[str, str]

    @property
    def table(self) -> pd.DataFrame:
        """Both plans, one row each; see `compare_plans`."""
        return compare_plans({"page": self.page, "this": self.this})

    @property
    def loads(self) -> pd.DataFrame:
        """One row a rep: `name`, and `share_page`, `share` (load ÷ target), `accounts_page`, `accounts`."""
        kept = ["user_id", "share", "accounts"]
        rows = self.this.reps[kept].merge(self.page.reps[kept], on="user_id", suffixes=("", "_page"))
        out = rows.assign(name=rows["user_id"].map(self.names))
        return out[["name", "share_page", "share", "accounts_page", "accounts"]].sort_values(
            "name", ignore_index=True
        )

    @property
    def rows_behind(self) -> dict[str, pd.DataFrame]:
        """What is behind the figures of this plan: accounts that change hands, and loads."""
        moves = hand_over(self.this).drop(columns=["open_deals", "open_amount"])
        for column in ("from_user_id", "to_user_id"):
            moves[column] = moves[column].map(self.names).fillna(moves[column])
        moves = moves.rename(columns={"from_user_id": "out_of", "to_user_id": "into"})
        return {"accounts that change hands": moves, "loads of the reps": self.loads}


def try_design(result: Review, *, tolerance: float, disruption: float, locked: str = "") -> Tried:
    """Plan again with other choices, in a moment.

    Parameters
    ----------
    tolerance, disruption
        See `design`.
    locked
        Id of an account that is to stay with its owner; none where it is empty.

    Raises
    ------
    ParameterError
        Where a short search finds no plan within the tolerance.
    InsufficientData
        Where the page has no plan.
    """
    if isinstance(result.plan, InsufficientData):
        raise result.plan
    locks = (locked,) if locked else ()
    near = min(result.plans, key=lambda price: abs(np.log1p(price) - np.log1p(disruption)))
    plans = [result.plans[near], result.plan]
    this = _plan(result, plans, tolerance, disruption, locks)
    return Tried(result.plan, this, dict(zip(result.reps["user_id"], result.reps["name"], strict=True)))


def lockable(result: Review) -> dict[str, str]:
    """List what `try_design` can lock by name: nothing, or one of the accounts with most load."""
    if isinstance(result.plan, InsufficientData):
        return {"–": ""}
    rows = result.accounts.nlargest(MOST, result.plan.balance[0])
    named = rows["name"] if "name" in rows else rows["account_id"]
    told = dict(zip(named + " (" + rows["account_id"] + ")", rows["account_id"], strict=True))
    return {"–": ""} | dict(sorted(told.items()))


def _plan(result: Review, plans: list[Plan], tolerance: float, disruption: float, locked: tuple) -> Plan:
    solve.warm()
    balance = result.plan.balance
    given = read(result.accounts, result.reps, balance, locked, (), None, True)
    task, unit, findings = to_task(given, tolerance, disruption, MISFIT_KM)
    task = solve.with_held(task)
    if task.cost.size <= solve.SMALL or solve.is_flat(task):  # takes a moment anyhow, and no search
        options = {"balance": balance, "tolerance": tolerance, "disruption": disruption, "locked": locked}
        return design(result.accounts, result.reps, start=result.plan, time_limit_s=LONGEST_S, **options)
    first = np.unique(unit, return_index=True)[1]
    users = {user: k for k, user in enumerate(given.user)}
    starts = [plan.assignments["user_id"].map(users).to_numpy()[first] for plan in plans]
    found = _searched(task, earlier_prices(plans[0], given), starts)
    if not np.isfinite(found.cost):
        raise ParameterError("A short search found no plan that keeps what is locked; set it as a parameter.")
    if found.outside > 0:
        off = furthest(task, found.assign)
        raise ParameterError(
            f"A short search found no plan within ±{tolerance:.1%}; the nearest is {off:.1%} off. Widen the "
            "tolerance, or set it as a parameter and run the notebook again: the page's search takes longer."
        )
    return compose(given, found, unit, balance, tolerance, findings)


def _searched(task: Task, price: np.ndarray | None, starts: list[np.ndarray]) -> Found:
    """Take the best of the given plans and of a few short searches: least outside, then cheapest."""
    from salesops_lib.territory import prices

    price, bound = prices.balance_prices(task.cost, task.weight, task.low, task.high, start=price)
    until = time.monotonic() + LONGEST_S
    tries = [(starts[0], 0), *((None, seed) for seed in SEEDS)]
    best = min((solve.judged(task, start, price) for start in starts), key=_rank)
    for at, (start, seed) in enumerate(tries):
        if best.outside <= 0 and (at == len(SEEDS) or best.cost <= (1 + ENOUGH) * bound):
            break
        if at == len(SEEDS) and best.outside > FAR:
            break
        assign = solve.annealed(task, price, until, seed, EFFORT, start=start)[0]
        best = min(best, solve.judged(task, assign, price), key=_rank)
    return best


def _rank(found: Found) -> tuple[bool, float, float]:
    return not np.isfinite(found.cost), found.outside, found.cost  # one that moves a locked account comes last
