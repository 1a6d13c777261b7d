"""Which file of a folder is which object of the CRM, and which column is which field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from salesops_lib.errors import DataContractError, listed, shown
from salesops_lib.sources.mapping import Mapping, SourceObject, normal
from salesops_lib.sources.read import SUFFIXES, open_raw
from salesops_lib.sources.read.raw import Raw

NOISE = re.compile(r"(export|extract|data|all|report|download|copy|final|new|bulkquery|result|part|teil|chunk)$")
DAY = re.compile(r"(?<!\d)(20\d{2})[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)")


def find_objects(folder: Path, mapping: Mapping) -> tuple[dict[str, list[Raw]], list[str]]:
    """Find the files of each object of a mapping, by name and, where the name says nothing, by header.

    Columns are renamed to their API names. Several files may hold one object.

    Returns
    -------
    tuple
        Files by object, and the names of files that are none.

    Raises
    ------
    DataContractError
        Where nothing is recognised, or a file named after an object lacks a column it cannot do without.
    """
    found: dict[str, list[Raw]] = {}
    unnamed, strangers = [], []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith((".", "~")):
            continue
        try:
            raws = open_raw(path, mapping.encoding, mapping.delimiter)
        except DataContractError as error:
            if _named_after(path.stem, mapping):
                raise
            strangers.append(f"{path.name}, not readable: {error}")
            continue
        for raw in raws:
            name = by_name(raw, mapping)
            if name is None:
                unnamed.append(raw)
            else:
                found.setdefault(name, []).append(raw)
    named = {name: [set(raw.header) for raw in raws] for name, raws in found.items()}
    for raw in unnamed:  # a header tells objects that no file is named after, and parts of those that one is
        name = by_header(raw, mapping)
        if name is None or (name in named and set(raw.header) not in named[name]):
            strangers.append(raw.name)
        else:
            found.setdefault(name, []).append(raw)
    for name, raws in found.items():
        for raw in raws:
            rename(raw, mapping, name)
    if not found:
        known = "; ".join(f"{name}: {', '.join(spec.files)}" for name, spec in mapping.objects.items())
        raise DataContractError(
            f"{folder}: no file is recognised as a {mapping.name} export "
            f"(found: {listed(strangers, 300) or 'no files'}). "
            f"Name files after their object ({known}); `salesops load {folder}` looks for the nearest mapping."
        )
    return found, strangers


def by_name(raw: Raw, mapping: Mapping) -> str | None:
    """The object a file or sheet is named after; the longest name counts."""
    return _named_after(getattr(raw, "sheet", "") if raw.name.endswith("]") else raw.path.stem, mapping)


def _named_after(stem: str, mapping: Mapping) -> str | None:
    stem = re.sub(r"\d", "", normal(stem))
    names = {
        re.sub(r"\d", "", normal(alias)): name for name, spec in mapping.objects.items() for alias in spec.files
    }
    while stem not in names and (noise := NOISE.search(stem)):
        stem = stem[: noise.start()]
    return names.get(stem)


def by_header(raw: Raw, mapping: Mapping) -> str | None:
    """The object whose telling columns are all there; of several, the one that knows most of the header."""
    known = {}
    for name, spec in mapping.objects.items():
        resolved = set(resolve(raw.header, spec, mapping.prefixes).values())
        if spec.tells and {*spec.needs, *spec.tells} <= resolved:
            known[name] = len(resolved)
    best = sorted(known, key=known.get, reverse=True)
    tied = len(best) > 1 and known[best[0]] == known[best[1]]
    return best[0] if best and not tied else None


def rename(raw: Raw, mapping: Mapping, name: str) -> None:
    """Give a file's columns their API names; `raw.written` keeps what the file calls them.

    Raises
    ------
    DataContractError
        Where a needed column is missing, with its near miss among the labels of the file.
    """
    spec = mapping.objects[name]
    resolved = resolve(raw.header, spec, mapping.prefixes)
    absent = [needed for needed in spec.needs if needed not in resolved.values()]
    if absent:
        raise DataContractError(
            f"{raw.name}, row 1: as {name} it lacks "
            + "; ".join(_missing(n, spec, raw.header) for n in absent)
            + ". Export those columns too."
        )
    raw.header = [resolved.get(column, column) for column in raw.header]
    raw.written = {api: column for column, api in resolved.items()}


def _missing(needed: str, spec: SourceObject, header: list[str]) -> str:
    labels = [
        needed,
        *(x for label in spec.columns[needed].values() for x in ([label] if isinstance(label, str) else label)),
    ]
    forms = {normal(column): column for column in header}
    near = [forms[hit] for label in labels for hit in get_close_matches(normal(label), forms, n=1, cutoff=0.75)]
    hint = f"; is it {shown(near[0])}?" if near else ""
    return f"{needed!r} (also called {', '.join(labels[1:]) or 'nothing else'}{hint})"


def resolve(header: Iterable[str], spec: SourceObject, prefixes: Iterable[str] = ()) -> dict[str, str]:
    """Map the columns of a file that an object knows to API names; the exact API name wins over a label."""
    labels = spec.labels()
    beginnings = [normal(prefix) for prefix in prefixes]
    out: dict[str, str] = {}
    for exact in (True, False):
        for column in header:
            form = normal(column)
            forms = [form, *(form.removeprefix(start) for start in beginnings if form.startswith(start))]
            api = next((labels[f] for f in forms if f in labels), None)
            if api is None or column in out or api in out.values():
                continue
            if exact == (form == normal(api)):
                out[column] = api
    return out


def near_labels(column: str, spec: SourceObject) -> str:
    """Say what a column nobody reads may have meant."""
    labels = spec.labels()
    near = get_close_matches(normal(column), labels, n=1, cutoff=0.8)
    return f"{column} (near {labels[near[0]]})" if near else column


def day_in(path: Path) -> str | None:
    """The date a folder or file name carries, ISO; nothing where it carries none or several."""
    days = {"-".join(hit) for hit in DAY.findall(path.name)}
    return days.pop() if len(days) == 1 else None


def strangers_in(files: dict[str, list[Raw]], mapping: Mapping) -> Iterator[tuple[str, str]]:
    """Name the columns of recognised files that nothing reads: (file, column)."""
    for name, raws in files.items():
        used = mapping.read_of(name)
        stages = [s for sections in mapping.tables.values() for s in sections if s.file == name and s.entered]
        for raw in raws:
            entered = {c for section in stages for c in section.entered_in(raw.header, mapping.prefixes)}
            for column in raw.header:
                if column not in used and column not in entered and column not in mapping.ignore:
                    written = raw.raw_name(column)
                    yield (
                        raw.name,
                        near_labels(written, mapping.objects[name])
                        if column not in mapping.objects[name].columns
                        else written,
                    )
