"""Pages made on a Dask cluster whose workers see the same folders: each worker makes them as a local run would."""

from __future__ import annotations

import asyncio
import math
import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from salesops_lib.errors import RenderError
from salesops_lib.report.execute import PageRun, Setting
from salesops_lib.report.fanout import Job

if TYPE_CHECKING:
    from distributed import Client, Future

SCHEME = "dask://"
CONNECT_S, JOIN_S = 10, 60  # until the scheduler answers, and until it has a worker
BATCH = 8  # pages a worker makes in one go at most: they share a warm parent, which costs more than a small page


def make(jobs: list[Job], setting: Setting, address: str) -> Iterator[PageRun]:
    """Make pages on a cluster, and yield what came of them as batches of them are done.

    A batch on a worker that dies is made by another; one that cannot be made is tried page by page.

    Raises
    ------
    RenderError
        Where the extra is missing, no scheduler answers at the address, or it has no worker.
    """
    with _connected(address) as client:
        parts = max(sum(client.nthreads().values()), math.ceil(len(jobs) / BATCH))
        waiting = [jobs[k::parts] for k in range(min(parts, len(jobs)))]
        asked: dict[Future, list[Job]] = {}
        while waiting or asked:
            asked |= {client.submit(on_worker, batch, setting, pure=False): batch for batch in waiting}
            waiting = []
            for done in _done_soon(client, asked):
                batch = asked.pop(done)
                try:
                    pages = done.result()
                except Exception as failure:
                    waiting += [[job] for job in batch if len(batch) > 1]
                    pages = [] if len(batch) > 1 else [PageRun.of(batch[0], error=_told(failure))]
                yield from pages
            if not _has_worker(client):
                break
        for job in (job for batch in [*asked.values(), *waiting] for job in batch):
            yield PageRun.of(job, error=f"{address}: no worker was left to make it")


def on_worker(jobs: list[Job], setting: Setting) -> list[PageRun]:
    """Make pages on a worker: each in a process of its own, within the same limits as anywhere else."""
    from salesops_lib.report.executors import run_all

    for place in (setting.work, setting.root, *(job.source for job in jobs)):
        if not place.exists():
            error = f"the cluster's worker on {platform.node()} does not see {place}: it needs the same folders"
            return [PageRun.of(job, error=error) for job in jobs]
    return list(run_all(jobs, setting, workers=1))


def _connected(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError as error:
        mend = "pip install 'salesops-workbench[dask]'"
        raise RenderError(f"--executor dask:// needs the extra `dask`: {mend}.") from error
    url = address.replace(SCHEME, "tcp://")
    try:
        with ThreadPoolExecutor(1) as aside:  # who renders may have a running loop: a notebook
            aside.submit(asyncio.run, _greet(url)).result()
        client = Client(url, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, MemoryError) as error:
        said = f"{type(error).__name__}: {error}" if str(error) else "it stays silent"
        raise RenderError(f"{address}: no Dask scheduler answers there ({said}).") from error
    if not _has_worker(client):
        client.close()
        raise RenderError(f"{address}: the scheduler has no worker; start one with `dask worker`.")
    return client


async def _greet(url: str) -> None:
    """Shake hands once: a client would try on where nothing listens, and wait for ever for a stranger."""
    from distributed.comm import connect

    host, _, port = url.removeprefix("tcp://").rpartition(":")
    async with asyncio.timeout(CONNECT_S):
        _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
        (await connect(url)).abort()


def _has_worker(client: Client) -> bool:
    """Whether there is a worker, now or within a while."""
    try:
        client.wait_for_workers(1, timeout=JOIN_S)
    except TimeoutError:
        return False
    return True


def _done_soon(client: Client, asked: dict[Future, list[Job]]) -> Iterator[Future]:
    """Yield what is done within a while; then it is time to see whether anybody still works on the rest."""
    from distributed import as_completed

    with suppress(TimeoutError):
        yield from as_completed(list(asked), loop=client.loop, timeout=JOIN_S)


def _told(failure: Exception) -> str:
    from distributed import KilledWorker

    if isinstance(failure, KilledWorker):
        return "every worker that tried to make it died; out of memory, perhaps"
    return f"lost on the cluster: {type(failure).__name__}: {' '.join(str(failure).split())}"
