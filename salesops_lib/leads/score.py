"""A lead score that means something: the chance to become a customer, and whether it keeps its word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from salesops_lib import facts
from salesops_lib.book import Book
from salesops_lib.errors import InsufficientData
from salesops_lib.kpis.lead_facts import leads, typical_days
from salesops_lib.language import say
from salesops_lib.present import number
from salesops_lib.present.numbers import localised
from salesops_lib.stats import OK, Estimate
from salesops_lib.win_probability import Calibration, WinModel, fit_win_probability

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("source", "segment", "country")
NUMBERS = ("score_crm",)


@dataclass(frozen=True)
class LeadScore:
    """Chances of leads to become customers.

    Attributes
    ----------
    headline
        What the best tenth is worth against all, and whether the chances are calibrated.
    leads
        Open leads, the best first: `lead_id`, `rep` (name), `source`, `segment`, `chance` (won within
        `horizon_days`), `band` (fourth of all open leads, 1 is best).
    calibration
        On the newest leads whose outcome is known (`Calibration`).
    horizon_days
        Days from creation within which a win counts.
    model
        The `WinModel`.
    """

    headline: str
    leads: pd.DataFrame
    calibration: Calibration
    horizon_days: int
    model: WinModel


def score_leads(book: Book) -> LeadScore:
    """Score open leads by the chance to be won within twice the typical days (K39).

    Raises
    ------
    InsufficientData
        With fewer than 200 won and 200 other leads that are old enough, or no open lead.
    """
    import pandas as pd

    typical = typical_days(book)
    if typical.status != OK:
        raise InsufficientData(say("A lead score"), needed=30, got=typical.n, of=say("leads won so far"))
    horizon = round(2 * typical.value)
    rows = leads(book)
    told = book.table("leads", ["lead_id", "score_crm", "country"]).set_index("lead_id")
    rows = rows.join(told, on="lead_id")
    rows = rows[~rows["is_gone"] & ~rows["is_bulk"]].sort_values("created_day", kind="stable")
    old = rows[rows["seen"] >= horizon]
    numbers = tuple(name for name in NUMBERS if rows[name].notna().any())
    texts = tuple(name for name in TEXTS if rows[name].nunique() > 1)
    model = fit_win_probability(old, old["won"] <= horizon, numbers=numbers, texts=texts)
    waiting = rows[rows["won"].isna() & rows["lost"].isna() & rows["disqualified"].isna()]
    if waiting.empty:
        raise InsufficientData(say("A lead score"), needed=1, got=0, of=say("open leads"))
    out = waiting[["lead_id", "rep", "source", "segment"]].assign(
        chance=model.predict(waiting),
        **{name: facts.named(book, name, waiting[name]) for name in ("rep", "source", "segment")},
    )
    out["band"] = 4 - (4 * (out["chance"].rank(method="first") - 1) // len(out)).astype(int)
    out = out.sort_values("chance", ascending=False, ignore_index=True)
    found = model.calibration
    return LeadScore(_headline(found, horizon), pd.DataFrame(out), found, horizon, model)


def _headline(found: Calibration, horizon: int) -> str:
    best, rate = found.reliability.iloc[-1], found.won / found.n
    given = {
        "times": localised(f"{best['came'] / rate:.1f}"), "best": number(best["came"], "percent"),
        "rate": number(rate, "percent"), "days": horizon, "slope": _with_range(found.slope),
        "intercept": _with_range(found.intercept),
    }  # fmt: skip
    if found.intercept.is_noise:
        return say(
            "The best tenth of leads become customers {times}× as often as all ({best} against {rate} within "
            "{days} days); chances keep their word (slope {slope}, intercept {intercept}).", **given,
        )  # fmt: skip
    return say(
        "The best tenth of leads become customers {times}× as often as all ({best} against {rate} within {days} "
        "days); chances have drifted (slope {slope}, intercept {intercept}).", **given,
    )  # fmt: skip


def _with_range(estimate: Estimate) -> str:
    return localised(f"{estimate.value:.2f} [{estimate.low:.2f}; {estimate.high:.2f}]").replace("-", "−")
