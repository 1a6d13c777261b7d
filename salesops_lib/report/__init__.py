"""Recurring reports: notebooks run with papermill and published as pages that ask nothing of the network."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import salesops_lib
from salesops_lib import gate
from salesops_lib.book import Book
from salesops_lib.errors import RenderError, ReportBlocked
from salesops_lib.gate.findings import sentence
from salesops_lib.periods import RELATIVE_DAYS, as_date
from salesops_lib.progress import track
from salesops_lib.report import executors, fanout, runs
from salesops_lib.report.definition import Definition, definitions, plain, read_definition
from salesops_lib.report.deliver import deliver
from salesops_lib.report.execute import FINDINGS, PageRun, Setting
from salesops_lib.report.fanout import Job
from salesops_lib.report.pdf import find_browser, to_pdf
from salesops_lib.report.publish import overdue, prune, write_catalogue, write_index
from salesops_lib.workspace import Workspace, open_workspace

__all__ = ["Run", "catalogue", "definitions", "overdue", "prune", "render"]

HEALTH = "data_health"  # the page that shows what the gate found


@dataclass(frozen=True)
class Run:
    """What came of one report.

    Attributes
    ----------
    report, as_of
        What was rendered.
    pages
        One `PageRun` a notebook: `name`, `status`, `path`, `seconds`, `error`.
    manifest
        The run record: snapshot, parameters, code version, data health, pages.
    folder
        Where it was published.
    findings
        What the data gate found.
    """

    report: str
    as_of: str
    pages: list[PageRun]
    manifest: dict[str, Any]
    folder: Path
    findings: gate.Findings

    @property
    def failed(self) -> list[PageRun]:
        """Pages that did not succeed."""
        return [page for page in self.pages if page.status != "ok"]


def catalogue(workspace: Workspace) -> list[dict[str, Any]]:
    """List the workspace's reports: `name`, `title`, `schedule`, `notebooks`, `parameters`."""
    found = []
    for name in definitions(workspace.reports):
        definition = read_definition(name, workspace.reports)
        notebooks = [page.notebook for page in definition.notebooks]
        found.append({"name": name, **definition.model_dump(exclude={"notebooks"}), "notebooks": notebooks})
    return found


def render(
    report: str,
    *,
    workspace: Workspace | str | Path = ".",
    as_of: str | None = None,
    parameters: dict[str, Any] | None = None,
    out: str | Path | None = None,
    workers: int = 1,
    executor: str = "local",
    now: datetime | None = None,
    today: str | None = None,
    details: dict[str, str] | None = None,
    timeout_s: int | None = None,
    force: bool = False,
    pdf: bool = False,
    tell: bool = False,
    findings: gate.Findings | None = None,
) -> Run:
    """Run a report's notebooks and publish their pages, unless the data gate finds something red.

    Pages on which nothing has changed since an earlier run are not made again; a run that was broken off goes on
    where it stopped. Where another run of the same report and day is at work, this one waits for it.

    Parameters
    ----------
    report
        Name of a definition in the workspace's `reports` folder.
    workspace
        The workspace, or a path in it.
    as_of
        Last day the pages may see; by default the definition's.
    parameters
        Values over those of the definition; each goes to the notebooks that declare it.
    out
        Folder to publish to; by default the workspace's.
    workers
        Pages made side by side.
    executor
        ``local``, or ``dask://HOST:PORT`` of a scheduler whose workers see the same folders.
    now
        When it is rendered, for the run record; the end of the export by default.
    today
        What words such as ``last_month_end`` are counted from, the last exported day by default; and the day on
        which the gate tells the age of the export.
    details
        Further entries for the pages' footer.
    timeout_s
        Longest time one cell may take; by default the definition's.
    force
        Make every page anew, and whatever the gate finds; the pages say it in red.
    pdf
        Print each page too, with the Chromium that is installed.
    tell
        Tell those whom the definition names under `deliver`.
    findings
        What the gate found, where that is known; used for the snapshot they are about.

    Returns
    -------
    Run
        A failing notebook is recorded there and leaves the page published before in place.

    Raises
    ------
    ParameterError
        For an unknown report, notebook or parameter, or a wrong value; nothing has run then.
    ReportBlocked
        Where the gate finds something red that nobody accepted; pages published before stay as they are.
    RenderError
        Where nothing can be published or run.
    SalesOpsError
        Where the workspace or its data cannot be opened.
    """
    ws = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
    executors.check(executor)
    if pdf:
        find_browser()
    definition = read_definition(report, ws.reports)
    book = ws.book()
    asked = plain(parameters or {}) | ({} if as_of is None else {"as_of": as_of})
    asked["as_of"] = _resolve(asked.get("as_of", definition.parameters.get("as_of", "today")), today, book)
    given = definition.parameters | asked
    jobs = fanout.jobs(definition, asked, ws.notebooks, ws.book(asked["as_of"], snapshot=book.snapshot_id))
    if findings is None or findings.snapshot != book.snapshot_id:
        findings = gate.check_workspace(ws, snapshot=book.snapshot, today=as_date(today) if today else None)
    day = given["as_of"].replace(":", "-")
    now = now or book.snapshot.extracted_at.tz_convert(book.calendar.timezone).to_pydatetime()
    told = {"Snapshot": book.snapshot_id, "As of": given["as_of"], "Code": code_version(ws.root), "Report": report}
    record = {
        "report": report,
        "title": definition.title,
        "company": book.company.name or "",
        "as_of": day,
        "snapshot_id": book.snapshot_id,
        "sources": book.snapshot.manifest.get("files", []),
        "parameters": given,
        "details": told | (details or {}),
        "health": _health(definition, findings),
        "rows_excluded": int(book.losses["rows_quarantined"].sum()),
        "rendered_at": now.isoformat(timespec="seconds"),
        "libraries": runs.libraries(),
        "kernels": executors.how(executor),
    }
    place = Path(out or ws.out).resolve() / report / day
    before = runs.last(place.parent)
    try:
        _admit(report, definition, findings, force)
    except ReportBlocked as error:
        if tell:
            deliver(record | {"error": str(error), "pages": []}, place, definition.deliver, before=before)
        raise
    shared = {name: record[name] for name in ("snapshot_id", "health")} | {"settings": repr(ws.settings)}
    setting = Setting(
        work=Path(),
        root=ws.root,
        details=record["details"],
        health=record["health"],
        cell_timeout_s=timeout_s or definition.cell_timeout_s,
        page_timeout_s=definition.page_timeout_s,
        memory_mb=definition.memory_mb,
        show_code=definition.show_code,
        locale=ws.settings.company.locale or "en",
    )
    plan = _Plan(runs.keyed(jobs, shared), setting, record, findings, force, pdf)
    told = partial(deliver, folder=place, deliveries=definition.deliver if tell else (), before=before)
    pages = _make(plan, place, told, workers=workers, executor=executor)
    with runs.in_words(place):
        write_catalogue(place.parent.parent, overdue(ws, now, place.parent.parent))
    return Run(report, day, pages, runs.earlier(place), place, findings)


class _Plan(NamedTuple):
    jobs: list[Job]
    setting: Setting
    record: dict[str, Any]
    findings: gate.Findings
    force: bool
    pdf: bool


def _make(plan: _Plan, place: Path, told: Callable, *, workers: int, executor: str) -> list[PageRun]:
    """Make what has changed in a private folder, with what the gate found beside it, and publish page by page."""
    began = time.perf_counter()
    names = [job.name for job in plan.jobs]
    with runs.locked(place) as work:
        before = runs.earlier(place)
        kept = {} if plan.force else runs.unchanged(plan.jobs, before, place)
        folder = runs.Folder(place, work, plan.record | {"finished_at": None}, names, before)
        (work / FINDINGS).write_text(json.dumps(plan.findings.to_dict()), encoding="utf-8")
        done = dict(kept)
        folder.keep(kept.values())
        wanted = [job for job in plan.jobs if job.is_asked and job.name not in kept]
        setting = replace(plan.setting, work=work)
        # Closed at once, whatever stops this run: else what still runs is awaited before the command ends
        with closing(executors.run_all(wanted, setting, workers=workers, executor=executor)) as made:
            for page in track(made, "pages", total=len(wanted)):
                folder.publish(page)
                done[page.name] = page
        write_index(folder.write(), place)  # before the sweep: it links to no page that is about to go
        folder.sweep()
        pages = [done[job.name] for job in plan.jobs if job.is_asked]
        if plan.pdf:
            _print(pages, folder)
        seconds = round(time.perf_counter() - began, 2)
        ended = datetime.fromisoformat(plan.record["rendered_at"]) + timedelta(seconds=seconds)
        record = folder.write(finished_at=ended.isoformat(timespec="seconds"), seconds=seconds)
        record = folder.write(deliveries=told(record))
        write_index(record, place)
    return pages


def _print(pages: list[PageRun], folder: runs.Folder) -> None:
    """Print each page whose PDF is not there yet; where one cannot be, its entry says why."""
    for page in track(pages, "PDFs", total=len(pages)):
        if page.status == "ok" and not page.pdf:
            try:
                page.pdf = to_pdf(folder.place / page.path, folder.place / f"{page.name}.pdf").name
            except RenderError as error:
                page.error = f"no PDF: {error}"
    folder.keep(pages)


def _admit(report: str, definition: Definition, found: gate.Findings, force: bool) -> None:
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
    shown = any(page.notebook == HEALTH for page in definition.notebooks)
    link = f"{HEALTH}.html" if shown else ""
    return {
        "headline": found.headline,
        "red": list(found.blocking["check"]),
        "link": link,
        **found.header._asdict(),
    }


def _resolve(as_of: str, today: str | None, book: Book) -> str:
    """Turn a word into a date, never later than the last exported day; check that a date is one.

    Raises
    ------
    ParameterError
        For anything else.
    """
    if as_of in RELATIVE_DAYS:
        day = book.calendar.resolve_day(as_of, as_date(today) if today else book.day)
        return min(day, book.day).isoformat()
    book.calendar.instant(as_of)
    return as_of


def code_version(root: Path) -> str:
    """Name the code: package version, and the commit where the workspace is a git checkout."""
    asking = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        commit = subprocess.run(asking, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = ""
    return f"salesops {salesops_lib.__version__}{f' ({commit})' if commit else ''}"
