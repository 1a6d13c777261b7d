"""What a KPI is, and the list of those there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from salesops_lib.facts import Facts
from salesops_lib.stats import Estimate

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
        ``share``, ``money``, ``days`` or ``count``.
    direction
        ``up`` where more is better, ``down`` where less is, ``none``.
    variants
        What each variant means, by name; the first is the default.
    needs
        Tables without which there is no number.
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
    compute: Callable[[Facts], Variants]

    @property
    def default(self) -> str:
        """Name of the default variant."""
        return next(iter(self.variants))


REGISTRY: dict[str, Kpi] = {}


def kpi(kpi_id: str, **told) -> Callable:
    """Register the decorated function as the definition of a KPI."""

    def register(function):
        REGISTRY[kpi_id] = Kpi(id=kpi_id, compute=function, **told)
        return function

    return register
