"""Where independent parts of a work are done: here, in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

from salesops_lib.errors import ParameterError, shown

DASK = "dask://"


def check(executor: str, workers: int) -> None:
    """Refuse an executor that is none.

    Raises
    ------
    ParameterError
        For anything but ``local`` and ``dask://HOST:PORT``, and for less than one worker.
    """
    host, _, port = str(executor).removeprefix(DASK).rpartition(":")
    if executor != "local" and not (str(executor).startswith(DASK) and host and port.isdigit()):
        raise ParameterError(f"executor {shown(executor)}: write local or dask://HOST:PORT.")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ParameterError(f"workers {shown(workers)}: a whole number from 1 on is needed.")


def run(work: Callable, parts: Sequence, *, workers: int, executor: str) -> Iterator[tuple[int, Any]]:
    """Do each part, and yield its place and what came of it as it is done.

    Raises
    ------
    ParameterError
        Where no scheduler answers, or the extra `dask` is not installed.
    """
    if executor.startswith(DASK):
        yield from _on_dask(work, parts, executor)
    elif workers == 1 or len(parts) == 1:
        yield from ((k, work(part)) for k, part in enumerate(parts))
    else:
        with ProcessPoolExecutor(min(workers, len(parts)), mp_context=get_context("spawn")) as pool:
            asked = {pool.submit(work, part): k for k, part in enumerate(parts)}
            yield from ((asked[done], done.result()) for done in as_completed(asked))


def _on_dask(work: Callable, parts: Sequence, executor: str) -> Iterator[tuple[int, Any]]:
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ImportError as error:
        raise ParameterError(
            f"executor {executor} needs the extra `dask`: pip install 'salesops-workbench[dask]'."
        ) from error
    try:
        client = Client(executor.replace(DASK, "tcp://"), timeout=20, set_as_default=False)
    except OSError as error:
        raise ParameterError(f"executor {executor}: no scheduler answers there.") from error
    with client, client.as_current():
        asked = {client.submit(work, part, pure=False, retries=1): k for k, part in enumerate(parts)}
        yield from ((asked[done], done.result()) for done in completed(asked))
