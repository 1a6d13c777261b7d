"""The forecast of many series: history in, means and ranges out, one row a series and step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from salesops_lib.errors import ParameterError, unknown
from salesops_lib.forecast import chunks, combine, irregular, ranges, series, spread
from salesops_lib.forecast.components import Components
from salesops_lib.forecast.series import Ask, Panel

if TYPE_CHECKING:
    from salesops_lib.periods import FiscalCalendar

OUTLIERS = ("keep", "replace")


def forecast_series(
    history: pd.DataFrame,
    *,
    horizon: int,
    freq: str,
    levels: Sequence[float] = (80, 95),
    model: str = "auto",
    gaps: str = "refuse",
    components: Components | None = None,
    outliers: str = "keep",
    working_days: FiscalCalendar | str | None = None,
    calibrate: bool = False,
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
    outliers
        ``keep`` them, or ``replace`` them by what was expected, see `inspect_series`; `model` says how many.
    working_days
        A calendar, or a country code such as ``US``: forecast a working day, times the days of each step.
    calibrate
        Scale the ranges by what past ones of the same series held, see `ranges`; the factors stand in `model`.
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
    spread.check(executor, workers)
    panel = series.read(history, freq=freq, gaps=gaps)
    fit = partial(chunks.fit, workers=workers, executor=executor)
    care = Care(outliers, working_days, calibrate)
    return framed(panel, *answers(panel, [name], ask, fit, care)[name], ask)


@dataclass(frozen=True)
class Care:
    """What is done to a history before it is forecast, and to the ranges after: see `forecast_series`."""

    outliers: str = "keep"
    working_days: FiscalCalendar | str | None = None
    calibrate: bool = False

    def __post_init__(self):
        if self.outliers not in OUTLIERS:
            raise ParameterError(unknown("way to treat outliers", str(self.outliers), OUTLIERS))


def answers(
    panel: Panel, names: Sequence[str], ask: Ask, fit: combine.Fit, care: Care
) -> dict[str, combine.Answer]:
    """Forecast with several models, with care for outliers, working days and the width of ranges."""
    known, counts = irregular.replaced(panel) if care.outliers == "replace" else (panel, [0] * len(panel.ids))
    ahead = np.ones((len(panel.ids), ask.horizon))
    if care.working_days is not None:
        known, ahead = irregular.by_day(known, ask.horizon, care.working_days)
    out = {}
    for name, (numbers, labels) in combine.forecast(known, names, ask, fit).items():
        if care.calibrate:
            numbers, labels = ranges.calibrated(known, name, numbers, labels, ask, fit)
        said = [f"{n} outlier{'s' * (n > 1)} replaced" * (n > 0) for n in counts]
        said = [", ".join(filter(None, parts)) for parts in zip(labels, said, strict=True)]
        out[name] = numbers * ahead[..., None], said
    return out


def framed(panel: Panel, numbers: np.ndarray, labels: Sequence[str], ask: Ask) -> pd.DataFrame:
    """Lay forecasts out in rows, one a series and step."""
    out = pd.DataFrame(numbers.reshape(-1, len(ask.columns)), columns=ask.columns)
    out.insert(0, "unique_id", pd.Series(panel.ids).repeat(ask.horizon).array)
    out.insert(1, "ds", panel.future(ask.horizon).ravel())
    return out.assign(model=np.repeat(np.asarray(labels, object), ask.horizon))
