"""One `track()`: a bar in a terminal or live notebook, log lines in a scheduled run; and `ahead()` of the work."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
log = logging.getLogger("salesops")
SECONDS_BETWEEN_LINES = 10.0


def patiently(make: Callable[[], T], passing: type[Exception], retries: int, pause_s: float = 2.0) -> T:
    """Call again, after growing pauses, what fails with an error that may pass; the last error is the caller's."""
    for k in range(retries):
        try:
            return make()
        except passing as error:
            log.warning("%s Trying again in %.0f s.", error, pause_s * 2**k)
            time.sleep(pause_s * 2**k)
    return make()


def track(items: Iterable[T], description: str, *, total: int | None = None) -> Iterator[T]:
    """Yield `items` while showing progress on standard error.

    A terminal gets a tqdm bar; anything else gets one log line every ten seconds and one at the end, so that a
    scheduled run leaves a readable log and a rendered page stays free of widgets.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    if sys.stderr.isatty() and "SALESOPS_QUIET" not in os.environ:
        from tqdm import tqdm

        yield from tqdm(items, desc=description, total=total, leave=False)
        return
    spoken = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        if time.monotonic() - spoken > SECONDS_BETWEEN_LINES:
            log.info("%s: %d%s", description, done, f" of {total}" if total else "")
            spoken = time.monotonic()
    log.info("%s: %d done", description, done)


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield `items` while the next one is already being made in a thread of its own."""
    source = iter(items)
    end = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, source, end)
            yield item
