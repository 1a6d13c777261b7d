"""Forecasts: the number for a period, with a range that past weeks have tried."""

from salesops_lib.forecast.projection import Projection, project_period
from salesops_lib.forecast.replay import Replay, replay_weeks

__all__ = ["Projection", "Replay", "project_period", "replay_weeks"]
