"""How far a period should be by now, after how past periods filled up; and how new reps come up to speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import stats
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData
from salesops_lib.facts import Facts, deals, is_recorded
from salesops_lib.kpis.reps import attained
from salesops_lib.language import say
from salesops_lib.periods import Period

if TYPE_CHECKING:
    import pandas as pd

LEAST_PERIODS, MOST_PERIODS = 4, 12
LEAST_REPS, MONTHS = 10, 24


@dataclass(frozen=True)
class Pace:
    """Attainment against the booking curve.

    Attributes
    ----------
    elapsed, usual, usual_low, usual_high
        Share of the working days gone; share of a period's bookings that past ones had by then, mean and range.
    n_periods
        Past periods.
    reps
        One row a rep with a quota: `user_id`, `booked`, `quota`, `attainment`, `on_pace` (booked over what the
        curve asks by now) with `on_pace_low` and `on_pace_high` (by the fullest and the emptiest of past periods),
        `linear` (booked over the share of days gone, which misleads).
    """

    elapsed: float
    usual: float
    usual_low: float
    usual_high: float
    n_periods: int
    reps: pd.DataFrame


def measure_pace(book: Book, period: Period) -> Pace:
    """Put bookings beside what past periods of the same kind had booked at the same point.

    Raises
    ------
    InsufficientData
        With fewer than four past periods with bookings.
    """
    import pandas as pd

    calendar, rows = book.calendar, deals(book)
    past, shares = period, []
    for _ in range(MOST_PERIODS):
        past = calendar.shift(past, -1)
        if not is_recorded(book, past):
            break
        won = Facts(book, past, rows).won()
        total = stats.to_float(won["priced"]).sum()
        then = calendar.same_progress(period, book.day, past)
        if total > 0:
            early = won[pd.Timestamp(then.end) > won["close_date"]]
            shares.append(stats.to_float(early["priced"]).sum() / total)
    if len(shares) < LEAST_PERIODS:
        what, of = say("Pace of {period}", period=period), say("comparable past periods")
        raise InsufficientData(what, needed=LEAST_PERIODS, got=len(shares), of=of)
    usual, gone = float(np.mean(shares)), calendar.elapsed(period, book.day)
    held = attained(book, period)
    held = held[[quota > 0 for quota in held["quota"]]]
    booked, quota = (held[name].astype(float) for name in ("booked", "quota"))
    out = pd.DataFrame({"user_id": held.index, "booked": booked.to_numpy(), "quota": quota.to_numpy()})
    out["attainment"] = out["booked"] / out["quota"]
    for name, then in (("", usual), ("_low", np.max(shares)), ("_high", np.min(shares))):
        out[f"on_pace{name}"] = out["attainment"] / then if then else np.nan
    out["linear"] = out["attainment"] / gone if gone else np.nan
    return Pace(gone, usual, float(np.min(shares)), float(np.max(shares)), len(shares), out)


def ramp_curve(made: pd.DataFrame, *, interval: float = 0.9) -> pd.DataFrame:
    """Estimate productivity by month of tenure, leavers in it for as long as they were there.

    Parameters
    ----------
    made
        One row a rep and month of tenure they worked in full: `user_id`, `month` (0, 1, …), `made`.

    Returns
    -------
    DataFrame
        `month`, `n` (reps seen in it), `made` (with the mix of all reps), `low`, `high`, `survivors` (plain mean
        of those still there, which weak leavers push up). Months with fewer than 10 reps are left out.

    Raises
    ------
    InsufficientData
        Where no month has 10 reps.

    Notes
    -----
    Mixed model with an effect a month and a random one a rep (Laird and Ware 1982), by restricted likelihood.
    """
    import pandas as pd
    from scipy.stats import norm

    seen = made.groupby("month")["user_id"].nunique()
    kept = seen.index[(seen >= LEAST_REPS) & (seen.index < MONTHS)]
    if not len(kept):
        most = int(seen.max()) if len(seen) else 0
        of = say("reps in one month of tenure")
        raise InsufficientData(say("Ramp curve"), needed=LEAST_REPS, got=most, of=of)
    rows = made[made["month"].isin(kept)]
    month, months = pd.factorize(rows["month"], sort=True)
    rep, reps = pd.factorize(rows["user_id"])
    value = rows["made"].to_numpy(dtype=float)
    x, ratio = np.eye(len(months))[month], _variance_ratio(value, month, rep, len(months), len(reps))
    beta, cov = _generalised(value, x, rep, len(reps), ratio)[:2]
    reach = norm.ppf((1 + interval) / 2) * np.sqrt(np.diag(cov))
    plain = rows.groupby("month")["made"].mean()
    columns = {
        "month": months,
        "n": seen[months].to_numpy(),
        "made": beta,
        "low": beta - reach,
        "high": beta + reach,
    }
    return pd.DataFrame(columns | {"survivors": plain[months].to_numpy()})


def _variance_ratio(value, month, rep, months: int, reps: int) -> float:
    """Variance between reps over that within them, by restricted likelihood."""
    from scipy.optimize import minimize_scalar

    x = np.eye(months)[month]
    found = minimize_scalar(
        lambda log: _generalised(value, x, rep, reps, np.exp(log))[2], bounds=(-9, 4), method="bounded"
    )
    return float(np.exp(found.x))


def _generalised(value, x, rep, reps: int, ratio: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Coefficients, their covariance and the restricted deviance at one ratio of variances."""
    n = np.bincount(rep, minlength=reps)
    pull = ratio / (1 + n * ratio)
    sums, total = np.zeros((reps, x.shape[1])), np.bincount(rep, value, reps)
    np.add.at(sums, rep, x)
    inner = x.T @ x - sums.T @ (pull[:, None] * sums)
    right = x.T @ value - sums.T @ (pull * total)
    beta = np.linalg.solve(inner, right)
    off = value - x @ beta
    spent = off @ off - (pull * np.bincount(rep, off, reps) ** 2).sum()
    free = len(value) - x.shape[1]
    deviance = free * np.log(spent) + np.log1p(n * ratio).sum() + np.linalg.slogdet(inner)[1]
    return beta, np.linalg.inv(inner) * spent / free, float(deviance)
