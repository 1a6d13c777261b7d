"""How far off: the same models on the past, cut at rolling origins, scored against what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from salesops_lib import stats
from salesops_lib.errors import InsufficientData, ParameterError, shown
from salesops_lib.forecast import chunks, combine, series, spread
from salesops_lib.forecast.components import Components
from salesops_lib.forecast.predict import Care, answers, framed
from salesops_lib.forecast.series import Ask, Panel
from salesops_lib.language import mark, say
from salesops_lib.present import counted, number

if TYPE_CHECKING:
    from salesops_lib.periods import FiscalCalendar

LEVELS = (80, 95)
MEASURES = ["mase", "smape", "wape", "bias", "coverage_80", "coverage_95", "msis_80", "msis_95"]
FEW = 30  # series below which the doubt of a difference is taken over series and cutoffs


@dataclass(frozen=True)
class Backtest:
    """What past forecasts were worth.

    Attributes
    ----------
    scores
        One row a model and step: `model`, `horizon` (steps ahead), `mase`, `smape` (percent), `wape` and `bias`
        (shares of what came; a bias above 0 is too high), `coverage_80`, `coverage_95`, `msis_80`, `msis_95`, `n`
        (forecasts).
    league
        One row a model over all steps, best first: the same measures, and `behind`, `behind_low`, `behind_high`:
        its MASE less that of the best, with a 95 % interval over series.
    forecasts
        Every forecast: `unique_id`, `cutoff`, `ds`, `horizon`, `y`, `mean`, bounds, `model` (asked), `used`,
        `scale`.
    unit
        What a step is called.
    """

    scores: pd.DataFrame
    league: pd.DataFrame
    forecasts: pd.DataFrame
    unit: str = mark("steps")

    @property
    def headline(self) -> str:
        """Say in one sentence which model was best and how far its ranges hold."""
        best = self.league.iloc[0]
        return say(
            "The model {model} was off by {off} of the total over {forecasts}; its 80 % ranges held {held_80}, "
            "its 95 % ranges {held_95}.",
            model=best["model"], off=number(best["wape"], "share"),
            forecasts=counted(int(best["n"]), "past forecast"),
            **{f"held_{level}": number(best[f"coverage_{level}"], "percent") for level in LEVELS},
        )  # fmt: skip


def backtest_series(
    history: pd.DataFrame,
    *,
    horizon: int,
    freq: str,
    cutoffs: int = 5,
    models: Sequence[str] = ("auto", "fast", "seasonal_naive"),
    step: int | None = None,
    gaps: str = "refuse",
    components: Components | None = None,
    outliers: str = "keep",
    working_days: FiscalCalendar | str | None = None,
    calibrate: bool = False,
    workers: int = 1,
    executor: str = "local",
) -> Backtest:
    """Forecast from past instants, each time from what was known then, and compare with what came.

    Parameters
    ----------
    history, horizon, freq, gaps, components, outliers, working_days, calibrate, workers, executor
        As for `forecast_series`.
    cutoffs
        Number of past instants; the last lies `horizon` steps before each series' end.
    models
        Any of `models()`.
    step
        Steps between two cutoffs; a fifth of the horizon unless given, so that little history is used up.

    Raises
    ------
    InsufficientData
        Where no series is longer than the horizon.
    ParameterError
        For unknown models, or `cutoffs` or `step` below 1.
    """
    names = combine.check_models(models)
    ask = Ask(series.check_horizon(horizon), LEVELS, components)
    spread.check(executor, workers)
    step = max(1, ask.horizon // 5) if step is None else step
    for name, given in (("cutoffs", cutoffs), ("step", step)):
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise ParameterError(f"{name} {shown(given)}: a whole number from 1 on is needed.")
    panel = series.read(history, freq=freq, gaps=gaps)
    longest = max(len(y) for y in panel.values)
    if longest <= ask.horizon:
        what, of = say("A backtest of {n} steps", n=horizon), say("{unit} in a series", unit=say(panel.unit))
        raise InsufficientData(what, needed=ask.horizon + 1, got=longest, of=of)
    fit = partial(chunks.fit, workers=workers, executor=executor)
    care = Care(outliers, working_days, calibrate)
    rows = [_cut(panel, ask.horizon + k * step, names, ask, fit, care) for k in range(cutoffs)]
    forecasts = pd.concat([part for part in rows if len(part)], ignore_index=True)
    return Backtest(
        scored(forecasts, ["model", "horizon"], names), league(forecasts, names), forecasts, panel.unit
    )


def _cut(panel: Panel, back: int, names: list[str], ask: Ask, fit, care: Care) -> pd.DataFrame:
    """Forecast from `back` steps before the end, and put what came beside it."""
    keeps = [k for k, y in enumerate(panel.values) if len(y) > back]
    if not keeps:
        return pd.DataFrame()
    known = panel.pick(keeps).cut(back)
    came = np.concatenate([panel.values[k][-back:][: ask.horizon] for k in keeps])
    scales = np.repeat([series.naive_scale(y, panel.season) for y in known.values], ask.horizon)
    ends = pd.Series(known.ends).repeat(ask.horizon).array
    steps = np.tile(np.arange(1, ask.horizon + 1), len(keeps))
    parts = []
    for name, (numbers, labels) in answers(known, names, ask, fit, care).items():
        rows = framed(known, numbers, labels, ask).rename(columns={"model": "used"})
        parts.append(rows.assign(model=name, cutoff=ends, horizon=steps, y=came, scale=scales))
    return pd.concat(parts, ignore_index=True)


def scored(forecasts: pd.DataFrame, by: list[str], names: Sequence[str]) -> pd.DataFrame:
    """Score forecasts by group, models in the order of `names`.

    MASE: Hyndman and Koehler (2006). Interval score, scaled likewise (MSIS): Gneiting and Raftery (2007).
    """
    rows = forecasts.assign(**_losses(forecasts))
    grouped = rows.groupby(by, sort=False)
    out = grouped[["mase", "smape", "coverage_80", "coverage_95", "msis_80", "msis_95"]].mean()
    size = grouped["size"].sum().replace(0, np.nan)
    out["wape"], out["bias"] = grouped["off"].sum() / size, grouped["error"].sum() / size
    out["n"] = grouped.size()
    out = out.reset_index()
    out["model"] = pd.Categorical(out["model"], list(names))
    return out.sort_values(by, ignore_index=True).astype({"model": object})[[*by, *MEASURES, "n"]]


def _losses(rows: pd.DataFrame) -> dict[str, pd.Series]:
    error = rows["mean"] - rows["y"]
    both = (rows["mean"].abs() + rows["y"].abs()).replace(0, np.nan)
    out = {"error": error, "off": error.abs(), "size": rows["y"].abs(), "mase": error.abs() / rows["scale"]}
    out["smape"] = (200 * error.abs() / both).fillna(0)
    for level in LEVELS:
        low, high = rows[f"lo-{level}"], rows[f"hi-{level}"]
        miss = (low - rows["y"]).clip(lower=0) + (rows["y"] - high).clip(lower=0)
        out[f"coverage_{level}"] = rows["y"].between(low, high).astype(float)
        out[f"msis_{level}"] = (high - low + miss * 200 / (100 - level)) / rows["scale"]
    return out


def league(forecasts: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Rank models by MASE over all steps, with the doubt of the distance to the best."""
    table = scored(forecasts, ["model"], names).sort_values("mase", ignore_index=True, kind="stable")
    off = forecasts.assign(mase=(forecasts["mean"] - forecasts["y"]).abs() / forecasts["scale"])
    cases = ["unique_id"] if forecasts["unique_id"].nunique() >= FEW else ["unique_id", "cutoff"]
    by_case = off.pivot_table(index=cases, columns="model", values="mase", aggfunc="mean")
    best = table["model"].iloc[0]
    behind = [stats.mean((by_case[name] - by_case[best]).dropna()) for name in table["model"]]
    return table.assign(
        behind=[e.value for e in behind], behind_low=[e.low for e in behind], behind_high=[e.high for e in behind]
    )
