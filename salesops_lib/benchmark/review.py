"""Reps on one page: skill or luck, where a gap comes from, against quota, and who comes up to speed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from salesops_lib import facts, kpis, passages, stats
from salesops_lib.benchmark.analysis import Reps, summarize
from salesops_lib.benchmark.compare import DIFFER, Benchmark, compare
from salesops_lib.benchmark.contest import Contest, Rule, simulate_contest
from salesops_lib.benchmark.measures import compare_counts, compare_sizes, compare_strengths
from salesops_lib.benchmark.pace import MONTH_DAYS, Pace, measure_pace, ramp_curve
from salesops_lib.benchmark.skills import SkillProfile, profile_skills, transitions
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.facts import NOT_ASSIGNED, Facts
from salesops_lib.kpis.people_time import activities, sellers
from salesops_lib.periods import Period

if TYPE_CHECKING:
    import pandas as pd

Part = TypeVar("Part")
MIX = ("segment", "type", "product", "source", "region", "tenure")
FEW_MIX = ("segment", "type", "source", "tenure")  # of a stage, where deals are fewer
TENURE_DAYS, TENURE = (183, 365), ("first half year", "second half year", "after a year")
QUARTER_DAYS = 365.25 / 4
KNOWN = 0.8  # chance from which on a rep is named
RULES = {"meetings": Rule(5, cap=150), "wins": Rule(20)}


@dataclass(frozen=True)
class Review:
    """One look at the reps; a part that the data cannot give holds the `InsufficientData` that says why.

    Attributes
    ----------
    headline
        Whether reps differ by more than chance, and how many have a stage worth coaching.
    period, currency
        Of which deals, in which currency.
    summary
        Attainment and raw win rates (`Reps`).
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
    quota
        Reps at quota (K01), consistency (K41), ramp time (K35): rows of the KPI frame.
    ramp
        Productivity by month of tenure, leavers included.
    top, watch
        Reps likely in the best, or in the last quarter: `user_id`, `n`, `chance`, `false_alarms` (share of such
        names that will be wrong).
    contest
        Chances in a contest for meetings and wins at today's paces (`Contest`).
    """

    headline: str
    period: Period
    currency: str
    summary: Reps | InsufficientData
    win_rate: Benchmark | InsufficientData
    sizes: pd.DataFrame | InsufficientData
    cycles: pd.DataFrame | InsufficientData
    calls: pd.DataFrame | InsufficientData
    profile: SkillProfile | InsufficientData
    strengths: pd.DataFrame | InsufficientData
    pace: Pace | InsufficientData
    quota: pd.DataFrame | InsufficientData
    ramp: pd.DataFrame | InsufficientData
    top: pd.DataFrame | InsufficientData
    watch: pd.DataFrame | InsufficientData
    contest: Contest | InsufficientData

    @property
    def win_rates(self) -> pd.DataFrame | InsufficientData:
        """Win rates as a table: raw, by mix, pulled back; places only where reps can be told apart."""
        if isinstance(self.win_rate, InsufficientData):
            return self.win_rate
        places = ["p_top_quartile", "p_bottom_quartile", "rank_low", "rank_high"]
        columns = ["user_id", "n", "raw_rate", "expected_rate", "adjusted_rate", "low", "high"]
        if self.win_rate.verdict == DIFFER:
            columns += places
        return self.win_rate.reps[[*columns, "note"]].sort_values("user_id", ignore_index=True)

    @property
    def cannot_tell(self) -> str:
        """What the win rates cannot tell, in sentences."""
        return "" if isinstance(self.win_rate, InsufficientData) else " ".join(self.win_rate.notes)

    @property
    def coaching(self) -> pd.DataFrame | InsufficientData:
        """The stage to work on, by rep."""
        return self.profile if isinstance(self.profile, InsufficientData) else self.profile.reps

    @property
    def stages(self) -> pd.DataFrame | InsufficientData:
        """Skill by rep and stage."""
        if isinstance(self.profile, InsufficientData):
            return self.profile
        return self.profile.stages.drop(columns=["told", "gap_low", "gap_high", "low", "high"]).sort_values(
            "user_id", kind="stable", ignore_index=True
        )

    @property
    def pacing(self) -> pd.DataFrame | InsufficientData:
        """Attainment of the current quarter against the booking curve."""
        return self.pace if isinstance(self.pace, InsufficientData) else self.pace.reps

    @property
    def pacing_caption(self) -> str:
        """How far the quarter is, by the calendar and by past quarters."""
        if isinstance(self.pace, InsufficientData):
            return ""
        pace = self.pace
        return (
            f"This quarter: {pace.elapsed:.0%} of its working days are gone; {pace.n_periods} past quarters had "
            "booked "
            f"{pace.usual:.0%} by then ({pace.usual_low:.0%} to {pace.usual_high:.0%})."
        )

    @property
    def quota_kpis(self) -> pd.DataFrame:
        """Rows of the KPI frame on quota; none where there is no quota."""
        import pandas as pd

        return pd.DataFrame(columns=kpis.COLUMNS) if isinstance(self.quota, InsufficientData) else self.quota

    @property
    def chances(self) -> pd.DataFrame | InsufficientData:
        """Chances in the contest."""
        return self.contest if isinstance(self.contest, InsufficientData) else self.contest.reps


def review(book: Book, *, period: str = "4 quarters", mix: Iterable[str] = ()) -> Review:
    """Look at all reps.

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
    InsufficientData
        Where nobody closed a deal or carried a quota in the period.
    ParameterError
        For an unknown period or mix column.
    """
    window = facts.resolve_period(book, period)
    closed = _closed(book, window)
    mix = _mix(closed, mix)
    summary = _or_refusal(lambda: summarize(book, period=period))
    if isinstance(summary, InsufficientData) and closed.empty:
        raise summary
    skill = _or_refusal(lambda: compare(closed, mix=mix))
    profile = _or_refusal(lambda: _profile(book, window))
    won = closed[closed["is_won"]]
    return Review(
        headline=_headline(skill, profile),
        period=window,
        currency=book.currency,
        summary=summary,
        win_rate=skill,
        sizes=_or_refusal(lambda: compare_sizes(won, value="amount", mix=mix)),
        cycles=_or_refusal(lambda: compare_sizes(won, value="cycle_days", mix=mix)),
        calls=_or_refusal(lambda: _calls(book, window)),
        profile=profile,
        strengths=_or_refusal(lambda: compare_strengths(closed)),
        pace=_or_refusal(lambda: _pace(book)),
        quota=_or_refusal(lambda: _quota(book, window)),
        ramp=_or_refusal(lambda: ramp_curve(_productivity(book))),
        top=_or_refusal(lambda: _likely(skill, "p_top_quartile")),
        watch=_or_refusal(lambda: _likely(skill, "p_bottom_quartile")),
        contest=_or_refusal(lambda: _contest(book, window)),
    )


def _or_refusal(part: Callable[[], Part]) -> Part | InsufficientData:
    try:
        return part()
    except InsufficientData as error:
        return error


def _closed(book: Book, window: Period | None) -> pd.DataFrame:
    """Deals of new business with what they are compared by; `user_id` is the name of who gets the credit."""
    import pandas as pd

    rows = facts.deals(book)
    rows = Facts(book, window, rows).closed() if window else rows[~rows["is_renewal"]]
    rows = rows[rows["rep"].ne(NOT_ASSIGNED)]
    start = book.users.drop_duplicates("user_id").set_index("user_id")["start_date"]
    served = (rows["created_at"].dt.tz_localize(None) - pd.to_datetime(rows["rep"].map(start))).dt.days
    tenure = np.select(
        [served.isna(), *(served < days for days in TENURE_DAYS)], ["not known", *TENURE[:2]], TENURE[2]
    )
    return rows.assign(
        user_id=facts.named(book, "rep", rows["rep"]).astype(object),
        tenure=tenure,
        type=rows["type"].astype(object).fillna("not known"),
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
        raise InsufficientData("Skill by stage", needed=2, got=len(stages) - 2, of="open stages in the history")
    rows = _closed(book, None)
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
        raise InsufficientData("Calls by rep", needed=1, got=0, of="outbound calls")
    count = made.groupby("rep").size()
    callers = people[people.index.isin(count.index)]
    frame = callers.rename("days").to_frame().assign(count=count.reindex(callers.index))
    frame["user_id"] = facts.named(book, "rep", frame.index.to_series()).to_numpy()
    return compare_counts(frame.reset_index(drop=True)).sort_values("user_id", ignore_index=True)


def _pace(book: Book) -> Pace:
    from dataclasses import replace

    found = measure_pace(book, facts.resolve_period(book, "quarter"))
    return replace(found, reps=found.reps.assign(user_id=facts.named(book, "rep", found.reps["user_id"])))


def _quota(book: Book, window: Period) -> pd.DataFrame:
    found = kpis.compute(book, ["K01", "K41", "K35"], window)
    if not found["status"].eq(stats.OK).any():
        raise InsufficientData(f"Reps at quota: {found['note'].iloc[0]}", needed=1, got=0, of="reps with a quota")
    return found


def _productivity(book: Book) -> pd.DataFrame:
    """Amount won in each whole month of tenure, of people whose start lies inside the records."""
    import pandas as pd

    rows, users = _closed(book, None), book.users.drop_duplicates("user_id").set_index("user_id")
    users = users[users["is_quota_carrying"] & (users["start_date"] >= facts.records_begin(book))]
    last = users["end_date"].fillna(pd.Timestamp(book.day)).clip(upper=pd.Timestamp(book.day))
    whole = np.floor((last - users["start_date"]).dt.days / MONTH_DAYS).clip(lower=0).astype(int)
    grid = [(rep, month) for rep, months in whole.items() for month in range(months)]
    if not grid:
        raise InsufficientData("Ramp curve", needed=10, got=0, of="reps in one month of tenure")
    frame = pd.DataFrame(grid, columns=["user_id", "month"])
    won = rows[rows["is_won"] & rows["rep"].isin(users.index)]
    month = np.floor((won["close_date"] - won["rep"].map(users["start_date"])).dt.days / MONTH_DAYS)
    sums = won.groupby([won["rep"].rename("user_id"), month.rename("month")])["amount"].sum()
    made = frame.merge(sums.rename("made").reset_index(), on=["user_id", "month"], how="left")
    return made.assign(made=made["made"].fillna(0.0))


def _likely(skill: Benchmark | InsufficientData, column: str) -> pd.DataFrame:
    """Name the reps that are likely in a quarter; an empty frame where nobody is."""
    if isinstance(skill, InsufficientData):
        raise skill
    if skill.verdict != DIFFER:
        raise InsufficientData(skill.headline.rstrip("."), needed=1, got=0, of="reps that can be told apart")
    rows = skill.reps[(skill.reps[column] >= KNOWN) & skill.reps["status"].eq("ok")]
    out = rows[["user_id", "n", column]].rename(columns={column: "chance"})
    return out.assign(false_alarms=float(1 - out["chance"].mean()) if len(out) else np.nan).reset_index(drop=True)


def _contest(book: Book, window: Period) -> Contest:
    """A quarter's contest for held meetings and wins, each rep at their own pulled-back pace."""
    people = sellers(book, window).groupby("rep")["days"].sum()
    won = Facts(book, window, facts.deals(book)).won().groupby("rep").size()
    rows = activities(book, window)
    met = rows[rows["type"].eq("meeting") & rows["outcome"].eq("held")].groupby("rep")["event"].nunique()
    if met.empty:
        raise InsufficientData("A contest for meetings and wins", needed=1, got=0, of="held meetings")
    active = people[people.index.isin(won.index)]
    frame = active.rename("days").to_frame()
    quarter = frame["days"].max() / max((window.end - window.start).days / QUARTER_DAYS, 1)
    frame["user_id"] = facts.named(book, "rep", frame.index.to_series()).to_numpy()
    for name, counts in (("meetings", met), ("wins", won)):
        rates = compare_counts(
            frame[["user_id", "days"]].assign(count=counts.reindex(frame.index).fillna(0).to_numpy())
        )
        frame[name] = frame["user_id"].map(rates.set_index("user_id")["rate"]) * quarter
    return simulate_contest(frame, RULES)


def _headline(skill: Benchmark | InsufficientData, profile: SkillProfile | InsufficientData) -> str:
    first = str(skill) if isinstance(skill, InsufficientData) else skill.headline
    return first if isinstance(profile, InsufficientData) else f"{first} {profile.headline}"
