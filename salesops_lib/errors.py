"""Errors that a person can act on: cause, place, value, near miss and next step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

from salesops_lib.language import say_many


class SalesOpsError(Exception):
    """Base of every error this package raises on purpose; its text is safe to print."""

    def __init__(self, message: str = ""):
        super().__init__(printable(message))


class ConfigError(SalesOpsError):
    """A key of `salesops.yaml`, a mapping or a report definition is missing, unknown or wrong."""


class SourceUnavailable(ConfigError):
    """A source does not answer now, and may do so later: of all errors the one worth another try."""


class ParameterError(SalesOpsError):
    """An argument or notebook parameter is unknown, of the wrong type or out of range."""


class DataContractError(SalesOpsError):
    """Data cannot be read as the canonical tables; the message names file, row, column, value and mend."""


class LossLimitExceeded(DataContractError):
    """A load would set aside more rows than `max_loss` allows.

    Attributes
    ----------
    loaded
        The `Loaded` that was refused, so that its report and quarantine can still be shown.
    """

    def __init__(self, message: str, loaded: object = None):
        super().__init__(message)
        self.loaded = loaded


class ReportBlocked(DataContractError):
    """The data gate found something red that nobody has accepted; nothing was rendered.

    Attributes
    ----------
    report
        Name of the report.
    findings
        The `gate.Findings` that block it.
    """

    def __init__(self, message: str, report: str, findings: object):
        super().__init__(message)
        self.report, self.findings = report, findings


class InsufficientData(SalesOpsError):
    """Too little data for an honest answer; the message says how much is needed and how much there is.

    Parameters
    ----------
    what
        What was asked for, in sales language.
    needed, got
        Number of cases needed and found.
    of
        What is counted, e.g. ``"closed deals"``.
    """

    def __init__(self, what: str, *, needed: int, got: int, of: str):
        there = say_many(
            "{what}: needs {needed} {of}, there is {n}.", "{what}: needs {needed} {of}, there are {n}.", got,
            what=what, needed=needed, of=of,
        )  # fmt: skip
        super().__init__(there)
        self.needed, self.got, self.of = needed, got, of


def attempt(part: Callable[[], Any]) -> Any:
    """Return what a part gives, or its refusal: the rest of a page does not fall with it."""
    try:
        return part()
    except InsufficientData as error:
        return error


def needed(part: Any) -> Any:
    """Pass on a part that `attempt` gave, or raise the refusal that it is."""
    if isinstance(part, InsufficientData):
        raise part
    return part


class SnapshotError(SalesOpsError):
    """A snapshot is missing, damaged or unreadable."""


class RenderError(SalesOpsError):
    """A report could not be set up; failures inside a notebook are recorded in the run instead."""


def printable(text: str) -> str:
    """Escape what a terminal would act on rather than show; line ends stay.

    >>> printable("a\\x1b[31m")
    'a\\\\x1b[31m'
    """
    if text.replace("\n", "").isprintable():
        return text
    return "".join(letter if letter == "\n" or letter.isprintable() else repr(letter)[1:-1] for letter in text)


def shown(value: object, most: int = 80) -> str:
    """Write a value from a file for a message: quoted, control characters escaped, cut where it is long."""
    long = isinstance(value, str) and len(value) > most
    text = repr(value[:most] if long else value)
    return f"{text[:-1]}… ({len(value):,} characters)" if long else text


def listed(names: Iterable[object], most: int = 800) -> str:
    """Write names from a file for a message, separated by commas: each cut where it is long, and not too many."""
    out, length = [], 0
    names = [str(name) for name in names]
    for k, name in enumerate(names):
        out.append(name if len(name) <= 80 else f"{name[:60]}… ({len(name):,} characters)")
        length += len(out[-1]) + 2
        if length > most and k + 1 < len(names):
            return ", ".join(out) + f" and {len(names) - k - 1:,} more"
    return ", ".join(out)


def unknown(kind: str, got: str, known: Iterable[str]) -> str:
    """Say that a name is not known, with the nearest known one and the whole list.

    >>> unknown("KPI", "K3", ["K03", "K05"])
    "unknown KPI 'K3'. Did you mean 'K03'? Known: K03, K05"
    """
    names = sorted(str(name) for name in known)
    close = get_close_matches(str(got)[:200], [name for name in names if len(name) <= 200], n=1, cutoff=0.5)
    hint = f" Did you mean {shown(close[0])}?" if close else ""
    return f"unknown {kind} {shown(got)}.{hint} Known: {listed(names) or 'none'}"
