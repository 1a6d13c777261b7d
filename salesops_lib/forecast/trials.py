"""What the notebook on past forecasts shows: every past week forecast again, and models of series compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from salesops_lib import stats
from salesops_lib.errors import InsufficientData, attempt
from salesops_lib.forecast.backtest import Backtest, backtest_series
from salesops_lib.forecast.hierarchy import compare_methods
from salesops_lib.forecast.measures import history
from salesops_lib.forecast.replay import Replay, replay_weeks
from salesops_lib.language import say
from salesops_lib.present import fitted

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.book import Book
    from salesops_lib.workspace import Workspace

MODELS = ("auto", "fast", "auto_ets", "prophet", "seasonal_naive")
LEAST_PERIODS = 5  # that an interval is drawn from


@dataclass(frozen=True)
class Trial:
    """What past forecasts were worth; a refusal stands in the place of what the data cannot tell.

    Attributes
    ----------
    replay
        The period's number, forecast again from every past week.
    ways
        One row a way to forecast the period: `way`, `n`, `wape`, `bias`, `behind` (its absolute error less ours,
        as a share of what came), `behind_low`, `behind_high` (95 %, over periods).
    series
        Models of monthly bookings by team, tried at past cutoffs.
    methods
        Ways to make levels add up, best first: `method`, `mase`, and one column a level.
    """

    replay: Replay | InsufficientData
    ways: pd.DataFrame | InsufficientData
    series: Backtest | InsufficientData
    methods: pd.DataFrame | InsufficientData

    @property
    def headline(self) -> str:
        """Say how far off the period's number was, or else the models of series."""
        if not isinstance(self.replay, InsufficientData):
            return self.replay.headline
        return str(self.series) if isinstance(self.series, InsufficientData) else self.series.headline

    @property
    def leads(self) -> pd.DataFrame | InsufficientData:
        """Scores by weeks left, without the rivals' columns."""
        if isinstance(self.replay, InsufficientData):
            return self.replay
        return self.replay.scores.loc[:, lambda rows: ~rows.columns.str.startswith("wape_")]

    @property
    def league(self) -> pd.DataFrame | InsufficientData:
        """Models of series, best first."""
        return self.series if isinstance(self.series, InsufficientData) else self.series.league

    @property
    def stand_ins(self) -> str:
        """Say how many series were too short or sparse for the models asked for; nothing where none was."""
        if isinstance(self.series, InsufficientData):
            return ""
        rows = self.series.forecasts
        thin = rows[rows["used"].ne(rows["model"])]
        if thin.empty:
            return ""
        told = thin["used"].value_counts().index[0]
        return say(
            "{thin} of {all} series had a stand-in at some cutoff, whatever the model: {label}, for one.",
            thin=thin["unique_id"].nunique(), all=rows["unique_id"].nunique(), label=told,
        )  # fmt: skip

    def looks(self, name: str) -> dict[str, dict]:
        """Say how a table of the page is shown: arguments of `present.table`."""
        return fitted(getattr(self, name), units=UNITS, labels=LABELS, ranges=RANGES)


UNITS = {
    **dict.fromkeys(("wape", "bias", "pinball", "behind"), "share"),
    **dict.fromkeys(("coverage_50", "coverage_80", "coverage_95"), "percent"),
    **dict.fromkeys(("lead_weeks", "n"), "count"),
    **dict.fromkeys(("mase", "msis_80", "msis_95", "smape", "total", "region", "team", "rep"), "score"),
    "way": "word",
}
RANGES = {"behind": ("behind_low", "behind_high")}
LABELS = {
    "lead_weeks": "weeks left", "wape": "WAPE", "coverage_50": "in 50 %", "coverage_80": "in 80 %",
    "coverage_95": "in 95 %", "mase": "MASE", "smape": "sMAPE", "msis_80": "MSIS 80", "msis_95": "MSIS 95",
    "behind": "behind [95 %]", "model": "model", "bias": "bias", "pinball": "pinball", "way": "way",
    "method": "method", "region": "region", "team": "team", "rep": "rep", "total": "total",
}  # fmt: skip


def trial(
    ws: Workspace,
    book: Book,
    *,
    periods: int = 8,
    every: str = "week",
    models: tuple[str, ...] = MODELS,
    horizon: int = 3,
    cutoffs: int = 6,
    workers: int = 1,
) -> Trial:
    """Forecast the past again, and score it.

    Parameters
    ----------
    ws, book
        The workspace, and the company at the last instant that may be seen.
    periods, every, workers
        As for `replay_weeks`.
    models, horizon, cutoffs
        As for `backtest_series`, by team and month.
    """
    found = attempt(lambda: replay_weeks(ws, periods=periods, every=every, as_of=str(book.day), workers=workers))
    past = attempt(lambda: history(book, "bookings", by="team"))
    return Trial(
        replay=found,
        ways=found if isinstance(found, InsufficientData) else ways(found),
        series=past
        if isinstance(past, InsufficientData)
        else attempt(
            lambda: backtest_series(past.rows, horizon=horizon, freq=past.freq, cutoffs=cutoffs, models=models)
        ),
        methods=attempt(lambda: _methods(book, horizon)),
    )


def ways(found: Replay) -> pd.DataFrame:
    """Put the ways to forecast a period beside ours, with the doubt of the distance: periods are the cases."""
    rows, out = found.forecasts, found.league.copy()
    came = rows.groupby("period")["actual"].sum()
    for at, way in out["way"].items():
        both = rows[rows[way].notna()]
        off = (both[way] - both["actual"]).abs() - (both["forecast"] - both["actual"]).abs()
        behind = off.groupby(both["period"]).sum()
        told = stats.ratio_of_sums(behind, came[behind.index], least=LEAST_PERIODS)
        out.loc[at, ["behind", "behind_low", "behind_high"]] = [told.value, told.low, told.high]
    return out.drop(columns="wape_ours").assign(way=out["way"].str.replace("_", " "))


def _methods(book: Book, horizon: int) -> pd.DataFrame:
    past = history(book, "bookings", by=("region", "team", "rep"))
    spec = [["region"], ["region", "team"], ["region", "team", "rep"]]
    found = compare_methods(past.rows, spec, horizon=horizon, freq=past.freq, gaps="zero")
    found["level"] = found["level"].str.rpartition("/")[2]
    table = found.pivot_table(index="method", columns="level", values="mase", sort=False)
    table.insert(0, "mase", table.mean(axis=1))
    return table.sort_values("mase").rename_axis(columns=None).reset_index()
