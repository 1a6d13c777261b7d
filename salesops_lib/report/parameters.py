"""A notebook's parameters, read from its tagged cell by `ast` and checked before anything runs."""

from __future__ import annotations

import ast
import tokenize
from dataclasses import dataclass
from io import StringIO
from typing import Any

from nbformat import NotebookNode

from salesops_lib.errors import ParameterError, unknown

TAG = "parameters"
SECRETS = {"password", "passwd", "pwd", "token", "secret", "credential", "credentials", "apikey", "dsn"}
SCALARS = {"str": str, "int": int, "float": float, "bool": bool, "None": None, "list": list}


@dataclass(frozen=True)
class Parameter:
    """One parameter: its name, type, default and the comment beside it."""

    name: str
    annotation: str
    default: Any
    help: str

    def read(self, value: Any) -> Any:
        """Check a value, or read it from text given on the command line.

        Text is only turned into what the annotation names: ``007`` stays text for a `str`.

        Raises
        ------
        ParameterError
            For a value of another type.
        """
        wanted = _types(self.annotation)
        if isinstance(value, str) and str not in wanted:
            value = _from_text(value)
        if not any(_is(value, kind) for kind in wanted) or not _holds(value, self.annotation):
            raise ParameterError(f"parameter {self.name} must be {self.annotation}, got {value!r}.")
        return value


def tagged(notebook: NotebookNode, tag: str) -> list[int]:
    """List the positions of the cells that carry a tag."""
    return [k for k, cell in enumerate(notebook.cells) if tag in cell.metadata.get("tags", ())]


def declared(notebook: NotebookNode, name: str) -> dict[str, Parameter]:
    """Read the parameters that a notebook declares, one a line: ``as_of: str = "2026-09-30"  # what it is``.

    Raises
    ------
    ParameterError
        Where there is not exactly one tagged cell, a line of it declares nothing, or by its name a secret.
    """
    cells = tagged(notebook, TAG)
    if len(cells) != 1:
        raise ParameterError(f"{name}: needs exactly one cell tagged {TAG!r}, has {len(cells)}.")
    source = notebook.cells[cells[0]].source
    comments = _comments(source)
    found = {}
    for line in ast.parse(source).body:
        if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value):
            raise ParameterError(f"{name}, parameters, line {line.lineno}: write `name: type = value  # meaning`.")
        try:
            default = ast.literal_eval(line.value)
        except ValueError as error:
            raise ParameterError(f"{name}, parameters, line {line.lineno}: the value must be plain.") from error
        if SECRETS & set(line.target.id.lower().split("_")):
            raise ParameterError(
                f"{name}, parameters, line {line.lineno}: {line.target.id} would stand in the page, the notebook "
                "and the run record. Read it from the environment or the keyring."
            )
        parameter = Parameter(line.target.id, ast.unparse(line.annotation), default, comments.get(line.lineno, ""))
        parameter.read(default)
        found[parameter.name] = parameter
    return found


def check(given: dict[str, Any], known: dict[str, Parameter], name: str) -> dict[str, Any]:
    """Check every given value against what the notebook declares.

    Raises
    ------
    ParameterError
        For an unknown name, with the near miss, or a wrong type.
    """
    for wanted in given:
        if wanted not in known:
            raise ParameterError(f"{name}: {unknown('parameter', wanted, known)}")
    return {wanted: known[wanted].read(value) for wanted, value in given.items()}


def _types(annotation: str) -> list[type | None]:
    """Understand ``str``, ``int``, ``float``, ``bool``, ``list[str]`` and unions of them with ``None``."""
    found = []
    for part in ast.unparse(ast.parse(annotation, mode="eval")).split("|"):
        base = part.strip().partition("[")[0]
        if base not in SCALARS:
            raise ParameterError(unknown("parameter type", base, SCALARS))
        found.append(SCALARS[base])
    return found


def _is(value: Any, kind: type | None) -> bool:
    if kind is None:
        return value is None
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)


def _holds(value: Any, annotation: str) -> bool:
    """Whether the items of a list have the type that ``list[…]`` names."""
    inner = annotation.partition("[")[2].rpartition("]")[0]
    return not isinstance(value, list) or not inner or all(_is(item, SCALARS.get(inner)) for item in value)


def _from_text(text: str) -> Any:
    try:
        return ast.literal_eval({"true": "True", "false": "False", "null": "None"}.get(text.lower(), text))
    except (ValueError, SyntaxError):
        return text


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ").strip() for t in tokens if t.type == tokenize.COMMENT}
