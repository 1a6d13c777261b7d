"""Reps compared: published answers, simulated truth, and what it refuses to say."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chi2_contingency, spearmanr

from salesops_lib import pooling
from salesops_lib.benchmark import (
    Rule,
    compare,
    compare_counts,
    compare_sizes,
    compare_strengths,
    profile_skills,
    ramp_curve,
    simulate_contest,
)
from salesops_lib.benchmark.limits import binomial_limit, with_limits
from salesops_lib.benchmark.skills import NONE_STANDS_OUT, split_product
from salesops_lib.decompose import product_change
from salesops_lib.errors import InsufficientData, ParameterError
from salesops_lib.language import speaking
from tests.conftest import shared

# Efron and Morris (1975): hits in the first 45 at bats of 18 players, and their average over the rest of 1970
HITS = [18, 17, 16, 15, 14, 14, 13, 12, 11, 11, 10, 10, 10, 10, 10, 9, 8, 7]
REST = np.array([.346, .298, .276, .222, .273, .270, .263, .210, .269, .230, .264, .256, .303, .264, .226, .286,
                 .316, .200])  # fmt: skip
MIX = ["segment", "product", "territory"]


def outcomes(won, n):
    """Deals of reps 0, 1, … who won so many of so many."""
    rep = np.repeat(np.arange(len(won)), n)
    place = np.concatenate([np.arange(m) for m in n])
    return pd.DataFrame({"user_id": rep, "is_won": place < np.repeat(won, n)})


def sell(seed, reps=200, each=30, sd=0.35):
    rng = np.random.default_rng(seed)
    skill, n = rng.normal(0, sd, reps), rng.poisson(each, reps).clip(1)
    rep = np.repeat(np.arange(reps), n)
    segment = (rng.random(len(rep))[:, None] > rng.dirichlet([2, 2, 2], reps)[rep].cumsum(1)).sum(1).clip(max=2)
    product, territory = rng.integers(0, 3, len(rep)), rng.integers(0, 8, reps)[rep]
    logit = -1.1 + np.array([0.6, 0, -0.6])[segment] + np.array([0.3, 0, -0.3])[product]
    logit = logit + np.linspace(-0.4, 0.4, 8)[territory]
    won = rng.random(len(rep)) < 1 / (1 + np.exp(-logit - skill[rep]))
    truth = np.array([(1 / (1 + np.exp(-logit - own))).mean() for own in skill])
    frame = pd.DataFrame({"user_id": rep, "is_won": won, "segment": segment, "product": product,
                          "territory": territory})  # fmt: skip
    return frame, skill, truth


def test_efron_and_morris():
    """Total squared error of the raw averages ÷ that of the pulled-back ones: 3.50."""
    found = compare(outcomes(HITS, [45] * 18), mix=())
    raw = np.array(HITS) / 45
    ratio = ((raw - REST) ** 2).sum() / ((found.reps["adjusted_rate"] - REST) ** 2).sum()
    assert ratio == pytest.approx(3.50, abs=0.1)
    x, theta = (np.sqrt(45) * np.arcsin(2 * p - 1) for p in (raw, REST))
    pooled, _ = pooling.pool_means(pd.Series(x - x.mean()), pd.Series(np.ones(18)))
    shrunk = x.mean() + pooled["effect"]
    assert ((x - theta) ** 2).sum() / ((shrunk - theta) ** 2).sum() == pytest.approx(3.50, abs=0.02)


def test_without_a_mix_the_test_is_that_of_pearson():
    won, n = np.array([12, 30, 22, 18, 40, 25, 31, 9, 14, 28]), np.array([40, 60, 50, 45, 70, 60, 55, 30, 38, 66])
    found = compare(outcomes(won, n), mix=()).heterogeneity
    pearson = chi2_contingency([won, n - won], correction=False)
    assert found["chi2"] == pytest.approx(pearson.statistic)
    assert (found["df"], found["n_reps"]) == (9, 10)
    assert found["p_value"] == pytest.approx(pearson.pvalue)


def test_maven_reps_are_indistinguishable():
    deals = pd.read_csv(shared("maven_crm") / "sales_pipeline.csv").query("deal_stage in ['Won', 'Lost']")
    deals = deals.assign(user_id=deals["sales_agent"], is_won=deals["deal_stage"].eq("Won"))
    found = compare(deals, mix=())
    assert found.heterogeneity["chi2"] == pytest.approx(33.3, abs=0.06)
    assert found.heterogeneity["p_value"] == pytest.approx(0.27, abs=0.01)
    assert found.verdict == "indistinguishable"
    assert "statistically indistinguishable" in found.headline
    assert "no ranking" in found.headline
    assert (found.reps["rank_low"] == 1).all()
    assert (found.reps["rank_high"] == 30).all()
    assert found.reps["p_top_quartile"].nunique() == 1
    assert np.ptp(found.reps["adjusted_rate"]) < np.ptp(found.reps["raw_rate"]) / 3


@pytest.mark.parametrize("each", [10, 30, 150])
def test_known_skill_is_found_and_intervals_hold(each):
    """What the goals ask for, on four seeds; the benchmark has forty."""
    rows = []
    for seed in range(4):
        deals, skill, truth = sell(seed, each=each)
        reps = compare(deals, mix=MIX).reps
        raw, adjusted = (((reps[name] - truth) ** 2).mean() ** 0.5 for name in ("raw_rate", "adjusted_rate"))
        ours, today = (spearmanr(reps[name], skill)[0] for name in ("adjusted_rate", "raw_rate"))
        inside = (reps["low"] <= truth) & (truth <= reps["high"])
        rows.append([ours - today, raw, adjusted, inside.mean()])
    better, raw, adjusted, held = np.mean(rows, axis=0)
    assert better > 0.01
    assert adjusted < min(0.062, raw / 1.5)
    assert 0.84 <= held <= 0.95


def test_a_comparison_is_the_same_in_another_language():
    deals = sell(1, reps=40, each=60)[0].astype({"user_id": object})
    english = compare(deals, mix=MIX)
    with speaking("de"):
        german = compare(deals, mix=MIX)
    assert german.verdict == english.verdict == "differ"
    pd.testing.assert_frame_equal(german.reps, english.reps)
    assert english.headline.startswith("The win rates of 40 reps differ by more than chance (p = 0.")
    assert german.headline.startswith("Die Gewinnraten von 40 Vertrieblern unterscheiden sich stärker")
    assert "(p = 0," in german.headline


def test_nobody_is_named_when_nobody_differs():
    named, verdicts = [], []
    for seed in range(8):
        found = compare(sell(seed, sd=0)[0], mix=MIX)
        level = found.reps["adjusted_rate"].mean()
        named.append(((found.reps["low"] > level) | (found.reps["high"] < level)).mean())
        named.append(found.reps["is_flagged"].mean())
        verdicts.append(found.verdict)
    assert np.mean(named) <= 0.05
    assert verdicts.count("differ") <= 2


def test_mix_is_taken_out_of_the_comparison():
    """One rep sells only what is easy; at the same mix they are like all others."""
    rng = np.random.default_rng(5)
    easy = np.r_[np.ones(300, bool), rng.random(3_700) < 0.3]
    rep = np.r_[np.zeros(300, int), rng.integers(1, 20, 3_700)]
    won = rng.random(4_000) < np.where(easy, 0.6, 0.2)
    deals = pd.DataFrame({"user_id": rep, "segment": easy, "is_won": won})
    mixed, plain = (compare(deals, mix=mix).reps.iloc[0] for mix in (("segment",), ()))
    level = deals["is_won"].mean()
    assert plain["low"] > level + 0.05
    assert mixed["expected_rate"] == pytest.approx(0.6, abs=0.05)
    assert mixed["low"] < level < mixed["high"]


def test_the_order_of_rows_and_other_columns_change_nothing():
    deals = sell(1, reps=20)[0]
    straight = compare(deals, mix=MIX).reps
    mixed = compare(deals.sample(frac=1, random_state=1).assign(other="x"), mix=tuple(MIX)).reps
    pd.testing.assert_frame_equal(straight, mixed)


def test_a_rep_with_four_deals_is_shown_at_the_prior():
    deals = pd.concat([sell(2, reps=30)[0], pd.DataFrame({"user_id": 99, "is_won": [True] * 4, "segment": 0,
                                                          "product": 0, "territory": 0})])  # fmt: skip
    found = compare(deals, mix=MIX).reps.set_index("user_id")
    few = found.loc[99]
    assert few["status"] == "too few"
    assert "needs 5 closed deals, has 4" in few["note"]
    assert few["raw_rate"] == 1
    assert few["low"] < found["adjusted_rate"].mean() < few["high"]
    assert few["shrinkage"] == 1
    assert few["high"] - few["low"] > (found["high"] - found["low"]).median()


def test_nine_reps_have_limits_but_no_ranking():
    found = compare(sell(3, reps=9)[0], mix=MIX)
    assert found.verdict == "too few reps"
    assert "10 are needed" in found.headline
    assert found.reps[["adjusted_rate", "p_top_quartile", "rank_low"]].isna().all(axis=None)
    assert found.reps[["expected_rate", "limit_low_95", "limit_high_998"]].notna().all(axis=None)
    assert np.isnan(found.heterogeneity["tau"])


def test_a_segment_of_one_rep_cannot_be_told_from_the_rep():
    deals = sell(4, reps=20)[0]
    deals["segment"] = deals["segment"].astype(str).mask(deals["user_id"].eq(7), "space")
    found = compare(deals, mix=["segment"])
    assert found.notes == ("Cannot separate rep 7 from segment space: nobody else sells it.",)
    note = found.reps.set_index("user_id")["note"]
    assert "Cannot separate" in note[7]
    assert (note.drop(7) == "").all()
    reach = (found.reps["high"] - found.reps["low"]).set_axis(found.reps["user_id"])
    assert reach[7] > reach.drop(7).max()
    with pytest.raises(InsufficientData, match="cannot be separated from patch"):
        compare(deals.assign(patch=deals["user_id"].astype(str)), mix=["patch"])


@pytest.mark.parametrize(
    ("change", "options", "error", "says"),
    [
        ({}, {"mix": ["sgment"]}, ParameterError, "Did you mean 'segment'"),
        ({}, {"mix": ["user_id"]}, ParameterError, "other columns than user_id"),
        ({}, {"interval": 90}, ParameterError, "not between 0 and 1"),
        ({"is_won": "maybe"}, {}, ParameterError, "not true or false"),
        ({"is_won": None}, {}, ParameterError, "empty or not true or false"),
        ({"is_won": True}, {}, InsufficientData, "that were lost"),
        ({"is_won": False}, {}, InsufficientData, "that were won"),
        ({"user_id": None}, {}, InsufficientData, "there are 0"),
    ],
)
def test_bad_input_is_refused_in_words(change, options, error, says):
    deals = sell(1, reps=12)[0].assign(**change)
    with pytest.raises(error, match=says):
        compare(deals, **({"mix": ["segment"]} | options))


def test_deals_without_a_rep_are_counted():
    deals = sell(1, reps=12)[0].astype({"user_id": object})
    deals.loc[:4, "user_id"] = None
    assert f"5 of {len(deals)} closed deals have no rep" in compare(deals, mix=["segment"]).notes[0]


def test_limits_are_exact_where_a_count_hits_the_tail():
    for n, k in ((20, 8), (200, 70)):
        tail = binom.cdf(k, n, 0.3)
        assert binomial_limit(np.array([n]), np.array([0.3]), tail) == pytest.approx(k / n)
    n, rate = np.array([20, 200]), np.array([0.3, 0.3])
    low, high = binomial_limit(n, rate, 0.025), binomial_limit(n, rate, 0.975)
    assert (low < rate).all()
    assert (high > rate).all()
    assert high[0] - low[0] > high[1] - low[1]


def test_an_outlier_is_flagged_and_common_scatter_is_not():
    reps = pd.DataFrame({"n": [100] * 20, "won": [*([30] * 10), *([33] * 9), 70]})
    reps = reps.assign(raw_rate=reps["won"] / 100, expected_rate=0.31)
    found, phi = with_limits(reps)
    assert found["is_flagged"].tolist() == [False] * 19 + [True]
    wild = reps.assign(won=[15, 47] * 10)
    wild, phi = with_limits(wild.assign(raw_rate=wild["won"] / 100))
    assert phi > 5
    assert not wild["is_flagged"].any()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6))
def test_the_split_of_a_product_adds_up(pairs):
    before, after = np.array(pairs).T
    parts = split_product(before[:, None], after[:, None])[:, 0]
    assert parts.sum() == pytest.approx(after.prod() - before.prod(), abs=1e-12)
    names = [str(k) for k in range(len(pairs))]
    scalar = product_change(dict(zip(names, before, strict=True)), dict(zip(names, after, strict=True)))
    assert parts == pytest.approx([scalar[name] for name in names])


def stage_rows(weak=None, reps=24, each=200):
    rng, parts = np.random.default_rng(11), []
    for stage, following, rate in (("demo", "offer", 0.7), ("offer", "won", 0.5)):
        for rep in range(reps):
            own = rate - 0.25 * ((rep, stage) == weak)
            won = rng.random(each) < own
            parts.append(pd.DataFrame({"user_id": rep, "stage": stage, "next_stage": following, "is_won": won}))
    return pd.concat(parts, ignore_index=True)


def test_a_weak_stage_is_named_and_priced():
    per_quarter = pd.Series(100.0, index=range(24))
    found = profile_skills(stage_rows((5, "offer")), mix=(), worth=1_000, per_quarter=per_quarter)
    row = found.reps.set_index("user_id").loc[5]
    assert row["coach"] == "offer"
    assert row["p_below"] > 0.99
    assert row["gap"] == pytest.approx(row["rate"] - row["team_rate"], abs=1e-12)
    assert row["worth_low"] < 0.7 * 0.25 * 100 * 1_000 < row["worth_high"]
    others = found.reps[found.reps["user_id"].ne(5)]
    assert (others["coach"] == NONE_STANDS_OUT).mean() > 0.85
    sums = found.stages.groupby("user_id")["gap"].sum()
    assert sums.to_numpy() == pytest.approx((found.reps["rate"] - found.reps["team_rate"]).to_numpy(), abs=1e-12)


def test_no_stage_stands_out_where_nobody_is_weak():
    found = profile_skills(stage_rows(), mix=())
    assert (found.reps["coach"] == NONE_STANDS_OUT).all()
    assert found.headline.startswith("No stage stands out")
    with pytest.raises(InsufficientData, match="10 reps with 5 deals"):
        profile_skills(stage_rows(reps=8), mix=())
    with pytest.raises(InsufficientData, match="there are 0"):
        profile_skills(stage_rows().iloc[:0], mix=())


def test_sizes_are_compared_at_the_same_mix():
    rng = np.random.default_rng(3)
    rep, segment = rng.integers(0, 20, 2_000), rng.integers(0, 2, 2_000)
    skill = rng.normal(0, 0.15, 20)
    amount = np.exp(9 + 1.2 * segment + skill[rep] + rng.normal(0, 0.8, 2_000))
    deals = pd.DataFrame({"user_id": rep, "segment": segment, "amount": amount})
    found = compare_sizes(deals, value="amount")
    assert spearmanr(found["adjusted"], skill)[0] > 0.6
    truth = np.exp(np.log(amount).mean() + skill - skill[rep].mean())
    assert ((found["low"] <= truth) & (truth <= found["high"])).mean() > 0.7
    with pytest.raises(InsufficientData, match="10 reps with 5"):
        compare_sizes(deals[deals["user_id"] < 9], value="amount")


def test_counts_of_few_days_are_pulled_back():
    counts = pd.DataFrame({"user_id": range(12), "count": [30, *[100] * 11], "days": [10, *[100] * 11]})
    found = compare_counts(counts).set_index("user_id")
    assert found.loc[0, "raw"] == 3
    assert 1 < found.loc[0, "rate"] < 3
    assert found["low"].le(found["rate"]).all()
    assert found["shrunk"].iloc[0] > found["shrunk"].iloc[1]


def test_strengths_find_the_pair_that_differs():
    rng = np.random.default_rng(2)
    rep, segment = rng.integers(0, 12, 6_000), rng.choice(["big", "small"], 6_000)
    rate = np.where(segment == "big", 0.2, 0.4) + 0.25 * ((rep == 4) & (segment == "big"))
    found = compare_strengths(
        pd.DataFrame({"user_id": rep, "segment": segment, "is_won": rng.random(6_000) < rate})
    )
    top = found.loc[found["over_team"].idxmax()]
    assert (top["user_id"], top["segment"]) == ("4", "big")
    assert top["p_above"] > 0.99
    assert top["low"] < 0.45 < top["high"] + 0.03


def test_a_ramp_with_leavers_is_not_that_of_the_survivors():
    """Weak reps leave after a year: the mean of who is left rises, nobody got better."""
    rng, rows = np.random.default_rng(9), []
    for rep in range(60):
        good = rng.normal(0, 25)
        for month in range(24 if good > -5 else 12):
            rows.append((rep, month, 100 * min(1, 0.3 + month / 8) + good + rng.normal(0, 10)))
    found = ramp_curve(pd.DataFrame(rows, columns=["user_id", "month", "made"])).set_index("month")
    late = found.loc[18:]
    assert abs(late["made"].mean() - 100) < 8
    assert late["survivors"].mean() - 100 > 8
    assert late["n"].max() < 60
    with pytest.raises(InsufficientData, match="10 reps in one month"):
        ramp_curve(pd.DataFrame(rows, columns=["user_id", "month", "made"]).query("user_id < 9"))


def test_a_contest_of_equals_is_even_and_a_cap_takes_the_edge_off():
    alike = pd.DataFrame({"user_id": range(5), "wins": 10.0, "meetings": 30.0})
    found = simulate_contest(alike, {"wins": Rule(10), "meetings": Rule(1)})
    assert found.reps["p_win"].to_numpy() == pytest.approx(0.2, abs=0.02)
    assert found.evenness > 0.99
    assert not found.reps["is_hopeless"].any()
    busy = alike.assign(meetings=[200.0, 30, 30, 30, 30])
    open_end, capped = (simulate_contest(busy, {"wins": Rule(10), "meetings": Rule(1, cap)}) for cap in (None, 30))
    assert open_end.reps["p_win"].iloc[0] > 0.99
    assert capped.reps["p_win"].iloc[0] < 0.4
    even = simulate_contest(busy.assign(wins=[20.0, 5, 5, 5, 5]), {"wins": Rule(10)}, handicap=True)
    assert even.reps["p_win"].min() > 0.05
    with pytest.raises(ParameterError, match="unknown column 'calls'"):
        simulate_contest(alike, {"calls": Rule(1)})
