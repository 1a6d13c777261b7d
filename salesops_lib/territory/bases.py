"""Where reps should sit: the capacitated p-median of accounts, with a bound that says how good the choice is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import ParameterError, unknown
from salesops_lib.territory.rows import bad_rows, coordinates, numbers

if TYPE_CHECKING:
    import pandas as pd

MOST_POINTS = 6_000
NEAR = 40  # points a base may jump to in a step
REGION = 6  # neighbouring bases rebuilt together, at most
STARTS = ((500, 2), (MOST_POINTS, 1))  # up to so many points: independent starts
STEPS = (12_000, 6_000, 450_000)  # at 100 points, growing with their power 2.5; least and most
HEAT, CHILL = 0.4, 0.003  # accepted loss, in mean costs of a base: at first, and what is left of it at last
FITS = 1e-6
METRICS = ("euclidean", "floored", "great_circle")


@dataclass(frozen=True)
class Bases:
    """Chosen bases and who is served from where.

    Attributes
    ----------
    headline
        One sentence: the cost and how far from the best it can be at most.
    assignments
        One row a point: `point_id`, `base_point_id`, `distance`.
    bases
        One row a base: `base_point_id`, `points`, `demand`, `capacity`, `share` (of capacity used), `cost`.
    cost
        Sum of the distances between points and their bases, in the unit of the coordinates (km for degrees).
    lower_bound
        No choice of bases costs less.
    gap
        ``(cost − lower_bound) ÷ lower_bound``.
    """

    headline: str
    assignments: pd.DataFrame
    bases: pd.DataFrame
    cost: float
    lower_bound: float
    gap: float


def choose_bases(
    points: pd.DataFrame,
    *,
    bases: int,
    capacity: float | str,
    time_limit_s: float = 60,
    seed: int = 0,
    metric: str | np.ndarray = "",
) -> Bases:
    """Choose where reps should sit, so that all points are near a base and no base serves more than it can.

    Each base stands at one of the points. Iterated local search, then a Lagrangian bound over all pairs of points.

    Parameters
    ----------
    points
        `point_id`, `demand`, and `x`, `y` (plane) or `lat`, `lon` (degrees).
    bases
        How many.
    capacity
        Demand a base can serve: a number, or the name of a column of `points` (of the base that stands there).
    time_limit_s
        Seconds after which the best so far is returned; the search ends sooner where it has done its steps, and
        then a seed gives one answer.
    metric
        ``euclidean`` (for `x`, `y`), ``floored`` (the same, cut to whole numbers), ``great_circle`` (for `lat`,
        `lon`), or a square array of distances; by default what the columns say.

    Raises
    ------
    ParameterError
        For more bases than points, a capacity that cannot hold the demand, or an unknown metric.
    DataContractError
        For missing, doubled or impossible rows.
    """
    _warm()
    began = time.monotonic()
    d, demand, cap = _read(points, bases, capacity, metric)
    centre, assign, cost = _search(d, demand, cap, bases, seed, began + 0.8 * time_limit_s)
    if not np.isfinite(cost):
        centre, assign, cost = _packed(d, demand, cap, centre, began + time_limit_s)
    bound = _bound(d, demand, cap, bases, cost, began + time_limit_s)
    return _told(points, d, demand, cap, centre, assign, bound)


@cache
def _warm() -> None:
    """Compile, or read what was compiled before, ahead of the clock: else a first call would search less."""
    d, one = np.abs(np.arange(4.0)[:, None] - np.arange(4.0)), np.ones(4)
    _search(d, one, 2 * one, 2, 0, time.monotonic() + 60, most=40)
    for capacity in (2.0, 2.5):
        _bound(d, one, capacity * one, 2, 2.0, 0.0)


def _read(points: pd.DataFrame, bases: int, capacity: float | str, metric) -> tuple[np.ndarray, ...]:
    n = len(points)
    bad_rows(points, "point_id", points["point_id"].duplicated() if "point_id" in points else None, "stand twice")
    if n > MOST_POINTS:
        raise ParameterError(
            f"{n:,} points: choose_bases takes {MOST_POINTS:,}; add up demand by postal area or county first."
        )
    if not 1 <= bases <= n:
        raise ParameterError(f"bases {bases}: there are {n} points, so from 1 to {n} bases.")
    demand = numbers(points, "demand", "point_id", least=0)
    if isinstance(capacity, str):
        if capacity not in points:
            raise ParameterError(unknown("capacity column", capacity, points.columns))
        cap = numbers(points, capacity, "point_id", least=0)
    else:
        cap = np.full(n, float(capacity))
    room = np.sort(cap)[-bases:].sum()
    if demand.sum() > room + FITS:
        raise ParameterError(
            f"demand {demand.sum():,.6g} is more than {bases} bases can serve ({room:,.6g}); "
            f"ask for more bases, or a capacity of {demand.sum() / bases:,.6g} at least."
        )
    large = demand > cap.max() + FITS
    bad_rows(points, "point_id", large, f"have more demand than any base can serve ({cap.max():,.6g})")
    return _distances(points, metric), demand, cap


def _distances(points: pd.DataFrame, metric) -> np.ndarray:
    from salesops_lib.territory.geo import all_distances_km

    if not isinstance(metric, str):
        d = np.ascontiguousarray(metric, dtype=float)
        if d.shape != (len(points),) * 2 or not np.isfinite(d).all() or (d < 0).any():
            raise ParameterError(f"metric: an array of {len(points)} × {len(points)} distances, none below 0.")
        return d
    metric = metric or ("euclidean" if {"x", "y"} <= set(points.columns) else "great_circle")
    if metric not in METRICS:
        raise ParameterError(unknown("metric", metric, METRICS))
    if metric == "great_circle":
        lat, lon = coordinates(points, "lat", "lon", "point_id")
        d = all_distances_km(lat, lon, lat, lon).astype(float)
        np.fill_diagonal(d, 0.0)
        return d
    xy = np.column_stack([numbers(points, name, "point_id") for name in ("x", "y")])
    d = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
    return np.floor(d + 1e-9) if metric == "floored" else d


def _seeded(d: np.ndarray, demand: np.ndarray, p: int, rng: np.random.Generator) -> np.ndarray:
    """Spread bases where demand is far from those chosen (greedy k-means++; Arthur and Vassilvitskii 2007)."""
    n = len(d)
    chosen = [int(rng.integers(n))]
    near = d[:, chosen[0]].copy()
    free = np.ones(n, dtype=bool)
    while len(chosen) < p:
        free[chosen[-1]] = False
        weight = np.where(free, near * demand + 1e-9 * (1 + near.max()), 0.0)
        tries = rng.choice(n, size=5, p=weight / weight.sum())
        best = min(tries, key=lambda j: np.minimum(near, d[:, j]).sum())
        chosen.append(int(best))
        near = np.minimum(near, d[:, best])
    return np.array(chosen, dtype=np.int64)


def _search(d, demand, cap, p, seed, until, most=STEPS[2]) -> tuple[np.ndarray, np.ndarray, float]:
    """Return centres, assignment and cost of the best plan of several starts; infinite cost where none fits."""
    from salesops_lib.territory import bases_search, chance

    n = len(d)
    near = np.ascontiguousarray(np.argsort(d, axis=1, kind="stable")[:, 1 : NEAR + 1] if n > 1 else [[0]])
    starts = next(count for most, count in STARTS if n <= most)
    steps = int(min(max(STEPS[0] * (n / 100) ** 2.5, STEPS[1]), most))
    rng, state, best = np.random.default_rng(seed), chance.start(seed), None
    began = time.monotonic()
    for k in range(starts):
        deadline = began + (until - began) * (k + 1) / starts
        plan = _start(d, demand, cap, _seeded(d, demand, p, rng), near)
        _anneal(bases_search, plan, (d, demand, cap, near), state, steps // starts, deadline)
        if best is None or plan["tally"][2] < best["tally"][2]:
            best = plan
        if time.monotonic() > until:
            break
    return best["best_centre"], best["best_assign"], float(best["tally"][2])


def _start(d, demand, cap, centre, near) -> dict[str, np.ndarray]:
    from salesops_lib.territory import bases_search

    n, p = len(d), len(centre)
    assign, load, every = np.zeros(n, np.int64), np.zeros(p), (np.arange(p), p, np.arange(n), n)
    scale = 0.2 * float(np.median(d) or d.max() or 1.0) / max(float(demand.mean()), 1e-12)
    bases_search._place(d, demand, cap, centre, assign, load, *every, scale)
    bases_search.descend(d, demand, cap, centre, assign, load, *every, near, scale)
    cost, over = bases_search.worth(d, cap, centre, assign, load, *every)
    # cost, overload, best cost that fits, price of overload, and the limits of that price
    tally = np.array([cost, over, cost if over <= FITS else np.inf, scale, 0.05 * scale, 1e3 * scale])
    return {
        "centre": centre, "assign": assign, "load": load,
        "best_centre": centre.copy(), "best_assign": assign.copy(), "tally": tally,
    }  # fmt: skip


def _anneal(kernel, plan, fixed, state, steps, deadline) -> None:
    d, demand, cap, near = fixed
    p = len(plan["centre"])
    if p < 2:
        return
    hot = HEAT * plan["tally"][0] / p
    began, chunk, done = time.monotonic(), max(20, min(500, steps // 50)), 0
    while done < steps and time.monotonic() < deadline:
        gone = max(done / steps, (time.monotonic() - began) / max(deadline - began, 1e-9) * 0.999)
        share = (
            done / steps if gone < 1.3 * done / steps + 0.02 else gone
        )  # cool by the clock only where it presses
        kernel.iterate(
            d, demand, cap, near, plan["centre"], plan["assign"], plan["load"], plan["best_centre"],
            plan["best_assign"], plan["tally"], state, chunk, hot * CHILL**share, min(REGION, p),
        )  # fmt: skip
        done += chunk


def _packed(d, demand, cap, centre, until) -> tuple[np.ndarray, np.ndarray, float]:
    """Fit the points into the bases by constraint programming, where the search found no plan that fits.

    Raises
    ------
    ParameterError
        Where nothing was found in time, or nothing can be.
    """
    from salesops_lib.territory.packing import pack

    left = max(until - time.monotonic(), 5.0)
    assign, proven = pack(d, demand, cap, centre, left)
    if assign is not None:
        return centre, assign, float(d[np.arange(len(d)), centre[assign]].sum())
    room = cap[centre].sum()
    raise ParameterError(
        f"no way {'exists' if proven else 'was found'} to fit the demand of {len(d)} points ({demand.sum():,.6g}, "
        f"{demand.sum() / room:.1%} of capacity) into these {len(centre)} bases; raise capacity or bases a little."
    )


def _bound(d, demand, cap, p, cost, until) -> float:
    from salesops_lib.territory.bases_bound import raise_bound

    n = len(d)
    whole = bool(np.all(demand == np.round(demand)) and np.all(cap == np.round(cap)) and n * cap.max() <= 150_000)
    prices = np.sort(d, axis=1)[:, : max(2, n // p)].mean(axis=1)
    best_prices, best, pace = prices.copy(), 0.0, 1.5
    exact = bool(np.all(d == np.round(d)))
    while pace > 2e-4 and (best == 0.0 or time.monotonic() < until):
        found, pace = raise_bound(d, demand, cap, p, prices, best_prices, whole, cost, best, pace, 25)
        idle, best = found <= best * (1 + 1e-7), found
        if cost - best < (1 - FITS if exact else FITS * cost):
            break
        pace *= 0.7 if idle else 1.0
    bound = best * (1 - 1e-10)
    return min(float(np.ceil(bound - FITS)) if exact else bound, cost)


def _told(points, d, demand, cap, centre, assign, bound) -> Bases:
    import pandas as pd

    ids = points["point_id"].to_numpy()
    base, far = ids[centre[assign]], d[np.arange(len(d)), centre[assign]]
    rows = pd.DataFrame({"point_id": ids, "base_point_id": base, "distance": far})
    sums = rows.assign(demand=demand).groupby("base_point_id", sort=False)
    sums = sums.agg(points=("point_id", "size"), demand=("demand", "sum"), cost=("distance", "sum"))
    out = pd.DataFrame({"base_point_id": ids[centre], "capacity": cap[centre]}).join(sums, on="base_point_id")
    out = out.fillna({"points": 0, "demand": 0.0, "cost": 0.0}).astype({"points": int})
    out["share"] = out["demand"] / out["capacity"]
    cost = float(far.sum())
    gap = max(cost - bound, 0.0) / bound if bound > 0 else float(cost > FITS)
    said = (
        f"{len(centre)} bases for {len(points):,} points: {cost:,.6g} in all, {cost / len(points):,.4g} a point; "
        + ("no choice is better." if gap < FITS else f"at most {gap:.2%} above the best there can be.")
    )
    columns = ["base_point_id", "points", "demand", "capacity", "share", "cost"]
    return Bases(said, rows, out[columns], cost, bound, gap)
