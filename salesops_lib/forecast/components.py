"""Prophet: seeded, quiet, with fiscal-quarter-end and holiday effects and growth caps where they are asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from salesops_lib.errors import ParameterError, shown, unknown
from salesops_lib.forecast import series

if TYPE_CHECKING:
    from salesops_lib.forecast.series import Panel

GROWTH = ("linear", "flat", "logistic")
MODES = ("additive", "multiplicative")
QUARTER_END = "fiscal quarter end"
SEED = 20260101
STAMPED_AT_END = (
    "ME",
    "W-FRI",
    "W-SAT",
    "W-SUN",
    *(f"{kind}-{month}" for kind in ("QE", "YE") for month in series.MONTHS),
)


@dataclass(frozen=True)
class Components:
    """What Prophet may use beside trend and season; the defaults are Prophet's own.

    Attributes
    ----------
    growth
        ``linear``, ``flat``, or ``logistic`` (needs `cap`).
    cap, floor
        What the quantity can reach at most and at least, in its own unit.
    fiscal_year_start
        First month of the fiscal year, 1–12: the step in which a fiscal quarter ends gets an effect of its own.
    holidays
        Country code, e.g. ``US``: the steps in which its public holidays fall get effects of their own.
    mode
        How seasons and effects act: ``additive`` or ``multiplicative``.
    changepoint_scale
        How readily the trend bends.
    """

    growth: str = "linear"
    cap: float | None = None
    floor: float = 0.0
    fiscal_year_start: int | None = None
    holidays: str | None = None
    mode: str = "additive"
    changepoint_scale: float = 0.05
    seed: int = SEED

    def __post_init__(self):
        if self.growth not in GROWTH:
            raise ParameterError(unknown("growth", self.growth, GROWTH))
        if self.mode not in MODES:
            raise ParameterError(unknown("mode", self.mode, MODES))
        if self.growth == "logistic" and (self.cap is None or not self.cap > self.floor):
            raise ParameterError(
                f"cap {shown(self.cap)}: logistic growth needs a cap above the floor {self.floor}."
            )
        if self.fiscal_year_start is not None and self.fiscal_year_start not in range(1, 13):
            raise ParameterError(
                f"fiscal_year_start {shown(self.fiscal_year_start)}: a month from 1 to 12 is needed."
            )


class Model:
    """Prophet on one series of a panel, with statsforecast's `forecast`; caps and floor are divided by `size`."""

    def __init__(self, panel: Panel, k: int, components: Components | None = None, size: float = 1.0):
        self.panel, self.k, self.size = panel, k, size
        self.components = components or Components()

    def forecast(self, y: np.ndarray, h: int, level: Sequence[float] | None = None) -> dict[str, np.ndarray]:
        """Forecast `h` steps of a history that was divided by `size`."""
        model, frame = self._fitted(y, h)
        out, ahead = {}, frame.tail(h)
        state = np.random.get_state()  # Prophet draws from NumPy's global generator
        try:
            np.random.seed(self.components.seed)
            drawn = model.predictive_samples(ahead)["yhat"] if level else None
        finally:
            np.random.set_state(state)
        model.uncertainty_samples = 0
        out["mean"] = model.predict(ahead)["yhat"].to_numpy()
        for percent in level or ():
            tail = (100 - percent) / 2
            out[f"lo-{percent}"], out[f"hi-{percent}"] = np.percentile(drawn, [tail, 100 - tail], axis=1)
        return out

    def decomposed(self, h: int) -> pd.DataFrame:
        """Return trend, seasons and effects over history and `h` steps more: `ds`, `component`, `value`."""
        model, frame = self._fitted(self.panel.values[self.k], h)
        model.uncertainty_samples = 0
        found = model.predict(frame)
        names = ["trend", *(name for name in (*model.seasonalities, "holidays") if name in found)]
        return found.melt("ds", names, "component", "value")

    def _fitted(self, y: np.ndarray, h: int):
        logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)  # it misses plotly as it is imported
        from cmdstanpy.utils import get_logger
        from prophet import Prophet

        get_logger()  # asked for first it sets its own level, as Prophet does on import
        for name in ("prophet", "cmdstanpy"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

        asked = self.components
        stamps = pd.date_range(end=self.panel.future(h)[self.k][-1], periods=len(y) + h, freq=self.panel.freq)
        frame = pd.DataFrame({"ds": stamps, "floor": asked.floor / self.size})
        if asked.cap is not None:
            frame["cap"] = asked.cap / self.size
        model = Prophet(
            growth=asked.growth,
            seasonality_mode=asked.mode,
            changepoint_prior_scale=asked.changepoint_scale,
            holidays=_effects(stamps, asked, is_end=self.panel.freq in STAMPED_AT_END),
        )
        model.fit(frame.head(len(y)).assign(y=y), seed=asked.seed)
        return model, frame


def decompose(
    history: pd.DataFrame, *, horizon: int, freq: str, components: Components | None = None
) -> pd.DataFrame:
    """Split each series into Prophet's trend, seasons and effects, over history and horizon.

    Returns
    -------
    pandas.DataFrame
        `unique_id`, `ds`, `component`, `value`; in the unit of `y`, or shares where the mode is multiplicative.
    """
    panel, horizon = series.read(history, freq=freq), series.check_horizon(horizon)
    parts = [
        Model(panel, k, components).decomposed(horizon).assign(unique_id=name) for k, name in enumerate(panel.ids)
    ]
    return pd.concat(parts, ignore_index=True)[["unique_id", "ds", "component", "value"]]


def _effects(stamps: pd.DatetimeIndex, asked: Components, *, is_end: bool) -> pd.DataFrame | None:
    """List the steps with an effect: a day's is given to the step it falls in, for Prophet matches stamps only."""
    step = stamps[-1] - stamps[-2]
    days = []
    if asked.fiscal_year_start:
        last = pd.date_range(stamps[0] - step, stamps[-1] + step, freq="ME")
        days += [(QUARTER_END, day) for day in last[(last.month - asked.fiscal_year_start + 1) % 3 == 0]]
    if asked.holidays:
        import holidays

        try:
            found = holidays.country_holidays(asked.holidays, years=range(stamps[0].year - 1, stamps[-1].year + 2))
        except NotImplementedError as error:
            raise ParameterError(f"holidays {shown(asked.holidays)}: no such country code.") from error
        days += [(name, pd.Timestamp(day)) for day, name in found.items()]
    frame = pd.DataFrame(days, columns=["holiday", "day"])
    at = stamps.searchsorted(frame["day"], "left" if is_end else "right") - (not is_end)
    inside = (at >= 0) & (at < len(stamps)) & (frame["day"] < stamps[-1] + step).to_numpy()
    frame = frame[inside].assign(ds=stamps[at[inside]])
    return frame.drop_duplicates(["holiday", "ds"])[["holiday", "ds"]] if len(frame) else None
