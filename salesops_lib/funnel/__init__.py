"""The funnel: why its rates changed."""

from salesops_lib.funnel.analysis import decompose_change

__all__ = ["decompose_change"]
