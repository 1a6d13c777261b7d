"""Eight deals on which a widely used set of Salesforce models goes wrong; every answer fits in the head.

Two wins without a loss as 0 %, the value of a win rate from counts, a probability of 50 taken as fifty times the
amount, a cycle of minus forty days, and a forecast category nobody had heard of, with its deal dropped.
"""
# ruff: noqa: E501 - records are kept on one line

import pytest

from salesops_lib import kpis
from tests.conftest import make_workspace

ANN, BOB = "005A00000000001IAA", "005A00000000002IAA"
DEALS = f"""Id,OwnerId,Name,StageName,Amount,Probability,CloseDate,IsClosed,IsWon,CreatedDate,Type,ForecastCategory,CurrencyIsoCode
006A00000000001IAA,{ANN},Won one,Closed Won,100,100,2026-02-10,true,true,2026-01-01T09:00:00.000Z,New Business,Closed,EUR
006A00000000002IAA,{ANN},Won two,Closed Won,200,100,2026-02-10,true,true,2026-01-01T09:00:00.000Z,New Business,Closed,EUR
006A00000000003IAA,{BOB},Lost,Closed Lost,400,0,2026-02-20,true,false,2026-01-05T09:00:00.000Z,New Business,Omitted,EUR
006A00000000004IAA,{ANN},Even chance,Proposal,100,50,2026-03-20,false,false,2026-02-01T09:00:00.000Z,New Business,Pipeline,EUR
006A00000000005IAA,{BOB},Most likely,Negotiation,,80,2026-03-20,false,false,2026-02-01T09:00:00.000Z,New Business,MostLikely,EUR
006A00000000006IAA,{BOB},No amount,Proposal,,50,2026-03-20,false,false,2026-02-01T09:00:00.000Z,New Business,Pipeline,EUR
006A00000000007IAA,{BOB},No category,Proposal,,50,2026-03-20,false,false,2026-02-01T09:00:00.000Z,New Business,,EUR
006A00000000008IAA,{BOB},Omitted,Proposal,,50,2026-03-20,false,false,2026-02-01T09:00:00.000Z,New Business,Omitted,EUR
"""
USERS = f"Id,Name,IsActive,ForecastEnabled\n{ANN},Ann,true,true\n{BOB},Bob,true,true\n"


def company(root, deals):
    folder = root / "export_2026-02-28"
    folder.mkdir(parents=True)
    (folder / "Opportunity.csv").write_text(deals, encoding="utf-8")
    (folder / "User.csv").write_text(USERS, encoding="utf-8")
    ws = make_workspace(root / "ws")
    ws.ingest("salesforce", folder)
    return ws.book("2026-02-28")


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    return company(tmp_path_factory.mktemp("eight"), DEALS)


def row(book, kpi_id, variant, rep=None):
    frame = kpis.compute(book, kpi_id, "quarter", by="rep" if rep else None, variants=[variant])
    return frame[frame["segment"].str.contains(rep)].iloc[0] if rep else frame.iloc[0]


def test_all_eight_are_there_and_add_up(eight):
    deals = eight.opportunities
    assert len(deals) == 8
    won, closed = deals["is_won"], deals["is_closed"]
    assert ((won & closed).sum(), (closed & ~won).sum(), (~closed).sum()) == (2, 1, 5)
    assert eight.losses["rows_quarantined"].sum() == 0


def test_two_wins_and_no_loss_are_a_hundred_percent(eight):
    assert row(eight, "K03", "count", ANN)["value"] == 1.0
    assert row(eight, "K03", "count", BOB)["value"] == 0.0
    assert row(eight, "K03", "value", ANN)["value"] == 1.0


def test_the_team_wins_two_of_three_by_count_and_three_sevenths_by_value(eight):
    count, worth = row(eight, "K03", "count"), row(eight, "K03", "value")
    assert (round(count["value"], 3), count["n"]) == (0.667, 3)
    assert round(worth["value"], 3) == 0.429
    assert worth["value"] == pytest.approx(300 / 700)


def test_a_hundred_at_fifty_percent_weighs_fifty(eight):
    weighted = row(eight, "K08", "weighted")
    assert weighted["value"] == 50
    assert "4 counted but not priced" in weighted["note"]
    assert eight.opportunities["probability_crm"].between(0, 1).all()


def test_a_most_likely_deal_stays_in_the_pipeline(eight):
    behind = kpis.rows_behind(eight, "K08", "quarter").set_index("name")
    assert len(behind) == 5
    assert behind.loc["Most likely", "forecast_category"] == "most_likely"
    assert row(eight, "K08", "open")["value"] == 100


def test_with_an_amount_it_counts_like_any_other(tmp_path):
    book = company(tmp_path, DEALS.replace("Negotiation,,80", "Negotiation,1000,80"))
    assert row(book, "K08", "open")["value"] == 1100
    assert row(book, "K08", "weighted")["value"] == 850


def test_a_cycle_of_forty_days_is_not_minus_forty(eight, tmp_path):
    behind = kpis.rows_behind(eight, "K05", "quarter")
    days = (behind["close_date"] - behind["created_at"].dt.tz_localize(None).dt.normalize()).dt.days
    assert days.tolist() == [40, 40]
    few = row(eight, "K05", "median")
    assert (few["status"], few["note"]) == ("too few", "needs 6 cases, has 2")  # two deals make no median
    head, won = DEALS.splitlines()[:2]
    more = "\n".join([head, *(won.replace("0000001IAA,005", f"000000{k}IAA,005") for k in range(1, 7))])
    many = company(tmp_path, f"{more}\n")
    for variant in ("median", "mean"):
        assert row(many, "K05", variant)["value"] == pytest.approx(40, abs=1)
