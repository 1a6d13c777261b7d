"""What one point of each stage is worth, in currency, and which initiative pays most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import stats
from salesops_lib.decompose import product_change
from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.language import mark, say
from salesops_lib.passages import called
from salesops_lib.present.numbers import localised

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.funnel.conversion import Conversion

DRAWS, SEED = 4_000, 20260101
LEAST_WON = 30
POINT = 0.01
VOLUME, SIZE, CYCLE = mark("deals created"), mark("deal size"), mark("sales cycle")
ARROW = " → "  # between the stages of a lever
SHIFTS = ("lever", "shift_low", "shift_high", "cost")


@dataclass(frozen=True)
class Levers:
    """What moves bookings.

    Attributes
    ----------
    headline
        The stage whose point is worth most.
    table
        One row a lever, the dearest first: `lever`, `unit` (``1 point``, ``1 %``, ``1 day``), `now`, `worth`
        (bookings more a quarter for one unit) with `low` and `high`, `p_best` (chance to be the dearest stage).
    bookings
        Expected bookings a quarter from the fitted funnel: volume × stages × size.
    """

    headline: str
    table: pd.DataFrame
    bookings: float
    draws: pd.DataFrame


def rank_levers(
    conversion: Conversion,
    amounts: pd.Series,
    *,
    per_quarter: float,
    cycle_days: float = np.nan,
    interval: float = 0.95,
) -> Levers:
    """Say what one more point of each stage, one per cent more deals or size, or one day less brings a quarter.

    Parameters
    ----------
    conversion
        Fitted funnel; take a horizon long enough for nearly all deals to have ended.
    amounts
        Amounts of won deals, one currency.
    per_quarter
        Deals a quarter that reach the first stage.
    cycle_days
        Typical days from creation to won; the worth of a day holds where reps are busy all the time, so that a
        shorter cycle means more deals (velocity K10).

    Raises
    ------
    InsufficientData
        Where a stage has no rate, or fewer than 30 won deals have an amount.

    Notes
    -----
    K43. Bookings are a product, so the derivative by a stage's rate is bookings ÷ rate. Intervals from draws:
    rates normal on the logit scale, volume Poisson, mean size by its standard error.
    """
    import pandas as pd

    steps = conversion.steps
    if steps["rate"].isna().any():
        row = steps[steps["rate"].isna()].iloc[0]
        what = say("Levers: no rate from {stage} ({why})", stage=called(row["stage"]), why=row["status"])
        raise InsufficientData(what, needed=30, got=int(row["n"]), of=say("deals"))
    sizes = stats.to_float(amounts)
    if len(sizes) < LEAST_WON:
        of = say("won deals with an amount")
        raise InsufficientData(say("Levers"), needed=LEAST_WON, got=len(sizes), of=of)
    rng, mean = np.random.default_rng(SEED), float(sizes.mean())
    rates, volume, size = _draw_rates(conversion, rng), _volume(per_quarter, rng), _mean(sizes, rng)
    point = float(np.prod(steps["rate"])) * per_quarter * mean
    stages = [f"{a}{ARROW}{b}" for a, b in zip(steps["stage"], steps["next_stage"], strict=True)]
    # lever: unit, present level, what one unit does to bookings at the point and in the draws
    levers = {
        name: ("1 point", rate, POINT / rate, POINT / rates[:, k])
        for k, (name, rate) in enumerate(zip(stages, steps["rate"], strict=True))
    }
    levers |= {VOLUME: ("1 %", per_quarter, POINT, POINT), SIZE: ("1 %", mean, POINT, POINT)}
    if cycle_days > 1:  # not where it is unknown
        sooner = cycle_days / (cycle_days - 1) - 1
        levers[CYCLE] = ("1 day", cycle_days, sooner, sooner)
    whole = rates.prod(axis=1) * volume * size
    draws = pd.DataFrame({name: whole * drawn for name, (*_, drawn) in levers.items()})
    rows = [(name, unit, now, point * share) for name, (unit, now, share, _) in levers.items()]
    table = pd.DataFrame(rows, columns=["lever", "unit", "now", "worth"])
    table["low"], table["high"] = draws.quantile([(1 - interval) / 2, (1 + interval) / 2]).to_numpy()
    best = draws[stages].idxmax(axis=1).value_counts(normalize=True).reindex(stages, fill_value=0.0)
    table["p_best"] = table["lever"].map(best)
    table = table.sort_values("worth", ascending=False, ignore_index=True)
    return Levers(_headline(table, stages), table, point, draws)


def rank_initiatives(levers: Levers, initiatives: pd.DataFrame, *, interval: float = 0.9) -> pd.DataFrame:
    """Rank initiatives by what a plausible shift of their lever is worth for their cost.

    Parameters
    ----------
    levers
        From `rank_levers`.
    initiatives
        One row an initiative: `initiative`, `lever` (as in `levers.table`), `shift_low`, `shift_high` (units of
        the lever, the range it will plausibly move by), `cost` (a quarter).

    Returns
    -------
    DataFrame
        The best first: the columns given, `worth` (a quarter) with `low` and `high`, `per_cost` (worth ÷ cost),
        `p_pays` (chance to bring more than it costs), `p_best` (chance to have the highest worth ÷ cost).

    Raises
    ------
    ParameterError
        For a missing column, an unknown lever, a range upside down, or a cost not above zero.
    """
    for column in ("initiative", *SHIFTS):
        if column not in initiatives:
            raise ParameterError(unknown("column", column, initiatives.columns))
    for lever in initiatives["lever"]:
        if lever not in levers.draws:
            raise ParameterError(unknown("lever", lever, levers.draws.columns))
    if (initiatives["shift_low"] > initiatives["shift_high"]).any() or (initiatives["cost"] <= 0).any():
        raise ParameterError("shift_low must not be above shift_high, and cost must be above zero.")
    rng = np.random.default_rng(SEED + 1)
    shift = rng.uniform(initiatives["shift_low"], initiatives["shift_high"], (len(levers.draws), len(initiatives)))
    worth = shift * levers.draws[initiatives["lever"]].to_numpy()
    cost = initiatives["cost"].to_numpy(dtype=float)
    per_cost = worth / cost
    best = np.bincount(per_cost.argmax(axis=1), minlength=len(cost)) / len(per_cost)
    low, high = np.quantile(worth, [(1 - interval) / 2, (1 + interval) / 2], axis=0)
    out = initiatives.assign(
        worth=worth.mean(axis=0), low=low, high=high, per_cost=per_cost.mean(axis=0),
        p_pays=(per_cost > 1).mean(axis=0),
        p_best=best,
    )  # fmt: skip
    return out.sort_values("per_cost", ascending=False, ignore_index=True)


def velocity_change(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Split the change of sales velocity (K10) into deals, win rate, size and cycle; the parts add up exactly.

    Parameters
    ----------
    before, after
        `deals` (open, qualified), `win_rate` (projected), `size`, `cycle_days` (Kaplan–Meier), all of one
        population.

    Returns
    -------
    dict
        Effect of each in currency a day; a shorter cycle has one above zero.

    Raises
    ------
    ParameterError
        For a missing factor, or a cycle not above zero.
    """
    factors = []
    for when, values in (("before", before), ("after", after)):
        for name in ("deals", "win_rate", "size", "cycle_days"):
            if name not in values:
                raise ParameterError(f"{when}: {unknown('factor', name, values)}")
        if not values["cycle_days"] > 0:
            raise ParameterError(f"cycle_days {when} is {values['cycle_days']}, not above zero.")
        factors.append({"deals": values["deals"], "win_rate": values["win_rate"], "size": values["size"],
                        "cycle_days": 1 / values["cycle_days"]})  # fmt: skip
    return product_change(*factors)


def _draw_rates(conversion: Conversion, rng: np.random.Generator) -> np.ndarray:
    from scipy.special import expit, logit
    from scipy.stats import norm

    steps = conversion.steps
    middle, low, high = (logit(np.clip(steps[c].to_numpy(float), 1e-6, 1 - 1e-6)) for c in ("rate", "low", "high"))
    error = (high - low) / 2 / norm.ppf((1 + conversion.interval) / 2)
    return expit(rng.normal(middle, error, (DRAWS, len(steps))))


def _volume(per_quarter: float, rng: np.random.Generator) -> np.ndarray:
    return rng.gamma(max(per_quarter, 0.5), 1.0, DRAWS)


def _mean(sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mean size by the bootstrap: sizes are too skewed for a normal error."""
    picked = rng.integers(0, len(sizes), (DRAWS, min(len(sizes), 500)))
    mean = sizes[picked].mean(axis=1)
    return sizes.mean() + (mean - sizes.mean()) * np.sqrt(picked.shape[1] / len(sizes))


def _headline(table: pd.DataFrame, stages: list[str]) -> str:
    top = table[table["lever"].isin(stages)].iloc[0]
    worth, low, high = (localised(f"{top[name]:,.0f}") for name in ("worth", "low", "high"))
    return say(
        "One point more from {lever} is worth {worth} a quarter [{low}; {high}], the most of all stages ({share} "
        "sure).", lever=lever_said(top["lever"]), worth=worth, low=low, high=high, share=f"{top['p_best']:.0%}",
    )  # fmt: skip


def lever_said(lever: str) -> str:
    """Name a lever for a reader."""
    if lever in (VOLUME, SIZE, CYCLE):
        return say(lever)
    return ARROW.join(map(called, lever.split(ARROW)))
