"""Rep benchmarking: attainment, bookings and win rate with the doubt beside them; never a league table."""

from salesops_lib.benchmark.analysis import TABLE, Reps, summarize

__all__ = ["TABLE", "Reps", "summarize"]
