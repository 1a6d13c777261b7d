"""What the sample company is made of; people, companies and deals are indices into arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from salesops_lib.sources.sample.clock import Clock, Timeline
from salesops_lib.sources.sample.columns import Text, ids
from salesops_lib.sources.sample.settings import SampleSettings

RAMP_DAYS = 130


@dataclass(frozen=True)
class Team:
    """The people: one entry a rep, and who covers for whom at any time."""

    rep_team: np.ndarray
    started: np.ndarray
    left: np.ndarray
    fte: np.ndarray
    skill: np.ndarray
    weakness: np.ndarray  # logit by rep and stage
    treated: np.ndarray  # by team: takes part in the process change
    bounds: np.ndarray  # positions at which somebody joins or leaves
    cover: np.ndarray  # reps there, by team and span between two bounds
    covered: np.ndarray  # how many entries of `cover` count

    def pick(self, team: np.ndarray, position: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """Choose a rep of the team who is there at the position; part-timers get half the turns."""
        span = np.searchsorted(self.bounds, position, side="right")
        return self.cover[team, span, (draw * self.covered[team, span]).astype(np.int64)]

    def there(self, rep: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Tell whether a rep works at the position."""
        return (self.started[rep] <= position) & (position < self.left[rep])

    def ramp(self, rep: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Return the share of full productivity a rep has reached."""
        return np.clip(0.25 + 0.75 * (position - self.started[rep]) / RAMP_DAYS, 0, 1)


@dataclass(frozen=True)
class Accounts:
    """The companies sold to, one array a property."""

    segment: np.ndarray
    region: np.ndarray
    team: np.ndarray
    industry: np.ndarray
    legacy: np.ndarray  # a customer since before the records
    created: np.ndarray
    home: np.ndarray  # the rep who should look after the company
    draw: np.ndarray  # decides who does while that rep is not there
    parent: np.ndarray
    employees: np.ndarray
    revenue: np.ndarray
    potential: np.ndarray
    visits: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    postal: np.ndarray
    foreign: np.ndarray  # priced in the second currency
    rate: np.ndarray  # units of its currency a unit of the company's


@dataclass(frozen=True)
class Deals:
    """What is settled when deals are created; `created` is a position."""

    account: np.ndarray
    segment: np.ndarray
    kind: np.ndarray
    source: np.ndarray
    owner: np.ndarray
    created: np.ndarray


@dataclass(frozen=True)
class Life:
    """How deals go on, in positions: stage changes by deal and time, when a reopened deal was lost, the end."""

    deal: np.ndarray
    position: np.ndarray
    stage: np.ndarray
    lost: np.ndarray
    reopened: np.ndarray
    ended: np.ndarray

    def away(self, deal: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Tell whether a deal that is reopened later is lost at the position."""
        return (position >= self.lost[deal]) & (position < self.reopened[deal])


class Counts(NamedTuple):
    """What the blocks of a large company so far hold."""

    blocks: int = 0
    deals: int = 0
    leads: int = 0
    activities: int = 0


@dataclass(frozen=True)
class Ledger:
    """A block of deals with everything that happens to them; instants are UTC seconds."""

    before: Counts
    account: np.ndarray
    kind: np.ndarray
    source: np.ndarray
    product: np.ndarray
    lead: np.ndarray
    noise: np.ndarray  # draws behind the lesser columns
    created: np.ndarray
    deleted: np.ndarray
    merged: np.ndarray
    survivor: np.ndarray
    rushed: np.ndarray  # closes at the end of a fiscal quarter
    stages: Timeline  # note: forecast category
    amounts: Timeline
    dates: Timeline
    owners: Timeline  # note: 1 for a bulk edit
    leads: dict[str, np.ndarray]
    activities: dict[str, np.ndarray]
    lines: dict[str, np.ndarray]

    @property
    def counts(self) -> Counts:
        """What this block and those before it hold."""
        here = (1, len(self.account), len(self.leads["created"]), len(self.activities["t"]))
        return Counts(*np.add(self.before, here).tolist())

    @cached_property
    def number(self) -> np.ndarray:
        """Running numbers of the deals in the company."""
        return self.before.deals + 1 + np.arange(len(self.account))

    @cached_property
    def deal_ids(self) -> Text:
        """Ids of the deals."""
        return ids("o", self.number, 7)

    @cached_property
    def lead_ids(self) -> Text:
        """Ids of the leads."""
        return ids("l", self.before.leads + 1 + np.arange(len(self.leads["created"])), 7)


@dataclass(frozen=True)
class World:
    """Everything about the sample company but its deals."""

    settings: SampleSettings
    clock: Clock
    team: Team
    accounts: Accounts


@dataclass(frozen=True)
class Company(World):
    """Everything about the sample company, future and hidden parameters included.

    Attributes
    ----------
    team, accounts
        People and companies.
    book
        The deals, with leads and activities.
    quotas
        Arrays `rep`, `start`, `stop` (day numbers), `cents`, `approved` (UTC seconds).
    """

    book: Ledger
    quotas: dict[str, np.ndarray]
