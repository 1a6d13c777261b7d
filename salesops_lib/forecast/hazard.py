"""How open deals go on: the weekly rate at which each is won or lost, learnt from what earlier weeks knew.

Each row of training is an open deal at the end of a past week, with what was known of it that day, and a span of
days ahead of it; what happened in the span is won, lost or still open: a discrete-time hazard with competing
risks, landmarked (van Houwelingen 2007). The two rates are Poisson regressions with a ridge on features cut into
classes; where past wins are few, on stage and age alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import InsufficientData
from salesops_lib.forecast import rhythm
from salesops_lib.forecast.deals import LOST, WON, Panel
from salesops_lib.language import say

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.periods import FiscalCalendar

LEADS = np.array([0, 7, 14, 28, 56, 91, 182, 364])  # spans ahead, in days, each with a rate of its own
REACHES = (91, 182, 364)
ROWS = 8_000  # landmarks learnt from
LEAST = 20  # won deals below which nothing is learnt
RICH = 100  # won deals from which on all features are used
RIDGE = 2.0
LEVELS = 8
LEAST_ROWS = 50  # of a level of its own
CLASSES = 8
NUMBERS = ("in_stage", "age", "due", "amount", "pushes")
TEXTS = ("stage", "category", "segment", "source", "type", "product")
AHEAD = ("lead", "phase", "age_then", "due_then")  # differ from span to span
BORN = (
    "born"  # phase of the quarter in which a deal was created: what comes in at its end is not as what comes early
)
PAIRS = (
    ("stage", "lead"), ("stage", "in_stage"), ("stage", "segment"), ("segment", "lead"), ("stage", "phase"),
    (BORN, "age_then"),
)  # fmt: skip
AGED = (("segment", "lead"), ("age_then", "phase"), (BORN, "age_then"))  # where stages are not known
PLAIN = (("stage", "age", "lead", "age_then"), (("stage", "lead"), ("stage", "age")))
SEED = 20260101
TOL = 1e-6


@dataclass(frozen=True)
class Design:
    """Turns rows into classes: `edges` of numbers, `levels` of texts; `features` and `pairs` are those in use."""

    features: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    edges: dict[str, np.ndarray]
    levels: dict[str, dict[str, int]]

    @property
    def sizes(self) -> list[int]:
        """Number of classes of each feature and pair."""
        single = {name: self._size(name) for name in (*TEXTS, *NUMBERS, *AHEAD, BORN)}
        return [single[name] for name in self.features] + [single[a] * single[b] for a, b in self.pairs]

    def _size(self, name: str) -> int:
        if name == "lead":
            return len(LEADS) - 1
        if name in ("phase", BORN):
            return rhythm.N_PHASES
        return len(self.levels[name]) + 1 if name in TEXTS else len(self.edges[name]) + 2

    def classes(self, rows: pd.DataFrame, calendar: rhythm.Rhythm) -> dict[str, np.ndarray]:
        """Class of each row by feature known on its day; the last class is *not known*."""
        out = {name: _text(rows[name]).map(self.levels[name]).fillna(len(self.levels[name])).to_numpy(dtype=int)
               for name in TEXTS}  # fmt: skip
        out[BORN] = rhythm.phase(calendar.week_at(rows["entered"].to_numpy()))
        return out | {name: self._cut(name, values) for name, values in numbers(rows).items()}

    def _cut(self, name: str, values: np.ndarray) -> np.ndarray:
        edges = self.edges[name]
        return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))

    def columns(
        self, classes: dict[str, np.ndarray], plain: dict[str, np.ndarray], span: np.ndarray, week: np.ndarray
    ) -> np.ndarray:
        """Column of the design that is 1, for each row and each feature or pair.

        `week` is the week of the quarter, counted back from its end, in the middle of the span.
        """
        middle = (LEADS[span] + LEADS[span + 1]) / 2
        found = classes | {
            "lead": span,
            "phase": rhythm.phase(week),
            "age_then": self._cut("age_then", plain["age"] + middle),
            "due_then": self._cut("due_then", plain["due"] - middle),
        }
        cells = [found[name] for name in self.features]
        cells += [found[a] * self._size(b) + found[b] for a, b in self.pairs]
        return np.column_stack(cells) + np.concatenate([[0], np.cumsum(self.sizes)[:-1]])


def numbers(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Numbers known of each row: days, log of the amount, pushes; empty where not known."""
    day = rows["day"].to_numpy(dtype=float)
    due = rows["due"].to_numpy().astype("datetime64[D]")
    with np.errstate(divide="ignore", invalid="ignore"):
        amount = np.log(rows["amount"].to_numpy(dtype=float))
    return {
        "in_stage": day - rows["since"].to_numpy(),
        "age": day - rows["entered"].to_numpy(),
        "due": np.where(np.isnat(due), np.nan, due.astype(float)) - day,
        "amount": np.where(np.isfinite(amount), amount, np.nan),
        "pushes": rows["pushes"].to_numpy(dtype=float),
    }


def middle(day: np.ndarray, span: np.ndarray | int) -> np.ndarray:
    """Day in the middle of a span ahead."""
    return day + (LEADS[span] + LEADS[np.asarray(span) + 1]) // 2


def _text(values: pd.Series) -> pd.Series:
    return values.astype(object).where(values.notna(), "")


@dataclass(frozen=True)
class Hazard:
    """Daily rates of winning and losing; see `learn`.

    Attributes
    ----------
    win, loss
        Coefficients, the intercept last.
    rhythms, created
        Of winning and losing, and of creation.
    owners
        What an owner's rate of winning is to others', all else alike, drawn towards 1.
    wins
        Won deals it has learnt from.
    is_rich
        Whether it uses all features, or stage and age alone.
    """

    design: Design
    win: np.ndarray
    loss: np.ndarray
    rhythms: tuple[rhythm.Rhythm, rhythm.Rhythm]
    created: rhythm.Rhythm
    owners: dict[str, float]
    reach: int
    wins: int
    is_rich: bool

    def rates(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Rates of winning and losing a day of average weight, by row and span ahead: two arrays (rows, spans)."""
        classes, plain = self.design.classes(rows, self.created), numbers(rows)
        owner = _text(rows["owner"]).map(self.owners).fillna(1.0).to_numpy(dtype=float)
        spans = int(np.searchsorted(LEADS, self.reach))
        out = np.empty((2, len(rows), spans))
        for span in range(spans):
            week = self.rhythms[0].week_at(middle(rows["day"].to_numpy(), span))
            columns = self.design.columns(classes, plain, np.full(len(rows), span), week)
            for k, coefficients in enumerate((self.win, self.loss)):
                out[k, :, span] = np.exp(coefficients[:-1][columns].sum(axis=1) + coefficients[-1])
        out[0] *= owner[:, None]
        return out[0], out[1]

    def won_by(
        self, rates: tuple[np.ndarray, np.ndarray], day: int, days: np.ndarray, *, cycle: float = 1.0
    ) -> np.ndarray:
        """Probability that a deal open on `day` is won by each of the ascending `days`: an array (rows, days).

        `cycle` stretches the time it takes to win or lose it.
        """
        days, leads = np.asarray(days), np.rint(LEADS * cycle).astype(int)
        cuts = np.unique(np.concatenate([day + leads[leads < days[-1] - day], days, [day]]))
        cuts = cuts[cuts >= day]
        alive, won = np.ones(len(rates[0])), np.zeros(len(rates[0]))
        found = {day: won}
        for begin, end in pairwise(cuts):
            span = min(np.searchsorted(leads, begin - day, side="right") - 1, rates[0].shape[1] - 1)
            gain = rates[0][:, span] * self.rhythms[0].between(begin, end) / cycle
            fall = rates[1][:, span] * self.rhythms[1].between(begin, end) / cycle
            ends = -np.expm1(-gain - fall)
            won = won + alive * ends * gain / np.maximum(gain + fall, 1e-12)
            alive = alive * (1 - ends)
            found[int(end)] = won
        return np.column_stack([found[int(d)] for d in days])


def learn(known: Panel, calendar: FiscalCalendar, *, reach: int = 91) -> Hazard:
    """Learn the rates from what a panel knows.

    Parameters
    ----------
    known
        Rows and outcomes up to its day.
    calendar
        For the rhythm of the fiscal quarter.
    reach
        Days ahead that it is asked for; one of `REACHES`.

    Raises
    ------
    InsufficientData
        Where fewer than 20 deals were won by then.
    """
    ended = known.entries
    wins = int(ended["outcome"].eq(WON).sum())
    if wins < LEAST:
        what, of = say("Projection of open deals"), say("won deals to learn from")
        raise InsufficientData(what, needed=LEAST, got=wins, of=of)
    rhythms = tuple(
        rhythm.learn(calendar, ended.loc[ended["outcome"].eq(kind), "end"].to_numpy(), known.day)
        for kind in (WON, LOST)
    )
    created = rhythm.learn(calendar, ended["entered"].to_numpy(), known.day)
    rows = known.rows[known.rows["day"] < known.day - 3]
    if len(rows) > ROWS:
        picked = np.random.default_rng(SEED).choice(len(rows), ROWS, replace=False)
        rows = rows.iloc[np.sort(picked)]
    design = _design(rows, reach, wins >= RICH)
    at, span, exposures, happened = _spans(rows, known.day, rhythms, reach)
    classes, plain = design.classes(rows, created), numbers(rows)
    week = rhythms[0].week_at(middle(rows["day"].to_numpy()[at], span))
    columns = design.columns(*({k: v[at] for k, v in each.items()} for each in (classes, plain)), span, week)
    win, loss = (_regress(columns, sum(design.sizes), exposures[k], happened[k]) for k in range(2))
    expected = np.exp(win[:-1][columns].sum(axis=1) + win[-1]) * exposures[0]
    owners = _owners(rows["owner"].to_numpy()[at], happened[0], expected, wins) if wins >= RICH else {}
    return Hazard(design, win, loss, rhythms, created, owners, reach, wins, wins >= RICH)


def _design(rows: pd.DataFrame, reach: int, is_rich: bool) -> Design:
    plain = numbers(rows)
    ahead = (LEADS[:-1] + LEADS[1:])[: int(np.searchsorted(LEADS, reach)), None] / 2
    given = plain | {"age_then": (plain["age"] + ahead).ravel(), "due_then": (plain["due"] - ahead).ravel()}
    shares = np.linspace(0, 1, CLASSES + 1)[1:-1]
    edges = {}
    for name, values in given.items():
        values = values[~np.isnan(values)]
        edges[name] = np.unique(np.quantile(values, shares)) if len(values) else np.array([])
    levels = {}
    for name in TEXTS:
        counts = _text(rows[name]).value_counts()
        counts = counts[(counts >= LEAST_ROWS) | (name == "stage")].head(LEVELS)
        levels[name] = {level: k for k, level in enumerate(sorted(counts.index))}
    features, pairs = (
        ((*TEXTS, *NUMBERS, *AHEAD, BORN), PAIRS if len(levels["stage"]) > 1 else AGED) if is_rich else PLAIN
    )
    return Design(features, pairs, edges, levels)


def _spans(rows: pd.DataFrame, today: int, rhythms: tuple, reach: int) -> tuple:
    """Cut the time ahead of each row into the spans it lived through: row, span, weights of days, events."""
    day, end, outcome = (rows[name].to_numpy() for name in ("day", "end", "outcome"))
    last = np.minimum(end, today)
    parts = []
    for span in range(int(np.searchsorted(LEADS, reach))):
        begin, stop = day + LEADS[span], np.minimum(day + LEADS[span + 1], last)
        at = np.flatnonzero(stop > begin)
        ends = end[at] == stop[at]
        parts.append((
            at, np.full(len(at), span),
            *(each.between(begin[at], stop[at]) for each in rhythms),
            *(ends & (outcome[at] == kind) for kind in (WON, LOST)),
        ))  # fmt: skip
    at, span, *rest = (np.concatenate(part) for part in zip(*parts, strict=True))
    exposures = [np.maximum(weights, 0.05) for weights in rest[:2]]
    return at, span, exposures, [events.astype(float) for events in rest[2:]]


def _regress(columns: np.ndarray, width: int, exposure: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Fit a Poisson regression on classes, each coefficient drawn towards 0; the intercept comes last."""
    from scipy.sparse import csr_array
    from sklearn.linear_model import PoissonRegressor
    from threadpoolctl import threadpool_limits

    n, each = columns.shape
    cells = csr_array((np.ones(n * each), columns.ravel(), np.arange(0, n * each + 1, each)), shape=(n, width))
    model = PoissonRegressor(alpha=RIDGE / exposure.sum(), tol=TOL, max_iter=500)
    with threadpool_limits(1):  # steps this small cost more to share among threads than to do
        model.fit(cells, events / exposure, sample_weight=exposure)
    return np.append(model.coef_, model.intercept_)


def _owners(owner: np.ndarray, won: np.ndarray, expected: np.ndarray, wins: int) -> dict[str, float]:
    """Compare each owner's wins with those expected, drawn towards 1 as far as owners differ by chance alone.

    Gamma-Poisson shrinkage, its strength by moments; a deal won counts once, in however many rows it is.
    """
    import pandas as pd

    frame = pd.DataFrame({"owner": owner, "won": won, "expected": expected}).groupby("owner").sum()
    frame = frame / max(won.sum() / wins, 1.0)
    noise = (frame["won"] - frame["expected"]) ** 2 - frame["expected"]
    spread = noise.sum() / max((frame["expected"] ** 2).sum(), 1e-9)
    if not spread > 1e-4:
        return {}
    return ((frame["won"] + 1 / spread) / (frame["expected"] + 1 / spread)).to_dict()
