"""Where pages are made: in processes forked from a warm parent, in ordinary ones, or on a Dask cluster."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import nbformat

from salesops_lib.errors import ParameterError, RenderError, shown
from salesops_lib.report import ordinary, prelude, warm
from salesops_lib.report.execute import PageRun, Setting, run_page
from salesops_lib.report.fanout import Job

if TYPE_CHECKING:
    from distributed import Client, Future

LOCAL, ORDINARY, DASK = "local", "ordinary", "dask://"
RETRIES, PAUSE_S = 3, 2.0  # of a page whose failure may pass: after 2, 4 and 8 s
CONNECT_S, JOIN_S = 10, 60  # until a cluster's scheduler answers, and until it has a worker


def check(executor: str) -> str:
    """Return an executor's name where it is one.

    Raises
    ------
    ParameterError
        For anything but ``local``, ``ordinary`` and ``dask://HOST:PORT``.
    """
    host, _, port = executor.removeprefix(DASK).rpartition(":")
    if executor in (LOCAL, ORDINARY) or (executor.startswith(DASK) and host and port.isdigit()):
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
        yield from _on_dask(jobs, setting, executor)
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


def _on_dask(jobs: list[Job], setting: Setting, executor: str) -> Iterator[PageRun]:
    """Send the same jobs to a cluster whose workers see the same folders."""
    with _cluster(executor) as client:
        asked = {client.submit(on_worker, job, setting, pure=False, retries=1): job for job in jobs}
        for done in _as_done(client, set(asked)):
            yield _fetched(done, asked.pop(done))
        for job in asked.values():
            yield PageRun.of(job, error=f"{executor}: no worker was left to make it")


def on_worker(job: Job, setting: Setting) -> PageRun:
    """Make one page on a worker of a cluster as anywhere else: in a process of its own, within the same limits."""
    for place in (setting.work, setting.root, job.source):
        if not place.exists():
            error = f"the cluster's worker on {platform.node()} does not see {place}: it needs the same folders"
            return PageRun.of(job, error=error)
    (page,) = run_all([job], setting, workers=1)
    return page


def _cluster(executor: str) -> Client:
    """Connect to a scheduler that has workers.

    Raises
    ------
    RenderError
        Where the extra is missing, nothing answers there, what answers is no scheduler, or it has no worker.
    """
    try:
        from distributed import Client
    except ImportError as error:
        mend = "pip install 'salesops-workbench[dask]'"
        raise RenderError(f"--executor dask:// needs the extra `dask`: {mend}.") from error
    host, _, port = executor.removeprefix(DASK).rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()  # Dask would try on and on
        client = Client(f"tcp://{host}:{port}", timeout=CONNECT_S, set_as_default=False)
    except (OSError, OverflowError) as error:
        raise RenderError(f"{executor}: no Dask scheduler answers there ({error}).") from error
    try:
        client.wait_for_workers(1, timeout=JOIN_S)
    except TimeoutError as error:
        client.close()
        raise RenderError(f"{executor}: the scheduler has no worker; start one with `dask worker`.") from error
    return client


def _as_done(client: Client, waiting: set[Future]) -> Iterator[Future]:
    """Yield what is done, until no worker has been left for a while."""
    from distributed import as_completed as completed

    while waiting:
        with suppress(TimeoutError):
            for done in completed(list(waiting), loop=client.loop, timeout=JOIN_S):
                waiting.discard(done)
                yield done
        try:
            client.wait_for_workers(1, timeout=JOIN_S)
        except TimeoutError:
            return


def _fetched(done: Future, job: Job) -> PageRun:
    try:
        return done.result()
    except Exception as failure:
        return PageRun.of(job, error=f"lost on the cluster: {type(failure).__name__}: {failure}")


def _modules(jobs: Iterable[Job]) -> list[str]:
    """List what the notebooks import, so that the parent has it."""
    sources = []
    for path in sorted({job.source for job in jobs}):
        cells = nbformat.read(path, as_version=4).cells
        sources += [cell.source for cell in cells if cell.cell_type == "code"]
    return warm.imported(sources)
