"""What moved a rate of the funnel from one period to the next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from salesops_lib.decompose import mix_and_rate

if TYPE_CHECKING:
    import pandas as pd


def decompose_change(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    by: str | Iterable[str],
    rate: tuple[str, str] = ("is_won", "n"),
) -> pd.DataFrame:
    """Split the change of a rate, by default the win rate, into mix and rate of each segment.

    Parameters
    ----------
    before, after
        One row a closed deal, or a group of them.
    by
        Column or columns of the segment.
    rate
        Columns of the numerator and the denominator; where neither frame has the latter, each row counts one.

    Returns
    -------
    DataFrame
        One row a segment; see `decompose.mix_and_rate`. Their `total` adds up to the change.

    Raises
    ------
    InsufficientData
        Where a period has no case.
    ParameterError
        For a missing column, a cell that is empty or no number, a denominator below zero, a numerator without one.
    """
    return mix_and_rate(before, after, by=by, rate=rate)
