"""Processes as the field draws them, and attempts: a deal that comes back from nurturing is a new attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salesops_lib.errors import ParameterError, unknown

if TYPE_CHECKING:
    import pandas as pd

NURTURE = "nurture"
TEMPLATES = {
    "outbound": ("research", "entered", "called", "presentation", "proposal", "negotiation", "won", "lost"),
    "inbound": ("form", "scored", "assigned", "contacted", "meeting_held", "negotiation", "won", "lost"),
    "six_steps": ("prospect", "contact_and_qualify", "show_value", "handle_objections", "close", "won", "lost"),
}
ENDED = {"disqualified": "lost"}  # stages that end an attempt as lost


def template(name: str) -> tuple[str, ...]:
    """Return the stages of a process in order, won and lost last.

    Raises
    ------
    ParameterError
        For an unknown process.
    """
    if name not in TEMPLATES:
        raise ParameterError(unknown("process", name, TEMPLATES))
    return TEMPLATES[name]


def split_attempts(moves: pd.DataFrame, *, nurture: str = NURTURE) -> pd.DataFrame:
    """Make each return from nurturing an attempt of its own, so that conversion can count attempts and deals.

    Parameters
    ----------
    moves
        `opportunity_id`, `stage`, `entered_at`; `disqualified` counts as lost.
    nurture
        Stage in which deals wait. Going there ends the attempt as lost; the next move begins a new one.

    Returns
    -------
    DataFrame
        `opportunity_id` (with ``#2`` and so on from the second attempt), `deal_id` (as given), `attempt`, `stage`,
        `entered_at`.

    Raises
    ------
    ParameterError
        For a missing column.
    """
    for column in ("opportunity_id", "stage", "entered_at"):
        if column not in moves:
            raise ParameterError(unknown("column", column, moves.columns))
    rows = moves.sort_values(["opportunity_id", "entered_at"], kind="stable", ignore_index=True)
    rows["stage"] = rows["stage"].replace(ENDED)
    deal = rows["opportunity_id"]
    waits = rows["stage"].eq(nurture)
    rows["attempt"] = waits.groupby(deal).cumsum() - waits.astype(int) + 1
    # a deal lost first and then nurtured has ended once, not twice
    ended = waits & rows["stage"].shift().eq("lost") & deal.eq(deal.shift())
    rows = rows[~ended].copy()
    rows["stage"] = rows["stage"].mask(rows["stage"].eq(nurture), "lost")
    first = rows.groupby(["opportunity_id", "attempt"])["stage"].transform("first")
    rows = rows[first.ne("lost") | rows["attempt"].eq(1)]
    again = rows["attempt"] > 1
    key = rows["opportunity_id"].astype(str)
    named = key.mask(again, key + "#" + rows["attempt"].astype(str))
    out = rows.assign(deal_id=rows["opportunity_id"], opportunity_id=named)
    return out[["opportunity_id", "deal_id", "attempt", "stage", "entered_at"]].reset_index(drop=True)
