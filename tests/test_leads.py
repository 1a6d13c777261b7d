"""Leads: speed like for like, a calibrated chance, and the review of the sample company."""

import numpy as np
import pandas as pd
import pytest

from salesops_lib import leads
from salesops_lib.errors import InsufficientData, ParameterError
from salesops_lib.leads import compare_speed
from salesops_lib.win_probability import fit_win_probability, monitor

# quick qualified / quick, later qualified / later, by source
BY_HAND = {"event": (30, 50, 40, 100), "web": (10, 50, 30, 200)}


def from_counts(counts):
    parts = []
    for source, (a, n, b, m) in counts.items():
        for is_quick, good, size in ((True, a, n), (False, b, m)):
            parts.append(pd.DataFrame({"source": source, "is_quick": is_quick, "is_good": np.arange(size) < good}))
    return pd.concat(parts, ignore_index=True)


def test_the_ratio_within_groups_by_hand():
    """(30·100/150 + 10·200/250) ÷ (40·50/150 + 30·50/250) = 28 ÷ 19.33; without groups (40/100) ÷ (70/300)."""
    found = compare_speed(from_counts(BY_HAND), within=["source"])
    assert found.ratio.value == pytest.approx((30 * 100 / 150 + 10 * 200 / 250) / (40 * 50 / 150 + 30 * 50 / 250))
    assert found.naive.value == pytest.approx((40 / 100) / (70 / 300))
    assert found.ratio.low < found.ratio.value < found.ratio.high
    assert found.groups["quick_rate"].tolist() == [0.6, 0.2]
    assert found.left_out == 0


def test_quick_people_with_better_leads_do_not_fool_it():
    """True ratio 1.22 in every group; the plain one is far above."""
    ratios, naive, held = [], [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        good = rng.random(6_000) < 0.4
        quick = rng.random(6_000) < np.where(good, 0.8, 0.2)
        rate = np.where(good, 0.45, 0.15) * np.where(quick, 1.22, 1.0)
        rows = pd.DataFrame({"source": good, "is_quick": quick, "is_good": rng.random(6_000) < rate})
        found = compare_speed(rows, within=["source"])
        ratios.append(found.ratio.value)
        naive.append(found.naive.value)
        held.append(found.ratio.low <= 1.22 <= found.ratio.high)
    assert np.mean(ratios) == pytest.approx(1.22, abs=0.05)
    assert np.mean(naive) > 1.7
    assert sum(held) >= 8


def test_groups_with_one_side_only_are_left_out_and_counted():
    rows = pd.concat(
        [from_counts(BY_HAND), pd.DataFrame({"source": "fair", "is_quick": True, "is_good": [True] * 9})]
    )
    assert compare_speed(rows, within=["source"]).left_out == 9


@pytest.mark.parametrize(
    ("counts", "within", "error", "says"),
    [
        (BY_HAND, [], ParameterError, "says nothing about speed"),
        (BY_HAND, ["sorce"], ParameterError, "Did you mean 'source'"),
        ({"web": (5, 10, 5, 100)}, ["source"], InsufficientData, "needs 30 leads on either side"),
        ({"web": (0, 50, 0, 50)}, ["source"], InsufficientData, "qualified leads on either side"),
    ],
)
def test_what_speed_refuses(counts, within, error, says):
    with pytest.raises(error, match=says):
        compare_speed(from_counts(counts), within=within)


def cases(n=4_000, seed=1, shift=0.0):
    rng = np.random.default_rng(seed)
    size, source = rng.normal(0, 1, n), rng.choice(["web", "fair"], n)
    logit = -1 + size - 0.6 * size**2 + np.where(source == "web", 0.5, -0.5) + shift
    chance = 1 / (1 + np.exp(-logit))
    return pd.DataFrame({"size": size, "source": source}), chance, rng.random(n) < chance


def test_a_curved_chance_is_learnt_and_keeps_its_word():
    rows, chance, won = cases()
    model = fit_win_probability(rows, won, numbers=["size"], texts=["source"])
    assert model.calibration.n == 1_200
    assert model.calibration.slope.low < 1 < model.calibration.slope.high
    assert abs(model.calibration.intercept.value) < 0.25
    new, truth, _ = cases(seed=2)
    assert np.sqrt(((model.predict(new) - truth) ** 2).mean()) < 0.04
    assert model.calibration.brier < (won.mean() * (1 - won.mean()))
    assert chance.min() < 0.1


def test_true_chances_are_seldom_said_to_have_drifted():
    """Told the truth itself, the monitor cries wolf in one case of twenty."""
    alarms = [monitor(chance, won).has_drifted for _, chance, won in (cases(400, seed) for seed in range(120))]
    assert 0.01 <= np.mean(alarms) <= 0.1


def test_a_drift_of_the_level_is_seen():
    rows, _, won = cases()
    model = fit_win_probability(rows, won, numbers=["size"], texts=["source"])
    later, _, came = cases(seed=3, shift=-0.35)
    found = monitor(model.predict(later), came)
    assert found.has_drifted
    assert found.intercept.low < -0.35 < found.intercept.high
    assert (found.reliability["came"] < found.reliability["told"]).mean() > 0.7


def test_an_unseen_text_and_an_empty_number_have_a_chance():
    rows, _, won = cases()
    model = fit_win_probability(rows.assign(size=rows["size"].mask(rows.index % 9 == 0)), won, numbers=["size"],
                                texts=["source"])  # fmt: skip
    strange = pd.DataFrame({"size": [None, 0.0], "source": ["web", "radio"]})
    assert model.predict(strange).between(0.01, 0.99).all()
    with pytest.raises(ParameterError, match="unknown column 'size'"):
        model.predict(strange.drop(columns="size"))


def test_what_a_chance_refuses():
    rows, _, won = cases()
    with pytest.raises(InsufficientData, match="200 cases that were won"):
        fit_win_probability(rows, np.arange(len(won)) < 150, numbers=["size"])
    with pytest.raises(ParameterError, match="name the columns"):
        fit_win_probability(rows, won)
    with pytest.raises(InsufficientData, match="30 cases"):
        monitor([0.5] * 10, [True] * 10)
    with pytest.raises(ParameterError, match="between 0 and 1"):
        monitor([1.5] * 40, [True, False] * 20)


@pytest.fixture(scope="module")
def found(book):
    return leads.review(book)


def test_the_review_of_the_sample(found):
    row = found.response.iloc[0]
    assert row["name"] == "all"
    assert 0 < row["business"] < row["median"] < row["p90"]
    assert found.waiting.groupby("clock")["waiting"].min().min() > 0  # some are never answered
    assert found.headline.startswith("Half of")


def test_leads_of_the_sample_are_dealt_at_random(found):
    """They are, by the truth of the sample: nobody is to be named."""
    assert len(found.fairness) == 4
    assert not found.fairness["is_unfair"].any()
    assert found.fairness["leads"].sum() == pytest.approx(found.fairness["due"].sum())
    assert found.tests["variant"].tolist()[0] == "leads"


def test_the_score_of_the_sample_keeps_its_word(found):
    assert found.score.calibration.slope.low < 1 < found.score.calibration.slope.high
    assert found.score.leads["chance"].is_monotonic_decreasing
    assert set(found.score.leads["band"]) == {1, 2, 3, 4}


def test_observed_and_unobserved_time_are_the_whole(found):
    rows = found.activity.dropna(subset=["observed"])
    assert (rows["observed"] + rows["unobserved"]).to_numpy() == pytest.approx(1)
    assert (rows["observed_low"] <= rows["observed"]).all()


def test_every_picture_of_the_review_says_what_it_shows(found):
    from salesops_lib.leads import charts

    for name in ("waiting", "qualified", "fairness", "reliability", "day"):
        ax = getattr(charts, f"plot_{name}")(found)
        assert ax.get_title(loc="left") or ax.get_title()
        assert len(getattr(charts, f"describe_{name}")(found)) > 40


def test_a_source_without_leads_is_refused(maven):
    with pytest.raises(InsufficientData, match="leads or activities in the source"):
        leads.review(maven)
