"""Every past week forecast again with what was known then, and scored against what came."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from salesops_lib import facts, stats
from salesops_lib.book import Book
from salesops_lib.config import Settings
from salesops_lib.errors import InsufficientData, ParameterError, unknown
from salesops_lib.export import write_text
from salesops_lib.forecast import baselines, commit, origins, spread
from salesops_lib.forecast.deals import Panel, day_number, panel
from salesops_lib.forecast.foresight import foresee, prepare
from salesops_lib.forecast.projection import window
from salesops_lib.forecast.summary import NAMES, QUANTILES
from salesops_lib.language import say
from salesops_lib.periods import KINDS, Period
from salesops_lib.present import counted, number
from salesops_lib.progress import track
from salesops_lib.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

STEPS = {"week": 7, "fortnight": 14, "month": 28}
BANDS = (50, 80, 95)
AT_ONCE = 8  # as-of days a worker does before it reports
WAYS = ("forecast", "bottom_up", "top_down", *baselines.NAMES)
WAY_LABELS = {
    "forecast": "forecast", "bottom_up": "bottom up", "top_down": "top down", "last_year": "last year",
    "trailing_quarter": "trailing quarter", "linear_pace": "linear pace", "booking_curve": "booking curve",
    "weighted_pipeline": "weighted pipeline", "coverage_rule": "coverage rule",
    "submitted_commit": "submitted commit",
}  # fmt: skip


@dataclass(frozen=True)
class Replay:
    """How forecasts of the past would have done.

    Attributes
    ----------
    headline
        One sentence.
    scores
        One row a lead: `lead_weeks` (to the end of the period), `n` (as-of days), `wape`, `bias`, `coverage_50`,
        `coverage_80`, `coverage_95`, `pinball` (mean over the quantiles, as a share of what came), and
        `wape_<baseline>` of each of `baselines.NAMES`, `wape_bottom_up` and `wape_top_down`.
    league
        One row a way to forecast over all leads: `way`, `n`, `wape`, `bias`, and `wape_ours` on the same days.
    total
        The columns of `scores` over all leads, and `periods`, the windows that do not overlap.
    forecasts
        One row an as-of day: `period`, `day`, `lead_weeks`, `booked`, `actual`, `forecast` (the median),
        `expected`, quantiles `q2.5` … `q97.5`, `bottom_up`, `top_down`, the baselines, `weight`, `spread`,
        `stretch`.
    refused
        As-of days without a forecast: `period`, `day`, `reason`.
    """

    headline: str
    scores: pd.DataFrame
    league: pd.DataFrame
    total: pd.Series
    forecasts: pd.DataFrame
    refused: pd.DataFrame


@dataclass(frozen=True)
class Task:
    """One as-of day, and everything its forecast depends on beside the code and the snapshot."""

    root: str
    settings: str
    snapshot: str
    until: str
    period: Period
    day: date
    draws: int
    seed: int

    @property
    def key(self) -> str:
        """Name of its place in the cache: other data, settings or code have another."""
        told = json.dumps(asdict(self) | {"root": "", "code": _code()}, default=str, sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:24]


def replay_weeks(
    ws: Workspace, *, periods: int = 8, every: str = "week", period: str = "quarter", as_of: str | None = None,
    draws: int = 4_000, seed: int = 0, workers: int = 1, executor: str = "local", resume: bool = True,
) -> Replay:  # fmt: skip
    """Forecast past periods from every week in them, with what was known then.

    Parameters
    ----------
    ws
        The workspace; what was done before is kept in its cache and not done again.
    periods
        Finished periods looked back on; of ``next 4 weeks`` and the like, fiscal quarters of as-of weeks.
    every
        ``week``, ``fortnight`` or ``month`` (of four weeks).
    period
        ``month``, ``quarter``, ``year``, or ``next 4 weeks``.
    as_of
        Last day seen; the end of the export by default.
    draws, seed
        As in `project_period`.
    workers, executor
        ``local`` processes, or ``dask://HOST:PORT`` whose workers see the same folders.
    resume
        False does everything again.

    Raises
    ------
    ParameterError
        For an unknown period, step or executor, or fewer than one period.
    InsufficientData
        Where no past day has what a forecast needs.
    """
    if every not in STEPS:
        raise ParameterError(unknown("step", every, STEPS))
    if periods < 1:
        raise ParameterError(f"periods is {periods}; at least 1 is needed.")
    spread.check(executor, workers)
    book = ws.book(as_of)
    tasks = _tasks(ws, book, periods, STEPS[every], period, draws, seed)
    store = _Store(cache_folder(ws), tasks if resume else [])
    todo = [task for task in tasks if task not in store.rows]
    for task, row in track(_run(todo, workers, executor), "replay", total=len(todo)):
        store.put(task, row)
    return score([store.rows[task] for task in tasks])


def cache_folder(ws: Workspace) -> Path:
    """Where past forecasts of a workspace are kept; it may be deleted at any time."""
    return ws.store.root.parent / "cache" / "replay"


class _Store:
    """Rows on disk, one file an as-of day, written in one step each."""

    def __init__(self, folder: Path, wanted: list[Task]):
        self.folder, self.rows = folder, {}
        folder.mkdir(parents=True, exist_ok=True)
        for task in wanted:
            try:
                self.rows[task] = json.loads((folder / f"{task.key}.json").read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue

    def put(self, task: Task, row: dict) -> None:
        """Keep a row."""
        write_text(json.dumps(row), self.folder / f"{task.key}.json")
        self.rows[task] = row


def _tasks(ws: Workspace, book: Book, periods: int, step: int, period: str, draws: int, seed: int) -> list[Task]:
    given = {
        "root": str(ws.root),
        "settings": ws.settings.model_dump_json(by_alias=True),
        "snapshot": book.snapshot_id,
        "until": book.as_of.isoformat(),
        "draws": draws,
        "seed": seed,
    }
    calendar, kind = book.calendar, period if period in KINDS else "quarter"
    if period not in KINDS:
        window(book, period)  # refuses what is none
    running = calendar.period(kind, book.day)
    newest = running if running.last_day <= book.day else calendar.shift(running, -1)
    if period not in KINDS:
        newest = running
    spans = [calendar.shift(newest, -k) for k in reversed(range(periods))]
    out = []
    for span in spans:
        days = [book.day - timedelta(days=step * k) for k in range((book.day - span.start).days // step + 2)]
        for day in sorted(day for day in days if span.start - timedelta(days=1) <= day < span.last_day):
            ahead = span if period in KINDS else window(book.at(str(day)), period)
            if ahead.last_day <= book.day:
                out.append(Task(period=ahead, day=day, **given))
    return out


@lru_cache(maxsize=1)
def _code() -> str:
    """Hash of the code that forecasts."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


@lru_cache(maxsize=2)
def _opened(root: str, settings: str, snapshot: str, until: str) -> tuple[Book, Panel]:
    import pandas as pd

    ws = Workspace(Path(root), Settings.model_validate_json(settings))
    book = ws.book(pd.Timestamp(until).isoformat(), snapshot=snapshot)
    return book, panel(book)


def run_tasks(tasks: list[Task]) -> list[dict]:
    """Make the forecasts of some as-of days, one after the other."""
    return [_one(task) for task in tasks]


def _one(task: Task) -> dict:
    book, whole = _opened(task.root, task.settings, task.snapshot, task.until)
    period, day, calendar = task.period, task.day, book.calendar
    seen = whole.until(day_number(day))
    after, last = max(day_number(period.start) - 1, seen.day), day_number(period.last_day)
    own = facts.Facts(book, period, facts.deals(book))
    row = {"period": period.label, "start": str(period.start), "end": str(period.end), "day": str(day)}
    row |= {"lead_weeks": -(-(last - seen.day) // 7), "actual": float(stats.exact_sum(own.won()["priced"]))}
    try:
        found = foresee(prepare(seen, calendar, after, last, draws=task.draws, seed=task.seed))
    except InsufficientData as error:
        return row | {"reason": str(error)}
    ground, booked = found.ground, origins.booked(seen, day_number(period.start) - 1, seen.day)
    totals = booked + found.rest[:, -1]
    probability = book.stages.drop_duplicates("stage_id", keep="last").set_index("stage_id")["probability_default"]
    return row | {
        "reason": "",
        "booked": booked,
        **dict(zip(NAMES, np.quantile(totals, QUANTILES).tolist(), strict=True)),
        "expected": float(totals.mean()),
        "bottom_up": booked + ground.now["bottom_up"],
        "top_down": booked + ground.now["top_down"],
        "weight": ground.blend.weight, "spread": ground.blend.spread, "stretch": ground.blend.stretch,
        **baselines.baselines(
            seen, calendar, period, day, probability=probability.dropna().to_dict(),
            submissions=commit.submissions(book),
        ),
    }  # fmt: skip


def _run(tasks: list[Task], workers: int, executor: str) -> Iterator[tuple[Task, dict]]:
    size = AT_ONCE if workers > 1 or executor.startswith(spread.DASK) else 1  # one by one, each is kept at once
    parts = [tasks[k : k + size] for k in range(0, len(tasks), size)]
    for k, rows in spread.run(run_tasks, parts, workers=workers, executor=executor):
        yield from zip(parts[k], rows, strict=True)


def score(rows: list[dict]) -> Replay:
    """Score forecasts of past days; those refused are listed apart.

    Raises
    ------
    InsufficientData
        Where there is none to score.
    """
    import pandas as pd

    frame = pd.DataFrame(rows)
    told = frame[frame["reason"].eq("")] if len(frame) else frame
    if not len(told):
        what = say("Replay ({why})", why=frame["reason"].iloc[-1]) if len(frame) else say("Replay")
        raise InsufficientData(what, needed=1, got=0, of=say("past weeks with a forecast"))
    told = told.assign(forecast=told["q50"]).dropna(axis=1, how="all").reset_index(drop=True)
    by = told.groupby("lead_weeks")
    scores = pd.DataFrame([{"lead_weeks": lead} | _scores(group) for lead, group in by])
    total = pd.Series(_scores(told) | {"periods": told["start"].nunique()})
    refused = frame.loc[frame["reason"].ne(""), ["period", "day", "reason"]].reset_index(drop=True)
    return Replay(_headline(total), scores, _league(told), total, told.drop(columns="reason"), refused)


def _scores(rows: pd.DataFrame) -> dict[str, float]:
    actual = rows["actual"]
    whole = actual.sum()
    out = {"n": len(rows), "wape": _wape(rows, "forecast"), "bias": (rows["forecast"] - actual).sum() / whole}
    for band in BANDS:
        low, high = rows[f"q{50 - band / 2:g}"], rows[f"q{50 + band / 2:g}"]
        out[f"coverage_{band}"] = float(actual.between(low, high).mean())
    losses = [np.maximum(q * (actual - rows[name]), (q - 1) * (actual - rows[name])).sum()
              for q, name in zip(QUANTILES, NAMES, strict=True)]  # fmt: skip
    out["pinball"] = float(np.mean(losses) / whole)
    return out | {f"wape_{way}": _wape(rows, way) for way in WAYS[1:] if way in rows}


def _wape(rows: pd.DataFrame, way: str) -> float:
    """Σ|F − A| ÷ ΣA over the rows that have the forecast; without anything that came, not defined."""
    rows = rows[rows[way].notna()]
    whole = rows["actual"].sum()
    return float((rows[way] - rows["actual"]).abs().sum() / whole) if whole > 0 else stats.NONE


def _league(rows: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    out = []
    for way in WAYS:
        if way not in rows:
            continue
        mine = rows[rows[way].notna()]
        out.append({"way": way, "n": len(mine), "wape": _wape(mine, way),
                    "bias": (mine[way] - mine["actual"]).sum() / mine["actual"].sum(),
                    "wape_ours": _wape(mine, "forecast")})  # fmt: skip
    return pd.DataFrame(out).sort_values("wape", ignore_index=True)


def _headline(total: pd.Series) -> str:
    return say(
        "80 % ranges held {held} of {weeks} in {periods}; forecasts were {off} off, bias {bias}.",
        held=number(total["coverage_80"], "percent"), weeks=counted(int(total["n"]), "past week"),
        periods=counted(int(total["periods"]), "period"), off=number(total["wape"], "share"),
        bias=number(total["bias"], "points", signed=True),
    )  # fmt: skip
