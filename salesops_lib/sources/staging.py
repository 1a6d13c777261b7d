"""Canonical rows on their way into a snapshot: written to Parquet as they come, checked there by DuckDB.

Nothing here holds a whole table in memory. Beside each table lies a file with the origin of its rows, in the same
order, so that a row found doubled later can still be named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from salesops_lib import tables
from salesops_lib.frames import to_arrow
from salesops_lib.sources.convert import QUARANTINE

MEMORY = "1500MB"
ORIGIN = pa.schema([("file", pa.dictionary(pa.int32(), pa.string())), ("row", pa.int64()), ("fold", pa.bool_())])
ASIDE = pa.schema([(name, pa.int64() if name == "row" else pa.large_string()) for name in QUARANTINE])


class Stage:
    """A folder that takes canonical rows, quarantine and counts.

    Parameters
    ----------
    folder
        An empty folder of its own.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._thread, self._writing = ThreadPoolExecutor(1), None
        self.rows: Counter[str] = Counter()
        self.aside: Counter[tuple[str, str, str]] = Counter()  # table, column, reason
        self.folded: set[str] = set()  # tables some of whose rows were folded into one

    def path(self, name: str) -> Path:
        """Parquet file of a table."""
        return self.folder / f"{name}.parquet"

    def origin(self, name: str) -> Path:
        """Parquet file with `file`, `row`, `fold` of a table's rows, in their order."""
        return self.folder / f"{name}.origin.parquet"

    @property
    def names(self) -> list[str]:
        """Tables that have a file."""
        return [name for name in self.rows if self.path(name).exists()]

    def start(self, name: str, spec: tables.Table) -> None:
        """Make a table that has no rows so far."""
        if name not in self.rows:
            empty = tables.conform(pd.DataFrame(columns=spec.names, index=pd.RangeIndex(0)), spec)
            empty = empty.assign(source_system="", source_file_sha256="")
            self.append(name, empty, spec=spec, file="", fold=False)

    def append(self, name: str, frame: pd.DataFrame, *, spec: tables.Table, file: str, fold: bool) -> None:
        """Write rows, indexed by their number in `file`; of doubled keys, rows that `fold` vanish silently."""
        table = to_arrow(frame.drop(columns="extracted_at", errors="ignore"), spec)
        origin = pa.table(
            {
                "file": pa.DictionaryArray.from_arrays(pa.array([0] * len(frame), pa.int32()), pa.array([file])),
                "row": pa.array(frame.index, pa.int64()),
                "fold": pa.array([fold] * len(frame), pa.bool_()),
            },
            schema=ORIGIN,
        )
        self._wait()
        self._writing = self._thread.submit(self._write_both, name, table, origin)
        self.rows[name] += len(frame)

    def set_aside(self, rows: pd.DataFrame, file: str = "quarantine") -> None:
        """Write rows to a file of the quarantine and count them by table, column and reason."""
        if rows.empty:
            return
        text = rows[QUARANTINE].astype({name: "string[pyarrow]" for name in QUARANTINE if name != "row"})
        self._write(file, pa.Table.from_pandas(text, schema=ASIDE, preserve_index=False))
        counts = text.fillna("").groupby(["table", "column", "reason"], sort=False).size()
        self.aside.update(counts.to_dict())

    def _write_both(self, name: str, table: pa.Table, origin: pa.Table) -> None:
        self._write(name, table)
        self._write(f"{name}.origin", origin)

    def _wait(self) -> None:
        """Wait for the thread that writes, and take over what went wrong there."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _write(self, name: str, table: pa.Table) -> None:
        if name not in self._writers:
            self._writers[name] = pq.ParquetWriter(self.path(name), table.schema, compression="zstd")
        self._writers[name].write_table(table)

    def close(self) -> None:
        """Finish every file; DuckDB reads them from now on. More rows would start a file anew."""
        self._wait()
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def quarantine(self) -> pd.DataFrame:
        """Every row set aside so far."""
        parts = [pd.read_parquet(path) for path in sorted(self.folder.glob("quarantine*.parquet"))]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=QUARANTINE)

    @contextmanager
    def engine(self) -> Iterator[Callable]:
        """Start DuckDB once, which costs more than most statements; yield what opens a session of its own in it.

        A session has a view for each table, `place` being a row's position, and one for its origin; the tables it
        makes are temporary and go with it.
        """
        import duckdb

        known: set[str] = set()
        with duckdb.connect() as db:
            db.execute(f"set memory_limit = '{MEMORY}'")
            db.execute("set temp_directory = $1", [str(self.folder / "spill")])

            @contextmanager
            def session() -> Iterator:
                with db.cursor() as own:
                    own.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
                    for name in self.names:
                        self._show(own, name, known)
                    yield own

            yield session

    def _show(self, db, name: str, known: set[str] | None = None) -> None:
        """Make, or make anew, the views of a table; those `known` stay as they are."""
        known = set() if known is None else known
        for view, path in ((name, self.path(name)), (f"{name}_origin", self.origin(name))):
            if view not in known and path.exists():
                known.add(view)
                shown = f"read_parquet({_quoted(path)}, file_row_number = true)"
                db.execute(f"""
                    create or replace view "{view}" as select * exclude (file_row_number), file_row_number as place
                    from {shown}
                """)

    def rewrite(self, db, name: str, statement: str) -> None:
        """Replace a table, and its view, by the rows of a statement, in their order."""
        beside = self.folder / f"{name}.next.parquet"
        schema = pq.read_schema(self.path(name))
        with pq.ParquetWriter(beside, schema, compression="zstd") as writer:
            for batch in db.sql(statement).to_arrow_reader(200_000):
                writer.write_table(pa.Table.from_batches([batch]).select(schema.names).cast(schema))
        beside.replace(self.path(name))
        self.rows[name] = pq.read_metadata(self.path(name)).num_rows
        self._show(db, name)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
