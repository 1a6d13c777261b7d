"""Pictures of the funnel; each takes a review and returns the Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter, PercentFormatter

from salesops_lib.errors import InsufficientData, needed
from salesops_lib.funnel.analysis import Review
from salesops_lib.funnel.levers import lever_said
from salesops_lib.funnel.shown import MORE, whole_rate
from salesops_lib.language import dated, mark, say
from salesops_lib.passages import WON, called
from salesops_lib.present import ACCENT, INK, MUTED, SECOND, WIDTH_IN, how_to_read, number
from salesops_lib.present.numbers import localised

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OPEN_GREY = "#d7dee4"
MIXES = {
    "segment": mark("mix of segments"), "source": mark("mix of sources"), "product": mark("mix of products"),
    "region": mark("mix of regions"), "team": mark("mix of teams"), "rep": mark("mix of reps"),
}  # fmt: skip
FLOW_IN = 0.28  # of the width, the bar of a stage in the flow


@how_to_read(
    "Read upwards at an age: the share of deals won by then, still open, and lost.",
    method="funnel",
    kpis=("K03",),
)
def plot_incidence(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw what became of deals by age: won, still open, lost, stacked to 100 %.

    Raises
    ------
    InsufficientData
        Where conversion cannot be told.
    """
    found = needed(result.conversion)
    rows = found.curve[found.curve["days"].le(2 * found.horizon_days)]
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 3.0))[1]
    won, still = rows["won"].to_numpy(), rows["open"].to_numpy()
    days = rows["days"].to_numpy()
    ax.fill_between(days, 0, won, step="post", color=ACCENT, linewidth=0, label=say("won"))
    ax.fill_between(days, won, won + still, step="post", color=OPEN_GREY, linewidth=0, label=say("still open"))
    ax.fill_between(days, won + still, 1, step="post", facecolor="white", edgecolor=SECOND, hatch="////",
                    linewidth=0, label=say("lost"))  # fmt: skip
    ax.axvline(found.horizon_days, color=INK, linewidth=1, linestyle="--")
    at = int(np.searchsorted(days, found.horizon_days, side="right")) - 1
    said = say("{share} won by day {day}", share=f"{won[at]:.0%}", day=localised(f"{found.horizon_days:g}"))
    ax.annotate(said, (found.horizon_days, won[at]), xytext=(5, 5), textcoords="offset points", fontsize=9)
    ax.set(xlim=(0, days[-1]), ylim=(0, 1), xlabel=say("days since the first stage"), ylabel="")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.set_title(say("What became of deals by age"), pad=22)
    ax.legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def describe_incidence(result: Review) -> str:
    """Say in one sentence what `plot_incidence` shows."""
    found = needed(result.conversion)
    row = found.curve[found.curve["days"].le(found.horizon_days)].iloc[-1]
    return say(
        "Stacked curves of {n} deals by age: after {days} days {won} are won, {lost} lost and {open} still open.",
        n=number(found.whole["n"].iloc[0], "count"), days=localised(f"{found.horizon_days:g}"),
        **{name: number(row[name], "percent") for name in ("won", "lost", "open")},
    )  # fmt: skip


@how_to_read(
    "A bar is the share of deals that goes on from a stage; the thin line is its 95 % interval.",
    method="funnel",
    kpis=("K22",),
)
def plot_steps(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw the share that goes on from each stage, with its interval.

    Raises
    ------
    InsufficientData
        Where no step can be told.
    """
    rows = needed(result.steps).iloc[::-1].reset_index(drop=True)
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 1.0 + 0.4 * len(rows)))[1]
    ax.barh(rows.index, rows["rate"].fillna(0), color=ACCENT, height=0.6, zorder=2)
    for y, row in rows.iterrows():
        if row["rate"] == row["rate"]:
            ax.plot([row["low"], row["high"]], [y, y], color=INK, linewidth=1.5, zorder=3)
        told = number(row["rate"], "percent") if row["status"] == "ok" else row["status"]
        said = say("{share}, {n} deals", share=told, n=number(row["n"], "count"))
        ax.annotate(said, (row["high"] if row["rate"] == row["rate"] else 0, y), xytext=(5, 0),
                    textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    steps = [f"{called(a)} → {called(b)}" for a, b in zip(rows["stage"], rows["next_stage"], strict=True)]
    ax.set_yticks(rows.index, steps, fontsize=8)
    ax.set_xlim(0, 1.3)
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.grid(axis="y", visible=False)
    ax.set_title(say("Share that goes on within {days} days", days=f"{result.conversion.horizon_days:g}"))
    return ax


def describe_steps(result: Review) -> str:
    """Say in one sentence what `plot_steps` shows."""
    told = ", ".join(
        say("{stage} to {following} {share}", stage=called(row.stage), following=called(row.next_stage),
            share=number(row.rate, "percent"))
        for row in needed(result.steps).itertuples()
    )  # fmt: skip
    return say("Bars of the share of deals that goes on from each stage: {told}.", told=told)


@how_to_read(
    "A point is the share of a month's deals that will be won, the line its interval; hollow ones are "
    "too young to be sure.",
    method="funnel",
    kpis=("K03",),
)
def plot_cohorts(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw the projected win rate by month of entry, young cohorts dashed and hollow.

    Raises
    ------
    InsufficientData
        Where conversion, or every cohort, is too small.
    """
    rows = needed(result.cohorts).dropna(subset=["ultimate"])
    if rows.empty:
        raise InsufficientData(say("Cohorts"), needed=30, got=0, of=say("deals in one month"))
    rows = rows.tail(24).reset_index(drop=True)
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 2.8))[1]
    at, young = np.arange(len(rows)), rows["is_young"].to_numpy(dtype=bool)
    for mask, fill, style, label in (
        (~young, ACCENT, "-", say("seen to the horizon")),
        (young, "white", "--", say("projected")),
    ):
        part = rows[mask]
        if part.empty:
            continue
        ax.vlines(at[mask], part["ultimate_low"], part["ultimate_high"], color=ACCENT if fill == ACCENT else MUTED,
                  linestyle=style, linewidth=1.5)  # fmt: skip
        ax.plot(at[mask], part["ultimate"], "o", markerfacecolor=fill, color=ACCENT if fill == ACCENT else MUTED,
                markersize=5, label=label)  # fmt: skip
    step = max(1, len(rows) // 8)
    months = [dated(day, "MMM y").replace(" ", "\n") for day in rows["cohort"][::step]]
    ax.set_xticks(at[::step], months, fontsize=8)
    ax.set_ylim(0, None)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.legend(frameon=False, fontsize=8, loc="lower left", ncols=2)
    title = say("Share of each month's deals that will be won")
    ax.set(title=title, xlabel=say("month of the first stage"), ylabel="")
    return ax


def describe_cohorts(result: Review) -> str:
    """Say in one sentence what `plot_cohorts` shows."""
    rows = needed(result.cohorts).dropna(subset=["ultimate"]).tail(24)
    young = int(rows["is_young"].sum())
    return say(
        "Projected win rate of {n} monthly cohorts with intervals, from {low} to {high}; the {young} youngest are "
        "dashed, for most of it is projection.", n=len(rows), low=number(rows["ultimate"].min(), "percent"),
        high=number(rows["ultimate"].max(), "percent"), young=young,
    )  # fmt: skip


@how_to_read(
    "A bar is what one unit more of a lever brings in a quarter; the thin line is its interval.",
    method="funnel",
    kpis=("K43",),
)
def plot_levers(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw what one unit of each lever brings a quarter, with its interval.

    Raises
    ------
    InsufficientData
        Where levers cannot be told.
    """
    rows = needed(result.worth).iloc[::-1].reset_index(drop=True)
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 1.0 + 0.34 * len(rows)))[1]
    colours = [ACCENT if unit == "1 point" else MUTED for unit in rows["unit"]]
    ax.barh(rows.index, rows["worth"], color=colours, height=0.6, zorder=2)
    for y, row in rows.iterrows():
        ax.plot([row["low"], row["high"]], [y, y], color=INK, linewidth=1.3, zorder=3)
    named = [f"{lever_said(row.lever)}, {say(MORE.get(row.unit, row.unit))}" for row in rows.itertuples()]
    ax.set_yticks(rows.index, named, fontsize=8)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, "money")))
    ax.set_xlim(0, None)
    ax.grid(axis="y", visible=False)
    ax.set_title(say("What one unit brings a quarter, {currency}", currency=result.currency))
    return ax


def describe_levers(result: Review) -> str:
    """Say in one sentence what `plot_levers` shows."""
    rows = needed(result.worth)
    told = ", ".join(
        f"{lever_said(row.lever)} ({say(row.unit)}) {number(row.worth, 'money')}" for row in rows.itertuples()
    )
    return say(
        "Bars of what one unit of each lever brings a quarter in {currency}: {told}.",
        currency=result.currency, told=told,
    )  # fmt: skip


@how_to_read(
    "From the win rate before to that of now: mix is what was worked on, rate is how much of it was won.",
    method="funnel",
    kpis=("K03",),
)
def plot_change(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw the win rate before and now as bars from zero, mix and rate of the segments between them.

    Raises
    ------
    InsufficientData
        Where the periods cannot be compared.
    """
    parts = _change_parts(result)
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 1.0 + 0.32 * len(parts)))[1]
    at, level = np.arange(len(parts))[::-1], 0.0
    for y, (_, value, whole) in zip(at, parts, strict=True):
        begin = 0.0 if whole else level
        look = {"color": INK} if whole else {"color": ACCENT} if value >= 0 else {
            "facecolor": "white", "edgecolor": SECOND, "hatch": "////"}  # fmt: skip
        ax.barh(y, value, left=begin, height=0.62, zorder=2, **look)
        said = number(value, "share" if whole else "points", signed=not whole)
        ax.annotate(said, (max(begin, begin + value), y), xytext=(4, 0), textcoords="offset points", va="center",
                    fontsize=8)  # fmt: skip
        level = value if whole and y == at[0] else level + (0 if whole else value)
    ax.set_yticks(at, [label for label, *_ in parts], fontsize=8)
    ax.set_xlim(0, 1.2 * max(parts[0][1], parts[-1][1], 0.01))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.grid(axis="y", visible=False)
    ax.set_title(say("Win rate K03, {period} against before", period=result.period), fontsize=10)
    return ax


def _change_parts(result: Review) -> list[tuple[str, float, bool]]:
    rows = needed(result.change)
    by = rows.columns[0]
    (before, _), (after, _) = (whole_rate(rows, when) for when in ("before", "after"))
    rates = [
        (say("rate: {value}", value=value), float(rate), False)
        for value, rate in zip(rows[by], rows["rate"], strict=True)
    ]
    return [
        (say("before"), before, True),
        (say(MIXES.get(by, f"mix of {by}s")), float(rows["mix"].sum()), False),
        *rates,
        (say("now"), after, True),
    ]


def describe_change(result: Review) -> str:
    """Say in one sentence what `plot_change` shows."""
    first, *middle, last = _change_parts(result)
    told = ", ".join(f"{label} {number(value, 'points', signed=True)}" for label, value, _ in middle)
    return say(
        "Waterfall of the win rate from {before} to {after}: {told}; the parts add up exactly.",
        before=number(first[1], "share"), after=number(last[1], "share"), told=told,
    )  # fmt: skip


@how_to_read(
    "The height of a band is a number of deals: on to the next stage, or out where they were lost or are "
    "still open.",
    method="funnel",
    kpis=("K03",),
)
def plot_flow(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw deals flowing from stage to stage, and out where they are lost or still open; heights are deals.

    Raises
    ------
    InsufficientData
        Where conversion cannot be told.
    """
    rows = needed(result.steps)
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 3.0))[1]
    n = [*rows["n"], _won(result)]
    labels = [called(stage) for stage in (*rows["stage"], WON)]
    top = max(n)
    for k, count in enumerate(n):
        ax.bar(k, count, width=FLOW_IN, color=ACCENT if k + 1 < len(n) else INK, zorder=3)
        ax.annotate(
            number(count, "count"), (k, count), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=8
        )
        if k + 1 < len(n):
            x = np.linspace(k + FLOW_IN / 2, k + 1 - FLOW_IN / 2, 30)
            passed = np.full(30, float(n[k + 1]))
            ax.fill_between(x, 0, passed, color=ACCENT, alpha=0.35, linewidth=0)
            fade = np.linspace(1, 0, 30) ** 1.5
            ax.fill_between(x, passed, passed + (count - n[k + 1]) * fade, color=SECOND, alpha=0.25, linewidth=0)
    ax.set_xticks(range(len(n)), labels, fontsize=8)
    ax.set_ylim(0, 1.12 * top)
    ax.grid(axis="x", visible=False)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: localised(f"{value:,.0f}")))
    ax.set_title(say("Deals that reached each stage"))
    ax.set_xlabel(say("fading: lost, or still there"))
    return ax


def _won(result: Review) -> int:
    """Deals that went on from the last stage within the horizon."""
    return int(result.conversion.steps["reached"].iloc[-1])


def describe_flow(result: Review) -> str:
    """Say in one sentence what `plot_flow` shows."""
    rows = needed(result.steps)
    told = ", ".join(f"{called(row.stage)} {number(row.n, 'count')}" for row in rows.itertuples())
    won = number(_won(result), "count")
    return say("Flow of deals through the stages: {told}, won {won}.", told=told, won=won)
