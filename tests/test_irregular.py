"""Outliers, level shifts and working days: planted ones are found, none where there are none, forecasts follow."""

import numpy as np
import pandas as pd
import pytest

from salesops_lib import forecast
from salesops_lib.errors import ParameterError
from salesops_lib.forecast import irregular, series
from salesops_lib.periods import FiscalCalendar
from tests.test_forecast_series import BOUNDS, SEASON, months, seasonal


def planted(kind, seed, n=72):
    rng = np.random.default_rng(seed)
    y, at = seasonal(n, seed=seed, noise=0.08), int(rng.integers(12, n - 12))
    if kind == "outlier":
        y[at] *= rng.choice([0.4, 2.2])
    if kind == "level shift":
        y[at:] *= rng.choice([0.4, 2.2])
    return y, at


@pytest.mark.parametrize("kind", ["outlier", "level shift"])
def test_what_was_planted_is_found_with_what_it_should_have_been(kind):
    hits, apart = 0, []
    for seed in range(40):
        y, at = planted(kind, seed)
        found = {row[0]: row for row in irregular.odd(y, 12) if row[1] == kind}
        near = [place for place in found if abs(place - at) <= (2 if kind == "level shift" else 0)]
        hits += bool(near)
        clean = seasonal(72, seed=seed, noise=0.08)
        apart += [found[place][2] / clean[place] - 1 for place in near]
    assert hits >= 32
    assert np.abs(apart).mean() < 0.2


def test_ordinary_series_have_next_to_nothing_odd():
    walks = [1000 * np.exp(np.random.default_rng(k).normal(0, 0.05, 72).cumsum()) for k in range(40)]
    plain = [seasonal(72, seed=k, noise=0.08) for k in range(40)]
    assert np.mean([len(irregular.odd(y, 12)) for y in plain]) < 0.15
    assert np.mean([len(irregular.odd(y, 12)) for y in walks]) < 0.6
    for y in ([5.0] * 40, list(range(1, 41)), [0, 0, 3, 0] * 12, [1.0, 9.0, 2.0], list(np.resize(SEASON, 48))):
        assert irregular.odd(np.array(y, float), 12) == []


def test_the_list_names_series_day_and_kind_and_the_working_days():
    y, at = planted("outlier", 3)
    rows = pd.concat([months(y, "odd"), months(seasonal(72, noise=0.08), "plain")])
    out = forecast.inspect_series(rows, freq="MS", calendar=FiscalCalendar(holiday_country="US"))
    (row,) = out[out["kind"].eq("outlier")].to_dict("records")
    assert (row["unique_id"], row["ds"], row["y"]) == (
        "odd",
        pd.date_range("2022-01-01", periods=72, freq="MS")[at],
        y[at],
    )
    assert row["strength"] > 4
    day = row["ds"].date()
    wanted = FiscalCalendar(holiday_country="US").working_days(day, (row["ds"] + pd.offsets.MonthBegin()).date())
    assert row["working_days"] == wanted
    none = forecast.inspect_series(months(seasonal(20)), freq="MS")
    assert list(none) == ["unique_id", "ds", "kind", "y", "expected", "strength"]
    assert none.empty


def test_an_outlier_replaced_no_longer_moves_the_forecast_and_the_label_says_so():
    y = seasonal(60, noise=0.02)
    spoilt = y.copy()
    spoilt[57] *= 4
    how = {"horizon": 6, "freq": "MS", "model": "fast"}
    clean, kept = (forecast.forecast_series(months(v), **how) for v in (y, spoilt))
    mended = forecast.forecast_series(months(spoilt), **how, outliers="replace")
    off = {
        name: (out["mean"] / clean["mean"] - 1).abs().mean() for name, out in (("kept", kept), ("mended", mended))
    }
    assert off["mended"] < 0.05 < off["kept"]
    assert set(mended["model"]) == {"fast, 1 outlier replaced"}
    assert set(forecast.forecast_series(months(y), **how, outliers="replace")["model"]) == {"fast"}
    last = y.copy()
    last[-1] *= 4  # nobody knows yet whether it stays
    panel, counts = irregular.replaced(series.read(months(last), freq="MS"))
    assert counts == [0]
    assert panel.values[0].tolist() == last.tolist()


def test_a_forecast_by_working_days_follows_the_calendar():
    calendar = FiscalCalendar(holiday_country="US")
    stamps = pd.date_range("2019-01-01", periods=84, freq="MS")
    days = forecast.working_days(stamps, "MS", calendar)
    assert days[0] == 21  # 23 weekdays of January 2019 less New Year's Day and Martin Luther King's
    rows = months(50.0 * days[:72], start="2019-01-01")
    out = forecast.forecast_series(rows, horizon=12, freq="MS", model="naive", working_days=calendar)
    assert out["mean"].to_numpy() == pytest.approx(50 * days[72:])
    assert (out[BOUNDS].diff(axis=1).iloc[:, 1:] >= -1e-9).all().all()
    by_code = forecast.forecast_series(rows, horizon=12, freq="MS", model="naive", working_days="US")
    pd.testing.assert_frame_equal(by_code, out)
    late = pd.concat([rows, months(50.0 * days[40:60], "late", start=stamps[40])])
    both = forecast.forecast_series(late, horizon=2, freq="MS", model="naive", working_days="US")
    assert both.loc[both["unique_id"].eq("late"), "mean"].to_numpy() == pytest.approx(50 * days[60:62])
    for wrong in ("XX", 5):
        with pytest.raises(ParameterError):
            forecast.forecast_series(rows, horizon=2, freq="MS", model="naive", working_days=wrong)
    with pytest.raises(ParameterError, match="way to treat outliers"):
        forecast.forecast_series(rows, horizon=2, freq="MS", model="naive", outliers="limit")


@pytest.mark.parametrize(("freq", "stamp", "days"), [
    ("W-MON", "2026-01-05", 5), ("W-SUN", "2026-01-11", 5), ("W-MON", "2025-12-29", 4), ("W-SUN", "2026-01-04", 4),
    ("ME", "2026-01-31", 20), ("QS-FEB", "2026-02-01", 63), ("QE-APR", "2026-04-30", 63), ("D", "2026-01-01", 0),
])  # fmt: skip
def test_steps_stamped_at_their_start_or_end_have_their_own_days(freq, stamp, days):
    calendar = FiscalCalendar(holiday_country="US")
    assert forecast.working_days(pd.DatetimeIndex([stamp]), freq, calendar).tolist() == [days]


def test_weeks_that_begin_on_sunday_and_retail_months_follow_the_calendar():
    sunday = FiscalCalendar(week_start="sunday", holiday_country="US")
    assert forecast.working_days(pd.DatetimeIndex(["2026-01-04"]), "W-SUN", sunday).tolist() == [5]
    retail = FiscalCalendar(start_month=2, pattern="4-4-5")
    stamps = pd.DatetimeIndex(["2026-02-01", "2026-03-01", "2026-04-01"])
    assert forecast.working_days(stamps, "MS", retail).tolist() == [20, 20, 25]
    assert forecast.working_days(stamps[:1], "QS-FEB", retail).tolist() == [65]
