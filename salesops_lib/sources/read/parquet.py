"""Parquet, and Arrow columns as text."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pandas as pd

from salesops_lib.errors import DataContractError
from salesops_lib.sources.read.raw import RAGGED, TEXT, Raw, checked_header


class RawParquet(Raw):
    """One Parquet file; every value as the text it would have in a delimited file."""

    def __init__(self, path: Path):
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path, self.name = path, path.name
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataContractError(f"{self.name} is no Parquet file: {str(error).rstrip('.')}.") from error
        self.columns = self._file.schema_arrow.names
        self.header = checked_header(self.columns, self.name)
        kinds = {field.name.strip(): field.type for field in self._file.schema_arrow}
        numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
        self.typed = {name: "." for name, kind in kinds.items() if any(fits(kind) for fits in numbers)}
        self.typed |= {name: "ymd" for name, kind in kinds.items() if pa.types.is_temporal(kind)}

    def batches(self, columns: Collection[str] | None = None) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Yield (rows, ragged); nothing is ragged in Parquet."""
        import pyarrow as pa

        wanted = {
            own: name  # the header may have been renamed since
            for own, name in zip(self.columns, self.header, strict=True)
            if columns is None or name in columns
        }
        at = 2
        try:
            for batch in self._file.iter_batches(self.batch_rows, columns=list(wanted)):
                yield text_frame(batch, list(wanted.values()), at), pd.DataFrame(columns=RAGGED)
                at += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataContractError(
                f"{self.name}, from row {at} on, cannot be read: {str(error).rstrip('.')}. Export it again."
            ) from error


def text_frame(batch, names: list[str], first_row: int) -> pd.DataFrame:
    """Write an Arrow batch as text cells: ISO dates, plain decimals, empty text for null."""
    cells = {name: TEXT.__from_arrow__(text_array(batch.column(k))) for k, name in enumerate(names)}
    return pd.DataFrame(cells, index=pd.RangeIndex(first_row, first_row + batch.num_rows, name="row"))


def text_array(column):
    """Write one Arrow column as text; see `text_frame`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        column = pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.large_string())
    return pc.fill_null(pc.cast(column, pa.large_string()), "")
