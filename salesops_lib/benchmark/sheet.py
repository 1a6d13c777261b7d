"""One page for a coaching talk: where a rep stands, what is strong, what to work on, which deals to discuss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts
from salesops_lib.ageing import stalled_deals
from salesops_lib.benchmark.compare import DIFFER
from salesops_lib.benchmark.evidence import Evidence, gather
from salesops_lib.benchmark.skills import NONE_STANDS_OUT, surely
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData, needed
from salesops_lib.language import mark, say
from salesops_lib.present import counted, fitted, interval, number

if TYPE_CHECKING:
    import pandas as pd

SURE = 0.9
LARGEST = 8
ABOVE, BELOW, UNSURE = mark("above"), mark("below"), mark("cannot be told")
AHEAD, BEHIND, USUAL = mark("ahead"), mark("behind"), mark("within the usual")


@dataclass(frozen=True)
class Sheet:
    """What to talk about with one rep.

    Attributes
    ----------
    headline
        The two sentences to begin with.
    name
        Of the rep.
    standing
        One row a measure: `measure`, `own` with its range, `team`, `n`, `verdict` (``above``, ``below``,
        ``cannot be told``; for the quarter's bookings only whether past quarters ran like it).
    stages
        Skill by stage: rows of `SkillProfile.stages`.
    strengths
        Win rate by segment, pulled back, with `verdict`.
    deals
        Open deals to discuss, the largest first: `opportunity_id`, `name`, `stage`, `amount`,
        `expected_close_date`, `why`.
    result
        The `Evidence` behind it.
    """

    headline: str
    name: str
    standing: pd.DataFrame
    stages: pd.DataFrame | InsufficientData
    strengths: pd.DataFrame | InsufficientData
    deals: pd.DataFrame
    result: Evidence

    @property
    def stages_shown(self) -> pd.DataFrame | InsufficientData:
        """Skill by stage without what the picture shows."""
        if isinstance(self.stages, InsufficientData):
            return self.stages
        rows = self.stages[["stage", "n", "rate", "low", "high", "team_rate"]]
        return rows.assign(chance_below=[surely(chance) for chance in self.stages["p_below"]])

    @property
    def strengths_shown(self) -> pd.DataFrame | InsufficientData:
        """Win rate by segment beside the team's."""
        if isinstance(self.strengths, InsufficientData):
            return self.strengths
        return self.strengths[["segment", "n", "rate", "low", "high", "team_rate", "verdict"]]

    @property
    def deals_shown(self) -> pd.DataFrame:
        """Deals by name; by id where the source gives none."""
        return self.deals.assign(name=self.deals["name"].fillna(self.deals["opportunity_id"])).drop(
            columns="opportunity_id"
        )


def rep_sheet(book: Book, *, who: str = "", period: str = "4 quarters") -> Sheet:
    """Make the sheet of one rep.

    Parameters
    ----------
    who
        Name or id; the first rep by name with a closed deal where it is empty.

    Raises
    ------
    InsufficientData
        Where nobody closed a deal in the period.
    ParameterError
        For an unknown rep or period.
    """
    result = gather(book, period=period)
    if not result.n:
        what = say("A sheet for {period}", period=result.period)
        raise InsufficientData(what, needed=1, got=0, of=say("closed deals"))
    rep = facts.find(book, "rep", who) if who else _first(result, book)
    name = facts.names(book, "rep")[rep]
    standing = _standing(result, name)
    stages = _own(result.profile, name, "stages")
    strengths = _own(result, name, "strengths")
    if not isinstance(strengths, InsufficientData):
        strengths = strengths.assign(verdict=[_verdict(p) for p in strengths["p_above"]])
    deals = _deals(book, rep)
    return Sheet(
        _headline(result, name, standing, deals, book.currency),
        name,
        standing,
        stages,
        strengths,
        deals.head(LARGEST),
        result,
    )


def _first(result: Evidence, book: Book) -> str:
    return facts.find(book, "rep", sorted(needed(result.win_rate).reps["user_id"])[0])


def _own(part: object, name: str, column: str) -> pd.DataFrame | InsufficientData:
    if isinstance(part, InsufficientData):
        return part
    frame = getattr(part, column)
    if isinstance(frame, InsufficientData):
        return frame
    own = frame[frame["user_id"].eq(name)].drop(columns=["user_id", "told"], errors="ignore")
    return own.reset_index(drop=True)


def _verdict(p_above: float) -> str:
    return ABOVE if p_above > SURE else BELOW if p_above < 1 - SURE else UNSURE


def _standing(result: Evidence, name: str) -> pd.DataFrame:
    """Put each measure of the rep beside the team's, with what can be said of it."""
    import pandas as pd

    rows = []
    skill = result.win_rate
    if not isinstance(skill, InsufficientData) and skill.draws is not None and name in skill.draws:
        own = skill.reps.set_index("user_id").loc[name]
        above = float((skill.draws[name] > skill.draws.mean(axis=1)).mean())
        said = _verdict(above) if skill.verdict == DIFFER and own["status"] == "ok" else UNSURE
        rows.append((mark("win rate at the team's mix"), own["adjusted_rate"], own["low"], own["high"],
                     skill.reps["adjusted_rate"].mean(), own["n"], said, "percent"))  # fmt: skip
    for label, frame, column, unit in (
        (mark("typical deal size"), result.sizes, "adjusted", "money"),
        (mark("days to a win"), result.cycles, "adjusted", "days"),
        (mark("outbound calls"), result.calls, "rate", "per_day"),
    ):
        if isinstance(frame, InsufficientData) or name not in set(frame["user_id"]):
            continue
        own, team = frame.set_index("user_id").loc[name], float(frame[column].median())
        said = ABOVE if own["low"] > team else BELOW if own["high"] < team else UNSURE
        rows.append((label, own[column], own["low"], own["high"], team, own.get("n", np.nan), said, unit))
    if not isinstance(result.pace, InsufficientData):
        own = result.pace.reps[result.pace.reps["user_id"].eq(name)]
        for row in own.itertuples():
            said = AHEAD if row.on_pace_low > 1 else BEHIND if row.on_pace_high < 1 else USUAL
            rows.append((mark("booked this quarter, of the curve"), row.on_pace, row.on_pace_low, row.on_pace_high,
                         1.0, np.nan, said, "percent"))  # fmt: skip
    written = [
        (label, f"{number(own, unit)} {interval(low, high, unit)}", number(team, unit), n, said)
        for label, own, low, high, team, n, said, unit in rows
    ]
    return pd.DataFrame(written, columns=["measure", "own", "team", "n", "verdict"])


def _deals(book: Book, rep: str) -> pd.DataFrame:
    """Open deals and why they are worth a word, those first, then by size."""
    import pandas as pd

    rows = facts.deals(book)
    rows = rows[rows["rep"].eq(rep) & ~rows["is_closed"] & ~rows["is_renewal"]]
    stages = book.stages.drop_duplicates("stage_id", keep="last").set_index("stage_id")["stage_name"]
    told = book.table("opportunities", ["opportunity_id", "name"]).set_index("opportunity_id")["name"]
    try:
        slow = stalled_deals(book).set_index("opportunity_id")
    except InsufficientData:
        slow = pd.DataFrame(columns=["days", "limit_days"])
    days, limit = (rows["opportunity_id"].map(slow[column]) for column in ("days", "limit_days"))
    overdue = rows["expected_close_date"] < pd.Timestamp(book.day)
    slow_said = mark("{days} days in its stage (9 in 10 won ones: {most})")
    why = [
        ", ".join(filter(None, (
            say(slow_said, days=f"{day:.0f}", most=f"{most:.0f}") if day == day else "",
            say("close date is past") if late is True or late == 1 else "",
        )))
        for day, most, late in zip(days, limit, overdue.fillna(False).astype(bool), strict=True)
    ]  # fmt: skip
    out = pd.DataFrame({
        "opportunity_id": rows["opportunity_id"], "name": rows["opportunity_id"].map(told),
        "stage": rows["stage_id"].map(stages).fillna(rows["stage_id"]), "amount": rows["priced"].astype("float64"),
        "expected_close_date": rows["expected_close_date"], "why": why,
    })  # fmt: skip
    out = out.assign(order=out["why"].eq("")).sort_values(["order", "amount"], ascending=[True, False])
    return out.drop(columns="order").reset_index(drop=True)


def _headline(result: Evidence, name: str, standing: pd.DataFrame, deals: pd.DataFrame, currency: str) -> str:
    aside = {ABOVE: mark("{measure} {own}, above the team's {team}"),
             BELOW: mark("{measure} {own}, below the team's {team}")}  # fmt: skip
    apart = [say(aside[row.verdict], measure=say(row.measure), own=row.own, team=row.team)
             for row in standing.itertuples() if row.verdict in aside]  # fmt: skip
    if apart:
        said = [say("{name}: {results}.", name=name, results="; ".join(apart))]
    else:
        said = [say("{name}: nothing sets the results apart from the team's.", name=name)]
    if not isinstance(result.profile, InsufficientData):
        own = result.profile.reps[result.profile.reps["user_id"].eq(name)]
        said += [_to_work_on(row, currency) for row in own.itertuples()]
    slow, n = int(deals["why"].ne("").sum()), counted(len(deals), "open deal")
    return " ".join([*said, say("{slow} of {deals} stand still or are late.", slow=slow, deals=n)])


def _to_work_on(row, currency: str) -> str:
    if row.coach == NONE_STANDS_OUT:
        return say("No stage stands out.")
    return say(
        "Work on {stage} ({sure} sure to be below the team): closing that gap is worth {worth} {currency} a "
        "quarter {range}.", stage=row.coach, sure=surely(row.p_below), worth=number(row.worth, "money"),
        currency=currency, range=interval(row.worth_low, row.worth_high, "money"),
    )  # fmt: skip


def shown_as(frame: pd.DataFrame | InsufficientData) -> dict[str, dict]:
    """Say how a table of the pages on reps is shown: arguments of `present.table`."""
    return fitted(frame, units=UNITS, labels=LABELS, ranges=RANGES)


UNITS = {
    **dict.fromkeys(("raw_rate", "expected_rate", "adjusted_rate", "rate", "team_rate", "p_below", "chance",
                     "p_top_quartile", "p_bottom_quartile", "p_win", "p_win_handicap"), "percent"),
    **dict.fromkeys(("gap", "over_team"), "points"), **dict.fromkeys(("n", "won", "points", "rank"), "count"),
    **dict.fromkeys(("amount", "worth", "made", "survivors", "size"), "money"), "days_to_win": "days",
    "expected_close_date": "date",
    "attainment": "percent", "on_pace": "percent", "booked": "money", "quota": "money",
    "calls": "per_day", "chance_below": "shown", "own": "shown", "team": "shown", "is_hopeless": "flag",
    "why": "long", "measure": "word", "verdict": "word",
}  # fmt: skip
RANGES = {"adjusted_rate": ("low", "high"), "rank": ("rank_low", "rank_high"),
          "on_pace": ("on_pace_low", "on_pace_high"), "size": ("size_low", "size_high"),
          "days_to_win": ("days_to_win_low", "days_to_win_high"), "calls": ("calls_low", "calls_high"),
          "rate": ("low", "high"), "gap": ("gap_low", "gap_high"),
          "worth": ("worth_low", "worth_high"), "points": ("low", "high"), "made": ("low", "high")}  # fmt: skip
LABELS = {
    "user_id": "rep", "n": "deals", "raw_rate": "raw", "expected_rate": "mix gives",
    "adjusted_rate": "at team mix [90 %]",
    "rate": "rate [90 %]", "team_rate": "team", "chance_below": "chance below team",
    "gap": "against the team [90 %]",
    "worth": "worth a quarter [90 %]", "over_team": "against the team", "p_top_quartile": "chance in best fourth",
    "p_bottom_quartile": "in last fourth", "rank": "rank [90 %]", "note": "", "verdict": "",
    "on_pace": "of the curve [past quarters]", "next_stage": "next", "calls": "calls [90 %]",
    "size": "typical deal [90 %]", "days_to_win": "days to a win [90 %]",
    "survivors": "survivors only", "points": "points [90 %]", "p_above": "chance above team",
    "expected_close_date": "close date", "why": "why talk about it", "name": "deal", "own": "own [90 %]",
    "is_hopeless": "too small a chance", "p_win": "would win",
    "p_win_handicap": "with handicap", "sure": "sure it is below", "coach": "work on",
    "measure": "measure", "team": "team", "stage": "stage", "segment": "segment", "amount": "amount",
    "booked": "booked", "quota": "quota", "attainment": "attainment", "chance": "chance", "month": "month",
}  # fmt: skip
