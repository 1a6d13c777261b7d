"""How leads are spread over people, and what the leads are worth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import stats
from salesops_lib.book import Book
from salesops_lib.facts import Facts
from salesops_lib.kpis.lead_facts import (
    LEAD_DIMENSIONS,
    cohort,
    lead_members,
    leads,
    tallied,
    typical_days,
)
from salesops_lib.kpis.people_time import HOURS, sellers, unsure
from salesops_lib.kpis.registry import Variants, kpi, refuse
from salesops_lib.language import mark, say
from salesops_lib.periods import Period
from salesops_lib.stats import LEVEL, NOT_DEFINED, OK, TOO_FEW, Estimate

if TYPE_CHECKING:
    import pandas as pd

ROLE_SHARE = 0.1  # of the leads: a role that owns fewer is not one that leads are given to
EACH = 5  # leads a person for the χ² distribution to hold
LEAST_WINS = 30
TAIL = (1 - LEVEL) / 2


@kpi(
    "K38",
    name="Lead-distribution fairness",
    formula="spread of leads over people ÷ spread that chance gives",
    population="leads created in the period; people who sell, of the roles that own a tenth of them or more, on "
    "the days they were there, times full-time share; leave is not known",
    attribution="owner of the lead as exported: leads passed on since count where they are now",
    unit="times",
    direction="down",
    variants={
        "leads": "χ² ÷ degrees of freedom against leads given at random to those there that day; 1 is chance. "
        "Equal counts alone are not fair: people work different hours",
        "expected customers": "the same with each lead counting its expected win rate (K39)",
        "Gini": "Gini coefficient of leads an available hour; above 0 by chance alone",
        "max ÷ min": "leads an available hour of who got most ÷ of who got fewest",
    },
    needs=("leads", "users"),
    interval="χ² on the spread; delta method on Poisson counts; score interval of a ratio of two rates",
    source="kpis.md K38",
    units={"Gini": "share"},
    dimensions=("team", "segment", "source"),
    members=lead_members,
)
def fairness(facts: Facts) -> Variants:
    """Compare how leads are spread with what chance would give."""
    lots, said = _lots(facts)
    refused = lots.refusal()
    if refused:
        yield from refuse("K38", refused.noted(said))
        return
    yield "leads", _beyond_chance(lots, np.ones(len(lots.owner))).noted(said)
    rates = base_rates(facts.book, facts.period)
    if isinstance(rates, Estimate):
        yield "expected customers", rates
    else:
        yield "expected customers", _beyond_chance(lots, rates.of(lots.rows)[0]).noted(said)
    yield "Gini", _gini(lots).noted(said)
    yield "max ÷ min", _extremes(lots).noted(said)


@kpi(
    "K39",
    name="Lead quality",
    formula="Σ expected win rate of leads ÷ leads",
    population="leads created in the period, at the win rates of earlier leads of their source and segment within "
    "twice the typical days from lead to win, pulled towards that of all; no margin, as costs are not known",
    attribution="owner of the lead as exported; lead owners have no history here",
    unit="share",
    direction="up",
    variants={
        "expected win rate": "mean over the leads",
        "against all leads": "÷ win rate of all earlier leads: above 1 the mix is better",
        "observed ÷ expected": "customers won from leads of the period that are old enough ÷ customers expected "
        "of them; 1 where the rates still hold",
    },
    needs=("leads", "opportunities"),
    interval="beta matched to mean and variance, empirical Bayes; exact Poisson (Garwood)",
    least=30,
    source="kpis.md K39",
    units={"against all leads": "times", "observed ÷ expected": "times"},
    dimensions=LEAD_DIMENSIONS,
    members=lead_members,
)
def lead_quality(facts: Facts) -> Variants:
    """Average the expected win rates of leads."""
    rates = base_rates(facts.book, facts.period)
    if isinstance(rates, Estimate):
        yield from refuse("K39", rates)
        return
    rows, said = cohort(facts)
    quality = _mean_rate(rates, rows).noted(say("within {n} days", n=rates.horizon), said)
    yield "expected win rate", quality
    yield "against all leads", quality.scaled(1 / rates.overall)
    old = rows[rows["seen"] >= rates.horizon]
    if len(old) < LEAST_WINS:
        few = say("needs {needed} leads followed for {days} days, has {n}",
                  needed=LEAST_WINS, days=rates.horizon, n=len(old))  # fmt: skip
        yield "observed ÷ expected", Estimate.none(TOO_FEW, len(old), few)
        return
    won = stats.count(int((old["won"] <= rates.horizon).sum()))
    yield "observed ÷ expected", won.scaled(1 / rates.of(old)[0].sum()).noted(said)


@dataclass(frozen=True)
class BaseRates:
    """Win rates of leads by source and segment, as known before a period.

    Attributes
    ----------
    cells
        `won` and `lost`, both with the prior added, by source and segment.
    overall
        Win rate of all leads.
    prior
        How many leads the prior counts as.
    horizon
        Days from creation within which a win counts.
    """

    cells: pd.DataFrame
    overall: float
    prior: float
    horizon: int

    def of(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Expected win rate of each lead and how many leads it rests on; that of all where its like never came."""
        found = rows[["source", "segment"]].merge(self.cells, on=["source", "segment"], how="left")
        won = found["won"].fillna(self.overall * self.prior).to_numpy()
        lost = found["lost"].fillna((1 - self.overall) * self.prior).to_numpy()
        return won / (won + lost), won + lost


@lru_cache(maxsize=32)
def base_rates(book: Book, period: Period) -> BaseRates | Estimate:
    """Estimate the win rate by source and segment from the leads created before a period.

    Only those followed for the whole horizon count. The fewer leads a group has, and the less groups differ, the
    more its rate is pulled towards that of all: a beta-binomial model, its prior fitted by maximum likelihood.
    """
    from scipy.optimize import minimize_scalar
    from scipy.stats import betabinom

    typical = typical_days(book)
    if typical.status != OK:
        return typical
    horizon = round(2 * typical.value)
    rows = leads(book)
    old = (rows["created_day"] < np.datetime64(period.start)) & (rows["seen"] >= horizon)
    rows = rows[old & ~rows["is_gone"] & ~rows["is_bulk"]]
    won = (rows["won"] <= horizon).astype(int)
    if won.sum() < LEAST_WINS:
        few = say("needs {needed} wins of earlier leads within {days} days, has {n}",
                  needed=LEAST_WINS, days=horizon, n=int(won.sum()))  # fmt: skip
        return Estimate.none(TOO_FEW, len(rows), few)
    cells = won.groupby([rows["source"], rows["segment"]]).agg(["sum", "size"]).reset_index()
    overall, k, n = won.mean(), cells["sum"].to_numpy(), cells["size"].to_numpy()

    def unlikely(log_prior):
        prior = np.exp(log_prior)
        return -betabinom.logpmf(k, n, overall * prior, (1 - overall) * prior).sum()

    prior = float(np.exp(minimize_scalar(unlikely, bounds=(0, 10), method="bounded").x))
    cells = cells.assign(won=k + overall * prior, lost=n - k + (1 - overall) * prior)
    return BaseRates(cells[["source", "segment", "won", "lost"]], float(overall), prior, horizon)


def _mean_rate(rates: BaseRates, rows: pd.DataFrame) -> Estimate:
    """Mean expected win rate; leads of one source and segment share their error, those of others do not."""
    from scipy.stats import beta

    if rows.empty:
        return Estimate.none(NOT_DEFINED, 0, say("no cases"))
    cells = rows.groupby(["source", "segment"]).size()
    rate, size = rates.of(cells.index.to_frame(index=False))
    share = cells.to_numpy() / len(rows)
    value, variance = float(share @ rate), float(share**2 @ (rate * (1 - rate) / (size + 1)))
    strength = value * (1 - value) / variance - 1
    low, high = beta.ppf([TAIL, 1 - TAIL], value * strength, (1 - value) * strength)
    return Estimate(value, float(low), float(high), len(rows))


@dataclass(frozen=True)
class Lots:
    """Who got which lead: `owner` and `chance` (a column a person) go by lead, the rest by person."""

    people: np.ndarray
    rows: pd.DataFrame
    owner: np.ndarray
    chance: np.ndarray
    counts: np.ndarray
    hours: np.ndarray

    def refusal(self) -> Estimate | None:
        """Say why a spread cannot be told."""
        people, n = len(self.hours), len(self.owner)
        if people < 2:
            return Estimate.none(NOT_DEFINED, n, say("fewer than two people share these leads"))
        if n < EACH * people:
            few = say(
                "needs {needed} leads for {people} people, has {n}", needed=EACH * people, people=people, n=n
            )
            return Estimate.none(TOO_FEW, n, few)
        return None


def shares_of_leads(facts: Facts) -> pd.DataFrame:
    """Say what each person got of the leads, and what chance would have given.

    Returns
    -------
    DataFrame
        One row a person: `rep`, `leads`, `due` (leads that fall to them at random, by the days they were there),
        `hours` (available), `p_value` (two-sided, exact but for leads of unlike chance), `expected_customers` and
        `due_customers` (each lead counting its expected win rate; empty where that is not known). No row where
        fewer than two people share the leads, or these are too few.
    """
    import pandas as pd
    from scipy.stats import binom

    lots, _ = _lots(facts)
    names = ["rep", "leads", "due", "hours", "p_value", "expected_customers", "due_customers"]
    if lots.refusal():
        return pd.DataFrame(columns=names)
    n, due, rates = len(lots.owner), lots.chance.sum(axis=0), base_rates(facts.book, facts.period)
    lower = binom.cdf(lots.counts, n, due / n) - binom.pmf(lots.counts, n, due / n) / 2
    weight = np.full(n, np.nan) if isinstance(rates, Estimate) else rates.of(lots.rows)[0]
    got = np.bincount(lots.owner, weight, len(lots.hours))
    columns = (
        lots.people,
        lots.counts,
        due,
        lots.hours,
        2 * np.minimum(lower, 1 - lower),
        got,
        weight @ lots.chance,
    )
    return pd.DataFrame(dict(zip(names, columns, strict=True)))


def _lots(facts: Facts) -> tuple[Lots, str]:
    import pandas as pd

    rows, said = cohort(facts)
    people = sellers(facts.book, facts.period)
    if facts.by == "team":
        people = people[people["team"].eq(facts.segment)]
    share = rows["rep"].map(people.set_index("rep")["role"]).value_counts() / max(len(rows), 1)
    people = people[people["role"].isin(share.index[share >= ROLE_SHARE])]
    day = rows["created_day"].to_numpy()[:, None]
    there = ((people["start"].to_numpy() <= day) & (day <= people["end"].to_numpy())) * people["fte"].to_numpy()
    owner = pd.Index(people["rep"]).get_indexer(rows["rep"])
    kept = (owner >= 0) & (there.sum(axis=1) > 0)
    said = tallied(said, (int((~kept).sum()), mark("{n} owned by others left out")))
    said = "; ".join(filter(None, (said, unsure(facts.book, facts.period))))
    chance = there[kept] / there[kept].sum(axis=1, keepdims=True)
    counts = np.bincount(owner[kept], minlength=len(people))
    return Lots(
        people["rep"].to_numpy(), rows[kept], owner[kept], chance, counts, HOURS * people["days"].to_numpy()
    ), said


def _beyond_chance(lots: Lots, weight: np.ndarray) -> Estimate:
    """χ² over its degrees of freedom: 1 where leads fall at random to those who are there on their day."""
    from scipy.stats import chi2

    got, due = np.bincount(lots.owner, weight, len(lots.hours)), weight @ lots.chance
    due_some = due > 0
    spread = ((got - due)[due_some] ** 2 / due[due_some]).sum() * weight.sum() / (weight**2).sum()
    free = int(due_some.sum()) - 1
    low, high = spread / chi2.ppf([1 - TAIL, TAIL], free)
    note = say("{n} people; chance alone is as uneven in {share} of cases",
               n=free + 1, share=f"{chi2.sf(spread, free):.2g}")  # fmt: skip
    return Estimate(float(spread / free), float(low), float(high), len(lots.owner), note=note)


def _gini(lots: Lots) -> Estimate:
    """Gini coefficient of leads an available hour, with the error that Poisson counts give it."""
    from scipy.stats import norm

    order = np.argsort(lots.counts / lots.hours)
    hours, counts = lots.hours[order], lots.counts[order]
    rate, people = counts / hours, len(counts)
    place = (2 * np.arange(1, people + 1) - people - 1) / people
    value = float(place @ rate / rate.sum())
    error = float(np.sqrt(((place - value) / rate.sum()) ** 2 @ (counts / hours**2)))
    low, high = np.clip(value + norm.ppf([TAIL, 1 - TAIL]) * error, 0, 1)
    return Estimate(value, float(low), float(high), len(lots.owner))


def _extremes(lots: Lots) -> Estimate:
    from statsmodels.stats.rates import confint_poisson_2indep

    rate = lots.counts / lots.hours
    most, fewest = int(rate.argmax()), int(rate.argmin())
    if not lots.counts[fewest]:
        return Estimate.none(NOT_DEFINED, len(lots.owner), say("somebody got none"))
    pairs = (lots.counts[most], lots.hours[most], lots.counts[fewest], lots.hours[fewest])
    low, high = confint_poisson_2indep(*pairs, method="score", compare="ratio", alpha=1 - LEVEL)
    return Estimate(float(rate[most] / rate[fewest]), float(low), float(high), len(lots.owner))
