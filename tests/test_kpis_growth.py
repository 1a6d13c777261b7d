"""Velocity, growth, accounts and levers on hand-made companies whose answers fit in the head."""

import numpy as np
import pandas as pd
import pytest

from salesops_lib import kpis
from salesops_lib.facts import deals
from salesops_lib.kpis import growth
from salesops_lib.periods import FiscalCalendar, Period
from salesops_lib.tables import conform
from tests.test_fx import rate_table
from tests.test_kpis import make_book, value
from tests.test_kpis_reps import opportunities, won

# -- K10, K43 ------------------------------------------------------------------------------------------


def segmented(path, as_of="2026-03-31", waiting=(20, 10), stray=0, thin=0, **changed):
    """Small: 5 of 10 won, 100 each in 10 days. Large: 5 of 10 won, 1,000 each in 50 days."""
    rows = []
    for account, amount, created in (("s", 100, "2026-02-01"), ("l", 1000, "2025-12-23")):
        rows += [
            ("ann", stage, amount, created, "2026-02-11", {"account_id": account}) for stage in ("won", "lost")
        ] * 5
    for account, n in zip(("s", "l", "?", "x"), (*waiting, stray, thin), strict=True):
        rows += [("ann", "demo", None, "2026-01-10", None, {"account_id": account})] * n
    accounts = conform(
        pd.DataFrame(
            [{"account_id": a, "name": a, "segment": s, "is_deleted": False}
             for a, s in (("s", "small"), ("l", "large"), ("x", "thin"))]
        ),
        "accounts",
    )  # fmt: skip
    return make_book(path, as_of, opportunities=opportunities(rows), accounts=accounts, **changed)


def test_velocity_is_by_segment_then_added(tmp_path):
    """20 · 0.5 · 100 ÷ 10 and 10 · 0.5 · 1,000 ÷ 50, not 30 · 0.5 · 550 ÷ 30."""
    book = segmented(tmp_path)
    assert value(book, "K10") == pytest.approx(100 + 100)
    assert value(book, "K10", "whole") == pytest.approx(30 * 0.5 * 550 / 30)
    assert value(book, "K10", segment="small", by="segment") == pytest.approx(100)
    assert value(book, "K10", field="n") == 20
    assert value(book, "K10", by="rep", segment="ann") == pytest.approx(200)
    # only the win rate is uncertain here: variance of its logarithm (1 − 0.5) / (10 · 0.5) in each half of the sum
    reach = 2.2621572 * (0.1 * 2 * 100**2) ** 0.5 / 200
    assert value(book, "K10", field="low") == pytest.approx(200 * np.exp(-reach))
    assert value(book, "K10", field="high") == pytest.approx(200 * np.exp(reach))


def test_velocity_leaves_out_a_stray_segment_and_refuses_a_large_one(tmp_path):
    stray = segmented(tmp_path / "stray", stray=3)
    assert value(stray, "K10") == pytest.approx(200)
    assert "3 open deals in not assigned left out, too few won there" in value(stray, "K10", field="note")
    thin = segmented(tmp_path / "thin", stray=1, thin=4)
    assert value(thin, "K10", field="status") == "too few"
    assert "thin: needs 5 won deals with an amount and a cycle, has 0" in value(thin, "K10", field="note")
    assert value(thin, "K10", "whole", field="status") == "ok"
    none = segmented(tmp_path / "none", waiting=(0, 0))
    assert value(none, "K10", field="note") == "no qualified deal is open"


def test_velocity_of_a_past_period_counts_what_was_open_at_its_end(tmp_path):
    book = segmented(tmp_path)
    february = book.calendar.period("month", "2026-02-01")
    assert value(book, "K10", period=february) == pytest.approx(200)
    rows = book.opportunities.copy()
    rows.loc[rows["stage_id"].eq("demo") & rows["account_id"].eq("l"), "created_at"] = pd.Timestamp(
        "2026-03-02", tz="UTC"
    )
    later = make_book(tmp_path / "later", opportunities=rows, accounts=book.accounts)
    assert value(later, "K10") == pytest.approx(200)
    assert value(later, "K10", period=february) == pytest.approx(100)


def test_velocity_of_the_sample_company_is_the_product_of_its_kpis(book):
    frame = kpis.compute(book, ["K03", "K05", "K06"], variants=["count", "median", "won"]).set_index("kpi_id")[
        "value"
    ]
    rows, reached = deals(book), book.passed_stages()
    good = set(book.stages.loc[book.stages["is_qualified"] & ~book.stages["is_closed"], "stage_id"])
    passed = set(reached.loc[reached["stage_id"].isin(good), "opportunity_id"])
    still = rows[~rows["is_closed"] & ~rows["is_renewal"]]
    n = sum(key in passed for key in still["opportunity_id"])
    assert 0 < n < len(still)
    assert value(book, "K10", "whole") == pytest.approx(n * frame["K03"] * frame["K06"] / frame["K05"])
    parts = kpis.compute(book, "K10", by="segment", variants="default")["value"]
    assert value(book, "K10") == pytest.approx(parts.sum())


def draw(rng, n, together):
    outcome, shock = rng.random(n) < 0.35, rng.normal(size=(2, n))
    days = np.exp(4 + 0.8 * (together * shock[0] + (1 - together**2) ** 0.5 * shock[1]))
    return pd.DataFrame({"is_won": outcome, "amount": np.exp(8 + 0.8 * shock[0]), "days": days})


@pytest.mark.parametrize("together", [-0.8, 0.0, 0.8])
def test_closed_form_of_the_error_is_that_of_a_bootstrap(together):
    """Where large deals take longer the two errors of the ratio cancel in part, else they add up."""
    rng = np.random.default_rng(6)
    drawn = draw(rng, 600, together)
    again = [growth._levers(drawn.iloc[rng.integers(0, 600, 600)]).per_day for _ in range(400)]
    assert growth._levers(drawn).error == pytest.approx(np.log(again).var(), rel=0.25)


@pytest.mark.parametrize(("n", "together"), [(30, 0.0), (120, 0.5)])
def test_interval_of_velocity_covers(n, together):
    """Of 600 simulated quarters 92 to 98.5 % hold the truth, also where large deals take longer."""
    rng, truth, hits, tried = np.random.default_rng(5), 0.35 * np.exp(8 + 0.32 - 4), 0, 0
    for _ in range(600):
        drawn = draw(rng, n, together)
        if not growth._lacking(drawn):
            found = growth._levers(drawn)
            held = growth._around(found.per_day, found.error, len(found.size_pull), n)
            hits, tried = hits + (held.low <= truth <= held.high), tried + 1
    assert tried > 580
    assert 0.92 <= hits / tried <= 0.985


def test_levers_by_hand(tmp_path):
    """20 closed, 10 won, 5,500 booked, median cycle 30 days."""
    book = segmented(tmp_path)
    assert value(book, "K43") == pytest.approx(0.01 * 20 * 550)
    assert value(book, "K43", "volume +1 %") == value(book, "K43", "size +1 %") == pytest.approx(55)
    assert value(book, "K43", "volume +1 %", field="high") == pytest.approx(value(book, "K26", field="high") / 100)
    assert value(book, "K43", "cycle 1 day shorter") == pytest.approx(5500 * (30 / 29 - 1))
    assert "from 30 days" in value(book, "K43", "cycle 1 day shorter", field="note")
    small = value(book, "K43", "cycle 1 day shorter", segment="small", by="segment")
    assert small == pytest.approx(500 / 9)
    # all alike: only the number of won deals is uncertain, five of them
    low = value(book, "K43", "cycle 1 day shorter", segment="small", by="segment", field="low")
    assert low == pytest.approx(500 / 9 * np.exp(-2.7764451 * 0.2**0.5))


def test_levers_refuse_few_deals_and_a_cycle_of_nothing(tmp_path):
    hand = make_book(tmp_path / "hand")
    assert set(kpis.compute(hand, "K43")["status"]) == {"too few"}
    assert "needs 5 won deals" in value(hand, "K43", field="note")
    rows = [("ann", "won", 10, "2026-02-10", "2026-02-11")] * 6
    quick = make_book(tmp_path / "quick", opportunities=opportunities(rows))
    assert value(quick, "K43", "cycle 1 day shorter", field="status") == "not defined"
    assert value(quick, "K43") == pytest.approx(0.01 * 6 * 10)
    nothing = make_book(tmp_path / "nothing", opportunities=opportunities([won("ann", 10, "2026-02-11")] * 6))
    assert value(nothing, "K43", field="note") == "amount or cycle of the won deals is zero"


def test_unpriced_and_backward_deals_do_not_count_as_zero(tmp_path):
    rows = [("ann", "won", 100, "2026-02-01", "2026-02-11")] * 5
    rows += [("ann", "won", None, "2026-02-01", "2026-02-11"), ("ann", "won", 9, "2026-02-20", "2026-02-11")]
    book = make_book(tmp_path, opportunities=opportunities([*rows, ("ann", "demo", 1, "2026-03-01", None)]))
    assert value(book, "K10") == pytest.approx(1 * 1 * 100 / 10)


# -- K28 -----------------------------------------------------------------------------------------------


def grown(path, as_of="2026-03-31", more=(), **changed):
    """Q1 2025: 200 of Ann's in January, 100 of Bob's in March; Q1 2026: 300 of Ann's and Cat's; before it 50."""
    rows = [won("bob", 1, "2024-06-01"), won("ann", 200, "2025-01-15"), won("bob", 100, "2025-03-20")]
    rows += [won("ann", 50, "2025-12-15"), won("ann", 300, "2026-01-20"), won("cat", 300, "2026-03-10"), *more]
    return make_book(path, as_of, opportunities=opportunities(rows), **changed)


def test_growth_on_the_year_and_on_the_period_before(tmp_path):
    book = grown(tmp_path)
    assert value(book, "K28") == pytest.approx(600 / 300 - 1)
    assert value(book, "K28", "period before") == pytest.approx(600 / 50 - 1)
    assert value(book, "K28", segment="ann", by="rep") == pytest.approx(0.5)
    assert value(book, "K28", "same reps") == pytest.approx(300 / 300 - 1)  # Cat came in February 2026
    assert value(book, "K28", field="low") < 0 < value(book, "K28", field="high")
    assert value(book, "K28", field="note") == "against Q1 2025"


def test_growth_from_nothing_is_not_defined_and_says_the_change(tmp_path):
    book = grown(tmp_path)
    assert value(book, "K28", segment="cat", by="rep", field="status") == "not defined"
    assert "the change is +300 EUR" in value(book, "K28", segment="cat", by="rep", field="note")
    assert value(book, "K28", segment="bob", by="rep") == -1
    assert "no range" in value(book, "K28", segment="bob", by="rep", field="note")
    negative = grown(tmp_path / "minus", more=[won("ann", -400, "2025-02-02")])
    assert "the change is +700 EUR" in value(negative, "K28", field="note")


def test_trap_37_a_running_quarter_is_compared_with_as_many_working_days(tmp_path):
    """By 10 February 2026 29 working days have gone; the 29th of 2025 is 10 February too, before Bob's deal."""
    book = grown(tmp_path, as_of="2026-02-10")
    assert value(book, "K28") == pytest.approx(300 / 200 - 1)
    assert "against Q1 2025 to 10 Feb 2025; period not over" in value(book, "K28", field="note")


def test_growth_per_working_day(tmp_path):
    """March has 22 working days in 2026 and 21 in 2025."""
    book = grown(tmp_path)
    assert value(book, "K28", period="month") == pytest.approx(300 / 100 - 1)
    assert value(book, "K28", "per working day", period="month") == pytest.approx(300 / 22 / (100 / 21) - 1)
    assert "22 working days against 21" in value(book, "K28", "per working day", period="month", field="note")


def test_growth_in_constant_currency(tmp_path):
    """100 dollars in both years at 0.5 and 0.9 a dollar, 0.7 in the plan."""
    rates = [
        ("USD", "2025-02-03", "daily", "0.5"),
        ("USD", "2026-02-03", "daily", "0.9"),
        ("USD", "2026-01-01", "plan", "0.7"),
    ]
    dollars = [won("ann", 100, f"{year}-02-03", currency="USD") for year in (2025, 2026)]
    book = grown(
        tmp_path, more=[*dollars, won("ann", 5, "2026-02-05", currency="CHF")], fx_rates=rate_table(rates)
    )
    assert value(book, "K28") == pytest.approx((600 + 90) / (300 + 50) - 1)
    assert value(book, "K28", "constant currency") == pytest.approx((600 + 70) / (300 + 70) - 1)
    note = value(book, "K28", field="note")
    assert note == "against Q1 2025; 1 counted but not priced (1 no rate for CHF)"
    francs = grown(tmp_path / "chf", more=[won("bob", 5, "2026-02-05", currency="CHF")])
    assert value(francs, "K28", segment="bob", by="rep", field="status") == "no data"
    note = value(francs, "K28", segment="bob", by="rep", field="note")
    assert note == "none of 1 deals has a price (1 no rate for CHF); against Q1 2025"
    assert value(book, "K28", "constant currency", segment="ann", by="rep") == pytest.approx(370 / 270 - 1)


def test_growth_refuses_what_it_cannot_compare(tmp_path):
    book = grown(tmp_path)
    for period, status, says in (
        ("6 quarters", "not defined", "longer than a year"),
        (
            Period(*(pd.Timestamp(d).date() for d in ("2026-01-07", "2026-02-01")), "quarter", "odd"),
            "not defined",
            "whole",
        ),
        (
            Period(*(pd.Timestamp(d).date() for d in ("2026-01-07", "2026-02-01")), "ad hoc", "odd"),
            "not defined",
            "whole",
        ),
        (book.calendar.period("quarter", "2025-05-05"), "no data", "do not reach back to the start of Q2 2024"),
        (book.calendar.period("quarter", "2026-05-05"), "not defined", "not begun"),
    ):
        assert value(book, "K28", period=period, field="status") == status
        assert says in value(book, "K28", period=period, field="note")


def test_the_period_before_of_a_window_is_the_window_before():
    calendar = FiscalCalendar(start_month=2)
    day = pd.Timestamp("2026-09-30").date()
    window = calendar.trailing("quarter", 4, day)
    for back in ("year", "period"):
        other = growth.earlier_part(calendar, window, calendar.period("quarter", day).last_day, back)
        assert (str(other.start), str(other.end)) == ("2024-11-01", "2025-11-01")
    month = calendar.period("month", day)
    assert str(growth.earlier_part(calendar, month, month.last_day, "period").start) == "2026-08-01"
    assert str(growth.earlier_part(calendar, month, month.last_day, "year").start) == "2025-09-01"


# -- K30 -----------------------------------------------------------------------------------------------


def test_daughters_count_with_the_company_that_owns_them(tmp_path):
    """Seven companies with a deal: a mother, daughter and granddaughter, a daughter of another, three alone."""
    above = {"a": None, "b": "a", "c": "b", "d": None, "e": None, "f": None, "g": None, "h": "g"}
    accounts = conform(
        pd.DataFrame(
            [{"account_id": k, "name": k, "parent_account_id": p, "is_deleted": False} for k, p in above.items()]
        ),
        "accounts",
    )
    rows = [won("ann", amount, "2026-02-10", account_id=key) for key, amount in
            (("b", 100), ("c", 200), ("d", 300), ("e", 400), ("f", 500), ("h", 600), ("a", 0))]  # fmt: skip
    rows += [won("ann", 9, "2026-02-10"), won("ann", None, "2026-02-10", account_id="z"),
             won("ann", 7000, "2026-02-10", account_id="d", type="renewal")]  # fmt: skip
    book = make_book(tmp_path, opportunities=opportunities(rows), accounts=accounts)
    assert value(book, "K30") == pytest.approx(2100 / 5)
    assert value(book, "K30", field="n") == 5
    assert value(book, "K30", "per deal") == pytest.approx(2109 / 8)
    assert value(book, "K30", "per account, renewals", field="status") == "too few"
    note = value(book, "K30", field="note")
    assert "1 of no known company, left out" in note
    assert "1 counted but not priced" in note


def test_a_circle_of_owners_ends_and_a_merged_company_is_its_survivor(tmp_path):
    rows = [("a", "b", None), ("b", "a", None), ("c", None, "d"), ("d", "e", None), ("e", None, None)]
    accounts = conform(
        pd.DataFrame(
            [
                {"account_id": k, "name": k, "parent_account_id": p, "merged_into_id": m, "is_deleted": False}
                for k, p, m in rows
            ]
        ),
        "accounts",
    )
    top = growth.top_companies(make_book(tmp_path, as_of="2026-04-01", accounts=accounts))
    assert top["c"] == top["d"] == "e"
    assert set(top) == {"a", "b", "c", "d"}


# -- all of them ---------------------------------------------------------------------------------------

MINE = ["K01", "K10", "K28", "K30", "K35", "K41", "K42", "K43"]


@pytest.mark.parametrize("by", [None, "rep", "team", "segment"])
def test_every_row_of_the_sample_company_has_a_number_or_says_why(book, by):
    frame = kpis.compute(book, MINE, "4 quarters", by=by)
    shown = {kpi_id: len(kpis.REGISTRY[kpi_id].variants) for kpi_id in MINE}
    assert frame.groupby(["segment", "kpi_id"]).size().groupby("kpi_id").unique().map(list).to_dict() == {
        kpi_id: [n] for kpi_id, n in shown.items()
    }
    fine = frame["status"].eq("ok")
    assert fine.sum() > len(frame) / 4
    bare = fine & frame["low"].isna()
    assert frame.loc[bare, "note"].str.contains("no range").all()
    sound = frame[fine & ~bare]
    assert (sound["low"] <= sound["value"] + 1e-9).all()
    assert (sound["value"] <= sound["high"] + 1e-9).all()
    assert frame.loc[~fine, "value"].isna().all()
    assert frame.loc[~fine, "note"].str.len().gt(0).all()
