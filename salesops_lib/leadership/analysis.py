"""One leadership page: will we make it, what changed, is there enough, what can hurt us, who needs help."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from salesops_lib import facts, kpis
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData
from salesops_lib.facts import deals, quota, resolve_period
from salesops_lib.kpis.reps import RAMPING_DAYS
from salesops_lib.language import dated, mark, say
from salesops_lib.leadership import ahead
from salesops_lib.leadership.blocks import decisions, watchlist, why
from salesops_lib.leadership.outlook import Outlook, describe
from salesops_lib.leadership.scope import Scope, scope
from salesops_lib.leadership.tiles import Desk, changes, shown, spread, tiles
from salesops_lib.periods import Period
from salesops_lib.present import counted, fitting, interval, number
from salesops_lib.stats import OK

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Leadership:
    """The numbers of one leadership page; a part the data cannot give holds the refusal that says why.

    Attributes
    ----------
    headline
        At most two sentences computed from the frames below.
    scope, period, currency, since
        Whom the page is for, the fiscal period, the currency of every amount, the day of the last report.
    tiles
        `label`, `kpi_id`, `value`, `range`, `change`, `tone` (text), and the raw `estimate`.
    ahead
        The forecasts of the period; empty where there is too little to learn from, where the period is over, and
        on the page of a team or rep.
    outlook, standing, caption
        Bookings so far beside past periods, and the sentence; what the forecast was worth in the past, or why
        there is none.
    why, because
        Change on the same part of last year: `factor`, `before`, `after`, `effect`, `mix`, `rate`; the sentence.
    watchlist, concentration, later
        Deals of the period with the most on them; and the sentence; what the next period will come to.
    people
        Teams, or a team's reps: `name`, `quota`, `booked`, `gap`, `pace`, `coverage`, `needed`, `needed_low`,
        `needed_high`, `stale`, `win_rate` (four quarters), `win_low`, `win_high`, `closed`; sorted by gap to
        quota, else by name. Teams with a forecast have it in place of the pace: `forecast`, `forecast_low`,
        `forecast_high` (80 %), `p_quota`. Reps also `is_new`.
    decisions
        `decision`, `outcome`, `owner`, `by`; at most three.
    quarters
        `quarter`, `bookings`, `low`, `high`, `deals_won`, `win_rate`, `win_low`, `win_high`, `closed`; the
        last row joins the last four.
    reps, regions, products
        For the appendix of the leadership page, the columns of `people`; else empty.
    """

    headline: str
    scope: Scope
    period: Period
    currency: str
    since: date
    tiles: pd.DataFrame
    ahead: ahead.Ahead | None
    outlook: Outlook
    standing: str
    caption: str
    why: pd.DataFrame | InsufficientData
    because: str
    watchlist: pd.DataFrame
    concentration: str
    later: str
    people: pd.DataFrame
    decisions: pd.DataFrame
    quarters: pd.DataFrame
    reps: pd.DataFrame
    regions: pd.DataFrame
    products: pd.DataFrame

    @property
    def watched(self) -> str:
        """Say which deals the watchlist holds."""
        if self.ahead:
            return say("Open deals by what hangs on them in {period}.", period=self.period)
        return say("Due in {period}.", period=self.period)

    @property
    def compared(self) -> str:
        """Say what the table of teams or reps holds, and in what order."""
        told = {"period": self.period, "currency": self.currency}
        if "gap" in self.people:
            return say("{period}, {currency}; largest gap to quota first. Win rate over four quarters.", **told)
        return say("{period}, {currency}; by name, there are no quotas. Win rate over four quarters.", **told)


def summarize(
    book: Book,
    *,
    period: str = "quarter",
    audience: str = "leadership",
    who: str = "",
    since: str = "",
    review: Any = None,
    asked: list[dict[str, str]] | None = None,
) -> Leadership:
    """Compute the leadership page.

    Parameters
    ----------
    book
        The company at the as-of instant.
    period
        ``month``, ``quarter`` or ``year``: the fiscal one that the as-of day lies in.
    audience, who
        Whom the page is for; see `scope`.
    since
        Day of the last report; a week before the as-of day by default.
    review
        The pipeline review of the same part and period; without it nothing is said of what moved the pipeline.
    asked
        Decisions to ask for: `decision`, `outcome`, `owner`, `by`.

    Raises
    ------
    InsufficientData
        Where no deal was known at the as-of instant.
    ParameterError
        For an unknown period, audience, team or person.
    """
    if deals(book).empty:
        what, of = say("Leadership report as of {day}", day=book.day), say("deals known by then")
        raise InsufficientData(what, needed=1, got=0, of=of)
    now, part = resolve_period(book, period), scope(book, audience, who)
    last = facts.day_before(book, since)
    desk = Desk(book, part, now, last)
    own = part.facts(book, now)
    figures, (stands, _), foreseen = tiles(desk), desk.outlook, desk.ahead
    reason, because = _why(desk, own)
    flagged = None if review is None else review.deals
    if foreseen:
        watched, concentration = ahead.watchlist(foreseen, book, flagged)
    else:
        watched, concentration = watchlist(own, part.facts(book.at(last), now), flagged)
    people = segments(book, "rep" if part.by else "team", now, part, foreseen)
    rest = people.iloc[:0]
    return Leadership(
        headline=_headline(desk, figures, review),
        scope=part,
        period=now,
        currency=book.currency,
        since=last,
        tiles=figures,
        ahead=foreseen,
        outlook=stands,
        standing=describe(stands, now, book.currency),
        caption=_caption(desk),
        why=reason,
        because=because,
        watchlist=watched,
        concentration=concentration,
        later=ahead.next_period(foreseen) if foreseen else "",
        people=people,
        decisions=decisions(own, people, review, asked),
        quarters=_quarters(book),
        reps=segments(book, "rep", now, part) if part.shows("I") else rest,
        regions=segments(book, "region", now, part) if part.shows("I") else rest,
        products=segments(book, "product", now, part) if part.shows("I") else rest,
    )


def _why(desk: Desk, own: facts.Facts) -> tuple[pd.DataFrame | InsufficientData, str]:
    """Explain the change on the year before, or on the period before where the records do not reach so far."""
    refusal = None
    for name in ("year", "last"):
        day, span = kpis.before(desk.book, desk.period)[name]
        if not facts.is_recorded(desk.book, span):
            what, of = say("Bookings of {period}", period=span), say("whole records of it")
            refusal = refusal or InsufficientData(what, needed=1, got=0, of=of)
            continue
        try:
            return why(own, desk.scope.facts(desk.book.at(day), span))
        except InsufficientData as error:
            refusal = refusal or error
    return refusal, ""


def _caption(desk: Desk) -> str:
    """Say what the forecast was worth, or what stands in its place and why."""
    if desk.ahead:
        return ahead.caption(desk.ahead)
    label = desk.outlook[0].label
    return f"{label} {desk.forecasts}" if isinstance(desk.forecasts, InsufficientData) else label


def _headline(desk: Desk, figures: pd.DataFrame, review: Any) -> str:
    """Say what the period will come to or where it stands, and what moved most since the last report."""
    first = ahead.headline(desk.ahead) if desk.ahead else _standing(desk, figures)
    known = desk.book.calendar.day_of(desk.book.known_until)
    if known < desk.book.day:
        first = f"{say('Data end on {day}, before the as-of day.', day=dated(known))} {first}"
    second = _cause(review) or _win_rate(desk)
    return f"{first}. {second}".strip()


def _standing(desk: Desk, figures: pd.DataFrame) -> str:
    book, now = desk.book, desk.period
    own = desk.scope.facts(book, now)
    reading = desk.read("K26", "new business")
    booked, pace = reading.now, figures.set_index("kpi_id")["estimate"].get("K02")
    n, moved = counted(len(own.won()), "deal"), changes(reading, "money")
    amount = say("no amount ({why})", why=booked.note)
    if booked.status == OK:
        amount = f"{number(booked.value, 'money')} {book.currency}"
    first = _booked(desk, amount, f"{n}, {moved}" if moved else n)
    unpriced = own.unpriced(own.won())
    if unpriced and booked.status == OK:
        first = f"{first}, {unpriced}"
    if pace is None or pace.status != OK:
        return first
    target, bounds = quota(own), interval(pace.low, pace.high, fitting("share", pace.low, pace.high))
    return say(
        "{booked}: {share} of quota {quota}, on pace for {pace}",
        booked=first, share=number(booked.value / target, "percent"), quota=number(target, "money"),
        pace=f"{shown(pace, 'share')} {bounds}".rstrip(),
    )  # fmt: skip


def _booked(desk: Desk, amount: str, deals: str) -> str:
    """Say what was booked, of whom, and in how much of the period."""
    gone = desk.book.calendar.elapsed(desk.period, desk.book.day)
    told = {"name": desk.scope.name, "amount": amount, "period": desk.period.label, "deals": deals,
            "share": number(gone, "percent")}  # fmt: skip
    if desk.scope.by:
        if gone >= 1:
            return say("{name}: booked {amount} in {period} ({deals})", **told)
        return say("{name}: booked {amount} after {share} of {period} ({deals})", **told)
    if gone >= 1:
        return say("Booked {amount} in {period} ({deals})", **told)
    return say("Booked {amount} after {share} of {period} ({deals})", **told)


def _cause(review: Any) -> str:
    """Name the largest single cause of the pipeline's change."""
    moved = getattr(review, "waterfall", None)
    if moved is None or isinstance(moved, Exception):
        return ""
    since = dated(moved.since, "dd MMM")
    if moved.causes.empty:
        return say("Nothing moved the pipeline since {day}.", day=since)
    return say("What moved the pipeline most since {day}: {cause}.", day=since, cause=moved.said(0))


def _win_rate(desk: Desk) -> str:
    reading = desk.read("K03", "count", rolling=True)
    if reading.now.status != OK:
        return ""
    moved = changes(reading, "share")
    rate = f"{shown(reading.now, 'share')} {spread(reading.now, 'share')}"
    return say("Win rate over four quarters {rate}.", rate=f"{rate}, {moved}" if moved else rate)


def _quarters(book: Book) -> pd.DataFrame:
    """Five quarters, and the last four together."""
    import pandas as pd

    periods = [*book.calendar.last("quarter", 5, book.day), resolve_period(book, "4 quarters")]
    booked, won, rate = (kpis.over_time(book, kpi_id, periods) for kpi_id in ("K26", "K25", "K03"))
    return pd.DataFrame(
        {
            "quarter": [*(_so_far(period, book) for period in periods[:-1]), mark("last four")],
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


def _so_far(period: Period, book: Book) -> str:
    """Name a period; one that still runs is no equal of whole ones."""
    return period.label if period.last_day <= book.day else say("{period} to date", period=period)


def segments(book: Book, by: str, now: Period, part: Scope, foreseen: ahead.Ahead | None = None) -> pd.DataFrame:
    """Put the KPIs of each team, region, product or rep side by side; of a team or rep, only its own people."""
    import pandas as pd

    year = resolve_period(book, "4 quarters")
    ids, variants = ["K08", "K25", "K26"], ["open", "due", "new business", "pace", "needed", "stale"]
    if by in facts.PEOPLE:
        ids += ["K02", "K09", "K11"]
    current = kpis.compute(book, ids, now, by=by, variants=variants)
    rolling = kpis.compute(book, ["K03", "K26"], year, by=by, variants="default")

    def pick(frame: pd.DataFrame, kpi_id: str, variant: str, column: str = "value") -> pd.Series:
        rows = frame[frame["kpi_id"].eq(kpi_id) & frame["variant"].eq(variant)]
        return rows.set_index("segment")[column]

    names = pd.concat([frame.set_index("segment")["segment_name"] for frame in (current, rolling)])
    names = names[~names.index.duplicated()]
    booked = pick(current, "K26", "new business").reindex(names.index, fill_value=0)  # without any price: empty
    everyone = deals(book)
    held = {m: facts.whole_quota(facts.Facts(book, now, everyone, by, m)) for m in booked.index}
    target = pd.Series(held, dtype="float64")
    out = pd.DataFrame({
        "name": names,
        "quota": target.where(target > 0),
        "booked": booked,
        "gap": (target - booked).where(target > 0),
        "pace": pick(current, "K02", "pace"),
        "pipeline_due": pick(current, "K08", "due"),
        "coverage": pick(current, "K09", "open"),
        "needed": pick(current, "K09", "needed"),
        "needed_low": pick(current, "K09", "needed", "low"),
        "needed_high": pick(current, "K09", "needed", "high"),
        "stale": pick(current, "K11", "stale"),
        "deals_won": pick(current, "K25", "new business").reindex(names.index).fillna(0),
        "win_rate": pick(rolling, "K03", "count"),
        "win_low": pick(rolling, "K03", "count", "low"),
        "win_high": pick(rolling, "K03", "count", "high"),
        "closed": pick(rolling, "K03", "count", "n"),
        "booked_4q": pick(rolling, "K26", "new business"),
    })  # fmt: skip
    if by in facts.PEOPLE:
        out = out.drop(columns="booked_4q")  # a page has room for so much
    if by == "rep":
        out = _own_people(book, out, part)
    elif by == "team" and foreseen:
        at = out.columns.get_loc("pace")
        told = foreseen.people.reindex(out.index)
        out = pd.concat([out.iloc[:, :at], told, out.iloc[:, at + 1 :].drop(columns="pipeline_due")], axis=1)
    empty = [
        c
        for c in ("quota", "gap", "pace", "p_quota", "coverage", "needed", "needed_low", "needed_high", "stale")
        if c in out and out[c].isna().all()
    ]
    out = out.drop(columns=empty)  # quotas belong to people and teams; not every source tells the rest
    keys = [key for key in ("gap", "name") if key in out]
    return out.sort_values(keys, ascending=[key == "name" for key in keys]).reset_index(drop=True)


def _own_people(book: Book, out: pd.DataFrame, part: Scope) -> pd.DataFrame:
    import pandas as pd

    users = book.users.drop_duplicates("user_id").set_index("user_id")
    started = users["start_date"].reindex(out.index)
    out = out.assign(is_new=(pd.Timestamp(book.day) - started).dt.days.lt(RAMPING_DAYS).fillna(False))
    if part.by == "team":
        out = out[users["team_id"].reindex(out.index).eq(part.segment).fillna(False)]
    return out[out.index == part.segment] if part.by == "rep" else out
