"""The page around an executed notebook: contents, code behind a click, and the one script that may run."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salesops_lib.language import dated, language, localised, say, say_many

if TYPE_CHECKING:
    from jinja2 import Environment
    from nbconvert import HTMLExporter
    from nbformat import NotebookNode

TEMPLATE = Path(__file__).parent / "template"
SHOWN = [
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/plain",
]  # the first there is
CONTENTS_FROM = 5  # headings; a shorter page is seen at a glance
HEADING = re.compile(r"<h2([^>]*)>(.*?)</h2>", re.DOTALL)
# what a policy does not stop: a refresh leaves the page, a base moves its links, the others connect to a server
# before the policy is asked
UNSTOPPABLE = re.compile(r"<(?=(?:meta|base|link|i?frame|form)\b)", re.IGNORECASE)


@dataclass(frozen=True)
class Section:
    """What some cells show, and their sources."""

    html: str
    code: list[str]


def to_html(
    notebook: NotebookNode,
    title: str,
    details: dict[str, str],
    health: dict[str, Any] | None = None,
    *,
    show_code: bool = True,
) -> str:
    """Convert an executed notebook to one file that asks nothing of the network.

    Parameters
    ----------
    notebook
        As it ran; its first heading gives way to `title`.
    title
        Plain text.
    details
        Shown in the footer, by name.
    health
        What the header says about the data: `blocking`, `notes`, `more`, and `link` to the page with the rest.
    show_code
        Put the code of each section behind a click; else the page holds none.
    """
    exporter = _exporter()
    contents: dict[str, str] = {}
    parts = []
    for cells in _cut(notebook):
        shown = notebook.copy()
        shown.cells = cells
        made, _ = exporter.from_notebook_node(shown)
        code = [cell.source for cell in cells if cell.cell_type == "code" and cell.source.strip()]
        parts.append(Section(_anchored(UNSTOPPABLE.sub("&lt;", made), contents), code if show_code else []))
    sortable = any("</thead>" in part.html for part in parts)
    return fill(
        "page.html.j2",
        script=(TEMPLATE / "sort.js").read_text(encoding="utf-8") if sortable else "",
        title=title,
        details=details,
        health=health,
        contents=contents if len(contents) >= CONTENTS_FROM else {},
        top=parts[0],
        sections=parts[1:],
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader

    found = Environment(loader=FileSystemLoader(TEMPLATE), autoescape=True, trim_blocks=True)
    found.globals |= {
        "say": say, "say_many": say_many, "dated": dated, "localised": localised, "language": language,
    }  # fmt: skip
    return found


def fill(template: str, *, script: str = "", **values: Any) -> str:
    """Fill a template of ours; all values are escaped, and only `script` may run."""
    style = (TEMPLATE / "page.css").read_text(encoding="utf-8")
    sha256 = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() if script else ""
    return _environment().get_template(template).render(style=style, script=script, sha256=sha256, **values)


@cache
def _exporter() -> HTMLExporter:
    """Return the one whose templates are compiled once, in a warm parent for all it forks."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    return HTMLExporter(
        template_name="salesops_page",
        extra_template_basedirs=[str(TEMPLATE)],
        embed_images=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        config=Config(NbConvertBase={"display_data_priority": SHOWN}),
    )


def _cut(notebook: NotebookNode) -> list[list[NotebookNode]]:
    """Cut the cells before each one that brings a heading; the first part has none, and loses the page's title."""
    parts: list[list[NotebookNode]] = [[]]
    titled = False
    for cell in notebook.cells:
        if not titled and cell.cell_type == "markdown" and cell.source.startswith("# "):
            titled, cell = True, cell.copy()
            cell.source = cell.source.partition("\n")[2]
        if cell.cell_type == "markdown":
            cell = cell.copy()
            cell.source = translated(cell.source)
        if _opens(cell):
            parts.append([])
        parts[-1].append(cell)
    return parts


def translated(markdown: str) -> str:
    """Translate a text block by block; a heading keeps its marks."""
    blocks = [re.fullmatch(r"([#\s]*)(.*)", block, re.DOTALL) for block in markdown.split("\n\n")]
    return "\n\n".join(f"{block[1]}{say(block[2].strip())}" for block in blocks)


def _opens(cell: NotebookNode) -> bool:
    if cell.cell_type != "code":
        return cell.cell_type == "markdown" and re.search(r"^## ", cell.source, re.MULTILINE) is not None
    return any("<h2" in "".join(output.get("data", {}).get("text/html", "")) for output in cell.get("outputs", ()))


def _anchored(markup: str, contents: dict[str, str]) -> str:
    """Give each heading an id made of its letters and digits, and note it in `contents` by that id."""

    def anchor(found: re.Match[str]) -> str:
        heading = html.unescape(re.sub(r"<[^>]*>", "", found[2])).strip()
        name = start = "s-" + "-".join(re.findall(r"\w+", heading.lower()))[:60]
        n = 1
        while name in contents:
            n += 1
            name = f"{start}-{n}"
        contents[name] = heading
        return f'<h2 id="{name}"{found[1]}>{found[2]}</h2>'  # of two ids the first counts

    return HEADING.sub(anchor, markup)
