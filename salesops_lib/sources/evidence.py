"""How a column writes dates and decimals, decided over the whole file.

A reading is never chosen per row: one column has one date order and one decimal sign. Where the file alone
cannot tell, it is refused with both readings shown; the mapping then states `date_order` or `decimal`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from salesops_lib.errors import DataContractError, shown
from salesops_lib.sources import parse

ISO = r"^\d{4}-\d{2}-\d{2}(?:[T ,]|$)"
ONLY_POINT = r"[+-]?(?:\d+\.(?:\d{1,2}|\d{4,})|0\.\d+)"  # three digits after the point may be thousands


@dataclass
class Evidence:
    """What a column's cells say for each of two rival readings, gathered batch by batch.

    The counts are of cells that only one reading can take; `differ` is a cell both take, with other results;
    `agreed` one of two readings that give the same everywhere.
    """

    only: dict[str, int] = field(default_factory=dict)
    example: dict[str, tuple[int, str]] = field(default_factory=dict)
    differ: tuple[int, str, dict[str, str]] | None = None
    agreed: str | None = None

    def note(self, reading: str, mask: pd.Series, cells: pd.Series) -> None:
        """Count the cells that only `reading` takes, and keep the first as an example."""
        if mask.any():
            self.only[reading] = self.only.get(reading, 0) + int(mask.sum())
            at = mask.idxmax()
            self.example.setdefault(reading, (int(at), str(cells[at])))

    def decide(
        self, where: str, default: str, names: dict[str, str], setting: str, others: str | None = None
    ) -> str:
        """Return the one reading that fits; where the column leaves it open, that of `others` in the same export.

        Raises
        ------
        DataContractError
            Where two readings are each the only one for some cell, or nothing tells two readings apart.
        """
        fits = [reading for reading in names if self.only.get(reading)]
        if len(fits) > 1:
            told = "; ".join(
                f"row {row}: {shown(value)} is {names[reading]}"
                for reading, (row, value) in ((r, self.example[r]) for r in fits)
            )
            raise DataContractError(
                f"{where} mixes readings: {told}. Export it in one format, or state {setting} in the mapping; "
                "rows that do not fit are then quarantined."
            )
        if fits:
            return fits[0]
        if self.differ and others in self.differ[2]:
            return others
        if self.differ:
            row, value, results = self.differ
            told = " or ".join(f"{result[:60]} ({names[reading]})" for reading, result in results.items())
            raise DataContractError(
                f"{where} is ambiguous: row {row}: {shown(value)} may be {told}. State {setting} in the mapping: "
                f"{{from: column, {setting}: …}}."
            )
        return self.agreed or default


def weigh_dates(cells: pd.Series, evidence: Evidence) -> None:
    """Add a batch of date cells to the evidence for the three orders."""
    cells = cells.dropna()
    iso = cells.str.contains(ISO, regex=True)
    if len(cells) and iso.all():
        evidence.note("ymd", pd.Series(True, index=cells.index[:1]), cells.iloc[:1])
        return
    iso = (iso | cells.str.fullmatch(parse.COMPACT)).astype(bool)
    evidence.note("ymd", iso, cells)
    first_seen = cells[~iso]
    for serial, form in parse.SERIALS.items():
        if first_seen.empty:
            return
        numbers = first_seen.str.contains(form, regex=True).astype(bool)
        evidence.note(serial, numbers, first_seen)
        first_seen = first_seen[~numbers]
    if first_seen.empty:
        return
    parts = parse.split_dates(first_seen)
    read = {order: parse.read_days(parts, order) for order in parse.ORDERS}
    fits = pd.DataFrame({order: days.notna() for order, days in read.items()})
    for order in parse.ORDERS:
        evidence.note(order, fits[order] & (fits.sum(axis=1) == 1), first_seen)
    if (fits["dmy"] & fits["mdy"]).any():
        evidence.agreed = "dmy"
    apart = pd.DataFrame(read).nunique(axis=1) > 1
    if apart.any() and evidence.differ is None:
        at = apart.idxmax()
        told = {order: f"{read[order][at]:%d %b %Y}" for order in parse.ORDERS if fits.loc[at, order]}
        evidence.differ = (int(at), str(first_seen[at]), told)


def weigh_numbers(cells: pd.Series, evidence: Evidence) -> None:
    """Add a batch of number cells to the evidence for decimal point and decimal comma."""
    cells = cells[cells.str.contains(r"[.,]", regex=True).fillna(False).astype(bool)]
    if cells.empty:
        return
    certain = cells.str.fullmatch(ONLY_POINT).astype(bool)
    evidence.note(".", certain, cells)
    marked = parse.clean_number(cells[~certain])
    if marked.empty:
        return
    point, comma = (marked.str.match(parse.DECIMALS[sign]) for sign in ".,")
    evidence.note(".", point & ~comma, marked)
    evidence.note(",", comma & ~point, marked)
    both = point & comma
    if both.any() and evidence.differ is None:
        at = both.idxmax()
        evidence.differ = (int(at), str(cells[at]), {s: _plain(marked[at], s) for s in ".,"})


def _plain(text: str, decimal: str) -> str:
    return text.replace("," if decimal == "." else ".", "").replace(",", ".")


def plain_numbers(cells: pd.Series) -> pd.Series:
    """Write numbers with a decimal comma with a point, where no cell can be read otherwise; the rest stays."""
    evidence = Evidence()
    weigh_numbers(cells.reset_index(drop=True), evidence)
    if not evidence.only.get(",") or evidence.only.get("."):
        return cells
    read = parse.to_number(cells, ",")
    return cells.mask(read.notna(), read.astype("string[pyarrow]"))
