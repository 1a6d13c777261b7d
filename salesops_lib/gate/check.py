"""What a check is: one thing that can be wrong with the data, and the SQL that finds the rows it is wrong in."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import cleandoc

SEVERITIES = ("red", "amber", "note")


@dataclass(frozen=True)
class Check:
    """One check of the data gate; a check is data, the one runner in `run` does the rest.

    Parameters
    ----------
    id
        Stable name, e.g. ``"G01"``.
    traps
        Numbers of the known traps it looks for.
    severity
        ``red`` blocks reports, ``amber`` is printed in the page header, ``note`` is only listed.
    title
        Names the rows found, so that their number can follow: "Open deals without an owner: 12".
    table
        Canonical table the rows are of, or ``load`` for what the load itself noticed.
    meaning, mend
        What goes wrong when nobody looks, and what to do.
    sql
        Finds the offenders: `id` (text), `amount` (money or null), `detail` (text, with the values), and where
        needed `n` (rows it stands for, by default 1) and `currency` (of `amount`, by default the corporate one).
    of
        What the share is of: all that follows ``from``, or a ``select`` of one number; by default `table`, and
        nothing for the load.
    needs
        ``table`` or ``table.column`` that must hold values, ``history:field`` that somebody must track, or
        ``today``, ``control``, ``coverage``: without them the check is listed as not looked at.
    red_from
        Share from which a lesser severity becomes red.
    least, least_share
        Fewer rows, or a smaller share, are no finding.
    """

    id: str
    traps: tuple[int, ...]
    severity: str
    title: str
    table: str
    meaning: str
    mend: str
    sql: str
    of: str = ""
    needs: tuple[str, ...] = ()
    red_from: float | None = None
    least: int = 1
    least_share: float = 0.0

    def __post_init__(self):
        if self.severity not in SEVERITIES:
            raise ValueError(f"{self.id}: severity {self.severity!r}")
        object.__setattr__(self, "sql", cleandoc(self.sql))
        if not self.of and self.table != "load":
            object.__setattr__(self, "of", self.table)

    @property
    def whole(self) -> str:
        """SQL that counts what the share is of."""
        if not self.of:
            return "select null"
        return self.of if self.of.startswith("select") else f"select count(*) from {self.of}"

    def severity_at(self, share: float | None, red_from: float | None = None) -> str:
        """Severity of a finding that concerns this share of rows; `red_from` replaces the check's own limit."""
        limit = self.red_from if red_from is None else red_from
        return "red" if limit is not None and share is not None and share >= limit else self.severity


def by_number(check_id: str) -> tuple[int, str]:
    """Order ids by their number: G100 comes after G99."""
    return len(check_id), check_id


def deals(where: str, detail: str, source: str = "deals") -> str:
    """Write the SQL of a check whose offenders are deals; `detail` lists what to join into one text."""
    return f"select opportunity_id id, value amount, concat({detail}) detail from {source} where {where}"
