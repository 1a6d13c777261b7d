import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from salesops_lib import kpis, present
from salesops_lib.errors import ParameterError
from salesops_lib.language import speaking
from salesops_lib.stats import Estimate
from tests.conftest import ROOT

HOSTILE = [
    "<script>alert(1)</script>",
    "</table>",
    "{{ 7*7 }}",
    "$x$",
    "[link](javascript:alert(1))",
    'a" onload="x',
]


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (8_432_100, "money", "8.43 M"),
        (14_200_000, "money", "14.2 M"),
        (999_950, "money", "1.00 M"),
        (2_361, "money", "2.36 k"),
        (950, "money", "950"),
        (-1_234_567, "money", "−1.23 M"),
        (10_005_534, "amount", "10,005,534"),
        (0.63152, "share", "63.2 %"),
        (0.6315, "percent", "63 %"),
        (-0.0142, "points", "−1.4 pts"),
        (57.2, "days", "57 d"),
        (4238, "count", "4,238"),
        (pd.Timestamp("2026-09-30"), "date", "30 Sep 2026"),
        (True, "flag", "yes"),
        (float("nan"), "money", "–"),
        (None, "share", "–"),
        (pd.NaT, "date", "–"),
        ("name", "", "name"),
    ],
)
def test_numbers_for_people(value, unit, shown):
    assert present.number(value, unit) == shown


def test_a_wide_interval_bears_no_decimal():
    assert present.fitting("share", 0.62, 0.64) == "share"
    assert present.fitting("share", 0.42, 0.64) == "percent"
    assert present.interval(0.42, 0.64, "percent") == "[42 %; 64 %]"
    assert present.interval(float("nan"), float("nan"), "share") == ""


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_a_crm_is_escaped_everywhere(text):
    frame = pd.DataFrame({text: [text], "n": [1]})
    axes = plt.subplots()[1]
    axes.set_title(text)
    tile = dict.fromkeys(("label", "value", "range", "change", "tone"), text) | {"kpi_id": text}
    shown = [
        present.table(frame, units={"n": "count"}, caption=text),
        present.headline(text),
        present.note(text),
        present.tiles(pd.DataFrame([tile])),
        present.folded(text, present.note(text)),
        present.show(axes, text),
    ]
    for block in shown:
        markup = block._repr_html_()
        assert "<script>" not in markup
        assert markup.count("</table>") <= 1
        assert 'onload="x"' not in markup
        if "<" not in text and '"' not in text:
            assert text in markup or "data:image" in markup


def test_figures_need_a_sentence():
    with pytest.raises(ParameterError, match="alt text"):
        present.show(plt.subplots()[1], " ")


def test_a_shown_figure_is_closed_and_inside_the_page():
    present.theme()
    block = present.show(plt.subplots()[1], "An empty chart.")
    assert plt.get_fignums() == []
    assert 'src="data:image/' in block.markup
    assert repr(block) == "An empty chart."


def test_the_same_figure_is_the_same_bytes():
    present.theme()
    assert present.show(plt.subplots()[1], "x").markup == present.show(plt.subplots()[1], "x").markup


def test_tables_align_by_unit_and_say_when_they_are_cut():
    frame = pd.DataFrame({"who": ["A", "B"], "amount": [1.5e6, None], "low": [1e6, None], "high": [2e6, None]})
    block = present.table(frame, units={"amount": "amount"}, ranges={"amount": ("low", "high")}, limit=1)
    assert "1,500,000 [1.00&nbsp;M; 2.00&nbsp;M]" in block.markup
    assert "First 1 of 2 rows" in block.markup
    assert ">low<" not in block.markup
    with pytest.raises(ParameterError, match="Did you mean 'amount'"):
        present.table(frame, units={"amout": "money"})


def test_the_id_on_a_tile_leads_to_the_definition_on_the_page(book):
    tile = dict.fromkeys(("label", "value", "range", "change", "tone"), "x")
    links = re.findall(r'href="#(\w+)"', present.tiles(pd.DataFrame([tile | {"kpi_id": "K26"}])).markup)
    places = re.findall(r' id="(\w+)"', present.run_details(book, kpis.catalogue()).markup)
    assert links == ["K26"]
    assert len(places) == len(set(places)) == kpis.catalogue()["kpi_id"].nunique()
    assert set(links) <= set(places)
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        assert "present.tiles" not in text or "run_details(book, kpis.catalogue(), methods=" in text, path


@pytest.mark.parametrize(
    ("language", "said", "shown"),
    [
        ("en", "−1.81 M (32 deals), 18 % of 4 Miles", "−1.81&nbsp;M (32 deals), 18&nbsp;% of 4 Miles"),
        ("en", "39.2 k; 2.50 bn & more, M < k", "39.2&nbsp;k; 2.50&nbsp;bn &amp; more, M &lt; k"),
        ("de", "4,23 Mio. EUR, 39,2 Tsd.", "4,23&nbsp;Mio. EUR, 39,2&nbsp;Tsd."),
    ],
)
def test_a_line_never_breaks_between_a_number_and_its_unit(language, said, shown):
    with speaking(language):
        assert present.headline(said).markup == f'<p class="headline">{shown}</p>'
        assert present.headline(said).text == said


def test_a_tile_is_marked_at_its_value_not_at_its_change():
    tile = {"label": "Chance", "value": "18 %", "range": "n = 52", "change": "+2 pts w/w", "kpi_id": ""}
    shown = [present.tiles(pd.DataFrame([tile | {"tone": tone}])).markup for tone in ("bad", "good", "")]
    values = [re.search("<b>(.*)</b>", markup)[1] for markup in shown]
    assert [re.sub("<[^>]*>", "", value).strip() for value in values] == [
        "18&nbsp;% ▼",
        "18&nbsp;% ▲",
        "18&nbsp;%",
    ]
    assert re.findall('aria-label="(.*?)"', "".join(values)) == ["behind plan", "ahead of plan"]
    assert all("<span>+2 pts w/w</span>" in markup for markup in shown)


def test_a_kpi_without_a_number_shows_its_reason(book):
    frame = kpis.compute(book, ["K02", "K03"], "quarter", by="product")
    markup = present.kpi_table(frame).markup
    assert "not defined" in markup
    assert "no quota in this period" in markup
    assert "nan" not in markup.lower()


def test_a_picture_without_data_becomes_a_sentence(maven):
    from salesops_lib import benchmark
    from salesops_lib.benchmark import charts

    block = present.figure(charts.plot_attainment, charts.describe_attainment, benchmark.summarize(maven))
    assert "needs 1 reps with a quota" in block.text
    assert "<img" not in block.markup


def test_estimates_keep_their_interval_when_scaled():
    found = Estimate(10, 8, 12, 5).scaled(2).noted("", "a", "b")
    assert (found.value, found.low, found.high, found.note) == (20, 16, 24, "a; b")


def test_pictures_draw_the_result_they_are_given(book):
    from salesops_lib import benchmark, leadership
    from salesops_lib.benchmark import charts as rep_charts
    from salesops_lib.leadership import charts

    present.theme()
    result = leadership.summarize(book)
    axes = charts.plot_outlook(result)
    lines = {line.get_label(): line for line in axes.get_lines()}
    drawn, told = lines["booked"].get_ydata(), result.outlook.weeks["booked"].to_numpy()
    assert (drawn[~pd.isna(drawn)] == told[~pd.isna(told)]).all()
    given = plt.subplots()[1]
    reps = benchmark.summarize(book)
    assert rep_charts.plot_win_rate(reps, ax=given) is given
    assert [label.get_text() for label in given.get_yticklabels()] == reps.reps.dropna(subset="win_rate")[
        "name"
    ].tolist()
    assert rep_charts.plot_attainment(reps) is not given
    assert "lie clearly above" in rep_charts.describe_win_rate(reps)


def test_the_headline_is_computed_from_the_tiles(book):
    from salesops_lib import leadership

    result = leadership.summarize(book)
    tile = result.tiles.set_index("label")["value"]
    assert f"Q3 FY27 most likely {tile['Forecast, most likely, EUR']} EUR" in result.headline
    assert f"chance to reach it {tile['Chance to reach quota']} (" in result.headline
    assert len(re.findall(r"[.] [A-Z]", result.headline)) <= 1, "at most two sentences"
    assert result.people["gap"].is_monotonic_decreasing


def test_a_book_after_the_export_says_so(sample_ws, book):
    assert "nothing that happened later" not in present.as_of_line(book).text
    late = present.as_of_line(sample_ws.book("2026-12-31"))
    assert "exported on 30 Sep 2026: nothing that happened later" in late.text
    assert 'class="warning"' in late.markup


def test_products_sold_only_earlier_keep_their_name(maven_ws):
    from salesops_lib import leadership

    for frame in (leadership.summarize(maven_ws.book("2017-03-05")).products,):
        assert frame["name"].notna().all()


def test_few_deals_a_rep_raise_no_false_alarm():
    """Nobody differs, most have one deal: Pearson's p-value would cry wolf far more often than 5 %."""
    import numpy as np

    from salesops_lib.benchmark.analysis import test_heterogeneity as tested

    rng, closed, alarms = np.random.default_rng(3), np.array([1] * 10 + [200] * 3), 0
    for _ in range(200):
        won = rng.binomial(closed, 0.03)
        found = tested(pd.DataFrame({"won": won, "closed": closed}))
        alarms += bool(found) and found["p_value"] < 0.05
    assert alarms / 200 <= 0.09


def test_the_word_of_a_unit_stands_once_and_what_is_not_reached_has_no_end():
    assert present.interval(-0.02, 0.067, "points") == "[−2.0; 6.7]"
    assert present.interval(45, 62, "days") == "[45; 62]"
    assert present.interval(0.4, 0.6, "per_day") == "[0.4; 0.6]"
    assert present.interval(3, float("inf"), "hours") == "[3.0; ∞]"
    assert present.number(float("inf"), "money") == "∞"
    assert present.number(-float("inf"), "points") == "−∞ pts"


@pytest.mark.parametrize(
    ("locale", "amount", "share", "bounds"),
    [
        ("en_US", "1,234,568", "12.3 %", "[1.20 M; 2.50 M]"),
        ("de_DE", "1.234.568", "12,3 %", "[1,20 M; 2,50 M]"),
        ("de_CH", "1’234’568", "12.3 %", "[1.20 M; 2.50 M]"),
        ("fr_FR", "1\u202f234\u202f568", "12,3 %", "[1,20 M; 2,50 M]"),
    ],
)
def test_numbers_are_written_as_the_locale_does_and_still_sort(monkeypatch, locale, amount, share, bounds):
    monkeypatch.setenv(present.LOCALE, locale)
    assert present.number(1_234_567.8, "amount") == amount
    assert present.number(0.1234, "share") == share
    assert present.interval(1.2e6, 2.5e6, "money") == bounds
    frame = pd.DataFrame({"who": ["Ann, M.Sc."], "value": [1234.5], "low": [1000.0], "high": [2500.0]})
    made = present.table(frame, units={"value": "amount"}, ranges={"value": ("low", "high")}).markup
    assert 'data-v="1234.5"' in made
    assert "Ann, M.Sc." in made
    shown = pd.DataFrame({"value": [f"{amount} {bounds}"]})
    assert 'data-v="1234568"' in present.table(shown, units={"value": "shown"}).markup
