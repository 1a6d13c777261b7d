"""Why a number changed: exact splits whose parts add up to the change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import comb, fsum, isfinite, prod
from typing import TYPE_CHECKING

from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.language import mark, say

if TYPE_CHECKING:
    import pandas as pd

PERIODS = ("before", "after")
CASES = {"before": mark("cases before"), "after": mark("cases after")}
PRICED = {"before": mark("won deals with an amount before"), "after": mark("won deals with an amount after")}
BOTH, NEW, DROPPED = mark("in both"), mark("new"), mark("dropped")
MADE = ("n_before", "n_after", "rate_before", "rate_after", "mix", "rate", "total", "status")


def mix_and_rate(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    by: str | Iterable[str],
    rate: tuple[str, str] = ("is_won", "n"),
) -> pd.DataFrame:
    """Split the change of a ratio into where the cases moved to (mix) and how each segment did (rate).

    With p a segment's share of the denominator, r its ratio and R the mean of the two overall ratios, its mix
    effect is ``(p1 − p0) · ((r0 + r1) / 2 − R)`` and its rate effect ``(r1 − r0) · (p0 + p1) / 2``. Taken from R,
    the mix effect of a segment is below zero where cases moved into a poor segment or out of a good one; the sums
    are those of the plain form (R = 0), because the shares of either period add up to one.

    Parameters
    ----------
    before, after
        One row a case, or a group of them.
    by
        Column or columns of the segment; an empty cell is a segment of its own.
    rate
        Columns of the numerator and the denominator. Where neither frame has the latter, each row counts one.

    Returns
    -------
    DataFrame
        One row a segment: `by`, `n_before`, `n_after` (denominators), `rate_before`, `rate_after` (empty where the
        segment had no case), `mix`, `rate`, `total` (in units of the ratio, their sums are the change), `status`
        (``in both``, ``new``, ``dropped``). A segment of one period only has no rate to compare: all of it is mix.

    Raises
    ------
    InsufficientData
        Where a period has no case.
    ParameterError
        For a missing column, a cell that is empty or no number, a denominator below zero, a numerator without one.

    Notes
    -----
    Kitagawa (1955), Components of a difference between two rates, with average weights.
    """
    import pandas as pd

    by = _columns(by)
    weighted = any(rate[1] in frame for frame in (before, after))
    cells = [_cells(frame, by, rate, weighted, when) for when, frame in zip(PERIODS, (before, after), strict=True)]
    sums = pd.concat(cells, ignore_index=True).groupby(by, dropna=False, observed=True).sum().reset_index()
    n = [sums[f"n_{when}"] for when in PERIODS]
    parts = [sums[f"rate_{when}"] for when in PERIODS]
    if any(((part != 0) & (size == 0)).any() for part, size in zip(parts, n, strict=True)):
        raise ParameterError(f"a segment has {rate[0]} without any {rate[1]}: its ratio is not defined.")
    shares = [size / size.sum() for size in n]
    rates = [part / size.where(size > 0) for part, size in zip(parts, n, strict=True)]
    level = sum(part.sum() / size.sum() for part, size in zip(parts, n, strict=True)) / 2
    old, new = rates[0].fillna(rates[1]), rates[1].fillna(rates[0])
    mix, own = (shares[1] - shares[0]) * ((old + new) / 2 - level), (new - old) * (shares[0] + shares[1]) / 2
    status = rates[0].isna().map({True: NEW, False: BOTH}).mask(rates[1].isna(), DROPPED)
    columns = dict(zip(MADE, (*n, *rates, mix, own, mix + own, status), strict=True))
    return sums[by].assign(**columns)[old.notna()].reset_index(drop=True)


def product_change(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Split the change of a product into the effect of each factor, whatever order they are named in.

    Each effect is the mean over every order in which the factors could have changed one after the other; together
    they are the change. For two factors that is the change of one times the mean of the other.

    Parameters
    ----------
    before, after
        Factor to value, the same factors in both; zeros and negative values may be among them.

    Returns
    -------
    dict
        Factor to effect, in units of the product.

    Raises
    ------
    ParameterError
        Where the factors differ, or a value is not a finite number.

    Notes
    -----
    Das Gupta (1993), Standardization and decomposition of rates; the Shapley (1953) value of each factor.
    """
    return {
        name: (float(after[name]) - float(before[name])) * pull for name, pull in _pulls(before, after).items()
    }


@dataclass(frozen=True)
class BookingsChange:
    """Why bookings changed.

    Attributes
    ----------
    start, end
        Bookings before and after.
    effects
        `factor` (volume, win rate, size; priced share where a won deal has no amount), `part` (total; mix and rate
        where the segments tell them apart), `amount`, `share` (of `start`; empty where that is 0). The totals add
        up to the change, mix and rate to their total.
    segments
        The frame of `mix_and_rate` for win rate and size, with `factor` before it and `mix`, `rate`, `total` as
        amounts.
    """

    start: float
    end: float
    effects: pd.DataFrame
    segments: pd.DataFrame

    @property
    def change(self) -> float:
        """Bookings after less bookings before."""
        return self.end - self.start

    @property
    def largest(self) -> dict:
        """Row of `effects` that moved most, mix and rate taken apart where they are."""
        split = self.effects.loc[self.effects["part"].ne("total"), "factor"]
        finest = self.effects[self.effects["part"].ne("total") | ~self.effects["factor"].isin(split)]
        return finest.loc[finest["amount"].abs().idxmax()].to_dict()


def bookings_change(before: pd.DataFrame, after: pd.DataFrame, *, by: str | Iterable[str]) -> BookingsChange:
    """Split the change of bookings into volume, win rate and deal size, the latter two into mix and rate.

    Bookings are closed deals × won ÷ closed × won amount ÷ won deals. Where won deals lack an amount they count as
    won, and the share that has one is a factor of its own.

    Parameters
    ----------
    before, after
        One row a closed deal: `is_won`, `amount` (one currency; read for won deals only) and `by`.
    by
        Column or columns of the segment.

    Raises
    ------
    InsufficientData
        Where a period has no won deal with an amount: it has no deal size.
    ParameterError
        For a missing column, an empty cell of `is_won`, or a cell that is no number.

    Notes
    -----
    Das Gupta (1993) over the factors, Kitagawa (1955) within win rate and size.
    """
    import pandas as pd

    by = _columns(by)
    frames = [_closed(frame, by, when) for when, frame in zip(PERIODS, (before, after), strict=True)]
    won = [frame[frame["is_won"].eq(1) & frame["amount"].notna()] for frame in frames]
    factors = [_factors(frame, priced) for frame, priced in zip(frames, won, strict=True)]
    pulls = _pulls(*factors)
    splits = {
        "win rate": mix_and_rate(*(frame[[*by, "is_won"]] for frame in frames), by=by),
        "size": mix_and_rate(*(priced[[*by, "amount"]] for priced in won), by=by, rate=("amount", "n")),
    }
    rows = []
    for name, pull in pulls.items():
        if name in splits:
            splits[name][["mix", "rate", "total"]] *= pull
            rows += [(name, part, splits[name][part].sum()) for part in ("total", "mix", "rate")]
        elif name == "volume" or factors[0][name] != factors[1][name]:
            rows.append((name, "total", (factors[1][name] - factors[0][name]) * pull))
    start, end = (prod(values.values()) for values in factors)
    effects = pd.DataFrame(rows, columns=["factor", "part", "amount"])
    effects["share"] = effects["amount"] / start if start else float("nan")
    segments = pd.concat([split.assign(factor=name) for name, split in splits.items()], ignore_index=True)
    return BookingsChange(start, end, effects, segments[["factor", *by, *MADE]])


def _pulls(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Weigh what one unit of each factor moves the product by: the mean over the states of all the others."""
    if set(before) != set(after):
        odd = sorted(map(str, set(before) ^ set(after)))
        raise ParameterError(f"the factors before and after are not the same: {', '.join(odd)} on one side only.")
    values = {name: (_finite(before[name], name), _finite(after[name], name)) for name in sorted(before, key=str)}
    n, pulls = len(values), {}
    for name in before:
        ways = [1.0]  # by how many of the other factors have changed already
        for other, (old, new) in values.items():
            if other != name:
                ways = [stay * old + move * new for stay, move in zip([*ways, 0.0], [0.0, *ways], strict=True)]
        pulls[name] = fsum(way / (n * comb(n - 1, k)) for k, way in enumerate(ways))
    return pulls


def _finite(value: float, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not isfinite(number):
        raise ParameterError(f"factor {name!r} is {value!r}, not a finite number.")
    return number


def _columns(by: str | Iterable[str]) -> list[str]:
    by = [by] if isinstance(by, str) else list(by)
    taken = [name for name in by if name in (*MADE, "factor", "is_won", "amount", "n")]
    if taken or not by or len(set(by)) < len(by):
        raise ParameterError(
            f"by {by} must name columns of the segment, each once, none called {', '.join(MADE)}."
        )
    return by


def _cells(frame: pd.DataFrame, by: list[str], rate: tuple[str, str], weighted: bool, when: str) -> pd.DataFrame:
    """Take the segment, the numerator and the denominator of each row."""
    part, whole = rate
    _require(frame, [*by, part, whole] if weighted else [*by, part], when)
    out = frame[by].copy()
    out[f"n_{when}"] = _numbers(frame, whole, when) if weighted else 1.0
    out[f"rate_{when}"] = _numbers(frame, part, when)
    if (out[f"n_{when}"] < 0).any():
        raise ParameterError(f"{whole} {when} is below zero: it must count cases.")
    if out[f"n_{when}"].sum() == 0:
        what = say("The change of {rate} by {names}", rate=part, names=", ".join(by))
        raise InsufficientData(what, needed=1, got=0, of=say(CASES[when]))
    return out


def _closed(frame: pd.DataFrame, by: list[str], when: str) -> pd.DataFrame:
    """Take the segment of each deal, whether it was won and its amount, as numbers."""
    _require(frame, [*by, "is_won", "amount"], when)
    won = _numbers(frame, "is_won", when)
    amount = _numbers(frame[won.eq(1)], "amount", when, empty=True).reindex(frame.index)
    if not amount.notna().any():
        raise InsufficientData(say("The change of bookings"), needed=1, got=0, of=say(PRICED[when]))
    return frame[by].assign(is_won=won, amount=amount)


def _factors(closed: pd.DataFrame, priced: pd.DataFrame) -> dict[str, float]:
    won = closed["is_won"].sum()
    return {
        "volume": float(len(closed)),
        "win rate": won / len(closed),
        "priced share": len(priced) / won,
        "size": priced["amount"].sum() / len(priced),
    }


def _require(frame: pd.DataFrame, columns: list[str], when: str) -> None:
    for name in columns:
        if name not in frame:
            raise ParameterError(f"{when}: {unknown('column', name, frame.columns)}")


def _numbers(frame: pd.DataFrame, name: str, when: str, *, empty: bool = False) -> pd.Series:
    import numpy as np

    try:
        values = frame[name].astype("float64")
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} {when} holds what is no number: {error}.") from error
    bad = int((np.isinf(values) if empty else ~np.isfinite(values)).sum())
    if bad:
        raise ParameterError(f"{name} {when} is empty or not finite in {bad} of {len(values)} rows.")
    return values
