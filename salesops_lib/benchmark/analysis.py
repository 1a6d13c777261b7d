"""Reps side by side, sorted by name, and whether their win rates differ by more than chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from salesops_lib import kpis
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData
from salesops_lib.facts import NOT_ASSIGNED, Facts, deals, quota, resolve_period
from salesops_lib.kpis.reps import RAMPING_DAYS
from salesops_lib.language import mark, say
from salesops_lib.periods import Period
from salesops_lib.present.numbers import localised

if TYPE_CHECKING:
    import pandas as pd

LEAST_REPS, LEAST_EXPECTED, DRAWS = 2, 5, 4_999


@dataclass(frozen=True)
class Reps:
    """Reps of one period.

    Attributes
    ----------
    headline
        One sentence on attainment and on whether win rates differ by more than chance.
    period
        The window, half-open.
    reps
        One row a person who carried a quota or closed a deal, by name: `user_id`, `name`, `team`, `attainment`,
        `attainment_low`, `attainment_high`, `booked`, `quota`, `won`, `closed`, `win_rate`, `win_low`, `win_high`,
        `start_date`, `end_date`, `is_new` (under six months).
    heterogeneity
        `chi2`, `df`, `p_value`, `n_reps` of Pearson's test that all reps share one win rate; empty where there
        are fewer than two reps with closed deals.
    win_rate
        The company's win rate.
    """

    headline: str
    period: Period
    reps: pd.DataFrame
    heterogeneity: dict[str, float]
    win_rate: float


def summarize(book: Book, *, period: str = "4 quarters") -> Reps:
    """Put every rep's attainment, bookings and win rate side by side.

    Parameters
    ----------
    book
        The company at the as-of instant.
    period
        ``month``, ``quarter``, ``year`` or a number of them.

    Raises
    ------
    InsufficientData
        Where nobody carried a quota or closed a deal in the period.
    ParameterError
        For an unknown period.
    """
    import pandas as pd

    window = resolve_period(book, period)
    frame = kpis.compute(book, ["K02", "K03", "K26"], window, by="rep", variants="default")
    frame = frame[frame["segment"].ne(NOT_ASSIGNED)]
    if frame.empty:
        what = say("Rep benchmarking for {period}", period=window)
        raise InsufficientData(what, needed=1, got=0, of=say("reps with a quota or a deal"))
    by_kpi = {name: rows.set_index("segment") for name, rows in frame.groupby("kpi_id")}
    booked, attained, rate = by_kpi["K26"], by_kpi["K02"], by_kpi["K03"]
    users = book.users.set_index("user_id").reindex(booked.index)
    target = pd.Series({rep: quota(Facts(book, window, deals(book), "rep", rep)) for rep in booked.index})
    reps = pd.DataFrame(
        {
            "name": booked["segment_name"],
            "team": users["team_id"].map(book.teams.set_index("team_id")["name"]),
            "attainment": attained["value"],
            "attainment_low": attained["low"],
            "attainment_high": attained["high"],
            "booked": booked["value"],
            "quota": target.where(target > 0),
            "won": (rate["value"] * rate["n"]).fillna(0).round().astype(int),
            "closed": rate["n"],
            "win_rate": rate["value"],
            "win_low": rate["low"],
            "win_high": rate["high"],
            "start_date": users["start_date"],
            "end_date": users["end_date"],
            "is_new": (pd.Timestamp(book.day) - users["start_date"]).dt.days.lt(RAMPING_DAYS),
        }
    )
    reps = reps.rename_axis("user_id").reset_index().sort_values(["name", "user_id"], ignore_index=True)
    company = kpis.compute(book, "K03", window, variants="default").iloc[0]["value"]
    test = test_heterogeneity(reps)
    over, why = book.day >= window.last_day, attained["note"].iloc[0]
    return Reps(_headline(reps, window, test, over, why), window, reps, test, company)


def test_heterogeneity(reps: pd.DataFrame) -> dict[str, float]:
    """Test whether all reps share one win rate (Pearson's χ² of homogeneity, 1900).

    Where a rep has so few deals that the χ² distribution misleads (an expected count under five, Cochran 1954),
    the p-value comes from tables drawn at random with the same totals.

    Parameters
    ----------
    reps
        `won` and `closed`, one row a rep; reps without a closed deal are left out.
    """
    import numpy as np
    from scipy.stats import chi2_contingency, random_table

    seen = reps[reps["closed"] > 0]
    won, closed = seen["won"].to_numpy(dtype=int), seen["closed"].to_numpy(dtype=int)
    if len(seen) < LEAST_REPS or won.sum() in (0, closed.sum()):
        return {}
    found = chi2_contingency([won, closed - won], correction=False)
    p_value = float(found.pvalue)
    if found.expected_freq.min() < LEAST_EXPECTED:
        drawn = random_table([won.sum(), closed.sum() - won.sum()], closed).rvs(DRAWS, random_state=0)
        statistics = ((drawn - found.expected_freq) ** 2 / found.expected_freq).sum(axis=(1, 2))
        p_value = float((1 + np.sum(statistics >= found.statistic - 1e-9)) / (DRAWS + 1))
    return {"chi2": float(found.statistic), "df": int(found.dof), "p_value": p_value, "n_reps": len(seen)}


def _headline(reps: pd.DataFrame, window: Period, test: dict[str, float], over: bool, why: str) -> str:
    carriers = reps[reps["attainment"].notna()]
    if len(carriers):
        counts = {"reached": int((carriers["attainment"] >= 1).sum()), "n": len(carriers), "period": window}
        if over:
            first = say("{reached} of {n} reps are at or above quota for {period}", **counts)
        else:
            first = say("{reached} of {n} reps are at or above quota for {period}, which is not over", **counts)
    else:
        first = say("{n} reps in {period}, no attainment: {why}", n=len(reps), period=window, why=why)
    if not test:
        return say("{first}; too few closed deals to compare win rates.", first=first)
    tested = {"n": test["n_reps"], "chi2": localised(f"{test['chi2']:.1f}"), "df": test["df"],
              "p": localised(f"{test['p_value']:.2g}")}  # fmt: skip
    if test["p_value"] < 0.05:
        return say(
            "{first}; the win rates of {n} reps differ by more than chance (χ² {chi2} on {df} df, p = {p}).",
            first=first, **tested,
        )  # fmt: skip
    return say(
        "{first}; the win rates of {n} reps are statistically indistinguishable "
        "(χ² {chi2} on {df} df, p = {p}).", first=first, **tested,
    )  # fmt: skip


# how the table of reps is shown; arguments of `present.table`
TABLE = {
    "units": {
        "start_date": "date", "end_date": "date", "is_new": "flag", "quota": "amount", "booked": "amount",
        "attainment": "share", "won": "count", "closed": "count", "win_rate": "share",
    },
    "labels": {
        "start_date": mark("start"), "end_date": mark("left"), "is_new": mark("new"), "booked": mark("booked K26"),
        "attainment": mark("attained K02 [95 %]"), "win_rate": mark("win rate K03 [95 %]"),
    },
    "ranges": {
        "attainment": ("attainment_low", "attainment_high"),
        "win_rate": ("win_low", "win_high"),
    },
}  # fmt: skip
