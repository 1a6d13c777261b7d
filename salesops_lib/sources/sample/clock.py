"""Time in the sample company: working-day positions, the instants they become, values that change over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from salesops_lib.sources.sample.settings import SampleSettings, day_number

DAY = 86_400
NEVER = 1 << 33  # UTC seconds of an event that does not come
OPENS, OFFICE = 8 * 3_600, 10 * 3_600  # office hours start at 8:00 and last ten hours
KEY_BITS = 34  # an instant in seconds fits below; the deal sits above
MONTH_WEIGHT = np.array([1.02, 1.03, 1.08, 0.98, 0.97, 1.0, 0.9, 0.64, 1.1, 1.12, 1.1, 0.9])
GROWTH = 1.12


@dataclass(frozen=True)
class Clock:
    """Office time of the company: `days` are its working days, `offset` seconds from UTC from day `first` on."""

    days: np.ndarray
    offset: np.ndarray
    first: int
    opening: float
    closing: float
    zone: str

    @classmethod
    def of(cls, settings: SampleSettings) -> Clock:
        """Lay out the working days from a decade before the records to a decade and a half after them."""
        start, end = day_number(settings.start), day_number(settings.end)
        every = np.arange(start - 3_700, end + 5_500)
        noon = pd.DatetimeIndex((every * DAY + DAY // 2).astype("datetime64[s]"))
        local = noon.tz_localize(settings.timezone).tz_convert("UTC").tz_localize(None)
        offset = ((noon - local) // pd.Timedelta(seconds=1)).to_numpy()
        festive = (noon.month * 100 + noon.day).isin([101, 1224, 1225, 1226, 1231])
        days = every[(noon.weekday < 5) & ~festive]
        opening, closing = np.searchsorted(days, [start, end + 1])
        return cls(days, offset, start - 3_700, float(opening), float(closing), settings.timezone)

    def instant(self, position: np.ndarray) -> np.ndarray:
        """Turn positions into UTC seconds; a position that never comes becomes `NEVER`."""
        finite = np.isfinite(position)
        safe = np.where(finite, position, 0.0)
        day = self.day(safe)
        second = OPENS + (np.clip(safe - safe.astype(np.int64), 0, 0.9999) * OFFICE).astype(np.int64)
        return np.where(finite, day * DAY + second - self.offset[day - self.first], NEVER)

    def position(self, day) -> np.ndarray:
        """Return the position at which the first working day on or after `day` opens."""
        return np.searchsorted(self.days, day).astype(float)

    def day(self, position: np.ndarray) -> np.ndarray:
        """Return the local day of a position."""
        return self.days[np.minimum(position.astype(np.int64), len(self.days) - 1)]

    def local_day(self, instant: np.ndarray) -> np.ndarray:
        """Return the local day of instants in office hours."""
        inside = np.minimum(instant // DAY - self.first, len(self.offset) - 1)
        return (instant + self.offset[inside]) // DAY

    def today(self, instant: int) -> int:
        """Return the local day of one instant, whatever the hour."""
        return day_number(f"{pd.Timestamp(instant, unit='s', tz=self.zone):%Y-%m-%d}")

    def now(self, instant: int) -> float:
        """Return the position of one instant; outside office hours that of the last closing."""
        local, today = pd.Timestamp(instant, unit="s", tz=self.zone), self.today(instant)
        share = (local.hour * 3_600 + local.minute * 60 + local.second - OPENS) / OFFICE
        opens = self.position(today)
        if self.position(today + 1) == opens or share < 0:
            return float(opens - 1e-6)
        return float(opens + min(share, 0.99995))

    def arrivals(self, rng, n: int) -> np.ndarray:
        """Draw positions with the weekly, seasonal and yearly pattern of new business, in order."""
        first = int(self.opening)
        day = self.days[first : int(self.closing)]
        date = pd.DatetimeIndex(day.astype("datetime64[D]"))
        quiet = (date.month == 12) & (date.day >= 20)
        weight = MONTH_WEIGHT[date.month - 1] * np.where(date.weekday == 4, 0.8, 1) * np.where(quiet, 0.35, 1)
        weight = np.cumsum(weight * GROWTH ** ((day - day[0]) / 365.25))
        working = np.searchsorted(weight, rng.random(n) * weight[-1], side="right")
        return np.sort(first + working + rng.beta(1.6, 1.8, n))


@dataclass(frozen=True)
class Timeline:
    """The values one field takes, deal by deal in order of time; `note` carries a fact beside the value."""

    deal: np.ndarray
    t: np.ndarray
    value: np.ndarray
    note: np.ndarray

    @classmethod
    def of(cls, clock: Clock, *parts: tuple) -> Timeline:
        """Join changes (deal, position, value and, if any, note); those of one instant keep the order given."""
        deal, position, value, *note = (np.concatenate(x) for x in zip(*parts, strict=True))
        t = clock.instant(position)
        order = np.argsort((deal << KEY_BITS) | t, kind="stable")
        return cls(deal[order], t[order], value[order], note[0][order] if note else np.zeros_like(deal))

    def last(self, deal: np.ndarray, t) -> np.ndarray:
        """Return the row of the last change of each deal up to and including `t`, -1 where there is none."""
        row = np.searchsorted((self.deal << KEY_BITS) | self.t, (deal << KEY_BITS) | t, side="right") - 1
        row[row >= 0] = np.where(self.deal[row[row >= 0]] == deal[row >= 0], row[row >= 0], -1)
        return row

    def at(self, deal: np.ndarray, t) -> np.ndarray:
        """Return the value of each deal at `t`, -1 where there is none yet."""
        row = self.last(deal, t)
        value = np.full(len(row), -1)
        value[row >= 0] = self.value[row[row >= 0]]
        return value
