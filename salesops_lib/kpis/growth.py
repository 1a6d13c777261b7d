"""Sales velocity, growth, revenue per account, and how far each lever moves bookings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING

from salesops_lib import stats
from salesops_lib.book import Book
from salesops_lib.facts import Facts, deals, presence, priced_sum, records_begin, so_far
from salesops_lib.kpis.registry import Variants, kpi, refuse
from salesops_lib.periods import KINDS, FiscalCalendar, Period
from salesops_lib.stats import NO_DATA, NOT_DEFINED, OK, TOO_FEW, Estimate

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LEAST_WON = 5
LEFT_OUT = 0.1  # share of the open deals that may lie in segments with too few won ones
DEEPEST = 20  # levels of owning companies


@kpi(
    "K10",
    name="Sales velocity",
    formula="qualified open deals × win rate × average won size ÷ median cycle",
    population="new business; open at the as-of instant, or at the end of a period before it; closed within it",
    attribution="owner at close, owner while open",
    unit="money_per_day",
    direction="up",
    variants={
        "by segment": "for each segment of companies, then added",
        "whole": "over all segments at once; hides that large deals are won more slowly and rarely",
    },
    needs=("opportunities",),
    interval="delta method on the logarithm over deals, size and cycle may go together; open deals as counted",
    least=LEAST_WON,
    source="kpis.md K10",
)
def sales_velocity(facts: Facts) -> Variants:
    """Multiply what is open by how often, how large and how fast it is won."""
    closed, waiting = _measured(facts.closed()), _open_then(facts)
    waiting = waiting.loc[waiting["is_qualified"], "segment"]
    yield "by segment", partial(_velocity, facts, closed, waiting)
    yield "whole", partial(_velocity, facts, closed.assign(segment=""), waiting.map(lambda _: ""))


@kpi(
    "K28",
    name="Sales growth",
    formula="(bookings − bookings before) ÷ bookings before",
    population="new business won by close date; a running period against as many working days of the other one",
    attribution="owner at close",
    unit="share",
    direction="up",
    variants={
        "year before": "against the same period of the fiscal year before",
        "period before": "against the period before",
        "per working day": "against the year before, both divided by their working days",
        "constant currency": "against the year before, every deal at the one plan rate of its currency",
        "same reps": "against the year before, only people who carried a quota all through both",
    },
    needs=("opportunities",),
    interval="from the Fay–Feuer intervals of both, on the log scale (Zou and Donner 2008)",
    source="kpis.md K28",
)
def sales_growth(facts: Facts) -> Variants:
    """Compare bookings with those of an earlier period of the same length."""
    if facts.book.day < facts.period.start:
        yield from refuse("K28", Estimate.none(NOT_DEFINED, 0, "the period has not begun"))
        return
    won = facts.deals
    won = won.loc[won["is_won"] & ~won["is_renewal"], ["rep", "close_date", "amount", "currency", "priced"]]
    year = cache(partial(_growth, facts, won, "year"))
    yield "year before", year
    yield "period before", partial(_growth, facts, won, "period")
    yield "per working day", lambda: _per_working_day(facts, year())
    yield "constant currency", lambda: _growth(facts, _at_plan_rates(facts, won), "year")
    yield "same reps", lambda: _growth(facts, won[won["rep"].isin(_stayed(facts.book, facts.period))], "year")


@kpi(
    "K30",
    name="Revenue per account",
    formula="Σ won amount ÷ companies with a won deal",
    population="won by close date in the period, priced; these are bookings, for there are no invoices",
    attribution="company of the deal, rolled up to the one that owns it; owner at close",
    unit="money",
    direction="up",
    variants={
        "per account": "new business",
        "per account, renewals": "renewals only",
        "per deal": "new business ÷ won deals",
    },
    needs=("opportunities", "accounts"),
    interval="bootstrap over companies; over deals for the last",
    least=5,
    source="kpis.md K30",
)
def revenue_per_account(facts: Facts) -> Variants:
    """Divide won amounts by the companies, or the deals, they came from."""
    won = facts.won()
    yield "per account", partial(_per_account, facts, won)
    yield "per account, renewals", lambda: _per_account(facts, facts.won(renewals=True))
    yield "per deal", lambda: stats.mean(won["priced"]).noted(facts.unpriced(won), so_far(facts))


@kpi(
    "K43",
    name="Lever sensitivity",
    formula="change of closed deals × win rate × won size for a small step of one lever; closed go by 1 ÷ cycle",
    population="new business closed by close date in the period; the other levers stay as they are",
    attribution="owner at close",
    unit="money",
    direction="none",
    variants={
        "win rate +1 point": "one more of a hundred closed deals won",
        "volume +1 %": "one per cent more deals closed",
        "size +1 %": "won deals one per cent larger",
        "cycle 1 day shorter": "the median cycle a day shorter with as many deals open, so that more close",
    },
    needs=("opportunities",),
    interval="Fay–Feuer gamma on the bookings for volume and size; delta method on the logarithm over deals else",
    least=LEAST_WON,
    source="kpis.md K43",
)
def lever_sensitivity(facts: Facts) -> Variants:
    """Say what a small step of each lever is worth in the period."""
    booked, closed = priced_sum(facts, facts.won()), _measured(facts.closed())
    lacking = _lacking(closed)
    if lacking:
        yield from refuse("K43", Estimate.none(TOO_FEW, booked.n, lacking))
        return
    levers = _levers(closed)
    n, k, cycle = levers.closed, len(levers.size_pull), levers.cycle
    error = ((1 / n + levers.size_pull) ** 2).sum() + (n - k) / n**2
    yield "win rate +1 point", _around(0.01 * n * levers.size, error, k, n).noted(so_far(facts))
    for variant in ("volume +1 %", "size +1 %"):
        yield variant, booked.scaled(0.01).noted(so_far(facts))
    if cycle <= 1:
        yield "cycle 1 day shorter", Estimate.none(NOT_DEFINED, n, "the median cycle is a day or less")
        return
    error = ((1 / k + levers.size_pull - levers.cycle_pull * cycle / (cycle - 1)) ** 2).sum()
    faster = _around(booked.value / (cycle - 1), error, k, k)
    yield "cycle 1 day shorter", faster.noted(f"from {cycle:.0f} days", so_far(facts))


@dataclass(frozen=True)
class Levers:
    """What bookings are the product of, over one population of closed deals.

    Attributes
    ----------
    closed, won
        Number of deals.
    size, cycle
        Mean amount and median days of the won deals that have both.
    size_pull, cycle_pull
        How far each of these pulls the logarithm of `size` and `cycle` (influence ÷ n); the squares add up to the
        variance, so errors of products follow by adding pulls first. That of the median is from order statistics
        (Price and Bonett 2001).
    """

    closed: int
    won: int
    size: float
    cycle: float
    size_pull: np.ndarray
    cycle_pull: np.ndarray

    @property
    def per_day(self) -> float:
        """Amount a day that one open deal is worth: win rate × size ÷ cycle."""
        return self.won / self.closed * self.size / self.cycle

    @property
    def error(self) -> float:
        """Variance of the logarithm of `per_day`."""
        n, k = self.closed, len(self.size_pull)
        pulls = 1 / k - 1 / n + self.size_pull - self.cycle_pull
        return float((pulls**2).sum()) + (n - k) / n**2


def _measured(closed: pd.DataFrame) -> pd.DataFrame:
    """Take segment, outcome, amount and days from creation to close of closed deals, as plain numbers."""
    import pandas as pd

    days = ((closed["closed_at"] - closed["created_at"]) / pd.Timedelta(days=1)).to_numpy(float)
    columns = {
        "segment": closed["segment"].to_numpy(object),
        "is_won": closed["is_won"].to_numpy(bool),
        "amount": closed["priced"].astype("float64").to_numpy(float),
        "days": days,
    }
    return pd.DataFrame(columns)


def _sound(closed: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Take amount and days of the won deals that have both; none that closed before it began."""
    won, amounts, days = (closed[name].to_numpy() for name in ("is_won", "amount", "days"))
    sound = won & (amounts == amounts) & (days >= 0)  # an empty amount is not equal to itself
    return amounts[sound], days[sound]


def _lacking(closed: pd.DataFrame) -> str:
    """Say why the levers cannot be measured; nothing where they can."""
    import numpy as np

    amounts, days = _sound(closed)
    if len(amounts) < LEAST_WON:
        return f"needs {LEAST_WON} won deals with an amount and a cycle, has {len(amounts)}"
    return "" if amounts.sum() > 0 and np.median(days) > 0 else "amount or cycle of the won deals is zero"


def _levers(closed: pd.DataFrame) -> Levers:
    import numpy as np

    amounts, days = _sound(closed)
    size, cycle, k = amounts.mean(), np.median(days), len(amounts)
    side = np.sign(days - cycle)
    return Levers(
        closed=len(closed),
        won=int(closed["is_won"].sum()),
        size=float(size),
        cycle=float(cycle),
        size_pull=(amounts / size - 1) / k,
        cycle_pull=side * _median_error(np.log(np.maximum(days, 1 / 24))) / max(np.linalg.norm(side), 1),
    )


def _median_error(values: np.ndarray) -> float:
    """Standard error of a median from two order statistics around it (Price and Bonett 2001)."""
    import numpy as np

    n, ordered = len(values), np.sort(values)
    rank, apart = _ranks(n)
    return float((ordered[n - rank] - ordered[rank - 1]) / apart)


@lru_cache(maxsize=1024)
def _ranks(n: int) -> tuple[int, float]:
    """Choose the order statistic below the median of `n`, and say how many errors apart it and its mirror lie."""
    from scipy.stats import binom, norm

    rank = max(round((n + 1) / 2 - n**0.5), 1)
    return rank, float(2 * norm.isf(binom.cdf(rank - 1, n, 0.5)))


def _around(value: float, error: float, won: int, n: int) -> Estimate:
    """Put the interval around an amount above zero whose logarithm has the variance `error`, from `won` deals."""
    import numpy as np
    from scipy.stats import t

    reach = np.exp(t.ppf((1 + stats.LEVEL) / 2, won - 1) * np.sqrt(error))
    return Estimate(value, float(value / reach), float(value * reach), n)


def _open_then(facts: Facts) -> pd.DataFrame:
    """Deals of new business open as of the book, or at the end of a period that was over by then."""
    last = facts.period.last_day
    if facts.book.day <= last:
        return facts.open()
    rows = deals(facts.book.at(last))
    return replace(facts, deals=rows[rows[facts.by].eq(facts.segment)] if facts.by else rows).open()


def _velocity(facts: Facts, closed: pd.DataFrame, waiting: pd.Series) -> Estimate:
    """Add the velocity of each segment; `waiting` is the segment of each open deal."""
    if waiting.empty:
        return Estimate.none(NOT_DEFINED, len(closed), "no qualified deal is open")
    value, error, won, n, thin = 0.0, 0.0, 0, 0, {}
    for segment, waits in waiting.value_counts(sort=False).items():
        own = closed[closed["segment"].eq(segment)]
        lacking = _lacking(own)
        if lacking:
            thin[segment] = (waits, f"{segment}: {lacking}" if segment else lacking)
            continue
        levers = _levers(own)
        part = waits * levers.per_day
        value, error = value + part, error + levers.error * part**2
        won, n = won + len(levers.size_pull), n + len(own)
    out = sum(waits for waits, _ in thin.values())
    if out > LEFT_OUT * len(waiting):
        return Estimate.none(TOO_FEW, len(closed), max(thin.values())[1])
    said = f"{out} open deals in {', '.join(sorted(thin))} left out, too few won there" if out else ""
    return _around(value, error / value**2, won, n).noted(said, so_far(facts))


@lru_cache(maxsize=256)
def earlier_part(calendar: FiscalCalendar, period: Period, day: date, back: str) -> Period | None:
    """Return the same period a ``year`` or one ``period`` before, cut after as many working days as it has seen.

    None for a period that is not made of whole weeks, months, quarters or years.
    """
    kind = period.kind.rpartition(" ")[2].removesuffix("s")
    if kind not in KINDS:
        return None
    parts = calendar.between(kind, period.start, period.last_day)
    if (parts[0].start, parts[-1].end) != (period.start, period.end):
        return None
    if back == "year":
        first, last = calendar.year_ago(parts[0]), calendar.year_ago(parts[-1])
    else:
        first, last = calendar.shift(parts[0], -len(parts)), calendar.shift(parts[0], -1)
    label = first.label if first == last else f"{first} to {last}"
    return calendar.same_progress(period, day, Period(first.start, last.end, period.kind, label))


def _growth(facts: Facts, won: pd.DataFrame, back: str) -> Estimate:
    """Compare the deals of `won` that closed in the period with those of an earlier one."""
    import pandas as pd

    book, period = facts.book, facts.period
    other = earlier_part(book.calendar, period, book.day, back)
    if other is None:
        return Estimate.none(NOT_DEFINED, 0, "needs whole weeks, months, quarters or years")
    if other.end > period.start:
        return Estimate.none(NOT_DEFINED, 0, "the period is longer than a year")
    if not records_begin(book) <= pd.Timestamp(other.start):
        return Estimate.none(NO_DATA, 0, f"records do not reach back to the start of {other}")
    inside, before = period.contains(won["close_date"]), other.contains(won["close_date"])
    rows = won[["priced", "amount", "currency"]]
    now, then = priced_sum(facts, rows[inside]), priced_sum(facts, rows[before])
    found, against = stats.ratio(now, then), f"against {other}"
    if found.status == NO_DATA:
        return found.noted(against)
    said = (against, so_far(facts), now.note, then.note and f"before: {then.note}")
    if found.status != OK:
        change = f"nothing to divide by; the change is {now.value - then.value:+,.0f} {book.currency}"
        return Estimate.none(NOT_DEFINED, now.n, change).noted(*said)
    return replace(found, value=found.value - 1, low=found.low - 1, high=found.high - 1).noted(*said)


def _per_working_day(facts: Facts, growth: Estimate) -> Estimate:
    """Turn growth of a sum into growth of a daily mean."""
    if growth.status != OK:
        return growth
    calendar, day = facts.book.calendar, facts.book.day
    gone, other = facts.period.until(day), earlier_part(calendar, facts.period, day, "year")
    days = [calendar.working_days(part.start, part.end) for part in (other, gone)]
    if min(days) == 0:
        return Estimate.none(NOT_DEFINED, growth.n, "no working day of the period has gone by")
    value, low, high = ((1 + part) * days[0] / days[1] - 1 for part in (growth.value, growth.low, growth.high))
    return replace(growth, value=value, low=low, high=high).noted(f"{days[1]} working days against {days[0]}")


def _at_plan_rates(facts: Facts, won: pd.DataFrame) -> pd.DataFrame:
    return won.assign(priced=deals(facts.book.at_plan_rates())["priced"].loc[won.index])


@lru_cache(maxsize=16)
def _stayed(book: Book, period: Period) -> list[str]:
    """List who carried a quota and was there on every day of the period so far and of the one a year before."""
    import pandas as pd

    other = earlier_part(book.calendar, period, book.day, "year")
    if other is None:
        return []
    users, last = book.users, pd.Timestamp(min(period.last_day, book.day))
    stayed = users["is_quota_carrying"] & presence(users, pd.Timestamp(other.start), last).eq(1)
    return users.loc[stayed, "user_id"].tolist()


@lru_cache(maxsize=16)
def top_companies(book: Book) -> dict[str, str]:
    """Map each company that has an owning or surviving one to the one at the top; a circle ends within it."""
    accounts = book.table("accounts", ["account_id", "parent_account_id", "merged_into_id"])
    above = accounts["merged_into_id"].fillna(accounts["parent_account_id"])
    above = above.set_axis(accounts["account_id"]).dropna()
    above = above[~above.index.duplicated()]
    top = above
    for _ in range(DEEPEST):
        higher = top.map(above).fillna(top)
        if higher.equals(top):
            break
        top = higher
    return top.to_dict()


def _per_account(facts: Facts, won: pd.DataFrame) -> Estimate:
    import pandas as pd

    priced = won[won["priced"].notna() & won["account_id"].notna()]
    top = top_companies(facts.book)
    companies = [top.get(company, company) for company in priced["account_id"]]
    totals = pd.Series(stats.to_float(priced["priced"])).groupby(companies).sum()
    lost = int(won["account_id"].isna().sum())
    said = f"{lost} of no known company, left out" if lost else ""
    return stats.mean(totals).noted(facts.unpriced(won), said, so_far(facts))
