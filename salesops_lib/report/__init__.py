"""Recurring reports: notebooks run with papermill and published as pages that ask nothing of the network."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nbformat

import salesops_lib
from salesops_lib import gate
from salesops_lib.book import Book
from salesops_lib.errors import ParameterError, RenderError, ReportBlocked, unknown
from salesops_lib.gate.findings import sentence
from salesops_lib.periods import RELATIVE_DAYS, as_date
from salesops_lib.progress import track
from salesops_lib.report.definition import Definition, Page, definitions, plain, read_definition
from salesops_lib.report.execute import FINDINGS, PageRun, run_page
from salesops_lib.report.parameters import Parameter, check, declared
from salesops_lib.report.publish import publish, write_catalogue
from salesops_lib.store import private_folder
from salesops_lib.workspace import Workspace, open_workspace

__all__ = ["Run", "catalogue", "definitions", "render"]

CELL_TIMEOUT_S = 900
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
    today: str | None = None,
    details: dict[str, str] | None = None,
    timeout_s: int = CELL_TIMEOUT_S,
    force: bool = False,
    findings: gate.Findings | None = None,
) -> Run:
    """Run a report's notebooks and publish their pages, unless the data gate finds something red.

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
        Notebooks run side by side.
    today
        What words such as ``last_month_end`` are counted from, the last exported day by default; and the day on
        which the gate tells the age of the export.
    details
        Further entries for the pages' footer.
    timeout_s
        Longest time one cell may take.
    force
        Render whatever the gate finds; the pages say it in red.
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
    SalesOpsError
        Where the workspace or its data cannot be opened.
    """
    ws = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
    definition = read_definition(report, ws.reports)
    book = ws.book()
    asked = plain(parameters or {}) | ({} if as_of is None else {"as_of": as_of})
    asked["as_of"] = _resolve(asked.get("as_of", definition.parameters.get("as_of", "today")), today, book)
    jobs = list(_jobs(definition, asked, ws))
    if findings is None or findings.snapshot != book.snapshot_id:
        findings = gate.check_workspace(ws, snapshot=book.snapshot, today=as_date(today) if today else None)
    _admit(report, definition, findings, force)
    given = definition.parameters | asked
    day = given["as_of"].replace(":", "-")
    told = {"Snapshot": book.snapshot_id, "As of": given["as_of"], "Code": code_version(ws.root), "Report": report}
    record = {
        "report": report,
        "title": definition.title,
        "company": book.company.name or "",
        "as_of": day,
        "snapshot_id": book.snapshot_id,
        "parameters": given,
        "details": told | (details or {}),
        "health": _health(definition, findings),
        "rows_excluded": int(book.losses["rows_quarantined"].sum()),
    }
    place = Path(out or ws.out) / report / day
    pages = _make(jobs, place, record, findings, root=ws.root, timeout_s=timeout_s, workers=workers)
    write_catalogue(place.parent.parent)
    manifest = record | {"pages": [page.as_dict() for page in pages]}
    return Run(report, day, pages, manifest, place, findings)


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


def _jobs(
    definition: Definition, asked: dict[str, Any], ws: Workspace
) -> Iterator[tuple[Path, Page, dict[str, Any]]]:
    """Give each page its notebook and checked parameters: the report's, its own over them, those asked for on top.

    Raises
    ------
    ParameterError
        For a notebook that is not there, or a value no notebook declares.
    """
    used, names = {"as_of"}, set()
    for page in definition.notebooks:
        source = ws.notebooks / f"{page.notebook}.ipynb"
        if not source.is_file():
            present = [path.stem for path in ws.notebooks.glob("*.ipynb")]
            raise ParameterError(unknown("notebook", page.notebook, present))
        try:
            known = declared(nbformat.read(source, as_version=4), page.notebook)
        except (ValueError, SyntaxError) as error:
            raise RenderError(f"{source.name} cannot be read: {error}") from error
        names |= set(known)
        used |= set(asked) & set(known)
        shared, own = (_only(values, known) for values in (definition.parameters, asked))
        yield source, page, check(shared | page.parameters | own, known, page.notebook)
    unused = set(asked) - used
    if unused:
        raise ParameterError(f"{unknown('parameter', sorted(unused)[0], names)}; no notebook declares it.")


def _only(values: dict[str, Any], known: dict[str, Parameter]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in known}


def _make(
    jobs: list[tuple[Path, Page, dict[str, Any]]],
    place: Path,
    record: dict[str, Any],
    findings: gate.Findings,
    *,
    root: Path,
    timeout_s: int,
    workers: int,
) -> list[PageRun]:
    """Run notebooks in a private folder, with what the gate found beside them, and move their pages into place."""
    place.mkdir(parents=True, exist_ok=True)
    work = private_folder(place.parent, "rendering")
    try:
        (work / FINDINGS).write_text(json.dumps(findings.to_dict()), encoding="utf-8")
        shared = (root, record["details"], timeout_s, record["health"])
        pages = _run_all([(source, work, page, values, *shared) for source, page, values in jobs], workers)
        publish(pages, work, place, record)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return pages


def _run_all(jobs: list[tuple], workers: int) -> list[PageRun]:
    if workers <= 1 or len(jobs) == 1:
        return [run_page(*job) for job in track(jobs, "pages")]
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run_page, *job) for job in jobs]
        return [_result(future, job) for future, job in track(list(zip(futures, jobs, strict=True)), "pages")]


def _result(future: Future, job: tuple) -> PageRun:
    try:
        return future.result()
    except BrokenProcessPool:
        return PageRun(job[2].file, error="the worker process was killed; out of memory, perhaps")


def code_version(root: Path) -> str:
    """Name the code: package version, and the commit where the workspace is a git checkout."""
    asking = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        commit = subprocess.run(asking, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = ""
    return f"salesops {salesops_lib.__version__}{f' ({commit})' if commit else ''}"
