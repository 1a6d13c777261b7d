"""Hours a territory takes, and whether there are enough people for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salesops_lib.errors import ParameterError
from salesops_lib.territory.rows import need, numbers

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.territory.analysis import Plan

VISIT_HOURS, SPEED_KMH, DETOUR = 1.5, 70.0, 1.3  # a road is longer than the great circle (Ballou et al. 2002)
STOPS = 3.0  # accounts visited on one trip
YEAR_HOURS = 1_000.0  # a full-time rep's hours for visits and the way to them


def workload(
    plan: Plan,
    accounts: pd.DataFrame,
    reps: pd.DataFrame,
    *,
    visit_hours: float = VISIT_HOURS,
    speed_kmh: float = SPEED_KMH,
    stops: float = STOPS,
    year_hours: float = YEAR_HOURS,
) -> pd.DataFrame:
    """Work out the hours each territory takes: visits × (duration + travel), beside those available.

    Parameters
    ----------
    accounts
        `account_id`, `visits_per_year` (1 where the column is missing).
    reps
        `user_id`, `capacity_share` (1 where missing; the largest counts as full time).
    visit_hours, speed_kmh, stops, year_hours
        Length of a visit, speed on the road, visits on one round trip, and hours a full-time rep has a year.

    Returns
    -------
    DataFrame
        One row a rep: `user_id`, `visits`, `visit_hours`, `travel_hours`, `hours`, `available_hours`, `used`
        (share).

    Raises
    ------
    ParameterError
        For a number that is not above zero.
    """
    import pandas as pd

    for name, value in {"visit_hours": visit_hours, "speed_kmh": speed_kmh, "stops": stops}.items():
        if not value > 0:
            raise ParameterError(f"{name} {value}: above 0 is needed.")
    if not year_hours > 0:
        raise ParameterError(f"year_hours {year_hours}: above 0 is needed.")
    rows = _with_visits(plan, accounts)
    rows["visit_hours"] = rows["visits"] * visit_hours
    rows["travel_hours"] = rows["visits"] * 2 * rows["distance_km"] * DETOUR / speed_kmh / stops
    out = (
        rows.groupby("user_id")[["visits", "visit_hours", "travel_hours"]]
        .sum()
        .reindex(reps["user_id"])
        .fillna(0.0)
    )
    out["hours"] = out["visit_hours"] + out["travel_hours"]
    share = pd.Series(1.0, index=out.index)
    if "capacity_share" in reps:
        given = numbers(reps, "capacity_share", "user_id", least=0)
        share = pd.Series(given / given.max(), index=out.index)
    out["available_hours"] = share * year_hours
    out["used"] = out["hours"] / out["available_hours"]
    return out.rename_axis("user_id").reset_index()


def headcount(hours: pd.DataFrame) -> dict[str, float]:
    """Check how many people the work of a plan takes, from what `workload` returns.

    Returns
    -------
    dict
        `needed` (full-time people for all hours), `there`, `over` (reps with more hours than they have).
    """
    need(hours, ("hours", "available_hours", "used"), "hours")
    full = float(hours["available_hours"].max())
    return {
        "needed": float(hours["hours"].sum() / full),
        "there": float(hours["available_hours"].sum() / full),
        "over": int((hours["used"] > 1).sum()),
    }


def _with_visits(plan: Plan, accounts: pd.DataFrame) -> pd.DataFrame:
    rows = plan.assignments[["account_id", "user_id", "distance_km"]].copy()
    if "visits_per_year" in accounts:
        visits = accounts.set_index("account_id")["visits_per_year"].astype(float)
        rows["visits"] = rows["account_id"].map(visits).fillna(1.0)
    else:
        rows["visits"] = 1.0
    return rows
