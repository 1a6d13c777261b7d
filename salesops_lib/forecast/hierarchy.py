"""Forecasts that add up, company to region to team to rep: reconciled by what did best on past cutoffs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from salesops_lib.errors import DataContractError, InsufficientData, ParameterError, listed, shown, unknown
from salesops_lib.forecast import chunks, combine, members, series, spread, standins
from salesops_lib.forecast.predict import framed
from salesops_lib.forecast.series import Ask, Panel, naive_scale
from salesops_lib.language import mark, say

TOTAL = mark("total")
METHODS = ("bottom_up", "ols", "wls_struct", "wls_var", "mint_shrink", "average")
AVERAGED = ("ols", "wls_struct", "wls_var", "mint_shrink")
MOST = 3_000  # series of all levels: the matrices are dense


@dataclass(frozen=True)
class Tree:
    """A hierarchy: which bottom series add up to which.

    Attributes
    ----------
    panel
        All series, totals first and the bottom last.
    levels
        The level of each, e.g. ``region/team``.
    summing
        Series × bottom series, ones where a bottom series is part.
    """

    panel: Panel
    levels: np.ndarray
    summing: np.ndarray

    def cut(self, steps: int) -> Tree:
        """Return the same hierarchy some steps earlier."""
        return Tree(self.panel.cut(steps), self.levels, self.summing)


def reconcile(
    history: pd.DataFrame,
    spec: Sequence[Sequence[str]],
    *,
    horizon: int,
    freq: str,
    levels: Sequence[float] = (80, 95),
    model: str = "auto",
    method: str | None = None,
    cutoffs: int = 3,
    gaps: str = "refuse",
    workers: int = 1,
    executor: str = "local",
) -> pd.DataFrame:
    """Forecast every level of a hierarchy so that the parts add up to the totals.

    Parameters
    ----------
    history
        `ds`, `y` and the columns that `spec` names; rows of one bottom series and step are added up.
    spec
        The levels as lists of columns, e.g. ``[["region"], ["region", "team"], ["region", "team", "rep"]]``; the
        last holds all columns. A total over all is put on top.
    model
        What forecasts each series before they are reconciled.
    method
        One of `METHODS`; the best on past cutoffs unless given, as `compare_methods` shows.
    cutoffs
        Past instants that choose the method.
    gaps
        ``zero`` also lets a bottom series begin late or end early.

    Returns
    -------
    pandas.DataFrame
        `unique_id`, `level`, `ds`, `mean` (parts add up to totals), bounds per level, `model` with the method and
        how it was chosen. Never below zero where the history is not.

    Raises
    ------
    DataContractError
        Where a column is missing or empty, or series end on different days.
    ParameterError
        For an unknown model or method, or a `spec` that is no hierarchy.
    """
    if method is not None and method not in METHODS:
        raise ParameterError(unknown("method", method, METHODS))
    (name,) = combine.check_models([model])
    ask = Ask(series.check_horizon(horizon), series.check_levels(levels))
    spread.check(executor, workers)
    tree = grow(history, spec, freq=freq, gaps=gaps)
    fit = partial(chunks.fit, workers=workers, executor=executor)
    why = "as asked"
    if method is None:
        trial = _trial(tree, ask.horizon, cutoffs, fit)
        method = str(trial.groupby("method", sort=False)["mase"].mean().idxmin()) if len(trial) else "wls_struct"
        why = (
            f"best of {len(METHODS)} over {trial['cutoff'].nunique()} past cutoffs"
            if len(trial)
            else "history is short"
        )
    numbers, _ = combine.forecast(tree.panel, [name], ask, fit)[name]
    numbers = _reconciled(tree, numbers, method, _ways(tree))
    out = framed(tree.panel, numbers, [f"{name}, {method} ({why})"] * len(tree.levels), ask)
    out.insert(1, "level", np.repeat(tree.levels, ask.horizon))
    return out


def compare_methods(
    history: pd.DataFrame,
    spec: Sequence[Sequence[str]],
    *,
    horizon: int,
    freq: str,
    cutoffs: int = 3,
    gaps: str = "refuse",
    workers: int = 1,
    executor: str = "local",
) -> pd.DataFrame:
    """Score every way to reconcile on past cutoffs, from forecasts of ``fast``.

    Returns
    -------
    pandas.DataFrame
        `method`, `level`, `cutoff` (steps before the end), `mase`: the mean over the series of the level.

    Raises
    ------
    InsufficientData
        Where the history is too short for one cutoff.
    """
    tree = grow(history, spec, freq=freq, gaps=gaps)
    fit = partial(chunks.fit, workers=workers, executor=executor)
    out = _trial(tree, series.check_horizon(horizon), cutoffs, fit)
    if out.empty:
        needed, got = horizon + 2 * tree.panel.season, min(len(y) for y in tree.panel.values)
        what, of = say("Comparing ways to reconcile"), say(tree.panel.unit)
        raise InsufficientData(what, needed=needed, got=got, of=of)
    return out


def grow(history: pd.DataFrame, spec: Sequence[Sequence[str]], *, freq: str, gaps: str = "refuse") -> Tree:
    """Add bottom series up to every level of a hierarchy.

    Raises
    ------
    DataContractError, ParameterError
        As `reconcile` does.
    """
    spec = _checked(history, spec)
    rows = history.assign(**{column: history[column].astype(str) for column in spec[-1]})
    names = {"/".join(level): rows[list(level)].agg("/".join, axis=1) for level in spec}
    bottom = series.read(_summed(rows.assign(unique_id=names["/".join(spec[-1])]), freq), freq=freq, gaps=gaps)
    bottom = _aligned(bottom, gaps)
    by_bottom = pd.DataFrame(names).drop_duplicates("/".join(spec[-1])).set_index("/".join(spec[-1]), drop=False)
    values, ids, levels, summing = np.array(bottom.values), [], [], []
    for level, members_of in by_bottom.loc[list(bottom.ids)].items():
        own = pd.unique(members_of) if level != "/".join(spec[-1]) else np.array(bottom.ids)
        ids += list(own)
        levels += [level] * len(own)
        summing.append((members_of.to_numpy()[None, :] == own[:, None]).astype(float))
    summing = np.concatenate(summing)
    if len(ids) > 1 and not (summing[0] == 1).all():
        ids, levels = [TOTAL, *ids], [TOTAL, *levels]
        summing = np.concatenate([np.ones((1, summing.shape[1])), summing])
    if len(set(ids)) < len(ids):
        twice = pd.Series(ids)[pd.Series(ids).duplicated()].iloc[0]
        raise DataContractError(f"history: {shown(twice)} names series of two levels; rename one of them.")
    if len(ids) > MOST:
        raise ParameterError(
            f"{len(ids):,} series of all levels: up to {MOST:,} can be reconciled; leave a level out."
        )
    panel = Panel(tuple(ids), tuple(summing @ values), (bottom.ends[0],) * len(ids), bottom.freq)
    return Tree(panel, np.array(levels, object), summing)


def _checked(history: pd.DataFrame, spec: Sequence[Sequence[str]]) -> list[list[str]]:
    if isinstance(spec, str) or not len(spec) or any(isinstance(level, str) or not len(level) for level in spec):
        raise ParameterError('spec: a list of lists of columns is needed, e.g. [["region"], ["region", "rep"]].')
    levels = sorted((list(level) for level in spec), key=len)
    for column in {column for level in levels for column in level}:
        if column not in history:
            raise DataContractError(f"history: {unknown('column', column, history.columns)}")
        if (empty := history[column].isna()).any():
            raise DataContractError(
                f"history: row {history.index[empty.argmax()]}: {column} is empty; name those, e.g. 'none'."
            )
    if missing := {column for level in levels for column in level} - set(levels[-1]):
        raise ParameterError(
            f"spec: the last level must hold every column; {listed(sorted(missing))} is missing there."
        )
    return levels


def _summed(rows: pd.DataFrame, freq: str) -> pd.DataFrame:
    """Add up rows of one bottom series and step, after they were checked one by one."""
    if not {"ds", "y"} <= set(rows.columns) or not rows.duplicated(["unique_id", "ds"]).any():
        return rows
    checked = rows.assign(unique_id=np.arange(len(rows)))
    series.read(checked, freq=freq)
    return rows.groupby(["unique_id", "ds"], as_index=False, sort=False)["y"].sum()


def _aligned(bottom: Panel, gaps: str) -> Panel:
    """Let all bottom series cover the same steps; zeros fill what is missing where gaps mean zero."""
    end, begins = (
        max(bottom.ends),
        [
            last - (len(y) - 1) * pd.tseries.frequencies.to_offset(bottom.freq)
            for y, last in zip(bottom.values, bottom.ends, strict=True)
        ],
    )
    grid = pd.date_range(min(begins), end, freq=bottom.freq)
    values = []
    for name, y, begin, last in zip(bottom.ids, bottom.values, begins, bottom.ends, strict=True):
        if gaps != "zero" and (last != end or begin != grid[0]):
            raise DataContractError(
                f"history: series {shown(name)} covers {begin:%Y-%m-%d} to {last:%Y-%m-%d}, others "
                f"{grid[0]:%Y-%m-%d} to {end:%Y-%m-%d}. Pass gaps='zero' where nothing happened then."
            )
        whole = np.zeros(len(grid))
        at = grid.get_loc(begin)
        whole[at : at + len(y)] = y
        values.append(whole)
    return Panel(bottom.ids, tuple(values), (end,) * len(values), bottom.freq)


def _trial(tree: Tree, horizon: int, cutoffs: int, fit) -> pd.DataFrame:
    """Reconcile in every way at past cutoffs; none where the history is too short."""
    rows, ask = [], Ask(horizon, (80,))
    least = max(2 * tree.panel.season, series.LEAST_UNSEASONED)
    step = max(1, horizon // 2)
    for back in (horizon + k * step for k in range(cutoffs)):
        if min(len(y) for y in tree.panel.values) - back < least:
            break
        known = tree.cut(back)
        came = np.array([y[-back:][:horizon] for y in tree.panel.values])
        scale = np.array([naive_scale(y, known.panel.season) for y in known.panel.values])
        numbers, _ = combine.forecast(known.panel, ["fast"], ask, fit)["fast"]
        ways = _ways(known)
        for method in METHODS:
            mean = _reconciled(known, numbers, method, ways)[..., 0]
            off = pd.Series(np.abs(mean - came).mean(axis=1) / scale).groupby(tree.levels, sort=False).mean()
            rows += [(method, level, back, value) for level, value in off.items()]
    return pd.DataFrame(rows, columns=["method", "level", "cutoff", "mase"])


@dataclass(frozen=True)
class Ways:
    """How forecasts of all series become forecasts of the bottom ones.

    Attributes
    ----------
    maps
        Per method: bottom series × series.
    weights
        Per method: covariance of the errors it assumes; none for ``bottom_up``.
    correlation
        Of the errors of all series, shrunk (Schäfer and Strimmer 2005).
    """

    maps: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]
    correlation: np.ndarray


def _ways(tree: Tree) -> Ways:
    """Prepare every method; MinT as in Wickramasuriya, Athanasopoulos and Hyndman (2019)."""
    from hierarchicalforecast.methods import MinTrace

    n, bottom = tree.summing.shape
    residuals = _residuals(tree.panel)
    inside = {"y_insample": residuals, "y_hat_insample": np.zeros_like(residuals)}
    maps, weights = {"bottom_up": np.eye(n)[n - bottom :]}, {}
    for method in AVERAGED:
        fitted = MinTrace(method).fit(S=tree.summing, y_hat=np.zeros((n, 1)), **inside)
        maps[method], weights[method] = fitted.P, fitted.W
    spread = np.sqrt(np.diag(weights["mint_shrink"]))
    return Ways(maps, weights, weights["mint_shrink"] / np.outer(spread, spread))


def _residuals(panel: Panel) -> np.ndarray:
    """Return one-step errors of Theta within the history; of the naive forecast where Theta does not fit."""
    out = []
    for y in panel.values:
        size = np.abs(y).mean() or 1.0
        try:
            with np.errstate(all="ignore"):
                fitted = (
                    members.MEMBERS[members.SAFE]
                    .make(panel.season)
                    .forecast(y=y / size, h=1, fitted=True)["fitted"]
                )
            error = y - np.asarray(fitted) * size
        except Exception:  # whatever the library raises on one odd series
            error = np.full(len(y), np.nan)
        out.append((error if np.isfinite(error[1:]).all() else np.diff(y, prepend=y[0]))[1:])
    return np.array(out)


def _reconciled(tree: Tree, numbers: np.ndarray, method: str, ways: Ways) -> np.ndarray:
    """Make forecasts of all series add up: series × step × (mean, low and high of each level).

    The half ranges are taken as standard deviations with the correlation of past errors and carried along.
    """
    behind = AVERAGED if method == "average" else (method,)
    bottom = np.mean([_bottom(tree, numbers[..., 0], name, ways) for name in behind], axis=0)
    along = tree.summing @ np.mean([ways.maps[name] for name in behind], axis=0)
    half = (numbers[..., 2::2] - numbers[..., 1::2]) / 2
    wide = np.empty_like(half)
    for step, level in np.ndindex(half.shape[1:]):
        moved = along * half[:, step, level]
        wide[:, step, level] = np.sqrt(np.maximum(((moved @ ways.correlation) * moved).sum(axis=1), 0))
    mean = tree.summing @ bottom
    out = combine.tidied(tree.panel, standins.ranged(mean, wide))
    out[..., 1::2] = np.minimum(out[..., 1::2], mean[..., None])
    out[..., 0] = mean  # what adds up stays as it is
    return out


def _bottom(tree: Tree, mean: np.ndarray, method: str, ways: Ways) -> np.ndarray:
    """Return forecasts of the bottom series; none below zero that never was (least squares within bounds)."""
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import lsq_linear

    bottom = ways.maps[method] @ mean
    history = tree.panel.values[-len(bottom) :]
    floor = np.array([0.0 if y.min() >= 0 else -np.inf for y in history])
    below = np.flatnonzero((bottom < floor[:, None]).any(axis=0))
    if len(below) and method in ways.weights:
        root = cholesky(ways.weights[method], lower=True)
        whitened, target = (solve_triangular(root, part, lower=True) for part in (tree.summing, mean))
        for step in below:
            found = lsq_linear(whitened, target[:, step], bounds=(floor, np.inf), method="bvls")
            bottom[:, step] = np.maximum(found.x, floor)
    return bottom
