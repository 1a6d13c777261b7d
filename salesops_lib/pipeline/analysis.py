"""The pipeline of a period on one page: what moved it, is there enough, what comes next, who must act."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from salesops_lib import facts, kpis, stats
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData, attempt
from salesops_lib.facts import Facts, whole_quota
from salesops_lib.kpis.pipeline import LEAST, missing
from salesops_lib.kpis.pipeline import needed as needed_by
from salesops_lib.language import mark, say
from salesops_lib.periods import Period
from salesops_lib.pipeline.attention import REASONS, clumps, owners, reasons, watch
from salesops_lib.pipeline.movement import Waterfall, waterfall
from salesops_lib.present import fitted, interval, number

if TYPE_CHECKING:
    import pandas as pd

WEEKS = 13  # weeks of created pipeline shown
AHEAD = 2  # periods after this one


@dataclass(frozen=True)
class Review:
    """One look at the pipeline; a part that the data cannot give holds the `InsufficientData` that says why.

    Attributes
    ----------
    headline
        Two sentences at most, computed from the frames below.
    period, currency
        Of which period's pipeline, in which currency.
    waterfall
        What moved it since the earlier day.
    coverage
        One row for the company and each team: `name`, `open`, `left` (quota not booked yet), `coverage`,
        `needed`, `needed_low`, `needed_high` (at the same week of past periods), `verdict`.
    created
        Pipeline created per week: `week`, `start`, `amount`, `low`, `high`, `n`, `is_partial`.
    ahead
        The next periods: `period`, `quota`, `quota_of` (this period where the next one has none yet), `needed`,
        `needed_low`, `needed_high`, `open`, `to_create`, `per_week`, `created` (a week for that period, mean of
        the last four).
    deals
        One row an open deal that needs somebody: `opportunity_id`, `name`, `rep`, `team`, `stage`, `amount`,
        `expected_close_date`, `idle_days`, `pushes`, `reasons` (text), and a flag for each of `attention.REASONS`.
    reasons
        One row a reason: `reason`, `deals`, `amount`, `share` of the open amount; `amount` is empty where a reason
        cannot be told, and `note` says why.
    clumps
        Days on which many deals are to close: `expected_close_date`, `deals`, `share`, `amount`.
    owners
        One row an owner: `rep`, `team`, `deals`, `amount`, and the number of deals for each reason.
    """

    headline: str
    period: Period
    currency: str
    waterfall: Waterfall | InsufficientData
    coverage: pd.DataFrame
    created: pd.DataFrame
    ahead: pd.DataFrame | InsufficientData
    deals: pd.DataFrame
    reasons: pd.DataFrame
    clumps: pd.DataFrame
    owners: pd.DataFrame

    @property
    def buckets(self) -> pd.DataFrame | InsufficientData:
        """Buckets of the waterfall."""
        return self.waterfall if isinstance(self.waterfall, InsufficientData) else self.waterfall.buckets

    @property
    def moved(self) -> pd.DataFrame | InsufficientData:
        """The deals behind each bucket."""
        return self.waterfall if isinstance(self.waterfall, InsufficientData) else self.waterfall.deals


def review(book: Book, *, period: str = "quarter", since: str = "", by: str = "team", segment: str = "") -> Review:
    """Look at the pipeline of the period that the as-of day lies in.

    Parameters
    ----------
    book
        The company at the as-of instant.
    period
        ``month``, ``quarter`` or ``year``.
    since
        Day the waterfall starts from; a week before the as-of day by default.
    by, segment
        ``team`` or ``rep``, and the name or id of one; the whole company where `segment` is empty.

    Raises
    ------
    ParameterError
        For an unknown period, dimension, team or rep, or a day that is not before the as-of one.
    InsufficientData
        Where no deal was known at the as-of instant.
    """
    if facts.deals(book).empty:
        what, of = say("Pipeline as of {day}", day=book.day), say("deals known by then")
        raise InsufficientData(what, needed=1, got=0, of=of)
    window, day = facts.resolve_period(book, period), facts.day_before(book, since)
    rows, part = facts.deals(book), {}
    if segment:
        part = {"by": by, "segment": facts.find(book, by, segment)}
        rows = rows[rows[by].eq(part["segment"])]
    own = Facts(book, window, rows, **part)
    moved = attempt(lambda: waterfall(book.at(day), book, period=window, **part))
    attention, untold = watch(own)
    coverage = _coverage(own)
    return Review(
        headline=_headline(moved, coverage, attention, book),
        period=window,
        currency=book.currency,
        waterfall=moved,
        coverage=coverage,
        created=_created(own),
        ahead=attempt(lambda: _ahead(own)),
        deals=attention[attention["reasons"].ne("")].reset_index(drop=True),
        reasons=reasons(attention, untold),
        clumps=clumps(attention),
        owners=owners(attention),
    )


def _coverage(own: Facts) -> pd.DataFrame:
    """Put coverage beside what was needed, for the whole and its teams."""
    import pandas as pd

    book, window = own.book, own.period
    scopes = [own]
    if not own.by:
        rows = own.deals
        members = facts.members(book, "team", window)
        scopes += [
            Facts(book, window, rows[rows["team"].eq(m)], "team", m) for m in members if m != facts.NOT_ASSIGNED
        ]
    names = facts.names(book, "team") | facts.names(book, "rep")
    out = []
    for scope in scopes:
        found = kpis.evaluate(scope, "K09")
        here, needed = found["open"], found["needed"]
        out.append(
            {
                "name": names.get(scope.segment, scope.segment or say("company")),
                "open": kpis.evaluate(scope, "K08", "due")["due"].value,
                "left": missing(scope),
                "coverage": here.value,
                "needed": needed.value,
                "needed_low": needed.low,
                "needed_high": needed.high,
                "verdict": _verdict(here, needed),
            }
        )
    return pd.DataFrame(out)


def _verdict(here: stats.Estimate, needed: stats.Estimate) -> str:
    """Compare coverage with the range of what was needed."""
    if here.status != stats.OK:
        return here.note
    if needed.status != stats.OK:
        return mark("no past periods to compare")
    if here.value < needed.low:
        return mark("short")
    return mark("enough") if here.value > needed.high else mark("in the usual range")


def _created(own: Facts) -> pd.DataFrame:
    """Sum what was created in each of the last weeks, at the amounts known now."""
    import pandas as pd

    book = own.book
    weeks = book.calendar.last("week", WEEKS, book.day)
    rows = own.deals[~own.deals["is_renewal"]]
    days = book.calendar.business_date(rows["created_at"])
    out = []
    for week in weeks:
        found = stats.total(rows.loc[week.contains(days), "priced"])
        told = {"amount": found.value, "low": found.low, "high": found.high, "n": found.n}
        out.append({"week": week.label, "start": pd.Timestamp(week.start), **told,
                    "is_partial": book.day < week.last_day})  # fmt: skip
    return pd.DataFrame(out)


def _ahead(own: Facts) -> pd.DataFrame:
    """Say what the next periods still need: quota × the coverage past periods began with, less what is there."""
    import pandas as pd

    book, window = own.book, own.period
    current, out = whole_quota(own), []
    coming = [replace(own, period=book.calendar.shift(window, step)) for step in range(1, AHEAD + 1)]
    needed = needed_by(coming[0])  # as periods begin: the same for all that come
    if needed.status != stats.OK:
        of = say("past periods with tracked deals")
        raise InsufficientData(say("Pipeline to create"), needed=LEAST, got=needed.n, of=of)
    rows = own.open()
    days = book.calendar.business_date(rows["created_at"])
    recent = days > pd.Timestamp(book.day) - pd.Timedelta(weeks=4)
    for part in coming:
        span, target = part.period, whole_quota(part)
        quota_of = span.label if target > 0 else window.label
        target = target if target > 0 else current
        if target <= 0:
            of = say("quota of this or the next period")
            raise InsufficientData(say("Pipeline to create"), needed=1, got=0, of=of)
        expected = span.contains(rows["expected_close_date"])
        there = float(stats.exact_sum(rows.loc[expected, "priced"]))
        weeks = max((span.start - book.day).days / 7, 1)
        to_create = max(target * needed.value - there, 0)
        out.append(
            {
                "period": span.label,
                "quota": target,
                "quota_of": quota_of,
                "needed": needed.value,
                "needed_low": needed.low,
                "needed_high": needed.high,
                "open": there,
                "to_create": to_create,
                "per_week": to_create / weeks,
                "created": float(stats.exact_sum(rows.loc[expected & recent, "priced"])) / 4,
            }
        )
    return pd.DataFrame(out)


def _headline(
    moved: Waterfall | InsufficientData, coverage: pd.DataFrame, attention: pd.DataFrame, book: Book
) -> str:
    """Say what moved the pipeline, and whether there is enough of it."""
    if isinstance(moved, InsufficientData):
        whole, n = attention["amount"].sum(), number(len(attention), "count")
        first = say("{n} deals without an amount are open", n=n)
        if whole:
            amount = number(whole, "money")
            first = say("{n} deals worth {amount} {currency} are open", n=n, amount=amount, currency=book.currency)
    else:
        first = moved.headline.rstrip(".")
    company = coverage.iloc[0]
    if company["needed"] != company["needed"] or company["coverage"] != company["coverage"]:
        return f"{first}."
    bounds = interval(company["needed_low"], company["needed_high"], "times")
    enough = say(
        "It covers what is missing {coverage}; past periods needed {needed} {range} at this week: {verdict}.",
        coverage=number(company["coverage"], "times"), needed=number(company["needed"], "times"), range=bounds,
        verdict=say(company["verdict"]),
    )  # fmt: skip
    return f"{first}. {enough}"


def describe_ahead(result: Review) -> str:
    """Say in one sentence what the next period takes; nothing where the data cannot tell."""
    if isinstance(result.ahead, InsufficientData):
        return ""
    row = result.ahead.iloc[0]
    period = row["period"]
    if row["quota_of"] != period:
        period = say("{period} (no quota yet, that of {other} taken)", period=period, other=row["quota_of"])
    if not row["to_create"]:
        return say("{period} has what past periods began with.", period=period)
    return say(
        "{period}: {amount} {currency} a week of pipeline till it begins; the last four weeks made {created} a "
        "week due in it.",
        period=period, amount=number(row["per_week"], "money"), currency=result.currency,
        created=number(row["created"], "money"),
    )  # fmt: skip


def shown_as(frame: pd.DataFrame | InsufficientData) -> dict[str, dict]:
    """Say how a table of the page is shown: arguments of `present.table`."""
    return fitted(frame, units=UNITS, labels=LABELS, ranges={"needed": ("needed_low", "needed_high")})


UNITS = {
    **dict.fromkeys(("amount", "amount_before", "amount_after"), "amount"),
    **dict.fromkeys(("open", "left", "quota", "to_create", "per_week", "created"), "money"),
    **dict.fromkeys(("coverage", "needed"), "times"),
    **dict.fromkeys(("n", "deals", "pushes", "idle_days", *REASONS), "count"),
    **dict.fromkeys(("expected_close_date", "expected_close_date_before", "expected_close_date_after"), "date"),
    **dict.fromkeys(("bucket", "meaning", "verdict"), "word"),
    "share": "percent",
}
LABELS = {
    "name": "",
    "n": "deals",
    "amount": "amount",
    "rep": "rep",
    "team": "team",
    "stage": "stage",
    "pushes": "pushes",
    "reasons": "reasons",
    "reason": "reason",
    "deals": "deals",
    "period": "period",
    "quota": "quota",
    "left": "quota left",
    "coverage": "coverage K09",
    "needed": "needed [95 %]",
    "quota_of": "quota of",
    "verdict": "",
    "open": "pipeline due",
    "to_create": "still to create",
    "per_week": "a week",
    "created": "created a week",
    "expected_close_date": "expected close",
    "idle_days": "days idle",
    "share": "of open",
    "note": "",
}
# tables of what moved, and the deals behind a number, show columns under their own names; a heading left blank is
# still read out
OWN_LABELS = {
    "verdict": "verdict",
    "note": "note",
    "bucket": "bucket",
    "meaning": "meaning",
    "opportunity_id": "opportunity id",
    "name": "name",
    "expected_close_date": "expected close date",
    "idle_days": "idle days",
    "stage_id_before": "stage id before",
    "stage_id_after": "stage id after",
    "amount_before": "amount before",
    "amount_after": "amount after",
    "currency_before": "currency before",
    "currency_after": "currency after",
    "expected_close_date_before": "expected close date before",
    "expected_close_date_after": "expected close date after",
}
