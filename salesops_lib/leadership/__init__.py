"""The leadership page: will we make it, what changed, who needs help."""

from salesops_lib.leadership.analysis import Leadership, shown, summarize

__all__ = ["Leadership", "shown", "summarize"]
