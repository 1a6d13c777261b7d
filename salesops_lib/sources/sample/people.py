"""The people of the sample company: who is there when, how good they are, where they live."""

from __future__ import annotations

import numpy as np
import pandas as pd

from salesops_lib.sources.sample.clock import Clock
from salesops_lib.sources.sample.columns import Text, dates, frame, ids, text
from salesops_lib.sources.sample.model import Team, World
from salesops_lib.sources.sample.names import FIRST_NAMES, LAST_NAMES, REGIONS, TEAM_NAMES
from salesops_lib.sources.sample.settings import SampleSettings

SKILL_SD, WEAK_LOGIT = 0.25, -0.9


def draw_team(settings: SampleSettings, clock: Clock) -> Team:
    """Draw the reps: half of them are hired during the records, seven in 24 leave."""
    rng, n = settings.rng(0, 0), settings.reps
    share = np.bincount(settings.team_of_region, [r.weight for r in REGIONS], settings.teams)
    rep_team = np.minimum(np.searchsorted(np.cumsum(share), (np.arange(n) + 0.5) / n), settings.teams - 1)
    anchors = np.searchsorted(rep_team, np.arange(settings.teams))
    # The first rep of a team is there all the time, so that no team is ever empty.
    others = _across_teams(rng, np.setdiff1d(np.arange(n), anchors), rep_team)
    hired, leaving = np.split(others[: round(n / 2)], [round(n * 7 / 24)])
    span = clock.closing - clock.opening
    started = np.floor(clock.opening - rng.uniform(200, 2_000, n))
    started[hired] = np.floor(clock.opening + span * _spread(rng, len(hired), 0.06, 0.85))
    left = np.full(n, np.inf)
    left[leaving] = np.floor(clock.opening + span * _spread(rng, len(leaving), 0.2, 0.92)) + 0.9
    fte = np.ones(n)
    fte[others[-2:]] = [0.5, 0.8][-len(others) :]
    weakness = np.zeros((n, 5))
    weakness[anchors[0], 1] = weakness[anchors[settings.teams // 2], 4] = WEAK_LOGIT
    treated = np.zeros(settings.teams, bool)
    treated[rng.permutation(settings.teams)[: max(1, settings.teams // 2)]] = True
    bounds = np.unique(np.concatenate([started, left[np.isfinite(left)]]))
    # Spans without a joiner or leaver, by team: the reps who are there, full-timers twice.
    lists = [
        np.repeat(here, np.where(fte[here] > 0.5, 2, 1))
        for team in range(settings.teams)
        for at in (-np.inf, *bounds)
        for here in [np.flatnonzero((rep_team == team) & (started <= at) & (at < left))]
    ]
    cover = pd.DataFrame(lists).fillna(0).to_numpy(np.int64).reshape(settings.teams, len(bounds) + 1, -1)
    covered = np.array([len(x) for x in lists]).reshape(settings.teams, -1)
    skill = rng.normal(0, SKILL_SD, n)
    return Team(rep_team, started, left, fte, skill, weakness, treated, bounds, cover, covered)


def _across_teams(rng, reps: np.ndarray, rep_team: np.ndarray) -> np.ndarray:
    """Shuffle reps so that any first few come from all teams by size: no team is made of newcomers alone."""
    mixed = rng.permutation(reps)
    rank = np.array([(rep_team[mixed[:i]] == rep_team[rep]).sum() for i, rep in enumerate(mixed)])
    return mixed[np.argsort((rank + rng.random(len(mixed))) / np.bincount(rep_team)[rep_team[mixed]])]


def _spread(rng, n: int, low: float, high: float) -> np.ndarray:
    """Draw shares of the records at which people come or go, one in each of `n` equal spans."""
    return low + (high - low) * (rng.permutation(n) + rng.random(n)) / max(n, 1)


def user_ids(settings: SampleSettings) -> Text:
    """Return the ids of all users: the head, the managers, the reps, the people for leads."""
    return ids("u", np.arange(settings.first_rep + settings.reps + 4) + 1, 3)


def users_table(world: World, at: int) -> pd.DataFrame:
    """List the users as far as they have started."""
    s, team, clock = world.settings, world.team, world.clock
    rng, n, rest = s.rng(0, 3), s.first_rep + s.reps + 4, [0] * 4
    reps = slice(s.first_rep, s.first_rep + s.reps)
    started, left, fte = clock.opening - np.floor(rng.uniform(300, 2_200, n)), np.full(n, np.inf), np.ones(n)
    started[reps], left[reps], fte[reps] = team.started, team.left, team.fte
    in_team = np.concatenate([np.arange(s.teams + 1), team.rep_team + 1, rest])
    everyone, names, gone = user_ids(s), _names(rng, n), clock.instant(left)
    role = np.array(["manager"] * s.first_rep + ["ae"] * s.reps + ["sdr"] * 4)
    columns = {
        "user_id": everyone,
        "name": [f"{first} {last}" for first, last in names],
        "email": [_address(first, last) for first, last in names],
        "role": role,
        "is_quota_carrying": role == "ae",
        "manager_id": text(everyone, np.concatenate([[-1], [0] * s.teams, team.rep_team + 1, rest])),
        "team_id": text(ids("t", np.arange(s.teams + 1) + 1, 1), in_team),
        "start_date": dates(clock.day(started)),
        "end_date": dates(np.where(gone <= at, clock.local_day(gone), -1)),
        "fte": fte,
        "is_active": gone > at,
        "prior_experience_months": rng.integers(0, 140, n),
        "timezone": s.timezone,
        "currency": s.currency,
    }
    return frame("users", columns | _homes(rng, s, in_team), at, shown=clock.instant(started) <= at)


def _names(rng, n: int) -> list[tuple[str, str]]:
    """Combine first and last names so that no two people share both."""
    count = len(FIRST_NAMES) * len(LAST_NAMES)
    pairs = rng.permutation(count)[np.arange(n) % count]
    # Beyond the number of pairs a middle initial tells people apart.
    initial = [f" {chr(64 + i // count % 26)}." if i >= count else "" for i in range(n)]
    first, last = pairs % len(FIRST_NAMES), pairs // len(FIRST_NAMES)
    return [(FIRST_NAMES[f] + i, LAST_NAMES[x]) for f, i, x in zip(first, initial, last, strict=True)]


def _address(first: str, last: str) -> str:
    plain = f"{first}.{last}".lower().replace(". ", "").replace(" ", "")
    return plain.replace("é", "e").replace("ø", "o") + "@sample.example"


def _homes(rng, settings: SampleSettings, in_team: np.ndarray) -> dict:
    """Put the home of each person near the city of a region of the team; the head office is the first region."""
    covered = [[REGIONS[0]], *([REGIONS[i] for i in x] for x in _regions(settings))]
    home = [covered[team][i % len(covered[team])] for i, team in enumerate(in_team)]
    return {
        "home_country": [r.country for r in home],
        "home_postal_code": [r.postal_code(u) for r, u in zip(home, rng.random(len(home)), strict=True)],
        "home_lat": (np.array([r.lat for r in home]) + rng.normal(0, 0.3, len(home))).round(4),
        "home_lon": (np.array([r.lon for r in home]) + rng.normal(0, 0.4, len(home))).round(4),
    }


def _regions(settings: SampleSettings) -> list[np.ndarray]:
    return [np.flatnonzero(settings.team_of_region == team) for team in range(settings.teams)]


def teams_table(world: World, at: int) -> pd.DataFrame:
    """List the teams under the whole of sales; only a team of one region has a region."""
    teams = world.settings.teams
    columns = {
        "team_id": ids("t", np.arange(teams + 1) + 1, 1),
        "name": ["Sales", *TEAM_NAMES[:teams]],
        "parent_team_id": [None] + ["sample:t1"] * teams,
        "region": [None] + [REGIONS[x[0]].name if len(x) == 1 else None for x in _regions(world.settings)],
    }
    return frame("teams", columns, at)
