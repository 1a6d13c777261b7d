"""Score territories beside their peers: published bases, synthetic companies, counties; and print the table.

Each case runs in a process of its own: so are CPU and memory. Name cases (`bases`, `1000x10`, `counties`, …)
to run
only those; --peers adds HiGHS, OR-Tools' min-cost flow, k-means-constrained and the nearest rep on the same data.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from salesops_lib import territory
from salesops_lib.territory import geo, prices, solve

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
TOLERANCE = 0.03
GOALS = {
    "1000x10": "0.2 %, ≤ 5 s", "1000x50": "1 %, ≤ 30 s", "10000x50": "0.3 %, ≤ 5 s", "10000x300": "1 %, ≤ 20 s",
    "100000x300": "0.3 %, ≤ 15 CPU s, ≤ 1 GB", "counties": "50 in one piece each, ±5 %",
}  # fmt: skip
PEERS = ("nearest", "flow", "milp", "kmeans")
MILP_S = 60
HEAD = "| case | who | goal | gap to bound | furthest off | CPU s | peak MB |\n|---|---|---|---|---|---|---|"


def company(n: int, reps: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make clustered accounts of skewed potential; none is larger than two fifths of a share."""
    rng = np.random.default_rng(seed)
    towns = max(5, reps // 3)
    at = np.column_stack((rng.uniform(36, 60, towns), rng.uniform(-5, 25, towns)))
    town, home = rng.choice(towns, n, p=rng.dirichlet(np.full(towns, 0.7))), rng.choice(towns, reps)
    size = rng.lognormal(0, 1.0, n)
    accounts = pd.DataFrame(
        {
            "account_id": np.arange(n),
            "lat": at[town, 0] + rng.normal(0, 0.9, n), "lon": at[town, 1] + rng.normal(0, 1.3, n),
            "potential_amount": np.minimum(size, 0.4 * size.sum() / reps),
            "visits_per_year": rng.integers(1, 13, n),
        }
    )  # fmt: skip
    homes = pd.DataFrame({"user_id": np.arange(reps), "home_lat": at[home, 0] + rng.normal(0, 1, reps)})
    return accounts, homes.assign(home_lon=at[home, 1] + rng.normal(0, 1.3, reps))


def planned(case: str) -> dict:
    """Plan one synthetic company."""
    n, reps = map(int, case.split("x"))
    accounts, homes = company(n, reps)
    solve.warm()
    began = cpu()
    plan = territory.design(accounts, homes, tolerance=TOLERANCE)
    assert plan.assignments["account_id"].is_unique
    return {"gap": plan.gap, "off": float(plan.reps["share"].sub(1).abs().max()), "cpu": cpu() - began}


def peer(case: str, name: str) -> dict:
    """Do the same with a peer; its gap is to our bound."""
    n, reps = map(int, case.split("x"))
    accounts, homes = company(n, reps)
    weight = (accounts["potential_amount"] * reps / accounts["potential_amount"].sum()).to_numpy()[:, None]
    d = geo.all_distances_km(accounts["lat"], accounts["lon"], homes["home_lat"], homes["home_lon"])
    cost = d * accounts["visits_per_year"].to_numpy(float)[:, None]
    one = np.ones((reps, 1))
    bound = prices.balance_prices(cost, weight, one * (1 - TOLERANCE), one * (1 + TOLERANCE))[1]
    began = cpu()
    assign = {"nearest": nearest, "flow": flow, "milp": milp, "kmeans": kmeans}[name](accounts, cost, weight)
    if assign is None:
        return {"gap": None, "off": None, "cpu": cpu() - began}
    load = np.bincount(assign, weight[:, 0], reps)
    total = cost[np.arange(n), assign].sum()
    return {"gap": float(total / bound - 1), "off": float(np.abs(load - 1).max()), "cpu": cpu() - began}


def nearest(_accounts, cost, _weight):
    return cost.argmin(axis=1)


def flow(_accounts, cost, weight):
    """Min-cost flow on the twelve nearest reps, then the largest part of every account."""
    from ortools.graph.python import min_cost_flow

    n, reps = cost.shape
    near = np.argpartition(cost, min(12, reps) - 1, axis=1)[:, :12]
    amount = np.maximum(1, np.round(weight[:, 0] * 1e5).astype(int))
    graph = min_cost_flow.SimpleMinCostFlow()
    arcs = graph.add_arcs_with_capacity_and_unit_cost(
        np.repeat(np.arange(n), near.shape[1]), n + near.ravel(), np.repeat(amount, near.shape[1]),
        (cost[np.arange(n)[:, None], near] / weight / 10).astype(int).ravel(),
    )  # fmt: skip
    most = int(1e5 * (1 + TOLERANCE)) + 1
    low = int(1e5 * (1 - TOLERANCE))
    sink = n + reps
    for j in range(reps):
        graph.add_arc_with_capacity_and_unit_cost(n + j, sink, most, 0)
    graph.set_nodes_supplies(np.arange(sink + 1), np.r_[amount, np.full(reps, 0), -amount.sum()])
    if low < 0 or graph.solve() != graph.OPTIMAL:
        return None
    sent = graph.flows(arcs).reshape(near.shape)
    return near[np.arange(n), sent.argmax(axis=1)]


def milp(_accounts, cost, weight):
    from salesops_lib.territory import exact

    one = np.ones((cost.shape[1], 1))
    task = solve.Task(cost, weight, one * (1 - TOLERANCE), one * (1 + TOLERANCE), np.full(len(cost), -1))
    found = exact.solve_exactly(task, MILP_S)
    return None if found is None else found[0]


def kmeans(accounts, cost, _weight):
    from k_means_constrained import KMeansConstrained

    n, reps = cost.shape
    model = KMeansConstrained(reps, size_min=int(n / reps * 0.97), size_max=int(n / reps * 1.03) + 1, n_init=1,
                              max_iter=20, random_state=0)  # fmt: skip
    label = model.fit_predict(accounts[["lat", "lon"]].to_numpy())
    from scipy.optimize import linear_sum_assignment

    sums = np.zeros((reps, reps))
    np.add.at(sums, label, cost)
    return linear_sum_assignment(sums)[1][label]


def counties() -> dict:
    """Cut the counties of the United States into 50 territories of equal population, each in one piece."""
    rows = pd.read_csv(DATA / "geo" / "CenPop2020_Mean_CO.txt", dtype={"STATEFP": str, "COUNTYFP": str})
    accounts = pd.DataFrame({"account_id": rows["STATEFP"] + rows["COUNTYFP"], "lat": rows["LATITUDE"],
                             "lon": rows["LONGITUDE"], "potential_amount": rows["POPULATION"]})  # fmt: skip
    pairs = pd.read_csv(DATA / "geo" / "neighborcounties.csv", dtype=str)
    pairs = pairs.rename(columns={"orgfips": "account_id", "adjfips": "neighbour_id"})
    chosen = rows.sample(50, weights="POPULATION", random_state=1).reset_index(drop=True)
    homes = pd.DataFrame({"user_id": range(50), "home_lat": chosen["LATITUDE"], "home_lon": chosen["LONGITUDE"]})
    solve.warm()
    began = cpu()
    plan = territory.design(accounts, homes, adjacency=pairs, bridge_islands=True, time_limit_s=300)
    load = plan.reps["load"].sort_values().iloc[:-1]  # Los Angeles is larger than a share, and a rep's alone
    off = float((load / load.mean() - 1).abs().max())
    return {"gap": plan.gap, "off": off, "cpu": cpu() - began}


def bases() -> list[dict]:
    """Choose bases on the published instances."""
    best = pd.read_csv(DATA / "territory" / "best_known.csv")
    out = []
    for row in best.itertuples():
        points, asked = read(row.instance)
        territory.choose_bases(points.head(8), bases=2, capacity=1e9)
        began = cpu()
        found = territory.choose_bases(points, **asked)
        met = found.cost < row.published + 1
        out.append({"label": row.instance, "cost": found.cost, "best": row.published, "met": bool(met),
                    "gap": found.gap, "cpu": cpu() - began})  # fmt: skip
    return out


def read(name: str) -> tuple[pd.DataFrame, dict]:
    if name.startswith("SJC"):
        text = (DATA / "territory" / f"{name}.dat").read_text().split()
        rows = pd.DataFrame(np.array(text[2:], float).reshape(-1, 4), columns=["x", "y", "room", "demand"])
        return rows.assign(point_id=range(len(rows))), {"bases": int(text[1]), "capacity": "room"}
    text = (DATA / "territory" / f"pmedcap{name[-2:]}.txt").read_text().split()
    rows = pd.DataFrame(np.array(text[5:], float).reshape(-1, 4), columns=["point_id", "x", "y", "demand"])
    return rows, {"bases": int(text[3]), "capacity": float(text[4]), "metric": "floored"}


def cpu() -> float:
    return time.process_time()


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("cases", nargs="*", default=["bases", *GOALS])
    options.add_argument("--peers", nargs="*", choices=PEERS, default=[])
    options.add_argument("--alone", default="", help="one case and who, as JSON, in this process")
    asked = options.parse_args()
    if asked.alone:
        case = asked.cases[0]
        special = {"bases": bases, "counties": counties}.get(case)
        found = special() if special else planned(case) if asked.alone == "ours" else peer(case, asked.alone)
        print(json.dumps(found if isinstance(found, list) else {**found, "peak": peak()}))
        return
    print(HEAD)
    for case in asked.cases:
        for who in ["ours", *(name for name in asked.peers if can(name, case))]:
            command = [sys.executable, __file__, case, "--alone", who]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"| {case} | {who} | {GOALS.get(case, '')} | {done.stderr.strip().splitlines()[-1]} | | | |")
                continue
            show(case, who, json.loads(done.stdout))


def can(name: str, case: str) -> bool:
    """Whether a peer takes the case at all: beyond a million pairs two of them take hours and all memory."""
    if "x" not in case:
        return False
    n, reps = map(int, case.split("x"))
    return n * reps <= 1_000_000 or name in ("nearest", "flow")


def show(case: str, who: str, found) -> None:
    """Print one row of the table; the published instances make a row each."""
    if isinstance(found, list):
        for row in found:
            print(f"| {row['label']} | ours | {row['best']:,} | {row['gap']:.2%}, cost {row['cost']:,.1f} | "
                  f"{'met' if row['met'] else 'missed'} | {row['cpu']:.1f} | – |", flush=True)  # fmt: skip
        return
    numbers = ["none found", "–"] if found["gap"] is None else [f"{found['gap']:.2%}", f"{found['off']:.1%}"]
    said = " | ".join([*numbers, f"{found['cpu']:.1f}", f"{found['peak']:,.0f}"])
    print(f"| {case} | {who} | {GOALS[case]} | {said} |", flush=True)


if __name__ == "__main__":
    main()
