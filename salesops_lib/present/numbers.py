"""Numbers as people read them: unit, digits no finer than the interval bears, a dash for none."""

from __future__ import annotations

import math
import os
from functools import cache
from typing import Any

LOCALE = "SALESOPS_LOCALE"  # set by the runner and by `salesops lab`: how pages write 1,234.5
WIDE = 0.05  # an interval of more than five points bears no decimal
EMPTY = "–"
A_DAY = {"money": "", "money_per_day": " a day"}
SUFFIXES = {
    "times": "×", "hours": " h", "minutes": " min", "months": " mo", "per_day": " a day", "per_week": " a week",
}  # fmt: skip


def number(value: Any, unit: str = "", *, signed: bool = False) -> str:
    """Write a number for people.

    Parameters
    ----------
    value
        A number; empty ones become a dash.
    unit
        ``money`` (three digits, k and M), ``amount`` (to the unit), ``share`` (one decimal), ``percent`` (none),
        ``points`` (difference of shares), ``days``, ``hours``, ``minutes``, ``months``, ``per_day``, ``per_week``,
        ``times``, ``score`` (two or three decimals), ``money_per_day``, ``count``, ``date``, ``flag``, ``text``,
        or ``shown`` for numbers already written out; ``long`` for sentences in a table, ``severity`` for red,
        amber and note.
    signed
        Put a plus before positive numbers.
    """
    import pandas as pd

    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return EMPTY
    if unit == "date":
        return f"{pd.Timestamp(value):%d %b %Y}"
    if unit == "flag":
        return "yes" if value else ""
    if unit in ("", "text", "long", "severity", "shown"):
        return str(value)
    value = float(value)
    said = localised(_magnitude(abs(value), unit))
    if not any(digit in said for digit in "123456789"):
        return said  # a sign before a zero says nothing
    return f"{'−' if value < 0 else '+' if signed and value > 0 else ''}{said}"


@cache
def _separators(locale: str) -> tuple[str, str]:
    """Return decimal sign and group separator."""
    from babel.numbers import get_decimal_symbol, get_group_symbol

    return get_decimal_symbol(locale), get_group_symbol(locale)


def localised(text: str) -> str:
    """Write the numbers of a text, which come as ``1,234.5``, as the company's locale does.

    >>> localised("1,234.5 M")
    '1,234.5 M'
    """
    decimal, group = _separators(os.environ.get(LOCALE) or "en")
    return text.translate({ord(","): group, ord("."): decimal})


def delocalised(text: str) -> str:
    """Undo `localised`."""
    decimal, group = _separators(os.environ.get(LOCALE) or "en")
    return text.replace(group, "\0").replace(decimal, ".").replace("\0", ",")


def _magnitude(value: float, unit: str) -> str:
    if unit in ("money", "money_per_day"):
        for size, letter in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
            if value >= size * 0.9995:
                scaled = value / size
                places = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
                return f"{scaled:.{places}f} {letter}{A_DAY[unit]}"
        return f"{value:.0f}{A_DAY[unit]}"
    if unit == "amount":
        return f"{value:,.0f}"
    if unit == "share":
        return f"{value * 100:.1f} %"
    if unit == "percent":
        return f"{value * 100:.0f} %"
    if unit == "points":
        return f"{value * 100:.1f} pts"
    if unit == "days":
        return f"{value:.0f} d"
    if unit == "score":
        return f"{value:.3f}" if value < 1 else f"{value:.2f}"
    if unit in SUFFIXES:
        return f"{value:.{0 if value >= 100 else 1}f}{SUFFIXES[unit]}"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def counted(n: int, of: str) -> str:
    """Write how many there are of something, with an s where they are not one."""
    return f"{localised(f'{n:,}')} {of}{'' if n == 1 else 's'}"


def interval(low: Any, high: Any, unit: str) -> str:
    """Write an interval as ``[low; high]``; empty where there is none."""
    if low is None or math.isnan(float(low)):
        return ""
    return f"[{number(low, unit)}; {number(high, unit)}]"


def fitting(unit: str, low: Any, high: Any) -> str:
    """Choose the unit that writes no more digits than the interval bears: whole percents where it is wide."""
    narrow = float(high) - float(low) <= WIDE
    return "percent" if unit == "share" and not narrow else unit
