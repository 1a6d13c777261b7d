"""Deals made ready for counting: who gets the credit, which segment, priced or not, qualified or not.

Every join is keyed and left: no deal is lost for want of an owner, company or product; what did not match says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from salesops_lib import stats
from salesops_lib.book import Book
from salesops_lib.errors import ParameterError, unknown
from salesops_lib.periods import KINDS, Period
from salesops_lib.stats import NO_DATA, Estimate

if TYPE_CHECKING:
    import pandas as pd

NOT_ASSIGNED = "not assigned"
DIMENSIONS = {
    "rep": "owner at close; the owner while open",
    "team": "the rep's team today",
    "region": "region of the rep's team",
    "segment": "segment of the company",
    "product": "main product",
    "source": "lead source",
    "type": "new, expansion or renewal",
}


def resolve_period(book: Book, period: Period | str) -> Period:
    """Take a period, or the fiscal ``week``, ``month``, ``quarter`` or ``year`` that the book's last day lies in.

    ``4 quarters`` is the window of the last four, the current one included.

    Raises
    ------
    ParameterError
        For another word.
    """
    if isinstance(period, Period):
        return period
    if period in KINDS:
        return book.calendar.period(period, book.day)
    number, _, kind = str(period).partition(" ")
    if number.isdigit() and int(number) > 0 and kind.removesuffix("s") in KINDS:
        return book.calendar.trailing(kind.removesuffix("s"), int(number), book.day)
    raise ParameterError(f"{unknown('period', str(period), KINDS)}; or a number of them, such as '4 quarters'.")


@lru_cache(maxsize=16)
def deals(book: Book) -> pd.DataFrame:
    """Return the deals known to a book with everything needed to count them.

    Returns
    -------
    DataFrame
        The columns of `opportunities`, and `rep`, `team`, `region`, `segment`, `product`, `source` (text, never
        empty), `priced` (amount in corporate currency; empty where none is known), `is_renewal`,
        `is_disqualified` (closed before the qualification stage), `is_lost`. Treat it as read-only.
    """
    frame = book.opportunities
    users = book.table("users", ["user_id", "team_id"]).drop_duplicates("user_id").set_index("user_id")["team_id"]
    regions = book.table("teams", ["team_id", "region"]).drop_duplicates("team_id").set_index("team_id")["region"]
    segments = book.table("accounts", ["account_id", "segment"]).drop_duplicates("account_id")
    credited = frame["owner_at_close_id"].where(frame["is_closed"]).fillna(frame["owner_id"])
    team = credited.map(users)
    out = frame.assign(
        rep=credited,
        team=team,
        region=team.map(regions),
        segment=frame["account_id"].map(segments.set_index("account_id")["segment"]),
        product=frame["product_family"],
        source=frame["lead_source"],
    )
    for column in ("rep", "team", "region", "segment", "product", "source"):
        out[column] = out[column].astype("string[pyarrow]").fillna(NOT_ASSIGNED)
    foreign = frame["currency"].ne(book.currency).fillna(False)
    out["priced"] = frame["amount"].mask(foreign)
    out["is_renewal"] = frame["type"].eq("renewal").fillna(False)
    out["is_disqualified"] = out["is_closed"] & ~out["is_won"] & ~_qualified(book, out)
    out["is_lost"] = out["is_closed"] & ~out["is_won"] & ~out["is_disqualified"]
    return out


def _qualified(book: Book, frame: pd.DataFrame) -> pd.Series:
    """Mark deals that passed qualification; without a stage history nobody can tell, so all count as passed."""
    passed = book.passed_stages()
    if passed.empty:
        return frame["is_closed"] | True
    stages = book.stages
    good = stages.loc[stages["is_qualified"] & (~stages["is_closed"] | stages["is_won"]), "stage_id"]
    reached = passed.loc[passed["stage_id"].isin(good), "opportunity_id"]
    return frame["opportunity_id"].isin(reached) | ~frame["opportunity_id"].isin(passed["opportunity_id"])


@dataclass(frozen=True)
class Facts:
    """The deals of one segment and what a KPI needs beside them.

    Attributes
    ----------
    book, period
        The company at the as-of instant and the window, half-open.
    deals
        Rows of `deals(book)` in the segment.
    by, segment
        Dimension and value; both empty for the whole company.
    """

    book: Book
    period: Period
    deals: pd.DataFrame
    by: str = ""
    segment: str = ""

    def closed(self, *, renewals: bool = False) -> pd.DataFrame:
        """Won or lost (not disqualified) by close date in the period; new business unless `renewals`."""
        rows = self.deals
        return rows[
            (rows["is_won"] | rows["is_lost"])
            & self.period.contains(rows["close_date"])
            & rows["is_renewal"].eq(renewals)
        ]

    def won(self, *, renewals: bool = False) -> pd.DataFrame:
        """Won by close date in the period."""
        rows = self.closed(renewals=renewals)
        return rows[rows["is_won"]]

    def open(self) -> pd.DataFrame:
        """Open at the as-of instant."""
        return self.deals[~self.deals["is_closed"]]

    def created(self) -> pd.DataFrame:
        """Created in the period, new business."""
        rows = self.deals
        days = self.book.calendar.business_date(rows["created_at"])
        return rows[self.period.contains(days) & ~rows["is_renewal"]]

    def unpriced(self, rows: pd.DataFrame) -> str:
        """Say how many of `rows` are counted but not priced; empty where none."""
        n = int(rows["priced"].isna().sum())
        return f"{n} counted but not priced" if n else ""

    def carriers(self) -> pd.DataFrame:
        """People of the segment who carry a quota, with `share`: FTE × share of the period they were there."""
        import pandas as pd

        users = self.book.users
        users = users[users["is_quota_carrying"]]
        if self.by == "rep":
            users = users[users["user_id"].eq(self.segment)]
        elif self.by == "team":
            users = users[users["team_id"].eq(self.segment)]
        elif self.by == "region":
            teams = self.book.teams
            users = users[users["team_id"].isin(teams.loc[teams["region"].eq(self.segment), "team_id"])]
        last = min(pd.Timestamp(self.period.last_day), pd.Timestamp(self.book.day))
        there = presence(users, pd.Timestamp(self.period.start), last)
        return users.assign(share=there * users["fte"].fillna(1.0).astype(float))[there > 0]


def presence(users: pd.DataFrame, first: pd.Timestamp, last: pd.Timestamp) -> pd.Series:
    """Share of the days from `first` to `last`, both included, on which each person was employed."""
    import pandas as pd

    begin = users["start_date"].fillna(first).clip(lower=first)
    end = users["end_date"].fillna(last).clip(upper=last)
    days = (end - begin) // pd.Timedelta(days=1) + 1
    return days.clip(lower=0) / max((last - first) // pd.Timedelta(days=1) + 1, 1)


def members(book: Book, by: str, period: Period) -> list[str]:
    """List the segments to report: people and teams who were there, even without a deal, then what the deals show.

    Raises
    ------
    ParameterError
        For an unknown dimension.
    """
    if by not in DIMENSIONS:
        raise ParameterError(unknown("dimension", by, DIMENSIONS))
    rows = deals(book)
    seen = rows.loc[_touches(rows, period), by]
    if by in ("rep", "team", "region"):
        there = Facts(book, period, rows).carriers()
        column = {"rep": "user_id", "team": "team_id"}.get(by)
        if column is None:
            regions = book.teams.set_index("team_id")["region"]
            own = there["team_id"].map(regions)
        else:
            own = there[column]
        seen = [*own.dropna(), *seen]
    return sorted(set(seen), key=lambda value: (value == NOT_ASSIGNED, str(value)))


def _touches(rows: pd.DataFrame, period: Period) -> pd.Series:
    return ~rows["is_closed"] | period.contains(rows["close_date"])


def names(book: Book, by: str) -> dict[str, str]:
    """Map segment values to display names; people with one name are told apart by their id."""
    if by == "rep":
        users = book.table("users", ["user_id", "name"])
        twice = users["name"].duplicated(keep=False)
        shown = users["name"].mask(twice, users["name"] + " (" + users["user_id"] + ")").fillna(users["user_id"])
        return dict(zip(users["user_id"], shown, strict=True))
    if by == "team":
        teams = book.table("teams", ["team_id", "name"])
        return dict(zip(teams["team_id"], teams["name"], strict=True))
    return {}


def quota(facts: Facts, *, prorated: bool = True) -> float:
    """Sum the quotas of the segment's people for the period, in corporate currency.

    The newest version approved by the as-of instant holds. A quota whose own period is longer than the window is
    split by working days; `prorated` cuts it to the days its holder was employed. Overlay quotas stay out.
    """
    import pandas as pd

    rows = facts.book.quotas
    rows = rows[rows["measure"].eq("bookings") & ~rows["is_overlay"] & rows["currency"].eq(facts.book.currency)]
    holder = "user" if rows["holder_type"].eq("user").any() else "team"
    rows = rows[rows["holder_type"].eq(holder)]
    if facts.by:
        rows = rows[rows["holder_id"].isin(_holders(facts, holder))]
    rows = rows.sort_values("version").drop_duplicates(["holder_id", "period_start"], keep="last")
    calendar, total = facts.book.calendar, 0.0
    users = facts.book.users.set_index("user_id")
    for row in rows.itertuples():
        start, end = max(row.period_start.date(), facts.period.start), min(row.period_end.date(), facts.period.end)
        if start >= end:
            continue
        whole = calendar.working_days(row.period_start.date(), row.period_end.date())
        amount = float(row.quota_amount) * calendar.working_days(start, end) / max(whole, 1)
        if prorated and holder == "user" and row.holder_id in users.index:
            amount *= _employed(users.loc[[row.holder_id]], pd.Timestamp(start), pd.Timestamp(end))
        total += amount
    return total


def _employed(user: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> float:
    import pandas as pd

    return float(presence(user, start, end - pd.Timedelta(days=1)).iloc[0])


def _holders(facts: Facts, holder: str) -> pd.Series:
    if holder == "user":
        return facts.carriers()["user_id"]
    teams = facts.book.teams
    if facts.by == "team":
        return teams.loc[teams["team_id"].eq(facts.segment), "team_id"]
    return teams.loc[teams["region"].eq(facts.segment) & (facts.by == "region"), "team_id"]


def elapsed(facts: Facts) -> float:
    """Share of the period's working days that the as-of day has seen the end of."""
    calendar, period = facts.book.calendar, facts.period
    if facts.book.day < period.start:
        return 0.0
    gone = period.until(facts.book.day)
    return calendar.working_days(gone.start, gone.end) / max(calendar.working_days(period.start, period.end), 1)


def priced_sum(facts: Facts, rows: pd.DataFrame) -> Estimate:
    """Sum the amounts of `rows`; where none of them has one there is no sum, not a zero."""
    if len(rows) and rows["priced"].isna().all():
        return Estimate.none(NO_DATA, len(rows), f"none of {len(rows)} deals has an amount")
    return stats.total(rows["priced"]).noted(facts.unpriced(rows))


def so_far(facts: Facts) -> str:
    """Say that the period is not over; comparing it with a full one misleads."""
    period = facts.period
    if facts.book.day >= period.last_day:
        return ""
    return f"period not over: {elapsed(facts):.0%} of its working days gone"
