"""Where young cohorts will end: their own pace as far as it is seen, that of all cohorts beyond."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.curves import LEAST, Curve
from salesops_lib.passages import HOURS, days
from salesops_lib.stats import OK

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 200
SEED = 20260101


def project_cohorts(
    counts: pd.DataFrame, until: pd.Timestamp, horizon: float, interval: float = 0.95
) -> pd.DataFrame:
    """Project the share that will ever reach the end, by month of entry.

    Parameters
    ----------
    counts
        `cohort`, `hours`, `outcome` (0 open, 1 reached, 2 lost), `n`.
    until
        The as-of instant.
    horizon
        Age in days of `rate`.

    Returns
    -------
    DataFrame
        As `Conversion.cohorts`. A cohort of fewer than 30 deals has no numbers.

    Notes
    -----
    Cause-specific hazards by day: the cohort's own while 30 or more are at risk, pooled ones beyond (the chain
    ladder with censoring); the interval comes from resampling the deals of each cohort. A real change of pace is
    seen only as far as the cohort has lived: the pooled tail pulls it towards the past.
    """
    import pandas as pd

    cube, names = _by_day(counts)
    rng = np.random.default_rng(SEED)
    point = ultimate(cube)
    again = np.array([ultimate(_resampled(cube, rng)) for _ in range(RESAMPLES)])
    spread = again.std(axis=0)
    low, high = _interval(point, spread, interval)
    rows = []
    for k, name in enumerate(names):
        n, end = int(cube[k].sum()), name + pd.offsets.MonthBegin(1)
        age = max((until - min(end, until)) / pd.Timedelta(days=1), 0.0)
        row = {"cohort": name, "n": n, "age_days": age, "is_young": age < horizon}
        row |= _at_age(counts[counts["cohort"].eq(name)], horizon, interval, row["is_young"])
        told = n >= LEAST
        row |= {
            "ultimate": point[k] if told else np.nan,
            "ultimate_low": low[k] if told else np.nan,
            "ultimate_high": high[k] if told else np.nan,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def ultimate(cube: np.ndarray) -> np.ndarray:
    """Share of each cohort that will reach the end.

    Parameters
    ----------
    cube
        Deals by cohort, day and outcome (open, reached, lost).
    """
    at_risk = cube.sum(axis=2)[:, ::-1].cumsum(axis=1)[:, ::-1]
    pooled_risk = at_risk.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.nan_to_num(cube[:, :, 1:] / at_risk[:, :, None])
        pooled = np.nan_to_num(cube[:, :, 1:].sum(axis=0) / pooled_risk[:, None])
    hazard = np.where((at_risk >= LEAST)[:, :, None], own, pooled)
    stays = np.cumprod(1 - hazard.sum(axis=2), axis=1)
    before = np.concatenate([np.ones((len(cube), 1)), stays[:, :-1]], axis=1)
    return (before * hazard[:, :, 0]).sum(axis=1)


def _by_day(counts: pd.DataFrame) -> tuple[np.ndarray, pd.Index]:
    import pandas as pd

    place, names = pd.factorize(counts["cohort"], sort=True)
    day = (counts["hours"] // HOURS).to_numpy(dtype=int)
    cube = np.zeros((len(names), day.max() + 1, 3))
    np.add.at(cube, (place, day, counts["outcome"].to_numpy(dtype=int)), counts["n"].to_numpy(dtype=float))
    return cube, pd.DatetimeIndex(names)


def _resampled(cube: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    out = np.empty_like(cube)
    for k, cohort in enumerate(cube):
        cells, n = cohort.ravel(), int(cohort.sum())
        there = np.flatnonzero(cells)
        drawn = np.zeros(cells.size)
        drawn[there] = rng.multinomial(n, cells[there] / n)
        out[k] = drawn.reshape(cohort.shape)
    return out


def _interval(point: np.ndarray, spread: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Interval on the logit scale from a standard error on the plain one."""
    from scipy.special import expit, logit
    from scipy.stats import norm

    inside = np.clip(point, 1e-6, 1 - 1e-6)
    reach = norm.ppf((1 + level) / 2) * spread / (inside * (1 - inside))
    return expit(logit(inside) - reach), expit(logit(inside) + reach)


def _at_age(counts: pd.DataFrame, horizon: float, interval: float, is_young: bool) -> dict[str, float]:
    found = Curve.of(days(counts["hours"]), counts["outcome"], counts["n"]).share_by(horizon, level=interval)
    if is_young or found.status != OK:
        return {"rate": np.nan, "low": np.nan, "high": np.nan}
    return {"rate": found.value, "low": found.low, "high": found.high}
