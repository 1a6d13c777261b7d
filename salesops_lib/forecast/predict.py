"""The forecast of many series: history in, means and ranges out, one row a series and step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from salesops_lib.forecast import chunks, combine, series
from salesops_lib.forecast.components import Components
from salesops_lib.forecast.series import Ask, Panel


def forecast_series(
    history: pd.DataFrame,
    *,
    horizon: int,
    freq: str,
    levels: Sequence[float] = (80, 95),
    model: str = "auto",
    gaps: str = "refuse",
    components: Components | None = None,
    workers: int = 1,
    executor: str = "local",
) -> pd.DataFrame:
    """Forecast many series, each with ranges.

    Parameters
    ----------
    history
        `unique_id`, `ds`, `y`: one row a series and step.
    horizon
        Steps ahead of each series' own last one.
    freq
        Pandas' word for the steps, e.g. ``MS`` (months by their first day) or ``W-SUN``.
    levels
        Shares of the future the ranges are to hold, in percent.
    model
        ``auto`` (the house combination), ``fast`` (nearly as good at a tenth of the time), or one of `models()`.
    gaps
        What a missing step means: ``refuse``, ``zero`` or ``interpolate``.
    components
        Effects and caps for ``prophet``.
    workers, executor
        Processes, or the Dask scheduler (``dask://HOST:PORT``), that fit the series.

    Returns
    -------
    pandas.DataFrame
        `unique_id`, `ds`, `mean`, `lo-80`, `hi-80`, `lo-95`, `hi-95` in the unit of `y`, and `model`: what was
        used, with the reason where the history is too short or sparse for what was asked. Never below zero where
        the history is not.

    Raises
    ------
    DataContractError
        Naming series and row, where the history is not one finite number a step.
    ParameterError
        For an unknown model, frequency or executor, or a horizon or level out of range.
    """
    (name,) = combine.check_models([model])
    ask = Ask(series.check_horizon(horizon), series.check_levels(levels), components)
    chunks.check(executor, workers)
    panel = series.read(history, freq=freq, gaps=gaps)
    fit = partial(chunks.fit, workers=workers, executor=executor)
    return framed(panel, *combine.forecast(panel, [name], ask, fit)[name], ask)


def framed(panel: Panel, numbers: np.ndarray, labels: Sequence[str], ask: Ask) -> pd.DataFrame:
    """Lay forecasts out in rows, one a series and step."""
    out = pd.DataFrame(numbers.reshape(-1, len(ask.columns)), columns=ask.columns)
    out.insert(0, "unique_id", pd.Series(panel.ids).repeat(ask.horizon).array)
    out.insert(1, "ds", panel.future(ask.horizon).ravel())
    return out.assign(model=np.repeat(np.asarray(labels, object), ask.horizon))
