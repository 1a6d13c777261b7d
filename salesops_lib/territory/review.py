"""The territories of a company on one page: today's plan, a better one, what it costs and whom it touches."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from salesops_lib import facts, stats
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.language import mark, say, say_many
from salesops_lib.present import number
from salesops_lib.present.numbers import localised
from salesops_lib.territory.analysis import Plan, design
from salesops_lib.territory.handover import for_crm, hand_over, sum_hand_over
from salesops_lib.territory.measures import percent, word
from salesops_lib.territory.scenarios import key_figures, plans_by_price
from salesops_lib.territory.workload import headcount, workload

if TYPE_CHECKING:
    import pandas as pd

MEASURES = ("potential_amount", "visits_per_year", "revenue_amount", "annual_revenue", "accounts")
FIRST = ("potential_amount", "annual_revenue")
CURVE = (0.0, 30.0, 100.0, 300.0, 1_000.0)
WINDOW = "4 quarters"
PRIOR_DEALS = 50  # deals with an average rep's rate that every rep and segment starts with
REASON = "territory plan"
STEADY = 0.05  # change of a rep's load that nobody notices
NAMES = {
    "max deviation": mark("furthest off target"), "cv": mark("coefficient of variation"),
    "gini": mark("Gini coefficient"), "travel": mark("travel, km a year"),
    "longest travel of a rep": mark("longest travel of a rep, km a year"),
    "accounts without a rep": mark("accounts without a rep"), "accounts moved": mark("accounts moved"),
    "revenue moved": mark("revenue moved"),
}  # fmt: skip
WITHOUT = {
    "potential_amount": mark("no potential amount"), "annual_revenue": mark("no annual revenue"),
    "visits_per_year": mark("no visits per year"), "revenue_amount": mark("no revenue amount"),
    "accounts": mark("no accounts"),
}  # fmt: skip


@dataclass(frozen=True)
class Review:
    """Territories of a company.

    Attributes
    ----------
    headline
        What the plan changes, and how far from the best it can be at most.
    plan
        The plan; see `design`.
    accounts, reps
        What was planned with, as `design` takes it, with `name`.
    fairness
        One row a rep: `name`, `accounts_today`, `accounts`, `share_today`, `share` (load ÷ target), `expected`
        (yearly revenue at the company's yield of potential, with `expected_low`, `expected_high`), `hours_today`,
        `hours`, `used`, `travel_km_today`, `travel_km`, `change` (of load, a share).
    staffing
        `needed`, `there`, `over`; see `headcount`.
    curve
        The price of disruption; see `price_disruption`.
    plans
        The plans behind the curve, by price.
    moves, by_rep
        Accounts that change hands with their open deals, and their sums for each rep, with names.
    crm
        The file for the CRM.
    left_out
        Accounts that could not be planned with: `reason`, `accounts`.
    currency
        Of amounts.
    """

    headline: str
    plan: Plan
    accounts: pd.DataFrame
    reps: pd.DataFrame
    fairness: pd.DataFrame
    staffing: dict[str, float]
    curve: pd.DataFrame
    plans: dict[float, Plan]
    moves: pd.DataFrame
    by_rep: pd.DataFrame
    crm: pd.DataFrame
    left_out: pd.DataFrame
    currency: str


def review(
    book: Book,
    *,
    balance: str = "",
    tolerance: float = 0.1,
    disruption: float = 100.0,
    locked: tuple[str, ...] = (),
    team: str = "",
    time_limit_s: float = 20,
    seed: int = 0,
) -> Review:
    """Plan the territories of the reps who carry a quota on the as-of day, and put today's beside.

    Where there are too few reps or accounts, or nothing tells who should have which, every part is the refusal.

    Parameters
    ----------
    book
        The company at the as-of instant.
    balance
        One of `MEASURES`; where it is empty the first of `FIRST` that half of the accounts have.
    tolerance, disruption, locked, time_limit_s, seed
        See `design`.
    team
        Name or id of a team, whose reps and accounts alone are planned; the whole company where it is empty.

    Raises
    ------
    ParameterError
        For an unknown measure or team, or a tolerance that cannot be met.
    """
    options = {"tolerance": tolerance, "locked": locked, "time_limit_s": time_limit_s, "seed": seed}
    try:
        return _review(book, balance or _measure(book), disruption, team, options)
    except InsufficientData as error:
        parts = {part.name: error for part in fields(Review)}
        return Review(**parts | {"headline": str(error), "currency": book.currency})


def _review(book: Book, balance: str, disruption: float, team: str, options: dict) -> Review:
    if balance not in MEASURES:
        raise ParameterError(unknown("balance", balance, MEASURES))
    reps = reps_of(book, team)
    if len(reps) < 2:
        raise InsufficientData(say("Territory design"), needed=2, got=len(reps), of=say("reps with a quota"))
    accounts, left_out = accounts_of(book, balance, set(reps["user_id"]) if team else None)
    if len(accounts) < len(reps):
        of = say("accounts with {measure}", measure=balance)
        raise InsufficientData(say("Territory design"), needed=len(reps), got=len(accounts), of=of)
    reps = reps if "lat" in accounts else reps.drop(columns=["home_lat", "home_lon"])
    if "lat" not in accounts and accounts["owner_id"].isna().all():
        of = say("accounts with coordinates or an owner")
        raise InsufficientData(say("Territory design"), needed=len(reps), got=0, of=of)
    options |= {"balance": (balance,)}
    plan = design(accounts, reps, disruption=disruption, **options)
    names = dict(zip(reps["user_id"], reps["name"], strict=True))
    moves = hand_over(plan, _open_deals(book))
    by_rep = sum_hand_over(moves, reps)
    hours = workload(plan, accounts, reps)
    plans = plans_by_price(accounts, reps, prices=CURVE, known={disruption: plan}, **options)
    return Review(
        headline=plan.headline,
        plan=plan,
        accounts=accounts,
        reps=reps,
        fairness=_fairness(plan, accounts, reps, hours),
        staffing=headcount(hours),
        curve=key_figures(plans),
        plans=plans,
        moves=_named(moves, accounts, facts.names(book, "rep")),
        by_rep=by_rep.assign(user_id=by_rep["user_id"].map(names))
        .rename(columns={"user_id": "name"})
        .sort_values("name"),
        crm=for_crm(plan, effective=str(book.day), reason=REASON),
        left_out=left_out,
        currency=book.currency,
    )


def _measure(book: Book) -> str:
    rows = book.accounts
    return next((name for name in FIRST if name in rows and (rows[name].fillna(0) > 0).mean() >= 0.5), "accounts")


def reps_of(book: Book, team: str = "") -> pd.DataFrame:
    """List the people who carry a quota on the as-of day: `user_id`, `name`, home and `capacity_share` (FTE)."""
    import pandas as pd

    users = book.users
    there = users["is_quota_carrying"] & users["is_active"].fillna(True)
    there &= users["end_date"].isna() | (users["end_date"] >= pd.Timestamp(book.day))
    if team:
        there &= users["team_id"].eq(facts.find(book, "team", team))
    users = users[there.fillna(False)].sort_values("user_id", ignore_index=True)
    out = users[["user_id", "home_lat", "home_lon"]].copy()
    out["capacity_share"] = users["fte"].astype(float).fillna(1.0)
    return out.assign(name=facts.named(book, "rep", users["user_id"]).astype(str))


def accounts_of(book: Book, balance: str, owners: set[str] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the accounts to plan with, as `design` takes them, and how many were left out and why.

    Where fewer than half of the accounts have a place, places are left aside: then nothing travels.
    """
    import pandas as pd

    rows = book.accounts
    out = rows[["account_id", "name", "parent_account_id", "owner_id", "segment", "industry"]].copy()
    out["accounts"] = 1.0
    for column in ("lat", "lon", "potential_amount", "visits_per_year", "annual_revenue"):
        out[column] = rows[column].astype("float64")
    out["revenue_amount"] = out["account_id"].map(_won(book)).fillna(0.0).astype(float)
    gone = rows["is_deleted"].fillna(False).astype(bool) | rows["merged_into_id"].notna()
    reasons = pd.Series("", index=out.index).mask(gone, mark("deleted or merged"))
    if owners is not None:
        reasons = reasons.mask(reasons.eq("") & ~out["owner_id"].isin(owners), mark("owned by another team"))
    poor = out[balance].isna() | (out[balance] <= 0) if balance == "potential_amount" else out[balance].isna()
    reasons = reasons.mask(reasons.eq("") & poor, WITHOUT[balance])
    placed = out[["lat", "lon"]].notna().all(axis=1)
    homes = book.users.loc[book.users["is_quota_carrying"], ["home_lat", "home_lon"]].notna().all(axis=1)
    if placed[reasons.eq("")].mean() >= 0.5 and homes.all():
        reasons = reasons.mask(reasons.eq("") & ~placed, mark("no coordinates"))
    else:
        out = out.drop(columns=["lat", "lon"])
    left = reasons[reasons.ne("")].value_counts().rename_axis("reason").reset_index(name="accounts")
    return out[reasons.eq("")].reset_index(drop=True), left


def strengths(book: Book, *, by: str = "segment", period: str = WINDOW) -> pd.DataFrame:
    """How far each rep's win rate lies off the segment's, drawn towards it where deals are few.

    ``(won − n × rate of the segment) ÷ (n + 50)``: the posterior mean under a beta prior worth 50 deals (Efron and
    Morris 1975). For the argument `fit` of `design`.

    Returns
    -------
    DataFrame
        `user_id`, the column `by`, `fit` (difference of win rates), `n`.
    """
    window = facts.resolve_period(book, period)
    rows = facts.Facts(book, window, facts.deals(book)).closed()
    sums = rows.groupby(["rep", by])["is_won"].agg(["sum", "size"]).reset_index()
    rate = rows.groupby(by)["is_won"].mean()
    fit = (sums["sum"] - sums["size"] * sums[by].map(rate)) / (sums["size"] + PRIOR_DEALS)
    out = sums.rename(columns={"rep": "user_id", "size": "n"})[["user_id", by, "n"]].assign(fit=fit.astype(float))
    return out[out["user_id"].ne(facts.NOT_ASSIGNED)].reset_index(drop=True)


def _won(book: Book) -> pd.Series:
    rows = facts.Facts(book, facts.resolve_period(book, WINDOW), facts.deals(book)).won()
    return rows.assign(priced=rows["priced"].astype(float)).groupby("account_id")["priced"].sum()


def _open_deals(book: Book) -> pd.DataFrame:
    rows = facts.deals(book)
    rows = rows[~rows["is_closed"]]
    return rows[["account_id"]].assign(amount=rows["priced"].astype(float).fillna(0.0))


def _named(moves: pd.DataFrame, accounts: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    told = accounts.set_index("account_id")["name"]
    out = moves.assign(
        account=moves["account_id"].map(told).fillna(moves["account_id"]),
        out_of=moves["from_user_id"].map(names).fillna(say("nobody")),
        into=moves["to_user_id"].map(names),
    )
    return out[["out_of", "into", "account", "open_deals", "open_amount", "distance_km", "account_id"]]


def _fairness(plan: Plan, accounts: pd.DataFrame, reps: pd.DataFrame, hours: pd.DataFrame) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    measure = plan.balance[0]
    rows = plan.reps.merge(hours, on="user_id").merge(reps[["user_id", "name"]], on="user_id")
    now = accounts.merge(plan.assignments[["account_id", "user_id"]], on="account_id")
    today = now[now["owner_id"].isin(reps["user_id"])]
    load = today.groupby("owner_id")[measure].sum().reindex(rows["user_id"]).fillna(0.0).to_numpy(float)
    count = today.groupby("owner_id").size().reindex(rows["user_id"]).fillna(0).to_numpy(int)
    yields = stats.ratio_of_sums(now["revenue_amount"], now[measure])
    sums = now.groupby("user_id")[measure].sum().reindex(rows["user_id"]).to_numpy(float)
    share = load / rows["target"].to_numpy()
    out = pd.DataFrame(
        {
            "name": rows["name"], "accounts_today": count, "accounts": rows["accounts"], "share_today": share,
            "share": rows["share"], "change": np.where(load > 0, rows["load"] / np.where(load > 0, load, 1) -
            1, np.nan),
            "expected": sums * yields.value, "expected_low": sums * yields.low, "expected_high": sums *
            yields.high,
            "hours": rows["hours"], "used": rows["used"], "travel_km": rows["travel_km"],
        }
    )  # fmt: skip
    return out.sort_values("name", ignore_index=True)


# how frames are shown; arguments of `present.table`
UNITS = {
    "accounts_today": "count", "accounts": "count", "share_today": "percent", "share": "percent",
    "change": "percent",
    "expected": "money", "hours": "count", "used": "percent", "travel_km": "count", "open_deals": "count",
    "open_amount": "money", "distance_km": "count", "accounts_out": "count", "accounts_in": "count",
    "open_deals_out": "count", "open_deals_in": "count", "open_amount_out": "money", "open_amount_in": "money",
    "disruption": "count", "accounts_moved": "count", "accounts_moved_share": "percent", "gap": "share",
    "revenue_moved_share": "percent", "max_deviation": "share",
}  # fmt: skip
LABELS = {
    "share_today": "share of target today", "share": "share of target",
    "change": "gains or loses", "expected": "expected revenue [95 %]",
    "used": "hours used", "travel_km": "km a year", "out_of": "from", "into": "to", "distance_km": "km away",
    "disruption": "price, km an account", "accounts_moved_share": "share of accounts",
    "revenue_moved_share": "share of revenue",
    "max_deviation": "furthest off balance", "gap": "above the bound, at most",
    "name": "name", "accounts_today": "accounts today", "accounts": "accounts", "hours": "hours",
    "account": "account", "open_deals": "open deals", "open_amount": "open amount", "account_id": "account id",
    "accounts_out": "accounts out", "accounts_in": "accounts in", "open_deals_out": "open deals out",
    "open_deals_in": "open deals in", "open_amount_out": "open amount out", "open_amount_in": "open amount in",
    "accounts_moved": "accounts moved", "metric": "metric", "today": "today", "plan": "plan",
}  # fmt: skip
FOLDED_LABELS = {"into": "into", "distance_km": "distance km"}  # folded tables name columns by themselves
RANGES = {"expected": ("expected_low", "expected_high")}
SHOWN = {"units": UNITS, "labels": LABELS, "ranges": RANGES}


def measured(result: Review) -> pd.DataFrame:
    """Write the plan's metrics out for a table: `metric`, `today`, `plan`."""
    import pandas as pd

    if isinstance(result.plan, InsufficientData):
        return result.plan
    rows = result.plan.metrics
    said = [
        [number(value, "share" if row.unit == "share" else "count") for value in (row.before, row.after)]
        for row in rows.itertuples()
    ]
    names = rows["metric"].map(_metric)
    return pd.DataFrame(said, columns=["today", "plan"]).assign(metric=names)[["metric", "today", "plan"]]


def _metric(name: str) -> str:
    """Name a metric of a plan for people; it may be one of a measure."""
    measure, _, kind = name.rpartition(": ")
    return f"{word(measure)}: {say(NAMES[kind])}" if measure else say(NAMES[kind])


def gains(result: Review) -> str:
    """Say who gains and who loses."""
    if isinstance(result.plan, InsufficientData):
        return ""
    rows = result.fairness.dropna(subset=["change"]).sort_values("change")
    if rows.empty:
        return say("Nobody has accounts today.")
    up, down = (rows["change"] > STEADY).sum(), (rows["change"] < -STEADY).sum()
    least, most = rows.iloc[0], rows.iloc[-1]
    return say(
        "{up} reps gain {measure} by more than {share}, {down} lose as much; most: {gainer} {gain}, "
        "{loser} {loss}.",
        up=up, measure=word(result.plan.balance[0]), share=f"{STEADY:.0%}", down=down,
        gainer=most["name"], gain=number(most["change"], "percent", signed=True),
        loser=least["name"], loss=number(least["change"], "percent", signed=True),
    )  # fmt: skip


def certificate(result: Review) -> str:
    """Say what is proven about the plan, what it rests on, and what a planner should know."""
    plan = result.plan
    if isinstance(plan, InsufficientData):
        return ""
    proof = say(
        "Travel and disruption of the plan come to {cost} km a year; no plan within ±{tolerance} comes to less "
        "than {bound} (gap {gap}).",
        cost=number(plan.cost, "count"), tolerance=f"{plan.tolerance:.0%}",
        bound=number(plan.lower_bound, "count"), gap=percent(plan.gap),
    )  # fmt: skip
    people = say(
        "Visits and the way to them take {needed} full-time people; there are {there}.",
        **{name: localised(f"{result.staffing[name]:.1f}") for name in ("needed", "there")},
    )
    left = [_left_out(row.accounts, row.reason) for row in result.left_out.itertuples()]
    return " ".join([proof, people, *plan.findings, *left])


def _left_out(n: int, reason: str) -> str:
    return say_many("{n} account left out: {reason}.", "{n} accounts left out: {reason}.", n, reason=say(reason))
