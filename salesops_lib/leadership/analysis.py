"""Key figures, bookings by month and the team table, with the sentence they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from salesops_lib import kpis, stats
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData
from salesops_lib.facts import Facts, deals, quota, resolve_period
from salesops_lib.periods import Period
from salesops_lib.present import fitting, interval, number
from salesops_lib.stats import OK, Estimate

if TYPE_CHECKING:
    import pandas as pd

MONTHS = 13
# key figure: KPI, variant, whether over the last four quarters instead of the current one
TILES = (
    ("Booked", "K26", "new business", False),
    ("Quota at this pace", "K02", "pace", False),
    ("Pipeline still due", "K08", "open", False),
    ("Win rate, 4 quarters", "K03", "count", True),
    ("Average deal, 4 quarters", "K06", "won", True),
    ("Sales cycle, 4 quarters", "K05", "median", True),
)


@dataclass(frozen=True)
class Leadership:
    """The numbers of one leadership page.

    Attributes
    ----------
    headline
        At most two sentences computed from the frames below.
    period
        The fiscal period the page is about.
    currency
        Of every amount.
    tiles
        `label`, `kpi_id`, `value`, `range`, `change`, `tone` (text), and the raw `estimate`.
    months
        `month`, `start`, `bookings`, `low`, `high`, `n`, `quota`, `is_partial`; the last thirteen fiscal months.
    quarters
        `quarter`, `bookings`, `low`, `high`, `deals_won`, `win_rate`, `win_low`, `win_high`, `closed`; the
        last row joins the last four.
    teams, regions, products
        One row a segment: `name`, `pace`, `gap`, `booked`, `quota`, `pipeline_due`, `deals_won`, `win_rate` (four
        quarters), `win_low`, `win_high`, `closed`, `booked_4q`; sorted by gap to quota, else by name.
    """

    headline: str
    period: Period
    currency: str
    tiles: pd.DataFrame
    months: pd.DataFrame
    quarters: pd.DataFrame
    teams: pd.DataFrame
    regions: pd.DataFrame
    products: pd.DataFrame


def summarize(book: Book, *, period: str = "quarter") -> Leadership:
    """Compute the leadership page.

    Parameters
    ----------
    book
        The company at the as-of instant.
    period
        ``month``, ``quarter`` or ``year``: the fiscal one that the as-of day lies in.

    Raises
    ------
    InsufficientData
        Where no deal was known at the as-of instant.
    ParameterError
        For an unknown period.
    """
    if deals(book).empty:
        raise InsufficientData(f"Leadership report as of {book.day}", needed=1, got=0, of="deals known by then")
    now = resolve_period(book, period)
    year = resolve_period(book, "4 quarters")
    tiles = _tiles(book, now, year)
    return Leadership(
        headline=_headline(book, now, tiles),
        period=now,
        currency=book.currency,
        tiles=tiles,
        months=_months(book),
        quarters=_quarters(book),
        teams=_segments(book, "team", now, year),
        regions=_segments(book, "region", now, year),
        products=_segments(book, "product", now, year),
    )


def _estimate(book: Book, kpi_id: str, variant: str, period: Period) -> Estimate:
    row = kpis.compute(book, kpi_id, period, variants=[variant]).iloc[0]
    return Estimate(row["value"], row["low"], row["high"], row["n"], row["status"], row["note"])


def _baseline(book: Book, now: Period) -> tuple[Period, str]:
    """Choose what to compare with: the same part of the period a year ago, else of the one before."""
    ago = book.calendar.same_progress(now, book.day, book.calendar.year_ago(now))
    first = deals(book)["close_date"].min()
    if first == first and first.date() <= ago.start:
        return ago, "on year ago"
    before = book.calendar.same_progress(now, book.day, book.calendar.shift(now, -1))
    return before, "on period before"


def _tiles(book: Book, now: Period, year: Period) -> pd.DataFrame:
    import pandas as pd

    against, words = _baseline(book, now)
    a_year_back = book.calendar.shift(resolve_period(book, "quarter"), -4)
    past_year = book.calendar.trailing("quarter", 4, a_year_back.start)
    rows = []
    for label, kpi_id, variant, rolling in TILES:
        entry = kpis.REGISTRY[kpi_id]
        found = _estimate(book, kpi_id, variant, year if rolling else now)
        change, tone = "", ""
        if kpi_id == "K02":
            tone = "" if found.status != OK else "good" if found.value >= 1 else "bad"
            gone = number(book.calendar.elapsed(now, book.day), "percent")
            change = f"{gone} of working days gone" if found.status == OK else ""
        elif kpi_id == "K08":
            change = _weighted(book, now) if found.status == OK else ""
        else:
            before = _estimate(book, kpi_id, variant, past_year if rolling else against)
            change = _change(found, before, entry.unit, "on 4 quarters before" if rolling else words)
        rows.append(
            {
                "label": f"{label}, {book.currency}" if entry.unit == "money" else label,
                "kpi_id": kpi_id,
                "value": _value(found, entry.unit) if found.status == OK else found.status,
                "range": _range(found, entry.unit) if found.status == OK else found.note,
                "change": change,
                "tone": tone,
                "estimate": found,
            }
        )
    return pd.DataFrame(rows)


def _value(found: Estimate, unit: str) -> str:
    return number(found.value, fitting(unit, found.low, found.high))


def _range(found: Estimate, unit: str) -> str:
    return f"{interval(found.low, found.high, fitting(unit, found.low, found.high))} n = {found.n:,}"


def _weighted(book: Book, now: Period) -> str:
    found = _estimate(book, "K08", "weighted", now)
    return f"weighted {number(found.value, 'money')}" if found.status == OK else found.note


def _change(found: Estimate, before: Estimate, unit: str, words: str) -> str:
    """Say how a figure changed: relative for money, days and counts, in points for shares; n.s. inside noise."""
    gap = stats.difference(found, before)
    if gap.status != OK:
        return "no earlier figure"
    if unit == "share":
        said = number(gap.value, "points", signed=True)
    elif before.value:
        said = number(gap.value / before.value, "percent", signed=True)
    else:
        return "no earlier figure"
    return f"{said}{' n.s.' if gap.is_noise else ''} {words}"


def _headline(book: Book, now: Period, tiles: pd.DataFrame) -> str:
    """Say where the period stands, and how the win rate moved."""
    found = tiles.set_index("kpi_id")["estimate"]
    change = tiles.set_index("kpi_id")["change"]
    booked, pace, rate = found["K26"], found["K02"], found["K03"]
    gone = book.calendar.elapsed(now, book.day)
    when = f"in {now.label}" if gone >= 1 else f"after {number(gone, 'percent')} of {now.label}"
    facts = Facts(book, now, deals(book))
    n, unpriced = len(facts.won()), facts.unpriced(facts.won())
    first = f"Booked {_booked(booked, book.currency)} {when} ({n:,} deal{'' if n == 1 else 's'}"
    if change["K26"] != "no earlier figure":
        first += f", {change['K26']}"
    first += f"), {unpriced}" if unpriced and booked.status == OK else ")"
    if pace.status == OK:
        target = quota(facts)
        first += (
            f": {number(booked.value / target, 'percent')} of quota {number(target, 'money')}, on pace for "
            f"{_value(pace, 'share')} {interval(pace.low, pace.high, fitting('share', pace.low, pace.high))}"
        )
    known = book.calendar.day_of(book.known_until)
    if known < book.day:
        first = f"Data end on {known:%d %b %Y}, before the as-of day. {first}"
    if rate.status != OK:
        return f"{first}."
    second = f"Win rate over four quarters {_value(rate, 'share')} {_range(rate, 'share')}"
    if change["K03"] != "no earlier figure":
        second += f", {change['K03']}"
    return f"{first}. {second}."


def _booked(booked: Estimate, currency: str) -> str:
    return f"{number(booked.value, 'money')} {currency}" if booked.status == OK else f"no amount ({booked.note})"


def _months(book: Book) -> pd.DataFrame:
    import pandas as pd

    periods = book.calendar.last("month", MONTHS, book.day)
    frame = kpis.over_time(book, "K26", periods)
    targets = [quota(Facts(book, month, deals(book))) for month in periods]
    return pd.DataFrame(
        {
            "month": frame["period"],
            "start": frame["period_start"],
            "bookings": frame["value"],
            "low": frame["low"],
            "high": frame["high"],
            "n": frame["n"],
            "quota": targets,
            "is_partial": [book.day < month.last_day for month in periods],
        }
    )


def _quarters(book: Book) -> pd.DataFrame:
    """Five quarters, and the last four together."""
    import pandas as pd

    periods = [*book.calendar.last("quarter", 5, book.day), resolve_period(book, "4 quarters")]
    booked, won, rate = (kpis.over_time(book, kpi_id, periods) for kpi_id in ("K26", "K25", "K03"))
    return pd.DataFrame(
        {
            "quarter": [*booked["period"].iloc[:-1], "last four"],
            "bookings": booked["value"],
            "low": booked["low"],
            "high": booked["high"],
            "deals_won": won["value"],
            "win_rate": rate["value"],
            "win_low": rate["low"],
            "win_high": rate["high"],
            "closed": rate["n"],
        }
    )


def _segments(book: Book, by: str, now: Period, year: Period) -> pd.DataFrame:
    """Put the KPIs of each team, region or product side by side."""
    import pandas as pd

    current = kpis.compute(
        book, ["K02", "K08", "K25", "K26"], now, by=by, variants=["to date", "pace", "open", "new business"]
    )
    rolling = kpis.compute(book, ["K03", "K26"], year, by=by, variants="default")

    def pick(frame: pd.DataFrame, kpi_id: str, variant: str, column: str = "value") -> pd.Series:
        rows = frame[frame["kpi_id"].eq(kpi_id) & frame["variant"].eq(variant)]
        return rows.set_index("segment")[column]

    names = pd.concat([frame.set_index("segment")["segment_name"] for frame in (current, rolling)])
    names = names[~names.index.duplicated()]
    booked = pick(current, "K26", "new business").reindex(names.index, fill_value=0)  # without any price: empty
    held = {member: quota(Facts(book, now, deals(book), by, member)) for member in booked.index}
    target = pd.Series(held, dtype="float64")
    out = pd.DataFrame(
        {
            "name": names,
            "pace": pick(current, "K02", "pace"),
            "gap": (target - booked).where(target > 0),
            "booked": booked,
            "quota": target.where(target > 0),
            "pipeline_due": pick(current, "K08", "open"),
            "deals_won": pick(current, "K25", "new business").reindex(names.index).fillna(0),
            "win_rate": pick(rolling, "K03", "count"),
            "win_low": pick(rolling, "K03", "count", "low"),
            "win_high": pick(rolling, "K03", "count", "high"),
            "closed": pick(rolling, "K03", "count", "n"),
            "booked_4q": pick(rolling, "K26", "new business"),
        }
    )
    if not (target > 0).any():  # quotas belong to people and teams
        out = out.drop(columns=["quota", "pace", "gap"])
    keys = [key for key in ("gap", "name") if key in out]
    return out.sort_values(keys, ascending=[key == "name" for key in keys]).reset_index(drop=True)


def shown(frame: pd.DataFrame) -> dict[str, dict]:
    """Say how a table of segments is shown: arguments of `present.table`."""
    return {
        "units": {column: unit for column, unit in UNITS.items() if column in frame},
        "labels": {column: label for column, label in LABELS.items() if column in frame},
        "ranges": {value: bounds for value, bounds in RANGES.items() if bounds[0] in frame},
    }


RANGES = {"bookings": ("low", "high"), "win_rate": ("win_low", "win_high")}
UNITS = dict.fromkeys(("quota", "booked", "gap", "pipeline_due", "booked_4q", "bookings"), "amount") | {
    "pace": "percent",
    "win_rate": "share",
    "deals_won": "count",
    "closed": "count",
}
LABELS = {
    "name": "",
    "booked": "booked K26",
    "bookings": "bookings K26 [95 %]",
    "pace": "pace K02",
    "gap": "gap to quota",
    "pipeline_due": "pipeline due K08",
    "deals_won": "won K25",
    "win_rate": "win rate K03 [95 %]",
    "closed": "closed",
    "booked_4q": "booked 4 Q",
}
