"""Rep benchmarking: skill or luck, after mix and chance, the doubt beside every number; never a league table."""

from salesops_lib.benchmark.analysis import TABLE, Reps, summarize
from salesops_lib.benchmark.compare import Benchmark, compare
from salesops_lib.benchmark.contest import Contest, Rule, simulate_contest
from salesops_lib.benchmark.measures import compare_counts, compare_sizes, compare_strengths
from salesops_lib.benchmark.pace import Pace, measure_pace, ramp_curve
from salesops_lib.benchmark.review import Review, review
from salesops_lib.benchmark.sheet import LABELS, UNITS, Sheet, rep_sheet, shown_as
from salesops_lib.benchmark.skills import SkillProfile, profile_skills, transitions

__all__ = [
    "LABELS", "TABLE", "UNITS", "Benchmark", "Contest", "Pace", "Reps", "Review", "Rule",
    "Sheet", "SkillProfile", "compare",
    "compare_counts", "compare_sizes", "compare_strengths", "measure_pace", "profile_skills", "ramp_curve",
    "rep_sheet",
    "review", "shown_as", "simulate_contest", "summarize", "transitions",
]  # fmt: skip
