"""Where pages are made: in processes forked from a warm parent, in ordinary ones, or on a Dask cluster."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing

import nbformat

from salesops_lib.errors import ParameterError, RenderError, shown
from salesops_lib.report import cluster, kept, ordinary, prelude, warm
from salesops_lib.report.execute import PageRun, Setting, run_page, stopped
from salesops_lib.report.fanout import Job

LOCAL, ORDINARY, DASK = "local", "ordinary", cluster.SCHEME
log = logging.getLogger("salesops")
RETRIES, PAUSE_S = 3, 2.0  # of a page whose failure may pass: after 2, 4 and 8 s


def check(executor: str) -> str:
    """Return an executor's name where it is one.

    Raises
    ------
    ParameterError
        For anything but ``local``, ``ordinary`` and ``dask://HOST:PORT``.
    """
    host, _, port = executor.removeprefix(DASK).rpartition(":")
    is_address = executor.startswith(DASK) and host and port.isdecimal() and int(port) < 2**16
    if executor in (LOCAL, ORDINARY) or is_address:
        return executor
    raise ParameterError(f"executor {shown(executor)}: write local, ordinary or dask://HOST:PORT.")


def run_all(jobs: list[Job], setting: Setting, *, workers: int, executor: str = LOCAL) -> Iterator[PageRun]:
    """Make pages and yield what came of each as it is done; one that fails never stops the others.

    ``local`` forks a process for each page from a warm parent where that is possible; ``ordinary`` always starts
    fresh ones.

    Raises
    ------
    RenderError
        Where the executor cannot be started or reached.
    """
    if not jobs:
        return
    if executor.startswith(DASK):
        yield from cluster.make(jobs, setting, executor)
    elif executor == ORDINARY or warm.reason():
        yield from _ordinary(jobs, setting, workers)
    else:
        yield from _forked(jobs, setting, workers)


def how(executor: str = LOCAL) -> str:
    """Say for the run record what kind of kernels run."""
    if executor.startswith(DASK):
        return f"on {executor}"
    if executor == ORDINARY:
        return "ordinary"
    return f"ordinary: {warm.reason()}" if warm.reason() else "forked from a warm parent"


def _forked(jobs: list[Job], setting: Setting, workers: int) -> Iterator[PageRun]:
    with ExitStack() as stack:
        lifeline, ours = os.pipe()  # of pages made in ordinary processes, once the parent is gone
        stack.callback(os.close, lifeline)  # once nobody can ask for it any longer
        pool = ThreadPoolExecutor(min(workers, len(jobs)))
        stack.callback(pool.shutdown, cancel_futures=True)  # the parent has ended what still ran
        stack.callback(os.close, ours)
        address = _warmed(stack, _modules(jobs))
        if not address:
            yield from _ordinary(jobs, setting, workers)
            return
        prepared = stack.enter_context(prelude.templates(jobs, setting, address))
        asked = [
            pool.submit(again, forked_page, job, setting, address, prepared.get(job.source, ""), lifeline)
            for job in jobs
        ]
        for done in as_completed(asked):
            yield done.result()


def _warmed(stack: ExitStack, modules: list[str]) -> str:
    """Start a warm parent, where the notebooks' modules do not let it without them; empty where none starts."""
    for wanted in (modules, []):
        try:
            return stack.enter_context(kept.parent(wanted))
        except RenderError as error:
            log.warning("%s", error)
    log.warning("Ordinary kernels are used instead.")
    return ""


def forked_page(job: Job, setting: Setting, address: str, prepared: str = "", lifeline: int = -1) -> PageRun:
    """Make one page in a process forked from a warm parent, its kernel from where its first cells have run.

    Where the parent is gone, it is made in an ordinary process.
    """
    env = os.environ | {warm.ADDRESS: prepared or address, warm.MEMORY: str(setting.memory_mb)}
    began = time.perf_counter()
    try:
        asked = {"job": job, "setting": setting, "is_prepared": bool(prepared)}
        child = warm.Forked(address, f"{run_page.__module__}:run_page", env=env, **asked)
        with closing(child):
            return child.result(setting.page_timeout_s)
    except TimeoutError:
        error = f"it took longer than its limit of {setting.page_timeout_s:,} s and was ended"
    except RenderError as failure:
        error = str(failure)
    except (OSError, EOFError):
        log.warning("%s: the warm parent is gone; it is made in an ordinary process", job.name)
        return ordinary.make(job, setting, lifeline)
    return stopped(job, setting, error, round(time.perf_counter() - began, 2))


def again(make: Callable[..., PageRun], job: Job, *rest) -> PageRun:
    """Make a page, a few times with growing pauses where its failure is marked as one that may pass."""
    for k in range(RETRIES + 1):
        page = make(job, *rest)
        page.tries = k + 1
        if not page.is_transient or k == RETRIES:
            break
        time.sleep(PAUSE_S * 2**k)
    return page


def _ordinary(jobs: list[Job], setting: Setting, workers: int) -> Iterator[PageRun]:
    lifeline, ours = os.pipe()
    pool = ThreadPoolExecutor(min(workers, len(jobs)))
    try:
        asked = [pool.submit(again, ordinary.make, job, setting, lifeline) for job in jobs]
        for done in as_completed(asked):
            yield done.result()
    finally:
        os.close(ours)  # ends the pages that are still being made
        pool.shutdown(cancel_futures=True)
        os.close(lifeline)


def _modules(jobs: Iterable[Job]) -> list[str]:
    """List what the notebooks import, so that the parent has it."""
    sources = []
    for path in sorted({job.source for job in jobs}):
        cells = nbformat.read(path, as_version=4).cells
        sources += [cell.source for cell in cells if cell.cell_type == "code"]
    return warm.imported(sources)
