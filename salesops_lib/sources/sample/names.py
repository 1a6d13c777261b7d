"""Names, labels and other vocabulary of the sample company."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Region(NamedTuple):
    """A sales region around a city; `postal` is the shape of its postal codes, 0 to 9 filled in for `#`."""

    name: str
    country: str
    lat: float
    lon: float
    weight: float
    postal: str

    def postal_code(self, draw: float) -> str:
        """Fill a number between 0 and 1 into the shape."""
        digits = iter(f"{int(draw * 1e6):06d}")
        return "".join(next(digits) if c == "#" else c for c in self.postal)


class Product(NamedTuple):
    """A product with list price and standard cost a unit and year, in whole currency units."""

    name: str
    family: str
    price: int
    cost: int


REGIONS = (
    Region("DACH North", "DE", 53.55, 9.99, 0.17, "20###"),
    Region("DACH South", "DE", 48.14, 11.58, 0.16, "80###"),
    Region("Nordics", "SE", 59.33, 18.07, 0.17, "11###"),
    Region("UK North", "GB", 53.48, -2.24, 0.17, "M1# #AB"),
    Region("Benelux", "NL", 52.37, 4.90, 0.13, "10##"),
    Region("France", "FR", 45.76, 4.84, 0.20, "69###"),
)
TEAM_NAMES = ("Central", "North", "West", "South", "East", "Atlantic")
SEGMENTS = ("SMB", "Mid-Market", "Enterprise")
TYPES = ("new", "expansion", "renewal")
SOURCES = ("website", "event", "partner", "outbound", "referral", "customer")
MOTIONS = ("inbound", "inbound", "partner", "outbound", "inbound", "outbound")
PRODUCTS = (
    Product("Line Monitor", "Monitoring", 180, 22),
    Product("Energy Monitor", "Monitoring", 240, 31),
    Product("Shift Planner", "Planning", 320, 38),
    Product("Start-up Service", "Services", 110, 74),
)
CURRENCY_RATES = {"USD": 1.08, "GBP": 0.86, "CHF": 0.95, "SEK": 11.3, "PLN": 4.3}  # units a euro, fixed
PIPELINE = "sample:new_business"
STAGES = tuple(
    f"sample:{stage}"
    for stage in ("prospecting", "qualification", "demo", "proposal", "negotiation", "won", "lost")
)
WON, LOST = 5, 6
PROBABILITY = np.array([0.05, 0.15, 0.35, 0.55, 0.75, 1.0, 0.0])
DEFAULT_CATEGORY = ("pipeline", "pipeline", "best_case", "best_case", "commit", "closed", "omitted")
PHASES = ("awareness", "consideration", "consideration", "decision", "decision", "customer", "decision")
INDUSTRIES = (
    "Machinery", "Automotive", "Chemicals", "Food and beverage",
    "Electronics", "Metals", "Pharma", "Packaging",
)  # fmt: skip
OUTCOMES = ("connected", "no_answer", "voicemail", "held", "no_show", "cancelled", "replied", "sent")
LOSS_REASONS = ("price", "no decision", "competitor", "missing function", "timing", "budget cut")
COMPETITORS = ("Fabrion", "Takt One", "Linelogic", "in-house tool")
NEXT_STEPS = ("call back", "send offer", "technical workshop", "meet the buyer", "site visit", "clarify contract")
DROP_REASONS = ("no budget", "no need", "not reachable", "student or private", "duplicate")
CAMPAIGNS = tuple(f"sample:c{i + 1:02d}" for i in range(14))
FIRST_NAMES = (
    "Anna", "Jonas", "Mirela", "Tomasz", "Aylin", "Pieter", "Ingrid", "Samuel", "Leila", "Matteo",
    "Chloé", "Rasmus", "Nadia", "Oskar", "Priya", "Hugo", "Katarina", "Emre", "Fiona", "Lukas", "Zofia",
    "Daniel", "Amara", "Viktor", "Elena", "Kofi", "Marit", "Sven", "Yara", "Antoine",
)  # fmt: skip
LAST_NAMES = (
    "Lindqvist", "Hartmann", "Okafor", "Moreau", "de Wit", "Kowalska", "Brandt", "Hughes", "Demir",
    "Rossi", "Nyberg", "Schreiber", "Patel", "Janssen", "Dubois", "Novak", "Clarke", "Vogel", "Haddad",
    "Eriksen", "Fontaine", "Keller", "Mensah", "Petrov", "Sørensen", "Weiss", "Garnier", "Bauer",
    "Ivanova", "Murphy",
)  # fmt: skip
STEMS = (
    "Alster", "Bergtal", "Cantor", "Delmar", "Elbtal", "Falken", "Granit", "Helix", "Isar", "Juno",
    "Kontur", "Lumen", "Meridian", "Nordwerk", "Orion", "Pallas", "Quarz", "Rhona", "Solveig", "Tarn",
    "Ursa", "Vantage", "Westmark", "Xenon", "Ylva", "Zenit", "Ardent", "Boreal", "Corvus", "Dunmore",
)  # fmt: skip
ENDINGS = (
    "Maschinenbau", "Systems", "Foods", "Chemie", "Automotive", "Pharma", "Packaging", "Metals", "Industries",
    "Technik", "Plast", "Electronics", "Valves", "Components", "Brewing", "Textiles", "Paper", "Glass", "Optics",
    "Logistik", "Tools", "Pumps", "Coatings", "Robotics", "Castings",
)  # fmt: skip
