"""Pictures of reps compared: limits of chance, raw and pulled back, ranges of ranks, skill by stage, strengths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from salesops_lib.benchmark import charts
from salesops_lib.benchmark.compare import DIFFER, Benchmark, no_ranking
from salesops_lib.benchmark.evidence import Evidence
from salesops_lib.benchmark.limits import LEVELS, binomial_limit
from salesops_lib.benchmark.review import Review
from salesops_lib.benchmark.sheet import SURE, Sheet
from salesops_lib.errors import needed
from salesops_lib.language import say
from salesops_lib.passages import called
from salesops_lib.present import ACCENT, INK, MUTED, SECOND, WIDTH_IN, counted, how_to_read, number
from salesops_lib.present.numbers import localised

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ROW_IN = 0.24


def _benchmark(result: Evidence | Benchmark) -> Benchmark:
    return result if isinstance(result, Benchmark) else needed(result.win_rate)


@how_to_read(
    "A dot is the share of quota a rep has booked, the line its 95 % interval.",
    method="benchmarking",
    kpis=("K02",),
)
def plot_attainment(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw each rep's quota attainment with its interval; see `charts.plot_attainment`."""
    return charts.plot_attainment(needed(result.summary), ax=ax)


def describe_attainment(result: Review) -> str:
    """Say in one sentence what `plot_attainment` shows."""
    return charts.describe_attainment(needed(result.summary))


@how_to_read(
    "A dot is a rep; between the lines chance alone explains the distance from the team, more of it the "
    "fewer the deals.",
    method="benchmarking",
    kpis=("K03", "K44"),
)
def plot_funnel(result: Evidence | Benchmark, *, ax: Axes | None = None) -> Axes:
    """Draw how far each rep lies from what the mix gives, against the number of deals, with limits of chance.

    Raises
    ------
    InsufficientData
        Where reps cannot be compared.
    """
    found = _benchmark(result)
    reps, rate = found.reps, found.rate
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 3.4))[1]
    n = np.unique(np.geomspace(max(reps["n"].min() * 0.8, 3), reps["n"].max() * 1.1, 120).round())
    for (name, level), style in zip(LEVELS.items(), ("-", "--"), strict=True):
        for tail in ((1 - level) / 2, (1 + level) / 2):
            limit = binomial_limit(n, np.full(len(n), rate), tail) - rate
            share = f"{localised('99.8' if name == '998' else name)} %"
            label = say("chance alone, {share}", share=share) if tail < 0.5 else "_"
            ax.plot(n, limit, style, color=MUTED, linewidth=1, label=label)
    off, flagged = (reps["raw_rate"] - reps["expected_rate"]).to_numpy(), reps["is_flagged"].to_numpy()
    ax.scatter(reps["n"][~flagged], off[~flagged], s=26, color=ACCENT, zorder=3, label=say("rep"))
    if flagged.any():
        ax.scatter(
            reps["n"][flagged], off[flagged], s=40, color=SECOND, marker="D", zorder=4, label=say("beyond chance")
        )
        for row in reps[flagged].itertuples():
            ax.annotate(str(row.user_id), (row.n, row.raw_rate - row.expected_rate), xytext=(6, 0),
                        textcoords="offset points", fontsize=8, va="center")  # fmt: skip
    ax.axhline(0, color=INK, linewidth=1)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(round(100 * value), "count", signed=True)))
    ax.set(title=say("Win rate against what the mix gives, points"), xlabel=say("closed deals"), ylabel="")
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    return ax


def describe_funnel(result: Evidence | Benchmark) -> str:
    """Say in one sentence what `plot_funnel` shows."""
    found = _benchmark(result)
    out = found.reps[found.reps["is_flagged"]]
    if out.empty:
        return say(
            "Funnel plot of {n} reps' win rates against what their mix of deals gives, with 95 and {most} % "
            "limits of chance: 0 lie beyond chance.", n=len(found.reps), most=localised("99.8"),
        )  # fmt: skip
    return say(
        "Funnel plot of {n} reps' win rates against what their mix of deals gives, with 95 and {most} % limits of "
        "chance: {out} lie beyond chance ({named}).",
        n=len(found.reps), most=localised("99.8"), out=len(out), named=", ".join(map(str, out["user_id"])),
    )  # fmt: skip


@how_to_read(
    "The point is a rep's win rate at the team's mix of deals, less what chance may have done; the line "
    "its interval, the tick the raw rate.",
    method="benchmarking",
    kpis=("K44",),
)
def plot_caterpillar(result: Evidence | Benchmark, *, ax: Axes | None = None) -> Axes:
    """Draw each rep's adjusted win rate with its interval, and the raw one as a tick.

    Where reps cannot be told apart they stand by name, not by rate.

    Raises
    ------
    InsufficientData
        Where reps cannot be compared, or too few allow only limits.
    """
    found = _benchmark(result)
    reps = found.reps.dropna(subset=["adjusted_rate"])
    if reps.empty:
        raise no_ranking(found)
    reps = reps.sort_values("adjusted_rate" if found.verdict == DIFFER else "user_id",
                            ascending=found.verdict == DIFFER)  # fmt: skip
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 1.1 + ROW_IN * len(reps)))[1]
    at, level = np.arange(len(reps)), float(reps["adjusted_rate"].mean())
    for y, row in zip(at, reps.itertuples(), strict=True):
        apart = row.low > level or row.high < level
        colour = ACCENT if apart else MUTED
        ax.plot([row.low, row.high], [y, y], color=colour, linewidth=2, solid_capstyle="round")
        ax.plot(row.adjusted_rate, y, "o" if apart else "D", color=colour, markersize=5)
        ax.plot(row.raw_rate, y, "|", color=SECOND, markersize=8, markeredgewidth=1.6)
    ax.plot([], [], "|", color=SECOND, label=say("raw"), linestyle="none", markeredgewidth=1.6)
    told = say("at the team's mix, {share} interval", share=number(found.interval, "percent"))
    ax.plot([], [], "o-", color=MUTED, label=told)
    ax.axvline(level, color=INK, linewidth=1.1, linestyle="--")
    ax.set_yticks(at, reps["user_id"], fontsize=8)
    ax.set_ylim(-0.8, len(reps) - 0.2)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.grid(axis="y", visible=False)
    ax.set_title(say("Win rate at the same mix, pulled back by chance"), pad=22)
    ax.legend(frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def describe_caterpillar(result: Evidence | Benchmark) -> str:
    """Say in one sentence what `plot_caterpillar` shows."""
    reps = _benchmark(result).reps.dropna(subset=["adjusted_rate"])
    level = reps["adjusted_rate"].mean()
    clear = int(((reps["low"] > level) | (reps["high"] < level)).sum())
    ends = {f"{name}_{end}": number(getattr(reps[column], end)(), "percent")
            for name, column in (("rate", "adjusted_rate"), ("raw", "raw_rate"))
            for end in ("min", "max")}  # fmt: skip
    return say(
        "Intervals of the adjusted win rates of {n} reps with the raw rates as ticks: rates run from {rate_min} "
        "to {rate_max} instead of {raw_min} to {raw_max} raw; {intervals} without the team's.",
        n=len(reps), intervals=counted(clear, "interval"), **ends,
    )  # fmt: skip


@how_to_read(
    "A line is the ranks a rep may hold; where lines overlap nobody can say who is ahead.",
    method="benchmarking",
    kpis=("K44",),
)
def plot_ranks(result: Evidence | Benchmark, *, ax: Axes | None = None) -> Axes:
    """Draw the range of ranks each rep may hold: what a league table hides.

    Raises
    ------
    InsufficientData
        Where nothing tells the reps apart: then there is no rank to draw.
    """
    found = _benchmark(result)
    if found.verdict != DIFFER:
        raise no_ranking(found)
    reps = found.reps.sort_values("rank", ascending=False)
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 1.0 + ROW_IN * len(reps)))[1]
    at = np.arange(len(reps))
    for y, row in zip(at, reps.itertuples(), strict=True):
        ax.plot([row.rank_low, row.rank_high], [y, y], color=MUTED, linewidth=5, alpha=0.55, solid_capstyle="butt")
        ax.plot(row.rank, y, "o", color=ACCENT, markersize=4)
    ax.set_yticks(at, reps["user_id"], fontsize=8)
    ax.set_xlim(0.5, len(reps) + 0.5)
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = say("Ranks that fit the data, {share}", share=number(found.interval, "percent"))
    ax.set(title=title, xlabel=say("rank (1 is best)"), ylabel="")
    return ax


def describe_ranks(result: Evidence | Benchmark) -> str:
    """Say in one sentence what `plot_ranks` shows."""
    reps = _benchmark(result).reps
    wide = (reps["rank_high"] - reps["rank_low"] + 1).median()
    return say(
        "Bars of the ranks each of {n} reps may hold: the middle one spans {wide} of {n} places.",
        n=len(reps), wide=f"{wide:.0f}",
    )  # fmt: skip


@how_to_read(
    "A bar is what a stage adds to, or takes from, the way to a win, against the team; the bars add up.",
    method="benchmarking",
    kpis=("K03",),
)
def plot_stages(result: Sheet, *, ax: Axes | None = None) -> Axes:
    """Draw what each stage adds to or takes from a rep's way to a win, against the team; the bars add up.

    Raises
    ------
    InsufficientData
        Where skill by stage cannot be told.
    """
    rows = needed(result.stages).iloc[::-1].reset_index(drop=True)
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 1.1 + 0.36 * len(rows)))[1]
    for y, row in rows.iterrows():
        sure = row["p_below"] > 0.9 or row["p_below"] < 0.1
        look = {"color": ACCENT if row["gap"] >= 0 else SECOND} if sure else {
            "facecolor": "white", "edgecolor": MUTED, "hatch": "////"}  # fmt: skip
        ax.barh(y, row["gap"], height=0.6, zorder=2, **look)
        ax.plot([row["gap_low"], row["gap_high"]], [y, y], color=INK, linewidth=1.2, zorder=3)
    ax.axvline(0, color=INK, linewidth=1)
    steps = [f"{called(a)} → {called(b)}" for a, b in zip(rows["stage"], rows["next_stage"], strict=True)]
    ax.set_yticks(range(len(rows)), steps, fontsize=8)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: number(round(100 * value, 1), "count", signed=True))
    )
    ax.grid(axis="y", visible=False)
    ax.set_title(say("Points of win rate by stage"))
    ax.set_xlabel(say("against the team; full where nine in ten sure"), fontsize=8)
    ax.set_ylabel("")
    return ax


def describe_stages(result: Sheet) -> str:
    """Say in one sentence what `plot_stages` shows."""
    rows = needed(result.stages)
    told = "; ".join(f"{row.stage} {number(row.gap, 'points', signed=True)}" for row in rows.itertuples())
    return say(
        "Bars of what each stage adds to the way of {name}'s deals to a win, against the team: {told}.",
        name=result.name, told=told,
    )  # fmt: skip


@how_to_read(
    "A cell is a rep's points over the team in a segment; pale where chance may explain it.",
    method="benchmarking",
    kpis=("K03",),
)
def plot_strengths(result: Evidence, *, ax: Axes | None = None) -> Axes:
    """Draw rep × segment strengths as a matrix: points over the team there, pale where chance may explain it.

    Raises
    ------
    InsufficientData
        Where they cannot be told.
    """
    rows = needed(result.strengths)
    columns = sorted(rows["segment"].unique())
    title = say("Points against the team in each segment")
    return _matrix(rows.rename(columns={"over_team": "points"}), "segment", columns, title, ax)


@how_to_read(
    "A cell is what a stage brings or costs a rep, in points of win rate; pale where chance may explain it.",
    method="benchmarking",
    kpis=("K03",),
)
def plot_skills(result: Evidence, *, ax: Axes | None = None) -> Axes:
    """Draw rep × stage as a matrix: points of the whole way that each stage brings or costs.

    Raises
    ------
    InsufficientData
        Where skill by stage cannot be told.
    """
    rows = needed(result.profile).stages
    rows = rows.assign(p_above=1 - rows["p_below"], points=rows["gap"])
    title = say("Points of win rate by stage left")
    return _matrix(rows, "stage", list(dict.fromkeys(rows["stage"])), title, ax)


def _matrix(rows: pd.DataFrame, by: str, columns: list[str], title: str, ax: Axes | None) -> Axes:
    """Draw `points` of rep × column with the deals behind each; colour fades where chance may explain them."""
    points, sure, n = (
        rows.pivot(index="user_id", columns=by, values=name)[columns].sort_index(ascending=False)
        for name in ("points", "p_above", "n")
    )
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 1.1 + ROW_IN * len(points)))[1]
    most = max(float(np.nanmax(np.abs(points.to_numpy()))), 0.01)
    shade = points.to_numpy() * np.abs(2 * sure.to_numpy() - 1)
    ax.pcolormesh(shade, cmap="PuOr_r", vmin=-2.5 * most, vmax=2.5 * most, edgecolor="white", linewidth=1)
    for (y, x), value in np.ndenumerate(points.to_numpy()):
        if value == value:
            clear = not 1 - SURE <= sure.to_numpy()[y, x] <= SURE
            plain = number(value, "points", signed=True).removesuffix(say("{n} pts", n=""))
            said = f"{plain}  ({n.to_numpy()[y, x]:.0f})"
            ax.text(x + 0.5, y + 0.5, said, ha="center", va="center", fontsize=7, color=INK,
                    weight="bold" if clear else "normal")  # fmt: skip
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns, fontsize=8)
    ax.set_yticks(np.arange(len(points)) + 0.5, points.index, fontsize=8)
    ax.grid(visible=False)
    ax.set_title(title)
    ax.set_xlabel(say("points against the team (deals); bold: nine in ten sure"), fontsize=8)
    ax.set_ylabel("")
    return ax


def describe_strengths(result: Evidence) -> str:
    """Say in one sentence what `plot_strengths` shows."""
    rows = needed(result.strengths)
    top = rows.loc[rows["over_team"].idxmax()]
    named = say("{rep} in {segment}", rep=top["user_id"], segment=top["segment"])
    return _describe_matrix(rows, counted(rows["segment"].nunique(), "segment"), top["over_team"], named)


def describe_skills(result: Evidence) -> str:
    """Say in one sentence what `plot_skills` shows."""
    rows = needed(result.profile).stages
    last = rows.loc[rows["gap"].idxmin()]
    named = say("{rep} out of {stage}", rep=last["user_id"], stage=last["stage"])
    rows = rows.assign(p_above=1 - rows["p_below"])
    return _describe_matrix(rows, counted(rows["stage"].nunique(), "stage"), last["gap"], named)


def _describe_matrix(rows: pd.DataFrame, across: str, value: float, named: str) -> str:
    clear = int((~rows["p_above"].between(1 - SURE, SURE)).sum())
    return say(
        "Matrix of {reps} reps by {across}; {clear} cells differ surely from the team, the furthest is {named} "
        "with {points}.", reps=rows["user_id"].nunique(), across=across, clear=clear, named=named,
        points=number(value, "points", signed=True),
    )  # fmt: skip


@how_to_read(
    "The line is what people book in each month of their tenure, leavers included; the band is its interval.",
    method="benchmarking",
    kpis=("K35",),
)
def plot_ramp(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw productivity by month of tenure with leavers in it, and the mean of survivors that misleads.

    Raises
    ------
    InsufficientData
        Where no month has ten reps.
    """
    rows: pd.DataFrame = needed(result.ramp)
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 2.8))[1]
    ax.fill_between(rows["month"], rows["low"], rows["high"], color=ACCENT, alpha=0.2, linewidth=0)
    ax.plot(rows["month"], rows["made"], color=ACCENT, label=say("all who started"))
    ax.plot(rows["month"], rows["survivors"], "--", color=MUTED, label=say("those still there"))
    ax.legend(frameon=False, fontsize=8)
    title = say("Bookings by month of tenure, {currency}", currency=result.currency)
    ax.set(title=title, xlabel=say("months since start"), ylabel="")
    return ax


def describe_ramp(result: Review) -> str:
    """Say in one sentence what `plot_ramp` shows."""
    rows = needed(result.ramp)
    first, last = rows["month"].min(), rows["month"].max()
    return say(
        "Line of bookings by month of tenure, months {first} to {last}, with its interval.", first=first, last=last
    )
