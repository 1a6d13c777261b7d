"""The company as it was known at one instant; the only thing a domain takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from salesops_lib import history, tables
from salesops_lib.config import CompanySettings
from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.language import say
from salesops_lib.periods import FiscalCalendar
from salesops_lib.store import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

# A row is known from this column on; an empty one is known from the start.
KNOWN_FROM = {
    "users": "start_date",
    "accounts": "created_at",
    "leads": "created_at",
    "activities": "started_at",
    "stages": "valid_from",
    "quotas": "approved_at",
    "forecast_submissions": "submitted_at",
    "fx_rates": "rate_date",
    "opportunity_history": "changed_at",
}
# Later facts that are emptied, each with what else is known only with it.
LATER_FACTS = {
    "users": {"end_date": ()},
    "accounts": {"customer_since": ()},
    "leads": {
        "qualified_at": (),
        "disqualified_at": ("disqualify_reason",),
        "converted_at": ("opportunity_id",),
    },
    "stages": {"valid_to": ()},
}
RATES = ("actual", "plan")
FIELD_LABELS = {"stage": "Stage", "amount": "Amount", "expected_close_date": "Expected close date"}
AT_EXPORT = {"leads": ("status", "score_crm", "merged_into_id"), "accounts": ("merged_into_id",)}


@dataclass(frozen=True)
class Book:
    """The company as known at `as_of`; tables are attributes, read when first asked for.

    Attributes
    ----------
    snapshot
        Where the rows come from.
    as_of
        Last UTC instant it may see.
    company
        Currency, time zone, fiscal calendar.
    rates
        ``actual``: closed deals at the close date's rate, open ones at that of the as-of day; ``plan`` (constant
        currency): every deal, old and new, at the one plan rate of its currency in force on the as-of day.
    """

    snapshot: Snapshot
    as_of: pd.Timestamp
    company: CompanySettings
    calendar: FiscalCalendar
    rates: str = "actual"
    _read: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self):
        if self.rates not in RATES:
            raise ParameterError(unknown("rates", self.rates, RATES))

    def at_plan_rates(self) -> Book:
        """Return the same company in constant currency; what was read is shared."""
        return replace(self, rates="plan")

    @property
    def snapshot_id(self) -> str:
        """Id of the snapshot."""
        return self.snapshot.id

    @property
    def day(self) -> date:
        """Last business date it may see."""
        return self.calendar.day_of(self.as_of)

    @property
    def currency(self) -> str:
        """Corporate currency; that of the deals where the workspace names none."""
        if self.company.currency:
            return self.company.currency
        found = self.opportunities["currency"].mode()
        return found.iloc[0] if len(found) else ""

    @property
    def losses(self) -> pd.DataFrame:
        """`table`, `rows_in`, `rows_kept`, `rows_quarantined`, `reason` of the load."""
        return self.snapshot.losses()

    @property
    def findings(self) -> pd.DataFrame:
        """What the load noticed in rows it kept: `kind`, `file`, `table`, `column`, `value`, `n`."""
        return self.snapshot.findings()

    @property
    def known_until(self) -> pd.Timestamp:
        """Last instant anything is known of: the as-of instant, or the export's end where that was earlier."""
        return min(self.as_of, self.snapshot.until)

    def at(self, as_of: object) -> Book:
        """Return the same company as known at an earlier instant.

        Raises
        ------
        ParameterError
            For an instant after this book's own.
        """
        instant = self._earlier(as_of)
        key = f"at {instant} {self.rates}"
        if key not in self._read:
            company = self.company  # what the deals then would suggest may be another currency
            if not company.currency:
                company = company.model_copy(update={"currency": self.currency})
            self._read[key] = replace(self, as_of=instant, company=company, _read={})
        return self._read[key]

    def _earlier(self, as_of: object) -> pd.Timestamp:
        instant = self.calendar.instant(as_of)
        if instant > self.as_of:
            raise ParameterError(f"{as_of} lies after this book's as-of {self.as_of:%Y-%m-%d %H:%M} UTC.")
        return instant

    def tracks(self, *fields: str, at: object | None = None) -> bool:
        """Whether fields of open deals are known at an instant, by default the as-of one."""
        instant = self.calendar.instant(at or self.as_of)
        return instant >= self.snapshot.extracted_at or all(self._tracks(field, instant) for field in fields)

    def _tracks(self, field: str, instant: pd.Timestamp) -> bool:
        if field in self.snapshot.coverage:
            start = self.snapshot.coverage[field]
            return start is None or instant >= start
        if "fields" not in self._read:
            self._read["fields"] = set(self.query("select distinct field from opportunity_history")["field"])
        return field in self._read["fields"]

    def require(self, *fields: str, at: object | None = None) -> None:
        """Refuse a question about a time before fields were tracked.

        Raises
        ------
        InsufficientData
            Saying since when the first untracked one was.
        """
        for name in fields:
            if not self.tracks(name, at=at):
                known = self.snapshot.coverage.get(name) or self.snapshot.extracted_at
                label = say(FIELD_LABELS.get(name, name.replace("_", " ").capitalize()))
                told = {"field": label, "day": self.calendar.day_of(known)}
                if name in self.snapshot.coverage:
                    what = say("{field} of deals before {day}, when tracking it began", **told)
                else:
                    what = say("{field} of deals before {day}, the day of the export", **told)
                raise InsufficientData(
                    what,
                    needed=max((known - self.calendar.instant(at or self.as_of)).days, 1),
                    got=0,
                    of=say("more days of tracked history"),
                )

    def has(self, name: str) -> bool:
        """Whether the snapshot holds rows of a canonical table."""
        return bool(self.snapshot.manifest["tables"].get(tables.table(name).name, {}).get("rows"))

    def __getattr__(self, name: str) -> pd.DataFrame:
        if name in tables.TABLES:
            return self.table(name)
        raise AttributeError(f"Book has no {name!r}; {unknown('table', name, tables.TABLES)}")

    def table(self, name: str, columns: Iterable[str] | None = None) -> pd.DataFrame:
        """Read a canonical table, or some of its columns, as known then.

        Opportunities come without those deleted or merged away by then. A table the source does not have is
        empty, except `calendar`, which is made from the fiscal calendar.

        Raises
        ------
        ParameterError
            For an unknown table or column.
        """
        spec = tables.table(name)
        for column in columns or ():
            spec[column]
        if columns is None or name in ("opportunities", "calendar"):
            if name not in self._read:
                self._read[name] = self._load(name)
            frame = self._read[name].copy(deep=False)
            return frame if columns is None else frame[list(columns)]
        if name not in self.snapshot.tables:
            return self._load(name)[list(columns)]
        needed = {*columns, *self._time_columns(name)}
        return self._then(self.snapshot.read(name, needed), name)[list(columns)]

    def removed(self) -> pd.DataFrame:
        """List the deals deleted or merged away by then: `opportunity_id`, `merged_into_id`."""
        self.opportunities  # noqa: B018 - read once, split in two
        return self._read["removed"]

    def deals_over(
        self, instants: Iterable[object], columns: Iterable[str]
    ) -> Iterator[tuple[pd.Timestamp, pd.DataFrame]]:
        """Yield some columns of the opportunities as known at each of several ascending instants, in one pass.

        Raises
        ------
        ParameterError
            For an instant after this book's own, one before its predecessor, or an unknown column.
        """
        columns = list(columns)
        for instant, deals in self._states([self._earlier(instant) for instant in instants], columns):
            yield instant, deals[columns]

    def _states(
        self, instants: list[pd.Timestamp], columns: list[str] | None = None
    ) -> Iterator[tuple[pd.Timestamp, pd.DataFrame]]:
        """Yield whole states, removed deals too; or some columns of the deals that are there."""
        files = self._files()
        if "opportunities" not in files:
            empty = tables.conform(_empty("opportunities"), tables.STATE)
            yield from ((instant, empty) for instant in instants)
            return
        at, coverage = self.snapshot.extracted_at, self.snapshot.coverage
        present = columns is not None
        yield from history.states_from_files(
            files, instants, self.calendar, at, coverage, columns, present=present
        )

    def movements(self, since: object) -> pd.DataFrame:
        """List every change after `since` up to the as-of instant; see `history.movements`."""
        until, at = self.as_of, self.snapshot.extracted_at
        return history.movements_from_files(self._files(), self._earlier(since), until, self.calendar, at)

    def _files(self) -> dict[str, Path]:
        names = ("opportunities", "opportunity_history", "stages")
        return {name: self.snapshot.file(name) for name in names if name in self.snapshot.tables}

    def query(self, statement: str, **frames: pd.DataFrame) -> pd.DataFrame:
        """Aggregate `opportunity_history` and `activities`, as known then, with DuckDB.

        A table the snapshot lacks is an empty view; `frames` are there under their names.
        """
        import duckdb

        with duckdb.connect() as db:
            db.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")  # a page is no place for a bar
            limit = f"timestamptz '{self.as_of.isoformat()}'"
            for name, seen in {
                "opportunity_history": f"changed_at <= {limit}",
                "activities": f"started_at <= {limit} and coalesce(logged_at, started_at) <= {limit}",
            }.items():
                if name in self.snapshot.tables:
                    db.read_parquet(str(self.snapshot.file(name))).filter(seen).create_view(name)
                else:
                    db.from_arrow(_nothing(name)).create_view(name)
            for name, frame in frames.items():
                db.register(name, frame)
            return db.sql(statement).df()

    def passed_stages(self) -> pd.DataFrame:
        """List the stages each deal entered by then: `opportunity_id`, `stage_id`, `entered_at` (first entry).

        `entered_at` is empty for a stage that shows only as the one left first.
        """
        if "passed" not in self._read:
            self._read["passed"] = self.query("""
                with moves as (select * from opportunity_history where field = 'stage')
                select opportunity_id, stage_id, min(entered) entered_at from (
                    select opportunity_id, new_value stage_id, changed_at entered from moves
                    union all select opportunity_id, old_value, null from moves
                ) where stage_id is not null group by all
            """)
        return self._read["passed"]

    def _load(self, name: str) -> pd.DataFrame:
        if name == "opportunities":
            ((_, deals),) = self._states([self.as_of])
            gone = _is_gone(deals)
            self._read["removed"] = deals.loc[gone, ["opportunity_id", "merged_into_id"]].reset_index(drop=True)
            return deals[~gone].reset_index(drop=True)
        if name not in self.snapshot.tables:
            if name == "calendar":
                return self._calendar()
            return tables.conform(_empty(name), name)
        return self._then(self.snapshot.read(name), name)

    def _calendar(self) -> pd.DataFrame:
        first = self.opportunities["created_at"].min()
        first = self.day if first != first else self.calendar.day_of(first)  # NaT where there is no deal
        years = self.calendar.between("year", first, self.day)
        return self.calendar.table(years[0].start, years[-1].last_day)

    def _time_columns(self, name: str) -> list[str]:
        later = LATER_FACTS.get(name, {})
        return [c for c in (KNOWN_FROM.get(name), *later, "logged_at") if c in tables.table(name).names]

    def _then(self, frame: pd.DataFrame, name: str) -> pd.DataFrame:
        """Drop rows and facts from after the as-of instant."""
        spec = tables.table(name)
        keep = [self._known(frame[c], spec[c].kind) for c in (KNOWN_FROM.get(name),) if c]
        if name == "activities":
            keep.append(self._known(frame["logged_at"], "instant"))
        for mask in keep:
            frame = frame[mask.reindex(frame.index)]
        frame = frame.reset_index(drop=True)
        if name == "opportunity_products":
            frame = self._lines_then(frame)
        for column, others in LATER_FACTS.get(name, {}).items():
            if column in frame:
                later = ~self._known(frame[column], spec[column].kind)
                for emptied in (column, *(other for other in others if other in frame)):
                    frame[emptied] = frame[emptied].mask(later)
                if name == "users" and "is_active" in frame:
                    frame["is_active"] |= later
        if self.as_of < self.snapshot.extracted_at:
            for column in AT_EXPORT.get(name, ()):
                if column in frame:
                    frame[column] = frame[column].iloc[:0].reindex(frame.index)
            if name in ("leads", "accounts") and "is_deleted" in frame:
                frame["is_deleted"] = False  # nobody knows when it was deleted, only that it is at export
        return frame

    def _known(self, values: pd.Series, kind: str) -> pd.Series:
        """Mark values not after the as-of instant; empty ones count as known."""
        import pandas as pd

        limit = pd.Timestamp(self.day) if kind == "date" else self.as_of
        return values.isna() | (values <= limit)

    def _lines_then(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Lines have no history of their own: those of a deal closed by then, or all at the time of export."""
        deals = self.opportunities
        if self.as_of < self.snapshot.extracted_at:
            deals = deals[deals["is_closed"]]
        return frame[frame["opportunity_id"].isin(deals["opportunity_id"])].reset_index(drop=True)


def _is_gone(deals: pd.DataFrame) -> pd.Series:
    return deals["is_deleted"] | deals["merged_into_id"].notna()


def _nothing(name: str):
    from salesops_lib.frames import to_arrow

    return to_arrow(tables.conform(_empty(name), name), name)


def _empty(name: str) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns=tables.table(name).names)
