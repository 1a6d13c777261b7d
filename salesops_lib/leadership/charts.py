"""Pictures of the leadership page; each takes a result and returns the Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter

from salesops_lib.leadership.analysis import Leadership
from salesops_lib.present import ACCENT, INK, MUTED, SECOND, WIDTH_IN, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_outlook(result: Leadership, *, ax: Axes | None = None) -> Axes:
    """Draw bookings so far by week, past periods as a band, the quota, and where past periods would end it."""
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 3.0))[1]
    found = result.outlook
    weeks = found.weeks
    if found.n and weeks["mid"].notna().any():
        ax.fill_between(weeks["week"], weeks["low"], weeks["high"], color=MUTED, alpha=0.18, linewidth=0,
                        label=f"last {found.n} {result.period.kind}s")  # fmt: skip
        ax.plot(weeks["week"], weeks["mid"], color=MUTED, linewidth=1.2, linestyle="--", label="their median")
    ax.plot(
        weeks["week"], weeks["booked"], color=ACCENT, linewidth=2.4, marker="o", markersize=3.5, label="booked"
    )
    last = int(weeks["week"].max())
    if found.ends_mid == found.ends_mid:
        spread = [[found.ends_mid - found.ends_low], [found.ends_high - found.ends_mid]]
        look = {"fmt": "D", "color": SECOND, "markersize": 5, "capsize": 4}
        ax.errorbar([last + 0.6], [found.ends_mid], spread, label="end, if like them", **look)
    if found.quota > 0:
        ax.axhline(found.quota, color=INK, linewidth=1.6)
        ax.annotate(
            "quota", (last, found.quota), xytext=(0, 3), textcoords="offset points", fontsize=9, ha="right"
        )
    ax.set_xlim(0.5, last + 1.2)
    tops = [found.quota, found.ends_high, *weeks[["booked", "high"]].max()]
    ax.set_ylim(0, 1.4 * np.nanmax([0.0, *tops]) or 1)
    ax.set_xticks(range(1, last + 1, max(last // 13, 1)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, "money")))
    ax.legend(frameon=False, loc="upper left", ncols=2, fontsize=8.5)
    ax.grid(axis="x", visible=False)
    ax.set(
        title=f"Bookings in {result.period}, {result.currency}",
        xlabel=f"week of the {result.period.kind}",
        ylabel="",
    )
    return ax


def describe_outlook(result: Leadership) -> str:
    """Say in one sentence what `plot_outlook` shows."""
    return f"Line of cumulative bookings by week beside past periods and quota. {result.standing}"
