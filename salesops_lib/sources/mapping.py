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
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, field_validator, model_validator

from salesops_lib import tables
from salesops_lib.config import CompanySettings, Strict, parse, read_yaml
from salesops_lib.errors import ConfigError, ParameterError, unknown

MAPS = Path(__file__).with_name("maps")
PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


def _texts(value: Any) -> Any:
    return tuple(_text(item) for item in value) if isinstance(value, list | tuple) else value


Placeholders = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class ColumnMap(Strict):
    """How one canonical column is made; exactly one of `from`, `const`, `template`."""

    source: str | None = Field(None, validation_alias=AliasChoices("from", "source"))
    const: Any = None
    template: str | None = None
    map: dict[str, Any] | None = None
    when: dict[str, list[str]] | None = None
    empty: Placeholders = ()
    date_order: Literal["ymd", "dmy", "mdy"] | None = None
    decimal: Literal[".", ","] | None = None
    multiply: int | float | None = None

    @field_validator("map", "when", mode="before")
    @classmethod
    def _text_keys(cls, value: Any) -> Any:
        return {_text(key): entry for key, entry in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _one_origin(self) -> ColumnMap:
        if sum(origin is not None for origin in (self.source, self.const, self.template)) != 1:
            raise ValueError("needs exactly one of 'from', 'const' and 'template'")
        return self

    @property
    def sources(self) -> list[str]:
        """Every column of the file this one reads."""
        own = [self.source] if self.source else PLACEHOLDER.findall(self.template or "")
        return own + list(self.when or {})


class Section(Strict):
    """One file (or inline rows) that feeds one canonical table."""

    file: str | None = None
    rows: tuple[dict[str, Any], ...] | None = None
    distinct: bool = False
    columns: dict[str, ColumnMap] = {}

    @field_validator("columns", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {"from": spec} if isinstance(spec, str) else spec for name, spec in value.items()}

    @model_validator(mode="after")
    def _file_or_rows(self) -> Section:
        if (self.file is None) == (self.rows is None):
            raise ValueError("needs exactly one of 'file' and 'rows'")
        return self


class Mapping(Strict):
    """A whole mapping file."""

    name: str
    title: str = ""
    id_prefix: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    source_system: str = "csv"
    extracted_at: str | None = None
    encoding: str | None = None
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    empty: Placeholders = ()
    company: CompanySettings = CompanySettings()
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


def _text(value: Any) -> str:
    """Write a YAML scalar the way it looks in a file; `true` stays ``true``."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "NULL"  # YAML reads an unquoted NULL as nothing; a file writes it out
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def read_mapping(path: str | Path) -> Mapping:
    """Read a mapping by path, or by the name of one that is shipped, e.g. ``maven_crm``.

    Raises
    ------
    ConfigError
        Naming file, key, near miss; also for tables, columns or values that the contract does not know.
    """
    path = Path(path)
    if not path.suffix:
        shipped = {entry.stem: entry for entry in MAPS.glob("*.yaml")}
        if path.name not in shipped:
            raise ConfigError(f"{unknown('mapping', path.name, shipped)}; or give the path of a YAML file.")
        path = shipped[path.name]
    mapping = parse(Mapping, read_yaml(path), path.name)
    for name, sections in mapping.tables.items():
        for number, section in enumerate(sections):
            _check_section(name, section, f"{path.name}: tables.{name}[{number}]")
    mapping.company.calendar()
    return mapping


def _check_section(name: str, section: Section, where: str) -> None:
    """Refuse columns the canonical table lacks, and required ones that nothing fills."""
    try:
        spec = tables.table(name)
        filled = set(section.columns) | {column for row in section.rows or () for column in row}
        for column in filled:
            spec[column]
    except ParameterError as error:
        raise ConfigError(f"{where}: {error}") from error
    absent = [column for column in spec.required if column not in filled]
    if absent:
        raise ConfigError(f"{where}: nothing fills the required column(s) {', '.join(absent)}.")
