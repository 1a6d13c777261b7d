"""The year's work: what calm costs, plans side by side, a rep who leaves, and which territory suits whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import InsufficientData, ParameterError
from salesops_lib.language import say
from salesops_lib.territory.analysis import Plan, design
from salesops_lib.territory.rows import need, numbers

if TYPE_CHECKING:
    import pandas as pd

PRICES = (0.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0)
STEPS = 7  # of the search for a price that keeps to a number of moves
DRAWS = 2_000


def price_disruption(
    accounts: pd.DataFrame,
    reps: pd.DataFrame,
    *,
    prices: Iterable[float] = PRICES,
    known: Mapping[float, Plan] | None = None,
    **options,
) -> pd.DataFrame:
    """Trace what it costs to leave accounts where they are: travel and balance against what is moved.

    Parameters
    ----------
    prices
        Values of `disruption` to plan with; see `design`, which also takes `options`.
    known
        Plans that are there already, by price.

    Returns
    -------
    DataFrame
        One row a price: `disruption`, `accounts_moved`, `accounts_moved_share`, `revenue_moved_share`,
        `travel_km`,
        `max_deviation`, `gap`.
    """
    return key_figures(plans_by_price(accounts, reps, prices=prices, known=known, **options))


def plans_by_price(
    accounts: pd.DataFrame,
    reps: pd.DataFrame,
    *,
    prices: Iterable[float] = PRICES,
    known: Mapping[float, Plan] | None = None,
    **options,
) -> dict[float, Plan]:
    """Make the plans of `price_disruption`, by price."""
    plan, known, out = None, dict(known or {}), {}
    for price in sorted({*prices, *known}):
        plan = out[price] = known.get(price) or design(accounts, reps, disruption=price, start=plan, **options)
    return out


def key_figures(plans: Mapping[float, Plan]) -> pd.DataFrame:
    """Say of plans by price what `price_disruption` returns."""
    import pandas as pd

    return pd.DataFrame([{"disruption": price, **_key_figures(plan)} for price, plan in plans.items()])


def _key_figures(plan: Plan) -> dict[str, float]:
    after = plan.metrics.set_index("metric")["after"]
    return {
        "accounts_moved": int(after["accounts moved"]),
        "accounts_moved_share": after["accounts moved"] / len(plan.assignments),
        "revenue_moved_share": after["revenue moved"],
        "travel_km": after["travel"],
        "max_deviation": after[f"{plan.balance[0]}: max deviation"],
        "gap": plan.gap,
    }


def compare_plans(plans: Mapping[str, Plan]) -> pd.DataFrame:
    """Put plans side by side: one row each, `plan` and the key figures of `price_disruption`."""
    import pandas as pd

    return pd.DataFrame([{"plan": name, **_key_figures(plan)} for name, plan in plans.items()])


def replan(accounts: pd.DataFrame, reps: pd.DataFrame, *, most_moved: int, **options) -> Plan:
    """Plan anew with at most so many accounts taken from a rep who stays: for one who leaves or joins.

    Accounts whose owner is no rep any more have to move and do not count. The least price of disruption that keeps
    to the number is sought by halving.

    Raises
    ------
    ParameterError
        Where balance cannot be had with so few moves.
    """
    plan, price, low, high = design(accounts, reps, **options), 0.0, 0.0, None
    best, fewest = None, np.inf
    for _ in range(2 * STEPS):
        moved = int(plan.assignments["is_moved"].sum())
        fewest = min(fewest, moved)
        if moved <= most_moved:
            best, high = plan, price
        else:
            low = price
        if high is not None and high - low <= 0.1 * high:
            break
        price = max(4 * price, 30.0) if high is None else (low + high) / 2
        plan = design(accounts, reps, disruption=price, start=plan, **options)
    if best is None:
        raise ParameterError(
            f"most_moved {most_moved}: the fewest moves found that keep the balance are {int(fewest)}; "
            "allow more, or a wider tolerance."
        )
    return best


def match(values: pd.DataFrame, *, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """Give each territory to the rep who makes most of it, and say how sure that is.

    The assignment of highest total value (Jonker and Volgenant 1987), solved again on values drawn within their
    doubt.

    Parameters
    ----------
    values
        One row a territory and rep: `territory_id`, `user_id`, `value` (such as expected revenue), `error` (its
        standard error; 0 where missing); `is_today` where the present holder is known.

    Returns
    -------
    DataFrame
        One row a territory: `territory_id`, `user_id`, `value`, `p_best` (share of draws with the same rep),
        `today_user_id`, `gain` over today, `gain_low`, `gain_high` (90 %) of the whole, `regret` (what the plan is
        expected to lose against perfect knowledge, of the whole).

    Raises
    ------
    InsufficientData
        Where there are fewer reps than territories, or pairs without a value.
    """
    import pandas as pd
    from scipy.optimize import linear_sum_assignment

    need(values, ("territory_id", "user_id", "value"), "values")
    numbers(values, "value", "user_id")
    grid = values.pivot_table(index="territory_id", columns="user_id", values="value")
    pairs = grid.shape[0] * grid.shape[1]
    if grid.shape[1] < grid.shape[0] or grid.isna().any().any():
        needed, got = max(pairs, grid.shape[0] ** 2), int(grid.notna().sum().sum())
        of = say("values, one for each territory and rep")
        raise InsufficientData(say("Matching territories to reps"), needed=needed, got=got, of=of)
    error = np.zeros(grid.shape)
    if "error" in values:
        error = values.pivot_table(index="territory_id", columns="user_id", values="error").fillna(0.0).to_numpy()
    value, rng, i = grid.to_numpy(), np.random.default_rng(seed), np.arange(len(grid))
    chosen = linear_sum_assignment(value, maximize=True)[1]
    today = _today(values, grid)
    same, gains, regrets = np.zeros(len(grid)), np.empty(draws), np.empty(draws)
    for k in range(draws):
        drawn = rng.normal(value, error)
        best = linear_sum_assignment(drawn, maximize=True)[1]
        same += best == chosen
        regrets[k] = drawn[i, best].sum() - drawn[i, chosen].sum()
        gains[k] = (drawn[i, chosen] - drawn[i, today]).sum() if today is not None else np.nan
    names = grid.columns.to_numpy()
    gain = value[i, chosen] - value[i, today] if today is not None else np.nan
    low, high = np.percentile(gains, [5, 95])
    return pd.DataFrame(
        {
            "territory_id": grid.index, "user_id": names[chosen], "value": value[i, chosen], "p_best": same /
            draws,
            "today_user_id": names[today] if today is not None else None, "gain": gain, "gain_low": low,
            "gain_high": high, "regret": regrets.mean(),
        }
    )  # fmt: skip


def _today(values: pd.DataFrame, grid: pd.DataFrame) -> np.ndarray | None:
    if "is_today" not in values:
        return None
    now = (
        values[values["is_today"].astype(bool)]
        .drop_duplicates("territory_id")
        .set_index("territory_id")["user_id"]
    )
    return grid.columns.get_indexer(now.reindex(grid.index)) if now.reindex(grid.index).notna().all() else None
