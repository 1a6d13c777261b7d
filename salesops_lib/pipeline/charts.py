"""Pictures of the pipeline; each takes a result and returns the Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter

from salesops_lib.language import dated, say
from salesops_lib.present import ACCENT, INK, MUTED, SECOND, WIDTH_IN, how_to_read, number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from salesops_lib.pipeline.analysis import Review
    from salesops_lib.pipeline.movement import Waterfall


@how_to_read(
    "From the first bar to the last: full bars add, hatched ones take away.",
    method="pipeline",
    kpis=("K08",),
)
def plot_waterfall(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw the waterfall as bars from zero, one a bucket that moved; what adds is full, what takes away hatched.

    Raises
    ------
    InsufficientData
        Where the data cannot tell what moved.
    """
    moved = _waterfall(result)
    rows = _shown(moved)
    amounts = rows["amount"].astype(float).to_numpy()
    ends = np.cumsum(np.where(np.arange(len(rows)) == len(rows) - 1, 0, amounts))
    starts = np.r_[0, ends[:-2], 0]
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 0.8 + 0.3 * len(rows)))[1]
    at = np.arange(len(rows))[::-1]
    for y, begin, amount, bucket in zip(at, starts, amounts, rows["bucket"], strict=True):
        whole = bucket in ("start", "end")
        look = {"color": INK} if whole else {"color": ACCENT} if amount >= 0 else {
            "facecolor": "white", "edgecolor": SECOND, "hatch": "////"}  # fmt: skip
        ax.barh(y, amount, left=begin, height=0.66, zorder=2, **look)
        right = max(begin, begin + amount)
        said = number(amount, "money", signed=not whole)
        ax.annotate(said, (right, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    for y, level in zip(at[:-1], ends[:-1], strict=True):
        ax.plot([level, level], [y - 1.33, y + 0.33], color=MUTED, linewidth=0.7, zorder=1)
    ax.set_yticks(at, [say(bucket) for bucket in rows["bucket"]])
    ax.set_xlim(0, max(ends.max(), amounts[-1]) * 1.16 or 1)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, "money")))
    ax.grid(axis="y", visible=False)
    since, until = dated(moved.since, "dd MMM"), dated(moved.until, "dd MMM")
    title = say(
        "Pipeline of {period}, {since} to {until}, {currency}",
        period=moved.period, since=since, until=until, currency=moved.currency,
    )  # fmt: skip
    ax.set(title=title, xlabel="", ylabel="")
    return ax


def describe_waterfall(result: Review) -> str:
    """Say in one sentence what `plot_waterfall` shows."""
    moved = _waterfall(result)
    told = ", ".join(f"{say(row.bucket)} {number(row.amount, 'money')}" for row in _shown(moved).itertuples())
    return say(
        "Waterfall of the open pipeline of {period}: {buckets}; the parts add up exactly.",
        period=moved.period, buckets=told,
    )  # fmt: skip


def _waterfall(result: Review) -> Waterfall:
    if isinstance(result.waterfall, Exception):
        raise result.waterfall
    return result.waterfall


def _shown(moved: Waterfall) -> pd.DataFrame:
    rows = moved.buckets
    return rows[rows["amount"].ne(0) | rows["bucket"].isin(["start", "end"])]


@how_to_read(
    "A bar is the pipeline created in a week, its thin line what chance alone moves; level lines are "
    "what is needed.",
    method="pipeline",
    kpis=("K08",),
)
def plot_created(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw pipeline created per week with its chance interval, and what the next periods need a week."""
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 2.6))[1]
    weeks = result.created
    at = range(len(weeks))
    bars = ax.bar(at, weeks["amount"], color=ACCENT, width=0.72, zorder=2, label=say("created"))
    for bar, partial in zip(bars, weeks["is_partial"], strict=True):
        if partial:
            bar.set(facecolor="white", edgecolor=ACCENT, hatch="////", linewidth=1.2)
    spread = [(weeks["amount"] - weeks["low"]).clip(lower=0), (weeks["high"] - weeks["amount"]).clip(lower=0)]
    ax.errorbar(at, weeks["amount"], yerr=spread, fmt="none", ecolor=MUTED, elinewidth=1, capsize=2.5, zorder=3)
    need = 0.0 if isinstance(result.ahead, Exception) else float(result.ahead["per_week"].sum())
    if need:
        ax.axhline(need, color=INK, linewidth=1.6, label=say("needed for the next periods"))
        ax.legend(frameon=False, loc="upper left", ncols=2)
    ax.set_xticks(list(at), [dated(start, "dd\nMMM") for start in weeks["start"]], fontsize=8)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, "money")))
    ax.set_ylim(0, 1.25 * max(float(weeks[["amount", "high"]].max().max()), need) or 1)
    ax.grid(axis="x", visible=False)
    title = say("Pipeline created per week, {currency}", currency=result.currency)
    ax.set(title=title, xlabel=say("week starting"), ylabel="")
    return ax


def describe_created(result: Review) -> str:
    """Say in one sentence what `plot_created` shows."""
    full = result.created[~result.created["is_partial"]]
    mean = full["amount"].mean() if len(full) else 0.0
    told = {"n": len(result.created), "amount": number(mean, "money")}
    if isinstance(result.ahead, Exception):
        return say("Bar chart of pipeline created in each of the last {n} weeks, on average {amount}.", **told)
    return say(
        "Bar chart of pipeline created in each of the last {n} weeks, on average {amount}; the next periods need "
        "{needed} a week.", **told, needed=number(result.ahead["per_week"].sum(), "money"),
    )  # fmt: skip
