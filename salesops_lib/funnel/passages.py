"""From stage moves to how long each deal was in each stage, and what became of it.

A deal has reached a stage when it entered it or a later one (won is the last); coming back takes nothing away. It has
left a stage when it reached the next one, or when it was lost and not opened again. Counted by DuckDB in hours, so that
twenty million moves are never held as a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import DataContractError, InsufficientData, ParameterError, listed, shown, unknown

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

WON, LOST = "won", "lost"
HOURS = 24
COLUMNS = ("opportunity_id", "stage", "entered_at")
MOST_DISORDER = 0.01
LAST_INSTANT = 24 * 3600 * 1_000_000 - 1  # of a day, in microseconds

PASSED = """
    create temp table passed as
    select opportunity_id, {reached},
        arg_max(place, (entered_at, place)) as last_place, max(entered_at) as last_at,
        arg_min(place, (entered_at, place)) as first_place, min(entered_at) as first_at,
        max(entered_at) filter (where place < {won}) as last_open_at,
        min(entered_at) filter (where place = {won}) as won_at
    from (select opportunity_id, entered_at, place from moves join places using (stage) where entered_at <= {until})
    group by opportunity_id
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
    moves: pd.DataFrame | Path | str, stages: Sequence[str], as_of: object, *, whole: bool = False
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Count deals by stage, month of reaching it, hours in it, and outcome.

    Parameters
    ----------
    moves
        Frame, or Parquet file, with `opportunity_id`, `stage`, `entered_at`; won and lost are stages too.
    stages
        Open stages in order, then those that mean won and lost.
    as_of
        Nothing after it is seen; a date means its end.
    whole
        Count the way from each stage to won, not to the next stage.

    Returns
    -------
    DataFrame, dict
        `stage` (number), `cohort`, `hours`, `outcome` (0 still there, 1 next reached, 2 lost), `n`; and the numbers of
        `deals`, `lost`, `won`, `backward`, `disordered`.

    Raises
    ------
    DataContractError
        For deals closed before they began, or too many out of order.
    InsufficientData
        Where no move was known by then.
    ParameterError
        For a missing column, a stage that the order does not name, an empty cell.
    """
    import pandas as pd

    stages = checked_order(stages)
    places = pd.DataFrame({"stage": stages, "place": range(len(stages))})
    won, lost = len(stages) - 2, len(stages) - 1
    until = f"timestamp '{instant(as_of):%Y-%m-%d %H:%M:%S.%f}'"
    reached = ", ".join(
        f"min(entered_at) filter (where place between {place} and {won}) as at_{place}" for place in range(won + 1)
    )
    with _connected(moves) as db:
        _check_moves(db, stages)
        db.register("places", places)
        db.execute(PASSED.format(reached=reached, won=won, until=until))
        facts = _checked_order_of_events(db, won, lost)
        steps = [
            STEPS.format(place=place, after=won if whole else place + 1, lost=lost, until=until)
            for place in range(won)
        ]
        found = db.sql(" union all ".join(steps)).df()
    found["cohort"] = found["cohort"].astype("datetime64[ns]")
    return found.sort_values(["stage", "cohort", "hours", "outcome"], ignore_index=True), facts


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
            f"stages {stages} must name the open stages in order, each once, then the one that means won and the one "
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
    empty = db.sql("select count(*) from moves where opportunity_id is null or stage is null or entered_at is null")
    if n := empty.fetchone()[0]:
        raise ParameterError(f"{n} moves have an empty opportunity_id, stage or entered_at; drop or mend these rows.")
    found = [row[0] for row in db.sql("select distinct stage from moves order by stage").fetchall()]
    strange = [stage for stage in found if stage not in stages]
    if strange:
        raise ParameterError(
            f"the order of the stages is not known: {listed(strange)} not among {listed(stages)}. Stages found: "
            f"{listed(found)}; name all of them in order, won and lost last."
        )


def _checked_order_of_events(db: duckdb.DuckDBPyConnection, won: int, lost: int) -> dict[str, int]:
    """Count deals by how they went; refuse where the order of events cannot be right."""
    row = db.sql(f"""
        select count(*) as deals, count(*) filter (where last_place = {lost}) as lost,
            count(*) filter (where won_at is not null) as won,
            count(*) filter (where first_place >= {won} and last_open_at > first_at) as early,
            count(*) filter (where won_at is not null and last_open_at > won_at) as disordered,
            count(*) filter (where at_0 is null) as never
        from passed
    """).df().iloc[0].astype(int).to_dict()  # fmt: skip
    if not row["deals"]:
        raise InsufficientData("Stage conversion", needed=1, got=0, of="moves known by then")
    if row["early"]:
        ids = db.sql(f"select opportunity_id from passed where first_place >= {won} and last_open_at > first_at "
                     "order by 1 limit 5").fetchall()  # fmt: skip
        raise DataContractError(
            f"{row['early']} of {row['deals']} deals were closed before they entered an open stage, which gives negative "
            f"durations, for example {listed(key[0] for key in ids)}; mend their dates or leave them out."
        )
    if row["disordered"] > MOST_DISORDER * row["deals"]:
        raise DataContractError(
            f"{row['disordered']} of {row['deals']} deals enter an open stage after they were won: more than "
            f"{MOST_DISORDER:.0%} out of order, so the dates cannot be trusted."
        )
    return {name: row[name] for name in ("deals", "lost", "won", "disordered", "never")}


def days(hours: np.ndarray) -> np.ndarray:
    """Turn whole hours into days."""
    return np.asarray(hours, dtype=float) / HOURS
