"""What may go wrong while pages are made, done for real: kills, full and locked disks, damaged data, crowds."""

import html.parser
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
from click.testing import CliRunner
from nbformat import v4

from salesops_lib import gate, report
from salesops_lib.cli import main
from salesops_lib.errors import RenderError
from salesops_lib.report import runs, warm
from salesops_lib.report.execute import PageRun
from salesops_lib.report.fanout import Job
from salesops_lib.report.publish import write_catalogue
from tests.conftest import ROOT, make_workspace

pytestmark = [
    pytest.mark.skipif(bool(warm.reason()), reason=warm.reason() or "never"),
    pytest.mark.xdist_group("reliability"),
    pytest.mark.slow,
]
KILLS = int(os.environ.get("SALESOPS_KILLS", "2"))  # `SALESOPS_KILLS=50` for the night
SPEC = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
OURS = "SALESOPS_TEST"  # in the environment of whatever a run of this file starts
DAY = "demo/2026-09-30"
PARAMETERS = "as_of: str = ''  # day\nn: int = 0  # which\nword: str = 'first'  # shown"
# A process in a session of its own is what no signal to a group reaches
SHORT = ["import subprocess, time\nsubprocess.Popen(['sleep', '600'], start_new_session=True)", "time.sleep(0.3)",
         "print(f'page {n}: {word}')"]  # fmt: skip


def notebook(path: Path, *cells: str) -> None:
    made = [v4.new_markdown_cell("# A page\n\nIs it so?")]
    made.append(v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}))
    nbformat.write(v4.new_notebook(cells=made + [v4.new_code_cell(c) for c in cells], metadata=SPEC), path)


def define(ws, pages: int = 4, text: str = "", notebooks=()) -> None:
    """Write the report: some short pages, then one of each other notebook."""
    entries = [f"{{notebook: short, name: p{k}, parameters: {{n: {k}}}}}" for k in range(pages)]
    yaml = f"title: Demo\nallow_red: true\n{text}notebooks: [{', '.join([*entries, *notebooks])}]\n"
    (ws.reports / "demo.yaml").write_text(yaml)


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    root = tmp_path_factory.mktemp("reliable")
    for name in ("notebooks", "reports"):
        (root / name).mkdir()
    notebook(root / "notebooks/short.ipynb", *SHORT)
    made = make_workspace(root)
    made.ingest("sample", opportunities=600, accounts=80, reps=8)
    return made


def start(ws, out: Path, *more: str, mark: str) -> subprocess.Popen:
    """Start the command as a shell would."""
    command = [sys.executable, "-m", "salesops_lib", "render", "demo", "-w", str(ws.root), "--out", str(out)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    env = os.environ | {OURS: mark}
    return subprocess.Popen([*command, "--workers", "2", *more], cwd=ROOT, env=env, **pipes)


def called(ws, out: Path, *more: str):
    """Call the command in this process: no start to wait for."""
    return CliRunner().invoke(main, ["render", "demo", "-w", str(ws.root), "--out", str(out), *more])


def marked(mark: str) -> list[psutil.Process]:
    """Processes that descend from a run."""
    found, entry = [], f"{OURS}={mark}".encode()
    for place in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError, psutil.NoSuchProcess):
            if entry in place.read_bytes().split(b"\0"):
                found.append(psutil.Process(int(place.parent.name)))
    return found


def none_left(mark: str, seen=()) -> list[str]:
    """Wait for the end of what descends from a run, zombies among what was seen included; say what stays."""
    until = time.monotonic() + 15
    while left := marked(mark) + [process for process in seen if process.is_running()]:
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    return [str(process) for process in left]


def leftovers(out: Path, pid: int) -> list[Path]:
    """Private folders that a run made."""
    return [*out.rglob(".rendering-*"), *Path(tempfile.gettempdir()).glob(f"so-{pid}-*")]


class Links(html.parser.HTMLParser):
    def __init__(self, page: Path):
        super().__init__()
        self.found = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name == "href" and not value.startswith("#")]


def unsound(out: Path) -> list[str]:
    """Say what is wrong with what is published: pages that are no whole ones, links to nothing."""
    wrong = []
    for page in out.rglob("*.html"):
        if any(part.startswith(".") for part in page.relative_to(out).parts):
            continue
        text = page.read_text(encoding="utf-8").strip()
        if not (text.startswith("<!DOCTYPE html>") and text.endswith("</html>")):
            wrong.append(f"{page} is not whole")
        links = Links(page).found if page.name == "index.html" else ()
        wrong += [f"{page} links to {link}" for link in links if not (page.parent / link).exists()]
    return wrong


def record(out: Path) -> dict:
    return json.loads((out / DAY / "run.json").read_text())


def done(out: Path) -> int:
    """Count the pages of the run at work so far."""
    with suppress(OSError, ValueError):
        return len(record(out)["pages"])
    return 0


def wait_for(true, seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


# -- kills ---------------------------------------------------------------------------------------------


def drive(root: str, out: str, word: str, mark: str, findings) -> None:
    os.environ[OURS] = mark
    values = {"parameters": {"word": word}, "workers": 2, "findings": findings}
    try:
        run = report.render("demo", workspace=root, out=out, **values)
    except RenderError as error:
        sys.exit(1 if "did not start: it was killed" in str(error) else 9)
    sys.exit(5 if run.failed else 0)


def test_whoever_is_killed_nothing_is_broken_or_left(ws, tmp_path):
    """A round: pages and kernels are killed, then the warm parent or the run itself; the next run is whole."""
    define(ws, pages=6)
    found = gate.check_workspace(ws)
    fork = multiprocessing.get_context("forkserver")  # one that has imported, so that a round takes seconds
    fork.set_forkserver_preload(["tests.test_reliability"])
    rng, killed, rounds = random.Random(7), [], 0
    while len(killed) < KILLS or rounds < 2:
        rounds += 1
        mark, word = f"{os.getpid()}-{rounds}", f"round {rounds}"
        target = {"target": drive, "args": (str(ws.root), str(tmp_path), word, mark, found)}
        run = fork.Process(**target)
        run.start()
        seen = set()
        for whom in [*["child"] * rng.randint(0, 4), ("run", "parent")[rounds % 2]]:
            killed += _kill(whom, run, mark, rng, seen)
            assert unsound(tmp_path) == []
        run.join(60)
        assert run.exitcode in (0, 1, 5, -signal.SIGKILL)  # 0: ended before; 1: its parent was killed at once
        assert none_left(mark, seen) == []
        again = fork.Process(**target)
        again.start()
        again.join(120)
        assert again.exitcode == 0
        assert unsound(tmp_path) == []
        assert [page["status"] for page in record(tmp_path)["pages"]] == ["ok"] * 6
        assert all(word in (tmp_path / DAY / f"p{k}.html").read_text() for k in range(6))
        assert none_left(mark) == []
        assert leftovers(tmp_path, run.pid) == []


def _kill(whom: str, run, mark: str, rng: random.Random, seen: set) -> list[str]:
    """Kill one of a run's processes at a moment of chance; nobody where all have ended."""
    ends = time.monotonic() + rng.uniform(0.1, 1.5) + (rng.uniform(0, 8) if not seen and whom != "child" else 0)
    while run.is_alive():
        with suppress(psutil.NoSuchProcess):
            parents = [p for p in psutil.Process(run.pid).children() if warm.__name__ in p.cmdline()]
            candidates = {"run": [psutil.Process(run.pid)], "parent": parents}
            candidates["child"] = [child for parent in parents for child in parent.children()]
            seen.update(marked(mark))
            if candidates[whom] and time.monotonic() > ends:
                rng.choice(candidates[whom]).kill()
                return [whom]
        time.sleep(0.02)
    return []


def test_an_interrupted_run_ends_at_once_and_two_runs_at_once_go_on_from_there(ws, tmp_path):
    define(ws, pages=4)
    mark = f"{os.getpid()}-interrupted"
    run = start(ws, tmp_path, mark=mark)
    wait_for(lambda: done(tmp_path) >= 1)
    seen = [process for process in marked(mark) if process.pid != run.pid]
    assert len(seen) >= 3  # the parent, a page, its kernel
    began = time.monotonic()
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert said.endswith("salesops: interrupted; what was finished before stands.\n")
    assert time.monotonic() - began < 10
    assert none_left(mark, seen) == []
    assert leftovers(tmp_path, run.pid) == []
    assert (tmp_path / DAY / ".lock").exists()  # which holds nobody up
    stood = done(tmp_path)
    assert 1 <= stood < 4
    two = [start(ws, tmp_path, mark=f"{mark}-{k}") for k in range(2)]
    told = [process.communicate(timeout=240) for process in two]
    assert [process.returncode for process in two] == [0, 0], told
    assert sum("another run is at work" in said for _, said in told) == 1
    assert sum(out.count("unchanged") for out, _ in told) == 4 + stood  # no page is made twice
    assert unsound(tmp_path) == []
    assert [none_left(f"{mark}-{k}") for k in range(2)] == [[], []]


# -- pages that fail -----------------------------------------------------------------------------------

FAILING = {
    "greedy": (["held = []\nwhile True: held.append(bytearray(50_000_000))"], 3, ("Memory", "limit is 256 MB")),
    "endless": (["import time", "while True: time.sleep(1)"], 4, ("limit of 6 s",)),
    "long": (["import time", *["time.sleep(0.9)"] * 60], None, ("limit of 25 s",)),
    "dying": (["import os\nos.kill(os.getpid(), 9)"], 3, ("the kernel died",)),
    "wrong": (["1 / 0"], 3, ("ZeroDivisionError",)),
}  # fmt: skip


def test_what_fails_fails_alone_and_says_why(ws, tmp_path):
    for name, (cells, _, _) in FAILING.items():
        notebook(ws.notebooks / f"{name}.ipynb", *cells)
    define(ws, pages=3, text="cell_timeout_s: 6\npage_timeout_s: 25\nmemory_mb: 256\n", notebooks=FAILING)
    mark = f"{os.getpid()}-failing"
    run = start(ws, tmp_path, mark=mark)
    out, said = run.communicate(timeout=300)
    assert run.returncode == 5, said
    assert none_left(mark) == []
    pages = {page["name"]: page for page in record(tmp_path)["pages"]}
    assert [pages[f"p{k}"]["status"] for k in range(3)] == ["ok"] * 3, out
    assert all((tmp_path / DAY / f"p{k}.html").exists() for k in range(3))
    for name, (_, cell, words) in FAILING.items():
        page = pages[name]
        assert (page["status"], cell or page["cell"]) == ("failed", page["cell"]), page
        assert any(word in page["error"] for word in words), page
    assert unsound(tmp_path) == []


# -- many pages ----------------------------------------------------------------------------------------


def sizes(process: psutil.Process) -> np.ndarray:
    return np.array([process.memory_info().rss, process.num_fds(), process.num_threads()])


def test_a_run_of_many_pages_stays_flat(ws, tmp_path):
    pages, first = 24, 8
    define(ws, pages=pages)
    mark = f"{os.getpid()}-many"
    run = start(ws, tmp_path, mark=mark)
    wait_for(lambda: done(tmp_path) >= first)
    both = [psutil.Process(run.pid), *psutil.Process(run.pid).children()]
    before = [sizes(process) for process in both]
    wait_for(lambda: done(tmp_path) >= pages - 3, 300)
    grown = [sizes(process) - was for process, was in zip(both, before, strict=True)]
    out, said = run.communicate(timeout=100)
    assert run.returncode == 0, said
    assert out.count("ok ") == pages
    for rss, files, threads in grown:
        assert rss / (pages - 3 - first) < 100_000  # bytes a page
        assert files <= 4  # those of a page that is just being made
        assert threads <= 0
    assert none_left(mark) == []


# -- disks ---------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    """A disk of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("no permission to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def published(out: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in out.rglob("*") if path.suffix in (".html", ".ipynb", ".json")}


def stopped(answer, *words: str) -> bool:
    """Whether a command ended with 1 and one line."""
    said = [line for line in answer.stderr.splitlines() if line.strip()]
    assert len(said) == 1, answer.stderr
    assert said[0].startswith("salesops: ")
    assert "should not have happened" not in said[0]
    assert all(word in said[0] for word in words), said
    return answer.exit_code == 1


def test_a_full_disk_and_a_locked_one_stop_the_run_in_one_line(ws, disk):
    notebook(ws.notebooks / "wide.ipynb", "for k in range(100): print(word, 'wide' * 250)")
    define(ws, pages=2, notebooks=["wide"])
    assert called(ws, disk).exit_code == 0
    before = published(disk)
    assert len([path for path in before if path.suffix == ".html"]) == 5
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4_096)):
            pass
    assert stopped(called(ws, disk, "-p", "word=second"), "No space left on device", "what was published stands")
    assert published(disk) == before
    os.truncate(filler, filler.stat().st_size - 64 * 1_024)  # for the run to begin, but for no wide page
    assert stopped(called(ws, disk, "-p", "word=second"), "No space left on device", "what was published stands")
    assert all(path.read_bytes() == text for path, text in before.items() if path.stem in ("wide", "index"))
    assert unsound(disk) == []
    assert list(disk.rglob(".*-*")) == []
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert stopped(called(ws, disk, "-p", "word=second"), "Read-only file system", str(disk))
    assert stopped(called(ws, disk / "other"), "Read-only file system", str(disk))
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


# -- a damaged snapshot --------------------------------------------------------------------------------


def cut(place: Path) -> None:
    os.truncate(place, place.stat().st_size // 2)


DAMAGE = {
    "a cut table": ("opportunities.parquet", cut),
    "another cut table": ("users.parquet", cut),
    "a table that is gone": ("stages.parquet", Path.unlink),
    "a cut manifest": ("manifest.json", cut),
    "no manifest": ("manifest.json", Path.unlink),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_snapshot_is_told_in_one_line(ws, tmp_path, what):
    define(ws, pages=1)
    shutil.copytree(ws.root, tmp_path / "ws", symlinks=True)
    name, spoil = DAMAGE[what]
    spoil(next((tmp_path / "ws").rglob(name)))
    answer = CliRunner().invoke(main, ["render", "demo", "-w", str(tmp_path / "ws")])
    assert stopped(answer, "snapshot", "load")
    assert list((tmp_path / "ws").rglob("*.html")) == []


# -- records -------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    made = tmp_path / "place", tmp_path / "work"
    for folder in made:
        folder.mkdir()
    return made


def made(folder: runs.Folder, name: str) -> PageRun:
    for suffix in (".html", ".ipynb"):
        (folder.work / f"{name}{suffix}").write_text(name)
    return PageRun(name, status="ok", key=name)


def test_the_page_of_who_left_goes_even_when_the_run_that_was_to_remove_it_was_killed(folders):
    place, work = folders
    for names, ends in ((["ann", "bob"], True), (["ann"], False), (["ann"], True)):
        folder = runs.Folder(place, work, {}, names, runs.earlier(place))
        for name in names:
            folder.publish(made(folder, name))
        if ends:
            folder.sweep()
            folder.write()
        assert (place / "bob.html").exists() is (not ends or "bob" in names)
    assert runs.earlier(place)[runs.GONE] == []


def test_an_old_pdf_is_not_taken_for_that_of_a_new_page(folders):
    place, work = folders
    folder = runs.Folder(place, work, {}, ["ann"], {})
    (place / "ann.pdf").write_text("old")
    os.utime(place / "ann.pdf", (1, 1))
    folder.publish(made(folder, "ann"))  # killed here: the index still links to the PDF
    assert (place / "ann.pdf").exists()
    job = Job(Path("ann.ipynb"), "ann", "Ann", {}, key="ann")
    assert runs.unchanged([job], runs.earlier(place), place)["ann"].pdf == ""
    folder.sweep()
    assert not (place / "ann.pdf").exists()


def test_the_catalogue_leaves_out_a_run_that_was_killed_before_it_had_an_index(tmp_path):
    place = tmp_path / "demo/2026-09-30"
    place.mkdir(parents=True)
    (place / "run.json").write_text(json.dumps({"report": "demo", "title": "Demo", "as_of": "x", "pages": []}))
    write_catalogue(tmp_path)
    assert Links(tmp_path / "index.html").found == []
    (place / "index.html").write_text("<!DOCTYPE html>")
    write_catalogue(tmp_path)
    assert Links(tmp_path / "index.html").found == ["demo/2026-09-30/index.html"]
