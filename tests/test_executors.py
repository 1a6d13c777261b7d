"""Pages made in fresh processes and on real Dask clusters: the same pages and limits, nothing left behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

import nbformat
import psutil
import pytest
from click.testing import CliRunner

from salesops_lib.cli import main
from salesops_lib.errors import ParameterError, RenderError
from salesops_lib.report import cluster, executors
from salesops_lib.report.execute import Setting
from salesops_lib.report.fanout import Job
from tests.conftest import make_workspace
from tests.gate_company import clean, save
from tests.test_report import notebook

pytestmark = pytest.mark.xdist_group("executors")
DECLARED = "n: int = 0  # which\nmark: str = ''  # path"
SAYS = notebook(
    DECLARED,
    "import os, subprocess, time\nfrom pathlib import Path\nimport pandas as pd\nfrom salesops_lib import present",
    "present.table(pd.DataFrame({'n': [n], 'twice': [2 * n]}), caption='Twice')",
    "present.headline(f'page {n}')",
    tags=[None, None, "headline"],
)
SLOW = notebook(
    DECLARED,
    "import subprocess, time\nheld = subprocess.Popen(mark.split())\nwhile True: time.sleep(1)",
)
GREEDY = notebook(DECLARED, "held = []\nwhile True: held.append(bytearray(50_000_000))")
# waits at its first try, and on the next one goes through
ONCE = notebook(
    DECLARED,
    "import os, time\nfrom pathlib import Path\nseen = Path(mark).exists()\n"
    "written = Path(mark + '.part').write_text(str(os.getpid()))\nPath(mark + '.part').rename(mark)\n"
    "while not seen: time.sleep(0.1)",
)


def job(folder, name, made, **parameters) -> Job:
    nbformat.write(made, folder / f"{name}.in.ipynb")
    return Job(folder / f"{name}.in.ipynb", name, f"Page {name}", parameters)


def run(jobs, folder, executor, *, workers=2, **limits):
    """Make pages in a folder and return what came of them by name."""
    setting = Setting(work=folder, root=folder, details={"Report": "demo"}, **limits)
    return {page.name: page for page in executors.run_all(jobs, setting, workers=workers, executor=executor)}


def holds(condition, seconds=120.0) -> bool:
    """Wait until a condition holds."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return bool(condition())


def running(mark: str) -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline", "status"])
    return [p for p in found if p.info["cmdline"] == mark.split() and p.info["status"] != psutil.STATUS_ZOMBIE]


def comes(mark: str) -> bool:
    return holds(lambda: running(mark))


def gone(mark: str) -> bool:
    return holds(lambda: not running(mark), 15)


def content(folder, name) -> tuple[str, str]:
    """A page as people see it, and what its notebook showed, without times."""
    shown = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    outputs = [cell.outputs for cell in shown.cells if cell.cell_type == "code"]
    return (folder / f"{name}.html").read_text(encoding="utf-8"), str(outputs)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


# -- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Local",
        "dask",
        "dask://",
        "dask://host",
        "dask://:1",
        "dask://host:x",
        "dask://host:99999",
        "tcp://h:1",
    ],
)
def test_what_is_no_executor_is_refused_with_those_there_are(name):
    with pytest.raises(ParameterError, match="write local, ordinary or dask://HOST:PORT"):
        executors.check(name)


@pytest.mark.parametrize(
    "name", ["local", "ordinary", "dask://10.0.0.7:8786", "dask://[::1]:8786", "dask://scheduler.example:8786"]
)
def test_executors(name):
    assert executors.check(name) == name
    assert executors.how(name)


# -- fresh processes -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Two pages as the warm parent's forks make them."""
    folder = tmp_path_factory.mktemp("local")
    made = run([job(folder, f"p{n}", SAYS, n=n) for n in (1, 2)], folder, "local")
    assert [page.error for page in made.values()] == ["", ""]
    return folder


def same_as(local, folder, *names) -> None:
    for name in names:
        assert content(folder, name) == content(local, name)
        (data,) = (folder / "data" / name).glob("*.csv")
        assert data.read_bytes() == (local / "data" / name / data.name).read_bytes()


def test_a_page_leaves_nothing_running(tmp_path):
    mark = f"sleep 974.{os.getpid()}"
    leaves = notebook(
        DECLARED, "import subprocess", "subprocess.Popen(mark.split(), start_new_session=True).poll()"
    )
    made = run([job(tmp_path, "leaves", leaves, mark=mark)], tmp_path, "ordinary")
    assert made["leaves"].status == "ok", made["leaves"].error
    assert gone(mark)


def test_a_page_whose_process_dies_takes_no_other_with_it(tmp_path, local):
    dies = notebook(DECLARED, "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)")
    made = run([job(tmp_path, "dies", dies), job(tmp_path, "p1", SAYS, n=1)], tmp_path, "ordinary")
    assert {name: page.status for name, page in made.items()} == {"dies": "failed", "p1": "ok"}
    assert "the process was killed" in made["dies"].error
    same_as(local, tmp_path, "p1")


def test_a_fresh_process_past_its_time_is_ended_with_what_it_started(tmp_path):
    mark = f"sleep 976.{os.getpid()}"
    made = run([job(tmp_path, "slow", SLOW, mark=mark)], tmp_path, "ordinary", page_timeout_s=8)
    assert made["slow"].status == "failed"
    assert "longer than its limit of 8 s" in made["slow"].error
    assert made["slow"].seconds >= 8
    assert gone(mark)


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGKILL])
def test_whoever_renders_in_fresh_processes_leaves_none_behind(tmp_path, ended_by):
    mark = f"sleep 97{ended_by}.{os.getpid()}"
    job(tmp_path, "slow", SLOW, mark=mark)
    code = f"""
from pathlib import Path
from salesops_lib.report import cluster, executors
from salesops_lib.report.execute import Setting
from salesops_lib.report.fanout import Job
here = Path({str(tmp_path)!r})
job = Job(here / "slow.in.ipynb", "slow", "Slow", {{"mark": {mark!r}}})
list(executors.run_all([job], Setting(work=here, root=here, details={{}}), workers=2, executor="ordinary"))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.DEVNULL, start_new_session=True
    ) as owner:
        assert comes(mark)
        owner.send_signal(ended_by)
        assert owner.wait(30) != 0
    assert gone(mark)


def test_a_process_that_cannot_start_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    made = run([job(tmp_path, "p", SAYS)], tmp_path, "ordinary")
    assert re.match(r"its process ended with code \d+: .*\w", made["p"].error), made["p"].error


# -- a cluster -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here():
    """Address of a cluster of two workers on this machine."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as made:
        yield made.scheduler_address.replace("tcp://", "dask://")


class Bomb:
    """What no cluster can read."""

    def __reduce__(self):
        return int, ("no number",)


@pytest.mark.slow
def test_a_cluster_makes_the_same_pages_within_the_same_limits(tmp_path, local, here):
    mark = f"sleep 975.{os.getpid()}"
    jobs = [job(tmp_path, "slow", SLOW, mark=mark), job(tmp_path, "greedy", GREEDY)]
    jobs += [job(tmp_path, "bomb", SAYS, mark=Bomb()), *(job(tmp_path, f"p{n}", SAYS, n=n) for n in (1, 2))]
    made = run(jobs, tmp_path, here, page_timeout_s=15, memory_mb=800)
    assert {name: page.status for name, page in made.items()} == {
        "slow": "failed", "greedy": "failed", "bomb": "failed", "p1": "ok", "p2": "ok",
    }  # fmt: skip
    assert "longer than its limit of 15 s" in made["slow"].error
    assert "MemoryError" in made["greedy"].error or "limit is 800 MB" in made["greedy"].error
    # the only one lost of its batch of three
    assert re.match(r"lost on the cluster: RuntimeError: Error during deserialization.*$", made["bomb"].error)
    assert gone(mark)
    same_as(local, tmp_path, "p1", "p2")


@pytest.mark.slow
def test_a_report_is_rendered_on_a_cluster(tmp_path, here):
    ws = demo(tmp_path)
    done = CliRunner().invoke(main, ["render", "demo", "-w", str(ws.root), "--executor", here, "--json"])
    assert done.exit_code == 0, done.output
    record = json.loads((ws.out / "demo/2026-07-15/run.json").read_text(encoding="utf-8"))
    assert record["kernels"] == f"on {here}"
    assert [(page["name"], page["headline"]) for page in record["pages"]] == [("says", "page 7")]
    assert (ws.out / "demo/2026-07-15/says.html").exists()


def demo(root):
    """A workspace with a report of one page."""
    (root / "notebooks").mkdir()
    (root / "reports").mkdir()
    nbformat.write(SAYS, root / "notebooks/says.ipynb")
    report = "title: Demo\nnotebooks: [says]\nparameters: {as_of: 2026-07-15, n: 7}\nallow_red: true\n"
    (root / "reports/demo.yaml").write_text(report, encoding="utf-8")
    ws = make_workspace(root, "source: {kind: csv}\n")
    save(clean(), ws.store.root)
    return ws


@contextmanager
def process(*arguments):
    """A scheduler or a worker as people start one."""
    command = [sys.executable, "-m", "dask", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
        try:
            yield started
        finally:
            started.kill()


@pytest.fixture
def scheduler():
    """Address of a scheduler and processes of its two workers."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    with ExitStack() as stack:
        stack.enter_context(process("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"))
        worker = ("worker", address, "--no-nanny", "--no-dashboard", "--nthreads", 1, "--death-timeout", 20)
        yield f"dask://{address}", [stack.enter_context(process(*worker)) for _ in range(2)]


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_page_and_the_last_one_only_those_left(tmp_path, scheduler, monkeypatch):
    address, workers = scheduler
    assert holds(lambda: answers(address))
    mark = tmp_path / "mark"
    jobs = [job(tmp_path, "once", ONCE, mark=str(mark)), job(tmp_path, "p1", SAYS, n=1)]
    with killed_by(mark, workers) as victims:
        made = run(jobs, tmp_path, address)
    assert victims
    assert {name: (page.status, page.error) for name, page in made.items()} == {
        "once": ("ok", ""),
        "p1": ("ok", ""),
    }
    monkeypatch.setattr(cluster, "JOIN_S", 2)
    mark.unlink()
    with killed_by(mark, workers) as victims:
        made = run(jobs[:1], tmp_path, address)
    assert victims
    assert made["once"].status == "failed"
    assert "no worker was left" in made["once"].error
    with pytest.raises(RenderError, match=r"the scheduler has no worker; start one with `dask worker`"):
        run(jobs[1:], tmp_path, address)


def answers(address) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))).close()
        return True
    return False


@contextmanager
def killed_by(mark, workers):
    """Kill the worker that makes a page once the page has written the id of its kernel into a file."""
    victims = []

    def kill():
        assert holds(mark.exists)
        kernel = psutil.Process(int(mark.read_text(encoding="utf-8")))
        above = {process.pid for process in kernel.parents()}
        for worker in workers:
            if worker.pid in above:
                victims.append(worker)
                worker.kill()

    killer = Thread(target=kill)
    killer.start()
    yield victims
    killer.join()


def test_a_worker_that_sees_other_folders_says_so(tmp_path):
    setting = Setting(work=tmp_path / "elsewhere", root=tmp_path, details={})
    (page,) = cluster.on_worker([job(tmp_path, "p", SAYS)], setting)
    assert page.status == "failed"
    assert f"does not see {tmp_path / 'elsewhere'}" in page.error
    assert not (tmp_path / "elsewhere").exists()


@pytest.fixture
def strangers():
    """Ports where nobody listens, where nobody speaks, and where somebody says something else."""

    class Speaks(BaseRequestHandler):
        def handle(self):
            with suppress(OSError):
                self.request.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
                self.request.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadingTCPServer(("127.0.0.1", 0), Speaks) as other:
        other.daemon_threads = True
        Thread(target=other.serve_forever, args=(0.02,), daemon=True).start()
        yield free_port(), silent.getsockname()[1], other.server_address[1]
        other.shutdown()


def test_an_address_where_no_scheduler_answers_is_told_in_one_line(tmp_path, monkeypatch, strangers):
    ws = demo(tmp_path)
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    for port in strangers:
        address = f"dask://127.0.0.1:{port}"
        done = CliRunner().invoke(main, ["render", "demo", "-w", str(ws.root), "--executor", address])
        assert done.exit_code == 1
        assert re.fullmatch(rf"salesops: {address}: no Dask scheduler answers there \(.+\)\.\n", done.stderr)
    assert not list(ws.out.rglob("*.html"))
