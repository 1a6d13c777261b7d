"""How many demos lead to a proposal."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from salesops_lib import stats
from salesops_lib.book import Book
from salesops_lib.facts import Facts, deals
from salesops_lib.kpis.lead_facts import tallied
from salesops_lib.kpis.people_time import hours_between
from salesops_lib.kpis.registry import Variants, kpi, refuse
from salesops_lib.language import mark, say
from salesops_lib.stats import Estimate

if TYPE_CHECKING:
    import pandas as pd

# an open stage of either kind, by its name in the stage table
DEMO = r"demo|presentation|präsentation"
PROPOSAL = r"proposal|quot|offer|angebot"
PROPOSAL_DAYS = 60


@kpi(
    "K23",
    name="Proposal rate",
    formula=f"deals that reached a proposal within {PROPOSAL_DAYS} days ÷ deals with a demo",
    population="new business whose demo lies in the period; demo and proposal are the first open stages of the "
    "pipeline named so, and a stage skipped forward counts as reached",
    attribution="owner at close; the owner while open",
    unit="share",
    direction="up",
    variants={
        "held demo": "demo is the first external meeting held between the entry into the demo stage and the "
        "proposal; deals closed without a proposal are over, open ones censored",
        "demo stage": "demo is the entry into the demo stage",
        "so far": "reached a proposal by the as-of instant ÷ deals with a held demo; low for young demos",
    },
    needs=("opportunities", "opportunity_history", "stages"),
    interval="Aalen–Johansen; Wilson",
    least=30,
    source="kpis.md K23",
)
def proposal_rate(facts: Facts) -> Variants:
    """Divide deals that reached a proposal by deals with a demo."""
    steps = _steps(facts.book)
    if steps is None:
        stage = mark("open stage named like a demo with one like a proposal after it")
        yield from refuse("K23", Estimate.untold(stage))
        return
    rows = steps.loc[facts.deals.index[~facts.deals["is_renewal"]]]
    held, entered = (rows[facts.period.contains(rows[f"{start}_day"])] for start in ("held", "demo"))
    late = held["held"] > held["proposal"].fillna(held["closed"])
    said = tallied("", (int(late.sum()), mark("{n} met only after the proposal or the close left out")))
    held = held[~late]
    if steps["held"].isna().all():
        nothing = Estimate.untold(mark("external meeting held after a demo began"))
        yield from ((variant, nothing) for variant in ("held demo", "so far"))
    else:
        yield "held demo", lambda: _proposed(held, "held").noted(said)
        yield "so far", stats.proportion(int(held["proposal"].notna().sum()), len(held)).noted(said)
    yield "demo stage", lambda: _proposed(entered, "demo")


def _stages_from(book: Book) -> list[set[str]] | None:
    """Stages in which a demo, and a proposal, is reached: the first open one named so, those after it, and won."""
    stages = book.stages.sort_values("valid_from").drop_duplicates(["pipeline_id", "stage_id"], keep="last")
    going = stages[~stages["is_closed"]]
    demo, proposal = (
        stages["pipeline_id"].map(
            going[going["stage_name"].str.contains(name, case=False)].groupby("pipeline_id")["stage_order"].min()
        )
        for name in (DEMO, PROPOSAL)
    )
    told = (demo < proposal).fillna(False).astype(bool)
    if not told.any():
        return None
    ahead = (stages["is_won"], ~stages["is_closed"])
    return [
        set(stages.loc[told & (ahead[0] | ahead[1] & (stages["stage_order"] >= first)), "stage_id"])
        for first in (demo, proposal)
    ]


@lru_cache(maxsize=16)
def _steps(book: Book) -> pd.DataFrame | None:
    """Say of each of `deals(book)` when it came to the demo stage, held a demo and reached a proposal.

    Returns
    -------
    DataFrame
        Days from creation: `demo`, `held`, `proposal`, `closed`, `seen` (the end of what is known); and
        `demo_day`, `held_day`. None where no stages are named so.
    """
    import pandas as pd

    found = _stages_from(book)
    if found is None:
        return None
    rows, passed = deals(book), book.passed_stages()
    ids, created = rows["opportunity_id"], rows["created_at"]
    entered = passed["entered_at"].fillna(
        passed["opportunity_id"].map(rows.set_index("opportunity_id")["created_at"])
    )
    firsts = [entered[passed["stage_id"].isin(stages)].groupby(passed["opportunity_id"]).min() for stages in found]
    met = book.query("""
        select opportunity_id, started_at from activities
        where type = 'meeting' and outcome = 'held' and is_external and opportunity_id is not null
    """)
    met = met[met["started_at"] >= met["opportunity_id"].map(firsts[0])]
    demo, proposal = (ids.map(first) for first in firsts)
    held = ids.map(met.groupby("opportunity_id")["started_at"].min())
    until = pd.Series(book.known_until, index=rows.index)
    ends = {"demo": demo, "held": held, "proposal": proposal, "closed": rows["closed_at"], "seen": until}
    days = {f"{name}_day": book.calendar.business_date(at) for name, at in (("demo", demo), ("held", held))}
    return pd.DataFrame({name: hours_between(created, at) / 24 for name, at in ends.items()} | days)


def _proposed(rows: pd.DataFrame, start: str) -> Estimate:
    began = rows[start]
    share = stats.within(rows["proposal"] - began, rows["closed"] - began, rows["seen"] - began, PROPOSAL_DAYS)
    return share.noted(say("within {n} days", n=PROPOSAL_DAYS))
