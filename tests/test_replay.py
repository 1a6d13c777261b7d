"""Replays: baselines and scores by hand, equality with the projection of each day, resuming, workers, refusals."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from salesops_lib import facts
from salesops_lib.errors import InsufficientData, ParameterError, SalesOpsError
from salesops_lib.forecast import (
    Trial,
    baselines,
    charts_pipeline,
    commit,
    commit_bias,
    look_back,
    past_periods,
    past_ways,
    project_period,
    replay,
    replay_weeks,
    submitted_commit,
)
from salesops_lib.forecast.deals import NEVER, OPEN, WON, Panel, day_number
from salesops_lib.periods import FiscalCalendar
from salesops_lib.tables import conform
from tests.test_kpis import make_book

CALENDAR = FiscalCalendar()
QUICK = {"periods": 1, "every": "month", "draws": 400}


@pytest.fixture(scope="module")
def replayed(sample_ws):
    return replay_weeks(sample_ws, **QUICK)


# -- by hand ----------------------------------------------------------------------------------------------


def known(day, wins, opened=()):
    """A panel of wins (day, amount) and open deals (due, amount, stage)."""
    given = {"entered": day_number("2024-01-01"), "outcome": WON}
    entries = pd.DataFrame([
        {"opportunity_id": f"w{k}", "end": day_number(at), "worth": float(worth)} | given
        for k, (at, worth) in enumerate(wins)
    ])  # fmt: skip
    columns = ["opportunity_id", "day", "due", "amount", "stage", "end", "outcome"]
    rows = [[f"o{k}", day_number(day), pd.Timestamp(due), amount, stage, NEVER, OPEN]
            for k, (due, amount, stage) in enumerate(opened)]  # fmt: skip
    rows = pd.DataFrame(rows, columns=columns).astype({"due": "datetime64[us]", "amount": float})
    return Panel(rows, entries, day_number(day))


def test_baselines_by_hand():
    quarters = {"2025-01-01": 90, "2025-02-20": 10, "2025-05-02": 60, "2025-06-20": 60, "2025-08-15": 100}
    wins = [*quarters.items(), ("2025-10-20", 30)]
    opened = [("2025-12-01", 200, "late"), ("2025-11-20", 100, "early"), ("2026-01-15", 999, "late"),
              ("2025-12-01", None, "late")]  # fmt: skip
    day, period = date(2025, 11, 14), CALENDAR.period("quarter", "2025-11-14")
    found = baselines.baselines(
        known(day, wins, opened), CALENDAR, period, day, probability={"late": 0.5, "early": 0.1}
    )
    gone = CALENDAR.elapsed(period, day)
    assert found["linear_pace"] == pytest.approx(30 / gone)
    assert found["weighted_pipeline"] == pytest.approx(30 + 200 * 0.5 + 100 * 0.1)
    assert found["coverage_rule"] == pytest.approx(30 + 300 / 3)
    assert np.isnan(found["last_year"])  # nothing was recorded then
    # by as many working days (14 Feb, 15 May, 14 Aug) the quarters had booked 90, 60 and 0 of 100, 120 and 100
    assert found["booking_curve"] == pytest.approx(30 * 320 / (90 + 60))
    pace = (100 + 30) / CALENDAR.working_days(date(2025, 8, 16), date(2025, 11, 15))
    inside = 30 / CALENDAR.working_days(date(2025, 8, 16), date(2025, 11, 15))
    left = CALENDAR.working_days(date(2025, 11, 15), date(2026, 1, 1))
    assert found["trailing_quarter"] == pytest.approx(30 + inside * left) != pytest.approx(30 + pace * left)
    a_year = baselines.baselines(known("2026-02-10", wins), CALENDAR, CALENDAR.period("quarter", "2026-02-10"),
                                 date(2026, 2, 10))  # fmt: skip
    assert a_year["last_year"] == 100
    assert np.isnan(a_year["weighted_pipeline"])


def test_a_commit_is_the_last_one_by_then_and_a_roll_up_counts_nothing_twice():
    period = CALENDAR.period("quarter", "2025-11-14")
    rows = pd.DataFrame(
        [
            ("a", "2025-10-01", "commit", "2025-10-05T10:00Z", 100, "own"),
            ("a", "2025-10-01", "commit", "2025-11-14T23:00Z", 120, "own"),
            ("a", "2025-10-01", "commit", "2025-11-15T00:00Z", 500, "own"),
            ("b", "2025-10-01", "commit", "2025-10-06T10:00Z", 50, None),
            ("b", "2025-10-01", "best_case", "2025-10-07T10:00Z", 90, "own"),
            ("b", "2025-07-01", "commit", "2025-10-07T10:00Z", 70, "own"),
            ("boss", "2025-10-01", "commit", "2025-10-07T10:00Z", 170, "roll_up"),
        ],
        columns=["user_id", "period_start", "category", "submitted_at", "amount", "kind"],
    )
    rows["period_start"] = pd.to_datetime(rows["period_start"])
    rows["submitted_at"] = pd.to_datetime(rows["submitted_at"], utc=True, format="ISO8601")
    assert baselines.submitted(rows, period, date(2025, 11, 14)) == 170
    assert np.isnan(baselines.submitted(rows, period, date(2025, 9, 30)))


def test_the_bias_of_forecasters_is_drawn_towards_everybodys():
    """Forty people with a bias of their own about 10 %, six periods each, one of them with two."""
    rng = np.random.default_rng(4)
    truth = rng.normal(0.10, 0.15, 40)
    rows = pd.DataFrame([
        {"user_id": f"u{k:02}", "actual": 100.0, "forecast": 100 * (1 + truth[k] + rng.normal(0, 0.3))}
        for k in range(40) for _ in range(2 if k == 0 else 6)
    ])  # fmt: skip
    found = commit.bias(rows).set_index("user_id")
    raw = rows.groupby("user_id")["forecast"].mean() / 100 - 1
    assert found["n"].tolist() == [2, *[6] * 39]
    assert np.square(found["bias"] - truth).mean() < 0.8 * np.square(raw - truth).mean()
    pull = (found["bias"] - raw) / (raw.mean() - raw)
    assert pull.iloc[0] > 1.3 * pull.iloc[1:].median() > 0.1  # who has fewer periods is drawn further
    assert 33 <= ((found["low"] <= truth) & (truth <= found["high"])).sum() <= 40
    alone = commit.bias(rows[rows["user_id"].eq("u01")]).iloc[0]
    assert alone["bias"] == pytest.approx(raw["u01"])
    assert alone["low"] < raw["u01"] < alone["high"]
    for nothing in (rows.head(1), rows.assign(actual=0.0)):
        with pytest.raises(InsufficientData, match="needs 2 finished periods with a submitted commit"):
            commit.bias(nothing)


def test_commits_of_a_source_that_has_them(tmp_path):
    """Two reps, the eight-deal company: what is submitted by the week asked for, against what each then booked."""
    plain = make_book(tmp_path / "plain")
    with pytest.raises(InsufficientData, match="submitted commit"):
        commit_bias(plain)
    won = facts.deals(plain)
    rep = won.loc[won["is_won"] & ~won["is_renewal"], "rep"].iloc[0]
    periods = plain.calendar.last("quarter", 2, plain.day)[::-1]
    rows = [[rep, span.start, "commit", f"{span.start}T12:00Z", 1_000 * (k + 1), "EUR", "own"]
            for k, span in enumerate(periods)]  # fmt: skip
    rows.append(
        [rep, periods[0].start, "commit", f"{periods[0].last_day}T12:00Z", 9_999, "EUR", "own"]
    )  # too late
    columns = ["user_id", "period_start", "category", "submitted_at", "amount", "currency", "kind"]
    told = conform(pd.DataFrame(rows, columns=columns), "forecast_submissions")
    book = make_book(tmp_path / "told", forecast_submissions=told)
    booked = sum(float(facts.Facts(book, span, won[won["rep"].eq(rep)]).won()["priced"].sum()) for span in periods)
    found = commit_bias(book).iloc[0]
    assert (found["user_id"], found["n"]) == (rep, 2)
    assert found["bias"] == pytest.approx(3_000 / booked - 1)
    assert submitted_commit(book, periods[0]) == 9_999
    assert np.isnan(submitted_commit(book.at(str(periods[1].last_day)), periods[0]))


def row(lead, actual, middle, width, **others):
    bounds = {
        "q2.5": -2,
        "q5": -1.6,
        "q10": -1.3,
        "q25": -0.7,
        "q50": 0,
        "q75": 0.7,
        "q90": 1.3,
        "q95": 1.6,
        "q97.5": 2,
    }
    told = {"period": "Q1", "start": "2025-01-01", "end": "2025-04-01", "day": f"2025-0{lead}-01", "booked": 0.0,
            "expected": middle, "reason": "", "lead_weeks": lead, "actual": actual}  # fmt: skip
    return told | {name: middle + width * z for name, z in bounds.items()} | others


def test_scores_by_hand():
    rows = [row(1, 100.0, 110.0, 10.0, last_year=80.0), row(1, 200.0, 190.0, 1.0, last_year=float("nan")),
            row(2, 100.0, 130.0, 20.0, last_year=100.0), row(3, 1.0, 1.0, 1.0, reason="too early")]  # fmt: skip
    found = replay.score(rows)
    first = found.scores.iloc[0]
    assert (first["lead_weeks"], first["n"]) == (1, 2)
    assert first["wape"] == pytest.approx(20 / 300)
    assert first["bias"] == pytest.approx(0)
    assert (first["coverage_50"], first["coverage_80"], first["coverage_95"]) == (0, 0.5, 0.5)
    assert first["wape_last_year"] == pytest.approx(20 / 100)  # on the one day that has it
    assert found.total["wape"] == pytest.approx(50 / 400)
    assert found.total["periods"] == 1
    losses = [max(q * (100 - f), (q - 1) * (100 - f)) for q, f in
              zip(replay.QUANTILES, [rows[2][name] for name in replay.NAMES], strict=True)]  # fmt: skip
    assert found.scores.iloc[1]["pinball"] == pytest.approx(np.mean(losses) / 100)
    league = found.league.set_index("way")
    assert league.loc["last_year", "wape"] == pytest.approx(20 / 200)
    assert league.loc["last_year", "wape_ours"] == pytest.approx(40 / 200)
    assert found.refused["reason"].tolist() == ["too early"]
    with pytest.raises(InsufficientData, match="too early"):
        replay.score(rows[-1:])


# -- on the sample company --------------------------------------------------------------------------------


def test_each_past_day_is_forecast_as_it_would_have_been_then(replayed, sample_ws):
    told = replayed.forecasts.iloc[1]
    book = sample_ws.book(told["day"])
    then = project_period(book, draws=QUICK["draws"])
    assert float(then.booked) == pytest.approx(told["booked"])
    assert then.quantiles.to_numpy() == pytest.approx(told[replay.NAMES].to_numpy(dtype=float))
    now = sample_ws.book()
    assert told["actual"] == pytest.approx(float(project_period(now, period=then.period).booked))


def test_every_lead_is_scored_beside_the_baselines(replayed):
    rows = replayed.scores
    assert rows["lead_weeks"].tolist() == sorted(rows["lead_weeks"])
    assert {"n", "wape", "bias", "coverage_50", "coverage_80", "coverage_95", "pinball"} <= set(rows)
    ways = [*baselines.NAMES, "bottom_up", "top_down"]
    assert {f"wape_{way}" for way in ways if way != "submitted_commit"} <= set(rows)
    assert "wape_submitted_commit" not in rows  # nobody submitted any
    assert replayed.total["n"] == len(replayed.forecasts) == 3
    league = replayed.league.set_index("way")["wape"]
    assert league["forecast"] < league[["weighted_pipeline", "coverage_rule"]].min()
    for name in ("coverage", "error"):
        assert getattr(charts_pipeline, f"plot_{name}")(replayed).get_lines()
        assert len(getattr(charts_pipeline, f"describe_{name}")(replayed)) > 40


def test_what_was_done_is_not_done_again_and_a_damaged_file_is(replayed, sample_ws, monkeypatch):
    done = []
    real = replay._one
    monkeypatch.setattr(replay, "_one", lambda task: done.append(task.day) or real(task))
    again = replay_weeks(sample_ws, **QUICK)
    assert done == []
    pd.testing.assert_frame_equal(again.forecasts, replayed.forecasts)
    days = len(replayed.forecasts)
    kept = list(replay.cache_folder(sample_ws).glob("*.json"))  # those of other tests among them
    assert len(kept) >= days
    for path in kept:
        path.write_text('{"cut": ', encoding="utf-8")
    again = replay_weeks(sample_ws, **QUICK)
    assert len(done) == days
    pd.testing.assert_frame_equal(again.forecasts, replayed.forecasts)
    assert sum(path.read_text(encoding="utf-8").endswith("}") for path in kept) == days
    replay_weeks(sample_ws, **QUICK | {"seed": 1, "every": "month"}, resume=False)
    assert len(done) == 2 * days  # another seed is another forecast


def test_a_dask_scheduler_gives_the_same(replayed, sample_ws):
    distributed = pytest.importorskip("distributed")
    options = {
        "n_workers": 1,
        "threads_per_worker": 1,
        "processes": False,
        "protocol": "tcp",
        "dashboard_address": None,
    }
    with distributed.LocalCluster(**options) as cluster:
        address = cluster.scheduler_address.replace("tcp://", "dask://")
        far = replay_weeks(sample_ws, **QUICK, executor=address, resume=False)
    pd.testing.assert_frame_equal(far.forecasts, replayed.forecasts)


def test_refusals(sample_ws):
    with pytest.raises(ParameterError, match=r"unknown step 'weak'\. Did you mean 'week'"):
        replay_weeks(sample_ws, every="weak")
    with pytest.raises(ParameterError, match="write local or dask://HOST:PORT"):
        replay_weeks(sample_ws, executor="dask://nowhere")
    with pytest.raises(ParameterError, match="unknown period"):
        replay_weeks(sample_ws, period="decade")
    with pytest.raises(ParameterError, match="at least 1"):
        replay_weeks(sample_ws, periods=0)
    with pytest.raises(SalesOpsError, match="no scheduler answers"):
        replay_weeks(sample_ws, periods=1, every="month", draws=150, executor="dask://127.0.0.1:9", resume=False)
    with pytest.raises(InsufficientData, match="past weeks with a forecast"):
        replay_weeks(sample_ws, periods=1, every="month", as_of="2023-11-30")


def test_four_weeks_ahead_on_a_source_without_history(maven_ws):
    found = replay_weeks(maven_ws, periods=2, every="month", period="next 4 weeks", draws=400)
    assert set(found.scores["lead_weeks"]) == {4}
    assert found.total["n"] == len(found.forecasts) >= 5
    assert found.total["wape"] < 0.1
    assert "wape_weighted_pipeline" not in found.scores  # open deals have no amount
    assert (found.forecasts["booked"] == 0).all()


# -- looking back -------------------------------------------------------------------------------------------


def test_a_past_period_is_shown_as_it_was_foreseen(replayed):
    trial = Trial(replayed, None, None, None)
    (period,), ways = past_periods(trial), past_ways(trial)
    assert ways[0] == "forecast"
    found = look_back(trial, way="trailing quarter")
    told = replayed.forecasts.sort_values("day")
    assert found.period == period
    assert found.came == told["actual"].iloc[0]
    assert found.rows["way"].tolist() == told["trailing_quarter"].tolist()
    assert found.rows["off"].tolist() == pytest.approx((told["q50"] / told["actual"] - 1).tolist())
    assert found.rows["held"].tolist() == told["actual"].between(told["q10"], told["q90"]).tolist()
    assert {"forecast", "way"} <= set(found.looks["units"])
    drawn = {line.get_label(): line for line in charts_pipeline.plot_look_back(found).get_lines()}
    assert list(drawn["trailing quarter"].get_ydata()) == told["trailing_quarter"].tolist()
    assert drawn["came"].get_ydata()[0] == found.came
    assert "trailing quarter was" in charts_pipeline.describe_look_back(found)
    assert "way" not in look_back(trial, period=period).rows
    for wrong in ({"period": "Q9"}, {"way": "tea leaves"}):
        with pytest.raises(ParameterError):
            look_back(trial, **wrong)


def test_where_nothing_was_forecast_nothing_is_looked_back_on():
    refusal = InsufficientData("Replay", needed=1, got=0, of="past weeks")
    trial = Trial(refusal, refusal, refusal, refusal)
    assert past_periods(trial) == past_ways(trial) == []
    with pytest.raises(InsufficientData):
        look_back(trial)
