"""Reps compared on sizes, days and counts: the same pattern as win rates, pulled back by chance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import pooling
from salesops_lib.benchmark.compare import LEAST_DEALS, LEAST_REPS
from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.language import mark, say

if TYPE_CHECKING:
    import pandas as pd


SIZES = {"amount": mark("Comparing reps on amount"), "cycle_days": mark("Comparing reps on cycle days")}


def compare_sizes(
    deals: pd.DataFrame, *, value: str, mix: Iterable[str] = ("segment",), interval: float = 0.9
) -> pd.DataFrame:
    """Compare the typical size of deals, or the typical days of their cycle, at the same mix.

    Parameters
    ----------
    deals
        One row a deal: `user_id`, `value` (above zero; others are left out), and the mix columns.
    value
        Column of the amount or of the days.
    mix
        What differs from deal to deal.

    Returns
    -------
    DataFrame
        One row a rep with 5 deals or more: `user_id`, `n`, `typical` (geometric mean), `adjusted` (with the team's
        mix, pulled back) with `low` and `high`, `shrinkage`.

    Raises
    ------
    InsufficientData
        With fewer than 10 such reps.
    ParameterError
        For a missing column.

    Notes
    -----
    Log-normal sizes; regression of the logs on the mix within all deals, then `pooling.pool_means` (Morris 1983).
    """
    import pandas as pd

    mix = list(mix)
    for column in ("user_id", value, *mix):
        if column not in deals:
            raise ParameterError(unknown("column", column, deals.columns))
    size = deals[value].astype("float64")
    rows = deals.loc[(size > 0) & deals["user_id"].notna(), ["user_id", *mix]].assign(won=0.0)
    logs = np.log(size[rows.index].to_numpy())
    counts = rows["user_id"].value_counts()
    kept = counts.index[counts >= LEAST_DEALS]
    if len(kept) < LEAST_REPS:
        what = say(SIZES.get(value, f"Comparing reps on {value.replace('_', ' ')}"))
        raise InsufficientData(
            what, needed=LEAST_REPS, got=len(kept), of=say("reps with {n} such deals", n=LEAST_DEALS)
        )
    x = pd.get_dummies(rows[mix].astype(str)).to_numpy(dtype=float) if mix else np.ones((len(rows), 1))
    x -= x.mean(axis=0)
    level, off = logs.mean(), logs - logs.mean()
    rest = pd.Series(off - x @ np.linalg.lstsq(x, off, rcond=None)[0], index=rows.index)
    by_rep = rest.groupby(rows["user_id"])
    raw, n = by_rep.mean().loc[kept].sort_index(), by_rep.size().loc[kept].sort_index()
    noise = float((by_rep.var() * (by_rep.size() - 1)).sum() / max(len(rest) - by_rep.ngroups, 1))
    pooled, _ = pooling.pool_means(raw, noise / n, level=interval)
    typical = np.exp(pd.Series(logs, index=rows.index).groupby(rows["user_id"]).mean()[raw.index])
    return pd.DataFrame(
        {
            "user_id": raw.index, "n": n.to_numpy(), "typical": typical.to_numpy(),
            "adjusted": np.exp(level + pooled["effect"].to_numpy()),
            "low": np.exp(level + pooled["low"].to_numpy()),
            "high": np.exp(level + pooled["high"].to_numpy()), "shrinkage": pooled["shrunk"].to_numpy(),
        }
    )  # fmt: skip


def compare_counts(counts: pd.DataFrame, *, interval: float = 0.9) -> pd.DataFrame:
    """Compare how many activities or deals reps make a day, pulled back where they were there for few days.

    Parameters
    ----------
    counts
        One row a rep: `user_id`, `count`, `days` (worked).

    Raises
    ------
    InsufficientData
        With fewer than 10 reps who worked.
    """
    rows = counts[counts["days"] > 0].set_index("user_id")
    if len(rows) < LEAST_REPS:
        what = say("Comparing reps on counts")
        raise InsufficientData(what, needed=LEAST_REPS, got=len(rows), of=say("reps who worked"))
    return pooling.pool_rates(rows["count"], rows["days"], level=interval).rename_axis("user_id").reset_index()


def compare_strengths(
    deals: pd.DataFrame, *, by: str = "segment", mix: Iterable[str] = (), interval: float = 0.9
) -> pd.DataFrame:
    """Estimate what each rep wins in each segment, pulled back to what all win there: for territories and routing.

    Parameters
    ----------
    deals
        One row a closed deal: `user_id`, `is_won`, `by` and the mix columns.
    by
        Column of the matrix.

    Returns
    -------
    DataFrame
        One row a rep and segment they have closed a deal in: `user_id`, `by`, `n`, `raw_rate`, `rate` with `low`
        and `high`, `team_rate` (of that segment), `over_team` (points), `p_above` (chance to be above the team
        there).

    Raises
    ------
    InsufficientData
        With fewer than 10 pairs of rep and segment, or one segment.
    ParameterError
        For a missing column.
    """
    import pandas as pd
    from scipy.special import expit, logit

    for column in ("user_id", "is_won", by, *mix):
        if column not in deals:
            raise ParameterError(unknown("column", column, deals.columns))
    rows = deals[deals["user_id"].notna()]
    keys = rows[["user_id", by]].astype(str)
    if (got := keys[by].nunique()) < 2:
        of = say("segments") if by == "segment" else f"{by}s"
        raise InsufficientData(say("Strengths of reps"), needed=2, got=got, of=of)
    pairs = keys.groupby(["user_id", by], sort=True).ngroup()
    if pairs.nunique() < LEAST_REPS:
        of = say("pairs of rep and {name}", name=say(by))
        raise InsufficientData(say("Strengths of reps"), needed=LEAST_REPS, got=pairs.nunique(), of=of)
    cells = pooling.count_cells(rows.assign(pair=pairs), "pair", "is_won", [by, *mix])
    found = pooling.fit_effects(cells)
    n, won = cells.by_unit(cells.n), cells.by_unit(cells.won)
    names = keys.drop_duplicates().sort_values(["user_id", by]).reset_index(drop=True)
    # what the team wins in the segment, with the segment's own mix of the rest
    value = cells.combos[by].astype(str).to_numpy()[cells.combo]
    total = pd.DataFrame({"n": cells.n, "expected": cells.n * found.expected}).groupby(value).sum()
    team = names[by].map(total["expected"] / total["n"]).to_numpy()
    rates = expit(logit(team) + found.effects)
    low, high = np.percentile(rates, [50 * (1 - interval), 50 * (1 + interval)], axis=0)
    return pd.DataFrame(
        {
            "user_id": names["user_id"], by: names[by], "n": n.astype(int), "raw_rate": won / n,
            "rate": rates.mean(axis=0),
            "low": low, "high": high, "team_rate": team, "over_team": rates.mean(axis=0) - team,
            "p_above": (found.effects > 0).mean(axis=0),
        }
    )  # fmt: skip
