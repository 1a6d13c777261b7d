"""Whom a page is for: which part of the company it shows, and which blocks (I is the appendix)."""

from __future__ import annotations

from dataclasses import dataclass

from salesops_lib import facts
from salesops_lib.book import Book
from salesops_lib.errors import ParameterError, unknown
from salesops_lib.facts import Facts
from salesops_lib.periods import Period

AUDIENCES = {"leadership": "ABCDEFGI", "board": "ACG", "manager": "ABCDEFGH", "rep": "ABDH"}
PART = {"manager": "team", "rep": "rep"}  # what `who` names


@dataclass(frozen=True)
class Scope:
    """Part of the company a page shows.

    Attributes
    ----------
    audience
        ``leadership``, ``board``, ``manager`` or ``rep``.
    by, segment
        Dimension and value; both empty for the whole company.
    name
        Of the part, for people.
    """

    audience: str
    by: str
    segment: str
    name: str

    def shows(self, block: str) -> bool:
        """Whether the page has a block, by its letter."""
        return block in AUDIENCES[self.audience]

    def facts(self, book: Book, period: Period) -> Facts:
        """Return the part's deals as known to a book."""
        rows = facts.deals(book)
        return Facts(
            book, period, rows[rows[self.by].eq(self.segment)] if self.by else rows, self.by, self.segment
        )


def scope(book: Book, audience: str = "leadership", who: str = "") -> Scope:
    """Find the part of the company a page is for.

    Parameters
    ----------
    audience
        ``leadership`` and ``board`` see the whole company; ``manager`` a team, ``rep`` a person.
    who
        Name or id of the team or person.

    Raises
    ------
    ParameterError
        For an unknown audience, team or person, with the near miss; or one that is missing or in the way.
    """
    if audience not in AUDIENCES:
        raise ParameterError(unknown("audience", audience, AUDIENCES))
    by = PART.get(audience)
    if by is None:
        if who:
            raise ParameterError(f"who is {who!r}, but a page for {audience} shows the whole company.")
        return Scope(audience, "", "", "company")
    if not who:
        raise ParameterError(f"a page for a {audience} needs `who`: the name or id of a {by}.")
    key = facts.find(book, by, who)
    return Scope(audience, by, key, facts.names(book, by)[key])
