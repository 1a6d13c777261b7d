"""States one after another, and what moved between two of them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salesops_lib.errors import ParameterError
from salesops_lib.history import movements, state, states
from salesops_lib.sources import sample
from tests.test_as_of import REOPENED, changes, deal, make_calendar

SMALL = sample.SampleSettings(start="2025-09-01", opportunities=800, accounts=80, second_currency="USD")


@pytest.fixture(scope="module")
def small():
    return sample.simulate(SMALL)


def test_every_day_equals_the_snapshot_kept_that_day(small):
    frames = sample.export(small)
    days = pd.date_range(SMALL.start, SMALL.end)
    shown = sample.snapshots(small, days)
    found = states(
        frames["opportunities"], frames["opportunity_history"], days.date, stages=frames["stages"],
        calendar=make_calendar(), columns=[*shown.columns[1:], "is_deleted", "merged_into_id"],
    )  # fmt: skip
    rebuilt = []
    for day, (_, deals) in zip(days, found, strict=True):
        there = deals[~deals["is_deleted"] & deals["merged_into_id"].isna()]
        rebuilt.append(there.assign(snapshot_date=day))
    rebuilt = pd.concat(rebuilt, ignore_index=True)[shown.columns]
    key = ["snapshot_date", "opportunity_id"]
    assert len(shown) > 100_000
    pd.testing.assert_frame_equal(
        rebuilt.sort_values(key, ignore_index=True), shown.sort_values(key, ignore_index=True), check_dtype=False
    )


def test_a_snapshot_that_differs_in_one_cell_is_seen(small):
    shown = sample.snapshots(small, ["2026-05-31"]).set_index("opportunity_id")
    frames = sample.export(small)
    rebuilt = state(frames["opportunities"], frames["opportunity_history"], "2026-05-31",
                    stages=frames["stages"], calendar=make_calendar()).set_index("opportunity_id")  # fmt: skip
    shown.loc[shown.index[0], "stage_id"] = "sample:nowhere"
    with pytest.raises(AssertionError):
        pd.testing.assert_series_equal(rebuilt.loc[shown.index, "stage_id"], shown["stage_id"])


STAGE = st.sampled_from(["open", "later", "won", "lost"])
VALUES = {
    "stage": STAGE,
    "amount": st.sampled_from(["10.00", "20.00", None]),
    "expected_close_date": st.sampled_from(["2026-03-31", "2026-06-30", None]),
    "owner": st.sampled_from(["ann", "bob"]),
    "deleted": st.sampled_from(["true", "false"]),
}
EVENT = st.sampled_from(sorted(VALUES)).flatmap(
    lambda field: st.tuples(
        st.sampled_from(["d", "e"]), st.integers(1, 40), st.just(field), VALUES[field], st.booleans()
    )
)


def history_of(events):
    """Chain the events of each deal and field: what was before is what the one before left."""
    rows, last = [], {}
    for seq, (key, day, field, new, bulk) in enumerate(sorted(events, key=lambda event: event[1])):
        at = pd.Timestamp("2026-01-01T12:00", tz="UTC") + pd.Timedelta(days=day)
        rows.append((key, at, field, last.get((key, field), "open" if field == "stage" else None), new, bulk, seq))
        last[key, field] = new
    columns = ["opportunity_id", "changed_at", "field", "old_value", "new_value", "is_bulk", "seq"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["changed_at"] = pd.to_datetime(frame["changed_at"], utc=True)
    return frame, last


@settings(max_examples=10, deadline=None)
@given(st.lists(EVENT, max_size=25), st.lists(st.integers(-2, 45), min_size=1, max_size=6), st.randoms())
def test_one_after_another_they_are_what_each_is_alone(events, days, chance):
    history, last = history_of(events)
    deals = []
    for key in "de":
        stage = last.get((key, "stage"), "open")
        deals.append(deal(opportunity_id=key, stage_id=stage, is_closed=stage in ("won", "lost"),
                          is_won=stage == "won", closed_at=None))  # fmt: skip
    deals = pd.concat(deals, ignore_index=True)
    mixed = history.sample(frac=1, random_state=chance.randrange(1000))
    instants = [pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(days=day) for day in sorted(days)]
    for instant, found in states(deals, mixed, instants):
        pd.testing.assert_frame_equal(found, state(deals, history, instant))


def test_attempts_and_last_changes_are_counted():
    found = [row.iloc[0] for _, row in states(deal(), REOPENED, ["2026-01-15", "2026-02-05", "2026-02-12"])]
    assert [row["attempt"] for row in found] == [1, 1, 2]
    bulk = REOPENED.assign(is_bulk=REOPENED["changed_at"].dt.month.eq(2))
    rows = dict(states(deal(), bulk, ["2026-02-12", "2026-03-01"]))
    seen = [row.iloc[0]["last_changed_at"] for row in rows.values()]
    assert [moment.strftime("%m-%d") for moment in seen] == ["01-01", "03-01"]


def test_instants_go_forward_and_columns_are_known():
    with pytest.raises(ParameterError, match="go back in time"):
        list(states(deal(), None, ["2026-02-01", "2026-01-01"]))
    with pytest.raises(ParameterError, match="stage_id"):
        list(states(deal(), None, ["2026-02-01"], columns=["stage"]))


def test_movements_say_what_each_change_did():
    history = pd.concat([REOPENED, changes(
        ("2026-02-20", "expected_close_date", "2026-03-01", "2026-06-01"),
        ("2026-02-21", "expected_close_date", "2026-06-01", "2026-04-01"),
        ("2026-02-22", "amount", "100.00", "90.00"),
        ("2026-02-23", "amount", "90.00", None),
        ("2026-04-01", "amount", None, "100.00"),
    ).assign(seq=range(6, 11))])  # fmt: skip
    moved = movements(deal(), history.sample(frac=1, random_state=3), "2025-12-31", "2026-12-31")
    assert moved["change"].tolist() == [
        "created", "lost", "reopened", "up", "changed", "pushed out", "pulled in", "down", "emptied", "won", "set",
    ]  # fmt: skip
    assert moved["after_close"].tolist() == [False] * 2 + [True] + [False] * 7 + [True]
    half = movements(deal(), history, "2026-02-10", "2026-02-22")
    assert half["change"].tolist() == ["up", "changed", "pushed out", "pulled in", "down"]


def test_movements_without_history_are_told_by_the_deal():
    moved = movements(deal(), None, "2025-12-31", "2026-12-31")
    assert moved["change"].tolist() == ["created", "won"]
    assert set(moved["origin"]) == {"inferred"}
    with pytest.raises(ParameterError, match="before the first"):
        movements(deal(), None, "2026-12-31", "2025-12-31")


def test_movements_lead_from_one_state_to_the_next(small):
    """Whatever differs between two states was told by a movement in between."""
    frames = sample.export(small)
    given = frames["opportunities"], frames["opportunity_history"]
    days = ["2026-03-31", "2026-06-30"]
    before, after = (found.set_index("opportunity_id") for _, found in states(*given, days))
    moved = movements(*given, *days)
    assert len(moved) > 200
    for field, column in (("stage", "stage_id"), ("owner", "owner_id"), ("amount", "amount")):
        both = before.index.intersection(after.index)
        differ = both[(before.loc[both, column].astype(str) != after.loc[both, column].astype(str)).to_numpy()]
        assert len(differ) or field == "owner"
        assert set(differ) <= set(moved.loc[moved["field"].eq(field), "opportunity_id"])
    created = set(moved.loc[moved["change"].eq("created"), "opportunity_id"])
    assert created == set(np.setdiff1d(after.index, before.index))
