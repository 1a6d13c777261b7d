"""Files as they came: every cell as text, every record with its number, nothing guessed.

A record's number is the one a spreadsheet shows: the header is row 1, the first record row 2. Delimited text is
read by Arrow in blocks where a first pass over the bytes finds it well formed (RFC 4180), else record by record by
Python's `csv`, which can say what is wrong and where.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from salesops_lib.errors import DataContractError, shown

DELIMITERS = ",;\t|"
BATCH_ROWS = 200_000
BLOCK = 1 << 24  # bytes; a record must fit
TEXT = pd.StringDtype("pyarrow")
RAGGED = ["row", "value", "reason"]
SUFFIXES = (".csv", ".txt", ".tsv", ".xlsx", ".parquet")


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
    """

    path: Path
    name: str
    header: list[str]
    written: Mapping[str, str] = {}
    typed: Mapping[str, str] = {}

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
        return file_hash(self.path)


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
        while chunk := list(islice(records, BATCH_ROWS)):
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
            for batch in self._file.iter_batches(BATCH_ROWS, columns=list(wanted)):
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


class RawSheet(Raw):
    """One sheet of an XLSX workbook; dates as ISO text, numbers as Excel holds them."""

    def __init__(self, path: Path, sheet: str, alone: bool, header: list[str]):
        self.path, self.sheet = path, sheet
        self._written = [cell.strip() for cell in header]
        self.name = path.name if alone else f"{path.name}[{sheet}]"
        self.header = checked_header(header, self.name)

    def batches(self, columns: Collection[str] | None = None) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Yield (rows, ragged); a sheet has no ragged rows, empty ones are left out."""
        wanted = [name for name in self.header if columns is None or name in columns]
        places = [self.header.index(name) for name in wanted]
        with _workbook(self.path) as book:
            rows = enumerate(book[self.sheet].iter_rows(min_row=2, values_only=True), start=2)
            filled = ((n, row) for n, row in rows if any(cell is not None for cell in row))
            while chunk := list(islice(filled, BATCH_ROWS)):
                cells = {
                    name: pd.array(
                        [_cell_text(row[at] if at < len(row) else None) for _, row in chunk], dtype=TEXT
                    )
                    for name, at in zip(wanted, places, strict=True)
                }
                index = pd.Index([n for n, _ in chunk], name="row", dtype="int64")
                yield pd.DataFrame(cells, index=index), pd.DataFrame(columns=RAGGED)

    @cached_property
    def typed(self) -> dict[str, str]:
        """How columns are written whose cells are all numbers, or all dates: as `text` writes those."""
        kinds: list[set[str]] = [set() for _ in self._written]
        with _workbook(self.path) as book:
            for row in book[self.sheet].iter_rows(min_row=2, values_only=True):
                for seen, cell in zip(kinds, row, strict=False):
                    if cell is not None and cell != "":
                        number = isinstance(cell, int | float) and not isinstance(cell, bool)
                        seen.add("." if number else "ymd" if isinstance(cell, date) else "")
        return {name: next(iter(seen)) for name, seen in zip(self._written, kinds, strict=True) if len(seen) == 1}


def open_sheets(path: Path) -> list[Raw]:
    """Open the sheets of a workbook that have a header.

    Raises
    ------
    DataContractError
        Where the file is no workbook or every sheet is empty.
    """
    with _workbook(path) as book:
        headers = {}
        for sheet in book.worksheets:
            first = next(sheet.iter_rows(max_row=1, values_only=True), ())
            cells = [_cell_text(cell) for cell in first]
            while cells and not cells[-1].strip():
                cells.pop()
            if cells:
                headers[sheet.title] = cells
    if not headers:
        raise DataContractError(f"{path.name}: every sheet is empty; export it again with its header row.")
    return [RawSheet(path, sheet, len(headers) == 1, cells) for sheet, cells in headers.items()]


@contextmanager
def _workbook(path: Path):
    import zipfile
    import zlib

    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    broken = (InvalidFileException, zipfile.BadZipFile, zlib.error, SyntaxError, EOFError, KeyError, ValueError)
    book = None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        yield book
    except (*broken, TypeError, AttributeError, OSError) as error:  # SyntaxError: that of XML
        said = str(error).rstrip(".")
        raise DataContractError(f"{path.name} is no readable XLSX workbook: {said}. Export it again.") from error
    finally:
        if book is not None:
            book.close()


def _cell_text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(sep=" ")
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    return str(cell)


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


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
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
