"""A contest known to be fair before it starts: capped points for behaviour and results, and who could win it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.language import say
from salesops_lib.present import number

if TYPE_CHECKING:
    import pandas as pd

DRAWS, SEED = 10_000, 20260101
HOPELESS = 0.25  # of an equal chance: below it a rep has no reason to try


@dataclass(frozen=True)
class Rule:
    """Points for one thing that reps do.

    Attributes
    ----------
    points
        For each.
    cap
        Points a rep can get for it at most; empty without a limit.
    """

    points: float
    cap: float | None = None


@dataclass(frozen=True)
class Contest:
    """Who could win.

    Attributes
    ----------
    headline
        Whether everybody has a chance.
    reps
        `user_id`, `points` (expected), `low`, `high` (90 % of draws), `p_win`, `is_hopeless`.
    evenness
        1 where all have the same chance, 0 where one wins for sure (entropy of the chances over its most).
    """

    headline: str
    reps: pd.DataFrame
    evenness: float


def simulate_contest(
    reps: pd.DataFrame, rules: Mapping[str, Rule], *, handicap: bool = False, draws: int = DRAWS, seed: int = SEED
) -> Contest:
    """Play a contest many times at each rep's own pace.

    Parameters
    ----------
    reps
        `user_id`, and for each rule a column with the number expected in the contest; take pulled-back rates, or
        luck of the past wins the contest of the future.
    rules
        Column to rule.
    handicap
        Score each thing against the rep's own expectation (100 points for meeting it), so that beginners can win
        too.

    Raises
    ------
    InsufficientData
        With fewer than two reps.
    ParameterError
        For a rule without a column, or an expectation below zero.
    """
    import pandas as pd

    for name in rules:
        if name not in reps:
            raise ParameterError(unknown("column", name, reps.columns))
        if not (reps[name] >= 0).all():
            raise ParameterError(f"{name} is empty or below zero for some reps: it must be the number expected.")
    if len(reps) < 2:
        raise InsufficientData(say("A contest"), needed=2, got=len(reps), of=say("reps"))
    rng, score = np.random.default_rng(seed), np.zeros((draws, len(reps)))
    for name, rule in rules.items():
        pace = reps[name].to_numpy(dtype=float)
        found = rng.poisson(pace, score.shape).astype(float)
        if handicap:
            found *= np.divide(pace.mean(), pace, out=np.zeros_like(pace), where=pace > 0)
        score += np.minimum(found * rule.points, np.inf if rule.cap is None else rule.cap)
    best = score >= score.max(axis=1, keepdims=True) - 1e-9
    chance = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    low, high = np.percentile(score, [5, 95], axis=0)
    hopeless = chance < HOPELESS / len(reps)
    out = pd.DataFrame(
        {"user_id": reps["user_id"].to_numpy(), "points": score.mean(axis=0), "low": low, "high": high,
         "p_win": chance, "is_hopeless": hopeless}
    )  # fmt: skip
    some = chance[chance > 0]
    evenness = float(-(some * np.log(some)).sum() / np.log(len(reps)))
    return Contest(_headline(out), out, evenness)


def _headline(reps: pd.DataFrame) -> str:
    top, hopeless = reps.loc[reps["p_win"].idxmax()], int(reps["is_hopeless"].sum())
    given = {"rep": top["user_id"], "share": number(top["p_win"], "percent"), "n": len(reps)}
    if not hopeless:
        return say("{rep} would win {share} of the time; every one of {n} reps has a real chance.", **given)
    return say(
        "{rep} would win {share} of the time; {hopeless} of {n} reps have next to no chance, so change its rules.",
        hopeless=hopeless, **given,
    )  # fmt: skip
