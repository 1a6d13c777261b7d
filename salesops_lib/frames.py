"""Canonical frames to Arrow and back, without loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salesops_lib import tables

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def to_arrow(frame: pd.DataFrame, name: str | tables.Table) -> pa.Table:
    """Write canonical columns as the Parquet types of the contract; other columns are refused by omission."""
    import pyarrow as pa

    kinds = _kinds(name)
    known = [column for column in frame.columns if column in kinds]
    schema = pa.schema([(column, tables.arrow_type(kinds[column])) for column in known])
    return pa.Table.from_pandas(frame[known], schema=schema, preserve_index=False, safe=False)


def to_pandas(table: pa.Table, name: str | tables.Table) -> pd.DataFrame:
    """Read Parquet columns back with the dtypes of the contract."""
    import pandas as pd

    kinds = _kinds(name)
    out = {}
    for column in table.column_names:
        array, wanted = table.column(column), pd.api.types.pandas_dtype(tables.dtype(kinds[column]))
        if kinds[column] == "date":
            out[column] = array.cast("timestamp[us]").to_pandas()
        elif hasattr(wanted, "__from_arrow__") and kinds[column] != "instant":
            out[column] = pd.Series(wanted.__from_arrow__(array))
        else:
            out[column] = array.to_pandas()
    return pd.DataFrame(out)


def _kinds(name: str | tables.Table) -> dict[str, str]:
    spec = name if isinstance(name, tables.Table) else tables.table(name)
    return {column.name: column.kind for column in (*spec.columns, *tables.PROVENANCE)}


class Groups:
    """Rows by the values of a column, each in their order; none for a value that is not there."""

    def __init__(self, rows: pd.DataFrame, by: str):
        self._none, self._rows = rows.iloc[:0], rows
        self._at = rows.groupby(by, observed=True, sort=False).indices
        self._made: dict[str, pd.DataFrame] = {}

    def __getitem__(self, value: str) -> pd.DataFrame:
        if value not in self._at:
            return self._none
        if value not in self._made:
            self._made[value] = self._rows.iloc[self._at[value]]
        return self._made[value]
