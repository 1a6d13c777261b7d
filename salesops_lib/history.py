"""The as-of engine: every deal as it was known at an instant, from the history of its changes.

`replay` does it in SQL, run by DuckDB over pandas frames or straight over a snapshot's Parquet files. Only
changes up to the instant count. For a tracked field without a change up to then, the value before its first later
change is the one that held; without any change, the value at export held all along. What nobody tracked is known
of a deal closed by then, and of the others only from the export on: that a deal still shows its stage would
already tell that it did not close in between. Of several changes at one instant the last by `seq` holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from salesops_lib import replay, tables
from salesops_lib.errors import ParameterError
from salesops_lib.periods import FiscalCalendar

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


def state(
    opportunities: pd.DataFrame,
    opportunity_history: pd.DataFrame | None,
    as_of: object,
    *,
    stages: pd.DataFrame | None = None,
    calendar: FiscalCalendar | None = None,
    coverage: Mapping[str, object] | None = None,
) -> pd.DataFrame:
    """Rebuild each opportunity as it was known at an instant.

    Parameters
    ----------
    opportunities
        Canonical `opportunities`; needs `opportunity_id`, `created_at`, `stage_id`, `is_closed`, `is_won`.
    opportunity_history
        Canonical `opportunity_history`, in any order; none where the source keeps no history.
    as_of
        A day (seen to its end in the company's time zone) or an instant.
    stages
        Canonical `stages`; without it, which stages are closed or won is learnt from `opportunities`.
    calendar
        Supplies the time zone; UTC by default.
    coverage
        Since when each history field was tracked, where that is later than the deals' creation. Before it, the
        field counts as untracked: empty for deals still open, rather than guessed.

    Returns
    -------
    DataFrame
        One row for each opportunity known then, with the columns of `opportunities`: `stage_id`, `amount`,
        `expected_close_date`, `forecast_category`, `owner_id`, `is_closed`, `is_won`, `closed_at`, `close_date`
        … as known then, `attempt` (2 once reopened) and `last_changed_at` (bulk edits aside); later facts are
        empty. Deleted and merged deals are there, marked.

    Raises
    ------
    ParameterError
        Where a needed column is absent or `as_of` is no date.
    DataContractError
        Where a history value cannot be read as its field's type.
    """
    given = (opportunities, opportunity_history, [as_of])
    ((_, deals),) = states(*given, stages=stages, calendar=calendar, coverage=coverage)
    return deals


def states(
    opportunities: pd.DataFrame,
    opportunity_history: pd.DataFrame | None,
    instants: Iterable[object],
    *,
    stages: pd.DataFrame | None = None,
    calendar: FiscalCalendar | None = None,
    coverage: Mapping[str, object] | None = None,
    columns: Iterable[str] | None = None,
) -> Iterator[tuple[pd.Timestamp, pd.DataFrame]]:
    """Yield what `state` returns for each of several days or instants, in one pass over the history.

    Parameters
    ----------
    opportunities, opportunity_history, stages, calendar, coverage
        As for `state`.
    instants
        Ascending days or instants.
    columns
        The columns wanted; all by default.

    Raises
    ------
    ParameterError
        Where a needed column is absent, an instant is no date, or one lies before its predecessor.
    DataContractError
        Where a history value cannot be read as its field's type.
    """
    given = {"opportunities": opportunities, "opportunity_history": opportunity_history, "stages": stages}
    found = {name: _conform_loosely(frame, name) for name, frame in given.items() if frame is not None}
    yield from _states(found, instants, calendar or FiscalCalendar(), None, coverage, columns)


def states_from_files(
    files: Mapping[str, Path],
    instants: Iterable[object],
    calendar: FiscalCalendar,
    extracted_at: pd.Timestamp,
    coverage: Mapping[str, object] | None = None,
    columns: Iterable[str] | None = None,
    *,
    present: bool = False,
) -> Iterator[tuple[pd.Timestamp, pd.DataFrame]]:
    """Do what `states` does over Parquet files by table name, without loading the history.

    Where only `present` ones are asked for, deals deleted or merged away by then are left out.
    """
    yield from _states(files, instants, calendar, extracted_at, coverage, columns, present=present)


def movements(
    opportunities: pd.DataFrame,
    opportunity_history: pd.DataFrame | None,
    since: object,
    until: object,
    *,
    stages: pd.DataFrame | None = None,
    calendar: FiscalCalendar | None = None,
) -> pd.DataFrame:
    """List every change between two instants.

    Parameters
    ----------
    opportunities, opportunity_history, stages, calendar
        As for `state`.
    since, until
        Days or instants; changes after the first up to the second.

    Returns
    -------
    DataFrame
        One row a change, in order of time: `opportunity_id`, `changed_at`, `field`, `seq`, `old_value`,
        `new_value`, `changed_by`, `is_bulk`, `origin` (``inferred`` where only the deal's own columns tell),
        `change` (created, won, lost, reopened, moved; up, down; pushed out, pulled in; set, emptied, changed) and
        `after_close` (the deal was closed already: an edit that arrived late).

    Raises
    ------
    ParameterError
        Where a needed column is absent, an instant is no date, or `until` lies before `since`.
    """
    given = {"opportunities": opportunities, "opportunity_history": opportunity_history, "stages": stages}
    found = {name: _conform_loosely(frame, name) for name, frame in given.items() if frame is not None}
    return _movements(found, since, until, calendar or FiscalCalendar(), None)


def movements_from_files(
    files: Mapping[str, Path], since: object, until: object, calendar: FiscalCalendar, extracted_at: pd.Timestamp
) -> pd.DataFrame:
    """Do what `movements` does over Parquet files by table name, without loading the history."""
    return _movements(files, since, until, calendar, extracted_at)


def _movements(
    sources: Mapping[str, object], since: object, until: object, calendar: FiscalCalendar, extracted_at: object
) -> pd.DataFrame:
    from salesops_lib.frames import to_pandas

    first, last = calendar.instant(since), calendar.instant(until)
    if last < first:
        raise ParameterError(f"changes from {since} to {until}: the second lies before the first.")
    with replay.connect(sources, extracted_at) as db:
        return to_pandas(replay.movements(db, first, last), tables.MOVEMENT)


def _states(
    sources: Mapping[str, object],
    instants: Iterable[object],
    calendar: FiscalCalendar,
    extracted_at: object,
    coverage: Mapping[str, object] | None,
    columns: Iterable[str] | None,
    *,
    present: bool = False,
) -> Iterator[tuple[pd.Timestamp, pd.DataFrame]]:
    from salesops_lib.frames import to_pandas

    asked = [calendar.instant(instant) for instant in instants]
    if asked != sorted(asked):
        raise ParameterError("instants go back in time; give them in ascending order.")
    for column in columns or ():
        tables.STATE[column]
    with replay.connect(sources, extracted_at) as db:
        found = replay.states(db, asked, calendar.timezone, coverage, columns, present=present)
        for instant, table in zip(asked, found, strict=True):
            yield instant, to_pandas(table, tables.STATE)


def _conform_loosely(frame: pd.DataFrame, name: str):
    """Give a frame all canonical columns, filling what a caller may leave out."""
    import pandas as pd

    from salesops_lib.frames import to_arrow

    spec = tables.table(name)
    needed = {
        "opportunities": ("opportunity_id", "created_at", "stage_id", "is_closed", "is_won"),
        "opportunity_history": ("opportunity_id", "changed_at", "field", "new_value"),
        "stages": ("stage_id", "is_closed", "is_won"),
    }[name]
    absent = [column for column in needed if column not in frame]
    if absent:
        raise ParameterError(f"{name} lacks the column(s) {', '.join(absent)}; needed are {', '.join(needed)}.")
    fill = {
        "seq": 0, "is_bulk": False, "origin": "native", "is_deleted": False, "currency": "", "pipeline_id": "",
        "valid_from": pd.Timestamp("1900-01-01"), "stage_name": "", "stage_order": 0, "is_qualified": False,
    }  # fmt: skip
    absent = {column: fill[column] for column in spec.required if column not in frame}
    extra = [c.name for c in tables.PROVENANCE if c.name in frame]
    return to_arrow(tables.conform(frame.assign(**absent), name)[spec.names + extra], name)
