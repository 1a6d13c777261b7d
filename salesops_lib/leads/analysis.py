"""Leads and activity on one page: answered in time, fairly shared, worth having; where the day goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts, kpis, pooling
from salesops_lib.book import Book
from salesops_lib.curves import Curve
from salesops_lib.errors import InsufficientData, attempt
from salesops_lib.facts import Facts
from salesops_lib.kpis.distribution import shares_of_leads
from salesops_lib.kpis.lead_facts import cohort
from salesops_lib.kpis.leads import QUALIFY_DAYS
from salesops_lib.language import mark, say
from salesops_lib.leads.score import LeadScore, score_leads
from salesops_lib.leads.speed import Speed, compare_speed
from salesops_lib.periods import Period
from salesops_lib.present import fitted, interval, number
from salesops_lib.present.numbers import localised
from salesops_lib.stats import OK

if TYPE_CHECKING:
    import pandas as pd

QUICK_HOURS = 1  # by the business clock
ACTIVITY = {
    "K15": "calls", "K16": "talk", "K18": "meetings", "K19": "observed",
}  # fmt: skip
FALSE_DISCOVERIES = 0.05
WAITS = ("median", "p90", "business")
LONG_WAIT_H = 72  # from which on a wait is written in days
SPREADS = {
    "leads": mark("spread of leads, times chance"), "max ÷ min": mark("most ÷ least"),
    "expected customers": mark("spread of their value, times chance"),
}  # fmt: skip
SCORE_BANDS = {0: mark("lowest"), 1: mark("lower middle"), 2: mark("upper middle"), 3: mark("highest")}


@dataclass(frozen=True)
class Review:
    """One look at leads and activity; a part that the data cannot give holds the `InsufficientData` that says why.

    Attributes
    ----------
    headline
        Two sentences at most, computed from the frames below.
    period
        Of which window.
    waiting
        Curves of the wait for an answer: `clock` (wall, business), `hours`, `waiting` (share not answered yet).
    response
        One row the company and each source: `name`, `n`, `median`, `p90`, `business` (hours, with `…_low`,
        `…_high`), `in_time` (share within a day); empty where not reached yet.
    speed
        Whether a quick answer helps (`Speed`).
    cohorts
        Qualification by month of creation: `cohort`, `n`, `rate` (within 30 days) with `low` and `high`,
        `is_young`.
    fairness
        One row a person who gets leads: `rep`, `leads`, `due`, `hours`, `per_100_hours`, `expected_customers`,
        `due_customers`, `value_share` (expected customers ÷ due), `is_unfair` (further from chance than chance
        goes, false discoveries held at 5 %).
    tests
        K38 of the company: `variant`, `value` (written with its 95 % interval), `note`.
    score
        Chances of open leads (`LeadScore`).
    activity
        One row a person who sells: `rep`, `calls`, `meetings`, `talk`, `observed` with `observed_low` and
        `observed_high`, `unobserved`, `calls_typical` (calls a day pulled back by chance).
    """

    headline: str
    period: Period
    waiting: pd.DataFrame | InsufficientData
    response: pd.DataFrame | InsufficientData
    speed: Speed | InsufficientData
    cohorts: pd.DataFrame | InsufficientData
    fairness: pd.DataFrame | InsufficientData
    tests: pd.DataFrame | InsufficientData
    score: LeadScore | InsufficientData
    activity: pd.DataFrame | InsufficientData

    @property
    def speed_said(self) -> str:
        """Whether a quick answer helps, in a sentence."""
        return str(self.speed) if isinstance(self.speed, InsufficientData) else self.speed.headline

    @property
    def response_shown(self) -> pd.DataFrame | InsufficientData:
        """Response times written out: long ones in days, and said so where they are not reached yet."""
        if isinstance(self.response, InsufficientData):
            return self.response
        rows = self.response
        written = {
            name: [_wait(*row) for row in rows[[name, f"{name}_low", f"{name}_high"]].to_numpy()] for name in WAITS
        }
        bounds = [f"{name}_{end}" for name in WAITS for end in ("low", "high")]
        return rows.drop(columns=bounds).assign(**written)

    @property
    def fairness_shown(self) -> pd.DataFrame | InsufficientData:
        """Who got what against their turn."""
        if isinstance(self.fairness, InsufficientData):
            return self.fairness
        columns = ["rep", "leads", "due", "per_100_hours", "expected_customers", "due_customers"]
        said = self.fairness["is_unfair"].map({True: mark("yes"), False: mark("no")})
        return self.fairness[columns].assign(beyond_chance=said)

    @property
    def tests_shown(self) -> pd.DataFrame | InsufficientData:
        """K38 with its variants in words."""
        if isinstance(self.tests, InsufficientData):
            return self.tests
        return self.tests.assign(variant=self.tests["variant"].replace(SPREADS))

    @property
    def activity_shown(self) -> pd.DataFrame | InsufficientData:
        """What was seen of everybody's day."""
        if isinstance(self.activity, InsufficientData):
            return self.activity
        return self.activity.drop(columns=["unobserved", "calls_typical"], errors="ignore")

    @property
    def groups(self) -> pd.DataFrame | InsufficientData:
        """Groups of like leads, the largest first."""
        if isinstance(self.speed, InsufficientData):
            return self.speed
        rows = self.speed.groups
        return rows.loc[(rows["quick"] + rows["later"]).sort_values(ascending=False, kind="stable").index]

    @property
    def score_said(self) -> str:
        """Whether the score keeps its word, in a sentence."""
        return str(self.score) if isinstance(self.score, InsufficientData) else self.score.headline

    @property
    def open_leads(self) -> pd.DataFrame | InsufficientData:
        """Chances of open leads."""
        return self.score if isinstance(self.score, InsufficientData) else self.score.leads


def review(book: Book, *, period: str = "4 quarters", quick_hours: float = QUICK_HOURS) -> Review:
    """Look at the leads created, and at what people who sell did, in a period.

    Parameters
    ----------
    book
        The company at the as-of instant.
    period
        ``month``, ``quarter``, ``year`` or a number of them.
    quick_hours
        Business hours within which an answer is quick.

    Raises
    ------
    InsufficientData
        Where the source has neither leads nor activities.
    ParameterError
        For an unknown period.
    """
    window = facts.resolve_period(book, period)
    if not book.has("leads") and not book.has("activities"):
        of = say("leads or activities in the source")
        raise InsufficientData(say("Leads and activity"), needed=1, got=0, of=of)
    own = Facts(book, window, facts.deals(book))
    response, fairness = attempt(lambda: _response(book, window)), attempt(lambda: _fairness(own))
    speed = attempt(lambda: _speed(own, quick_hours))
    return Review(
        headline=_headline(response, speed, fairness),
        period=window,
        waiting=attempt(lambda: _waiting(own)),
        response=response,
        speed=speed,
        cohorts=attempt(lambda: _cohorts(own)),
        fairness=fairness,
        tests=attempt(lambda: _tests(book, window)),
        score=attempt(lambda: score_leads(book)),
        activity=attempt(lambda: _activity(book, window)),
    )


def _timed(own: Facts) -> pd.DataFrame:
    """Leads of the period whose wait can be told."""
    rows, _ = cohort(own)
    rows = rows[~rows["is_dated"] & (rows["wait"] >= 0)]
    if not rows["is_answered"].any():
        of = say("answered leads with a time of creation")
        raise InsufficientData(say("Lead response time"), needed=1, got=0, of=of)
    return rows


def _waiting(own: Facts) -> pd.DataFrame:
    import pandas as pd

    rows, out = _timed(own), []
    for clock, column in (("wall", "wait"), ("business", "business_wait")):
        curve = Curve.of(np.maximum(rows[column].round(2), 0), rows["is_answered"].astype(int))
        start = pd.DataFrame({"clock": [clock], "hours": [0.0], "waiting": [1.0]})
        out += [start, pd.DataFrame({"clock": clock, "hours": curve.time, "waiting": curve.survival})]
    return pd.concat(out, ignore_index=True)


def _response(book: Book, window: Period) -> pd.DataFrame:
    """Put the response times of the company and of each source side by side."""
    import pandas as pd

    _timed(Facts(book, window, facts.deals(book)))
    found = pd.concat([kpis.compute(book, "K20", window), kpis.compute(book, "K20", window, by="source")])
    found["order"] = found["segment"].ne("company")
    wide, names = [], {"median": "median", "p90": "p90", "business hours": "business", "within 24 h": "in_time"}
    for segment, rows in found.groupby("segment", sort=False):
        row = {"name": segment if segment != "company" else say("all"), "n": int(rows["n"].max())}
        for one in rows.to_dict("records"):
            name = names[one["variant"]]
            row |= {name: one["value"], f"{name}_low": one["low"], f"{name}_high": one["high"]}
        wide.append(row)
    out = pd.DataFrame(wide)
    out["name"] = facts.named(book, "source", out["name"])
    return out[out["n"] > 0].replace(np.inf, np.nan).reset_index(drop=True)


def _speed(own: Facts, quick_hours: float) -> Speed:
    import pandas as pd

    rows = _timed(own)
    rows = rows[rows["seen"] >= QUALIFY_DAYS]
    told = own.book.table("leads", ["lead_id", "created_at", "score_crm"]).set_index("lead_id")
    rows = rows.join(told, on="lead_id")
    hour = rows["created_at"].dt.tz_convert(own.book.calendar.timezone).dt.hour
    score = rows["score_crm"].astype("float64")
    cuts = [0, *np.nanquantile(score, [0.25, 0.5, 0.75]), np.inf] if score.notna().any() else [0, np.inf]
    rows = rows.assign(
        is_quick=rows["is_answered"] & (rows["business_wait"] <= quick_hours),
        is_good=rows["qualified"] <= QUALIFY_DAYS,
        score=pd.cut(score, np.unique(cuts), labels=False, include_lowest=True)
        .map(SCORE_BANDS)
        .fillna(mark("no score")),
        **{name: facts.named(own.book, name, rows[name]) for name in ("source", "segment")},
        arrived=np.where(hour.between(9, 16), mark("office hours"), mark("other hours")),
    )
    return compare_speed(rows, within=("source", "segment", "score", "arrived"))


def _cohorts(own: Facts) -> pd.DataFrame:
    """Qualification rate by month of creation, undecided leads followed as far as they are known."""
    import pandas as pd

    rows, _ = cohort(own)
    if rows["qualified"].isna().all():
        raise InsufficientData(say("Lead qualification"), needed=1, got=0, of=say("qualified leads"))
    out = []
    outcome = np.select([rows["qualified"].notna(), rows["disqualified"].notna()], [1, 2], 0)
    days = rows["qualified"].fillna(rows["disqualified"]).fillna(rows["seen"]).clip(lower=0)
    month = rows["created_day"].dt.to_period("M").dt.to_timestamp()
    for name in sorted(month.unique()):
        here = month.eq(name)
        found = Curve.of(days[here], outcome[here.to_numpy()]).share_by(QUALIFY_DAYS)
        young = bool(rows.loc[here, "seen"].min() < QUALIFY_DAYS)
        value = (found.value, found.low, found.high) if found.status == OK else (np.nan,) * 3
        out.append(dict(zip(("cohort", "n", "is_young", "rate", "low", "high"), (name, int(here.sum()), young,
                   *value),
                            strict=True)))  # fmt: skip
    return pd.DataFrame(out)


def _fairness(own: Facts) -> pd.DataFrame:
    from scipy.stats import false_discovery_control

    rows = shares_of_leads(own)
    if rows.empty:
        raise InsufficientData(say("Lead distribution"), needed=2, got=0, of=say("people who share enough leads"))
    rows["rep"] = facts.named(own.book, "rep", rows["rep"])
    rows["per_100_hours"] = 100 * rows["leads"] / rows["hours"]
    rows["value_share"] = rows["expected_customers"] / rows["due_customers"]
    rows["is_unfair"] = false_discovery_control(rows["p_value"].clip(0, 1)) < FALSE_DISCOVERIES
    return rows.sort_values("rep", ignore_index=True)


def _tests(book: Book, window: Period) -> pd.DataFrame:
    found = kpis.compute(book, "K38", window)
    told = found[found["status"].eq(OK)]
    if told.empty:
        what = say("Fairness: {why}", why=found["note"].iloc[0])
        raise InsufficientData(what, needed=2, got=0, of=say("people who share leads"))
    written = [
        f"{number(row.value, row.unit)} {interval(row.low, row.high, row.unit)}".strip()
        for row in told.itertuples()
    ]
    return told[["variant", "note"]].assign(value=written)[["variant", "value", "note"]].reset_index(drop=True)


def _activity(book: Book, window: Period) -> pd.DataFrame:
    """Put calls, meetings, talk time and observed selling time of everybody who sells side by side."""
    found = kpis.compute(book, list(ACTIVITY), window, by="rep", variants="default")
    found = found[found["segment"].ne(facts.NOT_ASSIGNED) & found["status"].eq(OK)]
    if found.empty:
        raise InsufficientData(say("Activity"), needed=1, got=0, of=say("people who sell with logged activity"))
    out = found.pivot(index="segment", columns="kpi_id", values="value").rename(columns=ACTIVITY)
    share = found[found["kpi_id"].eq("K19")].set_index("segment")
    out["observed_low"], out["observed_high"] = share["low"].reindex(out.index), share["high"].reindex(out.index)
    if "observed" in out:
        out["unobserved"] = 1 - out["observed"]
    if "calls" in out:
        n = found[found["kpi_id"].eq("K15")].set_index("segment")["n"].reindex(out.index).fillna(0).astype(float)
        days = (n / out["calls"]).where(out["calls"] > 0)
        known = days.notna()
        if known.sum() > 1:
            out.loc[known, "calls_typical"] = pooling.pool_rates(n[known], days[known])["rate"]
    out = out.rename_axis(columns=None).reset_index().rename(columns={"segment": "rep"})
    return out.assign(rep=facts.named(book, "rep", out["rep"])).sort_values("rep", ignore_index=True)


def _wait(value: float, low: float, high: float) -> str:
    """Write a wait with its interval, long ones in days."""
    if np.isnan(value):
        return say("not reached")
    unit, by = ("days", 24) if value >= LONG_WAIT_H else ("hours", 1)
    ends = [number(end / by, unit) if end == end else say("not reached") for end in (low, high)]
    return f"{number(value / by, unit)} [{'; '.join(ends)}]"


def _headline(response, speed, fairness) -> str:
    said = []
    if not isinstance(response, InsufficientData):
        row = response.iloc[0]
        said.append(say(
            "Half of {n} leads are answered within {wait} ({business} of business time), {share} within a day",
            n=number(row["n"], "count"), wait=number(row["median"], "hours"),
            business=number(row["business"], "hours"), share=number(row["in_time"], "percent"),
        ))  # fmt: skip
    if not isinstance(speed, InsufficientData):
        ratio = {name: localised(f"{getattr(speed.ratio, name):.2f}") for name in ("value", "low", "high")}
        said.append(say(
            "like for like, a quick answer goes with {value}× the qualification rate [{low}; {high}], the plain "
            "ratio is {naive}×", naive=localised(f"{speed.naive.value:.2f}"), **ratio,
        ))  # fmt: skip
    if not isinstance(fairness, InsufficientData):
        n, people = int(fairness["is_unfair"].sum()), len(fairness)
        if n:
            unfair = mark("{n} of {people} people got surely more or fewer leads than their turn")
        else:
            unfair = mark("none of {people} people got surely more or fewer leads than their turn")
        said.append(say(unfair, n=n, people=people))
    if not said:
        return say("Neither response times nor the distribution of leads can be told.")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def shown_as(frame: pd.DataFrame | InsufficientData) -> dict[str, dict]:
    """Say how a table of the page is shown: arguments of `present.table`."""
    return fitted(frame, units=UNITS, labels=LABELS, ranges=RANGES)


UNITS = {
    **dict.fromkeys(("n", "leads", "quick", "later", "band", "due", "per_100_hours", "expected_customers",
                     "due_customers"), "count"),
    **dict.fromkeys(("median", "p90", "business", "value"), "shown"), "observed": "share",
    **dict.fromkeys(("in_time", "quick_rate", "later_rate", "chance"), "percent"),
    "calls": "per_day", "meetings": "per_week", "talk": "minutes",
    **dict.fromkeys(("variant", "score", "arrived", "beyond_chance"), "word"),
}  # fmt: skip
RANGES = {
    "in_time": ("in_time_low", "in_time_high"), "observed": ("observed_low", "observed_high"),
}  # fmt: skip
LABELS = {
    "name": "source", "n": "leads", "score": "CRM score", "median": "half by [95 %]", "p90": "9 in 10 by [95 %]",
    "business": "half by, business clock [95 %]",
    "in_time": "within a day [95 %]", "due": "by turn", "due_customers": "by turn", "value": "value [95 %]",
    "quick": "answered quickly", "quick_rate": "qualified", "later": "later or never", "later_rate": "qualified",
    "chance": "chance to be won", "band": "fourth (1 is best)", "variant": "measure", "lead_id": "lead",
    "calls": "calls K15", "meetings": "meetings K18", "talk": "talk a day K16", "observed": "observed K19 [95 %]",
    "source": "source", "segment": "segment", "arrived": "arrived", "rep": "rep", "leads": "leads",
    "per_100_hours": "per 100 hours", "expected_customers": "expected customers",
    "beyond_chance": "beyond chance", "note": "note",
}  # fmt: skip
