"""Pictures of the leadership page; each takes a result and returns the Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter

from salesops_lib.forecast.charts_pipeline import plot_fan
from salesops_lib.language import mark, say
from salesops_lib.leadership.ahead import Ahead
from salesops_lib.leadership.analysis import Leadership
from salesops_lib.leadership.outlook import so_many
from salesops_lib.present import ACCENT, INK, MUTED, SECOND, WIDTH_IN, how_to_read, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WEEK_OF = {
    "week": mark("week of the week"), "month": mark("week of the month"), "quarter": mark("week of the quarter"),
    "year": mark("week of the year"),
}  # fmt: skip


@how_to_read(
    "The line is booked so far, the level line the quota, where there is one; the bands, or the point, are "
    "where the period may end; grey, where shown, is past periods at the same week.",
    method="leadership",
    kpis=("K26",),
)
def plot_outlook(result: Leadership, *, ax: Axes | None = None) -> Axes:
    """Draw bookings so far by week, past periods, the quota, and the forecast or where past periods would end."""
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 3.0))[1]
    return _fan(result, result.ahead, ax) if result.ahead else _past(result, ax)


def _fan(result: Leadership, ahead: Ahead, ax: Axes) -> Axes:
    """Draw the forecast over past periods at the same week, and what was submitted as commit."""
    weeks, found = result.outlook.weeks, result.outlook
    if found.n and weeks["mid"].notna().any():
        for bound in ("low", "high"):
            ax.plot(weeks["week"], weeks[bound], color=MUTED, linewidth=1.0, linestyle=":",
                    label=_last(result) if bound == "low" else None)  # fmt: skip
    plot_fan(ahead.now, ax=ax)
    if ahead.commit == ahead.commit:
        ax.axhline(ahead.commit, color=INK, linewidth=1.2, linestyle="-.", label=say("submitted commit"))
        ax.legend(frameon=False, loc="upper left", ncols=3, fontsize=8.5)
    low, high = ax.get_ylim()
    tops = [high, 1.3 * ahead.commit, 1.25 * weeks["high"].max()]
    ax.set_ylim(low, np.nanmax(tops))
    ax.set_xlabel(say(WEEK_OF[result.period.kind]))
    return ax


def _last(result: Leadership) -> str:
    return say("last {periods}", periods=so_many(result.outlook.n, result.period.kind))


def _past(result: Leadership, ax: Axes) -> Axes:
    found = result.outlook
    weeks = found.weeks
    if found.n and weeks["mid"].notna().any():
        ax.fill_between(weeks["week"], weeks["low"], weeks["high"], color=MUTED, alpha=0.18, linewidth=0,
                        label=_last(result))  # fmt: skip
        ax.plot(weeks["week"], weeks["mid"], color=MUTED, linewidth=1.2, linestyle="--",
                label=say("their median"))  # fmt: skip
    ax.plot(weeks["week"], weeks["booked"], color=ACCENT, linewidth=2.4, marker="o", markersize=3.5,
            label=say("booked"))  # fmt: skip
    last = int(weeks["week"].max())
    if found.ends_mid == found.ends_mid:
        spread = [[found.ends_mid - found.ends_low], [found.ends_high - found.ends_mid]]
        look = {"fmt": "D", "color": SECOND, "markersize": 5, "capsize": 4}
        ax.errorbar([last + 0.6], [found.ends_mid], spread, label=say("end, if like them"), **look)
    if found.quota > 0:
        ax.axhline(found.quota, color=INK, linewidth=1.6)
        beside = {"xytext": (0, 3), "textcoords": "offset points", "fontsize": 9, "ha": "right"}
        ax.annotate(say("quota"), (last, found.quota), **beside)
    ax.set_xlim(0.5, last + 1.2)
    tops = [found.quota, found.ends_high, *weeks[["booked", "high"]].max()]
    ax.set_ylim(0, 1.4 * np.nanmax([0.0, *tops]) or 1)
    ax.set_xticks(range(1, last + 1, max(last // 13, 1)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, "money")))
    ax.legend(frameon=False, loc="upper left", ncols=2, fontsize=8.5)
    ax.grid(axis="x", visible=False)
    ax.set(
        title=say("Bookings in {period}, {currency}", period=result.period, currency=result.currency),
        xlabel=say(WEEK_OF[result.period.kind]),
        ylabel="",
    )
    return ax


def describe_outlook(result: Leadership) -> str:
    """Say in one sentence what `plot_outlook` shows."""
    if result.ahead:
        said = say(
            "Line of cumulative bookings by week and their 50, 80 and 95 % ranges to come, beside past periods "
            "and quota."
        )
        return f"{said} {result.ahead.now.headline} {result.caption}"
    said = say("Line of cumulative bookings by week beside past periods and quota.")
    return f"{said} {result.standing}"
