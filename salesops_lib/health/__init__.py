"""Data health: what the data gate found, for people."""

from salesops_lib.health.analysis import (
    BREAKS,
    CONTROL,
    STALENESS,
    UNSEEN,
    Health,
    completeness_table,
    examples,
    findings_table,
    inspect,
)

__all__ = [
    "BREAKS",
    "CONTROL",
    "STALENESS",
    "UNSEEN",
    "Health",
    "completeness_table",
    "examples",
    "findings_table",
    "inspect",
]
