"""The rows behind a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salesops_lib import facts as ground
from salesops_lib.book import Book
from salesops_lib.errors import ParameterError, unknown
from salesops_lib.facts import Facts, deals, resolve_period
from salesops_lib.kpis.lead_facts import cohort
from salesops_lib.kpis.people_time import CALL, MEETING, activities, such
from salesops_lib.kpis.pipeline import due
from salesops_lib.kpis.registry import REGISTRY
from salesops_lib.periods import Period

if TYPE_CHECKING:
    import pandas as pd

WON = ("K01", "K02", "K05", "K06", "K25", "K26", "K27", "K28", "K30", "K35", "K41", "K42")
CLOSED = ("K03", "K10", "K43", "K44")
LEADS = ("K04", "K20", "K21", "K22", "K24", "K38", "K39")
ACTIVITIES = ("K15", "K16", "K17", "K18", "K19", "K23")


CALLED = {"type": "call", "direction": "out", "is_automated": False}
# the variants that count a part of what the KPI is about, by what its rows have
CELLS = {
    ("K15", "calls"): CALLED,
    ("K15", "connected calls"): CALLED | CALL,
    ("K15", "e-mails"): CALLED | {"type": "email"},
    ("K15", "automated e-mails"): CALLED | {"type": "email", "is_automated": True},
    ("K18", "held"): MEETING,
    ("K18", "booked"): {"type": "meeting", "is_external": True},
    ("K18", "first meetings"): MEETING | {"is_first_meeting": True},
    **{("K16", variant): CALL for variant in ("per day", "total", "per call")},
}


def rows(
    book: Book,
    kpi_id: str,
    period: Period | str = "quarter",
    *,
    by: str | None = None,
    segment: str = "",
    variant: str = "",
) -> pd.DataFrame:
    """List the deals, leads or activities that a KPI counts.

    Parameters
    ----------
    kpi_id, period
        As for `compute`.
    by, segment
        A dimension and the id of one of its values, for a part of the company.
    variant
        Only what this variant counts, where it counts a part of what the KPI is about.

    Returns
    -------
    DataFrame
        One row a deal (with `name` and everything it is counted by), lead or activity. For K08, K09 and K11 the
        open deals; for ratios the denominator, so that `is_won` and the like tell the numerator.

    Raises
    ------
    ParameterError
        For an unknown KPI, period or dimension, or one that activities do not have.
    """
    if kpi_id not in REGISTRY:
        raise ParameterError(unknown("KPI", kpi_id, REGISTRY))
    if by and by not in ground.DIMENSIONS:
        raise ParameterError(unknown("dimension", by, ground.DIMENSIONS))
    window, everything = resolve_period(book, period), deals(book)
    own = everything[everything[by].eq(segment)] if by else everything
    facts = Facts(book, window, own, by or "", segment)
    if kpi_id in LEADS:
        return cohort(facts)[0].reset_index(drop=True)
    if kpi_id in ACTIVITIES:
        found = activities(book, window)
        if cells := CELLS.get((kpi_id, variant)):
            found = such(found, is_seller=True, **cells)
        if by not in (None, *ground.PEOPLE):
            raise ParameterError(f"activities belong to people, not to a {by}.")
        own = found[found[by].eq(segment)] if by else found
        return own.reset_index(drop=True)  # the one that is kept stays as it is
    found = _deals(facts, kpi_id, variant)
    names = book.opportunities.set_index("opportunity_id")["name"]
    return found.assign(name=found["opportunity_id"].map(names)).reset_index(drop=True)


def _deals(facts: Facts, kpi_id: str, variant: str) -> pd.DataFrame:
    import pandas as pd

    renewals = variant == "renewals" or variant.endswith(", renewals")
    if (kpi_id, variant) == ("K06", "open"):
        return facts.open()
    if kpi_id in WON:
        return facts.won(renewals=renewals)
    if kpi_id in CLOSED:
        return facts.closed()
    found = facts.open(renewals=renewals)
    day, inside = found["expected_close_date"], facts.period.contains(found["expected_close_date"])
    overdue = day < pd.Timestamp(facts.book.day)
    if kpi_id == "K08":
        parts = {"due": inside, "overdue": overdue, "no date": day.isna()}
        parts["open"] = parts["weighted"] = inside & ~overdue
        return found[parts[variant]] if variant in parts else found
    return found if kpi_id == "K11" else due(facts)
