"""Data health: what was lost, what does not match, what is not filled in."""

from salesops_lib.health.analysis import COMPLETENESS, Health, inspect

__all__ = ["COMPLETENESS", "Health", "inspect"]
