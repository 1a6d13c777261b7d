"""Series forecasts: known answers, properties, bad input, stand-ins, hierarchies, and a sample of M3."""

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salesops_lib import forecast
from salesops_lib.errors import DataContractError, InsufficientData, ParameterError
from salesops_lib.forecast import backtest, charts, combine, members, series
from tests.conftest import shared

SEASON = np.array([0.8, 0.9, 1.2, 0.7, 0.9, 1.3, 0.8, 0.7, 1.3, 0.9, 1.0, 1.5])
BOUNDS = ["lo-95", "lo-80", "mean", "hi-80", "hi-95"]


def months(y, name="bookings", start="2022-01-01", freq="MS") -> pd.DataFrame:
    return pd.DataFrame({"unique_id": name, "ds": pd.date_range(start, periods=len(y), freq=freq), "y": y})


def seasonal(n=60, seed=0, noise=0.03, level=1000.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    trend = level * (1 + 0.01 * np.arange(n))
    return trend * np.resize(SEASON, n) * rng.lognormal(0, noise, n)


def many(count=12, n=48, **how) -> pd.DataFrame:
    return pd.concat([months(seasonal(n, seed=k, **how), f"s{k}") for k in range(count)], ignore_index=True)


def test_the_columns_are_those_that_others_rely_on():
    out = forecast.forecast_series(months(seasonal(36)), horizon=3, freq="MS", model="theta")
    assert list(out) == ["unique_id", "ds", "mean", "lo-80", "hi-80", "lo-95", "hi-95", "model"]
    assert out["ds"].tolist() == list(pd.date_range("2025-01-01", periods=3, freq="MS"))
    assert out["model"].tolist() == ["theta"] * 3
    other = forecast.forecast_series(months(seasonal(36)), horizon=3, freq="MS", model="theta", levels=[97.5, 50])
    assert list(other)[2:-1] == ["mean", "lo-50", "hi-50", "lo-97.5", "hi-97.5"]


def test_naive_models_give_what_the_head_gives():
    history = months([*range(1, 13), *range(101, 113)])
    same = forecast.forecast_series(history, horizon=14, freq="MS", model="seasonal_naive")
    assert same["mean"].tolist() == [*range(101, 113), 101, 102]
    last = forecast.forecast_series(history, horizon=2, freq="MS", model="naive")
    assert last["mean"].tolist() == [112, 112]


def test_naive2_equals_a_plain_loop():
    y = seasonal(50, noise=0.1)
    ratios = {k: [] for k in range(12)}
    for t in range(6, 44):
        trend = (y[t - 6] / 2 + y[t - 5 : t + 6].sum() + y[t + 6] / 2) / 12
        ratios[t % 12].append(y[t] / trend)
    factors = [np.mean(ratios[k]) for k in range(12)]
    factors = [factor / np.mean(factors) for factor in factors]
    wanted = [y[-1] / factors[49 % 12] * factors[t % 12] for t in range(50, 60)]
    out = forecast.forecast_series(months(y), horizon=10, freq="MS", model="naive2")
    assert out["mean"].to_numpy() == pytest.approx(wanted)
    flat = np.random.default_rng(1).normal(100, 5, 60)
    assert forecast.forecast_series(months(flat), horizon=3, freq="MS", model="naive2")["mean"].to_numpy() == (
        pytest.approx(flat[-1])
    )


@pytest.mark.parametrize("model", ["fast", "auto"])
def test_a_plain_pattern_is_continued(model):
    y = seasonal(60, noise=0.005)
    out = forecast.forecast_series(months(y), horizon=12, freq="MS", model=model)
    wanted = 1000 * (1 + 0.01 * np.arange(60, 72)) * SEASON
    assert out["mean"].to_numpy() == pytest.approx(wanted, rel=0.04)
    assert (out["hi-80"] - out["lo-80"]).mean() < 0.15 * out["mean"].mean()
    assert set(out["model"]) == {model}


def test_every_model_in_the_list_answers_and_keeps_its_shape(caplog, capfd):
    history = many(12, n=96)
    for model in forecast.models():
        rows = history if model in (*combine.POOLS, combine.POOLED) else history[history["unique_id"].eq("s1")]
        if model == "auto":
            continue  # above
        out = forecast.forecast_series(rows, horizon=6, freq="MS", model=model)
        assert set(out["model"]) == {model}
        in_order(out)
    assert capfd.readouterr().out == ""
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("model", ["auto_ets", "auto_arima", "auto_ces", "dynamic_theta", "stl_ets", "stl_theta"])
def test_members_take_a_season_of_weeks(model):
    wave = 1000 + 300 * np.sin(np.arange(169) * 2 * np.pi / 52) + np.random.default_rng(0).normal(0, 10, 169)
    rows = months(wave[:156], freq="W-MON", start="2023-01-02")
    out = forecast.forecast_series(rows, horizon=13, freq="W-MON", model=model)
    assert set(out["model"]) == {model}
    assert np.abs(out["mean"].to_numpy() - wave[156:]).mean() < 60


def test_weeks_have_pools_of_their_own_that_half_believe_in_the_season():
    wave = 1000 + 300 * np.sin(np.arange(169) * 2 * np.pi / 52) + np.random.default_rng(0).normal(0, 10, 169)
    rows = months(wave[:156], freq="W-MON", start="2023-01-02")
    how = {"horizon": 13, "freq": "W"}
    made = {m: forecast.forecast_series(rows, **how, model=m)["mean"] for m in combine.LONG_POOLS["fast"].names}
    out = forecast.forecast_series(rows, **how, model="fast", calibrate=True)
    assert out["mean"].to_numpy() == pytest.approx(np.mean(list(made.values()), axis=0))
    in_order(out)
    auto = forecast.forecast_series(rows, **how)
    assert set(auto["model"]) == {"auto"}
    assert np.abs(auto["mean"].to_numpy() - wave[156:]).mean() < 150


def in_order(out: pd.DataFrame) -> None:
    numbers = out[[name for name in BOUNDS if name in out]].to_numpy()
    assert np.isfinite(numbers).all()
    assert (np.diff(numbers, axis=1) >= -1e-9 * np.abs(numbers).max()).all()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    y=st.lists(st.integers(0, 400), min_size=1, max_size=40),
    factor=st.sampled_from([1e-6, 0.25, 1.0, 3.7, 1e9]),
    season=st.sampled_from(["MS", "QS", "YS"]),
    horizon=st.integers(1, 6),
    data=st.data(),
)
def test_any_history_gives_ordered_ranges_in_its_own_unit_whatever_the_order_of_rows(
    y, factor, season, horizon, data
):
    history = months([float(v) for v in y], start="2001-01-01", freq=season)
    model = data.draw(st.sampled_from(["fast", "theta", "stl_ets", "seasonal_naive"]))
    out = forecast.forecast_series(history, horizon=horizon, freq=season, model=model)
    in_order(out)
    assert len(out) == horizon
    assert (out[BOUNDS].to_numpy() >= 0).all()
    mixed = history.sample(frac=1, random_state=1).assign(y=lambda d: d["y"] * factor)
    again = forecast.forecast_series(mixed, horizon=horizon, freq=season, model=model)
    assert again[BOUNDS].to_numpy() == pytest.approx(factor * out[BOUNDS].to_numpy(), rel=1e-4, abs=1e-4 * factor)
    assert again["model"].tolist() == out["model"].tolist()


def test_one_series_does_not_change_another_and_the_same_call_gives_the_same():
    history = many(3)
    alone = forecast.forecast_series(history[history["unique_id"].eq("s2")], horizon=5, freq="MS", model="fast")
    beside = forecast.forecast_series(history, horizon=5, freq="MS", model="fast")
    pd.testing.assert_frame_equal(beside[beside["unique_id"].eq("s2")].reset_index(drop=True), alone)
    crowd = many(14)
    once, twice = (forecast.forecast_series(crowd, horizon=5, freq="MS", model="fast") for _ in range(2))
    pd.testing.assert_frame_equal(once, twice)
    one = crowd[crowd["unique_id"].eq("s2")]
    prophet = [forecast.forecast_series(one, horizon=3, freq="MS", model="prophet") for _ in range(2)]
    pd.testing.assert_frame_equal(*prophet)


def test_negative_values_stay_possible_where_they_were():
    y = np.random.default_rng(3).normal(0, 10, 60)
    out = forecast.forecast_series(months(y), horizon=6, freq="MS", model="fast")
    assert (out["lo-80"] < 0).all()


BAD = [
    (lambda d: d.drop(columns="y"), "y"),
    (lambda d: d.iloc[:0], "no rows"),
    (lambda d: d.assign(unique_id=[None, *d["unique_id"][1:]]), "row 0: unique_id is empty"),
    (lambda d: d.assign(y=d["y"].where(d.index != 4)), "series 'bookings', row 4: y is nan"),
    (lambda d: d.assign(y=d["y"].where(d.index != 4, np.inf)), "series 'bookings', row 4: y is inf"),
    (lambda d: d.assign(y=d["y"].astype(object).where(d.index != 4, "12")), "row 4: y '12' is text"),
    (lambda d: d.assign(y=d["y"] > 0), "bool"),
    (lambda d: pd.concat([d, d.iloc[[3]]], ignore_index=True), "row 24: 2022-04-01 comes twice"),
    (lambda d: d.drop(index=[5, 6]), "before row 7: 2022-06-01, 2022-07-01 are missing"),
    (
        lambda d: d.assign(ds=d["ds"].where(d.index != 4, pd.Timestamp("2022-05-09"))),
        "row 4: 2022-05-09 is no step",
    ),
    (lambda d: d.assign(ds=d["ds"] + pd.offsets.MonthEnd(0)), "All stamps lie on freq 'ME'"),
    (
        lambda d: d.assign(ds=d["ds"].dt.tz_localize("UTC")),
        "row 0: ds 2022-01-01 00:00:00+00:00 carries a time zone",
    ),
    (lambda d: d.assign(ds=d["ds"] + pd.Timedelta(hours=5)), "time of day"),
    (lambda d: d.assign(ds=["soon", *d["ds"][1:]]), "row 0: ds 'soon' is no date"),
    (lambda d: d.assign(ds=range(24)), "is a number"),
    (lambda d: pd.concat([d, months([1.0] * 10, "weekly", "2022-01-02", "W")]), "series 'weekly', row 0"),
    (lambda d: d.to_dict("list"), "a table"),
    (lambda d: d.assign(unique_id="<b>\n" + "x" * 300).drop(index=[5]), "characters"),
]


@pytest.mark.parametrize(("spoil", "says"), BAD, ids=[says for _, says in BAD])
def test_bad_history_is_named_by_series_and_row(spoil, says):
    with pytest.raises(DataContractError) as caught:
        forecast.forecast_series(spoil(months(seasonal(24))), horizon=3, freq="MS")
    assert says in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"freq": "MZ"}, "unknown freq 'MZ'"),
        ({"freq": "2MS"}, "unknown freq"),
        ({"freq": None}, "unknown freq"),
        ({"horizon": 0}, "horizon 0"),
        ({"horizon": 2.5}, "horizon 2.5"),
        ({"horizon": True}, "horizon True"),
        ({"levels": (80, 120)}, "level 120"),
        ({"levels": ("80",)}, "level '80'"),
        ({"model": "auto_eta"}, "Did you mean 'auto_ets'?"),
        ({"gaps": "fill"}, "unknown way to treat gaps 'fill'"),
        ({"executor": "dask:8786"}, "write local or dask://HOST:PORT"),
        ({"workers": 0}, "workers 0"),
    ],
)
def test_bad_arguments_say_what_is_known(how, says):
    with pytest.raises(ParameterError, match="") as caught:
        forecast.forecast_series(months(seasonal(24)), **{"horizon": 3, "freq": "MS", **how})
    assert says in str(caught.value)


def test_loose_words_take_the_steps_that_the_stamps_show():
    for freq, start, wanted in [
        ("M", "2022-01-31", "ME"),
        ("W", "2022-01-03", "W-MON"),
        ("Q", "2022-02-01", "QS-FEB"),
    ]:
        rows = months(range(1, 13), start=start, freq=wanted)
        assert series.read(rows, freq=freq).freq == wanted
    decimals = months(range(1, 13)).assign(y=lambda d: d["y"].astype(str).map(__import__("decimal").Decimal))
    assert series.read(decimals, freq="MS").values[0].tolist() == list(range(1, 13))


def test_gaps_are_filled_as_asked():
    rows = months(np.arange(1.0, 13)).drop(index=[2, 3])
    assert series.read(rows, freq="MS", gaps="zero").values[0][1:5].tolist() == [2, 0, 0, 5]
    assert series.read(rows, freq="MS", gaps="interpolate").values[0][1:5].tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("y", "label"),
    [
        ([5.0], "naive (1 of 24 months needed)"),
        ([5.0, 7.0, 6.0], "naive (3 of 24 months needed)"),
        ([0.0] * 30, "naive (only zeros)"),
        ([4.0] * 30, "naive (one value only)"),
        (seasonal(9), "theta and ets without season (9 of 24 months needed)"),
        ([0, 0, 3, 0, 0, 0, 2, 0, 5, 0] * 3, "tsb (70% zeros)"),
        ([0, 0, 9] * 24, "seasonal mean (67% zeros)"),
        ([-5.0] * 9, "naive (one value only)"),
    ],
)
def test_what_carries_no_model_says_so(y, label):
    out = forecast.forecast_series(months([float(v) for v in y]), horizon=4, freq="MS")
    assert set(out["model"]) == {label}
    in_order(out)


def test_a_single_value_has_a_wide_range_and_zeros_have_none():
    one = forecast.forecast_series(months([5.0]), horizon=2, freq="MS")
    assert (one["mean"] == 5).all()
    assert (one["hi-80"] - one["lo-80"] > 5).all()
    none = forecast.forecast_series(months([0.0] * 30), horizon=2, freq="MS")
    assert (none[BOUNDS] == 0).all().all()


def test_a_member_that_runs_away_or_fails_gives_way_to_theta(monkeypatch):
    class Runaway:
        def forecast(self, y, h, level):
            return {"mean": np.full(h, 1e6)}

    class Broken:
        def forecast(self, y, h, level):
            raise ValueError("no model able to be fitted")

    history = months(seasonal(48))
    theta = forecast.forecast_series(history, horizon=4, freq="MS", model="theta")
    for model in (Runaway, Broken):
        monkeypatch.setitem(members.MEMBERS, "auto_ces", members.Member(lambda season, model=model: model()))
        out = forecast.forecast_series(history, horizon=4, freq="MS", model="auto_ces")
        assert set(out["model"]) == {"theta (auto_ces failed)"}
        assert out["mean"].tolist() == theta["mean"].tolist()


def test_scores_are_those_of_the_hand():
    forecasts = pd.DataFrame(
        {
            "unique_id": ["a", "a"], "cutoff": pd.Timestamp("2024-01-01"), "horizon": [1, 1], "model": "m",
            "y": [10.0, 20.0], "mean": [12.0, 15.0], "lo-80": [11.0, 10.0], "hi-80": [13.0, 30.0],
            "lo-95": [9.0, 0.0], "hi-95": [15.0, 40.0], "scale": [2.0, 2.0],
        }
    )  # fmt: skip
    (row,) = backtest.scored(forecasts, ["model", "horizon"], ["m"]).to_dict("records")
    assert row["mase"] == pytest.approx((1 + 2.5) / 2)
    assert row["wape"] == pytest.approx(7 / 30)
    assert row["bias"] == pytest.approx(-3 / 30)
    assert row["smape"] == pytest.approx((200 * 2 / 22 + 200 * 5 / 35) / 2)
    assert row["coverage_80"] == 0.5
    assert row["coverage_95"] == 1
    assert row["msis_80"] == pytest.approx(((2 + 10) / 2 + 20 / 2) / 2)
    assert row["n"] == 2
    assert series.naive_scale(np.array([1.0, 2, 3, 5, 5, 5]), 3) == pytest.approx((4 + 3 + 2) / 3)
    assert np.isnan(series.naive_scale(np.ones(9), 3))


def test_a_backtest_sees_nothing_of_the_future_and_ranks_models():
    history = many(6, n=60)
    how = {"horizon": 6, "freq": "MS", "cutoffs": 3, "models": ("fast", "seasonal_naive", "naive")}
    result = forecast.backtest_series(history, **how)
    wanted = ["model", "horizon", "mase", "smape", "wape", "bias", "coverage_80", "coverage_95", "msis_80"]
    assert list(result.scores)[:9] == wanted
    assert len(result.scores) == 18
    assert set(result.scores["n"]) == {18}
    assert result.league["model"].iloc[0] == "fast"
    assert result.league["behind_low"].iloc[-1] > 0
    assert "80 % ranges held" in result.headline
    end = history["ds"].max()
    changed = history.assign(y=history["y"].where(history["ds"].lt(end), 1e6))
    again = forecast.backtest_series(changed, **how)
    first = result.forecasts["cutoff"].lt(result.forecasts["cutoff"].max())
    pd.testing.assert_frame_equal(
        result.forecasts[first].drop(columns="y"), again.forecasts[first].drop(columns="y")
    )
    alone = forecast.forecast_series(history[history["ds"].le("2026-06-01")], horizon=6, freq="MS", model="fast")
    last = result.forecasts.query("model == 'fast' and cutoff == '2026-06-01'")
    assert last["mean"].to_numpy() == pytest.approx(alone["mean"].to_numpy())


def test_a_backtest_without_a_past_says_how_much_is_needed():
    with pytest.raises(InsufficientData, match="needs 13 months in a series, there are 9"):
        forecast.backtest_series(months(seasonal(9)), horizon=12, freq="MS")
    with pytest.raises(ParameterError, match="cutoffs 0"):
        forecast.backtest_series(months(seasonal(48)), horizon=6, freq="MS", cutoffs=0)


def test_prophet_takes_effects_and_caps_and_shows_its_parts():
    rows = months(seasonal(48), freq="W-MON", start="2023-01-02")
    effects = forecast.Components(fiscal_year_start=2, holidays="US", growth="logistic", cap=1500.0)
    out = forecast.forecast_series(rows, horizon=8, freq="W", model="prophet", components=effects)
    in_order(out)
    assert out["mean"].max() < 2500
    parts = forecast.decompose(rows, horizon=8, freq="W", components=effects)
    assert {"trend", "holidays"} <= set(parts["component"])
    lifted = parts[parts["component"].eq("holidays") & parts["value"].ne(0)]
    assert pd.Timestamp("2023-04-24") in set(lifted["ds"])  # the week in which April, and the first quarter, ends
    for how, says in [({"growth": "log"}, "unknown growth"), ({"growth": "logistic"}, "needs a cap"),
                      ({"fiscal_year_start": 13}, "a month"), ({"mode": "x"}, "unknown mode")]:  # fmt: skip
        with pytest.raises(ParameterError, match=says):
            forecast.Components(**how)
    with pytest.raises(ParameterError, match="no such country"):
        forecast.decompose(rows, horizon=8, freq="W", components=forecast.Components(holidays="XX"))


def test_processes_and_a_cluster_give_the_same_answer(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("salesops_lib.forecast.chunks.SIZE", 2)
    history = many(4)
    how = {"horizon": 3, "freq": "MS", "model": "theta"}
    here = forecast.forecast_series(history, **how)
    pd.testing.assert_frame_equal(forecast.forecast_series(history, **how, workers=2), here)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None,
                                  protocol="tcp", host="127.0.0.1") as cluster:  # fmt: skip
        address = cluster.scheduler_address.replace("tcp://", "dask://")
        pd.testing.assert_frame_equal(forecast.forecast_series(history, **how, executor=address), here)


def test_pictures_draw_what_the_numbers_say():
    history = many(2, n=60)
    out = forecast.forecast_series(history, horizon=6, freq="MS", model="fast")
    ax = charts.plot_fan(out, history, series="s1", target=1500)
    own = out[out["unique_id"].eq("s1")]
    drawn = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    assert drawn["forecast"] == pytest.approx(own["mean"].to_numpy())
    assert len(drawn["history"]) == 60
    assert set(drawn["target"]) == {1500}
    bands = [c.get_paths()[0].get_extents().height for c in ax.collections]
    assert bands[0] > bands[1]  # 95 % first, under 80 %
    assert "80 % range" in charts.describe_fan(out, "s1")
    with pytest.raises(ParameterError, match="unknown series"):
        charts.plot_fan(out, history, series="s9")
    result = forecast.backtest_series(history, horizon=6, freq="MS", cutoffs=3, models=("fast", "naive"))
    ax = charts.plot_league(result)
    assert [text.get_text().split(" ")[0] for text in ax.get_yticklabels()] == ["naive", "fast"]
    ax = charts.plot_coverage(result)
    fast = result.scores.query("model == 'fast'")
    assert ax.get_lines()[0].get_ydata() == pytest.approx(fast["coverage_80"].to_numpy())
    for sentence in (charts.describe_league(result), charts.describe_coverage(result)):
        assert "fast" in sentence
    parts = forecast.decompose(history[history["unique_id"].eq("s1")], horizon=6, freq="MS")
    assert {line.get_label() for line in charts.plot_components(parts).get_lines()} == {"trend", "yearly"}


def test_a_sample_of_m3_is_well_below_naive2():
    folder = shared("forecast")
    rows = pd.read_parquet(folder / "m3_monthly.parquet")
    ids = np.random.default_rng(1).choice(np.sort(rows["unique_id"].unique()), 60, replace=False)
    rows = rows[rows["unique_id"].isin(ids)]
    scores = {}
    for model in ("fast", "naive2"):
        out = forecast.forecast_series(
            rows[rows["split"].eq("train")][["unique_id", "ds", "y"]], horizon=18, freq="MS", model=model
        )
        came = rows[rows["split"].eq("test")].merge(out, on=["unique_id", "ds"])
        assert len(came) == 60 * 18
        scale = (
            rows[rows["split"].eq("train")]
            .groupby("unique_id")["y"]
            .apply(lambda y: series.naive_scale(y.to_numpy(), 12))
        )
        losses = came.assign(model=model, cutoff=0, horizon=1, scale=came["unique_id"].map(scale))
        scores[model] = backtest.scored(losses, ["model"], [model]).iloc[0]
    owa = np.mean([scores["fast"][name] / scores["naive2"][name] for name in ("mase", "smape")])
    assert owa < 0.88
    assert 0.74 < scores["fast"]["coverage_80"] < 0.88
