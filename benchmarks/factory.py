"""Measure what a page costs: ours beside papermill and nbconvert, from the shell and from Python, in one run.

The notebook is the same for all: 100,000 opportunities from Parquet, six seaborn figures, four tables. CPU seconds
count the whole process tree from start to end, our warm parent included. Name cases to run only those.
"""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import psutil
from nbformat import v4

SPEC = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
REGIONS = 40
TOP = [
    "import matplotlib.pyplot as plt\nimport pandas as pd\nimport seaborn as sns",
    "sns.set_theme(style='whitegrid')",
    "deals = pd.read_parquet('deals.parquet')",
    "assert deals['amount'].ge(0).all() and deals['id'].is_unique",
]
FIGURES = [
    "ax = sns.histplot(own, x='amount', bins=40)",
    "ax = sns.lineplot(own.groupby('month', as_index=False)['amount'].sum(), x='month', y='amount')",
    "ax = sns.boxplot(own, x='stage', y='amount')",
    "ax = sns.barplot(own, x='stage', y='amount')",
    "ax = sns.scatterplot(own.head(400), x='age', y='amount', hue='stage')",
    "ax = sns.heatmap(own.pivot_table(index='stage', columns='month', values='amount', aggfunc='sum'))",
]
TABLES = [
    "own.describe()",
    "own.groupby('stage')['amount'].agg(['count', 'sum', 'mean', 'median'])",
    "own.groupby('month')['amount'].agg(['count', 'sum', 'mean'])",
    "own.nlargest(25, 'amount')",
]
OURS = """
import sys
from pathlib import Path
from salesops_lib.report import executors
from salesops_lib.report.execute import Setting
from salesops_lib.report.fanout import Job
here, n, workers = Path.cwd(), int(sys.argv[1]), int(sys.argv[2])
jobs = [Job(here / "page.ipynb", f"page-{k}", "Region", {"region": k}) for k in range(n)]
failed = [run for run in executors.run_all(jobs, Setting(here, here, {}), workers=workers) if run.status != "ok"]
assert not failed, failed[0].error
"""
PYTHON = """
import sys, papermill
from nbconvert import HTMLExporter
for k in range(int(sys.argv[1])):
    papermill.execute_notebook("page.ipynb", f"out-{k}.ipynb", parameters={"region": k}, progress_bar=False)
    body, _ = HTMLExporter(exclude_input=True).from_filename(f"out-{k}.ipynb")
    open(f"out-{k}.html", "w").write(body)
"""


def page(folder: Path) -> None:
    """Write the notebook and its data."""
    rng = np.random.default_rng(7)
    n = 100_000
    deals = {
        "id": np.arange(n),
        "region": rng.integers(0, REGIONS, n),
        "amount": rng.lognormal(9, 1, n),
        "stage": rng.choice(["lead", "qualified", "proposal", "won", "lost"], n),
        "month": rng.integers(1, 13, n),
        "age": rng.integers(0, 200, n),
    }
    pd.DataFrame(deals).to_parquet(folder / "deals.parquet")
    code = [v4.new_markdown_cell("# Region"), *map(v4.new_code_cell, TOP)]
    code.append(v4.new_code_cell("region: int = 0  # which", metadata={"tags": ["parameters"]}))
    code.append(v4.new_code_cell("own = deals[deals['region'].eq(region)]"))
    for k, figure in enumerate(FIGURES):
        code += [v4.new_markdown_cell(f"## Figure {k}"), v4.new_code_cell(f"{figure}\nplt.show()")]
    code += map(v4.new_code_cell, TABLES)
    nbformat.write(v4.new_notebook(cells=code, metadata=SPEC), folder / "page.ipynb")


def empty(folder: Path) -> None:
    """Write a notebook that does nothing."""
    cells = [v4.new_code_cell("region: int = 0  # which", metadata={"tags": ["parameters"]})]
    nbformat.write(v4.new_notebook(cells=cells, metadata=SPEC), folder / "page.ipynb")


def run(folder: Path, *commands: list[str]) -> tuple[float, float, float]:
    """Run commands one after another; return CPU seconds, wall seconds, and the peak of their memory in MB."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    peak, over = [0.0], threading.Event()
    watching = threading.Thread(target=_watch, args=(peak, over))
    watching.start()
    try:
        for command in commands:
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    finally:
        over.set()
        watching.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        time.perf_counter() - began,
        peak[0],
    )


def _watch(peak: list[float], over: threading.Event) -> None:
    """Add up the memory of all children, what they share counted once."""
    me = psutil.Process()
    while not over.wait(0.5):
        total = 0
        for child in me.children(recursive=True):
            try:
                total += child.memory_full_info().pss
            except psutil.Error:
                continue
        peak[0] = max(peak[0], total / 2**20)


def ours(folder: Path, n: int, workers: int = 2) -> tuple[float, float, float]:
    return run(folder, [sys.executable, "-c", OURS, str(n), str(workers)])


def shell(folder: Path, n: int) -> tuple[float, float, float]:
    bin_ = Path(sys.executable).parent
    commands = []
    for k in range(n):
        commands.append([bin_ / "papermill", "page.ipynb", f"out-{k}.ipynb", "-p", "region", str(k)])
        commands.append([bin_ / "jupyter", "nbconvert", "--to", "html", "--no-input", f"out-{k}.ipynb"])
    return run(folder, *commands)


def show(what: str, n: int, found: tuple[float, float, float], note: str = "") -> float:
    cpu, wall, peak = found
    print(f"| {what} | {n} | {cpu / n:.2f} | {60 * n / wall:.1f} | {peak:,.0f} | {note} |", flush=True)
    return cpu / n


def pages(folder: Path) -> None:
    """Ours at 10 and 40 pages against both peers; the shell costs the same for each page, so five of them do."""
    page(folder)
    by_shell = show("papermill, then jupyter nbconvert, from the shell", 5, shell(folder, 5), "the peer")
    by_python = show(
        "papermill and nbconvert from one Python",
        10,
        run(folder, [sys.executable, "-c", PYTHON, "10"]),
        "the peer",
    )
    for n, least in ((10, "4.5"), (40, "5.5")):
        found = ours(folder, n)
        cpu = found[0] / n
        said = f"{by_shell / cpu:.1f} × less than the shell (≥ {least}), {by_python / cpu:.1f} × than Python (≥ 2)"
        show("salesops, 2 workers", n, found, said)


def nothing(folder: Path) -> None:
    """What an empty notebook costs once the parent is warm: the difference between 40 pages and 10."""
    empty(folder)
    few, many = ours(folder, 10)[0], ours(folder, 40)
    each = (many[0] - few) / 30
    show("salesops, an empty notebook", 40, many, f"{each:.2f} s CPU each once warm (≤ 0.5)")


def reps(folder: Path) -> None:
    """A hundred rep pages of the sample company: twenty reps at five month ends."""
    salesops = [sys.executable, "-m", "salesops_lib"]
    subprocess.run([*salesops, "init", str(folder)], check=True, capture_output=True)
    subprocess.run([*salesops, "load", "sample"], cwd=folder, check=True, capture_output=True)
    entry = (
        "  - {{notebook: leadership_report, name: rep_{k}, parameters: {{audience: rep, as_of: 2026-0{k}-28}}}}"
    )
    dates = "\n".join(entry.format(k=k) for k in range(5, 10))
    rest = "for_each: {by: rep, parameter: who}\nparameters: {as_of: 2026-09-30}\n"
    (folder / "reports" / "hundred.yaml").write_text(f"title: Reps\nnotebooks:\n{dates}\n{rest}")
    show("salesops, rep pages", 100, run(folder, [*salesops, "render", "hundred", "--workers", "2"]), "≤ 1,500 MB")


CASES = {"pages": pages, "nothing": nothing, "reps": reps}


def main() -> None:
    os.environ["SALESOPS_QUIET"] = "1"
    print("| what | pages | CPU s a page | pages a minute | peak MB | |\n|---|---|---|---|---|---|")
    for name in sys.argv[1:] or CASES:
        with tempfile.TemporaryDirectory() as place:
            CASES[name](Path(place))


if __name__ == "__main__":
    main()
