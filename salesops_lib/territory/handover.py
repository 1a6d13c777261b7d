"""What changes for whom: accounts out and in with open deals, the file for the CRM, and routing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import ParameterError, unknown
from salesops_lib.territory.rows import bad_rows, need

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.territory.analysis import Plan

NEAREST, NEIGHBOURS = "nearest accounts", 5


def hand_over(plan: Plan, deals: pd.DataFrame | None = None) -> pd.DataFrame:
    """List the accounts that change hands, with the open deals that go along.

    Parameters
    ----------
    deals
        Open deals: `account_id`, `amount`; none where it is left out.

    Returns
    -------
    DataFrame
        One row an account: `account_id`, `from_user_id` (empty where nobody had it), `to_user_id`, `distance_km`,
        `open_deals`, `open_amount`; largest open amount first.
    """
    rows = plan.assignments
    rows = rows[rows["previous_user_id"].ne(rows["user_id"]) | rows["previous_user_id"].isna()]
    out = rows[["account_id", "previous_user_id", "user_id", "distance_km"]].rename(
        columns={"previous_user_id": "from_user_id", "user_id": "to_user_id"}
    )
    out["open_deals"], out["open_amount"] = 0, 0.0
    if deals is not None and len(deals):
        need(deals, ("account_id", "amount"), "deals")
        sums = (
            deals.assign(amount=deals["amount"].astype(float)).groupby("account_id")["amount"].agg(["size", "sum"])
        )
        out["open_deals"] = out["account_id"].map(sums["size"]).fillna(0).astype(int)
        out["open_amount"] = out["account_id"].map(sums["sum"]).fillna(0.0).astype(float)
    return out.sort_values(["open_amount", "account_id"], ascending=[False, True], ignore_index=True)


def sum_hand_over(moves: pd.DataFrame, reps: pd.DataFrame) -> pd.DataFrame:
    """Sum what `hand_over` lists for each rep.

    Returns
    -------
    DataFrame
        `user_id`, `accounts_out`, `accounts_in`, `open_deals_out`, `open_deals_in`, `open_amount_out`,
        `open_amount_in`.
    """
    import pandas as pd

    parts = {}
    for side, column in (("out", "from_user_id"), ("in", "to_user_id")):
        sums = moves.groupby(column).agg(
            accounts=("account_id", "size"), open_deals=("open_deals", "sum"), open_amount=("open_amount", "sum")
        )
        parts[side] = sums.reindex(reps["user_id"]).fillna(0)
    out = {
        f"{name}_{side}": parts[side][name] for name in ("accounts", "open_deals", "open_amount") for side in parts
    }
    whole = {name: int for name in out if not name.startswith("open_amount")}
    return pd.DataFrame(out).astype(whole).rename_axis("user_id").reset_index()


def for_crm(plan: Plan, *, effective: str, reason: str = "territory plan") -> pd.DataFrame:
    """Write the changes as a CRM takes them: `account_id`, `new_owner_id`, `effective_date`, `reason`."""
    rows = hand_over(plan)
    said = np.where(rows["from_user_id"].isna(), f"{reason}: had no owner", reason)
    return rows[["account_id"]].assign(
        new_owner_id=rows["to_user_id"], effective_date=str(effective), reason=said
    ).sort_values("account_id", ignore_index=True)  # fmt: skip


def route(
    plan: Plan, leads: pd.DataFrame, accounts: pd.DataFrame, reps: pd.DataFrame, *, by: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Assign new accounts and leads by the plan's own rules, then by fair turns; each line says why.

    In this order: the owner of the account a lead belongs to; the rep who has most of the plan's accounts with the
    same values of `by`; with coordinates, the rep who has most of the five nearest accounts; else the rep who is
    furthest behind in turns, by capacity share.

    Parameters
    ----------
    leads
        `lead_id`, and any of `account_id`, `lat`, `lon` and the columns of `by`.
    accounts
        The accounts of the plan, with the same columns.
    by
        Columns that decide, such as ``("segment",)``.

    Returns
    -------
    DataFrame
        One row a lead, in the order given: `lead_id`, `user_id`, `rule`.

    Raises
    ------
    ParameterError
        For an unknown column in `by`.
    """
    import pandas as pd

    need(leads, ("lead_id",), "leads")
    bad_rows(leads, "lead_id", leads["lead_id"].duplicated(keep=False), "stand more than once", "Keep one.")
    for name in by:
        if name not in accounts or name not in leads:
            raise ParameterError(unknown("column", name, set(accounts) & set(leads)))
    known = accounts.merge(plan.assignments[["account_id", "user_id"]], on="account_id")
    user = pd.Series(pd.NA, index=leads.index, dtype=object)
    rule = pd.Series("", index=leads.index, dtype=object)

    def take(found: pd.Series, said: str) -> None:
        new = user.isna() & found.notna().to_numpy()
        user[new], rule[new] = found[new], said

    if "account_id" in leads:
        take(leads["account_id"].map(known.set_index("account_id")["user_id"]), "owner of the account")
    if by:
        most = known.groupby(list(by))["user_id"].agg(lambda names: names.mode().iloc[0])
        keys = leads[list(by)].itertuples(index=False, name=None) if len(by) > 1 else leads[by[0]]
        take(pd.Series([most.get(key) for key in keys], index=leads.index), f"rep for this {' and '.join(by)}")
    if {"lat", "lon"} <= set(leads) and {"lat", "lon"} <= set(known):
        take(_nearest(known, leads), f"{NEIGHBOURS} {NEAREST}")
    share = reps.get("capacity_share", pd.Series(1.0, index=reps.index)).astype(float).to_numpy()
    turns = pd.Series(0.0, index=reps["user_id"])
    for at in user.index[user.isna()]:
        who = ((turns + 1) / share).idxmin()
        turns[who] += 1
        user[at], rule[at] = who, "turn"
    return pd.DataFrame({"lead_id": leads["lead_id"], "user_id": user, "rule": rule}).reset_index(drop=True)


def _nearest(known: pd.DataFrame, leads: pd.DataFrame) -> pd.Series:
    import pandas as pd
    from sklearn.neighbors import BallTree

    placed = leads[["lat", "lon"]].notna().all(axis=1)
    out = pd.Series(None, index=leads.index, dtype=object)
    if placed.any():
        tree = BallTree(np.radians(known[["lat", "lon"]].to_numpy(float)), metric="haversine")
        near = tree.query(
            np.radians(leads.loc[placed, ["lat", "lon"]].to_numpy(float)), k=min(NEIGHBOURS, len(known))
        )[1]
        names = known["user_id"].to_numpy()
        out[placed] = [pd.Series(names[row]).mode().iloc[0] for row in near]
    return out
