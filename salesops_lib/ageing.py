"""Open deals that have stood still: longer in their stage than nine in ten won deals of their segment were."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import pandas as pd

from salesops_lib import facts, passages
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData
from salesops_lib.language import say

LEAST_EXITS = 50
STALE_AT = 0.9


@lru_cache(maxsize=16)
def stalled_deals(book: Book) -> pd.DataFrame:
    """List open deals that have been in their stage longer than nine in ten won deals of their segment were.

    Returns
    -------
    DataFrame
        Treat it as read-only. The largest first: `opportunity_id`, `name`, `user_id`, `rep` (name), `segment`,
        `stage`, `days` in it, `limit_days`, `amount`.

    Raises
    ------
    InsufficientData
        Where no segment has 50 won deals that left a stage.
    """
    moves, stages = passages.from_book(book)
    place = passages.reached(moves, stages, book.as_of)
    rows = facts.deals(book).set_index("opportunity_id")[["rep", "segment", "priced"]]
    place = place.join(rows, how="inner")
    seen = passages.instant(book.as_of)
    limits, most, out = {}, 0, []
    for stage, following in pairwise(stages[:-1]):
        won = place[place["won"].notna()]
        spent = (won[following] - won[stage]).dt.total_seconds() / 86400
        for segment, days in spent.dropna().groupby(won["segment"]):
            most = max(most, len(days))
            if len(days) >= LEAST_EXITS:
                limits[stage, segment] = float(days.quantile(STALE_AT))
        there = place[place["stage"].eq(stage)]
        days = (seen - there[stage]).dt.total_seconds() / 86400
        limit = there["segment"].map(lambda segment, stage=stage: limits.get((stage, segment), np.nan))
        out.append(there.assign(days=days, limit_days=limit)[days > limit])
    if not limits:  # also where there is no history of stages to compare with
        of = say("won deals a stage and segment")
        raise InsufficientData(say("Stalled deals"), needed=LEAST_EXITS, got=most, of=of)
    found = pd.concat(out).reset_index().rename(columns={"priced": "amount"})
    found["user_id"] = found["rep"]
    found["rep"] = facts.named(book, "rep", found["rep"])
    names = book.table("opportunities", ["opportunity_id", "name"]).set_index("opportunity_id")["name"]
    found["name"] = found["opportunity_id"].map(names).astype(object)
    columns = ["opportunity_id", "name", "user_id", "rep", "segment", "stage", "days", "limit_days", "amount"]
    return found.sort_values("amount", ascending=False, ignore_index=True)[columns]
