"""How right past chances and past ranges were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import stats
from salesops_lib.errors import InsufficientData
from salesops_lib.forecast import blend
from salesops_lib.language import say

if TYPE_CHECKING:
    import pandas as pd

CLASSES = 10
LEAST = 200  # chances, and 20 of them won
SURE = 0.001  # no chance counts as surer than this
Z95 = 1.959963984540054


def classes(chances: pd.DataFrame) -> pd.DataFrame:
    """Put past chances, cut into classes of as many deals each, beside the share that was won.

    Returns
    -------
    DataFrame
        `low`, `high` (of the class), `n`, `predicted` (mean chance), `won` (share), `won_low`, `won_high` (95 %;
        a deal seen in several weeks counts each time, so the interval is narrower than it should be).
    """
    import pandas as pd

    columns = ["low", "high", "n", "predicted", "won", "won_low", "won_high"]
    if chances.empty:
        return pd.DataFrame(columns=columns)
    chance, won = chances["chance"].to_numpy(dtype=float), chances["won"].to_numpy(dtype=float)
    edges = np.unique(np.quantile(chance, np.linspace(0, 1, CLASSES + 1)))
    of = np.clip(np.searchsorted(edges, chance, side="right") - 1, 0, max(len(edges) - 2, 0))
    rows = []
    for k in np.unique(of):
        mine = of == k
        share = stats.proportion(int(won[mine].sum()), int(mine.sum()))
        rows.append([chance[mine].min(), chance[mine].max(), share.n, chance[mine].mean(),
                     share.value, share.low, share.high])  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def slope(chances: pd.DataFrame) -> stats.Estimate:
    """Slope of what came on the chances foreseen, both as logits (Cox 1958): below 1, chances were too extreme.

    Its interval takes the weeks as clusters.
    """
    from statsmodels.api import GLM, add_constant, families

    n = len(chances)
    if n < LEAST or chances["won"].sum() < LEAST // 10:
        return stats.Estimate.none(stats.TOO_FEW, n, f"needs {LEAST} past chances and {LEAST // 10} of them won")
    chance = np.clip(chances["chance"].to_numpy(dtype=float), 1e-4, 1 - 1e-4)
    logits = add_constant(np.log(chance / (1 - chance)))
    found = GLM(chances["won"].to_numpy(dtype=float), logits, family=families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": chances["day"].to_numpy(dtype=int)}
    )
    low, high = found.conf_int()[1]
    return stats.Estimate(float(found.params[1]), float(low), float(high), n)


def retold(past: pd.DataFrame, length: int) -> pd.DataFrame:
    """Join each past forecast of a window with what was known of earlier ones then.

    Returns
    -------
    DataFrame
        `day`, `actual`, `forecast`, `half` (of its 80 % range).
    """
    import pandas as pd

    rows, off, days = [], blend.surprises(past, length), past["day"].to_numpy()
    for row in past.itertuples():
        known = days + length <= row.day
        learnt = blend.learn(past[known], length, off[known])
        middle = learnt.join(row.bottom_up, row.top_down)
        half = blend.Z80 * learnt.stretch * learnt.deviation(row, middle)
        rows.append([row.day, row.actual, middle, half])
    return pd.DataFrame(rows, columns=["day", "actual", "forecast", "half"])


def coverage(told: pd.DataFrame, length: int) -> stats.Estimate:
    """Share of past weeks whose 80 % range held what came, each range made of what was known in its week.

    Neighbouring weeks share most of their window: the interval counts windows that do not overlap.
    """
    n = len(told)
    if not n:
        return stats.Estimate.none(stats.TOO_FEW, 0, "no past weeks to measure on")
    held = float(((told["actual"] - told["forecast"]).abs() <= told["half"]).mean())
    apart = max(round(1 + (told["day"].max() - told["day"].min()) / max(length, 1)), 1)
    bounds = stats.proportion(round(held * apart), apart)
    return stats.Estimate(held, bounds.low, bounds.high, n)


def error(told: pd.DataFrame) -> stats.Estimate:
    """Median distance of past forecasts from what came, as a share of it; the bounds hold the middle half."""
    came = told[told["actual"] > 0]
    if came.empty:
        return stats.Estimate.none(stats.TOO_FEW, 0, "no past weeks to measure on")
    low, middle, high = np.quantile((came["forecast"] / came["actual"] - 1).abs(), [0.25, 0.5, 0.75])
    return stats.Estimate(float(middle), float(low), float(high), len(came))


def compare(chances: pd.DataFrame, probability: dict[str, float], length: int) -> pd.DataFrame:
    """Score past chances beside the CRM's; see `projection.compare_probabilities`.

    Raises
    ------
    InsufficientData
        Where fewer than 200 past chances have a stage with a probability and a date.
    """
    import pandas as pd

    crm = chances["stage"].map(probability).astype("float64")
    rows = chances.assign(crm=crm.where(chances["is_due"], 0.0))[crm.notna()]
    if len(rows) < LEAST:
        what, of = (
            say("Comparison with the CRM's probabilities"),
            say("past chances in a stage with a probability"),
        )
        raise InsufficientData(what, needed=LEAST, got=len(rows), of=of)
    won = rows["won"].astype("float64")
    apart = max(1 + (rows["day"].max() - rows["day"].min()) / max(length, 1), 1)
    ways = {"forecast": rows["chance"].astype("float64"), "crm": rows["crm"], "share won": won * 0 + won.mean()}
    scores = {way: np.square(chance - won) for way, chance in ways.items()}
    out = []
    for way, chance in ways.items():
        gap = (scores[way] - scores["forecast"]).groupby(rows["day"]).mean()
        half = Z95 * gap.std() / np.sqrt(min(apart, len(gap))) if len(gap) > 1 else np.nan
        sure = chance.clip(SURE, 1 - SURE)
        out.append({
            "way": way, "n": len(rows), "predicted": chance.mean(), "won": won.mean(),
            "brier": scores[way].mean(), "log_loss": -(won * np.log(sure) + (1 - won) * np.log(1 - sure)).mean(),
            "worse_by": gap.mean(), "low": gap.mean() - half, "high": gap.mean() + half,
        })  # fmt: skip
    return pd.DataFrame(out)
