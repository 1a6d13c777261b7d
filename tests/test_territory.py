"""Plans: known answers, the bound against brute force, messages for bad input."""

import itertools
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salesops_lib import territory
from salesops_lib.errors import SalesOpsError
from salesops_lib.territory import branching, exact, geo, measures, prices, solve
from salesops_lib.territory.inputs import read

pytestmark = pytest.mark.xdist_group("territory")  # what it compiles, one process compiles


def company(n=60, reps=4, seed=0):
    rng = np.random.default_rng(seed)
    people = [f"u{k}" for k in range(reps)]
    accounts = pd.DataFrame(
        {
            "account_id": [f"a{k:03d}" for k in range(n)],
            "lat": rng.normal(50, 1, n), "lon": rng.normal(10, 1.5, n),
            "potential_amount": rng.lognormal(0, 0.7, n), "owner_id": rng.choice(people, n),
            "segment": rng.choice(["SMB", "Enterprise"], n),
        }
    )  # fmt: skip
    homes = pd.DataFrame(
        {"user_id": people, "home_lat": rng.normal(50, 1, reps), "home_lon": rng.normal(10, 1.5, reps)}
    )
    return accounts, homes


def one_place(weights, reps):
    accounts = pd.DataFrame(
        {"account_id": range(len(weights)), "lat": 50.0, "lon": 10.0, "potential_amount": weights}
    )
    return accounts, pd.DataFrame({"user_id": range(reps), "home_lat": 50.0, "home_lon": 10.0})


@pytest.mark.parametrize(
    ("weights", "reps"),
    [([3, 3, 2, 2, 2], 2), ([5, 5, 4, 4, 3, 3, 3], 3), ([9, 9, 8, 8, 7, 7, 6, 6, 5, 5, 5], 5)],
)
@pytest.mark.parametrize("tolerance", [0.0, 0.05, 0.4])
def test_a_perfect_split_is_found_where_there_is_one(weights, reps, tolerance):
    plan = territory.design(*one_place(weights, reps), tolerance=tolerance)
    assert np.ptp(plan.reps["load"]) == 0
    assert plan.gap == 0


def brute_force(task):
    n, reps = task.cost.shape
    plans = np.array(list(itertools.product(range(reps), repeat=n)))
    load = (plans[:, :, None] == np.arange(reps)).astype(float).transpose(0, 2, 1) @ task.weight
    fits = ((load >= task.low - 1e-9) & (load <= task.high + 1e-9)).all(axis=(1, 2))
    return task.cost[np.arange(n), plans].sum(axis=1)[fits].min(initial=np.inf)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6), n=st.integers(3, 7), reps=st.integers(2, 3), measures=st.integers(1, 2),
    tolerance=st.sampled_from([0.1, 0.3, 0.6]), alike=st.booleans(),
)  # fmt: skip
def test_the_bound_lies_under_the_best_plan_and_ours_is_no_better(seed, n, reps, measures, tolerance, alike):
    rng = np.random.default_rng(seed)
    cost = np.round(rng.random((n, reps)) * 100) if alike else rng.random((n, reps)) * 100
    weight = rng.integers(1, 9, (n, measures)).astype(float)
    weight *= reps / weight.sum(axis=0)
    one = np.ones((reps, measures))
    task = solve.Task(cost, weight, one * (1 - tolerance), one * (1 + tolerance), np.full(n, -1))
    best = brute_force(task)
    price, bound = prices.balance_prices(cost, weight, task.low, task.high)
    nearer = branching.branched(task, price, bound, np.inf, most=8)[0]
    assert bound <= nearer <= best + 1e-7
    searched = solve._searched(task, np.zeros_like(one), time.monotonic() + 60, 0, 1e-2)
    total, out = solve._scored(task, searched)
    assert bound <= best + 1e-7
    if out == 0:
        assert total >= best - 1e-7
    found = exact.solve_exactly(task, 10)
    assert (found is None) == np.isinf(best)
    if found is not None:
        assert cost[np.arange(n), found[0]].sum() == pytest.approx(best)
        assert found[1] <= best + 1e-7


def test_any_prices_prove_a_bound():
    rng = np.random.default_rng(3)
    cost, weight, one = rng.random((6, 2)), np.full((6, 1), 1 / 3), np.ones((2, 1))
    best = brute_force(solve.Task(cost, weight, one * 0.9, one * 1.1, np.full(6, -1)))
    for _ in range(50):
        assert prices.proven(cost, weight, one * 0.9, one * 1.1, rng.normal(0, 1, (2, 1))) <= best


def test_a_plan_keeps_what_was_asked():
    accounts, reps = company()
    reps["capacity_share"] = [1.0, 1.0, 0.5, 0.5]
    accounts["hours"] = np.random.default_rng(1).uniform(1, 3, len(accounts))
    accounts["parent_account_id"] = pd.Series([None] * 60, dtype=object)
    accounts.loc[[5, 9], "parent_account_id"] = "a001"
    barred = [("a010", "u0"), ("a010", "u1"), ("a010", "u2")]
    plan = territory.design(
        accounts, reps, balance=("potential_amount", "hours"), tolerance=0.15, forbidden=barred,
        locked=["a020", ("a021", "u3")],
    )  # fmt: skip
    rows = plan.assignments.set_index("account_id")
    assert rows.index.tolist() == accounts["account_id"].tolist()
    assert rows.loc["a020", "user_id"] == accounts.loc[20, "owner_id"]
    assert rows.loc[["a021", "a010"], "user_id"].tolist() == ["u3", "u3"]
    assert rows.loc[["a001", "a005", "a009"], "user_id"].nunique() == 1
    share = reps["capacity_share"] / reps["capacity_share"].sum()
    for name in ("potential_amount", "hours"):
        load = accounts.groupby(rows["user_id"].to_numpy())[name].sum().reindex(reps["user_id"]).to_numpy()
        assert np.abs(load / (share * accounts[name].sum()) - 1).max() <= 0.15 + 1e-9
    assert plan.lower_bound <= plan.cost
    assert plan.gap < 0.1
    again = territory.design(
        accounts, reps, balance=("potential_amount", "hours"), tolerance=0.15, forbidden=barred,
        locked=["a020", ("a021", "u3")],
    )  # fmt: skip
    pd.testing.assert_frame_equal(plan.assignments, again.assignments)


def test_the_cost_is_travel_and_the_price_of_moving():
    accounts, reps = company(40, 3)
    accounts["visits_per_year"], accounts["revenue_amount"] = 2.0, 10.0
    plan = territory.design(accounts, reps, tolerance=0.2, disruption=70.0)
    rows = plan.assignments
    assert plan.cost == pytest.approx(2 * rows["distance_km"].sum() + 70 * rows["is_moved"].sum())
    free = territory.design(accounts, reps, tolerance=0.2)
    assert rows["is_moved"].sum() < free.assignments["is_moved"].sum()


def test_an_account_larger_than_a_share_is_a_finding():
    accounts, reps = company(30, 3)
    accounts.loc[0, "potential_amount"] = 100.0
    plan = territory.design(accounts, reps)
    assert "larger than a whole share" in plan.findings[0]
    assert "a000" in plan.findings[0]
    alone = plan.assignments.loc[0, "user_id"]
    assert plan.assignments["user_id"].eq(alone).sum() == 1
    loads = plan.reps.set_index("user_id")["load"].drop(alone)
    assert np.abs(loads / loads.mean() - 1).max() <= 0.05 + 1e-9


def test_segments_without_places_follow_fit():
    accounts, reps = company(40, 2)
    accounts = accounts.drop(columns=["lat", "lon"])
    fit = pd.DataFrame({"user_id": ["u0", "u1"], "segment": ["SMB", "Enterprise"], "fit": [0.1, 0.1]})
    plan = territory.design(accounts, reps[["user_id"]], tolerance=0.5, fit=fit)
    joined = plan.assignments.merge(accounts[["account_id", "segment"]], on="account_id")
    assert (
        pd.crosstab(joined["segment"], joined["user_id"]).loc["SMB", "u0"]
        > 0.8 * joined["segment"].eq("SMB").sum()
    )
    assert plan.assignments["distance_km"].eq(0).all()


def grid(side=8):
    at = np.arange(side * side)
    accounts = pd.DataFrame({"account_id": at, "lat": 50 + at // side * 0.1, "lon": 10 + at % side * 0.1})
    accounts["potential_amount"] = np.random.default_rng(0).uniform(1, 3, len(at))
    pairs = [(k, k + 1) for k in at if k % side < side - 1] + [(k, k + side) for k in at if k + side < side * side]
    return accounts, pd.DataFrame(pairs, columns=["account_id", "neighbour_id"])


def test_territories_are_in_one_piece_on_a_graph():
    accounts, pairs = grid()
    reps = pd.DataFrame(
        {"user_id": list("abcd"), "home_lat": [50, 50.1, 50.6, 50.7], "home_lon": [10, 10.6, 10.1, 10.7]}
    )
    plan = territory.design(accounts, reps, adjacency=pairs, tolerance=0.05)
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    who = plan.assignments["user_id"].to_numpy()
    same = pairs[who[pairs["account_id"]] == who[pairs["neighbour_id"]]]
    ones = np.ones(len(same))
    k, _ = connected_components(
        coo_matrix((ones, (same["account_id"], same["neighbour_id"])), shape=(64, 64)), False
    )
    assert k == 4
    assert plan.reps["share"].between(0.95, 1.05).all()
    assert plan.lower_bound <= plan.cost


def changed(frame, **columns):
    frame = frame.copy()
    for name, value in columns.items():
        frame[name] = frame[name].astype(object)
        frame.loc[3, name] = value
    return frame


BASE = company(12, 3)
BAD = {
    "no place": (lambda a, r: (changed(a, lat=None), r, {}), "a003.*Geocode"),
    "swapped": (lambda a, r: (changed(a, lat=a.loc[3, "lon"], lon=a.loc[3, "lat"]), r, {}), "a003.*swapped"),
    "swapped far": (lambda a, r: (changed(a, lat=120.0, lon=30.0), r, {}), "a003.*swapped"),
    "zero": (lambda a, r: (changed(a, potential_amount=0), r, {}), "a003.*balance on another"),
    "negative": (lambda a, r: (changed(a, potential_amount=-5), r, {}), "negative.*a003"),
    "doubled": (lambda a, r: (changed(a, account_id="a004"), r, {}), "more than once.*a004"),
    "more reps": (lambda a, r: (a.head(2), r, {}), "3 reps for 2 accounts"),
    "unknown rep": (lambda a, r: (a, r, {"locked": [("a001", "u9")]}), "u9"),
    "unknown account": (lambda a, r: (a, r, {"locked": ["a999"]}), "a999"),
    "contradiction": (lambda a, r: (a, r, {"locked": [("a001", "u0"), ("a001", "u1")]}), "u0 and to u1"),
    "locked and forbidden": (
        lambda a, r: (a, r, {"locked": [("a001", "u0")], "forbidden": [("a001", "u0")]}), "a001",
    ),
    "forbidden to all": (lambda a, r: (a, r, {"forbidden": [("a001", f"u{k}") for k in range(3)]}), "a001"),
    "no column": (lambda a, r: (a, r, {"balance": ("potental_amount",)}), "Did you mean 'potential_amount'"),
    "pieces": (
        lambda a, r: (a, r, {"adjacency": pd.DataFrame({"account_id": ["a000"], "neighbour_id": ["a001"]})}),
        "pieces.*bridge_islands",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_with_its_mend(case):
    make, says = BAD[case]
    accounts, reps, options = make(*BASE)
    with pytest.raises(SalesOpsError, match=says):
        territory.design(accounts, reps, **options)


def test_a_tolerance_that_cannot_be_met_names_the_smallest_that_can():
    accounts, reps = one_place([4, 3, 3], 2)
    reps["home_lat"] = [50.0, 51.0]
    with pytest.raises(SalesOpsError, match=r"smallest that can be met is 0\.2000"):
        territory.design(accounts, reps, tolerance=0.1)
    assert territory.design(accounts, reps, tolerance=0.2).reps["load"].tolist() in ([4, 6], [6, 4])


def test_distances_and_spread_are_the_known_ones():
    berlin_to_paris = geo.all_distances_km([52.5200], [13.4050], [48.8566], [2.3522])[0, 0]
    assert berlin_to_paris == pytest.approx(877.5, abs=1)
    all_of = geo.all_distances_km([0.0, 0.0], [0.0, 90.0], [0.0], [0.0])
    assert all_of[:, 0] == pytest.approx([0, np.pi / 2 * geo.EARTH_KM], abs=1)
    assert measures.gini([1, 1, 1]) == 0
    assert measures.gini([0, 0, 1]) == pytest.approx(2 / 3)


def test_a_middle_sized_plan_is_near_its_bound():
    accounts, reps = company(600, 8, seed=2)
    plan = territory.design(accounts, reps, tolerance=0.03, time_limit_s=30)
    assert plan.gap < 0.005
    assert plan.reps["share"].between(0.97, 1.03).all()
    given = read(accounts, reps, ("potential_amount",), (), (), None, True)
    assert given.distance.shape == (600, 8)
