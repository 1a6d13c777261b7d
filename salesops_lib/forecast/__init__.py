"""Forecasts of a period's bookings, of many series, of hierarchies; each with a range that the past has tried."""

from salesops_lib.forecast.backtest import Backtest, backtest_series
from salesops_lib.forecast.combine import models
from salesops_lib.forecast.components import Components, decompose
from salesops_lib.forecast.hierarchy import compare_methods, reconcile
from salesops_lib.forecast.irregular import inspect_series, working_days
from salesops_lib.forecast.measures import History, forecast_activity, freq_of, history
from salesops_lib.forecast.predict import forecast_series
from salesops_lib.forecast.projection import Projection, project_period
from salesops_lib.forecast.replay import Replay, replay_weeks

__all__ = [
    "Backtest", "Components", "History", "Projection", "Replay", "backtest_series", "compare_methods", "decompose",
    "forecast_activity", "forecast_series", "freq_of", "history", "inspect_series", "models", "project_period",
    "reconcile", "replay_weeks", "working_days",
]  # fmt: skip
