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
from salesops_lib.passages import checked_order, count_steps, days, instant
from salesops_lib.stats import OK

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

TENTH = 0.9
TOO_YOUNG, NO_EXIT, FEW = "not old enough", "all still open", "too few"


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
        raise InsufficientData(
            f"Stage conversion: no deal ever enters {stages[-1]!r}, so losses are not recorded and any rate "
            "would be an "
            "upper bound (ask for it with without_losses='bound')", needed=1, got=0, of="lost deals",
        )  # fmt: skip
    return True


def curve_of(counts: pd.DataFrame) -> Curve:
    """Make the curve of counted steps."""
    return Curve.of(days(counts["hours"]), counts["outcome"], counts["n"])


def _rows(
    counts: pd.DataFrame, stages: list[str], ahead: list[str], horizon: float, interval: float
) -> pd.DataFrame:
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
    why = _why_not(curve, horizon)
    if why:
        return {**base, "status": why}
    found = curve.share_by(horizon, level=interval, least=LEAST)
    if found.status != OK:
        return {**base, "status": f"{FEW}: {found.note}"}
    lost = curve.share_by(horizon, cause=RIVAL, least=LEAST).value
    return {**base, "rate": found.value, "low": found.low, "high": found.high, "lost": lost, "status": OK}


def _why_not(curve: Curve, horizon: float) -> str:
    if curve.n < LEAST:
        return f"{FEW}: needs {LEAST} deals, has {curve.n}"
    if not curve.ended.any():
        return f"{NO_EXIT}: none of {curve.n} deals has left the stage"
    oldest = float(curve.time[-1])
    if oldest < horizon and curve.survival[-1] > 0:
        return f"{TOO_YOUNG}: followed for {int(oldest)} days, {horizon:g} asked"
    return ""


def _times(curve: Curve, interval: float) -> dict:
    if not curve.n:
        return dict.fromkeys(("median_days", "median_low", "median_high", "p90_days"), np.nan)
    half, most = curve.quantile(0.5, level=interval), curve.quantile(TENTH, level=interval)
    return {"median_days": half.value, "median_low": half.low, "median_high": half.high, "p90_days": most.value}


def _refuse(steps: pd.DataFrame) -> None:
    if steps["status"].eq(OK).any():
        return
    row = steps.iloc[0]
    kind, _, why = row["status"].partition(": ")
    of = {TOO_YOUNG: "deals old enough", NO_EXIT: "deals that left the stage"}.get(kind, "deals at risk")
    got = row["n"] if kind == FEW else 0
    raise InsufficientData(
        f"Conversion from {row['stage']} to {row['next_stage']} ({kind}, {why})", needed=LEAST, got=got, of=of
    )


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
    label = " at most (losses are not recorded: an upper bound)" if bound else ""
    first = ""
    if way["status"] == OK:
        first = (
            f"{way['rate']:.0%} [{way['low']:.0%}; {way['high']:.0%}] of deals that reach {stages[0]} are won "
            "within "
            f"{horizon:g} days{label}; "
        )
    weak = told.loc[told["rate"].idxmin()]
    said = (
        f"{first}the fewest go on from {weak['stage']} to {weak['next_stage']}: {weak['rate']:.0%} "
        f"[{weak['low']:.0%}; {weak['high']:.0%}] of {weak['n']:,}{'' if first else label} within {horizon:g} "
        "days."
    )
    return said[0].upper() + said[1:]


def _notes(facts: dict[str, int], bound: bool) -> tuple[str, ...]:
    out = []
    if bound:
        out.append("Losses are not recorded, so each rate is an upper bound: 1 − Kaplan–Meier.")
    if facts["never"]:
        out.append(f"{facts['never']} of {facts['deals']} deals never entered an open stage and are left out.")
    if facts["disordered"]:
        out.append(f"{facts['disordered']} deals enter an open stage after they were won; their first win counts.")
    return tuple(out)
