"""Definitions on a hand-made company whose answers fit in the head."""

import math
from decimal import Decimal

import pandas as pd
import pytest

from salesops_lib import facts, kpis
from salesops_lib.config import CompanySettings
from salesops_lib.errors import ParameterError
from salesops_lib.facts import deals, resolve_period
from salesops_lib.sources import Loaded
from salesops_lib.sources.convert import FINDINGS, QUARANTINE
from salesops_lib.tables import conform
from tests.conftest import make_workspace

# id, owner, stage, amount, created, closed, type; the year is the calendar year
DEALS = [
    ("w1", "ann", "won", "100.00", "2026-01-01", "2026-02-10", "new"),
    ("w2", "ann", "won", "200.00", "2026-01-11", "2026-02-10", "new"),
    ("l1", "bob", "lost", "400.00", "2026-01-05", "2026-02-20", "new"),
    ("r1", "bob", "won", "5000.00", "2026-01-05", "2026-02-20", "renewal"),
    ("o1", "bob", "demo", "100.00", "2026-02-01", None, "new"),
    ("o2", "ann", "demo", None, "2026-02-01", None, "new"),
    ("x1", "ann", "won", "900.00", "2025-11-01", "2025-12-31", "new"),
    ("f1", "ann", "won", "7.00", "2026-01-01", "2026-02-11", "new"),
]


def make_tables(**changed):
    def frame(name, rows):
        return conform(pd.DataFrame(rows), name)

    stage = {"pipeline_id": "p", "valid_from": "2020-01-01", "forecast_category": "pipeline"}
    rows = []
    for key, owner, at, amount, created, closed, kind in DEALS:
        shut = closed is not None
        rows.append(
            {
                "opportunity_id": key, "owner_id": owner, "owner_at_close_id": owner if shut else None,
                "pipeline_id": "p", "stage_id": at, "amount": amount and Decimal(amount),
                "currency": "USD" if key == "f1" else "EUR", "created_at": f"{created}T09:00:00Z",
                "closed_at": f"{closed}T09:00:00Z" if shut else None, "close_date": closed,
                "expected_close_date": closed or "2026-03-20", "is_closed": shut, "is_won": at == "won",
                "type": kind, "is_deleted": False, "product_family": "P" if owner == "ann" else None,
            }
        )  # fmt: skip
    return {
        "teams": frame("teams", [{"team_id": "t", "name": "Team", "region": "North"}]),
        "users": frame("users", [
            {"user_id": u, "name": n, "is_quota_carrying": True, "is_active": True, "team_id": "t", "fte": fte,
             "start_date": start, "end_date": None}
            for u, n, fte, start in (
                ("ann", "Ann", 1.0, None), ("bob", "Bob", 0.5, None), ("cat", "Cat", 1.0, "2026-02-15")
            )
        ]),
        "stages": frame("stages", [
            stage | {"stage_id": s, "stage_name": s, "stage_order": k, "is_closed": k > 1, "is_won": s == "won",
                     "is_qualified": True, "probability_default": p}
            for k, (s, p) in enumerate((("demo", 0.5), ("won", 1.0), ("lost", 0.0)), start=1)
        ]),
        "opportunities": frame("opportunities", rows),
        "quotas": frame("quotas", [
            {"holder_type": "user", "holder_id": u, "period_start": "2026-01-01", "period_end": "2026-04-01",
             "measure": "bookings", "version": v, "quota_amount": Decimal(a), "currency": "EUR", "is_overlay": o}
            for u, v, a, o in (("ann", 1, 400, False), ("ann", 2, 600, False), ("bob", 1, 200, False),
                               ("cat", 1, 900, False), ("bob", 9, 5000, True))
        ]),
    } | changed  # fmt: skip


def make_book(path, as_of="2026-03-31", **changed):
    tables = make_tables(**changed)
    counts = pd.DataFrame({"table": list(tables), "rows_in": [len(t) for t in tables.values()]})
    loaded = Loaded(
        tables=tables,
        quarantine=pd.DataFrame(columns=QUARANTINE),
        report=counts.assign(rows_kept=counts["rows_in"], rows_quarantined=0, reason=""),
        findings=pd.DataFrame(columns=FINDINGS),
        company=CompanySettings(currency="EUR", timezone="UTC"),
        extracted_at=pd.Timestamp("2026-03-31T20:00", tz="UTC"),
    )
    ws = make_workspace(path)
    ws.save(loaded)
    return ws.book(as_of)


@pytest.fixture(scope="module")
def hand(tmp_path_factory):
    return make_book(tmp_path_factory.mktemp("hand"))


def value(book, kpi_id, variant=None, segment=None, by=None, period="quarter", field="value"):
    frame = kpis.compute(book, kpi_id, period, by=by)
    row = frame[frame["variant"].eq(variant or kpis.REGISTRY[kpi_id].default)]
    if segment:
        row = row[row["segment"].eq(segment)]
    assert len(row) == 1
    return row.iloc[0][field]


def test_bookings_count_what_closed_in_the_quarter_and_keep_renewals_apart(hand):
    assert value(hand, "K26") == 300  # the dollar deal is counted, not priced; last year's is out
    assert "1 counted but not priced" in value(hand, "K26", field="note")
    assert value(hand, "K26", "renewals") == 5000
    assert value(hand, "K25") == 3
    assert value(hand, "K25", "renewals") == 1


def test_win_rate_is_won_of_closed(hand):
    assert value(hand, "K03") == 3 / 4
    assert value(hand, "K03", field="n") == 4
    assert value(hand, "K03", "won of all") == 3 / 6
    assert value(hand, "K03", segment="ann", by="rep") == 1
    assert value(hand, "K03", segment="bob", by="rep") == 0
    assert value(hand, "K03", segment="cat", by="rep", field="status") == "not defined"


def test_value_win_rate_is_of_sums(hand):
    row = kpis.compute(hand, "K03", "quarter", variants=["value"]).iloc[0]
    assert row["value"] == 300 / 700
    assert (row["low"], row["high"], row["n"]) == (0, 1, 3)  # three deals say next to nothing
    assert "1 without a price" in row["note"]
    alone = kpis.compute(hand, "K03", "quarter", by="rep", variants=["value"]).set_index("segment")
    assert alone.loc["ann", "value"] == 1  # two wins, no loss
    assert alone.loc["ann", "low"] < 0.5


def test_value_win_rate_is_not_defined_where_lost_amounts_are_blank(tmp_path):
    rows = make_tables()["opportunities"]
    rows["amount"] = rows["amount"].mask(rows["stage_id"].eq("lost"))
    assert value(make_book(tmp_path, opportunities=rows), "K03", "value", field="status") == "not defined"


def test_cycle_is_forty_days_not_minus_forty(tmp_path):
    rows = make_tables()["opportunities"]
    longer = pd.concat([rows.iloc[[0]].assign(opportunity_id=f"c{k}") for k in range(6)], ignore_index=True)
    book = make_book(tmp_path, opportunities=conform(longer, "opportunities"))
    assert value(book, "K05") == 40
    assert value(book, "K05", "mean") == 40


def test_negative_cycles_are_left_out_and_counted(tmp_path):
    rows = make_tables()["opportunities"]
    won = [rows.iloc[[0]].assign(opportunity_id=f"c{k}") for k in range(6)]
    won.append(rows.iloc[[0]].assign(opportunity_id="back", created_at=pd.Timestamp("2026-02-12", tz="UTC")))
    book = make_book(tmp_path, opportunities=conform(pd.concat(won, ignore_index=True), "opportunities"))
    assert value(book, "K05") == 40
    assert "1 closed before they began" in value(book, "K05", field="note")


def test_weighted_pipeline_is_a_sum_of_products(hand):
    """One open deal of 100 at 50 %: 50, never 5,000; the won and lost ones are not in it."""
    assert value(hand, "K08", "weighted") == 0  # due on 20 March: overdue on the 31st
    assert value(hand, "K08", "overdue") == 100
    earlier = hand.calendar.instant("2026-03-10")
    book = type(hand)(hand.snapshot, earlier, hand.company, hand.calendar)
    assert value(book, "K08", "all", field="status") == "no data"  # untracked before the export: unknown


def test_weighted_pipeline_before_it_is_overdue(tmp_path):
    rows = make_tables()["opportunities"]
    rows["expected_close_date"] = pd.Timestamp("2026-06-20")
    book = make_book(tmp_path, as_of="2026-04-01", opportunities=rows)
    assert value(book, "K08", "weighted") == 50
    assert value(book, "K08", "open") == 100
    assert value(book, "K08", "all") == 100


def test_attainment_takes_the_newest_quota_and_no_overlay(hand):
    assert value(hand, "K02", segment="ann", by="rep") == pytest.approx(300 / 600)
    assert value(hand, "K02", segment="bob", by="rep") == 0


def test_quota_is_prorated_for_the_days_a_person_was_there(hand):
    """Cat starts on 15 February: 45 of the quarter's 90 days."""
    agreed, cat = 600 + 200 + 900, 900 * 45 / 90
    assert value(hand, "K02") == pytest.approx(300 / (600 + 200 + cat))
    assert value(hand, "K02", "quota as agreed") == pytest.approx(300 / agreed)
    assert value(hand, "K02", segment="t", by="team") == pytest.approx(300 / (600 + 200 + cat))


def test_quotas_by_month_count_for_the_whole_quarter(tmp_path):
    """A quota nobody dated was agreed beforehand: the months still to come belong to the target."""
    rows = make_tables()["quotas"].iloc[:1]
    months = [("2026-01-01", "2026-02-01"), ("2026-02-01", "2026-03-01"), ("2026-03-01", "2026-04-01")]
    parts = [rows.assign(period_start=pd.Timestamp(a), period_end=pd.Timestamp(b)) for a, b in months]
    book = make_book(tmp_path, as_of="2026-02-28", quotas=conform(pd.concat(parts, ignore_index=True), "quotas"))
    assert value(book, "K02") == pytest.approx(300 / 1200)
    assert value(book, "K02", period="year", field="status") == "not defined"
    assert "cover 90 of the period's 365 days" in value(book, "K02", period="year", field="note")


def test_average_quarterly_revenue_needs_whole_quarters_and_people(hand):
    assert value(hand, "K27", period="month", field="note") == "needs whole quarters"
    assert value(hand, "K27", segment="P", by="product", field="note") == "people do not belong to a product"


def test_history_without_a_creation_row_keeps_a_lost_deal_lost(tmp_path):
    """Field history begins with the first change: the stage a deal left was reached too."""
    rows = [{"opportunity_id": "l1", "changed_at": "2026-02-20T09:00:00Z", "field": "stage", "seq": 0,
             "old_value": "demo", "new_value": "lost", "is_bulk": False, "origin": "native"}]  # fmt: skip
    book = make_book(tmp_path, opportunity_history=conform(pd.DataFrame(rows), "opportunity_history"))
    assert value(book, "K03") == 3 / 4


def test_after_the_export_open_deals_are_not_watched_any_longer(book, sample_ws):
    later = sample_ws.book("2028-12-31")
    window = book.calendar.trailing("quarter", 4, book.day)
    wanted = {"variants": ["created cohort", "Kaplan–Meier"]}
    before, after = (kpis.compute(b, ["K03", "K05"], window, **wanted) for b in (book, later))
    assert after["value"].tolist() == pytest.approx(before["value"].tolist())


def test_pace_divides_by_the_working_days_gone(tmp_path):
    book = make_book(tmp_path, as_of="2026-02-28")
    gone = book.calendar.elapsed(resolve_period(book, "quarter"), book.day)
    assert 0.6 < gone < 0.7
    assert value(book, "K02", "pace") == pytest.approx(value(book, "K02") / gone)
    assert "period not over" in value(book, "K02", field="note")


def test_revenue_per_rep_divides_by_day_weighted_fte(hand):
    """1 + 0.5 + 45/90 full-time equivalents."""
    assert value(hand, "K27") == pytest.approx(300 / 2.0)
    assert value(hand, "K27", "per head at end") == pytest.approx(300 / 3)


def test_quota_is_not_defined_for_a_product(hand):
    assert value(hand, "K02", segment="P", by="product", field="status") == "not defined"
    assert value(hand, "K26", segment="P", by="product") == 300


def test_segments_add_up_to_the_company(book):
    for period in ("quarter", "4 quarters"):
        for kpi_id in ("K25", "K26"):
            whole = kpis.compute(book, kpi_id, period, variants="default")["value"].iloc[0]
            for by in ("rep", "team", "region", "segment", "product", "source", "type"):
                parts = kpis.compute(book, kpi_id, period, by=by, variants="default")["value"].sum()
                assert parts == pytest.approx(whole), by


def test_every_row_has_a_number_with_interval_and_n_or_says_why(book):
    frame = kpis.compute(book, period="4 quarters", by="rep")
    fine = frame[frame["status"].eq("ok")]
    bare = fine["low"].isna()
    assert (
        fine.loc[bare, "note"]
        .str.contains("no deals, so no range|none in this period|a chance is its own range")
        .all()
    )
    assert (bare | (fine["low"] <= fine["value"] + 1e-9)).all()
    assert (bare | (fine["value"] <= fine["high"] + 1e-9)).all()
    rest = frame[frame["status"].ne("ok")]
    assert rest["value"].isna().all()
    assert rest["note"].str.len().gt(0).all()
    assert set(frame["status"]) <= {"ok", "too few", "not defined", "no data"}


def test_deals_are_counted_once_whatever_does_not_match(tmp_path):
    tables = make_tables()
    book = make_book(tmp_path, users=tables["users"].iloc[:0], teams=tables["teams"].iloc[:0])
    assert len(deals(book)) == len(DEALS)
    assert set(kpis.compute(book, "K26", by="team")["segment"]) == {"not assigned"}
    assert math.isclose(kpis.compute(book, "K26", by="team", variants="default")["value"].sum(), 300)


def test_disqualified_deals_are_neither_won_nor_lost(book):
    rows = deals(book)
    assert rows["is_disqualified"].sum() > 0
    assert (
        (rows["is_won"].astype(int) + rows["is_lost"] + rows["is_disqualified"])
        .eq(rows["is_closed"].astype(int))
        .all()
    )
    reached = book.passed_stages()
    early = (
        reached.groupby("opportunity_id")["stage_id"].agg(set).loc[rows[rows["is_disqualified"]]["opportunity_id"]]
    )
    assert early.map(lambda stages: stages <= {"sample:prospecting", "sample:lost"}).all()


def test_unknown_names_show_the_near_miss(hand):
    for arguments, says in (
        ({"ids": "k03"}, "Did you mean 'K03'"),
        ({"by": "teams"}, "Did you mean 'team'"),
        ({"period": "quater"}, "Did you mean 'quarter'"),
        ({"ids": "K03", "variants": ["cont"]}, "Did you mean 'count'"),
    ):
        with pytest.raises(ParameterError, match=says):
            kpis.compute(hand, **arguments)


def test_the_catalogue_tells_every_definition():
    frame = kpis.catalogue()
    assert {"K02", "K03", "K05", "K06", "K08", "K25", "K26", "K27"} <= set(frame["kpi_id"])
    assert (
        frame[["name", "meaning", "formula", "population", "attribution", "interval", "source"]]
        .ne("")
        .all(axis=None)
    )
    assert not frame.duplicated(["kpi_id", "variant"]).any()


@pytest.mark.parametrize("by", ["rep", "team", "segment"])
def test_the_rows_of_a_segment_are_cut_from_the_companys(book, by):
    period = facts.resolve_period(book, "4 quarters")
    rows = facts.deals(book)
    for segment in [*facts.members(book, by, period)[:4], "nobody"]:
        cut = facts.part(book, period, by, segment)
        own = facts.Facts(book, period, rows[rows[by].eq(segment)], by, segment)
        pd.testing.assert_frame_equal(cut.deals, own.deals)
        for name in ("closed", "won", "open"):
            for renewals in (False, True):
                taken = (getattr(each, name)(renewals=renewals) for each in (cut, own))
                pd.testing.assert_frame_equal(*taken)
        pd.testing.assert_frame_equal(cut.created(), own.created())
        if by in facts.PEOPLE:
            users = facts.carriers(book, period)
            mine = users[users["user_id" if by == "rep" else "team_id"].eq(segment)]
            pd.testing.assert_frame_equal(cut.carriers(), mine)
