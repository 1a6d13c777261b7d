"""Stage conversion and time in stage with open deals counted for what they are: neither won nor lost yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.curves import LEAST, RIVAL, Curve
from salesops_lib.errors import InsufficientData, ParameterError
from salesops_lib.funnel.projection import project_cohorts
from salesops_lib.language import mark, say
from salesops_lib.passages import called, checked_order, count_steps, days, instant
from salesops_lib.present.numbers import localised, number
from salesops_lib.stats import OK

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

TENTH = 0.9
TOO_YOUNG, NO_EXIT, FEW = mark("not old enough"), mark("all still open"), mark("too few")


@dataclass(frozen=True)
class Conversion:
    """How deals go from stage to stage.

    Attributes
    ----------
    headline
        Conversion of the whole way, and the weakest step.
    steps
        One row an open stage: `stage`, `next_stage`, `n` (deals that reached or passed it), `reached` (the next
        one within the horizon, so far), `rate` (share that reaches it within the horizon, open deals censored,
        losses competing) with `low` and `high`, `lost` (share lost within it), `median_days` in the stage with
        `median_low` and `median_high`, `p90_days` (both empty where not reached yet), `at_risk` (still followed at
        the horizon), `status` (``ok``, or why there is no rate).
    whole
        The way from each open stage to won, in the columns of `steps`.
    cohorts
        One row a month in which deals reached the first stage: `cohort`, `n`, `age_days` (of its youngest deal),
        `rate` within the horizon with `low` and `high` (empty where not old enough), `ultimate` with
        `ultimate_low` and `ultimate_high` (its own pace as far as seen, that of all beyond), `is_young` (not all
        of it is followed to the horizon).
    curve
        Of all deals by age: `days`, `won`, `lost`, `open`; they add up to one.
    as_of, horizon_days, interval
        As asked.
    notes
        What the numbers leave out, each a sentence.
    counts
        Deals of the first stage by month, hours and outcome, behind `cohorts`.
    """

    headline: str
    steps: pd.DataFrame
    whole: pd.DataFrame
    curve: pd.DataFrame
    as_of: pd.Timestamp
    horizon_days: float
    interval: float
    notes: tuple[str, ...] = ()
    counts: pd.DataFrame = field(default=None, repr=False, compare=False)

    @cached_property
    def cohorts(self) -> pd.DataFrame:
        """Cohorts by month; made when they are asked for, as resampling them takes longest."""
        return project_cohorts(self.counts, self.as_of, self.horizon_days, self.interval)


def measure_conversion(
    moves: pd.DataFrame | Path | str,
    stages: Sequence[str],
    *,
    as_of: object,
    horizon_days: float,
    interval: float = 0.95,
    without_losses: str = "refuse",
) -> Conversion:
    """Measure which share of deals reaches the next stage within so many days, and how long they take.

    Parameters
    ----------
    moves
        Frame, or Parquet file, with `opportunity_id`, `stage` and `entered_at`, one row a move; won and lost are
        stages as any other.
    stages
        Open stages in order, then the one that means won and the one that means lost.
    as_of
        Nothing after it is seen; a date means its end.
    horizon_days
        Age at which conversion is read, the same for every deal: old and young cohorts compare.
    interval
        Probability that an interval holds.
    without_losses
        ``bound`` measures even where no loss is recorded; each rate is then an upper bound (1 − Kaplan–Meier), and
        the headline says so.

    Raises
    ------
    DataContractError
        For deals closed before they began, or more than 1 % of them out of order.
    InsufficientData
        Where no step can be told: fewer than 30 deals, none that moved, none old enough; or losses are not
        recorded.
    ParameterError
        For a missing column, an empty cell, a stage that the order does not name, a horizon not above zero.

    Notes
    -----
    Aalen and Johansen (1978) for rates, Kaplan and Meier (1958) for times; a stage skipped counts as reached, a
    stage entered again or left backwards takes nothing away.
    """
    stages, until = checked_order(stages), instant(as_of)
    if not horizon_days > 0 or not 0 < interval < 1:
        raise ParameterError(
            f"horizon_days {horizon_days} must be above 0 and interval {interval} between 0 and 1."
        )
    counts, ways, facts = count_steps(moves, stages, as_of)
    bound = _losses(facts, stages, without_losses)
    won = stages[-2]
    steps = _rows(counts, stages, [*stages[1:-2], won], horizon_days, interval)
    whole = _rows(ways, stages, [won] * (len(stages) - 2), horizon_days, interval)
    _refuse(steps)
    steps, whole = (rows.drop(columns=["kind", "why"]) for rows in (steps, whole))
    first = ways[ways["stage"].eq(0)]
    return Conversion(
        _headline(steps, whole, stages, horizon_days, bound), steps, whole,
        _curve(first), until, horizon_days, interval, _notes(facts, bound), first,
    )  # fmt: skip


def _losses(facts: dict[str, int], stages: list[str], without_losses: str) -> bool:
    """Whether rates are only upper bounds, because nobody records losses."""
    if without_losses not in ("refuse", "bound"):
        raise ParameterError(f"without_losses is {without_losses!r}; it must be 'refuse' or 'bound'.")
    if facts["lost"] or not facts["won"]:
        return False
    if without_losses == "refuse":
        what = say(
            "Stage conversion: no deal ever enters {stage}, so losses are not recorded and any rate would be an "
            "upper bound (ask for it with without_losses='bound')", stage=repr(stages[-1]),
        )  # fmt: skip
        raise InsufficientData(what, needed=1, got=0, of=say("lost deals"))
    return True


def curve_of(counts: pd.DataFrame) -> Curve:
    """Make the curve of counted steps."""
    return Curve.of(days(counts["hours"]), counts["outcome"], counts["n"])


def _rows(
    counts: pd.DataFrame, stages: list[str], ahead: list[str], horizon: float, interval: float
) -> pd.DataFrame:
    """Measure steps; `kind` and `why` are the status in parts."""
    import pandas as pd

    rows = [
        {"stage": stages[place], "next_stage": following}
        | _row(counts[counts["stage"].eq(place)], horizon, interval)
        for place, following in enumerate(ahead)
    ]
    return pd.DataFrame(rows)


def _row(counts: pd.DataFrame, horizon: float, interval: float) -> dict:
    """Measure one step; where it cannot be told the numbers are empty and the status says why."""
    curve = curve_of(counts)
    empty = dict.fromkeys(("rate", "low", "high", "lost"), np.nan)
    times = _times(curve, interval)
    base = {
        "n": curve.n,
        "reached": curve.ended_by(horizon) if curve.n else 0,
        **empty,
        **times,
        "at_risk": curve.risk_at(horizon) if curve.n else 0,
    }
    kind, why = _why_not(curve, horizon)
    found = curve.share_by(horizon, level=interval, least=LEAST) if not kind else None
    if found and found.status != OK:
        kind, why = FEW, found.note
    if kind:
        return {**base, "status": f"{say(kind)}: {why}", "kind": kind, "why": why}
    lost = curve.share_by(horizon, cause=RIVAL, least=LEAST).value
    rates = {"rate": found.value, "low": found.low, "high": found.high, "lost": lost}
    return {**base, **rates, "status": OK, "kind": OK, "why": ""}


def _why_not(curve: Curve, horizon: float) -> tuple[str, str]:
    if curve.n < LEAST:
        return FEW, say("needs {least} deals, has {n}", least=LEAST, n=curve.n)
    if not curve.ended.any():
        return NO_EXIT, say("none of {n} deals has left the stage", n=curve.n)
    oldest = float(curve.time[-1])
    if oldest < horizon and curve.survival[-1] > 0:
        asked = localised(f"{horizon:g}")
        return TOO_YOUNG, say("followed for {days} days, {asked} asked", days=int(oldest), asked=asked)
    return "", ""


def _times(curve: Curve, interval: float) -> dict:
    if not curve.n:
        return dict.fromkeys(("median_days", "median_low", "median_high", "p90_days"), np.nan)
    half, most = curve.quantile(0.5, level=interval), curve.quantile(TENTH, level=interval)
    return {"median_days": half.value, "median_low": half.low, "median_high": half.high, "p90_days": most.value}


def _refuse(steps: pd.DataFrame) -> None:
    if steps["status"].eq(OK).any():
        return
    row = steps.iloc[0]
    of = {TOO_YOUNG: mark("deals old enough"), NO_EXIT: mark("deals that left the stage")}
    of = say(of.get(row["kind"], mark("deals at risk")))
    what = say(
        "Conversion from {stage} to {following} ({status}, {why})",
        stage=called(row["stage"]), following=called(row["next_stage"]), status=say(row["kind"]), why=row["why"],
    )  # fmt: skip
    got = int(row["n"]) if row["kind"] == FEW else 0
    raise InsufficientData(what, needed=LEAST, got=got, of=of)


def _curve(first: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    curve = curve_of(first)
    won, lost = curve.incidence
    frame = pd.DataFrame({"days": curve.time, "won": won, "lost": lost, "open": curve.survival})
    frame["at_risk"] = curve.at_risk
    start = pd.DataFrame({"days": [0.0], "won": [0.0], "lost": [0.0], "open": [1.0], "at_risk": [float(curve.n)]})
    return pd.concat([start, frame], ignore_index=True)


def _headline(steps: pd.DataFrame, whole: pd.DataFrame, stages: list[str], horizon: float, bound: bool) -> str:
    told, way = steps[steps["status"].eq(OK)], whole.iloc[0]
    days, parts = localised(f"{horizon:g}"), []
    if way["status"] == OK:
        given = {"rate": _with_range(way), "stage": called(stages[0]), "days": days}
        if bound:
            parts = [say("{rate} of deals that reach {stage} are won within {days} days at most (losses are not "
                         "recorded: an upper bound)", **given)]  # fmt: skip
        else:
            parts = [say("{rate} of deals that reach {stage} are won within {days} days", **given)]
    weak = told.loc[told["rate"].idxmin()]
    given = {"stage": called(weak["stage"]), "following": called(weak["next_stage"]), "rate": _with_range(weak),
             "n": number(weak["n"], "count"), "days": days}  # fmt: skip
    if bound and not parts:
        parts = [say("the fewest go on from {stage} to {following}: {rate} of {n} at most (losses are not "
                     "recorded: an upper bound) within {days} days.", **given)]  # fmt: skip
    else:
        parts += [say("the fewest go on from {stage} to {following}: {rate} of {n} within {days} days.", **given)]
    said = "; ".join(parts)
    return said[0].upper() + said[1:]


def _with_range(row: pd.Series) -> str:
    return f"{row['rate']:.0%} [{row['low']:.0%}; {row['high']:.0%}]"


def _notes(facts: dict[str, int], bound: bool) -> tuple[str, ...]:
    out = []
    if bound:
        out.append(say("Losses are not recorded, so each rate is an upper bound: 1 − Kaplan–Meier."))
    if never := facts["never"]:
        said = mark("{n} of {total} deals never entered an open stage and are left out.")
        out.append(say(said, n=never, total=facts["deals"]))
    if late := facts["disordered"]:
        out.append(say("{n} deals enter an open stage after they were won; their first win counts.", n=late))
    return tuple(out)
