"""The calls, e-mails and meetings of the sample company."""

from __future__ import annotations

import numpy as np
import pandas as pd

from salesops_lib.sources.sample.accounts import account_ids
from salesops_lib.sources.sample.clock import DAY, NEVER, Clock, Timeline
from salesops_lib.sources.sample.columns import frame, ids, instants, take, text
from salesops_lib.sources.sample.model import Accounts, Deals, Ledger, Life, World
from salesops_lib.sources.sample.names import OUTCOMES
from salesops_lib.sources.sample.people import user_ids

CALL, MAIL, MEETING = range(3)


def draw_activities(rng, world: World, deals: Deals, life: Life, owners: Timeline, leads: dict) -> dict:
    """Draw the activities on deals and leads, in order of time."""
    s, clock, created = world.settings, world.clock, deals.created
    busy = rng.gamma(2.5, 1 / 2.5, len(created)) * s.activities_per_deal * 1.08
    deal = np.repeat(np.arange(len(created)), rng.poisson(busy))
    at = created[deal] + rng.random(deal.size) * (life.ended - created)[deal]
    open_then = ~life.away(deal, at)
    deal, t = deal[open_then], clock.instant(at[open_then])
    kind = rng.choice(3, deal.size, p=[0.34, 0.44, 0.22])
    # Meetings start on the half hour, unless that were before the deal existed.
    round_t = t - t % 1_800
    t = np.where((kind == MEETING) & (round_t >= clock.instant(created)[deal]), round_t, t)
    touch = _lead_touches(rng, clock, leads)
    nothing = np.full(len(touch["t"]), -1)
    columns = {
        "t": np.concatenate([t, touch["t"]]),
        "kind": np.concatenate([kind, touch["kind"]]),
        "deal": np.concatenate([deal, nothing]),
        "lead": np.concatenate([np.full(deal.size, -1), touch["lead"]]),
        "account": np.concatenate([deals.account[deal], nothing]),
        "user": s.first_rep + np.concatenate([owners.at(deal, t), s.reps + leads["owner"][touch["lead"]]]),
        "outbound": np.concatenate([rng.random(deal.size) < 0.72, nothing < 0]),
    }
    columns = take(columns, np.argsort(columns["t"], kind="stable"))
    columns |= _results(rng, columns["kind"], columns["outbound"])
    return columns | {"first_meeting": _first_meetings(columns, world.accounts)}


def _lead_touches(rng, clock: Clock, leads) -> dict[str, np.ndarray]:
    """Draw the first answer to a lead and the e-mails and calls that follow while it is not decided."""
    answered = np.flatnonzero(np.isfinite(leads["answered"]))
    more = np.repeat(answered, rng.poisson(0.5, answered.size))
    first, later = leads["answered"][answered], leads["answered"][more] + rng.gamma(1.5, 3, more.size)
    lead, t = np.concatenate([answered, more]), clock.instant(np.concatenate([first, later]))
    keep = t < np.minimum(leads["dropped"], leads["converted"])[lead]
    return {"lead": lead[keep], "t": t[keep], "kind": rng.choice(2, keep.sum(), p=[0.45, 0.55])}


def _results(rng, kind, outbound) -> dict[str, np.ndarray]:
    """Draw outcome, length and logging delay; codes point into the closed list of outcomes."""
    n, draw = len(kind), rng.random(len(kind))
    call, mail, meeting = (kind == k for k in (CALL, MAIL, MEETING))
    automated = mail & outbound & (rng.random(n) < 0.3)
    outcome = np.select(
        [call & (~outbound | (draw < 0.45)), call & (draw < 0.8), call, mail & (~outbound | (draw < 0.2)), mail],
        [0, 1, 2, 6, 7],
        np.where(draw < 0.82, 3, np.where(draw < 0.9, 4, 5)),
    )
    talk = np.where(outcome == 0, rng.gamma(1.4, 300, n) + 20, rng.uniform(10, 60, n))
    length = np.where(meeting, rng.choice([1_800, 2_700, 3_600], n), np.where(call, talk, 0)).astype(np.int64)
    typing = np.where(mail, rng.uniform(0, 60, n) * ~automated, rng.exponential(900, n))
    late = np.where(~mail & (rng.random(n) < 0.03), DAY, 0)
    return {
        "outcome": outcome,
        "length": length,
        "automated": automated,
        "internal": meeting & (rng.random(n) < 0.05),
        "delay": (length + typing + late).astype(np.int64),
    }


def _first_meetings(columns, accounts: Accounts) -> np.ndarray:
    """Mark the first held meeting with each company that was no customer before."""
    held = np.flatnonzero((columns["outcome"] == 3) & (columns["account"] >= 0) & ~columns["internal"])
    _, first = np.unique(columns["account"][held], return_index=True)
    marked = np.zeros(len(columns["t"]), bool)
    marked[held[first]] = ~accounts.legacy[columns["account"][held[first]]]
    return marked


def activities_table(world: World, book: Ledger, at: int) -> pd.DataFrame:
    """List the activities logged by `at`."""
    acts = book.activities
    mail, logged = acts["kind"] == MAIL, acts["t"] + acts["delay"]
    columns = {
        "activity_id": ids("act", book.before.activities + 1 + np.arange(len(mail)), 7),
        "type": text(["call", "email", "meeting"], acts["kind"]),
        "direction": text(["in", "out", "internal"], np.where(acts["internal"], 2, acts["outbound"])),
        "user_id": text(user_ids(world.settings), acts["user"]),
        "account_id": text(account_ids(world), acts["account"]),
        "lead_id": text(book.lead_ids, acts["lead"]),
        "opportunity_id": text(book.deal_ids, acts["deal"]),
        "started_at": instants(acts["t"]),
        "ended_at": instants(np.where(mail, NEVER, acts["t"] + acts["length"])),
        "duration_s": np.where(mail, np.nan, acts["length"]),
        "outcome": text(OUTCOMES, acts["outcome"]),
        "is_automated": acts["automated"],
        "is_external": ~acts["internal"],
        "is_first_meeting": acts["first_meeting"],
        "logged_at": instants(logged),
    }
    return frame("activities", columns, at, shown=logged <= at)
