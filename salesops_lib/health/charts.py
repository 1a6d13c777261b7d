"""Pictures of data health; each takes a result and returns the Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from salesops_lib.errors import InsufficientData
from salesops_lib.health.analysis import Health
from salesops_lib.language import ENGLISH, language, say
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
        raise InsufficientData(
            say("Share of rows by finding"), needed=1, got=0, of=say("findings with a share of rows")
        )
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 0.6 + 0.46 * len(rows)))[1]
    for y, row in enumerate(reversed(list(rows.itertuples()))):
        label = None if say(row.severity) in _labels(ax) else say(row.severity)
        ax.barh(y, 1, height=0.3, color=PALE)
        ax.barh(y, row.share, height=0.3, color=COLOURS[row.severity], label=label)
        ax.text(0, y + 0.2, row.finding, fontsize=9.5, color=INK, va="bottom")
        ax.text(
            1.02, y, f"{number(row.rows, 'count')}, {_percent(row.share)}", fontsize=9.5, color=INK, va="center"
        )
    _bare(ax, len(rows))
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], frameon=False, fontsize=9.5, ncols=3, loc="lower right",
              bbox_to_anchor=(1, 1), borderaxespad=0)  # fmt: skip
    ax.set_title(say("Share of rows with each finding"), pad=10)
    return ax


def describe_findings(result: Health) -> str:
    """Say in one sentence what `plot_findings` shows."""
    rows = _with_share(result)
    most = rows.loc[rows["share"].idxmax()]
    # English writes a title inside a sentence small; other languages may not
    finding = most["finding"].lower() if language() == ENGLISH else most["finding"]
    told = {"n": len(rows), "finding": finding, "rows": number(most["rows"], "count")}
    told["share"] = _percent(most["share"])
    if len(rows) > MOST:
        return say(
            "Bars of the share of rows with each of {n} findings (the first {most} of {n} are drawn); the largest "
            "is {finding}, {rows} rows or {share}.",
            **told,
            most=MOST,
        )
    return say(
        "Bars of the share of rows with each of {n} findings; the largest is {finding}, {rows} rows or {share}.",
        **told,
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
        raise InsufficientData(say("Stale deals by owner"), needed=1, got=0, of=say("stale deals"))
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 0.9 + 0.28 * len(rows)))[1]
    at = list(range(len(rows)))[::-1]
    ax.barh(at, rows["open"], height=0.6, color=PALE, label=say("open"))
    ax.barh(at, rows["stale"], height=0.6, color=SECOND, label=say("stale"))
    for y, stale, n in zip(at, rows["stale"], rows["open"], strict=True):
        ax.text(n, y, " " + say("{n} of {total}", n=stale, total=n), fontsize=9, color=MUTED, va="center")
    ax.set_yticks(at, rows["owner"], fontsize=9)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(0, rows["open"].max() * 1.2)
    ax.grid(axis="y", visible=False)
    ax.legend(frameon=False, fontsize=9.5, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    ax.set_title(say("Stale deals by owner"), pad=28)  # above the legend, however long the words are
    return ax


def describe_staleness(result: Health) -> str:
    """Say in one sentence what `plot_staleness` shows."""
    rows = result.staleness
    first = rows.iloc[0]
    told = {"n": len(rows), "owner": first["owner"], "stale": first["stale"], "open": first["open"]}
    if len(rows) > MOST:
        return say(
            "Bars of open and stale deals of {n} owners who have stale ones (the first {most} are drawn); first "
            "is {owner} with {stale} of {open}.",
            **told,
            most=MOST,
        )
    return say(
        "Bars of open and stale deals of {n} owners who have stale ones; first is {owner} with {stale} of {open}.",
        **told,
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
