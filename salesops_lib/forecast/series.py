"""The door of the series models: checked history, its calendar, and which series are too short or sparse."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from salesops_lib.errors import DataContractError, ParameterError, listed, shown, unknown
from salesops_lib.language import mark, say

if TYPE_CHECKING:
    from salesops_lib.forecast.components import Components

COLUMNS = ("unique_id", "ds", "y")
GAPS = ("refuse", "zero", "interpolate")
STEPS = {  # the first word of a pandas frequency: steps in a season, and what a step is called
    "D": (7, mark("days")), "B": (5, mark("working days")), "W": (52, mark("weeks")),
    "MS": (12, mark("months")), "ME": (12, mark("months")), "QS": (4, mark("quarters")),
    "QE": (4, mark("quarters")), "YS": (1, mark("years")), "YE": (1, mark("years")),
}  # fmt: skip
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
LOOSE = {  # a bare letter: the first of these that all stamps lie on
    "W": [f"W-{day}" for day in DAYS],
    "M": ["MS", "ME"],
    "Q": [f"{kind}-{month}" for kind in ("QS", "QE") for month in MONTHS],
    "Y": [f"{kind}-{month}" for kind in ("YS", "YE") for month in MONTHS],
}
LEAST = 4  # observations below which no model is fitted at all
LEAST_UNSEASONED = 8
SPARSE = 0.24  # of zeros; the border of intermittent demand (Syntetos and Boylan 2005: a value every 1.32 steps)


@dataclass(frozen=True)
class Panel:
    """Checked history of many series, one array each, oldest first.

    Attributes
    ----------
    ids
        The series' names as given, in the order of their first row.
    values
        One array of finite numbers a series, without gaps.
    ends
        The last stamp of each series.
    freq
        Frequency in pandas' words, as all stamps confirm it.
    """

    ids: tuple
    values: tuple[np.ndarray, ...]
    ends: tuple[pd.Timestamp, ...]
    freq: str
    is_seasonal: bool = True

    @property
    def season(self) -> int:
        """Steps in a season: 12 months, 52 weeks, 4 quarters; 1 where it is left out."""
        return STEPS[self.freq.partition("-")[0]][0] if self.is_seasonal else 1

    @property
    def unit(self) -> str:
        """What a step is called, in the plural."""
        return STEPS[self.freq.partition("-")[0]][1]

    def cut(self, steps: int) -> Panel:
        """Forget the last steps of every series; one that would have nothing left is dropped."""
        kept = [k for k, y in enumerate(self.values) if len(y) > steps]
        offset = pd.tseries.frequencies.to_offset(self.freq)
        return replace(
            self,
            ids=tuple(self.ids[k] for k in kept),
            values=tuple(self.values[k][: len(self.values[k]) - steps] for k in kept),
            ends=tuple(self.ends[k] - steps * offset for k in kept),
        )

    def pick(self, which: Sequence[int]) -> Panel:
        """Return some of the series, by position."""
        parts = {name: tuple(getattr(self, name)[k] for k in which) for name in ("ids", "values", "ends")}
        return replace(self, **parts)

    def future(self, horizon: int) -> np.ndarray:
        """Return the stamps of the coming steps: one row a series."""
        try:
            rows = {end: pd.date_range(end, periods=horizon + 1, freq=self.freq)[1:] for end in set(self.ends)}
        except (pd.errors.OutOfBoundsDatetime, OverflowError) as error:
            raise ParameterError(
                f"horizon {horizon}: {self.unit} so far ahead are beyond the calendar."
            ) from error
        return np.array([rows[end] for end in self.ends], "datetime64[ns]")

    def frame(self) -> pd.DataFrame:
        """Return the history in long form; `unique_id` is the position of the series."""
        stamps = [
            pd.date_range(end=e, periods=len(y), freq=self.freq)
            for e, y in zip(self.ends, self.values, strict=True)
        ]
        sizes = [len(y) for y in self.values]
        return pd.DataFrame(
            {
                "unique_id": np.repeat(np.arange(len(sizes)), sizes),
                "ds": np.concatenate(stamps) if stamps else np.array([], "datetime64[ns]"),
                "y": np.concatenate(self.values) if stamps else np.array([]),
            }
        )


@dataclass(frozen=True)
class Ask:
    """What is asked of a model: steps ahead, levels in percent, and effects for Prophet."""

    horizon: int
    levels: tuple[float, ...] = (80, 95)
    components: Components | None = None

    @property
    def columns(self) -> list[str]:
        """Names of the numbers: the mean, then low and high of each level."""
        return ["mean", *(f"{side}-{level}" for level in self.levels for side in ("lo", "hi"))]


def read(history: pd.DataFrame, *, freq: str, gaps: str = "refuse") -> Panel:
    """Check a history and sort it.

    Parameters
    ----------
    history
        `unique_id`, `ds`, `y`: one row a series and step; other columns are ignored.
    freq
        Pandas' word for the steps, e.g. ``MS`` or ``W-SUN``. ``W``, ``M``, ``Q`` and ``Y`` alone take the weekday,
        start or end, and first month that the stamps show.
    gaps
        What a missing step means: ``refuse``, ``zero`` (nothing happened) or ``interpolate``.

    Raises
    ------
    DataContractError
        Naming series and row, for missing columns, values that are no finite numbers, stamps that are no dates,
        carry a time zone, lie off the grid of `freq`, come twice or are missing.
    ParameterError
        For an unknown `freq` or `gaps`.
    """
    if gaps not in GAPS:
        raise ParameterError(unknown("way to treat gaps", gaps, GAPS))
    rows = _columns(history)
    rows = rows.assign(ds=_stamps(rows), y=_numbers(rows))
    settled = _settled(freq, rows)
    start, end = rows["ds"].min(), rows["ds"].max()
    grid = pd.date_range(start, end, freq=settled)
    rows["at"] = grid.get_indexer(rows["ds"])
    _refuse(
        rows, rows["at"].lt(0), lambda row: f"{_day(row.ds)} is no step of freq {freq!r}.{_better(rows, freq)}"
    )
    twice = rows.duplicated(["unique_id", "ds"])
    _refuse(rows, twice, lambda row: f"{_day(row.ds)} comes twice; add the rows up, or drop one")
    rows = rows.sort_values("at", kind="stable")
    ids, values, ends = [], [], []
    for name, own in rows.groupby("unique_id", sort=False, observed=True):
        ids.append(name)
        values.append(_filled(name, own, grid, gaps))
        ends.append(grid[own["at"].iloc[-1]])
    order = {name: k for k, name in enumerate(pd.unique(history["unique_id"]))}
    by = sorted(range(len(ids)), key=lambda k: order[ids[k]])
    return Panel(tuple(ids), tuple(values), tuple(ends), settled).pick(by)


def check_horizon(horizon: int) -> int:
    """Return a number of steps where it is one.

    Raises
    ------
    ParameterError
        For anything but a whole number from 1 to 10,000.
    """
    if isinstance(horizon, bool) or not isinstance(horizon, (int, np.integer)) or not 1 <= horizon <= 10_000:
        raise ParameterError(f"horizon {shown(horizon)}: a whole number of steps ahead is needed, from 1 on.")
    return int(horizon)


def check_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Return levels in percent, rising, each once.

    Raises
    ------
    ParameterError
        For anything that is no number between 0 and 100.
    """
    found = [levels] if isinstance(levels, (int, float)) else list(levels)
    bad = [level for level in found if isinstance(level, (bool, str)) or not 0 < level < 100]
    if bad:
        raise ParameterError(f"level {shown(bad[0])}: levels are percentages between 0 and 100, e.g. (80, 95).")
    return tuple(sorted({int(level) if float(level).is_integer() else float(level) for level in found}))


def thin(y: np.ndarray, season: int, unit: str) -> tuple[str, str] | None:
    """Say why a series cannot carry the models: what is done instead, and the reason; nothing where it can.

    The first word is ``naive``, ``unseasoned`` or ``sparse``.
    """
    n, needed = len(y), max(2 * season, LEAST_UNSEASONED)
    short = {"n": n, "needed": needed, "unit": say(unit)}
    if n < LEAST:
        return "naive", say("{n} of {needed} {unit} needed", **short)
    if np.ptp(y) <= 1e-12 * np.abs(y).max():
        return "naive", say("one value only") if y.any() else say("only zeros")
    if (zeros := (y == 0).mean()) > SPARSE:
        return "sparse", say("{share} zeros", share=f"{zeros:.0%}")
    if n < needed:
        return "unseasoned", say("{n} of {needed} {unit} needed", **short)
    return None


def _columns(history: pd.DataFrame) -> pd.DataFrame:
    if not isinstance(history, pd.DataFrame):
        raise DataContractError(
            f"history: a table with {', '.join(COLUMNS)} is needed, got {type(history).__name__}."
        )
    missing = [name for name in COLUMNS if name not in history]
    if missing:
        raise DataContractError(
            f"history: {unknown('column', missing[0], history.columns)}".replace("unknown", "no")
        )
    if history.empty:
        raise DataContractError("history: there are no rows.")
    if twice := [name for name in COLUMNS if (history.columns == name).sum() > 1]:
        raise DataContractError(f"history: column {twice[0]} is there twice; drop one.")
    rows = history[list(COLUMNS)].assign(row=history.index)
    _refuse(rows, rows["unique_id"].isna(), lambda _: "unique_id is empty")
    odd = ~rows["unique_id"].map(lambda name: isinstance(name, Hashable))
    _refuse(rows, odd, lambda row: f"unique_id is a {type(row.unique_id).__name__}; text or a number is needed")
    return rows.reset_index(drop=True)


def _stamps(rows: pd.DataFrame) -> pd.Series:
    ds = rows["ds"]
    if isinstance(ds.dtype, pd.PeriodDtype):
        return ds.dt.to_timestamp()
    if pd.api.types.is_numeric_dtype(ds):
        _refuse(rows, ds.notna() | ds.isna(), lambda row: f"ds {shown(row.ds)} is a number; dates are needed")
    zoned = ds.dtype == object and ds.map(lambda day: getattr(day, "tzinfo", None)).notna().any()
    if zoned or isinstance(ds.dtype, pd.DatetimeTZDtype):
        mend = "make them dates in the company's zone: ds.dt.tz_convert(zone).dt.tz_localize(None).dt.normalize()"
        _refuse(rows, ds.notna(), lambda row: f"ds {row.ds} carries a time zone; {mend}")
    read_as = pd.to_datetime(ds, errors="coerce")
    _refuse(rows, read_as.isna(), lambda row: f"ds {shown(row.ds)} is no date; write 2026-09-30")
    if isinstance(read_as.dtype, pd.DatetimeTZDtype) or read_as.dtype == object:
        _refuse(rows, ds.notna(), lambda row: f"ds {shown(row.ds)} carries a time zone; drop it")
    late = read_as.ne(read_as.dt.normalize())
    _refuse(rows, late, lambda row: f"ds {row.ds} carries a time of day; drop it: ds.dt.normalize()")
    return read_as.astype("datetime64[ns]")


def _numbers(rows: pd.DataFrame) -> pd.Series:
    y = rows["y"]
    if pd.api.types.is_bool_dtype(y) or pd.api.types.is_datetime64_any_dtype(y):
        raise DataContractError(f"history: y holds {y.dtype} values; numbers are needed.")
    text = y.map(lambda value: isinstance(value, (str, bytes))) if y.dtype == object else pd.Series(False, y.index)
    _refuse(rows, text, lambda row: f"y {shown(row.y)} is text; make it a number")
    numbers = pd.to_numeric(y.astype(object).where(y.notna(), np.nan), errors="coerce").astype(float)
    _refuse(rows, numbers.isna(), lambda row: f"y is {row.y}; drop the row, or write 0 where nothing happened")
    _refuse(rows, ~np.isfinite(numbers), lambda row: f"y is {row.y}; a finite number is needed")
    _refuse(rows, numbers.abs().gt(1e150), lambda row: f"y is {row.y}; numbers up to 1e150 are taken")
    return numbers


def _settled(freq: str, rows: pd.DataFrame) -> str:
    """Return the one frequency that is meant."""
    loose = {"A": "Y"}.get(freq, freq) if isinstance(freq, str) else freq
    if isinstance(loose, str) and loose in LOOSE:
        lies = [name for name in LOOSE[loose] if _share_on(name, rows["ds"]) == 1]
        if lies:
            return lies[0]
        freq = max(LOOSE[loose], key=lambda name: _share_on(name, rows["ds"]))
    try:
        offset = pd.tseries.frequencies.to_offset(freq)
        name = offset.freqstr
    except (ValueError, TypeError, AttributeError):
        name = ""
    if name.partition("-")[0] not in STEPS or offset.n != 1:
        raise ParameterError(unknown("freq", str(freq), [*STEPS, "W-MON", "QS-FEB", *LOOSE]))
    return name


def _share_on(freq: str, stamps: pd.Series) -> float:
    found = pd.DatetimeIndex(stamps.unique())
    return float(found.isin(pd.date_range(found.min(), found.max(), freq=freq)).mean())


def _better(rows: pd.DataFrame, freq: str) -> str:
    for name in [*LOOSE["M"], *LOOSE["Q"], *LOOSE["W"], *LOOSE["Y"], "D"]:
        if name != freq and _share_on(name, rows["ds"]) == 1:
            return (
                f" All stamps lie on freq {name!r}"
                if name != "D"
                else " They look like days: sum them to steps first"
            )
    return ""


def _refuse(rows: pd.DataFrame, bad: pd.Series, why) -> None:
    """Name the first bad row and count the rest."""
    found = np.flatnonzero(np.asarray(bad, bool))
    if len(found):
        row = next(rows.iloc[found[:1]].itertuples())
        more = f" ({len(found):,} such rows)" if len(found) > 1 else ""
        raise DataContractError(
            f"history: series {shown(row.unique_id)}, row {row.row}: {why(row).rstrip('.')}.{more}"
        )


def _filled(name: object, own: pd.DataFrame, grid: pd.DatetimeIndex, gaps: str) -> np.ndarray:
    at = own["at"].to_numpy()
    first, last = at[0], at[-1]
    if last - first + 1 == len(at):
        return own["y"].to_numpy()
    missing = np.setdiff1d(np.arange(first, last + 1), at)
    if gaps == "refuse":
        days = listed([_day(grid[k]) for k in missing[:5]])
        more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
        row = own["row"].iloc[np.searchsorted(at, missing[0])]
        raise DataContractError(
            f"history: series {shown(name)}, before row {row}: {days}{more} "
            f"{'is' if len(missing) == 1 else 'are'} missing. Pass gaps='zero' where nothing happened then, or "
            "gaps='interpolate'."
        )
    whole = np.zeros(last - first + 1)
    if gaps == "interpolate":
        whole = np.interp(np.arange(first, last + 1), at, own["y"])
    whole[at - first] = own["y"]
    return whole


def _day(stamp: pd.Timestamp) -> str:
    return f"{stamp:%Y-%m-%d}"


def naive_scale(y: np.ndarray, season: int) -> float:
    """Return the mean error of the seasonal naive forecast within a history, what MASE divides by; NaN for 0."""
    season = season if len(y) > season else 1
    scale = np.abs(y[season:] - y[:-season]).mean() if len(y) > season else 0.0
    return scale or np.nan
