"""How one file fills one canonical table: the sections of a mapping."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, field_validator, model_validator

from salesops_lib.config import Strict

PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


def text(value: Any) -> str:
    """Write a YAML scalar the way it looks in a file; `true` stays ``true``."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "NULL"  # YAML reads an unquoted NULL as nothing; a file writes it out
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _texts(value: Any) -> Any:
    return tuple(text(item) for item in value) if isinstance(value, list | tuple) else value


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Placeholders = Annotated[tuple[str, ...], BeforeValidator(_texts)]
# what a number is multiplied by; h:mm is read as a clock shows it
UNITS = {"percent": Decimal("0.01"), "ms": Decimal("0.001"), "min": Decimal(60), "h": Decimal(3600)}


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
        return {text(key): entry for key, entry in value.items()} if isinstance(value, dict) else value

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
