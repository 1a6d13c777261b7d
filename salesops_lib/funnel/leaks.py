"""Where deals leak: why they are lost and to whom, and which sources bring what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts, kpis, passages, stats
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData
from salesops_lib.facts import Facts
from salesops_lib.kpis.lead_facts import cohort
from salesops_lib.kpis.leads import QUALIFY_DAYS
from salesops_lib.language import mark, say
from salesops_lib.periods import Period

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN, POOR = mark("not told"), mark("many leads, few qualified")
LOSSES = {  # what is refused where nothing is told, and what there is none of
    "loss_reason": (mark("Loss reasons in {period}"), mark("lost deals with a loss reason")),
    "competitor": (mark("Competitors in {period}"), mark("lost deals with a competitor")),
}
LEAST_SHARE = 0.1  # of the leads, from which on a source counts as bringing many
SOURCE_KPIS = {"K24": "leads", "K22": "qualified", "K03": "win_rate", "K06": "size", "K05": "cycle_days"}


def loss_reasons(book: Book, period: Period, *, column: str = "loss_reason") -> pd.DataFrame:
    """Count lost deals by reason, or by competitor, with the stage they were lost from.

    Parameters
    ----------
    column
        ``loss_reason`` or ``competitor``.

    Returns
    -------
    DataFrame
        The most frequent first: `reason`, `deals`, `share` of lost deals with `low` and `high`, `amount` (last
        known), `stage` most were lost from, `win_rate` (against this competitor; empty for
        reasons, and where competitors are told of lost deals alone).

    Raises
    ------
    InsufficientData
        Where no deal was lost, or the source tells no reason.
    """
    import pandas as pd

    closed = Facts(book, period, facts.deals(book)).closed()
    told = book.table("opportunities", ["opportunity_id", column]).set_index("opportunity_id")[column]
    rows = closed.assign(reason=closed["opportunity_id"].map(told).astype(object))
    lost = rows[~rows["is_won"]]
    if lost.empty or lost["reason"].isna().all():
        what, of = LOSSES[column]
        of = say(of) if len(lost) else say("lost deals")
        raise InsufficientData(say(what, period=period), needed=1, got=0, of=of)
    stage = _last_stage(book).reindex(lost["opportunity_id"]).to_numpy()
    lost = lost.assign(reason=lost["reason"].fillna(UNKNOWN), stage=stage)
    won = rows[rows["is_won"]].groupby("reason").size()
    rival = column == "competitor" and len(won) > 0  # told of lost deals alone, it gives no win rate
    out = []
    for reason, own in lost.groupby("reason"):
        share = stats.proportion(len(own), len(lost))
        at, n_won = own["stage"].dropna(), int(won.get(reason, 0))
        out.append({
            "reason": reason, "deals": len(own), "share": share.value, "low": share.low, "high": share.high,
            "amount": stats.to_float(own["priced"]).sum(), "stage": at.mode().iloc[0] if len(at) else "",
            "win_rate": n_won / (n_won + len(own)) if rival and reason != UNKNOWN else np.nan,
        })  # fmt: skip
    return pd.DataFrame(out).sort_values("deals", ascending=False, ignore_index=True)


def _last_stage(book: Book) -> pd.Series:
    """Last open stage of each closed deal, by name."""
    moves, stages = passages.from_book(book)
    last = (
        moves[moves["stage"].isin(stages[:-2])].sort_values("entered_at").groupby("opportunity_id")["stage"].last()
    )
    return last if len(stages) > 3 else last.iloc[:0]


def source_quality(book: Book, period: Period) -> pd.DataFrame:
    """Put the volume of each source beside what becomes of it.

    Returns
    -------
    DataFrame
        The largest first: `source`, `leads`, `lead_share`, `qualified` (within 30 days) with `qualified_low` and
        `qualified_high`, `win_rate` with `win_low` and `win_high`, `size`, `cycle_days`, `won_amount`, `n_won`,
        `flag` (``many leads, few qualified`` where a tenth of the leads or more qualify surely less than all
        others).

    Raises
    ------
    InsufficientData
        Where neither leads nor deals have a source.
    """
    import pandas as pd

    found = kpis.compute(book, [*SOURCE_KPIS, "K26"], period, by="source", variants="default")
    found = found[found["segment"].ne(facts.NOT_ASSIGNED)]
    if found.empty:
        what = say("Sources in {period}", period=period)
        raise InsufficientData(what, needed=1, got=0, of=say("leads or deals with a source"))
    cells = {name: found[found["kpi_id"].eq(key)].set_index("segment") for key, name in SOURCE_KPIS.items()}
    names = sorted(found["segment"].unique())
    out = pd.DataFrame({"source": names}).set_index("source", drop=False)
    for name, rows in cells.items():
        out[name] = rows["value"].reindex(names)
    for name, prefix in (("qualified", "qualified"), ("win_rate", "win")):
        for end in ("low", "high"):
            out[f"{prefix}_{end}"] = cells[name][end].reindex(names)
    booked = found[found["kpi_id"].eq("K26")].set_index("segment")
    out["won_amount"], out["n_won"] = booked["value"].reindex(names), booked["n"].reindex(names)
    out["lead_share"] = out["leads"] / out["leads"].sum()
    out["flag"] = np.where(_few_qualify(book, period, out), POOR, "")
    return out.sort_values(["leads", "won_amount"], ascending=False, ignore_index=True)


def _few_qualify(book: Book, period: Period, out: pd.DataFrame) -> list[bool]:
    """Whether a large source qualifies surely less than all the others together."""
    rows, _ = cohort(Facts(book, period, facts.deals(book)))
    flags = []
    for row in out.itertuples():
        rest = rows[rows["source"].ne(row.source)]
        if not row.lead_share >= LEAST_SHARE or np.isnan(row.qualified_high) or rest.empty:
            flags.append(False)
            continue
        others = stats.within(rest["qualified"], rest["disqualified"], rest["seen"], QUALIFY_DAYS)
        flags.append(bool(row.qualified_high < others.low))
    return flags
