"""Sizes, dates and effects of the sample company, and the calendar that follows from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from salesops_lib.errors import ParameterError
from salesops_lib.sources.sample.names import REGIONS, TEAM_NAMES


@dataclass(frozen=True)
class SampleSettings:
    """What the sample company looks like.

    Parameters
    ----------
    seed
        The same seed gives the same company.
    start, end
        First and last day of the records; the export instant is the end of the last day in `timezone`.
    teams, reps, accounts, opportunities
        Sizes. `reps` counts everyone who ever was there; up to six teams.
    process_change_on, process_change_lift
        From that day the deals of half of the teams that enter `demo` advance with so much more logit.
    second_currency, second_currency_share
        ISO code and the share of accounts priced in it.
    activities_per_deal
        Mean number of activities on a deal; leads have their own.
    """

    seed: int = 7
    start: str = "2023-10-01"
    end: str = "2026-09-30"
    timezone: str = "Europe/Berlin"
    currency: str = "EUR"
    fiscal_start_month: int = 2
    teams: int = 4
    reps: int = 24
    accounts: int = 600
    opportunities: int = 6000
    process_change_on: str = "2025-09-01"
    process_change_lift: float = 0.25
    second_currency: str | None = None
    second_currency_share: float = 0.15
    activities_per_deal: float = 5.0

    def __post_init__(self):
        if not 1 <= self.teams <= len(TEAM_NAMES):
            raise ParameterError(f"teams is {self.teams}; the sample has 1 to {len(TEAM_NAMES)} teams")
        for name, least in {"reps": 2 * self.teams, "accounts": 6, "opportunities": 1}.items():
            if getattr(self, name) < least:
                raise ParameterError(f"{name} is {getattr(self, name)}; the sample needs at least {least}")
        if day_number(self.end) - day_number(self.start) < 365:
            raise ParameterError(f"{self.start} to {self.end} is too short; the sample needs a year or more")

    @property
    def first_rep(self) -> int:
        """Index of the first rep among the users: the head, the managers, the reps, four people for leads."""
        return self.teams + 1

    @property
    def team_of_region(self) -> np.ndarray:
        """Index of the team that covers each region."""
        return np.arange(len(REGIONS)) * self.teams // len(REGIONS)

    def rng(self, *key: int) -> np.random.Generator:
        """Return the generator of one independent part of the company."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def quarter_starts(self) -> np.ndarray:
        """Return the first days of the fiscal quarters, from before the records to well after them."""
        months = np.arange(np.datetime64(self.start, "M") - 24, np.datetime64(self.end, "M") + 168)
        opens = (months.astype(np.int64) % 12 + 1 - self.fiscal_start_month) % 3 == 0
        return months[opens].astype("datetime64[D]").astype(np.int64)


def day_number(day: str) -> int:
    """Count the days from 1970-01-01 to an ISO date."""
    return int(np.datetime64(day, "D").astype(np.int64))
