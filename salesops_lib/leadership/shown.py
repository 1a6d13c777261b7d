"""How the tables of the leadership page are shown: units, headings, ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salesops_lib.errors import InsufficientData
from salesops_lib.present import fitted

if TYPE_CHECKING:
    import pandas as pd


def shown_as(frame: pd.DataFrame | InsufficientData) -> dict[str, dict]:
    """Say how a table of the page is shown: arguments of `present.table`."""
    return fitted(frame, units=UNITS, labels=LABELS, ranges=RANGES)


RANGES = {
    "bookings": ("low", "high"), "win_rate": ("win_low", "win_high"), "needed": ("needed_low", "needed_high"),
    "forecast": ("forecast_low", "forecast_high"),
}  # fmt: skip
UNITS = {
    **dict.fromkeys(("quota", "booked", "gap", "pipeline_due", "booked_4q", "bookings", "amount"), "amount"),
    **dict.fromkeys(("effect", "mix", "rate", "forecast"), "money"),
    **dict.fromkeys(("pace", "stale", "chance", "chance_before", "of_missing"), "percent"),
    **dict.fromkeys(("p_win", "p_win_before", "if_won", "if_not", "p_quota"), "percent"),
    **dict.fromkeys(("coverage", "needed"), "times"),
    **dict.fromkeys(("deals_won", "closed"), "count"),
    **dict.fromkeys(("decision", "outcome"), "long"),
    **dict.fromkeys(("before", "after"), "shown"),
    **dict.fromkeys(("factor", "quarter"), "word"),
    "win_rate": "share",
    "is_new": "flag",
}
LABELS = {
    "name": "",
    "quarter": "",
    "quota": "quota",
    "booked": "booked K26",
    "bookings": "bookings K26 [95 %]",
    "pace": "pace K02",
    "gap": "gap to quota",
    "pipeline_due": "pipeline due K08",
    "coverage": "coverage K09",
    "needed": "needed K09",
    "stale": "stale K11",
    "deals_won": "won K25",
    "win_rate": "win rate K03 [95 %]",
    "closed": "closed",
    "booked_4q": "booked 4 Q",
    "is_new": "< 6 months",
    "factor": "",
    "before": "before",
    "after": "after",
    "effect": "effect",
    "decision": "decision",
    "outcome": "what it is about",
    "owner": "owner",
    "by": "by",
    "mix": "through mix",
    "rate": "within segments",
    "forecast": "most likely [80 %]",
    "p_quota": "P(quota)",
    "deal": "deal",
    "amount": "amount",
    "p_win": "P(win)",
    "p_win_before": "last report",
    "if_won": "P(quota) if won",
    "if_not": "if not",
    "chance": "P (CRM)",
    "chance_before": "last report",
    "of_missing": "amount × P of gap",
    "reasons": "against it",
    "next_step": "next step",
}
READ_OUT_LABELS = {"name": "name", "quarter": "quarter", "factor": "factor"}  # headings left blank
