"""The indexes over pages: of one run, and of all reports and dates."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from salesops_lib.errors import ConfigError, RenderError, SalesOpsError
from salesops_lib.export import write_text
from salesops_lib.language import mark, say, say_many
from salesops_lib.report.definition import definitions, read_definition
from salesops_lib.report.execute import PageRun
from salesops_lib.report.page import TEMPLATE, fill
from salesops_lib.report.runs import RUN_RECORD, earlier, locked
from salesops_lib.report.schedule import Missed, company_timezone, missed, next_run
from salesops_lib.workspace import Workspace

FOLD_FROM, FOLDED = 40, 25  # segments: up to the first all are listed at once, beyond it behind clicks by so many
LINKED = 24  # pages of a run that the catalogue links to itself


class Record(BaseModel):
    """What the indexes take from a run record; older ones may lack what has a default."""

    report: str
    title: str
    as_of: str
    pages: list[PageRun]
    company: str = ""
    snapshot_id: str = ""
    rendered_at: str = ""
    finished_at: str | None = None
    rows_excluded: int = 0
    kernels: str = ""
    health: dict[str, Any] = {}
    details: dict[str, Any] = {}

    @property
    def failed(self) -> list[PageRun]:
        """The pages that could not be made."""
        return [page for page in self.pages if page.status != "ok"]

    @property
    def made(self) -> list[PageRun]:
        """The pages that were made."""
        return [page for page in self.pages if page.status == "ok"]

    @property
    def headline(self) -> str:
        """The sentence of the first page, unless that is about one segment."""
        return next((page.headline for page in self.pages if not page.segment), "")

    @property
    def by_name(self) -> dict[str, PageRun]:
        """The pages by the name of their files."""
        return {page.name: page for page in self.pages}


class Entry(NamedTuple):
    """A run as the catalogue lists it: its record, where it lies, and what changed against the one before."""

    run: Record
    folder: str
    has_index: bool
    changes: str

    @property
    def links(self) -> list[tuple[str, str, PageRun]]:
        """Name and path of each page, where these are few: the segment's name where it tells them apart."""
        several = len({_notebook_title(page) for page in self.run.pages}) > 1
        listed = self.run.pages if len(self.run.pages) <= LINKED else []
        names = ((page.title if several else page.segment or page.title) or page.name for page in listed)
        found = zip(names, listed, strict=True)
        return [(name, f"{self.folder}/{page.path}", page) for name, page in found if page.path]


class Due(NamedTuple):
    """What the schedules of a workspace expect: runs that did not come, the next of each report, and its title."""

    missed: list[Missed]
    coming: list[Missed]
    titles: dict[str, str] = {}


def write_index(record: dict[str, Any], place: Path) -> None:
    """Write the index of one run: what failed first, then each page and what changed since the day before."""
    run = Record.model_validate(record)
    before = _run_before(run, _records(place.parent, f"*/{RUN_RECORD}")[0])
    segments = [page for page in run.made if page.segment]
    told = {
        "changes": _changes(run, before),
        "was": {page.name: _was(page, before) for page in run.made},
        "new": {page.name for page in run.made if before and page.name not in before.by_name},
        "gone": [page.title or page.name for page in before.pages if page.name not in run.by_name]
        if before
        else [],
        "data": {page.name: _data(place, page.name) for page in run.pages},
        "single": [page for page in run.made if not page.segment],
        "lists": [(title, list(pages)) for title, pages in groupby(segments, key=_notebook_title)],
        "folded": FOLDED if len(segments) > FOLD_FROM else len(segments),
    }
    write_text(fill("run.html.j2", run=run, health=run.health, **told), place / "index.html")


def write_catalogue(out: Path, due: Due | None = None) -> None:
    """Write the index over all reports and dates, newest first, from the run records found.

    Two processes may write it at once: each looks again after writing, so the last one to write has seen all.
    """
    script = (TEMPLATE / "due.js").read_text(encoding="utf-8") if due and due.coming else ""
    found = None
    while found != (records := _records(out)):
        found = records
        runs, damaged = records
        entries = [
            Entry(run, place, (out / place / "index.html").is_file(), _changes(run, _run_before(run, runs)))
            for place, run in runs.items()
        ]
        reports = [list(dated) for _, dated in groupby(entries, key=lambda entry: entry.run.report)]
        told = fill("catalogue.html.j2", script=script, reports=reports, due=due, damaged=damaged)
        write_text(told, out / "index.html")


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
    runs, _ = _records(out or workspace.out)
    records = [run.model_dump(include={"report", "rendered_at"}) for run in runs.values()]
    coming = [next_run(name, scheduled[name].schedule, now, ZoneInfo(zone)) for name in scheduled]
    seen = {record["report"] for record in records}  # one that was never run has no run to miss yet
    asked = {name: definition for name, definition in scheduled.items() if name in seen}
    titles = {name: say(definition.title) for name, definition in scheduled.items()}
    return Due(missed(asked, records, now, zone), sorted(coming, key=lambda run: run.expected), titles)


def prune(out: Path, keep: int, due: Due | None = None) -> list[Path]:
    """Remove the runs of every report but those of its newest `keep` dates, and say which; a run at work stays."""
    gone = []
    for report in sorted(path for path in out.glob("*") if path.is_dir()):
        dated = sorted((path.parent for path in report.glob(f"*/{RUN_RECORD}")), key=lambda place: place.name)
        dated = [place for place in dated if _is_of(report.name, place)]
        for place in dated[:-keep]:
            with suppress(RenderError), locked(place, wait_s=0):
                shutil.rmtree(place)
                gone.append(place)
    write_catalogue(out, due)
    return gone


def _is_of(report: str, place: Path) -> bool:
    """Whether a folder is a run of this report: nothing else is ours to remove."""
    return earlier(place).get("report") == report


def _records(out: Path, pattern: str = f"*/*/{RUN_RECORD}") -> tuple[dict[str, Record], list[str]]:
    """Read the run records, by report and from the newest day on, and list the folders of damaged ones."""
    runs, damaged = {}, []
    for path in out.glob(pattern):
        place = path.parent.relative_to(out).as_posix()
        try:
            runs[place] = Record.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            damaged += [place] if path.exists() else []
    newest = sorted(runs.items(), key=lambda found: found[1].as_of, reverse=True)
    return dict(sorted(newest, key=lambda found: found[1].report)), sorted(damaged)


def _run_before(run: Record, runs: dict[str, Record]) -> Record | None:
    """Find the report's run of the latest earlier day."""
    of_report = [other for other in runs.values() if other.report == run.report and other.as_of < run.as_of]
    return max(of_report, key=lambda other: other.as_of, default=None)


def _notebook_title(page: PageRun) -> str:
    """Name what a page was made from: its title without the segment."""
    title = page.title or page.name
    return title.removesuffix(f": {page.segment}") if page.segment else title


def _was(page: PageRun, before: Record | None) -> str:
    """Say what a page said the day before, where that was something else."""
    if before is None:
        return ""
    then = before.by_name.get(page.name)
    if then is None:
        return say("New since {day}.", day=before.as_of)
    if then.status != "ok":
        return say("For {day} it had failed.", day=before.as_of)
    if then.headline == page.headline:
        return ""
    return say("For {day}: {headline}", day=before.as_of, headline=then.headline or say("no headline"))


def _changes(run: Record, before: Record | None) -> str:
    """Say in a line what changed against the run of the day before."""
    if before is None:
        return ""
    then, now = before.by_name, run.by_name
    both = [(then[name], page) for name, page in now.items() if name in then]
    differ = sum(old.status == "ok" == page.status and old.headline != page.headline for old, page in both)
    counts = {
        mark("{n} newly failed"): sum(old.status == "ok" != page.status for old, page in both),
        mark("{n} mended"): sum(old.status != "ok" == page.status for old, page in both),
        mark("{n} new"): sum(name not in then for name in now),
        mark("{n} gone"): sum(name not in now for name in then),
    }
    told = [say_many("{n} headline changed", "{n} headlines changed", differ)] * (differ > 0)
    told += [say(message, n=n) for message, n in counts.items() if n]
    said = {"day": before.as_of, "changes": ", ".join(told) or say("nothing changed")}
    if before.snapshot_id == run.snapshot_id:
        return say("Against {day}, on the same data: {changes}.", **said)
    return say("Against {day}, on other data: {changes}.", **said)


def _data(place: Path, name: str) -> list[str]:
    """List the data files of a page, the workbook first, relative to the run's folder."""
    files = sorted((place / "data" / name).glob("*"), key=lambda path: (path.suffix != ".xlsx", path.name))
    return [file.relative_to(place).as_posix() for file in files]
