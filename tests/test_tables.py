from decimal import Decimal

import pandas as pd
import pytest

from salesops_lib import tables
from salesops_lib.errors import ParameterError
from tests.conftest import ROOT


def test_dictionary_on_disk_is_the_one_the_code_makes():
    assert (ROOT / "data/README.md").read_text(encoding="utf-8") == tables.dictionary()


def test_every_reference_points_at_a_column():
    for table in tables.TABLES.values():
        for column in table.columns:
            if column.references:
                target, key = column.references.split(".")
                assert tables.table(target)[key].kind == "id"
        assert all(table[key].required for key in table.key)


def test_names_end_as_their_kind_says():
    for table in tables.TABLES.values():
        for column in table.columns:
            assert column.kind in tables.UNITS
            if column.name.endswith("_at"):
                assert column.kind == "instant", column.name
            if column.name.startswith("is_"):
                assert column.kind == "flag", column.name


def test_violations_name_cell_and_rule():
    frame = tables.conform(
        pd.DataFrame(
            {
                "opportunity_id": ["a", "b"],
                "changed_at": ["2024-01-01", None],
                "field": ["stage", "colour"],
                "seq": [0, 1],
                "is_bulk": [False, True],
                "origin": ["native", "native"],
            }
        ),
        "opportunity_history",
    )
    found = tables.violations(frame, "opportunity_history").set_index("column")
    assert found.loc["changed_at", "reason"] == "empty, but required"
    assert found.loc["changed_at", "fatal"]
    assert found.loc["field", "value"] == "colour"
    assert not found.loc["field", "fatal"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.005, 2.675, None], ["1.00", "2.68", None]),
        ([10, 0, -3], ["10.00", "0.00", "-3.00"]),
        ([Decimal("0.10"), None, 7], ["0.10", None, "7.00"]),
    ],
)
def test_money_is_exact(values, expected):
    got = tables.money(pd.Series(values))
    assert [None if pd.isna(v) else str(v) for v in got] == expected


def test_money_with_a_third_decimal_is_refused():
    with pytest.raises(ParameterError, match="annual_revenue"):
        tables.conform(
            pd.DataFrame({"account_id": ["a"], "is_deleted": [False], "annual_revenue": [Decimal("1.005")]}),
            "accounts",
        )


def test_unknown_names_show_the_near_miss():
    with pytest.raises(ParameterError, match="Did you mean 'accounts'"):
        tables.table("acounts")
    with pytest.raises(ParameterError, match="Did you mean 'amount'"):
        tables.OPPORTUNITIES["amout"]


def test_absent_required_column_is_named():
    with pytest.raises(ParameterError, match=r"is_deleted"):
        tables.conform(pd.DataFrame({"account_id": ["a"]}), "accounts")
