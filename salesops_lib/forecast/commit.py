"""What people submit as their forecast, and how far that lies from what comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts, stats
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData
from salesops_lib.forecast.baselines import last_submitted
from salesops_lib.language import say
from salesops_lib.periods import Period

if TYPE_CHECKING:
    import pandas as pd

LEAST = 2  # periods of a person
Z = 1.959963984540054


def submissions(book: Book) -> pd.DataFrame:
    """Read what was submitted by the as-of instant, amounts in corporate currency at the rates of its days."""
    rows = book.forecast_submissions
    days = book.calendar.business_date(rows["submitted_at"])
    amount = facts.at_rates(book, rows["amount"], rows["currency"], days).astype("float64")
    return rows.assign(amount=amount, day=days)


def submitted_commit(book: Book, period: Period) -> float:
    """Sum what each person last submitted as commit for a period; empty where nobody did."""
    rows = last_submitted(submissions(book), period, book.day)
    return float(rows["amount"].sum()) if len(rows) else stats.NONE


def commit_bias(book: Book, periods: int = 8, *, kind: str = "quarter", week: int = 4) -> pd.DataFrame:
    """Say how far each person's commit lies from what the person then booked, drawn towards everybody's.

    Parameters
    ----------
    book
        The company at the as-of instant.
    periods, kind
        Finished fiscal periods looked back on.
    week
        What was submitted last by the end of this week of the period counts.

    Returns
    -------
    DataFrame
        `user_id`, `n` (periods), `bias` (Σ(F − A) ÷ ΣA, drawn towards the common one), `low`, `high` (95 %).

    Raises
    ------
    InsufficientData
        Where nobody has submitted a commit for two of the periods.
    """
    import pandas as pd

    given, parts = submissions(book), []
    newest = book.calendar.period(kind, book.day)
    newest = newest if newest.last_day <= book.day else book.calendar.shift(newest, -1)
    for back in range(periods):
        span = book.calendar.shift(newest, -back)
        weeks = book.calendar.between("week", span.start, span.last_day)
        said = last_submitted(given, span, weeks[min(week, len(weeks)) - 1].last_day).set_index("user_id")[
            "amount"
        ]
        won = facts.Facts(book, span, facts.deals(book)).won()
        came = won["priced"].astype("float64").groupby(won["rep"]).sum()
        parts.append(pd.DataFrame({"forecast": said, "actual": came.reindex(said.index, fill_value=0.0)}))
    return bias(pd.concat(parts).rename_axis("user_id").reset_index())


def bias(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Estimate biases from forecasts of finished periods: `user_id`, `forecast`, `actual`; see `commit_bias`.

    Normal errors, people's own biases normal about the common one; the spread between people by Paule and Mandel
    (1982).

    Raises
    ------
    InsufficientData
        Where nobody has two periods in which something was booked.
    """
    import pandas as pd
    from statsmodels.stats.meta_analysis import combine_effects

    sums = forecasts.groupby("user_id").agg(
        n=("actual", "size"), whole=("actual", "sum"), told=("forecast", "sum")
    )
    sums = sums[(sums["n"] >= LEAST) & (sums["whole"] > 0)]
    if sums.empty:
        of = say("finished periods with a submitted commit")
        raise InsufficientData(say("Bias of commits"), needed=LEAST, got=0, of=of)
    raw = sums["told"] / sums["whole"] - 1
    usual = forecasts["user_id"].map(sums["whole"] / sums["n"])
    errors = ((forecasts["forecast"] - forecasts["actual"]) / usual).dropna()
    off = errors - forecasts["user_id"].map(raw)
    noise = float(np.square(off).sum() / max(len(errors) - len(sums), 1))
    variance = np.maximum(noise / sums["n"], 1e-12)
    spread = common = known = 0.0
    if len(sums) > 1:
        pooled = combine_effects(raw.to_numpy(), variance.to_numpy(), method_re="iterated")
        spread, common, known = float(pooled.tau2), float(pooled.mean_effect_re), float(pooled.var_eff_w_re)
    drawn = variance / (variance + spread) if len(sums) > 1 else 0.0
    half = Z * np.sqrt(variance * (1 - drawn) + np.square(drawn) * known)
    middle = raw + drawn * (common - raw)
    return pd.DataFrame({"user_id": sums.index, "n": sums["n"].to_numpy(), "bias": middle.to_numpy(),
                         "low": (middle - half).to_numpy(), "high": (middle + half).to_numpy()})  # fmt: skip
