"""Where pages are made: in processes forked from a warm parent, in ordinary ones, or on a Dask cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing import get_context

import nbformat

from salesops_lib.errors import ParameterError, RenderError
from salesops_lib.report import prelude, warm
from salesops_lib.report.execute import PageRun, Setting, run_page
from salesops_lib.report.fanout import Job

DASK = "dask://"
RETRIES, PAUSE_S = 3, 2.0  # of a page whose failure may pass: after 2, 4 and 8 s
KILLED = "the process was killed; out of memory, perhaps"


def check(executor: str) -> str:
    """Return an executor's name where it is one.

    Raises
    ------
    ParameterError
        For anything but ``local`` and ``dask://HOST:PORT``.
    """
    host, _, port = executor.removeprefix(DASK).rpartition(":")
    if executor == "local" or (executor.startswith(DASK) and host and port.isdigit()):
        return executor
    raise ParameterError(f"executor {executor!r}: write local or dask://HOST:PORT.")


def run_all(jobs: list[Job], setting: Setting, *, workers: int, executor: str = "local") -> Iterator[PageRun]:
    """Make pages and yield what came of each as it is done; one that fails never stops the others.

    Raises
    ------
    RenderError
        Where the executor cannot be started or reached.
    """
    if not jobs:
        return
    if executor.startswith(DASK):
        yield from _on_dask(jobs, setting, executor)
    elif warm.reason():
        yield from _ordinary(jobs, setting, workers)
    else:
        yield from _forked(jobs, setting, workers)


def how(executor: str = "local") -> str:
    """Say for the run record what kind of kernels run."""
    if executor.startswith(DASK):
        return f"on {executor}"
    return f"ordinary: {warm.reason()}" if warm.reason() else "forked from a warm parent"


def _forked(jobs: list[Job], setting: Setting, workers: int) -> Iterator[PageRun]:
    with warm.parent(_modules(jobs)) as address, prelude.templates(jobs, setting, address) as prepared:
        pool = ThreadPoolExecutor(min(workers, len(jobs)))
        try:
            asked = {
                pool.submit(again, forked_page, job, setting, address, prepared.get(job.source, "")): job
                for job in jobs
            }
            for done in as_completed(asked):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # the parent ends what still runs


def forked_page(job: Job, setting: Setting, address: str, prepared: str = "") -> PageRun:
    """Make one page in a process forked from a warm parent, its kernel from where its first cells have run."""
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
        error = "the warm parent was killed"
    return PageRun.of(job, error=error, seconds=round(time.perf_counter() - began, 2))


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
    if workers <= 1 or len(jobs) == 1:
        yield from (again(run_page, job, setting) for job in jobs)
        return
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        asked = {pool.submit(again, run_page, job, setting): job for job in jobs}
        for done in as_completed(asked):
            try:
                yield done.result()
            except BrokenProcessPool:
                yield PageRun.of(asked[done], error=KILLED)


def _on_dask(jobs: list[Job], setting: Setting, executor: str) -> Iterator[PageRun]:
    """Send the same jobs to a cluster whose workers see the same folders."""
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ImportError as error:
        mend = "pip install 'salesops-workbench[dask]'"
        raise RenderError(f"--executor dask:// needs the extra `dask`: {mend}.") from error
    try:
        client = Client(executor.replace(DASK, "tcp://"), timeout=20, set_as_default=False)
    except OSError as error:
        raise RenderError(f"{executor}: no scheduler answers there.") from error
    with client:
        asked = {client.submit(again, run_page, job, setting, pure=False, retries=1): job for job in jobs}
        for done in completed(asked):
            try:
                yield done.result()
            except (Exception, CancelledError) as failure:
                yield PageRun.of(asked[done], error=f"lost on the cluster: {type(failure).__name__}: {failure}")


def _modules(jobs: Iterable[Job]) -> list[str]:
    """List what the notebooks import, so that the parent has it."""
    sources = []
    for path in sorted({job.source for job in jobs}):
        cells = nbformat.read(path, as_version=4).cells
        sources += [cell.source for cell in cells if cell.cell_type == "code"]
    return warm.imported(sources)
