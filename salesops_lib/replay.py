"""The deals and their changes in one DuckDB connection, moved forward through time.

`running` holds the value of every tracked field at the instant reached. To go on, only the changes since are
aggregated, so that a year of weekly states costs little more than its last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from salesops_lib import tables
from salesops_lib.errors import DataContractError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

# history field -> (column of opportunities, SQL type)
TRACKED = {
    field: (column, tables.sql_type(tables.OPPORTUNITIES[column].kind)) for field, column in tables.TRACKED.items()
}
# fields that change over the life of a deal; owner, type and currency are taken as they are where untracked
CHANGING = ("stage", "amount", "expected_close_date", "forecast_category", "probability")
# known only once closed, and only at export
ON_CLOSE = ("loss_reason", "competitor", "contract_id")
AT_EXPORT = ("next_step", "next_activity_at")
MADE = ("attempt", "last_changed_at")  # what the history alone tells
# what a state is worked out from, whichever columns are wanted
BASIS = (
    "opportunity_id", "pipeline_id", "created_at", "is_closed", "is_won", "closed_at", "close_date",
    "owner_at_close_id", "deleted_at", "last_activity_at", "extracted_at",
    *(column for column, _ in TRACKED.values()),
)  # fmt: skip
EXPORTED = "coalesce(o.extracted_at <= $t, true)"
CLOSED_NAME = "(^|[^a-z])(closed|won|lost)([^a-z]|$)"
EMPTIED = "chr(1)"  # stands for an empty value, so that an empty aggregate means no change
LAST, NEXT = f"coalesce(new_value, {EMPTIED})", f"coalesce(old_value, {EMPTIED})"
FLAG = "stage_flags {0} on {0}.stage_id = {1} and {0}.pipeline_id = coalesce(d.pipeline_id, '')"
NO_HISTORY = """
    create view history as select ''::varchar opportunity_id, null::timestamptz changed_at, ''::varchar field,
        0::bigint seq, ''::varchar old_value, ''::varchar new_value, ''::varchar changed_by, false is_bulk,
        ''::varchar origin, 0::bigint place where false
"""


def connect(sources: Mapping[str, object], extracted_at: object = None) -> DuckDBPyConnection:
    """Open a connection with the views `deals`, `history` and `turns`, and the table `stage_flags`.

    Parameters
    ----------
    sources
        `opportunities`, and where there are any `opportunity_history` and `stages`: Arrow tables or Parquet files.
    extracted_at
        When the deals were exported, where they have no such column.
    """
    import duckdb

    db = duckdb.connect()
    db.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")  # it draws a widget
    for name, source in sources.items():
        if isinstance(source, Path):
            db.read_parquet(str(source)).create_view(f"{name}_given")
        elif source is not None:
            db.register(f"{name}_given", source)
    _history(db, sources.get("opportunity_history") is not None)
    _deals(db, extracted_at)
    _stage_flags(db, sources.get("stages") is not None)
    _turns(db)
    return db


def states(
    db: DuckDBPyConnection,
    instants: list[pd.Timestamp],
    zone: str,
    coverage: Mapping[str, object] | None = None,
    columns: Iterable[str] | None = None,
    *,
    present: bool = False,
) -> Iterator[pa.Table]:
    """Yield the deals as known at each of the ascending instants, or only those `present`: not deleted or merged.

    Raises
    ------
    DataContractError
        Where a history value cannot be read as its field's type.
    """
    import duckdb

    tracked = [row[0] for row in db.execute("select distinct field from history").fetchall()]
    given = [row[0] for row in db.execute("describe deals").fetchall()]
    known = (*tables.STATE.names, "source_system", "source_file_sha256")
    wanted = [c for c in known if c in (*given, *MADE) and (columns is None or c in set(columns))]
    idle = [c for c in given if c not in (*wanted, *BASIS)]
    for k, instant in enumerate(instants):
        if k == 0:
            _begin(db, tracked, idle, instants)
        else:
            _advance(db, tracked, instants[k - 1], instant)
        late = {field for field, start in (coverage or {}).items() if start is not None and instant < start}
        statement = _statement(set(tracked) - late, wanted, present).replace("$zone", f"'{zone}'")
        try:
            yield db.sql(statement, params=_then(instant)).to_arrow_table()
        except duckdb.ConversionException as error:
            raise DataContractError(f"opportunity_history: a value does not fit its field: {error}") from error


def _history(db: DuckDBPyConnection, given: bool) -> None:
    if not given:
        db.execute(NO_HISTORY)
        return
    # one number orders the changes of a deal; a pair does too, at nearly twice the time
    (most,) = db.execute("select coalesce(max(seq), 0) from opportunity_history_given").fetchall()[0]
    place = f"epoch_us(changed_at)::hugeint * {int(most) + 1} + seq"
    narrow = "bigint" if most < 1_000 else "hugeint"
    db.execute(f"create view history as select *, ({place})::{narrow} place from opportunity_history_given")


def _deals(db: DuckDBPyConnection, extracted_at: object) -> None:
    """Say when the deals were exported; where nobody does, not before the last thing they show."""
    given = {row[0] for row in db.execute("describe opportunities_given").fetchall()}
    if "extracted_at" in given:
        db.execute("create view deals as select * from opportunities_given")
        return
    if extracted_at is None:
        extracted_at = db.execute("""
            select greatest((select max(changed_at) from history), max(created_at), max(closed_at))
            from opportunities_given
        """).fetchall()[0][0]
    stamp = "null" if extracted_at is None else f"'{extracted_at.isoformat()}'"
    db.execute(f"create view deals as select *, {stamp}::timestamptz extracted_at from opportunities_given")


def _stage_flags(db: DuckDBPyConnection, given: bool) -> None:
    """Which stages are closed and won: from the stage table, else learnt from the deals and common names."""
    db.execute("create table stage_names as select distinct new_value as value from history where field = 'stage'")
    pipeline = "coalesce(pipeline_id, '')"
    ranked = [f"select {pipeline}, stage_id, bool_or(is_closed), bool_or(is_won), 2 from deals group by all"]
    if given:
        ranked.append("select pipeline_id, stage_id, is_closed, is_won, 1 from stages_given")
    ranked.append(f"""
        select distinct {pipeline}, new_value, true, regexp_matches(lower(new_value), 'won'), 3
        from history join deals using (opportunity_id)
        where field = 'stage' and new_value in (
            select value from stage_names where regexp_matches(lower(value), '{CLOSED_NAME}'))""")
    db.execute(f"""
        create table stage_flags as
        select pipeline_id, stage_id, arg_min(is_closed, rank) is_closed, arg_min(is_won, rank) is_won
        from ({" union all ".join(ranked)}) flags(pipeline_id, stage_id, is_closed, is_won, rank)
        group by pipeline_id, stage_id
    """)


def _turns(db: DuckDBPyConnection) -> None:
    """List where deals close and open again, and who owned each as it closed.

    A closed deal that turns from lost to won closes again; from one won stage to another it does not.
    """
    db.execute(f"""
        create table moved as
        select opportunity_id, changed_at,
            coalesce(new.is_closed, false)
                and not (coalesce(old.is_closed, false) and old.is_won = new.is_won) closes,
            coalesce(old.is_closed, false) and not coalesce(new.is_closed, false) and new_value is not null opens
        from history join deals d using (opportunity_id)
        left join {FLAG.format("new", "new_value")}
        left join {FLAG.format("old", "old_value")}
        where field = 'stage' and (closes or opens) and (
            new_value in (select stage_id from stage_flags where is_closed)
            or old_value in (select stage_id from stage_flags where is_closed))
    """)
    db.execute("""
        create table closers as
        with ends as (
            select opportunity_id, changed_at ended_at from moved where closes
            union select opportunity_id, closed_at from deals where closed_at is not null
        )
        select opportunity_id, ended_at, coalesce(
            arg_max_null(new_value, place) filter (changed_at <= ended_at),
            arg_min_null(old_value, place) filter (changed_at > ended_at)
        ) closer
        from history join ends using (opportunity_id) where field = 'owner' group by all
    """)
    db.execute("""
        create table turns as select moved.*, closer
        from moved left join closers on closers.opportunity_id = moved.opportunity_id and ended_at = changed_at
    """)


def _begin(db: DuckDBPyConnection, tracked: list[str], idle: list[str], instants: list[pd.Timestamp]) -> None:
    """Put each field's last value by the first instant, else the one before its first change, beside its deal.

    A table that is moved on where there are more instants; else a view, of which nothing need be kept.
    """
    first = f"timestamptz '{instants[0].isoformat()}'"
    picks = [
        f"""coalesce(arg_max({LAST}, place) filter ({at} and changed_at <= {first}),
        arg_min({NEXT}, place) filter ({at} and changed_at > {first})) {field}_now"""
        for field, at in _named(tracked)
    ]
    touched = f"max(changed_at) filter (not is_bulk and changed_at <= {first}) touched_at"
    several = len(instants) > 1
    db.execute(f"""
        create {"table" if several else "view"} running as
        with changes as (
            select {", ".join(["opportunity_id", "min(changed_at) first_change", touched, *picks])}
            from history group by opportunity_id
        ), turned as ({TURNED.format(f"changed_at <= {first}")})
        select d.* {f"exclude ({', '.join(idle)})" if idle else ""}, changes.* exclude (opportunity_id),
            closing_at, turned.closer, coalesce(openings, 0) openings, closers.closer column_closer,
            {"row_number() over (order by d.opportunity_id)" if several else "d.opportunity_id"} line
        from deals d left join changes using (opportunity_id) left join turned using (opportunity_id)
        left join closers on closers.opportunity_id = d.opportunity_id and ended_at = d.closed_at
    """)
    if several:
        db.execute(
            """create table moves as select opportunity_id, changed_at, field, new_value, place, is_bulk
            from history where changed_at > $t and changed_at <= $last order by changed_at""",
            _then(instants[0]) | {"last": instants[-1].to_pydatetime()},
        )


TURNED = """
    select opportunity_id, max(changed_at) filter (closes) closing_at, count(*) filter (opens) openings,
        arg_max_null(closer, changed_at) filter (closes) closer
    from turns where {} group by opportunity_id"""


def _advance(db: DuckDBPyConnection, tracked: list[str], before: pd.Timestamp, instant: pd.Timestamp) -> None:
    """Bring `running` from one instant to a later one."""
    window = _then(instant) | {"before": before.to_pydatetime()}
    span = "changed_at > $before and changed_at <= $t"
    picks = [f"arg_max({LAST}, place) filter ({at}) {field}_last" for field, at in _named(tracked)]
    touched = "max(changed_at) filter (not is_bulk) touched_at"
    now = [f"{field}_now = coalesce({field}_last, {field}_now)" for field in tracked]
    for step, assigned in (
        (
            f"select {', '.join(['opportunity_id', touched, *picks])} from moves where {span} group by all",
            ["touched_at = coalesce(step.touched_at, running.touched_at)", *now],
        ),
        (
            TURNED.format(span),
            ["openings = running.openings + step.openings",
             "closer = case when step.closing_at is null then running.closer else step.closer end",
             "closing_at = coalesce(step.closing_at, running.closing_at)"],
        ),
    ):  # fmt: skip
        db.execute(f"create or replace temp table step as {step}", window)
        on = "step.opportunity_id = running.opportunity_id"
        db.execute(f"update running set {', '.join(assigned)} from step where {on}")


def _then(instant: pd.Timestamp) -> dict:
    return {"t": instant.to_pydatetime()}


def _named(tracked: list[str]) -> Iterator[tuple[str, str]]:
    yield from ((field, f"field = '{field}'") for field in TRACKED if field in tracked)


def _statement(tracked: set[str], wanted: list[str], present: bool) -> str:
    """Write the SQL of a state for the fields that anybody tracked; its one parameter is ``$t``."""
    values = ",\n".join(f"{_value(field, tracked)} {column}" for field, (column, _) in TRACKED.items())
    return f"""
        with known as (
            select o.* exclude ({", ".join(column for column, _ in TRACKED.values())}),
                o.is_closed and o.closed_at <= $t closed_by_column, {EXPORTED} exported, {values}
            from running o where coalesce(o.created_at, first_change, o.extracted_at, $t) <= $t
        ), flagged as (
            select known.* exclude (is_closed, is_won),
                coalesce(f.is_closed, closed_by_column, false) is_closed_then,
                coalesce(f.is_won, closed_by_column and known.is_won, false) is_won_then,
                coalesce(closing_at, case when closed_by_column then closed_at end) closed_at_then
            from known left join stage_flags f
                on f.stage_id = known.stage_id and f.pipeline_id = coalesce(known.pipeline_id, '')
        )
        select {", ".join(f"{FINAL.get(column, column)} {column}" for column in wanted)} from flagged
        {"where not coalesce(is_deleted, false) and merged_into_id is null" if present else ""} order by line
    """


def _value(field: str, tracked: set[str]) -> str:
    """SQL for one field's value at ``$t``."""
    column, kind = TRACKED[field]
    if field in tracked:
        changed = f"cast(nullif({field}_now, {EMPTIED}) as {kind})"
        return f"case when {field}_now is not null then {changed} else {_untouched(field)} end"
    if field in ("deleted", "merged"):
        return _untouched(field)
    if field in CHANGING:
        return f"case when {EXPORTED} or (o.is_closed and o.closed_at <= $t) then o.{column} end"
    return f"o.{column}"


def _untouched(field: str) -> str:
    """SQL for a tracked field nobody ever changed: as at export; but a stage cannot have been closed all along."""
    column = TRACKED[field][0]
    if field == "deleted":
        return f"o.is_deleted and coalesce(o.deleted_at <= $t, {EXPORTED})"
    if field == "merged":
        return f"case when {EXPORTED} then o.merged_into_id end"
    if field == "stage":
        return f"case when o.is_closed and coalesce(o.closed_at > $t, false) then null else o.{column} end"
    return f"o.{column}"


LOCAL = "cast(timezone($zone, {}) as date)".format
ON_ITS_DAY = "closed_at_then = closed_at"
# SQL of the columns that are not simply taken over; facts from after ``$t`` are emptied
FINAL = {
    "is_closed": "is_closed_then",
    "is_won": "is_won_then",
    "closed_at": "case when is_closed_then then closed_at_then end",
    "close_date": f"""case when not is_closed_then then null
        when {ON_ITS_DAY} then coalesce(close_date, {LOCAL("closed_at")}) else {LOCAL("closed_at_then")} end""",
    "owner_at_close_id": f"""case when is_closed_then then coalesce(
        case when {ON_ITS_DAY} then owner_at_close_id end,
        case when closing_at is null then column_closer else closer end, owner_id) end""",
    "last_activity_at": "case when last_activity_at <= $t then last_activity_at end",
    "deleted_at": "case when deleted_at <= $t then deleted_at end",
    "is_deleted": "coalesce(is_deleted, false)",
    "attempt": "1 + openings",
    "last_changed_at": "touched_at",
    **{c: f"case when is_closed_then and {ON_ITS_DAY} then {c} end" for c in ON_CLOSE},
    **{c: f"case when exported and not is_closed_then then {c} end" for c in AT_EXPORT},
}


def movements(db: DuckDBPyConnection, since: pd.Timestamp, until: pd.Timestamp) -> pa.Table:
    """List the changes after `since` up to `until`; of a deal without history of stages, what its columns tell."""
    shut = "coalesce({}.is_closed, false)".format
    ended = "case when {0}.is_won then 'won' else 'lost' end".format
    number = "try_cast({} as decimal(18,2))".format
    day = "try_cast({} as date)".format
    return db.sql(
        f"""
        with changes as (
            select {", ".join(MOVED)}, place from history where changed_at > $since and changed_at <= $until
            union all
            select opportunity_id, happened, 'stage', 0, before, after, null, false, 'inferred', 0 from (
                select opportunity_id, created_at happened, null before, '' after from deals
                union all select opportunity_id, closed_at, '', stage_id from deals where is_closed
            ) where happened > $since and happened <= $until
                and opportunity_id not in (select opportunity_id from history where field = 'stage')
        )
        select {", ".join(f"c.{column}" for column in MOVED)},
            case when c.field = 'stage' then
                case when c.old_value is null then 'created'
                     when {shut("new")} and {shut("old")} and new.is_won = old.is_won then 'moved'
                     when {shut("new")} then {ended("new")}
                     when {shut("old")} then 'reopened' else 'moved' end
            when c.new_value is null then 'emptied'
            when c.old_value is null then 'set'
            when c.field = 'amount' and {number("c.new_value")} > {number("c.old_value")} then 'up'
            when c.field = 'amount' then 'down'
            when c.field = 'expected_close_date' and {day("c.new_value")} > {day("c.old_value")} then 'pushed out'
            when c.field = 'expected_close_date' then 'pulled in'
            else 'changed' end change,
            coalesce(t.closes, false) after_close
        from changes c join deals d using (opportunity_id)
        left join {FLAG.format("new", "c.new_value")}
        left join {FLAG.format("old", "c.old_value")}
        asof left join turns t on t.opportunity_id = c.opportunity_id and t.changed_at < c.changed_at
        order by c.changed_at, c.opportunity_id, c.seq, c.field
        """,
        params={"since": since.to_pydatetime(), "until": until.to_pydatetime()},
    ).to_arrow_table()


MOVED = (
    "opportunity_id", "changed_at", "field", "seq", "old_value", "new_value", "changed_by", "is_bulk", "origin",
)  # fmt: skip
