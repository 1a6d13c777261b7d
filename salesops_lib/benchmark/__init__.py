"""Rep benchmarking: skill or luck, after mix and chance, with the doubt beside every number; never a league table."""

from salesops_lib.benchmark.analysis import TABLE, Reps, summarize
from salesops_lib.benchmark.compare import Benchmark, compare

__all__ = ["TABLE", "Benchmark", "Reps", "compare", "summarize"]
