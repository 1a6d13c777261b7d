"""Pictures of leads and activity; each takes a review and returns the Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from salesops_lib.errors import InsufficientData, needed
from salesops_lib.language import dated, mark, say
from salesops_lib.leads.analysis import Review
from salesops_lib.present import ACCENT, INK, MUTED, SECOND, WIDTH_IN, how_to_read, number
from salesops_lib.present.numbers import localised

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST_H = 72
CLOCKS = {"wall": (mark("wall clock"), ACCENT, "-"), "business": (mark("business clock"), SECOND, "--")}


@how_to_read(
    "A curve is the share of leads still waiting so many hours after they came; the sooner it falls the better.",
    method="funnel",
    kpis=("K20",),
)
def plot_waiting(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw the share of leads still waiting for an answer, by hours, on both clocks.

    Raises
    ------
    InsufficientData
        Where response times cannot be told.
    """
    rows = needed(result.waiting)
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 2.8))[1]
    for clock, (named, colour, style) in CLOCKS.items():
        part = rows[rows["clock"].eq(clock)]
        ax.step(part["hours"], part["waiting"], style, where="post", color=colour, label=say(named))
    ax.axhline(0.5, color=MUTED, linewidth=0.8)
    ax.set(xlim=(0, LONGEST_H), ylim=(0, 1), title=say("Leads still waiting for an answer"),
           xlabel=say("hours since creation"), ylabel="")  # fmt: skip
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.legend(frameon=False, fontsize=8)
    return ax


def describe_waiting(result: Review) -> str:
    """Say in one sentence what `plot_waiting` shows."""
    rows = needed(result.waiting)
    last = rows[rows["hours"].le(24)].groupby("clock")["waiting"].last()
    return say(
        "Curves of the share of leads still waiting for an answer: {wall} after 24 hours on the wall clock and "
        "{business} after 24 hours on the business clock.",
        **{clock: number(float(last[clock]), "percent") for clock in CLOCKS},
    )


@how_to_read(
    "A point is the share of a month's leads that qualify, the line its interval; hollow months are too "
    "young to be sure.",
    method="funnel",
    kpis=("K22",),
)
def plot_qualified(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw the qualification rate by month of creation, months not old enough hollow.

    Raises
    ------
    InsufficientData
        Where no month can be told.
    """
    rows = needed(result.cohorts).dropna(subset=["rate"]).tail(24)
    if rows.empty:
        raise InsufficientData(say("Qualification by month"), needed=30, got=0, of=say("leads in one month"))
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 2.6))[1]
    at, young = np.arange(len(rows)), rows["is_young"].to_numpy(dtype=bool)
    ax.vlines(at, rows["low"], rows["high"], color=MUTED, linewidth=1.4)
    ax.plot(at[~young], rows["rate"][~young], "o", color=ACCENT, markersize=5)
    if young.any():
        ax.plot(at[young], rows["rate"][young], "o", color=MUTED, markerfacecolor="white", markersize=5,
                label=say("not all 30 days old"))  # fmt: skip
        ax.legend(frameon=False, fontsize=8)
    step = max(1, len(rows) // 8)
    months = [dated(day, "MMM y").replace(" ", "\n") for day in rows["cohort"].iloc[::step]]
    ax.set_xticks(at[::step], months, fontsize=8)
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.set(title=say("Leads qualified within 30 days"), xlabel=say("month of creation"), ylabel="")
    return ax


def describe_qualified(result: Review) -> str:
    """Say in one sentence what `plot_qualified` shows."""
    rows = needed(result.cohorts).dropna(subset=["rate"]).tail(24)
    return say(
        "Points with intervals of the qualification rate of {n} monthly cohorts, from {low} to {high}.",
        n=len(rows), low=number(rows["rate"].min(), "percent"), high=number(rows["rate"].max(), "percent"),
    )  # fmt: skip


@how_to_read(
    "A dot is what a person was given against their turn; chance alone leaves one in twenty outside the band.",
    method="funnel",
    kpis=("K38", "K39"),
)
def plot_fairness(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw how many leads each person got against their turn, with the range that chance gives.

    Raises
    ------
    InsufficientData
        Where the distribution cannot be told.
    """
    from scipy.stats import binom

    rows = needed(result.fairness).iloc[::-1].reset_index(drop=True)
    total = int(rows["leads"].sum())
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 1.1 + 0.3 * len(rows)))[1]
    share = np.clip(rows["due"] / total, 0, 1)
    low, high = binom.ppf(0.025, total, share) / rows["due"], binom.ppf(0.975, total, share) / rows["due"]
    ax.hlines(rows.index, low, high, color=MUTED, linewidth=7, alpha=0.4, label=say("95 % of chance"))
    colours = [SECOND if unfair else ACCENT for unfair in rows["is_unfair"]]
    ax.scatter(rows["leads"] / rows["due"], rows.index, color=colours, zorder=3, s=30, label=say("leads"))
    expected = say("expected customers")
    ax.scatter(rows["value_share"], rows.index, marker="x", color=INK, zorder=3, s=26, label=expected)
    ax.axvline(1, color=INK, linewidth=1)
    ax.set_yticks(rows.index, rows["rep"], fontsize=8)
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * (value - 1):+.0f} %".replace("-", "−")))
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.set_title(say("Leads got, more or fewer than one's turn"), pad=22)
    ax.set_xlabel("")
    ax.legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def describe_fairness(result: Review) -> str:
    """Say in one sentence what `plot_fairness` shows."""
    rows = needed(result.fairness)
    ratio = rows["leads"] / rows["due"]
    return say(
        "Dots of the leads of {n} people against their turn, from {low} to {high}; {out} beyond chance.",
        n=len(rows), low=number(ratio.min(), "times"), high=number(ratio.max(), "times"),
        out=int(rows["is_unfair"].sum()),
    )  # fmt: skip


@how_to_read(
    "A point is leads given a like chance; on the diagonal as many became customers as was told; bars "
    "are 90 % intervals.",
    method="funnel",
)
def plot_reliability(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw the chance told against the share that became customers, with 90 % bars.

    Raises
    ------
    InsufficientData
        Where there is no score.
    """
    rows = needed(result.score).calibration.reliability
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 3.0))[1]
    top = 1.1 * float(max(rows["told"].max(), rows["high"].max()))
    ax.plot([0, top], [0, top], color=MUTED, linewidth=1, linestyle="--", label=say("kept to the word"))
    ax.vlines(rows["told"], rows["low"], rows["high"], color=ACCENT, linewidth=1.4)
    ax.plot(rows["told"], rows["came"], "o", color=ACCENT, markersize=5, label=say("a tenth of the leads each"))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.set(
        xlim=(0, top),
        ylim=(0, top),
        title=say("Lead score: told and come true"),
        xlabel=say("chance told"),
        ylabel=say("came true"),
    )
    ax.legend(frameon=False, fontsize=8)
    return ax


def describe_reliability(result: Review) -> str:
    """Say in one sentence what `plot_reliability` shows."""
    found = needed(result.score).calibration
    held = int(((found.reliability["low"] <= found.reliability["told"])
                & (found.reliability["told"] <= found.reliability["high"])).sum())  # fmt: skip
    return say(
        "Reliability diagram of the lead score on {n} newer leads: {held} of {tenths} tenths came as told, slope "
        "{slope}, intercept {intercept}.", n=number(found.n, "count"), held=held, tenths=len(found.reliability),
        slope=localised(f"{found.slope.value:.2f}"), intercept=localised(f"{found.intercept.value:+.2f}"),
    )  # fmt: skip


@how_to_read(
    "The dark part of a bar is time seen with customers; the pale rest is not observed, not idle.",
    method="funnel",
    kpis=("K19",),
)
def plot_day(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw the share of contracted time seen with customers by person; the pale rest is not observed.

    Raises
    ------
    InsufficientData
        Where no activity tells.
    """
    rows = needed(result.activity)
    if "observed" not in rows or rows["observed"].isna().all():
        of = say("people with logged calls or meetings")
        raise InsufficientData(say("Selling time"), needed=1, got=0, of=of)
    rows = rows.dropna(subset=["observed"]).iloc[::-1].reset_index(drop=True)
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 1.1 + 0.22 * len(rows)))[1]
    ax.barh(
        rows.index, rows["observed"], color=ACCENT, height=0.66, zorder=2, label=say("observed with customers")
    )
    ax.barh(rows.index, 1 - rows["observed"], left=rows["observed"], facecolor="white", edgecolor="#dfe5ea",
            height=0.66, zorder=1, label=say("not observed"))  # fmt: skip
    ax.hlines(rows.index, rows["observed_low"], rows["observed_high"], color=INK, linewidth=1.2, zorder=3)
    ax.set_yticks(rows.index, rows["rep"], fontsize=8)
    ax.set(xlim=(0, 1), ylim=(-0.6, len(rows) - 0.4))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.grid(axis="y", visible=False)
    ax.set_title(say("Contracted time"), pad=22)
    ax.legend(frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def describe_day(result: Review) -> str:
    """Say in one sentence what `plot_day` shows."""
    rows = needed(result.activity).dropna(subset=["observed"])
    return say(
        "Bars of contracted time of {n} people: {low} to {high} is seen with customers, the rest is not observed.",
        n=len(rows), low=number(rows["observed"].min(), "percent"),
        high=number(rows["observed"].max(), "percent"),
    )  # fmt: skip
