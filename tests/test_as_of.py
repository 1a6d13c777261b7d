"""The as-of engine against an independent oracle, and: the future is invisible."""

from dataclasses import fields, is_dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salesops_lib import benchmark, kpis, leadership
from salesops_lib.errors import DataContractError, InsufficientData, ParameterError
from salesops_lib.history import state
from salesops_lib.pipeline import review, waterfall
from salesops_lib.sources import sample
from salesops_lib.sources.sample_source import load_sample
from salesops_lib.store import Store
from tests.conftest import make_workspace

STATE = [
    "stage_id", "amount", "expected_close_date", "forecast_category", "owner_id", "is_closed", "is_won",
    "closed_at", "close_date", "is_deleted", "merged_into_id", "owner_at_close_id",
]  # fmt: skip
INSTANTS = ["2023-11-15", "2024-03-31", "2024-10-27", "2025-06-30", "2026-01-31", "2026-09-29"]


def test_state_equals_what_the_crm_showed_that_day(company, frames):
    calendar = make_calendar()
    for day in INSTANTS:
        shown = sample.export(company, day)["opportunities"].set_index("opportunity_id").sort_index()
        rebuilt = state(
            frames["opportunities"], frames["opportunity_history"], day, stages=frames["stages"], calendar=calendar
        ).set_index("opportunity_id")
        assert len(shown) > 100
        pd.testing.assert_frame_equal(rebuilt[STATE], shown[STATE], check_dtype=False, check_freq=False)


def make_calendar():
    from salesops_lib.sources.sample_source import company_settings

    return company_settings(sample.SampleSettings()).calendar()


def test_rows_in_any_order_and_without_a_stage_table_say_the_same(frames):
    deals, history = frames["opportunities"], frames["opportunity_history"]
    straight = state(deals, history, "2025-03-31")
    mixed = state(deals.sample(frac=1, random_state=1), history.sample(frac=1, random_state=2), "2025-03-31")
    pd.testing.assert_frame_equal(straight, mixed)
    assert (
        straight["is_closed"] == state(deals, history, "2025-03-31", stages=frames["stages"])["is_closed"]
    ).all()


def deal(**changes):
    row = {
        "opportunity_id": "d", "created_at": "2026-01-01T00:00:00Z", "stage_id": "won", "is_closed": True,
        "is_won": True, "closed_at": "2026-03-01T12:00:00Z", "amount": 100.0, "owner_id": "now",
    }  # fmt: skip
    return pd.DataFrame([row | changes])


def changes(*rows):
    frame = pd.DataFrame(rows, columns=["changed_at", "field", "old_value", "new_value"])
    frame["changed_at"] = pd.to_datetime(frame["changed_at"], utc=True, format="ISO8601")
    return frame.assign(opportunity_id="d", seq=range(len(frame)))


REOPENED = changes(
    ("2026-01-01", "stage", None, "open"),
    ("2026-02-01", "stage", "open", "lost"),
    ("2026-02-10", "stage", "lost", "open"),
    ("2026-03-01T12:00", "stage", "open", "won"),
    ("2026-02-15", "amount", "80.00", "100.00"),
    ("2026-02-20", "owner", "before", "now"),
)


@pytest.mark.parametrize(
    ("day", "stage", "closed", "won", "amount", "owner", "close_date"),
    [
        ("2026-01-15", "open", False, False, "80.00", "before", None),
        ("2026-02-05", "lost", True, False, "80.00", "before", "2026-02-01"),
        ("2026-02-12", "open", False, False, "80.00", "before", None),
        ("2026-02-25", "open", False, False, "100.00", "now", None),
        ("2026-03-01", "won", True, True, "100.00", "now", "2026-03-01"),
    ],
)
def test_a_reopened_deal_day_by_day(day, stage, closed, won, amount, owner, close_date):
    row = state(deal(), REOPENED, day).iloc[0]
    assert (row["stage_id"], row["is_closed"], row["is_won"], str(row["amount"]), row["owner_id"]) == (
        stage, closed, won, amount, owner,
    )  # fmt: skip
    assert pd.isna(row["close_date"]) if close_date is None else row["close_date"] == pd.Timestamp(close_date)


def test_a_change_counts_from_its_very_instant():
    at = state(deal(), REOPENED, "2026-02-10T00:00:00Z").iloc[0]
    just_before = state(deal(), REOPENED, "2026-02-09T23:59:59.999999Z").iloc[0]
    assert (at["stage_id"], just_before["stage_id"]) == ("open", "lost")


def test_before_creation_there_is_nothing():
    assert state(deal(), REOPENED, "2025-12-31").empty


def test_without_history_only_what_was_known_then_shows():
    early = state(deal(), None, "2026-02-01").iloc[0]
    assert not early["is_closed"]
    assert pd.isna(early["stage_id"])
    assert pd.isna(early["amount"])
    late = state(deal(), None, "2026-03-01").iloc[0]
    assert late["is_won"]
    assert late["amount"] == 100


def test_deleted_and_merged_deals_are_there_until_then():
    history = changes(("2026-02-01", "deleted", None, "true"), ("2026-03-01", "merged", None, "other"))
    rows = [state(deal(is_deleted=True, merged_into_id="other"), history, day).iloc[0] for day in
            ("2026-01-31", "2026-02-01", "2026-03-01")]  # fmt: skip
    assert [row["is_deleted"] for row in rows] == [False, True, True]
    assert [None if pd.isna(row["merged_into_id"]) else row["merged_into_id"] for row in rows] == [
        None,
        None,
        "other",
    ]


def test_from_lost_straight_to_won_closes_again_and_from_won_to_won_does_not():
    history = changes(("2026-02-10", "stage", "open", "lost"), ("2026-07-05", "stage", "lost", "won"))
    row = state(deal(closed_at="2026-07-05T00:00:00Z"), history, "2026-07-31").iloc[0]
    assert row["close_date"] == pd.Timestamp("2026-07-05")
    history = changes(("2026-02-10", "stage", "open", "won"), ("2026-07-05", "stage", "won", "won late"))
    flags = pd.DataFrame({"stage_id": ["open", "won", "won late"], "is_closed": [False, True, True],
                          "is_won": [False, True, True], "pipeline_id": ""})  # fmt: skip
    row = state(
        deal(stage_id="won late", closed_at="2026-02-10T00:00:00Z"), history, "2026-07-31", stages=flags
    ).iloc[0]
    assert row["close_date"] == pd.Timestamp("2026-02-10")


def test_one_stage_name_in_two_pipelines_means_what_its_own_says():
    flags = pd.DataFrame(
        {"pipeline_id": ["a", "b"], "stage_id": "done", "is_closed": True, "is_won": [True, False]}
    )
    for pipeline, won in (("a", True), ("b", False)):
        row = state(
            deal(stage_id="done", is_won=won, pipeline_id=pipeline), None, "2026-03-31", stages=flags
        ).iloc[0]
        assert row["is_won"] == won


def test_a_later_deletion_does_not_show_though_other_deals_track_theirs():
    two = pd.concat([deal(is_deleted=True, deleted_at="2026-06-01T00:00:00Z"), deal(opportunity_id="e")])
    history = changes(("2026-03-01", "deleted", None, "true")).assign(opportunity_id="e")
    shown = state(two, history, "2026-04-01").set_index("opportunity_id")
    assert shown["is_deleted"].to_dict() == {"d": False, "e": True}
    assert pd.isna(shown.loc["d", "deleted_at"])


def test_two_changes_at_one_instant_follow_their_order():
    history = changes(("2026-02-01", "stage", "a", "b"), ("2026-02-01", "stage", "b", "c"))
    assert state(deal(), history.iloc[::-1], "2026-02-01")["stage_id"].tolist() == ["c"]
    assert state(deal(), history, "2026-01-31")["stage_id"].tolist() == ["a"]


def test_bad_input_is_said_in_words():
    with pytest.raises(ParameterError, match="stage_id"):
        state(deal().drop(columns="stage_id"), None, "2026-01-01")
    with pytest.raises(ParameterError, match="not a date"):
        state(deal(), None, "soon")
    for odd in ("05.06.2026", "2026", 20260401, "now", "9999-01-01", ""):
        with pytest.raises(ParameterError, match="not a date"):
            state(deal(), None, odd)
    with pytest.raises(DataContractError, match="does not fit"):
        state(deal(), changes(("2026-02-01", "amount", None, "a lot")), "2026-02-01")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from(["open", "later", "won", "lost"])), min_size=1, max_size=8
    ),
    st.integers(0, 61),
)
def test_replay_agrees_with_a_plain_loop(moves, day):
    moves = sorted(moves, key=lambda move: move[0])
    start = pd.Timestamp("2026-01-01", tz="UTC")
    rows, stage = [], "open"
    for offset, after in moves:
        rows.append((start + pd.Timedelta(days=offset), "stage", stage, after))
        stage = after
    final = deal(stage_id=stage, is_closed=stage in ("won", "lost"), is_won=stage == "won")
    expected = "open"
    for offset, after in moves:
        if offset <= day:
            expected = after
    got = state(final, changes(*rows), start + pd.Timedelta(days=day)).iloc[0]
    assert got["stage_id"] == expected
    assert got["is_closed"] == (expected in ("won", "lost"))
    assert got["is_won"] == (expected == "won")


# -- the future is invisible ---------------------------------------------------------------------------

CUTS = ["2024-07-31", "2025-10-15"]


@pytest.fixture(scope="module")
def cut_books(company, tmp_path_factory):
    """For each day: the book at that day from the whole export, and from an export cut there."""
    whole = make_workspace(tmp_path_factory.mktemp("whole"))
    whole.save(load_sample())
    pairs = {}
    for day in CUTS:
        cut = make_workspace(tmp_path_factory.mktemp("cut"))
        made = load_sample()
        tables = sample.export(company, day)
        at = tables["opportunities"]["extracted_at"].iloc[0]
        # a next step is known on the day of its export only: of these days the cut one knows more
        tables["opportunities"]["next_step"] = tables["opportunities"]["next_step"].mask(lambda told: told.notna())
        Store(cut.store.root).save(type(made)(**{**vars(made), "tables": tables, "extracted_at": at}))
        pairs[day] = (whole.book(day), cut.book(day))
    return pairs


def same(one, other, path="result"):
    if is_dataclass(one) and not isinstance(one, type):
        for field in fields(one):
            same(getattr(one, field.name), getattr(other, field.name), f"{path}.{field.name}")
    elif isinstance(one, pd.DataFrame):
        for column in set(one) & set(other):
            held = [is_dataclass(cell) for cell in one[column]]
            if any(held) and len(one) == len(other):  # compared field by field: an empty number equals another
                for k in np.flatnonzero(held):
                    same(one[column].iloc[k], other[column].iloc[k], f"{path}.{column}")
                one, other = one.drop(columns=column), other.drop(columns=column)
        pd.testing.assert_frame_equal(one, other, obj=path, check_dtype=False)
    elif isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, other, obj=path, check_dtype=False)
    elif isinstance(one, np.ndarray):
        np.testing.assert_allclose(one, other, err_msg=path)
    elif isinstance(one, Exception):
        assert (type(one), str(one)) == (type(other), str(other)), path
    elif isinstance(one, float):
        assert np.isclose(one, other, equal_nan=True), path
    else:
        assert one == other, path


ANALYSES = {
    "all KPIs": lambda book: kpis.compute(book, period="4 quarters"),
    "KPIs by team": lambda book: kpis.compute(book, period="quarter", by="team"),
    "KPIs by rep": lambda book: kpis.compute(book, period="quarter", by="rep", variants="default"),
    "leads and activities by rep": lambda book: kpis.compute(book, ["K04", "K15", "K17", "K20"], by="rep"),
    "leads by source": lambda book: kpis.compute(book, ["K21", "K22", "K24", "K38", "K39"], "year", by="source"),
    "KPIs by product": lambda book: kpis.compute(book, period="month", by="product", variants="default"),
    "reps": benchmark.summarize,
    "pipeline review": review,
    "waterfall": lambda book: waterfall(book.at(str(book.day - timedelta(days=10))), book, period="quarter"),
    "leadership with its pipeline": lambda book: leadership.summarize(book, review=review(book)),
}


@pytest.mark.parametrize(
    ("day", "analysis"), [(CUTS[0], "all KPIs"), (CUTS[0], "waterfall"), *((CUTS[1], name) for name in ANALYSES)]
)
def test_the_future_is_invisible(cut_books, day, analysis):
    whole, cut = cut_books[day]
    same(ANALYSES[analysis](whole), ANALYSES[analysis](cut))


def test_the_guard_sees_a_leak(cut_books):
    """Planted: an analysis that reads the export instead of the book."""
    whole, cut = cut_books[CUTS[0]]
    leak = {book: book.snapshot.read("opportunities")["is_won"].sum() for book in (whole, cut)}
    with pytest.raises(AssertionError):
        same(leak[whole], leak[cut])


@pytest.mark.parametrize("name", ["users", "accounts", "leads", "activities", "quotas", "opportunity_history"])
def test_no_table_shows_a_later_row_or_fact(book, sample_ws, name):
    early = sample_ws.book("2024-12-31")
    frame = early.table(name)
    assert 0 < len(frame) <= len(book.table(name))
    for column in frame:
        if str(frame[column].dtype) == "datetime64[us, UTC]" and column not in ("extracted_at", "approved_at"):
            assert not (frame[column] > early.as_of).any(), column
    if name == "users":
        assert not (frame[["start_date", "end_date"]] > pd.Timestamp("2024-12-31")).any(axis=None)


def test_a_book_before_any_deal_refuses_in_words(sample_ws):
    early = sample_ws.book("2020-01-01")
    assert early.opportunities.empty
    with pytest.raises(InsufficientData, match="needs 1 deals known by then, there are 0"):
        leadership.summarize(early)
    found = kpis.compute(early, "K03", variants="default")
    assert (found["status"].tolist(), found["note"].tolist()) == (["no data"], ["no deal known by then"])
