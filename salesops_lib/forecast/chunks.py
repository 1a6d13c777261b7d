"""Many series are fitted in chunks, in order, wherever the executor says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from salesops_lib.forecast import members, spread
from salesops_lib.forecast.series import Ask, Panel
from salesops_lib.progress import track

SIZE = 50  # series in a chunk: seconds of work, kilobytes to send


def fit(panel: Panel, names: Sequence[str], ask: Ask, *, workers: int = 1, executor: str = "local") -> np.ndarray:
    """Fit members to series, as `members.fit` does, wherever the executor says; the answer is the same.

    Raises
    ------
    ParameterError
        Where no scheduler answers, or the extra `dask` is not installed.
    """
    parts = [panel.pick(range(at, min(at + SIZE, len(panel.ids)))) for at in range(0, len(panel.ids), SIZE)]
    found: list = [None] * len(parts)
    work = partial(members.fit, names=tuple(names), ask=ask)
    done = spread.run(work, parts, workers=workers, executor=executor)
    for k, numbers in track(done, "series models", total=len(parts)):
        found[k] = numbers
    return np.concatenate(found)
