"""Values picked in a lens, written into the text of the notebook's parameters cell."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from typing import Any


def parameters_with(picked: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Write picks into the parameters cell as it was last run; name those that are none of its parameters.

    Nothing is written where none of them fits; comments and other parameters stay as they are.
    """
    source = _parameters_cell()
    lines, left = source.splitlines(), dict(picked)
    for line in reversed(ast.parse(source).body):
        name, value = line.target.id, line.value
        if name not in left or (fit := _fitting(left[name], was := ast.literal_eval(value))) is None:
            continue
        del left[name]
        if fit != was:
            first, last = lines[value.lineno - 1].encode(), lines[value.end_lineno - 1].encode()
            new = json.dumps(fit, ensure_ascii=False) if isinstance(fit, str) else repr(fit)
            written = first[: value.col_offset] + new.encode() + last[value.end_col_offset :]
            lines[value.lineno - 1 : value.end_lineno] = [written.decode()]  # `ast` counts bytes
    return ("\n".join(lines) if len(left) < len(picked) else ""), list(left)


def _fitting(value: Any, instead_of: Any) -> Any:
    """The value as the parameter takes it; None where it is of another kind."""
    if isinstance(instead_of, list) and not isinstance(value, list):
        return [value] if value else []
    if isinstance(instead_of, float) and isinstance(value, int):
        return float(value)
    return value if isinstance(value, type(instead_of)) else None


def _parameters_cell() -> str:
    """Find the source of the cell last run that only declares: ``name: type = value``, once a line."""
    from IPython import get_ipython

    shell = get_ipython()
    ran: Iterable[str] = reversed(shell.user_ns.get("In", [])) if shell else ()
    return next((source for source in ran if _declares(source)), "")


def _declares(source: str) -> bool:
    try:
        lines = ast.parse(source).body
        for line in lines:
            ast.literal_eval(line.value)
    except (SyntaxError, ValueError, AttributeError):
        return False
    return bool(lines) and all(isinstance(x, ast.AnnAssign) and isinstance(x.target, ast.Name) for x in lines)
