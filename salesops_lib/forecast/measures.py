"""What there is to forecast, counted as the KPIs count it: bookings, deals created, meetings and calls by step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from salesops_lib.errors import InsufficientData, ParameterError, listed, unknown
from salesops_lib.facts import DIMENSIONS, PEOPLE, Facts, deals, named
from salesops_lib.forecast.predict import forecast_series
from salesops_lib.forecast.series import MONTHS
from salesops_lib.kpis.people_time import MEETING, activities, sellers, such, tells, unsure
from salesops_lib.language import dated, mark, say
from salesops_lib.periods import Period

if TYPE_CHECKING:
    from salesops_lib.book import Book
    from salesops_lib.periods import FiscalCalendar

COMPANY = mark("company")
DEALS = ("bookings", "deals_created")
ACTIVITIES = {
    "meetings": MEETING,
    "calls": {"type": "call", "is_automated": False, "direction": "out"},
}  # K18, K15
MEASURES = (*DEALS, *ACTIVITIES)
STEPS = {"week": mark("whole weeks"), "month": mark("whole months"), "quarter": mark("whole quarters")}
LABELS = {
    "bookings": "bookings", "deals_created": "deals created", "meetings": "meetings", "calls": "calls",
    "week": "week", "month": "month", "quarter": "quarter",
}  # fmt: skip
MIDDLE = timedelta(days=14)  # a fiscal month's fifteenth day lies in the calendar month it is stamped with


class History(NamedTuple):
    """Numbers of the past, ready for `forecast_series`.

    Attributes
    ----------
    rows
        `unique_id`, `label` (for people), `ds` (first day of the step; for a retail calendar the first of the
        calendar month that most of it lies in), `y`, `n` (deals or activities behind it), and a column a dimension
        where several were asked for.
    freq
        Pandas' word for the steps.
    note
        What was left out, in words.
    """

    rows: pd.DataFrame
    freq: str
    note: str


def history(book: Book, measure: str, *, by: str | Sequence[str] | None = None, step: str = "month") -> History:
    """Count a measure by step, as the KPI of the same name does.

    Parameters
    ----------
    measure
        ``bookings`` (new business won, corporate currency), ``deals_created`` (new business), ``meetings``
        (external, held, a group event once) or ``calls`` (outbound, by a person).
    by
        A dimension such as ``team``, ``region``, ``segment`` or ``rep``; several make the bottom of a hierarchy
        for `reconcile`; the company by default. Meetings and calls belong to people: ``team`` and ``rep`` only.
    step
        ``week``, or fiscal ``month`` or ``quarter``. Only whole steps: the one that runs and the one in which
        records begin are left out.

    Returns
    -------
    History
        Steps without anything are 0 within a series' life: from a rep's first day, else from the first record of
        its own; to a rep's last day, else to the last whole step.

    Raises
    ------
    ParameterError
        For an unknown measure, dimension or step.
    InsufficientData
        Where nothing was recorded, or there is no whole step yet.
    """
    dims = [by] if isinstance(by, str) else list(by or ())
    _check(measure, dims, step)
    facts = _everything(book, measure)
    events = _events(facts, measure, dims)
    if events.empty:
        name = say(LABELS[measure])
        raise InsufficientData(say("History of {measure}", measure=name), needed=1, got=0, of=name)
    # activities are logged from some day on; of deals, none is known to be missing only after the first
    begun = events["day"].min().date() if measure in DEALS else facts.period.start
    steps, said = _whole_steps(book, measure, begun, step)
    edges = np.array([period.start for period in (*steps, book.calendar.shift(steps[-1], 1))], "datetime64[ns]")
    events["at"] = np.searchsorted(edges, events["day"].to_numpy("datetime64[ns]"), "right") - 1
    events = events[events["at"].between(0, len(steps) - 1)]
    if unpriced := int(events["value"].isna().sum()):
        said.append(say("{n} counted but not priced", n=unpriced))
    rows = _filled(events, _lives(facts, measure, dims, events, edges), dims)
    stamps = np.array([_stamp(period) for period in steps], "datetime64[ns]")
    rows = _labelled(book, rows.assign(ds=stamps[rows["at"]]), dims)
    if "rep" in dims and measure in ACTIVITIES:
        said.append(unsure(book, facts.period))
    return History(rows, freq_of(book.calendar, step), "; ".join(filter(None, said)))


def forecast_activity(
    book: Book,
    measure: str,
    *,
    horizon: int,
    by: str | None = "rep",
    step: str = "week",
    levels: Sequence[float] = (80, 95),
    model: str = "auto",
    workers: int = 1,
    executor: str = "local",
) -> pd.DataFrame:
    """Forecast deals created, meetings or calls, by default for every rep and week (K14).

    Parameters
    ----------
    measure, by, step
        As for `history`.
    horizon, levels, model, workers, executor
        As for `forecast_series`.

    Returns
    -------
    pandas.DataFrame
        `unique_id`, `label` (name of the rep), `ds`, `mean`, bounds, `model`, `n` (deals or activities the history
        holds), `steps` (its length). People who have left are not forecast.
    """
    past = history(book, measure, by=by, step=step)
    rows = past.rows[past.rows.groupby("unique_id")["ds"].transform("max").eq(past.rows["ds"].max())]
    how = {"levels": levels, "model": model, "workers": workers, "executor": executor}
    out = forecast_series(rows, horizon=horizon, freq=past.freq, **how)
    behind = rows.groupby("unique_id", sort=False).agg(
        label=("label", "first"), n=("n", "sum"), steps=("n", "size")
    )
    out = out.join(behind, on="unique_id")
    out.insert(1, "label", out.pop("label"))
    return out


def freq_of(calendar: FiscalCalendar, step: str) -> str:
    """Return pandas' word for the steps of a fiscal calendar."""
    quarter = f"QS-{MONTHS[calendar.start_month - 1]}"
    return {"week": f"W-{calendar.week_start[:3].upper()}", "month": "MS", "quarter": quarter}[step]


def _check(measure: str, dims: list[str], step: str) -> None:
    if measure not in MEASURES:
        raise ParameterError(unknown("measure", measure, MEASURES))
    if step not in STEPS:
        raise ParameterError(unknown("step", step, STEPS))
    for name in dims:
        if name not in DIMENSIONS:
            raise ParameterError(unknown("dimension", name, DIMENSIONS))
        if measure in ACTIVITIES and name not in PEOPLE:
            raise ParameterError(f"{measure} by {name}: activities belong to people; take {listed(PEOPLE)}.")
    if len(set(dims)) < len(dims):
        raise ParameterError(f"by {listed(dims)}: each dimension once.")


def _everything(book: Book, measure: str) -> Facts:
    """Take the company over all its time, up to what is known."""
    day = book.calendar.day_of(book.known_until)
    if measure in DEALS:
        known = pd.concat(
            [book.calendar.business_date(deals(book)["created_at"]), deals(book)["close_date"]]
        ).min()
        first = day if pd.isna(known) else min(known.date(), day)
    else:
        started = book.query("select min(started_at) as first from activities")["first"].iloc[0]
        first = day if pd.isna(started) else book.calendar.day_of(started)
    return Facts(book, Period(first, day + timedelta(days=1), "all", "all time"), deals(book))


def _events(facts: Facts, measure: str, dims: list[str]) -> pd.DataFrame:
    """List what is counted: `day`, `value` (empty where there is no price) and the dimensions."""
    book = facts.book
    if measure == "bookings":
        won = facts.won()
        return won[dims].assign(day=won["close_date"], value=won["priced"].astype(float))
    if measure == "deals_created":
        created = facts.created()
        return created[dims].assign(day=book.calendar.business_date(created["created_at"]), value=1.0)
    cells = ACTIVITIES[measure]
    if not tells(book, **cells):
        name = say(LABELS[measure])
        what, of = say("History of {measure}", measure=name), say("{measure} in the source", measure=name)
        raise InsufficientData(what, needed=1, got=0, of=of)
    rows = such(activities(book, facts.period), is_seller=True, **cells)
    if measure == "meetings":
        rows = rows.drop_duplicates(["event", *dims])
    return rows[dims].assign(day=rows["day"], value=1.0)


def _whole_steps(book: Book, measure: str, first: date, step: str) -> tuple[list[Period], list[str]]:
    """List the steps that records cover from their first to their last working day, and say what is left out."""
    calendar, last = book.calendar, book.calendar.day_of(book.known_until)
    steps, said = calendar.between(step, first, last), []
    if calendar.working_days(steps[0].start, first) > 0:
        told = {"day": dated(first), "period": steps[0]}
        said.append(say("records begin on {day}, within {period}, which is left out", **told))
        steps = steps[1:]
    if steps and steps[-1].last_day > last:
        said.append(say("{period} is not over and left out", period=steps[-1]))
        steps = steps[:-1]
    if not steps:
        what = say("History of {measure} by {step}", measure=say(LABELS[measure]), step=say(LABELS[step]))
        raise InsufficientData(what, needed=1, got=0, of=say(STEPS[step]))
    return steps, said


def _lives(facts: Facts, measure: str, dims: list[str], events: pd.DataFrame, edges: np.ndarray) -> pd.DataFrame:
    """Say from which step to which each series lives: `first`, `last`, by the dimensions."""
    last = len(edges) - 2
    if not dims:
        return pd.DataFrame({"first": [0], "last": [last]})
    lives = events.groupby(dims, observed=True)["at"].agg(first="min", own_last="max").reset_index()
    lives["last"] = last
    if "rep" in dims:
        users = facts.book.users.drop_duplicates("user_id")
        if dims == ["rep"]:
            people = facts.carriers()["user_id"] if measure in DEALS else sellers(facts.book, facts.period)["rep"]
            lives = lives.merge(pd.DataFrame({"rep": people}).dropna(), on="rep", how="outer")
        spans = lives[["rep"]].merge(users, left_on="rep", right_on="user_id", how="left")
        begin = _place(spans["start_date"], edges, 0).clip(0)
        lives["first"] = np.fmin(lives["first"], begin.where(spans["user_id"].notna()))
        lives["last"] = np.fmax(_place(spans["end_date"], edges, last).clip(upper=last), lives["own_last"])
    return lives.drop(columns="own_last")[lambda table: table["first"] <= table["last"]]


def _place(days: pd.Series, edges: np.ndarray, empty: int) -> pd.Series:
    at = pd.Series(np.searchsorted(edges, days.to_numpy("datetime64[ns]"), "right") - 1, days.index)
    return at.where(days.notna(), empty)


def _filled(events: pd.DataFrame, lives: pd.DataFrame, dims: list[str]) -> pd.DataFrame:
    """Add events up by step; 0 where a series lived and nothing happened."""
    sizes = (lives["last"] - lives["first"] + 1).astype(int).to_numpy()
    rows = lives[dims].loc[lives.index.repeat(sizes)].reset_index(drop=True)
    begins = np.repeat(lives["first"].astype(int).to_numpy(), sizes)
    rows["at"] = begins + np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    counted = events.groupby([*dims, "at"], observed=True)["value"].agg(y="sum", n="size").reset_index()
    rows = rows.merge(counted, on=[*dims, "at"], how="left")
    return rows.assign(y=rows["y"].fillna(0.0).astype(float), n=rows["n"].fillna(0).astype(int))


def _labelled(book: Book, rows: pd.DataFrame, dims: list[str]) -> pd.DataFrame:
    shown = {name: named(book, name, rows[name].astype(object)) for name in dims}
    if len(dims) == 1:
        out = rows.assign(unique_id=rows[dims[0]].astype(object), label=shown[dims[0]])
        return out[["unique_id", "label", "ds", "y", "n"]]
    if not dims:
        return rows.assign(unique_id=COMPANY, label=COMPANY)[["unique_id", "label", "ds", "y", "n"]]
    path = pd.DataFrame(shown).agg("/".join, axis=1)
    return rows.assign(unique_id=path, label=path, **shown)[["unique_id", "label", "ds", "y", "n", *dims]]


def _stamp(period: Period) -> date:
    """Return the day a step is stamped with: its first, or the first of the calendar month it mostly lies in."""
    return period.start if period.kind == "week" else (period.start + MIDDLE).replace(day=1)
