"""Why bookings moved (C), which deals can hurt or help (D), and what has to be decided (G)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from salesops_lib import facts, kpis, stats
from salesops_lib.decompose import BookingsChange, bookings_change
from salesops_lib.facts import Facts
from salesops_lib.kpis.pipeline import due, missing
from salesops_lib.kpis.selling import chances
from salesops_lib.language import dated, mark, say, say_many
from salesops_lib.present import counted, number

if TYPE_CHECKING:
    import pandas as pd

TOP_DEALS = 7
DECISIONS = 3
TOP_SHARE = 3
FACTOR = {
    "volume": mark("deals closed"),
    "win rate": mark("win rate"),
    "size": mark("average deal"),
    "priced share": mark("share with a price"),
}


def why(own: Facts, ago: Facts) -> tuple[pd.DataFrame, str]:
    """Split the change of bookings on the same point of last year into its factors, exactly.

    Returns
    -------
    tuple
        One row a factor: `factor`, `before`, `after` (text), `effect`, `mix`, `rate` (money; the last two where
        the segments tell them apart, absent where there are no segments); and the sentence.

    Raises
    ------
    InsufficientData
        Where either period has no won deal with an amount.
    """
    import pandas as pd

    before, after = (part.closed().assign(amount=lambda rows: rows["priced"]) for part in (ago, own))
    found = bookings_change(before, after, by="segment")
    if not any(part["segment"].ne(facts.NOT_ASSIGNED).any() for part in (before, after)):
        found = replace(found, effects=found.effects[found.effects["part"].eq("total")])
    effects = found.effects.pivot(index="factor", columns="part", values="amount")
    effects = effects.reindex(columns=["total", "mix", "rate"])
    rows = []
    for factor in found.effects["factor"].unique():
        old, new = (_factor(part, factor) for part in (before, after))
        rows.append({"factor": FACTOR[factor], "before": old, "after": new, "effect": effects.loc[factor, "total"],
                     "mix": effects.loc[factor, "mix"], "rate": effects.loc[factor, "rate"]})  # fmt: skip
    rows.append({"factor": mark("bookings"), "before": number(found.start, "money"),
                 "after": number(found.end, "money"), "effect": found.change, "mix": np.nan,
                 "rate": np.nan})  # fmt: skip
    return pd.DataFrame(rows).dropna(axis="columns", how="all"), _because(found, own, ago)


def _factor(closed: pd.DataFrame, factor: str) -> str:
    won = closed[closed["is_won"]]
    if factor == "volume":
        return number(len(closed), "count")
    if factor == "win rate":
        return number(len(won) / len(closed), "share")
    if factor == "size":
        return number(won["priced"].astype("float64").mean(), "money")
    return number(won["priced"].notna().mean(), "percent")


def _because(found: BookingsChange, own: Facts, ago: Facts) -> str:
    totals = found.effects[found.effects["part"].eq("total")].set_index("factor")["amount"]
    factor = totals.abs().idxmax()
    split = found.effects[found.effects["factor"].eq(factor)].set_index("part")["amount"]
    effect = number(totals[factor], "money", signed=True)
    if "mix" in split:
        mix, rate = (number(split[part], "money", signed=True) for part in ("mix", "rate"))
        effect = say(
            "{amount} ({mix} from the mix of segments, {rate} within them)", amount=effect, mix=mix, rate=rate
        )
    said = say(
        "Bookings {change} {currency} on the same part of {period}; largest: {factor} {effect}.",
        change=number(found.change, "money", signed=True), currency=own.book.currency, period=ago.period,
        factor=say(FACTOR[factor]), effect=effect,
    )  # fmt: skip
    cycles = [kpis.evaluate(part, "K05", "median")["median"] for part in (own, ago)]
    gap = stats.difference(*cycles)
    if gap.status != stats.OK:
        return said
    moved = number(gap.value, "days", signed=True)
    moved = say("{change} n.s.", change=moved) if gap.is_noise else moved
    return f"{said} {say('Sales cycle {change} (median).', change=moved)}"


def watchlist(own: Facts, last: Facts, flagged: pd.DataFrame | None) -> tuple[pd.DataFrame, str]:
    """List the deals of the period with the most expected money on them, and what speaks against each.

    Until there is a forecast the chance is the CRM's own, and what hangs on a deal is amount × chance.

    Parameters
    ----------
    own, last
        The deals now and at the last report.
    flagged
        Deals that need somebody, with `opportunity_id` and `reasons`, from the pipeline review.

    Returns
    -------
    tuple
        At most seven rows: `deal`, `amount`, `chance`, `chance_before`, `of_missing` (amount × chance as a share
        of the quota still missing; absent without one), `reasons`, `owner`, `next_step` (reasons and step absent
        where none is known); and a sentence on concentration.
    """
    import pandas as pd

    rows = due(own).set_index("opportunity_id")
    rows = rows.assign(chance=chances(own.book, rows), worth=rows["priced"].astype("float64"))
    rows = rows.assign(expected=rows["worth"] * rows["chance"])
    then = last.open().set_index("opportunity_id")
    told = own.book.opportunities.set_index("opportunity_id")[["next_step"]].reindex(rows.index)
    reasons = pd.Series(dtype=str) if flagged is None else flagged.set_index("opportunity_id")["reasons"]
    left = missing(own)
    by_stage = chances(own.book, rows.assign(probability_crm=np.nan))
    known = last.book.tracks("probability") or np.allclose(rows["chance"], by_stage, equal_nan=True)
    frame = pd.DataFrame({
        "deal": facts.titles(own.book, rows.index),
        "amount": rows["worth"],
        "chance": rows["chance"],
        "chance_before": chances(last.book, then).reindex(rows.index) if known else np.nan,
        "of_missing": rows["expected"] / left if left > 0 else np.nan,
        "reasons": reasons.reindex(rows.index),
        "owner": facts.named(own.book, "rep", rows["rep"]),
        "next_step": told["next_step"],
        "expected": rows["expected"],
    })  # fmt: skip
    ranked = frame.sort_values(["expected", "amount"], ascending=False, kind="stable")
    whole = ranked["expected"].sum()
    shown = ranked.drop(columns="expected").head(TOP_DEALS).reset_index(drop=True)
    empty = [c for c in ("of_missing", "reasons", "next_step", "chance_before") if shown[c].isna().all()]
    shown = shown.drop(columns=empty).fillna({"reasons": ""})
    if not whole > 0:
        none = say("No deal has both a price and a chance, so nothing can be weighed.")
        return shown, none if len(ranked) else ""
    return shown, say_many(
        "The largest {first} of {n} deal hold {share} of the amount × P of {amount} {currency}, overdue deals "
        "included.",
        "The largest {first} of {n} deals hold {share} of the amount × P of {amount} {currency}, overdue deals "
        "included.",
        len(ranked), n=number(len(ranked), "count"), first=min(TOP_SHARE, len(ranked)),
        share=number(ranked["expected"].head(TOP_SHARE).sum() / whole, "percent"),
        amount=number(whole, "money"), currency=own.book.currency,
    )  # fmt: skip


def decisions(
    own: Facts, segments: pd.DataFrame, review: Any, asked: list[dict[str, str]] | None = None
) -> pd.DataFrame:
    """Propose at most three decisions, each with its effect, owner and day; those asked for by hand come first.

    Parameters
    ----------
    segments
        The teams or reps of the page: `name`, `gap`, `coverage`, `needed`.
    review
        The pipeline review; none where there is none.
    asked
        Entries of `decision`, `outcome`, `owner`, `by`.
    """
    import pandas as pd

    columns = ["decision", "outcome", "owner", "by"]
    rows = [{column: entry.get(column, "") for column in columns} for entry in asked or []]
    rows += [*_shortfall(own, segments), *_overdue(own, review), *_to_create(own, review)]
    return pd.DataFrame(rows[:DECISIONS], columns=columns)


def _in_a_week(own: Facts) -> str:
    day: date = own.book.day + timedelta(days=7)
    return dated(day)


def _shortfall(own: Facts, segments: pd.DataFrame) -> list[dict]:
    """The part of the company whose gap is largest and whose pipeline does not cover it."""
    if not {"gap", "coverage", "needed_low"} <= set(segments):
        return []
    short = segments[(segments["gap"] > 0) & (segments["coverage"] < segments["needed_low"])]
    if short.empty:
        return []
    row = short.iloc[0]
    return [{
        "decision": say("Help {name} with more pipeline, or lower what is expected", name=row["name"]),
        "outcome": say(
            "{amount} missing, covered {coverage} where {needed} were needed", amount=number(row["gap"], "money"),
            coverage=number(row["coverage"], "times"), needed=number(row["needed"], "times"),
        ),
        "owner": str(row["name"]),
        "by": _in_a_week(own),
    }]  # fmt: skip


def _overdue(own: Facts, review: Any) -> list[dict]:
    if review is None or review.deals.empty:
        return []
    rows = review.deals[review.deals["overdue"]]
    if rows.empty:
        return []
    owner = rows.groupby("rep")["amount"].sum().idxmax()
    deals, amount = counted(len(rows), "deal"), number(rows["amount"].sum(), "money")
    return [{
        "decision": say("Close, re-date or drop every deal past its expected close"),
        "outcome": say("{deals}, {amount}, gone or believable again", deals=deals, amount=amount),
        "owner": say("all; most with {name}", name=owner),
        "by": _in_a_week(own),
    }]  # fmt: skip


def _to_create(own: Facts, review: Any) -> list[dict]:
    if review is None or isinstance(review.ahead, Exception):
        return []
    row = review.ahead.iloc[0]
    if not row["per_week"] > row["created"]:
        return []
    return [{
        "decision": say("Raise pipeline creation for {period}", period=row["period"]),
        "outcome": say(
            "{needed} a week needed, {created} a week created in the last four",
            needed=number(row["per_week"], "money"), created=number(row["created"], "money"),
        ),
        "owner": facts.names(own.book, own.by).get(own.segment, own.segment) or say("marketing and team leads"),
        "by": _in_a_week(own),
    }]  # fmt: skip
