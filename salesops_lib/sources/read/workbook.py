"""Excel workbooks, sheet by sheet."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from functools import cached_property
from itertools import islice
from pathlib import Path

import pandas as pd

from salesops_lib.errors import DataContractError
from salesops_lib.sources.read.raw import RAGGED, TEXT, Raw, checked_header


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
            while chunk := list(islice(filled, self.batch_rows)):
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
