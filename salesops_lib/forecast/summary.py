"""What a foreseen window says of its period: quantiles, deals, parts, weeks, teams, and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts, stats
from salesops_lib.forecast.deals import day_number
from salesops_lib.forecast.foresight import Foresight
from salesops_lib.forecast.scenario import AS_IT_IS, Scenario
from salesops_lib.language import mark, say
from salesops_lib.present import interval, number

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
NAMES = [f"q{100 * q:g}" for q in QUANTILES]


def quantiles(totals: np.ndarray) -> pd.Series:
    """Quantiles of the draws by probability."""
    import pandas as pd

    index = pd.Index(QUANTILES, name="quantile")
    return pd.Series(np.quantile(totals, QUANTILES), index=index, name="amount")


TEAMS = ["team", "quota", "booked", "expected", "low", "mid", "high", "p_quota"]
DEALS = [
    "opportunity_id", "rep", "team", "stage_id", "amount", "expected_close_date", "p_win_in_period", "expected",
    "p_quota_if_won", "p_quota_if_not", "effect", "swing",
]  # fmt: skip


def deals(
    own: facts.Facts, found: Foresight, totals: np.ndarray, quota: float, what: Scenario = AS_IT_IS
) -> pd.DataFrame:
    """Say of each open deal what its win, or its absence, would make of P(quota)."""
    import pandas as pd

    rows, chance, drawn = found.rows, found.chance, found.drawn.open
    worth = np.nan_to_num(found.ground.learnt.sizes.moments(rows)[0]) * what.deal_size
    if_won, if_not = np.full((2, len(rows)), np.nan)
    if quota > 0:
        order = np.argsort(drawn.deal, kind="stable")
        starts = np.searchsorted(drawn.deal[order], np.arange(len(rows) + 1))
        for k in range(len(rows)):
            mine = order[starts[k] : starts[k + 1]]
            without = totals.copy()
            without[drawn.draw[mine]] -= drawn.amount[mine]
            if_won[k], if_not[k] = (without + worth[k] >= quota).mean(), (without >= quota).mean()
    known = own.deals.set_index("opportunity_id").reindex(rows["opportunity_id"])
    frame = pd.DataFrame({
        "opportunity_id": rows["opportunity_id"].to_numpy(),
        **{name: known[name].to_numpy() for name in ("rep", "team", "stage_id")},
        "amount": rows["amount"].to_numpy(),
        "expected_close_date": known["expected_close_date"].to_numpy(),
        "p_win_in_period": chance,
        "expected": chance * worth,
        "p_quota_if_won": if_won,
        "p_quota_if_not": if_not,
        "effect": if_won - if_not,
    })  # fmt: skip
    frame["swing"] = frame["effect"] * np.sqrt(chance * (1 - chance))
    return frame.sort_values(["swing", "expected", "opportunity_id"], ascending=[False, False, True],
                             ignore_index=True)[DEALS]  # fmt: skip


def parts(booked: float, old: np.ndarray, new: np.ndarray, totals: np.ndarray) -> pd.DataFrame:
    """What is booked, and what open deals (`old`) and new ones bring by the last week: mean and 80 % range."""
    import pandas as pd

    amounts = {mark("open deals"): old[:, -1], mark("deals not yet created"): new[:, -1], mark("total"): totals}
    rows = [{"part": mark("booked"), "expected": booked, "low": booked, "high": booked}]
    for part, values in amounts.items():
        low, high = np.quantile(values, [0.1, 0.9])
        rows.append({"part": part, "expected": values.mean(), "low": low, "high": high})
    return pd.DataFrame(rows)


def weeks(own: facts.Facts, ends: np.ndarray, paths: np.ndarray | None) -> pd.DataFrame:
    """Bookings so far by week, then the quantiles of what they will have come to."""
    import pandas as pd

    calendar, period, day = own.book.calendar, own.period, own.book.day
    won = own.won()
    names = [f"q{100 * q:g}" for q in QUANTILES]
    rows = []
    for k, week in enumerate(calendar.between("week", period.start, period.last_day), start=1):
        last = min(week.last_day, period.last_day)
        row = {"week": k, "end": pd.Timestamp(last)}
        if week.start <= day:
            row["booked"] = float(
                stats.exact_sum(won.loc[won["close_date"] <= pd.Timestamp(min(last, day)), "priced"])
            )
        at = np.flatnonzero(ends == day_number(last))
        if len(at):
            row |= dict(zip(names, np.quantile(paths[:, at[0]], QUANTILES), strict=True))
        rows.append(row)
    return pd.DataFrame(rows).reindex(columns=["week", "end", "booked", *names])


def teams(own: facts.Facts, found: Foresight | None) -> pd.DataFrame:
    """Bookings of each team as the same draws have them, beside its quota; nothing to come without `found`."""
    import pandas as pd

    members = facts.members(own.book, "team", own.period)
    rest = np.zeros((len(members), 1))
    if found is not None:
        rest = found.by_part(own.deals.set_index("opportunity_id")["team"], members)
    rows = []
    for team, ahead in zip(members, rest, strict=True):
        mine = facts.Facts(own.book, own.period, own.deals[own.deals["team"].eq(team)], "team", team)
        booked, quota = float(stats.exact_sum(mine.won()["priced"])), facts.whole_quota(mine)
        low, mid, high = np.quantile(booked + ahead, [0.1, 0.5, 0.9])
        rows.append([team, quota, booked, booked + ahead.mean(), low, mid, high,
                     float((booked + ahead >= quota).mean()) if quota > 0 else stats.NONE])  # fmt: skip
    return pd.DataFrame(rows, columns=TEAMS)


def headline(
    own: facts.Facts, quantiles: pd.Series, quota: float, p_quota: float, what: Scenario = AS_IT_IS
) -> str:
    """Say in a sentence what the period will book, and under which scenario."""
    told = {
        "period": own.period if what == AS_IT_IS else f"{own.period} ({what})",
        "amount": number(quantiles[0.5], "money"), "currency": own.book.currency,
        "range": interval(quantiles[0.1], quantiles[0.9], "money"),
    }  # fmt: skip
    if not quota > 0:
        return say("{period}: most likely {amount} {currency}, 80 % range {range}.", **told)
    return say(
        "{period}: most likely {amount} {currency}, 80 % range {range}, against quota {quota}; chance to reach it "
        "{chance}.",
        **told, quota=number(quota, "money"), chance=number(p_quota, "percent"),
    )  # fmt: skip


def method(found: Foresight) -> str:
    """Say how the forecast was made."""
    learnt, joint = found.ground.learnt.hazard, found.ground.blend
    how = say("rates of winning and losing by what is known of each deal") if learnt.is_rich else (
        say("rates by stage and age alone, as only {n} deals were won so far", n=learnt.wins)
    )  # fmt: skip
    told = {"deals": number(joint.weight, "percent"), "recent": number(1 - joint.weight, "percent")}
    joined = say("joined: {deals} open and new deals, {recent} recent bookings", **told)
    basis = (
        say("weights from {n} past weeks", n=joint.n)
        if joint.n
        else say("weights are defaults, as there are no past weeks to learn from")
    )
    return f"{how}; {joined} ({basis})"


WORDS = {
    "stage": mark("stages"), "amount": mark("amounts"), "expected_close_date": mark("expected close dates"),
    "forecast_category": mark("forecast categories"),
}  # fmt: skip


def notes(own: facts.Facts, found: Foresight) -> tuple[str, ...]:
    """Say what the source cannot tell, and what is left out."""
    seen, notes = found.ground.panel, []
    if seen.untold:
        told = ", ".join(say(WORDS[name]) for name in seen.untold)
        notes.append(say("the source keeps no history of {fields}: nothing is learnt from them", fields=told))
    if seen.late:
        notes.append(say("filled in as deals close, so left out: {fields}", fields=", ".join(seen.late)))
    rest = len(own.open()) - len(seen.open())
    if rest > 0:
        n = number(rest, "count")
        notes.append(say("{n} open deals without a day of creation count as not yet created", n=n))
    unpriced = own.unpriced(own.won())
    return (*notes, *([unpriced] if unpriced else []))
