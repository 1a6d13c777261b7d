"""Leads: how many, how soon answered, how many reply, qualify and become customers."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

from salesops_lib import stats
from salesops_lib.book import Book
from salesops_lib.facts import Facts, so_far
from salesops_lib.kpis.lead_facts import (
    LEAD_DIMENSIONS,
    cohort,
    from_lead,
    lead_members,
    leads,
    tallied,
    won_within,
)
from salesops_lib.kpis.people_time import CLOSES, OPENS, days_gone
from salesops_lib.kpis.registry import Variants, kpi, refuse
from salesops_lib.language import mark, say
from salesops_lib.stats import NOT_DEFINED, Estimate

if TYPE_CHECKING:
    import pandas as pd

SLA_HOURS = 24  # a lead is to be answered by then
IN_TIME = f"within {SLA_HOURS} h"
REPLY_DAYS = 14
QUALIFY_DAYS = 30
QUALIFIED = f"within {QUALIFY_DAYS} days"
NOT_A_FIT = r"\bfit\b|no need|unqualified|wrong (?:size|segment|industry)"  # in a loss reason
OWNER = "owner of the lead as exported; lead owners have no history here"
WAITING = {"answered": mark("{n} not answered yet"), "replied": mark("{n} not replied yet")}
OF_LEADS = {"dimensions": LEAD_DIMENSIONS, "members": lead_members}


@kpi(
    "K04",
    name="Lead-to-customer rate",
    formula="leads with a deal won within a fixed time ÷ leads created",
    population="leads created in the period; merged, deleted and bulk-imported ones left out",
    attribution=OWNER,
    unit="share",
    direction="up",
    variants={
        "within fixed time": "won within twice the typical days from lead to win; one with several deals counts "
        "once, open ones are censored, lost and disqualified ones are over",
        "won so far": "won by the as-of instant ÷ leads created; low for young leads",
        "deals without lead": "won deals of the period without a lead ÷ won deals; credited to the deal's owner",
    },
    needs=("leads", "opportunities"),
    interval="Aalen–Johansen; Wilson",
    least=30,
    source="kpis.md K04",
    **OF_LEADS,
)
def lead_to_customer(facts: Facts) -> Variants:
    """Divide leads that became customers by leads created."""
    rows, said = cohort(facts)
    yield "within fixed time", lambda: won_within(facts, rows).noted(said)
    yield "won so far", stats.proportion(int(rows["won"].notna().sum()), len(rows)).noted(said)
    found = from_lead(facts.book)[facts.won().index]
    yield "deals without lead", stats.proportion(int((~found).sum()), len(found))


@kpi(
    "K20",
    name="Lead response time",
    formula="first outbound activity by a person − lead created",
    population="leads created in the period; calls, e-mails and meetings on the lead or the deal it became",
    attribution=f"{OWNER}; the clock runs from creation, whoever owned it then",
    unit="hours",
    direction="down",
    variants={
        "median": "time by which half are answered; those without an answer yet censored",
        "p90": "time by which nine in ten are answered",
        "business hours": f"median in hours from {OPENS} to {CLOSES} on working days of the company",
        IN_TIME: f"answered {IN_TIME} ÷ leads created at least {SLA_HOURS} h before the as-of instant",
    },
    needs=("leads", "activities"),
    interval="Kaplan–Meier, Brookmeyer–Crowley; Wilson",
    least=10,
    source="kpis.md K20",
    units={IN_TIME: "share"},
    **OF_LEADS,
)
def response_time(facts: Facts) -> Variants:
    """Measure the hours until a person answers a lead."""
    if not leads(facts.book)["is_answered"].any():
        yield from refuse("K20", Estimate.untold(mark("outbound activity on a lead")))
        return
    rows, said = cohort(facts)
    dated, early = rows["is_dated"], (rows["wait"] < 0) & ~rows["is_dated"]
    rows = rows[~dated & ~early]
    said = tallied(
        said,
        (int(early.sum()), mark("{n} touched before they were created left out")),
        (int(dated.sum()), mark("{n} created on a day without a time left out")),
    )
    answered = rows["is_answered"]
    yield "median", partial(_until, rows["wait"], answered, 0.5, "answered", said)
    yield "p90", partial(_until, rows["wait"], answered, 0.9, "answered", said)
    yield "business hours", partial(_until, rows["business_wait"], answered, 0.5, "answered", said)
    due = rows["seen"] * 24 >= SLA_HOURS
    in_time = due & answered & (rows["wait"] <= SLA_HOURS)
    young = tallied(said, (int((~due).sum()), mark("{n} younger than {hours} h left out")), hours=SLA_HOURS)
    yield IN_TIME, stats.proportion(int(in_time.sum()), int(due.sum())).noted(young)


@kpi(
    "K21",
    name="Prospect response time",
    formula="first inbound reply − first outreach",
    population="leads first reached out to in the period, by a person or a sequence; any reply of a person "
    "counts; a call picked up is none",
    attribution=OWNER,
    unit="hours",
    direction="down",
    variants={
        "median": "time by which half have replied; the others censored, those only marked as replied to at that "
        "message",
        "reply rate": f"replied, or sent a message marked as replied to, within {REPLY_DAYS} days ÷ leads reached "
        "out to at least so long before the as-of instant",
    },
    needs=("leads", "activities"),
    interval="Kaplan–Meier, Brookmeyer–Crowley; Wilson",
    least=10,
    source="kpis.md K21",
    units={"reply rate": "share"},
    **OF_LEADS,
)
def reply_time(facts: Facts) -> Variants:
    """Measure the hours until a prospect replies."""
    if leads(facts.book)[["reply", "mark"]].isna().all(axis=None):
        yield from refuse("K21", Estimate.untold(mark("reply of a lead")))
        return
    rows, said = cohort(facts, "reached_day")
    reply, marked_at = rows["reply"], rows["mark"]
    only_marked = int((marked_at.notna() & reply.isna()).sum())
    unsure = tallied(said, (only_marked, mark("{n} marked as replied to without the reply")))
    waited = reply.fillna(marked_at).fillna(rows["watched"])
    yield "median", partial(_until, waited, reply.notna(), 0.5, "replied", unsure)
    due = rows["watched"] >= REPLY_DAYS * 24
    in_time = due & ((reply <= REPLY_DAYS * 24) | (marked_at <= REPLY_DAYS * 24))
    too_new = mark("{n} reached less than {days} days ago left out")
    young = tallied(said, (int((~due).sum()), too_new), days=REPLY_DAYS)
    yield "reply rate", stats.proportion(int(in_time.sum()), int(due.sum())).noted(young)


@kpi(
    "K22",
    name="Lead qualification rate",
    formula=f"leads qualified {QUALIFIED} ÷ leads created",
    population="leads created in the period; a converted lead counts as qualified",
    attribution=OWNER,
    unit="share",
    direction="up",
    variants={
        QUALIFIED: "qualified; undecided leads censored, disqualified ones are over",
        "disqualified": f"disqualified {QUALIFIED}, and not qualified before",
        "later win rate": "qualified leads with a deal won within twice the typical days from lead to win, "
        "counted from qualification ÷ qualified leads; open ones censored",
        "lost as no fit": "lost deals of the period from leads whose reason says that they did not fit ÷ those "
        "with a reason; credited to the deal's owner",
    },
    needs=("leads", "opportunities"),
    interval="Aalen–Johansen; Wilson",
    least=30,
    source="kpis.md K22",
    **OF_LEADS,
)
def qualification_rate(facts: Facts) -> Variants:
    """Divide leads that qualified by leads created."""
    everyone = leads(facts.book)
    if everyone["qualified"].isna().all():
        yield from refuse("K22", Estimate.untold(mark("qualified lead")))
        return
    rows, said = cohort(facts)
    good, bad, seen = rows["qualified"], rows["disqualified"], rows["seen"]
    yield QUALIFIED, lambda: stats.within(good, bad, seen, QUALIFY_DAYS).noted(said)
    if everyone["disqualified"].isna().all():
        yield "disqualified", Estimate.untold(mark("disqualified lead"))
    else:
        yield "disqualified", lambda: stats.within(bad.mask(good <= bad), good, seen, QUALIFY_DAYS).noted(said)
    yield "later win rate", lambda: won_within(facts, rows[good.notna()], good.dropna()).noted(said)
    yield "lost as no fit", partial(_no_fit, facts)


@kpi(
    "K24",
    name="Leads created",
    formula="count of leads created",
    population="leads created in the period; merged ones count once, as the survivor, deleted and bulk-imported "
    "ones not",
    attribution=OWNER,
    unit="count",
    direction="up",
    variants={
        "created": "in the period so far",
        "per working day": "÷ working days gone by, so that a running period compares with a full one",
    },
    needs=("leads",),
    interval="exact Poisson (Garwood)",
    source="kpis.md K24",
    units={"per working day": "per_day"},
    **OF_LEADS,
)
def leads_created(facts: Facts) -> Variants:
    """Count leads."""
    rows, said = cohort(facts)
    found = stats.count(len(rows)).noted(said)
    gone = len(days_gone(facts.book, facts.period))
    none = Estimate.none(NOT_DEFINED, 0, say("no working day of the period has gone by"))
    yield "created", found.noted(so_far(facts))
    yield "per working day", found.scaled(1 / gone) if gone else none


def _until(hours: pd.Series, ended: pd.Series, q: float, of: str, said: str) -> Estimate:
    waiting = tallied("", (int((~ended).sum()), WAITING[of]))
    return stats.survival_quantile(hours, ended, q, of=of).noted(waiting, said)


@lru_cache(maxsize=16)
def _misfits(book: Book) -> pd.Series:
    """Whether the loss reason of each of `deals(book)` says that it did not fit; empty where it has none."""
    return book.table("opportunities", ["loss_reason"])["loss_reason"].str.contains(NOT_A_FIT, case=False)


def _no_fit(facts: Facts) -> Estimate:
    """Divide lost deals that did not fit by those with a reason; where none ever says so nobody can tell."""
    told = _misfits(facts.book)
    if not told.any():
        return Estimate.untold(mark("deal lost because it did not fit"))
    closed = facts.closed()
    lost = closed.index[closed["is_lost"] & from_lead(facts.book)[closed.index]]
    reasons = told[lost].dropna()
    blank = tallied("", (len(lost) - len(reasons), mark("{n} without a reason left out")))
    return stats.proportion(int(reasons.sum()), len(reasons)).noted(blank)
