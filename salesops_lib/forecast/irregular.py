"""What is odd in a history (outliers, level shifts, working days), and what can be done about it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from salesops_lib.errors import ParameterError, shown
from salesops_lib.forecast import members, series
from salesops_lib.forecast.components import STAMPED_AT_END
from salesops_lib.periods import FiscalCalendar

if TYPE_CHECKING:
    from salesops_lib.forecast.series import Panel

OUTLIER, SHIFT = "outlier", "level shift"
FENCE = 3  # interquartile ranges beyond the quartiles: Hyndman's tsoutliers
BESIDE = 6  # steps on each side of a level shift
STRONG = 6  # robust standard deviations that a shift's jump is from the usual difference of two neighbourhoods
SMALL = 0.1  # of the median: with smaller values, logarithms would make ordinary low ones odd
ROUNDING = 1e-9  # of values of the size of 1: smaller spreads are none
LEAST = 4 * BESIDE  # steps below which nothing is called odd
RETAIL = {"MS": "month", "QS": "quarter"}


def inspect_series(
    history: pd.DataFrame, *, freq: str, gaps: str = "refuse", calendar: FiscalCalendar | None = None
) -> pd.DataFrame:
    """List what is odd in each series, strongest first.

    An outlier lies more than three interquartile ranges beyond the quartiles (as in Hyndman's tsoutliers) of what
    a running median and the season leave. A level shift is a jump between the medians of six steps before and
    after that is far from what is usual in the series. Short or sparse series have neither.

    Parameters
    ----------
    calendar
        Adds the working days of the step.

    Returns
    -------
    pandas.DataFrame
        `unique_id`, `ds`, `kind` (``outlier`` or ``level shift``), `y`, `expected` (from the steps around it and
        the season), `strength` (robust standard deviations), and `working_days`.
    """
    panel = series.read(history, freq=freq, gaps=gaps)
    columns = ["unique_id", "ds", "kind", "y", "expected", "strength"]
    stamps = panel.frame().groupby("unique_id")["ds"].apply(pd.DatetimeIndex)
    rows = []
    for k, (name, y) in enumerate(zip(panel.ids, panel.values, strict=True)):
        for at, kind, expected, strength in odd(y, panel.season):
            rows.append((name, stamps[k][at], kind, y[at], expected, strength))
    out = pd.DataFrame(rows, columns=columns).astype({"ds": "datetime64[ns]"})
    if calendar is not None:
        out["working_days"] = working_days(pd.DatetimeIndex(out["ds"]), panel.freq, calendar)
    return out.sort_values("strength", ascending=False, ignore_index=True)


def odd(y: np.ndarray, season: int) -> list[tuple[int, str, float, float]]:
    """Find outliers and level shifts of one series: place, kind, expected value, strength."""
    if len(y) < LEAST or np.ptp(y) == 0 or (y == 0).mean() > series.SPARSE:
        return []
    logged = y.min() > SMALL * np.median(y)
    seen = np.log(y) if logged else y / np.abs(y).mean()
    floor = 0.0 if y.min() >= 0 else -np.inf

    def back(x: float) -> float:
        return max(float(np.exp(x) if logged else x * np.abs(y).mean()), floor)

    seasonal = _seasonal(seen, season)
    found, level = [], seen - seasonal
    for at, jump, strength in _shifts(level):
        found.append((at, SHIFT, back(seen[at] - jump), strength))
        level[at:] -= jump
    rest = level - _trend(level)
    low, high, spread = _fences(rest)
    for at in np.flatnonzero((rest < low) | (rest > high)):
        found.append((int(at), OUTLIER, back(seen[at] - rest[at]), float(abs(rest[at]) / spread)))
    return found


def replaced(panel: Panel) -> tuple[Panel, list[int]]:
    """Put what was to be expected in place of outliers; the last step stays, for it may be a new level.

    Returns
    -------
    Panel, list of int
        The changed history, and how many values of each series were changed.
    """
    values, counts = [], []
    for y in panel.values:
        found = [row for row in odd(y, panel.season) if row[1] == OUTLIER and row[0] < len(y) - 1]
        own = y.copy()
        for at, _, expected, _ in found:
            own[at] = expected
        values.append(own)
        counts.append(len(found))
    return replace(panel, values=tuple(values)), counts


def by_day(panel: Panel, horizon: int, calendar: FiscalCalendar | str) -> tuple[Panel, np.ndarray]:
    """Divide a history by the working days of its steps, in the mean 1.

    Returns
    -------
    Panel, numpy.ndarray
        The changed history, and by what its forecasts are to be multiplied: series × step.

    Raises
    ------
    ParameterError
        For what is neither a calendar nor a country.
    """
    if isinstance(calendar, str):
        calendar = FiscalCalendar(holiday_country=calendar)
    if not isinstance(calendar, FiscalCalendar):
        raise ParameterError(f"working_days {shown(calendar)}: a FiscalCalendar or a country code is needed.")
    offset = pd.tseries.frequencies.to_offset(panel.freq)
    longest = max(len(y) for y in panel.values)
    first, last = min(panel.ends) - (longest - 1) * offset, max(panel.ends) + horizon * offset
    grid = pd.date_range(first, last, freq=panel.freq)
    days = np.maximum(working_days(grid, panel.freq, calendar), 1)
    days = days / days.mean()
    at = grid.get_indexer(pd.DatetimeIndex(panel.ends))
    values = [y / days[end + 1 - len(y) : end + 1] for y, end in zip(panel.values, at, strict=True)]
    return replace(panel, values=tuple(values)), np.array([days[end + 1 : end + 1 + horizon] for end in at])


def working_days(stamps: pd.DatetimeIndex, freq: str, calendar: FiscalCalendar) -> np.ndarray:
    """Count the working days of each step; of the fiscal month or quarter where the calendar is a retail one."""
    word, offset = freq.partition("-")[0], pd.tseries.frequencies.to_offset(freq)
    if word in RETAIL and calendar.pattern != "months":
        spans = [calendar.period(RETAIL[word], (day + pd.Timedelta(days=14)).date()) for day in stamps]
        spans = [(span.start, span.end) for span in spans]
    elif freq in STAMPED_AT_END and freq != f"W-{calendar.week_start[:3].upper()}":
        one = pd.Timedelta(days=1)
        spans = [((day - offset + one).date(), (day + one).date()) for day in stamps]
    else:
        spans = [(day.date(), (day + offset).date()) for day in stamps]
    return np.array([calendar.working_days(*span) for span in spans], int)


def _seasonal(seen: np.ndarray, season: int) -> np.ndarray:
    """Return the mean by place in the season of what the trend leaves; zeros where there is no season.

    Without what lies far from the median of its place: an outlier must not hide itself in its own mean.
    """
    n = len(seen)
    place, loose = np.arange(n) % season, seen - _trend(seen)
    if season == 1 or n < 2 * season + 1 or not members.is_seasonal(loose, season):
        return np.zeros(n)
    middle = pd.Series(loose).groupby(place).median()
    rest = loose - middle.to_numpy()[place]
    low, high, _ = _fences(rest)
    kept = np.where((rest < low) | (rest > high), np.nan, loose)
    return pd.Series(kept).groupby(place).mean().fillna(middle).to_numpy()[place]


def _trend(level: np.ndarray) -> np.ndarray:
    """Return the running median; at both ends the line through its neighbourhood (Theil and Sen), not to lag."""
    from scipy.stats import theilslopes

    wide = 2 * BESIDE + 1
    out = pd.Series(level).rolling(wide, center=True).median().to_numpy()
    for edge, near in ((slice(0, BESIDE), slice(0, wide)), (slice(-BESIDE, None), slice(-wide, None))):
        slope, intercept, *_ = theilslopes(level[near])
        out[edge] = (intercept + slope * np.arange(wide))[edge]
    return out


def _shifts(level: np.ndarray) -> list[tuple[int, float, float]]:
    """Find jumps between the medians of `BESIDE` steps before and after: place, jump, strength."""
    n = len(level)
    places = np.arange(BESIDE, n - BESIDE + 1)
    windows = np.lib.stride_tricks.sliding_window_view(level, BESIDE)
    medians = np.median(windows, axis=1)
    jumps = medians[places] - medians[places - BESIDE]
    usual = np.median(jumps)
    spread = max(1.4826 * np.median(np.abs(jumps - usual)), ROUNDING * np.abs(level).max())
    strength = np.abs(jumps - usual) / spread
    found = []
    while len(strength) and strength.max() > STRONG:
        best = int(strength.argmax())
        near = np.arange(places[best] - BESIDE // 2, places[best] + BESIDE // 2 + 1)
        steps = np.sign(jumps[best] - usual) * (level[near] - level[near - 1])
        found.append((int(near[steps.argmax()]), float(jumps[best] - usual), float(strength[best])))
        strength[max(0, best - BESIDE) : best + BESIDE + 1] = 0
    return sorted(found)


def _fences(rest: np.ndarray) -> tuple[float, float, float]:
    low, high = np.percentile(rest, [25, 75])
    wide = max(high - low, ROUNDING)
    return low - FENCE * wide, high + FENCE * wide, wide / 1.349
