"""Histories to forecast: the same numbers as the KPIs, whole steps only, each series in its own life."""

import pandas as pd
import pytest

from salesops_lib import forecast, kpis
from salesops_lib.errors import InsufficientData, ParameterError
from salesops_lib.facts import Facts, deals
from salesops_lib.forecast import measures, series
from salesops_lib.periods import FiscalCalendar
from tests.test_kpis import make_book
from tests.test_kpis_leads import acts


@pytest.fixture(scope="module")
def hand(tmp_path_factory):
    return make_book(tmp_path_factory.mktemp("hand"))


def period_of(book, step, stamp):
    return book.calendar.period(step, stamp.date())


@pytest.mark.parametrize("step", measures.STEPS)
@pytest.mark.parametrize("by", [None, "team", "region"])
def test_bookings_are_those_of_the_kpi(book, by, step):
    past = forecast.history(book, "bookings", by=by, step=step)
    for stamp in past.rows["ds"].drop_duplicates().sort_values().iloc[[0, 3, -1]]:
        wanted = kpis.compute(book, "K26", period_of(book, step, stamp), by=by, variants="default")
        got = past.rows[past.rows["ds"].eq(stamp)].set_index("unique_id")
        for row in wanted.itertuples():
            name = row.segment if by else "company"
            assert (got["y"].get(name, 0.0), got["n"].get(name, 0)) == (pytest.approx(row.value), row.n)


@pytest.mark.parametrize(("measure", "kpi", "variant"), [("meetings", "K18", "held"), ("calls", "K15", "calls")])
def test_activities_are_those_of_the_kpi(book, measure, kpi, variant):
    for by in (None, "team", "rep"):
        past = forecast.history(book, measure, by=by, step="month")
        stamp = pd.Timestamp("2026-05-01")
        got = past.rows[past.rows["ds"].eq(stamp)].set_index("unique_id")["y"]
        wanted = kpis.compute(book, kpi, period_of(book, "month", stamp), by=by).query("variant == @variant")
        assert len(wanted)
        for row in wanted.itertuples():
            assert got.get(row.segment if by else "company", 0) == row.n


def test_created_deals_are_those_of_the_facts(book):
    past = forecast.history(book, "deals_created", by="rep", step="quarter")
    for stamp, rows in past.rows.groupby("ds"):
        created = Facts(book, period_of(book, "quarter", stamp), deals(book)).created()
        own = created["rep"].value_counts()
        assert rows.set_index("unique_id")["y"].loc[lambda y: y > 0].to_dict() == own.to_dict()


@pytest.mark.parametrize("measure", ["bookings", "deals_created", "calls"])
def test_parts_add_up_to_the_company(book, measure):
    whole = forecast.history(book, measure, step="month").rows.set_index("ds")["y"]
    dims = [["team"], ["rep"], ["team", "rep"]]
    for by in dims if measure == "calls" else [*dims, ["region", "team", "rep"], ["segment"]]:
        parts = forecast.history(book, measure, by=by, step="month").rows
        assert parts.groupby("ds")["y"].sum().to_numpy() == pytest.approx(whole.to_numpy()), by


def test_the_running_step_and_a_begun_first_one_are_left_out_and_said(sample_ws):
    book = sample_ws.book("2026-09-15")
    past = forecast.history(book, "bookings", step="month")
    assert past.rows["ds"].max() == pd.Timestamp("2026-08-01")
    assert "Sep 2026 is not over and left out" in past.note
    assert "records begin on 24 Oct 2023, within Oct 2023, which is left out" in past.note
    whole = forecast.history(sample_ws.book("2026-09-30"), "bookings", step="month")
    assert whole.rows["ds"].max() == pd.Timestamp("2026-09-01")
    assert "not over" not in whole.note
    both = whole.rows.merge(past.rows, on="ds")
    assert both["y_x"].tolist() == both["y_y"].tolist()  # a month once over does not change


def test_a_rep_has_zeros_from_the_first_day_to_the_last_and_nothing_outside(book):
    rows = forecast.history(book, "meetings", by="rep", step="week").rows
    users = book.users.set_index("user_id")
    steps = rows["ds"].drop_duplicates().sort_values()
    for rep, own in rows.groupby("unique_id"):
        start, end = users.loc[rep, ["start_date", "end_date"]]
        begin = max(start, steps.iloc[0])
        assert own["ds"].min() <= begin < own["ds"].min() + pd.Timedelta(days=7)
        last = steps.iloc[-1] if pd.isna(end) else min(end, steps.iloc[-1])
        assert last - pd.Timedelta(days=7) < own["ds"].max() <= last
        assert own["ds"].diff().dropna().eq(pd.Timedelta(days=7)).all()
        assert own["label"].unique().tolist() == [users.loc[rep, "name"]]
    assert rows["y"].eq(0).any()
    assert rows.groupby("unique_id").size().nunique() > 1


def test_a_rep_without_anything_is_a_series_of_zeros_from_the_start(hand):
    past = forecast.history(hand, "bookings", by="rep")
    cat = past.rows[past.rows["unique_id"].eq("cat")]
    assert cat[["label", "y"]].to_numpy().tolist() == [["Cat", 0.0], ["Cat", 0.0]]
    assert cat["ds"].tolist() == [pd.Timestamp("2026-02-01"), pd.Timestamp("2026-03-01")]
    ann = past.rows[past.rows["unique_id"].eq("ann")].set_index("ds")
    assert ann.loc["2026-02-01", "y"] == 300  # the dollar deal is counted, not priced
    assert ann.loc["2026-02-01", "n"] == 3
    assert "1 counted but not priced" in past.note


def test_a_group_meeting_counts_once_and_once_for_each_who_was_there(tmp_path):
    held = {"type": "meeting", "outcome": "held", "is_external": True, "group_id": "g"}
    who = [held | {"user_id": user, "started_at": "2026-02-03T10:00:00Z"} for user in ("ann", "bob")]
    none = [
        held | {"user_id": "ann", "started_at": "2026-01-05T10:00:00Z", "outcome": "no_show", "group_id": None}
    ]
    book = make_book(tmp_path, activities=acts(*who, *none))
    assert forecast.history(book, "meetings").rows.set_index("ds").loc["2026-02-01", "y"] == 1
    reps = forecast.history(book, "meetings", by="rep").rows
    assert reps[reps["y"].gt(0)]["unique_id"].tolist() == ["ann", "bob"]


@pytest.mark.parametrize("pattern", ["months", "4-4-5", "4-5-4", "5-4-4"])
@pytest.mark.parametrize("start", [1, 2, 11])
def test_every_fiscal_step_has_a_stamp_of_its_own_on_one_grid(pattern, start):
    calendar = FiscalCalendar(start_month=start, pattern=pattern, week_start="sunday")
    for step in measures.STEPS:
        periods = calendar.between(step, "2015-01-10", "2033-01-10")
        stamps = pd.DatetimeIndex([measures._stamp(period) for period in periods])
        freq = forecast.freq_of(calendar, step)
        assert stamps.equals(pd.date_range(stamps[0], periods=len(stamps), freq=freq)), (step, freq)
        rows = pd.DataFrame({"unique_id": "a", "ds": stamps, "y": 1.0})
        assert series.read(rows, freq=freq).ends == (stamps[-1],)


def test_what_cannot_be_counted_is_refused_in_words(hand, maven):
    for how, says in [
        ({"measure": "booking"}, "Did you mean 'bookings'"),
        ({"measure": "bookings", "by": "regoin"}, "Did you mean 'region'"),
        ({"measure": "bookings", "by": ["team", "team"]}, "each dimension once"),
        ({"measure": "bookings", "step": "day"}, "unknown step 'day'"),
        ({"measure": "calls", "by": "segment"}, "activities belong to people; take rep"),
    ]:
        with pytest.raises(ParameterError, match=says):
            forecast.history(hand, **how)
    with pytest.raises(InsufficientData, match="meetings in the source"):
        forecast.history(maven, "meetings")
    with pytest.raises(InsufficientData, match="whole quarters, there are 0"):
        forecast.history(hand.at("2026-01-20"), "deals_created", step="quarter")


def test_activity_is_forecast_for_those_who_are_there_with_names_and_n(sample_ws):
    book = sample_ws.book("2026-09-30")
    out = forecast.forecast_activity(book, "meetings", horizon=3, model="fast", levels=(80,))
    assert list(out) == ["unique_id", "label", "ds", "mean", "lo-80", "hi-80", "model", "n", "steps"]
    past = forecast.history(book, "meetings", by="rep", step="week")
    last = past.rows["ds"].max()
    there = set(past.rows.loc[past.rows["ds"].eq(last), "unique_id"])
    assert set(out["unique_id"]) == there < set(past.rows["unique_id"])
    assert out["ds"].unique().tolist() == [last + pd.Timedelta(days=7 * k) for k in (1, 2, 3)]
    first = out.iloc[0]
    own = past.rows[past.rows["unique_id"].eq(first["unique_id"])]
    assert (first["n"], first["steps"], first["label"]) == (own["n"].sum(), len(own), own["label"].iloc[0])
    total = past.rows[past.rows["ds"].gt(last - pd.Timedelta(weeks=13))]["y"].sum() / 13
    assert 0.7 < out.groupby("ds")["mean"].sum().mean() / total < 1.3


def test_a_hierarchy_comes_from_several_dimensions(book):
    past = forecast.history(book, "bookings", by=["team", "rep"], step="month")
    spec = [["team"], ["team", "rep"]]
    how = {"horizon": 3, "freq": past.freq, "model": "theta", "method": "ols", "gaps": "zero"}
    out = forecast.reconcile(past.rows, spec, **how)
    mean = out[out["ds"].eq(out["ds"].min())].groupby("level")["mean"].sum()
    assert mean["total"] == pytest.approx(mean["team"]) == pytest.approx(mean["team/rep"])
