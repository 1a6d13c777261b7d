"""The rows behind a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salesops_lib import facts as ground
from salesops_lib.book import Book
from salesops_lib.errors import ParameterError, unknown
from salesops_lib.facts import Facts, deals, resolve_period
from salesops_lib.kpis.lead_facts import cohort
from salesops_lib.kpis.people_time import activities
from salesops_lib.kpis.pipeline import due
from salesops_lib.kpis.registry import REGISTRY
from salesops_lib.periods import Period

if TYPE_CHECKING:
    import pandas as pd

WON = ("K01", "K02", "K05", "K06", "K25", "K26", "K27", "K28", "K30", "K35", "K41", "K42")
CLOSED = ("K03", "K10", "K43", "K44")
LEADS = ("K04", "K20", "K21", "K22", "K24", "K38", "K39")
ACTIVITIES = ("K15", "K16", "K17", "K18", "K19", "K23")


def rows(
    book: Book, kpi_id: str, period: Period | str = "quarter", *, by: str | None = None, segment: str = ""
) -> pd.DataFrame:
    """List the deals, leads or activities that a KPI counts.

    Parameters
    ----------
    kpi_id, period
        As for `compute`.
    by, segment
        A dimension and the id of one of its values, for a part of the company.

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
        return cohort(facts)[0]
    if kpi_id in ACTIVITIES:
        found = activities(book, window)
        if by not in (None, *ground.PEOPLE):
            raise ParameterError(f"activities belong to people, not to a {by}.")
        return found[found[by].eq(segment)] if by else found
    found = facts.won() if kpi_id in WON else facts.closed() if kpi_id in CLOSED else due(facts)
    if kpi_id in ("K08", "K11"):
        found = facts.open()
    names = book.opportunities.set_index("opportunity_id")["name"]
    return found.assign(name=found["opportunity_id"].map(names)).reset_index(drop=True)
