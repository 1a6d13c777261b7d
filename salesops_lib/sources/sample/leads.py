"""The leads of the sample company: those behind deals and those that came to nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from salesops_lib.sources.sample.accounts import account_ids
from salesops_lib.sources.sample.clock import Clock
from salesops_lib.sources.sample.columns import frame, instants, take, text
from salesops_lib.sources.sample.model import Deals, Ledger, World
from salesops_lib.sources.sample.names import CAMPAIGNS, DROP_REASONS, REGIONS, SEGMENTS, SOURCES
from salesops_lib.sources.sample.people import user_ids

STATUS = ("new", "working", "qualified", "disqualified", "converted")


def draw_leads(rng, world: World, deals: Deals) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draw the leads in order of creation; returns them and the lead of each deal."""
    count, region = len(deals.kind), world.accounts.region[deals.account]
    deal = np.flatnonzero((deals.kind == 0) & (rng.random(count) < 0.76))
    idle = world.clock.arrivals(rng, round(0.6 * deal.size))
    n, m = deal.size + idle.size, idle.size
    nothing = np.full(m, -1)
    columns = _times(rng, world.clock, deals.created[deal], idle) | {
        "deal": np.concatenate([deal, nothing]),
        "account": np.concatenate([deals.account[deal], nothing]),
        "source": np.concatenate([deals.source[deal], rng.choice(5, m, p=[0.42, 0.2, 0.08, 0.26, 0.04])]),
        "segment": np.concatenate([deals.segment[deal], rng.choice(3, m, p=[0.6, 0.28, 0.12])]),
        "region": np.concatenate([region[deal], rng.integers(0, len(REGIONS), m)]),
        "owner": rng.integers(0, 4, n),
        "reason": rng.integers(0, 5, n),
        "campaign": rng.random(n),
        "score": np.clip(np.round(rng.normal(np.repeat([62, 44], [deal.size, m]), 17)), 1, 99),
    }
    columns = take(columns, np.argsort(columns["created"], kind="stable"))
    lead = np.full(count, -1)
    told = np.flatnonzero(columns["deal"] >= 0)
    lead[columns["deal"][told]] = told
    return columns, lead


def _times(rng, clock: Clock, converted, idle) -> dict[str, np.ndarray]:
    """Draw what happens when: first to the leads that convert, then to the idle ones that do not."""
    n, m = len(converted), len(idle)
    wait = np.minimum(rng.gamma(1.3, 8, n), 0.95 * (converted - clock.opening))
    born = converted - wait
    fate = rng.random(m)
    qualified = np.where(fate < 0.15, idle + rng.gamma(1.3, 4, m), np.inf)
    dropped = np.where(fate < 0.75, idle + rng.gamma(1.3, 12, m), np.inf)
    dropped = np.where(fate < 0.15, qualified + rng.gamma(1.5, 15, m), dropped)
    # A converted lead is answered before it converts; one in eight of the others never is.
    quick = np.minimum(rng.lognormal(-1.9, 1.3, n), 0.8 * wait)
    slow = np.where(rng.random(m) < 0.87, rng.lognormal(-1.4, 1.4, m), np.inf)
    return {
        "created": clock.instant(np.concatenate([born, idle])),
        "qualified": clock.instant(np.concatenate([born + wait * rng.uniform(0.3, 0.95, n), qualified])),
        "dropped": clock.instant(np.concatenate([np.full(n, np.inf), dropped])),
        "converted": clock.instant(np.concatenate([converted, np.full(m, np.inf)])),
        "answered": np.concatenate([born + quick, idle + slow]),
    }


def campaign(source: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """Choose a campaign for seven in ten of those who came by website or event, -1 for the others."""
    return np.where((source < 2) & (draw < 0.7), source * 7 + (draw * 10).astype(np.int64), -1)


def leads_table(world: World, book: Ledger, at: int) -> pd.DataFrame:
    """List the leads created by `at`."""
    leads, s = book.leads, world.settings
    converted, dropped, qualified = (leads[x] <= at for x in ("converted", "dropped", "qualified"))
    touched = world.clock.instant(leads["answered"]) <= at
    status = np.select([converted, dropped, qualified, touched], [4, 3, 2, 1], 0)
    columns = {
        "lead_id": book.lead_ids,
        "created_at": instants(leads["created"]),
        "source": text(SOURCES, leads["source"]),
        "campaign_id": text(CAMPAIGNS, campaign(leads["source"], leads["campaign"])),
        "owner_id": text(user_ids(s), s.first_rep + s.reps + leads["owner"]),
        "status": text(STATUS, status),
        "qualified_at": instants(leads["qualified"], at),
        "disqualified_at": instants(leads["dropped"], at),
        "disqualify_reason": text(DROP_REASONS, np.where(dropped, leads["reason"], -1)),
        "converted_at": instants(leads["converted"], at),
        "account_id": text(account_ids(world), np.where(converted, leads["account"], -1)),
        "opportunity_id": text(book.deal_ids, np.where(converted, leads["deal"], -1)),
        "segment": text(SEGMENTS, leads["segment"]),
        "country": text([r.country for r in REGIONS], leads["region"]),
        "score_crm": leads["score"],
        "is_deleted": False,
    }
    return frame("leads", columns, at, shown=leads["created"] <= at)
