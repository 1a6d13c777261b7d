"""Fairness of a plan: loads, spread and travel, today's plan by the same measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.language import say, say_many
from salesops_lib.present import counted, number
from salesops_lib.present.numbers import localised

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.territory.inputs import Inputs

LABELS = {
    "potential_amount": "potential", "annual_revenue": "annual revenue", "visits_per_year": "visits per year",
    "revenue_amount": "revenue", "accounts": "accounts",
}  # fmt: skip


def gini(values: np.ndarray) -> float:
    """Gini coefficient: 0 where all have the same, towards 1 where one has all (Gini 1912)."""
    values = np.sort(np.asarray(values, dtype=float))
    total = values.sum()
    if not total > 0:
        return float("nan")
    n = len(values)
    return float((2 * np.arange(1, n + 1) - n - 1) @ values / (n * total))


def spread(load: np.ndarray, share: np.ndarray) -> dict[str, float]:
    """Measure how even loads are, each against its rep's capacity share.

    Returns
    -------
    dict
        `max_deviation` (largest distance from target, a share of it), `cv` (coefficient of variation), `gini`.
    """
    relative = load / (share * load.sum())
    return {
        "max_deviation": float(np.abs(relative - 1).max()),
        "cv": float(relative.std() / relative.mean()),
        "gini": gini(relative),
    }


def compare(given: Inputs, assign: np.ndarray, balance: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure a plan and today's, and list the reps of the plan; see `Plan.metrics` and `Plan.reps`."""
    import pandas as pd

    before = given.owner if (given.owner >= 0).any() else None
    metrics = []
    sides = [None if before is None else _side(given, before, balance), _side(given, assign, balance)]
    for name, (unit, after) in sides[1].items():
        metrics.append((name, unit, np.nan if sides[0] is None else sides[0][name][1], after))
    moved = (given.owner >= 0) & (given.owner != assign)
    revenue = given.revenue.sum() or 1.0
    metrics += [
        ("accounts moved", "count", 0.0 if before is not None else np.nan, float(moved.sum())),
        (
            "revenue moved",
            "share",
            0.0 if before is not None else np.nan,
            float(given.revenue[moved].sum() / revenue),
        ),
    ]
    return pd.DataFrame(metrics, columns=["metric", "unit", "before", "after"]), _reps(given, assign, balance)


def _side(given: Inputs, assign: np.ndarray, balance) -> dict[str, tuple[str, float]]:
    served = assign >= 0
    count, i = len(given.user), np.flatnonzero(served)
    out = {}
    for m, name in enumerate(balance):
        load = np.bincount(assign[i], given.weight[i, m], count)
        for kind, value in spread(load, given.share).items():
            out[f"{name}: {kind.replace('_', ' ')}"] = ("share", value)
    travel = given.distance[i, assign[i]] * given.visits[i]
    by_rep = np.bincount(assign[i], travel, count)
    out["travel"] = ("km", float(travel.sum()))
    out["longest travel of a rep"] = ("km", float(by_rep.max()))
    out["accounts without a rep"] = ("count", float((~served).sum()))
    return out


def _reps(given: Inputs, assign: np.ndarray, balance) -> pd.DataFrame:
    import pandas as pd

    count, i = len(given.user), np.arange(len(assign))
    had = given.owner >= 0
    moved = had & (given.owner != assign)
    out = {"user_id": given.user, "accounts": np.bincount(assign, minlength=count)}
    for m, name in enumerate(balance):
        load = np.bincount(assign, given.weight[:, m], count)
        target = given.share * given.weight[:, m].sum()
        if m == 0:
            out |= {"load": load, "target": target, "share": load / target}
        out |= {f"load_{name}": load, f"share_{name}": load / target}
    out["travel_km"] = np.bincount(assign, given.distance[i, assign] * given.visits, count)
    out["gained"] = np.bincount(assign[moved | ~had], minlength=count)
    out["lost"] = np.bincount(given.owner[moved], minlength=count)
    return pd.DataFrame(out)


def told(metrics: pd.DataFrame, gap: float, reps: int, accounts: int, measure: str) -> str:
    """Say in a sentence what a plan gives."""
    rows = metrics.set_index("metric")
    even, way, moved = (rows.loc[name] for name in (f"{measure}: max deviation", "travel", "accounts moved"))
    given = {
        "accounts": counted(accounts, "account"), "reps": counted(reps, "rep"), "measure": word(measure),
        "off": number(even["after"], "share"), "today": number(even["before"], "share"),
    }  # fmt: skip
    if even["before"] == even["before"]:
        said = say("{accounts} on {reps}: no rep is more than {off} off in {measure} (today {today})", **given)
    else:
        said = say("{accounts} on {reps}: no rep is more than {off} off in {measure}", **given)
    if way["after"] > 0:
        said = f"{said}, {_travel(way)}"
    if moved["before"] == 0:
        n = int(moved["after"])
        hands = say_many("{n} account changes hands", "{n} accounts change hands", n, n=number(n, "count"))
        said = f"{said}; {hands}"
    best = say("at most {gap} above the best there can be", gap=percent(gap))
    return f"{said}; {say('no plan is better') if gap < 1e-6 else best}."


def _travel(way: pd.Series) -> str:
    after, before = number(way["after"], "count"), number(way["before"], "count")
    if way["before"] != way["before"]:
        return say("{km} km of travel a year", km=after)
    return say("{km} km of travel a year (today {today})", km=after, today=before)


def word(measure: str) -> str:
    """Name a measure that a plan balances, for people."""
    return say(LABELS.get(measure, measure.replace("_amount", "").replace("_", " ")))


def percent(share: float) -> str:
    """Write a share with two decimals: gaps are small."""
    return f"{localised(f'{100 * share:.2f}')} %"
