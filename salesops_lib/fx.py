"""Amounts of any currency in the corporate one, deal by deal, exact to the cent, at dated rates.

A rate is never taken from a later day, never guessed from its inverse, and never 0 or 1 for want of one: what has
no rate stays empty, to be counted and shown as not priced. Which rates are known by then is for the `Book` to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from salesops_lib import tables
from salesops_lib.errors import DataContractError

if TYPE_CHECKING:
    import pandas as pd

ACTUAL = ("daily", "month_avg")
KINDS = {"actual": ACTUAL, "plan": ("plan",)}  # by `Book.rates`
AGREED = ("plan", *ACTUAL)  # a target was set at the plan rate, where there was one
# Oldest rate of a kind that still holds, in days: no exchange is closed for a week; an average is of its own month
# only, both sides counted from its first day; a plan holds until the next.
MAX_AGE = {"daily": 7, "month_avg": 0, "plan": None}


def rates(
    fx_rates: pd.DataFrame,
    currencies: pd.Series,
    days: pd.Series,
    *,
    currency: str,
    kinds: tuple[str, ...] = ACTUAL,
) -> pd.Series:
    """Look up what one unit of each row's currency was worth in the corporate one on its day.

    Parameters
    ----------
    fx_rates
        The canonical table, as known at the as-of instant.
    currencies, days
        ISO code and business date of each row; an empty one has no rate.
    currency
        The corporate currency, worth 1.
    kinds
        Tried in turn. ``daily``: the last one up to the day, at most seven days old (weekends, holidays);
        ``month_avg``: that of the day's month; ``plan``: the last one that began by the day.

    Returns
    -------
    Series
        Exact rates with the index of `currencies`; empty where there is none.

    Raises
    ------
    DataContractError
        Where the table values the corporate currency at other than 1: its rates are in another currency.
    """
    from decimal import Decimal

    import pandas as pd

    _refuse_other_base(fx_rates, currency)
    foreign = currencies.ne(currency).fillna(True).to_numpy(dtype=bool)
    asked = pd.DataFrame({"currency": currencies.array[foreign], "day": days.array[foreign]})
    asked = asked.astype({"currency": tables.dtype("text"), "day": tables.dtype("date")})
    pairs = asked.dropna().drop_duplicates().sort_values("day", ignore_index=True)
    found = pd.Series(None, index=pairs.index, dtype=tables.dtype("rate"))
    for kind in kinds:
        found = found.fillna(_last(fx_rates[fx_rates["kind"].eq(kind)], pairs, kind))
    worth = pd.Series(Decimal(1), index=currencies.index, dtype=tables.dtype("rate"))
    worth[foreign] = asked.merge(pairs.assign(rate=found), on=["currency", "day"], how="left")["rate"].array
    return worth


def _last(known: pd.DataFrame, pairs: pd.DataFrame, kind: str) -> pd.Series:
    """Look up the last rate up to each day; `pairs` are sorted by day."""
    import pandas as pd

    known = known[["currency", "rate_date", "rate_to_corp"]].sort_values("rate_date").dropna()
    if kind == "month_avg":
        known = known.assign(rate_date=_month(known["rate_date"]))
        pairs = pairs.assign(day=_month(pairs["day"]))
    age = None if MAX_AGE[kind] is None else pd.Timedelta(days=MAX_AGE[kind])
    found = pd.merge_asof(pairs, known, left_on="day", right_on="rate_date", by="currency", tolerance=age)
    return found["rate_to_corp"]


def _month(days: pd.Series) -> pd.Series:
    return days.dt.to_period("M").dt.to_timestamp().astype(tables.dtype("date"))


def _refuse_other_base(fx_rates: pd.DataFrame, currency: str) -> None:
    own = fx_rates.loc[fx_rates["currency"].eq(currency), "rate_to_corp"]
    other = own[own.ne(1)]
    if len(other):
        raise DataContractError(
            f"fx_rates: one {currency} is worth {other.iloc[0].normalize():f} of the corporate currency, which is "
            f"{currency} too. State the currency the rates are in as `company: {{currency: …}}` in salesops.yaml."
        )


def price(
    amounts: pd.Series,
    currencies: pd.Series,
    days: pd.Series,
    fx_rates: pd.DataFrame,
    *,
    currency: str,
    kinds: tuple[str, ...] = ACTUAL,
) -> pd.Series:
    """Convert each amount at its own rate, rounded half to even to cents before anybody sums; see `rates`.

    Returns
    -------
    Series
        Money in corporate currency; empty where there is no amount or no rate.

    Raises
    ------
    DataContractError
        Where the rates are in another currency.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    rate = rates(fx_rates, currencies, days, currency=currency, kinds=kinds)
    exact = pc.multiply(pa.array(tables.money(amounts)), pa.array(rate))  # decimal(37, 11): nothing is lost
    cents = pc.round(exact, ndigits=2, round_mode="half_to_even")
    fits = pc.less(pc.abs(cents), pa.scalar(10**16, type=cents.type))  # more is no money, and cannot be kept
    kept = pc.if_else(fits, cents, pa.scalar(None, type=cents.type)).cast(tables.arrow_type("money"))
    return pd.Series(pd.arrays.ArrowExtensionArray(kept), index=amounts.index)
