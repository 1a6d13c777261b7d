"""What a planner hands in, checked and turned into numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import DataContractError, ParameterError, listed, unknown
from salesops_lib.language import say
from salesops_lib.territory.rows import bad_rows, coordinates, need, numbers

if TYPE_CHECKING:
    import pandas as pd

FAR_KM, NEAR_SHARE = 3_000, 0.3  # a place so far off, and so much nearer when swapped, was swapped
LARGE_PAIRS = 1_000_000  # pairs of account and rep from which on 32-bit numbers are enough
MOST_PAIRS = 150_000_000


@dataclass(frozen=True)
class Inputs:
    """Accounts and reps in numbers, one row an account.

    Attributes
    ----------
    account, user
        Ids, in the order of the arrays.
    weight
        Accounts × balance measures, as given.
    share
        Capacity share of each rep; they sum to 1.
    distance
        Kilometres between accounts and homes; zeros where nothing has a place.
    visits, revenue
        Visits a year, and what counts as moved.
    owner, held
        Rep of today, and rep an account is locked to; −1 for none.
    unit
        Accounts that must stay together have one number.
    barred
        Pairs that may not be, True; None where there are none.
    misfit
        Accounts × reps: how far a rep's fit lies under the best; None without fits.
    findings
        What a planner should know, in sentences.
    """

    account: np.ndarray
    user: np.ndarray
    weight: np.ndarray
    share: np.ndarray
    distance: np.ndarray
    visits: np.ndarray
    revenue: np.ndarray
    owner: np.ndarray
    held: np.ndarray
    unit: np.ndarray
    barred: np.ndarray | None
    misfit: np.ndarray | None
    findings: tuple[str, ...]


def read(accounts, reps, balance, locked, forbidden, fit, together) -> Inputs:
    """Check accounts and reps and turn them into arrays.

    Raises
    ------
    DataContractError
        For rows that cannot be used: doubled, without a place, with swapped coordinates, without potential.
    ParameterError
        For unknown columns, accounts or reps, more reps than accounts, or locks that contradict each other.
    """
    need(accounts, ("account_id",), "accounts")
    need(reps, ("user_id",), "reps")
    bad_rows(
        accounts, "account_id", accounts["account_id"].duplicated(keep=False), "stand more than once", "Keep one."
    )
    bad_rows(reps, "user_id", reps["user_id"].duplicated(keep=False), "stand more than once", "Keep one.")
    n, count = len(accounts), len(reps)
    if not count or count > n:
        raise ParameterError(
            f"{count} reps for {n} accounts: at least one rep, and an account for each, is needed."
        )
    if n * count > MOST_PAIRS:
        raise ParameterError(
            f"{n:,} accounts × {count:,} reps are too many for one plan; design region by region."
        )
    account, user = accounts["account_id"].to_numpy(), reps["user_id"].to_numpy()
    weight = np.column_stack([_measure(accounts, name) for name in balance])
    share = numbers(reps, "capacity_share", "user_id", least=0) if "capacity_share" in reps else np.ones(count)
    bad_rows(
        reps, "user_id", share <= 0, "have no capacity_share above 0", "Leave them out, or give them a share."
    )
    owner, found = _owners(accounts, user)
    held = _held(locked, account, user, owner)
    barred = _barred(forbidden, account, user)
    if barred is not None:
        both = (held >= 0) & barred[np.arange(n), held]
        bad_rows(accounts, "account_id", both, "are locked to a rep they are forbidden to", "Drop one of the two.")
        bad_rows(accounts, "account_id", barred.all(axis=1), "are forbidden to every rep", "Allow one.")
    unit = _units(accounts, together)
    visits = numbers(accounts.fillna({"visits_per_year": 1}), "visits_per_year", "account_id", least=0) \
        if "visits_per_year" in accounts else np.ones(n)  # fmt: skip
    revenue = _measure(accounts.fillna({"revenue_amount": 0}), "revenue_amount") \
        if "revenue_amount" in accounts else weight[:, 0]  # fmt: skip
    return Inputs(
        account, user, weight, share / share.sum(), _distance(accounts, reps), visits, revenue, owner, held, unit,
        barred, _misfit(fit, accounts, user), tuple(found),
    )  # fmt: skip


def _measure(accounts: pd.DataFrame, name: str) -> np.ndarray:
    if name not in accounts:
        raise ParameterError(unknown("balance column", name, accounts.columns))
    values = numbers(accounts, name, "account_id")
    bad_rows(accounts, "account_id", values < 0, f"have a negative {name}", f"Correct {name}.")
    if name == "potential_amount":
        bad_rows(
            accounts, "account_id", values <= 0, f"have no {name} above 0",
            "Estimate it, or balance on another column (balance=...).",
        )  # fmt: skip
    if not values.sum() > 0:
        raise DataContractError(f"{name} is 0 in all {len(values)} rows; there is nothing to balance.")
    return values


def _owners(accounts: pd.DataFrame, user: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Look today's owners up; one who is no rep of the plan has left, and is a finding."""
    import pandas as pd

    if "owner_id" not in accounts:
        return np.full(len(accounts), -1), []
    owner = pd.Index(user).get_indexer(accounts["owner_id"])
    gone = accounts.loc[(owner < 0) & accounts["owner_id"].notna(), "owner_id"]
    if gone.empty:
        return owner, []
    names = listed(gone.drop_duplicates().tolist(), most=120)
    said = say(
        "{n} accounts belong to {owners} owners who are no reps of this plan: {names}.",
        n=len(gone), owners=gone.nunique(), names=names,
    )  # fmt: skip
    return owner, [said]


def _held(locked, account, user, owner) -> np.ndarray:
    """Turn locks, accounts alone (to today's owner) or pairs of account and rep, into rep numbers."""
    import pandas as pd

    held = np.full(len(account), -1)
    if isinstance(locked, pd.DataFrame):
        need(locked, ("account_id", "user_id"), "locked")
        locked = list(locked[["account_id", "user_id"]].itertuples(index=False, name=None))
    elif isinstance(locked, Mapping):
        locked = list(locked.items())
    rows, people = ({name: k for k, name in enumerate(names)} for names in (account, user))
    for lock in locked:
        name, who = lock if isinstance(lock, tuple) else (lock, None)
        if name not in rows:
            raise ParameterError(f"locked: {unknown('account', str(name), account[:1000])}")
        if who is not None and who not in people:
            raise ParameterError(f"locked, account {name}: {unknown('rep', str(who), user)}")
        at = rows[name]
        to = owner[at] if who is None else people[who]
        if to < 0:
            raise ParameterError(
                f"locked: account {name} has no owner among the reps to stay with; name one: ({name!r}, user_id)."
            )
        if held[at] not in (-1, to):
            raise ParameterError(
                f"locked: account {name} is locked to {user[held[at]]} and to {user[to]}; keep one."
            )
        held[at] = to
    return held


def _barred(forbidden: Iterable, account, user) -> np.ndarray | None:
    import pandas as pd

    if isinstance(forbidden, pd.DataFrame):
        need(forbidden, ("account_id", "user_id"), "forbidden")
        forbidden = forbidden[["account_id", "user_id"]].itertuples(index=False, name=None)
    pairs = list(forbidden)
    if not pairs:
        return None
    out = np.zeros((len(account), len(user)), dtype=bool)
    rows, people = ({name: k for k, name in enumerate(names)} for names in (account, user))
    for name, who in pairs:
        if name not in rows:
            raise ParameterError(f"forbidden: {unknown('account', str(name), account[:1000])}")
        if who not in people:
            raise ParameterError(f"forbidden: {unknown('rep', str(who), user)}")
        out[rows[name], people[who]] = True
    return out


def _units(accounts: pd.DataFrame, together: bool) -> np.ndarray:
    """Number accounts so that those under one ultimate parent share a number."""
    n = len(accounts)
    if not together or "parent_account_id" not in accounts or accounts["parent_account_id"].isna().all():
        return np.arange(n)
    import pandas as pd
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    # a parent that is no account of this plan still ties its children together
    names = pd.Index(pd.concat([accounts["account_id"], accounts["parent_account_id"].dropna()]).unique())
    child = accounts["parent_account_id"].notna().to_numpy()
    a = names.get_indexer(accounts.loc[child, "account_id"])
    b = names.get_indexer(accounts.loc[child, "parent_account_id"])
    _, group = connected_components(coo_matrix((np.ones(len(a)), (a, b)), shape=(len(names),) * 2), directed=False)
    return np.unique(group[names.get_indexer(accounts["account_id"])], return_inverse=True)[1]


def _distance(accounts: pd.DataFrame, reps: pd.DataFrame) -> np.ndarray:
    from salesops_lib.territory.geo import all_distances_km

    placed = [name for name in ("lat", "lon") if name in accounts]
    if not placed:
        return np.zeros((len(accounts), len(reps)), dtype=np.float32)
    lat, lon = coordinates(accounts, "lat", "lon", "account_id")
    home_lat, home_lon = coordinates(reps, "home_lat", "home_lon", "user_id")
    for frame, key, north, east in ((accounts, "account_id", lat, lon), (reps, "user_id", home_lat, home_lon)):
        others = (home_lat, home_lon) if frame is accounts else (lat, lon)
        centre = [np.array([np.median(values)]) for values in others]
        far = all_distances_km(north, east, *centre)[:, 0]
        turned = all_distances_km(np.clip(east, -90, 90), north, *centre)[:, 0]
        swapped = (far > FAR_KM) & (turned < NEAR_SHARE * far) & (np.abs(east) <= 90)
        names = "lat and lon" if frame is accounts else "home_lat and home_lon"
        bad_rows(frame, key, swapped, f"lie {FAR_KM:,} km and more off", f"{names} look swapped: exchange them.")
    return all_distances_km(lat, lon, home_lat, home_lon)


def _misfit(fit, accounts: pd.DataFrame, user: np.ndarray) -> np.ndarray | None:
    """Spread the fit of reps with segments over accounts: how far each lies under the best rep's."""
    if fit is None:
        return None
    need(fit, ("user_id", "fit"), "fit")
    keys = [name for name in fit.columns if name in accounts and name not in ("user_id", "fit", "owner_id")]
    if not keys:
        raise DataContractError(f"fit: no column of accounts in it to match on; accounts have {listed(accounts)}.")
    values = numbers(fit, "fit", "user_id")
    wide = fit.assign(fit=values).pivot_table(index=keys, columns="user_id", values="fit", aggfunc="mean")
    wide = wide.reindex(columns=list(user)).fillna(0.0)
    if len(keys) == 1:
        rows = wide.reindex(accounts[keys[0]]).fillna(0.0).to_numpy()
    else:
        rows = wide.reindex(accounts.set_index(keys).index).fillna(0.0).to_numpy()
    return rows.max(axis=1, keepdims=True) - rows
