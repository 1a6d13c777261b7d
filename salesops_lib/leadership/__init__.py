"""The leadership page: will we make it, what changed, who needs help."""

from salesops_lib.leadership.analysis import Leadership, shown_as, summarize
from salesops_lib.leadership.scope import Scope, scope

__all__ = ["Leadership", "Scope", "scope", "shown_as", "summarize"]
