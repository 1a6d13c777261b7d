"""Does a quick answer help? Like leads compared with like, for quick reps are often given the better leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.language import say
from salesops_lib.present.numbers import localised
from salesops_lib.stats import NONE, Estimate

if TYPE_CHECKING:
    import pandas as pd

LEAST = 30  # leads answered quickly, and later, in groups that have both


@dataclass(frozen=True)
class Speed:
    """Effect of a quick answer on whether a lead qualifies.

    Attributes
    ----------
    headline
        Ratio within like leads, and the naive one.
    ratio
        Rate of quickly answered leads ÷ rate of the others, within groups of like leads.
    naive
        The same without groups: it also holds what kind of leads are answered quickly.
    groups
        One row a group with both: the columns of `within`, `quick`, `quick_rate`, `later`, `later_rate`.
    left_out
        Leads in groups where all, or none, were answered quickly.
    """

    headline: str
    ratio: Estimate
    naive: Estimate
    groups: pd.DataFrame
    left_out: int


def compare_speed(leads: pd.DataFrame, *, within: Sequence[str], level: float = 0.95) -> Speed:
    """Compare leads answered quickly with the others, within groups of like leads.

    Parameters
    ----------
    leads
        One row a lead old enough to have qualified: `is_quick`, `is_good` (qualified, or won), and the columns of
        `within`: source, score band, hour of arrival; whatever decides both who answers and how good a lead is.

    Raises
    ------
    InsufficientData
        With fewer than 30 leads on either side in groups that have both, or none that qualified.
    ParameterError
        For a missing column, or no column to group by.

    Notes
    -----
    Risk ratio of Mantel and Haenszel with the variance of Greenland and Robins (1985). Observational: what the
    groups do not hold alike still confounds.
    """
    within = list(within)
    if not within:
        raise ParameterError("within names no column: the ratio of unlike leads says nothing about speed.")
    for column in ("is_quick", "is_good", *within):
        if column not in leads:
            raise ParameterError(unknown("column", column, leads.columns))
    rows = leads[[*within, "is_quick", "is_good"]].astype({"is_quick": bool, "is_good": float})
    cells = rows.groupby([*within, "is_quick"], dropna=False, observed=True)["is_good"].agg(["sum", "size"])
    table = cells.unstack("is_quick", fill_value=0).astype(float)
    for part in ("sum", "size"):
        for quick in (True, False):
            if (part, quick) not in table:
                table[part, quick] = 0.0
    both = table[(table["size", True] > 0) & (table["size", False] > 0)]
    few = int(min(both["size", True].sum(), both["size", False].sum()))
    if few < LEAST:
        of = say("leads on either side, like for like")
        raise InsufficientData(say("Effect of a quick answer"), needed=LEAST, got=few, of=of)
    if not (both["sum", True].sum() and both["sum", False].sum()):
        of = say("qualified leads on either side")
        raise InsufficientData(say("Effect of a quick answer"), needed=1, got=0, of=of)
    ratio = _mantel_haenszel(both, level)
    naive = _mantel_haenszel(table.sum().to_frame().T, level)
    groups = both.index.to_frame(index=False).assign(
        quick=both["size", True].to_numpy(int), quick_rate=(both["sum", True] / both["size", True]).to_numpy(),
        later=both["size", False].to_numpy(int), later_rate=(both["sum", False] / both["size", False]).to_numpy(),
    )  # fmt: skip
    left = int(table["size"].sum().sum() - both["size"].sum().sum())
    return Speed(_headline(ratio, naive), ratio, naive, groups, left)


def _mantel_haenszel(table: pd.DataFrame, level: float) -> Estimate:
    from scipy.stats import norm

    good, n = ({quick: table[part, quick].to_numpy() for quick in (True, False)} for part in ("sum", "size"))
    whole = n[True] + n[False]
    up, down = good[True] * n[False] / whole, good[False] * n[True] / whole
    if not up.sum() or not down.sum():
        return Estimate(NONE, NONE, NONE, int(whole.sum()), "not defined", say("one side has no qualified lead"))
    every = good[True] + good[False]
    spread = (n[True] * n[False] * every - good[True] * good[False] * whole) / whole**2
    error = np.sqrt(spread.sum() / (up.sum() * down.sum()))
    value, reach = up.sum() / down.sum(), norm.ppf((1 + level) / 2) * error
    return Estimate(float(value), float(value * np.exp(-reach)), float(value * np.exp(reach)), int(whole.sum()))


def _headline(ratio: Estimate, naive: Estimate) -> str:
    given = {name: localised(f"{getattr(ratio, name):.2f}") for name in ("value", "low", "high")}
    given["naive"] = localised(f"{naive.value:.2f}")
    if ratio.low <= 1 <= ratio.high:
        return say(
            "Like for like, leads answered quickly qualify {value}× as often [{low}; {high}], no more than "
            "chance; the plain ratio is {naive}× and also holds which leads are answered quickly. Observed, "
            "not tried out.",
            **given,
        )
    return say(
        "Like for like, leads answered quickly qualify {value}× as often [{low}; {high}], more than chance; the "
        "plain ratio is {naive}× and also holds which leads are answered quickly. Observed, not tried out.",
        **given,
    )
