"""The chance that a case is won, from what was known of it, and whether that chance keeps its word.

A logistic model on splines is calibrated by itself and beats trees on tables of deals; a tree model would need a
calibration set of a thousand of each outcome. What was learnt drifts: watch slope and intercept (`monitor`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from salesops_lib import stats
from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.language import mark, say

if TYPE_CHECKING:
    import pandas as pd

LEAST = 200  # wins, and losses
LATER = 0.3  # of the cases, the newest, on which the model is tried
BINS = 10
KNOTS, RIDGE = 5, 1.0
NOT_KNOWN = "not known"
EDGE = 1e-6


@dataclass(frozen=True)
class Calibration:
    """Whether chances came true.

    Attributes
    ----------
    n, won
        Cases and those that were won.
    brier, log_loss
        Scores; smaller is better.
    slope
        1 where chances spread as outcomes do, below 1 where they are too extreme.
    intercept
        0 where the level is right, in logits; below 0 where fewer are won than told.
    reliability
        One row a bin: `n`, `told` (mean chance), `came` (share won) with `low` and `high` (90 %).
    """

    n: int
    won: int
    brier: float
    log_loss: float
    slope: stats.Estimate
    intercept: stats.Estimate
    reliability: pd.DataFrame

    @property
    def has_drifted(self) -> bool:
        """Whether the level told is surely not the level that came."""
        return not self.intercept.is_noise


@dataclass(frozen=True)
class WinModel:
    """A fitted model of the chance to win.

    Attributes
    ----------
    calibration
        On the newest cases, with a model that had not seen them.
    numbers, texts
        Columns it reads.
    """

    calibration: Calibration
    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    fitted: Any

    def predict(self, rows: pd.DataFrame) -> pd.Series:
        """Return the chance of each row, in its index.

        Raises
        ------
        ParameterError
            For a missing column.
        """
        import pandas as pd

        return pd.Series(self.fitted.predict_proba(_inputs(rows, self.numbers, self.texts))[:, 1], rows.index)


def fit_win_probability(
    rows: pd.DataFrame, won: pd.Series, *, numbers: Sequence[str] = (), texts: Sequence[str] = ()
) -> WinModel:
    """Learn the chance to win from closed cases.

    Parameters
    ----------
    rows
        One row a case in order of time, as it was known when the question is asked; never as it was at its end.
    won
        Outcome of each.
    numbers, texts
        Columns to learn from; an empty number counts as the median and is told apart, an empty text is a value.

    Raises
    ------
    InsufficientData
        With fewer than 200 wins or 200 losses: take base rates by stage and segment instead.
    ParameterError
        For a missing column, or none to learn from.
    """
    numbers, texts, y = tuple(numbers), tuple(texts), np.asarray(won, dtype=int)
    if not numbers and not texts:
        raise ParameterError("name the columns to learn from: numbers, texts or both.")
    won_said, lost_said = mark("cases that were won"), mark("cases that were lost")
    for count, ended in ((int(y.sum()), won_said), (int((1 - y).sum()), lost_said)):
        if count < LEAST:
            raise InsufficientData(say("A win probability"), needed=LEAST, got=count, of=say(ended))
    x = _inputs(rows, numbers, texts)
    first = int(len(y) * (1 - LATER))
    if len(set(y[:first])) < 2 or len(set(y[first:])) < 2:
        of = say("wins and losses both early and late")
        raise InsufficientData(say("Trying a win probability"), needed=1, got=0, of=of)
    tried = _pipeline(numbers, texts).fit(x.iloc[:first], y[:first])
    told = tried.predict_proba(x.iloc[first:])[:, 1]
    return WinModel(monitor(told, y[first:]), numbers, texts, _pipeline(numbers, texts).fit(x, y))


def monitor(told: Sequence[float], won: Sequence[bool], *, level: float = 0.95) -> Calibration:
    """Compare chances with outcomes, month by month for example.

    Raises
    ------
    InsufficientData
        Without both outcomes, or with fewer than 30 cases.
    ParameterError
        For a chance outside 0 to 1.

    Notes
    -----
    Cox (1958): logistic regression of the outcomes on the logit of the chances; the intercept with the slope held
    at 1.
    """
    p, y = np.asarray(told, dtype=float), np.asarray(won, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ParameterError("a chance must lie between 0 and 1, and none may be empty.")
    if len(y) < 30 or y.min() == y.max():
        got, of = len(y) if y.size and y.min() < y.max() else 0, say("cases, with both outcomes among them")
        raise InsufficientData(say("Calibration"), needed=30, got=got, of=of)
    inside = np.clip(p, EDGE, 1 - EDGE)
    logit = np.log(inside / (1 - inside))
    slope = _coefficient(np.column_stack([logit, np.ones_like(logit)]), np.zeros_like(logit), y, level)
    level_off = _coefficient(np.ones((len(y), 1)), logit, y, level)
    loss = float(-(y * np.log(inside) + (1 - y) * np.log(1 - inside)).mean())
    return Calibration(
        len(y), int(y.sum()), float(((p - y) ** 2).mean()), loss, slope, level_off, _reliability(p, y)
    )


def _coefficient(x: np.ndarray, offset: np.ndarray, y: np.ndarray, level: float) -> stats.Estimate:
    """First coefficient of a logistic regression with its Wald interval."""
    import statsmodels.api as sm
    from statsmodels.tools.sm_exceptions import PerfectSeparationError

    try:
        found = sm.GLM(y, x, family=sm.families.Binomial(), offset=offset).fit()
    except PerfectSeparationError:
        return stats.Estimate.none(stats.NOT_DEFINED, len(y), say("chances tell the outcomes apart perfectly"))
    low, high = found.conf_int(1 - level)[0]
    return stats.Estimate(float(found.params[0]), float(low), float(high), len(y))


def _reliability(p: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    edges = np.unique(np.quantile(p, np.linspace(0, 1, BINS + 1)[1:-1]))
    place = np.searchsorted(edges, p, side="right")
    rows = []
    for k in np.unique(place):
        here = place == k
        share = stats.proportion(int(y[here].sum()), int(here.sum()), level=0.9)
        rows.append({"n": int(here.sum()), "told": float(p[here].mean()), "came": share.value, "low": share.low,
                     "high": share.high})  # fmt: skip
    return pd.DataFrame(rows)


def _inputs(rows: pd.DataFrame, numbers: tuple[str, ...], texts: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    for column in (*numbers, *texts):
        if column not in rows:
            raise ParameterError(unknown("column", column, rows.columns))
    out = {name: rows[name].astype("float64").to_numpy(na_value=np.nan) for name in numbers}
    out |= {name: rows[name].astype(object).where(rows[name].notna(), NOT_KNOWN).astype(str) for name in texts}
    return pd.DataFrame(out, index=rows.index)


def _pipeline(numbers: tuple[str, ...], texts: tuple[str, ...]):
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, SplineTransformer

    curves = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True),
        SplineTransformer(n_knots=KNOTS, degree=3, knots="quantile", extrapolation="linear", include_bias=False),
    )
    parts = [("numbers", curves, list(numbers))] * bool(numbers)
    parts += [("texts", OneHotEncoder(handle_unknown="ignore", min_frequency=20), list(texts))] * bool(texts)
    return make_pipeline(ColumnTransformer(parts), LogisticRegression(C=1 / RIDGE, max_iter=2_000))
