"""What a KPI is, and the list of those there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from salesops_lib.errors import ParameterError, unknown
from salesops_lib.facts import Facts
from salesops_lib.stats import Estimate

# what a value counts, by the name `present.number` writes it by
UNITS = {
    "share": "share, 0 to 1",
    "money": "corporate currency",
    "money_per_day": "corporate currency a day",
    "count": "count",
    "days": "days",
    "months": "months",
    "hours": "hours",
    "minutes": "minutes",
    "per_day": "a working day",
    "per_week": "a working week",
    "times": "ratio",
    "score": "number without a unit",
}

# each variant's name with its estimate, or a call that makes it where that is dear
Variants = Iterator[tuple[str, Estimate | Callable[[], Estimate]]]


@dataclass(frozen=True)
class Kpi:
    """One metric: what it means, and the function that computes it.

    Attributes
    ----------
    id, name
        Stable id and the field's standard name.
    formula, population, attribution
        In words: what is divided by what, over which deals, credited to whom.
    unit
        A key of `UNITS`.
    direction
        ``up`` where more is better, ``down`` where less is, ``none``.
    variants
        What each variant means, by name; the first is the default.
    needs
        Tables without which there is no number.
    least
        Cases below which the default variant has the status ``too few``.
    interval, source
        Method of the interval, and where the definition comes from.
    """

    id: str
    name: str
    formula: str
    population: str
    attribution: str
    unit: str
    direction: str
    variants: dict[str, str]
    needs: tuple[str, ...]
    interval: str
    source: str
    least: int
    compute: Callable[[Facts], Variants]

    def __post_init__(self):
        if self.unit not in UNITS:
            raise ParameterError(unknown(f"unit of {self.id}", self.unit, UNITS))

    @property
    def default(self) -> str:
        """Name of the default variant."""
        return next(iter(self.variants))


REGISTRY: dict[str, Kpi] = {}


def kpi(kpi_id: str, *, least: int = 1, **told) -> Callable:
    """Register the decorated function as the definition of a KPI."""

    def register(function):
        REGISTRY[kpi_id] = Kpi(id=kpi_id, least=least, compute=function, **told)
        return function

    return register


def refuse(kpi_id: str, status: str, n: int, note: str) -> Variants:
    """Yield every variant of a KPI without a number, with one reason."""
    yield from ((variant, Estimate.none(status, n, note)) for variant in REGISTRY[kpi_id].variants)
