"""How the funnel's frames read on a page: units in words, columns without news left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salesops_lib import stats
from salesops_lib.errors import InsufficientData
from salesops_lib.funnel.leaks import UNKNOWN
from salesops_lib.funnel.levers import lever_said
from salesops_lib.language import mark, say
from salesops_lib.passages import called
from salesops_lib.present import counted, fitted, interval, number

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.funnel.analysis import Review

FACTORS = {"deals": "count", "win rate": "share", "size": "money", "cycle days": "days",
           "velocity a day": "money_per_day"}  # fmt: skip
WORDS = {
    "deals": mark("open deals"),
    "win rate": mark("win rate, projected"),
    "size": mark("deal size"),
    "cycle days": mark("days to a win"),
    "velocity a day": mark("velocity a day"),
}
MORE = {mark("1 point"): mark("1 point more"), mark("1 %"): mark("1 % more"), mark("1 day"): mark("1 day less")}
PHASES = (mark("awareness"), mark("consideration"), mark("decision"), mark("customer"))  # of the contract
LEVERS = {"deals created": "count", "deal size": "money", "sales cycle": "days"}


def steps(frame: pd.DataFrame | InsufficientData) -> pd.DataFrame | InsufficientData:
    """Show steps without what only the method needs; a time that is not reached yet says so."""
    if isinstance(frame, InsufficientData):
        return frame
    rows = frame.drop(columns=["reached", "at_risk"])
    rows["p90_days"] = [number(day, "days") if day == day else say("not reached") for day in rows["p90_days"]]
    rows = rows.assign(**{name: rows[name].map(called) for name in ("stage", "next_stage")})
    return rows.drop(columns="status") if rows["status"].eq(stats.OK).all() else rows


def journey(frame: pd.DataFrame | InsufficientData) -> pd.DataFrame | InsufficientData:
    """Show steps along the buyer's journey, whose phases are words of ours."""
    rows = steps(frame)
    if isinstance(rows, InsufficientData):
        return rows
    return rows.assign(**{name: rows[name].map(say) for name in ("stage", "next_stage")})


def worth(frame: pd.DataFrame | InsufficientData) -> pd.DataFrame | InsufficientData:
    """Show levers with the present level of each in its own unit."""
    if isinstance(frame, InsufficientData):
        return frame
    units = frame["lever"].map(LEVERS).fillna("share")
    now = [number(value, unit) for value, unit in zip(frame["now"], units, strict=True)]
    return frame.assign(lever=frame["lever"].map(lever_said), unit=frame["unit"].replace(MORE), now=now)


def change(frame: pd.DataFrame | InsufficientData) -> pd.DataFrame | InsufficientData:
    """Show the change of the win rate with its parts named as such."""
    if isinstance(frame, InsufficientData):
        return frame
    rows = frame.rename(columns={"mix": "by_mix", "rate": "by_rate"})
    return rows.drop(columns="status") if rows["status"].nunique() == 1 else rows


def velocity(frame: pd.DataFrame | InsufficientData) -> pd.DataFrame | InsufficientData:
    """Show velocity with each factor in its own unit."""
    if isinstance(frame, InsufficientData):
        return frame
    units = frame["factor"].map(FACTORS)
    written = {
        when: [number(value, unit) for value, unit in zip(frame[when], units, strict=True)]
        for when in ("before", "after")
    }
    return frame.assign(factor=frame["factor"].replace(WORDS), **written)


def told(frame: pd.DataFrame | InsufficientData, first: str = "reason") -> pd.DataFrame | InsufficientData:
    """Show losses without columns in which nothing is told, the first under its own name."""
    if isinstance(frame, InsufficientData):
        return frame
    rows = frame.assign(reason=frame["reason"].replace(UNKNOWN, say(UNKNOWN)), stage=frame["stage"].map(called))
    return rows.dropna(axis=1, how="all").rename(columns={"reason": first, "stage": "most often from"})


def sources(frame: pd.DataFrame | InsufficientData) -> pd.DataFrame | InsufficientData:
    """Show sources with the flag beside the leads it is about."""
    if isinstance(frame, InsufficientData):
        return frame
    first = ["source", "flag", "leads", "lead_share"]
    rows = frame[first + [column for column in frame if column not in first]]
    return rows if rows["flag"].ne("").any() else rows.drop(columns="flag")


def say_change(result: Review) -> str:
    """Say whether the win rate changed by more than chance, and how much of it is mix."""
    if isinstance(result.change, InsufficientData):
        return ""
    (after, n_after), (before, n_before) = (whole_rate(result.change, when) for when in ("after", "before"))
    found = stats.difference(
        stats.proportion(round(after * n_after), n_after), stats.proportion(round(before * n_before), n_before)
    )
    mix, rate = (number(result.change[part].sum(), "points", signed=True) for part in ("mix", "rate"))
    given = {
        "before": number(before, "share"), "after": number(after, "share"), "mix": mix, "rate": rate,
        "change": number(found.value, "points", signed=True), "range": interval(found.low, found.high, "points"),
    }  # fmt: skip
    if found.is_noise:
        return say(
            "The win rate (K03, won ÷ closed) went from {before} to {after}: {change} {range}, no more than "
            "chance. Mix gave {mix}, the rates within the groups {rate}.", **given,
        )  # fmt: skip
    return say(
        "The win rate (K03, won ÷ closed) went from {before} to {after}: {change} {range}. Mix gave {mix}, the "
        "rates within the groups {rate}.", **given,
    )  # fmt: skip


def say_stalled(result: Review) -> str:
    """Say how many open deals have stood still, and what they are worth."""
    if isinstance(result.stalled, InsufficientData):
        return ""
    whole = float(result.stalled["amount"].astype("float64").sum())
    deals = counted(len(result.stalled), "open deal")
    if not whole:
        return say(
            "{deals} without an amount, longer in the stage than nine in ten won deals of the segment.",
            deals=deals,
        )
    return say(
        "{deals} worth {worth} {currency}, longer in the stage than nine in ten won deals of the segment.",
        deals=deals, worth=number(whole, "money"), currency=result.currency,
    )  # fmt: skip


def stalled(frame: pd.DataFrame | InsufficientData) -> pd.DataFrame | InsufficientData:
    """Show deals that have stood still by name; by id where the source gives none."""
    if isinstance(frame, InsufficientData):
        return frame
    rows = frame.assign(name=frame["name"].fillna(frame["opportunity_id"]))
    return rows.drop(columns=["opportunity_id", "user_id"])


def whole_rate(frame: pd.DataFrame, when: str) -> tuple[float, int]:
    """Rate and cases of all segments together, ``before`` or ``after``."""
    n = frame[f"n_{when}"]
    return float((frame[f"rate_{when}"].fillna(0) * n).sum() / n.sum()), int(n.sum())


def shown_as(frame: pd.DataFrame | InsufficientData) -> dict[str, dict]:
    """Say how a table of the page is shown: arguments of `present.table`."""
    return fitted(frame, units=UNITS, labels=LABELS, ranges=RANGES)


UNITS = {
    **dict.fromkeys(("rate", "lost", "rate_before", "rate_after", "ultimate"), "share"),
    **dict.fromkeys(("share", "lead_share", "qualified", "win_rate", "p_best"), "percent"),
    **dict.fromkeys(("by_mix", "by_rate", "total"), "points"),
    **dict.fromkeys(("n", "reached", "at_risk", "deals", "leads", "n_won", "n_before", "n_after"), "count"),
    **dict.fromkeys(("median_days", "cycle_days", "days", "limit_days", "age_days"), "days"),
    **dict.fromkeys(("amount", "size", "won_amount", "worth", "effect"), "money"),
    "cohort": "date", "before": "shown", "after": "shown", "now": "shown", "p90_days": "shown",
    **dict.fromkeys(("unit", "factor", "flag", "status"), "word"),
}  # fmt: skip
RANGES = {
    "rate": ("low", "high"), "share": ("low", "high"), "worth": ("low", "high"),
    "median_days": ("median_low", "median_high"), "ultimate": ("ultimate_low", "ultimate_high"),
    "qualified": ("qualified_low", "qualified_high"), "win_rate": ("win_low", "win_high"),
}  # fmt: skip
LABELS = {
    "next_stage": "next", "n": "deals", "rate": "rate [95 %]", "median_days": "half left by [95 %]",
    "p90_days": "9 in 10 by", "worth": "worth [95 %]", "n_before": "deals before",
    "n_after": "deals now", "rate_after": "rate now", "after": "now", "cycle_days": "days to a win",
    "size": "deal size", "lead_share": "share of leads", "status": "",
    "p_best": "chance to be the best stage", "ultimate": "will end at [95 %]",
    "share": "share [95 %]", "n_won": "won", "limit_days": "9 in 10 by", "flag": "",
    "is_young": "young", "age_days": "youngest", "qualified": "qualified K22 [95 %]",
    "win_rate": "win rate K03 [95 %]", "name": "deal",
    "stage": "stage", "lost": "lost", "lever": "lever", "unit": "unit", "now": "now", "factor": "factor",
    "before": "before", "effect": "effect", "rate_before": "rate before", "by_mix": "by mix", "by_rate": "by rate",
    "total": "total", "reason": "reason", "competitor": "competitor", "deals": "deals", "amount": "amount",
    "most often from": "most often from", "source": "source", "leads": "leads", "won_amount": "won amount",
    "rep": "rep", "segment": "segment", "product": "product", "region": "region", "team": "team", "days": "days",
}  # fmt: skip
