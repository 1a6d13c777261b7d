"""Who carries a quota, for how much of a period they are there, and what they are to bring."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from salesops_lib import fx
from salesops_lib.book import Book
from salesops_lib.facts.rates import NO_CURRENCY, at_rates, listed
from salesops_lib.frames import Groups
from salesops_lib.language import say
from salesops_lib.periods import Period

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.facts import Facts

PEOPLE = ("rep", "team")  # dimensions that quotas and headcount belong to


@lru_cache(maxsize=64)
def carriers(book: Book, period: Period) -> pd.DataFrame:
    """List the people who carry a quota; `share` is their FTE times the share of the period's days there."""
    import pandas as pd

    users = book.users
    users = users[users["is_quota_carrying"]]
    # of a period still to come, everybody who is to be there
    seen = period.last_day if period.start > book.day else min(period.last_day, book.day)
    last = pd.Timestamp(seen)
    there = presence(users, pd.Timestamp(period.start), last)
    return users.assign(share=there * users["fte"].fillna(1.0).astype(float))[there > 0]


@lru_cache(maxsize=64)
def carriers_by(book: Book, period: Period, by: str) -> Groups:
    """Group them by ``rep`` or ``team``."""
    return Groups(carriers(book, period), "user_id" if by == "rep" else "team_id")


def presence(users: pd.DataFrame, first: pd.Timestamp | pd.Series, last: pd.Timestamp | pd.Series) -> pd.Series:
    """Share of the days from `first` to `last`, both included, on which each person was employed."""
    import pandas as pd

    day = pd.Timedelta(days=1)
    begin = users["start_date"].fillna(first).clip(lower=first)
    end = users["end_date"].fillna(last).clip(upper=last)
    whole = pd.Series((last - first) // day + 1, index=users.index).clip(lower=1)
    return ((end - begin) // day + 1).clip(lower=0) / whole


def quota(facts: Facts, *, prorated: bool = True) -> float:
    """Sum the quotas for the period, in corporate currency; see `quotas`.

    Quotas belong to people and teams: 0 for a region, product or any other segment.
    """
    if facts.by and facts.by not in PEOPLE:
        return 0.0
    return _quota(facts.book, facts.period, facts.by, facts.segment, "prorated" if prorated else "agreed")


@lru_cache(maxsize=4096)
def _quota(book: Book, period: Period, by: str, segment: str, column: str) -> float:
    rows = quotas(book, period).rows
    if by == "team" and rows["holder_type"].eq("team").any():
        rows = rows[rows["holder_id"].eq(segment)]
    elif by:
        rows = rows[rows["holder_id"].isin(carriers_by(book, period, by)[segment]["user_id"])]
    return float(rows[column].sum())


def whole_quota(facts: Facts) -> float:
    """Return `quota`, but 0 where the quotas cover only part of the period: a part is no target for the whole."""
    return 0.0 if quotas(facts.book, facts.period).is_partial else quota(facts)


class Quotas(NamedTuple):
    """Quotas cut to a period.

    Attributes
    ----------
    rows
        One row a quota: `holder_type`, `holder_id`, `agreed`, `prorated` (cut to the days its holder was there).
    wrong
        What is wrong with them, in words; empty where nothing is.
    is_partial
        Whether they cover only part of the period.
    """

    rows: pd.DataFrame
    wrong: str
    is_partial: bool


@lru_cache(maxsize=64)
def quotas(book: Book, period: Period) -> Quotas:
    """Cut every bookings quota to a period.

    The newest version approved by the as-of instant holds; overlay quotas stay out. A quota whose own period is
    longer than the window is split by working days. Users' quotas count where there are any, else the teams'. One
    in another currency counts at the plan rate in force as its period starts, else at the rate of that day.
    """
    import pandas as pd

    first, last, day = pd.Timestamp(period.start), pd.Timestamp(period.last_day), pd.Timedelta(days=1)
    rows = _newest_quotas(book)
    rows = rows[(rows["period_start"] <= last) & (rows["period_end"] > first)]
    unrated = rows["priced"].isna()
    unpriced = listed(rows.loc[unrated, "currency"].fillna(NO_CURRENCY))
    left = say("{n} quotas left out, no rate for {currencies}", n=int(unrated.sum()), currencies=unpriced)
    said = [left] if unpriced else []
    rows = rows[~unrated].reset_index(drop=True)
    start, end = rows["period_start"].clip(lower=first), rows["period_end"].clip(upper=last + day)
    inside = _working_days(book, start, end)
    agreed = (
        rows["priced"].astype("float64") * inside / _working_days(book, rows["period_start"], rows["period_end"])
    )
    holders = book.users.drop_duplicates("user_id").set_index("user_id").reindex(rows["holder_id"]).reset_index()
    there = presence(holders, start, end - day)
    frame = rows[["holder_type", "holder_id"]].assign(agreed=agreed, prorated=agreed * there)
    covered = len({d for s, e in set(zip(start, end, strict=True)) for d in pd.date_range(s, e, inclusive="left")})
    is_partial = 0 < covered < period.days
    if is_partial:
        said.append(say("quotas cover {n} of the period's {days} days", n=covered, days=period.days))
    return Quotas(frame, "; ".join(said), is_partial)


@lru_cache(maxsize=16)
def _newest_quotas(book: Book) -> pd.DataFrame:
    rows = book.quotas
    rows = rows[rows["measure"].eq("bookings") & ~rows["is_overlay"]]
    rows = rows[rows["holder_type"].eq("user" if rows["holder_type"].eq("user").any() else "team")]
    rows = rows.sort_values("version").drop_duplicates(["holder_id", "period_start"], keep="last")
    return rows.assign(
        priced=at_rates(book, rows["quota_amount"], rows["currency"], rows["period_start"], fx.AGREED)
    )


def _working_days(book: Book, start: pd.Series, end: pd.Series) -> pd.Series:
    """Count the working days of each window ``[start, end)``; there are few different ones."""
    import pandas as pd

    spans = list(zip(start.dt.date, end.dt.date, strict=True))
    counts = {span: book.calendar.working_days(*span) for span in set(spans)}
    return pd.Series([counts[span] for span in spans], index=start.index, dtype="float64")
