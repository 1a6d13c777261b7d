"""Who is in a combination: the pooled model leaves where its peers were clearly better at the last origin."""

import numpy as np
import pandas as pd
import pytest

from salesops_lib import forecast
from salesops_lib.forecast import combine, members, pooled, series
from salesops_lib.forecast.series import Ask

ASK = Ask(12)


def monthly(shape, n=24, length=84):
    """As many series, each of a shape of its own."""
    rng, t = np.random.default_rng(3), np.arange(length)
    stamps = pd.date_range("2018-01-01", periods=length, freq="MS")
    return pd.concat(pd.DataFrame({"unique_id": f"s{k}", "ds": stamps, "y": shape(rng, t)}) for k in range(n))


def own_season(rng, t):
    """A season that no other series shares, which only a model of one series can learn."""
    return 100 * np.exp(rng.normal(0, 0.5, 12)[t % 12] + rng.normal(0, 0.02, len(t)))


def shared_wave(rng, t):
    """A wave and a trend as all have them, shifted."""
    return 500 + rng.normal(0, 1, len(t)) + rng.normal(0, 1) * t + 20 * np.sin((t + rng.integers(12)) * np.pi / 6)


@pytest.mark.parametrize(("shape", "is_worse"), [(own_season, True), (shared_wave, False)])
def test_it_leaves_where_one_series_knows_better_and_stays_where_all_do(shape, is_worse):
    history = monthly(shape)
    panel = series.read(history, freq="MS")
    assert pooled.is_worse(panel, ASK, members.fit) is is_worse
    found = forecast.forecast_series(history, horizon=12, freq="MS", model="fast")
    names = [name for name in combine.POOLS["fast"].names if name != combine.POOLED]
    without = members.fit(panel, names, ASK)[..., 0].mean(axis=1).ravel()
    assert np.allclose(found["mean"], without) is is_worse


def test_asked_for_alone_it_answers_all_the_same():
    found = forecast.forecast_series(monthly(own_season), horizon=3, freq="MS", model="lightgbm")
    assert set(found["model"]) == {"lightgbm"}


def test_too_short_to_tell_it_stays():
    assert not pooled.is_worse(series.read(monthly(own_season, length=56), freq="MS"), ASK, members.fit)
