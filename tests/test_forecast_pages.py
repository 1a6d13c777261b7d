"""What the forecast notebooks show: figures that agree with each other, and pages for both companies."""

import numpy as np
import pytest

from salesops_lib import forecast, report
from salesops_lib.errors import InsufficientData, ParameterError
from salesops_lib.forecast import charts, charts_pipeline
from salesops_lib.forecast.trials import ways
from salesops_lib.language import speaking


@pytest.fixture(scope="module")
def shown(book):
    return forecast.review(book, scenario=forecast.Scenario(deal_size=1.2), over=4.0, under=1.0, months=6)


def test_figures_agree_with_each_other(shown):
    found = shown.projection
    parts = found.parts.set_index("part")["expected"]
    assert parts.drop("total").sum() == pytest.approx(parts["total"]) == pytest.approx(found.expected)
    compared = shown.compared.set_index("measure")
    assert compared.loc["most likely", "as_it_is"] == found.quantiles[0.5]
    assert compared.loc["from open deals", "scenario"] > found.from_open
    levers = shown.levers.set_index("lever")
    assert levers.loc["as it is", "expected"] == pytest.approx(found.expected)
    assert np.isnan(levers.loc["as it is", "change"])
    assert (levers["change"].iloc[1:] > 0).all()
    assert (levers["low"] < levers["high"]).all()
    rows = shown.deals
    assert len(rows) == len(found.deals)
    assert rows["rep"].str.contains(" ").all()  # names, no ids
    assert (rows["p_quota_if_won"] >= rows["p_quota_if_not"]).all()


def test_the_figure_to_plan_with_is_the_asked_quantile(shown):
    rows = shown.decisions
    assert rows["plan_with"].is_monotonic_increasing
    asked = rows[rows["asked"]].iloc[0]
    assert asked["quantile"] == pytest.approx(0.2)
    assert asked["plan_with"] == pytest.approx(np.quantile(shown.projection.totals, 0.2))
    assert "80 %" in shown.decision_note
    assert "4 times" in shown.decision_note
    other = forecast.decisions(shown.projection, over=3.0, under=1.0)
    assert len(other) == len(rows) + 1
    with pytest.raises(ParameterError, match="above zero"):
        forecast.decisions(shown.projection, over=0.0)


def test_months_add_up_from_rep_to_company(shown):
    tree = shown.months.tree
    for level in ("region", "region/team", "region/team/rep"):
        parts = tree[tree["level"].eq(level)].groupby("ds")["mean"].sum().to_numpy()
        assert parts == pytest.approx(shown.months.company["mean"].to_numpy(), rel=1e-6)
    assert shown.months.history["y"].sum() > 0
    assert len(shown.totals) + len(shown.people) == tree["unique_id"].nunique()
    assert set(shown.people["level"]) == {"rep"}
    assert shown.totals["sum"].iloc[0] == pytest.approx(shown.months.company["mean"].sum())


def test_what_is_shown_speaks_german_and_frames_do_not(shown):
    with speaking("de"):
        assert str(forecast.Scenario(win_rate=1.1, hires=2)) == "Gewinnrate × 1,1, 2 eingestellt"
        assert str(forecast.Scenario()) == "wie es ist"
        dearer = forecast.decisions(shown.projection, over=4.0)["cost"].iloc[0]
        assert dearer == "ein zu viel versprochener Betrag kostet das 4-Fache eines zu wenig versprochenen"
        assert shown.concentration_note.startswith("Die größten 3 tragen")
        assert shown.totals["name"].iloc[0] == "gesamt"
        assert shown.months.headline.startswith("6 Monate ab Oktober 2026: ")
        parts = charts_pipeline.plot_parts(shown.projection)
        assert "künftige Deals" in [label.get_text() for label in parts.get_yticklabels()]
        ahead = charts.plot_months(shown.months)
        assert "Auftragseingang je Monat" in (ahead.get_title(), ahead.get_title(loc="left"))
        ahead.set_xlim(np.datetime64("2026-09-20"), np.datetime64("2026-12-20"))
        ahead.get_figure().canvas.draw()
        assert {"Okt", "Dez"} <= {label.get_text() for label in ahead.get_xticklabels()}
    assert set(shown.totals["level"]) == {"total", "region", "team"}
    assert "most likely" in set(shown.compared["measure"])
    assert "deals not yet created" in set(shown.projection.parts["part"])


def test_ways_are_compared_over_periods():
    import pandas as pd

    rows = pd.DataFrame(
        {
            "period": [f"Q{k}" for k in range(6) for _ in range(2)],
            "actual": 100.0,
            "forecast": 90.0,
            "last_year": [80.0, 70.0] * 6,
        }
    )
    league = pd.DataFrame({"way": ["forecast", "last_year"], "wape": [0.1, 0.25], "wape_ours": 0.1})
    found = ways(type("Replay", (), {"forecasts": rows, "league": league}))
    ours, other = found.to_dict("records")
    assert (ours["behind"], ours["behind_low"], ours["behind_high"]) == (0, 0, 0)
    # (20 − 10 + 30 − 10) of 200 in every period
    assert other["behind"] == other["behind_low"] == other["behind_high"] == pytest.approx(0.15)


@pytest.mark.slow
def test_both_pages_render_for_a_source_without_history_and_say_so(maven_ws):
    given = {"periods": 1, "every": "month", "cutoffs": 1, "months": 3}
    run = report.render(
        "forecast", workspace=maven_ws, as_of="2017-12-31", parameters=given, workers=2, force=True
    )
    assert [(page.name, page.status, page.error) for page in run.pages] == [
        ("forecast_modeling", "ok", ""),
        ("forecast_backtest", "ok", ""),
    ]
    text = (run.folder / "forecast_modeling.html").read_text(encoding="utf-8")
    assert "Q1 2018: most likely" in text  # the quarter of the last day is over
    assert "the source keeps no history of" in text
    backtest = (run.folder / "forecast_backtest.html").read_text(encoding="utf-8")
    assert "had a stand-in" in backtest


def test_what_the_data_cannot_tell_is_said_in_its_place(book):
    early = book.at("2023-11-30")
    with pytest.raises(InsufficientData, match="won deals to learn from"):
        forecast.review(early)
