"""What a report is to make: its pages, what they share, and the record that says so."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import salesops_lib
from salesops_lib import gate
from salesops_lib.book import Book
from salesops_lib.errors import ReportBlocked
from salesops_lib.gate.findings import sentence
from salesops_lib.language import mark, say
from salesops_lib.periods import RELATIVE_DAYS
from salesops_lib.report import fanout, runs
from salesops_lib.report.definition import Definition
from salesops_lib.report.execute import Setting
from salesops_lib.report.fanout import Job
from salesops_lib.workspace import Workspace

HEALTH = "data_health"  # the page that shows what the gate found


@dataclass
class Plan:
    """What is to be made.

    Attributes
    ----------
    jobs
        The pages, each with the key of what it depends on.
    setting
        What they share.
    record
        The run record as it begins.
    findings
        What the data gate found.
    day, now
        Name of the run's folder, and when it is rendered.
    """

    jobs: list[Job]
    setting: Setting
    record: dict[str, Any]
    findings: gate.Findings
    day: str
    now: datetime


def planned(
    report: str,
    definition: Definition,
    ws: Workspace,
    asked: dict[str, Any],
    *,
    now: datetime | None,
    today: date | None,
    details: dict[str, str],
    findings: gate.Findings | None,
) -> Plan:
    """Resolve what a report is to make; the parameters are those of `render`.

    Raises
    ------
    ParameterError
        For an unknown notebook, parameter or segment, or a wrong value.
    """
    book = ws.book()
    as_of = _resolve(asked.get("as_of", definition.parameters.get("as_of", "today")), today, book)
    asked = asked | {"as_of": as_of}
    given = definition.parameters | asked
    jobs = fanout.jobs(definition, asked, ws.notebooks, ws.book(as_of, snapshot=book.snapshot_id))
    if findings is None or findings.snapshot != book.snapshot_id:
        findings = gate.check_workspace(ws, snapshot=book.snapshot, today=today)
    now = now or book.snapshot.extracted_at.tz_convert(book.calendar.timezone).to_pydatetime()
    told = {
        mark("Snapshot"): book.snapshot_id, mark("As of"): as_of, mark("Code"): code_version(ws.root),
        mark("Report"): report,
    }  # fmt: skip
    record = {
        "report": report,
        "title": say(definition.title),
        "company": book.company.name or "",
        "as_of": as_of.replace(":", "-"),
        "snapshot_id": book.snapshot_id,
        "sources": book.snapshot.manifest.get("files", []),
        "parameters": given,
        "details": told | details,
        "health": _health(definition, findings),
        "rows_excluded": int(book.losses["rows_quarantined"].sum()),
        "rendered_at": now.isoformat(timespec="seconds"),
        "libraries": runs.libraries(),
    }
    setting = Setting(
        work=Path(),
        root=ws.root,
        details=record["details"],
        health=record["health"],
        cell_timeout_s=definition.cell_timeout_s,
        page_timeout_s=definition.page_timeout_s,
        memory_mb=definition.memory_mb,
        show_code=definition.show_code,
        locale=ws.settings.company.locale or "",
        language=ws.language,
    )
    shared = {
        "snapshot": book.snapshot_id,
        "settings": repr(ws.settings),
        "findings": findings.to_dict(),
        "show_code": definition.show_code,
        "modules": runs.modules_hash(ws.root),
        "words": runs.words_hash(ws.language),
    }
    return Plan(runs.keyed(jobs, shared), setting, record, findings, record["as_of"], now)


def admit(report: str, definition: Definition, found: gate.Findings, force: bool) -> None:
    """Let a report pass unless its numbers would be wrong; a page about data health always passes.

    Raises
    ------
    ReportBlocked
        Naming each red finding, its mend, and how to accept it.
    """
    red = found.blocking
    only_health = {page.notebook for page in definition.notebooks} == {HEALTH}
    if red.empty or force or definition.allow_red or only_health:
        return
    told = [f"  {sentence(row)} Mend: {row['mend']}" for row in red.to_dict("records")]
    accepting = ", ".join(f'{check}: "reason"' for check in red["check"])
    message = [
        f"{report} is blocked by {len(red)} red finding{'s' * (len(red) > 1)}; pages published before stay.",
        *told,
        f"  Who knows better accepts it in salesops.yaml, `gate: {{accept: {{{accepting}}}}}`, or renders once "
        "with --force. `salesops check` shows all findings.",
    ]
    raise ReportBlocked("\n".join(message), report, found)


def _health(definition: Definition, found: gate.Findings) -> dict[str, Any]:
    """What the header of every page says about the data, and the run record keeps."""
    shown = (page.file for page in definition.notebooks if page.notebook == HEALTH and not definition.for_each)
    link = next((f"{name}.html" for name in shown), "")
    return {
        "headline": found.headline,
        "red": list(found.blocking["check"]),
        "link": link,
        **found.header._asdict(),
    }


def _resolve(as_of: str, today: date | None, book: Book) -> str:
    """Turn a word into a date, never later than the last exported day; check that a date is one.

    Raises
    ------
    ParameterError
        For anything else.
    """
    if as_of in RELATIVE_DAYS:
        day = book.calendar.resolve_day(as_of, today or book.day)
        return min(day, book.day).isoformat()
    book.calendar.instant(as_of)
    if "T" in as_of or ":" in as_of:
        return datetime.fromisoformat(as_of).isoformat()
    return date.fromisoformat(as_of).isoformat()  # one way to write a day: it names the folder


def code_version(root: Path) -> str:
    """Name the code: package version, and the commit where the workspace is a git checkout."""
    asking = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        commit = subprocess.run(asking, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = ""
    return f"salesops {salesops_lib.__version__}{f' ({commit})' if commit else ''}"
