"""One past period, forecast week by week with what was known then, beside what came; from what is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.forecast.replay import WAYS
from salesops_lib.present import fitted

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.forecast.trials import Trial

OURS = WAYS[0]
LOW, HIGH = "q10", "q90"
UNITS = {
    "lead_weeks": "count", "day": "date", **dict.fromkeys(("booked", "forecast", "way", "actual"), "money"),
    **dict.fromkeys(("off", "way_off"), "percent"), "held": "flag",
}  # fmt: skip
LABELS = {"lead_weeks": "weeks left", "forecast": "forecast [80 %]", "actual": "came", "off": "off by"}


@dataclass(frozen=True)
class LookBack:
    """A past period as it was foreseen.

    Attributes
    ----------
    period, way
        The period's name, and another way to forecast it, in words; ``forecast`` where there is none.
    rows
        One row a past week: `lead_weeks` (left to the period's end), `day`, `booked` by then, `forecast` (the
        median), `low`, `high` (80 %), `off` (its error, a share of what came), `held` (whether the range held),
        `actual`; and `way`, `way_off` of the other way.
    """

    period: str
    way: str
    rows: pd.DataFrame

    @property
    def came(self) -> float:
        """What the period booked."""
        return float(self.rows["actual"].iloc[0])

    @property
    def table(self) -> pd.DataFrame:
        """The rows without what came, the same in each of them."""
        return self.rows.drop(columns="actual")

    @property
    def looks(self) -> dict[str, dict]:
        """Say how the table is shown: arguments of `present.table`."""
        labels = LABELS | {"way": self.way, "way_off": f"{self.way} off by"}
        return fitted(self.table, units=UNITS, labels=labels, ranges={"forecast": ("low", "high")})


def past_periods(result: Trial) -> list[str]:
    """List the periods that `look_back` knows, the latest first."""
    if isinstance(result.replay, InsufficientData):
        return []
    return list(result.replay.forecasts.sort_values("day", ascending=False)["period"].unique())


def past_ways(result: Trial) -> list[str]:
    """List the ways to forecast that `look_back` knows, ours first."""
    if isinstance(result.replay, InsufficientData):
        return []
    return [_in_words(way) for way in WAYS if way in result.replay.forecasts]


def look_back(result: Trial, *, period: str = "", way: str = OURS) -> LookBack:
    """Show how a past period was foreseen week by week, by us and in another way; nothing is fitted again.

    Parameters
    ----------
    period
        One of `past_periods`; the latest where it is empty.
    way
        One of `past_ways`.

    Raises
    ------
    ParameterError
        For another period or way.
    InsufficientData
        Where no past week has a forecast.
    """
    if isinstance(result.replay, InsufficientData):
        raise result.replay
    periods, names = past_periods(result), past_ways(result)
    period = period or periods[0]
    if period not in periods:
        raise ParameterError(unknown("period", period, periods))
    if way not in names:
        raise ParameterError(unknown("way", way, names))
    rows = result.replay.forecasts
    rows = rows[rows["period"].eq(period)].sort_values("day", ignore_index=True)
    out = rows[["lead_weeks", "day", "booked", "forecast", "actual"]].assign(low=rows[LOW], high=rows[HIGH])
    came = rows["actual"]
    out["held"] = came.between(out["low"], out["high"])
    whole = came.where(came > 0)
    out["off"] = rows["forecast"] / whole - 1
    if way != OURS:
        other = rows[way.replace(" ", "_")]
        out["way"], out["way_off"] = other, other / whole - 1
    return LookBack(period, way, out)


def _in_words(way: str) -> str:
    return way.replace("_", " ")
