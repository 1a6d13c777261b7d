"""Amounts of a book in its currency, and what has no rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from salesops_lib import fx
from salesops_lib.book import Book
from salesops_lib.language import mark, say

if TYPE_CHECKING:
    import pandas as pd

NO_CURRENCY = mark("no currency")


def at_rates(
    book: Book, amounts: pd.Series, currencies: pd.Series, days: pd.Series, kinds: tuple[str, ...] = fx.ACTUAL
) -> pd.Series:
    """Convert amounts at the rate of each day, of the as-of day where it is empty or currency is constant."""
    import pandas as pd

    today = pd.Timestamp(book.day)
    if book.rates == "plan":
        days, kinds = pd.Series(today, index=amounts.index), fx.KINDS["plan"]
    return fx.price(amounts, currencies, days.fillna(today), book.fx_rates, currency=book.currency, kinds=kinds)


def listed(currencies: Iterable[str]) -> str:
    """Name each currency once."""
    return ", ".join(say(name) if name == NO_CURRENCY else name for name in sorted(set(currencies)))
