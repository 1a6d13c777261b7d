"""What every format has in common: a name, a header, text cells in batches, a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pandas as pd

from salesops_lib.errors import DataContractError, shown

TEXT = pd.StringDtype("pyarrow")
RAGGED = ["row", "value", "reason"]


class Raw:
    """One table as it came.

    Attributes
    ----------
    path, name
        Its file, and what messages call it.
    header
        Its columns.
    written
        What the file calls those that were renamed.
    typed
        Reading (``ymd``, ``.``) of those that hold dates or numbers rather than text, by their name in the file.
    batch_rows
        Rows in a batch; text that Arrow reads comes in blocks of bytes instead.
    """

    path: Path
    name: str
    header: list[str]
    written: Mapping[str, str] = {}
    typed: Mapping[str, str] = {}
    batch_rows = 200_000

    def batches(self, columns: Collection[str] | None = None) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Yield (rows, ragged): text columns indexed by row number, and rows of the wrong length.

        `ragged` has `row`, `value` (the row's text) and `reason`.
        """
        raise NotImplementedError

    def raw_name(self, column: str) -> str:
        """The name a column has in the file."""
        return self.written.get(column, column)

    @property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def checked_header(cells: list[str], name: str) -> list[str]:
    """Trim a header and refuse one that is empty or names a column twice.

    Raises
    ------
    DataContractError
        Naming the file and the column.
    """
    header = [cell.strip() for cell in cells]
    if not any(header):
        raise DataContractError(f"{name}: the file is empty; export it again with its header row.")
    doubled = sorted({cell for cell in header if header.count(cell) > 1})
    if doubled:
        raise DataContractError(
            f"{name}, row 1: column {shown(doubled[0])} stands twice in the header; rename or remove one."
        )
    return header
