"""What a rep adds to or takes from the win rate, after mix and after chance."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import stats
from salesops_lib.book import Book
from salesops_lib.facts import NOT_ASSIGNED, Facts, deals
from salesops_lib.kpis.registry import Variants, kpi, refuse
from salesops_lib.language import say
from salesops_lib.periods import Period
from salesops_lib.pooling import pool_means
from salesops_lib.stats import NOT_DEFINED, TOO_FEW, Estimate

if TYPE_CHECKING:
    import pandas as pd

LEAST_DEALS, LEAST_REPS = 5, 10
DRAWS = 4_000


@kpi(
    "K44",
    name="Rep effect",
    formula="(won − expected from the segments of the deals) ÷ closed, shrunken towards 0",
    population="new business closed by close date in the period, of reps with five closed deals or more",
    attribution="owner at close",
    unit="share",
    direction="up",
    variants={
        "win rate": "points of win rate above or below what the mix of segments gives, partially pooled",
        "top quartile": "chance to belong to the best quarter of the reps",
        "bottom quartile": "chance to belong to the last quarter of the reps",
    },
    needs=("opportunities", "users"),
    dimensions=("rep",),
    least=LEAST_DEALS,
    interval="normal posterior of the parametric empirical Bayes estimate",
    source="kpis.md K44; Morris 1983; Paule and Mandel 1982",
)
def rep_effect(facts: Facts) -> Variants:
    """Compare each rep's wins with what the company wins in the same segments, as far as chance lets it."""
    if facts.by != "rep":
        yield from refuse("K44", Estimate.none(NOT_DEFINED, 0, say("of a rep only")))
        return
    found = effects(facts.book, facts.period)
    n = len(facts.closed())
    if isinstance(found, Estimate):
        yield from refuse("K44", found)
    elif facts.segment not in found.index:
        few = say("needs {needed} closed deals, has {n}", needed=LEAST_DEALS, n=n)
        yield from refuse("K44", Estimate.none(TOO_FEW, n, few))
    else:
        row = found.loc[facts.segment]
        said = say("pulled {n}% of the way to 0", n=f"{row['shrunk'] * 100:.0f}")
        yield "win rate", Estimate(row["effect"], row["low"], row["high"], n).noted(said)
        for variant in ("top", "bottom"):
            chance = Estimate(row[variant] / DRAWS, stats.NONE, stats.NONE, n)
            yield f"{variant} quartile", chance.noted(say("a chance is its own range"))


@lru_cache(maxsize=16)
def effects(book: Book, period: Period) -> pd.DataFrame | Estimate:
    """Estimate every rep's effect together.

    Returns
    -------
    DataFrame
        By rep: `effect`, `low`, `high` (share points), `shrunk` (share of the raw deviation taken away), `top`,
        `bottom` (draws of the posterior in the best and in the last quarter). An `Estimate` that says why where
        there are too few reps, or nothing tells them apart.
    """
    closed = Facts(book, period, deals(book)).closed()
    closed = closed[closed["rep"].ne(NOT_ASSIGNED)]
    expected = closed.groupby("segment")["is_won"].transform("mean").astype(float)
    rows = closed.assign(over=closed["is_won"].astype(float) - expected, noise=expected * (1 - expected))
    reps = rows.groupby("rep").agg(n=("over", "size"), over=("over", "sum"), noise=("noise", "sum"))
    reps = reps[(reps["n"] >= LEAST_DEALS) & (reps["noise"] > 0)]
    if len(reps) < LEAST_REPS:
        said = say("needs {needed} reps with {deals} closed deals, has {n}",
                   needed=LEAST_REPS, deals=LEAST_DEALS, n=len(reps))  # fmt: skip
        return Estimate.none(TOO_FEW, len(reps), said)
    return shrunken(reps["over"] / reps["n"], reps["noise"] / reps["n"] ** 2)


def shrunken(raw: pd.Series, variance: pd.Series) -> pd.DataFrame | Estimate:
    """Pull raw deviations towards 0 by how much of their spread is chance.

    Parameters
    ----------
    raw, variance
        Deviation of each unit and its sampling variance, with one index.

    Notes
    -----
    `pooling.pool_means`; places from draws of its normal posterior.
    """
    k = len(raw)
    pooled, spread = pool_means(raw, variance)
    if not spread:
        return Estimate.none(TOO_FEW, k, say("the reps are statistically indistinguishable"))
    rng = np.random.default_rng(stats.SEED)
    drawn = rng.normal(pooled["effect"], pooled["error"], (DRAWS, k)).argsort(axis=1).argsort(axis=1)
    quarter = max(round(k / 4), 1)
    top, bottom = (drawn >= k - quarter).sum(axis=0), (drawn < quarter).sum(axis=0)
    return pooled.drop(columns="error").assign(top=top, bottom=bottom)
