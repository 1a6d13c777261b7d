"""Pictures of territories; each takes a result and returns the Axes. Nothing is fetched from anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.transforms import Bbox

from salesops_lib.errors import InsufficientData
from salesops_lib.language import say
from salesops_lib.present import ACCENT, INK, MUTED, SECOND, WIDTH_IN, how_to_read, number
from salesops_lib.present.numbers import localised
from salesops_lib.territory.measures import percent, word

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from salesops_lib.territory.analysis import Plan
    from salesops_lib.territory.quick import Tried
    from salesops_lib.territory.review import Review

# told apart by colour-blind eyes (Okabe and Ito 2008), each with a marker of its own for print in grey
HUES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c6d00", "#5b5b5b")
MARKERS = "os^DvP*X"
SEA, BORDER = "#e9eef2", "#b4bcc3"
MOST_POINTS = 6_000
NEAR = 0.12  # share of a map's width within which homes are named together


@how_to_read(
    "A mark is an account, in the colour and shape of its rep; a line leads to the rep's home, a ring.",
    method="territory",
)
def plot_map(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw today's territories beside the plan's: each account, with a line to the home of its rep, and names.

    Raises
    ------
    InsufficientData
        Where accounts have no coordinates.
    """
    _refuse(result)
    if "lat" not in result.accounts:
        of = say("accounts with coordinates")
        raise InsufficientData(say("A map"), needed=len(result.accounts), got=0, of=of)
    rows = result.accounts.merge(result.plan.assignments, on="account_id")
    look = _looks(rows, result.reps["user_id"].tolist())
    if ax is not None:
        _draw(ax, rows, "user_id", result.reps, look, say("Plan"))
        return ax
    stretch = 1 / max(np.cos(np.radians(rows["lat"].mean())), 0.1)
    tall = stretch * np.ptp(rows["lat"]) / max(np.ptp(rows["lon"]), 1e-9)
    size = (WIDTH_IN, 0.4 + WIDTH_IN / 2 * min(max(1.15 * tall, 0.4), 1.6))
    before, after = plt.subplots(1, 2, figsize=size, sharex=True, sharey=True)[1]
    _draw(before, rows, "previous_user_id", result.reps, look, say("Today"))
    _draw(after, rows, "user_id", result.reps, look, say("Plan"))
    return after


def _draw(ax: Axes, rows, column: str, reps, look, title: str) -> None:
    from matplotlib.collections import LineCollection

    nobody = rows[~rows[column].isin(reps["user_id"])]
    ax.scatter(nobody["lon"], nobody["lat"], s=5, color="#c9d0d6", marker="x", linewidths=0.6)
    size = 9 if len(rows) <= 1_500 else 3
    home = reps.set_index("user_id")[["home_lon", "home_lat"]]
    for who, own in rows.groupby(column):
        if who not in look:
            continue
        hue, marker = look[who]
        at = own[["lon", "lat"]].to_numpy(float)[:MOST_POINTS]
        ways = np.stack([at, np.broadcast_to(home.loc[who].to_numpy(float), at.shape)], axis=1)
        ax.add_collection(LineCollection(ways, color=hue, linewidth=0.4, alpha=0.45, zorder=1))
        ax.scatter(*at.T, s=size, color=hue, marker=marker, linewidths=0, alpha=0.85, zorder=2)
    ax.scatter(reps["home_lon"], reps["home_lat"], s=14, color="white", edgecolor=INK, marker="o", zorder=3)
    ax.margins(x=0.06, y=0.2)  # room for names
    _ground(ax)
    _name(ax, reps)
    ax.set_aspect(1 / max(np.cos(np.radians(rows["lat"].mean())), 0.1))
    ax.grid(visible=False)
    ax.set(title=title, xlabel="", ylabel="", xticks=[], yticks=[])


def _name(ax: Axes, reps) -> None:
    """Write names of reps at their homes, neighbours together, on the side where no other homes are near."""
    from scipy.cluster.hierarchy import fclusterdata

    homes = reps[["home_lon", "home_lat"]].to_numpy(float)
    near = NEAR * np.ptp(ax.get_xlim())
    group = fclusterdata(homes, near, criterion="distance", method="average") if len(homes) > 1 else np.ones(1)
    middles = {k: homes[group == k].mean(axis=0) for k in np.unique(group)}
    for k, middle in middles.items():
        names = [
            f"{first} {last[:1]}." for first, _, last in reps.loc[group == k, "name"].str.partition(" ").values
        ]
        others = [there for other, there in middles.items() if other != k]
        above = not others or min(others, key=lambda there: np.hypot(*(there - middle)))[1] < middle[1]
        edge = homes[group == k, 1].max() if above else homes[group == k, 1].min()
        ax.annotate(
            "\n".join(sorted(names)), (middle[0], edge), xytext=(0, 11 if above else -11),
            textcoords="offset points", ha="center", va="bottom" if above else "top", fontsize=6, color=INK,
            zorder=4, linespacing=1.1,
            bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "alpha": 0.7, "linewidth": 0},
        )  # fmt: skip


def _ground(ax: Axes) -> None:
    """Draw land, coasts and borders behind what is there, no further than it reaches."""
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.path import Path

    from salesops_lib.territory.borders import borders, land

    (west, east), (south, north) = ax.get_xlim(), ax.get_ylim()
    view = ((west, south), (east, north))

    def seen(lines):
        return [p for p in lines if (p.max(axis=0) > view[0]).all() and (p.min(axis=0) < view[1]).all()]

    frame = Bbox(view)
    parts = [Path(outline).clip_to_bbox(frame).vertices for outline in seen(land())]
    ax.set_facecolor(SEA)
    ax.add_collection(PolyCollection(parts, facecolor="white", edgecolor="none", zorder=-3), autolim=False)
    ax.add_collection(LineCollection(seen(borders()), color=BORDER, linewidth=0.6, zorder=-2), autolim=False)
    ax.set(xlim=(west, east), ylim=(south, north))


def _looks(rows, reps: list[str]) -> dict[str, tuple[str, str]]:
    """Give each rep a colour and a marker such that neighbours differ (greedy colouring by nearness)."""
    centre = rows.groupby("user_id")[["lat", "lon"]].median().reindex(reps).fillna(0.0).to_numpy()
    taken: list[int] = []
    for k in range(len(reps)):
        far = np.hypot(*(centre[:k] - centre[k]).T) if k else np.empty(0)
        last = {c: far[[x for x in range(k) if taken[x] == c]].min() for c in set(taken)}
        taken.append(max(range(len(HUES)), key=lambda c: (last.get(c, np.inf), -c)))
    return {who: (HUES[c], MARKERS[c]) for who, c in zip(reps, taken, strict=True)}


def _refuse(result: Review) -> None:
    if isinstance(result.plan, InsufficientData):
        raise result.plan


def describe_map(result: Review) -> str:
    """Say in one sentence what `plot_map` shows."""
    rows = result.plan.metrics.set_index("metric").loc["travel"]
    told = {name: localised(f"{km:,.0f}") for name, km in (("today", rows["before"]), ("plan", rows["after"]))}
    told["n"] = localised(f"{len(result.accounts):,}")
    if rows["before"] != rows["before"]:
        return say(
            "Two maps of {n} accounts by rep, with the reps' homes: today with an unknown number of km of travel "
            "a year, and the plan with {plan}; the tables say who has what.",
            **told,
        )
    return say(
        "Two maps of {n} accounts by rep, with the reps' homes: today with {today} km of travel a year, and the "
        "plan with {plan}; the tables say who has what.",
        **told,
    )


@how_to_read(
    "A mark is a rep's load against the target, today and planned; the band is the tolerance.",
    method="territory",
)
def plot_balance(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw each rep's load as a share of target, today and planned, with the tolerance."""
    _refuse(result)
    rows = result.fairness.sort_values("name", ascending=False)
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 0.9 + 0.24 * len(rows)))[1]
    at, wide = np.arange(len(rows)), result.plan.tolerance
    ax.axvspan(1 - wide, 1 + wide, color="#e3e8ec", zorder=0, label=f"±{wide:.0%}")
    ax.hlines(at, rows["share_today"], rows["share"], color=MUTED, linewidth=0.8, zorder=1)
    ax.scatter(rows["share_today"], at, s=26, facecolor="white", edgecolor=SECOND, zorder=2, label=say("today"))
    ax.scatter(rows["share"], at, s=26, color=ACCENT, zorder=3, label=say("plan"))
    ax.set_yticks(at, rows["name"])
    ax.xaxis.set_major_formatter(lambda value, _: number(value, "percent"))
    ax.get_figure().legend(frameon=False, ncols=3, loc="outside lower center")
    title = say("{measure}, share of each rep's target", measure=_measure(result.plan))
    ax.set(title=title, xlabel="", ylabel="")
    ax.set_xlim(left=0)
    return ax


def describe_balance(result: Review) -> str:
    """Say in one sentence what `plot_balance` shows."""
    rows = result.fairness
    (low, high), (least, most) = ([f"{end:.0%}" for end in (rows[name].min(), rows[name].max())]
                                  for name in ("share_today", "share"))  # fmt: skip
    return say(
        "Shares of target of {n} reps: today from {low} to {high}, in the plan from {least} to {most}.",
        n=len(rows), low=low, high=high, least=least, most=most,
    )  # fmt: skip


def plot_try(result: Tried, *, ax: Axes | None = None) -> Axes:
    """Draw the loads of all reps as shares of target, in the page's plan and in this one, with both tolerances."""
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 1.9))[1]
    loads = result.loads[["share_page", "share"]].to_numpy(float).T
    ax.plot(loads, (1, 0), color=MUTED, linewidth=0.7)
    looks = {"page": (result.page, MUTED), "this": (result.this, ACCENT)}
    for at, load, (name, (plan, colour)) in zip((1, 0), loads, looks.items(), strict=True):
        for edge in (1 - plan.tolerance, 1 + plan.tolerance):
            ax.vlines(edge, at - 0.25, at + 0.25, color=SECOND, linewidth=1.6)
        ax.plot(load, np.full(len(load), at), "o", color=colour, markersize=5, label=name)
    ax.set(title=f"{_measure(result.this)}, share of each rep's target", ylim=(-0.5, 1.5), xlabel="", ylabel="")
    ax.set_yticks((1, 0), looks)
    ax.xaxis.set_major_formatter(lambda value, _: number(value, "percent"))
    ax.grid(axis="y", visible=False)
    return ax


def describe_try(result: Tried) -> str:
    """Say in one sentence what `plot_try` shows."""
    rows, both = result.loads, result.table.set_index("plan")
    told = [
        f"from {rows[column].min():.0%} to {rows[column].max():.0%} of target, "
        f"{number(both.loc[plan, 'travel_km'], 'count')} km of travel a year, "
        f"{number(both.loc[plan, 'accounts_moved'], 'count')} accounts moved"
        for plan, column in (("page", "share_page"), ("this", "share"))
    ]
    proof = f"at most {percent(result.this.gap)} above the best there can be"
    return f"Loads of {len(rows)} reps: in the plan of the page {told[0]}; in this one {told[1]}, {proof}."


def _measure(plan: Plan) -> str:
    name = word(plan.balance[0])
    return name[:1].upper() + name[1:]


@how_to_read(
    "A point is a plan: to the left fewer accounts change hands, further down there is less travel.",
    method="territory",
)
def plot_curve(result: Review, *, ax: Axes | None = None) -> Axes:
    """Draw what calm costs: kilometres a year against the share of accounts that change hands."""
    _refuse(result)
    rows = result.curve
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 2.8))[1]
    ax.plot(rows["accounts_moved_share"], rows["travel_km"], color=ACCENT, marker="o", label=say("plans"))
    for row in rows.itertuples():
        ax.annotate(
            number(row.disruption, "count"), (row.accounts_moved_share, row.travel_km),
            xytext=(4, 4 if row.Index else -11), textcoords="offset points", fontsize=8,
        )  # fmt: skip
    today = result.plan.metrics.set_index("metric").loc["travel", "before"]
    if today == today:
        ax.plot([0], [today], color=SECOND, marker="s", linestyle="none", label=say("today"))
    ax.legend(frameon=False)
    ax.xaxis.set_major_formatter(lambda value, _: number(value, "percent"))
    ax.yaxis.set_major_formatter(lambda value, _: number(value, "count"))
    ax.set_ylim(bottom=0)
    title, along = say("Travel, km a year, by accounts moved"), say("accounts that change hands")
    ax.set(title=title, xlabel=along, ylabel="")
    return ax


def describe_curve(result: Review) -> str:
    """Say in one sentence what `plot_curve` shows."""
    first, last = result.curve.iloc[0], result.curve.iloc[-1]
    return say(
        "Curve of travel against accounts moved: {most} moved gives {least_km} km a year, "
        "{least} moved {most_km}.",
        most=f"{first['accounts_moved_share']:.0%}", least_km=localised(f"{first['travel_km']:,.0f}"),
        least=f"{last['accounts_moved_share']:.0%}", most_km=localised(f"{last['travel_km']:,.0f}"),
    )  # fmt: skip
