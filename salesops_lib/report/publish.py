"""The indexes over pages: of one run, and of all reports and dates."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from salesops_lib.errors import ConfigError, RenderError, SalesOpsError
from salesops_lib.export import write_text
from salesops_lib.report.definition import definitions, read_definition
from salesops_lib.report.page import TEMPLATE, fill
from salesops_lib.report.runs import RUN_RECORD, locked
from salesops_lib.report.schedule import Missed, company_timezone, missed, next_run
from salesops_lib.workspace import Workspace


class Due(NamedTuple):
    """What the schedules of a workspace expect: runs that did not come, and the next one of each report."""

    missed: list[Missed]
    coming: list[Missed]


def write_index(record: dict[str, Any], place: Path) -> None:
    """Write the index of one run: what failed first, then each page and what changed since the day before."""
    before = _run_before(record, _records(place.parent.parent))
    pages = sorted(record["pages"], key=lambda page: page["status"] == "ok")
    for page in pages:
        page |= {"data": _data(place, page["name"]), "was": _was(page, before)}
    told = record | {"pages": pages, "since": before.get("as_of", ""), "gone": _gone(record, before)}
    write_text(fill("run.html.j2", **told), place / "index.html")


def write_catalogue(out: Path, due: Due | None = None) -> None:
    """Write the index over all reports and dates, newest first, from the run records found.

    Two processes may write it at once: each looks again after writing, so the last one to write has seen all.
    """
    found: list[dict[str, Any]] | None = None
    while found != (records := _records(out)):
        found = records
        runs = [record | {"changes": _changes(record, records)} for record in records]
        script = (TEMPLATE / "due.js").read_text(encoding="utf-8") if due and due.coming else ""
        write_text(fill("catalogue.html.j2", script=script, runs=runs, due=due), out / "index.html")


def overdue(workspace: Workspace, now: datetime, out: Path | None = None) -> Due:
    """Ask the workspace's schedules which runs did not come, and which come next.

    A report whose YAML is wrong is left out; `salesops reports` says what is wrong with it.
    """
    scheduled = {}
    for name in definitions(workspace.reports):
        with suppress(SalesOpsError):
            definition = read_definition(name, workspace.reports)
            if definition.schedule:
                scheduled[name] = definition
    try:
        zone = company_timezone(workspace)
    except ConfigError:
        return Due([], [])
    records = _records(out or workspace.out)
    coming = [next_run(name, scheduled[name].schedule, now, ZoneInfo(zone)) for name in scheduled]
    seen = {record["report"] for record in records}  # one that was never run has no run to miss yet
    asked = {name: definition for name, definition in scheduled.items() if name in seen}
    return Due(missed(asked, records, now, zone), sorted(coming, key=lambda run: run.expected))


def prune(out: Path, keep: int, due: Due | None = None) -> list[Path]:
    """Remove the runs of every report but those of its newest `keep` dates, and say which; a run at work stays."""
    gone = []
    for report in sorted(path for path in out.glob("*") if path.is_dir()):
        dated = sorted((path.parent for path in report.glob(f"*/{RUN_RECORD}")), key=lambda place: place.name)
        for place in dated[:-keep]:
            with suppress(RenderError), locked(place, wait_s=0):
                shutil.rmtree(place)
                gone.append(place)
    write_catalogue(out, due)
    return gone


def _records(out: Path) -> list[dict[str, Any]]:
    runs = []
    for found in out.glob(f"*/*/{RUN_RECORD}"):
        try:
            record = json.loads(found.read_text(encoding="utf-8"))
            record["pages"], record["title"], record["report"], record["as_of"]
            found.with_name("index.html").stat()  # its first run may have been killed before it wrote one
        except (OSError, ValueError, TypeError, KeyError):
            continue  # damaged, gone, or not ours: the pages still stand
        runs.append(record | {"href": found.parent.relative_to(out).as_posix() + "/index.html"})
    return sorted(runs, key=lambda run: (run["report"], run["as_of"]), reverse=True)


def _run_before(record: dict[str, Any], records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Find the report's run of the latest earlier day; empty where there is none."""
    of_report = [run for run in records if run["report"] == record["report"] and run["as_of"] < record["as_of"]]
    return max(of_report, key=lambda run: run["as_of"], default={})


def _by_name(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {page["name"]: page for page in record.get("pages", ())}


def _was(page: dict[str, Any], before: dict[str, Any]) -> str:
    """Say what a page said the day before, where that was something else."""
    if not before:
        return ""
    then = _by_name(before).get(page["name"])
    if then is None:
        return "new"
    return "" if then["headline"] == page["headline"] else then["headline"]


def _gone(record: dict[str, Any], before: dict[str, Any]) -> list[str]:
    there = _by_name(record)
    return [page["title"] or name for name, page in _by_name(before).items() if name not in there]


def _changes(record: dict[str, Any], records: list[dict[str, Any]]) -> str:
    """Say in a line what changed against the run of the day before."""
    before = _run_before(record, records)
    if not before:
        return ""
    then, now = _by_name(before), _by_name(record)
    both = [(then[name], page) for name, page in now.items() if name in then]
    counts = {
        "headline changed": sum(old["headline"] != page["headline"] for old, page in both),
        "newly failed": sum(old["status"] == "ok" != page["status"] for old, page in both),
        "mended": sum(old["status"] != "ok" == page["status"] for old, page in both),
        "new": sum(name not in then for name in now),
        "gone": sum(name not in now for name in then),
    }
    said = ", ".join(f"{n} {what}" for what, n in counts.items() if n) or "nothing changed"
    data = "the same data" if before["snapshot_id"] == record["snapshot_id"] else "other data"
    return f"Against {before['as_of']}, on {data}: {said}."


def _data(place: Path, name: str) -> list[str]:
    """List the data files of a page, the workbook first, relative to the run's folder."""
    files = sorted((place / "data" / name).glob("*"), key=lambda path: (path.suffix != ".xlsx", path.name))
    return [file.relative_to(place).as_posix() for file in files]
