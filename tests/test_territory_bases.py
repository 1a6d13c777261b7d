"""Bases: published optima, the bound against brute force."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salesops_lib import territory
from salesops_lib.errors import SalesOpsError
from tests.conftest import shared

pytestmark = pytest.mark.xdist_group("territory")  # what it compiles, one process compiles


def instance(name):
    folder = shared("territory")
    if name.startswith("SJC"):
        numbers = (folder / f"{name}.dat").read_text().split()
        n, p, rows = int(numbers[0]), int(numbers[1]), np.array(numbers[2:], float).reshape(-1, 4)
        frame = pd.DataFrame(rows, columns=["x", "y", "room", "demand"]).assign(point_id=range(n))
        return frame, {"bases": p, "capacity": "room"}
    numbers = (folder / f"pmedcap{name[-2:]}.txt").read_text().split()
    p, capacity, rows = int(numbers[3]), float(numbers[4]), np.array(numbers[5:], float).reshape(-1, 4)
    frame = pd.DataFrame(rows, columns=["point_id", "x", "y", "demand"])
    return frame, {"bases": p, "capacity": capacity, "metric": "floored"}


@pytest.mark.parametrize("name", ["cpmp01", "cpmp05", "cpmp10", "cpmp12", "cpmp20", "SJC1"])
def test_published_optima_are_met(name):
    points, asked = instance(name)
    best = pd.read_csv(shared("territory") / "best_known.csv").set_index("instance").loc[name, "published"]
    found = territory.choose_bases(points, **asked)
    assert best <= found.cost < best + 1
    assert found.lower_bound <= best + 1
    assert found.gap < 0.04
    assert found.bases["demand"].le(found.bases["capacity"]).all()
    assert found.assignments["point_id"].tolist() == points["point_id"].tolist()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(4, 6), whole=st.booleans())
def test_bound_and_cost_embrace_the_optimum(seed, n, whole):
    rng = np.random.default_rng(seed)
    points = pd.DataFrame({"point_id": range(n), "x": rng.random(n) * 10, "y": rng.random(n) * 10})
    points["demand"] = rng.integers(1, 5, n).astype(float) * (1.0 if whole else 0.37)
    capacity = float(np.ceil(points["demand"].sum() * 0.7 * (1 if whole else 10)) / (1 if whole else 10))
    d = np.hypot(
        *(points[["x", "y"]].to_numpy()[:, None] - points[["x", "y"]].to_numpy()[None]).transpose(2, 0, 1)
    )
    demand, best = points["demand"].to_numpy(), np.inf
    for centres in itertools.combinations(range(n), 2):
        for who in itertools.product((0, 1), repeat=n):
            load = np.bincount(who, demand, 2)
            if load.max() <= capacity + 1e-9:
                best = min(best, d[np.arange(n), np.array(centres)[list(who)]].sum())
    found = territory.choose_bases(points, bases=2, capacity=capacity)
    assert found.lower_bound <= best + 1e-7
    assert found.cost == pytest.approx(best)


def test_full_bases_are_packed():
    rng = np.random.default_rng(1)
    sizes = np.concatenate([np.diff(np.r_[0, np.sort(rng.choice(np.arange(1, 100), 5, replace=False)), 100])
                            for _ in range(8)])  # fmt: skip
    points = pd.DataFrame({"point_id": range(48), "x": rng.random(48), "y": rng.random(48), "demand": sizes * 1.0})
    found = territory.choose_bases(points, bases=8, capacity=100.0, time_limit_s=20)
    assert found.bases["demand"].tolist() == [100.0] * 8


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bases": 9}, "from 1 to 4"),
        ({"capacity": 2.0}, "more than 2 bases can serve"),
        ({"capacity": "rom"}, "Did you mean 'room'"),
        ({"metric": "manhatan"}, "unknown metric"),
    ],
)
def test_what_cannot_be_is_said(change, says):
    points = pd.DataFrame({"point_id": range(4), "x": [0, 1, 5, 6.0], "y": 0.0, "demand": 2.0, "room": 4.0})
    assert territory.choose_bases(points, bases=2, capacity="room").cost == 2
    with pytest.raises(SalesOpsError, match=says):
        territory.choose_bases(points, **{"bases": 2, "capacity": "room"} | change)
    with pytest.raises(SalesOpsError, match="point_id 2"):
        territory.choose_bases(points.assign(demand=[1, 1, None, 1]), bases=2, capacity=9)
