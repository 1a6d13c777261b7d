"""Cells above the parameters run once for a whole fan-out, where pages cannot tell."""

import re

import nbformat
import pytest
from nbformat import v4

from salesops_lib.report import executors, warm
from salesops_lib.report.execute import Setting, run_page
from salesops_lib.report.fanout import Job

pytestmark = [
    pytest.mark.skipif(bool(warm.reason()), reason=warm.reason() or "never"),
    pytest.mark.xdist_group("warm"),
]
SPEC = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
COUNT = "import os\nwith open('ran', 'a') as file:\n    _ = file.write('x')"
BELOW = (
    "import pickle, inspect\n(double(k), type(pickle.loads(pickle.dumps(Deal(3)))) is Deal, Deal.__module__, "
    "inspect.getsource(double), __name__, len(In), In[1] == _i1, double.__globals__ is globals())",
    "table.assign(b=table['a'] * k)",
    "double(None)",
)
ABOVE = (
    COUNT,
    "import pandas as pd\ntable = pd.DataFrame({'a': [1, 2]})\npd.set_option('display.max_rows', 7)",
    "def double(x):\n    return x + x\n\nclass Deal:\n    def __init__(self, n):\n        self.n = n",
)


@pytest.fixture
def pages(tmp_path):
    """Make two pages of a notebook with cells above its parameters and below; return (runs, cells, times ran)."""

    def pages(above, below, n=2, run_all=executors.run_all, workers=1):
        cells = [v4.new_markdown_cell("# Deals"), *map(v4.new_code_cell, above)]
        cells.append(v4.new_code_cell("k: int = 1  # factor", metadata={"tags": ["parameters"]}))
        source = tmp_path / "deals.ipynb"
        nbformat.write(v4.new_notebook(cells=cells + list(map(v4.new_code_cell, below)), metadata=SPEC), source)
        jobs = [Job(source, f"deals-{k}", "Deals", {"k": k}) for k in range(2, 2 + n)]
        (tmp_path / "ran").unlink(missing_ok=True)
        runs = sorted(run_all(jobs, Setting(tmp_path, tmp_path, {}), workers=workers), key=lambda run: run.name)
        read = [nbformat.read(tmp_path / f"{job.name}.ipynb", as_version=4).cells for job in jobs]
        ran = (tmp_path / "ran").read_text() if (tmp_path / "ran").exists() else ""
        return runs, read, len(ran)

    return pages


def seen(cells) -> list:
    """What a reader sees of cells: kind, source, number, outputs without the colours of a terminal."""
    known = [(c.cell_type, c.source, c.get("execution_count"), str(c.get("outputs", ""))) for c in cells]
    plain = [re.sub(r"\\+x1b\[[\d;]*m", "", str(cell)) for cell in known]
    return [re.sub(r"0x[0-9a-f]+|ipykernel_\d+|/tmp/ipykernel_\S+", "…", cell) for cell in plain]


def test_they_run_once_and_the_pages_cannot_tell(pages):
    def one_by_one(jobs, setting, workers):
        return [run_page(job, setting) for job in jobs]

    plain, there, each = pages(ABOVE, BELOW, run_all=one_by_one)
    forked, here, once = pages(ABOVE, BELOW, workers=2)
    assert (each, once) == (2, 1)
    for cells, others in zip(here, there, strict=True):
        for cell, other in zip(seen(cells), seen(others), strict=True):
            assert cell == other
    for one, other in zip(forked, plain, strict=True):
        assert (one.status, one.error, one.cell, one.source) == (
            other.status,
            other.error,
            other.cell,
            other.source,
        )
        assert "In[3], line 2" in one.traceback
        assert one.cell == len(ABOVE) + 1 + 1 + len(BELOW)
    (said,) = (cell.outputs[0].data["text/plain"] for cell in here[0] if cell.source == BELOW[0])
    assert said.replace("\n", "").startswith("(4, True, '__main__', 'def double(x):")


@pytest.fixture(scope="module")
def parent():
    with warm.parent() as address:
        yield address


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("1 + 1", "show"),
        ("print('seen')", "print"),
        ("import warnings\nwarnings.warn('so')", "print"),
        ("import os\nos.environ['LEFT'] = '1'", "environment"),
        ("import os\nos.chdir('/')", "folder"),
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()", "threads"),
        ("import duckdb\nheld = duckdb.connect('deals.duckdb')", "open files"),
        ("held = open('/dev/zero')", "open files"),
        ("import random\nrandom.seed(1)", "seeds"),
        ("import numpy\nnumpy.random.seed(1)", "seeds"),
        ("import matplotlib.pyplot as plt\nfigure = plt.figure()", "draw"),
    ],
)
def test_what_a_fork_would_lose_or_share_runs_with_every_page(parent, tmp_path, cell, says):
    asked = {"place": str(tmp_path / "kernels"), "cells": ["import math", cell], "cwd": str(tmp_path)}
    assert says in warm.Forked(parent, "salesops_lib.report.prelude:serve", **asked).result(20)
    assert not (tmp_path / "kernels").exists()


def test_magics_run_with_every_page(pages):
    runs, cells, _ = pages(["%precision 3"], ["k / 3"])
    assert [run.status for run in runs] == ["ok", "ok"]
    assert cells[0][-1].outputs[0].data["text/plain"] == "0.667"


def test_a_cell_that_fails_is_named_on_every_page(pages):
    runs, _, _ = pages([COUNT, "1 / 0"], ["k"])
    assert [(run.status, run.cell, run.source) for run in runs] == [("failed", 2, "1 / 0")] * 2
    assert all("ZeroDivisionError" in run.traceback for run in runs)


def test_random_numbers_still_differ_from_page_to_page(pages):
    _, cells, once = pages([COUNT, "import random, numpy"], ["(random.random(), numpy.random.rand())"])
    drawn = [re.findall(r"\d\.\d{5,}", str(page[-1].outputs)) for page in cells]
    assert once == 1
    assert len(drawn[0]) == 2
    assert not set(drawn[0]) & set(drawn[1])
