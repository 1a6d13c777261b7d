"""How the deals of the sample company go through the stages, and how the quarter end pulls them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from salesops_lib.sources.sample.columns import frame
from salesops_lib.sources.sample.model import Deals, Life, World
from salesops_lib.sources.sample.names import DEFAULT_CATEGORY, LOST, PHASES, PIPELINE, PROBABILITY, STAGES, WON
from salesops_lib.sources.sample.settings import day_number

TYPE_LOGIT = np.array([0.0, 0.55, 1.5])
SOURCE_LOGIT = np.array([0.0, 0.05, 0.20, -0.15, 0.25, 0.0])
RAMP_LOGIT = -0.4
# Advance to the next stage rather than lose, by segment and open stage.
ADVANCE = np.array([
    [0.80, 0.74, 0.74, 0.79, 0.83],
    [0.78, 0.72, 0.72, 0.77, 0.82],
    [0.74, 0.68, 0.69, 0.74, 0.80],
])  # fmt: skip
# Mean working days in a stage before it advances; a gamma with `DURATION_SHAPE`, times a frailty of the deal.
DURATION = np.array([27.0, 54.0, 108.0])[:, None] * np.array([0.16, 0.19, 0.20, 0.25, 0.20])
DURATION_SHAPE, FRAILTY_SIGMA = 1.6, 0.3
LINGER, LINGER_SIGMA = 6.5, 0.5  # a deal about to be lost stays that much longer in its last stage
LONGEST = 400  # working days in one stage, after which even a forgotten deal is closed
SKIP_SHARE, BACK_SHARE, REOPEN_SHARE, PULL_SHARE = 0.036, 0.025, 0.02, 0.5
PROCESS_STAGE = 2


def draw_life(rng, world: World, deals: Deals) -> Life:
    """Walk all deals through the stages until each is won or lost; a few of the lost are reopened once."""
    n = len(deals.created)
    chance = _advance(world, deals)
    frailty = rng.lognormal(0, FRAILTY_SIGMA, n)
    lost, reopened = np.full(n, np.inf), np.full(n, np.inf)
    at, stage, alive = deals.created.copy(), np.zeros(n, np.int64), np.arange(n)
    moves = [(alive, at.copy(), stage.copy())]
    while alive.size:
        s, segment = stage[alive], deals.segment[alive]
        ahead, other = rng.random((2, alive.size))
        ahead = ahead < chance(alive, s, at[alive])
        step = np.where((s <= 2) & (other < SKIP_SHARE), 2, 1)
        step = np.where((s >= 2) & (other > 1 - BACK_SHARE), -1, step)
        dwell = rng.gamma(DURATION_SHAPE, 1 / DURATION_SHAPE, alive.size) * DURATION[segment, s] * frailty[alive]
        linger = LINGER * rng.lognormal(0, LINGER_SIGMA, alive.size)
        at[alive] += np.clip(dwell * np.where(ahead, 1, linger), 0.05, LONGEST)
        stage[alive] = np.where(ahead, s + step, LOST)
        moves.append((alive, at[alive], stage[alive]))
        again = alive[(stage[alive] == LOST) & (rng.random(alive.size) < REOPEN_SHARE)]
        again = again[np.isinf(lost[again])]
        lost[again] = at[again]
        at[again] += rng.uniform(7, 43, again.size)
        reopened[again], stage[again] = at[again], 1
        moves.append((again, at[again], stage[again]))
        alive = alive[stage[alive] < WON]
    deal, position, stage = (np.concatenate(x) for x in zip(*moves, strict=True))
    order = np.lexsort((position, deal))
    deal, position, stage = deal[order], position[order], stage[order]
    _pull_to_quarter_end(rng, world, position, stage)
    return Life(deal, position, stage, lost, reopened, ended=position[np.flatnonzero(np.diff(deal, append=n))])


def _advance(world: World, deals: Deals):
    """Return a function of deal, stage and position: the probability to advance."""
    team, settings = world.team, world.settings
    fixed = team.skill[deals.owner] + SOURCE_LOGIT[deals.source] + TYPE_LOGIT[deals.kind]
    fixed += RAMP_LOGIT * (1 - team.ramp(deals.owner, deals.created))
    change = world.clock.position(day_number(settings.process_change_on))
    treated = team.treated[world.accounts.team[deals.account]]
    base = np.log(ADVANCE / (1 - ADVANCE))

    def chance(deal, stage, at):
        lift = settings.process_change_lift * (treated[deal] & (stage == PROCESS_STAGE) & (at >= change))
        logit = fixed[deal] + base[deals.segment[deal], stage] + team.weakness[deals.owner[deal], stage] + lift
        return 1 / (1 + np.exp(-logit))

    return chance


def _pull_to_quarter_end(rng, world: World, position, stage) -> None:
    """Move, in place, part of the wins near the end of a fiscal quarter into its last ten days."""
    won = np.flatnonzero(stage == WON)
    at, ends = position[won], world.clock.position(world.settings.quarter_starts())
    near = np.searchsorted(ends, at)
    near -= (at - ends[near - 1]) < (ends[near] - at)
    target = ends[near] - 7 * rng.beta(1, 1.7, won.size)
    moved = (np.abs(at - ends[near]) < 15) & (rng.random(won.size) < PULL_SHARE)
    moved &= target > position[won - 1] + 0.05
    position[won[moved]] = target[moved]


def near_quarter_end(world: World, closed: np.ndarray) -> np.ndarray:
    """Mark the deals that close in the last ten days of a fiscal quarter."""
    day, starts = world.clock.day(closed), world.settings.quarter_starts()
    return starts[np.searchsorted(starts, day, side="right")] - day <= 10


def judgement(rng, stage: np.ndarray) -> np.ndarray:
    """Choose the forecast category at each stage change: the default of the stage, at times the rep's own view."""
    category, view = np.array([1, 1, 2, 2, 4, 5, 0])[stage], rng.random(len(stage))
    category = np.where((stage == 2) & (view < 0.2), 1, category)
    category = np.where((stage == 3) & (view < 0.25), np.where(view < 0.06, 4, 3), category)
    return np.where((stage == 4) & (view < 0.35), np.where(view < 0.1, 2, 3), category)


def stages_table(world: World, at: int) -> pd.DataFrame:
    """List the stages of the one pipeline."""
    order = np.arange(len(STAGES))
    columns = {
        "pipeline_id": PIPELINE,
        "stage_id": STAGES,
        "valid_from": pd.Timestamp(world.settings.start) - pd.DateOffset(years=12),
        "stage_name": [stage.removeprefix("sample:").capitalize() for stage in STAGES],
        "stage_order": order + 1,
        "is_closed": order >= WON,
        "is_won": order == WON,
        "is_qualified": order >= 1,
        "probability_default": PROBABILITY,
        "forecast_category": DEFAULT_CATEGORY,
        "journey_phase": PHASES,
    }
    return frame("stages", columns, at)
