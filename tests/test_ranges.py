"""Ranges of series forecasts: widened by disagreement, shape and length; scaled by what past ones held."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from salesops_lib import forecast
from salesops_lib.forecast import combine, ranges, series, standins
from salesops_lib.forecast.series import Ask
from tests.test_forecast_series import in_order, many, months

RNG = np.random.default_rng(0)


def walks(count=40, n=60) -> pd.DataFrame:
    return pd.concat([months(1000 + RNG.normal(0, 10, n).cumsum(), f"w{k}") for k in range(count)])


def noises(count=40, n=60) -> pd.DataFrame:
    return pd.concat([months(1000 + RNG.normal(0, 10, n), f"n{k}") for k in range(count)])


def test_a_combination_is_as_wide_as_its_formula_says():
    panel = series.read(many(2, n=48), freq="MS")
    ask = Ask(2, (80, 95))
    pool = combine.Pool(("theta", "stl_ets"))
    means = np.array([[[100.0, 100], [200, 200]], [[110, 110], [200, 200]]])  # member × series × step
    halves = np.array([10.0, 30.0])
    parts = {
        name: standins.ranged(means[k], np.broadcast_to(halves[k] * np.array([1, 2]), (2, 2, 2)))
        for k, name in enumerate(pool.names)
    }
    out = combine.combined(pool, parts, ask, panel)
    assert out[..., 0].tolist() == [[105, 105], [200, 200]]
    shape = t.ppf([0.9, 0.975], 8) / [1.2815516, 1.9599640]
    shape = shape / shape[1]
    own = np.array([20.0, 40.0])
    apart = np.array([1.2815516, 1.9599640]) * np.std([100, 110], ddof=1)
    for k, wide in enumerate((np.hypot(own, apart), own)):
        half = wide * shape * np.sqrt(1 + 12 / 48)
        assert (out[k, 0, 2::2] - out[k, 0, 0]) == pytest.approx(half)
        assert (out[k, 0, 0] - out[k, 0, 1::2]) == pytest.approx(half)


def test_ranges_that_were_right_stay_and_those_too_wide_are_drawn_in():
    right = ranges.learn(series.read(walks(), freq="MS"), "naive", Ask(6, (80, 95)))
    assert right.n == 80
    assert right.factors == pytest.approx(1, abs=0.1)
    history = noises()
    wide = ranges.learn(series.read(history, freq="MS"), "naive", Ask(6, (80, 95)))
    assert (wide.factors < 0.9).all()
    end = history["ds"].max()
    known, came = history[history["ds"].lt(end - pd.DateOffset(months=5))], history
    held = {}
    for calibrate in (False, True):
        how = {"horizon": 6, "freq": "MS", "model": "naive", "calibrate": calibrate}
        out = forecast.forecast_series(known, **how)
        in_order(out)
        both = out.merge(came, on=["unique_id", "ds"])
        assert len(both) == 240
        held[calibrate] = both["y"].between(both["lo-80"], both["hi-80"]).mean()
    assert abs(held[True] - 0.8) < abs(held[False] - 0.8)
    assert out["model"].str.fullmatch(r"naive, ranges × \[0\.\d+, 0\.\d+\] from 80 past forecasts").all()


def test_the_factor_is_half_of_what_was_needed_and_less_from_few():
    panel = series.read(noises(12), freq="MS")
    ask = Ask(6, (80,))
    few, many_ = (ranges.learn(panel.pick(range(n)), "naive", ask) for n in (3, 12))
    assert (few.n, many_.n) == (6, 24)
    ratios = np.concatenate([ranges._ratios(panel, back, "naive", ask, combine.members.fit) for back in (6, 12)])
    needed = np.quantile(ratios, 0.8)
    assert many_.factors[0] == pytest.approx(needed ** (24 / 44 / 2))
    none = ranges.learn(panel.pick(range(2)), "naive", ask)
    assert none.n == 4
    assert none.factors.tolist() == [1]


def test_stand_ins_keep_their_ranges():
    rows = pd.concat([noises(5), months([3.0, 4.0], "short")])
    how = {"horizon": 3, "freq": "MS", "model": "theta"}
    plain, scaled = (forecast.forecast_series(rows, **how, calibrate=on) for on in (False, True))
    short = plain["unique_id"].eq("short")
    pd.testing.assert_frame_equal(plain[short], scaled[short])
    assert not plain.loc[~short, "hi-80"].equals(scaled.loc[~short, "hi-80"])
    assert plain["mean"].tolist() == scaled["mean"].tolist()


def test_a_backtest_tells_what_calibrated_ranges_held():
    history = noises(10, n=72)
    how = {"horizon": 6, "freq": "MS", "cutoffs": 2, "models": ("naive",)}
    plain, scaled = (forecast.backtest_series(history, **how, calibrate=on).league for on in (False, True))
    assert scaled["mase"].iloc[0] == plain["mase"].iloc[0]
    assert abs(scaled["coverage_80"].iloc[0] - 0.8) < abs(plain["coverage_80"].iloc[0] - 0.8)
    assert scaled["msis_80"].iloc[0] < plain["msis_80"].iloc[0]


def test_the_pooled_model_alone_has_a_range():
    out = forecast.forecast_series(many(12, n=96, noise=0.1), horizon=3, freq="MS", model="lightgbm")
    assert set(out["model"]) == {"lightgbm"}
    assert (out["hi-80"] > out["mean"]).all()
    in_order(out)
