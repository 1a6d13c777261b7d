"""One LightGBM model over all series (mlforecast): what one series cannot show, many do.

It sees logarithms (or shares of the mean, where a value is not positive) without level: once as differences to the
step before, once to the season before, each scaled by series; the answer is the mean of both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from salesops_lib.forecast import members, series
from salesops_lib.forecast.series import Ask, Panel

LEAST_SERIES, LEAST_ROWS = 10, 500
WORSE = 1.15  # times the error of its peers: from there on it is left out of combinations
PEERS = ("theta", "stl_theta", "stl_ets")  # cheap ones
CHECKED = 200  # series at most
SEED = 20260101


def lags(season: int) -> list[int]:
    """Return the lags the model sees: a season and one more, one and a half, two."""
    if season == 1:
        return [*range(1, 6)]
    return sorted({*range(1, min(season, 12) + 2), season, season + 1, season * 3 // 2, 2 * season})


def fits(panel: Panel, horizon: int) -> np.ndarray:
    """Say which series are long enough; none where there are too few for a model of all."""
    needed = max(lags(panel.season)) + panel.season + horizon // 2 + 2
    sizes = np.array([len(y) for y in panel.values])
    varied = np.array([np.ptp(y) > 0 for y in panel.values], bool)
    long = (sizes >= needed) & varied
    enough = long.sum() >= LEAST_SERIES and (sizes[long] - needed).sum() >= LEAST_ROWS
    return long if enough else np.zeros(len(sizes), bool)


def forecast(panel: Panel, ask: Ask) -> np.ndarray:
    """Forecast with the pooled model.

    Returns
    -------
    numpy.ndarray
        Series × step × (mean, low and high of each level); NaN for the series that are too short, or for all where
        there are too few.
    """
    out = np.full((len(panel.ids), ask.horizon, len(ask.columns)), np.nan)
    out[..., 0] = means(panel, ask.horizon)
    return out


def is_worse(panel: Panel, ask: Ask, fit: Callable) -> bool:
    """Whether it was clearly worse than its peers over the last steps known, each forecast without them.

    Where histories are too short to tell, it is not.
    """
    cut = panel.cut(ask.horizon)
    able = np.flatnonzero(fits(cut, ask.horizon)) if len(cut.ids) == len(panel.ids) else []
    if not len(able):
        return False
    able = np.sort(np.random.default_rng(SEED).permutation(able)[:CHECKED])
    came = np.array([panel.values[k][-ask.horizon :] for k in able])
    scale = np.array([series.naive_scale(cut.values[k], panel.season) for k in able])
    peers = fit(cut.pick(able), PEERS, ask)[..., 0].swapaxes(0, 1)
    errors = [
        np.nanmean(np.abs(found - came).mean(axis=1) / scale) for found in (means(cut, ask.horizon)[able], *peers)
    ]
    return bool(errors[0] > WORSE * np.median(errors[1:]))


def means(panel: Panel, horizon: int) -> np.ndarray:
    """Forecast with the pooled model: series × step."""
    out = np.full((len(panel.ids), horizon), np.nan)
    which = np.flatnonzero(fits(panel, horizon))
    if not len(which):
        return out
    own = panel.pick(which)
    sizes = [np.abs(y).mean() for y in own.values]
    logged = [y.min() > 0 for y in own.values]
    seen = [np.log(y / s) if on else y / s for y, s, on in zip(own.values, sizes, logged, strict=True)]
    steps = sorted({1, panel.season})
    found = np.mean([_recursive(seen, lags(panel.season), step, horizon) for step in steps], axis=0)
    for row, k in enumerate(which):
        answer = (np.exp(found[row]) if logged[row] else found[row]) * sizes[row]
        if (np.abs(answer) <= members.RUNAWAY * np.abs(panel.values[k]).max()).all():
            out[k] = answer
    return out


def _recursive(seen: list[np.ndarray], lags: list[int], difference: int, horizon: int) -> np.ndarray:
    """Fit one model on differences and forecast step by step: series × step."""
    import lightgbm
    from mlforecast import MLForecast
    from mlforecast.target_transforms import Differences, LocalStandardScaler

    model = lightgbm.LGBMRegressor(
        objective="l1", n_estimators=300, learning_rate=0.05, num_leaves=31, min_child_samples=20,
        subsample=0.8, subsample_freq=1, colsample_bytree=0.8,
        seed=SEED, deterministic=True, force_row_wise=True, n_jobs=1, verbosity=-1,
    )  # fmt: skip
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(len(seen)), [len(x) for x in seen]),
            "ds": np.concatenate([np.arange(len(x)) for x in seen]),
            "y": np.concatenate(seen),
        }
    )
    transforms = [Differences([difference]), LocalStandardScaler()]
    pool = MLForecast({"y": model}, freq=1, lags=lags, target_transforms=transforms, num_threads=1)
    pool.fit(frame, static_features=[])
    return pool.predict(horizon)["y"].to_numpy().reshape(len(seen), horizon)
