"""Open deals that need somebody today, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts
from salesops_lib.book import Book
from salesops_lib.facts import Facts
from salesops_lib.kpis.pipeline import STALE_DAYS, idle_days
from salesops_lib.language import mark, say

if TYPE_CHECKING:
    import pandas as pd

PUSHES = 2  # a deal pushed so often has a date nobody believes
CLUMP = 5  # deals on one day, from which on it is a clump
CLUMP_SHARE = 0.05  # and the share of open deals it must be
REASONS = {
    mark("no amount"): "no amount",
    mark("no date"): mark("no expected close date"),
    mark("overdue"): mark("expected close is past"),
    mark("pushed"): mark("expected close pushed out {pushes} times or more"),
    mark("stale"): mark("no activity or change for {days} days"),
    mark("no next step"): "no next step",
}


def watch(own: Facts) -> tuple[pd.DataFrame, dict[str, str]]:
    """Flag every open deal, the largest first; and say which flags nobody can tell, and why."""
    import pandas as pd

    book = own.book
    told = book.opportunities.set_index("opportunity_id")[["name", "next_step"]]
    rows = own.open().set_index("opportunity_id").join(told)
    rows = rows.join(idle_days(book).rename("idle_days")).join(_pushes(book))
    due, pushes = rows["expected_close_date"], rows["pushes"].fillna(0).astype(int)
    flags = pd.DataFrame({
        "no amount": rows["amount"].isna(),
        "no date": due.isna(),
        "overdue": due < pd.Timestamp(book.day),
        "pushed": pushes >= PUSHES,
        "stale": rows["idle_days"] >= STALE_DAYS,
        "no next step": rows["next_step"].fillna("").str.strip().eq(""),
    }).astype("boolean").fillna(False).astype(bool)  # fmt: skip
    untold = _untold(book, rows)
    flags[list(untold)] = False
    words = pd.Index([f"{say(flag)}, " for flag in flags])
    shown = pd.DataFrame({
        "name": rows["name"],
        "rep": facts.named(book, "rep", rows["rep"]),
        "team": facts.named(book, "team", rows["team"]),
        "stage": rows["stage_id"].map(stage_names(book)).fillna(rows["stage_id"]),
        "amount": rows["priced"].astype("float64"),
        "expected_close_date": due,
        "idle_days": np.floor(rows["idle_days"].astype("float64")),
        "pushes": pushes,
        "reasons": flags.dot(words).str.removesuffix(", ") if len(flags) else "",
    })  # fmt: skip
    shown = shown.join(flags).reset_index()
    return shown.sort_values(["amount", "opportunity_id"], ascending=[False, True], ignore_index=True), untold


def _untold(book: Book, rows: pd.DataFrame) -> dict[str, str]:
    out = {}
    if rows["idle_days"].isna().all():
        out["stale"] = say("the source keeps neither activities nor changes")
    if not book.has("opportunity_history") or not book.tracks("expected_close_date"):
        out["pushed"] = say("the source keeps no history of expected close dates")
    if book.opportunities["next_step"].isna().all():
        out["no next step"] = say("next steps are known only at the export, if the source has them")
    if rows["expected_close_date"].isna().all():
        out["no date"] = out["overdue"] = say("no open deal has an expected close date")
    if rows["amount"].isna().all():
        out["no amount"] = say("no open deal has an amount")
    return out


def stage_names(book: Book) -> pd.Series:
    """Display name of each stage, by `stage_id`; the latest version's."""
    stages = book.stages.sort_values("valid_from").drop_duplicates("stage_id", keep="last")
    return stages.set_index("stage_id")["stage_name"]


def _pushes(book: Book) -> pd.Series:
    """How often each deal's expected close moved to a later day."""
    found = book.query("""
        select opportunity_id, count(*) pushes from opportunity_history
        where field = 'expected_close_date' and try_cast(new_value as date) > try_cast(old_value as date)
        group by opportunity_id
    """)
    return found.set_index("opportunity_id")["pushes"]


def reasons(attention: pd.DataFrame, untold: dict[str, str]) -> pd.DataFrame:
    """Count the deals and sum the amounts behind each reason; what nobody can tell stays empty, with a note."""
    import pandas as pd

    whole = attention["amount"].sum()
    out = []
    for reason, words in REASONS.items():
        rows = attention[attention[reason]]
        told = reason not in untold
        out.append({
            "reason": say(words, pushes=PUSHES, days=STALE_DAYS),
            "deals": len(rows) if told else None,
            "amount": rows["amount"].sum() if told and reason != "no amount" else np.nan,
            "share": rows["amount"].sum() / whole if told and whole and reason != "no amount" else np.nan,
            "note": untold.get(reason, ""),
        })  # fmt: skip
    return pd.DataFrame(out).astype({"deals": "Int64"})


def clumps(attention: pd.DataFrame) -> pd.DataFrame:
    """List the days on which suspiciously many open deals are to close."""
    days = attention.dropna(subset=["expected_close_date"])
    found = (
        days.groupby("expected_close_date").agg(deals=("amount", "size"), amount=("amount", "sum")).reset_index()
    )
    found = found.assign(share=found["deals"] / max(len(days), 1))
    found = found[(found["deals"] >= CLUMP) & (found["share"] >= CLUMP_SHARE)]
    columns = ["expected_close_date", "deals", "share", "amount"]
    return found.sort_values("deals", ascending=False, kind="stable")[columns].reset_index(drop=True)


def owners(attention: pd.DataFrame) -> pd.DataFrame:
    """Count for each owner the deals that need them, by reason."""
    rows = attention[attention["reasons"].ne("")]
    counts = {reason: (reason, "sum") for reason in REASONS}
    found = rows.groupby(["rep", "team"]).agg(deals=("amount", "size"), amount=("amount", "sum"), **counts)
    return found.reset_index().sort_values(["amount", "rep"], ascending=[False, True], ignore_index=True)
