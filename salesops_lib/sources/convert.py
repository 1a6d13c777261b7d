"""Raw rows to canonical rows: one pass to decide how each column is written, one to convert."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

import pandas as pd

from salesops_lib import tables
from salesops_lib.errors import DataContractError, unknown
from salesops_lib.periods import FiscalCalendar
from salesops_lib.sources import parse
from salesops_lib.sources.mapping import PLACEHOLDER, ColumnMap, Mapping, Section
from salesops_lib.sources.read import TEXT, RawFile

DATES = ("date", "instant")
NUMBERS = ("money", "share", "number", "count", "duration")
ID_FIELDS = ("stage", "owner", "merged")  # history fields whose values are ids
QUARANTINE = ["file", "table", "row", "column", "value", "reason"]


@dataclass
class Converter:
    """Turns the rows of one file into rows of one canonical table.

    Parameters
    ----------
    table
        Name of the canonical table.
    section, mapping
        The part of the mapping that applies, and the whole of it.
    calendar
        Business dates and zone-less instants are read in its time zone.
    """

    table: str
    section: Section
    mapping: Mapping
    calendar: FiscalCalendar
    file_name: str = ""
    readings: dict[str, str] = field(default_factory=dict)
    findings: list[dict] = field(default_factory=list)

    def check_header(self, header: list[str]) -> None:
        """Refuse a file that lacks a column the mapping reads.

        Raises
        ------
        DataContractError
            Naming the file, the column, and the nearest one the file has.
        """
        for name, spec in self.section.columns.items():
            for source in spec.sources:
                if source not in header:
                    raise DataContractError(
                        f"{self.file_name}, row 1: {unknown('column', source, header)}. "
                        f"The mapping reads it for {self.table}.{name}; rename it there or in the file."
                    )

    def decide(self, raw: RawFile) -> None:
        """Read the file once and settle date order and decimal sign of every column it feeds.

        Raises
        ------
        DataContractError
            Where a column mixes readings or allows two.
        """
        open_questions = {}
        for name, spec in self.section.columns.items():
            kind = tables.table(self.table)[name].kind
            stated = spec.date_order if kind in DATES else spec.decimal
            if stated:
                self.readings[name] = stated
            elif kind in DATES + NUMBERS and spec.source:
                open_questions[name] = (kind, parse.Evidence())
        if not open_questions:
            return
        for rows, _ in raw.batches():
            for name, (kind, evidence) in open_questions.items():
                weigh = parse.weigh_dates if kind in DATES else parse.weigh_numbers
                weigh(self._cells(rows, self.section.columns[name]), evidence)
        for name, (kind, evidence) in open_questions.items():
            where = f"{self.file_name}, column {self.section.columns[name].source!r}"
            if kind in DATES:
                self.readings[name] = evidence.decide(where, "ymd", parse.ORDERS, "date_order")
            else:
                signs = {".": "decimal point", ",": "decimal comma"}
                self.readings[name] = evidence.decide(where, ".", signs, "decimal")

    def convert(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Convert raw rows; return (canonical rows with the same index, quarantine of the rest)."""
        spec = tables.table(self.table)
        out, bad = {}, []
        for name, column_map in self.section.columns.items():
            out[name], unreadable, shown = self._column(rows, spec[name], column_map)
            for at in rows.index[unreadable.to_numpy(dtype=bool)]:
                bad.append((at, name, shown[at], f"not a {tables.UNITS[spec[name].kind]}"))
        frame = tables.conform(pd.DataFrame(out, index=rows.index), self.table)
        if self.table == "opportunity_history":
            frame = self._prefix_history(frame)
        if self.section.distinct:
            frame = self._distinct(frame, list(spec.key))
        broken = tables.violations(frame, self.table)
        self._note_unknown(broken[~broken["fatal"]])
        fatal = broken[broken["fatal"]]
        bad += list(zip(fatal["row"], fatal["column"], fatal["value"], fatal["reason"], strict=True))
        quarantine = pd.DataFrame(bad, columns=["row", "column", "value", "reason"])
        quarantine = quarantine[quarantine["row"].isin(frame.index)].drop_duplicates("row")
        quarantine.insert(0, "file", self.file_name)
        quarantine.insert(1, "table", self.table)
        return frame.drop(index=quarantine["row"]), quarantine

    def _distinct(self, frame: pd.DataFrame, key: list[str]) -> pd.DataFrame:
        """Fold the rows of one key; those without a key derive nothing, and are counted."""
        bare = frame[key].isna().any(axis=1)
        if bare.any():
            self._find("no key to derive a row from", ", ".join(key), "", int(bare.sum()))
        return frame[~bare].drop_duplicates(key)

    def _prefix_history(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Give ids among the old and new values the prefix that the columns they speak of have."""
        ids = frame["field"].isin(ID_FIELDS)
        both = {c: frame[c].mask(ids, self.mapping.id_prefix + ":" + frame[c]) for c in ("old_value", "new_value")}
        return frame.assign(**both)

    def _cells(self, rows: pd.DataFrame, spec: ColumnMap) -> pd.Series:
        """Take one column's text: trimmed, placeholders emptied, masked by `when`."""
        if spec.const is not None:
            cells = pd.Series(str(spec.const), index=rows.index, dtype=TEXT)
        elif spec.template is not None:
            cells = self._fill(spec, rows)
        else:
            cells = self._emptied(rows[spec.source], spec)
        for column, wanted in (spec.when or {}).items():
            cells = cells.where(rows[column].str.strip().isin(wanted))
        return cells

    def _emptied(self, cells: pd.Series, spec: ColumnMap) -> pd.Series:
        cells = cells.str.strip()
        return cells.mask(cells.isin(["", *self.mapping.empty, *spec.empty]))

    def _fill(self, spec: ColumnMap, rows: pd.DataFrame) -> pd.Series:
        """Fill ``{column}`` places; empty where one of the columns is. Never `str.format` on CRM text."""
        cells = pd.Series("", index=rows.index, dtype=TEXT)
        for k, part in enumerate(PLACEHOLDER.split(spec.template)):
            cells = cells + (self._emptied(rows[part], spec) if k % 2 else part)
        return cells

    def _column(self, rows: pd.DataFrame, column: tables.Column, spec: ColumnMap):
        """Convert one column; return (values, mask of unreadable cells, the cells as written)."""
        cells = self._cells(rows, spec)
        if isinstance(spec.const, bool):
            return pd.Series(spec.const, index=rows.index, dtype="boolean"), cells.isna(), cells
        if spec.map is not None:
            cells = self._translate(cells, column, spec)
        values = self._typed(cells, column, spec)
        unreadable = cells.notna() & values.isna()
        if column.kind == "id":
            values = (self.mapping.id_prefix + ":" + values).astype(TEXT)
        return values, unreadable, cells

    def _translate(self, cells: pd.Series, column: tables.Column, spec: ColumnMap) -> pd.Series:
        """Replace mapped values; others stay raw and are listed."""
        table = {key: None if value is None else _as_cell(value) for key, value in spec.map.items()}
        mapped = cells.map(table).astype(TEXT)
        listed = cells.isin(list(table))
        strangers = cells[cells.notna() & ~listed]
        if column.kind in ("enum", "flag"):
            for value, n in strangers.value_counts().items():
                if value not in column.values:
                    self._find("unmapped value", column.name, value, n)
        return mapped.where(listed, cells)

    def _typed(self, cells: pd.Series, column: tables.Column, spec: ColumnMap) -> pd.Series:
        reading = self.readings.get(column.name)
        if column.kind == "date":
            return parse.to_date(cells, reading or "ymd", self.calendar)
        if column.kind == "instant":
            return parse.to_instant(cells, reading or "ymd", self.calendar)
        if column.kind == "flag":
            return parse.to_flag(cells)
        if column.kind in NUMBERS:
            percent = cells.str.endswith("%").fillna(False) & (column.kind == "share")
            exact = parse.to_number(cells.mask(percent, cells.str.removesuffix("%")), reading or ".")
            return self._number(exact, percent, column, spec)
        return cells

    def _number(self, exact, percent, column: tables.Column, spec: ColumnMap) -> pd.Series:
        if spec.multiply is not None:
            exact = parse.times(exact, Decimal(str(spec.multiply)))
        if percent.any():
            exact = exact.mask(percent, parse.times(exact, Decimal("0.01")))
        if column.kind == "money":
            money = parse.to_money(exact)
            changed = int((money.astype(exact.dtype) != exact).sum())
            if changed:
                self._find("rounded to cents", column.name, "", changed)
            return money
        number = exact.astype("float64")
        if column.kind == "count":
            return number.where(number.mod(1).eq(0) & number.abs().lt(2**53)).astype("Int64")
        return number

    def _note_unknown(self, broken: pd.DataFrame) -> None:
        for (column, value), n in broken.groupby(["column", "value"]).size().items():
            self._find("unknown value, kept as it is", column, value, n)

    def _find(self, kind: str, column: str, value: str, n: int) -> None:
        self.findings.append(
            {
                "kind": kind,
                "file": self.file_name,
                "table": self.table,
                "column": column,
                "value": value,
                "n": int(n),
            }
        )


def _as_cell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
