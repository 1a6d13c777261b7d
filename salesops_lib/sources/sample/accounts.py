"""The companies the sample company sells to."""

from __future__ import annotations

import numpy as np
import pandas as pd

from salesops_lib.sources.sample.clock import NEVER, Clock
from salesops_lib.sources.sample.columns import Text, dates, frame, ids, instants, money, text
from salesops_lib.sources.sample.model import Accounts, Company, Team, World
from salesops_lib.sources.sample.names import CURRENCY_RATES, ENDINGS, INDUSTRIES, REGIONS, SEGMENTS, STEMS, WON
from salesops_lib.sources.sample.people import user_ids
from salesops_lib.sources.sample.settings import SampleSettings

AMOUNT_MEDIAN = np.array([9_400, 35_000, 127_000])


def draw_accounts(settings: SampleSettings, clock: Clock, team: Team) -> Accounts:
    """Draw the companies; most are known before the records, about a third are customers by then."""
    rng, n = settings.rng(0, 1), settings.accounts
    segment = rng.choice(3, n, p=[0.52, 0.32, 0.16])
    legacy = rng.random(n) < 0.35
    # One company of each kind from the first day on, however small the sample.
    segment[:6], legacy[:6] = [0, 1, 2, 0, 1, 2], [True] * 3 + [False] * 3
    region = rng.choice(len(REGIONS), n, p=[r.weight for r in REGIONS])
    account_team = settings.team_of_region[region]
    span = clock.closing - clock.opening
    early = legacy | (rng.random(n) < 0.6) | (np.arange(n) < 6)
    created = clock.opening + np.where(early, -rng.uniform(20, 900, n), span * rng.uniform(0, 0.95, n))
    home = np.zeros(n, np.int64)
    for t in range(settings.teams):
        mine, reps = np.flatnonzero(account_team == t), np.flatnonzero(team.rep_team == t)
        home[mine] = rng.choice(reps, len(mine), p=team.fte[reps] / team.fte[reps].sum())
    employees = np.round(np.array([55, 380, 2_900])[segment] * rng.lognormal(0, 0.6, n)).astype(np.int64) + 3
    near = rng.random(n) < 0.4
    spread = np.where(near, 0.12, 0.45)
    group = legacy & (segment == 2)
    child = (rng.random(n) < 0.05) & ~group
    lat, lon = np.array([(r.lat, r.lon) for r in REGIONS])[region].T
    second, other = settings.second_currency, settings.second_currency_share
    rate = CURRENCY_RATES.get(second, 1.0)
    return Accounts(
        segment, region, account_team, rng.integers(0, 8, n), legacy, created, home,
        draw=rng.random(n),
        parent=np.where(child, rng.choice(np.flatnonzero(group), n), -1),
        employees=employees,
        revenue=np.round(employees * 190_000 * rng.lognormal(0, 0.4, n) / 1e4).astype(np.int64) * 1_000_000,
        potential=np.round(AMOUNT_MEDIAN[segment] / 60 * rng.lognormal(0, 0.8, n)).astype(np.int64) * 10_000,
        visits=np.maximum(1, np.array([2, 4, 9])[segment] + rng.integers(-1, 4, n)),
        lat=(lat + rng.normal(0, spread) + near * 0.25).round(5),
        lon=(lon + rng.normal(0, spread * 1.2) - near * 0.2).round(5),
        postal=rng.random(n),
        foreign=(foreign := (rng.random(n) < other) & (second is not None)),
        rate=np.where(foreign, rate, 1.0),
    )  # fmt: skip


def account_ids(world: World) -> Text:
    """Return the ids of all companies."""
    return ids("a", np.arange(world.settings.accounts) + 1, 5)


def account_names(settings: SampleSettings) -> Text:
    """Make up the names of all companies; beyond the number of pairs a number tells them apart."""
    n, pairs = settings.accounts, len(STEMS) * len(ENDINGS)
    order = settings.rng(0, 4).permutation(pairs)[np.arange(n) % pairs]
    names = [f"{STEMS[p % len(STEMS)]} {ENDINGS[p // len(STEMS)]}" for p in order]
    return text([f"{x} {i // pairs + 1}" if i >= pairs else x for i, x in enumerate(names)], np.arange(n))


def accounts_table(company: Company, at: int) -> pd.DataFrame:
    """List the companies known at `at` with their owner and since when they are customers."""
    s, a, clock = company.settings, company.accounts, company.clock
    born, position, everyone = clock.instant(a.created), clock.now(at), account_ids(company)
    cover = company.team.pick(a.team, np.full(s.accounts, position), a.draw)
    owner = np.where(company.team.there(a.home, position), a.home, cover)
    columns = {
        "account_id": everyone,
        "name": account_names(s),
        "parent_account_id": text(everyone, a.parent),
        "owner_id": text(user_ids(s), s.first_rep + owner),
        "industry": text(INDUSTRIES, a.industry),
        "segment": text(SEGMENTS, a.segment),
        "employees": a.employees,
        "annual_revenue": money(a.revenue),
        "country": text([r.country for r in REGIONS], a.region),
        "region": text([r.name for r in REGIONS], a.region),
        "postal_code": [REGIONS[r].postal_code(u) for r, u in zip(a.region, a.postal, strict=True)],
        "lat": a.lat,
        "lon": a.lon,
        "created_at": instants(born),
        "customer_since": dates(_customer_since(company, at)),
        "potential_amount": money(a.potential),
        "visits_per_year": a.visits.astype(float),
        "is_deleted": False,
    }
    return frame("accounts", columns, at, shown=born <= at)


def _customer_since(company: Company, at: int) -> np.ndarray:
    """Return the day each company became a customer, -1 where it is none at `at`."""
    book, a, clock = company.book, company.accounts, company.clock
    won = np.flatnonzero((book.stages.value == WON) & (book.stages.t <= at))
    won = won[np.minimum(book.deleted, book.merged)[book.stages.deal[won]] > at]
    first = np.full(len(a.legacy), NEVER)
    np.minimum.at(first, book.account[book.stages.deal[won]], clock.local_day(book.stages.t[won]))
    return np.where(a.legacy, clock.day(a.created + 15), np.where(first < NEVER, first, -1))
