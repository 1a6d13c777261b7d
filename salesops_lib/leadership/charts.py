"""Pictures of the leadership page; each takes a result and returns the Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter

from salesops_lib.leadership.analysis import Leadership
from salesops_lib.present import ACCENT, INK, MUTED, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_months(result: Leadership, *, ax: Axes | None = None) -> Axes:
    """Draw bookings by month as bars with their chance interval, and the monthly quota as a step.

    The month that is not over is hatched; where there is no quota, no line is drawn.
    """
    ax = ax or plt.subplots()[1]
    months = result.months
    at = range(len(months))
    bars = ax.bar(at, months["bookings"], color=ACCENT, width=0.72, label="booked", zorder=2)
    for bar, partial in zip(bars, months["is_partial"], strict=True):
        if partial:
            bar.set(facecolor="white", edgecolor=ACCENT, hatch="////", linewidth=1.2)
    spread = [
        (months["bookings"] - months["low"]).clip(lower=0),
        (months["high"] - months["bookings"]).clip(lower=0),
    ]
    ax.errorbar(at, months["bookings"], yerr=spread, fmt="none", ecolor=MUTED, elinewidth=1, capsize=2.5, zorder=3)
    if (months["quota"] > 0).any():
        edges = [k - 0.5 for k in range(len(months) + 1)]
        ax.stairs(months["quota"], edges, color=INK, linewidth=1.6, label="quota", baseline=None, zorder=4)
        ax.legend(frameon=False, loc="upper left", ncols=2)
    ax.set_xticks(list(at), [label.replace(" ", "\n") for label in months["month"]], fontsize=8)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, "money")))
    ax.set_ylim(bottom=0)
    ax.grid(axis="x", visible=False)
    ax.set(title="Bookings by month", xlabel="", ylabel="")
    return ax


def describe_months(result: Leadership) -> str:
    """Say in one sentence what `plot_months` shows."""
    months = result.months
    full = months[~months["is_partial"]]
    if full.empty or not full["bookings"].sum():
        return "Bar chart of bookings by month; nothing was booked in a complete month."
    best, worst = full.loc[full["bookings"].idxmax()], full.loc[full["bookings"].idxmin()]
    return (
        f"Bar chart of bookings for {len(months)} fiscal months: highest {best['month']} with "
        f"{number(best['bookings'], 'money')} {result.currency}, lowest {worst['month']} with "
        f"{number(worst['bookings'], 'money')}."
    )
