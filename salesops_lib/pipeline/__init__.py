"""The pipeline: what moved it, whether there is enough, and which deals need somebody today."""

from salesops_lib.pipeline.analysis import Review, review
from salesops_lib.pipeline.movement import Waterfall, waterfall

__all__ = ["Review", "Waterfall", "review", "waterfall"]
