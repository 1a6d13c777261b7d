"""The pipeline on a hand-made company whose every change is known, a sample one, and random histories."""

from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salesops_lib.config import CompanySettings
from salesops_lib.errors import InsufficientData, ParameterError
from salesops_lib.pipeline import review, waterfall
from salesops_lib.pipeline.movement import BUCKETS
from salesops_lib.sources.sample_source import load_sample
from salesops_lib.tables import conform
from tests.conftest import make_workspace
from tests.test_kpis import make_book, make_tables

# deal: created, what it began with (else `BORN`), and (day, field, value) of each later change
BORN = {
    "stage": "demo", "amount": None, "currency": "EUR", "expected_close_date": "2026-03-20", "owner": "ann",
    "type": "new", "deleted": "false", "merged": None,
}  # fmt: skip
SHUT = ("won", "lost")
SINCE, UNTIL = "2026-02-10", "2026-03-10"
RATES = {"2026-02-10": "0.9", "2026-03-05": "0.85", "2026-03-10": "0.8"}


def life(amount, *changes, created="2026-01-05", **born):
    return created, BORN | born | {"amount": amount}, changes


LIVES = {
    "steady": life("1000.10"),
    "raised": life("200.00", ("2026-02-20", "amount", "250.55")),
    "lowered": life("300.30", ("2026-02-20", "amount", "100.10")),
    "emptied": life("40.04", ("2026-02-20", "amount", None)),
    "fresh": life("500.05", created="2026-02-20"),
    "pulled": life("60.60", ("2026-02-20", "expected_close_date", "2026-03-25"), expected_close_date="2026-04-10"),
    "pushed": life("70.70", ("2026-02-20", "expected_close_date", "2026-04-15")),
    "undated": life("7.07", ("2026-02-20", "expected_close_date", None)),
    "raised and pushed": life(
        "5.00", ("2026-02-20", "amount", "6.00"), ("2026-02-21", "expected_close_date", "2026-04-15")
    ),
    "won": life("800.00", ("2026-02-20", "amount", "900.90"), ("2026-03-01", "stage", "won")),
    "lost": life("150.15", ("2026-03-01", "stage", "lost")),
    "blanked": life("250.25", ("2026-03-01", "stage", "lost"), ("2026-03-01", "amount", None)),
    "back": life("33.33", ("2026-01-20", "stage", "lost"), ("2026-02-25", "stage", "demo")),
    "deleted": life("11.11", ("2026-02-20", "deleted", "true")),
    "merged": life("22.22", ("2026-02-20", "merged", "steady")),
    "restored": life("12.12", ("2026-02-01", "deleted", "true"), ("2026-02-20", "deleted", "false")),
    "to renewal": life("44.44", ("2026-02-20", "type", "renewal")),
    "to new": life("45.45", ("2026-02-20", "type", "new"), type="renewal"),
    "renewal": life("9000.00", ("2026-02-20", "amount", "9001.00"), type="renewal"),
    "dollars": life("100.00", currency="USD"),
    "dollars raised": life("10.00", ("2026-02-20", "amount", "20.00"), currency="USD"),
    "dollars won": life("100.00", ("2026-03-05", "stage", "won"), currency="USD"),
    "pounds": life("77.00", currency="GBP"),
    "blank": life(None),
    "handed over": life("55.55", ("2026-02-20", "owner", "bob")),
    "bob's": life("66.66", owner="bob"),
    "gone between": life("13.13", ("2026-02-25", "stage", "lost"), created="2026-02-20"),
    "next quarter": life("14.14", expected_close_date="2026-05-01"),
    "raised later": life("99.99", ("2026-03-20", "amount", "1.00")),
}
# bucket: amount and deals, worked out by hand from the lines above
EXPECTED = {
    "start": ("3312.58", 21),
    "new": ("500.05", 1),
    "pulled in": ("60.60", 1),
    "reopened": ("33.33", 1),
    "amount up": ("161.45", 4),  # 50.55 + 100.90 + 1.00 + 10 dollars at 0.9
    "amount down": ("-240.24", 2),  # 200.20 + 40.04
    "pushed out": ("-83.77", 3),  # 70.70 + 7.07 + 6.00, what it was raised to
    "won": ("-985.90", 2),  # 900.90, and 100 dollars at 0.85
    "lost": ("-400.40", 2),  # 150.15, and 250.25 though blanked
    "owner or team in": ("0", 0),
    "owner or team out": ("0", 0),
    "type changed": ("1.01", 2),
    "deleted or merged": ("-21.21", 3),
    "exchange rates": ("-17.00", 3),  # 100 dollars from 0.9 to 0.8, 20 from 0.9 to 0.8, 100 from 0.9 to 0.85
    "unexplained": ("0", 0),
    "end": ("2320.50", 16),
}


def at_noon(day):
    return f"{day}T12:00:00Z"


def company_of(lives, rates=RATES):
    """Write the deals at their end, every change, and the rates as canonical tables."""
    deals, history = [], []
    for key, (created, born, changes) in lives.items():
        now, closed = {}, None
        events = [*((created, field, new) for field, new in born.items()), *changes]
        for seq, (day, field, new) in enumerate(sorted(events, key=lambda event: event[0])):
            if field == "stage" and new in SHUT and now.get("stage") != new:
                closed = day
            history.append({"opportunity_id": key, "changed_at": at_noon(day), "field": field, "seq": seq,
                            "old_value": now.get(field), "new_value": new, "is_bulk": False,
                            "origin": "native"})  # fmt: skip
            now[field] = new
        shut = now["stage"] in SHUT
        deals.append({
            "opportunity_id": key, "name": key.title(), "owner_id": now["owner"], "pipeline_id": "p",
            "owner_at_close_id": now["owner"] if shut else None, "stage_id": now["stage"], "type": now["type"],
            "amount": now["amount"] and Decimal(now["amount"]), "currency": now["currency"],
            "created_at": at_noon(created), "expected_close_date": now["expected_close_date"],
            "closed_at": at_noon(closed) if shut else None, "close_date": closed if shut else None,
            "is_closed": shut, "is_won": now["stage"] == "won", "is_deleted": now["deleted"] == "true",
            "merged_into_id": now["merged"],
        })  # fmt: skip
    worth = [("USD", day, "daily", rate) for day, rate in rates.items()] + [("USD", "2026-01-01", "plan", "0.92")]
    users, team = make_tables()["users"], {"ann": "north", "bob": "south", "cat": "south"}
    return {
        "opportunities": conform(pd.DataFrame(deals), "opportunities"),
        "opportunity_history": conform(pd.DataFrame(history), "opportunity_history"),
        "fx_rates": conform(
            pd.DataFrame(worth, columns=["currency", "rate_date", "kind", "rate_to_corp"]), "fx_rates"
        ),
        "users": conform(users.assign(team_id=users["user_id"].map(team)), "users"),
        "teams": conform(pd.DataFrame({"team_id": ["north", "south"], "name": ["North", "South"]}), "teams"),
    }


@pytest.fixture(scope="module")
def hand(tmp_path_factory):
    return make_book(tmp_path_factory.mktemp("pipeline"), **company_of(LIVES))


def moved(book, since=SINCE, until=UNTIL, period="quarter", **part):
    return waterfall(book.at(since), book.at(until), period=period, **part)


def amounts(found):
    return dict(zip(found.buckets["bucket"], found.buckets["amount"], strict=True))


def check(found):
    """Whatever moved: exact cents, nothing left over, each bucket the sum of its deals."""
    told = amounts(found)
    assert list(told) == list(BUCKETS)
    assert all(type(amount) is Decimal for amount in [*told.values(), *found.deals["amount"]])
    assert sum(told.values()) - 2 * told["end"] == Decimal("0.00")  # start + Σ in between = end
    sums = found.deals.groupby("bucket")["amount"].agg(["sum", "size"]).reindex(list(BUCKETS), fill_value=0)
    assert sums["sum"].tolist() == list(told.values())
    assert sums["size"].tolist() == found.buckets["n"].tolist()
    return told


# -- known answers -------------------------------------------------------------------------------------


def test_every_bucket_holds_the_deals_that_belong_in_it(hand):
    found = moved(hand)
    told = check(found)
    assert told == {bucket: Decimal(amount) for bucket, (amount, _) in EXPECTED.items()}
    assert found.buckets["n"].tolist() == [n for _, n in EXPECTED.values()]
    behind = found.deals.groupby("bucket")["opportunity_id"].agg(sorted)
    assert behind["pushed out"] == ["pushed", "raised and pushed", "undated"]
    assert behind["deleted or merged"] == ["deleted", "merged", "restored"]
    assert behind["type changed"] == ["to new", "to renewal"]
    assert behind["exchange rates"] == ["dollars", "dollars raised", "dollars won"]
    assert "gone between" not in set(found.deals["opportunity_id"])
    assert found.unpriced == 3  # pounds, blank, emptied
    assert (found.currency, found.since, found.until) == ("EUR", date(2026, 2, 10), date(2026, 3, 10))
    assert "largest: won −986 (2 deals) and new +500 (1 deal)" in found.headline


def test_the_list_of_deals_shows_both_states_and_the_largest_first(hand):
    rows = moved(hand).deals.set_index(["bucket", "opportunity_id"])
    won = rows.loc[("won", "won")]
    assert (won["stage_id_before"], won["stage_id_after"], won["rep"]) == ("demo", "won", "Ann")
    assert (won["amount_before"], won["amount_after"]) == (Decimal("800.00"), Decimal("900.90"))
    assert rows.loc[("pushed out", "pushed"), "expected_close_date_after"] == pd.Timestamp("2026-04-15")
    assert pd.isna(rows.loc[("lost", "blanked"), "amount_after"])
    assert rows.loc["lost"].index.tolist() == ["blanked", "lost"]
    assert rows.loc["start"]["amount"].is_monotonic_decreasing


def test_teams_gain_what_others_lose_and_add_up_to_the_company(hand):
    north, south = (check(moved(hand, by="team", segment=team)) for team in ("north", "south"))
    assert north["owner or team out"] == Decimal("-55.55")
    assert south["owner or team in"] == Decimal("55.55")
    assert (south["start"], south["end"]) == (Decimal("66.66"), Decimal("122.21"))
    assert {bucket: north[bucket] + south[bucket] for bucket in BUCKETS if not bucket.startswith("owner")} == {
        bucket: Decimal(amount) for bucket, (amount, _) in EXPECTED.items() if not bucket.startswith("owner")
    }
    rep = check(moved(hand, by="rep", segment="bob"))
    assert rep == south


def test_renewals_have_a_waterfall_of_their_own(hand):
    told = check(moved(hand, renewals=True))
    assert {bucket: amount for bucket, amount in told.items() if amount} == {
        "start": Decimal("9045.45"), "amount up": Decimal("1.00"), "type changed": Decimal("-1.01"),
        "end": Decimal("9045.44"),
    }  # fmt: skip


def test_at_plan_rates_no_exchange_rate_moves_anything(hand):
    """210 dollars at 0.92 instead of 0.9 at first; what is won leaves at the plan rate too."""
    found = moved(hand.at_plan_rates())
    told = check(found)
    assert told["exchange rates"] == 0
    assert told["start"] == Decimal(EXPECTED["start"][0]) + Decimal("4.20")
    assert told["won"] == Decimal("-992.90")
    assert told["end"] == Decimal(EXPECTED["end"][0]) + 120 * Decimal("0.12")


def test_another_period_sees_the_other_side_of_a_push(hand):
    later = hand.calendar.period("quarter", "2026-05-01")
    told = check(moved(hand, period=later))
    assert told["pulled in"] == Decimal("75.70")  # 70.70 + 5.00; the 1.00 it was raised by is told apart
    assert told["amount up"] == Decimal("1.00")
    assert told["pushed out"] == Decimal("-60.60")
    assert (told["start"], told["end"]) == (Decimal("74.74"), Decimal("90.84"))


def test_before_the_first_deal_there_was_nothing_to_know(hand):
    """No deal was open, so none is unknown: all that is open came since."""
    told = check(moved(hand, "2026-01-01", "2026-01-10"))
    assert told["start"] == told["unexplained"] == 0
    assert told["end"] == sum(amount for bucket, amount in told.items() if bucket == "new") > 3000
    with pytest.raises(InsufficientData):
        review(hand.at("2026-01-01"))


def test_between_an_instant_and_itself_nothing_moves(hand):
    found = moved(hand, UNTIL, UNTIL)
    told = check(found)
    assert {bucket for bucket, amount in told.items() if amount} == {"start", "end"}
    assert found.headline.endswith("nothing moved.")


# -- refusals and what nothing explains ----------------------------------------------------------------


def test_without_history_it_refuses_in_words(tmp_path):
    book = make_book(tmp_path)
    with pytest.raises(InsufficientData, match="Stage of deals before 2026-03-31, the day of the export: needs"):
        waterfall(book.at("2026-02-10"), book, period="quarter")
    found = review(book)  # the rest of the page stands without it
    assert isinstance(found.waterfall, InsufficientData)
    assert found.buckets is found.moved is found.waterfall
    assert found.headline == "2 deals worth 100 EUR are open."
    notes = found.reasons.set_index("reason")["note"]
    assert notes["expected close pushed out 2 times or more"].startswith("the source keeps no history")
    assert found.reasons.set_index("reason").loc["expected close is past", "deals"] == 2


def test_wrong_arguments_are_said_in_words(hand, tmp_path):
    with pytest.raises(ParameterError, match="as of 2026-03-10, after the second, 2026-02-10"):
        moved(hand, UNTIL, SINCE)
    for kind in ("quater", "13", "0 weeks"):
        with pytest.raises(ParameterError, match="unknown period"):
            moved(hand, period=kind)
    with pytest.raises(ParameterError, match="Did you mean 'team'"):
        moved(hand, by="tem", segment="north")
    with pytest.raises(ParameterError, match="is not before the as-of day"):
        review(hand, since="2026-03-31")
    with pytest.raises(ParameterError, match="unknown team 'East'"):
        review(hand, segment="East")
    dollars = type(hand)(hand.snapshot, hand.as_of, CompanySettings(currency="USD", timezone="UTC"), hand.calendar)
    with pytest.raises(ParameterError, match="one book is in EUR, the other in USD"):
        waterfall(hand.at(SINCE), dollars, period="quarter")


def test_what_vanished_without_being_deleted_is_unexplained(hand, tmp_path):
    """Two exports: one deal is missing in the second, one is in it that had been there all along."""
    lives = {key: lived for key, lived in LIVES.items() if key != "steady"} | {"late": life("3.21")}
    other = make_book(tmp_path, **company_of(lives))
    found = waterfall(hand.at(SINCE), other.at(UNTIL), period="quarter")
    told = check(found)
    assert told["unexplained"] == Decimal("3.21") - Decimal("1000.10")
    behind = found.deals[found.deals["bucket"].eq("unexplained")]
    assert behind["opportunity_id"].tolist() == ["steady", "late"]
    assert told["new"] == Decimal("500.05")


# -- the identity on the sample company ----------------------------------------------------------------


@pytest.fixture(scope="module")
def two_currencies(tmp_path_factory):
    """A smaller sample company with dollar deals, and a dollar that moves every Monday."""
    loaded = load_sample(opportunities=700, accounts=90, second_currency="USD", activities_per_deal=1.0)
    mondays = pd.date_range("2023-10-02", "2026-09-30", freq="7D")
    wave = [f"{0.9 + 0.05 * np.sin(k / 5):.4f}" for k in range(len(mondays))]
    rates = pd.DataFrame({"currency": "USD", "rate_date": mondays, "kind": "daily", "rate_to_corp": wave})
    loaded.tables["fx_rates"] = conform(rates, "fx_rates")
    ws = make_workspace(tmp_path_factory.mktemp("two"))
    ws.save(loaded)
    return ws.book("2026-09-30")


def open_due(book, period):
    """Price what is open and due one deal at a time, in plain Python."""
    rows = book.opportunities
    rows = rows[~rows["is_closed"] & ~rows["type"].eq("renewal").fillna(False) & rows["amount"].notna()]
    known = book.fx_rates.set_index("rate_date")["rate_to_corp"]
    known = known[known.index <= pd.Timestamp(book.day)]
    worth = {"EUR": Decimal(1)} | ({"USD": known.iloc[-1]} if len(known) else {})
    total = Decimal("0.00")
    for amount, currency, due in zip(rows["amount"], rows["currency"], rows["expected_close_date"], strict=True):
        if not pd.isna(due) and period.start <= due.date() < period.end:
            total += (amount * worth[currency]).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    return total


def test_every_fortnight_of_two_years_adds_up(two_currencies):
    book = two_currencies
    calendar = book.calendar
    first = calendar.shift(calendar.period("year", book.day), -1).start
    days = [week.last_day for week in calendar.between("week", first, book.day)][:-1:2]
    assert len(days) > 40
    previous, seen = None, set()
    for since, until in pairwise(days):
        found = moved(book, since, until)
        told = check(found)
        assert told["unexplained"] == Decimal("0.00"), until
        assert told["end"] == open_due(book.at(until), found.period), until
        if previous and previous.period == found.period:
            assert told["start"] == amounts(previous)["end"]
        seen |= {bucket for bucket, amount in told.items() if amount}
        previous = found
    assert seen >= {"new", "pushed out", "won", "lost", "amount up", "amount down", "reopened", "exchange rates"}


def test_any_pair_of_days_adds_up(two_currencies):
    """Any two of twelve days, whatever lies between, for a month, quarter or year around the second."""
    book, chance = two_currencies, np.random.default_rng(40)
    calendar = book.calendar
    days = [
        date(2023, 12, 1) + timedelta(days=int(day)) for day in np.sort(chance.choice(1000, 12, replace=False))
    ]
    for pair in np.sort(chance.integers(0, len(days), (25, 2))):
        since, until = (days[k] for k in pair)
        kind = ("month", "quarter", "year")[int(chance.integers(3))]
        period = calendar.shift(calendar.period(kind, until), int(chance.integers(-1, 2)))
        told = check(moved(book, since, until, period))
        assert told["unexplained"] == Decimal("0.00"), (since, until)
        assert told["start"] == open_due(book.at(since), period)
        assert told["end"] == open_due(book.at(until), period)


# -- any history ---------------------------------------------------------------------------------------

DAYS = [str(day.date()) for day in pd.date_range("2026-02-01", periods=40)]
DAILY = {day: str(Decimal("0.8") + Decimal(k) / 1000) for k, day in enumerate(DAYS)}
VALUES = {
    "stage": ["demo", "won", "lost"],
    "amount": ["10.05", "20.00", "0.15", None],
    "currency": ["EUR", "USD"],
    "expected_close_date": ["2026-03-31", "2026-06-30", None],
    "owner": ["ann", "bob"],
    "type": ["new", "renewal"],
    "deleted": ["true", "false"],
    "merged": ["d0", None],
}
EVENT = st.sampled_from(sorted(VALUES)).flatmap(
    lambda field: st.tuples(st.sampled_from(DAYS), st.just(field), st.sampled_from(VALUES[field]))
)
BEGINNING = st.fixed_dictionaries(
    {field: st.sampled_from(VALUES[field]) for field in ("amount", "currency", "type")}
)
LIFE = st.tuples(st.sampled_from(DAYS), BEGINNING, st.lists(EVENT, max_size=6))


def replayed(lives, day):
    """Sum what is open, there and due in the quarter at the end of a day, by a plain loop over the events."""
    total = Decimal("0.00")
    for created, born, changes in lives.values():
        now = dict(born)
        for at, field, new in sorted(changes, key=lambda change: change[0]):
            if at <= day:
                now[field] = new
        there = created <= day and now["deleted"] == "false" and now["merged"] is None
        due = now["expected_close_date"] == "2026-03-31"
        if there and due and now["stage"] == "demo" and now["type"] == "new" and now["amount"]:
            rate = Decimal(DAILY[day]) if now["currency"] == "USD" else 1
            total += (Decimal(now["amount"]) * rate).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    return total


@settings(max_examples=5, deadline=None)
@given(
    st.lists(LIFE, min_size=3, max_size=12), st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS)), st.randoms()
)
def test_any_history_adds_up_in_any_order(tmp_path_factory, drawn, days, chance):
    lives = {
        f"d{k}": (created, BORN | {"expected_close_date": "2026-03-31"} | begun,
                  [change for change in changes if change[0] > created])
        for k, (created, begun, changes) in enumerate(drawn)
    }  # fmt: skip
    tables, days = company_of(lives, DAILY), sorted(days)
    mixed = {name: frame.sample(frac=1, random_state=chance.randrange(1000)) for name, frame in tables.items()}
    root = tmp_path_factory.mktemp("any")
    straight, shuffled = (
        make_book(root / name, **given) for name, given in (("straight", tables), ("mixed", mixed))
    )
    assert check(moved(straight, *days, by="team", segment="north"))["unexplained"] == 0
    found, other = (moved(book, *days) for book in (straight, shuffled))
    told = check(found)
    assert told["unexplained"] == 0
    assert (told["start"], told["end"]) == tuple(replayed(lives, day) for day in days)
    pd.testing.assert_frame_equal(found.buckets, other.buckets)
    pd.testing.assert_frame_equal(found.deals, other.deals)
    sides = found.deals.assign(sign=found.deals["bucket"].map({"end": -1}).fillna(1).astype(int))
    left = (sides["amount"] * sides["sign"]).groupby(sides["opportunity_id"]).sum()
    assert (left == 0).all()  # deal by deal too
