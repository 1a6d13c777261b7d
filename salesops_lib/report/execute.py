"""One notebook to one page: prune, run with papermill, convert with a template of our own."""

from __future__ import annotations

import ast
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from salesops_lib.errors import RenderError
from salesops_lib.export import write_csv, write_xlsx
from salesops_lib.gate import FOUND
from salesops_lib.language import ENGLISH, LANGUAGE, mark, say, speaking
from salesops_lib.present import DATA, LOCALE, RENDERING
from salesops_lib.report.fanout import Job
from salesops_lib.report.page import to_html
from salesops_lib.report.parameters import TAG, tagged
from salesops_lib.report.warm import ADDRESS, MARK
from salesops_lib.workspace import PINNED

EXPLORE, HEADLINE = "explore", "headline"
FINDINGS = "findings.json"  # what the gate found, beside the pages while they are made
TRACEBACK_LINES = 40
TRANSIENT = ("SourceUnavailable",)  # errors that may pass by themselves


@dataclass
class PageRun:
    """What happened to one page.

    Attributes
    ----------
    name, title, segment, segment_id, key
        As in its `Job`; the title is its first heading.
    status
        ``ok`` or ``failed``.
    path, pdf
        The published page and its PDF, relative to the run's folder; empty where there is none.
    last_good
        Of a failed page without one, that of the latest day before.
    seconds
        Wall time.
    headline
        The page's own sentence.
    error, cell, source, traceback
        Of a failed page: the message, the number of the failing code cell, its source, the traceback.
    is_transient
        Whether the failure may pass by itself.
    tries
        How often it was made.
    is_reused
        Whether it was made by an earlier run on which nothing has changed since.
    kernel
        ``warm`` where it was forked, ``ordinary`` where not.
    """

    name: str
    title: str = ""
    segment: str = ""
    segment_id: str = ""
    key: str = ""
    status: str = "failed"
    path: str = ""
    pdf: str = ""
    last_good: str = ""
    seconds: float = 0.0
    headline: str = ""
    error: str = ""
    cell: int | None = None
    source: str = ""
    traceback: str = ""
    is_transient: bool = False
    tries: int = 1
    is_reused: bool = False
    kernel: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job, **found: Any) -> PageRun:
        """Begin the record of a job."""
        told = {name: getattr(job, name) for name in ("title", "segment", "segment_id", "key", "parameters")}
        return cls(job.name, **told, **found)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Setting:
    """What the pages of one run share.

    Attributes
    ----------
    work
        A private folder to write to.
    root
        Workspace folder; the kernels' working directory.
    details
        Shown in the pages' footers.
    health
        What the header says about the data: `blocking`, `notes`, `more`, and `link` to the page with the rest.
    cell_timeout_s, page_timeout_s, memory_mb
        The longest a cell and a page may take, and the memory a process of a page may take beyond its start.
    show_code, locale, language
        Whether the pages hold their code, how they write numbers, and the language (or catalogue) they speak.
    """

    work: Path
    root: Path
    details: dict[str, str]
    health: dict[str, Any] | None = None
    cell_timeout_s: int = 900
    page_timeout_s: int = 3_600
    memory_mb: int = 4_096
    show_code: bool = True
    locale: str = ""
    language: str = ENGLISH


def prune(notebook: NotebookNode, name: str) -> NotebookNode:
    """Take out the `explore` cells; refuse a page that depends on one.

    Raises
    ------
    RenderError
        Naming the cell and the name it takes from an `explore` cell.
    """
    lens = set(tagged(notebook, EXPLORE))
    kept = [cell for k, cell in enumerate(notebook.cells) if k not in lens]
    bound = [_names(cell.source, ast.Store) for cell in kept if cell.cell_type == "code"]
    only_lens = {n for k in lens for n in _names(notebook.cells[k].source, ast.Store)} - set().union(*bound)
    for number, cell in enumerate((c for c in kept if c.cell_type == "code"), start=1):
        taken = _names(cell.source, ast.Load) & only_lens
        if taken:
            raise RenderError(
                f"{name}: code cell {number} uses {', '.join(sorted(taken))} from an explore cell; a page may not "
                "depend on a lens. Put the value into the parameters cell."
            )
    pruned = notebook.copy()
    pruned.cells = kept
    return pruned


def _names(source: str, context: type) -> set[str]:
    from IPython.core.inputtransformer2 import TransformerManager

    tree = ast.parse(TransformerManager().transform_cell(source))  # a %magic line is no syntax error
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)}


def title_of(notebook: NotebookNode, fallback: str) -> str:
    """Return the first heading."""
    cell = _headed(notebook)
    return cell.source.splitlines()[0].removeprefix("# ").strip() if cell else fallback


def above(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells above the parameters cell, where there is one."""
    first = next(iter(tagged(notebook, TAG)), 0)
    return [cell for cell in notebook.cells[:first] if cell.cell_type == "code"]


def _retitle(notebook: NotebookNode, title: str) -> None:
    """Give the first heading the page's own title."""
    if cell := _headed(notebook):
        cell.source = "\n".join([f"# {title}", *cell.source.splitlines()[1:]])


def _headed(notebook: NotebookNode) -> NotebookNode | None:
    headed = (c for c in notebook.cells if c.cell_type == "markdown" and c.source.startswith("# "))
    return next(headed, None)


def run_page(job: Job, setting: Setting, *, is_prepared: bool = False) -> PageRun:
    """Run one notebook in a fresh kernel and write `<name>.html` and `<name>.ipynb` into the work folder.

    Where the kernels are prepared, the cells above the parameters have run in them already.
    """
    from papermill.exceptions import PapermillExecutionError

    began = time.perf_counter()
    run, health = PageRun.of(job, kernel="warm" if os.environ.get(ADDRESS) else "ordinary"), setting.health
    executed = setting.work / f"{job.name}.ipynb"
    data = setting.work / "data" / job.name
    shutil.rmtree(data, ignore_errors=True)  # what an earlier try of this page left
    data.parent.mkdir(exist_ok=True)  # not the work folder: where that is gone, so is the run
    data.mkdir()
    if health and health["link"] == f"{job.name}.html":
        health = health | {"more": 0, "link": ""}  # this very page shows the rest
    try:
        notebook = nbformat.read(job.source, as_version=4)
        _retitle(notebook, job.title)
        _execute(prune(notebook, job.name), executed, job.parameters, setting, is_prepared)
        done = nbformat.read(executed, as_version=4)
        run.headline = _headline(done)
        with speaking(setting.language, setting.locale):
            details = setting.details | {mark("Parameters"): _shown(job.parameters)}
            made = to_html(done, job.title, details, health, show_code=setting.show_code)
        (setting.work / f"{job.name}.html").write_text(made, encoding="utf-8")
        _write_data(data, job.name)
        run.status = "ok"
    except PapermillExecutionError as failure:
        run.error = f"{failure.ename}: {failure.evalue}"
        run.traceback = _plain("\n".join(failure.traceback))
        run.is_transient = failure.ename in TRANSIENT
    except Exception as failure:  # a page must never take the others with it
        run.error = _told(failure, setting)
    if run.status != "ok" and executed.exists():
        run.cell, run.source = _stopped_at(executed)
    run.seconds = round(time.perf_counter() - began, 2)
    return run


def _write_data(folder: Path, name: str) -> None:
    """Write what the notebook left there, the data behind its tables and figures, as CSV and as one workbook."""
    import pandas as pd

    frames = {}
    for path in sorted(folder.glob("*.pkl")):
        frame = pd.read_pickle(path)
        frames[path.stem] = frame
        write_csv(frame, path.with_suffix(".csv"))
        path.unlink()
    if frames:
        write_xlsx({stem[:31].strip(): frame for stem, frame in frames.items()}, folder / f"{name}.xlsx")


def _told(failure: Exception, setting: Setting) -> str:
    """Say what stopped a page, in words where the library's own say little."""
    kind = type(failure).__name__
    if kind == "DeadKernelError":
        return f"{kind}: the kernel died; out of memory, perhaps (its limit is {setting.memory_mb:,} MB)"
    if kind == "CellTimeoutError":
        return f"{kind}: the cell took longer than its limit of {setting.cell_timeout_s:,} s and was ended"
    return f"{kind}: {failure}"


def surroundings(setting: Setting) -> dict[str, str]:
    """Return the environment in which notebooks run, beside that of this process."""
    found = {RENDERING: "1", PINNED: setting.details.get("Snapshot", "")}
    found |= {LOCALE: setting.locale, LANGUAGE: setting.language}
    if (findings := setting.work / FINDINGS).exists():
        found[FOUND] = str(findings.resolve())
    return found


def _execute(
    notebook: NotebookNode, executed: Path, parameters: dict[str, Any], setting: Setting, is_prepared: bool
) -> None:
    """Run a notebook with papermill in a fresh kernel; what it ran, and how far, lies in `executed`."""
    import papermill

    from salesops_lib.report.kernels import ENGINE

    pruned = executed.with_suffix(".pruned.ipynb")
    ran = above(notebook) if is_prepared else []
    first = notebook.cells.index(ran[-1]) + 1 if ran else 0
    # given as a node, papermill would copy it into its own metadata
    rest = notebook.copy()
    rest.cells = notebook.cells[first:]
    nbformat.write(rest, pruned)
    # In the folder of the warm parent, where there is one: its end removes what a killed page leaves
    sockets = tempfile.mkdtemp(prefix="so-", dir=os.environ.get(MARK))
    data = executed.parent / "data" / executed.stem
    try:
        with _environment(**surroundings(setting), **{DATA: str(data.resolve())}):
            papermill.execute_notebook(
                str(pruned),
                str(executed),
                parameters=parameters,
                cwd=str(setting.root),
                engine_name=ENGINE,
                kernel_name="python3",
                progress_bar=False,
                log_output=False,
                execution_timeout=setting.cell_timeout_s,
                start_timeout=120,
                extra_arguments=["--log-level=CRITICAL"],
                config=_private_sockets(sockets),
            )
    finally:
        if first and executed.exists():
            _put_back(notebook.cells[:first], executed)
        pruned.unlink(missing_ok=True)
        shutil.rmtree(sockets, ignore_errors=True)


def _put_back(cells: list[NotebookNode], executed: Path) -> None:
    """Put the cells that the kernel had run before papermill began above those it ran."""
    from papermill.execute import ERROR_MARKER_TAG

    for number, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), start=1):
        cell.execution_count = number
    done = nbformat.read(executed, as_version=4)
    told = len(tagged(done, ERROR_MARKER_TAG)) and 1  # papermill's word on top, where a cell failed
    done.cells = done.cells[:told] + cells + done.cells[told:]
    nbformat.write(done, executed)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables for the kernel that is started meanwhile, and put back what stood there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ |= values
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _private_sockets(folder: str):
    """Have the kernel talk over sockets in a private folder, not over ports that collide and others can reach."""
    from traitlets.config import Config

    private = {"connection_file": f"{folder}/kernel.json"}  # with the key to the kernel in it
    if os.name == "posix":
        private |= {"transport": "ipc", "ip": f"{folder}/k"}
    return Config(KernelManager=private)


def stopped(job: Job, setting: Setting, error: str, seconds: float) -> PageRun:
    """Record a page whose process was ended, with the cell it had come to where its notebook tells."""
    run = PageRun.of(job, error=error, seconds=seconds)
    executed = setting.work / f"{job.name}.ipynb"
    try:
        run.cell, run.source = _stopped_at(executed)
    except (OSError, ValueError):  # never begun, or ended while it was written
        executed.unlink(missing_ok=True)
    return run


def _stopped_at(executed: Path) -> tuple[int | None, str]:
    """Number, from 1, and source of the code cell that failed, else of the last one begun."""
    found: tuple[int | None, str] = None, ""
    cells = [c for c in nbformat.read(executed, as_version=4).cells if c.cell_type == "code"]
    for number, cell in enumerate(cells, start=1):
        told = cell.metadata.get("papermill", {})
        if told.get("start_time"):
            found = number, cell.source
        if told.get("status") == "failed":
            break
    return found


def _headline(notebook: NotebookNode) -> str:
    for position in tagged(notebook, HEADLINE):
        for output in notebook.cells[position].get("outputs", ()):
            text = output.get("data", {}).get("text/plain", "")
            if text:
                return text
    return ""


def _plain(text: str) -> str:
    """Strip terminal colours, and cut what no reader needs."""
    import re

    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    return "\n".join(lines[-TRACEBACK_LINES:])


def _shown(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in sorted(parameters.items())) or say("defaults")
