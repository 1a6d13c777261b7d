"""Partial pooling: what a rep, a source or a team adds, after the mix of its cases and after chance.

Rates are a logistic model with a random effect a unit. Its posterior is Gaussian around the mode for each spread τ
of the effects, and τ is integrated: the restricted likelihood by Laplace's approximation (Patterson and Thompson
1971; Tierney and Kadane 1986; Rue, Martino and Chopin 2009) times a prior of √τ. So the error of the mix effects
and that of τ are in every interval. On the same simulations a flat prior gave
intervals that held three points less often at ten cases a unit, and as often at 150. Means are pooled by the
normal model of Morris (1983), counts by the gamma–Poisson one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.language import mark, say

if TYPE_CHECKING:
    import pandas as pd

SEED, DRAWS = 20260101, 2_000
NOT_KNOWN = mark("not known")
SPREADS = np.r_[0.0, np.geomspace(0.02, 2.5, 29)]  # of the logit, over which τ is integrated
RIDGE = 1 / 25  # prior precision of a mix effect: a logit of ±10 is as good as impossible
STEPS, TOLERANCE = 50, 1e-7
MOST_LEVELS, FIFTHS = 12, 5  # numbers with more different values are cut into fifths
MOST_COLUMNS = 400
LEAST_EXPECTED, RESHUFFLES = 5, 999
NODES = 7
CLASSES = 200  # of the mix, beyond which like ones are taken together


@dataclass(frozen=True)
class Cells:
    """Cases counted by unit and combination of mix values, ordered by unit.

    Attributes
    ----------
    n, won
        Cases and successes a cell.
    unit, combo
        Number of the unit and of the combination, by cell.
    units
        Names of the units.
    combos
        Mix values, one row a combination.
    design
        Columns of the model by combination: 1, then a centred indicator for each value of a mix column but the
        first.
    """

    n: np.ndarray
    won: np.ndarray
    unit: np.ndarray
    combo: np.ndarray
    units: pd.Index
    combos: pd.DataFrame
    design: np.ndarray

    def by_unit(self, values: np.ndarray) -> np.ndarray:
        """Sum values of cells (rows) over each unit; every unit has a cell."""
        return np.add.reduceat(values, np.searchsorted(self.unit, np.arange(len(self.units))), axis=0)

    @property
    def share(self) -> np.ndarray:
        """Share of all cases, by combination."""
        return np.bincount(self.combo, self.n, len(self.combos)) / self.n.sum()


@dataclass(frozen=True)
class Effects:
    """Posterior of the effects of units on a logit.

    Attributes
    ----------
    tau
        Posterior mean of the spread of the effects.
    expected
        Success rate of each cell by its mix alone.
    effects, slopes, spreads
        Draws of the effects (draws × units), of the coefficients of the mix, and of τ.
    shrinkage
        Share of the way, by unit, that its raw deviation is pulled back: 1 where its own cases say nothing.
    chi2, df, p_value
        Score test that no unit has an effect; Pearson's χ² of homogeneity where there is no mix.
    """

    tau: float
    expected: np.ndarray
    effects: np.ndarray
    slopes: np.ndarray
    spreads: np.ndarray
    shrinkage: np.ndarray
    chi2: float
    df: int
    p_value: float

    def rates(self, cells: Cells, effects: np.ndarray | None = None) -> np.ndarray:
        """Draws (draws × units) of the rate that each unit would have with the mix of all cases."""
        effects = self.effects if effects is None else effects
        at = np.linspace(effects.min() - 0.01, effects.max() + 0.01, 13)
        design, share = _condensed(cells, self.slopes.mean(axis=0))
        out = np.empty_like(effects)
        for k, (slope, row) in enumerate(zip(self.slopes, effects, strict=True)):
            known = share @ _expit((design @ slope)[:, None] + at)
            out[k] = np.interp(row, at, np.log(known / (1 - known)))  # on this scale all but a straight line
        return _expit(out)


def count_cells(cases: pd.DataFrame, unit: str, won: str, mix: Iterable[str] = ()) -> Cells:
    """Count cases by unit and mix; an empty mix value is a value of its own, wide numbers are cut into fifths.

    Raises
    ------
    ParameterError
        For a missing column, or a mix with too many values to estimate.
    """
    import pandas as pd

    mix = list(mix)
    for column in (unit, won, *mix):
        if column not in cases:
            raise ParameterError(unknown("column", column, cases.columns))
    code, units = pd.factorize(cases[unit], sort=True)
    combo, combos = np.zeros(len(cases), dtype=np.int64), pd.DataFrame(index=[0])
    for column in mix:
        value, names = pd.factorize(_levels(cases[column]), sort=True)
        key, combo = np.unique(combo * len(names) + value, return_inverse=True)
        combos = combos.iloc[key // len(names)].assign(**{column: names[key % len(names)]}).reset_index(drop=True)
    key, cell = np.unique(code * len(combos) + combo, return_inverse=True)
    n = np.bincount(cell).astype(float)
    total = np.bincount(cell, cases[won].to_numpy(dtype=float))
    place = key % len(combos)
    design = _design(combos, np.bincount(place, n, len(combos)) / n.sum())
    return Cells(n, total, key // len(combos), place, pd.Index(units), combos, design)


def _levels(values: pd.Series) -> pd.Series:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MOST_LEVELS:
        values = pd.qcut(values.astype(float), FIFTHS, duplicates="drop")
    if values.isna().any() or isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object).where(values.notna(), NOT_KNOWN).astype(str)
    return values


def _design(combos: pd.DataFrame, share: np.ndarray) -> np.ndarray:
    columns = [np.ones(len(combos))]
    for name in combos:
        columns += [(combos[name] == level).to_numpy(dtype=float) for level in combos[name].unique()[1:]]
    if len(columns) > MOST_COLUMNS:
        raise ParameterError(f"the mix has {len(columns):,} values; take columns with {MOST_COLUMNS} or fewer.")
    design = np.column_stack(columns)
    design[:, 1:] -= share @ design[:, 1:]
    return design


def fit_mix(cells: Cells) -> np.ndarray:
    """Estimate the success rate of each cell from its mix alone, as if no unit had an effect."""
    x = cells.design[cells.combo]
    mode = _mode(cells, x, 0.0, np.zeros(x.shape[1]), np.zeros(len(cells.units)))
    return _expit(x @ mode.slopes)


def fit_effects(cells: Cells, *, draws: int = DRAWS, seed: int = SEED) -> Effects:
    """Estimate the effects of units on the logit of success, beside those of the mix.

    Parameters
    ----------
    cells
        Of two units or more, with both outcomes among them.
    draws, seed
        Of the posterior.
    """
    x, rng = cells.design[cells.combo], np.random.default_rng(seed)
    modes, start = [], (np.zeros(x.shape[1]), np.zeros(len(cells.units)))
    for spread in SPREADS:
        modes.append(_mode(cells, x, spread, *start))
        start = modes[-1].slopes, modes[-1].effects
    level = np.array([mode.log_posterior for mode in modes])
    weights = np.exp(level - level.max()) * _widths(SPREADS) * np.sqrt(SPREADS)
    weights /= weights.sum()
    drawn = np.repeat(np.arange(len(SPREADS)), rng.multinomial(draws, weights))
    parts = [
        modes[k].draw(rng, int(count)) for k, count in zip(*np.unique(drawn, return_counts=True), strict=True)
    ]
    chi2, df, p_value = _homogeneity(cells, x, modes[0], rng)
    return Effects(
        tau=float(weights @ SPREADS),
        expected=_expit(x @ np.average([mode.slopes for mode in modes], axis=0, weights=weights)),
        effects=np.concatenate([effects for effects, _ in parts]),
        slopes=np.concatenate([slopes for _, slopes in parts]),
        spreads=SPREADS[drawn],
        shrinkage=weights @ np.array([1 / mode.curvature for mode in modes]),
        chi2=chi2, df=df, p_value=p_value,
    )  # fmt: skip


@dataclass(frozen=True)
class _Mode:
    """The most likely coefficients and standardised effects at one τ, and the curvature there."""

    spread: float
    slopes: np.ndarray
    effects: np.ndarray
    curvature: np.ndarray  # of the effects, a diagonal
    cross: np.ndarray  # units × coefficients
    schur: np.ndarray  # precision of the coefficients
    log_posterior: float

    def draw(self, rng, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw effects and coefficients from the normal distribution around the mode."""
        root = np.linalg.cholesky(self.schur)
        off = np.linalg.solve(root.T, rng.standard_normal((len(root), count))).T
        effects = self.effects - off @ (self.cross / self.curvature[:, None]).T
        effects = effects + rng.standard_normal(effects.shape) / np.sqrt(self.curvature)
        return self.spread * effects, self.slopes + off


def _mode(cells: Cells, x: np.ndarray, spread: float, slopes: np.ndarray, effects: np.ndarray) -> _Mode:
    """Climb to the joint mode by Newton's steps, halved where they overshoot."""
    ridge = np.full(x.shape[1], RIDGE)
    ridge[0] = 0
    n, won, unit = cells.n, cells.won, cells.unit

    def height(slopes, effects):
        eta = x @ slopes + spread * effects[unit]
        level = won @ eta - n @ np.logaddexp(0, eta) - (effects @ effects + ridge @ slopes**2) / 2
        return level, eta

    level, eta = height(slopes, effects)
    for _ in range(STEPS):
        rate = _expit(eta)
        weight, off = n * rate * (1 - rate), won - n * rate
        curvature = 1 + spread**2 * cells.by_unit(weight)
        cross = spread * cells.by_unit(weight[:, None] * x)
        schur = (x.T * weight) @ x + np.diag(ridge) - cross.T @ (cross / curvature[:, None])
        pull = spread * cells.by_unit(off) - effects
        step = np.linalg.solve(schur, x.T @ off - ridge * slopes - cross.T @ (pull / curvature))
        move, size = (pull - cross @ step) / curvature, 1.0
        while True:
            new = height(slopes + size * step, effects + size * move)
            if new[0] >= level - 1e-9 or size < 1e-4:
                break
            size /= 2
        gain, (level, eta) = new[0] - level, new
        slopes, effects = slopes + size * step, effects + size * move
        if gain < TOLERANCE:
            break
    logdet = np.log(curvature).sum() + np.linalg.slogdet(schur)[1]
    skewed = _beyond_laplace(cells, eta, spread, effects, curvature)
    return _Mode(spread, slopes, effects, curvature, cross, schur, level - logdet / 2 + skewed)


def _beyond_laplace(
    cells: Cells, eta: np.ndarray, spread: float, effects: np.ndarray, curvature: np.ndarray
) -> float:
    """Correct the likelihood of τ by integrating each effect over adaptive Gauss–Hermite nodes.

    Laplace alone takes τ too small where a unit has ten cases (Pinheiro and Chao 2006).
    """
    if not spread:
        return 0.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    width, summed = 1 / np.sqrt(curvature), np.zeros(len(effects))
    base = cells.won * eta - cells.n * np.logaddexp(0, eta)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        away = node * width
        then = eta + spread * away[cells.unit]
        gain = cells.by_unit(cells.won * then - cells.n * np.logaddexp(0, then) - base)
        summed += weight * np.exp(gain - away * (2 * effects + away) / 2 + node**2 / 2)
    return float(np.log(summed).sum())


def _homogeneity(cells: Cells, x: np.ndarray, mode: _Mode, rng) -> tuple[float, int, float]:
    """Score test of no effect; p from redrawn outcomes where a unit expects too few for the χ² distribution."""
    from scipy.stats import chi2

    rate = _expit(x @ mode.slopes)
    weight = cells.n * rate * (1 - rate)
    cross, inner = cells.by_unit(weight[:, None] * x), np.linalg.pinv((x.T * weight) @ x, hermitian=True)
    size, axes = np.linalg.eigh(np.diag(cells.by_unit(weight)) - cross @ inner @ cross.T)
    kept = size > 1e-8 * size.max()
    scale = axes[:, kept] / np.sqrt(size[kept])
    df = int(kept.sum())

    def statistic(off):  # cells × cases
        score = cells.by_unit(off) - cross @ (inner @ (x.T @ off))
        return ((scale.T @ score) ** 2).sum(axis=0)

    found = float(statistic((cells.won - cells.n * rate)[:, None])[0])
    expected = cells.by_unit(cells.n * rate)
    if min(expected.min(), (cells.by_unit(cells.n) - expected).min()) >= LEAST_EXPECTED:
        return found, df, float(chi2.sf(found, df))
    drawn, left, step = 0, RESHUFFLES, max(1, 2_000_000 // len(rate))
    while left:
        take = min(step, left)
        again = rng.binomial(cells.n.astype(int)[:, None], rate[:, None], (len(rate), take))
        drawn += int((statistic(again - (cells.n * rate)[:, None]) >= found - 1e-9).sum())
        left -= take
    return found, df, (1 + drawn) / (RESHUFFLES + 1)


def _condensed(cells: Cells, slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Design and share of the combinations; where there are many, means of those with like rates."""
    design, share = cells.design, cells.share
    if len(share) <= CLASSES:
        return design, share
    order = np.argsort(design @ slopes)
    begun = np.concatenate([[0.0], np.cumsum(share[order])[:-1]])
    first = np.unique(np.searchsorted(begun, np.arange(CLASSES) / CLASSES))
    first = first[first < len(order)]
    total = np.add.reduceat(share[order], first)
    return np.add.reduceat((design * share[:, None])[order], first) / total[:, None], total


def _widths(at: np.ndarray) -> np.ndarray:
    """Width that each point of a grid stands for (trapezoid)."""
    gaps = np.diff(at)
    return (np.r_[gaps, 0] + np.r_[0, gaps]) / 2


def _expit(values: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return expit(values)


def pool_means(raw: pd.Series, variance: pd.Series, *, level: float = 0.95) -> tuple[pd.DataFrame, float]:
    """Pull raw deviations from a common mean towards 0 by how much of their spread is chance.

    Parameters
    ----------
    raw, variance
        Deviation of each unit and its sampling variance, with one index; four units or more.

    Returns
    -------
    DataFrame, float
        `effect`, `error`, `low`, `high`, `shrunk` (share of the deviation taken away); and the variance between
        units, 0 where they differ no more than chance: then all of it is taken away.

    Notes
    -----
    Spread between units by Paule and Mandel (1982); the posterior variance with Morris' (1983) allowance for not
    knowing it. Of equal variances it is the estimator of Efron and Morris (1975).
    """
    import pandas as pd
    from scipy.stats import norm
    from statsmodels.stats.meta_analysis import combine_effects

    k = len(raw)
    if k < 4:
        raise InsufficientData(say("Pooling means"), needed=4, got=k, of=say("units"))
    spread = max(float(combine_effects(raw.to_numpy(), variance.to_numpy(), method_re="iterated").tau2), 0.0)
    shrunk = (k - 3) / (k - 1) * variance / (variance + spread) if spread else variance * 0 + 1.0
    effect = (1 - shrunk) * raw
    error = np.sqrt(variance * (1 - (k - 1) / k * shrunk).clip(lower=1 / k) + 2 / (k - 3) * shrunk**2 * raw**2)
    reach = norm.ppf((1 + level) / 2) * error
    columns = {"effect": effect, "error": error, "low": effect - reach, "high": effect + reach, "shrunk": shrunk}
    return pd.DataFrame(columns), spread


def pool_rates(counts: pd.Series, exposure: pd.Series, *, level: float = 0.95) -> pd.DataFrame:
    """Pull counts over exposure towards that of all: gamma–Poisson, its prior fitted by maximum likelihood.

    Returns
    -------
    DataFrame
        `raw`, `rate`, `low`, `high`, `shrunk`, in the index of `counts`.
    """
    import pandas as pd
    from scipy.optimize import minimize_scalar
    from scipy.stats import gamma, nbinom

    y, t = np.asarray(counts, dtype=float), np.asarray(exposure, dtype=float)
    if not y.sum():
        raise InsufficientData(say("Pooling rates"), needed=1, got=0, of=say("counts"))
    overall = y.sum() / t.sum()

    def unlikely(log_shape):
        shape = np.exp(log_shape)
        return -nbinom.logpmf(y, shape, shape / (shape + overall * t)).sum()

    shape = float(np.exp(minimize_scalar(unlikely, bounds=(-4, 12), method="bounded").x))
    rate = shape / overall
    tail = (1 - level) / 2
    low, high = (gamma.ppf(q, shape + y, scale=1 / (rate + t)) for q in (tail, 1 - tail))
    columns = {
        "raw": y / t,
        "rate": (shape + y) / (rate + t),
        "low": low,
        "high": high,
        "shrunk": rate / (rate + t),
    }
    return pd.DataFrame(columns, index=counts.index)
