"""The fiscal calendar: the only date arithmetic in the package.

Every window is half-open, ``[start, end)``, in business dates of the company's time zone. Nothing here reads
the clock: "today" is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from salesops_lib.errors import ParameterError, unknown

if TYPE_CHECKING:
    import pandas as pd

MONTH_DAYS, QUARTER_DAYS = 365.25 / 12, 365.25 / 4  # on average
KINDS = ("week", "month", "quarter", "year")
PATTERNS = {"months": None, "4-4-5": (4, 4, 5), "4-5-4": (4, 5, 4), "5-4-4": (5, 4, 4)}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
RELATIVE_DAYS = ("today", "yesterday", "last_week_end", "last_month_end", "last_quarter_end", "last_year_end")


@dataclass(frozen=True, order=True)
class Period:
    """A half-open window ``[start, end)`` of business dates with a name for people."""

    start: date
    end: date
    kind: str
    label: str

    def __post_init__(self):
        if self.end <= self.start:
            raise ParameterError(f"period {self.label!r} ends on {self.end}, not after its start {self.start}.")

    def __str__(self) -> str:
        return self.label

    @property
    def last_day(self) -> date:
        """Last business date inside the period."""
        return self.end - timedelta(days=1)

    @property
    def days(self) -> int:
        """Calendar days in the period."""
        return (self.end - self.start).days

    def contains(self, dates: pd.Series) -> pd.Series:
        """Mark the dates that lie in the period; empty dates do not."""
        import numpy as np
        import pandas as pd

        first, end = pd.Timestamp(self.start), pd.Timestamp(self.end)
        if isinstance(dates.dtype, np.dtype) and dates.dtype.kind == "M":  # the quick way, for what is usual
            days = dates.to_numpy()
            inside = (days >= first.to_datetime64()) & (days < end.to_datetime64())
            return pd.Series(inside, index=dates.index, name=dates.name)
        return (dates >= first) & (dates < end)

    def until(self, day: date) -> Period:
        """Cut the period after `day`; the whole period where `day` is not before its last one.

        Raises
        ------
        ParameterError
            Where `day` lies before the period.
        """
        if day >= self.last_day:
            return self
        return Period(self.start, day + timedelta(days=1), self.kind, f"{self.label} to {day:%d %b %Y}")


@dataclass(frozen=True)
class FiscalCalendar:
    """The company's fiscal calendar.

    Parameters
    ----------
    start_month
        Month the fiscal year starts in, 1 to 12. A fiscal year is named after the calendar year it ends in.
    pattern
        ``months``, or a retail pattern such as ``4-4-5``: whole weeks, the year starting on the `week_start`
        nearest to the first of `start_month`, a 53rd week joining the last month (National Retail Federation).
    week_start
        First day of a week.
    timezone
        IANA time zone that business dates are read in.
    holiday_country
        ISO code whose public holidays are no working days; none by default.
    """

    start_month: int = 1
    pattern: str = "months"
    week_start: str = "monday"
    timezone: str = "UTC"
    holiday_country: str | None = None

    def __post_init__(self):
        if not 1 <= self.start_month <= 12:
            raise ParameterError(f"fiscal_start_month {self.start_month} is not a month from 1 to 12.")
        if self.pattern not in PATTERNS:
            raise ParameterError(unknown("calendar pattern", self.pattern, PATTERNS))
        if self.week_start not in WEEKDAYS:
            raise ParameterError(unknown("week start", self.week_start, WEEKDAYS))
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ParameterError(
                f"time zone {self.timezone!r} is not known; use an IANA name, e.g. Europe/Berlin."
            ) from error

    # -- fiscal years and their parts ------------------------------------------------------------------

    def year_start(self, fiscal_year: int) -> date:
        """First day of a fiscal year."""
        first = date(fiscal_year if self.start_month == 1 else fiscal_year - 1, self.start_month, 1)
        if self.pattern == "months":
            return first
        ahead = (WEEKDAYS.index(self.week_start) - first.weekday()) % 7
        return first + timedelta(days=ahead if ahead <= 3 else ahead - 7)

    def fiscal_year(self, day: date) -> int:
        """Fiscal year that `day` lies in."""
        year = day.year + 1
        while self.year_start(year) > day:
            year -= 1
        return year

    def _months(self, fiscal_year: int) -> list[date]:
        """Starts of the twelve fiscal months, and the start of the next year."""
        start, end = self.year_start(fiscal_year), self.year_start(fiscal_year + 1)
        weeks = PATTERNS[self.pattern]
        if weeks is None:
            months = [(start.month - 1 + k, start.year) for k in range(12)]
            return [date(year + m // 12, m % 12 + 1, 1) for m, year in months] + [end]
        starts = [start]
        for k in range(11):
            starts.append(starts[-1] + timedelta(weeks=weeks[k % 3]))
        return [*starts, end]

    def period(self, kind: str, day: date | str) -> Period:
        """Return the week, month, quarter or year that `day` lies in.

        Raises
        ------
        ParameterError
            For an unknown kind or a day that is no date.
        """
        if kind not in KINDS:
            raise ParameterError(unknown("period", kind, KINDS))
        return self._period(kind, as_date(day))

    @lru_cache(maxsize=4096)  # noqa: B019 - frozen, small, lives as long as the workspace
    def _period(self, kind: str, day: date) -> Period:
        if kind == "week":
            start = day - timedelta(days=(day.weekday() - WEEKDAYS.index(self.week_start)) % 7)
            return Period(start, start + timedelta(days=7), kind, f"week of {start:%d %b %Y}")
        year = self.fiscal_year(day)
        months = self._months(year)
        name = self.year_label(year)
        if kind == "year":
            return Period(months[0], months[-1], kind, name)
        at = max(k for k in range(12) if months[k] <= day)
        if kind == "month":
            start, end = months[at], months[at + 1]
            return Period(start, end, kind, f"{start:%b %Y}" if self.pattern == "months" else f"M{at + 1} {name}")
        first = at // 3 * 3
        return Period(months[first], months[first + 3], kind, f"Q{at // 3 + 1} {name}")

    def year_label(self, fiscal_year: int) -> str:
        """Name of a fiscal year: ``2026`` where it is the calendar year, else ``FY26``."""
        if self.start_month == 1 and self.pattern == "months":
            return str(fiscal_year)
        return f"FY{fiscal_year % 100:02d}"

    def shift(self, period: Period, by: int) -> Period:
        """Return the period `by` steps later (earlier where negative)."""
        for _ in range(abs(by)):
            edge = period.end if by > 0 else period.start - timedelta(days=1)
            period = self.period(period.kind, edge)
        return period

    def year_ago(self, period: Period) -> Period:
        """Return the same week, month, quarter or year of the fiscal year before."""
        steps = {"week": 52, "month": 12, "quarter": 4, "year": 1}
        return self.shift(period, -steps[period.kind])

    def last(self, kind: str, n: int, day: date | str) -> list[Period]:
        """Return the `n` periods that end with the one `day` lies in, oldest first."""
        newest = self.period(kind, day)
        return [self.shift(newest, -k) for k in reversed(range(n))]

    def trailing(self, kind: str, n: int, day: date | str) -> Period:
        """Join the `n` periods up to the one `day` lies in into one window."""
        parts = self.last(kind, n, day)
        return Period(parts[0].start, parts[-1].end, f"{n} {kind}s", f"{parts[0]} to {parts[-1]}")

    def between(self, kind: str, first: date | str, last: date | str) -> list[Period]:
        """List the periods that cover ``first`` to ``last``, both included."""
        first, last = as_date(first), as_date(last)
        periods = [self.period(kind, first)]
        while periods[-1].end <= last:
            periods.append(self.shift(periods[-1], 1))
        return periods

    def label(self, dates: pd.Series, kind: str) -> pd.Series:
        """Name the period of each business date; ordered by time, empty where the date is."""
        import pandas as pd

        days = pd.Series(dates.dropna().unique())
        if days.empty:
            return pd.Series(pd.Categorical([None] * len(dates), ordered=True), index=dates.index)
        periods = self.between(kind, days.min().date(), days.max().date())
        edges = pd.DatetimeIndex([p.start for p in periods] + [periods[-1].end])
        return pd.cut(dates, edges, right=False, labels=[p.label for p in periods], ordered=True)

    # -- working days ----------------------------------------------------------------------------------

    @cached_property
    def _holidays(self):
        if self.holiday_country is None:
            return frozenset()
        import holidays

        try:
            return holidays.country_holidays(self.holiday_country)
        except NotImplementedError as error:
            raise ParameterError(
                f"no holidays known for country {self.holiday_country!r}; use an ISO code such as DE."
            ) from error

    def is_working_day(self, day: date) -> bool:
        """Whether `day` is neither Saturday, Sunday nor a public holiday of `holiday_country`."""
        return day.weekday() < 5 and day not in self._holidays

    @lru_cache(maxsize=4096)  # noqa: B019 - as above; every KPI row asks it
    def working_days(self, start: date, end: date) -> int:
        """Count the working days in ``[start, end)``."""
        return sum(map(self.is_working_day, days(start, end)))

    def elapsed(self, period: Period, day: date) -> float:
        """Share of the period's working days that lie up to `day`, 0 to 1."""
        if day < period.start:
            return 0.0
        gone = period.until(day)
        return self.working_days(gone.start, gone.end) / max(self.working_days(period.start, period.end), 1)

    def same_progress(self, period: Period, day: date, other: Period) -> Period:
        """Cut `other` after as many working days as `period` has seen by `day`: like is compared with like."""
        if day >= period.last_day:
            return other
        gone = self.working_days(period.start, day + timedelta(days=1))
        seen = 0
        for candidate in days(other.start, other.end):
            seen += self.is_working_day(candidate)
            if seen >= gone:
                return other.until(candidate)
        return other

    def table(self, first: date | str, last: date | str) -> pd.DataFrame:
        """Write the canonical `calendar` table from `first` to `last`, both included."""
        import pandas as pd

        from salesops_lib import tables

        rows = []
        for day in days(as_date(first), as_date(last) + timedelta(days=1)):
            year = self.fiscal_year(day)
            months = self._months(year)
            month = max(k for k in range(12) if months[k] <= day) + 1
            rows.append(
                {
                    "date": day,
                    "region": "all",
                    "fiscal_year": year,
                    "fiscal_quarter": (month - 1) // 3 + 1,
                    "fiscal_month": month,
                    "fiscal_week": (day - months[0]).days // 7 + 1,
                    "is_working_day": self.is_working_day(day),
                }
            )
        return tables.conform(pd.DataFrame(rows), "calendar")

    # -- instants and business dates -------------------------------------------------------------------

    def instant(self, as_of: date | datetime | str) -> pd.Timestamp:
        """Turn an as-of day or instant into the last UTC microsecond it may see.

        A day counts to its end in the company's time zone; an instant without a zone is read in it.

        Raises
        ------
        ParameterError
            For text that is neither an ISO date nor an ISO instant.
        """
        import pandas as pd

        try:
            read = datetime.fromisoformat(as_of.strip()) if isinstance(as_of, str) else as_of
            is_day = len(as_of.strip()) <= 10 if isinstance(as_of, str) else not isinstance(as_of, datetime)
            if not isinstance(read, date) or not 1900 <= read.year <= 2200:
                raise ValueError(as_of)
        except ValueError as error:
            raise ParameterError(f"as_of {as_of!r} is not a date such as 2026-09-30.") from error
        stamp = pd.Timestamp(read)
        if is_day:
            stamp = stamp.normalize() + pd.Timedelta(days=1)
        if stamp.tzinfo is None:
            stamp = stamp.tz_localize(self.timezone, ambiguous=True, nonexistent="shift_forward")
        last = pd.Timedelta(microseconds=1 if is_day else 0)
        return (stamp.tz_convert("UTC") - last).as_unit("us")

    def business_date(self, instants: pd.Series) -> pd.Series:
        """Read UTC instants as business dates of the company's time zone."""
        return instants.dt.tz_convert(self.timezone).dt.tz_localize(None).dt.normalize()

    def day_of(self, instant: pd.Timestamp) -> date:
        """Read one UTC instant as a business date of the company's time zone."""
        return instant.tz_convert(self.timezone).date()

    def day_start(self, dates: pd.Series) -> pd.Series:
        """Return the UTC instant at which each business date begins in the company's time zone."""
        local = dates.dt.tz_localize(self.timezone, nonexistent="shift_forward", ambiguous=True)
        return local.dt.tz_convert("UTC").dt.as_unit("us")

    def resolve_day(self, text: str, today: date) -> date:
        """Resolve an ISO date or a word such as ``last_month_end`` against `today`.

        Raises
        ------
        ParameterError
            For anything else, with the near miss.
        """
        if text not in RELATIVE_DAYS:
            try:
                return date.fromisoformat(text)
            except ValueError:
                raise ParameterError(f"{unknown('as_of', text, RELATIVE_DAYS)}, or an ISO date.") from None
        if text == "today":
            return today
        if text == "yesterday":
            return today - timedelta(days=1)
        kind = text.removeprefix("last_").removesuffix("_end")
        return self.period(kind, today).start - timedelta(days=1)


def days(start: date, end: date) -> Iterator[date]:
    """Yield the days of ``[start, end)``."""
    for k in range((end - start).days):
        yield start + timedelta(days=k)


def as_date(day: date | datetime | str) -> date:
    """Read a date, a timestamp or ISO text as a plain date.

    Raises
    ------
    ParameterError
        For text that is no ISO date.
    """
    if isinstance(day, datetime):
        return day.date()
    if isinstance(day, date):
        return day
    try:
        return date.fromisoformat(str(day)[:10])
    except ValueError as error:
        raise ParameterError(f"{day!r} is not a date such as 2026-09-30.") from error
