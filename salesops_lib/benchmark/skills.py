"""Where a rep's gap to the team comes from: an exact split over the stages, and what closing it is worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.benchmark.compare import DIFFER, Benchmark, compare
from salesops_lib.errors import InsufficientData
from salesops_lib.language import mark, say
from salesops_lib.passages import reached
from salesops_lib.present import number

if TYPE_CHECKING:
    import pandas as pd

SURE = 0.9  # chance to be below the team from which on a stage is one to coach
NONE_STANDS_OUT = mark("no stage stands out")


@dataclass(frozen=True)
class SkillProfile:
    """The reps' skill by stage.

    Attributes
    ----------
    headline
        How many reps have a stage worth coaching, and the dearest.
    stages
        One row a rep and stage: `user_id`, `stage`, `next_stage`, `n` (deals that left the stage), `rate`
        (adjusted) with `low` and `high`, `team_rate`, `p_below` (chance to be below the team), `gap` (points of
        the whole way that this stage costs, below zero, or brings) with `gap_low` and `gap_high`, `worth` (what
        closing the gap would bring a quarter, in currency; 0 where there is none).
    reps
        One row a rep: `user_id`, `n` (deals that left the first stage), `rate` (whole way, the product of its
        stages), `team_rate`, `gap` (their sum, exactly) with `gap_low` and `gap_high`, `coach` (stage, or ``no
        stage stands out``), `p_below` (of the stage that costs most), `worth` with `worth_low` and `worth_high`.
    by_stage
        The `Benchmark` of each stage.
    """

    headline: str
    stages: pd.DataFrame
    reps: pd.DataFrame
    by_stage: dict[str, Benchmark]


def transitions(moves: pd.DataFrame, stages: Sequence[str], as_of: object, deals: pd.DataFrame) -> pd.DataFrame:
    """List the deals that left each stage, onwards (`is_won`) or lost.

    Parameters
    ----------
    moves, stages, as_of
        As for `passages.reached`.
    deals
        `opportunity_id`, `user_id` and mix columns.

    Returns
    -------
    DataFrame
        `stage`, `next_stage`, `is_won`, `entered_at`, and the columns of `deals`.
    """
    import pandas as pd

    place = reached(moves, stages, as_of)
    parts = []
    for stage, following in pairwise(stages[:-1]):
        there, on = place[stage].notna(), place[following].notna()
        rows = place[there & (on | place["stage"].eq(stages[-1]))]
        parts.append(
            pd.DataFrame({"stage": stage, "next_stage": following, "is_won": on[rows.index],
                          "entered_at": rows[stage]}, index=rows.index)
        )  # fmt: skip
    return pd.concat(parts).reset_index().merge(deals, on="opportunity_id", how="inner")


def profile_skills(
    rows: pd.DataFrame, *, mix: Iterable[str] = ("segment",), worth: float = 0.0,
    per_quarter: pd.Series | None = None,
    interval: float = 0.9,
) -> SkillProfile:  # fmt: skip
    """Split each rep's gap to the team over the stages.

    Parameters
    ----------
    rows
        Frame of `transitions`, in the order of the stages.
    mix
        As for `compare`.
    worth
        Mean amount of a won deal.
    per_quarter
        Deals a quarter that reach the first stage, by `user_id`; reps who are not in it are compared but not
        shown.

    Raises
    ------
    InsufficientData
        With fewer than 10 reps who took 5 deals or more out of each stage.

    Notes
    -----
    The whole way is the product of its stages; each stage's part of the gap is the mean over every order in which
    the stages could be closed one after the other (Das Gupta 1993), so that the parts add up. A stage is one to
    coach where its chance to be below the team is above 90 % and its part of the gap the largest.
    """
    if rows.empty:
        raise InsufficientData(say("Skill by stage"), needed=10, got=0, of=say("reps with 5 deals or more"))
    order = list(dict.fromkeys(rows["stage"]))
    follows = dict(zip(rows["stage"], rows["next_stage"], strict=True))
    of = say("deals that left the stage")
    by_stage = {
        stage: compare(
            rows[rows["stage"].eq(stage)], mix=mix, interval=interval, of=of,
            what=say("rates out of {stage}", stage=stage),
        )
        for stage in order
    }  # fmt: skip
    refused = [stage for stage in order if by_stage[stage].draws is None]
    if refused:
        got = int(by_stage[refused[0]].reps["status"].eq("ok").sum())
        what, of = say("Skill by stage: {stage}", stage=refused[0]), say("reps with 5 deals or more")
        raise InsufficientData(what, needed=10, got=got, of=of)
    reps = sorted(set.intersection(*(set(found.reps["user_id"]) for found in by_stage.values())))
    if not reps:
        raise InsufficientData(say("Skill by stage"), needed=1, got=0, of=say("reps with deals in every stage"))
    drawn = np.stack([by_stage[stage].draws[reps].to_numpy() for stage in order])  # stages × draws × reps
    team = drawn.mean(axis=2, keepdims=True)
    parts = split_product(np.broadcast_to(team, drawn.shape), drawn)
    value = worth * (per_quarter.reindex(reps).fillna(0).to_numpy() if per_quarter is not None else 0.0)
    stages = _stage_rows(by_stage, order, follows, reps, drawn, team, parts, value, interval)
    summary = _rep_rows(stages, reps, parts, value, interval)
    if per_quarter is not None:  # who takes on no deals any more is nobody to coach
        stages, summary = (rows[rows["user_id"].isin(per_quarter.index)] for rows in (stages, summary))
        stages, summary = stages.reset_index(drop=True), summary.reset_index(drop=True)
    return SkillProfile(_headline(summary), stages, summary, by_stage)


def split_product(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Split the change of many products over their factors (first axis); the parts add up exactly.

    The array form of `decompose.product_change`.
    """
    from math import comb

    k, out = len(before), np.empty_like(after)
    for i in range(k):
        ways = [np.ones_like(after[0])]
        for j in range(k):
            if j != i:
                stay, move = [*(way * before[j] for way in ways), 0.0], [0.0, *(way * after[j] for way in ways)]
                ways = [a + b for a, b in zip(stay, move, strict=True)]
        pull = sum(way / (k * comb(k - 1, n)) for n, way in enumerate(ways))
        out[i] = (after[i] - before[i]) * pull
    return out


def _stage_rows(by_stage, order, follows, reps, drawn, team, parts, value, interval) -> pd.DataFrame:
    import pandas as pd

    tails = [50 * (1 - interval), 50 * (1 + interval)]
    mean = drawn.mean(axis=1)
    level = mean.mean(axis=1, keepdims=True)
    exact = split_product(
        np.broadcast_to(level, mean.shape), mean
    )  # the split of the shown rates adds up to their gap
    frames = []
    for k, stage in enumerate(order):
        found = by_stage[stage].reps.set_index("user_id").loc[reps]
        low, high = np.percentile(parts[k], tails, axis=0)
        frames.append(pd.DataFrame({
            "user_id": reps, "stage": stage, "next_stage": follows[stage], "n": found["n"].to_numpy(),
            "rate": mean[k], "low": found["low"].to_numpy(), "high": found["high"].to_numpy(),
            "team_rate": level[k, 0], "p_below": (drawn[k] < team[k]).mean(axis=0), "gap": exact[k],
            "gap_low": low, "gap_high": high, "worth": np.maximum(-exact[k], 0) * value,
            "told": by_stage[stage].verdict == DIFFER,
        }))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def _rep_rows(stages, reps, parts, value, interval) -> pd.DataFrame:
    import pandas as pd

    tails = [50 * (1 - interval), 50 * (1 + interval)]
    out = []
    for k, rep in enumerate(reps):
        own = stages[stages["user_id"].eq(rep)].reset_index(drop=True)
        worst = own["gap"].idxmin()
        row = own.loc[worst]
        coach = row["p_below"] > SURE and row["told"] and row["gap"] < 0
        worth = np.maximum(-parts[worst][:, k], 0) * value[k] if np.ndim(value) else np.zeros(1)
        low, high = np.percentile(worth, tails)
        gap_low, gap_high = np.percentile(parts[:, :, k].sum(axis=0), tails)
        out.append({
            "user_id": rep, "n": own["n"].iloc[0], "rate": own["rate"].prod(),
            "team_rate": own["team_rate"].prod(),
            "gap": own["gap"].sum(), "gap_low": gap_low, "gap_high": gap_high,
            "coach": row["stage"] if coach else NONE_STANDS_OUT, "p_below": row["p_below"],
            "worth": row["worth"] if coach else np.nan, "worth_low": low if coach else np.nan,
            "worth_high": high if coach else np.nan,
        })  # fmt: skip
    return pd.DataFrame(out)


def _headline(reps: pd.DataFrame) -> str:
    named = reps[reps["coach"].ne(NONE_STANDS_OUT)]
    if named.empty:
        return say(
            "No stage stands out for any of {n} reps: what they lose, they lose by chance or everywhere.",
            n=len(reps),
        )
    top = named.sort_values("worth", ascending=False).iloc[0]
    return say(
        "{named} of {n} reps have a stage to work on, most of all {rep}: {stage} ({sure} sure to be below the "
        "team). For the other {rest} no stage stands out.", named=len(named), n=len(reps), rep=top["user_id"],
        stage=top["coach"], sure=surely(top["p_below"]), rest=len(reps) - len(named),
    )  # fmt: skip


def surely(chance: float) -> str:
    """Write a chance in percent; draws never make it certain."""
    return say("over 99 %") if chance > 0.995 else number(chance, "percent")
