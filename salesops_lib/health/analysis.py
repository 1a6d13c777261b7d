"""Losses of the load, unmatched references, completeness of deals, and control totals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from salesops_lib import stats, tables
from salesops_lib.book import Book
from salesops_lib.config import ControlTotal
from salesops_lib.gate import reconcile

if TYPE_CHECKING:
    import pandas as pd

# what a working pipeline needs of each open deal, and of each closed one
OPEN_FIELDS = ("owner_id", "account_id", "amount", "expected_close_date", "created_at", "next_step")
CLOSED_FIELDS = ("owner_at_close_id", "account_id", "amount", "close_date", "created_at")


@dataclass(frozen=True)
class Health:
    """What is known about the quality of the data behind a book.

    Attributes
    ----------
    headline
        One sentence: rows kept and set aside, what does not match, the worst gap.
    losses
        `table`, `rows_in`, `rows_kept`, `rows_quarantined`, `reason`.
    findings
        `kind`, `table`, `column`, `value`, `n`: unmatched references, unmapped values, columns nobody reads.
    completeness
        `state` (open, won, lost), `field`, `filled`, `n`, `share`, `low`, `high` (95 % Wilson).
    absent
        Canonical tables the source has no rows for, with what each would add: `table`, `level`, `meaning`.
    control
        `table`, `measure`, `stated`, `found`, `difference`; empty where `salesops.yaml` states no control total.
    """

    headline: str
    losses: pd.DataFrame
    findings: pd.DataFrame
    completeness: pd.DataFrame
    absent: pd.DataFrame
    control: pd.DataFrame


def inspect(book: Book, control_totals: Mapping[str, ControlTotal] | None = None) -> Health:
    """Inspect the data behind a book.

    Parameters
    ----------
    control_totals
        What the CRM itself shows, by table; from `salesops.yaml`.
    """
    import pandas as pd

    losses = book.losses
    completeness = _completeness(book)
    missing = [t for t in tables.TABLES.values() if not book.has(t.name) and t.name != "calendar"]
    absent = pd.DataFrame([(t.name, t.level, t.meaning) for t in missing], columns=["table", "level", "meaning"])
    control = reconcile(book.snapshot, control_totals or {})
    return Health(
        headline=_headline(losses, book.findings, completeness, control),
        losses=losses,
        findings=book.findings,
        completeness=completeness,
        absent=absent,
        control=control,
    )


def _completeness(book: Book) -> pd.DataFrame:
    import pandas as pd

    deals = book.opportunities
    states = {
        "open": (deals[~deals["is_closed"]], OPEN_FIELDS),
        "won": (deals[deals["is_won"]], CLOSED_FIELDS),
        "lost": (deals[deals["is_closed"] & ~deals["is_won"]], CLOSED_FIELDS),
    }
    rows = []
    for state, (part, fields) in states.items():
        for field in fields:
            filled = int(part[field].notna().sum())
            share = stats.proportion(filled, len(part))
            rows.append((state, field, filled, len(part), share.value, share.low, share.high))
    return pd.DataFrame(rows, columns=["state", "field", "filled", "n", "share", "low", "high"])


def _headline(losses: pd.DataFrame, findings: pd.DataFrame, filled: pd.DataFrame, control: pd.DataFrame) -> str:
    rows_in, aside = int(losses["rows_in"].sum()), int(losses["rows_quarantined"].sum())
    unmatched = int(findings.loc[findings["kind"].eq("unmatched reference"), "n"].sum())
    first = (
        f"{rows_in - aside:,} of {rows_in:,} rows kept, {aside:,} set aside; {unmatched:,} unmatched references"
    )
    off = control[control["difference"].map(Decimal) != 0] if len(control) else control
    if len(off):
        return f"{first}; {len(off)} of {len(control)} control totals do not agree with the CRM."
    gaps = filled[filled["n"] > 0]
    if gaps.empty:
        return f"{first}."
    worst = gaps.loc[gaps["share"].idxmin()]
    if worst["share"] == 1:
        return f"{first}; every field looked at is filled."
    return (
        f"{first}; most often empty: {worst['field']} of {worst['state']} deals, "
        f"filled in {worst['filled']:,} of {worst['n']:,}."
    )


# how the table of filled fields is shown; arguments of `present.table`
COMPLETENESS = {
    "units": {"filled": "count", "n": "count", "share": "share"},
    "labels": {"share": "share [95 %]"},
    "ranges": {"share": ("low", "high")},
}
