"""Forecasts of a period's bookings, of many series and of hierarchies that add up; the past tries their ranges."""

from salesops_lib.forecast.backtest import Backtest, backtest_series
from salesops_lib.forecast.combine import models
from salesops_lib.forecast.commit import commit_bias, submitted_commit
from salesops_lib.forecast.components import Components, decompose
from salesops_lib.forecast.hierarchy import compare_methods, reconcile
from salesops_lib.forecast.predict import forecast_series
from salesops_lib.forecast.projection import (
    Projection,
    compare_probabilities,
    compare_scenarios,
    project_period,
)
from salesops_lib.forecast.replay import Replay, replay_weeks
from salesops_lib.forecast.scenario import Scenario

__all__ = [
    "Backtest", "Components", "Projection", "Replay", "Scenario", "backtest_series", "commit_bias",
    "compare_methods", "compare_probabilities", "compare_scenarios", "decompose", "forecast_series", "models",
    "project_period", "reconcile", "replay_weeks", "submitted_commit",
]  # fmt: skip
