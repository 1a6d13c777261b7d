"""What people who sell do: calls, e-mails, meetings, time with customers, entries in the CRM."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import stats
from salesops_lib.book import Book
from salesops_lib.facts import LABELS, NOT_ASSIGNED, PEOPLE, Facts, deals
from salesops_lib.kpis.lead_facts import cohort, tallied
from salesops_lib.kpis.people_time import (
    CALL,
    HOURS,
    MEETING,
    WEEK,
    acted,
    days_with_entry,
    inside,
    per_day,
    seller_members,
    sellers,
    silence,
    such,
    tells,
    total_hours,
    worked,
)
from salesops_lib.kpis.registry import Variants, kpi, refuse
from salesops_lib.language import mark, say
from salesops_lib.periods import Period
from salesops_lib.stats import NO_DATA, NOT_DEFINED, Estimate

if TYPE_CHECKING:
    import pandas as pd

ACTOR = "who did it; the team is the one they are in today"
WORKED = "people who sell have a selling role or a quota; working days times full-time share, leave is not known"
OUTBOUND = {  # by variant of K15
    "calls": mark("outbound calls"),
    "connected calls": mark("outbound connected calls"),
    "e-mails": mark("outbound e-mails"),
    "automated e-mails": mark("outbound automated e-mails"),
}
OF_SELLERS = {"dimensions": PEOPLE, "members": seller_members}
# what an open deal must show from its first stage on, and from a qualified stage on
REQUIRED_LABELS = {
    "account_id": "company", "owner_id": "owner", "source": "source", "expected_close_date": "close date",
}  # fmt: skip
QUALIFIED_LABELS = {"amount": "amount", "product": "product"}
CHANGING = ("amount", "expected_close_date")  # known at an earlier instant only where their history is


@kpi(
    "K15",
    name="Outbound activity rate",
    formula="outbound calls by a person ÷ working days of people who sell",
    population=f"activities that began in the period; {WORKED}",
    attribution=ACTOR,
    unit="per_day",
    direction="none",
    variants={
        "calls": "outbound calls, one a leg, reached or not; logged is not the same as happened",
        "connected calls": "outbound calls that reached somebody",
        "e-mails": "outbound e-mails written by a person",
        "automated e-mails": "outbound e-mails sent by a sequence or to a list, never added to the others",
        "days with an entry": "working days of people who sell with at least one activity by a person ÷ all of "
        "them; part-timers by the head",
    },
    needs=("activities", "users"),
    interval="exact Poisson (Garwood); Wilson",
    source="kpis.md K15",
    units={"days with an entry": "share"},
    **OF_SELLERS,
)
def outbound_rate(facts: Facts) -> Variants:
    """Divide outbound activities by working days."""
    for variant, cells in (
        ("calls", {"type": "call", "is_automated": False}),
        ("connected calls", {"type": "call", "is_automated": False, "outcome": "connected"}),
        ("e-mails", {"type": "email", "is_automated": False}),
        ("automated e-mails", {"type": "email", "is_automated": True}),
    ):
        yield variant, partial(_outbound, facts, variant, cells)
    yield "days with an entry", partial(_coverage, facts)


@kpi(
    "K16",
    name="Talk time",
    formula="Σ length of connected calls ÷ working days of people who sell",
    population=f"connected calls, in and out, that began in the period, overlaps once; {WORKED}",
    attribution=ACTOR,
    unit="minutes",
    direction="none",
    variants={
        "per day": "minutes a working day",
        "total": "hours in the period",
        "per call": "median minutes of a connected call",
    },
    needs=("activities", "users"),
    interval="Fay–Feuer gamma on the calls; order statistics for the median",
    source="kpis.md K16",
    units={"total": "hours"},
    **OF_SELLERS,
)
def talk_time(facts: Facts) -> Variants:
    """Add up the length of connected calls."""
    if not tells(facts.book, type="call", outcome="connected"):
        yield from refuse("K16", Estimate.untold(mark("connected call")))
        return
    rows, said = acted(facts, type=CALL["type"])
    calls = such(rows, **CALL)
    said = tallied(said, (int(rows["outcome"].isna().sum()), mark("{n} without a result left out")))
    talked = total_hours(calls["talk"]).noted(said)
    yield "per day", per_day(facts, talked, 60)
    yield "total", talked
    yield "per call", lambda: stats.median(calls["hours"] * 60).noted(said)


@kpi(
    "K18",
    name="Prospect meetings per period",
    formula="external meetings held ÷ working weeks of people who sell",
    population=f"external meetings that began in the period, a group event once; {WORKED}",
    attribution=ACTOR,
    unit="per_week",
    direction="up",
    variants={
        "held": "held, a week",
        "booked": "booked for the period, whatever became of them, a week",
        "no-show rate": "no-shows ÷ (held + no-shows); cancelled ones in neither",
        "first meetings": "first held meetings with a company, as the source marks them, a week",
    },
    needs=("activities", "users"),
    interval="exact Poisson (Garwood); Wilson",
    source="kpis.md K18",
    units={"no-show rate": "share"},
    **OF_SELLERS,
)
def prospect_meetings(facts: Facts) -> Variants:
    """Count external meetings by what became of them."""
    booked, said = acted(facts, type="meeting", is_external=True)
    held = such(booked, outcome="held")
    unknown = booked.loc[booked["outcome"].isna(), "event"].nunique()
    more = tallied(said, (unknown, mark("{n} without a result count as not held")))
    for variant, rows, note, words, cells in (
        ("held", held, more, mark("held meeting"), MEETING),
        ("booked", booked, said, mark("external meeting"), {"type": "meeting", "is_external": True}),
        (
            "first meetings",
            such(held, is_first_meeting=True),
            more,
            mark("first meeting"),
            {"is_first_meeting": True},
        ),
    ):
        found = per_day(facts, stats.count(rows["event"].nunique()), WEEK).noted(note)
        yield variant, found if tells(facts.book, **cells) else Estimate.untold(words)
    missed = set(such(booked, outcome="no_show")["event"]) - set(held["event"])
    rate = stats.proportion(len(missed), len(missed) + held["event"].nunique()).noted(more)
    known = tells(facts.book, type="meeting", outcome="no_show")
    yield "no-show rate", rate if known else Estimate.untold(mark("missed meeting"))


@kpi(
    "K19",
    name="Selling-time share",
    formula="logged hours with customers ÷ contracted hours",
    population="connected calls and held external meetings that began in the period, overlaps once, against "
    f"{HOURS} h a working day; {WORKED}",
    attribution=ACTOR,
    unit="share",
    direction="none",
    variants={
        "observed": "a lower bound: only logged time shows",
        "unobserved": "the rest; other work, or selling that nobody logged",
    },
    needs=("activities", "users"),
    interval="Fay–Feuer gamma on the calls and meetings",
    source="kpis.md K19",
    **OF_SELLERS,
)
def selling_time(facts: Facts) -> Variants:
    """Divide the logged time with customers by contracted time."""
    import pandas as pd

    calls, meetings = (tells(facts.book, **cells) for cells in (CALL, MEETING))
    if not calls and not meetings:
        yield from refuse("K19", Estimate.untold(mark("connected call and no held meeting")))
        return
    spoken, said = acted(facts, **CALL)
    met, also = acted(facts, **MEETING)
    only = (
        mark("calls only, the source tells of no others")
        if calls
        else mark("meetings only, the source tells of no others")
    )
    half = "" if calls and meetings else say(only)
    spent = total_hours(pd.concat([spoken["busy"], met["busy"]])).noted(
        said and say("calls: {note}", note=said), also and say("meetings: {note}", note=also)
    )
    seen = per_day(facts, spent, 1 / HOURS).noted(half)
    yield "observed", seen
    low, high = np.maximum([1 - seen.high, 1 - seen.low], 0)
    yield "unobserved", replace(seen, value=1 - seen.value, low=float(low), high=float(high))


@kpi(
    "K17",
    name="CRM entry volume and completeness",
    formula="records entered ÷ working days of people who sell; required fields filled ÷ required fields",
    population=f"leads created and deal fields changed in the period, not in bulk; deals open now; {WORKED}",
    attribution="owner of the lead or deal, as who typed it is not told; who made a change",
    unit="per_day",
    direction="none",
    variants={
        "leads": "leads created a working day; never a target on its own",
        "deal changes": "fields of deals filled or changed a working day",
        "fields filled": "company, owner, source and close date of every open deal, amount and product too from a "
        "qualified stage on: filled ÷ required; a field that no deal ever shows is left out",
        "complete deals": "open deals that lack none of these ÷ open deals",
    },
    needs=("opportunities", "users"),
    interval="exact Poisson (Garwood); bootstrap over deals; Wilson",
    source="kpis.md K17",
    units={"fields filled": "share", "complete deals": "share"},
    members=seller_members,
)
def crm_entry(facts: Facts) -> Variants:
    """Count what is entered, and how much of what is needed is there."""
    if facts.by and facts.by not in PEOPLE:
        note = say("working time does not belong to a {dimension}", dimension=say(LABELS[facts.by]))
        refused = Estimate.none(NOT_DEFINED, 0, note)
        yield from ((variant, refused) for variant in ("leads", "deal changes"))
    else:
        yield "leads", _leads_entered(facts) if facts.book.has("leads") else Estimate.untold(mark("lead"))
        yield "deal changes", partial(_deal_changes, facts)
    yield from _completeness(facts)


def _outbound(facts: Facts, variant: str, cells: dict) -> Estimate:
    if not tells(facts.book, direction="out", **cells):
        return Estimate.untold(OUTBOUND[variant])
    rows, said = acted(facts, **cells)
    out, aimless = rows["direction"].eq("out").sum(), int(rows["direction"].isna().sum())
    left_out = tallied(said, (aimless, mark("{n} without a direction left out")))
    return per_day(facts, stats.count(int(out))).noted(left_out)


def _coverage(facts: Facts) -> Estimate:
    """Share of the working days of people who sell on which they logged anything."""
    book, period = facts.book, facts.period
    if not tells(book, is_automated=False):
        return Estimate.untold(mark("activity by a person"))
    _, heads = worked(facts)
    if not heads:
        return Estimate.none(NOT_DEFINED, 0, say("nobody who sells had a working day in this period"))
    logged = days_with_entry(book, period, facts.by).get(facts.segment, 0)
    return stats.proportion(logged, heads).noted(*silence(book, period))


def _leads_entered(facts: Facts) -> Estimate:
    rows, said = cohort(facts)
    mine = rows["rep"].isin(sellers(facts.book, facts.period)["rep"])
    found = per_day(facts, stats.count(int(mine.sum())))
    return found.noted(tallied(said, (int((~mine).sum()), mark("{n} owned by nobody who sells left out"))))


@lru_cache(maxsize=16)
def _changes(book: Book, period: Period) -> pd.DataFrame | None:
    """Count the changes of deal fields in a period by who made them, bulk edits left out: `rep`, `team`, `n`.

    None where the source never tells who.
    """
    if not book.query("select count(changed_by) as n from opportunity_history")["n"].iloc[0]:
        return None
    found = book.query(f"""
        select changed_by as rep, count(*) as n from opportunity_history
        where not is_bulk and {inside(book, period, "changed_at")} group by changed_by
    """)
    return found.merge(sellers(book, period)[["rep", "team"]], on="rep", how="left")


def _deal_changes(facts: Facts) -> Estimate:
    rows = _changes(facts.book, facts.period)
    if rows is None:
        return Estimate.untold(mark("change of a deal and who made it"))
    sold = rows["team"].notna()
    mine = sold & rows[facts.by].eq(facts.segment) if facts.by else sold
    others = 0 if facts.by else int(rows.loc[~sold, "n"].sum())
    found = per_day(facts, stats.count(int(rows.loc[mine, "n"].sum())))
    return found.noted(tallied("", (others, mark("{n} by nobody who sells left out"))))


@lru_cache(maxsize=16)
def _gaps(book: Book) -> pd.DataFrame:
    """Say which required fields each of `deals(book)` lacks, how many are `required`, and how many `filled`.

    A field that no deal ever shows is not one that the source holds.
    """
    rows, stages = deals(book), book.stages
    blank = rows[[*REQUIRED_LABELS, *QUALIFIED_LABELS]].isna()
    for column in ("source", "product"):
        blank[column] = rows[column].eq(NOT_ASSIGNED).to_numpy(dtype=bool)
    blank = blank.loc[:, ~blank.all()]
    needed = blank | True
    qualified = rows["stage_id"].isin(stages.loc[stages["is_qualified"], "stage_id"])
    for column in needed.columns.intersection([*QUALIFIED_LABELS]):
        needed[column] = qualified
    lacks = blank & needed
    required = needed.sum(axis=1)
    return lacks.assign(required=required, filled=required - lacks.sum(axis=1))


@lru_cache(maxsize=16)
def _told_then(book: Book) -> bool:
    """Whether what was filled at the as-of instant is known: at the export, or from a history of the fields."""
    if book.as_of >= book.snapshot.extracted_at:
        return True
    return set(CHANGING) <= set(book.query("select distinct field from opportunity_history")["field"])


def _completeness(facts: Facts) -> Variants:
    gaps = _gaps(facts.book).loc[facts.open().index]
    fields = {column: say(label) for column, label in (REQUIRED_LABELS | QUALIFIED_LABELS).items()}
    blank = {words: int(gaps[column].sum()) for column, words in fields.items() if column in gaps}
    if not blank or not _told_then(facts.book):
        if blank:
            why = say("what was filled then is not known: amounts have no history")
        else:
            why = say("what was filled then is not known: no deal shows any field")
        unknown = Estimate.none(NO_DATA, len(gaps), why)
        yield from ((variant, unknown) for variant in ("fields filled", "complete deals"))
        return
    filled, required = gaps["filled"], gaps["required"]
    most = max(blank, key=blank.get)
    said = [say("most often blank: {field} ({n})", field=most, n=blank[most])] if blank[most] else []
    if len(blank) < len(fields):
        never = ", ".join(words for words in fields.values() if words not in blank)
        said.append(say("never filled, so left out: {fields}", fields=never))
    yield "fields filled", lambda: stats.ratio_of_sums(filled, required).noted(*said)
    yield "complete deals", stats.proportion(int((filled == required).sum()), len(gaps)).noted(*said)
