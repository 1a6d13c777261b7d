"""Errors that a person can act on: cause, place, value, near miss and next step."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SalesOpsError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(SalesOpsError):
    """A key of `salesops.yaml`, a mapping or a report definition is missing, unknown or wrong."""


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
        super().__init__(f"{what}: needs {needed} {of}, there {'is' if got == 1 else 'are'} {got}.")
        self.needed, self.got, self.of = needed, got, of


class SnapshotError(SalesOpsError):
    """A snapshot is missing, damaged or unreadable."""


class RenderError(SalesOpsError):
    """A report could not be set up; failures inside a notebook are recorded in the run instead."""


def unknown(kind: str, got: str, known: Iterable[str]) -> str:
    """Say that a name is not known, with the nearest known one and the whole list.

    >>> unknown("KPI", "K3", ["K03", "K05"])
    "unknown KPI 'K3'. Did you mean 'K03'? Known: K03, K05"
    """
    names = sorted(str(name) for name in known)
    close = get_close_matches(str(got), names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {kind} {got!r}.{hint} Known: {', '.join(names) or 'none'}"
