"""The lens: a call with a drop-down for each choice, for a live notebook only."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from salesops_lib.errors import ParameterError, SalesOpsError, unknown
from salesops_lib.present.blocks import note
from salesops_lib.present.figures import show
from salesops_lib.present.tables import kpi_table, table


def explore(function: Callable[..., Any], *fixed: Any, **choices: Iterable[Any]) -> Any:
    """Turn a call into a lens with a drop-down for each choice; for a live notebook, never an input of a page.

    Parameters
    ----------
    function, fixed
        What to call, and its first arguments.
    choices
        Values to pick from, by argument name.

    Raises
    ------
    ParameterError
        For a choice `function` does not take.
    """
    import ipywidgets

    known = inspect.signature(function).parameters
    for name in choices:
        if name not in known and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
            raise ParameterError(unknown("argument", name, known))

    def look(**picked: Any) -> None:
        from IPython.display import display

        try:
            display(_shown(function(*fixed, **picked)))
        except SalesOpsError as error:
            display(note(str(error)))

    lenses = {
        name: ipywidgets.Dropdown(options=list(values), description=name) for name, values in choices.items()
    }
    return ipywidgets.interactive(look, **lenses)


def _shown(result: Any) -> Any:
    import pandas as pd

    if isinstance(result, pd.DataFrame):
        return kpi_table(result) if "kpi_id" in result else table(result)
    return show(result, "chart picked in the lens") if hasattr(result, "get_figure") else result
