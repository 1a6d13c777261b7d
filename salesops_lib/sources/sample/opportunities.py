"""The deals of the sample company as the CRM shows them at an instant, with their lines and the price list."""

from __future__ import annotations

import numpy as np
import pandas as pd

from salesops_lib import tables
from salesops_lib.sources.sample.accounts import account_ids, account_names
from salesops_lib.sources.sample.clock import NEVER
from salesops_lib.sources.sample.columns import dates, frame, ids, instants, money, take, text
from salesops_lib.sources.sample.leads import campaign
from salesops_lib.sources.sample.model import Ledger, World
from salesops_lib.sources.sample.names import (
    CAMPAIGNS,
    COMPETITORS,
    LOSS_REASONS,
    LOST,
    MOTIONS,
    NEXT_STEPS,
    PIPELINE,
    PROBABILITY,
    PRODUCTS,
    SOURCES,
    STAGES,
    TYPES,
    WON,
)  # fmt: skip
from salesops_lib.sources.sample.people import user_ids


def opportunities_table(world: World, book: Ledger, at: int) -> pd.DataFrame:
    """List the deals created by `at`, deleted and merged ones included."""
    s, d = world.settings, np.flatnonzero(book.created <= at)
    row = book.stages.last(d, at)
    stage, moved_at, account = book.stages.value[row], book.stages.t[row], book.account[d]
    closed, users = stage >= WON, user_ids(s)
    family = text([p.family for p in PRODUCTS], book.product[d])
    closer = np.where(closed, s.first_rep + book.owners.at(d, moved_at), -1)
    columns = {
        "opportunity_id": text(book.deal_ids, d),
        "name": text(account_names(s), account) + " – " + family,
        "account_id": text(account_ids(world), account),
        "owner_id": text(users, s.first_rep + book.owners.at(d, at)),
        "pipeline_id": PIPELINE,
        "stage_id": text(STAGES, stage),
        "type": text(TYPES, book.kind[d]),
        "amount": money(book.amounts.at(d, at)),
        "currency": text([s.currency, s.second_currency], world.accounts.foreign[account]),
        "amount_basis": "acv",
        "created_at": instants(book.created[d]),
        "expected_close_date": dates(book.dates.at(d, at)),
        "closed_at": instants(np.where(closed, moved_at, NEVER)),
        "close_date": dates(np.where(closed, world.clock.local_day(moved_at), -1)),
        "is_closed": closed,
        "is_won": stage == WON,
        "owner_at_close_id": text(users, closer),
        "forecast_category": text(tables.CATEGORIES, book.stages.note[row]),
        "probability_crm": PROBABILITY[stage],
        "product_family": family,
        "is_deleted": book.deleted[d] <= at,
        "deleted_at": instants(book.deleted[d], at),
        "merged_into_id": text(book.deal_ids, np.where(book.merged[d] <= at, book.survivor[d], -1)),
    }
    columns |= _origin(book, d) | _closing_notes(book, d, stage) | _next_steps(world, book, d, stage < WON, at)
    return frame("opportunities", columns, at)


def _origin(book: Ledger, deal: np.ndarray) -> dict:
    source, noise, lead = book.source[deal], book.noise[deal], book.lead[deal]
    draw = noise[:, 0].copy()
    draw[lead >= 0] = book.leads["campaign"][lead[lead >= 0]]
    return {
        "lead_source": text(SOURCES, np.where(noise[:, 1] < 0.03, -1, source)),
        "motion": text(MOTIONS, source),
        "campaign_id": text(CAMPAIGNS, campaign(source, draw)),
        "lead_id": text(book.lead_ids, lead),
    }


def _closing_notes(book: Ledger, deal: np.ndarray, stage: np.ndarray) -> dict:
    noise, lost = book.noise[deal], stage == LOST
    reason = (noise[:, 2] * 6.5).astype(np.int64)  # the draws above six are losses without a reason
    return {
        "loss_reason": text(LOSS_REASONS, np.where(lost & (reason < 6), reason, -1)),
        "competitor": text(COMPETITORS, np.where(lost & (noise[:, 3] < 0.4), noise[:, 3] * 10, -1)),
    }


def _next_steps(world: World, book: Ledger, deal: np.ndarray, live: np.ndarray, at: int) -> dict:
    clock, noise, acts = world.clock, book.noise[deal], book.activities
    live = live & (np.minimum(book.deleted, book.merged)[deal] > at)
    tomorrow = clock.position(clock.today(at) + 1)
    planned = np.where(live & (noise[:, 4] < 0.65), tomorrow + noise[:, 4] * 20, np.inf)
    done = (acts["t"] + acts["delay"] <= at) & (acts["deal"] >= 0)
    last = np.full(len(book.account), -NEVER)
    np.maximum.at(last, acts["deal"][done], acts["t"][done])
    step = np.where(live & (noise[:, 5] < 0.8), noise[:, 5] / 0.8 * len(NEXT_STEPS), -1)
    return {
        "next_step": text(NEXT_STEPS, step),
        "next_activity_at": instants(clock.instant(planned)),
        "last_activity_at": instants(np.where(last[deal] > -NEVER, last[deal], NEVER)),
    }


def lines_table(book: Ledger, at: int) -> pd.DataFrame:
    """Split the amount each priced deal has at `at` over its lines, to the cent."""
    lines, every = book.lines, np.arange(len(book.account))
    cents = np.where(book.created <= at, book.amounts.at(every, at), -1)
    shown = np.flatnonzero(cents[lines["deal"]] >= 0)
    deal, rank, product, share, discount = take(lines, shown).values()
    upto = np.where(share == 1, cents[deal], np.floor(cents[deal] * share)).astype(np.int64)
    amount = np.where(rank == 0, upto, np.diff(upto, prepend=0))
    # A deal won near the end of a fiscal quarter is given a larger discount.
    rushed = (book.stages.at(deal, at) == WON) & book.rushed[deal]
    price, cost = 100 * np.array([(p.price, p.cost) for p in PRODUCTS])[product].T
    quantity = np.maximum(np.round(amount / (price * (1 - np.clip(discount + 0.05 * rushed, 0, 0.6)))), 1)
    unit = np.round(amount / quantity).astype(np.int64)
    recurring = np.array([p.family != "Services" for p in PRODUCTS])[product]
    columns = {
        "line_id": ids("ol", book.number[deal] * 10 + rank, 8),
        "opportunity_id": text(book.deal_ids, deal),
        "product_id": text(ids("p", np.arange(len(PRODUCTS)) + 1, 1), product),
        "quantity": quantity,
        "unit_price": money(unit),
        "discount_share": np.clip(1 - unit / price, 0, 1).round(4),
        "amount": money(amount),
        "unit_cost": money(cost),
        "term_months": pd.arrays.IntegerArray(np.full(len(deal), 12), ~recurring),
        "is_recurring": recurring,
    }
    return frame("opportunity_products", columns, at)


def products_table(at: int) -> pd.DataFrame:
    """List the products."""
    columns = {
        "product_id": ids("p", np.arange(len(PRODUCTS)) + 1, 1),
        "name": [p.name for p in PRODUCTS],
        "family": [p.family for p in PRODUCTS],
        "list_price": money(np.array([p.price * 100 for p in PRODUCTS])),
        "standard_cost": money(np.array([p.cost * 100 for p in PRODUCTS])),
    }
    return frame("products", columns, at)
