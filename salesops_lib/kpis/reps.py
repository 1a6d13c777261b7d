"""People: share at quota, ramp time, consistency, and which KPIs tell what they will book."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from salesops_lib import stats
from salesops_lib.book import Book
from salesops_lib.facts import LABELS, NOT_ASSIGNED, PEOPLE, Facts, deals, presence, quotas, records_begin, so_far
from salesops_lib.kpis.registry import Variants, kpi, refuse
from salesops_lib.language import mark, say
from salesops_lib.periods import MONTH_DAYS, Period, joined
from salesops_lib.stats import NO_DATA, NOT_DEFINED, OK, TOO_FEW, Estimate

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

RAMPING_DAYS, TENURED_DAYS = 183, 365  # six months, a year
LEAST_RAMPED, LEAST_QUARTERS, MOST_QUARTERS = 10, 4, 8
FEW_QUARTERS = mark("needs {needed} completed quarters with a quota, has {n}")


@kpi(
    "K01",
    name="Reps at quota",
    formula="people with credited bookings ≥ quota ÷ people who carry a quota above 0; exactly 100 % counts",
    population="people with a quota of measure bookings who were there in the period, leavers too; new business",
    attribution="owner at close; the rep's team today",
    unit="share",
    direction="up",
    variants={
        "all": "quota prorated for the days a person was there, against the whole period",
        "ramped": "without those who were in their first six months when the period began, or joined later",
        "on pace": "against the part of the quota for the days gone by",
    },
    needs=("quotas", "users", "opportunities"),
    interval="exact (Clopper–Pearson), because people are few",
    source="kpis.md K01",
)
def reps_at_quota(facts: Facts) -> Variants:
    """Count the people who reached their quota."""
    import pandas as pd

    book, period = facts.book, facts.period
    _, wrong, is_partial = quotas(book, period)
    refused = _not_for(facts, mark("one person is no share; see quota attainment K02"))
    refused = refused or (wrong if is_partial else "")
    if refused:
        yield from refuse("K01", Estimate.none(NOT_DEFINED, 0, refused))
        return
    rows = _own(facts, attained(book, period))
    carriers = rows[rows["is_carrying"]]
    bare = int((carriers["quota"] <= 0).sum())
    said = (so_far(facts), say("{n} who carry one have no quota, left out", n=bare) if bare else "", wrong)
    unpriced = facts.unpriced(facts.won())
    begun = carriers["start_date"] + pd.Timedelta(days=RAMPING_DAYS) <= pd.Timestamp(period.start)
    ramped = carriers[begun | carriers["start_date"].isna()]
    for variant, people, target in (
        ("all", carriers, "quota"),
        ("ramped", ramped, "quota"),
        ("on pace", carriers, "due"),
    ):
        held = people[people[target] > 0]
        if held.empty:
            nobody = say("nobody with a quota in {period}", period=period)
            yield variant, Estimate.none(NOT_DEFINED, 0, nobody).noted(*said)
            continue
        reached = int((held["booked"] >= held[target]).sum())
        yield variant, stats.proportion(reached, len(held), exact=True).noted(*said, unpriced)


@kpi(
    "K35",
    name="Ramp time",
    formula="months from start date to the first of two consecutive months at the median of the tenured or above",
    population="quota carriers who started after the records began; tenured: a year or more in the company; new "
    "business won in whole fiscal months, per FTE",
    attribution="owner at close; the rep's team today",
    unit="months",
    direction="down",
    variants={
        "half have ramped": "by then half of the starters had ramped; who left before never does (they compete)",
        "leavers censored": "by then half would have, if nobody had left",
    },
    needs=("opportunities", "users"),
    interval="Kaplan–Meier, Brookmeyer–Crowley; leavers followed to the end (Fine and Gray 1999) or censored",
    least=LEAST_RAMPED,
    source="kpis.md K35",
)
def ramp_time(facts: Facts) -> Variants:
    """Follow starters until they sell like the tenured."""
    refused = _not_for(facts, mark("one person has no median"))
    if refused:
        yield from refuse("K35", Estimate.none(NOT_DEFINED, 0, refused))
        return
    rows = ramps(facts.book, min(facts.period.last_day, facts.book.day))
    rows = rows if not facts.by else rows[rows["team"].eq(facts.segment)]
    followed = rows[rows["why_not"].eq("")]
    out = rows.loc[rows["why_not"].ne(""), "why_not"].value_counts().sort_index()
    said = "; ".join(say("{n} left out: {why}", n=n, why=say(why)) for why, n in out.items())
    yield "half have ramped", _ramp(followed, "months_if_stayed").noted(said)
    yield "leavers censored", _ramp(followed[followed["months"].notna()], "months").noted(said)


@kpi(
    "K41",
    name="Attainment consistency",
    formula="quarters with bookings ≥ quota ÷ quarters",
    population="the last completed fiscal quarters; new business; quotas of measure bookings, prorated",
    attribution="owner at close; a team is the ratio of its members' sums",
    unit="share",
    direction="up",
    variants={
        "last 4 quarters": "share of the last four completed quarters at 100 % or above",
        "last 8 quarters": "the same of the last eight",
        "spread": "standard deviation of attainment over the last four to eight completed quarters",
    },
    needs=("quotas", "users", "opportunities"),
    interval="exact (Clopper–Pearson); χ² for the spread",
    least=LEAST_QUARTERS,
    source="kpis.md K41",
)
def attainment_consistency(facts: Facts) -> Variants:
    """Look at the quarters behind: how many made it, and how far they scatter."""
    if facts.by and facts.by not in PEOPLE:
        yield from refuse("K41", Estimate.none(NOT_DEFINED, 0, _not_for(facts, "")))
        return
    quarters = completed_quarters(facts, MOST_QUARTERS)
    pairs = [_booked_and_quota(facts, quarter) for quarter in quarters]
    for variant, k in (("last 4 quarters", LEAST_QUARTERS), ("last 8 quarters", MOST_QUARTERS)):
        held = [(booked, quota) for booked, quota in pairs[-k:] if quota > 0]
        if len(held) < k:
            yield variant, Estimate.none(TOO_FEW, len(held), say(FEW_QUARTERS, needed=k, n=len(held)))
        else:
            found = stats.proportion(sum(booked >= quota for booked, quota in held), k, exact=True)
            yield variant, found.noted(joined(quarters[-k], quarters[-1]))
    yield "spread", _spread([float(booked / quota) for booked, quota in pairs if quota > 0])


@kpi(
    "K42",
    name="KPI predictive validity",
    formula="rank correlation across people of a KPI in one completed quarter with bookings in the next",
    population="people who carried a quota all through the last two completed quarters; new business",
    attribution="as known at the end of the first quarter; bookings by owner at close",
    unit="score",
    direction="none",
    variants={
        "win rate": "won ÷ closed in the first quarter",
        "deals created": "deals created in the first quarter per FTE",
        "pipeline at the start": "open amount at the end of the first quarter per FTE",
        "bookings": "won amount in the first quarter per FTE",
    },
    needs=("opportunities", "users"),
    interval="Fisher z with the error of Bonett and Wright (2000)",
    least=10,
    source="kpis.md K42",
)
def predictive_validity(facts: Facts) -> Variants:
    """Compare the order of people by a KPI with their order by what they booked a quarter later."""
    refused = _not_for(facts, mark("one person has no rank"))
    if refused:
        yield from refuse("K42", Estimate.none(NOT_DEFINED, 0, refused))
        return
    pair = completed_quarters(facts, 2)
    rows = foretold(facts.book, *pair)
    rows = rows if not facts.by else rows[rows["team"].eq(facts.segment)]
    for variant in ("win rate", "deals created", "pipeline at the start", "bookings"):
        known = rows.dropna(subset=[variant, "booked next"])
        if known.empty and len(rows):
            yield variant, Estimate.none(NO_DATA, 0, say("not known for anybody in {period}", period=pair[0]))
            continue
        found = stats.rank_correlation(known[variant], known["booked next"])
        verdict = say("descriptive: chance alone may explain it") if found.is_noise else say("predicts")
        out = len(rows) - len(known)
        left_out = say("{n} without one left out", n=out) if out else ""
        yield variant, found.noted(verdict if found.status == OK else "", joined(*pair), left_out)


@lru_cache(maxsize=64)
def attained(book: Book, period: Period) -> pd.DataFrame:
    """Put credited bookings beside quota, exact to the cent.

    Returns
    -------
    DataFrame
        Index: who carried a quota in the period or won a deal, and the teams where those hold the quotas. `team`,
        `start_date` (empty where not recorded), `is_carrying`, and as `Decimal` in corporate currency `booked`,
        `quota` (prorated for the days there), `due` (the same for the days gone by).
    """
    import pandas as pd

    facts = Facts(book, period, deals(book))
    booked = {rep: stats.exact_sum(rows) for rep, rows in facts.won().groupby("rep")["priced"]}
    carriers = set(facts.carriers()["user_id"])
    begun = period.start <= book.day
    targets, teams = [], {}
    for window in (period, period.until(book.day)) if begun else (period, period):
        rows = quotas(book, window).rows
        ours = rows[rows["holder_id"].isin(carriers) | rows["holder_type"].eq("team")]
        teams |= {team: team for team in ours.loc[ours["holder_type"].eq("team"), "holder_id"]}
        targets.append(ours.groupby("holder_id")["prorated"].sum().map(_to_cents).to_dict())
    people = book.users.drop_duplicates("user_id").set_index("user_id")
    rows = pd.DataFrame(index=pd.Index(sorted({*booked, *carriers, *targets[0]}), dtype=object))
    rows["team"] = people["team_id"].astype(object).reindex(rows.index).fillna(teams).fillna(NOT_ASSIGNED)
    rows["start_date"] = people["start_date"].reindex(rows.index)
    rows["is_carrying"] = rows.index.isin(carriers)
    for column, found in (("booked", booked), ("quota", targets[0]), ("due", targets[1])):
        rows[column] = pd.Series([found.get(key, Decimal(0)) for key in rows.index], rows.index, dtype=object)
    return rows


@lru_cache(maxsize=16)
def ramps(book: Book, last_day: date) -> pd.DataFrame:
    """Follow every quota carrier from the start date until the first two consecutive months of full productivity.

    Full productivity is the median of the whole months of people a year or more in the company, per FTE; months
    without a deal are among them.

    Returns
    -------
    DataFrame
        One row a person: `team`, `ramped`, `months` from start to the first of the two, else to the last month
        that could have been it (empty where the person left before there was one), `months_if_stayed` (the same
        had nobody left), `why_not` (why the person cannot be followed; empty where they can).
    """
    import numpy as np
    import pandas as pd

    people = book.users
    people = people[people["is_quota_carrying"] & ~(people["start_date"] > pd.Timestamp(last_day))]
    first = records_begin(book)
    months = [] if first != first else book.calendar.between("month", first, last_day)
    months = [month for month in months if first <= pd.Timestamp(month.start) and month.last_day <= last_day]
    starts, ends = (
        np.array([getattr(m, edge) for m in months], "datetime64[D]") for edge in ("start", "last_day")
    )
    start, end = (people[column].to_numpy("datetime64[D]")[:, None] for column in ("start_date", "end_date"))
    there = ~(start > starts) & ~(end < ends)
    made = _by_month(book, people, starts, ends)
    tenured = there & ~(starts - start < np.timedelta64(TENURED_DAYS, "D"))
    target = np.median(made[tenured]).round(2) if tenured.any() else 0.0
    hit = there & (made >= target) & (target > 0)
    since = (starts[:-1] - start) / np.timedelta64(1, "D") / MONTH_DAYS
    reached = np.where(hit[:, :-1] & hit[:, 1:], since, np.inf).min(axis=1, initial=np.inf)
    seen = np.where(there[:, :-1] & there[:, 1:], since, -np.inf).max(axis=1, initial=-np.inf)
    possible = np.where(since >= 0, since, -np.inf).max(axis=1, initial=-np.inf)
    ramped = np.isfinite(reached)
    why_not = np.select(
        [np.isnat(start[:, 0]), people["start_date"].lt(first), possible < 0, np.full(len(people), target <= 0)],
        [
            mark("no start date"),
            mark("there before the records begin"),
            mark("too new"),
            mark("the median month of the tenured is empty"),
        ],
        "",
    )
    columns = {
        "team": people["team_id"].fillna(NOT_ASSIGNED).astype(object),
        "ramped": ramped,
        "months": np.where(ramped, reached, np.where(seen >= 0, seen, np.nan)),
        "months_if_stayed": np.where(ramped, reached, possible),
        "why_not": why_not,
    }
    return pd.DataFrame(columns, index=people.index).set_index(people["user_id"])


@lru_cache(maxsize=32)
def foretold(book: Book, before: Period, after: Period) -> pd.DataFrame:
    """Put what was known of people at the end of one period beside what they booked in the next.

    Returns
    -------
    DataFrame
        One row a person who carried a quota all through both: `team`, `win rate` (empty without a closed deal),
        `deals created`, `pipeline at the start`, `bookings`, `booked next`, all but the first per FTE; amounts in
        corporate currency, empty where none of the deals had a price then.
    """
    import pandas as pd

    then = book.at(before.last_day)
    past, later = Facts(then, before, deals(then)), Facts(book, after, deals(book))
    users = book.users[book.users["is_quota_carrying"]]
    people = users[presence(users, pd.Timestamp(before.start), pd.Timestamp(after.last_day)).eq(1)]
    people = people.drop_duplicates("user_id").set_index("user_id")
    fte = people["fte"].fillna(1.0).astype(float)
    rates = past.closed().astype({"is_won": float}).groupby("rep")["is_won"].mean()
    created = past.created().groupby("rep").size()
    columns = {
        "team": people["team_id"].fillna(NOT_ASSIGNED).astype(object),
        "win rate": rates.reindex(fte.index),
        "deals created": created.reindex(fte.index).fillna(0) / fte,
        "pipeline at the start": _amounts(past.open(), fte.index) / fte,
        "bookings": _amounts(past.won(), fte.index) / fte,
        "booked next": _amounts(later.won(), fte.index) / fte,
    }
    return pd.DataFrame(columns, index=fte.index)


def completed_quarters(facts: Facts, n: int) -> list[Period]:
    """List the last `n` fiscal quarters that were over by the end of the period and by the as-of day."""
    calendar, day = facts.book.calendar, min(facts.period.last_day, facts.book.day)
    newest = calendar.period("quarter", day)
    if newest.last_day > day:
        newest = calendar.shift(newest, -1)
    return calendar.last("quarter", n, newest.start)


def _not_for(facts: Facts, one_person: str) -> str:
    """Say why a KPI of people makes no sense for a segment; nothing for the company and for teams."""
    if facts.by == "rep":
        return say(one_person)
    if not facts.by or facts.by in PEOPLE:
        return ""
    return say("people do not belong to a {dimension}", dimension=say(LABELS[facts.by]))


def _own(facts: Facts, rows: pd.DataFrame) -> pd.DataFrame:
    """Take the rows of the person or team that the facts are of."""
    if facts.by == "rep":
        return rows[rows.index == facts.segment]
    return rows[rows["team"].eq(facts.segment)] if facts.by else rows


def _to_cents(amount: float) -> Decimal:
    return Decimal(f"{amount:.2f}")


def _booked_and_quota(facts: Facts, quarter: Period) -> tuple[Decimal, Decimal]:
    """Sum what was booked and what was to be; no quota where it covers only part of the quarter."""
    rows = _own(facts, attained(facts.book, quarter))
    partly = quotas(facts.book, quarter).is_partial
    return sum(rows["booked"], Decimal(0)), Decimal(0) if partly else sum(rows["quota"], Decimal(0))


def _spread(attained: list[float], level: float = stats.LEVEL) -> Estimate:
    """Standard deviation with the χ² interval of a normal sample."""
    import numpy as np
    from scipy.stats import chi2

    n = len(attained)
    if n < LEAST_QUARTERS:
        return Estimate.none(TOO_FEW, n, say(FEW_QUARTERS, needed=LEAST_QUARTERS, n=n))
    value, tail = float(np.std(attained, ddof=1)), (1 - level) / 2
    low, high = value * np.sqrt((n - 1) / chi2.ppf([1 - tail, tail], n - 1))
    return Estimate(value, float(low), float(high), n)


def _ramp(followed: pd.DataFrame, column: str) -> Estimate:
    ramped = int(followed["ramped"].sum())
    if ramped < LEAST_RAMPED:
        note = say("needs {needed} people who have ramped, has {n} of {followed} followed",
                   needed=LEAST_RAMPED, n=ramped, followed=len(followed))  # fmt: skip
        return Estimate.none(TOO_FEW, len(followed), note)
    found = stats.survival_median(followed[column], followed["ramped"], least=LEAST_RAMPED)
    few = say("fewer than half have ramped")
    return found if found.status == OK else Estimate.none(TOO_FEW, len(followed), few)


def _by_month(book: Book, people: pd.DataFrame, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sum the new business each person won in each month, per FTE; one row a person, one column a month."""
    import numpy as np
    import pandas as pd

    made = np.zeros((len(people), len(starts)))
    rows = deals(book)
    won = rows[rows["is_won"] & ~rows["is_renewal"] & rows["priced"].notna()]
    closed = won["close_date"].to_numpy("datetime64[D]")
    person = pd.Index(people["user_id"]).get_indexer(won["rep"])
    month = np.searchsorted(starts, closed, side="right") - 1
    known = (person >= 0) & (month >= 0) & (closed <= ends[-1:].repeat(len(closed)))
    np.add.at(made, (person[known], month[known]), stats.to_float(won["priced"])[known])
    return (made / people["fte"].fillna(1.0).to_numpy(float)[:, None]).round(2)


def _amounts(rows: pd.DataFrame, people: pd.Index) -> pd.Series:
    """Sum the amounts of each person; empty where no deal has a price, for then nobody knows."""
    sums = rows.groupby("rep")["priced"].sum().astype("float64").reindex(people).fillna(0.0)
    return sums if rows.empty or rows["priced"].notna().any() else sums * float("nan")
