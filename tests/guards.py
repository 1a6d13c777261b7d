"""Rules of the house, each a function that lists what breaks it; `test_architecture` also breaks each once."""

import ast
import re
from pathlib import Path

import nbformat

CLOCK = {"now", "today", "utcnow", "time", "localtime", "gmtime"}
CLOCK_OWNERS = {"datetime", "date", "time", "Timestamp", "dt", "pd"}
MAX_CODE_CELLS = 15
EXTERNAL = re.compile(
    r"""(?:src|href|action|data|poster|srcset)\s*=\s*["']?\s*(?:https?:)?//|url\(\s*["']?(?:https?:)?//|@import""",
    re.I,
)
NAMED = re.compile(r"https?://(?!www\.w3\.org/)[^\s\"'<>)]+")


def reads_clock(source: str) -> list[str]:
    """Calls such as `datetime.now()`; `time.monotonic` and `perf_counter` measure, they do not tell the time."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCK:
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            if name in CLOCK_OWNERS:
                found.append(f"line {node.lineno}: {name}.{node.func.attr}()")
    return found


def breaks_house_form(notebook: nbformat.NotebookNode) -> list[str]:
    """What a notebook may not do: outputs, definitions, loops, too many cells, missing tags."""
    found = []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, start=1):
        if cell.outputs or cell.execution_count is not None:
            found.append(f"code cell {number} is stored with outputs")
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(
                node, ast.FunctionDef | ast.ClassDef | ast.For | ast.While | ast.Lambda | ast.With | ast.Try
            ):
                found.append(f"code cell {number} holds a {type(node).__name__}")
    tags = [tag for cell in code for tag in cell.metadata.get("tags", ())]
    for tag in ("parameters", "headline"):
        if tags.count(tag) != 1:
            found.append(f"{tags.count(tag)} cells tagged {tag}")
    if len(code) > MAX_CODE_CELLS:
        found.append(f"{len(code)} code cells")
    if not notebook.cells[0].source.startswith("# ") or "?" not in notebook.cells[0].source:
        found.append("does not open with a title and a question")
    if "## Run details" not in [cell.source for cell in notebook.cells]:
        found.append("does not end with run details")
    return found


def external_addresses(page: str) -> list[str]:
    """Everything a page would fetch, or name, outside itself; the SVG name space is no address."""
    return EXTERNAL.findall(page) + NAMED.findall(page)


def undocumented(path: Path) -> list[str]:
    """Public functions and classes, and the modules themselves, without a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [] if ast.get_docstring(tree) else [f"{path.name}: module"]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            inside = any(
                isinstance(parent, ast.FunctionDef) and node in ast.walk(parent)
                for parent in ast.walk(tree)
                if parent is not node
            )
            if not inside and not ast.get_docstring(node):
                found.append(f"{path.name}:{node.lineno} {node.name}")
    return found


def locked_versions(lock: str) -> list[str]:
    """Lines of the lock that are not exact pins with hashes, and addresses in it."""
    found = [line for line in lock.splitlines() if "://" in line]
    entries = re.split(r"\n(?=\S)", lock)
    for entry in entries:
        if entry.startswith("#") or not entry.strip():
            continue
        if "==" not in entry.splitlines()[0] or "--hash=sha256:" not in entry:
            found.append(entry.splitlines()[0])
    return found
