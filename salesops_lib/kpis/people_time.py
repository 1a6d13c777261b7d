"""The working time of people who sell, and the activities that fall into it.

Contracted time is working days of the company's calendar times full-time share; leave is not known, so days off
count as worked. Activities belong to who did them, not to who owns the deal.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import stats
from salesops_lib.book import Book
from salesops_lib.facts import NOT_ASSIGNED, PEOPLE, Facts
from salesops_lib.language import dated, say
from salesops_lib.periods import FiscalCalendar, Period, days
from salesops_lib.stats import NONE, NOT_DEFINED, Estimate

if TYPE_CHECKING:
    import pandas as pd

SELLING_ROLES = ("ae", "sdr", "am")  # and whoever carries a quota
OPENS, CLOSES = 9, 17  # business hours of a working day, company time zone
HOURS = CLOSES - OPENS  # contracted hours of a full-time day
WEEK = 5  # working days
CALL = {"type": "call", "outcome": "connected"}
MEETING = {"type": "meeting", "outcome": "held", "is_external": True}
COUNTED = [
    "type", "direction", "outcome", "is_automated", "is_external", "is_first_meeting", "event", "hours", "talk",
    "busy",
]  # fmt: skip
LONGEST = {"call": 4, "meeting": 12}  # hours; longer ones have a wrong unit or last all day


@lru_cache(maxsize=64)
def working_dates(calendar: FiscalCalendar, start: date, end: date) -> np.ndarray:
    """List the working days in ``[start, end)``."""
    return np.array([day for day in days(start, end) if calendar.is_working_day(day)], "datetime64[D]")


def days_gone(book: Book, period: Period) -> np.ndarray:
    """List the working days of a period up to the last one that anything is known of."""
    dates = working_dates(book.calendar, period.start, period.end)
    return dates[dates <= np.datetime64(book.calendar.day_of(book.known_until))]


def business_hours(calendar: FiscalCalendar, start: pd.Series, end: pd.Series) -> pd.Series:
    """Count the business hours between instants: `OPENS` to `CLOSES` of working days, company time zone."""
    import pandas as pd

    known = pd.concat([start, end]).dropna()
    if known.empty:
        return pd.Series(np.nan, index=start.index)
    first, last = (calendar.period("year", calendar.day_of(edge)) for edge in (known.min(), known.max()))
    dates = working_dates(calendar, first.start, last.end)

    def worked(instants):
        local = instants.dt.tz_convert(calendar.timezone).dt.tz_localize(None)
        day = local.dt.normalize()
        before = np.searchsorted(dates, day.to_numpy(), "left")
        is_open = np.searchsorted(dates, day.to_numpy(), "right") > before
        return HOURS * before + is_open * ((local - day) / pd.Timedelta(hours=1) - OPENS).clip(0, HOURS)

    return worked(end) - worked(start)


def hours_between(start: pd.Series, end: pd.Series | pd.Timestamp) -> pd.Series:
    """Hours from one instant to another by the wall clock."""
    import pandas as pd

    return (end - start) / pd.Timedelta(hours=1)


@lru_cache(maxsize=16)
def sellers(book: Book, period: Period) -> pd.DataFrame:
    """List the people who sell: those of `SELLING_ROLES` and those who carry a quota.

    Returns
    -------
    DataFrame
        `rep`, `team`, `role`, `fte`, `start` and `end` (days in the period between which they were there), `heads`
        (working days among these), `days` (times full-time share), `is_unsure` (not active any more, and nobody
        tells since when). Treat it as read-only.
    """
    import pandas as pd

    first, last = pd.Timestamp(period.start), pd.Timestamp(period.last_day)
    users = book.users.drop_duplicates("user_id")
    users = users[users["role"].isin(SELLING_ROLES) | users["is_quota_carrying"].fillna(False)]
    start = users["start_date"].fillna(first).clip(lower=first)
    end = users["end_date"].fillna(last).clip(upper=last)
    dates = days_gone(book, period)
    heads = np.searchsorted(dates, end.to_numpy(), "right") - np.searchsorted(dates, start.to_numpy(), "left")
    out = pd.DataFrame(
        {
            "rep": users["user_id"],
            "team": users["team_id"].fillna(NOT_ASSIGNED),
            "role": users["role"].fillna("unknown"),
            "fte": users["fte"].fillna(1.0).astype(float),
            "start": start,
            "end": end,
            "heads": heads.clip(0),
            "is_unsure": users["end_date"].isna() & ~users["is_active"].fillna(True),
        }
    )
    return out[out["heads"] > 0].assign(days=lambda rows: rows["heads"] * rows["fte"])


@lru_cache(maxsize=32)
def _worked(book: Book, period: Period, by: str) -> dict[str, tuple[float, int]]:
    people = sellers(book, period)
    totals = people.groupby(people[by] if by in PEOPLE else [""] * len(people))[["days", "heads"]].sum()
    return {row.Index: (row.days, int(row.heads)) for row in totals.itertuples()}


def worked(facts: Facts) -> tuple[float, int]:
    """Working days of the people who sell in the segment: times full-time share, and by the head."""
    return _worked(facts.book, facts.period, facts.by).get(facts.segment, (0.0, 0))


@lru_cache(maxsize=16)
def unsure(book: Book, period: Period) -> str:
    """Say how many people count as there though they have left at some time."""
    n = int(sellers(book, period)["is_unsure"].sum())
    return say("{n} not active, with no last day, count as there", n=n) if n else ""


def seller_members(book: Book, by: str, period: Period) -> list[str]:
    """People who sell, or their teams."""
    return sellers(book, period)[by].tolist() if by in PEOPLE else []


@lru_cache(maxsize=16)
def logged(book: Book) -> pd.DataFrame:
    """List which kinds of activities there are at all."""
    return book.query("""
        select distinct type, direction, outcome, is_automated, is_external, is_first_meeting from activities
    """)


def such(rows: pd.DataFrame, **cells) -> pd.DataFrame:
    """Keep the activities that have these values."""
    return rows[np.logical_and.reduce([rows[column].to_numpy() == value for column, value in cells.items()])]


@lru_cache(maxsize=256)
def tells(book: Book, **cells) -> bool:
    """Whether any activity of the source has these values: where none has, a count is unknown, not zero."""
    return len(such(logged(book), **cells)) > 0


def inside(book: Book, period: Period, column: str) -> str:
    """Write the SQL condition that an instant lies in a period."""
    import pandas as pd

    edges = book.calendar.day_start(pd.Series([pd.Timestamp(period.start), pd.Timestamp(period.end)]))
    first, end = (f"timestamptz '{edge.isoformat()}'" for edge in edges)
    return f"{column} >= {first} and {column} < {end}"


@lru_cache(maxsize=16)
def activities(book: Book, period: Period) -> pd.DataFrame:
    """Return the activities that began in a period.

    Returns
    -------
    DataFrame
        `rep`, `team` (of who did it), `type`, `direction`, `outcome`, `is_automated`, `is_external`,
        `is_first_meeting`, `event` (one for all rows of a group event), `day`, `is_seller` (one of `sellers`, on a
        day they were there), `hours` (empty where not told or longer than `LONGEST`), `talk` and `busy`: hours
        that a connected call, or a connected call or held external meeting, adds to those of the same person that
        began before it. Treat it as read-only.
    """
    import pandas as pd

    rows = book.query(f"""
        select user_id as rep, type, direction, outcome, is_automated, is_external, is_first_meeting,
            coalesce(group_id, activity_id) as event, started_at,
            coalesce(duration_s, epoch(ended_at - started_at)) / 3600 as hours
        from activities where {inside(book, period, "started_at")} order by started_at, activity_id
    """)
    rows["day"] = book.calendar.business_date(rows["started_at"])
    rows["hours"] = rows["hours"].where(rows["hours"].between(0, rows["type"].map(LONGEST).astype(float)))
    there = rows[["rep"]].merge(sellers(book, period), on="rep", how="left")
    rows["team"] = there["team"].fillna(NOT_ASSIGNED)
    rows["is_seller"] = (there["start"] <= rows["day"]) & (rows["day"] <= there["end"])
    rows["rep"] = rows["rep"].fillna(NOT_ASSIGNED)
    calls, held = such(rows, **CALL), such(rows, **MEETING)
    for column, parts in (("talk", [calls]), ("busy", [calls, held])):
        timed = pd.concat(parts).dropna(subset="hours").sort_index()
        rows[column] = fresh_hours(timed["rep"], timed["started_at"], timed["hours"])
    return rows


def fresh_hours(person: pd.Series, start: pd.Series, hours: pd.Series) -> pd.Series:
    """Hours that each interval adds to those of the same person before it; their sum is the length of the union.

    Intervals come in order of their start.
    """
    import pandas as pd

    begin = (start - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(hours=1)
    end = begin + hours
    covered = end.groupby(person).cummax().groupby(person).shift()
    return (end - begin.clip(lower=covered)).clip(lower=0)


def _segment(rows: pd.DataFrame, by: str) -> pd.Series | list[str]:
    return rows[by] if by else [""] * len(rows)


@lru_cache(maxsize=128)
def _grouped(book: Book, period: Period, by: str, cells: tuple) -> dict[tuple[str, bool], pd.DataFrame]:
    rows = activities(book, period)
    rows = such(rows, **dict(cells)) if cells else rows
    return dict(list(rows[COUNTED].groupby([_segment(rows, by), rows["is_seller"]])))


def acted(facts: Facts, **cells) -> tuple[pd.DataFrame, str]:
    """Activities of people who sell that have these values; and how many others there are."""
    groups = _grouped(facts.book, facts.period, facts.by, tuple(cells.items()))
    none = activities(facts.book, facts.period)[COUNTED].iloc[:0]
    mine, rest = (groups.get((facts.segment, is_seller), none) for is_seller in (True, False))
    said = [say("{n} by nobody who sells left out", n=len(rest))] if len(rest) else []
    return mine, "; ".join(said + silence(facts.book, facts.period))


@lru_cache(maxsize=32)
def silence(book: Book, period: Period) -> list[str]:
    """Say since when activities are logged, where that is a working week or more into a period."""
    first = book.query("select min(started_at) as first from activities")["first"].iloc[0]
    if first != first:
        return [say("nothing logged so far")]
    day = book.calendar.day_of(first)
    lost = (days_gone(book, period) < np.datetime64(day)).sum()
    return [say("nothing logged before {day}", day=dated(day))] if lost >= WEEK else []


@lru_cache(maxsize=32)
def days_with_entry(book: Book, period: Period, by: str) -> dict[str, int]:
    """Count, by segment, the working days on which each person who sells logged anything."""
    rows = such(activities(book, period), is_seller=True, is_automated=False)
    rows = rows[rows["day"].isin(days_gone(book, period))].drop_duplicates(["rep", "day"])
    return rows.groupby(_segment(rows, by)).size().to_dict()


def per_day(facts: Facts, n: Estimate, days: float = 1.0) -> Estimate:
    """Divide by the working days of people who sell in the segment, or by so many of them."""
    there, _ = worked(facts)
    if there <= 0:
        return Estimate.none(NOT_DEFINED, n.n, say("nobody who sells had a working day in this period"))
    return n.scaled(days / there).noted(unsure(facts.book, facts.period))


def total_hours(hours: pd.Series) -> Estimate:
    """Sum hours; those not told, or that cannot be right, are left out and counted."""
    timed = hours.dropna()
    out = len(hours) - len(timed)
    said = say("{n} without a plausible length left out", n=out) if out else ""
    if not timed.sum() > 0:
        return Estimate(0.0, NONE, NONE, 0, note=say("none in this period")).noted(said)
    return stats.total(timed).noted(said)
