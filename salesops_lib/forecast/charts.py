"""Pictures of forecasts; each takes a result and returns the Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, num2date
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter, ScalarFormatter

from salesops_lib.errors import ParameterError, listed, unknown
from salesops_lib.forecast.hierarchy import TOTAL
from salesops_lib.forecast.measures import COMPANY
from salesops_lib.language import dated, mark, say
from salesops_lib.present import ACCENT, INK, MUTED, SECOND, WIDTH_IN, how_to_read, number
from salesops_lib.present.numbers import localised

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from salesops_lib.forecast.backtest import Backtest
    from salesops_lib.forecast.months import Months


def plot_fan(
    forecasts: pd.DataFrame,
    history: pd.DataFrame,
    *,
    series: object = None,
    target: float | None = None,
    unit: str = "money",
    ax: Axes | None = None,
) -> Axes:
    """Draw one series: what came, the forecast, and a band a level, wider ones paler; `target` is a dashed line.

    Raises
    ------
    ParameterError
        For a series that is not among the forecasts.
    """
    known = list(forecasts["unique_id"].unique())
    series = known[0] if series is None else series
    if series not in known:
        raise ParameterError(unknown("series", str(series), map(str, known)))
    ahead = forecasts[forecasts["unique_id"].eq(series)]
    past = history[history["unique_id"].eq(series)].sort_values("ds")
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 3.0))[1]
    levels = _levels(ahead)
    for k, level in enumerate(reversed(levels)):
        look = {"color": ACCENT, "alpha": 0.18 + 0.22 * k, "linewidth": 0, "label": f"{level} %"}
        ax.fill_between(ahead["ds"], ahead[f"lo-{level}"], ahead[f"hi-{level}"], **look)
    ax.plot(past["ds"], past["y"], color=INK, linewidth=1.2, label=say("history"))
    ax.plot(ahead["ds"], ahead["mean"], color=ACCENT, linewidth=2, label=say("forecast"))
    if target is not None:
        ax.axhline(target, color=SECOND, linestyle="--", linewidth=1.2, label=say("target"))
    _axes(ax, unit)
    ax.legend(loc="upper left", frameon=False, fontsize=8, ncols=5)
    ax.set(title=f"{_named(series)}: {ahead['model'].iloc[0]}", xlabel="", ylabel="")
    return ax


@how_to_read(
    "A point is how much worse than the best a model was; where its line misses zero, by more than chance.",
    method="forecast",
    kpis=("K13",),
)
def plot_league(result: Backtest, *, ax: Axes | None = None) -> Axes:
    """Draw how far each model is behind the best, in MASE, with a 95 % interval; one that misses zero is dark."""
    rows = result.league.iloc[::-1]
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 0.9 + 0.3 * len(rows)))[1]
    for at, row in enumerate(rows.itertuples()):
        colour = ACCENT if row.behind_low > 0 else MUTED
        ax.plot([row.behind_low, row.behind_high], [at, at], color=colour, linewidth=2, solid_capstyle="round")
        ax.plot(row.behind, at, "o" if row.behind_low > 0 else "D", color=colour, markersize=5)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks(range(len(rows)), [f"{row.model} ({_scaled(row.mase)})" for row in rows.itertuples()])
    ax.set(title=say("Behind the best model"), xlabel=say("MASE more than the best, 95 % interval"), ylabel="")
    ax.xaxis.set_major_formatter(_Numbers())
    return ax


@how_to_read(
    "A line is the share of a model's past ranges that held; the level line is the share they claim.",
    method="forecast",
    kpis=("K13",),
)
def plot_coverage(result: Backtest, *, level: int = 80, ax: Axes | None = None) -> Axes:
    """Draw the share of past ranges that held, by steps ahead, one line a model, and the share they claim."""
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 3.0))[1]
    looks = [(ACCENT, "-"), (SECOND, "--"), (INK, ":"), (MUTED, "-."), (MUTED, "-")]
    for k, (model, rows) in enumerate(result.scores.groupby("model", sort=False)):
        colour, style = looks[k % len(looks)]
        ax.plot(rows["horizon"], rows[f"coverage_{level}"], style, color=colour, marker=".", label=model)
    ax.axhline(level / 100, color=MUTED, linewidth=0.8, label=say("claimed"))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.set_ylim(0, 1.02)
    ax.legend(loc="lower left", frameon=False, fontsize=8, ncols=3)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    title, ahead = say("{level} % ranges that held", level=level), say("{unit} ahead", unit=say(result.unit))
    ax.set(title=title, xlabel=ahead, ylabel="")
    return ax


@how_to_read(
    "A line is one part of what Prophet sees; the parts add up to its forecast.",
    method="forecast",
)
def plot_components(parts: pd.DataFrame, *, series: object = None, ax: Axes | None = None) -> Axes:
    """Draw Prophet's trend, and its seasons and effects around it, for one series."""
    rows = parts[parts["unique_id"].eq(parts["unique_id"].iloc[0] if series is None else series)]
    ax = ax or plt.subplots(figsize=(WIDTH_IN, 3.0))[1]
    looks = {mark("trend"): (INK, "-"), mark("yearly"): (ACCENT, "-"), mark("holidays"): (SECOND, "--")}
    for name, own in rows.groupby("component", sort=False):
        colour, style = looks.get(name, (MUTED, ":"))
        ax.plot(own["ds"], own["value"], style, color=colour, label=say(name))
    _axes(ax, "money")
    ax.legend(loc="upper left", frameon=False, fontsize=8, ncols=3)
    title = say("{series}: what Prophet sees", series=_named(rows["unique_id"].iloc[0]))
    ax.set(title=title, xlabel="", ylabel="")
    return ax


def describe_fan(forecasts: pd.DataFrame, series: object = None, unit: str = "money") -> str:
    """Say in one sentence what `plot_fan` shows."""
    ahead = forecasts[forecasts["unique_id"].eq(forecasts["unique_id"].iloc[0] if series is None else series)]
    last, level = ahead.iloc[-1], _levels(ahead)[0]
    low, high = number(last[f"lo-{level}"], unit), number(last[f"hi-{level}"], unit)
    return say(
        "History and forecast of {series}: {mean} by {day}, {level} % range {low} to {high} ({model}).",
        series=_named(last["unique_id"]), mean=number(last["mean"], unit), day=dated(last["ds"], "y-MM-dd"),
        level=level, low=low, high=high, model=last["model"],
    )  # fmt: skip


def describe_league(result: Backtest) -> str:
    """Say in one sentence what `plot_league` shows."""
    told = ", ".join(f"{row.model} {_scaled(row.mase)}" for row in result.league.itertuples())
    return say("Mean absolute scaled error of past forecasts, best first: {models}.", models=told)


def describe_coverage(result: Backtest, level: int = 80) -> str:
    """Say in one sentence what `plot_coverage` shows."""
    told = ", ".join(f"{row['model']} {row[f'coverage_{level}']:.0%}" for _, row in result.league.iterrows())
    return say("Share of past {level} % ranges that held: {models}.", level=level, models=told)


def describe_components(parts: pd.DataFrame) -> str:
    """Say in one sentence what `plot_components` shows."""
    trend = parts[parts["component"].eq("trend")]
    first, last = (number(trend["value"].iloc[at], "money") for at in (0, -1))
    others = listed(map(say, sorted(set(parts["component"]) - {"trend"})))
    told = {"series": _named(trend["unique_id"].iloc[0]), "first": first, "last": last}
    if not others:
        return say("Prophet's trend of {series}, from {first} to {last} a step.", **told)
    return say(
        "Prophet's trend of {series}, from {first} to {last} a step, with {effects} around it.",
        **told, effects=others,
    )  # fmt: skip


@how_to_read(
    "The dark line is what came, the other the forecast, with its 80 and 95 % ranges.",
    method="forecast",
    kpis=("K14",),
)
def plot_months(result: Months, *, ax: Axes | None = None) -> Axes:
    """Draw the company's months so far, and what is forecast for those to come."""
    rows = result.company
    past = result.history.assign(unique_id=rows["unique_id"].iloc[0])
    ax = plot_fan(rows, past, ax=ax)
    ax.set_title(say("Bookings by month"))
    return ax


def describe_months(result: Months) -> str:
    """Say in one sentence what `plot_months` shows."""
    return f"{say('Bookings by month, and the forecast with 80 and 95 % ranges.')} {result.headline}"


def _axes(ax: Axes, unit: str) -> None:
    """Write dates that fit beside each other, and numbers by unit."""
    dates = AutoDateLocator(minticks=3, maxticks=7)  # with 5 at least, four years have no fitting step
    ax.xaxis.set_major_locator(dates)
    ax.xaxis.set_major_formatter(_Dates(dates))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, unit)))


class _Numbers(ScalarFormatter):
    """Plain numbers, as the company writes them."""

    def __call__(self, value: float, pos: int | None = None) -> str:
        """Write one tick."""
        return localised(super().__call__(value, pos))


class _Dates(ConciseDateFormatter):
    """Dates that fit beside each other, with months in the language spoken."""

    def format_ticks(self, values: list[float]) -> list[str]:
        """Write the ticks of an axis."""
        said = zip(super().format_ticks(values), map(num2date, values), strict=True)
        return [dated(day, "LLL") if text == f"{day:%b}" else text for text, day in said]


def _named(series: object) -> str:
    """Name a series: words of our own for the whole, others came from a CRM."""
    return say(series) if series in (COMPANY, TOTAL) else str(series)


def _scaled(error: float) -> str:
    return localised(f"{error:.2f}")


def _levels(rows: pd.DataFrame) -> list[str]:
    return [name.removeprefix("lo-") for name in rows.columns if str(name).startswith("lo-")]
