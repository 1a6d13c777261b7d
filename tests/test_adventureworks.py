"""AdventureWorks: UTF-16 originals, dashes and NULL for "none", lookups between files, quotas, exchange rates."""

from decimal import Decimal

import pandas as pd
import pytest

from salesops_lib.sources import load
from tests.conftest import shared

TARGETS = """
name: wide_targets
id_prefix: aw
extracted_at: 2020-06-30
empty: ["-"]
company: {currency: USD, timezone: UTC}
tables:
  quotas:
    - file: ResellerSalesTargets.csv
      columns:
        holder_type: {const: user}
        holder_id: EmployeeID
        period_start: {template: "{Year}-12-01"}
        measure: {const: bookings}
        version: {const: "1"}
        period_end: {template: "{Year}-12-31", plus: 1}
        quota_amount: {from: M12, multiply: 1000}
        currency: {const: USD}
        is_overlay: {const: false}
  opportunities:
    - file: ResellerSales_202006.csv
      columns:
        opportunity_id: {template: "{SalesOrderNumber}-{SalesOrderLineNumber}"}
        owner_id: EmployeeKey
        pipeline_id: {const: orders}
        stage_id: {const: sold}
        amount: SalesAmount
        currency: {const: USD}
        created_at: OrderDate
        close_date: OrderDate
        is_closed: {const: true}
        is_won: {const: true}
        is_deleted: {const: false}
"""


def test_orders_targets_and_reps():
    """Counts of the data's own README; totals by an independent sum of the files' text."""
    folder = shared("adventureworks") / "pl300"
    loaded = load("csv", folder, mapping="adventureworks")
    assert loaded.report.set_index("table")["rows_kept"].to_dict() == {
        "users": 18, "teams": 10, "accounts": 701, "stages": 1, "opportunities": 57_851, "quotas": 809,
        "products": 397,
    }  # fmt: skip
    assert loaded.report["rows_quarantined"].sum() == 0
    written = pd.read_csv(folder / "Sales.csv", dtype=str)["Sales"]
    deals = loaded.tables["opportunities"]
    assert sum(deals["amount"]) == sum(map(Decimal, written))
    assert deals["product_family"].notna().all()
    targets = pd.read_csv(folder / "Targets.csv", dtype=str)["TargetAmount"]
    quotas = loaded.tables["quotas"]
    assert sum(quotas["quota_amount"]) == sum(map(Decimal, targets))
    assert quotas["holder_id"].isin(loaded.tables["users"]["user_id"]).all()
    assert (quotas["period_end"] == quotas["period_start"] + pd.DateOffset(months=1)).all()
    assert not loaded.findings["kind"].eq("unmatched reference").any()


def test_utf_16_originals_with_dashes_for_none(tmp_path):
    folder = shared("adventureworks") / "pl300"
    (tmp_path / "map.yaml").write_text(TARGETS, encoding="utf-8")
    loaded = load("csv", folder, mapping=tmp_path / "map.yaml", max_loss=1)
    assert (loaded.report["rows_in"] == loaded.report["rows_kept"] + loaded.report["rows_quarantined"]).all()
    lines = pd.read_csv(folder / "ResellerSales_202006.csv", dtype=str, encoding="utf-16")
    assert len(loaded.tables["opportunities"]) == len(lines)
    wide = pd.read_csv(folder / "ResellerSalesTargets.csv", dtype=str, encoding="utf-16")
    stated = wide[wide["M12"].ne("-")]
    assert sum(loaded.tables["quotas"]["quota_amount"]) == 1000 * sum(map(Decimal, stated["M12"]))
    # a dash is no target, not a target of zero
    assert loaded.quarantine["reason"].eq("empty, but required").all()
    assert len(loaded.quarantine) == len(wide) - len(stated)


def test_quota_history_and_exchange_rates():
    folder = shared("adventureworks") / "tables"
    loaded = load("csv", folder, mapping="adventureworks_tables")
    kept = loaded.report.set_index("table")["rows_kept"]
    assert kept[["users", "accounts", "quotas", "fx_rates"]].to_dict() == {
        "users": 17, "accounts": 701, "quotas": 163, "fx_rates": 13_532,
    }  # fmt: skip
    rates = loaded.tables["fx_rates"].set_index(["currency", "rate_date"])["rate_to_corp"]
    assert rates["AUD", pd.Timestamp("2022-05-30")] == Decimal("0.645161290")  # 1 / 1.5500, nine places
    assert loaded.tables["users"]["name"].str.startswith("adventure-works").all()


@pytest.mark.parametrize("mark", ["\t", "|", ";"])
def test_any_delimiter(tmp_path, mark):
    folder = shared("adventureworks") / "pl300"
    for name in ("Sales", "Salesperson", "Region", "Reseller", "Product", "Targets"):
        frame = pd.read_csv(folder / f"{name}.csv", dtype=str, nrows=200)
        frame.to_csv(tmp_path / f"{name}.csv", sep=mark, index=False)
    loaded = load("csv", tmp_path, mapping="adventureworks", max_loss=1)
    assert len(loaded.tables["opportunities"]) == 200
