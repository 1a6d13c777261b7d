"""Reps on one page: skill or luck, where a gap comes from, against quota, and who comes up to speed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts, kpis, stats
from salesops_lib.benchmark.analysis import Reps, summarize
from salesops_lib.benchmark.compare import DIFFER, Benchmark, no_ranking
from salesops_lib.benchmark.contest import Contest, Rule, simulate_contest
from salesops_lib.benchmark.evidence import Evidence, closed_deals, gather
from salesops_lib.benchmark.measures import compare_counts
from salesops_lib.benchmark.pace import ramp_curve
from salesops_lib.benchmark.skills import NONE_STANDS_OUT, SkillProfile, surely
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData, attempt, needed
from salesops_lib.facts import Facts
from salesops_lib.kpis.people_time import activities, sellers
from salesops_lib.language import mark, say
from salesops_lib.periods import MONTH_DAYS, QUARTER_DAYS, Period
from salesops_lib.present import number

if TYPE_CHECKING:
    import pandas as pd

KNOWN = 0.8  # chance from which on a rep is named
RULES = {"meetings": Rule(5, cap=150), "wins": Rule(20)}
RULES_SAID = {"meetings": mark("{points} a meeting up to {cap}"), "wins": mark("{points} a win")}


@dataclass(frozen=True)
class Review(Evidence):
    """One look at the reps; a part that the data cannot give holds the `InsufficientData` that says why.

    Attributes
    ----------
    headline
        Whether reps differ by more than chance, and how many have a stage worth coaching.
    summary
        Attainment and raw win rates (`Reps`).
    quota
        Reps at quota (K01), consistency (K41), ramp time (K35): rows of the KPI frame.
    ramp
        Productivity by month of tenure, leavers included.
    top, watch
        Reps likely in the best, or in the last fourth: `user_id`, `n`, `chance`.
    contest
        Chances in a contest for meetings and wins at today's paces (`Contest`), with `p_win_handicap` where each
        is scored against the own pace.
    """

    headline: str
    summary: Reps | InsufficientData
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
        places = ["rank", "rank_low", "rank_high", "p_top_quartile", "p_bottom_quartile"]
        columns = ["user_id", "n", "adjusted_rate", "low", "high", "raw_rate", "expected_rate"]
        if self.win_rate.verdict == DIFFER:
            columns += places
        rows = self.win_rate.reps[[*columns, "note"]].sort_values("user_id", ignore_index=True)
        if "rank" in rows:
            rows["rank"] = rows["rank"].round()
        return rows if rows["note"].ne("").any() else rows.drop(columns="note")

    @property
    def measures(self) -> pd.DataFrame | InsufficientData:
        """Typical deal size, days to a win and calls a working day by rep, each pulled back."""
        import pandas as pd

        parts = []
        for name, frame, column in (("size", self.sizes, "adjusted"), ("days_to_win", self.cycles, "adjusted"),
                                    ("calls", self.calls, "rate")):  # fmt: skip
            if not isinstance(frame, InsufficientData):
                names = {column: name, "low": f"{name}_low", "high": f"{name}_high"}
                parts.append(frame.set_index("user_id")[list(names)].rename(columns=names))
        if not parts:
            return self.sizes
        shown = pd.concat(parts, axis=1).sort_index().rename_axis("user_id").reset_index()
        if isinstance(self.win_rate, InsufficientData):
            return shown
        return shown[shown["user_id"].isin(self.win_rate.reps["user_id"])].reset_index(drop=True)

    @property
    def cannot_tell(self) -> str:
        """What the win rates cannot tell, in sentences."""
        return "" if isinstance(self.win_rate, InsufficientData) else " ".join(self.win_rate.notes)

    @property
    def summary_said(self) -> str:
        """Reps at quota, and whether raw win rates differ."""
        return "" if isinstance(self.summary, InsufficientData) else self.summary.headline

    @property
    def coaching(self) -> pd.DataFrame | InsufficientData:
        """The stage to work on, by rep; how sure that is only where one is named."""
        if isinstance(self.profile, InsufficientData):
            return self.profile
        rows = self.profile.reps.drop(columns="team_rate")
        named = rows["coach"].ne(NONE_STANDS_OUT)
        sure = [surely(chance) if told else "" for chance, told in zip(rows["p_below"], named, strict=True)]
        rows.insert(rows.columns.get_loc("coach") + 1, "sure", sure)
        return rows.assign(coach=rows["coach"].where(named, say(NONE_STANDS_OUT))).drop(columns="p_below")

    @property
    def coaching_caption(self) -> str:
        """What the table of stages to work on holds."""
        if isinstance(self.profile, InsufficientData):
            return ""
        team = number(float(self.profile.reps["team_rate"].mean()), "percent")
        return say(
            "From the first stage to a win, the team's rate is {rate}; worth in {currency}.",
            rate=team, currency=self.currency,
        )  # fmt: skip

    @property
    def stages(self) -> pd.DataFrame | InsufficientData:
        """Skill by rep and stage."""
        if isinstance(self.profile, InsufficientData):
            return self.profile
        return self.profile.stages

    @property
    def pacing(self) -> pd.DataFrame | InsufficientData:
        """Attainment of the current quarter against the booking curve."""
        if isinstance(self.pace, InsufficientData):
            return self.pace
        return self.pace.reps.drop(columns="linear").sort_values("user_id", ignore_index=True)

    @property
    def pacing_caption(self) -> str:
        """How far the quarter is, by the calendar and by past quarters."""
        if isinstance(self.pace, InsufficientData):
            return ""
        pace = self.pace
        gone, usual, low, high = (
            number(share, "percent") for share in (pace.elapsed, pace.usual, pace.usual_low, pace.usual_high)
        )
        return say(
            "{gone} of this quarter's working days are gone; {n} past quarters had booked {usual} by then ({low} "
            "to {high}). One rep's quarter rests on few deals.",
            gone=gone, n=pace.n_periods, usual=usual, low=low, high=high,
        )  # fmt: skip

    @property
    def quota_kpis(self) -> pd.DataFrame:
        """Rows of the KPI frame on quota; none where there is no quota."""
        import pandas as pd

        return pd.DataFrame(columns=kpis.COLUMNS) if isinstance(self.quota, InsufficientData) else self.quota

    @property
    def chances(self) -> pd.DataFrame | InsufficientData:
        """Chances in the contest."""
        if isinstance(self.contest, InsufficientData):
            return self.contest
        return self.contest.reps.sort_values("user_id", ignore_index=True)

    @property
    def contest_caption(self) -> str:
        """The rules of the contest, and whether it is one to run."""
        if isinstance(self.contest, InsufficientData):
            return ""
        rules = ", ".join(
            say(RULES_SAID[name], points=f"{rule.points:g}", cap=f"{rule.cap or 0:g}")
            for name, rule in RULES.items()
        )
        return say("A quarter's contest, points: {rules}. {headline}", rules=rules, headline=self.contest.headline)


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
    known = gather(book, period=period, mix=mix)
    summary = attempt(lambda: summarize(book, period=period))
    if isinstance(summary, InsufficientData) and not known.n:
        raise summary
    skill, window = known.win_rate, known.period
    return Review(
        **vars(known),
        headline=_headline(skill, known.profile),
        summary=summary,
        quota=attempt(lambda: _quota(book, window)),
        ramp=attempt(lambda: ramp_curve(_productivity(book))),
        top=attempt(lambda: _likely(skill, "p_top_quartile")),
        watch=attempt(lambda: _likely(skill, "p_bottom_quartile")),
        contest=attempt(lambda: _contest(book, window)),
    )


def _quota(book: Book, window: Period) -> pd.DataFrame:
    found = kpis.compute(book, ["K01", "K41", "K35"], window)
    if not found["status"].eq(stats.OK).any():
        what = say("Reps at quota: {why}", why=found["note"].iloc[0])
        raise InsufficientData(what, needed=1, got=0, of=say("reps with a quota"))
    return found


def _productivity(book: Book) -> pd.DataFrame:
    """Amount won in each whole month of tenure, of people whose start lies inside the records."""
    import pandas as pd

    rows, users = closed_deals(book, None), book.users.drop_duplicates("user_id").set_index("user_id")
    users = users[users["is_quota_carrying"] & (users["start_date"] >= facts.records_begin(book))]
    last = users["end_date"].fillna(pd.Timestamp(book.day)).clip(upper=pd.Timestamp(book.day))
    whole = np.floor((last - users["start_date"]).dt.days / MONTH_DAYS).clip(lower=0).astype(int)
    grid = [(rep, month) for rep, months in whole.items() for month in range(months)]
    if not grid:
        raise InsufficientData(say("Ramp curve"), needed=10, got=0, of=say("reps in one month of tenure"))
    frame = pd.DataFrame(grid, columns=["user_id", "month"])
    won = rows[rows["is_won"] & rows["rep"].isin(users.index)]
    month = np.floor((won["close_date"] - won["rep"].map(users["start_date"])).dt.days / MONTH_DAYS)
    sums = won.groupby([won["rep"].rename("user_id"), month.rename("month")])["amount"].sum()
    made = frame.merge(sums.rename("made").reset_index(), on=["user_id", "month"], how="left")
    return made.assign(made=made["made"].fillna(0.0))


def _likely(skill: Benchmark | InsufficientData, column: str) -> pd.DataFrame:
    """Name the reps that are likely in a fourth of the team; an empty frame where nobody is."""
    if needed(skill).verdict != DIFFER:
        raise no_ranking(skill)
    rows = skill.reps[(skill.reps[column] >= KNOWN) & skill.reps["status"].eq("ok")]
    return rows[["user_id", "n", column]].rename(columns={column: "chance"}).reset_index(drop=True)


def _contest(book: Book, window: Period) -> Contest:
    """A quarter's contest for held meetings and wins, each rep at their own pulled-back pace."""
    people = sellers(book, window).groupby("rep")["days"].sum()
    won = Facts(book, window, facts.deals(book)).won().groupby("rep").size()
    rows = activities(book, window)
    met = rows[rows["type"].eq("meeting") & rows["outcome"].eq("held")].groupby("rep")["event"].nunique()
    if met.empty:
        raise InsufficientData(say("A contest for meetings and wins"), needed=1, got=0, of=say("held meetings"))
    active = people[people.index.isin(won.index)]
    frame = active.rename("days").to_frame()
    quarter = frame["days"].max() / max((window.end - window.start).days / QUARTER_DAYS, 1)
    frame["user_id"] = facts.named(book, "rep", frame.index.to_series()).to_numpy()
    for name, counts in (("meetings", met), ("wins", won)):
        rates = compare_counts(
            frame[["user_id", "days"]].assign(count=counts.reindex(frame.index).fillna(0).to_numpy())
        )
        frame[name] = frame["user_id"].map(rates.set_index("user_id")["rate"]) * quarter
    found, even = (simulate_contest(frame, RULES, handicap=handicap) for handicap in (False, True))
    return replace(found, reps=found.reps.assign(p_win_handicap=even.reps["p_win"]))


def _headline(skill: Benchmark | InsufficientData, profile: SkillProfile | InsufficientData) -> str:
    first = str(skill) if isinstance(skill, InsufficientData) else skill.headline
    return first if isinstance(profile, InsufficientData) else f"{first} {profile.headline}"
