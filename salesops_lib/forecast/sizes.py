"""What a deal brings once it is won: its amount while open times what past deals kept of theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.forecast.deals import WON, Panel

if TYPE_CHECKING:
    import pandas as pd

LEAST = 15  # won deals that make a pool of their own
MOST = 5_000


@dataclass(frozen=True)
class Sizes:
    """Past won amounts.

    Attributes
    ----------
    ratios
        Won amount ÷ amount while open, of past rows; ``[1.0]`` where no open deal of the past had an amount.
    by
        Column that sets the pool of a deal without an amount: ``product`` or ``segment``.
    pools
        Won amounts by its value; under an empty name, those of all.
    """

    ratios: np.ndarray
    by: str
    pools: dict[str, np.ndarray]

    def moments(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Expected won amount of each row, and expected square of it."""
        amount = rows["amount"].to_numpy(dtype=float)
        known = ~np.isnan(amount)
        pools = self._pools(rows)
        first = np.where(
            known, amount * self.ratios.mean(), pools.map({k: v.mean() for k, v in self.pools.items()})
        )
        square = pools.map({k: np.square(v).mean() for k, v in self.pools.items()})
        return first, np.where(known, np.square(amount) * np.square(self.ratios).mean(), square)

    def draw(self, rng: np.random.Generator, rows: pd.DataFrame, at: np.ndarray) -> np.ndarray:
        """Draw a won amount for each entry of `at`, the position of a row."""
        amount = rows["amount"].to_numpy(dtype=float)[at]
        out = amount * self.ratios[rng.integers(0, len(self.ratios), len(at))]
        without = np.flatnonzero(np.isnan(amount))
        if len(without):
            pools = self._pools(rows).astype("category").cat  # numbers are compared faster than names
            pool = pools.codes.to_numpy()[at[without]]
            for number, name in enumerate(pools.categories):
                mine = without[pool == number]
                out[mine] = self.pools[name][rng.integers(0, len(self.pools[name]), len(mine))]
        return out

    def _pools(self, rows: pd.DataFrame) -> pd.Series:
        names = rows[self.by].astype(object)
        return names.where(names.isin(list(self.pools)), "")


def learn(known: Panel) -> Sizes:
    """Learn from the deals won up to the panel's day."""
    rows, entries = known.rows, known.entries
    wins = entries[entries["outcome"].eq(WON)]
    worth = wins.drop_duplicates("opportunity_id", keep="last").set_index("opportunity_id")["worth"]
    past = rows[rows["outcome"].eq(WON) & (rows["amount"] > 0)].tail(MOST)
    ratios = (past["opportunity_id"].map(worth) / past["amount"]).dropna().to_numpy()
    wins = wins[wins["worth"] > 0]
    by = max(("product", "segment"), key=lambda name: _told(wins, name))
    pools = {str(name): group.to_numpy() for name, group in wins.groupby(by)["worth"] if len(group) >= LEAST}
    everything = wins["worth"].to_numpy()
    return Sizes(
        ratios if len(ratios) else np.ones(1), by, pools | {"": everything if len(everything) else np.zeros(1)}
    )


def _told(wins: pd.DataFrame, name: str) -> float:
    """Share of the variance of log amounts that a column explains."""
    logs = np.log(wins["worth"])
    between = logs.groupby(wins[name].astype(object)).transform("mean")
    return float(between.var() / max(logs.var(), 1e-9)) if between.notna().sum() > LEAST else 0.0
