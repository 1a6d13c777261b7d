"""What people forecast with today: each takes what a day knew and returns what a period will book, or nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from salesops_lib.forecast.deals import WON, Panel, day_number
from salesops_lib.periods import FiscalCalendar, Period

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd

NONE = float("nan")
TRAILING = 91
PAST = 8
LEAST = 2
RULE = 3.0  # open pipeline for each unit still to book, by the rule of thumb
NAMES = {
    "last_year": "the same period of the year before",
    "trailing_quarter": "booked, and the pace of the last 91 days for the rest",
    "linear_pace": "booked ÷ share of working days gone",
    "booking_curve": "booked ÷ share that past periods had booked by this day",
    "weighted_pipeline": "booked, and open amount due × probability of its stage",
    "coverage_rule": f"booked, and open amount due ÷ {RULE:.0f}",
    "submitted_commit": "what was submitted as commit by then",
}


def baselines(
    known: Panel, calendar: FiscalCalendar, period: Period, day: date, *,
    probability: dict[str, float] | None = None, submissions: pd.DataFrame | None = None,
) -> dict[str, float]:  # fmt: skip
    """Forecast a period by every baseline; empty where one cannot be had.

    Parameters
    ----------
    known
        The panel of the day.
    period, day
        The period, and the last day seen.
    probability
        The CRM's probability of each stage.
    submissions
        Rows of `forecast_submissions`; see `submitted`.
    """
    wins = known.entries[known.entries["outcome"].eq(WON)]
    end, worth = wins["end"].to_numpy(), wins["worth"].to_numpy()
    first = int(end.min()) if len(end) else known.day + 1

    def booked(begin: date, last: date) -> float:
        return float(worth[(end >= day_number(begin)) & (end <= day_number(last))].sum())

    so_far = booked(period.start, day)
    due = _due(known, period)
    gone, ago = calendar.elapsed(period, day), _year_ago(calendar, period)
    return {
        "last_year": booked(ago.start, ago.last_day) if first <= day_number(ago.start) else NONE,
        "trailing_quarter": so_far + _trailing(calendar, period, day, booked, first),
        "linear_pace": so_far / gone if gone > 0 else NONE,
        "booking_curve": _curve(calendar, period, day, booked, first, so_far),
        "weighted_pipeline": so_far + _weighted(due, probability or {}),
        "coverage_rule": so_far + (float(due["amount"].sum()) / RULE if due["amount"].notna().any() else NONE),
        "submitted_commit": NONE if submissions is None else submitted(submissions, period, day),
    }


def _year_ago(calendar: FiscalCalendar, period: Period) -> Period:
    if period.kind in ("week", "month", "quarter", "year"):
        return calendar.year_ago(period)
    back = timedelta(weeks=52)
    return Period(period.start - back, period.end - back, period.kind, f"{period.label}, a year before")


def _trailing(calendar, period: Period, day: date, booked, first: int) -> float:
    begin = day - timedelta(days=TRAILING - 1)
    if first > day_number(begin):
        return NONE
    ahead = max(period.start, day + timedelta(days=1))
    pace = booked(begin, day) / max(calendar.working_days(begin, day + timedelta(days=1)), 1)
    return pace * calendar.working_days(ahead, period.end)


def _curve(calendar, period: Period, day: date, booked, first: int, so_far: float) -> float:
    """Past periods of the same kind that were recorded from their start."""
    if period.kind not in ("month", "quarter", "year") or day < period.start:
        return NONE
    spans = [calendar.shift(period, -k) for k in range(1, PAST + 1)]
    spans = [span for span in spans if first <= day_number(span.start)]
    whole = sum(booked(span.start, span.last_day) for span in spans)
    by_now = sum(booked(span.start, calendar.same_progress(period, day, span).last_day) for span in spans)
    return so_far * whole / by_now if len(spans) >= LEAST and by_now > 0 else NONE


def _due(known: Panel, period: Period) -> pd.DataFrame:
    rows = known.open()
    return rows[period.contains(rows["due"])]


def _weighted(due: pd.DataFrame, probability: dict[str, float]) -> float:
    chance = due["stage"].map(probability).astype(float)
    worth = (due["amount"] * chance).dropna()
    return float(worth.sum()) if len(worth) else NONE


def submitted(submissions: pd.DataFrame, period: Period, day: date) -> float:
    """Sum what each person last submitted as commit for a period by the end of a day.

    Parameters
    ----------
    submissions
        `user_id`, `period_start`, `category`, `submitted_at` (instant), `amount`, and `kind` where there is one:
        of each person's, ``own`` counts, as a roll-up would count it twice.
    """
    rows = last_submitted(submissions, period, day)
    return float(rows["amount"].astype(float).sum()) if len(rows) else NONE


def last_submitted(submissions: pd.DataFrame, period: Period, day: date) -> pd.DataFrame:
    """Take each person's last commit for a period by the end of a day: `user_id`, `amount`."""
    import pandas as pd

    rows = submissions[submissions["category"].eq("commit")]
    if "kind" in rows:
        rows = rows[rows["kind"].fillna("own").eq("own")]
    rows = rows[rows["period_start"].eq(pd.Timestamp(period.start))]
    rows = rows[rows["submitted_at"] < pd.Timestamp(day + timedelta(days=1), tz="UTC")]
    return rows.sort_values("submitted_at").drop_duplicates("user_id", keep="last")[["user_id", "amount"]]
