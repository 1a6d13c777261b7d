"""Where the period stands and where periods like it ended; the place a forecast will take.

Until there is one, nothing here claims to foresee: the range is what past periods still booked after this week.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import stats
from salesops_lib.errors import InsufficientData
from salesops_lib.facts import Facts, quota
from salesops_lib.kpis import evaluate
from salesops_lib.present import number

if TYPE_CHECKING:
    import pandas as pd

PAST = 8
LEAST = 4
LABEL = (
    "No forecast yet: booked so far plus what the last {n} {kind}s still booked after this week, least to most."
)


@dataclass(frozen=True)
class Outlook:
    """The period so far beside past ones.

    Attributes
    ----------
    label
        What the range is, in words.
    booked, quota, weighted
        Money; `quota` is 0 where there is none, `weighted` empty where the CRM sets no probabilities.
    ends_low, ends_mid, ends_high
        Booked so far plus the least, median and most that past periods booked after this week; empty with fewer
        than four of them.
    n
        Past periods.
    weeks
        `week` (1 first), `end` (its last day), `booked` (cumulative, empty after the as-of day), `low`, `mid`,
        `high` (cumulative bookings of past periods after as many working days).
    """

    label: str
    booked: float
    quota: float
    weighted: float
    ends_low: float
    ends_mid: float
    ends_high: float
    n: int
    weeks: pd.DataFrame


def outlook(own: Facts) -> Outlook:
    """Compare a period with as much of past ones.

    Parameters
    ----------
    own
        The deals of the company, a team or a rep, and the period.
    """
    import pandas as pd

    book, period = own.book, own.period
    calendar = book.calendar
    rows = own.deals
    rows = rows[rows["is_won"] & ~rows["is_renewal"]].dropna(subset=["close_date"])
    days = rows["close_date"].to_numpy()
    worth = rows["priced"].astype("float64").fillna(0).to_numpy()

    def booked(start: object, last: object) -> float:
        inside = (days >= np.datetime64(start)) & (days <= np.datetime64(last))
        return float(worth[inside].sum())

    first = own.deals["created_at"].min()
    begun = book.day if pd.isna(first) else calendar.day_of(first)
    past = [calendar.shift(period, -k) for k in range(PAST, 0, -1)]
    past = [span for span in past if span.start > begun]
    ends = [
        min(week.last_day, period.last_day) for week in calendar.between("week", period.start, period.last_day)
    ]
    grid = np.array([[booked(span.start, calendar.same_progress(period, end, span).last_day) for end in ends]
                     for span in past]).reshape(len(past), len(ends))  # fmt: skip
    enough = len(past) >= LEAST
    bands = np.quantile(grid, [0, 0.5, 1], axis=0) if enough else np.full((3, len(ends)), np.nan)
    now = booked(period.start, book.day)
    rest = [booked(span.start, span.last_day) - booked(span.start, calendar.same_progress(period, book.day, span).last_day)
            for span in past]  # fmt: skip
    low, mid, high = (now + np.quantile(rest, [0, 0.5, 1])) if enough else [np.nan] * 3
    weighted = evaluate(own, "K08", "weighted")["weighted"]
    weeks = pd.DataFrame({
        "week": range(1, len(ends) + 1),
        "end": pd.to_datetime(ends),
        "booked": [booked(period.start, end) if end <= book.day or end - book.day < (ends[0] - period.start) else np.nan
                   for end in ends],
        "low": bands[0], "mid": bands[1], "high": bands[2],
    })  # fmt: skip
    return Outlook(
        label=LABEL.format(n=len(past), kind=period.kind) if enough
        else str(InsufficientData("Range of past periods", needed=LEAST, got=len(past), of="whole periods before")),
        booked=now, quota=quota(own), weighted=weighted.value if weighted.status == stats.OK else stats.NONE,
        ends_low=float(low), ends_mid=float(mid), ends_high=float(high), n=len(past), weeks=weeks,
    )  # fmt: skip


def describe(found: Outlook, period: object, currency: str) -> str:
    """Say in one sentence where the period stands."""
    said = f"{period}: {number(found.booked, 'money')} {currency} booked"
    if found.quota > 0:
        said += f" of quota {number(found.quota, 'money')}"
    if found.weighted == found.weighted:
        said += f"; weighted pipeline {number(found.weighted, 'money')}"
    if found.ends_mid == found.ends_mid:
        said += (
            f"; with what past periods still booked it ends at {number(found.ends_mid, 'money')} "
            f"[{number(found.ends_low, 'money')}; {number(found.ends_high, 'money')}]"
        )
    return f"{said}."
