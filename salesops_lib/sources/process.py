"""The sales process: stages told by their labels, or by none and so inferred, and the closings they date."""

from __future__ import annotations

import pandas as pd

from salesops_lib import tables
from salesops_lib.periods import FiscalCalendar
from salesops_lib.sources.convert import Converter, finding
from salesops_lib.sources.mapping import HISTORY, Mapping
from salesops_lib.sources.staging import Stage

CLOSED_NAME = r"(^|[^a-z])(closed|won|lost|gewonnen|verloren|gagn|perdu|ganad|perdid)"
WON_NAME = r"(won|gewonnen|gagn|ganad)"
# ids and labels of stages are compared by their letters and digits
FORM = r"regexp_replace(lower(regexp_replace({}, '^[a-z0-9_]+:', '')), '[^\p{{L}}\p{{N}}]', '', 'g')".format


def name_stages(stage: Stage, db, findings: list[dict]) -> None:
    """Give deals that name their stage by its label the id that the stages of their pipeline have."""
    if not stage.rows.get("stages") or "opportunities" not in stage.names:
        return
    label_stages(db, stage)
    for name in [n for n in stage.names if n.startswith("opportunities")]:
        named = f"""
            from "{name}" o
            left join (select distinct pipeline_id, stage_id from stages) s using (pipeline_id, stage_id)
            left join labels l on s.stage_id is null
                and l.pipeline_id = o.pipeline_id and l.form = {FORM("o.stage_id")} and l.stage_id <> o.stage_id
        """
        n, shown = db.execute(
            f"select count(l.stage_id), min(o.stage_id) filter (l.form <> '') {named}"
        ).fetchall()[0]
        if n:
            findings.append(finding("stage told by its label, now by its id", "", "stages", "stage_id", shown, n))
            stage.rewrite(db, name, f"""
                select o.* replace (coalesce(l.stage_id, o.stage_id) as stage_id) {named} order by o.place
            """)  # fmt: skip
    label_stages(db, stage)


def label_stages(db, stage: Stage) -> None:
    """Make the tables `stage_ids`, and `labels`: stages by id and label, less case and marks; twins drop out."""
    known = ["select pipeline_id, stage_id, stage_id label, 2 rank from opportunities"]
    if stage.rows.get("stages"):
        known.append("select pipeline_id, stage_id, stage_id, 0 from stages")
        known.append("select pipeline_id, stage_id, stage_name, 1 from stages")
    db.execute(f"""
        create or replace temp table labels as
        select pipeline_id, form, min(stage_id) stage_id from (
            select *, min(rank) over (partition by pipeline_id, form) best
            from (select *, {FORM("label")} form from ({" union all ".join(known)}))
        ) where rank = best and form <> '' group by pipeline_id, form having count(distinct stage_id) = 1
    """)
    db.execute(
        f"create or replace temp table stage_ids as select distinct stage_id from ({' union all '.join(known)})"
    )


def infer(stage: Stage, db, mapping: Mapping, findings: list[dict]) -> bool:
    """Infer the sales process where no source tells it: closed and won from the deals, order from probabilities.

    Without probabilities, stages stand in the order in which deals come to them; by name where no history tells.
    Says whether it did.
    """
    if "opportunities" not in stage.names or stage.rows.get("stages"):
        return False
    told = HISTORY in stage.names
    moves = f"""
        select pipeline_id, new_value stage_id, avg(nth) depth, count(*) n from (
            select *, row_number() over (partition by opportunity_id order by changed_at, seq) nth
            from "{HISTORY}" where field = 'stage'
        ) join opportunities using (opportunity_id) where new_value is not null group by all
    """
    nothing = "select null::varchar pipeline_id, null::varchar stage_id, null::double depth, 0 n where false"
    found = db.execute(f"""
        with shown as (
            select pipeline_id, stage_id, bool_or(is_closed) is_closed, bool_or(is_won) is_won,
                avg(probability_crm::decimal(18, 9)) chance
            from opportunities where stage_id is not null group by all
        ), moved as ({moves if told else nothing}),
        both_ways as (
            select coalesce(s.pipeline_id, m.pipeline_id) pipeline_id, coalesce(s.stage_id, m.stage_id) stage_id,
                is_closed, is_won, chance, depth,
                regexp_replace(coalesce(s.stage_id, m.stage_id), '^[a-z0-9_]+:', '') stage_name
            from shown s full join moved m on m.pipeline_id = s.pipeline_id and m.stage_id = s.stage_id
        )
        select pipeline_id, stage_id, stage_name,
            coalesce(is_closed, regexp_matches(lower(stage_name), '{CLOSED_NAME}')) is_closed,
            coalesce(is_won, regexp_matches(lower(stage_name), '{WON_NAME}')) is_won, chance, depth
        from both_ways
        order by pipeline_id, is_closed, is_won desc, chance nulls last, depth nulls last, stage_name
    """).df()
    if found.empty:
        return False
    order = found.groupby("pipeline_id").cumcount() + 1
    frame = found[["pipeline_id", "stage_id", "stage_name", "is_closed", "is_won"]].assign(
        valid_from=pd.Timestamp("1970-01-01"), stage_order=order, is_qualified=True,
        probability_default=found["chance"].where(~found["is_closed"].astype(bool)),
        source_system=mapping.source_system, source_file_sha256=None,
    )  # fmt: skip
    spec = tables.table("stages")
    stage.rows.pop("stages", None)
    stage.append("stages", tables.conform(frame, spec), spec=spec, file="inferred", fold=False)
    stage.close()
    how = "probability" if found["chance"].notna().any() else "the deals' moves" if told else "name"
    what = f"stages inferred from the deals, in order of {how}"
    findings.append(finding(what, "", "stages", "stage_id", n=len(found)))
    return True


def closings(stage: Stage, db, zone: str, findings: list[dict]) -> None:
    """Date the closing of a deal by its last move into a closed stage, where history tells one.

    A won deal moved to another won stage does not close again; a lost one that is won does.
    """
    if not {HISTORY, "stages", "opportunities"} <= set(stage.names):
        return
    db.execute(f"""
        create temp table closing as
        select opportunity_id, max(changed_at) moment from (
            select h.opportunity_id, h.changed_at, new.is_closed closes, new.is_won wins,
                coalesce(old.is_closed, false) was_closed, old.is_won was_won
            from "{HISTORY}" h join opportunities o using (opportunity_id)
            join stages new on new.stage_id = h.new_value and new.pipeline_id = o.pipeline_id
            left join stages old on old.stage_id = h.old_value and old.pipeline_id = o.pipeline_id
            where h.field = 'stage' and o.is_closed
        ) where closes and not (was_closed and was_won = wins) group by opportunity_id
    """)
    day = f"cast(timezone('{zone}', c.moment) as date)"
    moved, shown = db.execute(f"""
        select count(*), list(o.opportunity_id order by o.opportunity_id)[:3] from opportunities o
        join closing c using (opportunity_id) where o.close_date is not null and o.close_date <> {day}
    """).fetchall()[0]
    if moved:
        what = "closed on another day than the close date says; history counts"
        findings.append(finding(what, "", "opportunities", "close_date", ", ".join(shown), moved))
    stage.rewrite(db, "opportunities", f"""
        select o.* replace (coalesce(c.moment, o.closed_at) as closed_at,
            case when c.moment is null then o.close_date else {day} end as close_date)
        from opportunities o left join closing c using (opportunity_id) order by place
    """)  # fmt: skip


def complete_closing(frame: pd.DataFrame, calendar: FiscalCalendar, converter: Converter) -> pd.DataFrame:
    """Fill closing instant and closing date from each other; a closed deal with neither is counted.

    An open deal has neither, whatever date its source still shows.
    """
    closed = frame["is_closed"].fillna(False).astype(bool)
    closed_at = frame["closed_at"].fillna(calendar.day_start(frame["close_date"])).where(closed)
    close_date = frame["close_date"].fillna(calendar.business_date(frame["closed_at"])).where(closed)
    undated = int((frame["is_closed"] & closed_at.isna()).sum())
    if undated:
        converter.notice("closed without a close date", "close_date", "", undated)
    return frame.assign(closed_at=closed_at, close_date=close_date)
