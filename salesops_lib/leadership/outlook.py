"""Where the period stands beside past ones, and what those still booked after this week.

That is no forecast, and shown in the place of one only where the forecast refuses (`leadership.ahead`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import stats
from salesops_lib.errors import InsufficientData
from salesops_lib.facts import Facts, records_begin, whole_quota
from salesops_lib.kpis import evaluate
from salesops_lib.language import say
from salesops_lib.periods import Period
from salesops_lib.present import counted, interval, number

if TYPE_CHECKING:
    import pandas as pd

PAST = 8
LEAST = 4


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
    calendar, booked = book.calendar, _booked(own)
    begun = own.deals["close_date"].min() if own.by else records_begin(book)
    past = [calendar.shift(period, -k) for k in range(PAST, 0, -1)]
    past = [span for span in past if begun <= pd.Timestamp(span.start)]

    def until(span: Period, day: date) -> float:
        return booked(span.start, calendar.same_progress(period, day, span).last_day)

    now = booked(period.start, book.day)
    rest = [booked(span.start, span.last_day) - until(span, book.day) for span in past]
    low, mid, high = now + _spread(rest)
    weighted = evaluate(own, "K08", "weighted")["weighted"]
    return Outlook(
        label=_label(len(past), period.kind),
        booked=now,
        quota=whole_quota(own),
        weighted=weighted.value if weighted.status == stats.OK else stats.NONE,
        ends_low=low,
        ends_mid=mid,
        ends_high=high,
        n=len(past),
        weeks=_weeks(own, past, booked, until),
    )


def _label(n: int, kind: str) -> str:
    """Say what the range is, or what is missing for one."""
    if n < LEAST:
        of = say("whole periods before")
        return str(InsufficientData(say("Range of past periods"), needed=LEAST, got=n, of=of))
    return say(
        "No forecast yet: booked so far plus what the last {periods} still booked after this week, least to most.",
        periods=so_many(n, kind),
    )


def so_many(n: int, kind: str) -> str:
    """Count periods of a kind."""
    said = {
        "week": counted(n, "week"), "month": counted(n, "month"), "quarter": counted(n, "quarter"),
        "year": counted(n, "year"),
    }  # fmt: skip
    return said[kind]


def _booked(own: Facts) -> Callable[[date, date], float]:
    """Return what sums the bookings between two days, both included."""
    rows = own.deals
    rows = rows[rows["is_won"] & ~rows["is_renewal"]].dropna(subset=["close_date"])
    days, worth = rows["close_date"].to_numpy(), rows["priced"].astype("float64").fillna(0).to_numpy()
    return lambda first, last: float(worth[(days >= np.datetime64(first)) & (days <= np.datetime64(last))].sum())


def _spread(values: list[float]) -> np.ndarray:
    """Least, median and most; empty for fewer than four."""
    return np.quantile(values, [0, 0.5, 1]) if len(values) >= LEAST else np.full(3, np.nan)


def _weeks(own: Facts, past: list[Period], booked: Callable, until: Callable) -> pd.DataFrame:
    import pandas as pd

    period, day, rows = own.period, own.book.day, []
    for k, week in enumerate(own.book.calendar.between("week", period.start, period.last_day), start=1):
        end = min(week.last_day, period.last_day)
        low, mid, high = _spread([until(span, end) for span in past])
        so_far = booked(period.start, min(end, day)) if week.start <= day else np.nan
        rows.append({"week": k, "end": end, "booked": so_far, "low": low, "mid": mid, "high": high})
    return pd.DataFrame(rows).assign(end=lambda frame: pd.to_datetime(frame["end"]))


def describe(found: Outlook, period: Period, currency: str) -> str:
    """Say in one sentence where the period stands."""
    so_far = {"period": period, "amount": number(found.booked, "money"), "currency": currency}
    said = [say("{period}: {amount} {currency} booked", **so_far)]
    if found.quota > 0:
        quota = number(found.quota, "money")
        said = [say("{period}: {amount} {currency} booked of quota {quota}", **so_far, quota=quota)]
    if found.weighted == found.weighted:
        said.append(say("weighted pipeline {amount}", amount=number(found.weighted, "money")))
    if found.ends_mid == found.ends_mid:
        said.append(say(
            "with what past periods still booked it ends at {amount} {range}",
            amount=number(found.ends_mid, "money"), range=interval(found.ends_low, found.ends_high, "money"),
        ))  # fmt: skip
    return f"{'; '.join(said)}."
