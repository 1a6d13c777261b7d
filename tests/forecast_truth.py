"""True chances of the sample company's open deals: its own generator run on from each deal's state, many times."""

from __future__ import annotations

import numpy as np
import pandas as pd

from salesops_lib.sources.sample import stages
from salesops_lib.sources.sample.clock import OFFICE, OPENS
from salesops_lib.sources.sample.model import Company, Deals
from salesops_lib.sources.sample.names import LOST, TYPES, WON
from salesops_lib.sources.sample.settings import day_number


def chances(company: Company, day: str, until: str, *, proposals: int = 1_500, seed: int = 1) -> pd.Series:
    """Probability that each open deal of new business is won after `day` and up to `until`, by id.

    Knows the stage, the time in it, segment, type, source and the owner's true skill; what is hidden from
    everybody (how slow the deal is, whether it will advance) is drawn and kept where it agrees with the time in
    the stage.
    """
    clock, book, settings = company.clock, company.book, company.settings
    now = clock.position(day_number(day) + 1)
    at = int(clock.instant(np.array([now - 1e-6]))[0]) + OFFICE
    d = np.flatnonzero((book.created <= at) & (np.minimum(book.deleted, book.merged) > at))
    row = book.stages.last(d, at)
    here = (book.stages.value[row] < WON) & (book.kind[d] != TYPES.index("renewal"))
    d, row = d[here], row[here]
    first = np.searchsorted(book.owners.deal, d)
    deals = Deals(
        book.account[d], company.accounts.segment[book.account[d]], book.kind[d], book.source[d],
        book.owners.value[first], _position(clock, book.created[d]),
    )  # fmt: skip
    stage, entered = book.stages.value[row], _position(clock, book.stages.t[row])
    rng = np.random.default_rng(seed)
    won, kept = _run_on(rng, company, deals, stage, entered, now, proposals)
    end = clock.position(day_number(until) + 1)
    inside = (won < end) & kept
    n = kept.sum(axis=1)
    share = np.where(n >= 20, inside.sum(axis=1) / np.maximum(n, 1), np.nan)
    assert settings.end > until
    return pd.Series(share, index=pd.Index(book.deal_ids.take(d)).astype(str))


def _position(clock, instant):
    day = clock.local_day(instant)
    second = (instant + clock.offset[np.minimum(instant // 86_400 - clock.first, len(clock.offset) - 1)]) % 86_400
    return clock.position(day) + np.clip((second - OPENS) / OFFICE, 0, 0.9999)


def _run_on(rng, company, deals: Deals, stage, entered, now: float, m: int):
    """Position at which each draw is won (inf where lost), and which draws agree with what was seen by `now`."""
    n, chance = len(stage), stages._advance(company, deals)
    deal = np.repeat(np.arange(n), m)
    at, s, previous = entered[deal].copy(), stage[deal].copy(), entered[deal].copy()
    frailty = rng.lognormal(0, stages.FRAILTY_SIGMA, n * m)
    won, kept, alive, is_first = np.full(n * m, np.inf), np.ones(n * m, bool), np.arange(n * m), True
    while alive.size:
        k, segment = s[alive], deals.segment[deal[alive]]
        ahead, other = rng.random((2, alive.size))
        ahead = ahead < chance(deal[alive], k, at[alive])
        step = np.where((k <= 2) & (other < stages.SKIP_SHARE), 2, 1)
        step = np.where((k >= 2) & (other > 1 - stages.BACK_SHARE), -1, step)
        shape = stages.DURATION_SHAPE
        dwell = rng.gamma(shape, 1 / shape, alive.size) * stages.DURATION[segment, k] * frailty[alive]
        linger = stages.LINGER * rng.lognormal(0, stages.LINGER_SIGMA, alive.size)
        previous[alive] = at[alive]
        at[alive] += np.clip(dwell * np.where(ahead, 1, linger), 0.05, stages.LONGEST)
        s[alive] = np.where(ahead, k + step, LOST)
        if is_first:
            kept = at >= now
            alive, is_first = alive[kept[alive]], False
        again = alive[(s[alive] == LOST) & (rng.random(alive.size) < stages.REOPEN_SHARE)]
        at[again] += rng.uniform(7, 43, again.size)
        s[again] = 1
        alive = alive[s[alive] < WON]
    ended = (s == WON) & kept
    won[ended] = _pulled(rng, company, at[ended], previous[ended])
    return won.reshape(n, m), (kept & (won >= now)).reshape(n, m)


def _pulled(rng, company, at, previous):
    """The generator's pull of wins into the last days of a quarter."""
    ends = company.clock.position(company.settings.quarter_starts())
    near = np.searchsorted(ends, at)
    near -= (at - ends[near - 1]) < (ends[near] - at)
    target = ends[near] - 7 * rng.beta(1, 1.7, at.size)
    moved = (np.abs(at - ends[near]) < 15) & (rng.random(at.size) < stages.PULL_SHARE) & (target > previous + 0.05)
    return np.where(moved, target, at)
