"""What if: factors on what is still to come; what is booked stays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import InsufficientData, ParameterError
from salesops_lib.kpis.reps import RAMPING_DAYS
from salesops_lib.language import say
from salesops_lib.present import number
from salesops_lib.present.numbers import localised

if TYPE_CHECKING:
    from salesops_lib.forecast.deals import Panel

LEAST, MOST, MOST_HIRES = 0.1, 10.0, 1_000
NEW_DAYS = 91  # deals of these days say what a rep creates
MAY_BE_NONE = ("new_pipeline",)
LABELS = {
    "win_rate": "win rate", "cycle": "cycle", "deal_size": "deal size", "new_pipeline": "new pipeline",
}  # fmt: skip


@dataclass(frozen=True)
class Scenario:
    """Factors on what is simulated from the as-of day on; 1 changes nothing.

    Parameters
    ----------
    win_rate
        On every deal's chance of being won, whenever that is; no chance exceeds 1.
    cycle
        On the time deals take from the as-of day, or their creation, to their end, won or lost: 0.9 is a tenth
        faster. The share that is won in the end stays.
    deal_size
        On amounts won.
    new_pipeline
        On the number of deals created a day; may be 0.
    hires
        Reps who start on the day after the as-of one. Each comes to create as many deals as the company's mean rep
        past the first six months, in a straight line over six months; their deals end as others do.

    Raises
    ------
    ParameterError
        For a factor outside 0.1 to 10, or hires that are no whole number from 0 to 1,000.
    """

    win_rate: float = 1.0
    cycle: float = 1.0
    deal_size: float = 1.0
    new_pipeline: float = 1.0
    hires: int = 0

    def __post_init__(self):
        for name in FACTORS:
            value = getattr(self, name)
            least = 0.0 if name in MAY_BE_NONE else LEAST
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= MOST:
                raise ParameterError(
                    f"{name} is {value!r}; it is a factor, {least:g} to {MOST:g}, and 1 as it is."
                )
        if isinstance(self.hires, bool) or not isinstance(self.hires, int) or not 0 <= self.hires <= MOST_HIRES:
            raise ParameterError(f"hires is {self.hires!r}; give a whole number, 0 to {MOST_HIRES:,}.")

    def __str__(self) -> str:
        factors = {name: getattr(self, name) for name in FACTORS}
        changed = [
            f"{say(LABELS[name])} × {localised(f'{value:g}')}" for name, value in factors.items() if value != 1
        ]
        changed += [say("{n} hired", n=number(self.hires, "count"))] if self.hires else []
        return ", ".join(changed) or say("as it is")


FACTORS = tuple(field.name for field in fields(Scenario) if field.name != "hires")
AS_IT_IS = Scenario()


@lru_cache(maxsize=8)
def share_of_a_hire(known: Panel) -> float:
    """Deals created by the mean rep past the first six months, as a share of all.

    Raises
    ------
    InsufficientData
        Where nobody has had deals for six months.
    """
    rows = known.rows.dropna(subset="owner")
    begun = rows.groupby("owner")["day"].min()
    ramped = begun.index[begun <= known.day - RAMPING_DAYS]
    new = rows[rows["entered"] > known.day - NEW_DAYS].drop_duplicates("opportunity_id")
    ramped = ramped[ramped.isin(rows.loc[rows["day"].eq(known.day), "owner"])]
    if not len(ramped) or new.empty:
        of = say("reps with deals for six months")
        raise InsufficientData(say("What a hire brings"), needed=1, got=0, of=of)
    return float(new["owner"].isin(ramped).sum() / len(new) / len(ramped))


def ramped_days(days: np.ndarray) -> np.ndarray:
    """Full days' worth of work by the end of each number of days after the start."""
    days = np.maximum(days, 0)
    return np.where(days < RAMPING_DAYS, days**2 / (2 * RAMPING_DAYS), days - RAMPING_DAYS / 2)
