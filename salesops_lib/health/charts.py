"""Pictures of data health; each takes a result and returns the Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.ticker import PercentFormatter

from salesops_lib.health.analysis import Health
from salesops_lib.present import ACCENT, MUTED, SECOND, WIDTH_IN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = {"open": ("o", ACCENT), "won": ("s", SECOND), "lost": ("D", MUTED)}


def plot_completeness(result: Health, *, ax: Axes | None = None) -> Axes:
    """Draw the share of deals with each field filled, one row a field, one mark a state."""
    rows = result.completeness[result.completeness["n"] > 0]
    fields = list(dict.fromkeys(rows["field"]))
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 0.9 + 0.34 * max(len(fields), 1)))[1]
    for shift, (state, (mark, colour)) in zip((0.16, 0.0, -0.16), MARKS.items(), strict=True):
        part = rows[rows["state"].eq(state)]
        at = [len(fields) - 1 - fields.index(field) + shift for field in part["field"]]
        ax.hlines(at, 0, part["share"], color=colour, linewidth=1, alpha=0.5)
        ax.plot(part["share"], at, mark, color=colour, markersize=6, label=state, linestyle="none")
    ax.set_yticks(range(len(fields))[::-1], [field.replace("_", " ") for field in fields], fontsize=8)
    ax.set_xlim(0, 1.03)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.grid(axis="y", visible=False)
    ax.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    ax.set_title("Fields filled, by state of the deal", pad=26)
    return ax


def describe_completeness(result: Health) -> str:
    """Say in one sentence what `plot_completeness` shows."""
    rows = result.completeness[result.completeness["n"] > 0]
    if rows.empty:
        return "Dot chart of fields filled; there are no deals."
    worst = rows.loc[rows["share"].idxmin()]
    return (
        f"Dot chart of the share of deals with each of {rows['field'].nunique()} fields filled; lowest is "
        f"{worst['field'].replace('_', ' ')} of {worst['state']} deals at {worst['share']:.0%}."
    )
