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

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, field_validator, model_validator

from salesops_lib import tables
from salesops_lib.config import SECRET_KEYS, CompanySettings, Strict, parse, read_yaml, refuse_secrets
from salesops_lib.errors import ConfigError, ParameterError, unknown

MAPS = Path(__file__).with_name("maps")
PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
HISTORY = "opportunity_history"
# required columns that the loader makes where a mapping does not fill them
MADE = {HISTORY: ("seq", "is_bulk", "origin")}


def _texts(value: Any) -> Any:
    return tuple(_text(item) for item in value) if isinstance(value, list | tuple) else value


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Placeholders = Annotated[tuple[str, ...], BeforeValidator(_texts)]
UNITS = {
    "percent": Decimal("0.01"),
    "ms": Decimal("0.001"),
    "min": Decimal(60),
    "h": Decimal(3600),
}  # h:mm is read as a clock shows it


def normal(name: str) -> str:
    """Bring a column or file name to the form it is compared in: letters and digits, no case."""
    composed = unicodedata.normalize("NFKC", name).casefold()
    return "".join(letter for letter in composed if letter.isalnum())


class Lookup(Strict):
    """Where another file says something of a value.

    Attributes
    ----------
    file, value
        The object, and the column that says it.
    key
        The column that holds the value; of several, their texts joined by a blank, e.g. first and last name.
    several
        The mark that divides several values in one cell of `key`.
    """

    file: str
    key: Annotated[tuple[str, ...], BeforeValidator(_listed)]
    value: str
    several: str | None = None

    @property
    def sources(self) -> set[str]:
        """Every column of the other file that is read."""
        return {*self.key, self.value}


class ColumnMap(Strict):
    """How one canonical column is made; exactly one of `from`, `const`, `template`.

    A list of such makes a chain, ``[{from: a, map: …}, b, {const: 0}]``: the first that is filled counts.

    Attributes
    ----------
    source
        Column of the file, or several: the first that is filled counts.
    default
        What an empty cell, or a column the export lacks, stands for; ``$currency`` is the company's currency.
    map, empty, when
        Renamed values; placeholders for "none"; ``{column: [values]}`` that must hold, else the cell is empty.
    lookup
        Replace the value by what another file says of it: ``{file, key, value}``.
    first_of
        The cell holds several values divided by this mark; the first counts.
    starts
        Only values that begin so count, e.g. ids of one object.
    date_order, decimal, multiply, invert, unit
        How dates and numbers are written; `invert` takes one divided by the number; `unit` is one of `UNITS`.
    zone
        ``UTC``: times without a zone are UTC, not company time.
    plus
        Added to a count, or as days to a date, e.g. 1 where the source counts from 0, or names the last day.
    otherwise
        The rest of the chain.
    unreadable
        ``empty``: a cell that cannot be read is emptied and reported, and its row kept.
    """

    source: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (), validation_alias=AliasChoices("from", "source")
    )
    const: Any = None
    template: str | None = None
    default: Any = None
    map: dict[str, Any] | None = None
    when: dict[str, list[str]] | None = None
    empty: Placeholders = ()
    lookup: Lookup | None = None
    first_of: str | None = None
    starts: str | None = None
    date_order: Literal["ymd", "dmy", "mdy", "excel", "unix"] | None = None
    decimal: Literal[".", ","] | None = None
    multiply: int | float | None = None
    invert: bool = False
    unit: Literal["percent", "ms", "min", "h", "h:mm"] | None = None
    zone: Literal["UTC"] | None = None
    plus: int = 0
    plus_months: int = 0
    unreadable: Literal["aside", "empty"] = "aside"
    otherwise: ColumnMap | None = None

    @field_validator("map", "when", mode="before")
    @classmethod
    def _text_keys(cls, value: Any) -> Any:
        return {_text(key): entry for key, entry in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _one_origin(self) -> ColumnMap:
        if sum((bool(self.source), self.const is not None, self.template is not None)) != 1:
            raise ValueError("needs exactly one of 'from', 'const' and 'template'")
        return self

    @property
    def needs(self) -> list[str]:
        """Columns of the file it cannot do without; of several in `from`, any one."""
        return list(self.source[:1]) if len(self.source) == 1 else PLACEHOLDER.findall(self.template or "")

    @property
    def links(self) -> list[ColumnMap]:
        """The chain: itself, and what counts where it is empty."""
        return [self, *(self.otherwise.links if self.otherwise else ())]

    @property
    def sources(self) -> list[str]:
        """Every column of the file this one reads."""
        return [
            column
            for link in self.links
            for column in (*link.source, *PLACEHOLDER.findall(link.template or ""), *(link.when or {}))
        ]

    @property
    def lenient(self) -> bool:
        """Whether cells that cannot be read are emptied."""
        return any(link.unreadable == "empty" for link in self.links)

    @property
    def factor(self) -> Decimal:
        """What a number is multiplied by."""
        return Decimal(str(self.multiply or 1)) * UNITS.get(self.unit, Decimal(1))


def _long(spec: Any) -> Any:
    """Write out the short forms of a column: its name, several names, a chain."""
    if not isinstance(spec, list) or not any(isinstance(link, dict) for link in spec):
        return {"from": spec} if isinstance(spec, str | list) else spec
    chain: Any = None
    for link in reversed(spec):
        chain = {**_long(link), **({"otherwise": chain} if chain else {})}
    return chain


class Section(Strict):
    """One file (or inline rows) that feeds one canonical table.

    Attributes
    ----------
    file
        A file name; where the mapping names `objects`, one of those.
    distinct
        Rows of one key are one entity.
    fallback
        Read only where no section before it found its file.
    having
        Columns without which a file is not read here; the load says so.
    where, unless
        ``{column: [values]}`` that must, or must not, hold; other records are left out and counted.
    changes
        `opportunity_history` only: ``rows`` are changes, ``states`` are whole states saved at an instant (columns
        are named after history fields), ``entered`` has a column a stage with the instant the deal entered it.
    entered
        Patterns of those columns, e.g. ``hs_v2_date_entered_{stage}``, ``Date entered "{stage} ({pipeline})"``.
    origin, complete
        How the change is known; whether it was tracked from each deal's creation on (false: from the first one).
    closing
        `opportunities` only: whether the last move into a closed stage dates the closing.
    holds
        `fx_rates` only: how long a daily rate holds.
    owner_ids
        `opportunity_history` only: how ids of users begin; a change of owner told by name is left out and counted.
    """

    file: str | None = None
    rows: tuple[dict[str, Any], ...] | None = None
    distinct: bool = False
    fallback: bool = False
    having: tuple[str, ...] = ()
    where: dict[str, Placeholders] = {}
    unless: dict[str, Placeholders] = {}
    changes: Literal["rows", "states", "entered"] = "rows"
    entered: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    origin: Literal["native", "property_history", "snapshot_diff", "inferred"] = "native"
    complete: bool | None = None
    closing: Literal["column", "history"] = "column"
    holds: Literal["day", "until_next"] = "day"
    owner_ids: str | None = None
    columns: dict[str, ColumnMap] = {}

    @field_validator("columns", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: _long(spec) for name, spec in value.items() if spec is not None}

    @model_validator(mode="after")
    def _file_or_rows(self) -> Section:
        if (self.file is None) == (self.rows is None):
            raise ValueError("needs exactly one of 'file' and 'rows'")
        return self

    @property
    def sources(self) -> set[str]:
        """Every column of the file that is read, but for those of `entered`."""
        filled = {c for spec in self.columns.values() for c in spec.sources}
        return filled | {*self.having, *self.where, *self.unless}

    @property
    def lookups(self) -> list[Lookup]:
        """Every lookup in another file."""
        return [link.lookup for spec in self.columns.values() for link in spec.links if link.lookup]

    def entered_in(self, header: Iterable[str], prefixes: Iterable[str] = ()) -> dict[str, str]:
        """Columns that say when a deal entered a stage, with the stage they name."""
        found: dict[str, str] = {}
        starts = "|".join(map(re.escape, ("", *prefixes)))
        for pattern in self.entered:
            named = re.escape(pattern).replace(r"\{stage\}", "(.+)").replace(r"\{pipeline\}", "[^()]+")
            form = re.compile(f"(?i)^(?:{starts}){named}$")
            told = set(found.values())  # of two columns for a stage, that of the first pattern counts
            hits = {c: hit[1] for c in header if c not in found and (hit := form.match(c))}
            found |= {column: name for column, name in hits.items() if name not in told}
        return found


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
        return value if value is None else _text(value)

    @model_validator(mode="after")
    def _dated(self) -> Mapping:
        files = any(section.file for sections in self.tables.values() for section in sections)
        if not files and self.extracted_at is None:
            raise ValueError("needs 'extracted_at', because no file tells when the rows were exported")
        return self

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


def _text(value: Any) -> str:
    """Write a YAML scalar the way it looks in a file; `true` stays ``true``."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "NULL"  # YAML reads an unquoted NULL as nothing; a file writes it out
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


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


def _place(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix:
        return path
    shipped = {entry.stem: entry for entry in MAPS.glob("*.yaml")}
    if path.name not in shipped:
        raise ConfigError(f"{unknown('mapping', path.name, shipped)}; or give the path of a YAML file.")
    return shipped[path.name]


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
