"""A mapping turns any set of CSV files into canonical tables; it is data (YAML), not a program.

```yaml
name: maven_crm
id_prefix: mvn                        # put before every id, so that two sources never collide
company: {currency: USD}              # what the source knows of the company; salesops.yaml overrides
tables:
  opportunities:
    - file: sales_pipeline.csv
      columns:
        opportunity_id: opportunity_id                       # as it is
        is_won: {from: deal_stage, map: {Won: true, Lost: false}}
        amount: {from: close_value, empty: ["0"]}            # 0 stands for "none" here
        currency: {const: USD}
        team_id: {template: "office {regional_office}"}      # a derived key
```
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from salesops_lib import tables
from salesops_lib.config import SECRET_KEYS, CompanySettings, Strict, parse, read_yaml, refuse_secrets
from salesops_lib.errors import ConfigError, ParameterError, unknown
from salesops_lib.sources.section import Placeholders, Section, text

MAPS = Path(__file__).with_name("maps")
HISTORY = "opportunity_history"
# required columns that the loader makes where a mapping does not fill them
MADE = {HISTORY: ("seq", "is_bulk", "origin")}


def normal(name: str) -> str:
    """Bring a column or file name to the form it is compared in: letters and digits, no case."""
    composed = unicodedata.normalize("NFKC", name).casefold()
    return "".join(letter for letter in composed if letter.isalnum())


class SourceObject(Strict):
    """One kind of file a CRM exports.

    Attributes
    ----------
    files
        Names the file may have, without suffix; case, blanks, digits and marks do not count.
    needs
        Columns without which it cannot be used.
    tells
        Columns that together only this object has: they tell it where the file's name does not.
    columns
        API name of each column, with its labels by UI language.
    """

    files: tuple[str, ...]
    needs: tuple[str, ...] = ()
    tells: tuple[str, ...] = ()
    columns: dict[str, dict[str, str | tuple[str, ...]]] = {}

    @field_validator("columns", mode="before")
    @classmethod
    def _bare_names(cls, value: Any) -> Any:
        return {name: labels or {} for name, labels in value.items()} if isinstance(value, dict) else value

    def labels(self) -> dict[str, str]:
        """Map the normal form of every name and label to the API name."""
        found: dict[str, str] = {}
        for name, labels in self.columns.items():
            for label in labels.values():
                for one in (label,) if isinstance(label, str) else label:
                    found.setdefault(normal(one), name)
        return found | {normal(name): name for name in self.columns}


class Mapping(Strict):
    """A whole mapping file.

    Attributes
    ----------
    extends
        A shipped mapping this one adds to; see `read_mapping`.
    objects
        Kinds of files; with them, files are found by name or header and missing columns leave theirs empty.
    prefixes
        Beginnings of column names that connectors add, e.g. ``property_``; times there without a zone are UTC.
    ids
        ``salesforce``: ids of 15 characters are completed to 18; ``whole``: they carry a prefix already.
    queries
        For the `sql` source: the query behind each name that a section reads as its file.
    encoding, delimiter, date_order, decimal
        For every file; found from the files where not stated.
    """

    name: str
    extends: str | None = None
    title: str = ""
    id_prefix: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    source_system: str = "csv"
    extracted_at: str | None = None
    encoding: str | None = None
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    date_order: Literal["ymd", "dmy", "mdy"] | None = None
    decimal: Literal[".", ","] | None = None
    empty: Placeholders = ()
    company: CompanySettings = CompanySettings()
    prefixes: tuple[str, ...] = ()
    ids: Literal["plain", "salesforce", "whole"] = "plain"
    queries: dict[str, str] = {}
    objects: dict[str, SourceObject] = {}
    tables: dict[str, Annotated[tuple[Section, ...], Field(min_length=1)]] = Field(min_length=1)
    ignore: tuple[str, ...] = ()

    @field_validator("tables", mode="before")
    @classmethod
    def _one_section(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: [spec] if isinstance(spec, dict) else spec for name, spec in value.items()}

    @field_validator("extracted_at", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return value if value is None else text(value)

    @model_validator(mode="after")
    def _dated(self) -> Mapping:
        files = any(section.file for sections in self.tables.values() for section in sections)
        if not files and self.extracted_at is None:
            raise ValueError("needs 'extracted_at', because no file tells when the rows were exported")
        return self

    def kinds(self) -> dict[str, SourceObject]:
        """Give the kinds of files it reads; without `objects` one a file, with every column it reads needed."""
        if self.objects:
            return self.objects
        read = {file: tuple(sorted(self.read_of(file))) for file in self.files}
        return {
            file: SourceObject(
                files=(Path(file).stem,), needs=names, tells=names, columns={name: {} for name in names}
            )
            for file, names in read.items()
        }

    def read_of(self, name: str) -> set[str]:
        """Every column of an object that a section or a lookup reads, but for those of `entered`."""
        sections = [section for sections in self.tables.values() for section in sections]
        looked_up = [one for section in sections for one in section.lookups if one.file == name]
        return {c for s in sections if s.file == name for c in s.sources} | {
            c for o in looked_up for c in o.sources
        }

    @property
    def files(self) -> list[str]:
        """Every file it names."""
        return sorted({s.file for sections in self.tables.values() for s in sections if s.file})


def read_mapping(path: str | Path) -> Mapping:
    """Read a mapping by path, or by the name of one that is shipped, e.g. ``maven_crm``.

    A file that says ``extends: salesforce`` adds to a shipped one: its keys replace those of the same name; the
    columns it states for a table are laid over those of the first section that reads the same file.

    Raises
    ------
    ConfigError
        Naming file, key, near miss; also for tables, columns or values that the contract does not know.
    """
    path = _place(path)
    content = read_yaml(path)
    if base := content.get("extends"):
        content = _laid_over(read_yaml(_place(str(base))), content, path.name)
    refuse_secrets(content, path.name, keys=False)
    for key in set(content) & set(SECRET_KEYS):
        refuse_secrets({key: ""}, path.name)
    mapping = parse(Mapping, content, path.name)
    for name, sections in mapping.tables.items():
        for number, section in enumerate(sections):
            where = f"{path.name}: tables.{name}[{number}]"
            _check_section(name, section, where)
            _check_object(mapping, section, where)
    mapping.company.calendar()
    return mapping


@cache
def shipped() -> tuple[Mapping, ...]:
    """Read every mapping that is shipped, by name."""
    return tuple(read_mapping(path) for path in sorted(MAPS.glob("*.yaml")))


def _place(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix:
        return path
    known = {entry.stem: entry for entry in MAPS.glob("*.yaml")}
    if path.name not in known:
        raise ConfigError(f"{unknown('mapping', path.name, known)}; or give the path of a YAML file.")
    return known[path.name]


def _laid_over(base: dict[str, Any], own: dict[str, Any], where: str) -> dict[str, Any]:
    """Lay a mapping over the one it extends."""
    out = base | {key: value for key, value in own.items() if key not in ("tables", "objects")}
    out["objects"] = dict(base.get("objects") or {})
    for name, spec in (own.get("objects") or {}).items():
        known = out["objects"].get(name) or {}
        columns = {**(known.get("columns") or {}), **((spec or {}).get("columns") or {})}
        out["objects"][name] = {**known, **(spec or {}), "columns": columns}
    out["tables"] = dict(base["tables"])
    for name, spec in (own.get("tables") or {}).items():
        sections = out["tables"].get(name)
        if not isinstance(spec, dict) or "rows" in spec or sections is None:
            out["tables"][name] = spec
            continue
        sections = [dict(section) for section in ([sections] if isinstance(sections, dict) else sections)]
        same = [section for section in sections if section.get("file") == spec.get("file", section.get("file"))]
        if not same:
            raise ConfigError(f"{where}: tables.{name}: no section of {base['name']} reads {spec.get('file')!r}.")
        columns = {**same[0].get("columns", {}), **(spec.get("columns") or {})}
        same[0].update({**spec, "file": same[0].get("file"), "columns": columns})
        out["tables"][name] = sections
    return out


def _check_object(mapping: Mapping, section: Section, where: str) -> None:
    """Refuse files and columns that the objects of the mapping do not name."""
    if not mapping.objects or section.file is None:
        return
    try:
        for file, columns in [(section.file, section.sources), *((o.file, o.sources) for o in section.lookups)]:
            if file not in mapping.objects:
                raise ConfigError(f"{where}: {unknown('object', file, mapping.objects)}")
            known = mapping.objects[file].columns
            for column in () if mapping.extends else columns - set(known):  # own fields are called as in the file
                raise ConfigError(f"{where}: {unknown(f'column of {file}', column, known)}")
    except ParameterError as error:
        raise ConfigError(f"{where}: {error}") from error


def _check_section(name: str, section: Section, where: str) -> None:
    """Refuse columns the canonical table lacks, and required ones that nothing fills."""
    if name == HISTORY and section.changes != "rows":
        entered = section.changes == "entered"
        known = [column for column in tables.STATES.names if not (entered and column in tables.TRACKED)]
        for column in section.columns:
            if column not in known:
                raise ConfigError(f"{where}: {unknown('history column', column, known)}")
        needed = ["opportunity_id"] if entered else tables.STATES.required
        absent = [column for column in needed if column not in section.columns]
    else:
        try:
            spec = tables.table(name)
            filled = set(section.columns) | {column for row in section.rows or () for column in row}
            for column in filled:
                spec[column]
        except ParameterError as error:
            raise ConfigError(f"{where}: {error}") from error
        absent = [column for column in spec.required if column not in filled | set(MADE.get(name, ()))]
    if absent:
        raise ConfigError(f"{where}: nothing fills the required column(s) {', '.join(absent)}.")
