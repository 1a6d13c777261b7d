import itertools
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salesops_lib import funnel, tables
from salesops_lib.decompose import bookings_change, mix_and_rate, product_change
from salesops_lib.errors import InsufficientData, ParameterError

# University of California, Berkeley, autumn 1973: applicants and admitted by department (Bickel et al. 1975)
DEPARTMENTS = list("ABCDEF")
MEN = pd.DataFrame(
    {"dept": DEPARTMENTS, "n": [825, 560, 325, 417, 191, 373], "admitted": [512, 353, 120, 138, 53, 22]}
)
WOMEN = pd.DataFrame(
    {"dept": DEPARTMENTS, "n": [108, 25, 593, 375, 393, 341], "admitted": [89, 17, 202, 131, 94, 24]}
)


def deals(rows, by="segment"):
    return pd.DataFrame(rows, columns=[by, "is_won", "amount"])


def test_berkeley_admissions():
    """Fewer women were admitted, though department by department slightly more of them: they applied elsewhere."""
    found = mix_and_rate(MEN, WOMEN, by="dept", rate=("admitted", "n"))
    assert (100 * found[["total", "mix", "rate"]].sum()).tolist() == pytest.approx([-14.2, -17.8, 3.6], abs=0.05)
    change = WOMEN["admitted"].sum() / WOMEN["n"].sum() - MEN["admitted"].sum() / MEN["n"].sum()
    assert abs(found["total"].sum() - change) < 1e-12
    assert found["dept"].tolist() == DEPARTMENTS
    mix = found.set_index("dept")["mix"]
    assert mix["A"] < 0  # fewer applied where most are admitted
    assert mix["F"] < 0 < WOMEN["n"].iloc[5] / WOMEN["n"].sum() - MEN["n"].iloc[5] / MEN["n"].sum()
    assert set(found["status"]) == {"in both"}


def test_by_hand():
    """Half small deals won at 0.6, half large at 0.2; then a quarter small at 0.6, the rest large at 0.4."""
    before = pd.DataFrame({"size": ["s", "l"], "n": [50, 50], "won": [30, 10]})
    after = pd.DataFrame({"size": ["s", "l"], "n": [25, 75], "won": [15, 30]})
    found = mix_and_rate(before, after, by="size", rate=("won", "n")).set_index("size")
    level = (0.40 + 0.45) / 2
    assert found.loc["s", ["mix", "rate"]].tolist() == pytest.approx([-0.25 * (0.6 - level), 0])
    assert found.loc["l", ["mix", "rate"]].tolist() == pytest.approx([0.25 * (0.3 - level), 0.2 * 0.625])
    assert found["total"].sum() == pytest.approx(0.05)
    assert found.loc["s", ["n_before", "n_after", "rate_before", "rate_after"]].tolist() == [50, 25, 0.6, 0.6]


def test_grouped_rows_say_the_same_as_single_ones():
    def single(frame):
        return pd.DataFrame(
            [{"dept": row.dept, "admitted": k < row.admitted} for row in frame.itertuples() for k in range(row.n)]
        )

    grouped = mix_and_rate(MEN, WOMEN, by="dept", rate=("admitted", "n"))
    pd.testing.assert_frame_equal(
        mix_and_rate(single(MEN), single(WOMEN), by="dept", rate=("admitted", "n")), grouped, check_dtype=False
    )


def test_a_segment_of_one_period_is_all_mix():
    before = deals([("old", True, 1), ("old", False, 1), ("both", True, 1), ("both", False, 1)])
    after = deals([("new", True, 1), ("new", True, 1), ("both", True, 1), ("both", False, 1)])
    found = funnel.decompose_change(before, after, by="segment").set_index("segment")
    assert found["status"].to_dict() == {"both": "in both", "new": "new", "old": "dropped"}
    level = (0.5 + 0.75) / 2
    assert found.loc["new", ["mix", "rate", "total"]].tolist() == pytest.approx(
        [0.5 * (1 - level), 0, 0.5 * 0.375]
    )
    assert found.loc["old", ["mix", "rate"]].tolist() == pytest.approx([-0.5 * (0.5 - level), 0])
    assert math.isnan(found.loc["new", "rate_before"])
    assert math.isnan(found.loc["old", "rate_after"])
    assert found["total"].sum() == pytest.approx(0.25)


CASES = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from(["x", 1]), st.booleans(), st.integers(0, 9)),
    min_size=1,
    max_size=30,
)


def ratio(frame):
    return frame["part"].sum() / frame["size"].sum()


@settings(max_examples=60, deadline=None)
@given(CASES, CASES)
def test_the_parts_add_up_whatever_the_segments(one, other):
    """Segments of one period only, empty names, mixed types, weights of zero."""
    frames = []
    for rows in (one, other):
        frame = pd.DataFrame(rows, columns=["a", "b", "won", "size"]).astype({"a": object, "b": object})
        frame["size"] += frame["won"]  # no numerator without a denominator
        frames.append(frame.assign(part=frame["won"] * frame["size"]))
    if not all(frame["size"].sum() for frame in frames):
        with pytest.raises(InsufficientData):
            mix_and_rate(*frames, by=["a", "b"], rate=("part", "size"))
        return
    found = mix_and_rate(*frames, by=["a", "b"], rate=("part", "size"))
    assert found["total"].sum() == pytest.approx(ratio(frames[1]) - ratio(frames[0]), abs=1e-12)
    assert (found["mix"] + found["rate"]).tolist() == found["total"].tolist()
    assert found["n_before"].sum() == frames[0]["size"].sum()
    assert found["n_after"].sum() == frames[1]["size"].sum()
    assert not found.duplicated(["a", "b"]).any()
    assert (found.loc[found["status"].ne("in both"), "rate"] == 0).all()
    back = mix_and_rate(*frames[::-1], by=["a", "b"], rate=("part", "size"))
    assert back["mix"].tolist() == pytest.approx((-found["mix"]).tolist())


@pytest.mark.parametrize(
    ("before", "after", "by", "says"),
    [
        (MEN, WOMEN, "depth", "Did you mean 'dept'"),
        (MEN, WOMEN, [], "must name columns"),
        (MEN.rename(columns={"dept": "mix"}), WOMEN, "mix", "must name columns"),
        (MEN, WOMEN.drop(columns="n"), "dept", "after: unknown column 'n'"),
        (MEN.assign(n=-1), WOMEN, "dept", "below zero"),
        (MEN.assign(admitted=None), WOMEN, "dept", "empty or not finite in 6 of 6"),
        (MEN.assign(admitted="many"), WOMEN, "dept", "no number"),
        (MEN.assign(n=[0, 1, 1, 1, 1, 1]), WOMEN, "dept", "without any n"),
    ],
)
def test_what_cannot_be_split_is_said(before, after, by, says):
    with pytest.raises(ParameterError, match=says):
        mix_and_rate(before, after, by=by, rate=("admitted", "n"))


def test_without_a_case_there_is_no_change():
    with pytest.raises(InsufficientData, match="needs 1 cases before, there are 0"):
        mix_and_rate(MEN.iloc[:0], WOMEN, by="dept", rate=("admitted", "n"))
    with pytest.raises(InsufficientData, match="cases after"):
        mix_and_rate(MEN, WOMEN.assign(n=0, admitted=0), by="dept", rate=("admitted", "n"))


def test_two_factors_share_the_change_evenly():
    """10 × 2 becomes 14 × 3: 4 × 2.5 for the first, 1 × 12 for the second."""
    assert product_change({"n": 10, "size": 2}, {"n": 14, "size": 3}) == {"n": 10, "size": 12}


def shapley(before, after):
    """Average over every order of the factors: the definition, as an oracle."""
    effects = dict.fromkeys(before, 0.0)
    orders = list(itertools.permutations(before))
    for order in orders:
        now = dict(before)
        for name in order:
            held = math.prod(now.values())
            now[name] = after[name]
            effects[name] += (math.prod(now.values()) - held) / len(orders)
    return effects


FACTORS = st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(FACTORS, st.randoms())
def test_effects_are_the_shapley_values_in_any_order(values, random):
    before, after = ({f"f{k}": pair[side] for k, pair in enumerate(values)} for side in (0, 1))
    found, size = product_change(before, after), 50.0 ** len(values)
    assert found == pytest.approx(shapley(before, after), abs=1e-12 * size)
    assert sum(found.values()) == pytest.approx(
        math.prod(after.values()) - math.prod(before.values()), abs=1e-12 * size
    )
    mixed = list(before)
    random.shuffle(mixed)
    assert product_change({name: before[name] for name in mixed}, after) == found


def test_a_factor_that_was_zero_gets_its_effect():
    assert product_change({"a": 0, "b": 5}, {"a": 2, "b": 5}) == {"a": 10, "b": 0}
    assert sum(product_change({"a": 0, "b": 0, "c": 3}, {"a": 1, "b": 2, "c": 4}).values()) == pytest.approx(8)


def test_eight_factors_and_decimals():
    before, after = ({f"f{k}": Decimal(k + step) for k in range(1, 9)} for step in (0, 1))
    assert sum(product_change(before, after).values()) == pytest.approx(math.factorial(9) - math.factorial(8))


def test_factors_that_do_not_fit_are_refused():
    with pytest.raises(ParameterError, match="on one side only"):
        product_change({"a": 1}, {"b": 1})
    for odd in (float("nan"), float("inf"), "much", None):
        with pytest.raises(ParameterError, match="not a finite number"):
            product_change({"a": odd}, {"a": 1})


BEFORE = [("s", True, 10), ("s", True, 10), ("s", False, 99), ("l", True, 100), ("l", False, None)]
AFTER = [("s", True, 20), ("s", False, 99), ("l", True, 100), ("l", True, 120), ("l", False, 5), ("l", False, 1)]


def test_bookings_by_hand():
    """5 deals × 3/5 × 40 become 6 × 3/6 × 80: the win rate fell, size doubled for more large deals."""
    found = bookings_change(deals(BEFORE), deals(AFTER), by="segment")
    assert (found.start, found.end, found.change) == pytest.approx((120, 240, 120))
    factors = product_change({"v": 5, "w": 0.6, "s": 40}, {"v": 6, "w": 0.5, "s": 80})
    totals = found.effects[found.effects["part"].eq("total")].set_index("factor")["amount"]
    assert totals.to_dict() == pytest.approx(
        {"volume": factors["v"], "win rate": factors["w"], "size": factors["s"]}
    )
    size = found.effects[found.effects["factor"].eq("size")].set_index("part")["amount"]
    won = mix_and_rate(
        pd.DataFrame({"k": ["s", "l"], "n": [2, 1], "a": [20, 100]}),
        pd.DataFrame({"k": ["s", "l"], "n": [1, 2], "a": [20, 220]}), by="k", rate=("a", "n"),
    )  # fmt: skip
    assert size["mix"] / size["total"] == pytest.approx(won["mix"].sum() / 40)
    assert found.largest["factor"] == "size"
    assert found.largest["part"] == "mix"
    assert found.largest["share"] == pytest.approx(size["mix"] / 120)


def test_priced_share_is_a_factor_where_a_won_deal_has_no_amount():
    unpriced = deals([*AFTER, ("s", True, None)])
    found = bookings_change(deals(BEFORE), unpriced, by="segment")
    assert found.end == pytest.approx(240)
    assert "priced share" in set(found.effects["factor"])
    assert "priced share" not in set(bookings_change(deals(BEFORE), deals(AFTER), by="segment").effects["factor"])
    assert found.effects.query("part == 'total'")["amount"].sum() == pytest.approx(120)


def test_money_columns_and_several_dimensions(book):
    """Two quarters of the sample company, with exact money and nullable flags, against their own totals."""
    from salesops_lib import facts

    rows = facts.deals(book)
    halves = []
    for quarter in book.calendar.last("quarter", 3, book.day)[:2]:
        shut = rows[
            (rows["is_won"] | rows["is_lost"]) & ~rows["is_renewal"] & quarter.contains(rows["close_date"])
        ]
        halves.append(shut.drop(columns="amount").rename(columns={"priced": "amount"}))
    found = bookings_change(*halves, by=["segment", "product"])
    start, end = (float(half.loc[half["is_won"], "amount"].sum()) for half in halves)
    assert (found.start, found.end) == pytest.approx((start, end))
    totals = found.effects[found.effects["part"].eq("total")]["amount"].sum()
    assert totals == pytest.approx(end - start, abs=1e-6)
    for name, part in found.effects.groupby("factor"):
        amounts = part.set_index("part")["amount"]
        if name != "volume":
            assert amounts["mix"] + amounts["rate"] == pytest.approx(amounts["total"])
            own = found.segments[found.segments["factor"].eq(name)]
            assert own[["mix", "rate"]].sum().tolist() == pytest.approx([amounts["mix"], amounts["rate"]])


def test_no_won_deal_no_deal_size():
    lost = deals([("s", False, 10)])
    with pytest.raises(InsufficientData, match="needs 1 won deals with an amount after, there are 0"):
        bookings_change(deals(BEFORE), lost, by="segment")
    with pytest.raises(InsufficientData, match="before"):
        bookings_change(deals([("s", True, None)]), deals(AFTER), by="segment")
    with pytest.raises(ParameterError, match="unknown column 'amount'"):
        bookings_change(deals(BEFORE).drop(columns="amount"), deals(AFTER), by="segment")
    with pytest.raises(ParameterError, match="is_won before is empty"):
        bookings_change(deals([("s", None, 1)]), deals(AFTER), by="segment")
    with pytest.raises(ParameterError, match="amount before holds what is no number"):
        bookings_change(deals([("s", True, "10 k")]), deals(AFTER), by="segment")


WON = st.lists(
    st.tuples(st.sampled_from("abc"), st.booleans(), st.none() | st.integers(0, 10**6)), min_size=1, max_size=25
)


@settings(max_examples=60, deadline=None)
@given(WON, WON)
def test_every_split_of_bookings_is_exact(one, other):
    halves = [deals([*rows, ("a", True, 1)]) for rows in (one, other)]
    found = bookings_change(*halves, by="segment")
    start, end = (half.loc[half["is_won"], "amount"].sum() for half in halves)
    effects = found.effects
    assert effects[effects["part"].eq("total")]["amount"].sum() == pytest.approx(end - start, abs=1e-6)
    finest = effects[effects["part"].ne("total") | effects["factor"].isin(["volume", "priced share"])]
    assert finest["amount"].sum() == pytest.approx(end - start, abs=1e-6)
    assert np.isfinite(effects["amount"]).all()
    assert abs(found.largest["amount"]) == finest["amount"].abs().max()


def test_exact_money_reads_as_numbers():
    amounts = tables.money(pd.Series([Decimal("10.10"), Decimal("20.20")]))
    frame = pd.DataFrame({"segment": ["a", "b"], "is_won": pd.array([True, True], "boolean"), "amount": amounts})
    assert bookings_change(frame, frame, by="segment").start == pytest.approx(30.3)
    assert bookings_change(frame, frame, by="segment").change == 0
