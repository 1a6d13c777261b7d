"""Forecasts of a period's bookings, of many series, of hierarchies; each with a range that the past has tried."""

from salesops_lib.forecast.analysis import Review, decisions, levers, review, what_if
from salesops_lib.forecast.backtest import Backtest, backtest_series
from salesops_lib.forecast.combine import models
from salesops_lib.forecast.commit import commit_bias, submitted_commit
from salesops_lib.forecast.components import Components, decompose
from salesops_lib.forecast.hierarchy import compare_methods, reconcile
from salesops_lib.forecast.irregular import inspect_series, working_days
from salesops_lib.forecast.measures import History, forecast_activity, freq_of, history
from salesops_lib.forecast.months import Months, months_ahead
from salesops_lib.forecast.predict import forecast_series
from salesops_lib.forecast.projection import (
    Projection,
    compare_probabilities,
    compare_scenarios,
    project_period,
)
from salesops_lib.forecast.replay import Replay, replay_weeks
from salesops_lib.forecast.scenario import Scenario
from salesops_lib.forecast.trials import Trial, trial, try_model

__all__ = [
    "Backtest", "Components", "History", "Months", "Projection", "Replay", "Review", "Scenario", "Trial",
    "backtest_series", "commit_bias", "compare_methods", "compare_probabilities", "compare_scenarios", "decisions",
    "decompose", "forecast_activity", "forecast_series", "freq_of", "history", "inspect_series",
    "levers", "models",
    "months_ahead", "project_period", "reconcile", "replay_weeks", "review", "submitted_commit", "trial",
    "try_model", "what_if", "working_days",
]  # fmt: skip
