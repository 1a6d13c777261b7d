"""Leads and activity: how soon leads are answered and whether that helps, who gets which, where the day goes."""

from salesops_lib.leads.analysis import LABELS, UNITS, Review, review, shown_as
from salesops_lib.leads.score import LeadScore, score_leads
from salesops_lib.leads.speed import Speed, compare_speed

__all__ = ["LABELS", "UNITS", "LeadScore", "Review", "Speed", "compare_speed", "review", "score_leads", "shown_as"]
