"""The year's work on territories: scenarios, hand-over, routing, workload, and the page's numbers."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from salesops_lib import territory
from salesops_lib.errors import InsufficientData, ParameterError, SalesOpsError
from salesops_lib.territory import charts
from tests.test_territory import company

pytestmark = pytest.mark.xdist_group("territory")  # what it compiles, one process compiles


@pytest.fixture(scope="module")
def case():
    accounts, reps = company(80, 4, seed=5)
    return accounts, reps, territory.design(accounts, reps, tolerance=0.1)


def test_the_dearer_moving_is_the_less_is_moved_and_the_more_travelled():
    accounts, reps = company(40, 3, seed=5)
    curve = territory.price_disruption(accounts, reps, prices=(0, 50, 10_000), tolerance=0.3)
    assert curve["accounts_moved"].is_monotonic_decreasing
    assert curve["travel_km"].is_monotonic_increasing
    assert curve["max_deviation"].le(0.3 + 1e-9).all()


def test_a_rep_leaves_and_few_others_move():
    accounts, reps = company(60, 3, seed=7)
    before = territory.design(accounts, reps, tolerance=0.1)
    accounts["owner_id"] = before.assignments["user_id"]
    rest = reps.iloc[:2]
    plan = territory.replan(accounts, rest, most_moved=6, tolerance=0.1)
    assert plan.assignments["is_moved"].sum() <= 6
    assert plan.assignments["user_id"].isin(rest["user_id"]).all()
    assert "no reps of this plan" in plan.findings[0]
    with pytest.raises(SalesOpsError, match="fewest moves"):
        territory.replan(accounts.assign(owner_id="u0"), rest, most_moved=1, tolerance=0.1)


def test_the_hand_over_adds_up(case):
    _, reps, plan = case
    deals = pd.DataFrame({"account_id": ["a000", "a000", "a001"], "amount": [100.0, 50.0, 7.0]})
    moves = territory.hand_over(plan, deals)
    assert len(moves) == plan.assignments["is_moved"].sum()
    sums = territory.sum_hand_over(moves, reps)
    assert sums["accounts_out"].sum() == sums["accounts_in"].sum() == len(moves)
    moved = set(moves["account_id"])
    assert sums["open_amount_in"].sum() == 150.0 * ("a000" in moved) + 7.0 * ("a001" in moved)
    file = territory.for_crm(plan, effective="2027-01-01")
    assert file.columns.tolist() == ["account_id", "new_owner_id", "effective_date", "reason"]
    assert set(file["account_id"]) == moved


def test_leads_go_where_the_plan_says_and_by_turns_else(case):
    accounts, reps, plan = case
    at = accounts.iloc[0]
    leads = pd.DataFrame(
        {
            "lead_id": ["owned", "near", "t1", "t2", "t3", "t4"],
            "account_id": ["a003", None, None, None, None, None],
            "lat": [None, at["lat"], None, None, None, None],
            "lon": [None, at["lon"], None, None, None, None],
        }
    )
    found = territory.route(plan, leads, accounts, reps).set_index("lead_id")
    owner = plan.assignments.set_index("account_id")["user_id"]
    assert found.loc["owned"].tolist() == [owner["a003"], "owner of the account"]
    assert "nearest" in found.loc["near", "rule"]
    assert sorted(found.loc[["t1", "t2", "t3", "t4"], "user_id"]) == sorted(reps["user_id"])
    with pytest.raises(SalesOpsError, match="column"):
        territory.route(plan, leads, accounts, reps, by=("segmnt",))


def test_hours_are_visits_and_the_way_to_them(case):
    accounts, reps, plan = case
    hours = territory.workload(
        plan,
        accounts.assign(visits_per_year=2.0),
        reps,
        visit_hours=1.0,
        speed_kmh=13.0,
        stops=1.0,
        year_hours=100.0,
    )
    assert hours["visit_hours"].sum() == 2 * len(accounts)
    assert hours["travel_hours"].sum() == pytest.approx(2 * 2 * plan.assignments["distance_km"].sum() * 1.3 / 13)
    staff = territory.headcount(hours)
    assert staff["needed"] == pytest.approx(hours["hours"].sum() / 100)
    assert staff["there"] == 4
    with pytest.raises(SalesOpsError, match="speed_kmh"):
        territory.workload(plan, accounts, reps, speed_kmh=0)


def test_territories_go_to_who_makes_most_of_them():
    grid = pd.DataFrame(
        [("n", "a", 10.0), ("n", "b", 9.0), ("s", "a", 9.0), ("s", "b", 2.0)],
        columns=["territory_id", "user_id", "value"],
    )
    today = grid.assign(is_today=[True, False, False, True], error=0.0)
    found = territory.match(today, draws=20).set_index("territory_id")
    assert found["user_id"].to_dict() == {"n": "b", "s": "a"}  # 18, not 12
    assert found["gain"].sum() == 6
    assert found["p_best"].eq(1).all()
    assert found["regret"].eq(0).all()
    doubted = territory.match(today.assign(error=20.0), draws=400)
    assert doubted["p_best"].between(0.4, 0.8).all()
    assert doubted["regret"].gt(0).all()
    with pytest.raises(InsufficientData, match="needs 4 values"):
        territory.match(grid.head(3))


@pytest.fixture(scope="module")
def central(book):
    return territory.review(book, team="Central", tolerance=0.2, time_limit_s=10)


def test_the_sample_company_has_a_page(book, central):
    result = central
    assert result.headline == result.plan.headline
    assert result.plan.gap >= 0
    assert result.fairness["share"].between(0.8, 1.2).all()
    assert len(result.crm) == len(result.moves)
    assert result.curve["travel_km"].iloc[0] <= result.curve["travel_km"].iloc[-1] * 1.01
    assert str(round(result.plan.gap * 100, 2)) in territory.certificate(result)
    ax = charts.plot_map(result)
    assert "Plan" in (ax.get_title(), ax.get_title(loc="left"))
    drawn = sum(len(part.get_offsets()) for part in ax.collections if hasattr(part, "get_offsets"))
    assert drawn >= len(result.accounts)
    shown = charts.plot_balance(result)
    assert len(shown.get_yticklabels()) == len(result.reps)
    assert charts.plot_curve(result).get_lines()
    for say in (charts.describe_map, charts.describe_balance, charts.describe_curve):
        assert len(say(result)) > 20
    fit = territory.strengths(book)
    assert fit["fit"].abs().max() < 0.5
    assert np.isfinite(fit["fit"]).all()


def test_without_places_or_owners_the_page_says_so(book):
    empty = {"lat": np.nan, "lon": np.nan, "owner_id": None}
    bare = dataclasses.replace(book, _read={"accounts": book.accounts.assign(**empty)})
    result = territory.review(bare)
    assert "coordinates or an owner" in result.headline
    for shown in (territory.measured(result), result.curve, result.by_rep, result.moves):
        assert isinstance(shown, InsufficientData)
    with pytest.raises(InsufficientData):
        charts.plot_map(result)


@pytest.mark.parametrize(("tolerance", "disruption"), [(0.2, 100.0), (0.3, 0.0), (0.25, 600.0)])
def test_a_plan_tried_in_a_moment_keeps_its_word(central, tolerance, disruption):
    found = territory.try_design(central, tolerance=tolerance, disruption=disruption)
    plan = found.this
    assert plan.lower_bound <= plan.cost
    assert plan.gap < 0.1
    assert plan.reps["share"].between(1 - tolerance - 1e-6, 1 + tolerance + 1e-6).all()
    loads = dict(zip(found.loads["name"], found.loads["share"], strict=True))
    names = central.reps.set_index("user_id")["name"]
    assert loads == dict(zip(plan.reps["user_id"].map(names), plan.reps["share"], strict=True))
    assert found.table["plan"].tolist() == ["page", "this"]


def test_what_is_tried_like_the_page_is_no_worse_than_the_page(central):
    found = territory.try_design(central, tolerance=0.2, disruption=100.0)
    assert found.this.cost <= central.plan.cost * (1 + 1e-9)
    ax = charts.plot_try(found)
    drawn = [line.get_xdata() for line in ax.get_lines() if line.get_label() in ("page", "this")]
    assert np.allclose(drawn, found.loads[["share_page", "share"]].T)
    assert f"{len(found.loads)} reps" in charts.describe_try(found)


def test_a_plan_tried_keeps_locks_and_says_where_it_found_none(central):
    moved = central.moves["account_id"].iloc[0]
    assert moved in territory.lockable(central).values()
    found = territory.try_design(central, tolerance=0.3, disruption=0.0, locked=moved).this
    row = found.assignments.set_index("account_id").loc[moved]
    assert row["is_locked"]
    assert row["user_id"] == row["previous_user_id"]
    with pytest.raises(ParameterError, match="short search"):
        territory.try_design(central, tolerance=0.0, disruption=100.0)
