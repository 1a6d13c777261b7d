"""Data health: what the data gate found, for people."""

from salesops_lib.health.analysis import (
    BREAKS,
    FINDINGS,
    STALENESS,
    UNSEEN,
    Health,
    completeness_table,
    examples,
    inspect,
)

__all__ = [
    "BREAKS", "FINDINGS", "STALENESS", "UNSEEN", "Health", "completeness_table", "examples", "inspect",
]  # fmt: skip
