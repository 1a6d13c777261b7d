"""What a KPI is, and the list of those there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from salesops_lib.book import Book
from salesops_lib.errors import ParameterError, unknown
from salesops_lib.facts import Facts
from salesops_lib.periods import Period
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
    units
        Unit of each variant that counts something else than `unit`.
    dimensions
        Dimensions the metric can be told apart by; all where none is named.
    members
        Segments of a dimension in a period that belong beside those of the deals: people who own leads, say.
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
    units: Mapping[str, str] = field(default_factory=dict)
    dimensions: tuple[str, ...] = ()
    members: Callable[[Book, str, Period], Iterable[str]] | None = None

    def __post_init__(self):
        for unit in (self.unit, *self.units.values()):
            if unit not in UNITS:
                raise ParameterError(unknown(f"unit of {self.id}", unit, UNITS))
        for variant in self.units:
            if variant not in self.variants:
                raise ParameterError(unknown(f"variant of {self.id}", variant, self.variants))

    @property
    def default(self) -> str:
        """Name of the default variant."""
        return next(iter(self.variants))

    def unit_of(self, variant: str) -> str:
        """Unit of a variant."""
        return self.units.get(variant, self.unit)


REGISTRY: dict[str, Kpi] = {}
# ids kept for what no table of today can tell: name, and what it waits for
RESERVED = {
    "K07": ("ACV / TCV per contract", "contracts"),
    "K12": ("Channel efficiency", "costs"),
    "K13": ("Forecast accuracy, error and bias", "forecast submissions"),
    "K14": ("Revenue and activity forecast", "the forecast"),
    "K29": ("Contribution margin", "invoices and costs"),
    "K31": ("CAC", "costs"),
    "K32": ("CLV", "contracts"),
    "K33": ("Churn", "contracts"),
    "K34": ("NPS", "survey responses"),
    "K36": ("Renewal rate", "contracts"),
    "K37": ("Contract-phase ageing", "contracts"),
    "K40": ("Territory potential and workload balance", "territories"),
    "K45": ("Incentive cost ratio", "compensation plans"),
    "K46": ("Tool adoption", "tool usage and costs"),
}


def words() -> Iterator[str]:
    """Give what the definitions say, for the catalogues of other languages."""
    for entry in REGISTRY.values():
        yield from (entry.name, entry.formula, entry.population, entry.attribution, entry.interval)
        for name, meaning in entry.variants.items():
            yield from (name, meaning)
    for name, awaited in RESERVED.values():
        yield from (name, awaited)


def kpi(kpi_id: str, *, least: int = 1, **told) -> Callable:
    """Register the decorated function as the definition of a KPI."""

    def register(function):
        REGISTRY[kpi_id] = Kpi(id=kpi_id, least=least, compute=function, **told)
        return function

    return register


def refuse(kpi_id: str, estimate: Estimate) -> Variants:
    """Give every variant of a KPI the same refusal."""
    yield from ((variant, estimate) for variant in REGISTRY[kpi_id].variants)
