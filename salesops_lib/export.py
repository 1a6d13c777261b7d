"""Frames as CSV and Excel files that a spreadsheet shows and never runs.

Text that a spreadsheet would take for a formula gets an apostrophe in front; numbers stay numbers, and in Excel
days and instants without a zone are dates. Files are written beside and moved into place in one step.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from salesops_lib.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

SKIPPED = r"[\s\x00-\x1f\u200b-\u200f\u2060\ufeff]*"  # what a reader of the file may leave out in front
FORMULA = re.compile(SKIPPED + r"[=+\-@＝＋－＠\t\r\n]")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # nothing XML can hold
LINE_END = re.compile(r"\r\n?")
# `_x000A_` in a cell is Excel's own escape: one that stands in the text is escaped itself
LOOKS_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
SHEET = re.compile(r"[^\\/*?:\[\]']{1,31}")
CELL = 32_767  # characters an Excel cell holds
EXACT = 15  # digits an Excel number holds
FIRST_YEAR = 1900  # that Excel counts days from


def neutral(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run; numbers such as ``-12.50`` stay as they are.

    That is text whose first character, after any blanks and invisible ones, is ``=``, ``+``, ``-`` or ``@`` (also
    full-width), a tab or a line break.
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def write_csv(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a frame as CSV (UTF-8 with a byte order mark, so that Excel reads it right), its texts neutralised."""
    import csv

    path = Path(path)

    def fill(beside: Path) -> None:
        with beside.open("w", encoding="utf-8-sig", newline="", errors="replace") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
            writer.writerow([neutral(str(name)) for name in frame.columns])
            for row in _rows(frame):
                writer.writerow([_for_csv(value) for value in row])

    return _beside(path, fill)


def write_xlsx(sheets: Mapping[str, pd.DataFrame], path: str | Path) -> Path:
    """Write frames as the sheets of an Excel workbook, their texts neutralised.

    Characters that Excel cannot hold become U+FFFD and line ends ``\\n``; texts of more than 32,767 characters are
    cut, and the cell says how long they were; what looks like Excel's own escape (``_x0041_``) is escaped. Numbers
    of more than 15 digits are written as text.

    Raises
    ------
    ParameterError
        For no sheet at all, or a name Excel does not take.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.utils import get_column_letter

    if not sheets:
        raise ParameterError("a workbook needs at least one sheet.")
    for name in sheets:
        if not SHEET.fullmatch(name):
            raise ParameterError(f"sheet {name!r}: 1 to 31 characters, none of \\ / * ? : [ ] '.")

    def fill(beside: Path) -> None:
        book = Workbook(write_only=True)
        for name, frame in sheets.items():
            sheet = book.create_sheet(name)
            sheet.freeze_panes = "A2"
            if len(frame.columns):
                sheet.auto_filter.ref = f"A1:{get_column_letter(len(frame.columns))}{len(frame) + 1}"
            for row in (list(map(str, frame.columns)), *_rows(frame)):
                cells = []
                for value in row:
                    held = _for_excel(value)
                    cell = WriteOnlyCell(sheet, held)
                    if isinstance(held, str):
                        cell.data_type = "s"  # else openpyxl would take "=1" for a formula, "#N/A" for an error
                    elif isinstance(held, date):
                        cell.number_format = "yyyy-mm-dd hh:mm" if isinstance(held, datetime) else "yyyy-mm-dd"
                    cells.append(cell)
                sheet.append(cells)
        book.save(beside)

    return _beside(Path(path), fill)


def write_text(text: str, path: str | Path) -> Path:
    """Write a text file in one step: readers see the old text or the new, never a part."""
    return _beside(Path(path), lambda beside: beside.write_text(text, encoding="utf-8", errors="replace"))


def _rows(frame: pd.DataFrame):
    """Rows as plain Python values, empty cells as None."""
    import pandas as pd

    columns = [frame.iloc[:, k].astype(object) for k in range(frame.shape[1])]
    for row in zip(*columns, strict=True):
        yield [value if _is_listed(value) or not pd.isna(value) else None for value in row]


def _is_listed(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, dict))


def _for_csv(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, (int, float)) else neutral(_written(value))


def _for_excel(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float, Decimal)):
        return value if _is_exact(value) else str(value)
    return _dated(value) or _fitting(_written(value))


def _dated(value: Any) -> date | None:
    """A day, or an instant of whole seconds without a zone, as Excel holds it; one at midnight is a day."""
    if not isinstance(value, date) or value.year <= FIRST_YEAR:
        return None
    if not isinstance(value, datetime):
        return value
    if value.tzinfo or value.microsecond or getattr(value, "nanosecond", 0):
        return None
    plain = datetime(*value.timetuple()[:6])
    return plain.date() if plain.time() == time.min else plain


def _is_exact(value: float | Decimal) -> bool:
    """Whether Excel can hold a number without changing it."""
    if isinstance(value, float):
        return math.isfinite(value)
    digits = "".join(map(str, Decimal(value).as_tuple().digits)).strip("0")
    return Decimal(value).is_finite() and len(digits) <= EXACT


def _fitting(text: str) -> str:
    text = neutral(NO_XML.sub("\ufffd", LINE_END.sub("\n", text)))
    text = LOOKS_ESCAPED.sub("_x005F_", text)
    if len(text) <= CELL:
        return text
    note = f"… [{len(text):,} characters]"
    return text[: CELL - len(note)] + note


def _written(value: Any) -> str:
    """Write what is neither text nor number: dates as ISO dates, lists with commas."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return ", ".join(f"{key}: {item}" for key, item in value.items())
    if _is_listed(value):
        return ", ".join(map(str, value))
    if hasattr(value, "isoformat"):
        text = value.isoformat()
        return text.removesuffix("T00:00:00")
    return str(value)


def _beside(path: Path, fill: Callable[[Path], Any]) -> Path:
    """Fill a file beside `path` and move it into place: a reader never sees half of it, a crash leaves nothing."""
    if not path.parent.is_dir():
        raise ParameterError(f"{path.parent} is no folder.")
    beside = path.with_name(f".{path.name}-{os.getpid()}-{uuid4().hex[:8]}")
    try:
        fill(beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path
