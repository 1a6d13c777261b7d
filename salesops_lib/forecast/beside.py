"""A scenario beside the projection as it is: ranges for a picture, and the same written out for a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from salesops_lib.forecast.projection import Outcome, Projection, outcome
from salesops_lib.forecast.scenario import Scenario
from salesops_lib.language import mark
from salesops_lib.present import number

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.book import Book
    from salesops_lib.periods import Period

CHANCE = mark("chance to reach the quota")
ENDS = {mark("low end of the 80 % range"): 0.1, mark("most likely"): 0.5, mark("high end of the 80 % range"): 0.9}


@dataclass(frozen=True)
class Beside:
    """A period as it is, and under a scenario.

    Attributes
    ----------
    period, currency
        What is projected, and the currency of amounts.
    base, after
        The projection as it is, and what the scenario makes of it.
    """

    period: Period
    currency: str
    base: Outcome
    after: Outcome

    @property
    def ranges(self) -> pd.DataFrame:
        """Quantiles of the bookings, one row each: `scenario`, `q2.5` … `q97.5`, `p_quota`; as it is first."""
        import pandas as pd

        return pd.DataFrame(
            {
                "scenario": str(one.scenario),
                **{f"q{100 * share:g}": amount for share, amount in one.quantiles.items()},
                "p_quota": one.p_quota,
            }
            for one in (self.base, self.after)
        )

    @property
    def table(self) -> pd.DataFrame:
        """`measure`, `as_it_is`, `scenario` and `difference`, written out."""
        return written(compare(self.base, self.after))

    @property
    def looks(self) -> dict[str, dict[str, str]]:
        """How `table` is shown: its texts are numbers."""
        return {"units": dict.fromkeys(("as_it_is", "scenario", "difference"), "shown") | {"measure": "word"}}


def try_scenario(book: Book, base: Projection, **factors: float) -> Beside:
    """Put a scenario, given by the factors of `Scenario`, beside the projection as it is: at once, for a lens.

    Raises
    ------
    ParameterError
        For a factor that is none.
    """
    after = outcome(book, period=base.period, scenario=Scenario(**factors))
    return Beside(base.period, base.currency, base, after)


def compare(base: Outcome, after: Outcome) -> pd.DataFrame:
    """Put a scenario beside the projection as it is.

    Returns
    -------
    pandas.DataFrame
        `measure`, `as_it_is`, `scenario`, `difference`; amounts, the last row P(quota) where there is a quota.
    """
    import pandas as pd

    told = {name: (base.quantiles[q], after.quantiles[q]) for name, q in ENDS.items()}
    told[mark("from open deals")] = base.from_open, after.from_open
    told[mark("from deals not yet created")] = base.from_new, after.from_new
    if base.quota > 0:
        told[CHANCE] = base.p_quota, after.p_quota
    rows = [(name, before, then, then - before) for name, (before, then) in told.items()]
    return pd.DataFrame(rows, columns=["measure", "as_it_is", "scenario", "difference"])


def written(compared: pd.DataFrame) -> pd.DataFrame:
    """Write amounts and the chance below them as text."""
    import pandas as pd

    def said(row: pd.Series) -> pd.Series:
        unit, change = ("percent", "points") if row["measure"] == CHANCE else ("money", "money")
        both = {name: number(row[name], unit) for name in ("as_it_is", "scenario")}
        return pd.Series(
            {"measure": row["measure"], **both, "difference": number(row["difference"], change, signed=True)}
        )

    return compared.apply(said, axis=1) if len(compared) else compared
