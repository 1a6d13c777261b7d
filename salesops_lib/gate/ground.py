"""What the checks stand on: a DuckDB session over one snapshot's Parquet files, with the views they share.

Tables the source does not have are empty views, so any check can name any table. Small tables are held; of large
ones, history and activities are only ever aggregated, never loaded.

=============== ==================================================================================================
`every_deal`    opportunities with `value`, the amount in corporate currency at the rate of its day
`deals`         those neither deleted nor merged away
`flags`         the stage table as it holds at export: one row a pipeline and stage
`digest`        one row a deal with history: first and last change, last values, closings, reopenings
`tracked`       one row a history field: changes after creation
`jumps`         changes whose old value is not what the change before left; `again` where a deal begins while open
`idle`          open deals with the day something last happened
`quarters`      fiscal quarters; `month_starts` the first days of fiscal months
=============== ==================================================================================================

Where an earlier export is given, `earlier_opportunities` and `earlier_opportunity_history` are its tables, and
`earlier_day()` is the day it was made.

Macros: `exported_at()`, `export_day()`, `corporate()`, `stale_days()`, `year_start()` (of the last four quarters),
`on_day(instant)` (its business date).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

from salesops_lib import fx, tables
from salesops_lib.errors import SnapshotError

if TYPE_CHECKING:
    import duckdb

    from salesops_lib.periods import FiscalCalendar
    from salesops_lib.store import Snapshot

MEMORY = "2GB"
SMALL = 50_000  # rows up to which a table is held: to read a file anew for every check takes longer than the check
NOTED = {
    "load_findings": {"kind": str, "file": str, "table": str, "column": str, "value": str, "n": int},
    "load_losses": {"table": str, "rows_in": int, "rows_kept": int, "rows_quarantined": int, "reason": str},
    "control": {"table": str, "measure": str, "stated": str, "found": str, "difference": str},
    "coverage": {"field": str, "since": str},
}
FIRST_YEAR, LAST_YEAR = 1990, 2100  # the calendar is made for sane dates only

DAY_RATES = f"""
    create temp table day_rates as
    with pairs as (
        select distinct currency, coalesce(close_date, export_day()) as day
        from opportunities where currency <> corporate()
    ), known as (select * from fx_rates where rate_date <= export_day() and rate_to_corp > 0)
    select currency, day, coalesce(
        arg_max(rate_to_corp, rate_date)
            filter (kind = 'daily' and rate_date between day - {fx.MAX_AGE["daily"]} and day),
        any_value(rate_to_corp) filter (kind = 'month_avg' and date_trunc('month',
            rate_date) = date_trunc('month', day))
    ) rate
    from pairs join known using (currency) group by all
"""
# `kept` stands for a table where the deals are few, else for a view
DEALS = """
    create temp kept every_deal as
    select o.* replace (coalesce(o.is_closed, false) as is_closed, coalesce(o.is_won, false) as is_won),
        case when o.currency = corporate() then o.amount
             else try_cast(round(o.amount::decimal(20,2) * r.rate, 2) as decimal(18,2)) end as value
    from opportunities o
    left join day_rates r on r.currency = o.currency and r.day = coalesce(o.close_date, export_day());
    create temp kept deals as
    select * from every_deal where not coalesce(is_deleted, false) and merged_into_id is null
"""
FLAGS = """
    create temp table flags as
    select *, dense_rank() over (partition by pipeline_id, closed order by stage_order) place from (
        select pipeline_id, stage_id, arg_max(stage_name, valid_from) stage_name,
            arg_max(stage_order, valid_from) stage_order, coalesce(arg_max(is_closed, valid_from), false) closed,
            coalesce(arg_max(is_won, valid_from), false) won, arg_max(forecast_category, valid_from) category
        from (select * replace (coalesce(valid_from, date '1900-01-01') as valid_from) from stages)
        where valid_from <= export_day() and pipeline_id is not null group by pipeline_id, stage_id
    )
"""
SAME_END = "coalesce(old.closed, false) and old.won = new.won"
DIGEST = f"""
    create temp table digest as
    select h.opportunity_id, count(*) changes, min(changed_at) first_at,
        max(changed_at) filter (changed_at <= exported_at()) last_at,
        count(*) filter (field = 'stage') stages, count(*) filter (field = 'amount') amounts,
        arg_max_null(new_value, (changed_at, seq)) filter (field = 'stage') stage_last,
        arg_max_null(new_value, (changed_at, seq)) filter (field = 'amount') amount_last,
        count(*) filter (field = 'expected_close_date' and old_value is not null) date_changes,
        max(changed_at) filter (field = 'expected_close_date' and old_value is not null) date_changed_at,
        arg_max_null(new_value, (changed_at, seq)) filter (field = 'expected_close_date') date_last,
        max(changed_at) filter (new.closed and not ({SAME_END})) closing_at,
        count(*) filter (old.closed and not new.closed) reopened,
        count(*) filter (not old.closed and not new.closed and new.place < old.place) back,
        count(*) filter (not old.closed and not new.closed and new.place > old.place + 1) skipped,
        max(changed_at) filter (field = 'deleted' and origin = 'snapshot_diff'
            and lower(new_value) = 'true') gone_at
    from opportunity_history h
    left join opportunities o on field = 'stage' and o.opportunity_id = h.opportunity_id
    left join flags new on new.stage_id = h.new_value and new.pipeline_id = o.pipeline_id
    left join flags old on old.stage_id = h.old_value and old.pipeline_id = o.pipeline_id
    group by h.opportunity_id
"""
TRACKED = """
    create temp table tracked as
    select field, count(*) changes from opportunity_history where old_value is not null group by field
"""
JUMPS = """
    create temp macro told(field, value) as case field
        when 'amount' then coalesce(try_cast(value as decimal(18,2))::varchar, value)
        when 'expected_close_date' then coalesce(try_cast(value as date)::varchar, value)
        when 'probability' then coalesce(try_cast(value as double)::varchar, value)
        else value end;
    create temp table jumps as
    with steps as (
        select opportunity_id, field, changed_at, seq, old_value, new_value,
            lag(changed_at) over past before_at, lag(new_value) over past before_value
        from opportunity_history semi join tracked using (field)
        window past as (partition by opportunity_id, field order by changed_at, seq)
    )
    select steps.*, field = 'stage' and old_value is null and changed_at > before_at
        and not coalesce(closed, false) again
    from steps left join opportunities o on field = 'stage' and o.opportunity_id = steps.opportunity_id
    left join flags on flags.stage_id = before_value and flags.pipeline_id = o.pipeline_id
    where before_at is not null and old_value is distinct from before_value
        and told(field, old_value) is distinct from told(field, before_value)
"""
EARLIER = ("opportunities", "opportunity_history")
IDLE = """
    create temp kept idle as
    with met as (
        select opportunity_id, max(started_at) met_at from activities
        where opportunity_id is not null and started_at <= exported_at() group by all
    ), open as (
        select d.*, greatest(
            created_at, digest.last_at, met_at,
            case when last_activity_at <= exported_at() then last_activity_at end
        ) touched_at
        from deals d left join digest using (opportunity_id) left join met using (opportunity_id)
        where not d.is_closed
    )
    select *, date_diff('day', touched_at, exported_at()) idle_days from open
"""


class Ground:
    """One snapshot opened for checking; `db` is the session, `has` says what the source can tell.

    Use `standing_on` to make one.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, snapshot: Snapshot):
        self.db = db
        self.snapshot = snapshot
        self.given: set[str] = set()
        self._held: dict[str, bool] = {}

    def has(self, need: str) -> bool:
        """Whether a table, a column or a history field holds any value, or something else was handed in."""
        if need not in self._held:
            self._held[need] = need in self.given or self._look(need)
        return self._held[need]

    def _look(self, need: str) -> bool:
        table, dot, column = need.partition(".")
        if need.startswith("history:"):
            field = need.removeprefix("history:")
            return self.one("select count(*) from tracked where field = ?", [field]) > 0
        if table not in tables.TABLES:
            return False
        where = f"where {column} is not null" if dot else ""
        return bool(self.rows(f"select 1 from {table} {where} limit 1"))

    def rows(self, sql: str, values: Any = None) -> list[tuple]:
        """Run a statement and fetch all it returns."""
        return self.db.execute(sql, values).fetchall()

    def one(self, sql: str, values: Any = None) -> Any:
        """Run a statement and fetch its only number."""
        return self.rows(sql, values)[0][0]


@contextmanager
def standing_on(
    snapshot: Snapshot,
    calendar: FiscalCalendar,
    currency: str | None,
    *,
    noted: Mapping[str, list[tuple]],
    today: date | None = None,
    limits: Mapping[str, int],
    earlier: Snapshot | None = None,
) -> Iterator[Ground]:
    """Open a snapshot for checking; the session and what it spilled to disk are gone afterwards.

    Parameters
    ----------
    currency
        Corporate currency; by default the one most deals are in.
    noted
        Rows of the tables in `NOTED`: what the load noticed, control totals, coverage.
    limits
        Whole numbers that become macros, e.g. ``stale_days``.
    earlier
        An earlier export of the same company.
    """
    import duckdb

    with tempfile.TemporaryDirectory(prefix="salesops-gate-") as spill, duckdb.connect() as db:
        db.execute(f"set TimeZone = 'UTC'; set memory_limit = '{MEMORY}'; set preserve_insertion_order = false")
        db.execute("set enable_progress_bar = false")
        db.execute(f"set temp_directory = '{spill.replace(chr(39), chr(39) * 2)}'")
        ground = Ground(db, snapshot)
        try:
            _views(ground)
            _macros(ground, calendar, currency, today, limits)
            if earlier is not None:
                _earlier(ground, earlier, calendar)
            _noted(ground, noted)
            _calendar(ground, calendar)
            kind = "table" if _is_small(snapshot, "opportunities") else "view"
            for statement in (DAY_RATES, DEALS, FLAGS, DIGEST, TRACKED, JUMPS, IDLE):
                db.execute(statement.replace("temp kept", f"temp {kind}"))
            yield ground
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise SnapshotError(f"snapshot {snapshot.id} cannot be read ({error}); load again.") from error


def _views(ground: Ground) -> None:
    """One view, or a copy, a canonical table, with every canonical column whatever the file holds."""
    for name in tables.TABLES:
        _view(ground, ground.snapshot, name, name)


def _is_small(snapshot: Snapshot, name: str) -> bool:
    return name not in snapshot.tables or snapshot.manifest["tables"][name]["rows"] <= SMALL


def _view(ground: Ground, snapshot: Snapshot, name: str, called: str) -> None:
    columns = [(column.name, tables.sql_type(column.kind)) for column in tables.TABLES[name].columns]
    if name not in snapshot.tables:
        empty = ", ".join(f"null::{kind} {column}" for column, kind in columns)
        ground.db.execute(f"create temp view {called} as select {empty} where false")
        return
    file = ground.db.read_parquet(str(snapshot.file(name)))
    picks = [f"{column if column in file.columns else 'null'}::{kind} as {column}" for column, kind in columns]
    rows = file.project(", ".join(picks))
    rows.create(called) if _is_small(snapshot, name) else rows.create_view(called)


def _earlier(ground: Ground, snapshot: Snapshot, calendar: FiscalCalendar) -> None:
    for name in EARLIER:
        _view(ground, snapshot, name, f"earlier_{name}")
    ground.db.execute("set variable earlier_day = ?", [calendar.day_of(snapshot.extracted_at)])
    ground.db.execute("create temp macro earlier_day() as getvariable('earlier_day')")
    if "opportunity_history" in snapshot.tables:
        ground.given.add("earlier")


def _macros(ground: Ground, calendar: FiscalCalendar, currency: str | None, today, limits) -> None:
    day = calendar.day_of(ground.snapshot.extracted_at)
    if currency is None:
        found = ground.rows("select currency from opportunities group by 1 order by count(*) desc, 1 limit 1")
        currency = found[0][0] if found else ""
    values = {
        "exported_at": ground.snapshot.extracted_at.to_pydatetime(),
        "export_day": day,
        "corporate": currency or "",
        "today": today,
        "year_start": calendar.trailing("quarter", 4, day).start,
        "zone": calendar.timezone,
        **limits,
    }
    for name, value in values.items():
        ground.db.execute(f"set variable {name} = ?", [value])
        ground.db.execute(f"create temp macro {name}() as getvariable('{name}')")
    ground.db.execute("create temp macro on_day(x) as cast(timezone(zone(), x) as date)")
    if today is not None:
        ground.given.add("today")


def _noted(ground: Ground, noted: Mapping[str, list[tuple]]) -> None:
    import pyarrow as pa

    kinds = {str: pa.string(), int: pa.int64()}
    for name, columns in NOTED.items():
        schema = pa.schema([(column, kinds[kind]) for column, kind in columns.items()])
        rows = [dict(zip(columns, row, strict=True)) for row in noted.get(name, ())]
        ground.db.register(name, pa.Table.from_pylist(rows, schema=schema))
        if rows:
            ground.given.add(name)


def _calendar(ground: Ground, calendar: FiscalCalendar) -> None:
    """Fiscal quarters and months around every closing and quota date."""
    first, last = ground.rows(f"""
        with days as (
            select close_date as day from opportunities union all select period_start from quotas
            union all select period_end from quotas union all select export_day()
        )
        select min(day), max(day) from days where year(day) between {FIRST_YEAR} and {LAST_YEAR}
    """)[0]
    ground.db.execute("create temp table quarters (first date, last date, label varchar)")
    ground.db.execute("create temp table month_starts (first date)")
    quarters = calendar.between("quarter", first, last)
    months = calendar.between("month", quarters[0].start, quarters[-1].last_day)
    ground.db.executemany(
        "insert into quarters values (?, ?, ?)", [(q.start, q.last_day, q.label) for q in quarters]
    )
    starts = [(month.start,) for month in months] + [(months[-1].end,)]
    ground.db.executemany("insert into month_starts values (?)", starts)
