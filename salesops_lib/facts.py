"""Deals made ready for counting: who gets the credit, which segment, priced or not, qualified or not.

Every join is keyed and left: no deal is lost for want of an owner, company or product; what did not match says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from salesops_lib import fx, stats
from salesops_lib.book import Book
from salesops_lib.errors import ParameterError, unknown
from salesops_lib.frames import Groups
from salesops_lib.periods import KINDS, Period, as_date
from salesops_lib.stats import NO_DATA, Estimate

if TYPE_CHECKING:
    import pandas as pd

NOT_ASSIGNED = "not assigned"
LONGEST = 400  # periods in one window
NO_NEAR_RATE = f"no daily rate in the {fx.MAX_AGE['daily']} days before, no month_avg of the month"
NO_CURRENCY = "no currency"
PEOPLE = ("rep", "team")  # dimensions that quotas and headcount belong to
# what KPIs read; the widest text columns stay behind
KEPT = [
    "opportunity_id", "account_id", "owner_id", "stage_id", "type", "amount", "currency", "created_at",
    "expected_close_date", "closed_at", "close_date", "is_closed", "is_won", "forecast_category",
    "probability_crm", "lead_id",
]  # fmt: skip
NEEDED = [*KEPT, "owner_at_close_id", "product_family", "lead_source"]
OPEN = ("stage", "amount", "expected_close_date")  # fields without which nobody knows what was open, for how much
DIMENSIONS = {
    "rep": "owner at close; the owner while open",
    "team": "the rep's team today",
    "region": "region of the company; that of the rep's team where the company has none",
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
    if number.isdecimal() and 0 < int(number) <= LONGEST and kind.removesuffix("s") in KINDS:
        return book.calendar.trailing(kind.removesuffix("s"), int(number), book.day)
    raise ParameterError(f"{unknown('period', str(period), KINDS)}; or a number of them, such as '4 quarters'.")


@lru_cache(maxsize=16)
def deals(book: Book) -> pd.DataFrame:
    """Return the deals known to a book with everything needed to count them.

    Returns
    -------
    DataFrame
        The columns `KEPT` of `opportunities`, and `rep`, `team`, `region`, `segment`, `product`, `source`
        (never empty), `priced` (amount in corporate currency at the rates of the book, rounded to cents; empty
        where there is no amount or no rate), `is_renewal`, `is_qualified` (reached the qualification stage),
        `is_disqualified` (closed before it), `is_lost`. Treat it as read-only.
    """
    out = prepare(book, book.opportunities)
    out["is_qualified"] = _qualified(book, out)
    out["is_disqualified"] = out["is_closed"] & ~out["is_won"] & ~out["is_qualified"]
    out["is_lost"] = out["is_closed"] & ~out["is_won"] & ~out["is_disqualified"]
    return out


def day_before(book: Book, since: str = "", days: int = 7) -> date:
    """Return the day of the last report: `since`, or so many days before the book's last one.

    Raises
    ------
    ParameterError
        Where `since` is no date, or not before the book's last day.
    """
    day = as_date(since) if since else book.day - timedelta(days=days)
    if day >= book.day:
        raise ParameterError(f"since {day} is not before the as-of day {book.day}.")
    return day


@lru_cache(maxsize=64)
def before_records(book: Book, period: Period) -> str:
    """Say so where a period ended before the first deal: nothing recorded is not nothing sold; else nothing."""
    import pandas as pd

    rows = deals(book)
    first = rows["created_at"].min()
    closed = rows["close_date"].min()
    if rows.empty:
        return "no deal known by then"
    days = [day for day in (None if pd.isna(first) else book.calendar.day_of(first), closed) if not pd.isna(day)]
    begun = min((pd.Timestamp(day) for day in days), default=None)
    return f"records begin on {begun:%d %b %Y}" if begun is not None and pd.Timestamp(period.end) <= begun else ""


def prepare(book: Book, frame: pd.DataFrame) -> pd.DataFrame:
    """Do for some opportunities of a book, with the columns `NEEDED`, what `deals` does, save how they ended."""
    users = book.table("users", ["user_id", "team_id"]).drop_duplicates("user_id").set_index("user_id")["team_id"]
    regions = book.table("teams", ["team_id", "region"]).drop_duplicates("team_id").set_index("team_id")["region"]
    accounts = book.table("accounts", ["account_id", "segment", "region"])
    accounts = accounts.drop_duplicates("account_id").set_index("account_id")
    credited = frame["owner_at_close_id"].where(frame["is_closed"]).fillna(frame["owner_id"])
    team = credited.map(users)
    out = frame[KEPT].assign(
        rep=credited,
        team=team,
        region=frame["account_id"].map(accounts["region"]).fillna(team.map(regions)),
        segment=frame["account_id"].map(accounts["segment"]),
        product=frame["product_family"],
        source=frame["lead_source"],
    )
    for column in ("rep", "team", "region", "segment", "product", "source"):
        out[column] = out[column].astype("string[pyarrow]").fillna(NOT_ASSIGNED)
    out["priced"] = at_rates(book, frame["amount"], frame["currency"], frame["close_date"])
    out["is_renewal"] = frame["type"].eq("renewal").fillna(False).astype(bool)
    out[["is_closed", "is_won"]] = out[["is_closed", "is_won"]].astype(bool)  # plain ones filter faster
    return out


def at_rates(
    book: Book, amounts: pd.Series, currencies: pd.Series, days: pd.Series, kinds: tuple[str, ...] = fx.ACTUAL
) -> pd.Series:
    """Convert amounts at the rate of each day, of the as-of day where it is empty or currency is constant."""
    import pandas as pd

    today = pd.Timestamp(book.day)
    if book.rates == "plan":
        days, kinds = pd.Series(today, index=amounts.index), fx.KINDS["plan"]
    return fx.price(amounts, currencies, days.fillna(today), book.fx_rates, currency=book.currency, kinds=kinds)


def unrated(book: Book) -> pd.DataFrame:
    """List the deals with an amount that no known rate prices.

    Returns
    -------
    DataFrame
        One row a currency: `currency`, `deals`, `amount` (in that currency), `reason`.
    """
    rows, known, kinds = _without_rate(deals(book)), book.fx_rates, fx.KINDS[book.rates]
    seen = known.loc[known["kind"].isin(kinds), "currency"]
    out = rows.groupby("currency")["amount"].agg(deals="size", amount="sum").reset_index()
    reasons = {True: NO_NEAR_RATE, False: f"no {' or '.join(kinds)} rate known"}
    return out.assign(reason=out["currency"].isin(seen).map(reasons))


def _without_rate(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.loc[rows["priced"].isna() & rows["amount"].notna(), ["amount", "currency"]]
    return rows.assign(currency=rows["currency"].fillna(NO_CURRENCY))


def _qualified(book: Book, frame: pd.DataFrame) -> pd.Series:
    """Mark deals that passed qualification; without a stage history nobody can tell, so all count as passed."""
    passed = book.passed_stages()
    if passed.empty:
        return frame["is_closed"] | True
    stages = book.stages
    good = stages.loc[stages["is_qualified"] & (~stages["is_closed"] | stages["is_won"]), "stage_id"]
    reached = passed.loc[passed["stage_id"].isin(good), "opportunity_id"]
    ids = frame["opportunity_id"].astype(object)  # the other string type looks up one value at a time
    return ids.isin(reached.astype(object)) | ~ids.isin(passed["opportunity_id"].astype(object))


@lru_cache(maxsize=16)
def _groups(book: Book, by: str) -> Groups:
    return Groups(deals(book), by)


@lru_cache(maxsize=8)
def company(book: Book, period: Period) -> Facts:
    """Return the facts of the whole company, whose parts are made once; see `part`."""
    return Facts(book, period, deals(book))


def part(book: Book, period: Period, by: str, segment: str) -> Facts:
    """Return the facts of a segment of the company."""
    return Facts(book, period, _groups(book, by)[segment], by, segment, company(book, period))


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
    whole
        Those of the whole company, where `deals` are all of one segment: its rows are then cut out of theirs.
    """

    book: Book
    period: Period
    deals: pd.DataFrame
    by: str = ""
    segment: str = ""
    whole: Facts | None = None

    @cached_property
    def _taken(self) -> dict[tuple, object]:
        return {}  # many KPIs of one segment ask for the same rows

    def _take(self, name: str, renewals: bool = False) -> pd.DataFrame:
        """Make rows once; those of a segment are a group of the company's, which is far quicker."""
        if (name, renewals) not in self._taken:
            whole = self.whole
            rows = whole._group(name, renewals, self.by)[self.segment] if whole else ROWS[name](self, renewals)
            self._taken[name, renewals] = rows
        return self._taken[name, renewals]

    def _group(self, name: str, renewals: bool, by: str) -> Groups:
        if (name, renewals, by) not in self._taken:
            self._taken[name, renewals, by] = Groups(self._take(name, renewals), by)
        return self._taken[name, renewals, by]

    def closed(self, *, renewals: bool = False) -> pd.DataFrame:
        """Won or lost (not disqualified) by close date in the period; new business unless `renewals`."""
        return self._take("closed", renewals)

    def won(self, *, renewals: bool = False) -> pd.DataFrame:
        """Won by close date in the period."""
        return self._take("won", renewals)

    def open(self, *, renewals: bool = False) -> pd.DataFrame:
        """Open at the as-of instant; new business unless `renewals`."""
        return self._take("open", renewals)

    def created(self) -> pd.DataFrame:
        """Created in the period, new business."""
        return self._take("created")

    def unpriced(self, rows: pd.DataFrame) -> str:
        """Say how many of `rows` are counted but not priced, and how many of these want a rate; else nothing."""
        n = int(rows["priced"].isna().sum())
        return f"{n} counted but not priced{self.wanting(rows)}" if n else ""

    def wanting(self, rows: pd.DataFrame) -> str:
        """Say in brackets how many of `rows` have an amount but no rate, and of which currencies."""
        unrated = rows["priced"].isna() & rows["amount"].notna()
        if not unrated.any():
            return ""
        found = rows["currency"][unrated].fillna(NO_CURRENCY)
        return f" ({len(found)} no rate for {', '.join(sorted(set(found)))})"

    def carriers(self) -> pd.DataFrame:
        """People who carry a quota (of the rep or team, where it is one); `share` is FTE × share of days there."""
        if self.by in PEOPLE:
            return _carriers_by(self.book, self.period, self.by)[self.segment]
        return _carriers(self.book, self.period)


def _closed(facts: Facts, renewals: bool) -> pd.DataFrame:
    rows = facts.deals
    shut = (rows["is_won"] | rows["is_lost"]) & facts.period.contains(rows["close_date"])
    return rows[shut & rows["is_renewal"].eq(renewals)]


def _won(facts: Facts, renewals: bool) -> pd.DataFrame:
    rows = facts.closed(renewals=renewals)
    return rows[rows["is_won"]]


def _open(facts: Facts, renewals: bool) -> pd.DataFrame:
    rows = facts.deals
    return rows[~rows["is_closed"] & rows["is_renewal"].eq(renewals)]


def _created(facts: Facts, renewals: bool) -> pd.DataFrame:
    rows = facts.deals
    days = facts.book.calendar.business_date(rows["created_at"])
    return rows[facts.period.contains(days) & rows["is_renewal"].eq(renewals)]


ROWS = {"closed": _closed, "won": _won, "open": _open, "created": _created}


@lru_cache(maxsize=64)
def _carriers(book: Book, period: Period) -> pd.DataFrame:
    import pandas as pd

    users = book.users
    users = users[users["is_quota_carrying"]]
    # of a period still to come, everybody who is to be there
    seen = period.last_day if period.start > book.day else min(period.last_day, book.day)
    last = pd.Timestamp(seen)
    there = presence(users, pd.Timestamp(period.start), last)
    return users.assign(share=there * users["fte"].fillna(1.0).astype(float))[there > 0]


@lru_cache(maxsize=64)
def _carriers_by(book: Book, period: Period, by: str) -> Groups:
    return Groups(_carriers(book, period), "user_id" if by == "rep" else "team_id")


def presence(users: pd.DataFrame, first: pd.Timestamp | pd.Series, last: pd.Timestamp | pd.Series) -> pd.Series:
    """Share of the days from `first` to `last`, both included, on which each person was employed."""
    import pandas as pd

    day = pd.Timedelta(days=1)
    begin = users["start_date"].fillna(first).clip(lower=first)
    end = users["end_date"].fillna(last).clip(upper=last)
    whole = pd.Series((last - first) // day + 1, index=users.index).clip(lower=1)
    return ((end - begin) // day + 1).clip(lower=0) / whole


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
    seen = rows.loc[_touches(rows, period), by].unique()
    if by in PEOPLE:
        there = Facts(book, period, rows).carriers()
        seen = [*there["user_id" if by == "rep" else "team_id"].dropna(), *seen]
    return sorted(set(seen), key=lambda value: (value == NOT_ASSIGNED, str(value)))


def _touches(rows: pd.DataFrame, period: Period) -> pd.Series:
    return ~rows["is_closed"] | period.contains(rows["close_date"])


def names(book: Book, by: str) -> dict[str, str]:
    """Map segment values to display names; people with one name are told apart by their id."""
    return dict(_names(book, by))


@lru_cache(maxsize=32)
def _names(book: Book, by: str) -> dict[str, str]:
    if by == "rep":
        users = book.table("users", ["user_id", "name"])
        twice = users["name"].duplicated(keep=False)
        shown = users["name"].mask(twice, users["name"] + " (" + users["user_id"] + ")").fillna(users["user_id"])
        return dict(zip(users["user_id"], shown, strict=True))
    if by == "team":
        teams = book.table("teams", ["team_id", "name"])
        return dict(zip(teams["team_id"], teams["name"], strict=True))
    return {}


def named(book: Book, by: str, values: pd.Series) -> pd.Series:
    """Write display names in place of ids; an id without a name stays."""
    return values.map(names(book, by)).fillna(values)


def find(book: Book, by: str, who: str) -> str:
    """Return the id of a team or rep by its name or id.

    Raises
    ------
    ParameterError
        Where there is none of that name, or several.
    """
    known = names(book, by)
    found = [key for key, name in known.items() if who in (key, name)]
    if len(found) != 1:
        raise ParameterError(unknown(by, who, [*known.values()]))
    return found[0]


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
        rows = rows[rows["holder_id"].isin(_carriers_by(book, period, by)[segment]["user_id"])]
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
    unpriced = sorted(set(rows.loc[unrated, "currency"].fillna(NO_CURRENCY)))
    said = [f"{int(unrated.sum())} quotas left out, no rate for {', '.join(unpriced)}"] if unpriced else []
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
        said.append(f"quotas cover {covered} of the period's {period.days} days")
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


def elapsed(facts: Facts) -> float:
    """Share of the period's working days that the as-of day has seen the end of."""
    return facts.book.calendar.elapsed(facts.period, facts.book.day)


def priced_sum(facts: Facts, rows: pd.DataFrame) -> Estimate:
    """Sum the amounts of `rows`; where none of them has one there is no sum, not a zero."""
    missing = int(rows["priced"].isna().sum())
    if len(rows) and missing == len(rows):
        return Estimate.none(NO_DATA, len(rows), f"none of {len(rows)} deals has a price{facts.wanting(rows)}")
    return stats.total(rows["priced"]).noted(facts.unpriced(rows) if missing else "")


def marked(book: Book, ids: Iterable[str]) -> pd.Series:
    """Say of each row of `deals(book)` whether it is one of `ids`: made once, looked up by any segment's rows."""
    return deals(book)["opportunity_id"].astype(object).isin(list(ids))


@lru_cache(maxsize=16)
def records_begin(book: Book) -> pd.Timestamp:
    """Return the day the first known deal closed: before it, nothing sold does not mean that nothing was."""
    return deals(book)["close_date"].min()


def is_recorded(book: Book, period: Period) -> bool:
    """Whether the records reach back to the start of a period: part of one compares with nothing."""
    import pandas as pd

    return bool(records_begin(book) <= pd.Timestamp(period.start))


def so_far(facts: Facts) -> str:
    """Say that the period is not over; comparing it with a full one misleads."""
    period = facts.period
    if facts.book.day >= period.last_day:
        return ""
    return f"period not over: {elapsed(facts):.0%} of its working days gone"
