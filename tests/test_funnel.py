"""Stage conversion: published curves, cases that fit in the head, simulated truth, and what it refuses to say."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.duration.survfunc import CumIncidenceRight, SurvfuncRight

from salesops_lib.curves import Curve
from salesops_lib.errors import DataContractError, InsufficientData, ParameterError
from salesops_lib.funnel import (
    measure_conversion,
    rank_initiatives,
    rank_levers,
    split_attempts,
    template,
    velocity_change,
)
from salesops_lib.language import speaking
from salesops_lib.passages import count_steps, reached

# Freireich et al. (1963): weeks in remission under 6-mercaptopurine, and whether it ended
WEEKS = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
ENDED = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
# Kyle et al. (2002), mgus2 of R's survival: 1,384 patients by month (0 to 424) in which they were last seen, had
# become malignant, or died before that; one character a month, chr(48 + count)
MGUS = [
    "0100000000100000000000000000100000010000000010011000320032373222212043324230421373421233037325403352361631"
    "2312143040321101401211240232211123101132233120111120524005121432111114131211113332012421343021311101222222"
    "0502110030211323110020001000103210000120102000110100110000101000000020001111010000100001010000000000102000"
    "1000000000100000000010010000000010000000000000000000000000000000000000000000100000000000000000000000000000"
    "0",
    "0020111022211120120002120000021001111012002011000002200012002111000201100110200123011010002101000110041000"
    "0001010010101002011000200000010010001000010010110000200100011010000000000110000000101000000010010000000000"
    "0000000000000000100000000010000000000000000000010000000000000001000000000000000000000000000000000000100000"
    "0000000000000000000000100000000000000000000000000000000100000000000000000000000000000000000000000000000000"
    "0",
    "0ZL?@:96<9:66534476492;38657668784664565538755>39881585524544735859543492725885246327523434248614766413822"
    "4532523344532124304340242003256423520134331113321322400101112212211311202210011101010211002000021000002000"
    "1110100000210000300000010000100000000000100111101000020000001000000000000000000000000000000000000000001000"
    "0001000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "1",
]  # fmt: skip
STAGES = ["qualify", "demo", "won", "lost"]
DAY = pd.Timestamp("2026-01-01")


def on(day):
    return DAY + pd.Timedelta(days=day)


def moves(*rows):
    frame = pd.DataFrame(rows, columns=["opportunity_id", "stage", "entered_at"])
    return frame.assign(entered_at=[on(day) for day in frame["entered_at"]])


def usual(n=60, on_demo=40, won=20, lost=15):
    """Deals opened on day 0; some reach the demo on day 5, some of these won on day 20, others lost."""
    return [
        *((f"o{k}", "qualify", 0) for k in range(n)),
        *((f"o{k}", "demo", 5) for k in range(on_demo)),
        *((f"o{k}", "won", 20) for k in range(won)),
        *((f"o{k}", "lost", 20) for k in range(on_demo, on_demo + lost)),
    ]


def measure(rows, **options):
    return measure_conversion(moves(*rows), STAGES, **({"as_of": on(100), "horizon_days": 30} | options))


def test_freireich():
    curve = Curve.of(WEEKS, ENDED)
    at = dict(zip(curve.time, curve.survival.round(3), strict=True))
    assert [at[week] for week in (6, 7, 10, 13, 16, 22, 23)] == [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    assert curve.quantile(0.5, least=5).value == 23
    assert np.isnan(curve.quantile(0.5, least=5).high)  # as published: not reached
    assert curve.quantile(0.9, least=5).status == "too few"


def test_malignancy_and_death_of_mgus():
    """R's `survival` prints 0.134 (0.0201) and 0.784 (0.0209) at 360 months; deaths as censoring give 0.425."""
    seen = np.array([[ord(count) - 48 for count in way] for way in MGUS])
    month, outcome = np.tile(np.arange(425), 3), np.repeat([0, 1, 2], 425)
    curve = Curve.of(month, outcome, seen.ravel())
    assert curve.n == 1_384
    for cause, (value, error) in enumerate([(0.134042, 0.0201276), (0.784208, 0.0209335)]):
        assert curve.share_by(360, cause=cause + 1).value == pytest.approx(value, abs=1e-6)
        assert curve.error[cause][360] == pytest.approx(error, abs=1e-6)
    naive = Curve.of(month, outcome == 1, seen.ravel()).survival[360]
    assert 1 - naive == pytest.approx(0.425, abs=5e-4)


def test_incidence_and_its_error_are_those_of_statsmodels():
    rng = np.random.default_rng(0)
    a, b, open_until = (np.ceil(rng.exponential(scale, 900)) for scale in (90, 50, 120))
    time = np.minimum(np.minimum(a, b), open_until)
    outcome = np.where(time == open_until, 0, np.where(a <= b, 1, 2))
    curve = Curve.of(time, outcome)
    with np.errstate(divide="ignore", invalid="ignore"):
        theirs = CumIncidenceRight(time, outcome)
        half = SurvfuncRight(time, (outcome > 0).astype(int)).quantile(0.5)
    place = np.searchsorted(curve.time, theirs.times)
    for cause in (0, 1):
        assert curve.incidence[cause][place] == pytest.approx(theirs.cinc[cause])
        assert curve.error[cause][place][:-1] == pytest.approx(theirs.cinc_se[cause][:-1])
    assert (curve.incidence.sum(axis=0) + curve.survival) == pytest.approx(1)
    assert curve.quantile(0.5).value == half
    found = curve.share_by(60)
    assert 0 < found.low < found.value < found.high < 1
    naive = 1 - Curve.of(time, (outcome == 1).astype(int)).survival
    assert naive[np.searchsorted(curve.time, 60, side="right") - 1] > found.high


def test_counts_make_the_same_curve_as_cases():
    time, outcome = np.array([3, 3, 5, 5, 5, 8]), np.array([1, 1, 2, 0, 2, 1])
    cases, counted = Curve.of(time, outcome), Curve.of([3, 5, 5, 8], [1, 2, 0, 1], [2, 2, 1, 1])
    assert (cases.n, cases.risk_at(4), cases.ended_by(5)) == (6, 4, 2) == (counted.n, counted.risk_at(4), 2)
    assert cases.incidence.tolist() == counted.incidence.tolist()


def test_a_funnel_that_fits_in_the_head():
    steps = measure(usual()).steps.set_index("stage")
    assert steps["n"].tolist() == [60, 40]
    assert steps["reached"].tolist() == [40, 20]
    assert steps["rate"].tolist() == pytest.approx([2 / 3, 1 / 2])
    assert steps["lost"].tolist() == pytest.approx([15 / 60, 0])
    assert steps["at_risk"].tolist() == [5, 20]
    assert steps.loc["qualify", "median_days"] == 5
    assert steps.loc["demo", "median_days"] == 15
    assert np.isnan(steps.loc["demo", "p90_days"])  # half are still there
    assert measure(usual()).whole["rate"].iloc[0] == pytest.approx(20 / 60)


def test_skipped_repeated_and_backward_stages():
    """A won deal that never saw a demo reached it; who goes back, or comes twice, takes nothing away."""
    rows = [
        *usual(),
        *(("skips", "qualify", 0), ("skips", "won", 7), ("starts late", "demo", 2), ("starts late", "lost", 9)),
        *(("goes back", "qualify", 0), ("goes back", "demo", 4), ("goes back", "qualify", 6)),
        *(("goes back", "won", 30), ("reopened", "qualify", 0), ("reopened", "lost", 3)),
        *(("reopened", "qualify", 10), ("reopened", "demo", 12)),
    ]
    steps = measure(rows).steps.set_index("stage")
    assert steps["n"].tolist() == [64, 44]
    assert steps["reached"].tolist() == [44, 22]
    place = reached(moves(*rows), STAGES, on(100))
    assert (place.loc["skips", "demo"] - DAY).days == 7
    assert place.loc["starts late", "qualify"] == place.loc["starts late", "demo"] == on(2)
    assert (place.loc["goes back", "stage"], place.loc["reopened", "stage"]) == ("won", "demo")
    assert (place.loc["goes back", "won"] - place.loc["goes back", "demo"]).days == 26


def test_a_plain_loop_counts_the_same():
    rng, rows = np.random.default_rng(3), []
    for deal in range(300):
        day, place = rng.integers(0, 60), 0
        while place < 2 and day < 110:
            rows.append((f"d{deal}", STAGES[place], int(day)))
            day += rng.integers(1, 30)
            place = 3 if rng.random() < 0.3 else place + rng.choice([1, 1, 1, 2, -1])
            place = max(place, 0)
        if place >= 2:
            rows.append((f"d{deal}", STAGES[min(place, 3)], int(day)))
    frame, until = moves(*rows), on(100) + pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)
    want = {}
    for _, own in frame[frame["entered_at"] <= until].groupby("opportunity_id"):
        seen = [(row.entered_at, STAGES.index(row.stage)) for row in own.sort_values("entered_at").itertuples()]
        for stage in range(2):
            there = [at for at, place in seen if stage <= place <= 2]
            if not there:
                continue
            further = [at for at, place in seen if stage < place <= 2]
            lost = seen[-1][1] == 3
            end = further[0] if further else seen[-1][0] if lost else until
            hours = int((end - there[0]).total_seconds() // 3600)
            key = (stage, hours, 1 if further else 2 if lost else 0)
            want[key] = want.get(key, 0) + 1
    steps, _, facts = count_steps(frame, STAGES, on(100))
    found = steps.groupby(["stage", "hours", "outcome"])["n"].sum().to_dict()
    assert found == want
    assert facts["deals"] == frame.loc[frame["entered_at"] <= until, "opportunity_id"].nunique()


def test_a_parquet_file_says_the_same_as_the_frame(tmp_path):
    frame = moves(*usual())
    frame.to_parquet(tmp_path / "moves.parquet")
    options = {"as_of": on(100), "horizon_days": 30}
    there = measure_conversion(tmp_path / "moves.parquet", STAGES, **options)
    pd.testing.assert_frame_equal(there.steps, measure_conversion(frame, STAGES, **options).steps)


def test_the_future_is_invisible():
    rows = [
        *usual(),
        *((f"late{k}", "qualify", 90) for k in range(50)),
        *((f"o{k}", "lost", 95) for k in range(20)),
    ]
    whole, cut = measure(rows, as_of=on(80)), measure([row for row in rows if row[2] <= 80], as_of=on(80))
    pd.testing.assert_frame_equal(whole.steps, cut.steps)
    pd.testing.assert_frame_equal(whole.cohorts, cut.cohorts)
    at_noon = measure(usual(), as_of=on(20) + pd.Timedelta(hours=12), horizon_days=10)
    assert at_noon.curve["days"].max() == 20.5


def simulate(seed, each=400, months=24):
    """A quarter won after a median of 60 days, the others lost after one of 95."""
    rng, starts = np.random.default_rng(seed), pd.date_range("2024-01-01", periods=months, freq="MS")
    born = np.repeat(starts.to_numpy(), each) + (rng.random(months * each) * 28 * 86400).astype("timedelta64[s]")
    win = rng.random(len(born)) < 0.25
    spent = np.where(win, rng.lognormal(np.log(60), 0.6, len(born)), rng.lognormal(np.log(95), 0.6, len(born)))
    ids = np.arange(len(born)).astype(str)
    ends = pd.DataFrame({"opportunity_id": ids, "stage": np.where(win, "won", "lost"),
                         "entered_at": born + (spent * 86400).astype("timedelta64[s]")})  # fmt: skip
    opened = pd.DataFrame({"opportunity_id": ids, "stage": "open", "entered_at": born})
    return pd.concat([opened, ends]), starts[-1] + pd.offsets.MonthBegin(1)


def test_young_cohorts_are_not_biased():
    """Won ÷ created is 16 points too low there, won ÷ closed 10 too high; the benchmark has thirty seeds."""
    off, held = [], []
    for seed in range(6):
        frame, as_of = simulate(seed)
        options = {"as_of": as_of, "horizon_days": 60, "interval": 0.9}
        found = measure_conversion(frame, ["open", "won", "lost"], **options).cohorts
        off.append(found["ultimate"] - 0.25)
        held.append((found["ultimate_low"] <= 0.25) & (found["ultimate_high"] >= 0.25))
        assert found["is_young"].tolist() == [False] * 22 + [True, True]
        assert found["rate"].isna().tolist() == [False] * 22 + [True, True]
    assert abs(np.mean([run.iloc[-3:] for run in off])) < 0.012
    assert abs(np.mean([run.iloc[-6:] for run in off])) < 0.012
    assert np.mean(held) > 0.83


def test_median_time_of_recent_visits():
    """True median 30 days; of the closed ones alone it is far too short."""
    ours, naive, as_of = [], [], pd.Timestamp("2026-03-01")
    for seed in range(6):
        rng = np.random.default_rng(seed)
        born = as_of - pd.to_timedelta(rng.uniform(0, 60, 400), unit="D")
        spent = rng.lognormal(np.log(30), 0.8, 400)
        end, ids = born + pd.to_timedelta(spent, unit="D"), np.arange(400).astype(str)
        frame = pd.concat([
            pd.DataFrame({"opportunity_id": ids, "stage": "open", "entered_at": born}),
            pd.DataFrame({"opportunity_id": ids, "stage": np.where(ids < "5", "won", "lost"), "entered_at": end}),
        ])  # fmt: skip
        options = {"as_of": as_of - pd.Timedelta(seconds=1), "horizon_days": 30}
        row = measure_conversion(frame, ["open", "won", "lost"], **options).steps.iloc[0]
        assert np.isnan(row["p90_days"])  # never a number that is not reached
        ours.append(row["median_days"] - 30)
        naive.append(np.median(spent[end < as_of]) - 30)
    assert abs(np.mean(ours)) < 1.5
    assert np.mean(naive) < -8


@pytest.mark.parametrize(
    ("rows", "options", "error", "says"),
    [
        (usual(20, 15, 8, 4), {}, InsufficientData, "needs 30 deals"),
        (usual(60, 0, 0, 0), {}, InsufficientData, "all still open"),
        (usual(), {"horizon_days": 300}, InsufficientData, "not old enough, followed for 100 days"),
        (usual(lost=0), {}, InsufficientData, r"losses are not recorded.*upper bound"),
        (usual(), {"as_of": "2025-01-01"}, InsufficientData, "moves known by then"),
        ([*usual(), ("x", "pilot", 1)], {}, ParameterError, "order of the stages is not known: pilot"),
        (
            [*usual(), ("x", "won", 1), ("x", "demo", 4)],
            {},
            DataContractError,
            "negative durations, for example x",
        ),
        ([*usual(), *((f"o{k}", "demo", 40) for k in range(2))], {}, DataContractError, "after they were won"),
        (usual(), {"horizon_days": 0}, ParameterError, "above 0"),
        (usual(), {"as_of": "soon"}, ParameterError, "is no date"),
        (usual(), {"without_losses": "guess"}, ParameterError, "'refuse' or 'bound'"),
    ],
)
def test_refusals(rows, options, error, says):
    with pytest.raises(error, match=says):
        measure(rows, **options)


@pytest.mark.parametrize(
    ("rows", "options", "says", "got"),
    [
        (usual(20, 15, 8, 4), {}, r"zu wenige, nötig sind 30 Deals, vorhanden 20", 20),
        (usual(), {"horizon_days": 300}, r"nicht alt genug, 100 Tage beobachtet, 300 verlangt", 0),
    ],
)
def test_what_is_refused_does_not_depend_on_the_language(rows, options, says, got):
    with speaking("de"), pytest.raises(InsufficientData, match=says) as refused:
        measure(rows, **options)
    assert (refused.value.needed, refused.value.got) == (30, got)


def test_other_bad_input_is_refused_in_words():
    frame = moves(*usual())
    options = {"as_of": on(100), "horizon_days": 30}
    for broken, says in (
        (frame.drop(columns="stage"), "unknown column 'stage'"),
        (frame.assign(stage=None), "empty opportunity_id, stage or entered_at"),
        (frame.assign(entered_at="soon"), "no date"),
    ):
        with pytest.raises(ParameterError, match=says):
            measure_conversion(broken, STAGES, **options)
    for stages in (["won", "lost"], ["a", "a", "won", "lost"]):
        with pytest.raises(ParameterError, match="each once"):
            measure_conversion(frame, stages, **options)


def test_a_late_stage_that_few_reach_is_left_empty_and_says_why():
    steps = measure(usual(60, 20, 10)).steps.set_index("stage")
    assert steps.loc["qualify", "status"] == "ok"
    assert steps.loc["demo", "status"] == "too few: needs 30 deals, has 20"
    assert np.isnan(steps.loc["demo", "rate"])


def test_without_losses_a_rate_is_labelled_an_upper_bound():
    found = measure(usual(lost=0), without_losses="bound")
    assert "upper bound" in found.headline
    assert "1 − Kaplan–Meier" in found.notes[0]


def test_a_return_from_nurturing_is_a_new_attempt():
    rows = moves(("a", "called", 1), ("a", "nurture", 5), ("a", "called", 60), ("a", "won", 70),
                 ("b", "called", 1), ("b", "lost", 3), ("b", "nurture", 4), ("c", "called", 2),
                 ("c", "disqualified", 4))  # fmt: skip
    found = split_attempts(rows)
    told = {key: own["stage"].tolist() for key, own in found.groupby("opportunity_id")}
    assert told == {
        "a": ["called", "lost"],
        "a#2": ["called", "won"],
        "b": ["called", "lost"],
        "c": ["called", "lost"],
    }
    assert found["deal_id"].nunique() == 3
    assert template("outbound")[:3] == ("research", "entered", "called")
    assert template("inbound")[-2:] == ("won", "lost")
    with pytest.raises(ParameterError, match=r"unknown process 'outbond'\. Did you mean 'outbound'"):
        template("outbond")


def test_a_point_of_a_stage_is_worth_bookings_over_its_rate():
    found = rank_levers(
        measure(usual(600, 400, 200, 150)), pd.Series([1_000.0] * 200), per_quarter=300, cycle_days=20
    )
    table = found.table.set_index("lever")
    assert found.bookings == pytest.approx(300 * (2 / 3) * (1 / 2) * 1_000)
    assert table.loc["demo → won", "worth"] == pytest.approx(found.bookings * 0.01 / 0.5)
    assert table.loc["qualify → demo", "worth"] == pytest.approx(found.bookings * 0.01 / (2 / 3))
    assert table.loc["deals created", "worth"] == pytest.approx(found.bookings * 0.01)
    assert table.loc["sales cycle", "worth"] == pytest.approx(found.bookings * (20 / 19 - 1))
    assert (table["low"] < table["worth"]).all()
    assert (table["worth"] < table["high"]).all()
    assert "demo → won" in found.headline
    few = pd.DataFrame(
        [("qualify better", "qualify → demo", 0.0, 2.0, 1_000.0), ("train", "demo → won", 1.0, 3.0, 50_000.0)],
        columns=["initiative", "lever", "shift_low", "shift_high", "cost"],
    )
    ranked = rank_initiatives(found, few).set_index("initiative")
    assert ranked.index[0] == "qualify better"
    assert ranked.loc["qualify better", "worth"] == pytest.approx(1 * found.bookings * 0.015, rel=0.1)
    assert ranked.loc["train", "p_pays"] == 0
    with pytest.raises(ParameterError, match="unknown lever 'demo'"):
        rank_initiatives(found, few.assign(lever="demo"))
    with pytest.raises(InsufficientData, match="30 won deals with an amount"):
        rank_levers(measure(usual()), pd.Series([1.0] * 5), per_quarter=1)


def test_the_parts_of_a_change_of_velocity_add_up():
    before = {"deals": 100, "win_rate": 0.2, "size": 1_000, "cycle_days": 50}
    after = {"deals": 90, "win_rate": 0.25, "size": 1_100, "cycle_days": 45}
    parts = velocity_change(before, after)
    assert sum(parts.values()) == pytest.approx(90 * 0.25 * 1_100 / 45 - 100 * 0.2 * 1_000 / 50)
    assert parts["cycle_days"] > 0 > parts["deals"]
    with pytest.raises(ParameterError, match="not above zero"):
        velocity_change(before, after | {"cycle_days": 0})
