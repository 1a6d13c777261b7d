"""Files that come without a mapping: which shipped one knows them best, and what it misses."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from salesops_lib.errors import DataContractError, ParameterError, listed, shown
from salesops_lib.sources import CRMS
from salesops_lib.sources.discover import by_header, by_name, resolve
from salesops_lib.sources.draft import draft
from salesops_lib.sources.mapping import Mapping, SourceObject, normal, shipped
from salesops_lib.sources.read import SUFFIXES, open_raw
from salesops_lib.sources.read.raw import Raw

DEALS = "opportunities"
SHOWN = 2  # mappings offered; the others know less


@dataclass(frozen=True)
class Candidate:
    """How much of some files a shipped mapping knows.

    Attributes
    ----------
    mapping
        Its name.
    known, columns
        Columns it knows, of all in the files.
    lacks
        Columns of the deals that it cannot do without, in the file that is nearest to its deals.
    near
        Columns nobody knows that are written almost like one it reads.
    fits
        Whether the files would be recognised as they are.
    """

    mapping: str
    title: str
    known: int
    columns: int
    lacks: tuple[str, ...]
    near: tuple[str, ...]
    fits: bool

    @property
    def sentence(self) -> str:
        """What it knows and misses, in one line."""
        lacks = f"; lacks {listed(self.lacks)}" if self.lacks else ""
        near = f"; near misses: {listed(self.near)}" if self.near else ""
        return f"{self.mapping} ({self.title}): knows {self.known} of {self.columns} columns{lacks}{near}"

    def command(self, folder: Path) -> str:
        """What loads the files with it."""
        place = shlex.quote(str(folder))
        if self.mapping in CRMS:
            return f"salesops load {self.mapping} {place}"
        return f"salesops load csv {place} --map {self.mapping}"


@dataclass(frozen=True)
class Offer:
    """What is said of files without a mapping: the nearest ones, the draft that was written, the next step."""

    candidates: tuple[Candidate, ...]
    draft: Path | None
    lines: tuple[str, ...]
    next: str


def offer(path: Path, place: Path, always_draft: bool = False) -> Offer:
    """Match a file or folder with every shipped mapping; where none fits, draft one in `place` for editing.

    Parameters
    ----------
    path
        A file, or the folder of an export.
    place
        Folder that takes the draft, named after `path`; a file that is there already is never touched.
    always_draft
        Write it although a shipped mapping fits.

    Raises
    ------
    ParameterError
        Where nothing there can be read as a table.
    """
    raws, unread = _opened(path)
    folder = path if path.is_dir() else path.parent
    candidates = tuple(nearest(raws))[:SHOWN]
    lines = [f"{raw.name}: {listed(map(shown, raw.header), 300)}" for raw in raws]
    lines += [f"not readable: {reason}" for reason in unread]
    lines += [f"nearest mapping: {candidate.sentence}" for candidate in candidates]
    best = candidates[0]
    if best.fits and not always_draft:
        return Offer(candidates, None, tuple(lines), f"{best.command(folder)}   ({_other(path)})")
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in path.resolve().stem.lower()).strip("_")
    target = place / f"{name or 'my'}_mapping.yaml"
    load = f"salesops load csv {shlex.quote(str(folder))} --map {shlex.quote(str(target))}"
    try:
        file = target.open("x", encoding="utf-8")
    except FileExistsError:
        told = f"{target} is there already and was left as it is; move it away for a new draft"
        return Offer(candidates, None, (*lines, told), load)
    with file:
        made = draft(raws, name)
        file.write(made.text)
    lines.append(f"draft written to {target}: {made.sentence}")
    return Offer(candidates, target, tuple(lines), f"edit {target} where it says CHECK or REQUIRED, then {load}")


def _other(path: Path) -> str:
    return f"if that is not what it is, salesops load csv {shlex.quote(str(path))} drafts a mapping"


def _opened(path: Path) -> tuple[list[Raw], list[str]]:
    raws, unread = [], []
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.suffix.lower() in SUFFIXES and not file.name.startswith((".", "~")):
            try:
                raws += open_raw(file)
            except DataContractError as error:
                unread.append(str(error))
    if not raws:
        why = " ".join(unread) or f"there is no {', '.join(SUFFIXES)} file"
        raise ParameterError(f"{path} holds nothing to load: {why}. Name the folder of the export, or --map FILE.")
    return raws, unread


def nearest(raws: list[Raw]) -> list[Candidate]:
    """Compare files with every shipped mapping of deals: those that fit first, then by columns known."""
    found = [compare(raws, known) for known in shipped() if any(s.file for s in known.tables.get(DEALS, ()))]
    return sorted(found, key=lambda one: (-one.fits, -one.known, one.mapping))


def compare(raws: list[Raw], mapping: Mapping) -> Candidate:
    """Count the columns of some files that a mapping knows."""
    mapping = mapping.model_copy(update={"objects": mapping.kinds()})
    deals = {section.file for section in mapping.tables[DEALS]}
    known, near, lacking, fits = 0, [], [], False
    for raw in raws:
        told = by_name(raw, mapping) or by_header(raw, mapping)
        resolved = {n: resolve(raw.header, spec, mapping.prefixes) for n, spec in mapping.objects.items()}
        name = told or max(resolved, key=lambda n: (len(resolved[n]), n in deals))
        spec, hit = mapping.objects[name], resolved[name]
        known += len(hit)
        near += _near(raw, spec, hit)
        if name in deals:
            lacking.append([column for column in spec.needs if column not in hit.values()])
            fits |= bool(told) and not lacking[-1]
    lacks = min(lacking, key=len) if lacking else [f"a file of deals, e.g. {mapping.objects[min(deals)].files[0]}"]
    columns = sum(len(raw.header) for raw in raws)
    return Candidate(mapping.name, mapping.title, known, columns, tuple(lacks), tuple(dict.fromkeys(near)), fits)


def _near(raw: Raw, spec: SourceObject, known: dict[str, str]) -> list[str]:
    """Name columns nobody knows that are almost written like a label not yet found."""
    free = {label: api for label, api in spec.labels().items() if api not in known.values()}
    hits = {c: get_close_matches(normal(c), free, n=1, cutoff=0.8) for c in raw.header if c not in known}
    return [f"{shown(column)} for {free[hit[0]]}" for column, hit in hits.items() if hit]
