"""The whole sample company: drawn, exported, in batches, and the truth about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from salesops_lib.errors import ParameterError
from salesops_lib.sources.sample import (
    accounts,
    activities,
    deals,
    history,
    leads,
    opportunities,
    people,
    quotas,
    stages,
)  # fmt: skip
from salesops_lib.sources.sample.clock import DAY, GROWTH, Clock
from salesops_lib.sources.sample.model import RAMP_DAYS, Company, Counts, Ledger, World
from salesops_lib.sources.sample.names import SEGMENTS, SOURCES, STAGES, TYPES, WON
from salesops_lib.sources.sample.settings import SampleSettings

SNAPSHOT = [
    "opportunity_id", "stage_id", "amount", "currency", "expected_close_date", "forecast_category", "owner_id",
    "is_closed", "is_won",
]  # fmt: skip


def simulate(settings: SampleSettings | None = None) -> Company:
    """Draw the sample company and the whole life of each of its deals.

    Parameters
    ----------
    settings
        Sizes, dates and effects; the defaults where none are given.
    """
    settings = settings or SampleSettings()
    return _company(settings, settings.opportunities)


def _company(settings: SampleSettings, count: int) -> Company:
    """Draw people and companies, the first `count` deals, and the quotas they suggest."""
    clock = Clock.of(settings)
    team = people.draw_team(settings, clock)
    world = World(settings, clock, team, accounts.draw_accounts(settings, clock, team))
    book = deals.draw_book(world, count, Counts())
    return Company(**vars(world), book=book, quotas=quotas.draw_quotas(world, book))


def export(company: Company, at=None) -> dict[str, pd.DataFrame]:
    """Return the canonical tables as the CRM would have exported them at an instant.

    Parameters
    ----------
    company
        From `simulate`.
    at
        A day (its end is meant) or an instant; the end of the records where none is given. An instant without a
        zone is local to the company.
    """
    instant = _instant(company.settings, at)
    return _static_tables(company, instant) | _book_tables(company, company.book, instant)


def snapshots(company: Company, days: Iterable[object]) -> pd.DataFrame:
    """Keep what the CRM shows at the end of each day, as a nightly job would: never from the history.

    Returns
    -------
    DataFrame
        `snapshot_date`, `opportunity_id`, `stage_id`, `amount`, `currency`, `expected_close_date`,
        `forecast_category`, `owner_id`, `is_closed`, `is_won`; deleted and merged deals are gone.
    """
    kept = []
    for day in days:
        at = _instant(company.settings, day)
        deals = opportunities.opportunities_table(company, company.book, at)
        there = deals[~deals["is_deleted"] & deals["merged_into_id"].isna()]
        kept.append(there[SNAPSHOT].assign(snapshot_date=pd.Timestamp(day).normalize()))
    return pd.concat(kept, ignore_index=True)[["snapshot_date", *SNAPSHOT]]


def batches(settings: SampleSettings, size: int = 50_000) -> Iterator[dict[str, pd.DataFrame]]:
    """Make a large company block by block, each exported at the end of the records.

    The first block also holds the people, companies, products, stages and quotas. `customer_since` and the quotas
    are set from that block alone, as the later ones are not known yet; `is_first_meeting` is per block, so a
    company met in several blocks has one in each. A company that fits in one block is exactly the one of
    `simulate`.

    Parameters
    ----------
    settings
        Sizes, dates and effects.
    size
        Deals in a block.
    """
    if size < 1:
        raise ParameterError(f"size is {size}; a block holds at least 1 deal")
    at = _instant(settings)
    company = _company(settings, min(size, settings.opportunities))
    book = company.book
    yield _static_tables(company, at) | _book_tables(company, book, at)
    for first in range(size, settings.opportunities, size):
        book = deals.draw_book(company, min(size, settings.opportunities - first), book.counts)
        yield _book_tables(company, book, at)


def _instant(settings: SampleSettings, at=None) -> int:
    """Turn a day or an instant into UTC seconds; a day means its last second in the company's zone."""
    try:
        stamp = pd.Timestamp(settings.end if at is None else at)
    except (ValueError, TypeError):
        stamp = pd.NaT
    if pd.isna(stamp):
        raise ParameterError(f"at is {at!r}; give a day such as '{settings.end}', or an instant")
    if stamp.tzinfo is None:
        whole_day = stamp == stamp.normalize()
        stamp = (stamp + pd.Timedelta(seconds=DAY - 1 if whole_day else 0)).tz_localize(settings.timezone)
    return int(stamp.timestamp())


def _static_tables(company: Company, at: int) -> dict[str, pd.DataFrame]:
    return {
        "users": people.users_table(company, at),
        "teams": people.teams_table(company, at),
        "accounts": accounts.accounts_table(company, at),
        "stages": stages.stages_table(company, at),
        "products": opportunities.products_table(at),
        "quotas": quotas.quotas_table(company, at),
    }


def _book_tables(world: World, book: Ledger, at: int) -> dict[str, pd.DataFrame]:
    return {
        "opportunities": opportunities.opportunities_table(world, book, at),
        "opportunity_history": history.history_table(world, book, at),
        "opportunity_products": opportunities.lines_table(book, at),
        "leads": leads.leads_table(world, book, at),
        "activities": activities.activities_table(world, book, at),
    }


def truth(company: Company) -> dict:
    """Tell the parameters the company was drawn from, ready for JSON.

    Logits add up on the advance probability of each stage; skill, ramp and weakness act through the owner at
    creation, the process change through the team of the account.
    """
    s, team = company.settings, company.team
    reps = people.user_ids(s)[s.first_rep :][: s.reps].tolist()
    teams = np.array([f"sample:t{t + 2}" for t in range(s.teams)])
    weak = np.argwhere(team.weakness < 0).tolist()
    return {
        "rep_skill_logit": dict(zip(reps, team.skill.round(6).tolist(), strict=True)),
        "weak_stage": {reps[r]: {"stage": STAGES[stage], "logit": people.WEAK_LOGIT} for r, stage in weak},
        "stage_advance_probability": _by_segment(stages.ADVANCE),
        "stage_duration_working_days_mean": _by_segment(stages.DURATION),
        "stage_duration_gamma_shape": stages.DURATION_SHAPE,
        "stage_duration_frailty_sigma": stages.FRAILTY_SIGMA,
        "stage_duration_factor_before_loss": {"median": stages.LINGER, "sigma": stages.LINGER_SIGMA},
        "amount_median": dict(zip(SEGMENTS, accounts.AMOUNT_MEDIAN.tolist(), strict=True)),
        "amount_sigma": deals.AMOUNT_SIGMA,
        "source_logit": dict(zip(SOURCES, stages.SOURCE_LOGIT.tolist(), strict=True)),
        "type_logit": dict(zip(TYPES, stages.TYPE_LOGIT.tolist(), strict=True)),
        "ramp": {"working_days": RAMP_DAYS, "logit_on_first_day": 0.75 * stages.RAMP_LOGIT},
        "process_change": {
            "on": s.process_change_on,
            "teams": teams[team.treated].tolist(),
            "untreated_teams": teams[~team.treated].tolist(),
            "stage": STAGES[stages.PROCESS_STAGE],
            "logit": s.process_change_lift,
        },
        "quarter_end_pull_share": stages.PULL_SHARE,
        "reopen_share": stages.REOPEN_SHARE,
        "delete_share": deals.DELETE_SHARE,
        "growth_per_year": GROWTH - 1,
        "part_time": {reps[i]: float(team.fte[i]) for i in np.flatnonzero(team.fte < 1)},
    }


def _by_segment(rates: np.ndarray) -> dict[str, dict[str, float]]:
    rows = [dict(zip(STAGES[:WON], row, strict=True)) for row in rates.round(6).tolist()]
    return dict(zip(SEGMENTS, rows, strict=True))
