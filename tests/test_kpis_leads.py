"""Leads and activities on hand-made companies whose answers fit in the head, and on the sample company.

The quarter is the first of 2026, UTC, without holidays: 64 working days. Ann works all of them, Bob half of each,
Cat full time from 15 February: 64 + 32 + 32 working days, 160 by the head.
"""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from salesops_lib import kpis
from salesops_lib.errors import ParameterError
from salesops_lib.facts import resolve_period
from salesops_lib.kpis.distribution import base_rates
from salesops_lib.kpis.lead_facts import leads as lead_rows
from salesops_lib.kpis.people_time import business_hours, fresh_hours, sellers
from salesops_lib.kpis.registry import REGISTRY, Kpi
from salesops_lib.periods import FiscalCalendar
from salesops_lib.tables import conform
from tests.test_kpis import make_book, make_tables, value

NEW = [f"K{n:02}" for n in (4, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 38, 39)]
LEAD_KPIS = [f"K{n:02}" for n in (4, 20, 21, 22, 24, 38, 39)]
DAYS, HEADS = 64 + 32 + 32, 64 + 64 + 32
START = pd.Timestamp("2026-01-05T10:00", tz="UTC")  # a Monday


def at(day: float) -> pd.Timestamp:
    """So many days after the start; 0.25 is 16:00."""
    return START + pd.Timedelta(days=day)


def leads(*rows):
    base = {"created_at": START, "owner_id": "ann", "source": "web", "segment": "SMB", "is_deleted": False}
    named = [base | {"lead_id": f"lead{k}"} | row for k, row in enumerate(rows)]
    return conform(pd.DataFrame(named), "leads")


def acts(*rows):
    base = {"type": "call", "direction": "out", "user_id": "ann", "is_automated": False, "is_external": True,
            "is_first_meeting": False, "started_at": START}  # fmt: skip
    return conform(
        pd.DataFrame([base | {"activity_id": f"a{k}"} | row for k, row in enumerate(rows)]), "activities"
    )


def deal_rows(*rows):
    """Deals beside those of `make_tables`, open unless `days` after the start says when they closed."""
    base = {
        "owner_id": "ann", "pipeline_id": "p", "stage_id": "demo", "amount": Decimal(100), "currency": "EUR",
        "type": "new", "created_at": START, "is_deleted": False, "is_closed": False, "is_won": False,
    }  # fmt: skip
    named = []
    for k, row in enumerate(rows):
        row = base | {"opportunity_id": f"d{k}"} | row
        if (days := row.pop("days", None)) is not None:
            ended = at(days)
            row |= {"is_closed": True, "closed_at": ended, "close_date": ended.date(), "owner_at_close_id": "ann",
                    "stage_id": "won" if row["is_won"] else "lost"}  # fmt: skip
        named.append(row)
    more = conform(pd.DataFrame(named), "opportunities")
    return pd.concat([make_tables()["opportunities"], more], ignore_index=True)


def shown(book, kpi_id, variant, **where):
    """One row of the frame."""
    frame = kpis.compute(book, kpi_id, where.pop("period", "quarter"), by=where.get("by"), variants=[variant])
    frame = frame[frame["segment"].eq(where.get("segment", "company"))]
    assert len(frame) == 1
    return frame.iloc[0]


# -- the registry --------------------------------------------------------------------------------------


def test_a_variant_may_have_its_own_unit(tmp_path):
    told = kpis.catalogue().set_index(["kpi_id", "variant"])["unit"]
    assert (told["K20", "median"], told["K20", "within 24 h"], told["K16", "total"]) == ("hours", "share", "hours")
    assert told["K03"].eq("share").all()
    book = make_book(tmp_path, leads=leads({}), activities=acts({"lead_id": "lead0", "started_at": at(0.1)}))
    frame = kpis.compute(book, "K20").set_index("variant")["unit"]
    assert frame.to_dict() == {
        "median": "hours",
        "p90": "hours",
        "business hours": "hours",
        "within 24 h": "share",
    }


@pytest.mark.parametrize("units", [{"total": "hour"}, {"totals": "hours"}])
def test_a_wrong_unit_or_variant_of_one_is_refused(units):
    entry = REGISTRY["K16"]
    with pytest.raises(ParameterError, match="Did you mean"):
        Kpi(**{**vars(entry), "units": units})


def test_what_makes_no_sense_by_a_dimension_is_not_defined(book):
    for by in ("region", "product", "type"):
        frame = kpis.compute(book, NEW, by=by)
        frame = frame[~frame["kpi_id"].eq("K23") & ~frame["variant"].isin(["fields filled", "complete deals"])]
        assert set(frame["status"]) == {"not defined"}
    assert shown(book, "K24", "created", by="region", segment="France")["note"] == (
        "by rep, team, segment, source only, not by region"
    )
    assert "does not belong to a segment" in shown(book, "K17", "leads", by="segment", segment="SMB")["note"]


def test_people_without_a_deal_are_there_for_what_they_do_and_nowhere_else(book):
    """The four who work on leads carry no quota and own no deal."""
    listed = kpis.compute(book, ["K26", "K24", "K15"], by="rep", variants="default").groupby("kpi_id")["segment"]
    people = {kpi_id: set(found) for kpi_id, found in listed}
    sdrs = {f"sample:u0{n}" for n in (30, 31, 32, 33)}
    assert not sdrs & people["K26"]
    assert sdrs <= people["K24"]
    assert people["K15"] == people["K26"] | sdrs


def test_a_source_without_leads_or_activities_has_none_of_it(tmp_path):
    frame = kpis.compute(make_book(tmp_path), NEW)
    entries = frame["variant"].isin(["fields filled", "complete deals"])
    assert frame.loc[entries, "note"].str.contains("never filled, so left out: company, source").all()
    frame = frame[~entries]
    assert set(frame["status"]) == {"no data"}
    notes = frame.groupby("kpi_id")["note"].first()
    assert notes[LEAD_KPIS].str.startswith("the source has no leads").all()
    assert notes[["K15", "K16", "K18", "K19"]].eq("the source has no activities").all()
    assert notes["K20"] == "the source has no leads and no activities"


# -- leads: counts, duplicates, imports ----------------------------------------------------------------


def test_leads_count_once_whatever_was_merged_or_deleted(tmp_path):
    rows = leads(
        {}, {"lead_id": "kept", "owner_id": "bob", "source": None}, {"merged_into_id": "kept"},
        {"is_deleted": True},
        {"created_at": at(-3.5)}, {"created_at": at(-4.5)},  # 22:00 of New Year's Day, and of New Year's Eve
    )  # fmt: skip
    book = make_book(tmp_path, leads=rows)
    assert value(book, "K24") == 3
    assert value(book, "K24", field="note") == "2 merged or deleted left out"
    assert value(book, "K24", "per working day") == pytest.approx(3 / 64)
    assert value(book, "K24", segment="bob", by="rep") == 1
    assert value(book, "K24", segment="cat", by="rep") == 0
    assert value(book, "K24", segment="not assigned", by="source") == 1
    assert value(book, "K24", period="month") == 0
    low, high = (value(book, "K24", field=field) for field in ("low", "high"))
    assert (low, high) == pytest.approx((chi2.ppf(0.025, 6) / 2, chi2.ppf(0.975, 8) / 2))


def test_a_lead_belongs_to_the_business_day_of_the_company(tmp_path):
    """23:30 UTC on 31 December is the first of January in Berlin."""
    late = leads({"created_at": pd.Timestamp("2025-12-31T23:30", tz="UTC")})
    book = make_book(tmp_path, as_of="2026-03-30", leads=late)
    assert value(book, "K24") == 0
    berlin = FiscalCalendar(timezone="Europe/Berlin")
    assert value(type(book)(book.snapshot, book.as_of, book.company, berlin), "K24") == 1


def test_a_running_period_is_divided_by_the_days_gone(tmp_path):
    book = make_book(tmp_path, as_of="2026-01-09", leads=leads(*[{}] * 14))
    assert value(book, "K24", "per working day") == 14 / 7
    assert "period not over: 11%" in value(book, "K24", field="note")
    before = make_book(tmp_path / "w", as_of="2026-02-01", leads=leads({}))  # a Sunday
    assert shown(before, "K24", "per working day", period="month")["status"] == "not defined"


def test_trap_46_a_bulk_import_is_neither_created_nor_answered(tmp_path):
    """Fifty-one in one minute are a list; fifty are not, nor are a hundred that only have a day."""
    moment = [{"created_at": at(7) + pd.Timedelta(seconds=k)} for k in range(51)]
    midnight = [{"created_at": pd.Timestamp("2026-01-20", tz="UTC")}] * 100
    book = make_book(tmp_path, leads=leads(*moment, *[{"created_at": at(8)}] * 50, *midnight),
                     activities=acts({"lead_id": "lead0", "started_at": at(7.1)}))  # fmt: skip
    assert value(book, "K24") == 150
    assert "51 imported in bulk left out" in value(book, "K24", field="note")
    assert "51 imported in bulk left out; 100 created on a day without a time" in value(book, "K20", field="note")
    assert value(book, "K20", "within 24 h", field="n") == 50
    assert value(book, "K17", "leads") == pytest.approx(150 / DAYS)


# -- leads: customers and qualification ----------------------------------------------------------------

WINS = [{"days": 10, "is_won": True, "lead_id": f"lead{k}"} for k in range(30)]
SLOW = [{"days": 25, "is_won": True, "lead_id": f"lead{k}"} for k in range(30, 35)]
LOST = [{"days": 15, "lead_id": f"lead{k}"} for k in range(35, 40)]


@pytest.fixture(scope="module")
def funnel(tmp_path_factory):
    """Fifty leads: 30 won after ten days, five after 25, five lost after 15, ten disqualified after four."""
    again = {"days": 12, "is_won": True, "lead_id": "lead0"}  # a second deal of the first lead
    reasons = ["Not a good fit for us", "price", None, "no need", "price"]
    lost = [row | {"loss_reason": reason} for row, reason in zip(LOST, reasons, strict=True)]
    rows = [{"qualified_at": at(5)}] * 40 + [{"disqualified_at": at(4)}] * 10
    rows[1] = {"converted_at": at(40)}  # converted is qualified, though late
    rows[2] = rows[2] | {"disqualified_at": at(10)}  # qualified before that
    return make_book(
        tmp_path_factory.mktemp("funnel"),
        leads=leads(*rows),
        opportunities=deal_rows(*WINS, *SLOW, *lost, again),
    )


def test_lead_to_customer_rate_counts_leads_and_not_deals(funnel):
    """Typical are ten days, so wins within twenty count: those after 25 do not, nor does a second deal."""
    found = shown(funnel, "K04", "within fixed time")
    assert (found["value"], found["n"], found["note"]) == (pytest.approx(30 / 50), 50, "within 20 days")
    assert value(funnel, "K04", "won so far") == 35 / 50


def test_deals_without_a_lead_stand_apart(funnel):
    """Three of the quarter's other deals were won: 36 came from leads."""
    assert value(funnel, "K04", "deals without lead") == 3 / 39
    assert value(funnel, "K04", "deals without lead", field="n") == 39


def test_qualification_rate_and_quality(funnel):
    assert value(funnel, "K22") == pytest.approx(39 / 50)  # one converted after forty days
    assert value(funnel, "K22", "disqualified") == pytest.approx(10 / 50)
    # forty qualified: after five days thirty-five of them were won within twenty more, one at 25 days too
    assert value(funnel, "K22", "later win rate") == pytest.approx(35 / 40)
    assert value(funnel, "K22", "lost as no fit") == 2 / 4
    assert "1 without a reason left out" in value(funnel, "K22", "lost as no fit", field="note")


def test_leads_too_young_are_censored_and_not_counted_as_failed(tmp_path):
    """Fifteen of thirty qualify after twenty days; thirty more are ten days old and may yet."""
    book = make_book(tmp_path, leads=leads(
        *[{"qualified_at": at(20)}] * 15, *[{}] * 15, *[{"created_at": pd.Timestamp("2026-03-21T20:00Z")}] * 30
    ))  # fmt: skip
    assert value(book, "K22") == pytest.approx(15 / 30)
    assert value(book, "K22", field="n") == 60
    assert value(book, "K22", "disqualified", field="status") == "no data"
    assert value(book, "K22", "later win rate", field="note") == "needs 30 leads won so far, has 0"


def test_a_disqualified_lead_with_an_open_deal_may_still_be_won(tmp_path):
    """Fifteen of thirty are won after 18 days; thirty more are fifteen days old and back at work."""
    young = {"created_at": pd.Timestamp("2026-03-16T20:00Z"), "source": "fresh",
             "disqualified_at": pd.Timestamp("2026-03-20T20:00Z")}  # fmt: skip
    rows = [{}] * 30 + [{"source": "fresh", "created_at": at(1)}] * 30 + [young] * 30
    deals = [{"lead_id": f"lead{k}", "days": 10, "is_won": True} for k in range(30)]
    deals += [{"lead_id": f"lead{k}", "days": 19, "is_won": True} for k in range(30, 45)]
    deals += [{"lead_id": f"lead{k}"} for k in range(60, 90)]
    book = make_book(tmp_path, leads=leads(*rows), opportunities=deal_rows(*deals))
    found = shown(book, "K04", "within fixed time", by="source", segment="fresh")
    assert (found["value"], found["note"]) == (pytest.approx(15 / 30), "within 20 days")


def test_few_followed_leads_give_no_rate(tmp_path):
    book = make_book(tmp_path, leads=leads(*[{"qualified_at": at(1)}] * 29))
    assert value(book, "K22", field="status") == "too few"
    assert "needs 30 cases followed for 30 days or closed before, has 29" in value(book, "K22", field="note")


def test_a_source_that_never_qualifies_a_lead_is_no_data_and_not_zero(tmp_path):
    frame = kpis.compute(make_book(tmp_path, leads=leads(*[{}] * 40)), "K22")
    assert set(frame["status"]) == {"no data"}
    assert set(frame["note"]) == {"the source tells of no qualified lead"}


def test_a_merged_lead_hands_its_deals_and_answers_to_the_survivor(tmp_path):
    rows = leads({"lead_id": "kept"}, {"lead_id": "gone", "merged_into_id": "middle"},
                 {"lead_id": "middle", "merged_into_id": "kept"})  # fmt: skip
    book = make_book(
        tmp_path, leads=rows, opportunities=deal_rows({"days": 3, "is_won": True, "lead_id": "gone"}),
        activities=acts({"lead_id": "gone", "started_at": at(0.5)}),
    )  # fmt: skip
    assert value(book, "K04", "won so far") == 1
    assert value(book, "K20", "within 24 h") == 1
    assert value(book, "K24") == 1


# -- leads: answers and replies ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inbox(tmp_path_factory):
    """Leads of several sources, each a Monday of its own at 10:00, answered after so many hours."""
    rows, touches = [], []

    def come(source, created, answers, unanswered=0):
        for k in range(len(answers) + unanswered):
            rows.append({"lead_id": f"{source}{k}", "source": source, "created_at": created})
        for k, hours in enumerate(answers):
            touches.append({"lead_id": f"{source}{k}", "started_at": created + pd.Timedelta(hours=hours)})

    come("half", at(0), range(1, 13), 8)
    come("most", at(7), range(1, 20), 1)
    come("weekend", at(18.25), [66] * 12)  # Friday 16:00
    come("sound", at(21), [2] * 12)
    come("sound early", at(22), [-24])
    come("sound day", pd.Timestamp("2026-01-07", tz="UTC"), [30])
    come("young", at(70), [1, 2, 30], 1)
    come("young still", pd.Timestamp("2026-03-31T19:00Z"), [], 1)
    for row in rows:
        row["source"] = row["source"].split()[0]
    return make_book(tmp_path_factory.mktemp("inbox"), leads=leads(*rows), activities=acts(*touches))


def test_response_time_keeps_the_unanswered_in(inbox):
    """Of twenty leads twelve are answered after 1 to 12 hours: half are after eleven, not after six and a half."""
    where = {"by": "source", "segment": "half"}
    found = shown(inbox, "K20", "median", **where)
    assert (found["value"], found["n"], found["note"]) == (11, 20, "8 not answered yet")
    late = shown(inbox, "K20", "p90", **where)
    assert (late["status"], late["note"].split(";")[0]) == (
        "too few", "90% of the cases answered is not reached yet",
    )  # fmt: skip
    assert shown(inbox, "K20", "within 24 h", **where)["value"] == 12 / 20


def test_the_ninetieth_percentile_where_it_is_reached(inbox):
    """Eighteen of twenty are not more than nine in ten."""
    assert shown(inbox, "K20", "p90", by="source", segment="most")["value"] == 19


def test_business_hours_skip_the_night_and_the_weekend(inbox):
    """Created Friday 16:00, answered Monday 10:00: 66 hours by the clock, two of the office."""
    found = {v: shown(inbox, "K20", v, by="source", segment="weekend")["value"] for v in REGISTRY["K20"].variants}
    assert found == {"median": 66, "p90": 66, "business hours": 2, "within 24 h": 0}


def test_what_cannot_be_timed_is_left_out_and_counted(inbox):
    found = shown(inbox, "K20", "median", by="source", segment="sound")
    assert (found["value"], found["low"], found["high"], found["n"]) == (2, 2, 2, 12)
    assert "1 touched before they were created left out" in found["note"]
    assert "1 created on a day without a time left out" in found["note"]


def test_a_lead_of_an_hour_ago_is_not_late(inbox):
    found = shown(inbox, "K20", "within 24 h", by="source", segment="young")
    assert (found["value"], found["n"], found["note"]) == (2 / 4, 4, "1 younger than 24 h left out")


def test_only_a_person_reaching_out_stops_the_clock(tmp_path):
    """Trap 41: a sequence, a cancelled meeting, an internal note and the prospect's own call answer nobody."""
    early = {"lead_id": "lead0", "started_at": at(0.01)}
    noise = [early | cells for cells in (
        {"type": "email", "is_automated": True}, {"type": "meeting", "outcome": "cancelled"}, {"type": "note"},
        {"direction": "in"}, {"direction": None},
    )]  # fmt: skip
    only = make_book(tmp_path / "a", leads=leads({}), activities=acts(*noise))
    assert set(kpis.compute(only, "K20")["status"]) == {"no data"}
    book = make_book(tmp_path / "b", leads=leads({}), activities=acts(*noise, early | {"started_at": at(2)}))
    assert lead_rows(book)["wait"].tolist() == [48]
    assert value(book, "K20", "within 24 h") == 0


def test_trap_44_and_45_the_clock_runs_from_creation_to_the_first_touch(tmp_path):
    """Neither the day of conversion nor the owner who came later matters; a touch on the deal counts."""
    rows = leads({"converted_at": at(0.6).normalize(), "opportunity_id": "d0", "owner_id": "cat"})
    touches = [{"opportunity_id": "d0", "user_id": "bob", "started_at": at(0.5)},
               {"lead_id": "lead0", "user_id": "cat", "started_at": at(3)}]  # fmt: skip
    book = make_book(tmp_path, leads=rows, opportunities=deal_rows({}), activities=acts(*touches))
    assert lead_rows(book)["wait"].tolist() == [12]
    assert value(book, "K20", "within 24 h", segment="cat", by="rep") == 1


def answered(hours):
    return [{"lead_id": f"lead{k}", "started_at": at(h / 24)} for k, h in enumerate(hours)]


def reply(k, hours, **more):
    return {"lead_id": f"lead{k}", "type": "email", "direction": "in", "started_at": at(hours / 24)} | more


def test_prospects_reply_from_the_first_outreach_on(tmp_path):
    """Outreach by a sequence after two hours; of twenty prospects eleven reply 3 to 13 hours later."""
    out = [{"type": "email", "is_automated": True, "outcome": "sent"} | row for row in answered([2] * 20)]
    replies = [reply(k, 2 + 3 + k) for k in range(11)]
    noise = [reply(11, 1), reply(12, 4, is_automated=True)]  # the enquiry itself, an out-of-office
    marked = [{"lead_id": "lead13", "type": "email", "outcome": "replied", "started_at": at(5 / 24)}]
    late = [reply(14, 24 * 20), {"lead_id": "new", "started_at": at(75)}, reply(0, 24 * 76, lead_id="new")]
    rows = leads(*[{}] * 20, {"lead_id": "new", "created_at": at(74), "source": "new"})
    book = make_book(tmp_path, leads=rows, activities=acts(*out, *replies, *noise, *marked, *late))
    where = {"by": "source", "segment": "web"}
    found = shown(book, "K21", "median", **where)
    assert found["n"] == 20
    assert found["note"] == "8 not replied yet; 1 marked as replied to without the reply"
    # one is censored three hours in, as the first replies: nineteen are left after that, and one less each hour
    left = np.cumprod([19 / 20, *(1 - 1 / n for n in range(18, 8, -1))])
    assert found["value"] == 3 + int(np.flatnonzero(left < 0.5)[0])
    assert shown(book, "K21", "reply rate", **where)["value"] == 12 / 20  # the mark counts, after 20 days does not
    young = shown(book, "K21", "reply rate")
    assert (young["n"], young["note"]) == (20, "1 reached less than 14 days ago left out")
    assert shown(book, "K21", "median", by="source", segment="new")["status"] == "too few"


def test_a_lead_is_reached_in_the_period_whenever_it_came(tmp_path):
    book = make_book(tmp_path, leads=leads({"created_at": at(-20)}), activities=acts(*answered([1]), reply(0, 30)))
    assert value(book, "K24") == 0
    assert value(book, "K21", "reply rate") == 1


def test_without_any_reply_nobody_can_tell(tmp_path):
    book = make_book(tmp_path, leads=leads(*[{}] * 20), activities=acts(*answered([1] * 20)))
    assert set(kpis.compute(book, "K21")["note"]) == {"the source tells of no reply of a lead"}


BERLIN = FiscalCalendar(timezone="Europe/Berlin", holiday_country="DE")


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2026-03-27T15:00Z", "2026-03-30T08:00Z", 2),  # clocks go forward in between: 16:00 to 10:00
        ("2026-04-02T14:00Z", "2026-04-07T08:00Z", 2),  # Easter
        ("2026-03-28T10:00Z", "2026-03-29T10:00Z", 0),  # a weekend
        ("2025-12-30T10:00Z", "2026-01-02T10:00Z", 16),  # New Year is no working day
    ],
)
def test_business_hours_of_a_company(start, end, hours):
    start, end = (pd.Series(pd.to_datetime([stamp], utc=True)) for stamp in (start, end))
    assert business_hours(BERLIN, start, end).tolist() == [hours]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 20 * 24 * 60), st.integers(0, 6 * 24 * 60))
def test_business_hours_agree_with_a_grid_of_minutes(offset, length):
    start = pd.Timestamp("2026-03-20", tz="UTC") + pd.Timedelta(minutes=offset)
    end = start + pd.Timedelta(minutes=length)
    grid = pd.DatetimeIndex(start + pd.to_timedelta(np.arange(length), unit="min")).tz_convert("Europe/Berlin")
    is_open = (grid.hour >= 9) & (grid.hour < 17) & np.array([BERLIN.is_working_day(m.date()) for m in grid], bool)
    assert business_hours(BERLIN, pd.Series([start]), pd.Series([end]))[0] == pytest.approx(is_open.sum() / 60)


# -- activities ----------------------------------------------------------------------------------------


def test_outbound_rate_divides_by_working_days_times_full_time_share(tmp_path):
    book = make_book(tmp_path, activities=acts(
        *[{"outcome": "connected"}] * 3, *[{"outcome": "no_answer", "user_id": "bob"}] * 5, {"direction": "in"},
        {"direction": None}, {"user_id": "zoe"}, {"user_id": None},
        *[{"type": "email"}] * 2, *[{"type": "email", "is_automated": True}] * 7,
    ))  # fmt: skip
    assert value(book, "K15") == 8 / DAYS
    assert value(book, "K15", field="n") == 8
    assert value(book, "K15", field="high") == pytest.approx(chi2.ppf(0.975, 18) / 2 / DAYS)
    assert value(book, "K15", field="note") == "2 by nobody who sells left out; 1 without a direction left out"
    assert value(book, "K15", "connected calls") == 3 / DAYS
    assert value(book, "K15", "e-mails") == 2 / DAYS
    assert value(book, "K15", "automated e-mails") == 7 / DAYS
    assert value(book, "K15", segment="bob", by="rep") == 5 / 32
    assert value(book, "K15", segment="cat", by="rep") == 0
    assert value(book, "K15", segment="t", by="team") == 8 / DAYS


def test_working_days_are_those_a_person_was_there_and_that_have_gone_by(tmp_path):
    users = make_tables()["users"]
    users["role"] = ["ae", "ae", "ops"]
    users["is_quota_carrying"] = [True, False, False]
    users.loc[0, "end_date"] = pd.Timestamp("2026-01-14")  # the tenth working day
    calls = acts({"started_at": at(3)}, {"started_at": at(30)}, {"user_id": "cat", "started_at": at(50)})
    book = make_book(tmp_path, users=users, activities=calls)
    days = sellers(book, resolve_period(book, "quarter")).set_index("rep")["days"]
    assert days.to_dict() == {"ann": 10, "bob": 32}
    assert value(book, "K15") == 1 / 42  # one call after she left, one by somebody who does not sell
    assert value(book, "K15", segment="ann", by="rep") == 1 / 10
    early = type(book)(book.snapshot, book.calendar.instant("2026-01-09"), book.company, book.calendar)
    assert value(early, "K15", segment="ann", by="rep") == 1 / 7
    left = users.assign(end_date=pd.NaT, is_active=[False, True, True])
    unsure = make_book(tmp_path / "u", users=left, activities=calls, leads=leads(*[{}] * 10))
    assert "1 not active, with no last day, count as there" in value(unsure, "K15", field="note")
    assert "1 not active, with no last day, count as there" in value(unsure, "K38", field="note")
    nobody = users.assign(role="ops", is_quota_carrying=False)
    none = make_book(tmp_path / "w", users=nobody, activities=calls)
    assert "nobody who sells had a working day in this period" in value(none, "K15", field="note")
    assert value(none, "K15", "days with an entry", field="status") == "not defined"


def test_coverage_is_the_days_on_which_somebody_logged_anything(tmp_path):
    """Ann on two days, Bob on one of them; a Saturday is no working day, a sequence is nobody."""
    book = make_book(tmp_path, activities=acts(
        {}, {"started_at": at(0.1)}, {"started_at": at(1)}, {"user_id": "bob", "type": "note"},
        {"started_at": at(5)},
        {"user_id": "bob", "started_at": at(2), "type": "email", "is_automated": True},
    ))  # fmt: skip
    assert value(book, "K15", "days with an entry") == 3 / HEADS
    assert value(book, "K15", "days with an entry", segment="bob", by="rep") == 1 / 64


def test_trap_42_a_log_that_begins_late_is_said(tmp_path):
    book = make_book(tmp_path, activities=acts({"started_at": at(28)}))
    for kpi_id, variant in (("K15", "calls"), ("K15", "days with an entry")):
        assert value(book, kpi_id, variant, field="note") == "nothing logged before 02 Feb 2026"


def test_what_a_source_never_tells_is_no_data_and_not_zero(tmp_path):
    book = make_book(tmp_path, activities=acts({"type": "email"}, {"type": "task"}))
    frame = kpis.compute(book, ["K15", "K16", "K18", "K19"]).set_index(["kpi_id", "variant"])
    told = frame.index[frame["status"].eq("ok")].tolist()
    assert told == [("K15", "e-mails"), ("K15", "days with an entry")]
    assert frame.loc[("K15", "automated e-mails"), "note"] == "the source tells of no outbound automated e-mails"
    assert set(frame.loc[frame["status"].ne("ok"), "status"]) == {"no data"}


def call(start, minutes, **more):
    """A connected call so many minutes after the start."""
    begun = START + pd.Timedelta(minutes=start)
    return {"outcome": "connected", "started_at": begun, "duration_s": minutes * 60} | more


def test_trap_43_talk_time_counts_overlaps_once(tmp_path):
    """10:00 to 10:30, 10:20 to 10:40 and 10:25 to 10:26 make forty minutes; Bob's own ten are his."""
    book = make_book(tmp_path, activities=acts(
        call(0, 30), call(20, 20), call(25, 1), call(0, 10, user_id="bob"), call(100, 60, outcome="voicemail"),
        call(600, 5, direction="in"),
    ))  # fmt: skip
    assert value(book, "K16", "total") == pytest.approx(55 / 60)
    assert value(book, "K16") == pytest.approx(55 / DAYS)
    assert value(book, "K16", segment="ann", by="rep") == pytest.approx(45 / 64)
    assert value(book, "K16", field="n") == 5
    assert value(book, "K16", "per call", field="status") == "too few"
    assert value(book, "K16", "total", segment="cat", by="rep", field="note") == "none in this period"


def test_the_length_of_a_call_is_its_own_where_calls_are_compared(tmp_path):
    book = make_book(tmp_path, activities=acts(*(call(0, minutes) for minutes in (1, 2, 3, 5, 8, 13))))
    assert value(book, "K16", "per call") == 4
    assert value(book, "K16", "total") == pytest.approx(13 / 60)


def test_trap_38_calls_without_a_plausible_length_are_left_out_and_counted(tmp_path):
    """Milliseconds taken for seconds, no length at all; where only an end is told it serves."""
    ended = call(60, 0) | {"duration_s": None, "ended_at": START + pd.Timedelta(minutes=70)}
    book = make_book(tmp_path, activities=acts(
        call(0, 12_000), call(30, 0, duration_s=None), ended, call(90, 240), {"outcome": None}
    ))  # fmt: skip
    assert value(book, "K16", "total") == pytest.approx(250 / 60)
    note = value(book, "K16", field="note")
    assert note == "2 without a plausible length left out; 1 without a result left out"


SPANS = st.lists(
    st.tuples(st.sampled_from(["ann", "bob"]), st.integers(0, 300), st.integers(0, 120)), min_size=1, max_size=12
)


@settings(max_examples=60, deadline=None)
@given(SPANS)
def test_the_union_of_intervals_agrees_with_a_grid_of_minutes(spans):
    rows = pd.DataFrame(sorted(spans, key=lambda span: span[1]), columns=["person", "start", "minutes"])
    start = START + pd.to_timedelta(rows["start"], unit="min")
    fresh = fresh_hours(rows["person"], start, rows["minutes"] / 60).groupby(rows["person"]).sum() * 60
    for person, own in rows.groupby("person"):
        covered = {m for row in own.itertuples() for m in range(row.start, row.start + row.minutes)}
        assert fresh[person] == pytest.approx(len(covered), abs=1e-4)


def meeting(outcome="held", **more):
    return {"type": "meeting", "outcome": outcome, "duration_s": 3600} | more


def test_meetings_by_what_became_of_them(tmp_path):
    book = make_book(tmp_path, activities=acts(
        *[meeting()] * 6, meeting(is_first_meeting=True), *[meeting("no_show")] * 2, *[meeting("cancelled")] * 3,
        meeting(None), meeting(is_external=False), meeting(user_id="zoe"),
    ))  # fmt: skip
    weeks = DAYS / 5
    assert value(book, "K18") == 7 / weeks
    assert (
        value(book, "K18", field="note") == "1 by nobody who sells left out; 1 without a result count as not held"
    )
    assert value(book, "K18", "booked") == 13 / weeks
    assert value(book, "K18", "no-show rate") == 2 / 9
    assert value(book, "K18", "first meetings") == 1 / weeks


def test_trap_40_a_group_event_is_one_meeting(tmp_path):
    """Three rows of one event with two people, one of whom did not come; the first row has no group of its own."""
    group = [meeting(activity_id="g"), meeting(group_id="g", user_id="bob"), meeting("no_show", group_id="g")]
    book = make_book(tmp_path, activities=acts(*group, meeting()))
    assert value(book, "K18", field="n") == 2
    assert value(book, "K18", "booked", field="n") == 2
    assert value(book, "K18", "no-show rate") == 0
    assert value(book, "K18", segment="bob", by="rep") == 1 / (32 / 5)


def test_selling_time_is_a_union_over_contracted_hours(tmp_path):
    """A held hour, half of it also on the phone, and a call of half an hour: 1.5 of 64 eight-hour days."""
    book = make_book(tmp_path, activities=acts(
        meeting(), call(30, 60), call(20, 10), meeting("no_show", started_at=at(1)),
        meeting(is_external=False, started_at=at(2)), meeting(duration_s=None, started_at=at(3)),
        meeting(duration_s=24 * 3600, started_at=at(4)),
    ))  # fmt: skip
    assert value(book, "K19", segment="ann", by="rep") == pytest.approx(1.5 / (64 * 8))
    assert value(book, "K19") == pytest.approx(1.5 / (DAYS * 8))
    assert value(book, "K19", field="note") == "2 without a plausible length left out"
    seen, rest = (shown(book, "K19", variant) for variant in ("observed", "unobserved"))
    assert rest["value"] == pytest.approx(1 - seen["value"])
    assert (rest["low"], rest["high"]) == pytest.approx((1 - seen["high"], 1 - seen["low"]))


def test_selling_time_says_where_only_calls_are_told(tmp_path):
    book = make_book(tmp_path, activities=acts(call(0, 48), meeting(None)))
    assert value(book, "K19") == pytest.approx(0.1 / DAYS)
    assert value(book, "K19", field="note") == "calls only, the source tells of no others"


# -- entries in the CRM --------------------------------------------------------------------------------


def changes(*rows):
    base = {"opportunity_id": "w1", "field": "amount", "changed_at": START, "is_bulk": False, "origin": "native",
            "changed_by": "ann", "new_value": "1.00"}  # fmt: skip
    return conform(pd.DataFrame([base | {"seq": k} | row for k, row in enumerate(rows)]), "opportunity_history")


def test_entries_are_counted_by_who_made_them_and_not_in_bulk(tmp_path):
    history = changes(*[{}] * 3, {"changed_by": "bob"}, *[{"is_bulk": True}] * 9, {"changed_by": "zoe"},
                      {"changed_by": None}, {"changed_at": at(-30)})  # fmt: skip
    rows = leads({}, {"owner_id": "bob"}, {"owner_id": "zoe"}, {"owner_id": None})
    book = make_book(tmp_path, leads=rows, opportunity_history=history)
    assert value(book, "K17", "deal changes") == 4 / DAYS
    assert value(book, "K17", "deal changes", field="note") == "2 by nobody who sells left out"
    assert value(book, "K17", "deal changes", segment="bob", by="rep") == 1 / 32
    assert value(book, "K17") == 2 / DAYS
    assert value(book, "K17", field="note") == "2 owned by nobody who sells left out"
    assert value(book, "K17", segment="bob", by="rep") == 1 / 32
    silent = make_book(tmp_path / "w", opportunity_history=changes({"changed_by": None}))
    assert value(silent, "K17", "deal changes", field="status") == "no data"
    assert value(silent, "K17", field="note") == "the source tells of no lead"


@pytest.fixture(scope="module")
def gappy(tmp_path_factory):
    """Two open deals of `make_tables` and three more: what each lacks of four fields, of six once qualified."""
    whole = {"account_id": "a", "lead_source": "web", "expected_close_date": "2026-06-01", "product_family": "P"}
    stages = make_tables()["stages"]
    early = stages.iloc[[0]].assign(stage_id="new", stage_name="new", stage_order=0, is_qualified=False)
    return make_book(
        tmp_path_factory.mktemp("gappy"),
        stages=pd.concat([early, stages], ignore_index=True),
        opportunities=deal_rows(
            whole | {"account_id": None, "amount": Decimal(0)},  # nothing is not zero, trap 47
            whole | {"stage_id": "new", "amount": None, "product_family": None},
            whole | {"owner_id": "bob", "product_family": None, "lead_source": None, "amount": None},
            whole,
        ),
    )


def test_completeness_asks_by_stage_for_what_is_needed(gappy):
    """Company and source lack in o1 and o2, o1 has no product, o2 no amount: six of twelve; then 1, 0, 3 and 0."""
    assert value(gappy, "K17", "fields filled") == pytest.approx((12 - 6 + 5 + 4 + 3 + 6) / (12 + 6 + 4 + 6 + 6))
    assert value(gappy, "K17", "fields filled", field="n") == 6
    assert value(gappy, "K17", "complete deals") == 2 / 6
    assert "most often blank: company (3)" in value(gappy, "K17", "complete deals", field="note")
    assert value(gappy, "K17", "complete deals", segment="bob", by="rep") == 0


def test_what_was_filled_at_an_earlier_day_is_known_from_a_history_only(gappy):
    early = type(gappy)(gappy.snapshot, gappy.calendar.instant("2026-03-10"), gappy.company, gappy.calendar)
    frame = kpis.compute(early, "K17", variants=["fields filled", "complete deals"])
    assert set(frame["status"]) == {"no data"}
    assert set(frame["note"]) == {"what was filled then is not known: amounts have no history"}


# -- demos and proposals -------------------------------------------------------------------------------


def moves(*rows):
    """Entries into stages: deal, stage, days after the start."""
    return changes(*({"opportunity_id": deal, "field": "stage", "new_value": stage, "changed_at": at(day)}
                     for deal, stage, day in rows))  # fmt: skip


def process(*names):
    """A stage table of open stages and won and lost."""
    rows = make_tables()["stages"]
    named = [rows.iloc[[0]].assign(stage_id=name, stage_name=name.title(), stage_order=k) for k, name in
             enumerate(names, start=1)]  # fmt: skip
    closed = rows.iloc[1:].assign(stage_order=[len(names) + 1, len(names) + 2])
    return pd.concat([*named, closed], ignore_index=True)


@pytest.fixture(scope="module")
def shows(tmp_path_factory):
    """Forty deals show on day 1: 20 propose on day 11, five skip to the last stage, five win, ten are lost.

    All but the last deal meet on day 2, that one only after its proposal; one deal proposes after 65 days.
    """
    deals, history, met = [], [], []
    for k in range(40):
        key = f"d{k}"
        steps = [("intro", 0), ("demo", 1)]
        steps += [("proposal", 11)] if k < 19 else [("proposal", 66)] if k == 19 else []
        steps += [("talks", 11)] if 20 <= k < 25 else [("won", 12)] if 25 <= k < 30 else []
        steps += [("lost", 5)] if k >= 30 else []
        ends = 12 if 25 <= k < 30 else 5 if k >= 30 else None
        deals.append({"opportunity_id": key, "stage_id": steps[-1][0]} | (
            {"days": ends, "is_won": ends == 12} if ends else {}))  # fmt: skip
        history += [(key, stage, day) for stage, day in steps]
        met.append(meeting(opportunity_id=key, started_at=at(2 if k else 12)))
    met += [meeting(opportunity_id="d5", started_at=at(0.5)), meeting("no_show", opportunity_id="d0")]
    return make_book(
        tmp_path_factory.mktemp("shows"), stages=process("intro", "demo", "proposal", "talks"),
        opportunities=deal_rows(*deals), opportunity_history=moves(*history), activities=acts(*met),
    )  # fmt: skip


def test_proposal_rate_counts_what_reached_or_passed_the_stage(shows):
    """Of forty in the demo stage nineteen, five and five did within sixty days; one proposed later."""
    assert value(shows, "K23", "demo stage") == pytest.approx(29 / 40)
    found = shown(shows, "K23", "held demo")
    assert (found["value"], found["n"]) == (pytest.approx(28 / 39), 39)
    assert found["note"] == "within 60 days; 1 met only after the proposal or the close left out"
    assert value(shows, "K23", "so far") == 29 / 39
    assert value(shows, "K23", "demo stage", segment="ann", by="rep") == pytest.approx(29 / 40)
    assert value(shows, "K23", "so far", period="month", field="status") == "not defined"


def test_without_a_demo_and_a_proposal_after_it_among_the_stages_there_is_no_rate(tmp_path):
    pipelines = [("intro", "talks"), ("demo", "talks"), ("proposal", "demo"), ("offer after demo",)]
    stages = pd.concat([process(*names).assign(pipeline_id=f"p{k}") for k, names in enumerate(pipelines)])
    frame = kpis.compute(make_book(tmp_path, stages=stages, opportunity_history=moves(("o1", "demo", 30))), "K23")
    assert set(frame["status"]) == {"no data"}
    assert frame["note"].str.contains("no open stage named like a demo").all()


def test_held_demos_need_meetings_and_stages_do_not(tmp_path):
    rows = [{"opportunity_id": f"d{k}", "stage_id": "quote"} for k in range(30)]
    history = moves(
        *[(f"d{k}", "presentation", 1) for k in range(30)], *[(f"d{k}", "quote", 9) for k in range(30)]
    )
    book = make_book(tmp_path, stages=process("presentation", "quote"), opportunities=deal_rows(*rows),
                     opportunity_history=history)  # fmt: skip
    frame = kpis.compute(book, "K23").set_index("variant")
    assert frame["status"].to_dict() == {"held demo": "no data", "so far": "no data", "demo stage": "ok"}
    assert frame.loc["demo stage", "value"] == 1


# -- who gets which leads, and what they are worth -----------------------------------------------------


def given_to(source="web", hour=0, **counts):
    """Leads by owner, from mid-February on, when all three are there."""
    owners = [owner for owner, n in counts.items() for _ in range(n)]
    return [{"owner_id": owner, "source": source, "created_at": at(42 + k % 5 + hour / 24)} for k, owner in
            enumerate(owners)]  # fmt: skip


@pytest.fixture(scope="module")
def lots(tmp_path_factory):
    """Ways to give leads to Ann, Bob and Cat, one a source."""
    first = [{"owner_id": owner, "source": "first"} for owner in ("ann", "ann", "bob")] * 10
    rows = [
        *given_to("fair", 1, ann=20, bob=10, cat=20),
        *given_to("equal", 2, ann=20, bob=20, cat=20),
        *given_to("skew", 3, ann=20, bob=16, cat=4),
        *given_to("few", 4, ann=7, bob=7),
        *given_to("none", 5, ann=7, bob=8, queue=1),
        *first, *given_to("first", 6, ann=8, bob=4, cat=8),
    ]  # fmt: skip
    return make_book(tmp_path_factory.mktemp("lots"), leads=leads(*rows))


def test_fairness_weighs_leads_by_who_was_there(lots):
    """Full time, half, full time: 20, 10 and 20 are fair; 20 each are not, as Bob works half days."""
    assert shown(lots, "K38", "leads", by="source", segment="fair")["value"] == pytest.approx(0)
    chi = (20 - 24) ** 2 / 24 * 2 + (20 - 12) ** 2 / 12
    found = shown(lots, "K38", "leads", by="source", segment="equal")
    assert found["value"] == pytest.approx(chi / 2)
    assert (found["low"], found["high"]) == pytest.approx((chi / chi2.ppf(0.975, 2), chi / chi2.ppf(0.025, 2)))
    assert found["note"] == f"3 people; chance alone is as uneven in {chi2.sf(chi, 2):.2g} of cases"


def test_nobody_is_expected_to_get_leads_of_a_day_before_they_came(lots):
    """Thirty leads in January go to Ann and Bob alone, two to one."""
    assert shown(lots, "K38", "leads", by="source", segment="first")["value"] == pytest.approx(0)


def test_gini_and_extremes_are_of_leads_an_hour(lots):
    rates = np.array([20 / 512, 16 / 256, 4 / 256])
    gini = np.abs(rates[:, None] - rates).sum() / (2 * 3**2 * rates.mean())
    found = shown(lots, "K38", "Gini", by="source", segment="skew")
    assert found["value"] == pytest.approx(gini)
    assert 0 <= found["low"] < gini < found["high"] <= 1
    most = shown(lots, "K38", "max ÷ min", by="source", segment="skew")
    assert most["value"] == pytest.approx(4)
    assert 1 < most["low"] < 4 < most["high"]


def test_fairness_refuses_where_there_is_nothing_to_compare(tmp_path, lots):
    few, none = (shown(lots, "K38", "max ÷ min", by="source", segment=name) for name in ("few", "none"))
    assert (few["status"], few["note"]) == ("too few", "needs 15 leads for 3 people, has 14")
    assert (none["status"], none["note"]) == ("not defined", "somebody got none; 1 owned by others left out")
    alone = make_book(tmp_path, leads=leads(*given_to(ann=20)), users=make_tables()["users"].iloc[:1])
    assert value(alone, "K38", field="note") == "fewer than two people share these leads"


def test_roles_that_leads_are_not_given_to_are_not_compared(tmp_path):
    users = make_tables()["users"].assign(role=["sdr", "sdr", "ae"])
    book = make_book(tmp_path, users=users, leads=leads(*given_to(ann=40, bob=18, cat=2)))
    assert shown(book, "K38", "leads")["note"].startswith("2 people")
    assert shown(book, "K38", "leads", by="team", segment="t")["n"] == 58


@pytest.fixture(scope="module")
def worth(tmp_path_factory):
    """Last year 40 of 100 leads from the web and 5 of 100 from events were won after ten days.

    This quarter 30 came from the web, of which twelve were won, and ten from events and ten from a fair, all of
    them too young to tell; Ann has the web.
    """
    old, deals = [], []
    for k in range(200):
        start = at(-100 + k / 1440)  # a minute each: no bulk import
        old.append({"created_at": start, "source": "web" if k < 100 else "event"})
        if k < 40 or k >= 195:
            deals.append({"lead_id": f"lead{k}", "created_at": start, "days": -90, "is_won": True})
    deals += [{"lead_id": f"lead{200 + k}", "days": 10, "is_won": True} for k in range(12)]
    young = {"created_at": pd.Timestamp("2026-03-30T10:00Z"), "owner_id": "bob"}
    new = [{}] * 30 + [young | {"source": "event"}] * 10 + [young | {"source": "fair", "owner_id": "cat"}] * 10
    return make_book(tmp_path_factory.mktemp("worth"), leads=leads(*old, *new), opportunities=deal_rows(*deals))


def test_quality_is_the_win_rate_of_leads_like_them_before(worth):
    rates = base_rates(worth, resolve_period(worth, "quarter"))
    cells = rates.cells.set_index("source")
    rate = cells["won"] / (cells["won"] + cells["lost"])
    assert (rates.overall, rates.horizon) == (45 / 200, 20)
    assert rate["web"] == pytest.approx((40 + 0.225 * rates.prior) / (100 + rates.prior))
    assert 0.05 < rate["event"] < 0.1 < 0.35 < rate["web"] < 0.4  # pulled together, and not far
    found = shown(worth, "K39", "expected win rate")
    assert found["value"] == pytest.approx((30 * rate["web"] + 10 * rate["event"] + 10 * 0.225) / 50)
    assert found["low"] < found["value"] < found["high"]
    assert value(worth, "K39", "against all leads") == pytest.approx(found["value"] / 0.225)
    assert value(worth, "K39", segment="fair", by="source") == pytest.approx(0.225)
    assert value(worth, "K39", "observed ÷ expected") == pytest.approx(12 / (30 * rate["web"]))
    assert value(worth, "K39", "observed ÷ expected", segment="fair", by="source", field="status") == "too few"


def test_the_prior_is_the_likeliest_one(worth):
    from scipy.stats import betabinom

    prior = base_rates(worth, resolve_period(worth, "quarter")).prior

    def likelihood(size):
        return betabinom.logpmf([40, 5], [100, 100], 0.225 * size, 0.775 * size).sum()

    assert likelihood(prior) >= max(likelihood(prior * 1.05), likelihood(prior / 1.05))


def test_leads_too_young_say_nothing_of_the_rate(tmp_path):
    rows = [{"created_at": at(-100 + k / 1440)} for k in range(100)] + [{"created_at": at(-5)}] * 50
    deals = [{"lead_id": f"lead{k}", "created_at": at(-100), "days": -90, "is_won": True} for k in range(40)]
    book = make_book(tmp_path, as_of="2026-01-08", leads=leads(*rows), opportunities=deal_rows(*deals))
    assert base_rates(book, resolve_period(book, "quarter")).overall == 40 / 100


def test_fairness_of_worth_differs_from_that_of_counts(worth):
    """Ann has most leads and the best of them."""
    assert value(worth, "K38", "expected customers") != value(worth, "K38")
    rates, rows = base_rates(worth, resolve_period(worth, "quarter")), lead_rows(worth).iloc[200:]
    weight = rates.of(rows)[0]
    share = np.where((rows["created_day"] < "2026-02-15").to_numpy()[:, None], [2 / 3, 1 / 3, 0], [0.4, 0.2, 0.4])
    got, due = np.array([weight[:30].sum(), weight[30:40].sum(), weight[40:].sum()]), weight @ share
    chi = ((got - due) ** 2 / due).sum() * weight.sum() / (weight**2).sum()
    assert value(worth, "K38", "expected customers") == pytest.approx(chi / 2)


def test_too_few_earlier_wins_tell_no_quality(tmp_path):
    rows = leads(*[{"created_at": at(-60)}] * 40, {})
    deals = deal_rows(
        *({"lead_id": f"lead{k}", "created_at": at(-60), "days": -50, "is_won": True} for k in range(29))
    )
    few = make_book(tmp_path / "a", leads=rows, opportunities=deals)
    assert value(few, "K39", field="note") == "needs 30 leads won so far, has 29"
    late = deal_rows(*({"lead_id": f"lead{k}", "created_at": at(-60), "days": -50 + 25 * (k > 19), "is_won": True}
                       for k in range(35)))  # fmt: skip
    book = make_book(tmp_path / "b", leads=rows, opportunities=late)
    assert value(book, "K39", field="note") == "needs 30 wins of earlier leads within 20 days, has 20"


# -- the sample company --------------------------------------------------------------------------------


def test_lead_counts_add_up_in_every_dimension(book):
    for kpi_id in ("K24", "K17"):
        whole = kpis.compute(book, kpi_id, "4 quarters", variants="default").iloc[0]
        for by in ("rep", "team", "segment", "source") if kpi_id == "K24" else ("rep", "team"):
            parts = kpis.compute(book, kpi_id, "4 quarters", by=by, variants="default")
            assert parts["n"].sum() == whole["n"] > 1000, by


def test_rates_agree_with_a_plain_count(book, frames):
    rows, users = frames["activities"], frames["users"]
    local = rows["started_at"].dt.tz_convert("Europe/Berlin").dt.tz_localize(None)
    rows = rows[(local >= "2026-05-01") & (local < "2026-08-01")]
    calls = rows[rows["type"].eq("call") & rows["direction"].eq("out")]
    people = users[users["role"].isin(["ae", "sdr"])]
    dates = pd.bdate_range("2026-05-01", "2026-07-31")
    worked = sum(
        fte * sum(start <= day <= (end if pd.notna(end) else day) for day in dates)
        for start, end, fte in zip(people["start_date"], people["end_date"], people["fte"], strict=True)
    )
    quarter = book.calendar.period("quarter", "2026-06-15")
    found = shown(book, "K15", "calls", period=quarter)
    assert (found["n"], found["value"]) == (len(calls), pytest.approx(len(calls) / worked))
    spoken = rows[rows["type"].eq("call") & rows["outcome"].eq("connected")]
    most = shown(book, "K16", "total", period=quarter)["value"]
    assert 0.9 < most / (spoken["duration_s"].sum() / 3600) <= 1


def test_every_new_number_has_an_interval_or_says_why(book):
    for by in (None, "team", "source"):
        frame = kpis.compute(book, NEW, "4 quarters", by=by)
        fine = frame[frame["status"].eq("ok")]
        bare = fine["low"].isna()
        assert len(fine) > 20
        assert fine.loc[bare, "note"].str.contains("none in this period").all()
        assert (bare | fine["value"].between(fine["low"] - 1e-9, fine["high"] + 1e-9)).all()
        assert fine.loc[fine["unit"].eq("share"), "value"].between(0, 1).all()
        rest = frame[frame["status"].ne("ok")]
        assert rest["value"].isna().all()
        assert rest["note"].ne("").all()


def test_before_anything_was_known_every_metric_refuses_or_is_nothing(sample_ws):
    for by in (None, "rep", "source"):
        frame = kpis.compute(sample_ws.book("2020-01-01"), NEW, by=by)
        assert not frame.loc[frame["status"].eq("ok"), "value"].any()
