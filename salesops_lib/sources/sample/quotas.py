"""The quotas of the sample company, by person and fiscal quarter."""

from __future__ import annotations

import numpy as np
import pandas as pd

from salesops_lib.sources.sample.columns import dates, frame, ids, instants, money, take, text
from salesops_lib.sources.sample.model import Company, Ledger, World
from salesops_lib.sources.sample.names import TYPES, WON
from salesops_lib.sources.sample.people import user_ids
from salesops_lib.sources.sample.settings import day_number

RENEWAL = TYPES.index("renewal")


def _bookings(world: World, book: Ledger, starts: np.ndarray) -> np.ndarray:
    """Add up the won new business by rep at close and fiscal quarter, in company currency."""
    won = np.flatnonzero((book.stages.value == WON) & (book.kind[book.stages.deal] != RENEWAL))
    deal, t = book.stages.deal[won], book.stages.t[won]
    value = book.amounts.at(deal, t) / world.accounts.rate[book.account[deal]]
    quarter = np.searchsorted(starts, world.clock.local_day(t), side="right") - 1
    inside = (quarter >= 0) & (quarter < len(starts) - 1)
    booked = np.zeros((world.settings.reps, len(starts) - 1))
    np.add.at(booked, (book.owners.at(deal, t)[inside], quarter[inside]), value[inside])
    return booked * world.settings.opportunities / len(book.account)


def draw_quotas(world: World, book: Ledger) -> dict[str, np.ndarray]:
    """Set a quota for each rep and fiscal quarter, near what the team books around that time."""
    settings, clock, team = world.settings, world.clock, world.team
    rng, first, last = settings.rng(0, 2), day_number(settings.start), day_number(settings.end)
    starts = settings.quarter_starts()
    starts = starts[(starts >= first) & (starts <= starts[np.searchsorted(starts, last, side="right")])]
    booked = _bookings(world, book, starts)
    full = int((starts[1:] - 1 <= last).sum())
    # Nobody knows the running quarter yet: it is planned from the last year.
    booked[:, full:] = booked[:, max(0, full - 4) : full].mean(axis=1, keepdims=True) * 1.03
    pad = np.pad(booked, ((0, 0), (1, 1)), mode="edge")
    around = (pad[:, :-2] + 2 * pad[:, 1:-1] + pad[:, 2:]) / 4
    opens, ends = clock.position(starts[:-1]), clock.position(starts[1:])
    there = (team.started[:, None] < ends) & (team.left[:, None] > opens)
    ramp = team.ramp(np.arange(settings.reps)[:, None], (opens + ends) / 2)
    capacity = there * team.fte[:, None] * np.clip(ramp, 0.25, 1)
    amount = np.zeros_like(booked)
    for t in range(settings.teams):
        mine = team.rep_team == t
        fair, own = capacity[mine] / capacity[mine].sum(axis=0), there[mine] * around[mine]
        share = 0.35 * fair + 0.65 * own / np.maximum(own.sum(axis=0), 1)
        amount[mine] = around[mine].sum(axis=0) / 0.95 * share
    rep, quarter = np.nonzero(there)
    late = np.where(rng.random(rep.size) < 0.08, rng.integers(1, 9, rep.size), -rng.integers(8, 20, rep.size))
    return {
        "rep": rep,
        "start": starts[quarter],
        "stop": starts[quarter + 1],
        "cents": np.maximum(np.round(amount[rep, quarter] / 50_000), 1).astype(np.int64) * 50_000,
        "approved": clock.instant(np.maximum(opens[quarter] + late, team.started[rep]) + 0.4),
    }


def quotas_table(company: Company, at: int) -> pd.DataFrame:
    """List the quotas agreed or in force at `at`; a team carries the sum of its people."""
    s, q, clock = company.settings, company.quotas, company.clock
    agreed = (q["approved"] <= at) | (q["start"] <= clock.today(at))
    people = pd.DataFrame(take(q, agreed & (clock.instant(company.team.started) <= at)[q["rep"]]))
    people["team"] = company.team.rep_team[people["rep"]]
    people["holder"] = text(user_ids(s), s.first_rep + people["rep"])
    how = {"cents": ("cents", "sum"), "approved": ("approved", "min")}
    teams = people.groupby(["team", "start", "stop"], as_index=False).agg(**how)
    teams["holder"] = ids("t", teams["team"] + 2, 1)
    rows = pd.concat([people.assign(kind="user"), teams.assign(kind="team")], ignore_index=True)
    columns = {
        "holder_type": rows["kind"],
        "holder_id": rows["holder"],
        "period_start": dates(rows["start"].to_numpy()),
        "measure": "bookings",
        "version": 1,
        "period_end": dates(rows["stop"].to_numpy()),
        "quota_amount": money(rows["cents"].to_numpy()),
        "currency": s.currency,
        "is_overlay": False,
        "approved_at": instants(rows["approved"].to_numpy(), at),
    }
    return frame("quotas", columns, at)
