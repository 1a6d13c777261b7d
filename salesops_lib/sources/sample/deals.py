"""The deals of the sample company: who buys what, how price, close date and owner change, what is removed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from salesops_lib.sources.sample.accounts import AMOUNT_MEDIAN
from salesops_lib.sources.sample.activities import draw_activities
from salesops_lib.sources.sample.clock import Clock, Timeline
from salesops_lib.sources.sample.leads import draw_leads
from salesops_lib.sources.sample.model import Counts, Deals, Ledger, Life, World
from salesops_lib.sources.sample.names import LOST, PRODUCTS, WON
from salesops_lib.sources.sample.stages import DURATION, draw_life, judgement, near_quarter_end

SEGMENT_SHARE, TYPE_SHARE = [0.50, 0.34, 0.16], [0.7, 0.2, 0.1]
SOURCE_SHARE = [0.34, 0.16, 0.12, 0.28, 0.10]
DELETE_SHARE, MERGE_SHARE = 0.01, 0.012
AMOUNT_SIGMA, TYPE_AMOUNT = 0.45, np.array([1.0, 0.6, 0.85])
BLANK_SHARE, UNPRICED_SHARE = 0.10, 0.03


def draw_book(world: World, n: int, before: Counts) -> Ledger:
    """Draw `n` deals with all that happens to them; each block has its own generator."""
    rng, clock = world.settings.rng(1, before.blocks), world.clock
    deals = _draw_deals(rng, world, n)
    life = draw_life(rng, world, deals)
    rushed = near_quarter_end(world, life.ended)
    deleted, merged, survivor = _removals(rng, deals, life.ended)
    stopped = np.minimum(deleted, merged)
    keep = life.position < stopped[life.deal]
    moves = life.deal[keep], life.position[keep], life.stage[keep]
    life = replace(life, **dict(zip(("deal", "position", "stage"), moves, strict=True)))
    life = replace(life, ended=np.minimum(life.ended, stopped))
    amounts, dates = _draw_amounts(rng, world, deals, life), _draw_dates(rng, clock, deals, life)
    owners = _draw_owners(rng, world, deals, life)
    product = rng.choice(len(PRODUCTS), n, p=[0.4, 0.25, 0.25, 0.1])
    leads, lead = draw_leads(rng, world, deals)
    return Ledger(
        before, deals.account, deals.kind, deals.source, product, lead,
        noise=rng.random((n, 6)),
        created=clock.instant(deals.created), deleted=clock.instant(deleted), merged=clock.instant(merged),
        survivor=survivor, rushed=rushed,
        stages=Timeline.of(clock, (*moves, judgement(rng, life.stage))),
        amounts=amounts, dates=dates, owners=owners, leads=leads,
        activities=draw_activities(rng, world, deals, life, owners, leads),
        lines=_lines(rng, product),
    )  # fmt: skip


def _draw_deals(rng, world: World, n: int) -> Deals:
    created = world.clock.arrivals(rng, n)
    kind = rng.choice(3, n, p=TYPE_SHARE)
    accounts, team = world.accounts, world.team
    account = _customers(rng, world, created, kind)
    source = np.where(kind == 0, rng.choice(5, n, p=SOURCE_SHARE), 5)
    # The rep of the company; a colleague before, after and, partly, during the ramp.
    home = accounts.home[account]
    able = team.there(home, created) & (rng.random(n) < team.ramp(home, created))
    owner = np.where(able, home, team.pick(accounts.team[account], created, rng.random(n)))
    return Deals(account, accounts.segment[account], kind, source, owner, created)


def _customers(rng, world: World, created, kind) -> np.ndarray:
    """Choose the company of each deal among those known by then; repeat business needs a customer."""
    n, accounts = len(created), world.accounts
    segment = rng.choice(3, n, p=SEGMENT_SHARE)
    legacy = (kind > 0) | (rng.random(n) < 0.1)
    account, draw = np.empty(n, np.int64), rng.random(n)
    for group in range(6):
        mine = (segment == group % 3) & (legacy == (group >= 3))
        known = np.flatnonzero((accounts.segment == group % 3) & (accounts.legacy == (group >= 3)))
        known = known[np.argsort(accounts.created[known])]
        so_far = np.searchsorted(accounts.created[known], created[mine])
        account[mine] = known[(draw[mine] * so_far).astype(np.int64)]
    return account


def _removals(rng, deals: Deals, closed):
    """Draw deletions, and merges of a deal into the one of the same company created before it."""
    account, created, n = deals.account, deals.created, len(closed)
    deleted = created + rng.random(n) * (closed + 20 - created)
    deleted[rng.random(n) >= DELETE_SHARE] = np.inf
    order = np.lexsort((created, account))
    before = np.full(n, -1)
    before[order[1:]] = np.where(account[order[1:]] == account[order[:-1]], order[:-1], -1)
    merged = created + np.minimum(rng.uniform(3, 30, n), 0.9 * (closed - created))
    chosen = (rng.random(n) < MERGE_SHARE) & (before >= 0) & np.isinf(deleted)
    # A survivor has to survive: neither deleted nor merged itself.
    chosen &= np.isinf(deleted[before]) & ~chosen[before]
    merged[~chosen] = np.inf
    return deleted, merged, np.where(chosen, before, -1)


def _draw_amounts(rng, world: World, deals: Deals, life: Life) -> Timeline:
    """Draw the price of each deal over time, in cents; -1 is an emptied amount."""
    created, deal, position, stage = deals.created, life.deal, life.position, life.stage
    n, every = len(created), np.arange(len(created))
    value = AMOUNT_MEDIAN[deals.segment] * TYPE_AMOUNT[deals.kind] * rng.lognormal(0, AMOUNT_SIGMA, n)
    cents = np.maximum(np.round(value * world.accounts.rate[deals.account] / 10), 50).astype(np.int64) * 1_000
    first, final = np.flatnonzero(np.diff(deal, prepend=-1)), np.flatnonzero(np.diff(deal, append=n))
    follows = np.minimum(first + 1, len(deal) - 1)
    moved = (first < final) & (stage[follows] < WON)
    # A few deals get their price at the first stage change; without one, never.
    unpriced = rng.random(n) < UNPRICED_SHARE
    priced = np.where(unpriced, np.where(moved, position[follows], np.inf), created)
    have = np.flatnonzero(np.isfinite(priced))
    parts = [(have, priced[have], cents[have])]
    count = rng.poisson(0.75, n)
    when = np.sort(created[:, None] + rng.random((n, 3)) * (life.ended - created)[:, None], axis=1)
    for k in range(3):
        at, factor = when[:, k], rng.lognormal(-0.01, 0.17, n)
        new = np.maximum(np.round(cents * factor / 1_000), 50).astype(np.int64) * 1_000
        edit = (k < count) & (at > priced) & ~life.away(every, at) & (new != cents)
        cents = np.where(edit, new, cents)
        parts.append((every[edit], at[edit], cents[edit]))
    blank = (stage[final] == LOST) & np.isfinite(priced) & (rng.random(n) < BLANK_SHARE)
    return Timeline.of(world.clock, *parts, (every[blank], position[final][blank], np.full(blank.sum(), -1)))


def _draw_dates(rng, clock: Clock, deals: Deals, life: Life) -> Timeline:
    """Draw the expected close dates: an optimistic first one, then pushed on, in time or too late."""
    plan = DURATION.sum(axis=1)[deals.segment] * rng.lognormal(-0.75, 0.4, len(deals.created)) + 4
    due = _habit(rng, clock.day(deals.created + plan))
    alive, last = np.arange(len(due)), deals.created.copy()
    parts = [(alive, deals.created, due.copy())]
    for _ in range(8):
        early, late = -rng.uniform(0, 7, alive.size), rng.exponential(25, alive.size)
        lag = np.where(rng.random(alive.size) < 0.6, early, late)
        at = np.maximum(clock.position(due[alive]) + lag, last[alive] + 1)
        at = np.where(life.away(alive, at), life.reopened[alive], at)
        alive, at = alive[at < life.ended[alive]], at[at < life.ended[alive]]
        new = _habit(rng, clock.day(at + rng.gamma(1.8, 20, alive.size) + 5))
        later = new > due[alive]
        last[alive] = at
        due[alive] = np.where(later, new, due[alive])
        parts.append((alive[later], at[later], new[later]))
    return Timeline.of(clock, *parts)


def _habit(rng, day: np.ndarray) -> np.ndarray:
    """Move a third of the dates to the end of their month, as people like round dates."""
    next_month = day.astype("datetime64[D]").astype("datetime64[M]") + 1
    month_end = next_month.astype("datetime64[D]").astype(np.int64) - 1
    return np.where(rng.random(len(day)) < 0.35, month_end, day)


def _draw_owners(rng, world: World, deals: Deals, life: Life) -> Timeline:
    """Draw the owners of each deal; the open deals of a leaver pass to a colleague in one bulk edit (note 1)."""
    n, team = len(deals.created), world.team
    swap = deals.created + rng.random(n) * (life.ended - deals.created)
    swap[rng.random(n) >= 0.022] = np.inf
    owner, at, alive = deals.owner.copy(), deals.created.copy(), np.arange(n)
    parts = [(alive, deals.created, deals.owner, np.zeros(n, np.int64))]
    while alive.size:
        leaving = team.left[owner[alive]]
        wanted = np.where(swap[alive] > at[alive], swap[alive], np.inf)
        at[alive] = np.minimum(leaving, wanted)
        go = at[alive] < life.ended[alive]
        alive, bulk = alive[go], (leaving <= wanted)[go].astype(np.int64)
        new = team.pick(world.accounts.team[deals.account[alive]], at[alive], rng.random(alive.size))
        moved = new != owner[alive]
        owner[alive] = new
        parts.append((alive[moved], at[alive][moved], new[moved], bulk[moved]))
    return Timeline.of(world.clock, *parts)


def _lines(rng, product) -> dict[str, np.ndarray]:
    """Draw the product lines of each deal: which product, up to which share of the deal, at which discount."""
    n = len(product)
    count = rng.choice([1, 2, 3], n, p=[0.55, 0.3, 0.15])
    deal = np.repeat(np.arange(n), count)
    rank = np.arange(len(deal)) - np.repeat(np.cumsum(count) - count, count)
    main = rng.uniform(0.5, 0.8, n)[deal]
    upto = np.where(rank == 0, main, main + (1 - main) * 0.6)
    upto[rank == count[deal] - 1] = 1.0
    columns = {"deal": deal, "rank": rank, "product": (product[deal] + rank) % len(PRODUCTS), "upto": upto}
    return columns | {"discount": rng.beta(1.6, 16, len(deal))}
