"""Numbers as people read them: unit, digits no finer than the interval bears, a dash for none."""

from __future__ import annotations

import math
from typing import Any

from salesops_lib.language import dated, localised, mark, say, say_many

WIDE = 0.05  # an interval of more than five points bears no decimal
EMPTY = "–"
ENDLESS = "∞"  # a bound that the data do not reach
SIZES = ((1e9, mark("{n} bn")), (1e6, mark("{n} M")), (1e3, mark("{n} k")))
MEASURED = {
    "points": mark("{n} pts"), "days": mark("{n} d"),
    "times": mark("{n}×"), "hours": mark("{n} h"), "minutes": mark("{n} min"), "months": mark("{n} mo"),
    "per_day": mark("{n} a day"), "per_week": mark("{n} a week"),
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
        ``word`` for our own words, which are translated, ``long`` for sentences in a table, ``severity`` for red,
        amber and note, or ``shown`` for numbers already written out.
    signed
        Put a plus before positive numbers.
    """
    import pandas as pd

    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return EMPTY
    if unit == "date":
        return dated(pd.Timestamp(value))
    if unit == "flag":
        return say("yes") if value else ""
    if unit in ("word", "severity"):
        return say(str(value))
    if unit in ("", "text", "long", "shown"):
        return str(value)
    value = float(value)
    return _signed(value, _magnitude(abs(value), unit), signed=signed)


def _signed(value: float, said: str, *, signed: bool = False) -> str:
    if not any(digit in said for digit in f"123456789{ENDLESS}"):
        return said  # a sign before a zero says nothing
    return f"{'−' if value < 0 else '+' if signed and value > 0 else ''}{said}"


def _magnitude(value: float, unit: str) -> str:
    def written(value: float, places: int = 0) -> str:
        return localised(f"{value:,.{places}f}") if value < math.inf else ENDLESS

    if unit in ("money", "money_per_day"):
        said = _sized(value)
        return say("{money} a day", money=said) if unit == "money_per_day" else said
    if unit == "share":
        return f"{written(value * 100, 1)} %"
    if unit == "percent":
        return f"{written(value * 100)} %"
    if unit == "score":
        return written(value, 3 if value < 1 else 2)
    if unit in MEASURED:
        return say(MEASURED[unit], n=_measured(value, unit))
    return written(value, 0 if unit == "amount" or value >= 100 or value == int(value) else 1)


def _measured(value: float, unit: str) -> str:
    """Write how many of a unit there are, without its word."""
    value, places = value * 100 if unit == "points" else value, 0 if unit == "days" or value >= 100 else 1
    return localised(f"{value:,.{places}f}") if value < math.inf else ENDLESS


def _sized(value: float) -> str:
    """Write an amount with three digits and its size."""
    if value == math.inf:
        return ENDLESS
    for size, message in SIZES:
        if value >= size * 0.9995:
            scaled = value / size
            places = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return say(message, n=localised(f"{scaled:.{places}f}"))
    return f"{value:.0f}"


def sizes() -> dict[str, float]:
    """List the words behind an amount, by which its number is multiplied."""
    return {say(message, n="").strip(): size for size, message in SIZES}


def counted(n: int, of: str) -> str:
    """Write how many there are of something, with an s where they are not one."""
    return say_many(f"{{n}} {of}", f"{{n}} {of}s", n, n=localised(f"{n:,}"))


def interval(low: Any, high: Any, unit: str) -> str:
    """Write an interval as ``[low; high]``; empty where there is none.

    The word of a unit stands behind the value, not behind each bound.
    """
    if low is None or math.isnan(float(low)):
        return ""
    if unit in MEASURED and unit != "times":
        bounds = (_signed(float(bound), _measured(abs(float(bound)), unit)) for bound in (low, high))
        return f"[{'; '.join(bounds)}]"
    unit = "money" if unit == "money_per_day" else unit
    return f"[{number(low, unit)}; {number(high, unit)}]"


def fitting(unit: str, low: Any, high: Any) -> str:
    """Choose the unit that writes no more digits than the interval bears: whole percents where it is wide."""
    narrow = float(high) - float(low) <= WIDE
    return "percent" if unit == "share" and not narrow else unit
