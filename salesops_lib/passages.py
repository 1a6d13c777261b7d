"""From stage moves to how long each deal was in each stage, and what became of it.

A deal has reached a stage when it entered it or a later one (won is the last); coming back takes nothing away. It
has left a stage when it reached the next one, or when it was lost and not opened again. Counted by DuckDB in
hours, so that twenty million moves are never held as a frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import DataContractError, InsufficientData, ParameterError, listed, shown, unknown
from salesops_lib.language import mark, say

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from salesops_lib.book import Book

WON, LOST, ONLY = mark("won"), mark("lost"), mark("open")
MODELS = ("pipeline", "journey")
HOURS = 24
COLUMNS = ("opportunity_id", "stage", "entered_at")
FACTS = ("deals", "lost", "won", "disordered", "never")
ROWS_AT_ONCE = 4_000_000  # moves; of more, deals are taken in parts, so that memory does not grow with the file
MOST_DISORDER = 0.01
LAST_INSTANT = 24 * 3600 * 1_000_000 - 1  # of a day, in microseconds

# Instant and place are one number in the aggregates: half the memory of arg_max, and no ties.
PASSED = """
    create or replace temp table passed as
    select *, (last_key & 1023)::int as last_place, make_timestamp(last_key >> 10) as last_at,
        (first_key & 1023)::int as first_place, make_timestamp(first_key >> 10) as first_at
    from (
        select opportunity_id, {reached}, max(key) as last_key, min(key) as first_key,
            max(entered_at) filter (where place < {won}) as last_open_at,
            min(entered_at) filter (where place = {won}) as won_at
        from (select *, (epoch_us(entered_at) << 10) + place as key from moves join places using (stage))
        where entered_at <= {until} and hash(opportunity_id) % {parts} = {part}
        group by opportunity_id
    )
"""
STEPS = """
    select stage, cohort, hours, outcome, count(*) as n from (
        select {place} as stage, date_trunc('month', at_{place}) as cohort,
            case when at_{after} is not null then 1 when last_place = {lost} then 2 else 0 end as outcome,
            greatest(datediff('second', at_{place}, coalesce(at_{after},
                case when last_place = {lost} then last_at else {until} end)), 0) // 3600 as hours
        from passed where at_{place} is not null
    ) group by all
"""


def count_steps(
    moves: pd.DataFrame | Path | str, stages: Sequence[str], as_of: object
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Count deals by stage, month of reaching it, hours in it, and outcome.

    Parameters
    ----------
    moves
        Frame, or Parquet file, with `opportunity_id`, `stage`, `entered_at`; won and lost are stages too.
    stages
        Open stages in order, then those that mean won and lost.
    as_of
        Nothing after it is seen; a date means its end.

    Returns
    -------
    DataFrame, DataFrame, dict
        The way from each stage to the next: `stage` (number), `cohort`, `hours`, `outcome` (0 still there, 1 next
        reached, 2 lost), `n`; the way from each stage to won, in the same columns; and the numbers of `deals`,
        `lost`, `won`, `disordered` (in an open stage after they were won) and `never` (in no open stage).

    Raises
    ------
    DataContractError
        For deals closed before they began, or too many out of order.
    InsufficientData
        Where no move was known by then.
    ParameterError
        For a missing column, a stage that the order does not name, an empty cell.
    """
    stages = checked_order(stages)
    won, lost, until = len(stages) - 2, len(stages) - 1, _written(as_of)
    ways = [
        " union all ".join(
            STEPS.format(place=place, after=place + 1 if step else won, lost=lost, until=until)
            for place in range(won)
        )
        for step in (True, False)
    ]
    facts, found = Counter(), ([], [])
    with _connected(moves) as db:
        _check_moves(db, stages)
        parts = 1 + db.execute("select count(*) from moves").fetchall()[0][0] // ROWS_AT_ONCE
        for part in range(parts):
            _make_passed(db, stages, until, parts, part)
            facts.update(_order_of_events(db, won, lost))
            for way, kept in zip(ways, found, strict=True):
                kept.append(db.execute(way).df())
    _check_order(facts)
    return *(_added(kept) for kept in found), {name: facts[name] for name in FACTS}


def reached(moves: pd.DataFrame | Path | str, stages: Sequence[str], as_of: object) -> pd.DataFrame:
    """Say when each deal first reached or passed each stage, and where it is.

    Parameters
    ----------
    moves, stages, as_of
        As for `count_steps`.

    Returns
    -------
    DataFrame
        By `opportunity_id`: a column a stage up to won (empty where never reached), `stage` it is in, `since`.
    """
    stages = checked_order(stages)
    with _connected(moves) as db:
        _check_moves(db, stages)
        _make_passed(db, stages, _written(as_of))
        found = db.execute("select * from passed order by opportunity_id").df().set_index("opportunity_id")
    out = found[[f"at_{place}" for place in range(len(stages) - 1)]].set_axis(stages[:-1], axis=1)
    return out.assign(stage=found["last_place"].map(dict(enumerate(stages))), since=found["last_at"])


def _written(as_of: object) -> str:
    return f"timestamp '{instant(as_of):%Y-%m-%d %H:%M:%S.%f}'"


def _make_passed(db, stages: list[str], until: str, parts: int = 1, part: int = 0) -> None:
    """Make the table `passed`, one row a deal of this part."""
    import pandas as pd

    won = len(stages) - 2
    firsts = ", ".join(
        f"min(entered_at) filter (where place between {place} and {won}) as at_{place}" for place in range(won + 1)
    )
    db.register("places", pd.DataFrame({"stage": stages, "place": range(len(stages))}))
    db.execute(PASSED.format(reached=firsts, won=won, until=until, parts=parts, part=part))


def _added(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Add up the counts of all parts."""
    import pandas as pd

    by = ["stage", "cohort", "hours", "outcome"]
    whole = pd.concat(parts).astype({"cohort": "datetime64[ns]"})
    return whole.groupby(by, sort=True, as_index=False)["n"].sum()


def checked_order(stages: Sequence[str]) -> list[str]:
    """Return the stages as a list.

    Raises
    ------
    ParameterError
        Where there is no open stage, or one is named twice.
    """
    stages = [stages] if isinstance(stages, str) else [str(stage) for stage in stages]
    if len(stages) < 3 or len(set(stages)) < len(stages):
        raise ParameterError(
            f"stages {stages} must name the open stages in order, each once, then the one that means won and "
            "the one "
            "that means lost."
        )
    return stages


def instant(as_of: object) -> pd.Timestamp:
    """Read the as-of instant in UTC, without a zone; a date means its last microsecond.

    Raises
    ------
    ParameterError
        Where it is no date or instant.
    """
    import pandas as pd

    try:
        at = pd.Timestamp(as_of)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"as_of {shown(as_of)} is no date.") from error
    if at is pd.NaT:
        raise ParameterError("as_of is empty: say up to which day moves may be seen.")
    if at.tzinfo is not None:
        return at.tz_convert("UTC").tz_localize(None)
    return at + pd.Timedelta(microseconds=LAST_INSTANT) if at == at.normalize() else at


@contextmanager
def _connected(moves: pd.DataFrame | Path | str):
    """Open a database in which `moves` is a view with instants in UTC without a zone."""
    import duckdb
    import pandas as pd

    with duckdb.connect() as db:
        db.execute("set TimeZone = 'UTC'")
        db.execute("set preserve_insertion_order = false")
        if not isinstance(moves, pd.DataFrame):
            names = [column[0] for column in db.read_parquet(str(moves)).description]
            _require(names)
            db.read_parquet(str(moves)).create_view("given")
        else:
            _require(list(moves.columns))
            slim = moves[list(COLUMNS)].copy()
            slim["stage"] = slim["stage"].astype(object).where(slim["stage"].notna(), None)
            slim["opportunity_id"] = slim["opportunity_id"].astype(object)
            slim["entered_at"] = _instants(slim["entered_at"])
            db.register("given", slim)
        db.execute("create view moves as select opportunity_id, cast(stage as varchar) as stage, "
                   "cast(entered_at as timestamp) as entered_at from given")  # fmt: skip
        yield db


def _require(names: list[str]) -> None:
    for column in COLUMNS:
        if column not in names:
            raise ParameterError(unknown("column", column, names))


def _instants(values: pd.Series) -> pd.Series:
    import pandas as pd

    try:
        return pd.to_datetime(values, utc=True).dt.tz_localize(None).astype("datetime64[us]")
    except (TypeError, ValueError) as error:
        raise ParameterError(f"entered_at holds what is no date: {error}.") from error


def _check_moves(db: duckdb.DuckDBPyConnection, stages: list[str]) -> None:
    empty = db.sql(
        "select count(*) from moves where opportunity_id is null or stage is null or entered_at is null"
    )
    if n := empty.fetchall()[0][0]:
        raise ParameterError(
            f"{n} moves have an empty opportunity_id, stage or entered_at; drop or mend these rows."
        )
    found = [row[0] for row in db.execute("select distinct stage from moves order by stage").fetchall()]
    strange = [stage for stage in found if stage not in stages]
    if strange:
        raise ParameterError(
            f"the order of the stages is not known: {listed(strange)} not among {listed(stages)}. Stages found: "
            f"{listed(found)}; name all of them in order, won and lost last."
        )


def _order_of_events(db: duckdb.DuckDBPyConnection, won: int, lost: int) -> dict[str, int]:
    """Count deals by how they went; refuse where durations would be negative."""
    row = db.execute(f"""
        select count(*) as deals, count(*) filter (where last_place = {lost}) as lost,
            count(*) filter (where won_at is not null) as won,
            count(*) filter (where first_place >= {won} and last_open_at > first_at) as early,
            count(*) filter (where won_at is not null and last_open_at > won_at) as disordered,
            count(*) filter (where at_0 is null) as never
        from passed
    """).df().iloc[0].astype(int).to_dict()  # fmt: skip
    if row["early"]:
        ids = db.execute(f"""
            select opportunity_id from passed
            where first_place >= {won} and last_open_at > first_at order by 1 limit 5
        """).fetchall()
        raise DataContractError(
            f"{row['early']} of {row['deals']} deals were closed before they entered an open stage, which gives "
            f"negative durations, for example {listed(key[0] for key in ids)}; mend their dates or leave them out."
        )
    return row


def _check_order(facts: Counter) -> None:
    """Refuse where there is nothing, or where the order of events cannot be right."""
    if not facts["deals"]:
        raise InsufficientData(say("Stage conversion"), needed=1, got=0, of=say("moves known by then"))
    if facts["disordered"] > MOST_DISORDER * facts["deals"]:
        raise DataContractError(
            f"{facts['disordered']} of {facts['deals']} deals enter an open stage after they were won: more than "
            f"{MOST_DISORDER:.0%} out of order, so the dates cannot be trusted."
        )


@lru_cache(maxsize=16)
def from_book(book: Book, model: str = "pipeline") -> tuple[pd.DataFrame, list[str]]:
    """Take the moves of new business out of a book, and the order of its stages.

    Parameters
    ----------
    book
        The company at the as-of instant.
    model
        ``pipeline``: the stages the seller works in; ``journey``: what the buyer goes through, by the stage's
        `journey_phase`.

    Returns
    -------
    DataFrame, list
        `opportunity_id`, `stage`, `entered_at`; the open stages of the busiest pipeline in order, then ``won`` and
        ``lost``; treat both as read-only. Where the source keeps no stage history there is one open stage, from
        creation to closing.

    Raises
    ------
    InsufficientData
        Where the stages have no journey phase.
    ParameterError
        For another model.
    """
    import pandas as pd

    if model not in MODELS:
        raise ParameterError(unknown("model", model, MODELS))
    deals = book.opportunities
    deals = deals[~deals["type"].eq("renewal").fillna(False)]
    name, order = _named_stages(book, deals, model)
    moves = book.query("""
        select opportunity_id, new_value as stage, changed_at as entered_at from opportunity_history
        where field = 'stage' and new_value is not null
    """)
    moves = moves[moves["opportunity_id"].isin(deals["opportunity_id"])]
    moves = moves.assign(stage=moves["stage"].map(name)).dropna(subset="stage")
    if moves.empty or not order:
        order = [ONLY]
        born = deals[["opportunity_id"]].assign(stage=ONLY, entered_at=deals["created_at"])
        closed = deals[deals["is_closed"]]
        ends = closed["is_won"].map({True: WON, False: LOST})
        ends = closed[["opportunity_id"]].assign(stage=ends, entered_at=closed["closed_at"])
        both = pd.concat([born, ends], ignore_index=True).dropna()
        early = ends["entered_at"] < closed["created_at"]
        moves = both[~both["opportunity_id"].isin(ends.loc[early, "opportunity_id"])]
    return moves.reset_index(drop=True), [*order, WON, LOST]


def _named_stages(book: Book, deals: pd.DataFrame, model: str) -> tuple[dict[str, str], list[str]]:
    """Name of each stage id in the model, and the open ones in order."""
    stages = book.stages.sort_values("valid_from").drop_duplicates(["pipeline_id", "stage_id"], keep="last")
    busy = deals["pipeline_id"].mode()
    own = stages[stages["pipeline_id"].eq(busy.iloc[0])] if len(busy) else stages
    own = (own if len(own) else stages).sort_values("stage_order")
    names = own["stage_name"] if model == "pipeline" else own["journey_phase"]
    if model == "journey" and names[~own["is_closed"]].isna().any():
        of = say("journey phase for each open stage")
        raise InsufficientData(say("The buyer's journey"), needed=1, got=0, of=of)
    open_ones = list(dict.fromkeys(names[~own["is_closed"]].astype(str)))
    label = names.astype(object).where(~own["is_closed"], own["is_won"].map({True: WON, False: LOST}))
    return dict(zip(own["stage_id"], label, strict=True)), open_ones


def called(stage: str) -> str:
    """Name a stage for a reader: our own words in the language spoken, others as the source does."""
    return say(stage) if stage in (WON, LOST, ONLY) else stage


def days(hours: np.ndarray) -> np.ndarray:
    """Turn whole hours into days."""
    return np.asarray(hours, dtype=float) / HOURS
