"""Pictures of projections and replays; each takes a result and returns the Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, PercentFormatter

from salesops_lib.errors import InsufficientData
from salesops_lib.forecast.replay import WAY_LABELS
from salesops_lib.language import say
from salesops_lib.present import ACCENT, INK, MUTED, SECOND, WIDTH_IN, counted, how_to_read, interval, number
from salesops_lib.present.numbers import localised

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from salesops_lib.forecast.beside import Beside
    from salesops_lib.forecast.hindsight import LookBack
    from salesops_lib.forecast.projection import Projection
    from salesops_lib.forecast.replay import Replay

FANS = {"95 %": ("q2.5", "q97.5", 0.16), "80 %": ("q10", "q90", 0.24), "50 %": ("q25", "q75", 0.34)}
MONEY = FuncFormatter(lambda value, _: number(value, "money"))


@how_to_read(
    "The line is booked so far; the bands hold 50, 80 and 95 % of outcomes, the dashed line is the most "
    "likely one, the level line the quota, where there is one.",
    method="forecast",
    kpis=("K26",),
)
def plot_fan(result: Projection, *, ax: Axes | None = None) -> Axes:
    """Draw bookings so far by week, the ranges of what they will come to, and the quota."""
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 3.0))[1]
    weeks = result.weeks.astype({"booked": float, "week": float})
    ahead = weeks.dropna(subset=["q50"])
    past = weeks.dropna(subset=["booked"])
    if len(past) and len(ahead) and past["week"].iloc[-1] == ahead["week"].iloc[0]:  # a week that has begun
        past = past.assign(week=[*past["week"].iloc[:-1], past["week"].iloc[-1] - 0.5])
    start = past.iloc[-1:].assign(**dict.fromkeys(ahead.filter(like="q").columns, float(result.booked)))
    for label, (low, high, alpha) in FANS.items():
        band = [*start[low], *ahead[low]], [*start[high], *ahead[high]]
        at = [*start["week"], *ahead["week"]]
        ax.fill_between(at, *band, color=ACCENT, alpha=alpha, linewidth=0, label=label)
    ax.plot([*start["week"], *ahead["week"]], [*start["q50"], *ahead["q50"]], color=ACCENT, linestyle="--",
            linewidth=1.4, label=say("most likely"))  # fmt: skip
    ax.plot(past["week"], past["booked"], color=INK, linewidth=2.2, marker="o", markersize=3.5,
            label=say("booked"))  # fmt: skip
    last = int(weeks["week"].max())
    if result.quota > 0:
        ax.axhline(result.quota, color=SECOND, linewidth=1.6)
        said = {"xytext": (0, 3), "textcoords": "offset points", "fontsize": 9, "ha": "right"}
        ax.annotate(say("quota"), (last, result.quota), **said)
    ax.set_xlim(0.4, last + 0.4)
    ax.set_ylim(0, 1.3 * max(result.quota, float(result.quantiles.iloc[-1]), 1.0))
    ax.set_xticks(range(1, last + 1, max(last // 13, 1)))
    ax.yaxis.set_major_formatter(MONEY)
    ax.legend(frameon=False, loc="upper left", ncols=3, fontsize=8.5)
    ax.grid(axis="x", visible=False)
    title = say("Bookings of {period}, {currency}", period=result.period, currency=result.currency)
    ax.set(title=title, xlabel=say("week"), ylabel="")
    return ax


def describe_fan(result: Projection) -> str:
    """Say in one sentence what `plot_fan` shows."""
    said = say("Cumulative bookings by week with their 50, 80 and 95 % ranges.")
    return f"{said} {result.headline} {_held(result)}"


def _held(result: Projection) -> str:
    """Say what past ranges were worth."""
    if np.isnan(result.coverage.value):
        return say("Coverage of past ranges is not measured yet.")
    share = number(result.coverage.value, "percent")
    return say("80 % ranges held {share} of {n} past weeks.", share=share, n=result.coverage.n)


@how_to_read(
    "A bar is what is booked, or to come from open deals or from deals not yet created; the thin line is "
    "its 80 % range.",
    method="forecast",
    kpis=("K14",),
)
def plot_parts(result: Projection, *, ax: Axes | None = None) -> Axes:
    """Draw what is booked, what open deals and what deals not yet created are to bring, with 80 % ranges."""
    rows = result.parts
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 2.4))[1]
    at = np.arange(len(rows))[::-1]
    expected = rows["expected"].to_numpy(dtype=float)
    starts = np.r_[0, np.cumsum(expected[:-1])[:-1], 0]
    ax.barh(at, expected, left=starts, height=0.62, color=[INK, ACCENT, MUTED, INK][: len(rows)], zorder=2)
    off = starts + rows["low"].to_numpy(dtype=float), starts + rows["high"].to_numpy(dtype=float)
    for y, low, high in zip(at, *off, strict=True):
        if high > low:
            ax.plot([low, high], [y, y], color=SECOND, linewidth=2, marker="|", markersize=9, zorder=3)
    for y, low, high, row in zip(at, *off, rows.itertuples(), strict=True):
        said = f"{number(row.expected, 'money')} {interval(row.low, row.high, 'money') if high > low else ''}"
        ax.annotate(said.strip(), (max(high, low), y), xytext=(5, 0), textcoords="offset points", va="center",
                    fontsize=9)  # fmt: skip
    ax.set_yticks(at, [say(part) for part in rows["part"]])
    ax.set_xlim(0, max(float(off[1].max()), 1.0) * 1.7)
    ax.locator_params(axis="x", nbins=6)
    ax.xaxis.set_major_formatter(MONEY)
    ax.grid(axis="y", visible=False)
    title = say("Where {period} comes from, {currency}", period=result.period, currency=result.currency)
    ax.set(title=title, xlabel="", ylabel="")
    return ax


def describe_parts(result: Projection) -> str:
    """Say in one sentence what `plot_parts` shows."""
    told = ", ".join(f"{say(row.part)} {number(row.expected, 'money')}" for row in result.parts.itertuples())
    return say(
        "Expected bookings of {period} by part, with 80 % ranges: {parts}.", period=result.period, parts=told
    )


@how_to_read(
    "A point is a group of past deals given a like chance; on the diagonal as many were won as was told.",
    method="forecast",
    kpis=("K13",),
)
def plot_calibration(result: Projection, *, ax: Axes | None = None) -> Axes:
    """Draw past chances of deals beside the share that was won; on the diagonal they were right.

    Raises
    ------
    InsufficientData
        Where there are no past weeks to compare.
    """
    rows = _calibrated(result)
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 3.2))[1]
    most = float(max(rows["predicted"].max(), rows["won_high"].max())) * 1.08
    ax.plot([0, most], [0, most], color=MUTED, linewidth=1.2, linestyle="--", label=say("right"))
    bars = [rows["won"] - rows["won_low"], rows["won_high"] - rows["won"]]
    look = {"fmt": "o", "color": ACCENT, "markersize": 5, "capsize": 3, "label": say("deals")}
    ax.errorbar(rows["predicted"], rows["won"], bars, **look)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.set(xlim=(0, most), ylim=(0, most), xlabel=say("chance foreseen"), ylabel=say("won in the window"),
           title=say("Chances of past weeks, and what came"))  # fmt: skip
    ax.legend(frameon=False, loc="upper left", fontsize=8.5)
    return ax


def describe_calibration(result: Projection) -> str:
    """Say in one sentence what `plot_calibration` shows."""
    rows, found = _calibrated(result), result.slope
    told = {"n": localised(f"{int(rows['n'].sum()):,}"), "classes": len(rows)}
    if found.value != found.value:
        return say("{n} past chances of open deals in {classes} classes beside the share won.", **told)
    return say(
        "{n} past chances of open deals in {classes} classes beside the share won; slope {slope} [{low}; {high}], "
        "where 1 is right.",
        **told,
        **{name: localised(f"{value:.2f}") for name, value in
           (("slope", found.value), ("low", found.low), ("high", found.high))},
    )  # fmt: skip


def _calibrated(result: Projection):
    if result.calibration.empty:
        of = say("past weeks with a forecast")
        raise InsufficientData(say("Calibration of chances"), needed=1, got=0, of=of)
    return result.calibration


@how_to_read(
    "A line is how often past ranges held what came; on its dotted line a range kept its word, below it "
    "was too narrow.",
    method="forecast",
    kpis=("K13",),
)
def plot_coverage(result: Replay, *, ax: Axes | None = None) -> Axes:
    """Draw by weeks to the end how often 50, 80 and 95 % ranges held what came."""
    rows = result.scores
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 3.0))[1]
    for band, color, marker in ((50, MUTED, "s"), (80, ACCENT, "o"), (95, SECOND, "D")):
        ax.axhline(band / 100, color=color, linewidth=1, linestyle=":")
        ax.plot(rows["lead_weeks"], rows[f"coverage_{band}"], color=color, marker=marker, markersize=4,
                linewidth=1.6, label=f"{band} %")  # fmt: skip
    ax.invert_xaxis()
    ax.set_ylim(0, 1.05)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.legend(frameon=False, loc="lower left", ncols=3, fontsize=8.5)
    ax.set(title=say("How often past ranges held"), xlabel=say("weeks to the end of the period"), ylabel="")
    return ax


def describe_coverage(result: Replay) -> str:
    """Say in one sentence what `plot_coverage` shows."""
    total = result.total
    told = {f"held_{band}": number(total[f"coverage_{band}"], "percent") for band in (50, 80, 95)}
    return say(
        "Share of past weeks whose range held what came, by weeks to the end; over all {n}: "
        "50 % ranges {held_50}, 80 % ranges {held_80}, 95 % ranges {held_95}.",
        n=int(total["n"]), **told,
    )  # fmt: skip


@how_to_read(
    "A point is how far forecasts made that many weeks before the end were off, as a share of what came; "
    "lower is better.",
    method="forecast",
    kpis=("K13",),
)
def plot_error(result: Replay, *, ax: Axes | None = None, beside: tuple[str, ...] = ()) -> Axes:
    """Draw by weeks to the end how far forecasts were off, beside baselines: by default the best three."""
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 3.0))[1]
    rows, names = result.scores, beside or _rivals(result)
    ax.plot(rows["lead_weeks"], rows["wape"], color=ACCENT, marker="o", markersize=4, linewidth=2.2,
            label=say("forecast"))  # fmt: skip
    for name, style in zip(names, ("--", ":", "-.", (0, (5, 1))), strict=False):
        ax.plot(rows["lead_weeks"], rows[f"wape_{name}"], color=INK, linestyle=style, linewidth=1.3,
                label=say(WAY_LABELS[name]))  # fmt: skip
    ax.invert_xaxis()
    ax.set_ylim(0, None)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.legend(frameon=False, fontsize=8.5)
    ax.set(title=say("Error of past forecasts (WAPE)"), xlabel=say("weeks to the end of the period"), ylabel="")
    return ax


def describe_error(result: Replay) -> str:
    """Say in one sentence what `plot_error` shows."""
    league = result.league.set_index("way")["wape"]
    told = ", ".join(f"{say(WAY_LABELS[name])} {number(league[name], 'share')}" for name in _rivals(result))
    ours = number(league["forecast"], "share")
    return say("Error by weeks to the end; over all weeks forecast {error}, {others}.", error=ours, others=told)


def _rivals(result: Replay) -> tuple[str, ...]:
    ways = [way for way in result.league["way"] if way not in ("forecast", "bottom_up", "top_down")]
    return tuple(ways[:3])


def plot_what_if(result: Beside, *, ax: Axes | None = None) -> Axes:
    """Draw the 50, 80 and 95 % ranges of a period as it is and under a scenario, and its quota."""
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 2.2))[1]
    rows = result.ranges
    for at, row, colour in zip((1, 0), rows.to_dict("records"), (MUTED, ACCENT), strict=True):
        for low, high, alpha in FANS.values():
            ax.barh(at, row[high] - row[low], left=row[low], height=0.42, color=colour, alpha=alpha + 0.1)
        ax.plot(row["q50"], at, "o", color=INK, markersize=6)
        said = f"{number(row['q50'], 'money')} {interval(row['q10'], row['q90'], 'money')}"
        halo = [withStroke(linewidth=3, foreground="white")]  # over the quota's line
        ax.annotate(said, (row["q50"], at + 0.27), ha="center", fontsize=9, path_effects=halo)
    ends = [rows["q2.5"].min(), rows["q97.5"].max()]
    if result.base.quota > 0:
        ends.append(result.base.quota)
        ax.axvline(result.base.quota, color=SECOND, linewidth=1.6)
        said = {"xytext": (4, 0), "textcoords": "offset points", "fontsize": 9, "va": "bottom"}
        ax.annotate("quota", (result.base.quota, -0.45), **said)
    spare = 0.08 * max(max(ends) - min(ends), 1.0)
    ax.set(xlim=(min(ends) - spare, max(ends) + spare), ylim=(-0.5, 1.6), ylabel="",
           xlabel="50, 80 and 95 % ranges", title=f"Bookings of {result.period}, {result.currency}")  # fmt: skip
    ax.set_yticks((1, 0), ["as it is", "scenario"])
    ax.locator_params(axis="x", nbins=6)
    ax.xaxis.set_major_formatter(MONEY)
    ax.grid(axis="y", visible=False)
    return ax


def describe_what_if(result: Beside) -> str:
    """Say in one sentence what `plot_what_if` shows."""
    told = []
    for one in (result.base, result.after):
        said = f"{number(one.quantiles[0.5], 'money')} {interval(*one.quantiles[[0.1, 0.9]], 'money')}"
        told.append(said + (f", chance of the quota {number(one.p_quota, 'percent')}" if one.quota > 0 else ""))
    said = f"as it is {told[0]}; {result.after.scenario}: {told[1]}"
    return f"Bookings of {result.period}, most likely and 80 % range: {said}."


def plot_look_back(result: LookBack, *, ax: Axes | None = None) -> Axes:
    """Draw the weekly forecasts of a past period with their 80 % ranges, another way's, and what came."""
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 3.0))[1]
    rows = result.rows
    at = rows["lead_weeks"]
    ax.fill_between(at, rows["low"], rows["high"], color=ACCENT, alpha=0.24, linewidth=0, label="80 % range")
    ax.plot(at, rows["forecast"], color=ACCENT, marker="o", markersize=4, linewidth=2.2, label="forecast")
    if "way" in rows:
        ax.plot(at, rows["way"], color=INK, linestyle="--", linewidth=1.3, label=result.way)
    ax.step(at, rows["booked"], where="mid", color=MUTED, linewidth=1.2, label="booked by then")
    ax.axhline(result.came, color=SECOND, linewidth=1.6, label="came")
    ax.invert_xaxis()
    ax.set_ylim(0, None)
    ax.yaxis.set_major_formatter(MONEY)
    ax.legend(frameon=False, loc="lower right", ncols=3, fontsize=8.5)
    ax.set(title=f"{result.period} as it was foreseen", xlabel="weeks to the end of the period", ylabel="")
    return ax


def describe_look_back(result: LookBack) -> str:
    """Say in one sentence what `plot_look_back` shows."""
    rows = result.rows
    off, held = number(rows["off"].abs().mean(), "percent"), f"{int(rows['held'].sum())} of {len(rows)}"
    return (
        f"{result.period} came to {number(result.came, 'money')}; {counted(len(rows), 'past forecast')} "
        f"of it {off} off on average, {held} 80 % ranges held{_beside(result)}."
    )


def _beside(result: LookBack) -> str:
    if "way" not in result.rows:
        return ""
    off = result.rows["way_off"].abs().mean()
    return f"; {result.way} was {number(off, 'percent')} off" if off == off else f"; {result.way} told nothing"
