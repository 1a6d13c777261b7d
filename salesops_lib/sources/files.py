"""A folder of CSV files and a mapping: read, convert, check keys and references, count everything."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from salesops_lib import tables
from salesops_lib.config import CompanySettings
from salesops_lib.errors import ConfigError, DataContractError, unknown
from salesops_lib.periods import FiscalCalendar
from salesops_lib.progress import track
from salesops_lib.sources import Loaded
from salesops_lib.sources.convert import QUARANTINE, Converter
from salesops_lib.sources.mapping import Mapping, Section
from salesops_lib.sources.read import RawFile

FINDINGS = ["kind", "file", "table", "column", "value", "n"]


def load_files(folder: Path, mapping: Mapping, company: CompanySettings) -> Loaded:
    """Load every table of `mapping` from `folder`; see `sources.load`."""
    company = company.over(mapping.company)
    calendar = company.calendar()
    raw = {name: _open(folder, name, mapping) for name in _file_names(mapping)}
    extracted_at = _extracted_at(mapping, raw, calendar)
    hashes = {name: file.sha256() for name, file in raw.items()}
    findings = list(_unread_columns(mapping, raw))
    frames, quarantine, reports = {}, [], []
    for name, sections in mapping.tables.items():
        parts, rows_in = [], 0
        for section in track(sections, f"reading {name}"):
            frame, aside, found, read = _section(name, section, mapping, raw, calendar)
            parts.append(frame.assign(source_file_sha256=hashes.get(section.file)))
            quarantine.append(aside)
            findings += found
            rows_in += read
        if name == "opportunities":
            parts = [_complete_closing(part, calendar, findings) for part in parts]
        frame, doubled = _drop_doubled(pd.concat(parts), name, [section.distinct for section in sections])
        quarantine.append(doubled)
        if all(section.distinct for section in sections):
            rows_in = len(frame) + sum(int((q["table"] == name).sum()) for q in quarantine)
        aside = pd.concat([q for q in quarantine if len(q)] or [pd.DataFrame(columns=QUARANTINE)])
        reports.append(_account(name, rows_in, len(frame), aside[aside["table"] == name]))
        provenance = {"source_system": mapping.source_system, "extracted_at": extracted_at}
        frames[name] = tables.conform(frame.assign(**provenance).reset_index(drop=True), name)
    findings += list(unmatched_references(frames))
    return Loaded(
        tables=frames,
        quarantine=aside.reset_index(drop=True),
        report=pd.DataFrame(reports),
        findings=pd.DataFrame(findings, columns=FINDINGS),
        company=company,
        extracted_at=extracted_at,
        extraction="stated" if mapping.extracted_at else "file time",
        files=hashes,
    )


def _file_names(mapping: Mapping) -> list[str]:
    return sorted({s.file for sections in mapping.tables.values() for s in sections if s.file})


def _open(folder: Path, name: str, mapping: Mapping) -> RawFile:
    path = folder / name
    if Path(name).name != name:
        raise ConfigError(f"{mapping.name}: file {name!r} must be a plain name inside the folder.")
    if not path.is_file():
        present = [entry.name for entry in folder.iterdir()]
        raise DataContractError(f"{folder}: {unknown('file', name, present)}; the mapping reads it.")
    return RawFile(path, mapping.encoding, mapping.delimiter)


def _extracted_at(mapping: Mapping, raw: dict[str, RawFile], calendar: FiscalCalendar) -> pd.Timestamp:
    """Take the mapping's word, else the newest file's time: a fact of the export, not of the clock."""
    if mapping.extracted_at:
        return calendar.instant(mapping.extracted_at)
    newest = max(file.path.stat().st_mtime for file in raw.values())
    return pd.Timestamp(datetime.fromtimestamp(int(newest), UTC)).as_unit("us")


def _section(name: str, section: Section, mapping: Mapping, raw, calendar):
    """Convert one section; return (rows indexed by file and row, quarantine, findings, rows read)."""
    if section.rows is not None:
        frame = _inline(name, section, mapping)
        return frame, pd.DataFrame(columns=QUARANTINE), [], len(frame)
    file = raw[section.file]
    converter = Converter(name, section, mapping, calendar, section.file)
    converter.check_header(file.header)
    converter.decide(file)
    kept, aside, read = [], [], 0
    for rows, ragged in file.batches():
        frame, quarantine = converter.convert(rows)
        read += len(rows) + len(ragged)
        kept.append(frame)
        aside.append(quarantine)
        if len(ragged):
            aside.append(ragged.assign(file=section.file, table=name, column="")[QUARANTINE])
    if not kept:
        kept = [tables.conform(pd.DataFrame(columns=tables.table(name).names), name)]
    frame = pd.concat(kept)
    if section.distinct:  # rows of one key are one entity, wherever in the file they stand
        frame = frame[~frame.duplicated(list(tables.table(name).key)).to_numpy(dtype=bool)]
        read = len(frame) + sum(map(len, aside))
    frame.index = pd.MultiIndex.from_product([[section.file], frame.index], names=["file", "row"])
    found = pd.DataFrame(converter.findings, columns=FINDINGS).groupby(FINDINGS[:-1], sort=False)["n"].sum()
    return (
        frame,
        pd.concat(aside) if aside else pd.DataFrame(columns=QUARANTINE),
        found.reset_index().to_dict("records"),
        read,
    )


def _inline(name: str, section: Section, mapping: Mapping) -> pd.DataFrame:
    """Read rows written in the mapping itself; a breach there is the mapping's fault."""
    frame = tables.conform(pd.DataFrame(list(section.rows)), name)
    for column in tables.table(name).columns:
        if column.kind == "id":
            frame[column.name] = mapping.id_prefix + ":" + frame[column.name]
    broken = tables.violations(frame, name)
    if len(broken):
        row, column, value, reason = broken.iloc[0][["row", "column", "value", "reason"]]
        raise ConfigError(f"{mapping.name}: tables.{name}.rows[{row}].{column}: {value!r}: {reason}.")
    frame.index = pd.MultiIndex.from_product([["mapping"], frame.index], names=["file", "row"])
    return frame


def _drop_doubled(frame: pd.DataFrame, name: str, distinct: list[bool]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Keep the first row of each key; later ones are quarantined, or folded where all sections are `distinct`."""
    key = list(tables.table(name).key)
    doubled = frame.duplicated(key).to_numpy(dtype=bool)
    if all(distinct):
        return frame[~doubled], pd.DataFrame(columns=QUARANTINE)
    again = frame[doubled]
    aside = pd.DataFrame(
        {
            "file": again.index.get_level_values("file"),
            "table": name,
            "row": again.index.get_level_values("row"),
            "column": ", ".join(key),
            "value": again[key].astype("string").agg(" | ".join, axis=1).to_numpy() if len(again) else [],
            "reason": "duplicate key; the first row is kept",
        },
        columns=QUARANTINE,
    )
    return frame[~doubled], aside


def _complete_closing(frame: pd.DataFrame, calendar: FiscalCalendar, findings: list[dict]) -> pd.DataFrame:
    """Fill closing instant and closing date from each other; a closed deal with neither is counted."""
    closed_at = frame["closed_at"].fillna(calendar.day_start(frame["close_date"]))
    close_date = frame["close_date"].fillna(calendar.business_date(frame["closed_at"]))
    undated = int((frame["is_closed"] & closed_at.isna()).sum())
    if undated:
        entry = ("closed without a close date", "", "opportunities", "close_date", "", undated)
        findings.append(dict(zip(FINDINGS, entry, strict=True)))
    return frame.assign(closed_at=closed_at, close_date=close_date)


def _account(name: str, rows_in: int, kept: int, aside: pd.DataFrame) -> dict:
    counts = (aside["column"].astype("string") + ": " + aside["reason"].astype("string")).value_counts()
    return {
        "table": name,
        "rows_in": rows_in,
        "rows_kept": kept,
        "rows_quarantined": len(aside),
        "reason": "; ".join(f"{n} × {reason}" for reason, n in counts.items()),
    }


def _unread_columns(mapping: Mapping, raw: dict[str, RawFile]) -> Iterator[dict]:
    """List the columns and files that the mapping does not read, except those it names under `ignore`."""
    for name, file in raw.items():
        sections = [s for parts in mapping.tables.values() for s in parts if s.file == name]
        read = {source for s in sections for spec in s.columns.values() for source in spec.sources}
        for column in file.header:
            if column not in read and column not in mapping.ignore:
                yield dict(zip(FINDINGS, ("column not read", name, "", column, "", 1), strict=True))


def unmatched_references(frames: dict[str, pd.DataFrame]) -> Iterator[dict]:
    """Count the rows whose reference points at no row; they are kept.

    Yields
    ------
    dict
        `kind`, `file` (empty), `table`, `column`, `value` (up to three examples), `n`.
    """
    for name, frame in frames.items():
        for column in tables.table(name).columns:
            target, _, key = column.references.partition(".")
            if target not in frames:
                continue
            lost = frame.loc[
                frame[column.name].notna() & ~frame[column.name].isin(frames[target][key]), column.name
            ]
            if len(lost):
                shown = ", ".join(lost.drop_duplicates().head(3))
                entry = ("unmatched reference", "", name, column.name, shown, len(lost))
                yield dict(zip(FINDINGS, entry, strict=True))
