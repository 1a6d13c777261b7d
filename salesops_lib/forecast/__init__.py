"""Forecasts: many series with ranges, hierarchies that add up, and how far off all of it has been so far."""

from salesops_lib.forecast.backtest import Backtest, backtest_series
from salesops_lib.forecast.combine import models
from salesops_lib.forecast.components import Components, decompose
from salesops_lib.forecast.hierarchy import compare_methods, reconcile
from salesops_lib.forecast.predict import forecast_series

__all__ = [
    "Backtest", "Components", "backtest_series", "compare_methods", "decompose", "forecast_series", "models",
    "reconcile",
]  # fmt: skip
