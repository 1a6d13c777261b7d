"""The funnel: which share goes on from each stage, how long it takes, where it leaks, and what moved it."""

from salesops_lib.funnel.analysis import decompose_change
from salesops_lib.funnel.conversion import Conversion, measure_conversion

__all__ = ["Conversion", "decompose_change", "measure_conversion"]
