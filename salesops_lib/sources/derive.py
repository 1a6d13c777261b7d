"""What a source does not say outright: history from saved states or successive exports, daily rates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from salesops_lib import tables
from salesops_lib.sources.changes import END
from salesops_lib.sources.convert import finding
from salesops_lib.sources.mapping import HISTORY
from salesops_lib.sources.process import FORM, label_stages
from salesops_lib.sources.section import Section
from salesops_lib.sources.staging import Stage

# text of a field's value as the contract writes it, from the typed column of a state
AS_TEXT = {"date": "strftime({0}, '%Y-%m-%d')", "flag": "lower({0}::varchar)"}


@dataclass(frozen=True)
class Piece:
    """One staged source of history.

    Attributes
    ----------
    name
        Its table in the stage.
    section
        Its part of the mapping.
    has_old
        Whether it says the old values.
    whole
        Whether it is the finished history already.
    """

    name: str
    section: Section
    has_old: bool = True
    whole: bool = False


@dataclass(frozen=True)
class Seen:
    """One of several exports: its deals in the stage, when, the fields it fills, the deals it could not read."""

    name: str
    moment: pd.Timestamp
    fields: frozenset[str]
    unread: list[str]


def history(stage: Stage, db, pieces: list[Piece], findings: list[dict]) -> dict[str, str | None]:
    """Make one history of all its sources: each field is told by the first that knows it.

    Returns
    -------
    dict
        Since when each field was tracked; none where from each deal's creation on.
    """
    if not pieces:
        return {}
    if not pieces[0].whole:
        if "opportunities" in stage.names:
            label_stages(db, stage)
        selects = [_changes(db, stage, piece, rank) for rank, piece in enumerate(pieces)]
        db.execute(f"create temp table changes as {' union all '.join(selects)}")
        db.execute("create temp table granted as select field, min(rank) rank from changes group by field")
        spoken = db.sql(
            "select field, rank, count(*) from changes anti join granted using (field, rank) group by all"
        )
        for field, rank, n in spoken.fetchall():
            better = "another source of history tells this field"
            findings.append(finding(better, pieces[rank].section.file, HISTORY, "field", field, n))
        _write_history(stage, db, """
            select * exclude (nth), row_number() over (
                partition by opportunity_id, changed_at, field order by rank, place) - 1 seq
            from (select *, row_number() over (
                partition by opportunity_id, changed_at, field, old_value, new_value order by rank, place) nth
                from changes semi join granted using (field, rank))
            where nth = 1 order by opportunity_id, changed_at, field, seq
        """)  # fmt: skip
        total = db.execute("select count(*) from changes semi join granted using (field, rank)").fetchall()[0][0]
        if again := total - stage.rows[HISTORY]:
            findings.append(finding("the same change told twice, kept once", table=HISTORY, n=again))
    return _coverage(db, pieces)


def _coverage(db, pieces: list[Piece]) -> dict[str, str | None]:
    stated = [piece for piece in pieces if piece.section.complete is not None]
    if not stated:
        return {}
    source = "changes semi join granted using (field, rank)"
    if pieces[0].whole:
        source = f'(select *, 0 rank from "{pieces[0].name}")'
    rows = db.execute(f"select field, min(rank), min(changed_at) from {source} group by field").fetchall()
    return {
        field: None if pieces[rank].section.complete is not False else first.isoformat()
        for field, rank, first in sorted(rows)
    }


def _changes(db, stage: Stage, piece: Piece, rank: int) -> str:
    """SQL for the changes that one source tells."""
    kept = f"changed_by, coalesce(is_bulk, false) is_bulk, '{piece.section.origin}' origin, source_system"
    kept = f"{kept}, source_file_sha256, place, {rank} rank"
    _oldest_first(db, stage, piece)
    if "opportunities" in stage.names:
        _name_stages(db, stage, piece)
    old = "old_value"
    if piece.section.changes == "states":
        states = f'(select * replace ({_texts({field: field for field in tables.TRACKED})}) from "{piece.name}")'
        source = f"({_moves(states, tables.TRACKED, 'changed_at, place')})"
    else:
        source = _with_ends(db, piece.name)
        if not piece.has_old:
            old = "lag(new_value) over (partition by opportunity_id, field order by changed_at, place) old_value"
    return f"select opportunity_id, changed_at, field, {old}, new_value, {kept} from {source}"


def _with_ends(db, name: str) -> str:
    """SQL for changes in which a status beside the stage is told as a stage: closed ones, and back again.

    A row of the field `end` holds the closed stage, or nothing where the deal is open again, and as old value the
    stage that the source still shows for the deal.
    """
    if not db.execute(f"""select count(*) from "{name}" where field = '{END}'""").fetchall()[0][0]:
        return f'"{name}"'
    order = "partition by opportunity_id order by changed_at, place"
    return f"""(
        select * replace ('stage' as field, now as new_value, before as old_value) from (
            select *, coalesce(lag(now) over ({order}), case when ends then at_stage else old_value end) before
            from (select *, coalesce(nullif(ended, ''), at_stage) now from (
                select *,
                    last_value(case when ends then coalesce(new_value, '') end ignore nulls) over past ended,
                    coalesce(
                        last_value(case when not ends then new_value end ignore nulls) over past,
                        first_value(case when not ends then old_value end ignore nulls) over ahead,
                        old_value
                    ) at_stage
                from (select *, field = '{END}' ends from "{name}" where field in ('stage', '{END}'))
                window past as ({order}), ahead as ({order} rows between current row and unbounded following)
            ))
        ) where now is distinct from before
        union all by name select * from "{name}" where field not in ('stage', '{END}')
    )"""


def _texts(columns: dict[str, str]) -> str:
    """SQL for the text of each field, as the contract writes it, from the typed column that holds it."""
    forms = {field: AS_TEXT.get(tables.STATES[field].kind, "{0}::varchar") for field in columns}
    return ", ".join(f"{forms[field].format(column)} as {field}" for field, column in columns.items())


def _moves(states: str, fields: Iterable[str], order: str, known: str = "") -> str:
    """SQL for what changed between successive states of each deal; `nth` counts the states that tell a field."""
    return f"""
        select * from (
            select *, lag(new_value) over past old_value, row_number() over past nth from (
                select * from {states} unpivot include nulls (new_value for field in ({", ".join(fields)}))
            ) {known} window past as (partition by opportunity_id, field order by {order})
        ) where new_value is distinct from old_value
    """


def _name_stages(db, stage: Stage, piece: Piece) -> None:
    """Give stages named in a header or by label the id that the deals of their pipeline use."""
    columns = ("stage",) if piece.section.changes == "states" else ("new_value", "old_value")
    of_stage = "true" if piece.section.changes == "states" else f"p.field in ('stage', '{END}')"
    strange = " or ".join(f"p.{column} not in (from stage_ids)" for column in columns)
    if not db.execute(f'select 1 from "{piece.name}" p where {of_stage} and ({strange}) limit 1').fetchall():
        return
    joins, named = "", []
    for k, column in enumerate(columns):
        joins += f"""
            left join labels l{k} on l{k}.pipeline_id = o.pipeline_id and l{k}.form = {FORM(f"p.{column}")}
                and {of_stage} and p.{column} not in (from stage_ids)"""
        named.append(f"coalesce(l{k}.stage_id, p.{column}) as {column}")
    stage.rewrite(db, piece.name, f"""
        select p.* replace ({", ".join(named)})
        from "{piece.name}" p left join opportunities o using (opportunity_id) {joins} order by p.place
    """)  # fmt: skip


def _oldest_first(db, stage: Stage, piece: Piece) -> None:
    """Turn a source round that lists the newest change first: rows of one instant then stand in their order."""
    newer = db.execute(f"""
        select count(*) filter (before > changed_at) > count(*) filter (before < changed_at) from (
            select changed_at, lag(changed_at) over (partition by opportunity_id order by place) before
            from "{piece.name}")
    """).fetchall()[0][0]
    if newer:
        stage.rewrite(db, piece.name, f'select * exclude (place) from "{piece.name}" order by place desc')


def _write_history(stage: Stage, db, statement: str) -> None:
    stage.start(HISTORY, tables.table(HISTORY))
    stage.close()
    stage.rewrite(db, HISTORY, statement)


def differences(
    stage: Stage, db, exports: list[Seen], coverage: dict[str, str | None], findings: list[dict]
) -> dict[str, str]:
    """Turn successive exports into history; a deal that is gone is deleted from the first export without it on.

    A field that a native history tells of a deal keeps it. `opportunities` gains the deals that are gone, marked
    deleted. A deal whose row was set aside in an export counts as neither there nor gone.

    Returns
    -------
    dict
        For each field that only the differences tell, the first export that shows it.
    """
    fields = [field for field in tables.TRACKED if field not in ("deleted", "merged")]
    texts = _texts({field: tables.TRACKED[field] for field in fields})
    kept = "opportunity_id, is_deleted, deleted_at, source_system, source_file_sha256, place"
    parts = [f'select {kept}, {texts}, {k} k from "{one.name}"' for k, one in enumerate(exports)]
    db.execute(f"create temp table seen as {' union all '.join(parts)}")
    rows = ", ".join(f"({k}, timestamptz '{one.moment.isoformat()}')" for k, one in enumerate(exports))
    db.execute(f"create temp table moments as from (values {rows}) m(k, moment)")
    filled = [f"({k}, '{field}')" for k, one in enumerate(exports) for field in fields if field in one.fields]
    db.execute(f"create temp table filled as from (values {', '.join(filled)}) f(k, field)")
    db.execute("create temp table unread (k bigint, opportunity_id varchar)")
    for k, one in enumerate(exports):
        if one.unread:
            db.execute("insert into unread select $1, unnest($2)", [k, one.unread])
    _presence(db)
    own = f'union all by name select * exclude (place) from "{HISTORY}"' if HISTORY in stage.names else ""
    native = (
        f'select distinct opportunity_id, field from "{HISTORY}"' if own else "select '' opportunity_id, '' field"
    )
    _write_history(stage, db, f"""
        from (
            select opportunity_id, moment changed_at, field, 0::bigint seq, old_value, new_value,
                null::varchar changed_by, false is_bulk, 'snapshot_diff' origin, source_system, source_file_sha256
            from ({_moves("seen", fields, "k", "semi join filled using (k, field)")})
            join moments using (k) anti join ({native}) using (opportunity_id, field) where nth > 1
            union all by name select *, false is_bulk, 'snapshot_diff' origin, 0::bigint seq from deletions
            {own}
        ) order by opportunity_id, changed_at, field, seq
    """)  # fmt: skip
    gone = _bring_back(stage, db, exports)
    if gone:
        what = "gone from the export, taken as deleted"
        findings.append(finding(what, "", "opportunities", "opportunity_id", n=gone))
    if unread := sum(len(one.unread) for one in exports):
        what = "set aside in an export, so neither there nor gone"
        findings.append(finding(what, "", "opportunities", "opportunity_id", n=unread))
    first = {f: next((one.moment.isoformat() for one in exports if f in one.fields), None) for f in fields}
    return {
        f: at for f, at in (first | {"deleted": exports[0].moment.isoformat()}).items() if f not in coverage and at
    }


def _presence(db) -> None:
    """Tables of where each deal was there, gone or not known, and of the changes between."""
    db.execute("""
        create temp table presence as
        select d.opportunity_id, m.k, m.moment, coalesce(not s.is_deleted, false) here,
            s.opportunity_id is null absent, s.deleted_at, d.source_system, d.source_file_sha256
        from (select opportunity_id, min(k) first, any_value(source_system order by k) source_system,
                any_value(source_file_sha256 order by k) source_file_sha256 from seen group by opportunity_id) d
        join moments m on m.k >= d.first
        left join seen s on s.opportunity_id = d.opportunity_id and s.k = m.k
        anti join unread u on u.opportunity_id = d.opportunity_id and u.k = m.k
    """)
    db.execute("""
        create temp table deletions as
        select opportunity_id,
            case when not here and deleted_at > last_moment then deleted_at else moment end changed_at,
            'deleted' field, (not before)::varchar old_value, (before)::varchar new_value,
            source_system, source_file_sha256
        from (select *, lag(here) over past before, lag(moment) over past last_moment
            from presence window past as (partition by opportunity_id order by k))
        where before <> here
    """)


def _bring_back(stage: Stage, db, exports: list[Seen]) -> int:
    """Add the deals that the last export lacks as they were last seen, marked deleted; count them."""
    last = len(exports) - 1
    db.execute(f"""
        create temp table gone as
        select opportunity_id, max(changed_at) moment from deletions
        where opportunity_id in (select opportunity_id from presence where k = {last} and absent) group by all
    """)
    before = " union all by name ".join(f'select *, {k} k from "{one.name}"' for k, one in enumerate(exports[:-1]))
    latest = "row_number() over (partition by opportunity_id order by k desc) = 1"
    stage.rewrite(db, "opportunities", f"""
        select * exclude (place) from (select * from opportunities order by place)
        union all by name
        select b.* exclude (k, place) replace (true as is_deleted, coalesce(b.deleted_at, g.moment) as deleted_at)
        from (select * from ({before}) qualify {latest}) b join gone g using (opportunity_id)
    """)  # fmt: skip
    return db.execute("select count(*) from gone").fetchall()[0][0]


def rates(stage: Stage, db, until: pd.Timestamp) -> None:
    """Repeat each daily rate on every day it holds: until the next of its currency, the last until the export."""
    stage.rewrite(db, "fx_rates", f"""
        with spans as (
            select *, lead(rate_date) over (partition by currency, kind order by rate_date) following from fx_rates
        )
        select * exclude (place, following) replace (unnest(generate_series(
            rate_date, greatest(rate_date, coalesce(following - 1, date '{until.date()}')), interval 1 day
        ))::date as rate_date)
        from spans where kind = 'daily'
        union all select * exclude (place, following) from spans where kind <> 'daily'
        order by currency, kind, rate_date
    """)  # fmt: skip
