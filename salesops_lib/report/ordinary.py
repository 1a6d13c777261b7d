"""A fresh process for each page, where none can be forked: ended with all it started when its time is up.

Its standard input is its lifeline: once that closes, because its owner is done with it or dead, it ends.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from salesops_lib.report.execute import PageRun, Setting, run_page, stopped
from salesops_lib.report.fanout import Job
from salesops_lib.report.warm import MARK, THREADS, end_marked, limit_memory

ASKED, MADE, SAID = "asked", "made", "said"  # files between the two processes


def make(job: Job, setting: Setting, lifeline: int) -> PageRun:
    """Make one page in a process of its own.

    Parameters
    ----------
    job, setting
        As for `run_page`.
    lifeline
        Descriptor of the reading end of a pipe; the process ends when nobody holds the writing end any longer.
    """
    began = time.perf_counter()
    try:
        with TemporaryDirectory(prefix=f"so-{os.getpid()}-") as folder:
            found = _made(job, setting, lifeline, Path(folder))
            end_marked(folder)  # what it started in sessions of their own
    except OSError as failure:
        found = f"its process could not be started: {failure}"
    if isinstance(found, PageRun):
        return found
    return stopped(job, setting, found, round(time.perf_counter() - began, 2))


def _made(job: Job, setting: Setting, lifeline: int, folder: Path) -> PageRun | str:
    """Return the page, or say what stopped its process."""
    (folder / ASKED).write_bytes(pickle.dumps((job, setting)))
    command = [sys.executable, "-P", "-m", __name__, str(folder)]
    with (folder / SAID).open("wb") as said:
        process = subprocess.Popen(
            command, stdin=lifeline, stdout=said, stderr=said, env=os.environ | THREADS | {MARK: str(folder)}
        )
    try:
        code = process.wait(setting.page_timeout_s)
    except subprocess.TimeoutExpired:
        end(process.pid)
        process.wait()
        return f"it took longer than its limit of {setting.page_timeout_s:,} s and was ended"
    if code == 0:
        return pickle.loads((folder / MADE).read_bytes())
    if code < 0:
        return "the process was killed; out of memory, perhaps"
    last = (folder / SAID).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    return f"its process ended with code {code}: {''.join(last)}"


def end(pid: int) -> None:
    """End a process, and first all that it has started."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in [*process.children(recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                one.kill()


def _end_with_owner() -> None:
    os.read(0, 1)
    end_marked(os.environ[MARK])
    end(os.getpid())


def main(folder: str) -> None:
    """Make the page that is asked for in a folder, and leave there what came of it."""
    Thread(target=_end_with_owner, daemon=True).start()
    job, setting = pickle.loads(Path(folder, ASKED).read_bytes())
    limit_memory(setting.memory_mb)
    Path(folder, MADE).write_bytes(pickle.dumps(run_page(job, setting)))


if __name__ == "__main__":
    main(*sys.argv[1:])
