"""The gate over a workspace: its settings, its current snapshot and the one before."""

from __future__ import annotations

import json
import logging
import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from salesops_lib import export
from salesops_lib.config import FILE_NAME, CompanySettings
from salesops_lib.errors import ConfigError, ParameterError, SnapshotError, unknown
from salesops_lib.gate.findings import Findings, compare
from salesops_lib.gate.registry import pick
from salesops_lib.gate.run import inspect

if TYPE_CHECKING:
    from salesops_lib.store import Snapshot
    from salesops_lib.workspace import Workspace

log = logging.getLogger("salesops")
KINDS = (".xlsx", ".csv", ".json")
FOUND = "SALESOPS_FINDINGS"  # set by the report runner: the file with what it found before its pages ran


def findings_of(ws: Workspace) -> Findings:
    """Return the findings of the current snapshot: those the report run has at hand, else looked for now.

    Raises
    ------
    ConfigError, SnapshotError
        See `check_workspace`.
    """
    current = ws.snapshot()
    if FOUND in os.environ:
        found = Findings.from_dict(json.loads(Path(os.environ[FOUND]).read_text(encoding="utf-8")))
        if found.snapshot == current.id:
            return found
    return check_workspace(ws, snapshot=current)


def check_workspace(
    ws: Workspace,
    *,
    snapshot: Snapshot | None = None,
    today: date | None = None,
    against: str | None = None,
    only: tuple[str, ...] | None = None,
) -> Findings:
    """Inspect a snapshot of a workspace and compare it with the one before.

    Parameters
    ----------
    snapshot
        The current one by default.
    today
        Day the gate is asked on; without it nobody says how old the export is.
    against
        Id of the snapshot to compare with; by default the latest earlier export of the same company.
    only
        Ids of the checks to run; all by default.

    Raises
    ------
    ConfigError
        Where `gate` in salesops.yaml names an unknown check.
    SnapshotError
        Where there is no such snapshot.
    """
    gate = ws.settings.gate
    for key in ("accept", "thresholds"):
        pick(getattr(gate, key), ConfigError, f"{FILE_NAME}: gate.{key}: ")
    current = snapshot or ws.snapshot()
    previous = ws.store.get(against) if against else _before(ws, current)
    now = {"today": today, "only": only, "control_totals": ws.settings.control_totals}
    if previous is None or previous.id == current.id:
        return _inspect(ws, current, **now)
    try:
        before = _inspect(ws, previous, only=only)  # without control totals: they are those of today's export
    except SnapshotError as error:
        if against:
            raise
        log.warning("not compared with the load before: %s", error)
        return _inspect(ws, current, **now)
    earlier = previous if previous.extracted_at < current.extracted_at else None
    return compare(_inspect(ws, current, earlier=earlier, **now), before)


def _inspect(ws: Workspace, snapshot: Snapshot, **options) -> Findings:
    company = ws.settings.company.over(CompanySettings(**snapshot.manifest["company"]))
    gate = ws.settings.gate
    return inspect(
        snapshot,
        calendar=company.calendar(),
        company=company,
        accepted=gate.accept,
        thresholds=gate.thresholds,
        stale_days=gate.stale_days,
        max_age_days=gate.max_age_days,
        **options,
    )


def _before(ws: Workspace, current: Snapshot) -> Snapshot | None:
    """Latest earlier export of the same company."""
    same = [s for s in ws.store.list() if s.manifest["company"] == current.manifest["company"]]
    earlier = [s for s in same if (s.extracted_at, s.id) < (current.extracted_at, current.id)]
    return earlier[-1] if earlier else None


def write(findings: Findings, path: Path) -> None:
    """Write findings as an Excel workbook, a CSV file of the findings, or JSON, by the ending of `path`.

    Raises
    ------
    ParameterError
        For another ending.
    """
    if path.suffix == ".xlsx":
        export.write_xlsx(findings.sheets(), path)
    elif path.suffix == ".csv":
        export.write_csv(findings.sheets()["findings"], path)
    elif path.suffix == ".json":
        text = json.dumps(findings.to_dict(), ensure_ascii=False, indent=1)
        export.write_text(text, path)
    else:
        raise ParameterError(f"{path}: {unknown('ending', path.suffix, KINDS)}")
