"""Reps compared at the same mix of deals, pulled back by how much chance can do: skill or luck, and how sure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import pooling
from salesops_lib.benchmark.limits import with_limits
from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.language import mark, say, say_many
from salesops_lib.present import number
from salesops_lib.present.numbers import localised

if TYPE_CHECKING:
    import pandas as pd

LEAST_DEALS, LEAST_REPS = 5, 10
ALPHA = 0.05
DIFFER, ALIKE, TOO_FEW = "differ", "indistinguishable", "too few reps"
QUARTER = 4
WORDED = ("tenure",)  # mix columns whose values are our own words
POSTERIOR = ("adjusted_rate", "low", "high")
PLACES = ("p_top_quartile", "p_bottom_quartile", "rank", "rank_low", "rank_high")


@dataclass(frozen=True)
class Benchmark:
    """Reps compared on one rate.

    Attributes
    ----------
    headline
        Whether they differ by more than chance, and by how much.
    verdict
        ``differ``, ``indistinguishable`` or ``too few reps``.
    reps
        One row a rep, by `user_id`: `n` (closed deals), `won`, `raw_rate`, `expected_rate` (what the team wins
        with the rep's mix), `adjusted_rate` with `low` and `high` (what the rep would win with the team's mix;
        empty where there are too few reps), `p_top_quartile`, `p_bottom_quartile`, `rank` (expected; 1 is best),
        `rank_low`, `rank_high`, `shrinkage` (share of the raw deviation taken back), `limit_low_95` …
        `limit_high_998` (funnel limits of the raw rate), `is_flagged` (outside them after false discoveries are
        held at 5 %), `status` (``ok``, ``too few``: the prior alone is shown), `note`. Where nothing tells the
        reps apart nobody has a place: the quartiles are a quarter each, the ranks run from first to last.
    heterogeneity
        `tau` (spread of the reps' skill on the logit), `p_value`, `n_reps`, `chi2`, `df`, `overdispersion`.
    rate
        Rate of the whole team.
    mix, interval
        Mix columns; probability that an interval holds.
    notes
        What the numbers cannot tell, each a sentence.
    draws
        Posterior draws of the adjusted rates, one column a rep.
    """

    headline: str
    verdict: str
    reps: pd.DataFrame
    heterogeneity: pd.Series
    rate: float
    mix: tuple[str, ...]
    interval: float
    notes: tuple[str, ...] = ()
    draws: pd.DataFrame = field(default=None, repr=False, compare=False)


def compare(
    deals: pd.DataFrame,
    *,
    mix: Iterable[str] = ("segment",),
    interval: float = 0.9,
    of: str = "",
    what: str = "",
) -> Benchmark:
    """Compare the win rates of reps at the same mix, with their doubt.

    Parameters
    ----------
    deals
        One row a closed deal: `user_id`, `is_won`, and the mix columns. Rows without a rep are left out and
        counted. An empty mix value is a value of its own; numbers with many values are cut into
        fifths (so give codes of places as text).
    mix
        What differs from deal to deal and is known before it closes: segment, product, source, territory, tenure.
        Never the rep, never what comes after the outcome.
    interval
        Probability that an interval holds the truth.
    of, what
        Words for a case and for the rate, in messages; closed deals and win rates by default.

    Raises
    ------
    InsufficientData
        Without a case of either outcome, or where each value of the mix has a single rep.
    ParameterError
        For a missing column, an outcome that is not true or false, or an interval that is no probability.

    Notes
    -----
    Logistic model with a random effect a rep, τ integrated (`pooling`); with fewer than 10 reps nobody can tell τ,
    so only funnel limits remain (Spiegelhalter 2005). A rep with fewer than 5 cases is shown at the prior.
    """
    mix = [mix] if isinstance(mix, str) else list(mix)
    of, what = of or say("closed deals"), what or say("win rates")
    rows, notes = _checked(deals, mix, interval, of)
    cells = pooling.count_cells(rows, "user_id", "is_won", mix)
    reps, told = _counted(cells), cells.by_unit(cells.n) >= LEAST_DEALS
    rate = cells.won.sum() / cells.n.sum()
    alone = _alone(cells)
    if len(alone) == len(reps) > 1 and _confounded(cells):
        named = reduce(lambda first, last: say("{first} and {last}", first=first, last=last), map(say, mix))
        raise InsufficientData(
            say("Reps cannot be separated from {mix}, each value has one rep; take it out of the mix", mix=named),
            needed=2, got=1, of=say("reps a value"),
        )  # fmt: skip
    if told.sum() < LEAST_REPS:
        return _limits_only(reps, cells, told, rate, mix, interval, notes, of)
    found = pooling.fit_effects(cells)
    draws = _posterior(found, cells, told)
    reps["expected_rate"] = cells.by_unit(cells.n * found.expected) / reps["n"]
    reps, phi = with_limits(reps)
    verdict = DIFFER if found.p_value < ALPHA else ALIKE
    reps = _placed(reps, draws, interval, verdict == DIFFER)
    reps["shrinkage"] = np.where(told, found.shrinkage, 1.0)
    reps["status"] = np.where(told, "ok", "too few")
    reps["note"] = _rep_notes(reps, alone, of)
    tested = {"tau": found.tau, "p_value": found.p_value, "n_reps": len(reps), "chi2": found.chi2, "df": found.df}
    return Benchmark(
        _headline(reps, tested, verdict, rate, interval, what), verdict, reps, _series(tested, phi), float(rate),
        tuple(mix), interval, (*notes, *alone.values()), _frame(draws, cells),
    )  # fmt: skip


def no_ranking(found: Benchmark) -> InsufficientData:
    """Make the refusal to rank reps who cannot be told apart, or are too few."""
    if found.verdict == TOO_FEW:
        got = int(found.reps["status"].eq("ok").sum())
        of = say("reps with {n} deals", n=LEAST_DEALS)
        return InsufficientData(say("Comparing reps"), needed=LEAST_REPS, got=got, of=of)
    what = say("No ranking, the reps are statistically indistinguishable")
    return InsufficientData(what, needed=2, got=0, of=say("reps that can be told apart"))


def _checked(deals: pd.DataFrame, mix: list[str], interval: float, of: str) -> tuple[pd.DataFrame, list[str]]:
    """Take the columns that are needed; say how many rows have no rep."""
    for column in ("user_id", "is_won", *mix):
        if column not in deals:
            raise ParameterError(unknown("column", column, deals.columns))
    if {"user_id", "is_won"} & set(mix) or len(set(mix)) < len(mix):
        raise ParameterError(f"mix {mix} must name other columns than user_id and is_won, each once.")
    if not 0 < interval < 1:
        raise ParameterError(f"interval {interval} is not between 0 and 1.")
    rows = deals[["user_id", "is_won", *mix]]
    rows = rows[rows["user_id"].notna()]
    try:
        won = rows["is_won"].astype("float64")
    except (TypeError, ValueError) as error:
        raise ParameterError(f"is_won holds what is not true or false: {error}.") from error
    if bad := int((~won.isin([0.0, 1.0])).sum()):
        raise ParameterError(
            f"is_won is empty or not true or false in {bad} of {len(rows)} rows: closed deals only."
        )
    for outcome, ended in ((1.0, mark("{cases} that were won")), (0.0, mark("{cases} that were lost"))):
        if not won.eq(outcome).any():
            raise InsufficientData(say("Comparing reps"), needed=1, got=0, of=say(ended, cases=of))
    rows = rows.assign(is_won=won)
    if not (left := len(deals) - len(rows)):
        return rows, []
    return rows, [say("{n} of {total} {cases} have no rep and are left out.", n=left, total=len(deals), cases=of)]


def _counted(cells: pooling.Cells) -> pd.DataFrame:
    import pandas as pd

    n, won = cells.by_unit(cells.n), cells.by_unit(cells.won)
    return pd.DataFrame({"user_id": cells.units, "n": n.astype(int), "won": won.astype(int), "raw_rate": won / n})


def _alone(cells: pooling.Cells) -> dict[int, str]:
    """Say for each rep who alone sells some value of the mix which value that is."""
    out: dict[int, str] = {}
    for name in cells.combos:
        values = cells.combos[name].to_numpy()[cells.combo]
        for value in np.unique(values.astype(str)):
            units = np.unique(cells.unit[values.astype(str) == value])
            if len(units) == 1:
                said = say(
                    "Cannot separate rep {rep} from {name} {value}: nobody else sells it.",
                    rep=cells.units[units[0]], name=say(name),
                    value=say(value) if name in WORDED or value == pooling.NOT_KNOWN else value,
                )  # fmt: skip
                out.setdefault(units[0], said)
    return out


def _confounded(cells: pooling.Cells) -> bool:
    """Whether every deal of every rep is in a value that only this rep sells."""
    for name in cells.combos:
        values = np.unique(cells.combos[name].astype(str).to_numpy(dtype=str), return_inverse=True)[1][cells.combo]
        pairs = np.unique(values * len(cells.units) + cells.unit)
        if len(pairs) == len(np.unique(values)):
            return True
    return False


def _posterior(found: pooling.Effects, cells: pooling.Cells, told: np.ndarray) -> np.ndarray:
    """Draw adjusted rates; those of reps with too few deals come from the prior."""
    effects = found.effects.copy()
    prior = np.random.default_rng(pooling.SEED + 1).standard_normal((len(effects), int((~told).sum())))
    effects[:, ~told] = found.spreads[:, None] * prior
    return found.rates(cells, effects)


def _placed(reps: pd.DataFrame, draws: np.ndarray, interval: float, differ: bool) -> pd.DataFrame:
    """Summarise the draws: rate, interval, and the places they give."""
    tails = [50 * (1 - interval), 50 * (1 + interval)]
    low, high = np.percentile(draws, tails, axis=0)
    reps = reps.assign(adjusted_rate=draws.mean(axis=0), low=low, high=high)
    k = len(reps)
    if not differ:
        share = max(round(k / QUARTER), 1) / k
        return reps.assign(**dict(zip(PLACES, (share, share, (k + 1) / 2, 1, k), strict=True)))
    rank = (-draws).argsort(axis=1, kind="stable").argsort(axis=1) + 1
    quarter = max(round(k / QUARTER), 1)
    first, last = np.percentile(rank, tails, axis=0, method="inverted_cdf")
    top, bottom = (rank <= quarter).mean(axis=0), (rank > k - quarter).mean(axis=0)
    places = (top, bottom, rank.mean(axis=0), first.astype(int), last.astype(int))
    return reps.assign(**dict(zip(PLACES, places, strict=True)))


def _limits_only(reps, cells, told, rate, mix, interval, notes, of) -> Benchmark:
    """Say what fewer than ten reps allow: funnel limits around what the mix gives, no shrinking, no places."""
    expected = pooling.fit_mix(cells)
    reps["expected_rate"] = cells.by_unit(cells.n * expected) / reps["n"]
    reps, phi = with_limits(reps, overdispersed=False)
    reps[[*POSTERIOR, *PLACES, "shrinkage"]] = np.nan
    reps["status"] = np.where(told, "ok", "too few")
    reps["note"] = _rep_notes(reps, _alone(cells), of)
    n = int(told.sum())
    headline = say_many(
        "{n} rep with {least} {cases} or more are too few to tell skill from luck, {reps} are needed: {out} lie "
        "outside the limits of chance, no ranking.",
        "{n} reps with {least} {cases} or more are too few to tell skill from luck, {reps} are needed: {out} lie "
        "outside the limits of chance, no ranking.",
        n, least=LEAST_DEALS, cases=of, reps=LEAST_REPS, out=int(reps["is_flagged"].sum()),
    )  # fmt: skip
    tested = {"tau": np.nan, "p_value": np.nan, "n_reps": len(reps), "chi2": np.nan, "df": 0}
    return Benchmark(
        headline, TOO_FEW, reps, _series(tested, phi), float(rate), tuple(mix), interval, tuple(notes)
    )


def _rep_notes(reps: pd.DataFrame, alone: dict[int, str], of: str) -> list[str]:
    few = mark("Too few: needs {least} {cases}, has {n}; the team's range is shown.")
    said = [say(few, least=LEAST_DEALS, cases=of, n=n) if n < LEAST_DEALS else "" for n in reps["n"]]
    return [" ".join(filter(None, (told, alone.get(k, "")))) for k, told in enumerate(said)]


def _headline(reps: pd.DataFrame, tested: dict, verdict: str, rate: float, interval: float, what: str) -> str:
    p = localised(f"{tested['p_value']:.2g}")
    if verdict == ALIKE:
        return say(
            "The {n} reps are statistically indistinguishable: their {rates} differ no more than chance alone "
            "would make them (χ² {chi2} on {df} df, p = {p}); there is no ranking.",
            n=len(reps), rates=what, chi2=localised(f"{tested['chi2']:.1f}"), df=tested["df"], p=p,
        )  # fmt: skip
    level = float(reps["adjusted_rate"].mean())
    above, below = int((reps["low"] > level).sum()), int((reps["high"] < level).sum())
    typical = float((reps["adjusted_rate"] - level).abs().mean())
    return say(
        "The {rates} of {n} reps differ by more than chance (p = {p}): at the same mix a typical rep is {typical} "
        "points from the team's {rate}; {above} surely above, {below} surely below it ({share} intervals).",
        rates=what, n=len(reps), p=p, typical=localised(f"{100 * typical:.1f}"), rate=number(rate, "percent"),
        above=above or say("none"), below=below or say("none"), share=number(interval, "percent"),
    )  # fmt: skip


def _series(tested: dict, phi: float) -> pd.Series:
    import pandas as pd

    return pd.Series({**tested, "overdispersion": phi}, dtype=object)


def _frame(draws: np.ndarray, cells: pooling.Cells) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(draws, columns=cells.units)
