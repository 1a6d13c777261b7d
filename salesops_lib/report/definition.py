"""A recurring report is data: a YAML file that names notebooks, parameters and a schedule."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from salesops_lib.config import Strict, parse, read_yaml
from salesops_lib.errors import ParameterError, unknown
from salesops_lib.report.deliver import Delivery
from salesops_lib.report.schedule import cron_expression


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Write the dates that YAML reads on its own back as ISO text; parameters are JSON."""
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in values.items()}


Parameters = Annotated[dict[str, Any], AfterValidator(plain)]
Schedule = Annotated[str, AfterValidator(cron_expression)]


NAME = r"^[A-Za-z0-9_]+$"
INDEX = "index"


class Page(Strict):
    """One page of a report: a notebook, with parameters of its own, under a name and a title of its own."""

    notebook: str = Field(pattern=NAME)
    name: str = Field(default="", pattern=rf"{NAME}|^$")
    title: str = ""
    parameters: Parameters = {}

    @property
    def file(self) -> str:
        """Name of its files."""
        return self.name or self.notebook


class ForEach(Strict):
    """One page for each of several segments.

    `by` is a dimension (``team``, ``rep``, ``region``, ``segment``, ``product``, ``source``, ``type``) or a column
    of a canonical table such as ``users.role``; `parameter` gets the value, by default the one of that name; only
    rows that have the values of `where` count.
    """

    by: str = Field(pattern=r"^[a-z_]+(\.[a-z_]+)?$")
    parameter: str = Field(default="", pattern=r"^[A-Za-z_]\w*$|^$")
    where: dict[str, Any] = {}


class Definition(Strict):
    """A report as its YAML states it.

    `allow_red` renders it whatever the data gate finds; `for_each` gives every notebook one page a segment;
    `cell_timeout_s` and `page_timeout_s` end what takes longer; `memory_mb` is what a page may take; `show_code`
    puts the code of each section behind a click; `deliver` says who is told of which pages.
    """

    title: str
    notebooks: tuple[Page, ...] = Field(min_length=1)
    parameters: Parameters = {}
    for_each: ForEach | None = None
    schedule: Schedule | None = None
    deliver: tuple[Delivery, ...] = ()
    show_code: bool = True
    allow_red: bool = False
    cell_timeout_s: int = Field(default=900, ge=1)
    page_timeout_s: int = Field(default=3_600, ge=1)
    memory_mb: int = Field(default=4_096, ge=256)

    @field_validator("for_each", mode="before")
    @classmethod
    def _only_by(cls, value: Any) -> Any:
        return {"by": value} if isinstance(value, str) else value

    @field_validator("notebooks")
    @classmethod
    def _once(cls, value: tuple[Page, ...]) -> tuple[Page, ...]:
        names = [page.file.lower() for page in value]  # of One and one some file systems hold a single file
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"page {sorted(doubled)[0]!r} stands twice; give one of them another `name`")
        if INDEX in names:
            raise ValueError(f"page {INDEX!r} would take the place of the run's own index; give it another `name`")
        return value

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
