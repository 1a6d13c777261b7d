"""Recurring reports: notebooks run with papermill and published as pages that ask nothing of the network."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from salesops_lib.report import lean  # noqa: F401  # before all that reads notebooks

# isort: split
from salesops_lib import gate
from salesops_lib.errors import ConfigError, ParameterError, RenderError, SalesOpsError
from salesops_lib.language import say, speaking
from salesops_lib.periods import as_date
from salesops_lib.progress import track
from salesops_lib.report import executors, runs, warm
from salesops_lib.report.definition import definitions, plain, read_definition
from salesops_lib.report.deliver import deliver
from salesops_lib.report.execute import FINDINGS, PageRun
from salesops_lib.report.pdf import find_browser, to_pdf
from salesops_lib.report.plan import Plan, admit, planned
from salesops_lib.report.publish import overdue, prune, write_catalogue, write_index
from salesops_lib.workspace import Workspace, open_workspace

__all__ = ["Run", "catalogue", "definitions", "overdue", "prune", "render"]

log = logging.getLogger("salesops")


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
    asked = plain(parameters or {}) | ({} if as_of is None else {"as_of": as_of})
    when = {"now": now, "today": as_date(today) if today else None}
    place = Path(out or ws.out).resolve() / report
    deliveries = definition.deliver if tell else ()
    with speaking(ws.language, ws.settings.company.locale or ""):
        asked_for = {"report": report, "title": say(definition.title), "as_of": str(asked.get("as_of", ""))}
        known = asked_for | {"health": {}}
        try:
            plan = planned(report, definition, ws, asked, **when, details=details or {}, findings=findings)
            known = plan.record
            admit(report, definition, plan.findings, force)
            plan.setting = replace(plan.setting, cell_timeout_s=timeout_s or definition.cell_timeout_s)
            told = partial(deliver, folder=place / plan.day, deliveries=deliveries, before=runs.last(place))
            pages, manifest = _make(plan, place / plan.day, told, workers, executor, force=force, pdf=pdf)
            with runs.in_words(place):
                write_catalogue(place.parent, overdue(ws, plan.now, place.parent))
        except (ParameterError, ConfigError):
            raise  # nothing has run
        except SalesOpsError as error:
            failed = known | {"error": str(error), "pages": []}
            for outcome in deliver(failed, place, deliveries, before=runs.last(place)):
                log.info("%s to %s: %s %s", outcome["kind"], outcome["to"], outcome["status"], outcome["error"])
            raise
    return Run(report, plan.day, pages, manifest, place / plan.day, plan.findings)


def _make(
    plan: Plan, place: Path, told: Callable, workers: int, executor: str, *, force: bool, pdf: bool
) -> tuple[list[PageRun], dict[str, Any]]:
    """Make what has changed in a private folder, publish page by page, tell; return the pages and the record."""
    began = time.perf_counter()
    warm.sweep()
    with runs.locked(place) as work:
        before = runs.earlier(place)
        kept = {} if force else runs.unchanged(plan.jobs, before, place)
        start = plan.record | {"kernels": executors.how(executor), "finished_at": None}
        folder = runs.Folder(place, work, start, [job.name for job in plan.jobs], before)
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
        if pdf:
            _print(pages, folder)
        seconds = round(time.perf_counter() - began, 2)
        ended = (plan.now + timedelta(seconds=seconds)).isoformat(timespec="seconds")
        record = folder.write(finished_at=ended, seconds=seconds, kernels=_kernels(pages, start["kernels"]))
        if len(pages) == len(plan.jobs):  # who asks for one segment's page tells nobody
            is_told = bool(before.get("is_told"))
            outcomes = told(record, is_told=is_told)
            is_told |= any(outcome["status"] == "sent" for outcome in outcomes)
            record = folder.write(deliveries=outcomes, is_told=is_told)
        write_index(record, place)
        return pages, runs.earlier(place)


def _kernels(pages: list[PageRun], planned: str) -> str:
    """Say what kind of kernels ran, where that is not what was planned."""
    found = {page.kernel for page in pages if page.kernel and not page.is_reused}
    return f"{planned}, but ordinary for some pages" if "warm" in planned and "ordinary" in found else planned


def _print(pages: list[PageRun], folder: runs.Folder) -> None:
    """Print each page whose PDF is not there yet; where one cannot be, its entry says why."""
    for page in track(pages, "PDFs", total=len(pages)):
        if page.status == "ok" and not page.pdf:
            try:
                page.pdf = to_pdf(folder.place / page.path, folder.place / f"{page.name}.pdf").name
            except RenderError as error:
                page.error = f"no PDF: {error}"
    folder.keep(pages)
