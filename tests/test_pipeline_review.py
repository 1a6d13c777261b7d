"""Coverage, yield and the review of the pipeline: a company whose past quarters and open deals fit in the head."""

from datetime import date
from decimal import Decimal

import pandas as pd
import pytest

from salesops_lib import kpis, present
from salesops_lib.errors import InsufficientData
from salesops_lib.language import speaking
from salesops_lib.pipeline import charts, review, shown_as
from salesops_lib.tables import conform
from tests.test_kpis import make_book, value
from tests.test_pipeline import amounts, check, company_of, life

TODAY = "2026-02-13"  # the 32nd working day of its quarter, as each day below is of its own
POINTS = {"2025-01-01": "02-13", "2025-04-01": "05-14", "2025-07-01": "08-13", "2025-10-01": "11-13"}
OPENED, BOOKED = (400, 600, 500, 500), (100, 200, 100, 100)  # by quarter: 2,000 open for 500 booked


def past_quarters(skip=0):
    """Each past quarter: one deal won before the point, one won after it, one pushed out and lost after it."""
    first = "2025-01-02" if skip else "2024-12-02"  # a quarter counts that began after the first deal
    lives = {"oldest": life("1.00", ("2025-01-06", "stage", "lost"), created=first)}
    for k, (start, point) in enumerate(list(POINTS.items())[skip:], start=skip):
        begun, year = str((pd.Timestamp(start) + pd.Timedelta(days=10)).date()), start[:4]
        end = str((pd.Timestamp(start) + pd.DateOffset(months=3) - pd.Timedelta(days=1)).date())
        at = {"created": begun, "expected_close_date": end}
        lives |= {
            f"early {k}": life("7000.00", (f"{year}-{point}", "stage", "won"), **at),
            f"later {k}": life(f"{BOOKED[k]}.00", (end, "stage", "won"), **at),
            f"fallen {k}": life(f"{OPENED[k] - BOOKED[k]}.00", (end, "stage", "lost"), **at),
            f"renewed {k}": life("9000.00", (end, "stage", "won"), type="renewal", **at),
        }
    return lives


NOW = {
    "won this quarter": life("400.00", ("2026-02-02", "stage", "won"), created="2025-12-20"),
    "lost this quarter": life("100.00", ("2026-02-03", "stage", "lost"), created="2026-01-12"),
    "overdue": life("300.00", created="2026-01-05", expected_close_date="2026-02-12"),
    "pushed twice": life(
        "500.00", ("2026-01-08", "expected_close_date", "2026-02-27"),
        ("2026-02-09", "expected_close_date", "2026-03-20"), expected_close_date="2026-01-30", owner="bob",
    ),
    "pushed once": life(
        "100.00", ("2026-02-09", "expected_close_date", "2026-03-20"), expected_close_date="2026-01-30"
    ),
    "quiet": life("50.00", created="2026-01-14"),  # 30 days and 12 hours by the end of the day
    "fresh": life("250.00", created="2026-01-15", expected_close_date="2026-05-20"),  # 29 and a half
    "next": life("150.00", created="2026-02-11", expected_close_date="2026-06-20"),
    "unpriced": life(None, created="2026-02-01", owner="bob"),
}  # fmt: skip


def quota_table(first="1000", second=None):
    rows = [("2026-01-01", "2026-04-01", first), ("2026-04-01", "2026-07-01", second)]
    return conform(pd.DataFrame([
        {"holder_type": "user", "holder_id": "ann", "period_start": start, "period_end": end,
         "measure": "bookings", "version": 1, "quota_amount": Decimal(amount), "currency": "EUR",
         "is_overlay": False}
        for start, end, amount in rows if amount
    ]), "quotas")  # fmt: skip


@pytest.fixture(scope="module")
def covered(tmp_path_factory):
    tables = company_of(past_quarters() | NOW) | {"quotas": quota_table()}
    return make_book(tmp_path_factory.mktemp("covered"), TODAY, **tables)


def test_coverage_is_what_is_due_by_what_is_missing(covered):
    """300 overdue, 500, 100 and 50 due, of 1,000 less 400 booked; needed: 2,000 open for 500 booked after."""
    assert value(covered, "K09", "open") == pytest.approx(950 / 600)
    assert "1 counted but not priced" in value(covered, "K09", "open", field="note")
    assert value(covered, "K09", "needed") == pytest.approx(2000 / 500)
    assert value(covered, "K09", "needed", field="n") == 4
    assert value(covered, "K09", "open", by="product", segment="not assigned", field="status") == "not defined"


def test_a_target_that_is_met_needs_no_cover(tmp_path):
    book = make_book(tmp_path, TODAY, **company_of(past_quarters() | NOW), quotas=quota_table("400"))
    assert value(book, "K09", "open", field="status") == "not defined"
    assert value(book, "K09", "open", field="note") == "target met"
    row = review(book).coverage.iloc[0]
    assert (row["left"], row["verdict"]) == (0, "target met")


def test_three_past_quarters_are_too_few_to_say_what_is_needed(tmp_path):
    tables = company_of(past_quarters(skip=1) | NOW) | {"quotas": quota_table()}
    book = make_book(tmp_path, TODAY, **tables)
    assert value(book, "K09", "needed", field="status") == "too few"
    found = review(book)
    assert found.coverage["verdict"].iloc[0] == "no past periods to compare"
    assert isinstance(found.ahead, InsufficientData)
    assert "needs 4 past periods with tracked deals, there are 3" in str(found.ahead)


def test_yield_divides_what_was_won_by_all_there_was_to_win(covered):
    """At the start only the 400; since then 100 lost, and 300, 500, 100 and 50 still open."""
    assert value(covered, "K11", "yield") == pytest.approx(400 / 1450)
    assert value(covered, "K11", "stale") == pytest.approx((300 + 50) / 1350)  # the pushes were on 9 February


def test_the_review_says_whether_there_is_enough(covered):
    found = review(covered)
    company = found.coverage.set_index("name").loc["company"]
    assert (company["open"], company["left"]) == (950, 600)
    assert company["needed"] == pytest.approx(4)
    assert company["coverage"] < company["needed_low"]
    assert company["verdict"] == "short"
    assert found.coverage["name"].tolist() == ["company", "North", "South"]
    assert found.headline.endswith("short.")
    assert (found.waterfall.since, found.waterfall.until) == (date(2026, 2, 6), date(2026, 2, 13))
    assert amounts(found.waterfall)["end"] == Decimal("950.00")
    assert check(found.waterfall)["pulled in"] == 0
    weeks = found.created.set_index("week")["amount"]
    assert len(weeks) == 13
    assert weeks.iloc[-1] == 150
    assert not found.created["is_partial"].iloc[:-1].any()
    assert shown_as(found.coverage)


def test_the_next_quarter_needs_quota_times_what_past_ones_began_with(tmp_path):
    """Past quarters began empty but for what is set here: 8,000 open on the first day, 29,000 booked after it."""
    begun = {
        f"there {k}": life("2000.00", (f"{start[:5]}{int(start[5:7]) + 1:02}-20", "stage", "lost"),
                           created="2024-12-10", expected_close_date=f"{start[:5]}{int(start[5:7]) + 1:02}-20")
        for k, start in enumerate(POINTS)
    }  # fmt: skip
    tables = company_of(past_quarters() | begun | NOW)
    book = make_book(tmp_path, TODAY, **tables, quotas=quota_table("1000", "29000"))
    row = review(book).ahead.iloc[0]
    needed = 4 * 2000 / (4 * 7000 + sum(BOOKED))
    assert row["needed"] == pytest.approx(needed)
    assert (row["quota"], row["quota_of"], row["period"], row["open"]) == (29000, "Q2 2026", "Q2 2026", 400)
    assert row["to_create"] == pytest.approx(29000 * needed - 400)
    assert row["per_week"] == pytest.approx(row["to_create"] / (47 / 7))  # 13 February to 1 April
    assert row["created"] == 150 / 4  # the 250 are older than four weeks


def test_deals_that_need_somebody_say_why(covered):
    found = review(covered)
    deals = found.deals.set_index("opportunity_id")
    flags = ["no amount", "overdue", "pushed", "stale"]
    marked = {key: [flag for flag in flags if row[flag]] for key, row in deals.iterrows()}
    assert marked == {
        "pushed twice": ["pushed"], "overdue": ["overdue", "stale"], "quiet": ["stale"], "unpriced": ["no amount"],
    }  # fmt: skip
    assert deals["pushes"].to_dict() == {"pushed twice": 2, "overdue": 0, "quiet": 0, "unpriced": 0}
    assert deals.loc["overdue", "reasons"] == "overdue, stale"
    assert deals.loc["quiet", "idle_days"] == 30
    told = found.reasons.set_index("reason")
    assert told.loc["expected close is past", ["deals", "amount"]].tolist() == [1, 300]
    assert told.loc["expected close is past", "share"] == pytest.approx(300 / 1350)
    assert pd.isna(told.loc["no next step", "deals"])
    owners = found.owners.set_index("rep")
    assert owners.loc["Bob", ["team", "deals", "amount", "pushed", "no amount"]].tolist() == [
        "South",
        2,
        500,
        1,
        1,
    ]
    assert owners.loc["Ann", ["team", "deals", "amount", "overdue", "stale"]].tolist() == ["North", 2, 350, 1, 2]
    assert found.clumps.empty  # four on 20 March


def test_another_language_changes_words_and_nothing_else(covered):
    english = review(covered)
    with speaking("de"):
        german = review(covered)
        enough = present.table(german.coverage, **shown_as(german.coverage)).markup
        moved = present.table(german.buckets, units={"bucket": "word", "meaning": "word"}).markup
        bars = charts.plot_waterfall(german)
    assert english.headline.endswith(": short.")
    assert german.headline.endswith(": zu wenig.")
    assert all(word in enough for word in ("zu wenig", "Unternehmen", "North", "Deckung K09"))
    assert not [word for word in ("short", "company", "coverage K09") if word in enough]
    assert all(word in moved for word in (">verschoben<", "als gewonnen geschlossen"))
    words = [label.get_text() for label in bars.get_yticklabels()]
    assert (words[0], words[-1]) == ("Beginn", "Ende")
    assert german.deals.set_index("opportunity_id").loc["overdue", "reasons"] == "überfällig, liegengeblieben"
    pd.testing.assert_frame_equal(german.buckets, english.buckets)
    told = ["name", "verdict"]  # a verdict is a key, or a note in the reader's words
    assert german.coverage["verdict"].tolist()[:2] == ["short", "short"]
    pd.testing.assert_frame_equal(german.coverage.drop(columns=told), english.coverage.drop(columns=told))
    pd.testing.assert_frame_equal(german.owners, english.owners)


def test_five_deals_on_one_day_are_a_clump(tmp_path):
    tables = company_of(past_quarters() | NOW | {"fifth": life("10.00", created="2026-02-01")})
    clumps = review(make_book(tmp_path, TODAY, **tables)).clumps
    assert clumps["expected_close_date"].tolist() == [pd.Timestamp("2026-03-20")]
    assert clumps[["deals", "amount"]].iloc[0].tolist() == [5, 660]
    assert clumps["share"].iloc[0] == pytest.approx(5 / 8)


def test_the_review_of_a_team_is_of_its_deals_alone(covered):
    found = review(covered, segment="South")
    assert found.coverage["name"].tolist() == ["South"]
    assert found.coverage["open"].tolist() == [500]
    assert set(found.deals["team"]) == {"South"}
    assert check(found.waterfall)["end"] == Decimal("500.00")
    assert kpis.rows_behind(covered, "K09", by="team", segment="south")["opportunity_id"].tolist() == [
        "pushed twice", "unpriced",
    ]  # fmt: skip


def test_an_automated_mail_does_not_wake_a_deal(tmp_path):
    """Whatever the CRM's own date of the last activity says; without activities that date is all there is."""
    tables = company_of(past_quarters() | NOW)
    deals = tables["opportunities"]
    deals["last_activity_at"] = pd.Timestamp("2026-02-13T09:00", tz="UTC")
    mails = conform(pd.DataFrame([
        {"activity_id": key, "type": "email", "opportunity_id": key, "started_at": "2026-02-13T09:00:00Z",
         "is_automated": key == "quiet", "is_external": True, "is_first_meeting": False}
        for key in ("quiet", "overdue")
    ]), "activities")  # fmt: skip
    noted = make_book(tmp_path / "noted", TODAY, **tables)
    told = make_book(tmp_path / "told", TODAY, **tables, activities=mails)
    assert value(noted, "K11", "stale") == 0
    assert value(told, "K11", "stale") == pytest.approx(50 / 1350)
