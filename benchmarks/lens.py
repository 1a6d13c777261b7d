"""Measure what the lenses of the notebooks call, on the sample company; prints the rows kept in README.md.

``python benchmarks/lens.py`` runs all; ``… scenario`` one of them. A lens is asked once for each choice, in a
random order, after the notebook's own computation: CPU milliseconds on one thread, of the first look at a choice.
"""

import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
DAY, GOAL, MOST = "2026-09-30", 300.0, 800  # most looks of a kind
PERIODS = ("quarter", "4 quarters", "month", "year")
SPLITS = (None, "team", "region", "segment", "product", "rep")
FACTORS = {"win_rate": (0.8, 1.2), "cycle": (0.8, 1.2), "deal_size": (0.8, 1.2), "new_pipeline": (0.0, 1.5),
           "hires": (1, 10)}  # fmt: skip
Calls = Iterator[tuple[str, Callable[[], object]]]


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from salesops_lib.config import Settings
    from salesops_lib.workspace import Workspace

    print(
        "| lens | looks | median ms | 95 % under | worst ms | over 300 ms |\n|---|---|---|---|---|---|", flush=True
    )
    with tempfile.TemporaryDirectory() as folder:
        ws = Workspace(Path(folder), Settings())
        ws.ingest("sample")
        for name in sys.argv[1:] or CASES:
            report(name, list(CASES[name](ws, ws.book(DAY))))


def report(name: str, calls: list[tuple[str, Callable[[], object]]]) -> None:
    """Ask each choice once, in a random order, and print a row of the table."""
    calls = Random(1).sample(calls, min(len(calls), MOST))
    spent = sorted((timed(call), choice) for choice, call in calls)
    times = [ms for ms, _ in spent]
    at = [times[min(int(share * len(times)), len(times) - 1)] for share in (0.5, 0.95)]
    slow = sum(ms > GOAL for ms in times)
    told = f"{times[-1]:,.0f} ({spent[-1][1]})"
    print(f"| {name} | {len(times)} | {at[0]:.0f} | {at[1]:.0f} | {told} | {slow} |", flush=True)


def timed(call: Callable[[], object]) -> float:
    """CPU milliseconds of a call; a refusal is an answer."""
    from salesops_lib.errors import SalesOpsError

    began = time.process_time()
    with suppress(SalesOpsError):
        call()
    return 1000 * (time.process_time() - began)


def kpi(_, book) -> Calls:
    from salesops_lib import kpis

    for name, period, by in _looks(book):
        for variant in kpis.REGISTRY[name].variants:
            given = {"by": by, "variants": variant}
            yield f"{name} {variant}, {period}, by {by}", partial(kpis.compute, book, name, period, **given)


def variants(_, book) -> Calls:
    from salesops_lib import kpis

    for name, period, by in _looks(book):
        yield f"{name}, {period}, by {by}", partial(kpis.compute, book, name, period, by=by)


def _looks(book) -> Iterator[tuple[str, str, str | None]]:
    from salesops_lib import kpis

    kpis.compute(book, None, "quarter", by="team")  # what the notebook has computed
    return itertools.product(sorted(kpis.REGISTRY), PERIODS, SPLITS)


def rows(_, book) -> Calls:
    from salesops_lib import kpis

    kpis.compute(book, None, "quarter", by="team")
    reps = kpis.compute(book, "K02", "quarter", by="rep")["segment"].unique()
    for name, period, rep in itertools.product(sorted(kpis.REGISTRY), PERIODS, reps[:3]):
        yield (
            f"{name}, {period}",
            lambda a=(book, name, period), rep=rep: kpis.rows_behind(*a, by="rep", segment=rep),
        )


def scenario(_, book) -> Calls:
    from salesops_lib import forecast

    base = forecast.review(book).projection
    for picked in itertools.product(*FACTORS.values()):
        factors = dict(zip(FACTORS, picked, strict=True))
        yield str(factors), lambda factors=factors: forecast.try_scenario(book, base, **factors).table


def past(ws, book) -> Calls:
    from salesops_lib import forecast

    replayed = forecast.replay_weeks(ws, periods=2, every="month", as_of=str(book.day))
    result = forecast.Trial(replayed, None, None, None)
    for period, way in itertools.product(forecast.past_periods(result), forecast.past_ways(result)):
        yield f"{period}, {way}", lambda a=period, b=way: forecast.look_back(result, period=a, way=b).table


def plan(_, book) -> Calls:
    from salesops_lib import territory

    result = territory.review(book)
    for tolerance, price in itertools.product((0.03, 0.05, 0.1, 0.15, 0.2, 0.3), (0, 50, 100, 200, 500, 1000)):
        choice = {"tolerance": tolerance, "disruption": float(price)}
        yield str(choice), lambda choice=choice: territory.try_design(result, **choice).table


def examples(ws, book) -> Calls:
    from salesops_lib import gate, health

    result = health.inspect(book, gate.findings_of(ws))
    for check in result.findings["check"]:
        yield check, partial(health.examples, result, check=check)


CASES = {
    "kpi": kpi,
    "variants": variants,
    "rows": rows,
    "scenario": scenario,
    "past": past,
    "plan": plan,
    "examples": examples,
}

if __name__ == "__main__":
    if any(os.environ.get(name) != "1" for name in THREADS):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | dict.fromkeys(THREADS, "1"))
    main()
