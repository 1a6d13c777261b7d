"""The folder of a run: locked while it is written, its pages published one by one, its record kept in step."""

from __future__ import annotations

import errno
import hashlib
import html
import json
import logging
import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from salesops_lib.errors import RenderError
from salesops_lib.export import write_text
from salesops_lib.language import say
from salesops_lib.report.execute import PageRun
from salesops_lib.report.fanout import Job
from salesops_lib.store import private_folder

RUN_RECORD = "run.json"
GONE = "not_swept"  # pages of runs before that this one is yet to remove
LOCK = ".lock"
BANNER = re.compile("<!-- last good -->.*?<!-- /last good -->", re.DOTALL)  # stands in every page
PAGE = re.compile(r"[\w-]+")
WAIT_S = 3_600.0  # for another run of the same report and day
ROOM = 2**20  # bytes; with less a page cannot be made
ALSO = {"ipython"}  # beside what this package states
log = logging.getLogger("salesops")


@contextmanager
def locked(place: Path, wait_s: float = WAIT_S) -> Iterator[Path]:
    """Hold the folder of a run, and yield a private one beside it to work in.

    The lock is the system's own: it ends with the process that holds it, so none is ever stale.

    Raises
    ------
    RenderError
        Where the folder cannot be written, or another run holds it for longer than `wait_s`.
    """
    from filelock import FileLock, Timeout

    with in_words(place):
        place.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.warning("%s: another run is at work; waiting for it", place)
            try:
                lock.acquire(timeout=wait_s)
            except Timeout as error:
                what = f"{place}: another run has held it for {wait_s:,.0f} s; nothing was made."
                raise RenderError(what) from error
        try:
            work = private_folder(place.parent, "rendering")
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)
        finally:
            lock.release()


@contextmanager
def in_words(place: Path) -> Iterator[None]:
    """Turn a disk that is full, gone or not ours to write into one line.

    Raises
    ------
    RenderError
        Naming the file, or `place` where the system names none.
    """
    try:
        yield
    except OSError as error:
        what = f"{error.filename or place}: {error.strerror or error}"
        raise RenderError(f"{what}. The run stopped; what was published stands.") from error


def earlier(place: Path) -> dict[str, Any]:
    """Read the record of the run before in this folder; empty where there is none that can be read."""
    try:
        record = json.loads((place / RUN_RECORD).read_text(encoding="utf-8"))
        return record if isinstance(record, dict) and isinstance(record.get("pages"), list) else {}
    except (OSError, ValueError):
        return {}


def last(report: Path) -> dict[str, Any]:
    """Read the record of a report's latest run that came to its end, of any day; empty where there is none."""
    found = (earlier(path.parent) for path in report.glob(f"*/{RUN_RECORD}"))
    records = [record for record in found if record.get("finished_at")]
    return max(records, key=lambda record: record.get("rendered_at", ""), default={})


def keyed(jobs: list[Job], shared: dict[str, Any]) -> list[Job]:
    """Give each job the key of what its page depends on: notebook, parameters, and what the pages share."""
    notebooks = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in {job.source for job in jobs}}
    common = shared | {"code": code_hash(), "libraries": libraries()}
    own = (([notebooks[job.source], job.name, job.title, job.parameters], job) for job in jobs)
    return [replace(job, key=_hash([common, *parts])) for parts, job in own]


def _hash(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


@cache
def code_hash() -> str:
    """Hash every file of this package that a page may depend on."""
    root = Path(__file__).resolve().parent.parent
    found = hashlib.sha256()
    kinds = (".py", ".j2", ".css", ".js", ".yaml", ".po")
    for path in sorted(path for path in root.rglob("*") if path.suffix in kinds):
        found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def words_hash(language: str) -> str:
    """Hash a company's own catalogue; those of this package are part of its code."""
    return _hash(Path(language).read_text(encoding="utf-8") if language.endswith(".po") else language)


def modules_hash(root: Path) -> str:
    """Hash the Python files of a workspace: its notebooks may import them."""
    found = hashlib.sha256()
    for folder, inner, files in os.walk(root):
        ours = (name for name in inner if name[0] != "." and not Path(folder, name, "pyvenv.cfg").exists())
        inner[:] = sorted(ours)
        for path in sorted(Path(folder, name) for name in files if name.endswith(".py")):
            found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


@cache
def libraries() -> dict[str, str]:
    """Versions of Python and of the libraries that this package states, which numbers and pictures come from."""
    stated = [line for line in requires("salesops-workbench") or () if "extra ==" not in line]
    names = sorted({re.match(r"[\w.-]+", line)[0] for line in stated} | ALSO)
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def unchanged(jobs: list[Job], before: dict[str, Any], place: Path) -> dict[str, PageRun]:
    """Find the pages that an earlier run made and on which nothing has changed since, by name."""
    kept = {page.get("name"): page for page in before.get("pages", ()) if isinstance(page, dict)}
    found = {}
    for job in jobs:
        page = kept.get(job.name, {})
        there = all((place / f"{job.name}{suffix}").is_file() for suffix in (".html", ".ipynb"))
        if page.get("status") == "ok" and page.get("key") == job.key and job.key and there:
            fields = {name: page[name] for name in page if name in PageRun.__dataclass_fields__}
            printed = f"{job.name}.pdf" if _is_printed(place, job.name) else ""
            found[job.name] = PageRun(**fields | {"is_reused": True, "pdf": printed, "error": ""})
    return found


class Folder:
    """Publishes pages into a run's folder and keeps its record in step.

    A reader sees the old page or the new one, never a part; a run that is broken off leaves a record that says so,
    from which the next one goes on.

    Parameters
    ----------
    place, work
        The run's folder, and the private one the pages are made in; both on one file system.
    record
        The run record, without its pages.
    names
        Of the pages to come, in order.
    before
        The record of the run before.
    """

    def __init__(self, place: Path, work: Path, record: dict[str, Any], names: list[str], before: dict[str, Any]):
        self.place, self.work, self.record = place, work, record
        old = {page["name"]: page for page in before.get("pages", ()) if isinstance(page, dict) and "name" in page}
        self._pages: dict[str, dict] = {name: old[name] for name in names if name in old}
        self._names, self._gone = names, {*old, *before.get(GONE, ())} - set(names)

    def publish(self, page: PageRun) -> None:
        """Move what a page left in the work folder into place and write the record.

        A failed page leaves the one published before where it is, which then says that it is the last good one;
        its notebook goes to ``failed/``.
        """
        name, notebook = page.name, self.work / f"{page.name}.ipynb"
        if page.status == "ok":
            _move(notebook, self.place / notebook.name)
            if (data := self.work / "data" / name).is_dir():
                _swap(data, self.place / "data" / name)
            _move(self.work / f"{name}.html", self.place / f"{name}.html")
        elif _is_full(self.place):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.place))  # so would all others
        elif notebook.exists():
            _move(notebook, self.place / "failed" / notebook.name)
        if (published := self.place / f"{name}.html").exists():
            page.path = published.name
            if page.status != "ok":
                _say_last_good(published, page, self.record)
                page.pdf = f"{name}.pdf" if (self.place / f"{name}.pdf").exists() else ""
        else:
            page.last_good = self._last_good(name)
        self._pages[name] = page.as_dict()
        self.write()

    def _last_good(self, name: str) -> str:
        """Find the page of the latest day before, relative to this folder."""
        days = sorted(path.parent.name for path in self.place.parent.glob(f"*/{name}.html"))
        return next((f"../{day}/{name}.html" for day in reversed(days) if day < self.place.name), "")

    def keep(self, pages: Iterable[PageRun]) -> None:
        """Take the entries of pages whose files are in place already."""
        self._pages |= {page.name: page.as_dict() for page in pages}
        self.write()

    def write(self, **more: Any) -> dict[str, Any]:
        """Write the record, with further entries, and return it."""
        self.record |= more | {GONE: sorted(self._gone)}
        told = self.record | {"pages": [self._pages[name] for name in self._names if name in self._pages]}
        write_text(json.dumps(told, indent=1, default=str) + "\n", self.place / RUN_RECORD)
        return told

    def sweep(self) -> None:
        """Remove what nothing links to any longer, once the index says so.

        These are the pages of runs before that are not of this one (a rep who left, a notebook taken out), the
        PDFs of pages made anew, and the notebooks of failures that are mended.
        """
        for name, page in self._pages.items():
            if page["status"] == "ok":
                (self.place / "failed" / f"{name}.ipynb").unlink(missing_ok=True)
                if not _is_printed(self.place, name):
                    (self.place / f"{name}.pdf").unlink(missing_ok=True)
        for name in filter(PAGE.fullmatch, self._gone):
            for file in (f"{name}.html", f"{name}.pdf", f"{name}.ipynb", f"failed/{name}.ipynb"):
                (self.place / file).unlink(missing_ok=True)
            shutil.rmtree(self.place / "data" / name, ignore_errors=True)
        self._gone = set()


def _is_printed(place: Path, name: str) -> bool:
    """Say whether a page has a PDF that is not older than it is."""
    page, printed = place / f"{name}.html", place / f"{name}.pdf"
    return printed.is_file() and printed.stat().st_mtime >= page.stat().st_mtime


def _is_full(place: Path) -> bool:
    return shutil.disk_usage(place).free < ROOM


def _say_last_good(published: Path, page: PageRun, record: dict[str, Any]) -> None:
    """Tell the readers of a page that a newer one was to stand in its place."""
    when = str(record.get("rendered_at", ""))[:16].replace("T", " ")
    if page.cell:
        said = say(
            "This is the last good page: the run of {when} failed in code cell {n}.", when=when, n=page.cell
        )
    else:
        said = say("This is the last good page: the run of {when} failed.", when=when)
    banner = f'<p class="warning">{html.escape(said)} <a href="index.html">{html.escape(say("Why"))}</a></p>'
    text = published.read_text(encoding="utf-8")
    told = BANNER.sub(lambda _: f"<!-- last good -->{banner}<!-- /last good -->", text, count=1)
    write_text(told, published)


def _move(source: Path, target: Path) -> None:
    """Move a file in one step; `source` lies on the same file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as file:
        os.fsync(file.fileno())
    source.replace(target)


def _swap(source: Path, target: Path) -> None:
    """Move a folder to where another may be, which goes only when the new one is in place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    old = source.with_name(f".{source.name}")
    if target.exists():
        target.replace(old)
    source.replace(target)
    shutil.rmtree(old, ignore_errors=True)
