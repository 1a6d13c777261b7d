"""Data health says in plain words what the gate found, and finds nothing by itself."""

from datetime import date

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from salesops_lib import gate, health, present
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData
from salesops_lib.health import charts
from tests.gate_company import COMPANY, EXPORTED, REP, clean, days, inspect, odd, save
from tests.gate_plants import PLANTS, deals, edit


def book_of(rows, tmp_path, as_of=None, **options):
    snapshot = save(rows, tmp_path, **options)
    calendar = COMPANY.calendar()
    return Book(snapshot, calendar.instant(as_of or EXPORTED), COMPANY, calendar)


def spoiled():
    """Two red findings, one amber that is new, one that is gone, and stale deals."""
    rows = clean()
    deals(rows, 2, 3, close_date=None, closed_at=None)
    deals(rows, 4, 5, 6, amount=None)
    deals(rows, 21, expected_close_date=date(2026, 7, 1))
    PLANTS["G91"](rows)
    rows["activities"] = [row for row in rows["activities"] if row["type"] != "call"]
    edit(rows, "opportunities", last_activity_at=None)
    return rows


@pytest.fixture
def result(tmp_path):
    before = clean()
    deals(before, 20, owner_id=None)
    earlier = inspect(save(before, tmp_path, exported=EXPORTED - days(1)))
    book = book_of(spoiled(), tmp_path)
    return health.inspect(book, gate.compare(inspect(book.snapshot), earlier))


def test_the_headline_says_what_blocks_and_what_changed(result):
    for part in ("Reports are blocked. Closed deals without a close date: 2 (EUR 2,050; G37). Won deals",
                 "4 amber", "Since the load before: 6 new, 1 gone."):  # fmt: skip
        assert part in result.headline
    assert "as a whole" not in result.headline


def test_a_page_of_an_earlier_day_says_that_the_gate_looks_at_the_whole_export(tmp_path):
    book = book_of(clean(), tmp_path, "2026-06-30")
    said = health.inspect(book, inspect(book.snapshot)).headline
    assert "about the export of 15 Jul 2026 as a whole, also about what happened after 30 Jun 2026." in said


def test_findings_are_in_the_order_and_words_of_a_reader(result):
    table = result.findings
    assert table["severity"].tolist() == ["red"] * 2 + ["amber"] * 4 + [""]
    assert table["check"].tolist()[:3] == ["G37", "G45", "G72"]  # the largest amount first
    gone = table.iloc[-1]
    assert (gone["check"], gone["change"], gone["rows"]) == ("G60", "gone", 0)
    assert table["example"].iloc[0] == "d03: stage won"  # without the prefix of ids
    shown = present.table(**health.findings_table(result)).markup
    assert '<td class="txt light red" data-v="3">red</td>' in shown
    assert "Change: since the load before." in shown
    assert "`" not in shown


def test_without_a_load_before_there_is_no_empty_column(tmp_path):
    book = book_of(spoiled(), tmp_path)
    alone = health.inspect(book, inspect(book.snapshot))
    assert "change" not in health.findings_table(alone)["frame"]


def test_an_accepted_finding_shows_the_reason_in_place_of_the_mend(tmp_path):
    book = book_of(spoiled(), tmp_path)
    table = health.inspect(book, inspect(book.snapshot, accepted={"G37": "old system"})).findings
    assert table.set_index("check")["mend"]["G37"] == "Accepted: old system"


def test_instants_and_long_examples_are_shortened():
    from salesops_lib.health.analysis import _example

    assert _example("sf:act1: began 2026-10-19 06:30:00+00") == "act1: began 2026-10-19 06:30 UTC"
    assert len(_example("x" * 500)) == 90


def test_completeness_spreads_fields_that_tell_something(tmp_path):
    rows = clean()
    deals(rows, 20, 21, amount=None)
    book = book_of(rows, tmp_path)
    found = health.inspect(book, inspect(book.snapshot))
    assert found.completeness.to_dict("records") == [{"stage": "Offer", "deals": 8, "amount": 0.75}]
    assert found.empty == ("lead source",)
    assert "owner" in found.filled
    caption = health.completeness_table(found)["caption"]
    assert caption.startswith("Share of open deals with the field filled. Always filled: owner, ")
    assert caption.endswith("Never filled: lead source.")


def test_staleness_and_breaks(result):
    assert result.staleness[["owner", "open", "stale"]].to_numpy().tolist() == [["Bo", 4, 3], ["Cy", 4, 2]]
    assert result.breaks["month"].tolist() == ["Mar 2026", "May 2026"]


def test_what_nobody_looked_at_stands_by_reason(tmp_path):
    rows = clean()
    rows["leads"] = []
    book = book_of(rows, tmp_path)
    unseen = health.inspect(book, inspect(book.snapshot)).unseen.set_index("why")
    assert unseen.loc["the source has no leads", "checks"] == 4
    assert "Leads converted at midnight" in unseen.loc["the source has no leads", "titles"]


def test_the_lens_shows_the_rows_of_one_finding(result):
    assert health.examples(result, "G37")["row"].tolist() == ["x:d03", "x:d02"]


def test_pictures_draw_the_findings_they_are_given(result):
    present.theme()
    axes = charts.plot_findings(result)
    drawn = [bar.get_width() for bar in axes.patches if bar.get_width() < 1]
    assert sorted(drawn) == sorted(result.findings["share"].dropna())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["red", "amber"]
    assert charts.describe_findings(result).startswith(
        "Bars of the share of rows with each of 6 findings; the larg"
    )
    given = plt.subplots()[1]
    assert charts.plot_staleness(result, ax=given) is given
    assert [bar.get_width() for bar in given.patches] == [4, 4, 3, 2]
    assert charts.describe_staleness(result).endswith("2 owners who have stale ones; first is Bo with 3 of 4.")


def test_a_picture_without_findings_says_so(tmp_path):
    book = book_of(clean(), tmp_path)
    fine = health.inspect(book, inspect(book.snapshot))
    for plot in (charts.plot_findings, charts.plot_staleness):
        with pytest.raises(InsufficientData):
            plot(fine)


@pytest.mark.parametrize("seed", range(4))
def test_odd_data_never_breaks_the_page(seed, tmp_path):
    book = book_of(odd(seed), tmp_path)
    found = health.inspect(book, inspect(book.snapshot))
    present.figure(charts.plot_findings, charts.describe_findings, found)
    for arguments in (health.findings_table(found), health.completeness_table(found)):
        assert "<table>" in present.table(**arguments).markup


def test_no_data_is_an_empty_page(tmp_path):
    book = book_of({name: [] for name in clean()}, tmp_path)
    found = health.inspect(book, inspect(book.snapshot))
    assert found.findings.empty
    assert found.completeness.empty
    assert isinstance(found.unseen, pd.DataFrame)
    assert REP not in found.headline
