"""Territories: who serves which account, where reps sit, what a change costs, and how good the plan is at most."""

from salesops_lib.territory.analysis import Plan, design
from salesops_lib.territory.bases import Bases, choose_bases

__all__ = ["Bases", "Plan", "choose_bases", "design"]
