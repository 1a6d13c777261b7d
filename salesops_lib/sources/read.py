"""Files as they came: every cell as text, every record with its number, nothing guessed.

A record's number is the one a spreadsheet shows: the header is row 1, the first record row 2.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pandas as pd

from salesops_lib.errors import DataContractError

DELIMITERS = ",;\t|"
BATCH_ROWS = 200_000
TEXT = pd.StringDtype("pyarrow")


@dataclass
class RawFile:
    """One delimited text file.

    Parameters
    ----------
    path
        The file.
    encoding, delimiter
        Found from the file's first bytes and header where not stated.
    """

    path: Path
    encoding: str | None = None
    delimiter: str | None = None
    header: list[str] = field(init=False)

    def __post_init__(self):
        if not self.path.is_file():
            raise DataContractError(f"{self.path}: no such file.")
        self.encoding = self.encoding or sniff_encoding(self.path)
        with self._guarded(), self._open() as lines:
            first = next(lines, "")
            self.delimiter = self.delimiter or sniff_delimiter(first)
        self.header = [name.strip() for name in next(iter(self._records()), (1, []))[1]]
        self._check_header()

    def _check_header(self) -> None:
        if not any(self.header):
            raise DataContractError(f"{self.path.name}: the file is empty; export it again with its header row.")
        doubled = sorted({name for name in self.header if self.header.count(name) > 1})
        if doubled:
            raise DataContractError(
                f"{self.path.name}, row 1: column {doubled[0]!r} stands twice in the header; rename or remove one."
            )

    def _open(self):
        return self.path.open(encoding=self.encoding, newline="", errors="strict")

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (row number, fields) of every record that is not an empty line."""
        csv.field_size_limit(2**31 - 1)
        number = 0
        with self._guarded(), self._open() as lines:
            try:
                reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
                for number, fields in enumerate(reader, start=1):
                    if fields:
                        yield number, fields
            except csv.Error as error:
                raise DataContractError(
                    f"{self.path.name}, row {number + 1}: {error}; a quotation mark is probably not closed. "
                    "Export the file again."
                ) from error

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn what a wrong encoding raises into a sentence."""
        try:
            yield
        except (UnicodeError, LookupError) as error:
            raise DataContractError(
                f"{self.path.name} cannot be read as {self.encoding}: {error}. "
                "State its encoding in the mapping, e.g. encoding: cp1252."
            ) from error

    def batches(self, size: int = BATCH_ROWS) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Yield (rows, ragged): text columns indexed by row number, and rows of the wrong length.

        `ragged` has `row`, `value` (the row's text) and `reason`.
        """
        width = len(self.header)
        records = islice(self._records(), 1, None)
        while chunk := list(islice(records, size)):
            good = [record for record in chunk if len(record[1]) == width]
            bad = [record for record in chunk if len(record[1]) != width]
            columns = list(zip(*(fields for _, fields in good), strict=True)) or [()] * width
            index = pd.Index([number for number, _ in good], name="row", dtype="int64")
            rows = pd.DataFrame(
                {name: pd.array(cells, dtype=TEXT) for name, cells in zip(self.header, columns, strict=True)},
                index=index,
            )
            ragged = pd.DataFrame(
                {
                    "row": [number for number, _ in bad],
                    "value": [self.delimiter.join(fields) for _, fields in bad],
                    "reason": [f"{len(fields)} fields, the header has {width}" for _, fields in bad],
                }
            )
            yield rows, ragged

    def sha256(self) -> str:
        """SHA-256 of the file's bytes."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def sniff_encoding(path: Path) -> str:
    """Tell UTF-8, UTF-16 (by its mark) and, where neither fits, Windows-1252 apart."""
    with path.open("rb") as file:
        head = file.read(4)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"


def sniff_delimiter(header: str) -> str:
    """Pick the delimiter that splits the header line into most columns, outside quotation marks."""
    counts = {mark: len(next(csv.reader([header], delimiter=mark), [])) for mark in DELIMITERS}
    return max(counts, key=counts.get)
