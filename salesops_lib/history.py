"""The as-of engine: every deal as it was known at an instant, from the history of its changes.

One SQL statement does it, run by DuckDB over pandas frames or straight over a snapshot's Parquet files. Only
changes up to the instant count. For a tracked field without a change up to then, the value before its first later
change is the one that held; without any change, the value at export held all along. What nobody tracked is known
of a deal closed by then, and of the others only from the export on: that a deal still shows its stage would
already tell that it did not close in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from salesops_lib import tables
from salesops_lib.errors import DataContractError, ParameterError
from salesops_lib.periods import FiscalCalendar

if TYPE_CHECKING:
    import pandas as pd

# history field -> (column of opportunities, SQL type)
TRACKED = {
    field: (column, tables.sql_type(tables.OPPORTUNITIES[column].kind)) for field, column in tables.TRACKED.items()
}
# fields that change over the life of a deal; owner, type and currency are taken as they are where untracked
CHANGING = ("stage", "amount", "expected_close_date", "forecast_category", "probability")
# known only once closed, and only at export
ON_CLOSE = ("loss_reason", "competitor", "contract_id")
EXPORTED = "coalesce(o.extracted_at <= $t, true)"
CLOSED_NAME = "(^|[^a-z])(closed|won|lost)([^a-z]|$)"
AT_EXPORT = ("next_step", "next_activity_at")


def state(
    opportunities: pd.DataFrame,
    opportunity_history: pd.DataFrame | None,
    as_of: object,
    *,
    stages: pd.DataFrame | None = None,
    calendar: FiscalCalendar | None = None,
    coverage: Mapping[str, object] | None = None,
) -> pd.DataFrame:
    """Rebuild each opportunity as it was known at an instant.

    Parameters
    ----------
    opportunities
        Canonical `opportunities`; needs `opportunity_id`, `created_at`, `stage_id`, `is_closed`, `is_won`.
    opportunity_history
        Canonical `opportunity_history`, in any order; none where the source keeps no history.
    as_of
        A day (seen to its end in the company's time zone) or an instant.
    stages
        Canonical `stages`; without it, which stages are closed or won is learnt from `opportunities`.
    calendar
        Supplies the time zone; UTC by default.
    coverage
        Since when each history field was tracked, where that is later than the deals' creation. Before it, the
        field counts as untracked: empty for deals still open, rather than guessed.

    Returns
    -------
    DataFrame
        One row for each opportunity known then, with the columns of `opportunities`: `stage_id`, `amount`,
        `expected_close_date`, `forecast_category`, `owner_id`, `is_closed`, `is_won`, `closed_at`, `close_date`
        … as known then; later facts are empty. Deleted and merged deals are there, marked.

    Raises
    ------
    ParameterError
        Where a needed column is absent or `as_of` is no date.
    DataContractError
        Where a history value cannot be read as its field's type.
    """
    import pandas as pd

    empty = pd.DataFrame(columns=tables.table("opportunity_history").names)
    history = empty if opportunity_history is None else opportunity_history
    found = {
        "opportunities": _conform_loosely(opportunities, "opportunities"),
        "opportunity_history": _conform_loosely(history, "opportunity_history"),
        "stages": None if stages is None else _conform_loosely(stages, "stages"),
    }
    return _run(found, as_of, calendar or FiscalCalendar(), coverage=coverage)


def state_from_files(
    files: Mapping[str, Path], as_of: object, calendar: FiscalCalendar, extracted_at, coverage=None
) -> pd.DataFrame:
    """Do what `state` does over Parquet files by table name, without loading the history."""
    return _run(files, as_of, calendar, extracted_at, coverage)


def _conform_loosely(frame: pd.DataFrame, name: str):
    """Give a frame all canonical columns, filling what a caller may leave out."""
    import pandas as pd

    from salesops_lib.frames import to_arrow

    spec = tables.table(name)
    needed = {
        "opportunities": ("opportunity_id", "created_at", "stage_id", "is_closed", "is_won"),
        "opportunity_history": ("opportunity_id", "changed_at", "field", "new_value"),
        "stages": ("stage_id", "is_closed", "is_won"),
    }[name]
    absent = [column for column in needed if column not in frame]
    if absent:
        raise ParameterError(f"{name} lacks the column(s) {', '.join(absent)}; needed are {', '.join(needed)}.")
    fill = {
        "seq": 0, "is_bulk": False, "origin": "native", "is_deleted": False, "currency": "", "pipeline_id": "",
        "valid_from": pd.Timestamp("1900-01-01"), "stage_name": "", "stage_order": 0, "is_qualified": False,
    }  # fmt: skip
    absent = {column: fill[column] for column in spec.required if column not in frame}
    extra = [c.name for c in tables.PROVENANCE if c.name in frame]
    return to_arrow(tables.conform(frame.assign(**absent), name)[spec.names + extra], name)


def _run(
    sources: Mapping[str, object], as_of: object, calendar: FiscalCalendar, extracted_at=None, coverage=None
) -> pd.DataFrame:
    import duckdb

    from salesops_lib.frames import to_pandas

    instant = calendar.instant(as_of)
    with duckdb.connect() as db:
        db.execute("set TimeZone = 'UTC'")
        for name, source in sources.items():
            if isinstance(source, Path):
                db.read_parquet(str(source)).create_view(f"{name}_given")
            elif source is not None:
                db.register(f"{name}_given", source)
        columns = [row[0] for row in db.execute("describe opportunities_given").fetchall()]
        _history_or_empty(db, sources)
        _with_extraction(db, "extracted_at" in columns, extracted_at)
        _stage_flags(db, sources)
        later = {field for field, start in (coverage or {}).items() if start is not None and instant < start}
        tracked = {row[0] for row in db.execute("select distinct field from history").fetchall()} - later
        try:
            then = {"t": instant.to_pydatetime(), "zone": calendar.timezone}
            table = db.sql(_statement(tracked, columns), params=then).to_arrow_table()
        except duckdb.ConversionException as error:
            raise DataContractError(f"opportunity_history: a value does not fit its field: {error}") from error
    return to_pandas(table, "opportunities")


def _with_extraction(db, given: bool, extracted_at) -> None:
    """Say when the deals were exported; where nobody does, not before the last thing they show."""
    if given:
        db.execute("create view deals as select * from opportunities_given")
        return
    if extracted_at is None:
        extracted_at = db.sql("""
            select greatest((select max(changed_at) from history), max(created_at), max(closed_at))
            from opportunities_given
        """).fetchall()[0][0]
    stamp = "null" if extracted_at is None else f"'{extracted_at.isoformat()}'"
    db.execute(f"create view deals as select *, {stamp}::timestamptz extracted_at from opportunities_given")


def _history_or_empty(db, sources: Mapping[str, object]) -> None:
    if sources.get("opportunity_history") is None:
        db.execute(
            "create view history as select ''::varchar opportunity_id, null::timestamptz changed_at, "
            "''::varchar field, 0::bigint seq, ''::varchar old_value, ''::varchar new_value, "
            "0::bigint place where false"
        )
        return
    # one number orders the changes of a deal; a pair does too, at nearly twice the time
    (most,) = db.sql("select coalesce(max(seq), 0) from opportunity_history_given").fetchall()[0]
    place = f"epoch_us(changed_at)::hugeint * {int(most) + 1} + seq"
    narrow = "bigint" if most < 1_000 else "hugeint"
    db.execute(f"""
        create view history as
        select opportunity_id, changed_at, field, seq, old_value, new_value, ({place})::{narrow} place
        from opportunity_history_given
    """)


def _stage_flags(db, sources: Mapping[str, object]) -> None:
    """Which stages are closed and won: from the stage table, else learnt from the deals and common names."""
    pipeline = "coalesce(pipeline_id, '')"
    ranked = [f"select {pipeline}, stage_id, bool_or(is_closed), bool_or(is_won), 2 from deals group by all"]
    if sources.get("stages") is not None:
        ranked.append("select pipeline_id, stage_id, is_closed, is_won, 1 from stages_given")
    ranked.append(f"""
        select distinct {pipeline}, new_value, true, regexp_matches(lower(new_value), 'won'), 3
        from history join deals using (opportunity_id)
        where field = 'stage' and regexp_matches(lower(new_value), '{CLOSED_NAME}')""")
    db.execute(f"""
        create table stage_flags as
        select pipeline_id, stage_id, arg_min(is_closed, rank) is_closed, arg_min(is_won, rank) is_won
        from ({" union all ".join(ranked)}) flags(pipeline_id, stage_id, is_closed, is_won, rank)
        group by pipeline_id, stage_id
    """)


def _statement(tracked: set[str], columns: list[str]) -> str:
    """Write the SQL for the fields that anybody tracked; parameters are ``$t`` and ``$zone``."""
    picks = ["min(changed_at) first_change"]
    for field in TRACKED:
        if field in tracked:
            of = f"filter (field = '{field}' and changed_at"
            picks.append(f"arg_max_null(new_value, place) {of} <= $t) {field}_last")
            picks.append(f"arg_min_null(old_value, place) {of} > $t) {field}_next")
            picks.append(f"count(*) {of} <= $t) {field}_before, count(*) {of} > $t) {field}_after")
    # a closed deal that turns from lost to won closes again; from one won stage to another it does not
    same_end = "coalesce(old_flag.is_closed, false) and old_flag.is_won = new_flag.is_won"
    closing = f"coalesce(new_flag.is_closed, false) and not ({same_end})"
    flag = "stage_flags {0}_flag on {0}_flag.stage_id = {0}_value"
    flag += " and {0}_flag.pipeline_id = coalesce(d.pipeline_id, '')"
    values = ",\n".join(f"{_value(field, tracked)} {column}" for field, (column, _) in TRACKED.items())
    kept = [c for c in tables.table("opportunities").names if c in columns]
    final = ",\n".join(
        _final(column) for column in [*kept, *(c for c in ("source_system", "source_file_sha256") if c in columns)]
    )
    return f"""
        with changes as (
            select opportunity_id, {", ".join(picks)} from history group by opportunity_id
        ), closings as (
            select opportunity_id, max(changed_at) closing_at
            from history join deals d using (opportunity_id)
            left join {flag.format("new")}
            left join {flag.format("old")}
            where field = 'stage' and changed_at <= $t and {closing} group by opportunity_id
        ), known as (
            select o.* exclude ({", ".join(column for column, _ in TRACKED.values())}),
                o.is_closed and o.closed_at <= $t closed_by_column,
                {EXPORTED} exported, closing_at, changes.* exclude (opportunity_id),
                {values}
            from deals o left join changes using (opportunity_id) left join closings using (opportunity_id)
            where coalesce(o.created_at, first_change, o.extracted_at, $t) <= $t
        ), flagged as materialized (
            select known.* exclude (is_closed, is_won),
                coalesce(f.is_closed, closed_by_column, false) is_closed_then,
                coalesce(f.is_won, closed_by_column and known.is_won, false) is_won_then,
                coalesce(closing_at, case when closed_by_column then closed_at end) closed_at_then
            from known left join stage_flags f
                on f.stage_id = known.stage_id and f.pipeline_id = coalesce(known.pipeline_id, '')
        ), owners as (
            select opportunity_id,
                arg_max_null(new_value, place) filter (changed_at <= closed_at_then) closer,
                arg_min_null(old_value, place) filter (changed_at > closed_at_then) closer_next
            from history join (select opportunity_id, closed_at_then from flagged where is_closed_then)
                using (opportunity_id)
            where field = 'owner' group by opportunity_id
        )
        select {final} from flagged left join owners using (opportunity_id) order by opportunity_id
    """


def _value(field: str, tracked: set[str]) -> str:
    """SQL for one field's value at ``$t``."""
    column, kind = TRACKED[field]
    if field in ("deleted", "merged") and field not in tracked:
        return _untouched(field)
    if field in tracked:
        return f"""case when {field}_before > 0 then cast({field}_last as {kind})
                        when {field}_after > 0 then cast({field}_next as {kind})
                        else {_untouched(field)} end"""
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


def _final(column: str) -> str:
    """SQL for one output column: facts from after ``$t`` are emptied."""
    if column in ("is_closed", "is_won"):
        return f"{column}_then {column}"
    if column == "closed_at":
        return "case when is_closed_then then closed_at_then end closed_at"
    if column == "close_date":
        local = "cast(timezone($zone, {}) as date)".format
        return f"""case when not is_closed_then then null
                       when closed_at_then = closed_at then coalesce(close_date, {local("closed_at")})
                       else {local("closed_at_then")} end close_date"""
    if column == "owner_at_close_id":
        recorded = "case when closed_at_then = closed_at then owner_at_close_id end"
        return f"""case when is_closed_then then
            coalesce({recorded}, owners.closer, owners.closer_next, owner_id) end owner_at_close_id"""
    if column in ON_CLOSE:
        return f"case when is_closed_then and closed_at_then = closed_at then {column} end {column}"
    if column in AT_EXPORT:
        return f"case when exported and not is_closed_then then {column} end {column}"
    if column == "last_activity_at":
        return "case when last_activity_at <= $t then last_activity_at end last_activity_at"
    if column == "deleted_at":
        return "case when deleted_at <= $t then deleted_at end deleted_at"
    if column == "is_deleted":
        return "coalesce(is_deleted, false) is_deleted"
    return column
