"""Files as they came: every cell as text, every record with its number, nothing guessed.

A record's number is the one a spreadsheet shows: the header is row 1, the first record row 2.
"""

from __future__ import annotations

from pathlib import Path

from salesops_lib.errors import DataContractError
from salesops_lib.sources.read.delimited import RawFile
from salesops_lib.sources.read.parquet import RawParquet
from salesops_lib.sources.read.raw import Raw
from salesops_lib.sources.read.workbook import open_sheets

SUFFIXES = (".csv", ".txt", ".tsv", ".xlsx", ".parquet")


def open_raw(path: Path, encoding: str | None = None, delimiter: str | None = None) -> list[Raw]:
    """Open a file: one table, or one for each sheet that is not empty.

    Raises
    ------
    DataContractError
        Where it does not exist, is empty, or is not what its name says.
    """
    if not path.is_file():
        raise DataContractError(f"{path}: no such file.")
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        return open_sheets(path)
    return [RawParquet(path) if suffix == ".parquet" else RawFile(path, encoding, delimiter)]
