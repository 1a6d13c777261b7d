"""Leads made ready for counting: whose, from where, when answered, when won; duplicates and imports apart.

A lead merged into another one counts as that one: its activities and deals are the survivor's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from salesops_lib import stats
from salesops_lib.book import Book
from salesops_lib.facts import NOT_ASSIGNED, Facts, deals, marked
from salesops_lib.kpis.people_time import business_hours, hours_between
from salesops_lib.language import mark, say
from salesops_lib.periods import Period
from salesops_lib.stats import Estimate

if TYPE_CHECKING:
    import pandas as pd

LEAD_DIMENSIONS = ("rep", "team", "segment", "source")
BULK = 50  # leads created in one minute, above which they were imported
LEAST_WON = 30  # leads from which the typical time to a win is told
MERGES = 10  # merges one after the other that are followed
COLUMNS = [
    "lead_id", "created_at", "source", "owner_id", "qualified_at", "disqualified_at", "converted_at",
    "opportunity_id", "segment", "is_deleted", "merged_into_id",
]  # fmt: skip
# a cancelled meeting, a task or a note reaches nobody
TOUCHES = """
    with touches as materialized (
        select links.lead_id, started_at, direction, outcome, is_automated
        from (
            select *, lead_id as link from activities where lead_id is not null
            union all select *, opportunity_id from activities where opportunity_id is not null
        ) linked join links on links.link = linked.link
        where type in ('call', 'email', 'meeting') and outcome is distinct from 'cancelled'
    ), firsts as (
        select lead_id, min(started_at) as reached_at, min(started_at) filter (not is_automated) as touched_at
        from touches where direction = 'out' group by lead_id
    )
    select lead_id, reached_at, touched_at,
        min(started_at) filter (direction = 'in' and not is_automated) as replied_at,
        min(started_at) filter (direction = 'out' and outcome = 'replied') as marked_at
    from firsts join touches using (lead_id) where started_at >= reached_at group by all
"""


@lru_cache(maxsize=16)
def leads(book: Book) -> pd.DataFrame:
    """Return the leads known to a book with everything needed to count them.

    Returns
    -------
    DataFrame
        `lead_id`, `rep` (owner), `team` (the owner's), `segment`, `source`, none of them empty; `created_day`,
        `reached_day` (first outreach); `is_gone` (merged or deleted), `is_bulk` (imported), `is_dated` (created on
        a day without a time), `has_deal`. Days from creation, empty where it never came: `qualified` (conversion
        qualifies too),
        `disqualified`, `won` (its first deal), `lost` (all of its deals closed, none won), `seen` (the end of what
        is known). `is_answered` by a person, and the hours from creation to that or to the end of what is known:
        `wait`, `business_wait`. Hours from the first outreach, sequences included: `reply` (first inbound), `mark`
        (first outreach marked as replied to), `watched` (the end of what is known). Treat it as read-only.
    """
    rows, calendar, until = book.table("leads", COLUMNS), book.calendar, book.known_until
    teams = book.table("users", ["user_id", "team_id"]).drop_duplicates("user_id").set_index("user_id")["team_id"]
    links = lead_links(book)
    rows = rows.merge(book.query(TOUCHES, links=links), on="lead_id", how="left")
    rows = rows.merge(_ends(book, links), on="lead_id", how="left")
    created, reached = rows["created_at"], rows["reached_at"]
    local, minute = created.dt.tz_convert(calendar.timezone), created.dt.floor("min")
    dated = (local == local.dt.normalize()) | (created == created.dt.normalize())
    answered = rows["touched_at"].fillna(until)
    out = rows[["lead_id", "segment", "source"]].assign(
        rep=rows["owner_id"],
        team=rows["owner_id"].map(teams),
        created_day=calendar.business_date(created),
        reached_day=calendar.business_date(reached),
        is_gone=rows["is_deleted"].fillna(False).astype(bool) | rows["merged_into_id"].notna(),
        is_bulk=minute.groupby(minute).transform("size").gt(BULK) & ~dated,
        is_dated=dated,
        has_deal=rows["has_deal"].notna(),
        qualified=hours_between(created, rows[["qualified_at", "converted_at"]].min(axis=1)) / 24,
        disqualified=hours_between(created, rows["disqualified_at"]) / 24,
        won=hours_between(created, rows["won_at"]) / 24,
        lost=hours_between(created, rows["lost_at"]) / 24,
        seen=hours_between(created, until) / 24,
        is_answered=rows["touched_at"].notna(),
        wait=hours_between(created, answered),
        business_wait=business_hours(calendar, created, answered),
        reply=hours_between(reached, rows["replied_at"]),
        mark=hours_between(reached, rows["marked_at"]),
        watched=hours_between(reached, until),
    )
    for column in LEAD_DIMENSIONS:
        out[column] = out[column].astype("string[pyarrow]").fillna(NOT_ASSIGNED)
    return out


@lru_cache(maxsize=16)
def lead_links(book: Book) -> pd.DataFrame:
    """Map the ids of leads and of the deals they became to the lead that counts: `link`, `lead_id`."""
    import pandas as pd

    rows = book.table("leads", ["lead_id", "merged_into_id", "opportunity_id"])
    into = rows.set_index("lead_id")["merged_into_id"].dropna()
    counts = rows["lead_id"]
    for _ in range(MERGES if len(into) else 0):
        counts = counts.map(into).fillna(counts)
    survivor = pd.Series(counts.to_numpy(), index=rows["lead_id"])
    known = deals(book)
    parts = (
        (rows["lead_id"], counts),
        (rows["opportunity_id"], counts),
        (known["opportunity_id"], known["lead_id"].map(survivor)),
    )
    links = pd.concat(
        [pd.DataFrame({"link": link.to_numpy(), "lead_id": lead.to_numpy()}) for link, lead in parts]
    )
    return links.dropna().drop_duplicates()


def _ends(book: Book, links: pd.DataFrame) -> pd.DataFrame:
    """Say of each lead with a deal when the first of its deals was won, or when the last was closed unwon."""
    rows = deals(book)
    rows = rows[~rows["is_renewal"]].merge(
        links, left_on="opportunity_id", right_on="link", suffixes=("_told", "")
    )
    rows["won_at"] = rows["closed_at"].where(rows["is_won"])
    ends = rows.groupby("lead_id").agg(
        won_at=("won_at", "min"), lost_at=("closed_at", "max"), all_closed=("is_closed", "all")
    )
    ends["lost_at"] = ends["lost_at"].where(ends["all_closed"] & ends["won_at"].isna())
    return ends.drop(columns="all_closed").assign(has_deal=True).reset_index()


@lru_cache(maxsize=16)
def from_lead(book: Book) -> pd.Series:
    """Whether each of `deals(book)` came from a lead."""
    return marked(book, lead_links(book)["link"])


@lru_cache(maxsize=64)
def _cohorts(book: Book, period: Period, by: str, start: str) -> dict[str, tuple[pd.DataFrame, str]]:
    rows = leads(book)
    rows = rows[period.contains(rows[start])]
    found = {}
    for segment, mine in rows.groupby(by) if by else [("", rows)]:
        gone, bulk = mine["is_gone"], mine["is_bulk"] & ~mine["is_gone"]
        left = (
            (int(bulk.sum()), mark("{n} imported in bulk left out")),
            (int(gone.sum()), mark("{n} merged or deleted left out")),
        )
        found[segment] = mine[~gone & ~bulk], tallied("", *left)
    return found


def cohort(facts: Facts, start: str = "created_day") -> tuple[pd.DataFrame, str]:
    """Leads of the segment that start in the period, without duplicates and imports; and how many those are."""
    none = leads(facts.book).iloc[:0], ""
    return _cohorts(facts.book, facts.period, facts.by, start).get(facts.segment, none)


def tallied(said: str, *parts: tuple[int, str], **values: object) -> str:
    """Join a note with counts and what is said of them, messages with `n` and the `values`; zeros are skipped."""
    return "; ".join([said] * bool(said) + [say(message, n=n, **values) for n, message in parts if n])


def lead_members(book: Book, by: str, period: Period) -> set[str]:
    """Owners, teams, segments or sources of the leads created or first reached in a period."""
    return {segment for start in ("created_day", "reached_day") for segment in _cohorts(book, period, by, start)}


@lru_cache(maxsize=16)
def typical_days(book: Book) -> Estimate:
    """Median days from the creation of a lead to its win, over every lead won so far."""
    rows = leads(book)
    days = rows.loc[~rows["is_gone"] & ~rows["is_bulk"], "won"]
    days = days[days >= 0]
    if len(days) < LEAST_WON:
        few = say("needs {needed} leads won so far, has {n}", needed=LEAST_WON, n=len(days))
        return Estimate.none(stats.TOO_FEW, len(days), few)
    return stats.median(days)


def won_within(facts: Facts, rows: pd.DataFrame, start: pd.Series | float = 0.0) -> Estimate:
    """Share of leads with a deal won within twice the typical days of creation, or of the day `start` after it.

    Leads disqualified or whose deals all closed unwon are over; the others are censored.
    """
    typical = typical_days(facts.book)
    if typical.status != stats.OK:
        return typical
    horizon = round(2 * typical.value)
    over = rows["lost"].fillna(rows["disqualified"].where(~rows["has_deal"]))
    share = stats.within(rows["won"] - start, over - start, rows["seen"] - start, horizon)
    return share.noted(say("within {n} days", n=horizon))
