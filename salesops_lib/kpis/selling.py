"""Win rate, sales cycle, open pipeline."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from salesops_lib import stats, tables
from salesops_lib.book import Book
from salesops_lib.facts import Facts, at_rates, deals, marked, priced_sum
from salesops_lib.kpis.registry import Variants, kpi
from salesops_lib.stats import NO_DATA, NOT_DEFINED, Estimate

if TYPE_CHECKING:
    import pandas as pd

# narrow frames filter several times faster, and a rep's KPIs filter much
OPEN_COLUMNS = ["expected_close_date", "priced", "amount", "currency", "probability_crm", "stage_id"]
COHORT_COLUMNS = ["created_at", "closed_at", "is_closed", "is_won", "is_disqualified"]


@kpi(
    "K03",
    name="Win rate",
    formula="won ÷ (won + lost)",
    population="new business closed by close date in the period; disqualified left out, no decision is lost",
    attribution="owner at close; a reopened deal counts once, at its last close",
    unit="share",
    direction="up",
    variants={
        "count": "won ÷ (won + lost)",
        "value": "Σ won amount ÷ Σ won and lost amount, lost ones at their last; not defined where most are blank",
        "created cohort": "share of the deals created in the period won within a fixed time; open deals censored",
        "won of all": "won ÷ every deal touched; mixes in open deals, shown only because others publish it",
        "from last open stage": "won ÷ closed among deals that had reached the last open stage",
    },
    needs=("opportunities",),
    interval="Wilson; bootstrap over deals for value; Aalen–Johansen for the cohort",
    source="kpis.md K03",
)
def win_rate(facts: Facts) -> Variants:
    """Divide won deals by won and lost ones."""
    closed = facts.closed()
    won = closed["is_won"]
    yield "count", stats.proportion(int(won.sum()), len(closed))
    yield "value", partial(_value_win_rate, facts, closed)
    yield "created cohort", partial(_cohort_win_rate, facts)
    yield "won of all", stats.proportion(int(won.sum()), len(closed) + len(facts.open()))
    yield "from last open stage", partial(_from_last_stage, facts, closed)


@kpi(
    "K05",
    name="Sales-cycle length",
    formula="days from start to close",
    population="new business won by close date in the period",
    attribution="owner at close",
    unit="days",
    direction="down",
    variants={
        "median": "median from creation to won",
        "mean": "mean from creation to won",
        "Kaplan–Meier": "median from creation to closing of deals created in the period, open deals censored",
        "from lead": "median from lead created to won",
        "from first activity": "median from first activity to won",
    },
    needs=("opportunities",),
    interval="order statistics; bootstrap for the mean; Brookmeyer–Crowley",
    least=6,
    source="kpis.md K05",
)
def cycle_length(facts: Facts) -> Variants:
    """Measure the days from a start event to the close."""
    won, book = facts.won(), facts.book
    close = won["closed_at"]
    yield "median", partial(_cycle, stats.median, close, won["created_at"])
    yield "mean", partial(_cycle, stats.mean, close, won["created_at"])
    created = facts.created()
    until = created["closed_at"].fillna(book.known_until)
    spent = _days(until, created["created_at"])
    sound = spent >= 0
    yield "Kaplan–Meier", partial(stats.survival_median, spent[sound], created.loc[sound, "is_closed"])
    if book.has("leads"):
        yield "from lead", lambda: _cycle(stats.median, close, won["lead_id"].map(_lead_created(book)))
    else:
        yield "from lead", Estimate.none(NO_DATA, 0, "the source has no leads")
    if book.has("activities"):
        yield (
            "from first activity",
            lambda: _cycle(stats.median, close, won["opportunity_id"].map(first_activity(book))),
        )
    else:
        yield "from first activity", Estimate.none(NO_DATA, 0, "the source has no activities")


@kpi(
    "K08",
    name="Open pipeline",
    formula="Σ open amount; weighted: Σ amount × probability",
    population="new business open at the as-of instant with an expected close in the period",
    attribution="owner at the as-of instant",
    unit="money",
    direction="up",
    variants={
        "open": "due in the period, not overdue",
        "due": "due in the period, overdue in it included",
        "weighted": "each amount times the CRM's probability of its deal or stage, then summed",
        "overdue": "expected close already past; never moved to today",
        "no date": "no expected close date",
        "all": "every open deal of new business",
        "renewals": "every open renewal",
    },
    needs=("opportunities",),
    interval="Fay–Feuer gamma on the deals",
    source="kpis.md K08",
)
def open_pipeline(facts: Facts) -> Variants:
    """Sum what is open, and what is open times its probability."""
    import pandas as pd

    rows, today = facts.open()[OPEN_COLUMNS], pd.Timestamp(facts.book.day)
    due_date = rows["expected_close_date"]
    overdue = due_date < today
    due = rows[facts.period.contains(due_date) & ~overdue]
    if len(rows) and due_date.isna().all():
        undated = Estimate.none(NO_DATA, len(rows), "no open deal has an expected close date")
        yield from ((variant, undated) for variant in ("open", "due", "weighted", "overdue"))
    else:
        yield "open", lambda: priced_sum(facts, due)
        yield "due", lambda: priced_sum(facts, rows[facts.period.contains(due_date)])
        yield "weighted", partial(_weighted, facts, due)
        yield "overdue", lambda: priced_sum(facts, rows[overdue])
    yield "no date", lambda: priced_sum(facts, rows[due_date.isna()])
    yield "all", lambda: priced_sum(facts, rows)
    yield "renewals", lambda: priced_sum(facts, facts.open(renewals=True))


@lru_cache(maxsize=16)
def _lead_created(book: Book) -> pd.Series:
    return book.table("leads", ["lead_id", "created_at"]).set_index("lead_id")["created_at"]


@lru_cache(maxsize=16)
def first_activity(book: Book) -> pd.Series:
    """First activity of each deal: instants indexed by `opportunity_id`."""
    found = book.query("""
        select opportunity_id, min(started_at) first_at from activities
        where opportunity_id is not null group by opportunity_id
    """)
    return found.set_index("opportunity_id")["first_at"]


def _days(later: pd.Series, earlier: pd.Series) -> pd.Series:
    import pandas as pd

    return (later - earlier) / pd.Timedelta(days=1)


def _cycle(estimator: Callable[..., Estimate], close: pd.Series, start: pd.Series) -> Estimate:
    """Estimate a duration; negative ones are left out and counted."""
    days = _days(close, start).dropna()
    negative = int((days < 0).sum())
    unknown_start = len(close) - len(days)
    return estimator(days[days >= 0]).noted(
        f"{negative} closed before they began, left out" if negative else "",
        f"{unknown_start} without a start, left out" if unknown_start else "",
    )


def _value_win_rate(facts: Facts, closed: pd.DataFrame) -> Estimate:
    """Count a lost deal whose amount was blanked at the loss with the last one its history shows."""
    worth, lost = closed["priced"], ~closed["is_won"]
    blanked = worth.isna() & closed["amount"].isna() & lost
    if blanked.any():
        worth = worth.fillna(before_blanked(facts.book).reindex(closed.index).where(blanked))
    if lost.any() and worth[lost].isna().mean() > 0.5:
        blank = "amounts of lost deals are blank in the source"
        return Estimate.none(NOT_DEFINED, len(closed), f"{blank}{facts.wanting(closed[lost])}")
    n, blank = int((blanked & worth.notna()).sum()), int(worth.isna().sum())
    worth = worth.dropna()
    won = closed["is_won"].loc[worth.index]
    if won.nunique() == 1 and worth.any():  # resampling cannot see what never happened
        rate = stats.proportion(int(won.sum()), len(won))
    else:
        rate = stats.ratio_of_sums(worth.where(won, 0), worth, least=2)
    return rate.noted(
        f"{n} lost at the amount before it was blanked" if n else "",
        f"{blank} without a price left out{facts.wanting(closed)}" if blank else "",
    )


@lru_cache(maxsize=16)
def before_blanked(book: Book) -> pd.Series:
    """Last amount that the history shows of the lost deals without one, priced, by row of `deals(book)`."""
    rows = deals(book)
    rows = rows[rows["amount"].isna() & rows["is_closed"]]
    found = book.query("""
        select opportunity_id, arg_max(coalesce(new_value, old_value), (changed_at, seq)) last
        from opportunity_history where field = 'amount' and coalesce(new_value, old_value) is not null group by all
    """).set_index("opportunity_id")["last"]
    amounts = tables.money(rows["opportunity_id"].map(found).astype(object))
    return at_rates(book, amounts, rows["currency"], rows["close_date"])


def _cohort_win_rate(facts: Facts) -> Estimate:
    """Share won within twice the median cycle, deals created in the period, open ones censored."""
    import numpy as np

    typical = _typical_cycle(facts.book)
    if typical.status != stats.OK:
        return typical
    horizon = round(2 * typical.value)
    cohort = facts.created()[COHORT_COLUMNS]
    cohort = cohort[~cohort["is_disqualified"]]
    until = cohort["closed_at"].fillna(facts.book.known_until)
    outcome = np.select([cohort["is_won"], cohort["is_closed"]], [1, 2], 0)
    rate = stats.incidence(_days(until, cohort["created_at"]).clip(lower=0), outcome, horizon)
    return rate.noted(f"within {horizon} days of creation")


@lru_cache(maxsize=16)
def _typical_cycle(book: Book) -> Estimate:
    rows = deals(book)
    won = rows[rows["is_won"] & ~rows["is_renewal"]]
    return stats.median(_days(won["closed_at"], won["created_at"]).clip(lower=0), least=30)


def _from_last_stage(facts: Facts, closed: pd.DataFrame) -> Estimate:
    if facts.book.passed_stages().empty:
        return Estimate.none(NO_DATA, 0, "the source keeps no stage history")
    name, there = _last_stage(facts.book)
    if not name:
        return Estimate.none(NO_DATA, 0, "the stage table has no open stage")
    reached = closed.loc[there.loc[closed.index], "is_won"]
    return stats.proportion(int(reached.sum()), len(reached)).noted(f"from {name}")


@lru_cache(maxsize=16)
def _last_stage(book: Book) -> tuple[str, pd.Series]:
    """Name of the last open stage, and which deals ever were in it."""
    passed, stages = book.passed_stages(), book.stages
    still_open = stages[~stages["is_closed"]].sort_values("stage_order")
    if still_open.empty:
        return "", marked(book, ())
    last = still_open.iloc[-1]
    return last["stage_name"], marked(book, passed.loc[passed["stage_id"].eq(last["stage_id"]), "opportunity_id"])


def _weighted(facts: Facts, due: pd.DataFrame) -> Estimate:
    """Sum each amount times its own probability; never the sum of amounts times a mean probability."""
    import pandas as pd

    chance = chances(facts.book, due)
    if len(due) and chance.isna().all():
        return Estimate.none(NO_DATA, len(due), "the CRM sets no probabilities")
    worth = due["priced"].astype("float64").fillna(0) * chance.fillna(0)
    missing = int(chance.isna().sum())
    unlikely = f"{missing} without a probability count as nothing" if missing else ""
    return stats.total(pd.Series(worth)).noted(facts.unpriced(due), unlikely)


def chances(book: Book, rows: pd.DataFrame) -> pd.Series:
    """Probability the CRM gives each deal, else its stage; empty where it gives none."""
    return rows["probability_crm"].fillna(rows["stage_id"].map(_stage_probability(book))).astype("float64")


@lru_cache(maxsize=16)
def _stage_probability(book: Book) -> pd.Series:
    stages = book.stages.sort_values("valid_from").drop_duplicates("stage_id", keep="last")
    return stages.set_index("stage_id")["probability_default"]
