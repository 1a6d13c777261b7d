"""Forecasts of a period's bookings, of many series, of hierarchies; each with a range that the past has tried."""

from salesops_lib.forecast.analysis import Review, decisions, levers, review
from salesops_lib.forecast.backtest import Backtest, backtest_series
from salesops_lib.forecast.beside import Beside, try_scenario
from salesops_lib.forecast.combine import models
from salesops_lib.forecast.commit import commit_bias, submitted_commit
from salesops_lib.forecast.components import Components, decompose
from salesops_lib.forecast.hierarchy import compare_methods, reconcile
from salesops_lib.forecast.hindsight import LookBack, look_back, past_periods, past_ways
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
from salesops_lib.forecast.trials import Trial, trial

__all__ = [
    "Backtest", "Beside", "Components", "History", "LookBack", "Months", "Projection", "Replay", "Review",
    "Scenario", "Trial", "backtest_series", "commit_bias", "compare_methods", "compare_probabilities",
    "compare_scenarios", "decisions", "decompose", "forecast_activity", "forecast_series", "freq_of", "history",
    "inspect_series", "levers", "look_back", "models", "months_ahead", "past_periods", "past_ways",
    "project_period", "reconcile", "replay_weeks", "review", "submitted_commit", "trial", "try_scenario",
    "working_days",
]  # fmt: skip
