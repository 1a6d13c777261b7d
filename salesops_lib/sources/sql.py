"""A database as a source: canonical-shaped tables as they are, or the queries of a mapping.

Every statement runs once, in one read-only transaction. Its rows wait in a file beside the tables until these are
made: the transaction is short, a row may be read twice, and the hash of the rows is known before they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from salesops_lib import tables
from salesops_lib.config import CompanySettings
from salesops_lib.errors import ConfigError, DataContractError, ParameterError, unknown
from salesops_lib.periods import FiscalCalendar, as_date
from salesops_lib.progress import track
from salesops_lib.sources.convert import finding
from salesops_lib.sources.credentials import find_address, missing
from salesops_lib.sources.discover import rename
from salesops_lib.sources.files import Export, Load
from salesops_lib.sources.loaded import Staged
from salesops_lib.sources.mapping import MADE, Mapping
from salesops_lib.sources.pushdown import BEGINS, Pushdown, parse_query
from salesops_lib.sources.read.parquet import RawParquet
from salesops_lib.sources.read.raw import checked_header
from salesops_lib.sources.staging import Stage
from salesops_lib.sources.warehouse import Part, Warehouse, connect

TIMEOUT_S = 600
OPTIONS = ("url_env", "keyring", "schema", "since", "until", "timeout_s")
DAWN = pd.Timestamp("1900-01-01", tz="UTC")


class RawQuery(RawParquet):
    """What a statement brought, as text; its hash is that of the rows, not of the statement.

    Parameters
    ----------
    name
        The table or query, for messages.
    spool
        File with the rows, in their order.
    header
        Their columns.
    typed
        Reading (``ymd``, ``.``) of the columns that were dates or numbers in the database.
    """

    def __init__(self, name: str, spool: Path, header: list[str], typed: dict[str, str]):
        super().__init__(spool)
        self.name, self.header, self.typed = name, checked_header(header, name), typed


def keep(name: str, parts: Iterable[Part], spool: Path) -> RawQuery:
    """Write the rows of a statement to a file as they come."""
    writer, header = None, []
    readings: dict[str, set[str | None]] = defaultdict(set)
    try:
        for part in track(parts, f"fetching {name}"):
            if writer is None:
                header = checked_header(part.rows.column_names, name)
                fields = [f"c{k}" for k in range(len(header))]
                writer = pq.ParquetWriter(
                    spool, pa.schema(dict.fromkeys(fields, pa.large_string())), compression="zstd"
                )
            writer.write_table(part.rows.rename_columns(fields))
            for column, reading in part.typed.items():
                readings[column.strip()].add(reading)
    finally:
        if writer is not None:
            writer.close()
    typed = {column: next(iter(found)) for column, found in readings.items() if len(found) == 1}
    return RawQuery(name, spool, header, {column: reading for column, reading in typed.items() if reading})


@dataclass(frozen=True)
class Window:
    """What of the company is asked for; None where there is no bound."""

    since: pd.Timestamp | None
    until: pd.Timestamp | None

    @classmethod
    def of(cls, since: date | str | None, until: str | None, calendar: FiscalCalendar) -> Window:
        """Read the bounds: `since` from the day's first instant, `until` to its last; both in company time."""
        first = None if since is None else calendar.day_start(pd.Series([pd.Timestamp(as_date(since))]))[0]
        last = None if until is None else calendar.instant(until)
        if first is not None and last is not None and first > last:
            raise ParameterError(f"since {since} lies after until {until}.")
        return cls(first, last)

    def findings(self, names: Iterable[str]) -> list[dict]:
        """Say of each table what was left in the database."""
        told = {"not loaded: from before": self.since, "not loaded: from after": self.until}
        return [
            finding(what, table=name, value=bound.isoformat())
            for name in names for what, bound in told.items()
            if bound is not None and (name, bound) != ("accounts", self.since)
        ]  # fmt: skip


def stage_sql(
    mapping: Mapping | None,
    company: CompanySettings,
    place: Path,
    *,
    url_env: str | None = None,
    keyring: dict[str, str] | None = None,
    schema: str | None = None,
    since: date | str | None = None,
    until: str | None = None,
    timeout_s: int = TIMEOUT_S,
) -> Staged:
    """Bring a database into canonical Parquet files.

    Parameters
    ----------
    mapping
        Has `queries`; without one every canonical table that exists is read with its own columns and ids.
    url_env, keyring
        Where the URL is found; see `find_address`.
    schema
        Schema of the canonical tables, by default what the session sees.
    since
        First day: older activities and leads are left in the database, and deals closed before.
    until
        Last day or instant; what came later is left there. `Staged.until` holds it.
    timeout_s
        Longest time one statement may take.
    """
    company = company.over(mapping.company) if mapping else company
    calendar = company.calendar()
    window = Window.of(since, until, calendar)
    address = find_address(url_env, keyring)
    try:
        import sqlalchemy  # noqa: F401
    except ImportError:
        raise ConfigError(missing("reading a database")) from None
    spool = place / "fetched"
    spool.mkdir(parents=True)
    with connect(address, calendar.timezone, timeout_s) as warehouse:
        now = warehouse.now()
        if window.until is not None and window.until >= now:
            window = replace(window, until=None)
        if mapping is None:
            export, findings = _read_tables(warehouse, schema, window, now, spool)
        else:
            export, findings = _read_queries(warehouse, mapping, window, now, spool)
    if mapping and mapping.extracted_at:
        export = replace(export, extracted_at=calendar.instant(mapping.extracted_at), dated=True)
    staged = Load(export, [], company, calendar, Stage(place), findings=findings).run()
    return replace(staged, until=window.until)


# -- canonical-shaped tables ---------------------------------------------------------------------------


def _read_tables(warehouse: Warehouse, schema: str | None, window: Window, now, spool: Path):
    """Read every canonical table there is; return (export, findings)."""
    catalog = warehouse.catalog(schema, list(tables.TABLES))
    if not catalog:
        where = f"schema {schema!r}" if schema else "what the session sees"
        raise DataContractError(
            f"the database shows none of the canonical tables ({', '.join(tables.TABLES)}) in {where}. Name their "
            "schema (schema under source, or --schema), or write a mapping with queries: docs/sources.md."
        )
    bounds = {name: warehouse.moment(at) for name, at in vars(window).items() if at is not None}
    build = Pushdown(catalog, schema, frozenset(bounds))
    files, sections, findings = {}, {}, []
    for name, columns in catalog.items():
        spec = tables.table(name)
        absent = [column for column in spec.required if column not in columns and column not in MADE.get(name, ())]
        if absent:
            raise DataContractError(
                f"{name}: {unknown('column', absent[0], columns)}. The table cannot do without "
                f"{', '.join(absent)}; add what is missing in a view, or write a mapping with queries."
            )
        chosen = [column for column in spec.names if column in columns]
        statement = build.statement(spec, chosen)
        files[name] = [keep(name, warehouse.fetch(name, statement, bounds), spool / f"{name}.parquet")]
        sections[name] = {"file": name, "columns": {column: column for column in chosen}}
        known = {*chosen, *(column.name for column in tables.PROVENANCE)}
        findings += [
            finding("column not read", name, column=column)
            for column in columns if column not in known
        ]  # fmt: skip
    same = dict.fromkeys(("name", "id_prefix", "source_system"), "sql")
    same |= {"ids": "whole", "date_order": "ymd", "decimal": "."}
    export = Export(Mapping(**same, tables=sections), files, now, False, clock="database clock")
    return export, findings + window.findings(name for name in BEGINS if name in catalog)


# -- queries of a mapping ------------------------------------------------------------------------------


def _read_queries(warehouse: Warehouse, mapping: Mapping, window: Window, now, spool: Path):
    """Run the queries of a mapping; return (export, findings)."""
    where = f"mapping {mapping.name}"
    for file in () if mapping.objects and mapping.queries else mapping.files:
        if file not in mapping.queries:
            raise ConfigError(f"{where}: {unknown('query', file, mapping.queries)}. Write it under queries.")
    checked = {name: parse_query(query, f"{where}: queries.{name}") for name, query in mapping.queries.items()}
    used = set().union(*(names for _, names in checked.values()))
    for parameter, option, bound in (("as_of", "until", window.until), ("since", "since", window.since)):
        if bound is not None and parameter not in used:
            raise ParameterError(f"{where}: {option} is given, but no query uses :{parameter}.")
    bounds = {"as_of": warehouse.moment(window.until or now), "since": warehouse.moment(window.since or DAWN)}
    files = {}
    for k, (name, (statement, names)) in enumerate(checked.items()):
        if mapping.objects and name not in mapping.objects:
            raise ConfigError(f"{where}: {unknown('object', name, mapping.objects)}")
        given = {parameter: bounds[parameter] for parameter in names}
        files[name] = [keep(name, warehouse.fetch(name, statement, given), spool / f"{k}.parquet")]
        if mapping.objects:
            rename(files[name][0], mapping, name)
    return Export(mapping, files, now, False, clock="database clock"), window.findings([""])
