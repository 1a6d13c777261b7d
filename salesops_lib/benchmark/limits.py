"""Limits of chance around what a rep's mix of deals gives: the funnel plot, and who lies outside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

LEVELS = {"95": 0.95, "998": 0.998}
WINSOR = 0.1  # of the deviations, at either end, so that a true outlier does not widen the limits
FALSE_DISCOVERIES = 0.05


def with_limits(reps: pd.DataFrame, *, overdispersed: bool = True) -> tuple[pd.DataFrame, float]:
    """Add funnel limits and flags to reps.

    Parameters
    ----------
    reps
        `n`, `won`, `raw_rate`, `expected_rate`, one row a rep.
    overdispersed
        Whether to widen the limits where all reps scatter more than chance.

    Returns
    -------
    DataFrame, float
        With `limit_low_95`, `limit_high_95`, `limit_low_998`, `limit_high_998` (exact binomial limits around the
        expected rate), `p_outside` and `is_flagged`; and the overdispersion φ.

    Notes
    -----
    Interpolated exact limits, winsorised φ and the additive model of Spiegelhalter (2005); flags after Benjamini
    and Hochberg (1995).
    """
    from scipy.stats import norm

    n, expected = reps["n"].to_numpy(), reps["expected_rate"].to_numpy()
    reps = reps.copy()
    for name, level in LEVELS.items():
        reps[f"limit_low_{name}"] = binomial_limit(n, expected, (1 - level) / 2)
        reps[f"limit_high_{name}"] = binomial_limit(n, expected, (1 + level) / 2)
    z, p = _scores(reps["won"].to_numpy(), n, expected)
    bounds = np.quantile(z, [WINSOR, 1 - WINSOR])
    phi = float((np.clip(z, *bounds) ** 2).mean())
    if overdispersed and phi > 1:
        weight = n / np.maximum(expected * (1 - expected), 1e-9)
        k = len(n)
        between = max((k * phi - (k - 1)) / (weight.sum() - (weight**2).sum() / weight.sum()), 0.0)
        p = 2 * norm.sf(np.abs(z) / np.sqrt(1 + between * weight))
    return reps.assign(p_outside=p, is_flagged=_discovered(p)), phi


def binomial_limit(n: np.ndarray, rate: np.ndarray, quantile: float) -> np.ndarray:
    """Limit of a share of `n`: the exact quantile, interpolated between counts as far as the tail asks for."""
    from scipy.stats import binom

    k = binom.ppf(quantile, n, rate)
    at = binom.cdf(k, n, rate)
    part = (at - quantile) / np.maximum(binom.pmf(k, n, rate), 1e-12)
    return np.clip((k - part) / n, 0, 1)


def _scores(won: np.ndarray, n: np.ndarray, rate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two-sided mid-p of each count, and the normal score with its sign."""
    from scipy.stats import binom, norm

    lower = binom.cdf(won, n, rate) - binom.pmf(won, n, rate) / 2
    lower = np.clip(lower, 1e-12, 1 - 1e-12)
    return norm.ppf(lower), 2 * np.minimum(lower, 1 - lower)


def _discovered(p: np.ndarray) -> np.ndarray:
    from scipy.stats import false_discovery_control

    return false_discovery_control(p) < FALSE_DISCOVERIES
