"""Score forecasts on public series by the official rules, beside Prophet and the naive ones, and print the table.

Each case runs in a process of its own: so are CPU and memory. Name cases (`m3 tourism hierarchy scale`)
to run only those, and models with --models; --series N takes a seeded sample.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from salesops_lib import forecast
from salesops_lib.forecast import backtest, series

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "forecast"
SETS = {"m3": ("m3_monthly", "MS"), "tourism": ("tourism_monthly", "MS")}
GOALS = {
    ("m3", "auto"): "OWA ≤ 0.785, sMAPE ≤ 13.25, 80 ± 3, 95 ± 2, MSIS ≤ 6.0",
    ("m3", "fast"): "OWA ≤ 0.79 at half of Prophet's CPU",
    ("tourism", "auto"): "MASE ≤ 1.39, OWA ≤ 0.758, 80 ± 3, 95 ± 2",
}
MODELS = ["auto", "fast", "auto_ets", "theta", "seasonal_naive", "naive2", "prophet"]
SPEC = [["State"], ["State", "Region"], ["State", "Region", "Purpose"]]
HEAD = (
    "| set | model | goal | OWA | sMAPE | MASE | in 80 % | in 95 % | MSIS95 | CPU s a series | peak MB |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def taken(name: str, count: int | None) -> pd.DataFrame:
    """Read a set, or a seeded sample of its series."""
    rows = pd.read_parquet(DATA / f"{name}.parquet")
    if count:
        ids = np.sort(rows["unique_id"].unique())
        rows = rows[
            rows["unique_id"].isin(np.random.default_rng(1).choice(ids, min(count, len(ids)), replace=False))
        ]
    return rows


def series_case(case: str, model: str, count: int | None) -> dict:
    """Forecast the test part of a set from its training part; CPU without imports."""
    name, freq = SETS[case]
    rows = taken(name, count)
    known = rows.loc[rows["split"].eq("train"), ["unique_id", "ds", "y"]]
    came = rows[rows["split"].eq("test")]
    horizon = int(came.groupby("unique_id").size().max())
    forecast.forecast_series(
        known[known["unique_id"].eq(known["unique_id"].iloc[0])], horizon=2, freq=freq
    )  # imports
    began = cpu()
    out = forecast.forecast_series(known, horizon=horizon, freq=freq, model=model)
    spent = cpu() - began
    scale = known.groupby("unique_id")["y"].apply(lambda y: series.naive_scale(y.to_numpy(), 12))
    losses = came.merge(out.drop(columns="model"), on=["unique_id", "ds"])
    losses = losses.assign(model=model, scale=losses["unique_id"].map(scale))
    assert len(losses) == len(came)
    score = backtest.scored(losses, ["model"], [model]).iloc[0].to_dict()
    return {**score, "cpu": spent / known["unique_id"].nunique(), "peak": peak()}


def hierarchy_case(count: int | None) -> list[dict]:
    """Reconcile Australian trips; MASE is the mean over the levels of the mean over the series of a level."""
    rows = pd.read_parquet(DATA / "tourism_hier_quarterly.parquet").drop(columns="unique_id")
    if count:
        rows = rows[rows["State"].isin(["Tasmania", "ACT", "Northern Territory"])]
    known, came = rows[rows["split"].eq("train")], rows[rows["split"].eq("test")]
    out, began = [], cpu()
    for method in (None, "bottom_up"):
        found = forecast.reconcile(known, SPEC, horizon=8, freq="QS", model="auto", method=method)
        tree = forecast.hierarchy.grow(rows, SPEC, freq="QS")
        truth = {name: y[-8:] for name, y in zip(tree.panel.ids, tree.panel.values, strict=True)}
        scale = {
            name: series.naive_scale(y[:-8], 4) for name, y in zip(tree.panel.ids, tree.panel.values, strict=True)
        }
        found["y"] = np.concatenate([truth[name] for name in pd.unique(found["unique_id"])])
        losses = found.assign(model=found["level"], scale=found["unique_id"].map(scale))
        by_level = backtest.scored(losses, ["model"], list(pd.unique(found["level"])))
        means = found["mean"].to_numpy().reshape(-1, 8)
        gap = np.abs(means - tree.summing @ means[-tree.summing.shape[1] :]).max()
        out.append(
            {**by_level.drop(columns="model").mean().to_dict(), "label": found["model"].iloc[0], "gap": gap}
        )
    return [
        {**row, "cpu": (cpu() - began) / len(tree.panel.ids) / 2, "peak": peak(), "levels": len(came)}
        for row in out
    ]


def scale_case(count: int | None) -> list[dict]:
    """Let the number of series grow tenfold: CPU a series should not."""
    out = []
    for n in (100, 1_000) if count else (1_000, 10_000):
        rng = np.random.default_rng(n)
        y = rng.lognormal(3, 0.2, (n, 48)) * (1 + 0.3 * np.sin(np.arange(48) * np.pi / 6))
        ds = pd.date_range("2022-01-01", periods=48, freq="MS")
        rows = pd.DataFrame({"unique_id": np.repeat(np.arange(n), 48), "ds": np.tile(ds, n), "y": y.ravel()})
        began = cpu()
        forecast.forecast_series(rows, horizon=12, freq="MS", model="fast")
        out.append({"label": f"fast, {n:,} series of 48 months", "cpu": (cpu() - began) / n, "peak": peak()})
    return out


def cpu() -> float:
    return time.process_time()


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("cases", nargs="*", default=["m3", "tourism", "hierarchy", "scale"])
    options.add_argument("--models", nargs="*", default=MODELS)
    options.add_argument("--series", type=int)
    options.add_argument("--alone", action="store_true", help="one case and model, as JSON, in this process")
    asked = options.parse_args()
    if asked.alone:
        case = asked.cases[0]
        run = {"hierarchy": hierarchy_case, "scale": scale_case}.get(case)
        print(
            json.dumps(
                run(asked.series) if run else series_case(case, asked.models[0], asked.series), default=float
            )
        )
        return
    print(HEAD)
    for case in asked.cases:
        own = {model: alone(case, model, asked.series) for model in order(asked.models)} if case in SETS else {}
        for model, row in own.items():
            base = own["naive2"]
            row["owa"] = (row["mase"] / base["mase"] + row["smape"] / base["smape"]) / 2
            show(case, model, GOALS.get((case, model), "–"), row)
        for row in [] if case in SETS else alone(case, "auto", asked.series):
            show(
                case, row["label"], "coherent to 1e-6, MASE 5 % under bottom-up" if "gap" in row else "linear", row
            )


def order(models: list[str]) -> list[str]:
    return list(dict.fromkeys([*models, "naive2"]))


def alone(case: str, model: str, count: int | None):
    command = [sys.executable, __file__, case, "--alone", "--models", model]
    done = subprocess.run([*command, *(["--series", str(count)] if count else [])], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def show(case: str, model: str, goal: str, row: dict) -> None:
    """Print one row of the table."""

    def said(name: str, form: str, times: float = 1) -> str:
        return format(row[name] * times, form) if row.get(name) is not None else "–"

    numbers = [said("owa", ".4f"), said("smape", ".2f"), said("mase", ".4f"), said("coverage_80", ".1f", 100)]
    numbers += [said("coverage_95", ".1f", 100), said("msis_95", ".2f"), said("cpu", ".3f"), said("peak", ",.0f")]
    print(f"| {case} | {model} | {goal} | {' | '.join(numbers)} |", flush=True)


if __name__ == "__main__":
    main()
