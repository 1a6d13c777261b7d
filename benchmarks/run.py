"""Measure time and memory of what users wait for, in one run; prints the table kept in README.md.

Each case runs in a process of its own, so that peak memory is its own. CPU seconds count the whole process tree
and imports are told apart where the goal does. Run with ``make bench``; name cases to run only those.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAVEN = ROOT.parent / "shared" / "data" / "maven_crm"
WORKSPACE = "from salesops_lib.workspace import open_workspace; ws = open_workspace('.')"
BIG = WORKSPACE.replace("'.'", "'../made'")  # the company of 1 M deals, made once for the cases that read it

# name: (what is measured, goal, code; `begin()` starts the clock after imports)
CASES = {
    "help": ("salesops --help", "≤ 0.4 s CPU", None),
    "maven": (
        "load the Maven files (8,800 deals), after imports",
        "≤ 3 s",
        f"""
        import pandas, pandera.pandas, pyarrow.parquet
        import salesops_lib.sources.files, salesops_lib.sources.mapping
        {WORKSPACE}
        begin()
        ws.ingest("csv", {str(MAVEN)!r}, mapping="maven_crm")
        """,
    ),
    "sample": ("sample company to snapshot (6,000 deals)", "–", f"{WORKSPACE}; begin(); ws.ingest('sample')"),
    "scale": (
        "sample at scale: 1 M deals, 12 M history rows to snapshot",
        "≤ 300 s, ≤ 4 GB",
        f"{WORKSPACE}; begin(); s = ws.ingest('sample', opportunities=1_000_000)\n"
        "print({n: e['rows'] for n, e in s.manifest['tables'].items()}, file=sys.stderr)",
    ),
    "state": (
        "the deals as of 2025-06-30, from 12 M history rows",
        "≤ 10 s, ≤ 2.5 GB, ≥ 2.5 × faster than the peer at ≤ 0.6 × its memory",
        f"{BIG}; from salesops_lib import facts, history; b = ws.book('2025-06-30'); b.users\n"
        "begin(); print(len(b.opportunities), file=sys.stderr)",
    ),
    "pandas": (
        "the same with pandas: read, sort, group, last value, pivot",
        "the peer",
        f"""
        {BIG}
        import pandas
        snapshot = ws.snapshot()
        begin()
        deals = pandas.read_parquet(snapshot.file("opportunities"))
        history = pandas.read_parquet(snapshot.file("opportunity_history"))
        until = history[history["changed_at"] < pandas.Timestamp("2025-07-01", tz="Europe/Berlin")]
        until = until.sort_values(["opportunity_id", "changed_at", "seq"])
        last = until.groupby(["opportunity_id", "field"])["new_value"].last().unstack("field")
        closed = until[until["new_value"].isin(["sample:won", "sample:lost"])]
        last["closed_at"] = closed.groupby("opportunity_id")["changed_at"].last()
        state = deals[["opportunity_id", "account_id", "type", "currency"]].merge(
            last, left_on="opportunity_id", right_index=True)
        print(len(state), file=sys.stderr)""",
    ),
    "states": (
        "52 weekly states of the year to 2026-09-27, from 12 M history rows",
        "≤ 60 s",
        f"""
        {BIG}
        from salesops_lib import facts
        days = __import__("pandas").date_range(end="2026-09-27", periods=52, freq="7D").date
        book = ws.book("2026-09-30")
        book.users
        begin()
        for _, deals in book.deals_over(days, facts.NEEDED):
            open_now = deals["amount"][~deals["is_closed"]].sum()
        print(open_now, file=sys.stderr)""",
    ),
    "kpis by rep": (
        "all KPIs by rep over 12 months, default sample, after imports",
        "≤ 5 s",
        f"{WORKSPACE}; from salesops_lib import kpis; b = ws.book('2026-09-30'); b.opportunities\n"
        "import scipy.stats, statsmodels.duration.survfunc, statsmodels.stats.proportion\n"
        "begin(); kpis.compute(b, period='12 months', by='rep')",
    ),
    "waterfall": (
        "pipeline waterfall over a week, 1 M deals",
        "–",
        f"{BIG}; from salesops_lib import pipeline; b = ws.book('2026-09-30')\n"
        "begin(); print(pipeline.waterfall(b.at('2026-09-23'), b, period='quarter').headline, file=sys.stderr)",
    ),
    "kpis": (
        "all KPIs, company, four quarters, default sample",
        "–",
        f"{WORKSPACE}; from salesops_lib import kpis; b = ws.book('2026-09-30'); b.opportunities\n"
        "begin(); kpis.compute(b, period='4 quarters')",
    ),
    "leadership": (
        "leadership page's numbers, default sample",
        "–",
        f"{WORKSPACE}; from salesops_lib import leadership; b = ws.book('2026-09-30'); b.opportunities\n"
        "begin(); leadership.summarize(b)",
    ),
    "csv": (
        "1 M deals, 12 M history rows from CSV to snapshot",
        "≤ 300 s, ≤ 4 GB, ≤ 2 × the peer's time at ≤ 0.5 × its memory",
        f"{WORKSPACE}; import salesops_lib.sources.files\n"
        "begin(); ws.ingest('csv', '../export', mapping='../export/map.yaml')",
    ),
    "peer": (
        "the same files with pandas read_csv and to_parquet, unchecked",
        "the peer",
        """
        import pandas
        from pathlib import Path
        begin()
        for path in sorted(Path("../export").glob("*.csv")):
            pandas.read_csv(path).to_parquet(path.name + ".parquet")
        """,
    ),
    "gate": (
        "the data gate on a snapshot of 1 M deals",
        "≤ 60 s",
        f"{BIG}; from salesops_lib import gate; begin(); gate.check_workspace(ws)",
    ),
    "report": ("make report: load sample, render six pages, 2 workers", "≤ 90 s", None),
}
AT_SCALE = ("state", "pandas", "states", "waterfall", "csv", "peer", "gate")  # read the one big company
FROM_FILES = ("csv", "peer")  # written as CSV
PRELUDE = """
import os, resource, sys, time
os.environ["SALESOPS_QUIET"] = "1"
start = time.perf_counter()
def begin():
    global start
    start = time.perf_counter()
"""
EPILOGUE = """
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
import json; print(json.dumps({"wall": time.perf_counter() - start, "peak_mb": peak}))
"""


def measure(name: str, folder: Path) -> dict:
    what, goal, code = CASES[name]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    salesops = [sys.executable, "-m", "salesops_lib"]
    told = {}
    if name == "help":
        subprocess.run([*salesops, "--help"], check=True, capture_output=True)
    elif name == "report":
        for command in (
            ["load", "sample"],
            ["render", "weekly_leadership", "--as-of", "2026-09-30", "--workers", "2"],
        ):
            subprocess.run([*salesops, *command], cwd=folder, check=True, capture_output=True)
    else:
        program = PRELUDE + textwrap.dedent(code) + EPILOGUE
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
        )
        told = json.loads(done.stdout.splitlines()[-1])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"what": what, "goal": goal, "cpu": cpu, "wall": time.perf_counter() - began} | told


def prepare(place: Path, *, files: bool) -> None:
    """Make the big company once, and its files where a case reads them."""
    salesops = [sys.executable, "-m", "salesops_lib"]
    subprocess.run([*salesops, "init", str(place / "made")], check=True, capture_output=True)
    load = [*salesops, "load", "sample", "--opportunities", "1000000", "-w", str(place / "made")]
    subprocess.run(load, check=True, capture_output=True)
    if not files:
        return
    (place / "export").mkdir()
    exports = Path(__file__).with_name("exports.py")
    subprocess.run([sys.executable, str(exports), str(place / "made"), str(place / "export")], check=True)


def main() -> None:
    chosen = sys.argv[1:] or [name for name in CASES if name != "maven" or MAVEN.is_dir()]
    print("| case | goal | wall s | CPU s, with imports | peak MB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        if set(chosen) & set(AT_SCALE):
            prepare(Path(place), files=bool(set(chosen) & set(FROM_FILES)))
        for name in chosen:
            own = Path(place) / name
            subprocess.run(
                [sys.executable, "-m", "salesops_lib", "init", str(own)], check=True, capture_output=True
            )
            show(measure(name, own))


def show(row: dict) -> None:
    """Print one row of the table."""
    memory = f"{row['peak_mb']:,.0f}" if "peak_mb" in row else "–"
    print(f"| {row['what']} | {row['goal']} | {row['wall']:.2f} | {row['cpu']:.2f} | {memory} |", flush=True)


if __name__ == "__main__":
    os.environ.pop("SALESOPS_SNAPSHOT", None)
    main()
