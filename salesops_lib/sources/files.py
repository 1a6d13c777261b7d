"""Folders of exported files and a mapping: read, convert, check keys and references, count everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import pandas as pd

from salesops_lib import tables
from salesops_lib.config import CompanySettings
from salesops_lib.errors import ConfigError, DataContractError, unknown
from salesops_lib.periods import FiscalCalendar
from salesops_lib.progress import ahead, track
from salesops_lib.sources import checks, derive, ids, process
from salesops_lib.sources.changes import converter_for
from salesops_lib.sources.convert import FINDINGS, Converter, finding
from salesops_lib.sources.discover import day_in, find_objects, strangers_in
from salesops_lib.sources.evidence import plain_numbers
from salesops_lib.sources.loaded import Staged
from salesops_lib.sources.mapping import HISTORY, Mapping
from salesops_lib.sources.read import open_raw
from salesops_lib.sources.read.raw import Raw
from salesops_lib.sources.section import Lookup, Section
from salesops_lib.sources.staging import Stage

NO_CURRENCY = "XXX"  # ISO 4217: no currency
REPORT = ["table", "rows_in", "rows_kept", "rows_quarantined", "reason", "records"]


@dataclass
class Export:
    """One export: the files of a folder, by the name that the mapping gives them.

    `clock` says whose time `extracted_at` is where nobody stated it (`dated`).
    """

    mapping: Mapping
    files: dict[str, list[Raw]]
    extracted_at: pd.Timestamp
    dated: bool
    strangers: list[str] = field(default_factory=list)
    clock: str = "file time"

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 by file."""
        return {raw.name: raw.sha256 for raws in self.files.values() for raw in raws}


def open_export(folder: Path, mapping: Mapping, calendar: FiscalCalendar) -> Export:
    """Find the files of an export.

    Raises
    ------
    DataContractError
        Where a file the mapping names is missing, or none is recognised.
    """
    if mapping.objects:
        files, strangers = find_objects(folder, mapping)
    else:
        files, strangers = {name: _named(folder, name, mapping) for name in mapping.files}, []
    stated = mapping.extracted_at or (day_in(folder) if mapping.objects else None)
    if stated:
        return Export(mapping, files, calendar.instant(stated), True, strangers)
    newest = max(raw.path.stat().st_mtime for raws in files.values() for raw in raws)
    stamp = pd.Timestamp(datetime.fromtimestamp(int(newest), UTC)).as_unit("us")
    return Export(mapping, files, stamp, False, strangers)


def _named(folder: Path, name: str, mapping: Mapping) -> list[Raw]:
    if Path(name).name != name:
        raise ConfigError(f"{mapping.name}: file {name!r} must be a plain name inside the folder.")
    if not (folder / name).is_file():
        present = [entry.name for entry in folder.iterdir() if entry.is_file()]
        raise DataContractError(f"{folder}: {unknown('file', name, present)}; the mapping reads it.")
    return open_raw(folder / name, mapping.encoding, mapping.delimiter)[:1]


def stage_files(folders: Sequence[Path], mapping: Mapping, company: CompanySettings, place: Path) -> Staged:
    """Bring one export, or several of one CRM taken at different times, into canonical Parquet files.

    Of several, the latest counts; what changed between them becomes history.
    """
    company = company.over(mapping.company)
    calendar = company.calendar()
    exports = [open_export(folder, mapping, calendar) for folder in folders]
    undated = [folder.name for folder, export in zip(folders, exports, strict=True) if not export.dated]
    if undated and len(exports) > 1:
        raise DataContractError(
            f"nothing says of which day {', '.join(undated)} is; of several exports each must carry its day in "
            "the folder's name, e.g. export_2026-01-31."
        )
    exports.sort(key=lambda export: export.extracted_at)
    moments = [export.extracted_at for export in exports]
    if len(set(moments)) < len(moments):
        raise DataContractError(
            "two exports carry the same date; put the day of each into its folder's name, e.g. export_2026-01-31."
        )
    return Load(exports[-1], exports[:-1], company, calendar, Stage(place)).run()


@dataclass
class Load:
    """One load on its way through `Stage`."""

    export: Export
    earlier: list[Export]
    company: CompanySettings
    calendar: FiscalCalendar
    stage: Stage
    findings: list[dict] = field(default_factory=list)
    records: dict[str, int] = field(default_factory=dict)
    derived: set[str] = field(default_factory=set)
    pieces: list[derive.Piece] = field(default_factory=list)
    unread: dict[str, list[str]] = field(default_factory=dict)
    filled: dict[str, set[str]] = field(default_factory=dict)
    looked_up: dict[tuple[int, Lookup], pd.Series] = field(default_factory=dict)

    def run(self) -> Staged:
        """Read everything, then complete and check it where it lies."""
        mapping = self.export.mapping
        work = [(name, self._converters(self.export, name)) for name in mapping.tables]
        before = [(k, self._converters(export, "opportunities")) for k, export in enumerate(self.earlier)]
        settle([converter for _, group in (*work, *before) for converter in group])
        for name, converters in work:
            self._read_table(name, converters)
        for k, converters in before:
            self._read_earlier(k, converters)
        self.stage.close()
        with self.stage.engine() as session:
            coverage = self._complete(session)
        self.findings += list(self._not_read())
        self.findings += [entry for _, group in (*work, *before) for c in group for entry in c.findings]
        present = [n for n in tables.TABLES if n in self.stage.names]
        return Staged(
            stage=self.stage,
            files_by_table={name: self.stage.path(name) for name in present},
            report=pd.DataFrame([self._account(name) for name in self._reported()], columns=REPORT),
            findings=pd.DataFrame(self.findings, columns=FINDINGS),
            company=self.company,
            extracted_at=self.export.extracted_at,
            extraction="stated" if self.export.dated else self.export.clock,
            files=self.export.hashes,
            coverage=coverage,
        )

    def _converters(self, export: Export, name: str) -> list[Converter]:
        """Make a converter for each file of each section that applies."""
        sections = export.mapping.tables.get(name, ())
        made: list[Converter] = []
        for section in sections:
            if section.rows is not None or (section.fallback and made):
                continue
            for raw in export.files.get(section.file, []):
                if absent := [column for column in section.having if column not in raw.header]:
                    told = f"not read as {name}: no such column"
                    self.findings.append(finding(told, raw.name, name, ", ".join(absent)))
                    continue
                currency = self.company.currency or NO_CURRENCY
                converter = converter_for(name, section, export.mapping, self.calendar, currency, raw)
                if section.changes == "entered" and not converter.entered:
                    continue
                links = [link for spec in converter.columns.values() for link in spec.links if link.lookup]
                converter.lookups = {one.lookup: self._lookup(export, one.lookup, name) for one in links}
                if section.fallback and not all(c in converter.columns for c in converter.spec.key):
                    continue  # what it would be derived from is not in this export
                converter.check_header()
                if export.mapping.objects and not (section.fallback or section.distinct):
                    converter.note_absent()
                made.append(converter)
        return made

    def _lookup(self, export: Export, wanted: Lookup, table: str) -> pd.Series:
        """Read what another file says of each value; the first word counts, and further ones are told."""
        if (done := self.looked_up.get((id(export), wanted))) is not None:
            return done
        parts = [pd.DataFrame(columns=["key", "value"], dtype="string[pyarrow]")]
        for raw in export.files.get(wanted.file, []):
            if wanted.sources <= set(raw.header):
                for rows, _ in raw.batches(wanted.sources):
                    cells = rows.apply(lambda cells: cells.str.strip())
                    key = (
                        cells[list(wanted.key)].agg(" ".join, axis=1)
                        if len(wanted.key) > 1
                        else cells[wanted.key[0]]
                    )
                    parts.append(pd.DataFrame({"key": key, "value": cells[wanted.value]}, dtype="string[pyarrow]"))
        found = pd.concat(parts)
        if wanted.several:
            found = found.assign(key=found["key"].str.split(wanted.several)).explode("key")
            found["key"] = found["key"].str.strip()
        if export.mapping.ids == "salesforce":
            found["key"] = ids.complete(found["key"])[0]
        found = found[found["key"].ne("") & found["value"].ne("")].drop_duplicates()
        again = found["key"][found["key"].duplicated()].unique()
        if len(again):
            told = f"several {wanted.value} for one {', '.join(wanted.key)}; the first counts"
            self.findings.append(finding(told, wanted.file, table, value=str(again[0]), n=len(again)))
        first = found.drop_duplicates("key").set_index("key")["value"]
        self.looked_up[id(export), wanted] = plain_numbers(first)
        return self.looked_up[id(export), wanted]

    def _read_table(self, name: str, converters: list[Converter]) -> None:
        for section in self.export.mapping.tables[name]:
            if section.rows is not None:
                self._append_inline(name, section)
        if name == HISTORY:
            self._read_history(converters)
            return
        for converter in converters:
            self._read(name, converter, self.export)
        if any(converter.section.distinct for converter in converters):
            self.derived.add(name)

    def _read(self, name: str, converter: Converter, export: Export) -> None:
        """Stage what one file says; rows of one key of a derived table fold, wherever in the file they stand."""
        fold, seen = converter.section.distinct, None
        given = export.hashes[converter.raw.name]
        read = {c for spec in converter.columns.values() for c in spec.sources}
        read |= {*converter.section.where, *converter.section.unless, *converter.entered}
        records = 0
        filled = {field for field, column in tables.TRACKED.items() if column in converter.columns}
        self.filled.setdefault(name, set()).update(filled)
        for rows, ragged in track(
            ahead(converter.raw.batches(read)), f"reading {self._label(name)} from {converter.raw.name}"
        ):
            frame, aside = converter.convert(rows)
            records += len(rows) + len(ragged)
            if name.startswith("opportunities"):
                frame = process.complete_closing(frame, self.calendar, converter)
            if fold:
                key = frame[list(converter.spec.key)].astype("string")
                seen = key if seen is None else pd.concat([seen, key])
                again = seen.duplicated().to_numpy()
                frame, seen = frame[~again[len(seen) - len(frame) :]], seen[~again]
            provenance = {"source_system": export.mapping.source_system, "source_file_sha256": given}
            self.stage.append(
                name, frame.assign(**provenance), spec=converter.spec, file=converter.raw.name, fold=fold
            )
            label = self._label(name)
            self.stage.set_aside(aside.assign(table=label))
            if len(ragged) and not (fold and self._told_elsewhere(converter)):
                self.stage.set_aside(ragged.assign(file=converter.raw.name, table=label, column=""))
            if self.earlier and name.startswith("opportunities") and len(aside):
                lost = converter.ids_of(rows[rows.index.isin(aside["row"])])
                self.unread.setdefault(name, []).extend(lost)
        self.stage.start(name, converter.spec)
        self.records[name] = self.records.get(name, 0) + records - converter.left_out

    def _told_elsewhere(self, converter: Converter) -> bool:
        """Whether a table that is not derived reads the same file, and so sets its broken rows aside."""
        sections = (s for part in self.export.mapping.tables.values() for s in part)
        return any(s.file == converter.section.file and not s.distinct for s in sections)

    def _label(self, name: str) -> str:
        """What a staged table is called in reports."""
        if name.startswith("opportunities_"):
            moment = self.earlier[int(name.rpartition("_")[2])].extracted_at
            return f"opportunities (export of {moment:%Y-%m-%d})"
        return name if name in tables.TABLES else HISTORY

    def _append_inline(self, name: str, section: Section) -> None:
        """Stage rows written in the mapping itself; a breach there is the mapping's fault."""
        mapping = self.export.mapping
        frame = tables.conform(pd.DataFrame(list(section.rows)), name)
        for column in tables.table(name).columns:
            if column.kind == "id":
                frame[column.name] = mapping.id_prefix + ":" + frame[column.name]
        broken = tables.violations(frame, name)
        if len(broken):
            row, column, value, reason = broken.iloc[0][["row", "column", "value", "reason"]]
            raise ConfigError(f"{mapping.name}: tables.{name}.rows[{row}].{column}: {value!r}: {reason}.")
        frame = frame.assign(source_system=mapping.source_system, source_file_sha256=None)
        self.stage.append(name, frame, spec=tables.table(name), file="mapping", fold=False)
        self.records[name] = self.records.get(name, 0) + len(frame)

    def _read_history(self, converters: list[Converter]) -> None:
        """Stage the sources of history apart; which of them speaks for a field is settled once all are known."""
        if len(converters) == 1 and {"seq", "old_value"} <= set(converters[0].columns):
            self._read(HISTORY, converters[0], self.export)
            self.pieces.append(derive.Piece(HISTORY, converters[0].section, whole=True))
            return
        ranks = {id(section): k for k, section in enumerate(self.export.mapping.tables[HISTORY])}
        for converter in converters:
            name = f"piece_{ranks[id(converter.section)]}"
            self._read(name, converter, self.export)
            if not any(piece.name == name for piece in self.pieces):
                self.pieces.append(derive.Piece(name, converter.section, has_old="old_value" in converter.columns))
        self.records[HISTORY] = sum(self.records.pop(piece.name) for piece in self.pieces)
        self.derived.add(HISTORY)

    def _read_earlier(self, k: int, converters: list[Converter]) -> None:
        name = f"opportunities_{k}"
        if not converters:
            raise DataContractError(f"the export of {self.earlier[k].extracted_at:%Y-%m-%d} holds no deals.")
        for converter in converters:
            self._read(name, converter, self.earlier[k])

    def _complete(self, session: Callable) -> dict[str, str | None]:
        """Drop doubled keys, build history, stages and closings, look references up; return the coverage."""
        with session() as db:
            for name in [n for n in self.stage.names if not n.startswith("piece_")]:
                checks.drop_doubled(self.stage, db, name, self._label(name))
        with session() as db:
            process.name_stages(self.stage, db, self.findings)
            coverage = derive.history(self.stage, db, self.pieces, self.findings)
        if self.earlier:
            names = [f"opportunities_{k}" for k in range(len(self.earlier))] + ["opportunities"]
            exports = [
                derive.Seen(
                    name, export.extracted_at, frozenset(self.filled.get(name, ())), self.unread.get(name, [])
                )
                for name, export in zip(names, (*self.earlier, self.export), strict=True)
            ]
            with session() as db:
                coverage |= derive.differences(self.stage, db, exports, coverage, self.findings)
            self.derived |= {HISTORY, "opportunities"}
        if any(section.holds == "until_next" for section in self.export.mapping.tables.get("fx_rates", ())):
            with session() as db:
                if "fx_rates" in self.stage.names:
                    derive.rates(self.stage, db, self.export.extracted_at)
                    self.derived.add("fx_rates")
        with session() as db:
            if process.infer(self.stage, db, self.export.mapping, self.findings):
                self.derived.add("stages")
        with session() as db:
            if any(
                section.closing == "history" for section in self.export.mapping.tables.get("opportunities", ())
            ):
                process.closings(self.stage, db, self.calendar.timezone, self.findings)
        with session() as db:
            self.findings += list(checks.unmatched_references(self.stage, db))
        return coverage

    def _reported(self) -> list[str]:
        aside = {table for table, _, _ in self.stage.aside}
        known = [n for n in tables.TABLES if n in self.stage.rows or n in aside]
        return known + [n for n in self.stage.rows if n.startswith("opportunities_")]

    def _account(self, name: str) -> dict:
        label = self._label(name)
        counted = {(c, r): n for (t, c, r), n in self.stage.aside.items() if t == label}
        aside, kept = sum(counted.values()), self.stage.rows[name]
        records = self.records.get(name, 0)
        told = sorted(counted.items(), key=lambda item: -item[1])
        exact = name not in self.derived and name not in self.stage.folded
        return {
            "table": label,
            "rows_in": records if exact else kept + aside,
            "rows_kept": kept,
            "rows_quarantined": aside,
            "reason": "; ".join(f"{n} × {column}: {reason}" for (column, reason), n in told),
            "records": records,
        }

    def _not_read(self) -> Iterator[dict]:
        """List files and columns that the mapping does not read, except those it names under `ignore`."""
        mapping = self.export.mapping
        entries = [("file not recognised", name, "") for name in self.export.strangers]
        if mapping.objects:
            absent = [name for name in mapping.objects if name not in self.export.files]
            entries += [("not in the export", "", name) for name in absent]
            entries += [("column not read", *pair) for pair in strangers_in(self.export.files, mapping)]
        else:
            for name, raws in self.export.files.items():
                sections = [s for parts in mapping.tables.values() for s in parts if s.file == name]
                read = {source for s in sections for source in s.sources}
                entries += [
                    ("column not read", name, column)
                    for raw in raws for column in raw.header if column not in read and column not in mapping.ignore
                ]  # fmt: skip
        for kind, file, column in entries:
            yield finding(kind, file, column=column)


def settle(converters: list[Converter]) -> None:
    """Decide how each column of an export writes dates and numbers; one that leaves it open follows the others.

    Raises
    ------
    DataContractError
        Naming every column that mixes readings, or that nothing in the export settles.
    """
    open_questions = []
    for converter in converters:
        open_questions += [(converter, *question) for question in converter.weigh()]
    shown: dict[bool, set[str]] = {True: set(), False: set()}
    for converter, _, kind, evidence in open_questions:
        certain = {reading for reading, n in evidence.only.items() if n}
        if len(certain) == 1 and converter.mapping.objects:  # a CRM writes every column in one way
            shown[kind in ("date", "instant")] |= certain & {"dmy", "mdy", ".", ","}
    others = {is_date: (next(iter(found)) if len(found) == 1 else None) for is_date, found in shown.items()}
    said = {}
    for converter, key, kind, evidence in open_questions:
        try:
            converter.settle(key, kind, evidence, others)
        except DataContractError as error:
            said.setdefault(str(error), None)
    if said:
        more = [f"and {len(said) - 5} more columns."] if len(said) > 5 else []
        raise DataContractError("\n".join([*list(said)[:5], *more]))
