"""Salesforce record ids: 15 characters that tell case apart, or 18 that need not.

The last three characters of the long form say which of the first fifteen are capitals; a tool that ignores case
(a spreadsheet's lookup, a filter) leaves them as a witness. Source: Salesforce, "ID field type".
"""

from __future__ import annotations

import pandas as pd

SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def suffix(short: str) -> str:
    """Compute the three characters that complete an id of fifteen."""
    parts = (short[at : at + 5] for at in (0, 5, 10))
    return "".join(SIGNS[sum(1 << k for k, sign in enumerate(part) if "A" <= sign <= "Z")] for part in parts)


def complete(cells: pd.Series) -> tuple[pd.Series, list[str]]:
    """Bring ids to 18 characters.

    Returns
    -------
    tuple
        The ids, and those of 18 characters whose witness does not fit: their case was changed on the way.
        An id of any other length is left as it is.
    """
    known = cells.dropna().unique()
    longer, damaged = {}, []
    for given in known:
        if len(given) == 15 and given.isascii() and given.isalnum():
            longer[given] = given + suffix(given)
        elif len(given) == 18 and given.isascii() and given.isalnum() and suffix(given[:15]) != given[15:]:
            damaged.append(given)
    if not longer:
        return cells, damaged
    short = cells.isin(list(longer))
    return cells.mask(short, cells.map(longer).astype(cells.dtype)), damaged
