"""A database, read only: PostgreSQL through ADBC in Arrow batches, any other through SQLAlchemy.

All tables are read in one transaction, on PostgreSQL of one instant. What drivers say never passes on unread: at
connecting it is replaced by a sentence, later it is scrubbed of the URL and its password.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from salesops_lib.errors import ConfigError, DataContractError, SalesOpsError, SourceUnavailable
from salesops_lib.sources.credentials import Address, missing
from salesops_lib.sources.read.parquet import text_array

FETCH_ROWS = 50_000
CONNECT_SECONDS = 15
REFUSALS = {
    r"password|28P01|28000|Access denied|authentication|Login failed": "it refuses the user name or the password",
    r"translate host|resolve|getaddrinfo|Name or service|nodename|Unknown host": "its host name is not known here",
    r"refused|unreachable": "nothing answers at that host and port",
    r"time[d ]*out|expired": f"there was no answer within {CONNECT_SECONDS} seconds",
    r"3D000|does not exist|Unknown database|unable to open": "it has no such database",
    r"SSL|TLS|certificate": "no secure connection could be made; see sslmode of the URL",
    r"invalid|missing \"=\"|URI|parse": "its URL cannot be read",
}
AWAY = ("nothing answers at that host and port", f"there was no answer within {CONNECT_SECONDS} seconds")
GONE = re.compile("08...|57P0[123]|53300")  # SQLSTATE: connection lost, server stops or starts, too many sessions
HINTS = {
    "57014": "Narrow it with --since or a condition, or raise timeout_s under source.",
    "42501": "Ask for the right to read it (grant select).",
    "25006": "A query may only read.",
    "42P01": "Name the schema, or mend the query.",
    "42703": "Mend the query.",
    "42601": "Mend the query.",
}
CATALOG = """
    select c.relname, a.attname from pg_class c
    join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
    where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'v', 'm', 'f', 'p')
        and c.relname = any(string_to_array($2, ','))
        and case when $1 = '' then pg_table_is_visible(c.oid) else n.nspname = $1 end
    order by c.relname, a.attnum
"""
AS_TEXT = ("citext", "xml")  # of the types that ADBC hands on as bytes


class Part(NamedTuple):
    """Some rows: text columns, and how those are written that were no text in the database (``ymd`` or ``.``)."""

    rows: pa.Table
    typed: dict[str, str | None]


class Warehouse:
    """What both ways of reading share.

    Parameters
    ----------
    address
        The database.
    zone
        Time zone of the session: what a timestamp without one is in.
    timeout_s
        Longest time one statement may take.
    """

    def __init__(self, address: Address, zone: str, timeout_s: int):
        self.address, self.zone, self.timeout_s = address, zone, timeout_s
        with self._connecting():
            self._open(address.url.get_secret_value())
        with self.reading("the session"):
            self._begin()

    @contextmanager
    def _connecting(self) -> Iterator[None]:
        try:
            yield
        except SalesOpsError:
            raise
        except ImportError:
            raise ConfigError(missing("reading this database")) from None
        except Exception as error:  # what a driver says here may hold a part of a URL it could not read
            said = f"{error} {getattr(error, 'sqlstate', '')}"
            why = next((w for form, w in REFUSALS.items() if re.search(form, said, re.I)), type(error).__name__)
            is_away = why in AWAY or GONE.fullmatch(getattr(error, "sqlstate", None) or "")
            raise (SourceUnavailable if is_away else ConfigError)(
                f"the database of {self.address.place} cannot be reached: {why}. Mend its URL, or the server."
            ) from None

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """Turn what a driver raises into a sentence that names the query."""
        try:
            yield
        except SalesOpsError:
            raise
        except Exception as error:
            cause = getattr(error, "orig", None) or error
            state = getattr(cause, "sqlstate", None) or ""
            said = self.address.scrub(str(cause))  # first of all: nothing may tear a password apart
            said = said.partition("ERROR:")[2] or said
            said = " ".join(re.split(r"LINE \d+:|Query was:|SQLSTATE|\[SQL:", said)[0].split()).rstrip(".")
            told = f"{name}: the database says: {said[:400]}. {HINTS.get(state, '')}"
            raise (SourceUnavailable if GONE.fullmatch(state) else DataContractError)(told.strip()) from None


class Postgres(Warehouse):
    """PostgreSQL through ADBC: one repeatable-read transaction, rows fetched from server-side cursors."""

    def _open(self, url: str) -> None:
        import adbc_driver_postgresql.dbapi as driver
        from sqlalchemy.dialects.postgresql.base import PGDialect

        self._dialect = PGDialect(paramstyle="numeric_dollar")
        if "connect_timeout=" not in url:
            url += f"{'&' if '?' in url else '?'}connect_timeout={CONNECT_SECONDS}"
        self._connection = driver.connect(url)

    def _begin(self) -> None:
        self._run("set transaction isolation level repeatable read, read only")
        settings = {"statement_timeout": f"{self.timeout_s}s", "TimeZone": self.zone, "cursor_tuple_fraction": "1"}
        for name, value in settings.items():
            self._run("select set_config($1, $2, true)", [name, value])

    def close(self) -> None:
        """Leave without a trace."""
        self._connection.close()

    def _run(self, statement: str, values: list | None = None) -> pa.Table:
        with self._connection.cursor() as cursor:
            # a parameter or FETCH does not go through COPY
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
            cursor.execute(statement, values)
            return cursor.fetch_arrow_table() if cursor.description else pa.table({})

    def now(self) -> pd.Timestamp:
        """The instant the transaction sees."""
        with self.reading("now()"):
            return pd.Timestamp(self._run("select now() as n")["n"][0].as_py()).tz_convert("UTC").as_unit("us")

    def moment(self, instant: pd.Timestamp) -> datetime:
        """Write an instant as a parameter."""
        return instant.to_pydatetime()

    def catalog(self, schema: str | None, names: list[str]) -> dict[str, dict[str, Any]]:
        """Columns of the tables or views of these names, those of the search path where no schema is named."""
        found: dict[str, dict[str, Any]] = {}
        with self.reading("catalogue"):
            for table, column in zip(*self._run(CATALOG, [schema or "", ",".join(names)]).columns, strict=True):
                found.setdefault(table.as_py(), {})[column.as_py()] = None
        return {name: found[name] for name in names if name in found}

    def fetch(self, name: str, statement, values: dict[str, Any]) -> Iterator[Part]:
        """Run a statement; yield its rows in parts, at least one."""
        with self.reading(name):
            compiled = statement.compile(dialect=self._dialect)
            given = [values[parameter] for parameter in compiled.positiontup or ()]
            self._run(f"declare fetched no scroll cursor for {compiled}", given or None)
            more = True
            while more:
                rows = self._run(f"fetch {FETCH_ROWS} from fetched")
                more = rows.num_rows == FETCH_ROWS
                yield self._part(name, rows)
            self._run("close fetched")

    def _part(self, name: str, rows: pa.Table) -> Part:
        cells, typed = [], {}
        for k, field in enumerate(rows.schema):
            kind = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
            column = rows.column(k).combine_chunks()
            while isinstance(column.type, pa.BaseExtensionType) and kind != "uuid":
                column = column.storage
            if kind in AS_TEXT:
                column = column.cast(pa.string())
            elif kind == "uuid":
                column = pa.array(
                    [None if value is None else str(value) for value in column.to_pylist()], pa.string()
                )
            elif kind == "money" or pa.types.is_binary(column.type) or pa.types.is_interval(column.type):
                raise DataContractError(
                    f"{name}: column {field.name!r} is of the type {kind}, which has no plain value. "
                    "Convert it in the query or a view: "
                    f"{field.name}::{'numeric' if kind == 'money' else 'text'}."
                )
            cells.append(text_array(column))
            typed[field.name] = "." if kind == "numeric" else _reading(column.type)
        return Part(pa.table(cells, names=rows.column_names), typed)


def _reading(kind: pa.DataType) -> str | None:
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "ymd"
    return "." if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) else None


# what makes a session read only, by dialect; nothing is ever committed besides
PRELUDE = {
    "postgresql": (
        "set transaction isolation level repeatable read, read only",
        "select set_config('statement_timeout', :timeout || 's', true), set_config('TimeZone', :zone, true)",
    ),
    "mysql": ("set transaction read only", "set session max_execution_time = :timeout * 1000"),
    "mariadb": ("set transaction read only", "set session max_statement_time = :timeout"),
    "sqlite": ("pragma query_only = on",),
}
UTC_NOW = {"mysql": "utc_timestamp(6)", "mariadb": "utc_timestamp(6)", "mssql": "sysutcdatetime()"}


class Alchemy(Warehouse):
    """Any other database through SQLAlchemy; rows are streamed where its driver can."""

    def _open(self, url: str) -> None:
        import sqlalchemy as sa

        self._kind = sa.engine.make_url(url).get_backend_name()
        patience = {"connect_timeout": CONNECT_SECONDS} if self._kind in ("postgresql", "mysql", "mariadb") else {}
        self._engine = sa.create_engine(
            url, poolclass=sa.pool.NullPool, hide_parameters=True, connect_args=patience
        )
        file = self._engine.url.database
        if self._kind == "sqlite" and not Path(file or "").is_file():
            raise ConfigError(f"the SQLite file that {self.address.place} names does not exist.")
        self._connection = self._engine.connect()

    def _begin(self) -> None:
        import sqlalchemy as sa

        for statement in PRELUDE.get(self._kind, ()):
            known = {
                "timeout": str(self.timeout_s) if self._kind == "postgresql" else self.timeout_s,
                "zone": self.zone,
            }
            given = {name: value for name, value in known.items() if f":{name}" in statement}
            self._connection.execute(sa.text(statement), given)

    def close(self) -> None:
        """Leave without a trace."""
        self._connection.close()
        self._engine.dispose()

    def now(self) -> pd.Timestamp:
        """The database's clock; one without a zone is taken as UTC."""
        import sqlalchemy as sa

        with self.reading("now()"):
            clock = sa.text(UTC_NOW[self._kind]) if self._kind in UTC_NOW else sa.func.current_timestamp()
            stamp = pd.Timestamp(self._connection.execute(sa.select(clock)).scalar_one())
        return (stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")).as_unit("us")

    def moment(self, instant: pd.Timestamp) -> datetime | str:
        """Write an instant as a parameter: where columns have no zone, company time."""
        if self._kind == "postgresql":
            return instant.to_pydatetime()
        local = instant.tz_convert(self.zone).tz_localize(None).to_pydatetime()
        return local.isoformat(sep=" ") if self._kind == "sqlite" else local

    def catalog(self, schema: str | None, names: list[str]) -> dict[str, dict[str, Any]]:
        """Columns of the tables or views of these names; a type is named where it is no date or instant."""
        import sqlalchemy as sa

        with self.reading("catalogue"):
            seen = sa.inspect(self._connection)
            there = {*seen.get_table_names(schema), *seen.get_view_names(schema)}
            return {
                name: {
                    column["name"]: None
                    if isinstance(column["type"], sa.DateTime | sa.Date) and self._kind != "sqlite"
                    else str(column["type"])
                    for column in seen.get_columns(name, schema)
                }
                for name in names if name in there
            }  # fmt: skip

    def fetch(self, name: str, statement, values: dict[str, Any]) -> Iterator[Part]:
        """Run a statement; yield its rows in parts, at least one."""
        with self.reading(name):
            options = {"stream_results": True, "yield_per": FETCH_ROWS}
            result = self._connection.execute(statement, values, execution_options=options)
            names = list(result.keys())
            yield Part(pa.table([pa.array([], pa.large_string()) for _ in names], names=names), {})
            for rows in result.partitions():
                cells, typed = [], {}
                for column, found in zip(names, zip(*rows, strict=True), strict=True):
                    kinds = {_python_reading(value) for value in found if value is not None}
                    typed |= {column: kinds.pop() if len(kinds) == 1 else None} if kinds else {}
                    cells.append(pa.array([_cell(value, name, column) for value in found], pa.large_string()))
                yield Part(pa.table(cells, names=names), typed)


def _python_reading(value: object) -> str | None:
    if isinstance(value, date):  # a datetime too
        return "ymd"
    return "." if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else None


def _cell(value: object, name: str, column: str) -> str:
    """Write a value as text, exactly."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, str | int | float) or type(value).__name__ == "UUID":
        return str(value)
    raise DataContractError(
        f"{name}: column {column!r} holds values of the type {type(value).__name__}, which have no plain text. "
        "Convert it in the query or a view."
    )


@contextmanager
def connect(address: Address, zone: str, timeout_s: int) -> Iterator[Warehouse]:
    """Open a database for one load.

    Raises
    ------
    ConfigError
        Where it cannot be reached, with the cause in words of ours.
    """
    scheme = address.url.get_secret_value().partition("://")[0].lower()
    warehouse = (Postgres if scheme in ("postgresql", "postgres") else Alchemy)(address, zone, timeout_s)
    try:
        yield warehouse
    finally:
        warehouse.close()
