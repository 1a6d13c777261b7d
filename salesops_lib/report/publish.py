"""The indexes over pages: of one run, and of all reports and dates."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from salesops_lib.errors import RenderError
from salesops_lib.export import write_text
from salesops_lib.report.execute import TEMPLATE
from salesops_lib.report.runs import RUN_RECORD, locked


def write_index(record: dict[str, Any], place: Path) -> None:
    """Write the index of one run."""
    write_text(_fill("run.html.j2", record), place / "index.html")


def write_catalogue(out: Path) -> None:
    """Write the index over all reports and dates, newest first, from the run records found.

    Two processes may write it at once: each looks again after writing, so the last one to write has seen all.
    """
    runs = None
    while runs != (found := _records(out)):
        runs = found
        write_text(_fill("catalogue.html.j2", {"runs": runs}), out / "index.html")


def prune(out: Path, keep: int) -> list[Path]:
    """Remove the runs of every report but those of its newest `keep` dates, and say which; a run at work stays."""
    gone = []
    for report in sorted(path for path in out.glob("*") if path.is_dir()):
        dated = sorted((path.parent for path in report.glob(f"*/{RUN_RECORD}")), key=lambda place: place.name)
        for place in dated[:-keep]:
            with suppress(RenderError), locked(place, wait_s=0):
                shutil.rmtree(place)
                gone.append(place)
    write_catalogue(out)
    return gone


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
