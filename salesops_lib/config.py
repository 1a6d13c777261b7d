"""`salesops.yaml` as typed settings; every error names the file and the key."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from salesops_lib import tables
from salesops_lib.errors import ConfigError, ParameterError, unknown
from salesops_lib.language import languages
from salesops_lib.periods import FiscalCalendar

FILE_NAME = "salesops.yaml"
SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where libyaml is there


class Strict(BaseModel):
    """A settings model that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CompanySettings(Strict):
    """Who the company is; what is left out is taken from the source, then from the defaults shown."""

    name: str | None = None
    currency: str | None = Field(None, pattern=r"^[A-Z]{3}$")
    timezone: str | None = None
    fiscal_start_month: int | None = Field(None, ge=1, le=12)
    calendar_pattern: Literal["months", "4-4-5", "4-5-4", "5-4-4"] | None = None
    week_start: Literal["monday", "saturday", "sunday"] | None = None
    holidays: str | None = None
    locale: str | None = None
    language: str | None = None

    @field_validator("locale")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        from babel import Locale, UnknownLocaleError

        try:
            return value and str(Locale.parse(value.replace("-", "_")))
        except (ValueError, UnknownLocaleError):
            raise ValueError("is no locale such as de_DE or en_GB") from None

    @field_validator("language")
    @classmethod
    def _spoken(cls, value: str | None) -> str | None:
        if value is None or value in languages() or value.endswith(".po"):
            return value
        raise ValueError(f"is none of {', '.join(languages())}, nor the path of a .po file")

    def over(self, base: CompanySettings) -> CompanySettings:
        """Lay the keys stated here over those of `base`."""
        return CompanySettings(**{**base.model_dump(exclude_none=True), **self.model_dump(exclude_none=True)})

    def calendar(self) -> FiscalCalendar:
        """Build the fiscal calendar.

        Raises
        ------
        ConfigError
            For a time zone or holiday country nobody knows.
        """
        try:
            calendar = FiscalCalendar(
                start_month=self.fiscal_start_month or 1,
                pattern=self.calendar_pattern or "months",
                week_start=self.week_start or "monday",
                timezone=self.timezone or "UTC",
                holiday_country=self.holidays,
            )
            calendar.is_working_day(date(2026, 1, 2))  # an unknown holiday country shows here, not in a report
        except ParameterError as error:
            raise ConfigError(f"company: {error}") from error
        return calendar


class KeyringEntry(Strict):
    """Entry of the keyring that holds a database's URL, or its password."""

    service: str
    username: str


class SourceSettings(Strict):
    """Where `salesops load` without arguments, and an empty store, take their data from.

    Parameters
    ----------
    date_order, decimal
        How every file writes dates and numbers.
    url_env, keyring
        Where the `sql` source finds the database's URL: name of an environment variable, entry of the keyring.
    db_schema
        `sql`: schema of the canonical tables.
    since
        `sql`: first day that is read.
    timeout_s
        `sql`: longest time one statement may take.
    """

    kind: str = "sample"
    paths: tuple[str, ...] = ()
    mapping: str | None = None
    date_order: Literal["ymd", "dmy", "mdy"] | None = None
    decimal: Literal[".", ","] | None = None
    url_env: str | None = Field(None, pattern=r"^[A-Za-z_]\w*$")
    keyring: KeyringEntry | None = None
    db_schema: str | None = Field(None, alias="schema")
    since: date | None = None
    timeout_s: int | None = Field(None, ge=1)

    @property
    def options(self) -> dict[str, Any]:
        """What is stated of how to read the source."""
        return self.model_dump(exclude={"kind", "paths", "mapping"}, exclude_none=True, by_alias=True)


class ControlTotal(Strict):
    """What the CRM itself shows for a table: row count and sum of `amount`."""

    rows: int | None = Field(None, ge=0)
    amount: Decimal | None = None


class GateSettings(Strict):
    """How strict the data gate is.

    Parameters
    ----------
    accept
        Reason by check: its finding no longer blocks reports, and is still printed.
    thresholds
        Share of rows by check from which its finding is red.
    stale_days, max_age_days
        Days without a touch that make an open deal stale, and days that make an export old.
    """

    accept: dict[str, Annotated[str, Field(min_length=3)]] = {}
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    stale_days: int = Field(60, ge=1)
    max_age_days: int = Field(7, ge=0)


class Settings(Strict):
    """The whole of `salesops.yaml`; every key may be left out."""

    company: CompanySettings = CompanySettings()
    source: SourceSettings = SourceSettings()
    max_loss: float = Field(0.05, ge=0, le=1)
    control_totals: dict[str, ControlTotal] = {}
    gate: GateSettings = GateSettings()
    snapshots: str = "data/snapshots"
    notebooks: str = "notebooks"
    reports: str = "reports"
    out: str = "reports/out"

    @field_validator("control_totals")
    @classmethod
    def _known_tables(cls, value: dict[str, ControlTotal]) -> dict[str, ControlTotal]:
        for name, total in value.items():
            if name not in tables.TABLES:
                raise ValueError(unknown("table", name, tables.TABLES))
            if total.amount is not None and "amount" not in tables.TABLES[name].names:
                raise ValueError(f"{name} has no amount to reconcile")
        return value


Model = TypeVar("Model", bound=BaseModel)
SECRET_KEYS = ("url", "uri", "dsn", "password", "passwd", "pwd", "token", "secret")
SECRET_VALUE = re.compile(r"://[^/@\s]*:[^@\s]+@|\b(password|passwd|pwd)\s*=", re.IGNORECASE)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises
    ------
    ConfigError
        Where the file is absent, no YAML, or no mapping at its top.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=SAFE)
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist.") from error
    except yaml.MarkedYAMLError as error:  # its own text quotes the line, which may hold a secret
        place = f"line {error.problem_mark.line + 1}, " if error.problem_mark else ""
        raise ConfigError(f"{path} is not valid YAML: {place}{error.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold keys at its top level, not a {type(content).__name__}.")
    return content


def refuse_secrets(content: Any, where: str, *, keys: bool = True) -> None:
    """Refuse a URL with a password, or a key that asks for one, anywhere in a file; it is not shown.

    Raises
    ------
    ConfigError
        Saying where credentials belong.
    """
    if isinstance(content, dict):
        for key, value in content.items():
            if keys and str(key).lower() in SECRET_KEYS:
                raise ConfigError(_SECRET.format(where=f"{where}.{key}"))
            refuse_secrets(value, f"{where}.{key}", keys=keys)
    elif isinstance(content, list | tuple):
        for value in content:
            refuse_secrets(value, where, keys=keys)
    elif isinstance(content, str) and SECRET_VALUE.search(content):
        raise ConfigError(_SECRET.format(where=where))


_SECRET = (
    "{where}: a file is no place for a URL with a password. Put it into an environment variable and name that "
    "(source.url_env, by default SALESOPS_DB_URL), or into the keyring (source.keyring); if the file was shared, "
    "change the password."
)


def parse(model: type[Model], content: dict[str, Any], where: str) -> Model:
    """Read `content` as `model`; errors name `where`, the key, the rule, the value and the near miss.

    Raises
    ------
    ConfigError
        Where a key is unknown, missing or has a wrong value.
    """
    try:
        return model.model_validate(content)
    except ConfigError as error:  # a model's own words
        raise ConfigError(f"{where}: {error}") from None
    except ValidationError as error:
        lines = [_explain(model, problem, where) for problem in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def _explain(model: type[BaseModel], problem: dict[str, Any], where: str) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _known_keys(model, problem["loc"][:-1])
        return f"{where}: {unknown('key', str(problem['loc'][-1]), known)} (at {place})"
    if problem["type"] == "missing":
        return f"{where}: {place} is missing."
    return f"{where}: {place}: {problem['msg']}, got {problem['input']!r}."


def _known_keys(model: type[BaseModel], path: tuple) -> list[str]:
    """List the keys allowed at `path`, walking nested models, lists and maps of models."""
    for part in path:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        nested = _models_in(model.model_fields[part].annotation)
        if not nested:
            return []
        model = nested[0]
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _models_in(part)]


def load_settings(path: Path) -> Settings:
    """Read `salesops.yaml`.

    Raises
    ------
    ConfigError
        Naming the file and the key.
    """
    content = read_yaml(path)
    refuse_secrets(content, path.name)
    settings = parse(Settings, content, path.name)
    settings.company.calendar()
    return settings
