"""`auto` and `fast`: equal weights over well-chosen members, and a range that widens where they disagree.

The members were chosen on several public sets; weights learnt by cross-validation did no better than equal ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from salesops_lib.errors import ParameterError, unknown
from salesops_lib.forecast import members, pooled, series, standins
from salesops_lib.forecast.series import Ask, Panel
from salesops_lib.language import say

Fit = Callable[[Panel, Sequence[str], Ask], np.ndarray]
Answer = tuple[np.ndarray, list[str]]  # series × step × (mean, low and high of each level), and a label a series
POOLED = "lightgbm"


@dataclass(frozen=True)
class Pool:
    """Members with equal weights; `is_trimmed` drops the highest and the lowest at every step."""

    names: tuple[str, ...]
    is_trimmed: bool = False


POOLS = {
    "auto": Pool(
        (
            "theta", "dynamic_theta", "stl_theta", "stl_ets",
            "auto_ces", "auto_arima", "auto_ets", POOLED,
        ),
        is_trimmed=True,
    ),
    "fast": Pool(("theta", "dynamic_theta", "stl_theta", "stl_ets", POOLED)),
}  # fmt: skip
# Two or three years tell a season of 52 weeks badly: half of the members leave it out. On 54 weekly cases
# (flights, volumes, demand, a sales company) the error was 0.807 of the naive one's, 0.837 with the pools above.
LONG_POOLS = {
    "auto": Pool(
        (
            "stl_theta", "stl_ets", "stl_arima",
            "theta_nonseasonal", "ets_nonseasonal", "arima_nonseasonal", "ces_nonseasonal",
        ),
        is_trimmed=True,
    ),
    "fast": Pool(("stl_theta", "stl_ets", "theta_nonseasonal", "ets_nonseasonal")),
}  # fmt: skip
UNSEASONED = Pool(("theta", "stl_theta", "stl_ets"))


def pool_of(name: str, season: int) -> Pool | None:
    """Return the members of a combination for a season; none for a single model."""
    return (LONG_POOLS if season > members.LONG else POOLS).get(name)


def models() -> list[str]:
    """List the names that `model` can be: the combinations first, then single models."""
    return [*POOLS, *members.MEMBERS, "prophet", POOLED]


def check_models(names: Sequence[str]) -> list[str]:
    """Return names of models, each once.

    Raises
    ------
    ParameterError
        For an unknown one, with the nearest known name.
    """
    found = list(dict.fromkeys([names] if isinstance(names, str) else names))
    for name in found:
        if name not in models():
            raise ParameterError(unknown("model", name, models()))
    if not found:
        raise ParameterError("models: at least one is needed.")
    return found


def forecast(panel: Panel, names: Sequence[str], ask: Ask, fit: Fit = members.fit) -> dict[str, Answer]:
    """Forecast with several models at once; a member that two of them need is fitted once.

    Series too short or sparse for a model get a stand-in, and the label says which and why. Where the history of a
    series is never negative, neither are its forecasts.
    """
    thin = [series.thin(y, panel.season, panel.unit) for y in panel.values]
    able = {name: [k for k, why in enumerate(thin) if _carries(panel, k, name, why)] for name in names}
    parts = _parts(panel, able, ask, fit)
    out = {}
    for name in names:
        numbers, labels = _stand_ins(panel, thin, able[name], ask, fit)
        if able[name]:
            own = panel.pick(able[name])
            numbers[able[name]], said = _answer(
                own, name, {part: parts[part][able[name]] for part in _needs(name, panel.season)}, ask
            )
            for k, label in zip(able[name], said, strict=True):
                labels[k] = label
        out[name] = tidied(panel, numbers), labels
    return out


def _needs(name: str, season: int) -> list[str]:
    """List the members behind a model; Theta always stands by."""
    own = pool_of(name, season)
    return list(dict.fromkeys([members.SAFE, *(own.names if own else [name])]))


def _carries(panel: Panel, k: int, name: str, why: tuple[str, str] | None) -> bool:
    if why is None:
        return True
    if name in members.NAIVE:
        return why[0] != "naive" and len(panel.values[k]) >= panel.season
    return why[0] == "sparse" and name not in POOLS and name != POOLED and len(panel.values[k]) >= 2 * panel.season


def _parts(panel: Panel, able: dict[str, list[int]], ask: Ask, fit: Fit) -> dict[str, np.ndarray]:
    """Fit every member once, on all series that some model needs it for; NaN elsewhere."""
    wanted: dict[str, set[int]] = {}
    for name, which in able.items():
        for part in _needs(name, panel.season) if which else ():
            wanted.setdefault(part, set()).update(which)
    together: dict[tuple[int, ...], list[str]] = {}
    for part, which in wanted.items():
        together.setdefault(tuple(sorted(which)), []).append(part)
    out = {}
    for which, some in together.items():
        local = [part for part in some if part != POOLED]
        fitted = fit(panel.pick(which), local, ask) if local else None
        for part in some:
            out[part] = np.full((len(panel.ids), ask.horizon, len(ask.columns)), np.nan)
            if part == POOLED:
                if POOLED in able or not pooled.is_worse(panel.pick(which), ask, fit):
                    out[part][list(which)] = pooled.forecast(panel.pick(which), ask)
            else:
                out[part][list(which)] = fitted[:, local.index(part)]
    return out


def _answer(panel: Panel, name: str, parts: dict[str, np.ndarray], ask: Ask) -> Answer:
    labels = [name] * len(panel.ids)
    if own := pool_of(name, panel.season):
        return combined(own, parts, ask, panel), labels
    if name == POOLED:  # it has no range of its own
        safe = parts[members.SAFE]
        parts = parts | {name: standins.ranged(parts[name][..., 0], (safe[..., 2::2] - safe[..., 1::2]) / 2)}
    failed = np.isnan(parts[name][..., 0]).any(axis=1)
    why = say("too few series for {model}", model=name) if name == POOLED else say("{model} failed", model=name)
    for k in np.flatnonzero(failed):
        labels[k] = f"{members.SAFE} ({why})"
    return np.where(failed[:, None, None], parts[members.SAFE], parts[name]), labels


def combined(pool: Pool, parts: dict[str, np.ndarray], ask: Ask, panel: Panel) -> np.ndarray:
    """Average members and put a range around them.

    Half the range is √(h² + (z s)²) · √(1 + m/n), with h the median of the members' own half ranges and s the
    standard deviation between their means: where models disagree, the future is less sure than any of them says,
    and so it is where n values must tell a season of m. Errors have longer tails than a normal distribution, about
    those of Student's t with 8 degrees of freedom: narrow levels are drawn in.
    """
    stack = np.stack([parts[part] for part in pool.names], axis=1)
    lost = np.isnan(stack[..., :1])
    optional = np.array([part == POOLED for part in pool.names])
    stack = np.where(lost & ~optional[:, None, None], parts[members.SAFE][:, None], stack)
    means = stack[..., 0]
    trusted = [
        k for k, part in enumerate(pool.names) if part in members.MEMBERS and members.MEMBERS[part].has_range
    ]
    half = np.nanmedian((stack[:, trusted, :, 2::2] - stack[:, trusted, :, 1::2]) / 2, axis=1)
    apart = np.nanstd(means, axis=1, ddof=1)[..., None] * standins.z_values(ask.levels)
    short = np.sqrt([1 + panel.season / len(y) for y in panel.values])[:, None, None]
    wide = np.hypot(half, apart) * short * standins.tails(ask.levels)
    return standins.ranged(_centre(means, is_trimmed=pool.is_trimmed), wide)


def _centre(means: np.ndarray, *, is_trimmed: bool) -> np.ndarray:
    """Average over members (axis 1), leaving out those without an answer, and the outermost two where trimmed."""
    if not is_trimmed:
        return np.nanmean(means, axis=1)
    ordered = np.sort(means, axis=1)  # NaN last
    n = (~np.isnan(means)).sum(axis=1, keepdims=True)
    place = np.arange(means.shape[1])[None, :, None]
    return np.where((place >= 1) & (place < n - 1), ordered, 0).sum(axis=1) / (n[:, 0] - 2)


def _stand_ins(panel: Panel, thin: list, able: list[int], ask: Ask, fit: Fit) -> Answer:
    numbers = np.full((len(panel.ids), ask.horizon, len(ask.columns)), np.nan)
    labels = [""] * len(panel.ids)
    rest = sorted(set(range(len(panel.ids))) - set(able))
    if short := [k for k in rest if thin[k][0] == "unseasoned"]:
        own = replace(panel.pick(short), is_seasonal=False)
        found = fit(own, UNSEASONED.names, ask)
        parts = {part: found[:, j] for j, part in enumerate(UNSEASONED.names)}
        numbers[short] = combined(UNSEASONED, parts, ask, own)
    for k in rest:
        y, (kind, why) = panel.values[k], thin[k]
        if kind == "unseasoned":
            labels[k] = f"{say('theta and ets without season')} ({why})"
        elif kind == "sparse":
            numbers[k], labels[k] = standins.sparse(y, panel.season, why, ask.horizon, ask.levels)
        else:
            numbers[k], labels[k] = standins.naive(y, why, ask.horizon, ask.levels)
    return numbers, labels


def tidied(panel: Panel, numbers: np.ndarray) -> np.ndarray:
    """Make ranges hold their mean, wider levels hold narrower ones, and nothing fall below zero that never was."""
    mean = numbers[..., :1]
    out = numbers.copy()
    out[..., 1::2] = np.minimum.accumulate(np.fmin(numbers[..., 1::2], mean), axis=-1)
    out[..., 2::2] = np.maximum.accumulate(np.fmax(numbers[..., 2::2], mean), axis=-1)
    never = np.array([y.min() >= 0 for y in panel.values])[:, None, None]
    return np.where(never, np.maximum(out, 0), out)
