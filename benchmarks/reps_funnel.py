"""Measure the comparison of reps and the funnel against what is done today; prints the rows kept in README.md.

``python benchmarks/reps_funnel.py`` runs all cases, each in a process of its own; ``… accuracy 30`` runs one.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
CASES = [("accuracy", "10"), ("accuracy", "30"), ("accuracy", "150"), ("alike", "30"), ("cohorts", "400"),
         ("cohorts", "60"), ("stage", "400"), ("scale", "1000000"), ("rows", "20000000")]  # fmt: skip
MIX = ["segment", "product", "territory", "tenure"]
STAGES = ["qualify", "demo", "proposal", "negotiation", "won", "lost"]
BRIEF = ["opportunity_id", "stage", "entered_at"]


def main() -> None:
    if len(sys.argv) > 1:
        globals()[sys.argv[1]](*map(int, sys.argv[2:]))
        return
    print("| case | what | ours | today's practice |\n|---|---|---|---|", flush=True)
    for case in CASES:
        env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run([sys.executable, __file__, *case], check=True, env=env)


def say(case: str, what: str, ours: str, today: str = "–") -> None:
    print(f"| {case} | {what} | {ours} | {today} |", flush=True)


def sell(rng, reps: int, each: float, sd: float) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Closed deals of reps with a skill of their own, uneven numbers, mixes that differ, one territory and a ramp.

    Effects of the mix are so large that at 30 deals raw rates agree with skill by 0.38 only, the best guess
    possible by 0.57. The last array is that guess: the posterior mean where the effects of the mix and the spread
    of skill are known.
    """
    skill, n = rng.normal(0, sd, reps), rng.poisson(each * rng.gamma(4, 1 / 4, reps)).clip(1)
    rep = np.repeat(np.arange(reps), n)
    segment, product = (
        (rng.random(len(rep))[:, None] > rng.dirichlet([2, 2, 2], reps)[rep].cumsum(1)).sum(1).clip(max=2)
        for _ in range(2)
    )
    territory, tenure = rng.integers(0, 8, reps)[rep], rng.integers(0, 4, reps)[rep]
    logit = -1.3 + np.array([0.9, 0, -0.9])[segment] + np.array([0.5, 0, -0.5])[product]
    logit += np.linspace(-0.6, 0.6, 8)[territory] + np.array([-0.7, -0.28, 0, 0])[tenure]
    won = rng.random(len(rep)) < 1 / (1 + np.exp(-logit - skill[rep]))
    truth = np.array([(1 / (1 + np.exp(-logit - own))).mean() for own in skill])
    frame = pd.DataFrame({"user_id": rep, "is_won": won, "segment": segment, "product": product,
                          "territory": territory, "tenure": tenure})  # fmt: skip
    return frame, skill, truth, oracle(rep, won, logit, sd or 1.0, reps)


def oracle(rep: np.ndarray, won: np.ndarray, logit: np.ndarray, sd: float, reps: int) -> np.ndarray:
    """Mean of each rep's skill given its deals, with the effects of the mix and the spread of skill known."""
    grid = np.linspace(-4 * sd, 4 * sd, 81)
    level = np.array([
        np.bincount(rep, -np.logaddexp(0, np.where(won, -1, 1) * (logit + at)), reps) - (at / sd) ** 2 / 2
        for at in grid
    ])  # fmt: skip
    weight = np.exp(level - level.max(axis=0))
    return grid @ weight / weight.sum(axis=0)


def accuracy(each: int, runs: int = 40) -> None:
    from scipy.stats import spearmanr
    from statsmodels.stats.proportion import proportion_confint

    from salesops_lib.benchmark import compare

    rows = []
    for run in range(runs):
        deals, skill, truth, best = sell(np.random.default_rng(1000 + run), 200, each, 0.35)
        reps = compare(deals, mix=MIX).reps
        low, high = proportion_confint(reps["won"], reps["n"], alpha=0.1, method="wilson")
        rows.append([
            spearmanr(reps["adjusted_rate"], skill)[0], spearmanr(reps["raw_rate"], skill)[0],
            np.sqrt(((reps["adjusted_rate"] - truth) ** 2).mean()),
            np.sqrt(((reps["raw_rate"] - truth) ** 2).mean()),
            ((reps["low"] <= truth) & (truth <= reps["high"])).mean(), ((low <= truth) & (truth <= high)).mean(),
            spearmanr(best, skill)[0],
        ])  # fmt: skip
    found, error = np.mean(rows, axis=0), np.std(rows, axis=0) / np.sqrt(runs)
    for k, what in enumerate(("Spearman with skill", "RMSE of the adjusted rate", "90 % intervals hold")):
        ours = f"{found[2 * k]:.3f} ± {error[2 * k]:.3f}"
        most = f", the best possible {found[6]:.3f}" if k == 0 else ""
        say(f"200 reps × {each} deals, {runs} runs", what, ours, f"raw {found[2 * k + 1]:.3f}{most}")


def alike(each: int, runs: int = 40) -> None:
    from statsmodels.stats.proportion import proportion_confint

    from salesops_lib.benchmark import compare

    rows = []
    for run in range(runs):
        deals = sell(np.random.default_rng(2000 + run), 200, each, 0.0)[0]
        found = compare(deals, mix=MIX)
        reps, level = found.reps, found.reps["adjusted_rate"].mean()
        low, high = proportion_confint(reps["won"], reps["n"], alpha=0.05)
        outside = (reps["low"] > level) | (reps["high"] < level)
        rows.append([outside.mean(), ((low > found.rate) | (high < found.rate)).mean(), reps["is_flagged"].mean(),
                     found.verdict != "indistinguishable"])  # fmt: skip
    found = np.mean(rows, axis=0)
    case = f"nobody differs, 200 reps × {each}, {runs} runs"
    say(case, "reps said to differ", f"{100 * found[0]:.1f} %", f"95 % limits on raw rates {100 * found[1]:.1f} %")
    say(case, "reps outside the funnel limits", f"{100 * found[2]:.1f} %")
    say(case, "companies said to have differences", f"{100 * found[3]:.1f} %")


def months(rng, each: int, n: int = 24) -> tuple[pd.DataFrame, pd.Timestamp, np.ndarray, np.ndarray, np.ndarray]:
    """Deals of 24 months: a quarter won after a median of 60 days, the others lost after one of 95."""
    starts = pd.date_range("2024-01-01", periods=n, freq="MS")
    month = np.repeat(np.arange(n), each)
    born = starts.to_numpy()[month] + (rng.random(len(month)) * 28 * 86400).astype("timedelta64[s]")
    win = rng.random(len(month)) < 0.25
    spent = np.where(win, rng.lognormal(np.log(60), 0.6, len(month)), rng.lognormal(np.log(95), 0.6, len(month)))
    end = born + (spent * 86400).astype("timedelta64[s]")
    ids = np.arange(len(month)).astype(str)
    opened = pd.DataFrame({"opportunity_id": ids, "stage": "open", "entered_at": born})
    closed = pd.DataFrame({"opportunity_id": ids, "stage": np.where(win, "won", "lost"), "entered_at": end})
    return pd.concat([opened, closed]), starts[-1] + pd.offsets.MonthBegin(1), month, win, end


def cohorts(each: int, runs: int = 30) -> None:
    from salesops_lib.funnel import measure_conversion

    rows = []
    for run in range(runs):
        moves, as_of, month, win, end = months(np.random.default_rng(run), each)
        options = {"as_of": as_of, "horizon_days": 60, "interval": 0.9}
        found = measure_conversion(moves, ["open", "won", "lost"], **options).cohorts.iloc[-3:]
        held = (found["ultimate_low"] <= 0.25) & (found["ultimate_high"] >= 0.25)
        young, ended = month >= 21, end <= np.datetime64(as_of)
        rows.append([found["ultimate"].mean() - 0.25, held.mean(), (win & ended)[young].mean() - 0.25,
                     win[young & ended].mean() - 0.25])  # fmt: skip
    found, error = np.mean(rows, axis=0), np.std(rows, axis=0) / np.sqrt(runs)
    case = f"last three cohorts of {each} deals, {runs} runs"
    today = f"won ÷ created {100 * found[2]:+.1f}, won ÷ closed {100 * found[3]:+.1f}"
    say(case, "bias in points", f"{100 * found[0]:+.2f} ± {100 * error[0]:.2f}", today)
    say(case, "90 % intervals hold", f"{100 * found[1]:.1f} % ± {100 * error[1]:.1f}")


def stage(each: int, runs: int = 40) -> None:
    """Median days in a stage of the deals that entered it in the last 60 days; the truth is 30."""
    from salesops_lib.funnel import measure_conversion

    rows, as_of = [], pd.Timestamp("2026-03-01")
    for run in range(runs):
        rng = np.random.default_rng(run)
        born = as_of - pd.to_timedelta(rng.uniform(0, 60, each), unit="D")
        spent = rng.lognormal(np.log(30), 0.8, each)
        end, ids = born + pd.to_timedelta(spent, unit="D"), np.arange(each).astype(str)
        outcome = np.where(rng.random(each) < 0.5, "won", "lost")
        opened = pd.DataFrame({"opportunity_id": ids, "stage": "open", "entered_at": born})
        closed = pd.DataFrame({"opportunity_id": ids, "stage": outcome, "entered_at": end})
        moves = pd.concat([opened, closed])
        options = {"as_of": as_of - pd.Timedelta(seconds=1), "horizon_days": 30}
        found = measure_conversion(moves, ["open", "won", "lost"], **options).steps
        rows.append([found["median_days"].iloc[0] - 30, np.median(spent[end < as_of]) - 30])
    ours, today = np.mean(rows, axis=0)
    say(
        f"median of recent visits, {each} deals, {runs} runs",
        "bias in days",
        f"{ours:+.1f}",
        f"closed only {today:+.1f}",
    )


def scale(rows: int) -> None:
    from salesops_lib.benchmark import compare

    compare(sell(np.random.default_rng(1), 20, 50, 0.3)[0], mix=MIX)  # imports
    deals = sell(np.random.default_rng(2), 300, rows / 300, 0.3)[0]
    before, began, used = peak(), time.perf_counter(), time.process_time()
    compare(deals, mix=MIX)
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    ours = f"{wall:.1f} s, {cpu:.1f} CPU s, peak {peak():,} MB ({before:,} MB of it the deals and imports)"
    say(f"{len(deals):,} deals × 300 reps", "time and memory", ours, "prototype 4.6 s, 500 MB")


def rows(count: int) -> None:
    """Stage conversion and time in stage over shuffled history rows in Parquet, DuckDB against pandas."""
    with tempfile.TemporaryDirectory() as place:
        path, deals = Path(place) / "moves.parquet", count // 4
        env = os.environ | {"TARGET": str(path)}
        subprocess.run([sys.executable, __file__, "make", str(deals)], check=True, env=env)
        run = [
            subprocess.run([sys.executable, __file__, way], check=True, capture_output=True, text=True, env=env)
            for way in ("ours", "peer")
        ]
    said = [one.stdout.split() for one in run]
    (a, b), same = [[float(x) for x in one[:3]] for one in said], said[0][3:] == said[1][3:]
    case = f"{count / 1e6:.0f} M history rows"
    told = [f"{wall:.1f} s, {cpu:.1f} CPU s, {used:,.0f} MB" for wall, cpu, used in (a, b)]
    say(case, "time and memory", told[0], f"pandas {told[1]}")
    ratio = f"{b[0] / a[0]:.1f} × faster at {a[2] / b[2]:.2f} × the memory"
    say(case, "ratio", ratio, f"same answers: {same}")


def make(deals: int) -> None:
    import duckdb

    with duckdb.connect() as db:
        db.execute("select setseed(0.5)")
        db.execute(f"""
            create temp table life as select range as id, 1 + least(floor(-ln(random()) / 0.45), 3)::int as far,
                timestamp '2023-01-01' + to_seconds((random() * 800 * 86400)::bigint) as born, random() as pace,
                random() < 0.5 as wins from range({deals})
        """)
        db.execute(f"""
            copy (select 'o' || lpad(id::varchar, 12, '0') as opportunity_id,
                case when step < far then ['qualify','demo','proposal','negotiation'][step + 1]
                     when far >= 4 and wins then 'won' else 'lost' end as stage,
                born + to_seconds((step * (10 + 30 * pace) * 86400)::bigint) as entered_at
                from life, range(6) steps(step) where step <= least(far, 4) order by random())
            to '{os.environ["TARGET"]}' (format parquet)
        """)


def ours() -> None:
    from salesops_lib.funnel import measure_conversion

    moves, as_of, *_ = months(np.random.default_rng(1), 50)
    measure_conversion(moves, ["open", "won", "lost"], as_of=as_of, horizon_days=60)  # imports
    began, used = time.perf_counter(), time.process_time()
    options = {"as_of": "2025-06-30", "horizon_days": 90}
    found = measure_conversion(os.environ["TARGET"], STAGES, **options).steps
    print(time.perf_counter() - began, time.process_time() - used, peak(), *answers(found))


def peer() -> None:
    """The same with pandas: read, sort, first passage of each stage, the curve of each step."""
    import scipy.stats  # noqa: F401

    from salesops_lib.curves import Curve

    began, used = time.perf_counter(), time.process_time()
    moves = pd.read_parquet(os.environ["TARGET"], columns=BRIEF)
    until = pd.Timestamp("2025-07-01") - pd.Timedelta(microseconds=1)
    moves = moves[moves["entered_at"] <= until]
    moves["place"] = moves["stage"].map({name: k for k, name in enumerate(STAGES)}).astype("int8")
    moves = moves.sort_values(["opportunity_id", "entered_at"], kind="stable")
    last = moves.groupby("opportunity_id", sort=False)[["place", "entered_at"]].last()
    firsts = [moves[moves["place"].between(k, 4)].groupby("opportunity_id", sort=False)["entered_at"].min()
              for k in range(5)]  # fmt: skip
    steps = []
    for k in range(4):
        there, on = firsts[k], firsts[k + 1].reindex(firsts[k].index)
        end = last.reindex(there.index)
        lost = end["place"].eq(5) & on.isna()
        stop = on.fillna(end["entered_at"].where(lost)).fillna(until)
        outcome = np.select([on.notna(), lost], [1, 2], 0)
        hours = (stop.dt.floor("s") - there.dt.floor("s")).dt.total_seconds() // 3600
        curve = Curve.of(hours.to_numpy() / 24, outcome)
        steps.append({"n": curve.n, "rate": curve.share_by(90).value, "median_days": curve.quantile(0.5).value,
                      "p90_days": curve.quantile(0.9).value})  # fmt: skip
    print(time.perf_counter() - began, time.process_time() - used, peak(), *answers(pd.DataFrame(steps)))


def answers(steps: pd.DataFrame) -> list[str]:
    return [f"{row.n}:{row.rate:.9f}:{row.median_days:.4f}:{row.p90_days:.4f}" for row in steps.itertuples()]


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
