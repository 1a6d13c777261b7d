"""Territories: who serves which account, where reps sit, what a change costs, and how good the plan is at most."""

from salesops_lib.territory.analysis import Plan, design
from salesops_lib.territory.bases import Bases, choose_bases
from salesops_lib.territory.handover import for_crm, hand_over, route, sum_hand_over
from salesops_lib.territory.quick import Tried, lockable, try_design
from salesops_lib.territory.review import (
    SHOWN,
    Review,
    certificate,
    gains,
    measured,
    review,
    strengths,
)
from salesops_lib.territory.scenarios import compare_plans, match, price_disruption, replan
from salesops_lib.territory.workload import headcount, workload

__all__ = [
    "SHOWN", "Bases", "Plan", "Review", "Tried", "certificate", "choose_bases", "compare_plans", "design",
    "for_crm", "gains", "hand_over", "headcount", "lockable", "match", "measured", "price_disruption", "replan",
    "review", "route", "strengths", "sum_hand_over", "try_design", "workload",
]  # fmt: skip
