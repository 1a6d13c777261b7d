"""Deals made ready for counting: who gets the credit, which segment, priced or not, qualified or not.

Every join is keyed and left: no deal is lost for want of an owner, company or product; what did not match says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, lru_cache, reduce
from typing import TYPE_CHECKING

from salesops_lib import fx, stats
from salesops_lib.book import Book
from salesops_lib.errors import ParameterError, unknown
from salesops_lib.facts.quotas import (  # noqa: F401 - part of what others call
    PEOPLE,
    Quotas,
    carriers,
    carriers_by,
    presence,
    quota,
    quotas,
    whole_quota,
)
from salesops_lib.facts.rates import NO_CURRENCY, at_rates, listed
from salesops_lib.frames import Groups
from salesops_lib.language import dated, mark, say
from salesops_lib.periods import KINDS, Period, as_date
from salesops_lib.stats import NO_DATA, Estimate

if TYPE_CHECKING:
    import pandas as pd

NOT_ASSIGNED = mark("not assigned")
LONGEST = 400  # periods in one window
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


LABELS = {
    "rep": "rep", "team": "team", "region": "region", "segment": "segment", "product": "product",
    "source": "source", "type": "type",
}  # fmt: skip


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
        return say("no deal known by then")
    days = [day for day in (None if pd.isna(first) else book.calendar.day_of(first), closed) if not pd.isna(day)]
    begun = min((pd.Timestamp(day) for day in days), default=None)
    before = begun is not None and pd.Timestamp(period.end) <= begun
    return say("records begin on {day}", day=dated(begun)) if before else ""


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
    near = say("no daily rate in the {n} days before, no month_avg of the month", n=fx.MAX_AGE["daily"])
    kinds = reduce(lambda said, kind: say("{kinds} or {kind}", kinds=said, kind=kind), kinds)
    reasons = {True: near, False: say("no {kinds} rate known", kinds=kinds)}
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
        return say("{n} counted but not priced{why}", n=n, why=self.wanting(rows)) if n else ""

    def wanting(self, rows: pd.DataFrame) -> str:
        """Say in brackets how many of `rows` have an amount but no rate, and of which currencies."""
        unrated = rows["priced"].isna() & rows["amount"].notna()
        if not unrated.any():
            return ""
        found = rows["currency"][unrated].fillna(NO_CURRENCY)
        said = say("{n} no rate for {currencies}", n=len(found), currencies=listed(found))
        return f" ({said})"

    def carriers(self) -> pd.DataFrame:
        """People who carry a quota (of the rep or team, where it is one); `share` is FTE × share of days there."""
        if self.by in PEOPLE:
            return carriers_by(self.book, self.period, self.by)[self.segment]
        return carriers(self.book, self.period)


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
    return values.map(names(book, by) | {NOT_ASSIGNED: say(NOT_ASSIGNED)}).fillna(values)


def titles(book: Book, ids: pd.Index | pd.Series) -> pd.Series:
    """Name deals by their id; one without a name by its account and its id."""
    columns = ["opportunity_id", "name", "account_id"]
    rows = book.opportunities[columns].drop_duplicates("opportunity_id").set_index("opportunity_id").reindex(ids)
    accounts = book.table("accounts", ["account_id", "name"]).drop_duplicates("account_id")
    own = rows.index.to_series().astype("string")
    whose = rows["account_id"].map(accounts.set_index("account_id")["name"]).astype("string") + " (" + own + ")"
    return rows["name"].fillna(whose).fillna(own)


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


def elapsed(facts: Facts) -> float:
    """Share of the period's working days that the as-of day has seen the end of."""
    return facts.book.calendar.elapsed(facts.period, facts.book.day)


def priced_sum(facts: Facts, rows: pd.DataFrame) -> Estimate:
    """Sum the amounts of `rows`; where none of them has one there is no sum, not a zero."""
    missing = int(rows["priced"].isna().sum())
    if len(rows) and missing == len(rows):
        note = say("none of {n} deals has a price{why}", n=len(rows), why=facts.wanting(rows))
        return Estimate.none(NO_DATA, len(rows), note)
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
    return say("period not over: {n}% of its working days gone", n=f"{elapsed(facts) * 100:.0f}")
