"""Bookings of the coming months, company to rep, that add up, and how far off such forecasts were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from salesops_lib.errors import InsufficientData, attempt
from salesops_lib.forecast.backtest import Backtest, backtest_series
from salesops_lib.forecast.hierarchy import TOTAL, reconcile
from salesops_lib.forecast.measures import history
from salesops_lib.language import dated, mark, say
from salesops_lib.present import counted, number

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.book import Book

DIMENSIONS = (mark("region"), mark("team"), mark("rep"))
CUTOFFS, TRIED = 6, 6  # past instants that the ranges are tried on, and the most steps ahead


@dataclass(frozen=True)
class Months:
    """A forecast of bookings by month, company to rep, that adds up.

    Attributes
    ----------
    history
        `unique_id`, `ds`, `y` of the company.
    tree
        Every level: `unique_id`, `level`, `ds`, `mean`, bounds, `model`.
    past
        How far off such forecasts of the company were; a refusal where there is no past.
    freq, note
        Pandas' word for the months, and what was left out.
    """

    history: pd.DataFrame
    tree: pd.DataFrame
    past: Backtest | InsufficientData
    freq: str
    note: str

    @property
    def company(self) -> pd.DataFrame:
        """The forecast of the whole."""
        return self.tree[self.tree["unique_id"].eq(TOTAL)].reset_index(drop=True)

    @property
    def headline(self) -> str:
        """Say in one sentence what the coming months bring, and how far such ranges held."""
        rows = self.company
        whole, first = number(rows["mean"].sum(), "money"), rows.iloc[0]
        mean, low, high = (number(first[name], "money") for name in ("mean", "lo-80", "hi-80"))
        said = say(
            "{months} from {first} on: {whole} expected; the first of them {mean}, 80 % range {low} to {high}.",
            months=counted(len(rows), "month"), first=dated(first["ds"], "MMMM y"), whole=whole,
            mean=mean, low=low, high=high,
        )  # fmt: skip
        if isinstance(self.past, InsufficientData):
            return f"{said} {self.past}"
        return f"{said} {self.past.headline}"


def months_ahead(book: Book, *, horizon: int = 12, model: str = "fast") -> Months:
    """Forecast bookings by month for company, region, team and rep, and try the same on the past.

    Raises
    ------
    InsufficientData
        Where there is no whole month yet.
    """
    whole, people = history(book, "bookings"), history(book, "bookings", by=DIMENSIONS)
    spec = [list(DIMENSIONS[: k + 1]) for k in range(len(DIMENSIONS))]
    own, freq = whole.rows[["unique_id", "ds", "y"]], whole.freq
    asked = {"horizon": min(horizon, TRIED), "cutoffs": CUTOFFS, "models": (model, "seasonal_naive")}
    return Months(
        history=own,
        tree=reconcile(people.rows, spec, horizon=horizon, freq=freq, model=model, gaps="zero"),
        past=attempt(lambda: backtest_series(own, freq=freq, **asked)),
        freq=freq,
        note=whole.note,
    )
