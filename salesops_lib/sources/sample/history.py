"""The field history of the deals of the sample company."""

from __future__ import annotations

import numpy as np
import pandas as pd

from salesops_lib import tables
from salesops_lib.sources.sample.clock import NEVER
from salesops_lib.sources.sample.columns import Text, as_text, frame, instants, money, text
from salesops_lib.sources.sample.model import Ledger, World
from salesops_lib.sources.sample.names import STAGES
from salesops_lib.sources.sample.people import user_ids


def history_table(world: World, book: Ledger, at: int) -> pd.DataFrame:
    """List every change up to `at`, in order of deal and time; `seq` counts the changes of one instant."""
    users, first_rep = user_ids(world.settings), world.settings.first_rep
    rows = pd.concat(_changes(book, users[first_rep:]), ignore_index=True)
    # Stable: changes of one instant and deal keep the order of the fields.
    order = np.argsort((rows["deal"].to_numpy() << 34) | rows["t"].to_numpy(), kind="stable")
    rows = rows.take(order[rows["t"].to_numpy()[order] <= at])
    deal, t = rows["deal"].to_numpy(), rows["t"].to_numpy()
    index = np.arange(len(deal))
    fresh = (np.diff(deal, prepend=-1) != 0) | (np.diff(t, prepend=-1) != 0)
    columns = {
        "opportunity_id": text(book.deal_ids, deal),
        "changed_at": instants(t),
        "field": rows["field"].array,
        "seq": index - np.maximum.accumulate(np.where(fresh, index, 0)),
        "old_value": rows["old"].array,
        "new_value": rows["new"].array,
        "changed_by": text(users, first_rep + book.owners.at(deal, t)),
        "is_bulk": rows["bulk"].array,
        "origin": text(["native"], np.zeros(len(deal))),
    }
    return frame("opportunity_history", columns, at)


def _changes(book: Ledger, reps: Text) -> list[pd.DataFrame]:
    """List the changes field by field, in the order in which those of one instant are told."""
    stages, amounts, dates, owners = book.stages, book.amounts, book.dates, book.owners
    judged = (np.diff(stages.deal, prepend=-1) != 0) | (np.diff(stages.note, prepend=-1) != 0)
    category = text(tables.CATEGORIES, stages.note[judged])
    deleted, merged = np.flatnonzero(book.deleted < NEVER), np.flatnonzero(book.merged < NEVER)
    survivor = text(book.deal_ids, book.survivor[merged])
    days = as_text(dates.value.astype("datetime64[D]"))
    return [
        _change("stage", stages.deal, stages.t, text(STAGES, stages.value)),
        _change("forecast_category", stages.deal[judged], stages.t[judged], category),
        _change("amount", amounts.deal, amounts.t, as_text(money(amounts.value))),
        _change("expected_close_date", dates.deal, dates.t, days),
        _change("owner", owners.deal, owners.t, text(reps, owners.value), bulk=owners.note == 1),
        _change("deleted", deleted, book.deleted[deleted], text(["true"], np.zeros_like(deleted))),
        _change("merged", merged, book.merged[merged], survivor),
    ]


def _change(field: str, deal, t, new: Text, bulk: np.ndarray | bool = False) -> pd.DataFrame:
    """Put the value before beside the value after; the first of a deal has none."""
    old = new.take(np.where(np.diff(deal, prepend=-1) != 0, -1, np.arange(len(deal)) - 1), allow_fill=True)
    return pd.DataFrame(
        {"deal": deal, "t": t, "field": text([field], np.zeros(len(deal))), "old": old, "new": new, "bulk": bulk}
    )
