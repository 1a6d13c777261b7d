"""Kernels forked from a warm parent: as good as ordinary ones, apart from each other, and gone when they end."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import papermill
import psutil
import pytest
from nbformat import v4
from papermill.exceptions import PapermillExecutionError

from salesops_lib.errors import RenderError
from salesops_lib.report import executors, warm
from salesops_lib.report.execute import Setting
from salesops_lib.report.fanout import Job

pytestmark = [
    pytest.mark.skipif(bool(warm.reason()), reason=warm.reason() or "never"),
    pytest.mark.xdist_group("warm"),
]
SPEC = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
EVERYTHING = [
    "print('out'); import sys; print('err', file=sys.stderr); print('out again')",
    "import os, sys\n__name__, os.getcwd(), sys.argv[0], sys.path[:3], os.environ.get('SALESOPS_WARM')",
    "import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['<x>', None]})",
    "from IPython.display import display, HTML\nh = display(HTML('1'), display_id='here')\nh.update(HTML('2'))",
    "%precision 3\n3.14159",
    "%%capture caught\nprint('held')",
    "caught.stdout",
    "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.show()",
    "import ipywidgets\nipywidgets.IntSlider(value=3, description='n')",
    "import threading\nt = threading.Thread(target=print, args=('from a thread',)); t.start(); t.join()",
    "import pickle\nclass Deal:\n    pass\ntype(pickle.loads(pickle.dumps(Deal()))) is Deal",
    "import logging, warnings\nlogging.warning('logged'); warnings.warn('warned')",
    "!echo from a shell",
    "1 / 0",
    "try:\n    compile('def broken(:', 'x', 'exec')\nexcept SyntaxError as error:\n    print(error)",
    "try:\n    input()\nexcept Exception as error:\n    print(type(error).__name__)",
    "import multiprocessing\nmultiprocessing.get_start_method(), multiprocessing.current_process().name",
    "import signal\nsignal.getsignal(signal.SIGTERM) == signal.SIG_DFL, os.isatty(0), sys.stdin.read()",
]


def notebook(path: Path, *cells: str, tags: tuple[str, ...] = ()) -> Path:
    made = [v4.new_code_cell(cell, metadata={"tags": list(tags)}) for cell in cells]
    nbformat.write(v4.new_notebook(cells=made, metadata=SPEC), path)
    return path


@pytest.fixture(scope="module")
def parent():
    with pytest.MonkeyPatch.context() as patch:  # nothing, and a relative folder, are of where a kernel starts
        patch.setenv("PYTHONPATH", ":of_the_page", prepend=":")
        with warm.parent(["pandas"]) as address:
            yield address


@pytest.fixture
def run(parent, tmp_path, monkeypatch):
    def run(*cells, engine="salesops"):
        monkeypatch.setenv(warm.ADDRESS, parent)
        source = notebook(tmp_path / "in.ipynb", *cells, tags=("raises-exception",))
        target = tmp_path / f"out-{engine}.ipynb"
        if engine is None:
            monkeypatch.delenv(warm.ADDRESS)
        with suppress(PapermillExecutionError):  # it tells of errors that were expected, too, at the end
            papermill.execute_notebook(
                str(source), str(target), engine_name=engine, cwd=str(tmp_path), progress_bar=False
            )
        return [c.outputs for c in nbformat.read(target, as_version=4).cells if c.cell_type == "code"]

    return run


def told(outputs) -> str:
    """Outputs as text, without addresses, ids and numbers of processes."""
    said = re.sub(r"0x[0-9a-f]+|[0-9a-f]{32}|ipykernel_\d+|/tmp/ipykernel_\S+", "…", str(outputs))
    return re.sub(r"'image/png': '[^']+'", "'image/png': '…'", said)


def test_outputs_equal_those_of_plain_papermill(run):
    ordinary, forked = run(*EVERYTHING, engine=None), run(*EVERYTHING)
    for cell, here, there in zip(EVERYTHING, forked, ordinary, strict=True):
        assert told(here) == told(there), cell
    pictures = [cell[-1].data["image/png"] for cell in (forked[7], ordinary[7])]
    assert pictures[0] == pictures[1]
    assert "ZeroDivisionError" in str(forked[13])


def test_nothing_is_left_of_a_run_for_the_next(run):
    state = """
import os, random, sys, numpy, pandas, matplotlib, warnings
(os.getcwd(), os.environ.get('LEFT'), pandas.get_option('display.max_rows'), matplotlib.rcParams['font.size'],
 sys.path[0], getattr(pandas, 'left', None), len(warnings.filters), 'left' in globals(), threading_count())
""".replace("threading_count()", "__import__('threading').active_count()")
    spoil = """
import os, random, sys, numpy, pandas, matplotlib, warnings
os.chdir('/'); os.environ['LEFT'] = 'x'; pandas.set_option('display.max_rows', 3)
matplotlib.rcParams['font.size'] = 3; sys.path.insert(0, '/left'); pandas.left = 1
warnings.simplefilter('ignore'); random.seed(1); numpy.random.seed(1); left = 1
"""
    before = run(state)
    run(spoil)
    assert told(run(state)) == told(before)


def test_random_numbers_differ_from_run_to_run(run):
    draw = "import random, numpy\n(random.random(), numpy.random.rand(), numpy.random.default_rng().random())"
    first, second = ([float(n) for n in re.findall(r"\d\.\d{6,}", str(run(draw)))] for _ in range(2))
    assert len(first) == 3
    assert not set(first) & set(second)


def test_the_parent_holds_one_thread_and_no_connection(parent):
    process = psutil.Process(warm.Forked(parent, "os:getppid").result(10))
    assert process.num_threads() == 1
    assert process.net_connections("inet") == []
    open_before = process.num_fds()
    for _ in range(30):
        warm.Forked(parent, "os:getpid").result(10)
    until = time.monotonic() + 5
    while (
        process.num_fds() != open_before and time.monotonic() < until
    ):  # the last one's pipe closes after its word
        time.sleep(0.05)
    assert process.num_fds() <= open_before
    assert [child for child in process.children() if child.status() == psutil.STATUS_ZOMBIE] == []


def test_a_result_an_error_and_a_death_are_told(parent):
    assert warm.Forked(parent, "os:getcwd", cwd="/").result(10) == "/"
    with pytest.raises(RenderError, match="FileNotFoundError"):
        warm.Forked(parent, "os:listdir", path="/no/such/folder").result(10)
    with pytest.raises(RenderError, match="killed"):
        warm.Forked(parent, "os:abort").result(10)


def sleeping(mark: str) -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline", "status"])
    alive = [p for p in found if p.info["status"] != psutil.STATUS_ZOMBIE]
    return [p for p in alive if mark in " ".join(p.info["cmdline"] or ())]


def gone(mark: str) -> bool:
    until = time.monotonic() + 10
    while sleeping(mark) and time.monotonic() < until:
        time.sleep(0.1)
    return not sleeping(mark)


def test_a_run_past_its_time_leaves_no_process(parent, tmp_path):
    mark = f"sleep 987.{os.getpid()}"
    source = notebook(
        tmp_path / "slow.ipynb",
        f"import subprocess, time\nsubprocess.Popen({mark!r}.split())\nwhile True: time.sleep(1)",
    )
    setting = Setting(work=tmp_path, root=tmp_path, details={}, page_timeout_s=8)
    page = executors.forked_page(Job(source, "page", "Page", {}), setting, parent)
    assert page.status == "failed"
    assert "limit of 8 s" in page.error
    assert gone(mark)


def test_a_cell_past_its_time_is_named(parent, tmp_path):
    source = notebook(tmp_path / "slow.ipynb", "import time", "while True: time.sleep(1)")
    setting = Setting(work=tmp_path, root=tmp_path, details={}, cell_timeout_s=2)
    page = executors.forked_page(Job(source, "page", "Page", {}), setting, parent)
    assert (page.status, page.cell) == ("failed", 2)
    assert "limit of 2 s" in page.error


def test_a_run_over_its_memory_ends_in_words(parent, tmp_path):
    source = notebook(tmp_path / "greedy.ipynb", "held = []\nwhile True: held.append(bytearray(100_000_000))")
    setting = Setting(work=tmp_path, root=tmp_path, details={}, memory_mb=600)
    page = executors.forked_page(Job(source, "page", "Page", {}), setting, parent)
    assert (page.status, page.cell) == ("failed", 1)
    assert "MemoryError" in page.error or "limit is 600 MB" in page.error


@pytest.mark.parametrize("whom", ["owner", "parent"])
def test_who_is_killed_leaves_nobody_behind(tmp_path, whom):
    mark = f"sleep 98{len(whom)}.{os.getpid()}"  # in no other command line
    code = f"""
from salesops_lib.report import warm
with warm.parent() as address:
    print(warm.Forked(address, 'os:getppid').result(), flush=True)
    stuck = warm.Forked(address, 'os:system', command='sleep  {mark[6:]}; true')
    stuck.wait()
"""
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    parent = psutil.Process(int(owner.stdout.readline()))
    until = time.monotonic() + 20
    while not sleeping(mark) and time.monotonic() < until:
        time.sleep(0.1)
    assert sleeping(mark)
    (owner if whom == "owner" else parent).send_signal(signal.SIGKILL)
    assert gone(mark)
    owner.wait(20)
    owner.stdout.close()
    parent.wait(10)


def test_papermill_takes_the_engine_by_its_name(tmp_path):
    source = notebook(tmp_path / "in.ipynb", "print(6 * 7)")
    env = {name: value for name, value in os.environ.items() if name != warm.ADDRESS}
    command = [sys.executable, "-m", "papermill", "--engine", "salesops", "--no-progress-bar", str(source)]
    done = subprocess.run([*command, str(tmp_path / "out.ipynb")], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "42" in str(nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[0].outputs)


def test_imports_are_read_from_code():
    found = warm.imported(["import a.b as c, d", "from e import f, g", "%magic\nimport h", "from . import i"])
    assert found == ["a.b", "d", "e", "e.f", "e.g"]
