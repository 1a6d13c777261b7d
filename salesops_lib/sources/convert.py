"""Raw rows to canonical rows: one pass to decide how each column is written, one to convert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import ClassVar

import pandas as pd

from salesops_lib import tables
from salesops_lib.errors import DataContractError, listed, unknown
from salesops_lib.periods import FiscalCalendar
from salesops_lib.progress import ahead
from salesops_lib.sources import ids, parse
from salesops_lib.sources.evidence import Evidence, weigh_dates, weigh_numbers
from salesops_lib.sources.mapping import Mapping
from salesops_lib.sources.read.raw import TEXT, Raw
from salesops_lib.sources.section import PLACEHOLDER, ColumnMap, Lookup, Section

DATES = ("date", "instant")
NUMBERS = ("money", "rate", "share", "number", "count", "duration")
QUARANTINE = ["file", "table", "row", "column", "value", "reason"]
FINDINGS = ["kind", "file", "table", "column", "value", "n"]
CURRENCY = "$currency"
SIGNS = {".": "decimal point", ",": "decimal comma"}
SETTINGS = {True: ("date_order", parse.READINGS, "ymd"), False: ("decimal", SIGNS, ".")}


def finding(kind: str, file: str = "", table: str = "", column: str = "", value: str = "", n: int = 1) -> dict:
    """Say one thing that a load noticed, as a row of `FINDINGS`."""
    return {"kind": kind, "file": file, "table": table, "column": column, "value": value, "n": n}


@dataclass
class Converter:
    """Turns the rows of one file into rows of one canonical table.

    Parameters
    ----------
    spec
        The table to fill.
    section, mapping
        The part of the mapping that applies, and the whole of it.
    calendar, currency
        Business dates and zone-less instants are read in its time zone; the company's currency.
    raw
        The file.
    lookups
        What other files say of values.
    """

    made: ClassVar[tuple[str, ...]] = ()  # required columns that the loader makes

    spec: tables.Table
    section: Section
    mapping: Mapping
    calendar: FiscalCalendar
    currency: str
    raw: Raw
    lookups: dict[Lookup, pd.Series] = field(default_factory=dict)
    readings: dict[str, str] = field(default_factory=dict)
    noticed: Counter = field(default_factory=Counter)
    left_out: int = 0

    @cached_property
    def entered(self) -> dict[str, str]:
        """Columns of the file that date the entry into a stage, with the stage they name."""
        return self.section.entered_in(self.raw.header, self.mapping.prefixes)

    @cached_property
    def columns(self) -> dict[str, ColumnMap]:
        """The canonical columns that this file fills."""
        lenient = bool(self.mapping.objects)
        filled = {name: self._present(spec) if lenient else spec for name, spec in self.section.columns.items()}
        return {name: spec for name, spec in filled.items() if spec is not None}

    def _present(self, spec: ColumnMap) -> ColumnMap | None:
        """The part of a chain that this file can fill."""
        rest = self._present(spec.otherwise) if spec.otherwise else None
        return spec.model_copy(update={"otherwise": rest}) if self._fills(spec) else rest

    def _fills(self, spec: ColumnMap) -> bool:
        header = set(self.raw.header)
        if any(column not in header for column in spec.when or {}):
            return False
        if spec.const is not None or spec.default is not None:
            return True
        return any(column in header for column in spec.source) or (
            spec.template is not None and all(column in header for column in spec.needs)
        )

    def check_header(self) -> None:
        """Refuse a file that lacks a column the mapping cannot do without.

        Raises
        ------
        DataContractError
            Naming the file, the column, and the nearest one the file has.
        """
        if self.mapping.objects:
            absent = [c for c in self.spec.required if c not in self.columns and c not in self.made]
            if absent:
                wanted = "; ".join(
                    f"{name} is read from {' or '.join(self.section.columns[name].sources)}"
                    for name in absent if name in self.section.columns
                )  # fmt: skip
                raise DataContractError(
                    f"{self.raw.name}: nothing in it fills {self.spec.name}.{f', {self.spec.name}.'.join(absent)} "
                    f"({wanted}). It has: {listed(self.raw.header)}. Export those columns too."
                )
            return
        for name, spec in self.section.columns.items():
            for source in spec.sources:
                if source not in self.raw.header:
                    raise DataContractError(
                        f"{self.raw.name}, row 1: {unknown('column', source, self.raw.header)}. "
                        f"The mapping reads it for {self.spec.name}.{name}; rename it there or in the file."
                    )

    def note_absent(self) -> None:
        """Tell the canonical columns for which the file has none: empty, or what the mapping takes for them."""
        header = set(self.raw.header)
        chains = {name: spec.links for name, spec in self.section.columns.items()}
        absent = [n for n, links in chains.items() if all(x.source and header.isdisjoint(x.source) for x in links)]
        if absent:
            self.notice("columns the file lacks", "", ", ".join(absent), len(absent))

    def weigh(self) -> Iterator[tuple[str, str, Evidence]]:
        """Read the file once; yield (column, kind, evidence) for each whose way of writing is still open."""
        questions: dict[str, tuple[str, Evidence]] = {}
        for name, spec in self.columns.items():
            for key, kind in self._kinds_of(name):
                is_date = kind in DATES
                stated = spec.date_order if is_date else spec.decimal
                stated = stated or (self.mapping.date_order if is_date else self.mapping.decimal)
                stated = stated or self._typed_as(spec, is_date)
                if stated:
                    self.readings[key] = stated
                elif kind in DATES + NUMBERS and any(link.source and link.unit != "h:mm" for link in spec.links):
                    questions[key] = (kind, Evidence())
        if not questions:
            return
        for rows, _ in ahead(self.raw.batches({c for key in questions for c in self._read_for(key)})):
            cells_of = self._reader(rows)
            for key, (kind, evidence) in questions.items():
                weigh = weigh_dates if kind in DATES else weigh_numbers
                weigh(cells_of(key), evidence)
        for key, (kind, evidence) in questions.items():
            yield key, kind, evidence

    def _kinds_of(self, name: str) -> list[tuple[str, str]]:
        """Kinds of value that a column holds, each under the key its reading is kept by."""
        return [(name, self.spec[name].kind)]

    def _read_for(self, key: str) -> list[str]:
        """Columns of the file that hold the values of a key."""
        return self.columns[key].sources

    def _reader(self, rows: pd.DataFrame) -> Callable[[str], pd.Series]:
        """Give the cells of a key among some rows."""
        return lambda key: self._cells(rows, self.columns[key])

    def _typed_as(self, spec: ColumnMap, is_date: bool) -> str | None:
        """How a column is written that was a date or a number in the database it came from."""
        raw, plain = self.raw, SETTINGS[is_date][2]
        read = [column for link in spec.links for column in link.source if column in raw.header]
        return plain if {raw.typed.get(raw.raw_name(column)) for column in read} == {plain} else None

    def settle(self, key: str, kind: str, evidence: Evidence, others: dict[bool, str | None]) -> None:
        """Choose the reading of one column; `others` is that of the other columns of the export.

        Raises
        ------
        DataContractError
            Where a column mixes readings or allows two.
        """
        is_date = kind in DATES
        setting, names, default = SETTINGS[is_date]
        column = " or ".join(dict.fromkeys(self._named(key)))
        where = f"{self.raw.name}, column {self.raw.raw_name(column)!r}"
        self.readings[key] = chosen = evidence.decide(where, default, names, setting, others[is_date])
        if evidence.differ and not any(evidence.only.values()):
            self.notice(f"{names[chosen]}, as in the other columns of the export", column, "", 1)

    def _named(self, key: str) -> list[str]:
        """Columns to name where the reading of a key is in doubt."""
        return [column for link in self.columns[key].links for column in link.source]

    def convert(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Convert raw rows; return (canonical rows with the same index, quarantine of the rest)."""
        rows = self._chosen(rows)
        out, bad = {}, []
        for name, column_map in self.columns.items():
            out[name], unreadable, shown = self._column(rows, self.spec[name], column_map)
            bad.append(told(shown, unreadable, name, f"not {tables.WORDS[self.spec[name].kind]}"))
        frame = pd.DataFrame(out, index=rows.index)
        frame, unreadable = self._shape(frame)
        bad.append(unreadable)
        frame = tables.conform(frame, self.spec)
        if self.section.distinct:
            frame = self._distinct(frame, list(self.spec.key))
        broken = tables.violations(frame, self.spec)
        self._note_unknown(broken[~broken["fatal"]])
        frame, broken = self._lenient(frame, broken)
        bad.append(broken.loc[broken["fatal"], ["row", "column", "value", "reason"]])
        quarantine = pd.concat([part for part in bad if len(part)] or [bad[0]])
        quarantine = quarantine[quarantine["row"].isin(frame.index)].drop_duplicates("row")
        quarantine = quarantine.assign(file=self.raw.name, table=self.spec.name)[QUARANTINE]
        return frame[~frame.index.isin(quarantine["row"])] if len(quarantine) else frame, quarantine

    def ids_of(self, rows: pd.DataFrame) -> list[str]:
        """The key of some rows, of those that have one."""
        return self._id(self._cells(rows, self.columns[self.spec.key[0]])).dropna().tolist()

    def _shape(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Bring typed rows into the form of the table; return (rows, cells that cannot be read)."""
        return frame, pd.DataFrame(columns=["row", "column", "value", "reason"])

    def _chosen(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Leave out records that the mapping's rules exclude; they are counted."""
        for rules, wanted in ((self.section.where, True), (self.section.unless, False)):
            for column, values in rules.items():
                if column not in rows:
                    if wanted:
                        what = ("rule not applied, no such column", self.raw.name, self.spec.name, column)
                        self.noticed[*what, ", ".join(values)] = 1
                    continue
                hit = rows[column].str.strip().str.lower().isin([value.lower() for value in values])
                out = rows[column][hit != wanted]
                if len(out):
                    what = "left out by rule: not wanted" if wanted else "left out by rule"
                    self.notice(what, self.raw.raw_name(column), ", ".join(values), len(out))
                    self.left_out += len(out)
                    rows = rows[hit == wanted]
        return rows

    def _distinct(self, frame: pd.DataFrame, key: list[str]) -> pd.DataFrame:
        """Fold the rows of one key; those without a key derive nothing, and are counted."""
        bare = frame[key].isna().any(axis=1)
        if bare.any():
            self.notice("no key to derive a row from", ", ".join(key), "", int(bare.sum()))
        return frame[~bare].drop_duplicates(key)

    def _lenient(self, frame: pd.DataFrame, broken: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Empty cells out of range in columns that a row can do without."""
        soft = [name for name, spec in self.columns.items() if spec.lenient]
        mild = broken[broken["fatal"] & broken["column"].isin(soft) & broken["value"].notna()]
        for (column, reason), cells in mild.groupby(["column", "reason"]):
            self.notice(f"emptied: {reason}", column, str(cells["value"].iloc[0]), len(cells))
            frame[column] = frame[column].mask(frame.index.isin(cells["row"]))
        return frame, broken.drop(index=mild.index)

    def _cells(self, rows: pd.DataFrame, spec: ColumnMap) -> pd.Series:
        """Take one column's text: in each row that of the first link of the chain that is filled."""
        return parse.first_filled([self._link(rows, link) for link in spec.links])

    def _link(self, rows: pd.DataFrame, spec: ColumnMap) -> pd.Series:
        """Take one link's text: trimmed, placeholders emptied, first of several, looked up, masked by `when`."""
        if spec.const is not None:
            cells = pd.Series(self._constant(spec.const), index=rows.index, dtype=TEXT)
        elif spec.template is not None:
            cells = self._fill(spec, rows)
        else:
            filled = [self._emptied(rows[column], spec) for column in spec.source if column in rows]
            cells = parse.first_filled(filled or [pd.Series(None, index=rows.index, dtype=TEXT)])
        if spec.first_of:
            cells = cells.str.split(spec.first_of, n=1).str[0].str.strip().astype(TEXT)
        if spec.starts:
            cells = cells.where(cells.str.startswith(spec.starts).fillna(False))
        if spec.lookup:
            if self.mapping.ids == "salesforce":
                cells = ids.complete(cells)[0]
            cells = cells.map(self.lookups[spec.lookup]).astype(TEXT)
        if spec.default is not None:
            cells = cells.fillna(self._constant(spec.default))
        for column, wanted in (spec.when or {}).items():
            listed = [value.lower() for value in wanted]
            cells = cells.where(rows[column].str.strip().str.lower().isin(listed))
        return cells

    def _constant(self, value: object) -> str:
        return self.currency if value == CURRENCY else _as_cell(value)

    def _emptied(self, cells: pd.Series, spec: ColumnMap) -> pd.Series:
        return parse.emptied(cells, {"", *self.mapping.empty, *spec.empty})

    def _fill(self, spec: ColumnMap, rows: pd.DataFrame) -> pd.Series:
        """Fill ``{column}`` places; empty where one of the columns is. Never `str.format` on CRM text."""
        cells = pd.Series("", index=rows.index, dtype=TEXT)
        for k, part in enumerate(PLACEHOLDER.split(spec.template)):
            cells = cells + (self._emptied(rows[part], spec) if k % 2 else part)
        return cells

    def _column(self, rows: pd.DataFrame, column: tables.Column, spec: ColumnMap):
        """Convert one column; return (values, mask of unreadable cells, the cells as written)."""
        cells = self._link(rows, spec)
        if isinstance(spec.const, bool) and column.kind == "flag" and not spec.when:
            return pd.Series(spec.const, index=rows.index, dtype="boolean"), cells.isna(), cells
        free = cells.isna()
        cells = self._translate(cells, column, spec)
        values = self._typed(cells, column, spec)
        for link in spec.links[1:]:
            more = self._link(rows, link).where(free)
            said = more.notna()
            if not said.any():
                continue
            more = self._translate(more, column, link)
            cells, free = cells.mask(said, more), free & ~said
            values = values.mask(said, self._typed(more, column, link))
        unreadable = cells.notna() & values.isna()
        if spec.lenient and unreadable.any():
            self.notice(
                f"emptied: not {tables.WORDS[column.kind]}",
                column.name,
                str(cells[unreadable].iloc[0]),
                int(unreadable.sum()),
            )
            unreadable = unreadable & False
        return values, unreadable, cells

    def _translate(
        self, cells: pd.Series, column: tables.Column, spec: ColumnMap, silent: bool = False
    ) -> pd.Series:
        """Replace mapped values; others stay raw and are listed."""
        if spec.map is None:
            return cells
        table = {key: None if value is None else _as_cell(value) for key, value in spec.map.items()}
        mapped = cells.map(table).astype(TEXT)
        listed = cells.isin(list(table))
        if column.kind in ("enum", "flag") and not silent and not listed.all():
            strangers = cells[cells.notna() & ~listed]
            for value, n in strangers.value_counts().items():
                if value not in column.values and not (column.name == "field" or column.kind == "flag"):
                    self.notice("unmapped value", column.name, value, n)
        return mapped.where(listed, cells)

    def _typed(self, cells: pd.Series, column: tables.Column, spec: ColumnMap) -> pd.Series:
        reading = self.readings.get(column.name)
        if column.kind == "id":
            return self._id(cells)
        if column.kind == "date":
            days = parse.to_date(cells, reading or "ymd", self.calendar, self._utc(spec))
            days = days + pd.Timedelta(days=spec.plus) if spec.plus else days
            return days + pd.DateOffset(months=spec.plus_months) if spec.plus_months else days
        if column.kind == "instant":
            return parse.to_instant(cells, reading or "ymd", self.calendar, self._utc(spec))
        if column.kind == "flag":
            return parse.to_flag(cells)
        if column.kind in NUMBERS:
            return self._number(cells, column, spec, reading or ".")
        return cells

    def _utc(self, spec: ColumnMap) -> bool:
        """Whether times without a zone are UTC: as stated, or as connectors write them."""
        written = [self.raw.raw_name(column) for column in spec.source if column in self.raw.header]
        return spec.zone == "UTC" or any(name.startswith(self.mapping.prefixes) for name in written)

    def _id(self, cells: pd.Series) -> pd.Series:
        if self.mapping.ids == "whole":
            return cells
        if self.mapping.ids == "salesforce":
            cells, damaged = ids.complete(cells)
            if damaged:
                self.notice("id with damaged case", "", damaged[0], len(damaged))
        return (self.mapping.id_prefix + ":" + cells).astype(TEXT)

    def _number(self, cells: pd.Series, column: tables.Column, spec: ColumnMap, decimal: str) -> pd.Series:
        if spec.unit == "h:mm":
            return parse.to_clock(cells)
        if spec.factor == 1 and not spec.invert and not spec.plus and decimal == ".":
            plain = parse.plain_number(cells, column.kind)
            if plain is not None:
                return plain
        percent = cells.str.endswith("%").fillna(False) & (column.kind == "share")
        exact = parse.to_number(cells.mask(percent, cells.str.removesuffix("%")), decimal)
        if spec.factor != 1:
            exact = exact.where(percent, parse.times(exact, spec.factor))
        if percent.any():
            exact = exact.mask(percent, parse.times(exact, Decimal("0.01")))
        if spec.invert:
            exact = parse.inverse(exact)
        if column.kind == "rate":
            return exact.where((exact.abs() < 10**9).fillna(False))
        if column.kind == "money":
            money = parse.to_money(exact)
            changed = int((money.astype(exact.dtype) != exact).sum())
            if changed:
                self.notice("rounded to cents", column.name, "", changed)
            return money
        number = exact.astype("float64")
        if column.kind == "count":
            number = number + spec.plus
            return number.where(number.mod(1).eq(0) & number.abs().lt(2**53)).astype("Int64")
        return number

    def _note_unknown(self, broken: pd.DataFrame) -> None:
        for (column, value), n in broken.groupby(["column", "value"]).size().items():
            if self.columns[column].map is None:  # else it was told as not mapped
                self.notice("unknown value, kept as it is", column, value, n)

    def notice(self, kind: str, column: str, value: str, n: int) -> None:
        """Count something worth telling about rows that were kept."""
        self.noticed[kind, self.raw.name, self.spec.name, column, value] += int(n)

    @property
    def findings(self) -> list[dict]:
        """What was noticed, as rows of `FINDINGS`."""
        return [finding(*what, n) for what, n in self.noticed.items()]


def told(cells: pd.Series, mask: pd.Series, column: str, reason: str) -> pd.DataFrame:
    """List the masked cells as quarantine does."""
    mask = mask.to_numpy(dtype=bool)
    rows = cells.index[mask]
    return pd.DataFrame({"row": rows, "column": column, "value": cells.array[mask], "reason": reason})


def _as_cell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
