"""Rows in a grid to search, sort and page through; for a live notebook only."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from salesops_lib.language import say
from salesops_lib.present.blocks import note
from salesops_lib.present.numbers import counted

if TYPE_CHECKING:
    import pandas as pd

ROWS, COLUMNS = 1_000, 9  # that a grid holds: what a browser moves with ease, what stands side by side
PAGE = 10
NOTE = "note"  # among the attributes of a frame: a sentence on what its rows are


def grid(frame: pd.DataFrame) -> list[Any]:
    """Show rows in a grid: widgets, the first of which says how many there are and what is left out.

    Text is escaped by the grid itself. All its code comes with the library: nothing is fetched.
    """
    import ipywidgets as widgets
    from itables.widget import ITable

    said = f"{counted(len(frame), 'row')}."
    if frame.empty:
        return [widgets.HTML(note(said).markup)]
    filled = frame.loc[:, frame.notna().any()]
    shown = filled.iloc[:ROWS, :COLUMNS]
    if shown.shape != frame.shape:
        given = {"rows": counted(len(shown), "row"), "columns": shown.shape[1], "all": frame.shape[1]}
        left = say("Shown: {rows}, {columns} of {all} columns; the export has all.", **given)
        if len(shown) < len(frame):
            left = say(
                "Shown, sorted and searched are only the first {rows}, {columns} of {all} columns; the export has "
                "all.",
                **given,
            )
        said = f"{said} {left}"
    said = f"{said} {frame.attrs.get(NOTE, '')}".strip()
    made = ITable(
        _readable(shown), maxBytes=0, maxRows=0, showIndex=False, allow_html=False, pageLength=PAGE,
        lengthMenu=[PAGE, 50], classes="display compact", style="width:100%;margin:0",
        text_in_header_can_be_selected=False,
    )  # fmt: skip
    return [widgets.HTML(note(said).markup), made]


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    """Write days as ISO days, flags as words, amounts with thousands, which the grid can sort."""
    import pandas as pd

    out = {}
    for name, column in frame.items():
        values = column.astype(float) if any(isinstance(value, Decimal) for value in column) else column
        if pd.api.types.is_datetime64_any_dtype(values):
            are_days = values.dropna().dt.normalize().eq(values.dropna()).all()
            values = values.dt.strftime("%Y-%m-%d" if are_days else "%Y-%m-%d %H:%M").fillna("")
        elif pd.api.types.is_bool_dtype(values):
            values = values.astype(object).map({True: "yes", False: "no"}).fillna("")
        elif pd.api.types.is_float_dtype(values):
            digits = 0 if values.dropna().mod(1).eq(0).all() else 2
            values = values.astype(float).map(f"{{:,.{digits}f}}".format, na_action="ignore").fillna("")
        elif not pd.api.types.is_numeric_dtype(values) or values.isna().any():
            values = values.astype(object).where(values.notna(), "").astype(str)
        out[str(name).replace("_", " ")] = values
    return pd.DataFrame(out)
