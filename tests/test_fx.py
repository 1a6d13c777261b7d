"""Several currencies: every answer worked out by hand, on a company that reports in euros."""

import csv
from decimal import ROUND_HALF_EVEN, Decimal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salesops_lib import fx, gate, kpis, leadership, present
from salesops_lib.config import ControlTotal
from salesops_lib.errors import DataContractError, ParameterError
from salesops_lib.facts import deals, quotas, resolve_period, unrated
from salesops_lib.tables import conform, dtype, money, rate, violations
from tests.conftest import shared
from tests.test_kpis import make_book, make_tables, value

# 27 February 2026 is a Friday, 1 March a Sunday, 31 March a Tuesday
RATES = [
    ("USD", "2026-02-27", "daily", "0.900000000"),
    ("USD", "2026-03-02", "daily", "0.950000000"),
    ("USD", "2026-03-27", "daily", "0.800000000"),
    ("USD", "2026-03-30", "daily", "0.850000000"),
    ("USD", "2026-01-01", "plan", "0.920000000"),
    ("USD", "2025-01-01", "plan", "0.700000000"),
    ("GBP", "2026-02-28", "month_avg", "1.150000000"),
    ("GBP", "2026-02-02", "daily", "1.300000000"),
    ("GBP", "2026-03-31", "daily", "1.200000000"),
]


def rate_table(rows=RATES):
    columns = ["currency", "rate_date", "kind", "rate_to_corp"]
    return conform(pd.DataFrame(rows, columns=columns), "fx_rates")


def look_up(currency, day, kinds=fx.ACTUAL, rows=RATES):
    days = pd.Series([pd.Timestamp(day)])
    found = fx.rates(rate_table(rows), pd.Series([currency]), days, currency="EUR", kinds=kinds)
    return None if pd.isna(found[0]) else found[0]


def cents(amounts, currencies, days, rows=RATES, **options):
    amounts = money(pd.Series([amount and Decimal(amount) for amount in amounts]))
    days = pd.Series(pd.to_datetime(days))
    found = fx.price(amounts, pd.Series(currencies), days, rate_table(rows), currency="EUR", **options)
    return [None if pd.isna(amount) else str(amount) for amount in found]


# -- looking a rate up ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("currency", "day", "expected"),
    [
        ("USD", "2026-02-27", "0.9"),
        ("USD", "2026-03-01", "0.9"),  # Sunday: Friday's, not Monday's
        ("USD", "2026-03-02", "0.95"),
        ("USD", "2026-03-09", "0.95"),  # seven days old
        ("USD", "2026-03-10", None),  # eight, and no average of March
        ("USD", "2026-02-26", None),  # nothing before: a later rate is never taken
        ("GBP", "2026-02-05", "1.3"),  # a daily rate goes before an average
        ("GBP", "2026-02-20", "1.15"),  # too old, so the average of the month
        ("GBP", "2026-01-31", None),
        ("GBP", "2026-03-01", None),  # the average of February is not that of March
        ("EUR", "1999-01-01", "1"),
        ("CHF", "2026-02-27", None),
        (None, "2026-02-27", None),
        ("USD", None, None),
    ],
)
def test_a_rate_is_the_last_one_up_to_the_day(currency, day, expected):
    assert look_up(currency, day) == (expected and Decimal(expected))


def test_a_plan_rate_holds_until_the_next():
    assert look_up("USD", "2025-12-31", ("plan",)) == Decimal("0.7")
    assert look_up("USD", "2029-12-31", ("plan",)) == Decimal("0.92")
    assert look_up("USD", "2024-12-31", ("plan",)) is None
    assert look_up("GBP", "2026-02-03", fx.AGREED) == Decimal("1.3")  # no plan for it: the daily one


def test_rates_made_for_another_corporate_currency_are_refused():
    with pytest.raises(DataContractError, match=r"one EUR is worth 1\.08 .* `company: \{currency: …\}`"):
        look_up("USD", "2026-03-01", rows=[*RATES, ("EUR", "2026-01-01", "daily", "1.08")])
    assert look_up("USD", "2026-03-01", rows=[*RATES, ("EUR", "2026-01-01", "daily", "1")]) == Decimal("0.9")


def test_a_rate_keeps_nine_decimals_and_is_above_zero():
    assert str(rate(pd.Series([0.1, 1 / 3]))[1]) == "0.333333333"
    assert str(rate(pd.Series(["0.123456789"]))[0]) == "0.123456789"
    assert rate(pd.Series([7]))[0] == 7
    for wrong in (Decimal("0.1234567891"), "much", float("inf"), Decimal(10) ** 9):
        with pytest.raises(ParameterError, match=r"fx_rates\.rate_to_corp"):
            rate_table([("USD", "2026-01-01", "daily", wrong)])
    found = violations(
        rate_table([("USD", "2026-01-01", "daily", 0), ("USD", "2026-01-02", "spot", 1)]), "fx_rates"
    )
    found = found.set_index("column")
    assert found["reason"].to_dict() == {
        "rate_to_corp": "not above zero",
        "kind": "not one of daily, month_avg, plan",
    }
    assert found["fatal"].to_dict() == {"rate_to_corp": True, "kind": False}


# -- pricing -------------------------------------------------------------------------------------------


def test_trap_27_each_deal_is_converted_and_rounded_before_summing():
    """Three times 0.05 × 0.9 = 0.045 → 0.04 each, to the even cent: 0.12; the sum converted would be 0.14."""
    parts = cents(["0.05"] * 3, ["USD"] * 3, ["2026-02-27"] * 3)
    assert parts == ["0.04"] * 3
    assert cents(["0.15"], ["USD"], ["2026-02-27"]) == ["0.14"]  # 0.135: half to even, upwards
    assert cents(["-0.05"], ["USD"], ["2026-02-27"]) == ["-0.04"]


def test_the_widest_amount_is_exact():
    most = "9999999999999999.99"
    assert cents([most], ["USD"], ["2026-02-27"]) == ["8999999999999999.99"]  # .991
    assert cents([most], ["GBP"], ["2026-02-02"]) == [None]  # decimal(18, 2) cannot hold it


def test_no_amount_and_no_rate_stay_empty_and_nothing_at_all_is_fine():
    assert cents([None, "1.00"], ["USD", "CHF"], ["2026-02-27"] * 2) == [None, None]
    assert cents(["1.00", "2.00"], ["EUR", "USD"], ["2026-02-27"] * 2, rows=RATES[:0]) == ["1.00", None]
    assert cents([], [], []) == []


AMOUNTS = st.decimals("-999999999.99", "999999999.99", places=2)
QUOTES = st.decimals("0.000000001", "99999.999999999", places=9)
DAYS = st.dates(pd.Timestamp("2026-01-01").date(), pd.Timestamp("2026-03-31").date()).map(str)
DEALS = st.lists(st.tuples(AMOUNTS, st.sampled_from(["EUR", "USD", "GBP", "CHF"]), DAYS), min_size=1, max_size=20)
TABLE = st.lists(
    st.tuples(st.sampled_from(["USD", "GBP"]), DAYS, st.sampled_from(["daily", "month_avg", "plan"]), QUOTES),
    max_size=20, unique_by=lambda row: row[:3],
)  # fmt: skip
quick = settings(max_examples=25, deadline=None)


def plain(amount, currency, day, rows):
    """The oracle: one deal, one loop over the rates."""
    if currency == "EUR":
        return str(amount)
    day = pd.Timestamp(day)
    own = [(pd.Timestamp(d), kind, quote) for c, d, kind, quote in rows if c == currency]
    near = [(d, q) for d, kind, q in own if kind == "daily" and pd.Timedelta(0) <= day - d <= pd.Timedelta(days=7)]
    month = [(d, q) for d, kind, q in own if kind == "month_avg" and (d.year, d.month) == (day.year, day.month)]
    quote = max(near or month, default=None)
    return quote and str((amount * quote[1]).quantize(Decimal("0.01"), ROUND_HALF_EVEN))


@quick
@given(DEALS, TABLE)
def test_it_agrees_with_a_plain_loop(rows, table):
    expected = [plain(*row, table) for row in rows]
    found = cents(*zip(*rows, strict=True), rows=table)
    assert [f and Decimal(f) for f in found] == [e and Decimal(e) for e in expected]


@quick
@given(st.lists(AMOUNTS, min_size=1, max_size=20))
def test_a_rate_of_one_changes_nothing(amounts):
    days = ["2026-02-27"] * len(amounts)
    found = cents(amounts, ["USD"] * len(amounts), days, [("USD", "2026-02-27", "daily", 1)])
    assert (
        found == cents(amounts, ["EUR"] * len(amounts), days) == [str(money(pd.Series([a]))[0]) for a in amounts]
    )


@quick
@given(DEALS, TABLE, st.randoms())
def test_order_does_not_matter(rows, table, random):
    mixed, shuffled = rows.copy(), table.copy()
    random.shuffle(shuffled)
    order = list(range(len(rows)))
    random.shuffle(order)
    mixed = [rows[k] for k in order]
    found, again = (cents(*zip(*r, strict=True), rows=t) for r, t in ((rows, table), (mixed, shuffled)))
    assert [found[k] for k in order] == again


@quick
@given(DEALS, TABLE, st.sampled_from(["daily", "month_avg", "plan"]), QUOTES)
def test_later_rates_change_nothing(rows, table, kind, quote):
    later = [(c, "2026-04-01", kind, quote) for c in ("USD", "GBP", "CHF")]
    for kinds in (fx.ACTUAL, ("plan",), fx.AGREED):
        now, then = (cents(*zip(*rows, strict=True), rows=t, kinds=kinds) for t in (table, table + later))
        assert now == then


def test_the_index_of_the_rows_is_kept():
    amounts = money(pd.Series([Decimal(1), Decimal(2)], index=["b", "a"]))
    days = pd.Series(pd.Timestamp("2026-02-27"), index=["b", "a"])
    found = fx.price(amounts, pd.Series("USD", index=["b", "a"]), days, rate_table(), currency="EUR")
    assert found.map(str).to_dict() == {"b": "0.90", "a": "1.80"}
    assert found.dtype == dtype("money")


# -- a whole company -----------------------------------------------------------------------------------


def traded():
    """Won in euros 100; on Sunday 1 March 1,000 dollars, 100 pounds and 50 francs; 200 dollars open."""
    rows = make_tables()["opportunities"].set_index("opportunity_id")
    won, still_open = rows.loc["w1"], rows.loc["o1"]
    sunday = {"close_date": pd.Timestamp("2026-03-01"), "closed_at": pd.Timestamp("2026-03-01T12:00", tz="UTC")}
    made = {
        "eur": won,
        "usd": pd.Series({**won, **sunday, "currency": "USD", "amount": Decimal("1000.00")}),
        "gbp": pd.Series({**won, **sunday, "currency": "GBP", "amount": Decimal("100.00")}),
        "chf": pd.Series({**won, **sunday, "currency": "CHF", "amount": Decimal("50.00")}),
        "old": pd.Series({**won, **sunday, "currency": "USD", "amount": None, "type": "renewal"}),
        "open": pd.Series({**still_open, "currency": "USD", "amount": Decimal("200.00"),
                           "expected_close_date": pd.Timestamp("2026-06-20")}),
    }  # fmt: skip
    return conform(pd.DataFrame(made).T.rename_axis("opportunity_id").reset_index(), "opportunities")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_book(tmp_path_factory.mktemp("fx"), opportunities=traded(), fx_rates=rate_table())


def at(book, as_of, rates="actual"):
    return type(book)(book.snapshot, book.calendar.instant(as_of), book.company, book.calendar, rates)


def prices(book):
    found = deals(book).set_index("opportunity_id")["priced"]
    return {key: None if pd.isna(amount) else str(amount) for key, amount in found.items()}


def test_a_closed_deal_has_the_rate_of_its_day_and_an_open_one_that_of_the_as_of_day(world):
    assert prices(world) == {
        "eur": "100.00", "usd": "900.00", "gbp": None, "chf": None, "old": None, "open": "170.00",
    }  # fmt: skip
    later = at(world, "2026-04-06")  # Easter Monday: 30 March is seven days back
    assert prices(later) == prices(world)
    assert prices(at(world, "2026-04-07"))["open"] is None


def test_an_open_deal_changes_with_the_as_of_day_a_closed_one_does_not(tmp_path):
    rates = [*RATES, ("USD", "2026-04-01", "daily", "0.600000000")]
    book = make_book(tmp_path, "2026-04-01", opportunities=traded(), fx_rates=rate_table(rates))
    assert value(book, "K08", "all") == 120
    assert value(at(book, "2026-03-31"), "K08", "all") == 170
    assert prices(book)["usd"] == prices(at(book, "2026-03-31"))["usd"] == "900.00"


def test_a_rate_after_the_as_of_day_is_not_known(world):
    early = at(world, "2026-03-01")
    assert set(early.fx_rates["rate_date"].dt.strftime("%m-%d")) == {"02-27", "02-28", "01-01", "02-02"}
    assert prices(early)["usd"] == "900.00"
    assert set(at(world, "2025-06-30", "plan").fx_rates["rate_to_corp"].map(str)) == {"0.700000000"}


def test_trap_28_a_missing_rate_is_counted_not_priced_and_said(world):
    assert value(world, "K25") == 4
    assert value(world, "K26") == 1000
    note = value(world, "K26", field="note")
    assert note == "2 counted but not priced (2 no rate for CHF, GBP)"
    assert value(world, "K26", "renewals", field="note") == "none of 1 deals has a price"  # no amount at all
    assert value(world, "K03") == 1  # rates of counts need no price
    found = unrated(world)
    assert found.assign(amount=found["amount"].map(str)).to_dict("records") == [
        {"currency": "CHF", "deals": 1, "amount": "50.00", "reason": "no daily or month_avg rate known"},
        {"currency": "GBP", "deals": 1, "amount": "100.00",
         "reason": "no daily rate in the 7 days before, no month_avg of the month"},
    ]  # fmt: skip
    assert "2 deals counted but not priced: no rate for CHF, GBP." in present.losses(world).text
    page = leadership.summarize(world)
    assert page.headline.startswith("Booked 1.00 k EUR in Q1 2026 (4 deals, 0 w/w)")
    assert ", 2 counted but not priced (2 no rate for CHF, GBP)" in page.headline
    assert page.people["deals_won"].tolist() == [4]
    assert page.quarters["deals_won"].tolist()[-2:] == [4, 4]


def test_where_no_deal_has_a_rate_there_is_no_sum(tmp_path):
    rows = traded()
    rows = rows[rows["opportunity_id"].isin(["gbp", "chf"])].reset_index(drop=True)
    book = make_book(tmp_path, opportunities=rows)
    assert value(book, "K26", field="status") == "no data"
    assert value(book, "K26", field="note") == "none of 2 deals has a price (2 no rate for CHF, GBP)"
    assert leadership.summarize(book).products["booked"].isna().all()  # no amount is no zero
    lost = rows.assign(is_won=False, stage_id="lost")
    book = make_book(tmp_path / "lost", opportunities=conform(lost, "opportunities"))
    assert "(2 no rate for CHF, GBP)" in value(book, "K03", "value", field="note")


def test_trap_29_a_new_rate_rewrites_no_history(tmp_path, world):
    """Dated rates: what a later row says changes no closed deal; constant currency is a view of its own."""
    rates = [*RATES, ("USD", "2026-03-31", "daily", "0.100000000"), ("USD", "2026-03-31", "plan", "0.500000000")]
    book = make_book(tmp_path, opportunities=traded(), fx_rates=rate_table(rates))
    assert value(book, "K26") == value(world, "K26") == 1000
    assert value(world.at_plan_rates(), "K26") == 1020
    assert value(book.at_plan_rates(), "K26") == 600
    assert value(at(book, "2026-03-30", "plan"), "K26") == 1020  # the new plan was not in force yet


def test_trap_30_a_home_currency_amount_is_recomputed_not_read(world):
    """The deal's own amount and currency are all that is loaded; the price comes from dated rates, to the cent."""
    assert not {"home", "base", "corp"} & {part for c in world.opportunities for part in c.split("_")}
    for day in ("2026-03-01", "2026-03-15", "2026-03-31"):
        assert prices(at(world, day))["usd"] == "900.00"


def test_constant_currency_is_one_plan_rate_for_old_and_new(world):
    plan = world.at_plan_rates()
    assert prices(plan) == {
        "eur": "100.00", "usd": "920.00", "gbp": None, "chf": None, "old": None, "open": "184.00",
    }  # fmt: skip
    assert plan.at_plan_rates() == plan != world
    assert plan._read is world._read
    assert set(unrated(plan)["reason"]) == {"no plan rate known"}
    assert "EUR, constant currency, plan rates" in present.run_details(plan).text
    assert present.as_of_line(plan).text.split(". ")[0].endswith("EUR, constant currency, plan rates.")
    assert "constant" not in present.run_details(world).text + present.as_of_line(world).text


def test_a_workspace_opens_it_at_plan_rates(sample_ws):
    book = sample_ws.book("2026-09-30")
    assert sample_ws.book("2026-09-30", rates="plan") == book.at_plan_rates()
    assert sample_ws.book("2026-09-30") is book
    assert kpis.compute(book, "K26").equals(kpis.compute(book.at_plan_rates(), "K26"))  # all in euros
    with pytest.raises(ParameterError, match="Did you mean 'plan'"):
        sample_ws.book("2026-09-30", rates="plans")


def test_the_parts_make_the_whole_to_the_cent(tmp_path):
    base, few = traded().iloc[[1]], 60
    rows = pd.concat([base] * few, ignore_index=True).assign(
        opportunity_id=[f"d{k}" for k in range(few)],
        amount=[Decimal(k * 7 + 1) / 100 for k in range(few)],
        currency=["USD", "GBP", "EUR"] * (few // 3),
        owner_id=["ann", "bob"] * (few // 2),
        owner_at_close_id=["ann", "bob"] * (few // 2),
        product_family=["P", "Q", None] * (few // 3),
        close_date=pd.Timestamp("2026-02-28"),
    )
    book = make_book(tmp_path, opportunities=conform(rows, "opportunities"), fx_rates=rate_table())
    factor = {"USD": Decimal("0.9"), "GBP": Decimal("1.15"), "EUR": Decimal(1)}
    expected = sum(
        (a * factor[c]).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
        for a, c in zip(rows["amount"], rows["currency"], strict=True)
    )
    assert Decimal(str(value(book, "K26"))) == expected
    for by in ("rep", "team", "product"):
        parts = kpis.compute(book, "K26", by=by, variants="default")["value"].dropna()
        assert sum(Decimal(str(part)) for part in parts) == expected, by


def quota_rows(currencies):
    rows = make_tables()["quotas"].iloc[: len(currencies)]
    return conform(
        rows.assign(currency=currencies, version=1, holder_id=["ann", "bob", "cat"][: len(rows)]), "quotas"
    )


def test_a_foreign_quota_takes_the_plan_rate_of_its_start_else_that_day_else_none(tmp_path):
    """400 USD at the plan's 0.92; 600 GBP at the day's 1.25; 200 CHF left out, and said so."""
    rates = [*RATES, ("GBP", "2025-12-31", "daily", "1.250000000"), ("USD", "2026-02-01", "plan", "0.5")]
    book = make_book(tmp_path, quotas=quota_rows(["USD", "GBP", "CHF"]), fx_rates=rate_table(rates))
    quarter = resolve_period(book, "quarter")
    rows, said, _ = quotas(book, quarter)
    assert rows.set_index("holder_id")["agreed"].to_dict() == {"ann": 368, "bob": 750}
    assert said == "1 quotas left out, no rate for CHF"
    assert "1 quotas left out, no rate for CHF" in value(book, "K02", field="note")
    rows, said, _ = quotas(book.at_plan_rates(), quarter)  # constant currency: today's plan for all
    assert rows.set_index("holder_id")["agreed"].to_dict() == {"ann": 200}
    assert said == "2 quotas left out, no rate for CHF, GBP"


def test_a_control_total_of_several_currencies_says_so(world):
    total = {"opportunities": ControlTotal(amount=Decimal("1450.00"))}
    found = gate.reconcile(world.snapshot, total).iloc[0]
    assert (found["measure"], found["difference"]) == ("amount, 4 currencies added as written", "0.00")


def test_real_rates_of_a_dollar_company(tmp_path):
    """AdventureWorks quotes currency per dollar: its inverse is made by the source, exactly, never here."""
    file = shared("adventureworks") / "tables/oltp_CurrencyRate.csv"
    with file.open(encoding="utf-8") as lines:
        read = [row for row in csv.DictReader(lines) if row["ToCurrencyCode"] in ("EUR", "GBP", "CAD", "USD")]
    rows = [
        (r["ToCurrencyCode"], r["CurrencyRateDate"][:10], "daily", round(1 / Decimal(r["EndOfDayRate"]), 9))
        for r in read
    ]
    table = rate_table(rows)
    assert violations(table, "fx_rates").empty
    day = pd.Timestamp("2022-05-30")
    amounts, names = money(pd.Series([Decimal("1000.00")] * 4)), pd.Series(["EUR", "GBP", "CAD", "USD"])
    found = fx.price(amounts, names, pd.Series([day] * 4), table, currency="USD")
    quoted = {
        r["ToCurrencyCode"]: Decimal(r["EndOfDayRate"]) for r in read if r["CurrencyRateDate"][:10] == "2022-05-30"
    }
    assert found.tolist() == [(1000 / quoted[name]).quantize(Decimal("0.01")) for name in names]
    assert found.iloc[0] == Decimal("1030.61")  # 1000 ÷ 0.9703
    gone = fx.price(
        amounts, names, pd.Series([table["rate_date"].max() + pd.Timedelta(days=8)] * 4), table, currency="USD"
    )
    assert gone.isna().tolist() == [True, True, True, False]
