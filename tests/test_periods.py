from datetime import date, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from salesops_lib.errors import ParameterError
from salesops_lib.periods import KINDS, PATTERNS, WEEKDAYS, FiscalCalendar, Period

DAYS = st.dates(date(2000, 1, 1), date(2060, 12, 31))
CALENDARS = st.builds(
    FiscalCalendar,
    start_month=st.integers(1, 12),
    pattern=st.sampled_from(sorted(PATTERNS)),
    week_start=st.sampled_from(WEEKDAYS),
)
FEBRUARY = FiscalCalendar(2, timezone="Europe/Berlin")


def test_fiscal_quarter_of_a_february_year():
    quarter = FEBRUARY.period("quarter", "2026-09-30")
    assert (quarter.label, quarter.start, quarter.end) == ("Q3 FY27", date(2026, 8, 1), date(2026, 11, 1))
    assert FEBRUARY.period("year", "2026-01-31").label == "FY26"
    assert FiscalCalendar().period("quarter", "2017-12-31").label == "Q4 2017"


def test_national_retail_federation_calendar():
    """Fiscal 2023 of the NRF calendar (4-5-4, Sunday, nearest to 1 February) has 53 weeks."""
    retail = FiscalCalendar(2, pattern="4-5-4", week_start="sunday")
    assert retail.period("year", "2023-06-01").start == date(2023, 1, 29)
    assert retail.period("year", "2023-06-01").days == 53 * 7
    assert retail.period("year", "2024-06-01").start == date(2024, 2, 4)
    assert retail.period("year", "2024-06-01").days == 52 * 7
    assert [retail.period("month", d).days for d in ("2024-02-04", "2024-03-03", "2024-04-07")] == [28, 35, 28]


@given(CALENDARS, DAYS, st.sampled_from(KINDS))
def test_periods_hold_their_days_and_leave_no_gap(calendar, day, kind):
    period = calendar.period(kind, day)
    assert period.start <= day < period.end
    after = calendar.shift(period, 1)
    assert after.start == period.end
    assert calendar.shift(after, -1) == period
    assert calendar.period(kind, period.last_day) == period


@given(CALENDARS, DAYS)
def test_parts_make_up_the_year(calendar, day):
    year = calendar.period("year", day)
    for kind, n in (("month", 12), ("quarter", 4)):
        parts = calendar.between(kind, year.start, year.last_day)
        assert len(parts) == n
        assert parts[0].start == year.start
        assert parts[-1].end == year.end


@given(CALENDARS, st.lists(DAYS, min_size=1, max_size=20), st.sampled_from(KINDS))
def test_labels_agree_with_periods(calendar, days, kind):
    days = [d for d in days if abs((d - days[0]).days) < 900]
    labels = calendar.label(pd.Series(pd.to_datetime(days)), kind)
    assert list(labels) == [calendar.period(kind, day).label for day in days]


def test_windows_are_half_open():
    march = FiscalCalendar().period("month", "2026-03-15")
    dates = pd.Series(pd.to_datetime(["2026-02-28", "2026-03-01", "2026-03-31", "2026-04-01", None]))
    assert march.contains(dates).tolist() == [False, True, True, False, False]
    with pytest.raises(ParameterError):
        Period(date(2026, 1, 1), date(2026, 1, 1), "month", "empty")


def test_as_of_day_is_seen_to_its_end_in_company_time_across_daylight_saving():
    assert FEBRUARY.instant("2026-03-28") == pd.Timestamp("2026-03-28 22:59:59.999999Z")
    assert FEBRUARY.instant("2026-03-29") == pd.Timestamp("2026-03-29 21:59:59.999999Z")
    assert FEBRUARY.instant(date(2026, 1, 1)) == pd.Timestamp("2026-01-01 22:59:59.999999Z")
    assert FEBRUARY.instant("2026-01-01T12:00") == pd.Timestamp("2026-01-01 11:00Z")
    assert FEBRUARY.instant(datetime(2026, 1, 1, 12)) == pd.Timestamp("2026-01-01 11:00Z")


def test_quarter_end_midnight_stays_in_its_local_day():
    """A deal won at 23:30 in Berlin on the last day of a quarter belongs to it."""
    instants = pd.Series(pd.to_datetime(["2026-10-31T22:30:00Z", "2026-10-31T23:30:00Z"]))
    assert FEBRUARY.business_date(instants).dt.date.tolist() == [date(2026, 10, 31), date(2026, 11, 1)]


def test_date_only_values_come_back_as_the_same_day():
    days = pd.Series(pd.to_datetime(["2026-03-29", "2026-10-25", "2026-01-01"]))
    for zone in ("Europe/Berlin", "America/New_York", "Pacific/Auckland", "America/Sao_Paulo"):
        calendar = FiscalCalendar(timezone=zone)
        assert calendar.business_date(calendar.day_start(days)).tolist() == days.tolist()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("today", "2026-11-21"),
        ("yesterday", "2026-11-20"),
        ("last_week_end", "2026-11-15"),
        ("last_month_end", "2026-10-31"),
        ("last_quarter_end", "2026-10-31"),
        ("last_year_end", "2026-01-31"),
        ("2026-09-30", "2026-09-30"),
    ],
)
def test_words_for_days(word, expected):
    assert FEBRUARY.resolve_day(word, date(2026, 11, 21)).isoformat() == expected


def test_unknown_words_show_the_near_miss():
    with pytest.raises(ParameterError, match="last_month_end"):
        FEBRUARY.resolve_day("last_mont_end", date(2026, 1, 1))
    with pytest.raises(ParameterError, match="quarter"):
        FEBRUARY.period("quartal", date(2026, 1, 1))
    with pytest.raises(ParameterError, match="Europe/Berlin"):
        FiscalCalendar(timezone="Europe/Berln")


def test_part_of_a_period_is_compared_with_as_many_working_days():
    quarter = FEBRUARY.period("quarter", "2026-09-30")
    ago = FEBRUARY.year_ago(quarter)
    part = FEBRUARY.same_progress(quarter, date(2026, 9, 30), ago)
    gone = FEBRUARY.working_days(quarter.start, date(2026, 10, 1))
    assert FEBRUARY.working_days(part.start, part.end) == gone
    assert FEBRUARY.same_progress(quarter, quarter.last_day, ago) == ago


def test_holidays_are_no_working_days():
    german = FiscalCalendar(holiday_country="DE")
    assert german.working_days(date(2026, 5, 1), date(2026, 6, 1)) == 18
    assert FiscalCalendar().working_days(date(2026, 5, 1), date(2026, 6, 1)) == 21


def test_calendar_table_keeps_the_contract():
    from salesops_lib import tables

    table = FEBRUARY.table("2025-12-01", "2026-03-31")
    assert tables.violations(table, "calendar").empty
    assert len(table) == (date(2026, 3, 31) - date(2025, 12, 1)).days + 1
    new_year = table.set_index("date").loc["2026-02-01"]
    assert (new_year["fiscal_year"], new_year["fiscal_week"], new_year["fiscal_month"]) == (2027, 1, 1)
    assert table.set_index("date").loc["2026-01-31", "fiscal_week"] == 53


@given(DAYS)
def test_year_ago_is_one_fiscal_year_earlier(day):
    period = FEBRUARY.period("quarter", day)
    assert FEBRUARY.year_ago(period).label[:2] == period.label[:2]
    assert timedelta(364) <= period.start - FEBRUARY.year_ago(period).start <= timedelta(366)
