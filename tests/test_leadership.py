"""The leadership page: its sentence, its tiles, its blocks, and whom it is for."""

import re
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from salesops_lib import facts, kpis, leadership, pipeline, present
from salesops_lib.errors import InsufficientData, ParameterError
from salesops_lib.facts import deals, quota, resolve_period
from salesops_lib.forecast import project_period
from salesops_lib.language import speaking
from salesops_lib.leadership import charts
from tests.test_kpis import make_book, make_tables

BLOCKS = {"leadership": "ABCDEFG", "board": "ACG", "manager": "ABCDEFGH", "rep": "ABDH"}


@pytest.fixture(scope="module")
def review(book):
    return pipeline.review(book)


@pytest.fixture(scope="module")
def page(book, review):
    return leadership.summarize(book, review=review)


def test_the_headline_has_two_sentences_that_the_frames_repeat(page, review, book):
    assert len(re.findall(r"[.] [A-Z]", page.headline)) == 1
    tiles = page.tiles.set_index("label")
    found = tiles["estimate"].iloc[1]
    bounds = present.interval(found.low, found.high, "money")
    most = f"{page.period.label} most likely {present.number(found.value, 'money')} EUR (80 % range {bounds})"
    assert page.headline.startswith(most)
    assert f"quota {present.number(quota(page.scope.facts(book, page.period)), 'money')};" in page.headline
    last = present.number(page.ahead.last.p_quota, "percent")
    assert f"reach it {tiles.loc['Chance to reach quota', 'value']} (23 Sep: {last})" in page.headline
    causes = review.waterfall.buckets.iloc[1:-1]
    largest = causes.loc[causes["amount"].abs().astype(float).idxmax()]
    moved = present.number(largest["amount"], "money", signed=True)
    assert f"{largest['bucket']} {moved} ({largest['n']:,} deals)" in page.headline


def test_the_forecast_is_one_and_the_same_everywhere(page, book):
    now = page.ahead.now
    tiles = page.tiles.set_index("label")["estimate"]
    assert tiles["Booked, EUR"].value == float(now.booked) == page.outlook.booked == page.people["booked"].sum()
    assert tiles["Forecast, most likely, EUR"].value == now.quantiles[0.5]
    assert tiles["Chance to reach quota"].value == now.p_quota
    assert page.people["quota"].sum() == now.quota == page.outlook.quota
    teams = now.teams.set_index(facts.named(book, "team", now.teams["team"]))["mid"]
    assert page.people.set_index("name")["forecast"].to_dict() == teams.to_dict()
    assert present.number(now.coverage.value, "percent") in page.caption
    assert f"{page.ahead.next.period.label} most likely" in page.later
    lines = {line.get_label(): line for line in charts.plot_outlook(page).get_lines()}
    assert lines["most likely"].get_ydata()[-1] == now.quantiles[0.5]
    assert lines["booked"].get_ydata()[-1] == float(now.booked)
    assert "submitted commit" not in lines


def test_the_last_report_said_then_what_this_one_says_it_did(page, book):
    then = project_period(book.at("2026-09-23"))
    last = page.ahead.last
    assert (then.p_quota, then.quantiles.tolist()) == (last.p_quota, last.quantiles.tolist())
    chances = then.deals.set_index("opportunity_id")["p_win_in_period"]
    first = page.ahead.now.deals["opportunity_id"].iloc[0]
    assert page.watchlist["p_win_before"].iloc[0] == chances[first]


def test_what_was_submitted_is_drawn_and_kept_apart(page):
    given = replace(page, ahead=replace(page.ahead, commit=4_000_000.0))
    lines = {line.get_label(): line for line in charts.plot_outlook(given).get_lines()}
    assert set(lines["submitted commit"].get_ydata()) == {4_000_000.0}


def test_without_a_review_the_second_sentence_is_the_win_rate(book):
    assert "Win rate over four quarters" in leadership.summarize(book).headline


def test_six_tiles_each_with_change_and_interval_or_n(page):
    assert len(page.tiles) == 6
    for tile in page.tiles.to_dict("records"):
        assert tile["estimate"].status == "ok"
        assert re.search(r"\[.*;.*\]|n = \d", tile["range"]), tile
        assert "w/w" in tile["change"], tile


def test_the_change_on_the_year_before_is_as_it_was_known_then(page, book):
    """Booked against a book of that day: the tile's percentage is the difference of two reports."""
    ago = book.at("2025-09-30")
    then = kpis.compute(ago, "K26", resolve_period(ago, "quarter"), variants=["new business"])["value"].iloc[0]
    now = page.tiles["estimate"].iloc[0].value
    assert f"{present.number(now / then - 1, 'percent', signed=True)}" in page.tiles["change"].iloc[0]
    assert book.calendar.same_progress(page.period, book.day, resolve_period(ago, "quarter")).last_day == ago.day


def test_the_effects_in_block_c_add_up_to_the_change(page):
    effects = page.why.set_index("factor")["effect"]
    assert np.isclose(effects.drop("bookings").sum(), effects["bookings"], rtol=0, atol=1e-6)
    split = page.why.dropna(subset="mix")
    assert np.allclose(split["mix"] + split["rate"], split["effect"], rtol=0, atol=1e-6)
    assert set(split["factor"]) == {"win rate", "average deal"}


def test_the_range_is_what_past_quarters_still_booked(page, book):
    won = deals(book)
    won = won[won["is_won"] & ~won["is_renewal"]]
    rest = []
    for k in range(1, 9):
        span = book.calendar.shift(page.period, -k)
        day = book.calendar.same_progress(page.period, book.day, span).last_day
        later = span.contains(won["close_date"]) & (won["close_date"] > pd.Timestamp(day))
        rest.append(float(won.loc[later, "priced"].sum()))
    found = page.outlook
    assert found.n == 8
    expected = found.booked + np.array([min(rest), np.median(rest), max(rest)])
    assert np.allclose([found.ends_low, found.ends_mid, found.ends_high], expected)
    assert "No forecast yet" in found.label
    assert found.weeks["booked"].dropna().is_monotonic_increasing
    assert found.weeks["booked"].max() == found.booked
    weeks = f"week {found.weeks['booked'].count()} of {len(found.weeks)},"
    assert weeks in present.as_of_line(book).text == "Q3 FY27, week 10 of 14, as of Wed 30 Sep 2026 23:59, EUR."


def test_watchlist_is_at_most_seven_deals_with_the_most_hanging_on_them(page):
    shown, now = page.watchlist, page.ahead.now
    assert len(shown) == 7
    swing = (shown["if_won"] - shown["if_not"]) * np.sqrt(shown["p_win"] * (1 - shown["p_win"]))
    assert swing.is_monotonic_decreasing
    assert (shown["if_not"] <= now.p_quota).all()
    assert (shown["if_won"] >= now.p_quota).all()
    assert f"The first 3 of {len(now.deals)} open deals" in page.concentration


def test_a_reps_watchlist_is_weighed_by_the_crms_own_chances(book):
    page = leadership.summarize(book, audience="rep", who="Elena Rossi")
    assert page.ahead is None
    assert (page.watchlist["amount"] * page.watchlist["chance"]).is_monotonic_decreasing
    assert "The largest" in page.concentration


@pytest.mark.parametrize("audience", BLOCKS)
def test_each_audience_has_its_blocks(book, audience):
    who = {"manager": "Central", "rep": "Elena Rossi"}.get(audience, "")
    found = leadership.scope(book, audience, who)
    assert "".join(letter for letter in "ABCDEFGH" if found.shows(letter)) == BLOCKS[audience]


def test_a_manager_sees_the_own_team_and_a_rep_the_own_deals(book):
    page = leadership.summarize(book, audience="manager", who="Central")
    rows = deals(book)
    team = book.users.loc[book.users["team_id"].eq(page.scope.segment), "name"]
    assert set(page.people["name"]) <= set(team)
    assert len(page.people) > 2
    won = rows[rows["team"].eq(page.scope.segment) & rows["is_won"] & ~rows["is_renewal"]]
    assert page.outlook.booked == float(won.loc[page.period.contains(won["close_date"]), "priced"].sum())
    own = leadership.summarize(book, audience="rep", who="Elena Rossi")
    assert own.people["name"].tolist() == ["Elena Rossi"]
    assert own.headline.startswith("Elena Rossi: booked")


@pytest.mark.parametrize(
    ("audience", "who", "says"),
    [
        ("chef", "", "unknown audience 'chef'"),
        ("manager", "", "needs `who`"),
        ("manager", "Centrall", "Did you mean 'Central'"),
        ("board", "Central", "shows the whole company"),
    ],
)
def test_a_wrong_audience_is_refused_in_words(book, audience, who, says):
    with pytest.raises(ParameterError, match=re.escape(says)):
        leadership.summarize(book, audience=audience, who=who)


def test_since_must_lie_before_the_as_of_day(book):
    with pytest.raises(ParameterError, match="not before"):
        leadership.summarize(book, since="2026-09-30")


def test_decisions_asked_for_come_first_and_there_are_three_at_most(book, review):
    asked = [{"decision": f"Hire {k}", "owner": "CEO"} for k in range(2)]
    found = leadership.summarize(book, review=review, asked=asked).decisions
    assert found["decision"].tolist()[:2] == ["Hire 0", "Hire 1"]
    assert len(found) == 3
    assert (found["by"].iloc[2:] != "").all()


def test_a_source_without_history_says_what_it_cannot_tell(maven):
    review = pipeline.review(maven)
    page = leadership.summarize(maven, review=review)
    assert isinstance(review.waterfall, InsufficientData)
    assert "Stage of deals before 2017-12-31, the day of the export" in str(review.waterfall)
    assert page.headline.startswith("Booked 2.80 M USD in Q4 2017 (1,196 deals")
    assert page.tiles.set_index("label")["value"]["Win rate, 4 quarters"] == "63.2 %"
    assert page.tiles.set_index("kpi_id")["value"]["K02"] == "no data"
    assert page.ahead is None  # the period is over
    assert page.quarters["quarter"].iloc[-2] == "Q4 2017"
    assert not isinstance(page.why, InsufficientData), "without a year before, the quarter before explains"
    assert "Q3 2017" in page.because
    assert "2,089 deals without an amount are open" in review.headline


def test_what_a_source_does_not_know_is_not_talked_of(maven_ws):
    page = leadership.summarize(maven_ws.book("2017-11-15"))
    assert {"mix", "rate"}.isdisjoint(page.why.columns)
    assert "segments" not in page.because
    assert "there are no quotas" in page.compared
    assert page.people["name"].is_monotonic_increasing
    assert {"reasons", "next_step"}.isdisjoint(page.watchlist.columns)
    assert page.watchlist["deal"].str.fullmatch(r".+ \(mvn:\w+\)|mvn:\w+").all()
    assert page.watchlist["deal"].str.contains(" (mvn:", regex=False).any(), "an account stands for a name"
    assert page.quarters["quarter"].iloc[-2:].tolist() == ["Q4 2017 to date", "last four"]


def test_bookings_moved_since_the_last_report_by_money_not_by_a_share_of_a_running_total(page, book):
    won = deals(book)
    won = won[won["is_won"] & ~won["is_renewal"] & (won["close_date"] > pd.Timestamp(page.since))]
    came = present.number(float(won["priced"].sum()), "money", signed=True)
    assert page.tiles["change"].iloc[0].startswith(f"{came} w/w, ")


def test_nothing_known_is_refused(sample_ws):
    with pytest.raises(InsufficientData, match="needs 1 deals known by then"):
        leadership.summarize(sample_ws.book("2020-01-01"))


def test_a_week_old_company_has_a_page(tmp_path):
    """No past period, no year before, no pipeline a week ago: every part says so, none fails."""
    book = make_book(tmp_path, as_of="2026-01-12")
    review = pipeline.review(book)
    page = leadership.summarize(book, review=review)
    assert page.outlook.n == 0
    assert "needs 4 whole periods before" in page.outlook.label
    assert page.ahead is None
    assert page.caption.startswith(page.outlook.label)
    assert "needs 20" in page.caption
    assert isinstance(page.why, InsufficientData)
    assert present.figure(charts.plot_outlook, charts.describe_outlook, page).markup.startswith("<figure>")


def test_another_language_changes_words_and_nothing_else(tmp_path):
    book = make_book(tmp_path)
    with speaking("de"):
        german = leadership.summarize(book, review=pipeline.review(book))
        drawn = charts.plot_outlook(german)
    english = leadership.summarize(book, review=pipeline.review(book))
    assert (english.headline[:7], german.headline[:13]) == ("Booked ", "Gebucht sind ")
    assert drawn.get_xlabel() == "Woche des Quartals"
    assert english.tiles["label"].iloc[0] == "Booked, EUR"
    assert german.tiles["label"].iloc[0] == "Gebucht, EUR"
    figures = [[tile.value for tile in page.tiles["estimate"]] for page in (english, german)]
    assert np.array_equal(*figures, equal_nan=True)
    pd.testing.assert_frame_equal(german.people, english.people)
    pd.testing.assert_frame_equal(german.quarters, english.quarters)
    with speaking("de"):
        assert "letzte vier" in present.table(german.quarters, **leadership.shown_as(german.quarters)).markup


def test_names_from_the_crm_stay_text(tmp_path):
    rows = make_tables()["opportunities"]
    rows["name"] = "<script>alert(1)</script>"
    rows.loc[rows["stage_id"].eq("demo"), "amount"] = Decimal(100)
    book = make_book(tmp_path, opportunities=rows)
    page = leadership.summarize(book)
    markup = present.table(page.watchlist, **leadership.shown_as(page.watchlist)).markup
    assert "<script>" not in markup
