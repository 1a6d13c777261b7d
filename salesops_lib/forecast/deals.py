"""Deals week by week: every open deal of new business as it was known at each week's end, and how it went on.

The rows equal what the as-of engine says of the same days; one query makes them all, for a model wants hundreds of
days and the engine is made for a few. Nothing here is later than the book's as-of instant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts, tables
from salesops_lib.book import Book

if TYPE_CHECKING:
    import pandas as pd

NEVER = 1 << 30  # day number of what has not happened
OPEN, WON, LOST = 0, 1, 2
INSTANT = "datetime64[us, UTC]"
COMPARED, UNLIKE = 20, 0.6  # deals open and closed, and the share of them whose values differ
MOST = 1_000_000  # rows; beyond it weeks are left out, the latest kept
KEPT = [
    "opportunity_id", "pipeline_id", "account_id", "owner_id", "stage_id", "type", "amount", "currency",
    "created_at", "expected_close_date", "forecast_category", "is_closed", "is_won", "closed_at", "product_family",
    "lead_source", "deleted_at",
]  # fmt: skip
# fields that change while a deal is open, and their columns here
COLUMNS = {"stage": "stage", "amount": "amount", "expected_close_date": "due", "forecast_category": "category"}


@dataclass(frozen=True, eq=False)
class Panel:
    """What the past of a book teaches, as known on a day; day numbers count from 1970-01-01.

    Attributes
    ----------
    rows
        One row an open deal and week end: `opportunity_id`, `day`, `stage`, `since` (day it entered the stage),
        `entered` (day of creation or reopening), `created`, `due` (expected close), `amount` (corporate currency
        at the rates of `day`), `pushes`, `category`, `owner`, `segment`, `source`, `type`, `product`; `end` and
        `outcome` (won 1, lost or removed 2) of what came later, `NEVER` and 0 while open on the panel's day.
    entries
        One row an attempt to sell: `opportunity_id`, `entered`, `end`, `outcome`, `segment`, `product`, `worth`
        (amount as it was won, in corporate currency; 0 where not won or not priced).
    day
        Last day known.
    untold
        Fields that the source did not track, so that nothing is learnt from them.
    late
        Columns that are filled in as deals close, emptied here: they would give away how a deal ends.
    source
        The panel of a later day that this one was cut from.
    """

    rows: pd.DataFrame
    entries: pd.DataFrame
    day: int
    untold: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    source: Panel | None = None

    @property
    def whole(self) -> Panel:
        """The panel this one was cut from, or itself: what is learnt by a day is the same in both."""
        return self.source or self

    def until(self, day: int) -> Panel:
        """Return what was known at the end of an earlier day of the panel: later rows and outcomes are gone."""
        if day >= self.day:
            return self
        known = [frame[frame[column] <= day] for frame, column in ((self.rows, "day"), (self.entries, "entered"))]
        rows, entries = (_hide(frame, day) for frame in known)
        return replace(self, rows=rows, entries=entries, day=day, source=self.whole)

    def entries_until(self, day: int) -> Panel:
        """Return what `until` does, with the rows of the panel's day alone: quick."""
        entries = self.entries[self.entries["entered"] <= day]
        return replace(self, rows=self.rows.iloc[:0], entries=_hide(entries, day), day=day, source=self.whole)

    def open(self, day: int | None = None) -> pd.DataFrame:
        """Return the deals open at the end of a day, the panel's own by default."""
        return self.rows[self.rows["day"].eq(self.day if day is None else day)]


def _hide(frame: pd.DataFrame, day: int) -> pd.DataFrame:
    later = (frame["end"] > day).to_numpy()
    hidden = frame.assign(
        end=np.where(later, NEVER, frame["end"]), outcome=np.where(later, OPEN, frame["outcome"])
    )
    return hidden.assign(worth=np.where(later, 0.0, frame["worth"])) if "worth" in frame else hidden


@lru_cache(maxsize=8)
def panel(book: Book, *, weeks: int = 400) -> Panel:
    """Rebuild the open deals of new business at the book's day and at each week's end before it.

    Parameters
    ----------
    book
        The company at the as-of instant.
    weeks
        How far back at most.
    """
    import pandas as pd

    deals = _deals(book)
    first = deals["created_at"].min()
    span = 0 if pd.isna(first) else max((book.day - book.calendar.day_of(first)).days // 7, 0)
    grid = _grid(book, range(min(span, weeks) + 1), int((~deals["is_closed"]).sum()))
    plain = deals.drop(columns=["account_id", "product_family", "lead_source", "type", "currency"])
    # joined from frames: the planner takes a view of the history for much smaller than it is
    given = {
        "deals": plain,
        "moves": book.query(MOVES, deals=plain[["opportunity_id"]]),
        "flags": _flags(book, deals),
    }
    found, attempts = book.query(WEEKLY, grid=grid, **given), book.query(ATTEMPTS, **given)
    known = deals.set_index("opportunity_id")
    standing, late = _standing(book, known)
    rows, untold = _told(book, _rows(book, found, known))
    frames = (frame.join(standing, on="opportunity_id") for frame in (rows, _entries(book, attempts, known)))
    return Panel(*frames, day_number(book.day), untold, late)


def day_number(day: object) -> int:
    """Count the days from 1970-01-01."""
    return int(np.datetime64(str(day), "D").astype(np.int64))


def _grid(book: Book, steps: range, opened: int) -> pd.DataFrame:
    """List the instants of the week ends, fewer where the deals are many."""
    import pandas as pd

    every = max(1, -(-len(steps) * max(opened, 1) // (2 * MOST)))
    days = [book.day - timedelta(days=7 * k) for k in steps[::every]]
    return pd.DataFrame({"seen_at": [book.calendar.instant(day) for day in days], "day": map(day_number, days)})


def _deals(book: Book) -> pd.DataFrame:
    """Take the deals of new business known to the book, and those deleted or merged by then."""
    import pandas as pd

    here = book.opportunities[KEPT].assign(removed_at=pd.Series(pd.NaT, dtype=INSTANT))
    gone = book.removed()["opportunity_id"]
    if len(gone):
        left = book.snapshot.read("opportunities", KEPT)
        left = left[left["opportunity_id"].isin(gone)]
        when = book.query("""
            select opportunity_id, min(changed_at) as at_
            from opportunity_history where field in ('deleted', 'merged') group by opportunity_id
        """).set_index("opportunity_id")["at_"]
        removed = left["opportunity_id"].map(when).astype(INSTANT).fillna(left["deleted_at"])
        # when it went is not known of some: they never were, rather than open for ever
        left = left.assign(removed_at=removed)[removed.notna()]
        closed = (left["is_closed"] & (left["closed_at"] <= removed)).fillna(False)
        left = left.assign(is_closed=closed, is_won=left["is_won"] & closed)
        here = pd.concat([here, left], ignore_index=True)
    here[["is_closed", "is_won"]] = here[["is_closed", "is_won"]].astype(bool)
    new = ~here["type"].eq("renewal").fillna(False).astype(bool) & here["created_at"].notna()
    return here[new].drop(columns="deleted_at").reset_index(drop=True)


def _flags(book: Book, deals: pd.DataFrame) -> pd.DataFrame:
    """Say which stages are closed and won: as the stage table has it, else as the deals show."""
    import pandas as pd

    columns = ["pipeline_id", "stage_id", "is_closed", "is_won"]
    told = [book.stages.sort_values("valid_from")[columns], deals[columns].dropna(subset=["stage_id"])]
    told = pd.concat([told[0].drop_duplicates(columns[:2], keep="last"), told[1].drop_duplicates(columns[:2])])
    told["pipeline_id"] = told["pipeline_id"].fillna("")
    return told.drop_duplicates(columns[:2]).astype({"is_closed": bool, "is_won": bool})


MOVES = """
    select opportunity_id, changed_at, field,
        nullif(arg_max(coalesce(new_value, chr(1)), seq), chr(1)) as value,
        nullif(arg_min(coalesce(old_value, chr(1)), seq), chr(1)) as before
    from opportunity_history
    where field in ('stage', 'amount', 'expected_close_date', 'forecast_category', 'owner')
        and opportunity_id in (select opportunity_id from deals)
    group by all
"""
SPELLS = """
    firsts as materialized (
        select opportunity_id, field, nullif(arg_min(coalesce(before, chr(1)), changed_at), chr(1)) as before,
            min(changed_at) as first_at
        from moves group by all
    ), staged as (
        select opportunity_id, greatest(changed_at, created_at) as began_at, changed_at, value as stage
        from moves join deals using (opportunity_id) where field = 'stage'
        union all
        select opportunity_id, created_at, created_at, before from firsts join deals using (opportunity_id)
        where field = 'stage' and before is not null and created_at < first_at
    ), marked as (
        select s.opportunity_id, began_at, changed_at, stage, coalesce(f.is_closed, false) as closes,
            coalesce(f.is_won, false) as wins
        from staged s join deals d using (opportunity_id)
        left join flags f on f.stage_id = stage and f.pipeline_id = coalesce(d.pipeline_id, '')
        union all
        select opportunity_id, created_at, created_at, case when not is_closed then stage_id end, false, false
        from deals where opportunity_id not in (select opportunity_id from staged)
        union all
        select opportunity_id, closed_at, closed_at, stage_id, true, is_won
        from deals where is_closed and opportunity_id not in (select opportunity_id from staged)
    ), spells as (
        select *, lead(began_at) over stages as ended_at,
            min(case when closes then began_at end) over later as closed_at,
            first_value(case when closes then wins end ignore nulls) over later as won,
            max(case when closes then began_at end) over earlier as reopened_after
        from marked
        window stages as (partition by opportunity_id order by changed_at, closes),
            later as (stages rows between current row and unbounded following),
            earlier as (stages rows between unbounded preceding and current row)
    ), attempts as materialized (
        select s.*, removed_at, min(began_at) over (partition by opportunity_id, reopened_after) as entered_at
        from spells s join deals using (opportunity_id) where not closes
    )
"""


def _asof(field: str, column: str) -> str:
    """SQL that adds the value of a field at `seen_at`, as the as-of engine tells it."""
    pushes = "m.pushes" if field == "expected_close_date" else "0"
    return f"""
        select w.*, {pushes} as {field}_n, case
                when m.changed_at is not null then m.value
                when f.first_at is not null then f.before
                else w.{column}
            end as {field}_then
        from {{}} w
        asof left join (
            select *, count(*) filter (try_cast(value as date) > try_cast(before as date)) over (
                partition by opportunity_id order by changed_at) as pushes
            from moves where field = '{field}'
        ) m on m.opportunity_id = w.opportunity_id and m.changed_at <= w.seen_at
        left join firsts f on f.opportunity_id = w.opportunity_id and f.field = '{field}'
    """


def _weekly() -> str:
    text = f"""with {SPELLS}, w0 as (
        select a.opportunity_id, day, seen_at, stage, began_at, entered_at, a.closed_at, won, a.removed_at,
            created_at, amount::varchar as amount, expected_close_date::date::varchar as expected_close_date,
            forecast_category, owner_id
        from attempts a join deals using (opportunity_id)
        join grid on seen_at >= began_at and seen_at < coalesce(ended_at, seen_at + interval 1 day)
            and seen_at < coalesce(a.removed_at, seen_at + interval 1 day)
    )"""
    named = {"amount": "amount", "expected_close_date": "expected_close_date",
             "forecast_category": "forecast_category", "owner": "owner_id"}  # fmt: skip
    for k, (field, column) in enumerate(named.items()):
        text += f", w{k + 1} as ({_asof(field, column).format(f'w{k}')})"
    return f"{text} select * from w{len(named)} order by day, opportunity_id"


WEEKLY = _weekly()
ATTEMPTS = f"""
    with {SPELLS}, ended as (
        select opportunity_id, entered_at, any_value(a.closed_at) as closed_at, bool_or(won) as won,
            any_value(a.removed_at) as removed_at, any_value(amount::varchar) as amount,
            coalesce(any_value(a.closed_at), any_value(entered_at)) as seen_at
        from attempts a join deals using (opportunity_id) group by opportunity_id, entered_at
    ), priced as ({_asof("amount", "amount").format("ended")})
    select * from priced order by entered_at, opportunity_id
"""


def _rows(book: Book, found: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    ids = found["opportunity_id"]
    day = found["day"].astype("int64")
    seen = pd.Series(day.to_numpy().astype("datetime64[D]").astype("datetime64[us]"), index=found.index)
    end, outcome = _outcome(book, found)
    return pd.DataFrame({
        "opportunity_id": ids,
        "day": day,
        "stage": found["stage"],
        "since": _days(book, found["began_at"]),
        "entered": _days(book, found["entered_at"]),
        "created": _days(book, found["created_at"]),
        "due": pd.to_datetime(found["expected_close_date_then"]).to_numpy().astype("datetime64[D]"),
        "amount": _priced(book, found["amount_then"], ids.map(known["currency"]), seen),
        "pushes": found["expected_close_date_n"].fillna(0).astype("int64"),
        "category": found["forecast_category_then"],
        "owner": found["owner_then"],
        "end": end,
        "outcome": outcome,
    })  # fmt: skip


def _standing(book: Book, known: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Take what nobody tracks over the life of a deal, but for columns filled in as deals close.

    Nobody can tell since when such a column was as the export has it. Where deals open at the export look unlike
    closed ones in it (lacking it more than twice as often, or mostly with other values), it is not used.
    """
    import pandas as pd

    accounts = book.table("accounts", ["account_id", "segment"]).drop_duplicates("account_id")
    segments = accounts.set_index("account_id")["segment"]
    told = lambda frame: pd.DataFrame({  # noqa: E731
        "type": frame["type"], "segment": frame["account_id"].map(segments), "source": frame["lead_source"],
        "product": frame["product_family"],
    })  # fmt: skip
    export = book.snapshot.read("opportunities", KEPT)
    shut, out = export["is_closed"].astype(bool), told(known)
    export = told(export).astype(object).fillna("")
    late = tuple(name for name in out if _differs(export.loc[~shut, name], export.loc[shut, name]))
    return out.assign(**dict.fromkeys(late, pd.NA)), late


def _differs(here: pd.Series, there: pd.Series) -> bool:
    if min(len(here), len(there)) < COMPARED:
        return False
    empty, usual = here.eq("").mean(), there.eq("").mean()
    shares = [part.value_counts(normalize=True) for part in (here, there)]
    apart = shares[0].sub(shares[1], fill_value=0).abs().sum() / 2
    return bool(empty > 2 * usual + 0.05 or apart > UNLIKE)


def _outcome(book: Book, found: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    closed, removed = _days(book, found["closed_at"]), _days(book, found["removed_at"])
    won = found["won"].fillna(False).to_numpy(dtype=bool) & (closed <= removed)
    end = np.minimum(closed, removed)
    return end, np.select([end == NEVER, won], [OPEN, WON], LOST)


def _days(book: Book, instants: pd.Series) -> np.ndarray:
    """Read instants as day numbers of the company's zone; `NEVER` where empty."""
    days = book.calendar.business_date(instants.astype(INSTANT)).to_numpy().astype("datetime64[D]")
    return np.where(np.isnat(days), NEVER, days.astype(np.int64))


def _entries(book: Book, found: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    end, outcome = _outcome(book, found)
    ids, closed = found["opportunity_id"], book.calendar.business_date(found["closed_at"].astype(INSTANT))
    worth = _priced(book, found["amount_then"], ids.map(known["currency"]), closed)
    return pd.DataFrame({
        "opportunity_id": ids,
        "entered": _days(book, found["entered_at"]),
        "end": end,
        "outcome": outcome,
        "worth": worth.where(outcome == WON).fillna(0.0),
    })  # fmt: skip


def _priced(book: Book, amounts: pd.Series, currencies: pd.Series, days: pd.Series) -> pd.Series:
    """Convert amounts, written out, at the rates of their days; the as-of day's where empty."""
    import pandas as pd

    money = tables.money(pd.to_numeric(amounts).astype("float64"))
    return facts.at_rates(book, money, currencies, days.astype("datetime64[us]")).astype("float64")


def _told(book: Book, rows: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Empty what no past day could have known: fields nobody tracked, and those of days before tracking began.

    The amount of today's deals stays: it says what they would bring.
    """
    tracked = set(book.query("select distinct field from opportunity_history")["field"])
    untold, today = [], rows["day"].eq(day_number(book.day))
    for field, column in COLUMNS.items():
        start = book.snapshot.coverage.get(field)
        if field not in tracked:
            rows[column] = rows[column].where(today & (field == "amount"))
            untold.append(field)
        elif start is not None:
            rows[column] = rows[column].where(rows["day"] >= day_number(book.calendar.day_of(start)))
    return rows, tuple(untold)
