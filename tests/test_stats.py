import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from salesops_lib import stats, tables

# Freireich et al. (1963): weeks in remission, 6-MP arm; 0 is censored
WEEKS = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSE = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]


def test_wilson_interval_published():
    """Newcombe (1998), table I, method 3: 81 of 263 and 15 of 148."""
    found = stats.proportion(81, 263)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    found = stats.proportion(15, 148)
    assert (found.low, found.high) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    found = stats.proportion(0, 20)
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 0.1611), abs=5e-5)


def test_poisson_interval_published():
    """Garwood (1936): exact 95 % limits for counts of 0, 1 and 10."""
    for n, low, high in ((0, 0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.39)):
        found = stats.count(n)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-3)


def test_difference_of_proportions_published():
    """Newcombe (1998b), method 10: 56/70 − 48/80 is 0.2, interval 0.0524 to 0.3339."""
    found = stats.difference(stats.proportion(56, 70), stats.proportion(48, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert not found.is_noise
    assert stats.difference(stats.proportion(5, 10), stats.proportion(4, 10)).is_noise


def test_exact_interval_published():
    """Newcombe (1998), table I, method 5 (Clopper–Pearson): 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for k, n, low, high in ((81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0, 0.1684),
                            (1, 29, 0.0009, 0.1776)):  # fmt: skip
        found = stats.proportion(k, n, exact=True)
        assert (found.value, found.low, found.high) == pytest.approx((k / n, low, high), abs=6e-5)


def test_rank_correlation_published():
    """The textbook's ten people by intelligence and hours of television: −29/165; tied ranks are shared."""
    iq, hours = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110], [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    found = stats.rank_correlation(pd.Series(iq), pd.Series(hours))
    assert found.value == pytest.approx(-29 / 165)
    reach = 1.959964 * math.sqrt((1 + (29 / 165) ** 2 / 2) / 7)
    assert found.low == pytest.approx(math.tanh(math.atanh(-29 / 165) - reach))
    assert found.is_noise
    tied = stats.rank_correlation(pd.Series([1, 1, 2, 3]), pd.Series([1, 2, 3, 4]), least=4)
    assert tied.value == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    perfect = stats.rank_correlation(pd.Series(range(10)), pd.Series(range(10)))
    assert (perfect.value, perfect.high) == pytest.approx((1, 1))


def test_interval_of_a_ratio_of_sums_covers_what_chance_does():
    """Of 600 simulated pairs of periods, the second a third larger, 93 to 98.5 % hold the true ratio."""
    rng, hits = np.random.default_rng(4), 0
    for _ in range(600):
        before, after = (stats.total(pd.Series(rng.lognormal(8, 0.8, rng.poisson(n)))) for n in (60, 80))
        found = stats.ratio(after, before)
        hits += found.low <= 80 / 60 <= found.high
    assert 0.93 <= hits / 600 <= 0.985


def test_a_ratio_needs_two_numbers_and_something_to_divide_by():
    some, none = stats.total(pd.Series([5.0, 5.0])), stats.total(pd.Series([], dtype=float))
    assert stats.ratio(some, some).value == 1
    assert stats.ratio(some, none).status == "not defined"
    assert (stats.ratio(none, some).value, math.isnan(stats.ratio(none, some).low)) == (0, True)
    missing = stats.Estimate.none("no data", 3, "none of 3 has a price")
    for pair in ((missing, some), (some, missing)):
        assert (stats.ratio(*pair).status, stats.ratio(*pair).note) == ("no data", "none of 3 has a price")


def test_median_remission_of_the_6mp_arm():
    """Freireich (1963): median 23 weeks, from Kaplan and Meier's estimate."""
    found = stats.survival_median(pd.Series(WEEKS), pd.Series(RELAPSE), least=5)
    assert found.value == 23
    assert found.low == 13


def test_incidence_is_aalen_johansen_by_hand():
    """Four cases: won at 1, lost at 2, open from 3, won at 4: 1/4, then 1/2 of those still at risk win at 4."""
    found = stats.incidence(pd.Series([1, 2, 3, 4]), pd.Series([1, 2, 0, 1]), 4, least=1)
    assert found.value == pytest.approx(1 / 4 + 1 / 2)
    assert stats.incidence(pd.Series([1, 2, 3, 4]), pd.Series([1, 2, 0, 1]), 2, least=1).value == pytest.approx(
        1 / 4
    )


def test_incidence_without_censoring_is_the_plain_share():
    rng = np.random.default_rng(0)
    days, outcome = rng.uniform(0, 100, 500), rng.integers(1, 3, 500)
    found = stats.incidence(pd.Series(days), pd.Series(outcome), 60)
    assert found.value == pytest.approx(np.mean((days <= 60) & (outcome == 1)))
    assert found.low < found.value < found.high


def test_total_is_exact_to_the_cent():
    amounts = tables.money(pd.Series([Decimal("0.10")] * 3 + [None]))
    assert stats.exact_sum(amounts) == Decimal("0.30")
    assert stats.total(amounts).value == 0.3
    assert stats.exact_sum(amounts.iloc[:0]) == 0


def test_equal_amounts_give_the_poisson_interval():
    """Fay and Feuer (1997): with equal weights their interval is Garwood's, times the weight."""
    found, counted = stats.total(pd.Series([250.0] * 12)), stats.count(12)
    assert (found.low, found.high) == pytest.approx((counted.low * 250, counted.high * 250))


@pytest.mark.parametrize(("deals", "spread"), [(15, 0.5), (40, 1.0), (150, 1.3)])
def test_total_interval_covers_what_chance_does(deals, spread):
    """Of 2,000 simulated periods 93 to 98 % lie where the interval says, skewed as deal sizes are."""
    rng = np.random.default_rng(1)
    mean, hits = deals * np.exp(8 + spread**2 / 2), 0
    for _ in range(2_000):
        found = stats.total(pd.Series(rng.lognormal(8, spread, rng.poisson(deals))))
        hits += found.low <= mean <= found.high
    assert 0.93 <= hits / 2_000 <= 0.98


def test_no_deals_have_a_sum_but_no_range():
    found = stats.total(pd.Series([], dtype=float))
    assert (found.value, found.n, found.status) == (0, 0, "ok")
    assert math.isnan(found.high)
    assert "no range" in found.note


def test_bootstrap_interval_of_a_mean_covers():
    rng = np.random.default_rng(2)
    hits = sum(
        found.low <= 10 <= found.high
        for found in (stats.mean(pd.Series(rng.normal(10, 3, 40))) for _ in range(200))
    )
    assert 0.88 <= hits / 200 <= 0.99


def test_median_interval_holds_the_order_statistics():
    """Conover (1999): for n = 6 the 95 % interval of the median runs from the smallest to the largest."""
    found = stats.median(pd.Series([1, 2, 3, 4, 5, 6]))
    assert (found.value, found.low, found.high) == (3.5, 1, 6)


def test_ratio_is_of_sums_never_a_mean_of_ratios():
    found = stats.ratio_of_sums(pd.Series([10, 0, 0, 0, 0]), pd.Series([10, 30, 20, 20, 20]))
    assert found.value == 0.1


@pytest.mark.parametrize(
    ("found", "status", "says"),
    [
        (stats.proportion(0, 0), "not defined", "no cases"),
        (stats.mean(pd.Series([1.0])), "too few", "needs 5 cases, has 1"),
        (stats.median(pd.Series([1.0] * 5)), "too few", "needs 6 cases, has 5"),
        (stats.ratio_of_sums(pd.Series([0.0]), pd.Series([0.0])), "not defined", "zero"),
        (stats.incidence(pd.Series([5.0]), pd.Series([0]), 10), "too few", "needs 30"),
        (stats.survival_median(pd.Series([5.0] * 20), pd.Series([0] * 20)), "too few", "needs 10 closed"),
        (stats.proportion(0, 0, exact=True), "not defined", "no cases"),
        (stats.rank_correlation(pd.Series(range(9)), pd.Series(range(9))), "too few", "needs 10 cases, has 9"),
        (stats.rank_correlation(pd.Series([1] * 10), pd.Series(range(10))), "not defined", "alike"),
    ],
)
def test_too_little_data_is_said_and_never_a_number(found, status, says):
    assert found.status == status
    assert says in found.note
    assert math.isnan(found.value)
    assert math.isnan(found.low)


@given(st.integers(0, 500), st.integers(1, 500))
def test_intervals_hold_their_value(k, n):
    k = min(k, n)
    found = stats.proportion(k, n)
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
