"""Damages small exports the way exports get damaged, from a seed: `damaged(seed).write(folder)` writes the files.

Each operation is one kind of damage and says what it did; a case has one to four. Those in `ROWS` change cells
before the files are written, those in `BYTES` change what was written, those in `FOLDER` the folder. To look at
one: ``python -m tests.mutator SEED FOLDER``.
"""

import csv
import gzip
import io
import random
import re
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

import openpyxl
import pandas as pd

from salesops_lib.config import CompanySettings
from salesops_lib.sources import ids
from tests import crm_exports, test_salesforce, test_sources
from tests.conftest import SHARED

EURO = CompanySettings(currency="EUR", timezone="Europe/Berlin")
ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
NUMBER = re.compile(r"-?\d{1,15}(\.\d+)?")
FORMS = {"csv": 7, "xlsx": 2, "parquet": 2}
BASES = {"small": 50, "salesforce": 24, "maven": 8, "hubspot": 6, "pipedrive": 6, "dynamics": 6}

HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "=cmd|'/c calc'!A1", "+1+1", "-2+3", "@SUM(A1)",
    "\u202eevil\u202c", "שלום", "😀👩‍👩‍👧", "a\u0000b", "\x1b[31mred\x1b[0m", "\x07\x08", "é" * 300, "{name}",
    "%s%n", "'; drop table users; --", "${jndi:ldap://x}", "\ufeffmark", "\u2028line", "NULL", "#REF!", "-", "n/a",
    "\ufffd", "..\\..\\x", "🏴\U000e0067\U000e007f", "a" * 5000, "\t=1", "''", "`", "|", "\\",
]  # fmt: skip
ENCODINGS = [
    "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "cp437", "shift-jis", "utf-7", "mojibake",
]  # fmt: skip
ODD_NUMBERS = [
    "1e400", "-1e400", "NaN", "Infinity", "-inf", "0x1F", "1e5", "1E+03", "1_000", "٣٤", "１２", "1/2", "½", "++5",
    "--5", "(250)", "250-", "12,34,56", "1.2.3", ".5", "5.", ".", "-", "€ 12", "12 €", "$1,000.50", "1 000",
    "9" * 18, "0.001", "9" * 400, "1e-400", "true", "12%", "1" + "0" * 14, "0" * 60 + "7",
    "1e99999999999999999999", "1.005",
]  # fmt: skip
ODD_DATES = [
    "2999-12-31", "9999-12-31", "1900-01-01", "1900-02-29", "0000-00-00", "0001-01-01", "2026-02-30",
    "2026-13-01", "2026-00-10", "46042", "1767225600", "20260120", "yesterday", "2026-01-20T25:61:00Z",
    "2026-01-20T09:00:00+99:99", "2026-W03", "20/01/2026", "01/20/2026", "3.4.26", "Jan 20, 2026", "2026-1-5",
    "-2026-01-01", "２０２６-01-20", "12026-01-20", "2026-03-29 02:30", "2026-10-25 02:30", "99999", "1e5",
    "00:00", "2026-01-20 24:00", "2261-12-31", "1677-01-01",
]  # fmt: skip


@dataclass
class Sheet:
    """One table: header and rows of text cells."""

    header: list[str]
    rows: list[list[str]]

    def at(self, column: str) -> int:
        return self.header.index(column)


@dataclass
class Base:
    """A sound export, and where its money is.

    `deals` is the file, `key` and `currency` its columns (or a constant currency), `amount` the columns of which
    the first that is filled counts; `none` stands for an empty amount; `names` translates currencies.
    """

    source: str
    deals: str
    key: str
    amount: tuple[str, ...]
    currency: str
    sheets: dict[str, Sheet]
    mapping: str | None = None
    none: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    company: CompanySettings | None = None


@dataclass
class Case:
    """A damaged export."""

    seed: int
    name: str
    base: Base
    form: str
    sheets: dict[str, Sheet]
    done: list[str]
    later: list[tuple[Callable, random.Random]]
    typed: bool
    files: dict[str, bytes | None] = field(default_factory=dict)  # nothing: a folder of that name

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.name} as {self.form}: {'; '.join(self.done)}"

    @property
    def deals(self) -> str:
        """Name of the file that holds the deals."""
        return f"{self.base.deals}.{self.form}"

    def write(self, root: Path) -> tuple[Path, str | None]:
        """Write the files below `root`; return the folder and the mapping."""
        self.files = {f"{name}.{self.form}": render(sheet, self) for name, sheet in self.sheets.items()}
        for operation, rng in self.later:
            operation(rng, self)
        folder = root / "export_2026-02-01"
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            (folder / name).mkdir() if content is None else (folder / name).write_bytes(content)
        mapping = self.base.mapping
        if mapping and "\n" in mapping:
            (root / "map.yaml").write_text(mapping.replace(".csv", f".{self.form}"), encoding="utf-8")
            mapping = str(root / "map.yaml")
        return folder, mapping


# -- sound exports -----------------------------------------------------------------------------------------


def rows_of(text: str) -> Sheet:
    header, *rows = csv.reader(io.StringIO(text))
    return Sheet(header, rows)


SMALL = (
    test_sources.MAPPING.replace("        name: name\n", "        name: name\n        manager_id: manager\n")
    .replace("        owner_id: owner\n", "        name: title\n        owner_id: owner\n", 1)
    .replace("        currency: {const: EUR}\n", "        currency: currency\n")
)


def _small() -> Base:
    users = "id,name,active,manager\nu1,Ann,yes,\nu2,Bob,no,u1\nu3,Cem Çelik,yes,u1\nu4,Dörte,yes,u2\n"
    deals = rows_of("id,title,owner,stage,type,amount,currency,created,close\n")
    for k in range(1, 31):
        stage = ("won", "lost", "open")[k % 3]
        amount = "" if k % 7 == 0 else f"{k * 137 + 900}.{k * 7 % 100:02}"
        day = date(2025, 11, 14 + k % 15), date(2026, 1 + k % 3, 13 + k % 14)
        row = [f"d{k:02}", f"Deal {k}, «{'äöü'[k % 3]}»", f"u{k % 4 + 1}", stage, ("New", "Renewal")[k % 2]]
        row.append(amount)
        deals.rows.append([*row, ("EUR", "USD")[k % 5 == 0], *(str(one) for one in day)])
    return Base("csv", "deals", "id", ("amount",), "currency", {"users": rows_of(users), "deals": deals}, SMALL)


def _salesforce() -> Base:
    deals = rows_of(test_salesforce.DEALS)
    for k in range(4, 16):
        stage, closed, won = (("Closed Won", "true", "true"), ("Proposal", "false", "false"))[k % 2]
        number = f"006A{k:011}"
        deals.rows.append(
            [number + ids.suffix(number), "001A00000000001IAA", "005A00000000001IAA", f"Deal №{k}", stage,
             f"{k * 1111}.{k:02}", "60", f"2026-02-{k + 10}", closed, won, f"2026-01-{k + 10}T09:00:00.000Z",
             "New Business", "false"]
        )  # fmt: skip
    sheets = {
        "Opportunity": deals,
        "User": rows_of(test_salesforce.USERS),
        "Account": rows_of(test_salesforce.ACCOUNTS),
        "OpportunityHistory": rows_of(test_salesforce.HISTORY),
        "OpportunityFieldHistory": rows_of(test_salesforce.OWNERS),
    }
    return Base("salesforce", "Opportunity", "Id", ("Amount",), "EUR", sheets, company=EURO)


def _maven() -> Base | None:
    if not (SHARED / "maven_crm").is_dir():
        return None
    names = ("accounts", "products", "sales_teams", "sales_pipeline")
    sheets = {name: rows_of((SHARED / f"maven_crm/{name}.csv").read_text(encoding="utf-8")) for name in names}
    del sheets["sales_pipeline"].rows[600:]
    return Base(
        "csv", "sales_pipeline", "opportunity_id", ("close_value",), "USD", sheets, "maven_crm", none=("0",)
    )


DYNAMICS = ("(Do Not Modify) Opportunity", ("Actual Revenue", "Est. Revenue"), "Currency")
MONEY = {
    ("hubspot", "api"): ("deals", "hs_object_id", ("amount",), "deal_currency_code"),
    ("hubspot", "en"): ("deals", "Record ID", ("Amount",), "Currency"),
    ("pipedrive", "api"): ("deals", "id", ("value",), "currency"),
    ("pipedrive", "en"): ("deals", "Deal - ID", ("Deal - Value",), "Deal - Currency of value"),
    ("dynamics", "api"): (
        "opportunities", "opportunityid", ("actualvalue", "estimatedvalue"), "transactioncurrencyid",
    ),
    ("dynamics", "en"): ("opportunities", *DYNAMICS),
}  # fmt: skip


def _crm(crm: str, language: str) -> Base:
    files = crm_exports.exports(crm, language)
    sheets = {
        name: Sheet(list(rows[0]), [[_text(cell) for cell in row.values()] for row in rows])
        for name, rows in files.items()
    }
    names = {"Euro": "EUR", "US Dollar": "USD"}
    for row in files.get("transactioncurrencies", []):
        names |= {row[key]: row["isocurrencycode"] for key in ("transactioncurrencyid", "currencyname")}
    return Base(crm, *MONEY[crm, language], sheets, names=names, company=EURO)


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    return cell.strftime("%Y-%m-%d %H:%M") if isinstance(cell, datetime) else str(cell)


@cache
def base(name: str, language: str = "api") -> Base | None:
    """A sound export; nothing where its data are not beside the project."""
    own = {"small": _small, "salesforce": _salesforce, "maven": _maven}
    return own[name]() if name in own else _crm(name, language)


# -- files ---------------------------------------------------------------------------------------------------


def render(sheet: Sheet, case: Case) -> bytes:
    """Write a table in the form of the case; with `typed`, XLSX and Parquet hold numbers and days."""
    if case.form == "csv":
        out = io.StringIO(newline="")
        rows = [sheet.header, *sheet.rows]
        ends = "\r\n" if any("\r" in cell for row in rows for cell in row) else "\n"
        csv.writer(out, lineterminator=ends).writerows(rows)  # it quotes a \r only where lines end in one
        return out.getvalue().encode("utf-8", errors="surrogatepass")
    out = io.BytesIO()
    if case.form == "xlsx":
        book = openpyxl.Workbook(write_only=True)
        page = book.create_sheet("Sheet1")
        for row in (sheet.header, *sheet.rows):
            typed = case.typed and row is not sheet.header
            page.append([_text_cell(page, _cell(text, typed)) for text in row])
        book.save(out)
        return out.getvalue()
    width = range(len(sheet.header))
    names = [name if name not in sheet.header[:k] else f"{name}.{k}" for k, name in enumerate(sheet.header)]
    frame = pd.DataFrame({names[k]: [row[k] if k < len(row) else "" for row in sheet.rows] for k in width})
    for name in frame.columns if case.typed else ():
        held = frame[name][frame[name] != ""]
        if len(held) and held.map(lambda text: bool(NUMBER.fullmatch(text))).all():
            frame[name] = pd.to_numeric(frame[name])
    frame.to_parquet(out, index=False)
    return out.getvalue()


def _text_cell(page, value):
    """A CRM writes text as text: what begins with ``=`` is no formula."""
    cell = openpyxl.cell.WriteOnlyCell(page, value=value)
    if isinstance(value, str):
        cell.data_type = "s"
    return cell


def _cell(text: str, typed: bool):
    if typed and NUMBER.fullmatch(text):
        return float(text)
    if typed and ISO.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            return text
    return openpyxl.cell.cell.ILLEGAL_CHARACTERS_RE.sub("", text)


# -- damage to cells -----------------------------------------------------------------------------------------

ROWS: dict[str, Callable] = {}
BYTES: dict[str, Callable] = {}
FOLDER: dict[str, Callable] = {}


def rows(operation: Callable) -> Callable:
    """Register damage to one table: ``operation(rng, sheet, base) -> what it did``."""

    def act(rng: random.Random, case: Case) -> None:
        name = case.base.deals if rng.random() < 0.6 else rng.choice(list(case.sheets))
        case.done.append(f"{operation.__name__}({name}{_told(operation(rng, case.sheets[name], case.base))})")

    ROWS[operation.__name__] = act
    return operation


def content(operation: Callable) -> Callable:
    """Register damage to the bytes of one file: ``operation(rng, bytes) -> bytes``."""

    def act(rng: random.Random, case: Case) -> None:
        held = [name for name, data in case.files.items() if data is not None]
        name = case.deals if rng.random() < 0.6 and case.deals in held else rng.choice(held)
        case.files[name] = operation(rng, case.files[name])
        case.done.append(f"{operation.__name__}({name})")

    BYTES[operation.__name__] = act
    return operation


def folder(operation: Callable) -> Callable:
    """Register damage to the folder: ``operation(rng, case) -> what it did``."""

    def act(rng: random.Random, case: Case) -> None:
        case.done.append(f"{operation.__name__}({_told(operation(rng, case)).removeprefix(', ')})")

    FOLDER[operation.__name__] = act
    return operation


def _told(said: object) -> str:
    text = repr(said)
    return "" if said is None else f", {text[:70]}{'…' if len(text) > 70 else ''}"


def some(rng: random.Random, items: list, share: float | None = None) -> list:
    """One, several or all of the items."""
    share = share if share is not None else rng.choice((0, 0.1, 0.5, 1))
    chosen = [item for item in items if rng.random() < share]
    return chosen or rng.sample(items, min(len(items), 1))


def spoil(rng: random.Random, sheet: Sheet, wanted: Callable[[str], bool], change: Callable[[str], str]):
    """Change some cells of one column that has such cells; say which column, row and cell came first."""
    columns = [k for k in range(len(sheet.header)) if any(wanted(row[k]) for row in sheet.rows if k < len(row))]
    if not columns:
        return "nothing"
    at = rng.choice(columns)
    hit = [k for k, row in enumerate(sheet.rows) if at < len(row) and wanted(row[at])]
    chosen = some(rng, hit)
    for k in chosen:
        sheet.rows[k][at] = change(sheet.rows[k][at])
    return sheet.header[at], chosen[0] + 2, sheet.rows[chosen[0]][at]


def is_number(text: str) -> bool:
    return bool(NUMBER.fullmatch(text)) and "." in text


def is_date(text: str) -> bool:
    return bool(ISO.match(text))


def filled(text: str) -> bool:
    return text != ""


@rows
def drop_column(rng, sheet, base):
    at = rng.randrange(len(sheet.header))
    for row in sheet.rows:
        del row[at : at + 1]
    return sheet.header.pop(at)


@rows
def double_column(rng, sheet, base):
    at = rng.randrange(len(sheet.header))
    for row in sheet.rows:
        row.append(row[at] if at < len(row) else "")
    sheet.header.append(sheet.header[at] + rng.choice(("", " ", " (2)", "_1")))
    return sheet.header[-1]


@rows
def rename_column(rng, sheet, base):
    at = rng.randrange(len(sheet.header))
    name = sheet.header[at]
    typo = name[:1] + name[2:] + name[1:2]
    new = rng.choice(
        (typo, name.upper(), f" {name}\u00a0", name + "s", "", rng.choice(HOSTILE), "x" * 100_000, "\x00")
    )
    sheet.header[at] = new
    return name, new


@rows
def swap_headers(rng, sheet, base):
    a, b = rng.choices(range(len(sheet.header)), k=2)
    sheet.header[a], sheet.header[b] = sheet.header[b], sheet.header[a]
    return sheet.header[a], sheet.header[b]


@rows
def reorder_columns(rng, sheet, base):
    order = list(range(len(sheet.header)))
    rng.shuffle(order)
    sheet.header[:] = [sheet.header[k] for k in order]
    for row in sheet.rows:
        row[:] = [row[k] if k < len(row) else "" for k in order]


@rows
def shuffle_rows(rng, sheet, base):
    rng.shuffle(sheet.rows)


@rows
def zero_rows(rng, sheet, base):
    sheet.rows.clear()


@rows
def drop_rows(rng, sheet, base):
    gone = {id(row) for row in some(rng, sheet.rows, 0.2)}
    sheet.rows[:] = [row for row in sheet.rows if id(row) not in gone]
    return len(gone)


@rows
def double_rows(rng, sheet, base):
    again = [list(row) for row in some(rng, sheet.rows, 0.1)]
    sheet.rows += again
    return len(again)


@rows
def shift_cells(rng, sheet, base):
    """One cell too many or too few, further cells moved."""
    for row in some(rng, sheet.rows, 0.1):
        at = rng.randrange(len(row) + 1) if row else 0
        row[at:at] = ["shifted"] if rng.random() < 0.5 else []
        if rng.random() < 0.5:
            del row[at : at + 1]


@rows
def mixed_dates(rng, sheet, base):
    form = rng.choice((r"\3/\2/\1", r"\2/\3/\1", r"\3.\2.\1", r"\1/\2/\3", r"\3-\2-\1"))
    return spoil(rng, sheet, is_date, lambda text: ISO.sub(form, text))


@rows
def odd_dates(rng, sheet, base):
    return spoil(rng, sheet, is_date, lambda text: rng.choice(ODD_DATES))


@rows
def odd_numbers(rng, sheet, base):
    return spoil(rng, sheet, is_number, lambda text: rng.choice(ODD_NUMBERS))


@rows
def text_in_numbers(rng, sheet, base):
    words = ("unknown", "tbd", "12k", "1,5 Mio", "see note", "O", "l00")
    return spoil(rng, sheet, is_number, lambda text: rng.choice(words))


@rows
def decimal_comma(rng, sheet, base):
    return spoil(rng, sheet, is_number, lambda text: text.replace(".", ","))


@rows
def thousands(rng, sheet, base):
    mark = rng.choice((",", " ", "'", "\u00a0", "\u202f", "."))
    return spoil(
        rng,
        sheet,
        is_number,
        lambda text: f"{Decimal(text):,.2f}".replace(",", mark),
    )


@rows
def negative_or_zero(rng, sheet, base):
    return spoil(rng, sheet, is_number, lambda text: rng.choice((f"-{text}", "0", "0.00", "-0", f"({text})")))


@rows
def odd_currency(rng, sheet, base):
    odd = ("", "EURO", "eur", "€", "XXX", "usd ", "1")
    return spoil(rng, sheet, lambda text: text in ("EUR", "USD", *base.names), lambda text: rng.choice(odd))


@rows
def hostile_text(rng, sheet, base):
    return spoil(rng, sheet, filled, lambda text: rng.choice((rng.choice(HOSTILE), text + rng.choice(HOSTILE))))


@rows
def line_ends_inside(rng, sheet, base):
    mark = rng.choice(("\n", "\r\n", "\r", "\n\n", "\x0b", "\x85"))
    return spoil(rng, sheet, filled, lambda text: text[: len(text) // 2] + mark + text[len(text) // 2 :])


@rows
def huge_field(rng, sheet, base):
    """Text of 100 kB, rarely of 1 to 3 MB; any cell, also a number, a date or an id."""
    size = rng.choice((100_000,) * 9 + (rng.randrange(1_000_000, 3_000_000),))
    mark = rng.choice(("x", "9", "é", '"', ",", "\n", "1.", " ", "2026-01-01 "))
    at, row = rng.randrange(len(sheet.header)), rng.randrange(len(sheet.rows) or 1)
    if sheet.rows and at < len(sheet.rows[row]):
        sheet.rows[row][at] += (mark * size)[:size]
    return sheet.header[at], row + 2, mark, size


@rows
def empty_cells(rng, sheet, base):
    return spoil(rng, sheet, filled, lambda text: rng.choice(("", " ", "\u00a0", "NULL")))


@rows
def double_ids(rng, sheet, base):
    source = rng.choice(sheet.rows)[0] if sheet.rows else ""
    for row in some(rng, sheet.rows, 0.1):
        row[:1] = [source]
    return source


@rows
def id_case(rng, sheet, base):
    return spoil(rng, sheet, lambda text: bool(re.search("[A-Za-z]", text)), str.swapcase)


@rows
def orphans(rng, sheet, base):
    columns = [k for k, name in enumerate(sheet.header) if re.search("owner|account|manager|id", name, re.I)]
    at = rng.choice(columns or [0])
    for row in some(rng, sheet.rows):
        row[at : at + 1] = ["005nobody"]
    return sheet.header[at] if sheet.header else ""


def circular_managers(rng: random.Random, case: Case) -> None:
    """Everybody reports to the next one."""
    for name, sheet in case.sheets.items():
        for at, column in enumerate(sheet.header):
            if re.search("manager|ParentId", column, re.I) and sheet.rows and name != case.base.deals:
                people = [row[0] if row else "" for row in sheet.rows]
                for k, row in enumerate(sheet.rows):
                    row[at : at + 1] = [people[(k + 1) % len(people)]]
                case.done.append(f"circular_managers({name}, {column!r})")


ROWS["circular_managers"] = circular_managers

# -- damage to bytes -----------------------------------------------------------------------------------------


@content
def truncate(rng, data):
    return data[: rng.randrange(len(data) + 1)]


@content
def truncate_inside_a_character(rng, data):
    at = [k for k, byte in enumerate(data) if byte >= 0xC2]
    return data[: rng.choice(at) + 1] if at else data + "Ā".encode()[:1]


@content
def truncate_between_records(rng, data):
    at = [k for k, byte in enumerate(data) if byte == 10]
    return data[: rng.choice(at) + 1] if at else data


@content
def double_file(rng, data):
    return data + data


@content
def append_without_header(rng, data):
    return data + data.partition(b"\n")[2]


@content
def append_after_blank_lines(rng, data):
    return data + rng.choice((b"\n", b"\n\n\n", b"\r\n,,,\r\n", b";;\n")) + data


@content
def encode(rng, data):
    """Another encoding, or one taken for another."""
    kind = rng.choice(ENCODINGS)
    text = data.decode("utf-8", errors="replace")
    if kind == "mojibake":
        return data.decode("cp1252", errors="replace").encode()
    return text.encode(kind, errors=rng.choice(("replace", "ignore")))


@content
def byte_order_mark(rng, data):
    at = rng.choice((0, 0, rng.randrange(len(data) + 1)))
    return data[:at] + rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) + data[at:]


@content
def control_bytes(rng, data):
    for _ in range(rng.choice((1, 1, 20))):
        at = rng.randrange(len(data) + 1)
        data = data[:at] + bytes([rng.choice((0, 0, 1, 7, 8, 11, 12, 26, 27, 127, 0x85, 0xFF))]) + data[at:]
    return data


@content
def flip_bytes(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice((1, 3, 50)) if data else 0):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


@content
def unbalanced_quote(rng, data):
    at = rng.choice([k + 1 for k, byte in enumerate(data) if byte in b",\n"] or [0])
    return data[:at] + b'"' + data[at:]


@content
def stray_quote(rng, data):
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((b'"', b'""', b'"x"', b"'")) + data[at:]


@content
def line_ends(rng, data):
    kind = rng.choice((b"\r\n", b"\r", b"\n\n", b"\n\r", b"mixed"))
    if kind != b"mixed":
        return data.replace(b"\n", kind)
    return b"".join(line + rng.choice((b"\n", b"\r\n", b"\r")) for line in data.split(b"\n"))


@content
def other_delimiter(rng, data):
    """From somewhere on, or throughout."""
    lines = data.split(b"\n")
    at, mark = rng.choice((0, rng.randrange(len(lines)))), rng.choice((b";", b"\t", b"|", b"^"))
    return b"\n".join([*lines[:at], *(line.replace(b",", mark) for line in lines[at:])])


@content
def extra_delimiters(rng, data):
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] += rng.choice((b",", b",,,,", b"," * 1000))
    return b"\n".join(lines)


@content
def missing_delimiters(rng, data):
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = lines[at].replace(b",", b"", rng.choice((1, -1)))
    return b"\n".join(lines)


@content
def lost_line(rng, data):
    """Any line, also the header."""
    lines = data.split(b"\n")
    del lines[rng.choice((0, rng.randrange(len(lines))))]
    return b"\n".join(lines)


@content
def cut_line(rng, data):
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
    return b"\n".join(lines)


@content
def blank_lines(rng, data):
    lines = data.split(b"\n")
    for _ in range(rng.choice((1, 5))):
        lines.insert(rng.randrange(len(lines) + 1), rng.choice((b"", b" ", b"\t", b",,,", b'""')))
    return b"\n".join(lines)


@content
def words_above_and_below(rng, data):
    """A title, as reports have it, and a footer."""
    above = rng.choice((b"", b"Opportunities of 2026\n\n", b"sep=,\n", b"# made by\n"))
    below = rng.choice(
        (b"", b"\nGrand Total,,,1234.00\n", b"\n15 records\n", b"Confidential Information - Do Not Distribute")
    )
    return above + data + below


@content
def trailing_garbage(rng, data):
    return data + rng.choice((b"\x1a", b"\x00" * 512, rng.randbytes(300), b"<html>502</html>", b'"'))


@content
def empty_file(rng, data):
    return rng.choice((b"", b"\n", b"\xef\xbb\xbf", b" ", b"\x00", b"\n\n\n"))


@content
def header_only(rng, data):
    return data.partition(b"\n")[0] + rng.choice((b"", b"\n"))


@content
def another_kind_of_file(rng, data):
    page = b"<!DOCTYPE html><html><body>Your session has expired</body></html>"
    return rng.choice(
        (page, gzip.compress(data), b"PK\x03\x04" + data[:50], b"PAR1" + data[:50] + b"PAR1", b'{"a": 1}')
    )


@content
def inside_a_workbook(rng, data):
    """Damage to one part of a zip file that leaves the zip sound; other files lose a piece."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        at = rng.randrange(len(data) + 1)
        return data[:at] + data[at + rng.randrange(40) :]
    try:
        old = zipfile.ZipFile(io.BytesIO(data))
        parts = {name: old.read(name) for name in old.namelist()}
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError, EOFError):
        return data  # damaged before
    out, chosen = io.BytesIO(), rng.choice(list(parts))
    with zipfile.ZipFile(out, "w") as new:
        for name, part in parts.items():
            at = rng.randrange(len(part) + 1)
            if name == chosen:
                less, more = part[:at] + part[at + 5 :], part[:at] + b"<" + part[at:]
                part = rng.choice((part[:at], less, more, b"", part.replace(b"1", b"x", 3)))
            new.writestr(name, part)
    return out.getvalue()


# -- damage to the folder ------------------------------------------------------------------------------------


@folder
def wrong_ending(rng, case):
    name = rng.choice(list(case.files))
    new = f"{Path(name).stem}.{rng.choice([form for form in (*FORMS, 'txt', 'CSV', 'xls') if form != case.form])}"
    data = case.files.pop(name)
    case.files[new] = data
    if case.base.mapping and rng.random() < 0.7:  # a mapping names its files: the other content under that name
        case.files[name] = rng.choice([one for one in case.files.values() if one is not None] or [b""])
    return name, new


@folder
def swap_files(rng, case):
    a, b = rng.choices(list(case.files), k=2)
    case.files[a], case.files[b] = case.files[b], case.files[a]
    return a, b


@folder
def remove_file(rng, case):
    name = rng.choice(list(case.files))
    if len(case.files) > 1:
        del case.files[name]
    return name


@folder
def extra_file(rng, case):
    names = ("readme.csv", "notes \u202e\x1b[31m\n.csv", "Thumbs.db", ".hidden.csv", "~$deals.xlsx", "x.parquet")
    name = rng.choice((*names, "broken.xlsx", "é.txt", "empty.csv"))
    case.files[name] = rng.choice((b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"nothing", b'a,"b\n'))
    return name


@folder
def second_copy(rng, case):
    """A file that was exported twice: ``deals (1).csv``."""
    name = rng.choice([name for name, data in case.files.items() if data is not None])
    stem, _, ending = name.rpartition(".")
    case.files[f"{stem} ({rng.choice(('1', 'copy', 'old'))}).{ending}"] = case.files[name]
    return name


@folder
def folder_for_a_file(rng, case):
    name = rng.choice(list(case.files))
    case.files[name] = None
    return name


def damaged(seed: int) -> Case | None:
    """Make the case of a seed; nothing where its data are not beside the project."""
    rng = random.Random(seed)
    name = rng.choices(list(BASES), list(BASES.values()))[0]
    form = rng.choices(list(FORMS), list(FORMS.values()))[0]
    whole = base(name, rng.choice(("api", "en")) if (name, "en") in MONEY else "api")
    if whole is None:
        return None
    form = "csv" if name == "maven" else form
    sheets = {stem: Sheet(list(one.header), [list(row) for row in one.rows]) for stem, one in whole.sheets.items()}
    case = Case(seed, name, whole, form, sheets, [], [], typed=rng.random() < 0.6)
    shares = {"csv": (5, 4, 1), "xlsx": (7, 1, 1), "parquet": (7, 1, 1)}[form]
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
        kind = rng.choices((ROWS, BYTES, FOLDER), shares)[0]
        operation = kind[rng.choice(list(kind))]
        if kind is ROWS:
            operation(rng, case)
        else:
            case.later.append((operation, random.Random(rng.random())))
    case.later.sort(key=lambda item: item[0] in FOLDER.values())
    return case


if __name__ == "__main__":
    wanted = damaged(int(sys.argv[1]))
    print(*wanted.write(Path(sys.argv[2])), wanted, sep="\n")
