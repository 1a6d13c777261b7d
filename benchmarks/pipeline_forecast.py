"""Replay the bottom-up forecast on the Maven file and on sample companies; prints the rows kept in README.md.

``python benchmarks/pipeline_forecast.py`` runs both; ``maven``, ``sample`` or ``sample 11 12`` (seeds) run only
those. CPU seconds count the whole process, imports apart.
"""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAVEN = ROOT.parent / "shared" / "data" / "maven_crm"
HEAD = """
| way | past weeks | WAPE | bias | 50 / 80 / 95 % ranges hold | wall s | CPU s |
|---|---|---|---|---|---|---|"""


def main() -> None:
    names = sys.argv[1:] or (["maven"] if MAVEN.is_dir() else []) + ["sample"]
    seeds = [int(name) for name in names if name.isdecimal()] or [7]
    with tempfile.TemporaryDirectory() as place:
        if "maven" in names:
            ws = workspace(Path(place) / "maven")
            ws.ingest("csv", MAVEN, mapping="maven_crm")
            print("\nMaven file, weekly as-of days from July 2017 on, the four weeks after each:")
            run(ws, periods=2, period="next 4 weeks")
        if "sample" in names:
            for seed in seeds:
                ws = workspace(Path(place) / f"sample {seed}")
                ws.ingest("sample", seed=seed)
                projection(ws)
                print(f"\nSample company (seed {seed}), every week of the last eight quarters, the quarter:")
                run(ws, periods=8)


def workspace(folder: Path):
    from salesops_lib.workspace import open_workspace

    folder.mkdir(parents=True)
    (folder / "salesops.yaml").write_text("source: {kind: sample}\n", encoding="utf-8")
    return open_workspace(folder)


def projection(ws) -> None:
    import sklearn.linear_model  # noqa: F401
    import statsmodels.api  # noqa: F401

    from salesops_lib.forecast import project_period

    book = ws.book("2026-09-30")
    began, used = time.perf_counter(), cpu()
    found = project_period(book)
    slope = f"{found.slope.value:.2f} [{found.slope.low:.2f}; {found.slope.high:.2f}]"
    took = f"{time.perf_counter() - began:.1f} s, {cpu() - used:.1f} CPU s"
    print(f"\nproject_period, 10,000 draws: {took}; slope of past chances {slope}")


def run(ws, **options) -> None:
    from salesops_lib.forecast import replay_weeks

    began, used = time.perf_counter(), cpu()
    found = replay_weeks(ws, resume=False, **options)
    wall, used = time.perf_counter() - began, cpu() - used
    print(HEAD)
    held = " / ".join(f"{100 * found.total[f'coverage_{band}']:.0f}" for band in (50, 80, 95))
    for row in found.league.itertuples():
        ours = row.way == "forecast"
        rest = f"{held} % | {wall:.0f} | {used:.0f}" if ours else "– | – | –"
        print(f"| {row.way.replace('_', ' ')} | {row.n} | {row.wape:.3f} | {row.bias:+.3f} | {rest} |")
    print(flush=True)


def cpu() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    os.environ.setdefault("SALESOPS_QUIET", "1")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    main()
