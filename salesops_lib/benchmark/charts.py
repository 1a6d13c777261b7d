"""Pictures of rep benchmarking; each takes a result and returns the Axes. Order is by name, never by rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.ticker import PercentFormatter

from salesops_lib.benchmark.analysis import Reps
from salesops_lib.errors import InsufficientData
from salesops_lib.language import say
from salesops_lib.present import ACCENT, INK, MUTED, WIDTH_IN, number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def plot_attainment(result: Reps, *, ax: Axes | None = None) -> Axes:
    """Draw each rep's quota attainment with its interval, and the line at 100 %.

    Raises
    ------
    InsufficientData
        Where nobody has a quota.
    """
    rows = result.reps.dropna(subset=["attainment"])
    if rows.empty:
        raise InsufficientData(say("Attainment by rep"), needed=1, got=0, of=say("reps with a quota"))
    columns = ("attainment", "attainment_low", "attainment_high")
    title = say("Quota attainment, {period}", period=result.period)
    return _intervals(rows, columns, 1.0, say("quota {share}", share=f"{1:.0%}"), title, ax)


def plot_win_rate(result: Reps, *, ax: Axes | None = None) -> Axes:
    """Draw each rep's win rate with its 95 % interval, and the company's.

    Raises
    ------
    InsufficientData
        Where nobody closed a deal.
    """
    rows = result.reps.dropna(subset=["win_rate"])
    if rows.empty:
        raise InsufficientData(say("Win rate by rep"), needed=1, got=0, of=say("reps with closed deals"))
    columns, title = ("win_rate", "win_low", "win_high"), say("Win rate, {period}", period=result.period)
    named = say("company {share}", share=f"{result.win_rate:.0%}")
    return _intervals(rows, columns, result.win_rate, named, title, ax)


def _intervals(
    rows: pd.DataFrame, columns: tuple[str, str, str], line: float, named: str, title: str, ax: Axes | None
) -> Axes:
    """Draw points with intervals on one row a rep; an interval that misses the line is drawn dark."""
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 0.9 + 0.22 * len(rows)))[1]
    value, low, high = (rows[column].astype(float).to_numpy() for column in columns)
    at = list(range(len(rows)))[::-1]
    apart = (low > line) | (high < line)
    for k, y in enumerate(at):
        colour = ACCENT if apart[k] else MUTED
        ax.plot([low[k], high[k]], [y, y], color=colour, linewidth=2, solid_capstyle="round")
        ax.plot(value[k], y, "o" if apart[k] else "D", color=colour, markersize=5)
    ax.axvline(line, color=INK, linewidth=1.2, linestyle="--")
    ax.annotate(named, (line, 1), xycoords=("data", "axes fraction"), xytext=(4, 2),
                textcoords="offset points", fontsize=8, color=INK)  # fmt: skip
    ax.set_yticks(at, rows["name"], fontsize=8)
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.grid(axis="y", visible=False)
    ax.set_title(title, pad=16)
    return ax


def describe_attainment(result: Reps) -> str:
    """Say in one sentence what `plot_attainment` shows."""
    columns = ("attainment", "attainment_low", "attainment_high")
    return _describe(result, columns, 1.0, say("quota attainment"))


def describe_win_rate(result: Reps) -> str:
    """Say in one sentence what `plot_win_rate` shows."""
    return _describe(result, ("win_rate", "win_low", "win_high"), result.win_rate, say("win rate"))


def _describe(result: Reps, columns: tuple[str, str, str], line: float, what: str) -> str:
    value, low, high = columns
    seen = result.reps.dropna(subset=[value])
    above, below = int((seen[low] > line).sum()), int((seen[high] < line).sum())
    rest = len(seen) - above - below
    return say(
        "Point and interval chart of {what} for {n} reps by name: {above} lie clearly above {level}, {below} "
        "clearly below, the intervals of the other {rest} hold it.",
        what=what, n=len(seen), above=above, level=number(line, "percent"), below=below, rest=rest,
    )  # fmt: skip
