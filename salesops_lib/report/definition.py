"""A recurring report is data: a YAML file that names notebooks, parameters and a schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from salesops_lib.config import Strict, parse, read_yaml
from salesops_lib.errors import ParameterError, unknown


class Page(Strict):
    """One notebook of a report, with parameters of its own."""

    notebook: str = Field(pattern=r"^[A-Za-z0-9_]+$")
    parameters: dict[str, Any] = {}


class Definition(Strict):
    """A report as its YAML states it."""

    title: str
    notebooks: tuple[Page, ...] = Field(min_length=1)
    parameters: dict[str, Any] = {}
    schedule: str | None = None

    @field_validator("notebooks", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [{"notebook": entry} if isinstance(entry, str) else entry for entry in value]


def definitions(folder: Path) -> dict[str, Path]:
    """List the report definitions of a folder by name."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_definition(name: str, folder: Path) -> Definition:
    """Read a report by name.

    Raises
    ------
    ParameterError
        For a name the folder does not have, with the near miss.
    ConfigError
        For a definition that is wrong, naming the key.
    """
    known = definitions(folder)
    if name not in known:
        raise ParameterError(unknown("report", name, known))
    return parse(Definition, read_yaml(known[name]), known[name].name)
