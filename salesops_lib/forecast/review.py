"""What the notebook on the forecast shows: a period's number and what it hangs on, and the months after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from salesops_lib.errors import InsufficientData, attempt
from salesops_lib.forecast.backtest import Backtest, backtest_series
from salesops_lib.forecast.components import decompose
from salesops_lib.forecast.hierarchy import TOTAL, reconcile
from salesops_lib.forecast.measures import History, history
from salesops_lib.forecast.projection import Projection, project_period
from salesops_lib.forecast.scenario import Scenario
from salesops_lib.present import number

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.book import Book

LEVELS = ("region", "team", "rep")
CUTOFFS = 6  # past instants that the months' ranges are tried on
RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)  # what a unit too little costs, against one too much


@dataclass(frozen=True)
class WhatIf:
    """A scenario beside what is expected.

    Attributes
    ----------
    scenario
        The factors.
    projection
        What the period would book.
    compared
        `measure`, `base`, `scenario`, `difference`; amounts, the last row P(quota).
    """

    scenario: Scenario
    projection: Projection
    compared: pd.DataFrame

    @property
    def headline(self) -> str:
        """Say in one sentence what the scenario would change."""
        most = self.compared.set_index("measure").loc["most likely"]
        said = (
            f"With {self.scenario}: most likely {number(most['scenario'], 'money')} instead of "
            f"{number(most['base'], 'money')}"
        )
        if self.projection.quota > 0:
            chance = self.compared.set_index("measure").loc["chance to reach the quota"]
            said += f", chance to reach the quota {number(chance['scenario'], 'percent')}"
        return f"{said}."


@dataclass(frozen=True)
class Months:
    """Forecasts of a measure by month, company to rep, that add up.

    Attributes
    ----------
    history
        `unique_id`, `ds`, `y` of the company.
    company
        Its forecast: `ds`, `mean`, bounds, `model`.
    tree
        Every level: `unique_id`, `level`, `ds`, `mean`, bounds, `model`.
    past
        How far off such forecasts were; a refusal where there is no past.
    parts
        What Prophet takes the company's months apart into; a refusal where it cannot.
    note
        What was left out, and how the levels were joined.
    """

    history: pd.DataFrame
    company: pd.DataFrame
    tree: pd.DataFrame
    past: Backtest | InsufficientData
    parts: pd.DataFrame | InsufficientData
    note: str

    @property
    def budget(self) -> pd.DataFrame:
        """One row a node and month, for a spreadsheet."""
        return self.tree.rename(columns={"unique_id": "node", "ds": "month"})

    @property
    def headline(self) -> str:
        """Say in one sentence what the coming months bring, and how far such ranges held."""
        last = self.company.iloc[-1]
        low, high = number(last["lo-80"], "money"), number(last["hi-80"], "money")
        said = f"By {last['ds']:%B %Y}: {number(last['mean'], 'money')} a month, 80 % range {low} to {high}."
        held = "" if isinstance(self.past, InsufficientData) else f" {self.past.headline}"
        return said + held


def what_if(book: Book, base: Projection, **factors: float) -> WhatIf:
    """Project a period again under a scenario, and put it beside what is expected.

    Parameters
    ----------
    base
        The projection without it.
    factors
        See `Scenario`.
    """
    import pandas as pd

    scenario = Scenario(**factors)
    found = project_period(book, period=base.period, scenario=scenario)
    names = {"low end of the 80 % range": 0.1, "most likely": 0.5, "high end of the 80 % range": 0.9}
    rows = [(name, base.quantiles[q], found.quantiles[q]) for name, q in names.items()]
    rows += [("from open deals", base.from_open, found.from_open)]
    rows += [("from deals not yet created", base.from_new, found.from_new)]
    rows += [("chance to reach the quota", base.p_quota, found.p_quota)] if base.quota > 0 else []
    compared = pd.DataFrame(rows, columns=["measure", "base", "scenario"])
    return WhatIf(scenario, found, compared.assign(difference=compared["scenario"] - compared["base"]))


def decisions(base: Projection, *, over: float = 1.0, under: float = 1.0) -> pd.DataFrame:
    """Name the figure to plan with for several costs of promising too much and too little.

    Parameters
    ----------
    over, under
        What a unit forecast too much and one too little cost; only their ratio counts. Its row comes with the
        usual ones.

    Returns
    -------
    pandas.DataFrame
        `under_to_over`, `quantile` (under ÷ (under + over)), `plan_with`, `is_asked`.

    Raises
    ------
    ParameterError
        Where a cost is not above zero.
    """
    import pandas as pd

    asked = base.decide(over=over, under=under)
    rows = {ratio: base.decide(over=1.0, under=ratio) for ratio in RATIOS} | {under / over: asked}
    frame = pd.DataFrame({"under_to_over": sorted(rows)})
    frame["quantile"] = frame["under_to_over"] / (1 + frame["under_to_over"])
    frame["plan_with"] = frame["under_to_over"].map(rows)
    return frame.assign(is_asked=frame["under_to_over"].eq(under / over))


def months_ahead(book: Book, *, horizon: int = 12, model: str = "auto", measure: str = "bookings") -> Months:
    """Forecast a measure by month for every level, and try the same on the past.

    Parameters
    ----------
    horizon
        Months ahead.
    model
        See `models()`.
    measure
        See `history`.

    Raises
    ------
    InsufficientData
        Where there is no whole month yet.
    """
    past = history(book, measure, step="month")
    own = past.rows[["unique_id", "ds", "y"]]
    dims = [name for name in LEVELS if measure == "bookings" or name != "region"]
    bottom = _people(book, measure, dims)
    spec = [dims[: k + 1] for k in range(len(dims))]
    tree = reconcile(bottom.rows, spec, horizon=horizon, freq=past.freq, model=model, gaps="zero")
    upper = tree[tree["level"].ne("/".join(dims))]["unique_id"].unique()
    return Months(
        history=own,
        company=tree[tree["unique_id"].eq(TOTAL)],
        tree=tree,
        past=attempt(lambda: backtest_series(own, horizon=min(horizon, 6), freq=past.freq, cutoffs=CUTOFFS,
                                             models=[model, "seasonal_naive"])),
        parts=attempt(lambda: decompose(own, horizon=horizon, freq=past.freq)),
        note=f"{past.note}; {len(upper)} totals",
    )  # fmt: skip


def _people(book: Book, measure: str, dims: list[str]) -> History:
    return history(book, measure, by=dims, step="month")
