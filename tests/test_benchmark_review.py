"""The pages on reps: planted truths of the sample company, pictures, and what a thinner source allows."""

import numpy as np
import pandas as pd
import pytest

from salesops_lib import benchmark, facts, present
from salesops_lib.benchmark import charts_skill
from salesops_lib.benchmark.skills import NONE_STANDS_OUT
from salesops_lib.errors import InsufficientData, ParameterError
from salesops_lib.language import speaking
from salesops_lib.sources.sample import truth


@pytest.fixture(scope="module")
def found(book):
    return benchmark.review(book)


@pytest.fixture(scope="module")
def sheet(book, found):
    return benchmark.rep_sheet(book, who="Matteo Petrov")


def test_the_weak_stages_of_the_sample_are_found(book, company, found):
    """Two reps have one weak stage each; the profile names it, and is sure that it lies below the team's."""
    names, stages = facts.names(book, "rep"), found.profile.stages.set_index(["user_id", "stage"])
    coached = found.profile.reps.set_index("user_id")["coach"]
    for rep, weak in truth(company)["weak_stage"].items():
        stage = weak["stage"].removeprefix("sample:").capitalize()
        assert coached[names[rep]] == stage
        row = stages.loc[(names[rep], stage)]
        assert row["p_below"] > 0.9
        assert row["gap"] < 0


def test_the_skill_of_the_sample_is_recovered(book, company, found):
    """Rank correlation with the planted skill over the whole way, weakness included."""
    from scipy.stats import spearmanr

    told, names = truth(company), facts.names(book, "rep")
    skill = pd.Series({names[rep]: value for rep, value in told["rep_skill_logit"].items()})
    for rep, weak in told["weak_stage"].items():
        skill[names[rep]] += weak["logit"] / 5
    rates = found.profile.reps.set_index("user_id")["rate"]
    assert spearmanr(rates, skill[rates.index])[0] > 0.6


def test_the_parts_of_every_gap_add_up(found):
    reps = found.profile.reps
    assert reps["gap"].to_numpy() == pytest.approx((reps["rate"] - reps["team_rate"]).to_numpy(), abs=1e-12)
    assert reps.loc[reps["coach"].eq(NONE_STANDS_OUT), "worth"].isna().all()


def test_the_company_says_whether_its_reps_differ(found):
    skill = found.win_rate
    assert skill.verdict == "differ"
    assert set(skill.mix) == {"segment", "type", "product", "source", "region", "tenure"}
    reps = skill.reps
    assert (reps["low"] < reps["adjusted_rate"]).all()
    assert (reps["rank_low"] <= reps["rank"]).all()
    assert np.ptp(reps["adjusted_rate"]) < np.ptp(reps["raw_rate"])
    assert list(found.win_rates["user_id"]) == sorted(reps["user_id"])
    assert found.top["chance"].ge(0.8).all()


def test_pace_follows_the_curve_of_past_quarters(found):
    pace = found.pace
    assert pace.n_periods >= 4
    assert pace.usual_low < pace.usual < pace.usual_high
    assert pace.usual < pace.elapsed  # quarters of the sample fill up late
    rows = pace.reps
    assert (rows["on_pace"] * pace.usual).to_numpy() == pytest.approx(rows["attainment"].to_numpy())


def test_a_sheet_is_of_one_rep(sheet, found):
    assert sheet.name == "Matteo Petrov"
    assert sheet.headline.startswith("Matteo Petrov: ")
    assert "Work on Qualification" in sheet.headline
    assert len(sheet.stages) == 5
    assert set(sheet.strengths["verdict"]) <= {"above", "below", "cannot be told"}
    assert len(sheet.deals) <= 8
    assert sheet.standing["measure"].is_unique


def test_a_sheet_is_shown_in_another_language(sheet):
    look = benchmark.shown_as(sheet.standing)
    with speaking("de"):
        german = present.table(sheet.standing, **look).markup
        steps = charts_skill.plot_stages(sheet).get_yticklabels()
    assert all(word in german for word in ("Gewinnrate beim Mix des Teams", "typische Dealgröße", "Größe"))
    assert not [word for word in (*sheet.standing["measure"], *sheet.standing["verdict"]) if word in german]
    assert steps[0].get_text().endswith(" → gewonnen")


@pytest.mark.parametrize("name", ["attainment", "funnel", "caterpillar", "ranks", "strengths"])
def test_every_picture_says_what_it_shows(found, name):
    ax = getattr(charts_skill, f"plot_{name}")(found)
    assert ax.get_title(loc="left") or ax.get_title()
    assert len(getattr(charts_skill, f"describe_{name}")(found)) > 40


def test_the_picture_of_stages_adds_up(sheet):
    ax = charts_skill.plot_stages(sheet)
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(sheet.stages["gap"].sum())
    assert "Qualification" in charts_skill.describe_stages(sheet)


def test_a_caterpillar_shows_raw_and_pulled_back(found):
    ax = charts_skill.plot_caterpillar(found)
    reps = found.win_rate.reps
    drawn = [line.get_xdata()[0] for line in ax.get_lines() if line.get_marker() == "|" and len(line.get_xdata())]
    assert sorted(drawn) == pytest.approx(sorted(reps["raw_rate"]))


def test_maven_reps_have_no_ranking_and_no_stages(maven):
    found = benchmark.review(maven)
    assert found.win_rate.verdict == "indistinguishable"
    assert "statistically indistinguishable" in found.headline
    assert "rank_low" not in found.win_rates
    for part in (found.profile, found.top, found.pace, found.calls):
        assert isinstance(part, InsufficientData)
    with pytest.raises(InsufficientData, match="indistinguishable"):
        charts_skill.plot_ranks(found)
    ax = charts_skill.plot_caterpillar(found)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == sorted(names, reverse=True)  # by name from the top, as nobody has a place


def test_unknown_mix_rep_and_period_are_refused(book):
    with pytest.raises(ParameterError, match="unknown mix column 'segmnt'"):
        benchmark.review(book, mix=["segmnt"])
    with pytest.raises(ParameterError, match="unknown rep 'Nobody'"):
        benchmark.rep_sheet(book, who="Nobody")
    with pytest.raises(ParameterError, match="unknown period"):
        benchmark.review(book, period="fortnight")


def test_before_the_first_deal_there_is_nothing_to_compare(sample_ws):
    found = benchmark.review(sample_ws.book("2023-01-31"))
    for part in (found.win_rate, found.profile, found.ramp, found.strengths, found.top):
        assert isinstance(part, InsufficientData)
    assert "there are 0" in found.headline
