"""Raw rows to canonical rows: one pass to decide how each column is written, one to convert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

import pandas as pd

from salesops_lib import tables
from salesops_lib.errors import DataContractError, unknown
from salesops_lib.periods import FiscalCalendar
from salesops_lib.progress import ahead
from salesops_lib.sources import ids, parse
from salesops_lib.sources.mapping import PLACEHOLDER, ColumnMap, Lookup, Mapping, Section
from salesops_lib.sources.read import TEXT, Raw

DATES = ("date", "instant")
NUMBERS = ("money", "rate", "share", "number", "count", "duration")
QUARANTINE = ["file", "table", "row", "column", "value", "reason"]
FINDINGS = ["kind", "file", "table", "column", "value", "n"]
CURRENCY = "$currency"
VALUES = ("old_value", "new_value")
END = "end"  # a status that stands beside the stage: closed as which stage, or open again; `derive` folds it in
FIELD_KINDS = {name: tables.OPPORTUNITIES[column].kind for name, column in tables.TRACKED.items()} | {END: "id"}
# a whole state of a deal as it was saved at an instant; columns are named after history fields
STATES = tables.Table("opportunity_history", "S", ("opportunity_id", "changed_at", "seq"), "Saved states.", (
    *(c for c in tables.OPPORTUNITY_HISTORY.columns if c.name in ("opportunity_id", "changed_at", "changed_by")),
    tables.Column("seq", "count", "Order of the record", tables.UNKNOWN),
    tables.Column("is_bulk", "flag", "Part of a bulk edit", tables.UNKNOWN),
    *(
        tables.Column(name, tables.OPPORTUNITIES[column].kind, name, tables.UNKNOWN, tables.OPPORTUNITIES[column].values)
        for name, column in tables.TRACKED.items()
    ),
))  # fmt: skip
SETTINGS = {True: ("date_order", parse.READINGS, "ymd"), False: ("decimal", {".": "decimal point", ",": "decimal comma"}, ".")}  # fmt: skip


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
            absent = [c for c in self.spec.required if c not in self.columns and c not in self._made]
            if absent:
                wanted = "; ".join(
                    f"{name} is read from {' or '.join(self.section.columns[name].sources)}"
                    for name in absent if name in self.section.columns
                )  # fmt: skip
                raise DataContractError(
                    f"{self.raw.name}: nothing in it fills {self.spec.name}.{f', {self.spec.name}.'.join(absent)} "
                    f"({wanted}). It has: {', '.join(self.raw.header)}. Export those columns too."
                )
            return
        for name, spec in self.section.columns.items():
            for source in spec.sources:
                if source not in self.raw.header:
                    raise DataContractError(
                        f"{self.raw.name}, row 1: {unknown('column', source, self.raw.header)}. "
                        f"The mapping reads it for {self.spec.name}.{name}; rename it there or in the file."
                    )

    @property
    def _made(self) -> tuple[str, ...]:
        return (
            "seq",
            "is_bulk",
            "origin",
            "field",
            *(("changed_at",) if self.section.changes == "entered" else ()),
        )

    def weigh(self) -> Iterator[tuple[str, str, parse.Evidence]]:
        """Read the file once; yield (column, kind, evidence) for each whose way of writing is still open."""
        questions: dict[str, tuple[str, parse.Evidence]] = {}
        questions |= {f"entered:{column}": ("instant", parse.Evidence()) for column in self.entered}
        for name, spec in self.columns.items():
            for key, kind in self._kinds_of(name):
                is_date = kind in DATES
                stated = spec.date_order if is_date else spec.decimal
                stated = stated or (self.mapping.date_order if is_date else self.mapping.decimal)
                stated = stated or self._typed_as(spec, is_date)
                if stated:
                    self.readings[key] = stated
                elif kind in DATES + NUMBERS and any(link.source and link.unit != "h:mm" for link in spec.links):
                    questions[key] = (kind, parse.Evidence())
        if not questions:
            return
        read = {c for key in questions if key in self.columns or key.partition(":")[0] in VALUES
                for c in self.columns[key.partition(":")[0]].sources} | set(self.entered)  # fmt: skip
        read |= {c for c in self.columns["field"].sources} if "field" in self.columns else set()
        for rows, _ in ahead(self.raw.batches(read)):
            spoken = (
                self._fields(rows) if any(":" in key for key in questions) and "field" in self.columns else None
            )
            for key, (kind, evidence) in questions.items():
                weigh = parse.weigh_dates if kind in DATES else parse.weigh_numbers
                weigh(self._cells_of(rows, key, spoken), evidence)
        for key, (kind, evidence) in questions.items():
            yield key, kind, evidence

    def _typed_as(self, spec: ColumnMap, is_date: bool) -> str | None:
        """How a column is written that was a date or a number in the database it came from."""
        typed = getattr(self.raw, "typed", {})
        read = [column for link in spec.links for column in link.source if column in self.raw.header]
        plain = SETTINGS[is_date][2]
        return plain if read and {typed.get(self.raw_name(column)) for column in read} == {plain} else None

    def _kinds_of(self, name: str) -> list[tuple[str, str]]:
        """Kinds a column holds: its own; of a history value those of the fields it may speak of."""
        if self.spec is tables.OPPORTUNITY_HISTORY and name in VALUES:
            return [(f"{name}:{field}", kind) for field, kind in FIELD_KINDS.items() if kind in DATES + NUMBERS]
        return [(name, self.spec[name].kind)]

    def _cells_of(self, rows: pd.DataFrame, key: str, spoken: pd.Series | None) -> pd.Series:
        name, _, history_field = key.partition(":")
        if name == "entered":
            return self._emptied(rows[history_field], ColumnMap(**{"from": history_field}))
        if history_field:
            rows = rows[spoken.eq(history_field).fillna(False).astype(bool)]
        return self._cells(rows, self.columns[name])

    def _fields(self, rows: pd.DataFrame) -> pd.Series:
        """The history field that each row speaks of."""
        fields = pd.Series(None, index=rows.index, dtype=TEXT)
        for link in self.columns["field"].links:
            told = self._translate(self._link(rows, link), self.spec["field"], link, silent=True)
            fields = fields.fillna(told)
        return fields

    def settle(self, key: str, kind: str, evidence: parse.Evidence, others: dict[bool, str | None]) -> None:
        """Choose the reading of one column; `others` is that of the other columns of the export.

        Raises
        ------
        DataContractError
            Where a column mixes readings or allows two.
        """
        is_date = kind in DATES
        setting, names, default = SETTINGS[is_date]
        name, _, rest = key.partition(":")
        sources = [rest] if name == "entered" else [c for link in self.columns[name].links for c in link.source]
        column = " or ".join(dict.fromkeys(sources))
        where = f"{self.raw.name}, column {self.raw_name(column)!r}"
        self.readings[key] = chosen = evidence.decide(where, default, names, setting, others[is_date])
        if evidence.differ and not any(evidence.only.values()):
            self.notice(f"{names[chosen]}, as in the other columns of the export", column, "", 1)

    def raw_name(self, column: str) -> str:
        """The name a column has in the file."""
        return getattr(self.raw, "written", {}).get(column, column)

    def convert(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Convert raw rows; return (canonical rows with the same index, quarantine of the rest)."""
        rows = self._chosen(rows)
        if self.section.changes == "entered":
            return self._entered(rows)
        out, bad = {}, []
        for name, column_map in self.columns.items():
            out[name], unreadable, shown = self._column(rows, self.spec[name], column_map)
            bad.append(_told(shown, unreadable, name, f"not {tables.WORDS[self.spec[name].kind]}"))
        frame = pd.DataFrame(out, index=rows.index)
        if self.spec is tables.OPPORTUNITY_HISTORY:
            frame, unreadable = self._history(frame)
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
                    self.notice(what, self.raw_name(column), ", ".join(values), len(out))
                    self.left_out += len(out)
                    rows = rows[hit == wanted]
        return rows

    @cached_property
    def entered(self) -> dict[str, str]:
        """Columns that say when a deal entered a stage, with the stage they name."""
        return self.section.entered_in(self.raw.header, self.mapping.prefixes)

    def _entered(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Turn one column a stage into one row a stage entered."""
        deals = self._id(self._cells(rows, self.columns["opportunity_id"]))
        kept, bad = [], []
        for column, stage in self.entered.items():
            cells = self._emptied(rows[column], ColumnMap(**{"from": column}))
            order = self.readings.get(f"entered:{column}", "ymd")
            stamps = parse.to_instant(cells, order, self.calendar, self._utc(ColumnMap(**{"from": column})))
            bad.append(_told(cells, cells.notna() & stamps.isna(), column, "not a date and time"))
            kept.append(pd.DataFrame({
                "opportunity_id": deals, "changed_at": stamps, "field": "stage", "seq": 0, "old_value": None,
                "new_value": f"{self.mapping.id_prefix}:{stage}", "is_bulk": False, "origin": self.section.origin,
            })[stamps.notna() & deals.notna()])  # fmt: skip
        aside = pd.concat(bad).drop_duplicates("row").assign(file=self.raw.name, table=self.spec.name)[QUARANTINE]
        frame = tables.conform(pd.concat(kept).sort_index(kind="stable"), self.spec)
        return frame[~frame.index.isin(aside["row"])], aside

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

    def _history(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Bring old and new values to the one form that each field has; leave out fields that are not tracked."""
        tracked = frame["field"].isin(list(FIELD_KINDS)) | frame["field"].isna()
        if not tracked.all():
            for name, n in frame["field"][~tracked].value_counts().items():
                self.notice("change of a field not tracked", "field", str(name), n)
            self.left_out += int((~tracked).sum())
            frame = frame[tracked]
        made = {"seq": frame.index, "is_bulk": False, "origin": self.section.origin}
        frame = frame.assign(**{name: value for name, value in made.items() if name not in frame})
        bad = []
        codes, spoken = pd.factorize(frame["field"])
        for column in [name for name in VALUES if name in frame]:
            for code, history_field in enumerate(spoken):
                kind = FIELD_KINDS[history_field]
                if kind == "enum" and self.columns[column].map is None:
                    continue
                mask = codes == code
                cells = frame[column][mask]
                values = self._as_text(cells, f"{column}:{history_field}", kind, self.columns[column])
                if values is not cells:
                    bad.append(_told(cells, cells.notna() & values.isna(), column, f"not {tables.WORDS[kind]}"))
                    frame[column] = frame[column].mask(mask, values.reindex(frame.index))
        empty = pd.DataFrame(columns=["row", "column", "value", "reason"])
        return frame, pd.concat([part for part in bad if len(part)] or [empty])

    def _as_text(self, cells: pd.Series, key: str, kind: str, spec: ColumnMap) -> pd.Series:
        """Write the values of one history field as the contract does: ids with prefix, ISO days, plain decimals."""
        if kind == "id":
            return self._id(cells)
        if parse.is_canonical(cells, kind) and not (kind == "share" and any(x.factor != 1 for x in spec.links)):
            return cells
        if kind == "enum":
            return cells if spec.map is None else cells.map(spec.map).astype(TEXT).fillna(cells)
        if kind == "date":
            return (
                parse.to_date(cells, self.readings.get(key, "ymd"), self.calendar)
                .dt.strftime("%Y-%m-%d")
                .astype(TEXT)
            )
        if kind == "flag":
            return parse.to_flag(cells).map({True: "true", False: "false"}).astype(TEXT)
        if kind in ("money", "share"):
            exact = parse.to_number(cells, self.readings.get(key, "."))
            if kind == "share":
                exact = parse.times(
                    exact, next((link.factor for link in spec.links if link.factor != 1), Decimal(1))
                )
                return exact.where(exact.astype("float64").between(0, 1)).astype("float64").astype(TEXT)
            return parse.to_money(exact).astype(TEXT)
        return cells

    def _cells(self, rows: pd.DataFrame, spec: ColumnMap) -> pd.Series:
        """Take one column's text: in each row that of the first link of the chain that is filled."""
        cells = self._link(rows, spec)
        for link in spec.links[1:]:
            cells = cells.fillna(self._link(rows, link))
        return cells

    def _link(self, rows: pd.DataFrame, spec: ColumnMap) -> pd.Series:
        """Take one link's text: trimmed, placeholders emptied, first of several, looked up, masked by `when`."""
        if spec.const is not None:
            cells = pd.Series(self._constant(spec.const), index=rows.index, dtype=TEXT)
        elif spec.template is not None:
            cells = self._fill(spec, rows)
        else:
            cells = pd.Series(None, index=rows.index, dtype=TEXT)
            for k, column in enumerate(column for column in spec.source if column in rows):
                cells = (
                    self._emptied(rows[column], spec)
                    if k == 0
                    else cells.fillna(self._emptied(rows[column], spec))
                )
        if spec.first_of:
            cells = cells.str.split(spec.first_of, n=1).str[0].str.strip().astype(TEXT)
        if spec.starts:
            cells = cells.where(cells.str.startswith(spec.starts).fillna(False))
        if spec.lookup:
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
        written = [self.raw_name(column) for column in spec.source if column in self.raw.header]
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
        return [dict(zip(FINDINGS, (*what, n), strict=True)) for what, n in self.noticed.items()]


def _told(cells: pd.Series, mask: pd.Series, column: str, reason: str) -> pd.DataFrame:
    """List the masked cells as quarantine does."""
    mask = mask.to_numpy(dtype=bool)
    rows = cells.index[mask]
    return pd.DataFrame({"row": rows, "column": column, "value": cells.array[mask], "reason": reason})


def _as_cell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
