"""Moving pages into place, and the indexes over them. A reader sees the old page or the new one, never a part."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from salesops_lib.export import write_text
from salesops_lib.report.execute import TEMPLATE, PageRun

RUN_RECORD = "run.json"


def publish(pages: list[PageRun], work: Path, place: Path, record: dict[str, Any]) -> None:
    """Move what `work` holds into `place` and write its index and run record, the index last.

    A failed page leaves the page published before where it is; its notebook goes to ``failed/``.
    """
    place.mkdir(parents=True, exist_ok=True)
    for page in pages:
        notebook = work / f"{page.name}.ipynb"
        if page.status == "ok":
            _move(notebook, place / notebook.name)
            _move(work / f"{page.name}.html", place / f"{page.name}.html")
            (place / "failed" / notebook.name).unlink(missing_ok=True)
        elif notebook.exists():
            _move(notebook, place / "failed" / notebook.name)
        if (place / f"{page.name}.html").exists():
            page.path = f"{page.name}.html"
    record = record | {"pages": [page.as_dict() for page in pages]}
    write_text(json.dumps(record, indent=1, default=str) + "\n", place / RUN_RECORD)
    write_text(_fill("run.html.j2", record), place / "index.html")


def _move(source: Path, target: Path) -> None:
    """Move a file in one step; `source` lies on the same file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as file:
        os.fsync(file.fileno())
    source.replace(target)


def write_catalogue(out: Path) -> None:
    """Write the index over all reports and dates, newest first, from the run records found.

    Two processes may write it at once: each looks again after writing, so the last one to write has seen all.
    """
    runs = None
    while runs != (found := _records(out)):
        runs = found
        write_text(_fill("catalogue.html.j2", {"runs": runs}), out / "index.html")


def _records(out: Path) -> list[dict[str, Any]]:
    runs = []
    for found in out.glob(f"*/*/{RUN_RECORD}"):
        try:
            record = json.loads(found.read_text(encoding="utf-8"))
            record["pages"], record["title"], record["report"], record["as_of"]
        except (ValueError, TypeError, KeyError):
            continue  # damaged, or not ours: the pages still stand
        runs.append(record | {"href": found.parent.relative_to(out).as_posix() + "/index.html"})
    return sorted(runs, key=lambda run: (run["report"], run["as_of"]), reverse=True)


def _fill(template: str, values: dict[str, Any]) -> str:
    environment = Environment(loader=FileSystemLoader(TEMPLATE), autoescape=True, trim_blocks=True)
    style = (TEMPLATE / "page.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(style=style, **values)
