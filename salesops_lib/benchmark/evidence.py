"""What the records say of each rep, at the same mix of deals and after chance; pages and sheets draw on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts, passages, stats
from salesops_lib.benchmark.compare import Benchmark, compare
from salesops_lib.benchmark.measures import compare_counts, compare_sizes, compare_strengths
from salesops_lib.benchmark.pace import Pace, measure_pace
from salesops_lib.benchmark.skills import SkillProfile, profile_skills, transitions
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData, ParameterError, attempt, unknown
from salesops_lib.facts import NOT_ASSIGNED, Facts
from salesops_lib.kpis.people_time import activities, sellers
from salesops_lib.language import mark, say
from salesops_lib.periods import QUARTER_DAYS, Period

if TYPE_CHECKING:
    import pandas as pd

MIX = (mark("segment"), mark("type"), mark("product"), mark("source"), mark("region"), mark("tenure"))
FEW_MIX = ("segment", "type", "source", "tenure")  # of a stage, where deals are fewer
TENURE_DAYS, TENURE = (183, 365), (mark("first half year"), mark("second half year"), mark("after a year"))
UNKNOWN = mark("not known")


@dataclass(frozen=True)
class Evidence:
    """What can be said of the reps; a part that the data cannot give holds the `InsufficientData` that says why.

    Attributes
    ----------
    period, currency
        Of which deals, in which currency.
    n
        Closed deals of the period.
    win_rate
        Win rates at the same mix (`Benchmark`); `user_id` holds names here and in the frames below.
    sizes, cycles, calls
        Deal size, days to a win, and outbound calls a working day, pulled back: frames of `measures`.
    profile
        Skill by stage (`SkillProfile`).
    strengths
        Win rate by rep and segment, pulled back.
    pace
        Attainment against the booking curve of the current quarter (`Pace`).
    """

    period: Period
    currency: str
    n: int
    win_rate: Benchmark | InsufficientData
    sizes: pd.DataFrame | InsufficientData
    cycles: pd.DataFrame | InsufficientData
    calls: pd.DataFrame | InsufficientData
    profile: SkillProfile | InsufficientData
    strengths: pd.DataFrame | InsufficientData
    pace: Pace | InsufficientData


def gather(book: Book, *, period: str = "4 quarters", mix: Iterable[str] = ()) -> Evidence:
    """Compare all reps in every measure.

    Parameters
    ----------
    book
        The company at the as-of instant.
    period
        ``month``, ``quarter``, ``year`` or a number of them, by close date.
    mix
        What is held alike: `segment`, `type`, `product`, `source`, `region`, `tenure`; all that the deals tell
        apart by default.

    Raises
    ------
    ParameterError
        For an unknown period or mix column.
    """
    window = facts.resolve_period(book, period)
    closed = closed_deals(book, window)
    mix, won = _mix(closed, mix), closed[closed["is_won"]]
    return Evidence(
        period=window,
        currency=book.currency,
        n=len(closed),
        win_rate=attempt(lambda: compare(closed, mix=mix)),
        sizes=attempt(lambda: compare_sizes(won, value="amount", mix=mix)),
        cycles=attempt(lambda: compare_sizes(won, value="cycle_days", mix=mix)),
        calls=attempt(lambda: _calls(book, window)),
        profile=attempt(lambda: _profile(book, window)),
        strengths=attempt(lambda: compare_strengths(closed)),
        pace=attempt(lambda: _pace(book)),
    )


def closed_deals(book: Book, window: Period | None) -> pd.DataFrame:
    """Deals of new business with what they are compared by; `user_id` is the name of who gets the credit."""
    import pandas as pd

    rows = facts.deals(book)
    rows = Facts(book, window, rows).closed() if window else rows[~rows["is_renewal"]]
    rows = rows[rows["rep"].ne(NOT_ASSIGNED)]
    start = book.users.drop_duplicates("user_id").set_index("user_id")["start_date"]
    served = (rows["created_at"].dt.tz_localize(None) - pd.to_datetime(rows["rep"].map(start))).dt.days
    tenure = np.select(
        [served.isna(), *(served < days for days in TENURE_DAYS)], [UNKNOWN, *TENURE[:2]], TENURE[2]
    )
    return rows.assign(
        user_id=facts.named(book, "rep", rows["rep"]).astype(object),
        tenure=tenure,
        type=rows["type"].astype(object).fillna(UNKNOWN),
        amount=stats.to_float(rows["priced"].astype("float64").fillna(np.nan).to_numpy()),
        cycle_days=(rows["closed_at"] - rows["created_at"]).dt.total_seconds() / 86400,
    )


def _mix(rows: pd.DataFrame, asked: Iterable[str], all_of: Iterable[str] = MIX) -> list[str]:
    asked = [asked] if isinstance(asked, str) else list(asked)
    for name in asked:
        if name not in MIX:
            raise ParameterError(unknown("mix column", name, MIX))
    return asked or [name for name in all_of if rows[name].nunique() > 1]


def _profile(book: Book, window: Period) -> SkillProfile:
    """Skill by stage over the deals that left a stage in the window and the years before it."""
    moves, stages = passages.from_book(book)
    if len(stages) <= 3:
        of = say("open stages in the history")
        raise InsufficientData(say("Skill by stage"), needed=2, got=len(stages) - 2, of=of)
    rows = closed_deals(book, None)
    mix = _mix(rows, (), FEW_MIX)
    steps = transitions(moves, stages, book.known_until, rows[["opportunity_id", "user_id", *mix]])
    own = rows[window.contains(book.calendar.business_date(rows["created_at"]))]
    days = (min(window.last_day, book.day) - window.start).days + 1
    a_quarter = own.groupby("user_id").size() / days * QUARTER_DAYS
    worth = float(np.nanmean(rows.loc[rows["is_won"], "amount"])) if rows["amount"].notna().any() else 0.0
    return profile_skills(steps, mix=mix, worth=worth, per_quarter=a_quarter)


def _calls(book: Book, window: Period) -> pd.DataFrame:
    people = sellers(book, window).groupby("rep")["days"].sum()
    rows = activities(book, window)
    made = rows[
        rows["type"].eq("call") & rows["direction"].eq("out") & ~rows["is_automated"].fillna(False).astype(bool)
    ]
    if made.empty:
        raise InsufficientData(say("Calls by rep"), needed=1, got=0, of=say("outbound calls"))
    count = made.groupby("rep").size()
    callers = people[people.index.isin(count.index)]
    frame = callers.rename("days").to_frame().assign(count=count.reindex(callers.index))
    frame["user_id"] = facts.named(book, "rep", frame.index.to_series()).to_numpy()
    return compare_counts(frame.reset_index(drop=True)).sort_values("user_id", ignore_index=True)


def _pace(book: Book) -> Pace:
    found = measure_pace(book, facts.resolve_period(book, "quarter"))
    return replace(found, reps=found.reps.assign(user_id=facts.named(book, "rep", found.reps["user_id"])))
