"""Pictures of data health; each takes a result and returns the Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from salesops_lib.errors import InsufficientData
from salesops_lib.health.analysis import Health
from salesops_lib.present import INK, MUTED, SECOND, WIDTH_IN, how_to_read, number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# darkness follows weight, so that it prints in grey
COLOURS = {"red": "#8f0d1e", "amber": SECOND, "note": "#aab4bd"}
PALE = "#dfe5ea"
MOST = 12  # bars


@how_to_read(
    "A bar is the share of rows that a finding concerns; red blocks reports, amber stands on top of every page.",
    method="data_health",
)
def plot_findings(result: Health, *, ax: Axes | None = None) -> Axes:
    """Draw which share of its rows each finding concerns: one bar a finding, red first, its title above it.

    Raises
    ------
    InsufficientData
        Where no finding is a share of something.
    """
    rows = _with_share(result).head(MOST)
    if rows.empty:
        raise InsufficientData("Share of rows by finding", needed=1, got=0, of="findings with a share of rows")
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 0.6 + 0.46 * len(rows)))[1]
    for y, row in enumerate(reversed(list(rows.itertuples()))):
        label = None if row.severity in _labels(ax) else row.severity
        ax.barh(y, 1, height=0.3, color=PALE)
        ax.barh(y, row.share, height=0.3, color=COLOURS[row.severity], label=label)
        ax.text(0, y + 0.2, row.finding, fontsize=9.5, color=INK, va="bottom")
        ax.text(1.02, y, f"{row.rows:,}, {_percent(row.share)}", fontsize=9.5, color=INK, va="center")
    _bare(ax, len(rows))
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], frameon=False, fontsize=9.5, ncols=3, loc="lower right",
              bbox_to_anchor=(1, 1), borderaxespad=0)  # fmt: skip
    ax.set_title("Share of rows with each finding", pad=10)
    return ax


def describe_findings(result: Health) -> str:
    """Say in one sentence what `plot_findings` shows."""
    rows = _with_share(result)
    most = rows.loc[rows["share"].idxmax()]
    shown = f" (the first {MOST} of {len(rows)} are drawn)" if len(rows) > MOST else ""
    return (
        f"Bars of the share of rows with each of {len(rows)} findings{shown}; the largest is "
        f"{most['finding'].lower()}, {most['rows']:,} rows or {_percent(most['share'])}."
    )


@how_to_read(
    "A bar is an owner's open deals; the dark part of it nobody has touched for long.",
    method="data_health",
)
def plot_staleness(result: Health, *, ax: Axes | None = None) -> Axes:
    """Draw open deals by owner and, dark, those nobody has touched for long; most money in stale deals first.

    Raises
    ------
    InsufficientData
        Where no deal is stale, or nobody can tell.
    """
    rows = result.staleness.head(MOST)
    if rows.empty:
        raise InsufficientData("Stale deals by owner", needed=1, got=0, of="stale deals")
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 0.9 + 0.28 * len(rows)))[1]
    at = list(range(len(rows)))[::-1]
    ax.barh(at, rows["open"], height=0.6, color=PALE, label="open")
    ax.barh(at, rows["stale"], height=0.6, color=SECOND, label="stale")
    for y, stale, n in zip(at, rows["stale"], rows["open"], strict=True):
        ax.text(n, y, f" {stale} of {n}", fontsize=9, color=MUTED, va="center")
    ax.set_yticks(at, rows["owner"], fontsize=9)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(0, rows["open"].max() * 1.2)
    ax.grid(axis="y", visible=False)
    ax.legend(frameon=False, fontsize=9.5, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    ax.set_title("Stale deals by owner", pad=10)
    return ax


def describe_staleness(result: Health) -> str:
    """Say in one sentence what `plot_staleness` shows."""
    rows = result.staleness
    first = rows.iloc[0]
    shown = f" (the first {MOST} are drawn)" if len(rows) > MOST else ""
    return (
        f"Bars of open and stale deals of {len(rows)} owners who have stale ones{shown}; first is "
        f"{first['owner']} with {first['stale']} of {first['open']}."
    )


def _with_share(result: Health) -> pd.DataFrame:
    rows = result.findings
    return rows[rows["share"].gt(0)]


def _percent(share: float) -> str:
    return number(share, "percent") if share >= 0.1 else number(share, "share")


def _labels(ax: Axes) -> list[str]:
    return ax.get_legend_handles_labels()[1]


def _bare(ax: Axes, n: int) -> None:
    """Leave bars and their texts only: the numbers stand beside the titles."""
    ax.set(yticks=[], xticks=[], xlim=(0, 1.3), ylim=(-0.4, n - 0.2))
    for spine in ax.spines.values():
        spine.set_visible(False)
