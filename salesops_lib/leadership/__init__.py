"""The leadership page: will we make it, what changed, who needs help."""

from salesops_lib.leadership.analysis import Leadership, summarize
from salesops_lib.leadership.scope import Scope, scope
from salesops_lib.leadership.shown import shown_as

__all__ = ["Leadership", "Scope", "scope", "shown_as", "summarize"]
