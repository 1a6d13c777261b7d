"""People on hand-made companies whose answers fit in the head."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from salesops_lib import kpis
from salesops_lib.errors import ParameterError
from salesops_lib.kpis import reps
from salesops_lib.tables import conform
from tests.test_kpis import make_book, make_tables, value

COLUMNS = ("owner", "stage", "amount", "created", "closed")


def opportunities(rows, **more):
    """Deals from (owner, stage, amount, created, closed); `more` are columns of all of them."""
    made = []
    for k, row in enumerate(rows):
        owner, stage, amount, created, closed = row[:5]
        shut = closed is not None
        made.append(
            {
                "opportunity_id": f"d{k}", "owner_id": owner, "owner_at_close_id": owner if shut else None,
                "pipeline_id": "p", "stage_id": stage, "amount": None if amount is None else Decimal(str(amount)),
                "currency": "EUR", "created_at": f"{created}T09:00:00Z", "close_date": closed,
                "closed_at": f"{closed}T09:00:00Z" if shut else None, "is_closed": shut, "is_won": stage == "won",
                "type": "new", "is_deleted": False, **more, **(row[5] if len(row) > 5 else {}),
            }
        )  # fmt: skip
    return conform(pd.DataFrame(made), "opportunities")


def won(owner, amount, closed, **more):
    return (owner, "won", amount, closed, closed, more)


def people(rows, **more):
    """Quota carriers from (id, start, end)."""
    columns = {"name": "N", "is_quota_carrying": True, "is_active": True, "team_id": "t", "fte": 1.0, **more}
    rows = [{"user_id": u, "start_date": start, "end_date": end, **columns} for u, start, end in rows]
    return conform(pd.DataFrame(rows), "users")


def targets(rows):
    """Quotas from (holder, start, end, amount)."""
    columns = {"holder_type": "user", "measure": "bookings", "version": 1, "currency": "EUR", "is_overlay": False}
    return conform(
        pd.DataFrame(
            [
                {
                    "holder_id": u,
                    "period_start": start,
                    "period_end": end,
                    "quota_amount": Decimal(str(a)),
                    **columns,
                }
                for u, start, end, a in rows
            ]
        ),
        "quotas",
    )


Q1 = ("2026-01-01", "2026-04-01")


# -- K01 -----------------------------------------------------------------------------------------------


def quarter_company(path, as_of="2026-03-31", ann="600.00"):
    """Ann's quota is 600, Cat's 900 for 45 of 90 days, Dan's 900 for his 31 days; Eve's is not set."""
    users = people(
        [("ann", None, None), ("cat", "2026-02-15", None), ("dan", None, "2026-01-31"), ("eve", None, None)]
    )
    mia = people([("mia", None, None)], is_quota_carrying=False)
    quotas = targets([("ann", *Q1, 600), ("cat", *Q1, 900), ("dan", *Q1, 900), ("mia", *Q1, 1)])
    rows = [won("ann", ann, "2026-02-10"), won("cat", "449.99", "2026-03-10"), won("mia", "5000", "2026-03-01"),
            won("dan", "310.00", "2026-01-20"), won("ann", "9000", "2026-02-10", type="renewal")]  # fmt: skip
    return make_book(
        path, as_of, users=pd.concat([users, mia], ignore_index=True), quotas=quotas,
        opportunities=opportunities(rows),
    )  # fmt: skip


def test_exactly_at_quota_counts_and_leavers_stay_in(tmp_path):
    book = quarter_company(tmp_path / "at")
    assert value(book, "K01") == 2 / 3  # Ann to the cent, Dan with 31 of 90 days; Cat lacks a cent of 450
    assert value(book, "K01", field="n") == 3
    assert (value(book, "K01", field="low"), value(book, "K01", field="high")) == pytest.approx(
        (0.0943, 0.9916), abs=5e-5
    )  # Clopper–Pearson for 2 of 3
    assert "1 who carry one have no quota" in value(book, "K01", field="note")
    assert value(quarter_company(tmp_path / "below", ann="599.99"), "K01") == 1 / 3
    assert value(book, "K01", by="team", segment="t") == 2 / 3


def test_people_in_their_first_six_months_are_a_variant_without_them(tmp_path):
    book = quarter_company(tmp_path)
    assert value(book, "K01", "ramped") == 1
    assert value(book, "K01", "ramped", field="n") == 2
    users = book.users.copy()
    for start, n in (("2025-07-01", 3), ("2025-07-03", 2)):  # 184 and 182 days before the quarter
        users.loc[users["user_id"].eq("cat"), "start_date"] = pd.Timestamp(start)
        other = make_book(tmp_path / start, users=users, quotas=book.quotas)
        assert value(other, "K01", "ramped", field="n") == n


def test_a_running_quarter_is_measured_against_the_quota_due(tmp_path):
    """On 30 January 22 of 64 working days are gone: 206.25 of Ann's 600 are due; Dan must have his 310 of 900."""
    book = quarter_company(tmp_path, as_of="2026-01-30")
    assert value(book, "K01", "on pace", field="n") == 2
    assert value(book, "K01", "on pace") == 1 / 2
    rows = reps.attained(book, book.calendar.period("quarter", book.day))
    assert rows.loc["ann", ["quota", "due"]].tolist() == [Decimal("600.00"), Decimal("206.25")]
    assert "period not over" in value(book, "K01", field="note")
    done = quarter_company(tmp_path / "done")
    assert value(done, "K01", "on pace") == value(done, "K01")


def test_cents_are_compared_exactly(tmp_path):
    """Three quotas of 0.10 are more than 0.30 in binary; three deals of 0.10 meet them."""
    months = [("2026-01-01", "2026-02-01"), ("2026-02-01", "2026-03-01"), ("2026-03-01", "2026-04-01")]
    assert 0.1 + 0.1 + 0.1 > 0.3
    quotas = targets([("ann", *month, "0.10") for month in months])
    rows = opportunities([won("ann", "0.30", "2026-02-10")])
    book = make_book(tmp_path, users=people([("ann", None, None)]), quotas=quotas, opportunities=rows)
    assert value(book, "K01") == 1
    assert value(book, "K41", field="status") == "too few"


def test_people_make_no_share_of_one_nor_of_a_product(tmp_path):
    book = quarter_company(tmp_path)
    for by, says in (("rep", "one person"), ("product", "do not belong to a product")):
        rows = kpis.compute(book, ["K01", "K35", "K42"], by=by)
        assert set(rows["status"]) == {"not defined"}
        assert len(rows) == 9 * rows["segment"].nunique()
        assert rows["note"].str.contains("one person|do not belong").all()
        assert rows.loc[rows["kpi_id"].eq("K01"), "note"].str.contains(says).all()
    none = make_book(tmp_path / "none", quotas=targets([("ann", "2025-01-01", "2025-04-01", 5)]))
    assert value(none, "K01", field="status") == "not defined"
    months = make_book(tmp_path / "months", quotas=targets([("ann", "2026-01-01", "2026-02-01", 5)]))
    assert "cover 31 of the period's 90 days" in value(months, "K01", field="note")


# -- K41 -----------------------------------------------------------------------------------------------

QUARTERS = [("2025-01-01", "2025-04-01"), ("2025-04-01", "2025-07-01"), ("2025-07-01", "2025-10-01"),
            ("2025-10-01", "2026-01-01"), Q1]  # fmt: skip


def steady(path, as_of="2026-03-31"):
    """Quota 100 a quarter; 50, then exactly 100, 99.99, 150, none."""
    booked = [("50", "2025-02-03"), ("100.00", "2025-05-05"), ("99.99", "2025-08-08"), ("150", "2025-11-11")]
    return make_book(
        path, as_of, users=people([("ann", None, None), ("bob", None, None)]),
        quotas=targets([("ann", *quarter, 100) for quarter in QUARTERS]),
        opportunities=opportunities([won("ann", *pair) for pair in booked]),
    )  # fmt: skip


def test_consistency_is_of_the_last_four_completed_quarters(tmp_path):
    book = steady(tmp_path)
    assert value(book, "K41", segment="ann", by="rep") == 2 / 4
    assert value(book, "K41", by="team", segment="t") == 2 / 4
    assert value(book, "K41", "last 8 quarters", field="status") == "too few"
    assert "needs 8 completed quarters with a quota, has 5" in value(book, "K41", "last 8 quarters", field="note")
    assert value(book, "K41", segment="bob", by="rep", field="status") == "too few"
    spread = np.std([0.5, 1, 0.9999, 1.5, 0], ddof=1)
    assert value(book, "K41", "spread", segment="ann", by="rep") == pytest.approx(spread)
    # χ² with 4 degrees of freedom: 0.4844 and 11.1433
    assert value(book, "K41", "spread", field="low") == pytest.approx(spread * (4 / 11.1433) ** 0.5, rel=1e-4)
    assert value(book, "K41", "spread", field="high") == pytest.approx(spread * (4 / 0.4844) ** 0.5, rel=1e-4)


def test_a_running_quarter_is_not_completed(tmp_path):
    book = steady(tmp_path, as_of="2026-03-30")
    assert value(book, "K41") == 2 / 4  # 50, 100, 99.99, 150
    assert value(book, "K41", "spread") == pytest.approx(np.std([0.5, 1, 0.9999, 1.5], ddof=1))
    assert value(book, "K41", period=book.calendar.period("quarter", "2025-11-11"), field="n") == 4
    assert value(book, "K41", period=book.calendar.period("quarter", "2025-08-08"), field="status") == "too few"


# -- K35 -----------------------------------------------------------------------------------------------


def starters(path, ramp=(0, 1, 1, 2, 2, 3, 4, 5, 6, 7), left=3, as_of="2026-03-31", team="t"):
    """Two tenured win 100 a month. From 1 May 2025 on others do so, from month `ramp` on, for two months only.

    Three more leave on 31 August without it; the last of those who ramp works half time and wins 50.
    """
    months = [f"{day:%Y-%m}-15" for day in pd.date_range("2024-06-01", "2026-03-01", freq="MS")]
    rows = [won(who, 100, month) for who in ("ten", "old") for month in months]
    ids, fte = [f"s{k:02d}" for k in range(len(ramp))], 1.0
    for who, offset in zip(ids, ramp, strict=True):
        fte = 0.5 if who == ids[-1] else 1.0
        for k, month in enumerate(months[11:]):
            rows.append(won(who, (100 if offset <= k <= offset + 1 else 99) * fte, month))
    users = [("ten", None, None), ("old", "2020-01-01", None), ("few", "2026-02-10", None)]
    users += [(who, "2025-05-01", None) for who in ids]
    users += [(f"l{k}", "2025-05-01", "2025-08-31") for k in range(left)]
    frame = people(users, team_id=team)
    frame.loc[frame["user_id"].eq(ids[-1]), "fte"] = fte
    return make_book(path, as_of, users=frame, opportunities=opportunities(rows))


def months_after_start(day):
    return (pd.Timestamp(day) - pd.Timestamp("2025-05-01")).days / reps.MONTH_DAYS


def test_half_of_the_starters_have_ramped(tmp_path):
    """13 starters: with 3 who left for good the seventh to ramp is the median; 4 months after the start."""
    book = starters(tmp_path)
    assert value(book, "K35") == pytest.approx(months_after_start("2025-09-01"))
    assert value(book, "K35", field="n") == 13
    note = value(book, "K35", field="note")
    assert "1 left out: no start date" in note
    assert "1 left out: there before the records begin" in note
    assert "1 left out: too new" in note


def test_with_leavers_censored_it_is_sooner(tmp_path):
    """12/13 · 10/12 · 8/10 of 13 are left in July, 8 of them; 3 drop out, 4 of 5 stay: 0.49 in August."""
    book = starters(tmp_path)
    assert value(book, "K35", "leavers censored") == pytest.approx(months_after_start("2025-08-01"))
    assert value(book, "K35", by="team", segment="t") == value(book, "K35")


def test_ramped_means_two_months_in_a_row_at_the_median_of_the_tenured(tmp_path):
    rows = reps.ramps(starters(tmp_path), pd.Timestamp("2026-03-31").date())
    assert rows.loc["s00", ["ramped", "months"]].tolist() == [True, 0]
    assert rows.loc["s09", "months"] == pytest.approx(months_after_start("2025-12-01"))
    assert rows.loc["l0", "months"] == pytest.approx(months_after_start("2025-07-01"))  # July and August were seen
    assert rows.loc["l0", "months_if_stayed"] == pytest.approx(months_after_start("2026-02-01"))
    early = reps.ramps(starters(tmp_path / "one"), pd.Timestamp("2025-06-29").date())
    assert (early.loc[["s00", "l0"], "why_not"] == "too new").all()  # one whole month is no two


def test_ramp_refuses_with_few_and_where_the_tenured_sell_nothing(tmp_path):
    few = starters(tmp_path / "few", ramp=(0, 1, 2))
    assert value(few, "K35", field="status") == "too few"
    assert "needs 10 people who have ramped, has 3 of 6 followed" in value(few, "K35", field="note")
    slow = starters(tmp_path / "slow", left=12)
    assert value(slow, "K35", field="note").startswith("fewer than half have ramped")
    idle = make_book(
        tmp_path / "idle", users=people([("ten", None, None), ("new", "2025-05-01", None)]),
        opportunities=opportunities([won("ten", 100, day) for day in ("2024-06-15", "2026-03-15")]),
    )  # fmt: skip
    assert "the median month of the tenured is empty" in value(idle, "K35", field="note")
    nothing = make_book(
        tmp_path / "nothing", opportunities=opportunities([("ann", "demo", 1, "2026-01-01", None)])
    )
    assert value(nothing, "K35", field="status") == "too few"


# -- K42 -----------------------------------------------------------------------------------------------


def ranked(path, **changed):
    """Twelve people: the same order as before but for the first two; the more deals created the fewer bookings."""
    after = [2, 1, *range(3, 13)]
    rows = []
    for k in range(1, 13):
        rows.append(won(f"u{k:02d}", 10 * k, "2025-11-11"))
        rows += [(f"u{k:02d}", "demo", 5, "2025-12-01", None)] * (12 - k)
        rows.append(won(f"u{k:02d}", 7 * after[k - 1], "2026-02-02"))
    rows += [won("new", 1, "2025-11-11"), won("new", 9999, "2026-02-02")]
    users = people([(f"u{k:02d}", None, None) for k in range(1, 13)] + [("new", "2025-10-02", None)])
    return make_book(path, **{"users": users, "opportunities": opportunities(rows), **changed})


def test_does_a_kpi_tell_the_order_a_quarter_later(tmp_path):
    """Two neighbours swapped of twelve: 1 − 6 · 2 / (12 · 143); who came within the first quarter is out."""
    book, swapped = ranked(tmp_path), 1 - 12 / (12 * 143)
    assert value(book, "K42", "bookings") == pytest.approx(swapped)
    reach = 1.959964 * ((1 + swapped**2 / 2) / 9) ** 0.5
    assert value(book, "K42", "bookings", field="low") == pytest.approx(np.tanh(np.arctanh(swapped) - reach))
    assert value(book, "K42", "bookings", field="n") == 12
    assert value(book, "K42", "bookings", field="note") == "predicts; Q4 2025 to Q1 2026"
    assert value(book, "K42", "deals created") == pytest.approx(-swapped)
    assert value(book, "K42", "win rate", field="status") == "not defined"  # all won what they closed
    assert value(book, "K42", "pipeline at the start", field="status") == "no data"  # amounts then: not recorded
    assert value(book, "K42", "bookings", by="team", segment="t") == pytest.approx(swapped)


def test_half_time_people_are_compared_per_fte(tmp_path):
    users = ranked(tmp_path / "full").users.copy()
    users.loc[users["user_id"].isin(["u01", "u12"]), "fte"] = 0.1
    book, fte = ranked(tmp_path / "part", users=users), np.array([0.1, *[1.0] * 10, 0.1])
    later = 7 * np.array([2, 1, *range(3, 13)]) / fte
    for variant, before in (("bookings", np.arange(1, 13)), ("deals created", np.arange(12, 0, -1))):
        assert value(book, "K42", variant) == pytest.approx(spearmanr(before / fte, later).statistic)


def test_what_was_known_then_is_what_counts(book, sample_ws):
    """The pipeline of the sample company's people as another book shows it on the day the quarter ended."""
    then = sample_ws.book("2026-04-30")
    assert book.at("2026-04-30") == then
    with pytest.raises(ParameterError, match="lies after this book's as-of"):
        then.at("2026-05-01")
    pipeline = kpis.compute(then, "K08", by="rep", variants=["all"]).set_index("segment")["value"]
    quarter = book.calendar.period("quarter", "2026-05-01")
    booked = kpis.compute(book, "K26", quarter, by="rep", variants="default").set_index("segment")["value"]
    users = book.users.set_index("user_id")
    there = users[
        users["is_quota_carrying"] & ~(users["start_date"] > "2026-02-01") & ~(users["end_date"] < "2026-07-31")
    ]
    pair = [(column.reindex(there.index).fillna(0) / there["fte"]).tolist() for column in (pipeline, booked)]
    found = value(book, "K42", "pipeline at the start")
    assert found == pytest.approx(spearmanr(*pair).statistic)
    assert value(book, "K42", "pipeline at the start", field="n") == len(there)
    assert value(book, "K42", "win rate", field="note").startswith("descriptive: chance alone")


# -- what is missing -----------------------------------------------------------------------------------


def test_a_source_without_people_or_quotas_says_so(tmp_path):
    tables = make_tables()
    bare = make_book(tmp_path, users=tables["users"].iloc[:0], quotas=tables["quotas"].iloc[:0])
    assert set(kpis.compute(bare, ["K01", "K35", "K41", "K42"])["status"]) == {"no data"}
