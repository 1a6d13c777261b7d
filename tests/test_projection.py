"""The projection of a period: known answers, simulated truth, and: the future is invisible."""

import re
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from salesops_lib import facts, kpis, present
from salesops_lib.errors import InsufficientData, ParameterError
from salesops_lib.forecast import (
    Scenario,
    arrivals,
    blend,
    calibrate,
    charts_pipeline,
    compare_probabilities,
    compare_scenarios,
    hazard,
    project_period,
    rhythm,
    simulate,
    try_scenario,
)
from salesops_lib.forecast.deals import LOST, NEVER, OPEN, WON, Panel, day_number, panel
from salesops_lib.forecast.foresight import foresee, prepare
from salesops_lib.forecast.projection import outcome, window
from salesops_lib.forecast.scenario import share_of_a_hire
from salesops_lib.periods import FiscalCalendar
from salesops_lib.sources import sample
from salesops_lib.sources.sample_source import load_sample
from salesops_lib.store import Store
from tests import forecast_truth
from tests.conftest import make_workspace

DAY = "2026-06-10"
CALENDAR = FiscalCalendar()


@pytest.fixture(scope="module")
def then(sample_ws):
    return sample_ws.book(DAY)


@pytest.fixture(scope="module")
def projected(then):
    return project_period(then, draws=4_000)


# -- what a day knew ------------------------------------------------------------------------------------


@pytest.mark.parametrize("weeks_ago", [0, 11, 60, 110])
def test_the_panel_says_what_the_as_of_engine_says(then, weeks_ago):
    day = then.day - pd.Timedelta(weeks=weeks_ago)
    columns = ["opportunity_id", "stage_id", "amount", "expected_close_date", "forecast_category", "owner_id"]
    ((_, told),) = then.deals_over([day], [*columns, "is_closed", "type"])
    told = told[~told["is_closed"] & told["type"].ne("renewal")].set_index("opportunity_id").sort_index()
    rows = panel(then).open(day_number(day)).set_index("opportunity_id").sort_index()
    rows = rows[rows["end"].eq(NEVER) | rows.index.isin(told.index)]
    assert rows.index.tolist() == told.index.tolist()
    assert len(rows) > 100
    for ours, theirs in (("stage", "stage_id"), ("category", "forecast_category"), ("owner", "owner_id")):
        assert rows[ours].fillna("").tolist() == told[theirs].fillna("").tolist()
    assert rows["due"].tolist() == told["expected_close_date"].tolist()
    amounts = rows["amount"].to_numpy(), told["amount"].astype("float64").to_numpy()
    np.testing.assert_allclose(*amounts)


def test_attempts_add_up_to_what_was_booked(then):
    entries = panel(then).entries
    entries = entries[~entries["opportunity_id"].isin(then.removed()["opportunity_id"])]  # no bookings any more
    won = facts.Facts(then, CALENDAR.period("year", then.day), facts.deals(then)).deals
    won = won[won["is_won"] & ~won["is_renewal"]]
    assert entries["worth"].sum() == pytest.approx(float(won["priced"].sum()))
    assert entries["outcome"].eq(WON).sum() == len(won)
    again = entries[entries["opportunity_id"].duplicated()]
    assert len(again) > 5  # deals reopened
    assert (again["entered"] > entries.drop_duplicates("opportunity_id")["entered"].min()).all()


def test_a_panel_cut_at_a_day_is_the_panel_of_that_day(sample_ws, then):
    earlier = "2025-11-12"  # whole weeks before
    cut, own = panel(then).until(day_number(earlier)), panel(sample_ws.book(earlier))
    for name in ("rows", "entries"):
        one, other = (
            getattr(each, name).sort_values(["opportunity_id", "entered"]).reset_index(drop=True)
            for each in (cut, own)
        )
        if name == "rows":
            one, other = (f.sort_values(["day", "opportunity_id"], ignore_index=True) for f in (one, other))
        pd.testing.assert_frame_equal(one, other, check_dtype=False)


# -- the parts of the model -----------------------------------------------------------------------------


def test_the_rhythm_of_a_quarter_is_found_again():
    rng = np.random.default_rng(3)
    days = np.arange(day_number("2022-01-01"), day_number("2025-11-15"))
    left = np.array([(CALENDAR.period("quarter", date.fromordinal(int(d) + 719163)).end
                      - date.fromordinal(int(d) + 719163)).days for d in days])  # fmt: skip
    truth = np.where(left <= 7, 2.0, 1.0) * np.where((days + 3) % 7 < 5, 1.4, 0.0)
    events = np.repeat(days, rng.poisson(3 * truth))
    found = rhythm.learn(CALENDAR, events, int(days[-1]))
    assert found.by_week[0] / found.by_week[1:12].mean() == pytest.approx(2.0, abs=0.2)
    assert found.by_weekday[5:].max() < 0.02
    assert found.between(days[-1], days[-1] + 364) == pytest.approx(364, rel=0.02)
    flat = rhythm.learn(CALENDAR, events[:5], int(days[-1]))
    assert np.abs(flat.by_week - 1).max() < 0.25  # five events teach next to nothing


def test_a_quarter_of_which_only_the_start_is_known_does_not_level_the_rhythm():
    days = np.arange(day_number("2024-01-01"), day_number("2025-01-22"))
    month = np.array([(date.fromordinal(int(d) + 719163).month - 1) % 3 for d in days])
    events = np.repeat(days, np.array([2, 4, 6])[month])
    whole = rhythm.learn(CALENDAR, events[events < day_number("2025-01-01")], day_number("2024-12-31"))
    with_start = rhythm.learn(CALENDAR, events, int(days[-1]))
    assert np.abs(whole.by_week - with_start.by_week).max() < 0.03


def made(rng, deals=3_000, win=(0.012, 0.03), loss=0.01, last=720):
    """Deals whose rates of winning differ by stage alone, a panel row a week; deals past `last` are censored."""
    entered = np.sort(rng.integers(0, last, deals))
    stage = rng.integers(0, 2, deals)
    to_win = rng.exponential(1 / np.array(win)[stage])
    to_loss = rng.exponential(1 / loss, deals)
    end = np.ceil(entered + np.minimum(to_win, to_loss)).astype(int)
    won = to_win < to_loss
    base = pd.DataFrame({
        "opportunity_id": [f"d{k}" for k in range(deals)], "entered": entered, "stage": stage.astype(str),
        "end": np.where(end > last, NEVER, end), "outcome": np.where(end > last, OPEN, np.where(won, WON, LOST)),
        "owner": rng.choice(["a", "b", "c"], deals), "worth": np.where((end <= last) & won, 100.0, 0.0),
    })  # fmt: skip
    base = base.assign(category=None, segment=None, source=None, type="new", product="p")
    weeks = np.arange(last % 7, last + 1, 7)
    rows = base.loc[base.index.repeat(len(weeks))].assign(day=np.tile(weeks, deals))
    rows = rows[(rows["entered"] <= rows["day"]) & (rows["end"] > rows["day"])]
    rows = rows.assign(since=rows["entered"], created=rows["entered"], due=pd.NaT, amount=100.0, pushes=0)
    rows["due"] = pd.to_datetime(rows["due"])
    return Panel(rows.reset_index(drop=True), base, last)


def test_chances_of_deals_with_known_rates():
    known = made(np.random.default_rng(5))
    found = hazard.learn(known, CALENDAR)
    rows = known.open()
    by = found.won_by(found.rates(rows), known.day, [known.day + 28, known.day + 56])
    for stage, rate in (("0", 0.012), ("1", 0.03)):
        whole = rate + 0.01
        for k, days in enumerate((28, 56)):
            truth = rate / whole * (1 - np.exp(-whole * days))
            mine = by[rows["stage"].eq(stage).to_numpy(), k].mean()
            assert mine == pytest.approx(truth, abs=0.045), (stage, days)
    assert (np.diff(by, axis=1) >= 0).all()
    assert found.is_rich
    assert all(abs(factor - 1) < 0.12 for factor in found.owners.values())  # nobody differs


def test_with_few_wins_stage_and_age_alone_and_with_fewer_a_refusal():
    known = made(np.random.default_rng(5), deals=90)
    found = hazard.learn(known, CALENDAR)
    assert not found.is_rich
    assert found.owners == {}
    with pytest.raises(InsufficientData, match=r"needs 20 won deals to learn from, there are 1?\d\."):
        hazard.learn(made(np.random.default_rng(5), deals=25), CALENDAR)


def test_deals_not_yet_created_bring_what_their_rate_and_chance_say():
    rng = np.random.default_rng(8)
    known = made(rng, deals=18_000, win=(0.02, 0.02), loss=0.02)
    won = rhythm.learn(CALENDAR, known.entries.loc[known.entries["outcome"].eq(WON), "end"].to_numpy(), known.day)
    coming = arrivals.learn(known, CALENDAR, won=won)
    mean, variance = coming.moments(known.day, known.day, known.day + 56)
    rate, whole = 18_000 / 720, 0.04
    inside = np.array([0.5 * (1 - np.exp(-whole * (56 - u))) for u in np.arange(1, 57)]).sum()
    assert mean == pytest.approx(100 * rate * inside, rel=0.15)
    assert variance == pytest.approx(100 * mean, rel=0.01)  # a compound Poisson sum of equal amounts
    halves = [
        coming.moments(known.day, a, b)[0]
        for a, b in ((known.day, known.day + 28), (known.day + 28, known.day + 56))
    ]
    assert sum(halves) == pytest.approx(mean, rel=0.02)


def test_the_better_way_gets_the_weight_and_few_weeks_change_little():
    rng = np.random.default_rng(2)
    n, actual = 52, rng.normal(100, 10, 52)
    past = pd.DataFrame({
        "day": np.arange(n) * 28, "actual": actual, "variance": 4.0,
        "bottom_up": actual * rng.normal(1, 0.03, n), "top_down": actual * rng.normal(1, 0.12, n),
    })  # fmt: skip
    learnt = blend.learn(past, 28)
    assert learnt.weight > 0.8
    assert learnt.n_apart == n
    swapped = past.rename(columns={"bottom_up": "top_down", "top_down": "bottom_up"})
    assert blend.learn(swapped, 28).weight == pytest.approx(1 - learnt.weight)
    assert abs(blend.learn(past.head(1), 28).weight - 0.5) < 0.35
    nothing = blend.learn(past.head(0), 28)
    assert (nothing.weight, nothing.level, nothing.spread) == (0.5, 1.0, blend.SPREAD)
    assert 1.2 < nothing.stretch < 1.5  # a spread that is only supposed asks for wider ranges
    low = blend.learn(past.assign(actual=past["actual"] * 0.8), 28)
    assert low.level == pytest.approx(0.8, abs=0.04)


# -- the projection -------------------------------------------------------------------------------------


def test_what_is_booked_is_exact_and_the_parts_add_up(then, projected):
    own = kpis.compute(then, "K26", "quarter", variants="default").iloc[0]
    assert projected.booked == pd.to_numeric(own["value"]) == round(float(projected.booked), 2)
    assert projected.booked == facts.stats.exact_sum(
        facts.Facts(then, projected.period, facts.deals(then)).won()["priced"]
    )
    assert projected.expected == pytest.approx(projected.totals.mean(), rel=0.002)
    parts = projected.parts.set_index("part")["expected"]
    assert parts["total"] == pytest.approx(parts.drop("total").sum(), rel=0.002)
    assert projected.from_open > projected.from_new > 0
    assert projected.quantiles.is_monotonic_increasing
    assert projected.quantiles.min() >= float(projected.booked)
    assert projected.p_quota == pytest.approx((projected.totals >= projected.quota).mean())


def test_weeks_run_from_what_is_booked_to_the_total(projected):
    weeks = projected.weeks
    assert weeks["booked"].dropna().is_monotonic_increasing
    assert weeks["booked"].dropna().iloc[-1] == float(projected.booked)
    assert weeks["q50"].dropna().is_monotonic_increasing
    assert weeks["q50"].iloc[-1] == pytest.approx(projected.quantiles[0.5])
    assert len(weeks) in (13, 14)


def test_deals_are_ranked_by_what_they_do_to_the_chance_of_quota(projected):
    rows = projected.deals
    assert rows["p_win_in_period"].between(0, 1).all()
    assert rows["swing"].is_monotonic_decreasing
    assert (rows["p_quota_if_won"] >= projected.p_quota - 0.02).all()
    assert (rows["p_quota_if_not"] <= projected.p_quota + 1e-9).all()
    large, small = rows.nlargest(5, "amount"), rows.nsmallest(50, "amount")
    assert large["effect"].mean() > 5 * small["effect"].mean()
    assert rows["expected"].sum() == pytest.approx(projected.from_open, rel=0.25)


def test_the_seed_decides_everything(then, projected):
    same = project_period(then, draws=4_000)
    pd.testing.assert_frame_equal(same.deals, projected.deals)
    assert np.array_equal(same.totals, projected.totals)
    other = project_period(then, draws=4_000, seed=1)
    assert not np.array_equal(other.totals, projected.totals)
    assert other.quantiles[0.5] == pytest.approx(projected.quantiles[0.5], rel=0.02)


def test_chances_agree_with_the_true_ones_of_the_sample_company(company, then):
    """The generator itself, run on from each open deal's state, says what its chance was."""
    found = project_period(then, draws=100).deals.set_index("opportunity_id")["p_win_in_period"]
    truth = forecast_truth.chances(company, DAY, "2026-07-31").reindex(found.index).dropna()
    assert len(truth) > 400
    slope = calibrate.slope(
        pd.DataFrame({"day": np.arange(len(truth)), "chance": found[truth.index], "won": truth})
    )
    assert 0.9 <= slope.value <= 1.1
    assert found[truth.index].sum() == pytest.approx(truth.sum(), rel=0.15)
    assert np.corrcoef(found[truth.index], truth)[0, 1] > 0.8


def test_past_chances_were_right_too(projected):
    assert 0.8 < projected.slope.value < 1.2
    rows = projected.calibration
    assert rows["n"].sum() > 5_000
    assert rows["predicted"].is_monotonic_increasing
    assert (rows["predicted"] - rows["won"]).abs().max() < 0.1
    assert 0.6 < projected.coverage.value <= 1


def test_the_figure_to_plan_with_follows_the_costs(projected):
    assert projected.decide(over=1, under=1) == pytest.approx(projected.quantiles[0.5])
    assert projected.decide(over=3, under=1) == pytest.approx(projected.quantiles[0.25])
    with pytest.raises(ParameterError, match="above zero"):
        projected.decide(over=0, under=1)


def test_another_top_down_forecast_takes_its_place(then, projected):
    doubled = project_period(then, draws=500, top_down=lambda *ahead: 2 * facts_of(*ahead))
    assert doubled.past["top_down"].mean() == pytest.approx(2 * projected.past["top_down"].mean())
    assert doubled.blend.weight > projected.blend.weight


def facts_of(known, won, day, after, last):
    from salesops_lib.forecast.origins import trailing

    return trailing(known, won, day, after, last)


def test_periods_ahead_over_and_of_other_kinds(then):
    ahead = project_period(then, period="next quarter", draws=500)
    assert (ahead.period.start, ahead.booked) == (date(2026, 8, 1), 0)
    assert ahead.from_new > ahead.from_open  # most of it does not exist yet
    weeks = project_period(then, period="next 4 weeks", draws=500)
    assert (weeks.period.start, weeks.period.days) == (date(2026, 6, 11), 28)
    over = project_period(then, period=then.calendar.period("quarter", "2026-02-10"))
    assert set(over.quantiles) == {float(over.booked)}
    assert over.from_open == over.from_new == 0
    assert "is over" in over.headline


def test_pictures_show_the_figures(projected):
    for name in ("fan", "parts", "calibration"):
        ax = getattr(charts_pipeline, f"plot_{name}")(projected)
        assert ax.get_title(loc="left") or ax.get_title()
        assert len(getattr(charts_pipeline, f"describe_{name}")(projected)) > 40
    lines = {line.get_label(): line for line in charts_pipeline.plot_fan(projected).get_lines()}
    assert lines["booked"].get_ydata()[-1] == float(projected.booked)
    assert lines["most likely"].get_ydata()[-1] == pytest.approx(projected.quantiles[0.5])
    assert lines["most likely"].get_xydata()[0].tolist() == lines["booked"].get_xydata()[-1].tolist()


# -- the future is invisible, and bad input ---------------------------------------------------------------


@pytest.fixture(scope="module")
def cut_ws(company, tmp_path_factory):
    ws, made_ = make_workspace(tmp_path_factory.mktemp("cut")), load_sample()
    tables = sample.export(company, DAY)
    at = tables["opportunities"]["extracted_at"].iloc[0]
    Store(ws.store.root).save(replace(made_, tables=tables, extracted_at=at))
    return ws


def test_the_future_is_invisible(projected, cut_ws):
    cut = project_period(cut_ws.book(DAY), draws=4_000)
    assert np.array_equal(cut.totals, projected.totals)
    pd.testing.assert_frame_equal(cut.deals, projected.deals, check_dtype=False)
    pd.testing.assert_frame_equal(cut.past, projected.past)


def test_a_column_that_knows_the_end_changes_nothing(projected, tmp_path_factory):
    """Planted: a column filled in with the outcome as deals close, as CRMs are; it has no history."""
    ws, loaded = make_workspace(tmp_path_factory.mktemp("oracle")), load_sample()
    deals = loaded.tables["opportunities"]
    known = deals["is_won"].map({True: "won", False: "lost"}).where(deals["is_closed"])
    loaded.tables["opportunities"] = deals.assign(lead_source=known.astype("string[pyarrow]"), oracle=known)
    ws.save(loaded)
    found = project_period(ws.book(DAY), draws=500)
    assert panel(ws.book(DAY)).late == ("source",)
    assert "filled in as deals close, so left out: source" in found.notes
    honest, fooled = (each.deals.set_index("opportunity_id")["p_win_in_period"] for each in (projected, found))
    assert (fooled - honest).abs().max() < 0.2
    ended = deals.set_index("opportunity_id")["is_won"].reindex(fooled.index)
    gap = fooled[ended].mean() - fooled[~ended].mean()
    assert gap < 1.3 * (honest[ended].mean() - honest[~ended].mean())


def test_refusals_say_what_is_missing(sample_ws, then):
    with pytest.raises(InsufficientData, match="needs 1 deals known by then"):
        project_period(sample_ws.book("2020-01-01"))
    with pytest.raises(InsufficientData, match="needs 20 won deals to learn from"):
        project_period(sample_ws.book("2023-10-25"))
    with pytest.raises(ParameterError, match="Did you mean 'quarter'"):
        project_period(then, period="quater")
    for wrong in ("next", "next 0 weeks", "next 99 weeks", "4 quarters", "next four weeks", ""):
        with pytest.raises(ParameterError, match="unknown period"):
            window(then, wrong)
    for wrong in (0, 99, 10**9):
        with pytest.raises(ParameterError, match="give 100 to 200,000"):
            project_period(then, draws=wrong)


def test_a_source_without_history_is_projected_from_ages_and_says_so(maven_ws):
    found = project_period(maven_ws.book("2017-11-12"), period="next 4 weeks", draws=500)
    assert any("keeps no history of stages, amounts" in note for note in found.notes)
    assert found.deals["stage_id"].isna().all()
    won = facts.deals(maven_ws.book("2017-12-31"))
    won = won[won["is_won"] & found.period.contains(won["close_date"])]
    assert found.quantiles[0.025] < float(won["priced"].sum()) < found.quantiles[0.975]
    at_export = project_period(maven_ws.book("2017-12-31"), period="next 4 weeks", draws=500)
    assert any("500 open deals without a day of creation" in note for note in at_export.notes)


# -- what if ------------------------------------------------------------------------------------------------


def test_a_scenario_that_changes_nothing_is_the_projection_itself(then, projected):
    same = project_period(then, scenario=Scenario(), draws=4_000)
    assert np.array_equal(same.totals, projected.totals)
    assert same.headline == projected.headline


def test_deals_a_tenth_larger_bring_exactly_a_tenth_more_and_what_is_booked_stays(then, projected):
    larger = project_period(then, scenario=Scenario(deal_size=1.1), draws=4_000)
    booked = float(projected.booked)
    assert larger.booked == projected.booked
    assert larger.totals - booked == pytest.approx(1.1 * (projected.totals - booked))
    assert larger.from_open == pytest.approx(1.1 * projected.from_open)
    assert "(deal size × 1.1)" in larger.headline


def test_a_scenario_in_few_numbers_is_that_of_the_projection(then, projected):
    what = Scenario(win_rate=1.2, cycle=0.9, hires=3)
    few, whole = outcome(then, scenario=what, draws=4_000), project_period(then, scenario=what, draws=4_000)
    assert np.array_equal(few.totals, whole.totals)
    assert (few.from_open, few.from_new, few.p_quota) == (whole.from_open, whole.from_new, whole.p_quota)
    again = foresee(prepare(panel(then), then.calendar, *_ahead(projected), draws=4_000, seed=0), what)
    assert np.array_equal(few.totals, float(whole.booked) + again.rest[:, -1])  # what is shared is not changed


def _ahead(projected):
    return day_number(projected.day), day_number(projected.period.last_day)


def test_a_scenario_is_put_beside_the_base_in_table_and_picture(then):
    base = project_period(then)
    found = try_scenario(then, base, deal_size=1.5)
    assert found.ranges["q50"].tolist() == [base.quantiles[0.5], found.after.quantiles[0.5]]
    assert found.after.quantiles[0.1] > base.quantiles[0.1]
    told = found.table.set_index("measure").loc["most likely"]
    assert told["as_it_is"] == present.number(base.quantiles[0.5], "money")
    assert told["scenario"] == present.number(found.after.quantiles[0.5], "money")
    ax = charts_pipeline.plot_what_if(found)
    middles = {float(line.get_ydata()[0]): float(line.get_xdata()[0]) for line in ax.get_lines()[:2]}
    assert middles == {1.0: base.quantiles[0.5], 0.0: found.after.quantiles[0.5]}
    assert any(text.get_text() == "quota" for text in ax.texts)
    assert "deal size × 1.5" in charts_pipeline.describe_what_if(found)
    with pytest.raises(ParameterError, match="win_rate is 100"):
        try_scenario(then, base, win_rate=100.0)


def test_draws_are_the_same_however_many_are_made_at_once(monkeypatch):
    by = np.sort(np.random.default_rng(1).random((501, 4)), axis=1)
    shared = np.linspace(0.8, 1.2, 333)
    whole = simulate._won(np.random.default_rng(2), by, shared)
    monkeypatch.setattr(simulate, "DRAWS_AT_ONCE", 7)
    for part, same in zip(simulate._won(np.random.default_rng(2), by, shared), whole, strict=True):
        assert np.array_equal(part, same)


@pytest.mark.parametrize("steps", [[0.5, 0, 0, 3, 1e-12, 0, 2], [1.0], [0, 0, 5.0], [1e-9] * 50 + [1.0]])
def test_cells_are_those_of_a_plain_search(steps):
    edges = np.cumsum(steps)
    values = np.concatenate([np.random.default_rng(0).random(500) * edges[-1], edges, [0.0]])
    assert np.array_equal(simulate._cells(edges, values), np.searchsorted(edges, values, side="right"))


def test_factors_move_what_they_speak_of(then, projected):
    table = compare_scenarios(then, {
        "win more": Scenario(win_rate=1.1), "create more": Scenario(new_pipeline=1.5),
        "create nothing": Scenario(new_pipeline=0), "faster": Scenario(cycle=0.8), "hire": Scenario(hires=10),
    }, draws=4_000).set_index("scenario")  # fmt: skip
    base = table.loc["as it is"]
    assert (base["expected"], base["p_quota"]) == (projected.expected, projected.p_quota)
    assert table.loc["win more", "from_open"] == pytest.approx(1.1 * base["from_open"], rel=0.01)
    assert table.loc["win more", "from_new"] == pytest.approx(1.1 * base["from_new"], rel=0.03)
    for name, factor in (("create more", 1.5), ("create nothing", 0.0)):
        assert table.loc[name, "from_open"] == base["from_open"]
        assert table.loc[name, "from_new"] == pytest.approx(factor * base["from_new"], rel=0.03)
    assert table.loc["faster", "expected"] > 1.02 * base["expected"]
    assert 0 < table.loc["hire", "change"] < 0.2 * base["from_new"]  # they have seven weeks, and ramp


def test_hires_bring_their_share_once_they_are_past_their_first_months():
    known = made(np.random.default_rng(8), deals=6_000, win=(0.02, 0.02), loss=0.02)
    share = share_of_a_hire(known)
    assert share == pytest.approx(1 / 3, abs=0.05)  # three reps, all there from the start
    won = rhythm.learn(CALENDAR, known.entries.loc[known.entries["outcome"].eq(WON), "end"].to_numpy(), known.day)
    coming = arrivals.learn(known, CALENDAR, won=won)
    more = coming.under(Scenario(hires=3), share)
    far, span = known.day + 3_650, 364  # years on, they are reps like the others
    plain, hired = (each.moments(known.day, far, far + span)[0] for each in (coming, more))
    assert hired == pytest.approx(plain * (1 + 3 * share), rel=0.02)
    soon = [each.moments(known.day, known.day, known.day + 28)[0] for each in (coming, more)]
    assert soon[0] < soon[1] < soon[0] * (1 + 0.1 * 3 * share)
    with pytest.raises(InsufficientData, match="reps with deals for six months"):
        share_of_a_hire(known.until(100))


def test_a_longer_cycle_only_delays():
    known = made(np.random.default_rng(5))
    found = hazard.learn(known, CALENDAR)
    rows = known.open()
    rates = found.rates(rows)
    days = [known.day + 40, known.day + 80]
    plain, slow = (found.won_by(rates, known.day, days, cycle=cycle) for cycle in (1.0, 2.0))
    assert slow[:, 1] == pytest.approx(plain[:, 0], abs=0.03)  # twice the time for the same
    assert (slow < plain).all()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"win_rate": 0}, "win_rate is 0; it is a factor, 0.1 to 10"),
        ({"cycle": float("nan")}, "cycle is nan"),
        ({"deal_size": "1.1"}, "deal_size is '1.1'"),
        ({"new_pipeline": -1}, "a factor, 0 to 10"),
        ({"win_rate": 110}, "win_rate is 110"),
        ({"hires": 1.5}, "hires is 1.5; give a whole number"),
        ({"hires": -2}, "hires is -2"),
    ],
)
def test_scenarios_without_sense_are_refused(given, says):
    with pytest.raises(ParameterError, match=re.escape(says)):
        Scenario(**given)


# -- teams ----------------------------------------------------------------------------------------------------


def test_teams_add_up_to_the_company(then, projected):
    teams = projected.teams.set_index("team")
    assert teams["expected"].sum() == pytest.approx(projected.expected, rel=0.005)
    assert teams["booked"].sum() == pytest.approx(float(projected.booked))
    assert teams["quota"].sum() == pytest.approx(projected.quota)
    assert (teams["low"] <= teams["mid"]).all()
    assert (teams["mid"] <= teams["high"]).all()
    width = (teams["high"] - teams["low"]).sum()
    assert width > projected.quantiles[0.9] - projected.quantiles[0.1]  # teams' luck partly cancels out
    own = kpis.compute(then, "K26", "quarter", by="team", variants="new business").set_index("segment")["value"]
    assert teams["booked"].to_dict() == pytest.approx(own[own > 0].astype(float).to_dict())


# -- beside the CRM's own chances -----------------------------------------------------------------------------


def test_scores_beside_the_crms_probabilities_by_hand():
    rows = pd.DataFrame({
        "day": np.repeat([0, 30], 200), "stage": "late", "is_due": [True, False] * 200,
        "won": [True, False] * 200, "chance": [0.8, 0.1] * 200,
    })  # fmt: skip
    found = calibrate.compare(rows, {"late": 0.6}, 30).set_index("way")
    assert found["brier"].to_dict() == pytest.approx({
        "forecast": (0.2**2 + 0.1**2) / 2, "crm": 0.4**2 / 2, "share won": 0.25,
    })  # fmt: skip
    assert found.loc["crm", "log_loss"] == pytest.approx(-(np.log(0.6) + np.log(0.999)) / 2)
    assert found.loc["crm", ["worse_by", "low", "high"]].tolist() == pytest.approx([0.055] * 3)
    with pytest.raises(
        InsufficientData, match="needs 200 past chances in a stage with a probability, there are 0"
    ):
        calibrate.compare(rows, {}, 30)


def test_our_chances_are_better_than_those_of_the_stages(then):
    found = compare_probabilities(then).set_index("way")
    assert found.loc["forecast", "brier"] < found.loc["share won", "brier"] < found.loc["crm", "brier"]
    assert found.loc["crm", "low"] > 0  # and that is no chance
    assert found.loc["crm", "predicted"] > 1.5 * found.loc["crm", "won"]
