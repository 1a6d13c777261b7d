"""Damaged exports are loaded and balanced, or refused in words; what `mutator` damaged is counted here once more.

`SALESOPS_FUZZ` says how many loads (300; `make fuzz`: 10,000), `SALESOPS_FUZZ_FROM` the first seed.
"""

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from salesops_lib import export, gate, present, tables
from salesops_lib.cli import main
from salesops_lib.config import ControlTotal
from salesops_lib.errors import LossLimitExceeded, SalesOpsError
from salesops_lib.sources import load, mapping
from salesops_lib.sources import read as reading
from salesops_lib.store import Store
from tests import mutator
from tests.conftest import ROOT
from tests.mutator import BASES, BYTES, EURO, HOSTILE, Case, Sheet, damaged

LOADS = int(os.environ.get("SALESOPS_FUZZ", "300"))
FIRST = int(os.environ.get("SALESOPS_FUZZ_FROM", "0"))
CHUNKS = 6
SECONDS, PEAK = 20, 1_500_000_000
MESSAGE, LINES = 2000, 8
TERMINAL = {"Cc", "Cs"}  # control characters, lone surrogates
BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")
TEXT_FILES = (".csv", ".txt", ".tsv")


@pytest.fixture(autouse=True, scope="module")
def mappings_read_once():
    """Reading the YAML of a CRM takes longer than a small load."""
    with pytest.MonkeyPatch.context() as patch:
        once = lru_cache(64)(mapping.read_mapping)
        plain = mapping.read_mapping
        patch.setattr(mapping, "read_mapping", lambda name: (plain if "\n" in str(name) or "/" in str(name) else once)(name))
        yield


# -- a reader of its own -----------------------------------------------------------------------------------


@dataclass
class Reading:
    """What the damaged files say of the deals: counted with `csv` and `Decimal`, knowing nothing of the loader.

    `amounts` are those that the cells of one key may mean, nothing being "no amount"; `last` is each file's last row.
    """

    records: int = 0
    amounts: dict[str, set[Decimal | None]] = field(default_factory=dict)
    totals: Counter = field(default_factory=Counter)
    priced: int = 0


def plain(name: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKC", name).casefold() if letter.isalnum())


def short(key: str, case: Case) -> str:
    return key.strip()[:15] if case.name == "salesforce" else key.strip()


def decoded(content: bytes) -> str | None:
    kinds = ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    for kind in kinds:
        try:
            return content.decode(kind)
        except UnicodeError:
            continue
    return None


def records_of(content: bytes) -> list[list[str]] | None:
    """Every record of a text file, empty lines as empty lists."""
    text = decoded(content)
    if text is None:
        return None
    csv.field_size_limit(2**31 - 1)
    first = io.StringIO(text, newline="").readline()
    mark = max(",;\t|", key=lambda one: len(next(csv.reader([first], delimiter=one), [])))
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=mark))


def numbers_in(text: str) -> set[Decimal]:
    """Every number that a cell may mean, with point or comma as decimal sign, to the cent."""
    text = re.sub(r"^[\s€$£¥]+|[\s€$£¥]+$", "", text).replace("\u2212", "-")
    text = re.sub(r"^\((.*)\)$", r"-\1", text)
    text = f"-{text[:-1]}" if re.fullmatch(r"[^-]+-", text) else text
    text = re.sub(r"(?<=\d)[ \u00a0\u202f'’](?=\d{3})", "", text)
    found = set()
    for group, point in ((",", "."), (".", ",")):
        try:
            number = Decimal(text.replace(group, "").replace(point, "."))
            found |= {number.quantize(Decimal("0.01"))} if number.is_finite() and abs(number) < 10**16 else set()
        except InvalidOperation:
            continue
    return found


def count(sheets: list[Sheet], case: Case) -> Reading | None:
    """Count the deals of tables that have their columns; nothing where no table has them once."""
    found = Reading()
    wanted = [plain(case.base.key), *map(plain, case.base.amount)]
    for sheet in sheets:
        header = [plain(name) for name in sheet.header]
        if any(header.count(name) != 1 for name in wanted):
            continue
        key, *amounts = (header.index(name) for name in wanted)
        money = header.index(plain(case.base.currency)) if plain(case.base.currency) in header else None
        for row in sheet.rows:
            found.records += 1
            if len(row) != len(header):
                continue
            texts = [row[at].strip() for at in amounts]
            filled = [text for text in texts if text not in ("", *case.base.none)]
            means = {one for text in filled for one in numbers_in(text)} | ({None} if len(filled) < len(texts) else set())
            found.amounts.setdefault(short(row[key], case), set()).update(means)
            if filled and numbers_in(filled[0]):
                written = row[money].strip() if money is not None else case.base.currency
                found.totals[case.base.names.get(written, written)] += min(numbers_in(filled[0]), key=abs)
                found.priced += 1
    return found if found.records or sheets else None


def told(case: Case) -> Reading | None:
    """Read the deals of a damaged export; nothing where only the loader can."""
    if case.form == "csv":
        files = [data for name, data in case.files.items() if data and name.lower().endswith(TEXT_FILES)]
        tables_read = [[row for row in records if row] for data in files if (records := records_of(data))]
        return count([Sheet(rows[0], rows[1:]) for rows in tables_read if rows], case)
    if any(operation in BYTES.values() for operation, _ in case.later):
        return None
    return count([case.sheets[case.base.deals]], case)


@cache
def sound(name: str, language: str) -> Reading:
    """What the undamaged export says."""
    case = bare(name, language, "csv")
    return count([case.base.sheets[case.base.deals]], case)


def bare(name: str, language: str, form: str, typed: bool = False) -> Case:
    whole = mutator.base(name, language)
    return Case(-1, name, whole, form, whole.sheets, [], [], typed)


def language_of(case: Case) -> str:
    return "en" if (case.name, "en") in mutator.MONEY and case.base is mutator.base(case.name, "en") else "api"


@lru_cache(64)
def usual(name: str, language: str, form: str, typed: bool) -> dict[tuple, int]:
    """Findings of the undamaged export, with their counts."""
    with TemporaryDirectory() as place:
        return noted(read(bare(name, language, form, typed), Path(place), 1))


def noted(loaded) -> dict[tuple, int]:
    found = loaded.findings.fillna("")
    return found.groupby(["kind", "file", "table", "column", "value"])["n"].sum().to_dict()


# -- what must hold ------------------------------------------------------------------------------------------


def read(case: Case, root: Path, max_loss: float):
    place, chosen = case.write(root)
    return load(case.base.source, place, mapping=chosen, max_loss=max_loss, company=case.base.company)


def totals(frame: pd.DataFrame) -> Counter:
    priced = frame[frame["amount"].notna()]
    found = Counter()
    for currency, amount in zip(priced["currency"], priced["amount"], strict=True):
        found[currency] += amount
    return found


def check_balance(loaded) -> None:
    report, aside = loaded.report, loaded.quarantine["table"].value_counts()
    for row in report.itertuples():
        assert row.rows_in == row.rows_kept + row.rows_quarantined, row
        assert row.rows_kept == len(loaded.tables.get(row.table, ())), row
        assert row.rows_quarantined == aside.get(row.table, 0), row
    assert set(loaded.tables) <= set(report["table"])
    for name, frame in loaded.tables.items():
        broken = tables.violations(frame, name)
        assert not broken["fatal"].any(), (name, broken)
        assert not frame.duplicated(list(tables.table(name).key)).any(), name


def check_quarantine(loaded, case: Case) -> None:
    """Every row set aside is told by file, row, column and reason, and is in the file."""
    last = {}
    for name, data in case.files.items():
        records = records_of(data) if data and name.lower().endswith(TEXT_FILES) else None
        last[name] = len(records) if records is not None else 10**6
    for row in loaded.quarantine.itertuples():
        file = re.sub(r"\[.*\]$", "", row.file)
        assert file in case.files, row.file
        assert 2 <= row.row <= last[file], (row.file, row.row, last[file])
        assert row.reason, row
        assert row.column or "fields, the header has" in row.reason, row


def check_money(loaded, case: Case, root: Path) -> str:
    """Every kept amount is one the file says, and no total changes without somebody being told."""
    frame = loaded.tables["opportunities"]
    said, truth = told(case), sound(case.name, language_of(case))
    got = totals(frame)
    if said is not None:
        for key, amount in zip(frame["opportunity_id"], frame["amount"], strict=True):
            means = said.amounts.get(short(key.partition(":")[2], case))
            amount = None if pd.isna(amount) else amount
            assert means is None or amount in means, f"{key}: {amount!r} loaded, the file says {means}"
    if got == truth.totals and len(frame) == truth.records:
        return "kept"
    new = noted(loaded)
    before = usual(case.name, language_of(case), case.form, case.typed) if new else {}
    more = [what for what, n in new.items() if n > before.get(what, 0)]
    why = [w for w in more if w[2] in ("opportunities", "") or "opportunities" in w[3]]
    if why or (loaded.quarantine["table"] == "opportunities").any():
        return "told"
    # nothing in the load tells: then the file itself says so, and the control total finds it
    assert said is not None, f"{got} of {len(frame)} deals, {truth.totals} of {truth.records} before; nobody told"
    assert (got, len(frame)) == (said.totals, said.records), f"loaded {got}, {len(frame)}; the file says {said}"
    snapshot = Store(root / "snapshots").save(loaded)
    stated = ControlTotal(rows=truth.records, amount=sum(truth.totals.values()))
    found = gate.inspect(
        snapshot, calendar=loaded.company.calendar(), company=loaded.company, only=["G01"],
        control_totals={"opportunities": stated},
    )  # fmt: skip
    if sum(got.values()) != stated.amount or len(frame) != truth.records:
        assert found.table["check"].tolist() == ["G01"], "the control total saw nothing"
    return "control total"


def check_words(text: str, case: Case | None = None) -> None:
    """A refusal that a person can read: short, printable, naming the file."""
    assert len(text) < MESSAGE, f"{len(text)} characters: {text[:300]}"
    assert text.count("\n") < LINES, text
    assert "Traceback" not in text
    odd = {letter for letter in text if letter != "\n" and (unicodedata.category(letter) in TERMINAL or letter in BIDI)}
    assert not odd, (odd, text)
    if case is not None:
        names = [*case.files, *(f"{stem}.{case.form}" for stem in case.sheets), "export_2026-02-01"]
        assert any(name in text for name in names) or any(ascii_name(name) in text for name in names), text


def ascii_name(name: str) -> str:
    return repr(name)[1:-1]


def check_refusal(error: SalesOpsError, case: Case) -> None:
    check_words(str(error), case)
    assert error.__class__ is not SalesOpsError
    if isinstance(error, LossLimitExceeded):
        check_balance(error.loaded)
        check_quarantine(error.loaded, case)
        assert re.search(r"First: .+, row \d+", str(error)), error
    elif re.search(r"mixes readings|is ambiguous", str(error)):
        assert re.search(r"column '.+' .*row \d+: '", str(error), re.S), error


def run(case: Case, root: Path) -> str:
    """Load a case and check everything that must hold; say how it ended."""
    max_loss = 0.05 if case.seed % 3 == 0 else 1
    try:
        loaded = read(case, root, max_loss)
    except SalesOpsError as error:
        check_refusal(error, case)
        return "refused"
    check_balance(loaded)
    check_quarantine(loaded, case)
    ended = check_money(loaded, case, root) if "opportunities" in loaded.tables else "no deals"
    return f"loaded, {'some set aside' if len(loaded.quarantine) else 'all kept'}, {ended}"


def attempt(seed: int, root: Path) -> tuple[str, float]:
    """Run a seed; whatever is not a refusal is told with seed and operations."""
    case = damaged(seed)
    if case is None:
        return "data absent", 0.0
    began = time.process_time()
    try:
        ended = run(case, root)
    except Exception as error:
        error.add_note(f"{case}\npython -m tests.mutator {seed} FOLDER writes it; max_loss {0.05 if seed % 3 == 0 else 1}")
        raise
    return ended, time.process_time() - began
