"""Collect what pages say, and bring the catalogues up to date with it.

Messages stand in the code as the literal arguments of `say`, `say_many`, `mark`, `dated` and `counted`, and as
headings of tables (`LABELS`, `labels=`, `"labels":`); in notebooks also as the paragraphs of their Markdown; in
templates as calls of `say`, `say_many` and `dated`; in report definitions as titles. KPIs and checks are asked for
their words, which hold figures of the code.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat
import yaml
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from jinja2 import Environment

from salesops_lib.language import FOLDER

ROOT = FOLDER.parents[1]
DEFINITIONS = {  # modules with `words`, and where these stand
    "salesops_lib.kpis": "salesops_lib/kpis/registry.py",
    "salesops_lib.gate.registry": "salesops_lib/gate/registry.py",
}
Message = str | tuple[str, str]


def template(root: Path = ROOT) -> Catalog:
    """Collect every message of the package, its notebooks, templates and reports."""
    found = Catalog(project="salesops-workbench", charset="utf-8")
    for path, messages in _messages(root):
        for message in messages:
            found.add(message, locations=[(path.relative_to(root).as_posix(), 1)])
    return found


def paragraphs(markdown: str) -> list[str]:
    """Cut the text of a Markdown cell into what is translated at once; headings lose their marks."""
    return [part.lstrip("# ").strip() for part in markdown.split("\n\n") if part.strip()]


def update(root: Path = ROOT) -> Iterator[tuple[str, int, int]]:
    """Write the catalogues anew: `language`, messages and how many of them have no translation yet."""
    wanted = template(root)
    for path in sorted(FOLDER.glob("*.po")):
        with path.open("rb") as file:
            kept = read_po(file)
        kept.update(wanted, no_fuzzy_matching=True, update_creation_date=False)
        kept.obsolete.clear()
        with path.open("wb") as file:
            write_po(file, kept, sort_output=True, include_lineno=False, width=110)
        yield path.stem, len(kept), sum(not all(_strings(message)) for message in kept if message.id)


def _strings(message) -> tuple[str, ...]:
    return message.string if isinstance(message.string, tuple) else (message.string,)


def _messages(root: Path) -> Iterator[tuple[Path, Iterable[Message]]]:
    for path in sorted((root / "salesops_lib").rglob("*.py")):
        yield path, _of_code(path.read_text(encoding="utf-8"))
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        yield path, _of_notebook(nbformat.read(path, as_version=4))
    for path in sorted((root / "salesops_lib").rglob("*.j2")):
        yield path, _of_template(path.read_text(encoding="utf-8"))
    for path in sorted((root / "reports").glob("*.yaml")):
        yield path, list(_titles(yaml.safe_load(path.read_text(encoding="utf-8"))))
    for name, path in DEFINITIONS.items():
        yield root / path, importlib.import_module(name).words()


def _of_notebook(notebook: nbformat.NotebookNode) -> Iterator[Message]:
    for cell in notebook.cells:
        yield from paragraphs(cell.source) if cell.cell_type == "markdown" else _of_code(cell.source)


def _of_code(source: str) -> Iterator[Message]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield from _of_call(node)
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "labels":
                    yield from _texts(value)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id.endswith("LABELS") for target in targets):
                yield from _texts(node.value)


def _of_call(node: ast.Call) -> Iterator[Message]:
    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
    given = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    if name in ("say", "mark", "how_to_read"):
        yield from given[:1]
    elif name == "say_many" and len(given) == 2:
        yield given[0], given[1]
    elif name == "counted":
        yield from ((f"{{n}} {of}", f"{{n}} {of}s") for of in given)
    elif name == "dated":
        yield from given[:1]
    for keyword in node.keywords:
        if keyword.arg == "labels":
            yield from _texts(keyword.value)


def _texts(node: ast.expr | None) -> Iterator[str]:
    """Give the headings of a dict by column; a blank one is heard as the name of its column."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value or str(getattr(key, "value", "")).replace("_", " ")


def _of_template(text: str) -> Iterator[Message]:
    calls = Environment(extensions=["jinja2.ext.i18n"]).extract_translations
    for _, function, found in calls(text, gettext_functions=("say", "say_many", "dated")):
        texts = [found] if isinstance(found, str) else [text for text in found or () if text]
        if texts:  # else it is one that was marked where it was made
            yield (texts[0], texts[1]) if function == "say_many" else texts[0]


def _titles(definition: dict) -> Iterator[str]:
    for key, value in definition.items():
        if key == "title":
            yield value
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, dict):
                    yield from _titles(part)


if __name__ == "__main__":
    for language, n, missing in update():
        print(f"{language}: {n} messages, {missing} without a translation")
