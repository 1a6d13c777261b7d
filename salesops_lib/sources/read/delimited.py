"""Delimited text: read by Arrow in blocks where a first pass over the bytes finds it well formed (RFC 4180).

Else it is read record by record by Python's `csv`, which can say what is wrong and where.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from salesops_lib.errors import DataContractError
from salesops_lib.sources.read.raw import RAGGED, TEXT, Raw, checked_header

DELIMITERS = ",;\t|"
BLOCK = 1 << 24  # bytes; a record must fit


class RawFile(Raw):
    """One delimited text file.

    Parameters
    ----------
    path
        The file.
    encoding, delimiter
        Found from the file's bytes and header where not stated.
    """

    def __init__(self, path: Path, encoding: str | None = None, delimiter: str | None = None):
        self.path, self.name = path, path.name
        if not path.is_file():
            raise DataContractError(f"{path}: no such file.")
        self.encoding = encoding or sniff_encoding(path)
        with self._guarded(), self._open() as lines:
            first = next(lines, "")
        self.delimiter = delimiter or sniff_delimiter(first)
        self.header = checked_header(next(iter(self._records()), (1, []))[1], self.name)

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
                    f"{self.name}, row {number + 1}: {error}; a quotation mark is probably not closed. "
                    "Export the file again."
                ) from error

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn what a wrong encoding raises into a sentence."""
        try:
            yield
        except (UnicodeError, LookupError) as error:
            place = undecodable(self.path, self.encoding) if isinstance(error, UnicodeError) else ""
            raise DataContractError(
                f"{self.name}{place} cannot be read as {self.encoding}. "
                "State its encoding in the mapping, e.g. encoding: cp1252."
            ) from error

    def batches(self, columns: Collection[str] | None = None) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Yield (rows, ragged); see `Raw`."""
        wanted = self.header if columns is None else [name for name in self.header if name in columns]
        return self._blocks(wanted) if self._well_formed and wanted else self._chunks(wanted)

    def _chunks(self, wanted: list[str], after: int = 1) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Read record by record, those after a row number."""
        places = [self.header.index(name) for name in wanted]
        records = (record for record in islice(self._records(), 1, None) if record[0] > after)
        while chunk := list(islice(records, self.batch_rows)):
            good = [record for record in chunk if len(record[1]) == len(self.header)]
            index = pd.Index([number for number, _ in good], name="row", dtype="int64")
            cells = {
                name: pd.array([f[at] for _, f in good], dtype=TEXT)
                for name, at in zip(wanted, places, strict=True)
            }
            yield (
                pd.DataFrame(cells, index=index),
                self._ragged(
                    [(row, len(f), self.delimiter.join(f)) for row, f in chunk if len(f) != len(self.header)]
                ),
            )

    def _blocks(self, wanted: list[str]) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Read in blocks with Arrow; rows of another length are told by their number."""
        import pyarrow as pa
        import pyarrow.csv

        bad: list[tuple[int, int, str]] = []

        def aside(row) -> str:
            bad.append((row.number, row.actual_columns, row.text))
            return "skip"

        names = [f"c{k}" for k in range(len(self.header))]  # two headers may differ by blanks only
        chosen = [names[self.header.index(name)] for name in wanted]
        last = 1
        try:
            reader = pa.csv.open_csv(
                self.path,
                pa.csv.ReadOptions(
                    use_threads=False, column_names=names, skip_rows_after_names=1, block_size=BLOCK,
                    encoding="utf8" if self.encoding.startswith("utf-8") else self.encoding,
                ),
                pa.csv.ParseOptions(
                    delimiter=self.delimiter, newlines_in_values=self._quoted, invalid_row_handler=aside,
                    ignore_empty_lines=True,
                ),
                pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.large_string()), include_columns=chosen,
                    strings_can_be_null=False,
                ),
            )  # fmt: skip
            for batch in reader:  # Arrow reads a block ahead: some of `bad` belong to rows still to come
                numbers = _numbers(last + 1, batch.num_rows, [row for row, _, _ in bad])
                last = int(numbers[-1]) if len(numbers) else last
                here = [row for row in bad if row[0] <= last]
                bad[:] = bad[len(here) :]
                cells = {name: TEXT.__from_arrow__(batch.column(k)) for k, name in enumerate(wanted)}
                yield pd.DataFrame(cells, index=pd.Index(numbers, name="row")), self._ragged(here)
        except (pa.ArrowInvalid, UnicodeError):  # e.g. a record longer than a block: `_chunks` reads or says it
            bad.clear()
            yield from self._chunks(wanted, after=last)
        if bad:
            yield pd.DataFrame({name: pd.array([], dtype=TEXT) for name in wanted}), self._ragged(bad)

    def _ragged(self, rows: list[tuple[int, int, str]]) -> pd.DataFrame:
        width = len(self.header)
        told = [(row, text, f"{fields} fields, the header has {width}") for row, fields, text in rows]
        return pd.DataFrame(told, columns=RAGGED)

    @cached_property
    def _well_formed(self) -> bool:
        """Whether Arrow reads the file as `csv` would: quotes as in RFC 4180, no empty line before the end."""
        if codecs.lookup(self.encoding).name not in ("utf-8", "utf-8-sig", "cp1252", "iso8859-1", "ascii"):
            return False
        if ord(self.delimiter) > 127:
            return False
        form = _Form(self.delimiter)
        with self.path.open("rb") as file:
            if file.read(3) != codecs.BOM_UTF8:
                file.seek(0)
            while block := file.read(BLOCK):
                if not form.take(block):
                    return False
        whole = form.whole()
        self._quoted = form.quotes > 0
        return whole


def _numbers(first: int, count: int, taken: list[int]) -> np.ndarray:
    """Number `count` rows from `first` on, leaving out those `taken`."""
    numbers = np.arange(first, first + count + len(taken), dtype="int64")
    return np.setdiff1d(numbers, np.array(taken, dtype="int64"), assume_unique=True)[:count] if taken else numbers


class _Form:
    """Follows quotation marks and empty lines through the blocks of a file."""

    def __init__(self, delimiter: str):
        self.quotes = 0
        self._before, self._held = b"\n", b""
        self._ends = np.zeros(256, dtype=bool)
        self._ends[[ord(delimiter), 10, 13]] = True

    def take(self, block: bytes) -> bool:
        """Look at one more block; False where `csv` must decide.

        What a block ends with, marks or line ends, waits for the next: empty lines at the very end do no harm.
        """
        data = self._held + block
        sure = data.rstrip(b'"\r\n')
        self._held = data[len(sure) :]
        return not sure or self._fits(sure)

    def whole(self) -> bool:
        """Look at the end of the file; whether every quotation mark was closed."""
        return self._fits(self._held.rstrip(b"\r\n")) and self.quotes % 2 == 0

    def _fits(self, data: bytes) -> bool:
        """Whether each mark opens after, or closes before, a delimiter or stands doubled, and no line is empty."""
        joined = self._before + data
        self._before = joined[-1:]
        if any(mark in joined for mark in (b"\n\n", b"\n\r", b"\r\r")):
            return False
        if b'"' not in data:
            return True
        cells = np.frombuffer(joined + b"\n", dtype=np.uint8)
        at = np.flatnonzero(cells[1:] == 34) + 1
        opens = np.arange(self.quotes, self.quotes + len(at)) % 2 == 0
        self.quotes += len(at)
        beside = np.where(opens, cells[at - 1], cells[at + 1])
        return bool((self._ends[beside] | (beside == 34)).all())


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


def undecodable(path: Path, encoding: str) -> str:
    """Say where the first bytes are that an encoding cannot read; empty where there are none."""
    decoder, line = codecs.getincrementaldecoder(encoding)(), 1
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            try:
                decoder.decode(block, final=len(block) < 1 << 20)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                return f", line {line}: {error.object[error.start : error.end][:8]!r}"
            except UnicodeError as error:  # UTF-16 without its mark
                return f": {error}; it"
            line += block.count(b"\n")
    return ""


def sniff_delimiter(header: str) -> str:
    """Pick the delimiter that splits the header line into most columns, outside quotation marks."""
    counts = {mark: len(next(csv.reader([header], delimiter=mark), [])) for mark in DELIMITERS}
    return max(counts, key=counts.get)
