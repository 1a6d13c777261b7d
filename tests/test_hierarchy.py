"""Hierarchies: parts add up to totals in every way, methods are chosen by the past, what is none is refused."""

import numpy as np
import pandas as pd
import pytest

from salesops_lib import forecast
from salesops_lib.errors import InsufficientData, SalesOpsError
from salesops_lib.forecast import hierarchy
from tests.test_forecast_series import BOUNDS, SEASON, in_order, months


def reps(n=40) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    parts = []
    for region, team, rep in [
        ("N", "a", 1),
        ("N", "a", 2),
        ("N", "b", 3),
        ("S", "c", 4),
        ("S", "c", 5),
        ("S", "c", 6),
    ]:
        y = np.maximum(rng.normal(20, 12, n) + 10 * np.resize(SEASON, n), 0)
        parts.append(
            months(y, start="2022-01-01").assign(region=region, team=team, rep=rep).drop(columns="unique_id")
        )
    return pd.concat(parts, ignore_index=True)


SPEC = [["region"], ["region", "team"], ["region", "team", "rep"]]


@pytest.mark.parametrize("method", [None, *hierarchy.METHODS])
def test_parts_add_up_to_totals(method):
    out = forecast.reconcile(reps(), SPEC, horizon=4, freq="MS", model="theta", method=method)
    mean = out.pivot(index="unique_id", columns="ds", values="mean")
    assert len(mean) == 1 + 2 + 3 + 6
    assert (mean.loc["total"] - mean.loc["N"] - mean.loc["S"]).to_numpy() == pytest.approx(0, abs=1e-6)
    assert (mean.loc["N"] - mean.loc["N/a/1"] - mean.loc["N/a/2"] - mean.loc["N/b"]).to_numpy() == pytest.approx(
        0, abs=1e-6
    )
    assert out["level"].unique().tolist() == ["total", "region", "region/team", "region/team/rep"]
    assert ("best of 6 over 3 past cutoffs" if method is None else f"{method} (as asked)") in out["model"].iloc[0]
    in_order(out)
    assert (out[BOUNDS] >= 0).all().all()
    wide = (out["hi-80"] - out["lo-80"]).groupby(out["unique_id"]).mean()
    assert wide["total"] < wide.filter(like="/").loc[lambda w: w.index.str.count("/") == 2].sum()


def test_forecasts_below_zero_are_reconciled_away():
    rows = reps()
    rows.loc[rows["rep"].eq(6), "y"] = np.maximum(60 - 2.2 * np.arange(40), 0) + np.random.default_rng(2).uniform(
        0, 1, 40
    )
    out = forecast.reconcile(rows, SPEC, horizon=6, freq="MS", model="theta", method="ols")
    mean = out.pivot(index="unique_id", columns="ds", values="mean")
    assert (mean >= 0).all().all()
    assert (mean.loc["total"] - mean.loc[["N", "S"]].sum()).to_numpy() == pytest.approx(0, abs=1e-6)


def test_hierarchies_that_are_none_are_refused():
    rows = reps()
    for spoil, spec, says in [
        (rows, ["region"], "a list of lists"),
        (rows, [["regio"]], "Did you mean 'region'"),
        (rows, [["region"], ["team", "rep"]], "region is missing there"),
        (rows.assign(team=rows["team"].where(rows["rep"].ne(3))), SPEC, "team is empty"),
        (rows.drop(index=[39]), SPEC, "Pass gaps='zero'"),
        (rows.assign(region=rows["region"].replace("N", "total")), SPEC, "two levels"),
    ]:
        with pytest.raises(SalesOpsError) as caught:
            forecast.reconcile(spoil, spec, horizon=3, freq="MS", model="naive", method="ols")
        assert says in str(caught.value), says
    filled = forecast.reconcile(
        rows.drop(index=[39]), SPEC, horizon=3, freq="MS", model="naive", method="ols", gaps="zero"
    )
    assert len(filled) == 36


def test_a_hierarchy_equals_sums_made_by_hand_and_methods_are_compared():
    tree = hierarchy.grow(reps(), SPEC, freq="MS")
    rows = reps()
    for k, name in enumerate(tree.panel.ids):
        parts = name.split("/") if name != "total" else []
        own = rows
        for column, value in zip(["region", "team", "rep"], parts, strict=False):
            own = own[own[column].astype(str).eq(value)]
        assert tree.panel.values[k] == pytest.approx(own.groupby("ds")["y"].sum().to_numpy())
    table = forecast.compare_methods(rows, SPEC, horizon=4, freq="MS", cutoffs=2)
    assert len(table) == 2 * 6 * 4
    assert table["mase"].gt(0).all()
    with pytest.raises(InsufficientData, match="Comparing ways"):
        forecast.compare_methods(reps(20), SPEC, horizon=4, freq="MS")
