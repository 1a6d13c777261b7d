"""The funnel: which share goes on from each stage, how long it takes, where it leaks, and what moved it."""

from salesops_lib.funnel.analysis import Review, decompose_change, review
from salesops_lib.funnel.conversion import Conversion, measure_conversion
from salesops_lib.funnel.levers import Levers, rank_initiatives, rank_levers, velocity_change
from salesops_lib.funnel.shown import shown_as
from salesops_lib.funnel.templates import split_attempts, template

__all__ = [
    "Conversion", "Levers", "Review", "decompose_change", "measure_conversion", "rank_initiatives", "rank_levers",
    "review", "shown_as", "split_attempts", "template", "velocity_change",
]  # fmt: skip
