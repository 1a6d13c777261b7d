"""What the notebook on the forecast shows: a period's number and what it hangs on, and the months after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from salesops_lib import facts, stats
from salesops_lib.errors import InsufficientData, attempt
from salesops_lib.forecast.beside import compare, written
from salesops_lib.forecast.commit import commit_bias
from salesops_lib.forecast.components import decompose
from salesops_lib.forecast.hierarchy import TOTAL
from salesops_lib.forecast.months import DIMENSIONS, Months, months_ahead
from salesops_lib.forecast.projection import (
    Projection,
    compare_probabilities,
    compare_scenarios,
    outcome,
    project_period,
)
from salesops_lib.forecast.scenario import AS_IT_IS, Scenario
from salesops_lib.language import mark, say, say_many
from salesops_lib.periods import KINDS, Period
from salesops_lib.present import counted, fitted, interval, number
from salesops_lib.present.numbers import localised

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.book import Book

WAYS = {
    "crm": mark("the CRM's, by stage"),
    "forecast": mark("this forecast"),
    "share won": mark("the same for every deal"),
}
RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)  # what a unit too little costs, against one too much
LEVERS = (
    Scenario(win_rate=1.1),
    Scenario(deal_size=1.1),
    Scenario(cycle=0.9),
    Scenario(new_pipeline=1.2),
    Scenario(hires=2),
)
TOP = 3
DEAL_NUMBERS = ["amount", "expected_close_date", "p_win_in_period", "expected", "p_quota_if_won", "p_quota_if_not"]


@dataclass(frozen=True)
class Review:
    """All that the notebook on the forecast shows; a refusal stands in the place of what the data cannot tell.

    Attributes
    ----------
    book
        The company at the as-of instant.
    projection
        The period: see `Projection`.
    scenario
        The factors asked for.
    compared
        `measure`, `as_it_is`, `scenario`, `difference`: amounts, the last row P(quota).
    levers
        What each of some usual changes would bring: `lever`, `expected`, `change`, `low`, `high` (80 %),
        `p_quota`.
    decisions
        `cost`, `quantile`, `plan_with`, `asked`: see `decisions`.
    months
        The coming months by level.
    components
        What Prophet takes the company's months apart into.
    probabilities
        Our chances and the CRM's, scored on past weeks: see `compare_probabilities`.
    commits
        How far submitted commits lay from what came, by person: see `commit_bias`.
    """

    book: Book
    projection: Projection
    scenario: Scenario
    compared: pd.DataFrame
    levers: pd.DataFrame
    decisions: pd.DataFrame
    months: Months | InsufficientData
    components: pd.DataFrame | InsufficientData
    probabilities: pd.DataFrame | InsufficientData
    commits: pd.DataFrame | InsufficientData

    @property
    def headline(self) -> str:
        """Most likely, range, quota and chance."""
        return self.projection.headline

    @property
    def period(self) -> Period:
        """The period projected."""
        return self.projection.period

    @property
    def coverage_note(self) -> str:
        """Say how far past ranges held."""
        held = self.projection.coverage
        if held.status != stats.OK:
            return say("How often such ranges held is not measured: no past week had what a forecast needs.")
        return say_many(
            "80 % ranges made in the same way held {share} {bounds} of {n} past week.",
            "80 % ranges made in the same way held {share} {bounds} of {n} past weeks.",
            held.n, n=number(held.n, "count"), share=number(held.value, "percent"),
            bounds=interval(held.low, held.high, "percent"),
        )  # fmt: skip

    @property
    def how(self) -> str:
        """Say how the number was made, and what the source cannot tell."""
        return say("How: {clauses}.", clauses="; ".join([self.projection.method, *self.projection.notes]))

    @property
    def concentration_note(self) -> str:
        """Say how much of the expected amount of open deals hangs on the first few."""
        expected = self.projection.deals["expected"].sort_values(ascending=False)
        if not expected.sum() > 0:
            return ""
        share = number(expected.head(TOP).sum() / expected.sum(), "percent")
        return say(
            "The largest {top} carry {share} of what {deals} are to bring.",
            top=TOP, share=share, deals=counted(len(expected), "open deal"),
        )  # fmt: skip

    @property
    def scenario_note(self) -> str:
        """Say what the scenario changes; nothing where it changes nothing."""
        if self.scenario == AS_IT_IS:
            return ""
        row = self.compared.set_index("measure").loc["most likely"]
        then, now = (number(row[name], "money") for name in ("scenario", "as_it_is"))
        told = {"scenario": self.scenario, "then": then, "now": now}
        return say("With {scenario}: most likely {then} instead of {now}.", **told)

    @property
    def deals(self) -> pd.DataFrame:
        """Open deals, those first on which the most of P(quota) hangs, by name."""
        book, rows = self.book, self.projection.deals
        stages = book.stages.drop_duplicates("stage_id").set_index("stage_id")["stage_name"]
        shown = rows.assign(
            deal=facts.titles(book, rows["opportunity_id"]).to_numpy(),
            rep=facts.named(book, "rep", rows["rep"]),
            team=facts.named(book, "team", rows["team"]),
            stage=rows["stage_id"].map(stages).fillna(rows["stage_id"]),
        )
        kept = ["deal", "rep", "team", "stage", *DEAL_NUMBERS]
        return shown[kept].dropna(axis=1, how="all")

    @property
    def deals_caption(self) -> str:
        """Say which deals these are, and in what order."""
        if self.projection.quota > 0:
            return say("Open deals on which P(quota) hangs, {currency}.", currency=self.book.currency)
        return say("Open deals by the money that hangs on them, {currency}.", currency=self.book.currency)

    @property
    def what_changes(self) -> pd.DataFrame:
        """The scenario beside the projection as it is, written out; no row where it changes nothing."""
        return written(self.compared if self.scenario != AS_IT_IS else self.compared.head(0))

    @property
    def decision_note(self) -> str:
        """Say which figure to plan with at the stated cost."""
        row = self.decisions[self.decisions["asked"]].iloc[0]
        return say(
            "Where {cost}, plan with {amount} {currency}: the chance to reach it is {chance}.",
            cost=row["cost"], amount=number(row["plan_with"], "money"), currency=self.projection.currency,
            chance=number(1 - row["quantile"], "percent"),
        )  # fmt: skip

    @property
    def months_note(self) -> str:
        """What the coming months bring, how far such ranges held, and what was left out."""
        if isinstance(self.months, InsufficientData):
            return ""
        left = say("Left out: {what}.", what=self.months.note) if self.months.note else ""
        return f"{self.months.headline} {left}".strip()

    @property
    def levels(self) -> pd.DataFrame | InsufficientData:
        """The next month with its 80 % range and the sum over all of them, one row a node."""
        import pandas as pd

        if isinstance(self.months, InsufficientData):
            return self.months
        rows = self.months.tree
        first = rows[rows["ds"].eq(rows["ds"].min())].set_index("unique_id")
        return pd.DataFrame(
            {
                "level": first["level"].str.rpartition("/")[2],
                "name": [say(TOTAL) if name == TOTAL else str(name).replace("/", " / ") for name in first.index],
                "next_month": first["mean"],
                "low": first["lo-80"],
                "high": first["hi-80"],
                "sum": rows.groupby("unique_id")["mean"].sum().reindex(first.index),
            }
        ).reset_index(drop=True)

    @property
    def totals(self) -> pd.DataFrame | InsufficientData:
        """The levels above people."""
        rows = self.levels
        return rows if isinstance(rows, InsufficientData) else rows[rows["level"].ne(DIMENSIONS[-1])]

    @property
    def people(self) -> pd.DataFrame | InsufficientData:
        """The level of people."""
        rows = self.levels
        return rows if isinstance(rows, InsufficientData) else rows[rows["level"].eq(DIMENSIONS[-1])]

    @property
    def budget(self) -> pd.DataFrame | InsufficientData:
        """One row a node and month, for a spreadsheet."""
        if isinstance(self.months, InsufficientData):
            return self.months
        return self.months.tree.rename(columns={"unique_id": "name", "ds": "month"})

    def looks(self, name: str) -> dict[str, dict]:
        """Say how a table of the page is shown: arguments of `present.table`."""
        frame = self.projection.parts if name == "parts" else getattr(self, name)
        return fitted(frame, units=UNITS, labels=LABELS, ranges=RANGES)


UNITS = {
    **dict.fromkeys(("expected", "change", "plan_with", "next_month", "sum"), "money"),
    "amount": "amount", "expected_close_date": "date", "asked": "flag",
    **dict.fromkeys(("p_win_in_period", "p_quota", "p_quota_if_won", "p_quota_if_not"), "percent"),
    **dict.fromkeys(("quantile", "predicted", "won"), "percent"),
    **dict.fromkeys(("brier", "log_loss", "worse_by"), "score"), "bias": "share", "n": "count",
    **dict.fromkeys(("part", "way", "level", "measure"), "word"),
}  # fmt: skip
RANGES = dict.fromkeys(("next_month", "expected", "worse_by", "bias"), ("low", "high"))
LABELS = {
    "p_win_in_period": "P(win in period)", "p_quota_if_won": "P(quota) if won", "p_quota_if_not": "if not",
    "expected_close_date": "expected close", "next_month": "next month [80 %]", "sum": "all months",
    "expected": "expected [80 %]", "p_quota": "P(quota)", "lever": "", "cost": "",
    "part": "", "way": "", "brier": "Brier", "worse_by": "worse by [95 %]", "log_loss": "log loss",
    "deal": "deal", "rep": "rep", "team": "team", "stage": "stage", "amount": "amount", "change": "change",
    "quantile": "quantile", "plan_with": "plan with", "asked": "asked", "predicted": "predicted", "won": "won",
    "bias": "bias", "level": "level", "name": "name", "measure": "measure", "as_it_is": "as it is",
    "scenario": "scenario", "difference": "difference",
}  # fmt: skip


def review(
    book: Book,
    *,
    period: Period | str = "quarter",
    scenario: Scenario = AS_IT_IS,
    over: float = 1.0,
    under: float = 1.0,
    months: int = 12,
    model: str = "fast",
) -> Review:
    """Project a period, and forecast the months after it.

    Parameters
    ----------
    book
        The company at the as-of instant.
    period
        See `project_period`; where ``week`` to ``year`` is over by the day, the one after it.
    scenario
        Factors on what is to come, put beside the projection as it is.
    over, under
        What a unit promised too much and one promised too little cost; only their ratio counts.
    months, model
        How far ahead, and with which of `models()`.

    Raises
    ------
    ParameterError
        For a period, cost, horizon or model that is none.
    InsufficientData
        Where too few deals were won to project a period.
    """
    base = project_period(book, period=period)
    if base.is_over and period in KINDS:
        base = project_period(book, period=f"next {period}")
    after = base if scenario == AS_IT_IS else outcome(book, period=base.period, scenario=scenario)
    ahead = attempt(lambda: months_ahead(book, horizon=months, model=model))

    def taken_apart() -> pd.DataFrame | InsufficientData:
        return decompose(ahead.history, horizon=months, freq=ahead.freq) if isinstance(ahead, Months) else ahead

    return Review(
        book=book,
        projection=base,
        scenario=scenario,
        compared=compare(base, after),
        levers=levers(book, base),
        decisions=decisions(base, over=over, under=under),
        months=ahead,
        components=attempt(taken_apart),
        probabilities=attempt(lambda: _scored(compare_probabilities(book, period=base.period))),
        commits=attempt(lambda: _named(book, commit_bias(book))),
    )


def _scored(rows: pd.DataFrame) -> pd.DataFrame:
    """Put words in the place of the ways, and no distance to oneself."""
    rows.loc[rows["way"].eq("forecast"), ["worse_by", "low", "high"]] = stats.NONE
    return rows.assign(way=rows["way"].replace(WAYS))


def _named(book: Book, rows: pd.DataFrame) -> pd.DataFrame:
    """Put names in the place of ids."""
    rows.insert(0, "rep", facts.named(book, "rep", rows.pop("user_id")).to_numpy())
    return rows


def decisions(base: Projection, *, over: float = 1.0, under: float = 1.0) -> pd.DataFrame:
    """Name the figure to plan with for several costs of promising too much and too little.

    Parameters
    ----------
    over, under
        What a unit promised too much and one promised too little cost; only their ratio counts.

    Returns
    -------
    pandas.DataFrame
        `cost` in words, `quantile` (under ÷ (under + over)), `plan_with`, `asked`; the usual ratios and that asked
        for.

    Raises
    ------
    ParameterError
        Where a cost is not above zero.
    """
    import pandas as pd

    asked = base.decide(over=over, under=under)
    rows = {ratio: base.decide(over=1.0, under=ratio) for ratio in RATIOS} | {under / over: asked}
    ratios = pd.Series(sorted(rows))
    return pd.DataFrame(
        {
            "cost": ratios.map(_cost),
            "quantile": ratios / (1 + ratios),
            "plan_with": ratios.map(rows),
            "asked": ratios.eq(under / over),
        }
    )


def _cost(ratio: float) -> str:
    """Say what a unit promised too little costs against one too much."""
    if ratio == 1:
        return say("too much and too little cost the same")
    if ratio > 1:
        return say("a unit promised too little costs {n} times the other", n=localised(f"{ratio:.3g}"))
    return say("a unit promised too much costs {n} times the other", n=localised(f"{1 / ratio:.3g}"))


def levers(book: Book, base: Projection) -> pd.DataFrame:
    """Say what each of some usual changes would bring, one at a time.

    Returns
    -------
    pandas.DataFrame
        `lever`, `expected`, `low`, `high` (80 %), `change` (of expected), `p_quota`; as it is first.
    """
    rows = compare_scenarios(book, {str(what): what for what in LEVERS}, period=base.period)
    rows = rows.rename(columns={"scenario": "lever"})
    rows.loc[0, "change"] = stats.NONE
    shown = rows[["lever", "expected", "low", "high", "change", "p_quota"]]
    return shown if base.quota > 0 else shown.drop(columns="p_quota")
