"""The single models, behind one signature: numbers of one series in, mean and bounds of the coming steps out.

Each series is divided by its mean size first, so that no answer depends on the unit. A member that fails, or whose
forecast runs away, is replaced by Theta.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from salesops_lib.forecast.series import Ask, Panel

log = logging.getLogger("salesops")
RUNAWAY = 10  # times the largest value seen
LONG = (
    24  # steps in a season: above it ETS drops the season and ARIMA's search never ends, so STL takes it out first
)
SEASONAL_AT = 1.645  # standard errors of the autocorrelation at the season: the test of the M competitions
SAFE = "theta"


@dataclass(frozen=True)
class Member:
    """A model: how it is made for a season, and on which data.

    Attributes
    ----------
    make
        Takes the steps in a season and returns an object with statsforecast's `forecast(y, h, level=…)`.
    on_logs
        Whether it sees logarithms, where all values are positive.
    has_range
        Whether a combination uses its bounds; those of AutoCES cover 61–73 % where they say 80.
    """

    make: Callable[[int], Any]
    on_logs: bool = False
    has_range: bool = True


def _sf(name: str, seasonal: bool = True, **settings) -> Callable[[int], Any]:
    """Make a statsforecast model; a long season is taken out by STL first."""

    def make(season: int):
        from statsforecast import models

        if "Naive" in name:
            return getattr(models, name)(**{"season_length": season} if seasonal else {})
        if season <= LONG and seasonal:
            return getattr(models, name)(season_length=season, **settings)
        plain = {"model": "ZZN"} if name == "AutoETS" else {}  # what STL leaves has no season; MSTL insists on it
        return _adjusted(getattr(models, name)(season_length=1, **plain | settings), season)

    return make


def _adjusted(model, season: int):
    """Let a model see what STL leaves when the season is out; the last season is added back."""
    from statsforecast.models import MSTL

    return model if season == 1 else MSTL(season_length=season, trend_forecaster=model)


def _stl(name: str, **settings) -> Member:
    return Member(_sf(name, seasonal=False, **settings), on_logs=True)


def _nonseasonal(name: str, **settings) -> Callable[[int], Any]:
    def make(_season: int):
        from statsforecast import models

        return getattr(models, name)(season_length=1, **settings)

    return make


class Naive2:
    """The last value, seasonally adjusted where the season is significant: the yardstick of the M competitions."""

    def __init__(self, season: int):
        self.season = season

    def forecast(self, y: np.ndarray, h: int, level: Sequence[float] = ()) -> dict[str, np.ndarray]:
        """Forecast with statsforecast's names."""
        from statsforecast.models import Naive

        factors = seasonal_factors(y, self.season)
        found = Naive().forecast(y=y / factors[np.arange(len(y)) % self.season], h=h, level=list(level))
        coming = factors[(len(y) + np.arange(h)) % self.season]
        return {name: np.asarray(values) * coming for name, values in found.items()}


def seasonal_factors(y: np.ndarray, season: int) -> np.ndarray:
    """Return multiplicative factors by classical decomposition; ones where the season is not significant."""
    n = len(y)
    if season == 1 or n < 3 * season or y.min() <= 0 or not is_seasonal(y, season):
        return np.ones(season)
    even = season % 2 == 0
    weights = np.r_[0.5, np.ones(season - 1), 0.5] / season if even else np.ones(season) / season
    trend = np.convolve(y, weights, "valid")
    first = (n - len(trend)) // 2
    ratios = y[first : first + len(trend)] / trend
    place = np.arange(first, first + len(trend)) % season
    means = np.array([ratios[place == k].mean() for k in range(season)])
    return means / means.mean()


def is_seasonal(y: np.ndarray, season: int) -> bool:
    """Test the autocorrelation at the season at 90 %, as the M competitions do."""
    centred = y - y.mean()
    if not (spread := (centred**2).sum()):
        return False
    acf = np.array([(centred[lag:] * centred[:-lag]).sum() / spread for lag in range(1, season + 1)])
    return bool(abs(acf[-1]) > SEASONAL_AT * np.sqrt((1 + 2 * (acf[:-1] ** 2).sum()) / len(y)))


MEMBERS = {
    "naive": Member(_sf("Naive", seasonal=False)),
    "seasonal_naive": Member(_sf("SeasonalNaive")),
    "naive2": Member(Naive2),
    "auto_ets": Member(_sf("AutoETS")),
    "auto_arima": Member(_sf("AutoARIMA", approximation=True)),
    "auto_ces": Member(_sf("AutoCES"), has_range=False),
    "theta": Member(_sf("Theta")),
    "dynamic_theta": Member(_sf("DynamicOptimizedTheta")),
    "stl_ets": _stl("AutoETS", model="ZZN", damped=True),
    "stl_arima": _stl("AutoARIMA"),
    "stl_theta": _stl("Theta"),
    "theta_nonseasonal": Member(_nonseasonal("Theta")),
    "ets_nonseasonal": Member(_nonseasonal("AutoETS", model="ZZN", damped=True)),
    "arima_nonseasonal": Member(_nonseasonal("AutoARIMA")),
    "ces_nonseasonal": Member(_nonseasonal("AutoCES"), has_range=False),
}
NAIVE = ("naive", "seasonal_naive", "naive2")


def fit(panel: Panel, names: Sequence[str], ask: Ask) -> np.ndarray:
    """Forecast every series with every member.

    Returns
    -------
    numpy.ndarray
        Series × member × step × (mean, low and high of each level). NaN where a model fails or runs away, and
        where it has no bounds; Theta never is, the last value takes its place.
    """
    from threadpoolctl import threadpool_limits

    out = np.full((len(panel.ids), len(names), ask.horizon, 1 + 2 * len(ask.levels)), np.nan)
    with threadpool_limits(1), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for k in range(len(panel.ids)):
            for j, name in enumerate(names):
                out[k, j] = _guarded(panel, k, name, ask)
                if name == SAFE and np.isnan(out[k, j, :, 0]).any():
                    out[k, j] = _guarded(panel, k, "naive", ask)
    return out


def _guarded(panel: Panel, k: int, name: str, ask: Ask) -> np.ndarray:
    y = panel.values[k]
    size = np.abs(y).mean() or 1.0
    try:
        table = _one(panel, k, name, size, ask) * size
    except Exception as error:  # whatever a library raises on one odd series must not cost the others
        log.debug("%s does not fit %r: %s", name, panel.ids[k], error)
        return np.full((ask.horizon, 1 + 2 * len(ask.levels)), np.nan)
    far = RUNAWAY * np.abs(y).max()
    table[:, 1:] = np.clip(table[:, 1:], -far, far)
    return table if (np.abs(table[:, 0]) <= far).all() else np.full_like(table, np.nan)


def _one(panel: Panel, k: int, name: str, size: float, ask: Ask) -> np.ndarray:
    y = panel.values[k] / size
    if name == "prophet":
        from salesops_lib.forecast.components import Model

        model, logged = Model(panel, k, ask.components, size), False
    else:
        model, logged = MEMBERS[name].make(panel.season), MEMBERS[name].on_logs and y.min() > 0
    found = model.forecast(y=np.log(y) if logged else y, h=ask.horizon, level=list(ask.levels) or None)
    none = np.full(ask.horizon, np.nan)
    table = np.column_stack([np.asarray(found.get(name, none), float) for name in ask.columns])
    return np.exp(table) if logged else table
