"""The pipeline: what moved it, whether there is enough, and which deals need somebody today."""

from salesops_lib.pipeline.analysis import UNITS, Review, describe_ahead, review, shown_as
from salesops_lib.pipeline.movement import Waterfall, waterfall

__all__ = ["UNITS", "Review", "Waterfall", "describe_ahead", "review", "shown_as", "waterfall"]
