"""Damaged exports are loaded and balanced, or refused in words; what `mutator` damaged is counted here once more.

`SALESOPS_FUZZ` says how many loads (36; `make fuzz`: 10,000), `SALESOPS_FUZZ_FROM` the first seed.
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
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from salesops_lib import errors, export, gate, present, tables
from salesops_lib.cli import main
from salesops_lib.config import ControlTotal
from salesops_lib.errors import LossLimitExceeded, SalesOpsError
from salesops_lib.sources import load
from salesops_lib.sources.read import delimited as reading
from salesops_lib.store import Store
from tests import crm_exports, mutator
from tests.conftest import ROOT
from tests.mutator import BASES, BYTES, HOSTILE, Case, Sheet, damaged

LOADS = int(os.environ.get("SALESOPS_FUZZ", "36"))
FIRST = int(os.environ.get("SALESOPS_FUZZ_FROM", "0"))
CHUNKS = 6
SECONDS, PEAK = 20, 1_500_000_000
MESSAGE, LINES = 2000, 8
TERMINAL = {"Cc", "Cs"}  # control characters, lone surrogates
BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")
TEXT_FILES = (".csv", ".txt", ".tsv")
pytestmark = [pytest.mark.usefixtures("mappings_read_once"), pytest.mark.xdist_group("fuzz")]

# -- a reader of its own -----------------------------------------------------------------------------------


@dataclass
class Reading:
    """What the damaged files say of the deals: counted with `csv` and `Decimal`, knowing nothing of the loader.

    `amounts` are those that the cells of one key may mean, nothing being "no amount".
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
    found, read = Reading(), False
    wanted = [plain(case.base.key), *map(plain, case.base.amount)]
    usual = {plain(name) for name in case.base.sheets[case.base.deals].header}
    for sheet in sheets:
        header = [plain(name) for name in sheet.header]
        if any(header.count(name) != 1 for name in wanted) or len(usual & set(header)) < len(usual) / 2:
            continue
        read = True
        key, *amounts = (header.index(name) for name in wanted)
        money = header.index(plain(case.base.currency)) if plain(case.base.currency) in header else None
        for row in sheet.rows:
            found.records += 1
            if len(row) != len(header):
                continue
            texts = [row[at].strip() for at in amounts]
            filled = [text for text in texts if text not in ("", *case.base.none)]
            means = {one for text in filled for one in numbers_in(text)} | (
                {None} if len(filled) < len(texts) else set()
            )
            found.amounts.setdefault(short(row[key], case), set()).update(means)
            if filled and numbers_in(filled[0]):
                written = (row[money].strip() or "EUR") if money is not None else case.base.currency
                found.totals[case.base.names.get(written, written)] += min(numbers_in(filled[0]), key=abs)
                found.priced += 1
    return found if read else None


def unreadable(case: Case) -> bool:
    """Whether bytes of a binary file of deals were damaged: Parquet has no check sum."""
    return case.form != "csv" and any(done.endswith(f"({case.deals})") for done in case.done)


def told(case: Case) -> Reading | None:
    """Read the deals of a damaged export; nothing where only the loader can."""
    if case.form == "csv":
        texts = [name for name, data in case.files.items() if data and name.lower().endswith(TEXT_FILES)]
        files = [case.files[name] for name in texts if name == case.deals or not case.base.mapping]
        tables_read = [[row for row in records if row] for data in files if (records := records_of(data))]
        return count([Sheet(rows[0], rows[1:]) for rows in tables_read if rows], case)
    if unreadable(case):
        return None
    return count([case.sheets[case.base.deals]], case)


@cache
def sound(name: str, language: str) -> Reading:
    """What the undamaged export says."""
    case = bare(name, language, "csv")
    found = count([case.base.sheets[case.base.deals]], case)
    if name in crm_exports.LANGUAGES:  # its own description says more than its columns
        priced = [deal for deal in crm_exports.present(name, language) if deal.amount]
        found.totals = Counter()
        for deal in priced:
            found.totals[deal.currency] += deal.number
    return found


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
        emptied = "amount" in set(loaded.findings["column"][loaded.findings["kind"].str.startswith("emptied")])
        for key, amount in zip(frame["opportunity_id"], frame["amount"], strict=True):
            means = said.amounts.get(short(key.partition(":")[2], case))
            amount = None if pd.isna(amount) else amount
            known = means is None or amount in means or (amount is None and emptied)
            assert known, f"{key}: {amount!r} loaded, the file says {means}"
    if got == truth.totals and len(frame) == truth.records:
        return "kept"
    new = noted(loaded)
    typed = case.typed and case.form != "csv"
    before = usual(case.name, language_of(case), case.form, typed) if new else {}
    more = [what for what, n in new.items() if n > before.get(what, 0)]
    why = [w for w in more if w[2] in ("opportunities", "") or "opportunities" in w[3]]
    if why or (loaded.quarantine["table"] == "opportunities").any():
        return "told"
    # nothing in the load tells: then the file itself says so, and the control total finds it
    before = f"{got} of {len(frame)} deals, before {truth.totals} of {truth.records}"
    assert said is not None or unreadable(case), f"{before}; nobody told"
    if said is not None:
        assert len(frame) == said.records, f"{before}; the file says {said.records}"
        assert len(case.base.amount) > 1 or got == said.totals, f"{before}; the file says {said.totals}"
    snapshot = Store(root / "snapshots").save(loaded)
    stated = ControlTotal(rows=truth.records, amount=sum(truth.totals.values()))
    found = gate.inspect(
        snapshot, calendar=loaded.company.calendar(), company=loaded.company, only=["G01", "G17", "G52"],
        control_totals={"opportunities": stated},
    )  # fmt: skip
    seen = set(found.table["check"])
    same = sum(got.values()) == stated.amount and len(frame) == truth.records
    assert ("G01" in seen) != same, "the control total"
    assert "G01" in seen or seen or got.keys() <= {"EUR", "USD"}, f"{got}: no check of currencies saw it"
    return "told by the gate"


def check_words(text: str, case: Case | None = None) -> None:
    """A refusal that a person can read: short, printable, naming the file."""
    assert len(text) < MESSAGE, f"{len(text)} characters: {text[:300]}"
    assert text.count("\n") < LINES, text
    assert "Traceback" not in text
    odd = {
        letter
        for letter in text
        if letter != "\n" and (unicodedata.category(letter) in TERMINAL or letter in BIDI)
    }
    assert not odd, (odd, text)
    if case is not None:
        names = [*case.files, *(f"{stem}.{case.form}" for stem in case.sheets), "export_2026-02-01"]
        assert any(name in text for name in names) or any(errors.printable(name) in text for name in names), text


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
    """Load a case and check everything that must hold; say how it ended. Every fourth comes in small batches."""
    max_loss = 0.05 if case.seed % 3 == 0 else 1
    block, batch = (1 << 24, 200_000) if case.seed % 4 else (4096, 16)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "BLOCK", block)
            patch.setattr(reading.Raw, "batch_rows", batch if case.name != "maven" else 100)
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
        error.add_note(
            f"{case}\npython -m tests.mutator {seed} FOLDER writes it; max_loss {0.05 if seed % 3 == 0 else 1}"
        )
        raise
    return ended, time.process_time() - began


# -- the mutator's cases --------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_damaged_exports_balance_or_are_refused_in_words(chunk, tmp_path):
    ended, failures = Counter(), []
    for seed in range(FIRST + chunk, FIRST + LOADS, CHUNKS):
        with TemporaryDirectory(dir=tmp_path) as root:
            try:
                how, seconds = attempt(seed, Path(root))
                assert seconds < SECONDS, f"seed {seed} took {seconds:.0f} s"
            except Exception as error:
                failures.append(error)
                how = "failed"
        ended[how.partition(",")[0]] += 1
    print(dict(ended))
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {sum(ended.values())} loads, the first five", failures[:5])
    if LOADS >= 20 * CHUNKS:
        assert min(ended["loaded"], ended["refused"]) > sum(ended.values()) / 10, ended


def test_every_kind_of_damage_is_done():
    names = {operation: name for kind in (mutator.ROWS, BYTES, mutator.FOLDER) for name, operation in kind.items()}
    done = Counter()
    for seed in range(600):
        if case := damaged(seed):
            done.update(text.partition("(")[0] for text in case.done)
            done.update(names[operation] for operation, _ in case.later)
    assert len(names) > 50
    assert set(done) == set(names.values())


@pytest.mark.parametrize(
    ("name", "language", "form"),
    [
        *((name, "api", "csv") for name in BASES),
        *((name, "en", "csv") for name in crm_exports.LANGUAGES),
        *((name, "api", form) for name in ("small", "salesforce") for form in ("xlsx", "parquet")),
    ],
)
def test_the_undamaged_exports_load_as_counted(name, language, form, tmp_path):
    if mutator.base(name, language) is None:
        pytest.skip("third-party data are not beside the project")
    case = bare(name, language, form)
    loaded = read(case, tmp_path, 0.05)
    check_balance(loaded)
    assert check_money(loaded, case, tmp_path) == "kept"
    assert totals(loaded.tables["opportunities"]) == sound(name, language).totals


def test_the_checks_see_what_they_are_for(tmp_path):
    """A checker that cannot fail checks nothing: each is broken once."""
    case = bare("small", "api", "csv")
    loaded = read(case, tmp_path, 0.05)
    frame = loaded.tables["opportunities"]
    frame.loc[0, "amount"] += 1
    with pytest.raises(AssertionError, match="the file says"):
        check_money(loaded, case, tmp_path)
    loaded.tables["opportunities"] = frame.drop(index=0)
    with pytest.raises(AssertionError):
        check_balance(loaded)
    with pytest.raises(AssertionError, match=r"of 29 deals.*the file says 30"):
        check_money(loaded, case, tmp_path)
    for text in ("x" * 3000, "deals.csv: \x1b[31m", "deals.csv: \u202e", "of no file", "deals.csv\n" * 9):
        with pytest.raises(AssertionError):
            check_words(text, case)


def test_values_in_messages_are_cut_and_cannot_act():
    assert errors.shown("a\x1b\u202e") == r"'a\x1b\u202e'"
    assert errors.shown("x" * 100) == "'" + "x" * 80 + "… (100 characters)"
    assert errors.shown(None) == "None"
    assert errors.listed(["a", "y" * 100]) == "a, " + "y" * 60 + "… (100 characters)"
    assert errors.listed(["n" * 70] * 30).endswith(" and 18 more")
    assert str(SalesOpsError("é 😀\n\x00\u2028")) == "é 😀\n\\x00\\u2028"
    assert len(errors.unknown("column", "a" * 10**6, ["b" * 10**6] * 1000)) < MESSAGE


def command_of(seed: int, root: Path) -> list[str]:
    case = damaged(seed)
    place, chosen = case.write(root)
    stated = ["--max-loss", "0.05" if seed % 3 == 0 else "1", "-w", str(root)]
    return ["load", case.base.source, str(place), *(("--map", chosen) if chosen else ()), *stated]


@pytest.mark.parametrize("seed", range(FIRST + 1000, FIRST + 1020))
def test_the_command_line_never_shows_a_traceback(seed, tmp_path):
    if damaged(seed) is None:
        pytest.skip("third-party data are not beside the project")
    (tmp_path / "salesops.yaml").write_text("company: {currency: EUR, timezone: Europe/Berlin}\n")
    as_json = ("--json",) if seed % 2 else ()
    done = CliRunner().invoke(main, [*command_of(seed, tmp_path), *as_json])
    assert done.exit_code in (0, 3), done.output
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert "Traceback" not in done.output
    if as_json:
        told_all = json.loads(done.stdout)
        assert bool(told_all.get("snapshot")) == (done.exit_code == 0)
        return
    odd = {c for c in done.output if c not in "\n\t" and unicodedata.category(c) in TERMINAL}
    assert not odd, (odd, str(damaged(seed)))
    assert len(done.output) < 20_000, (len(done.output), str(damaged(seed)))


def test_the_command_line_prints_no_cell_that_acts_on_the_terminal(tmp_path):
    case = by_hand("salesforce", "csv")
    deals = case.sheets["Opportunity"]
    deals.header += ["evil\x1b[31m\u202e", "y" * 100_000]
    for row in deals.rows:
        row[deals.at("Type")] = "T\x1b[2J\u202e" * 30_000
        row[deals.at("OwnerId")] = "005\x9b" * 30_000
        row += ["x", "x"]
    place, _ = case.write(tmp_path)
    (place / "x\x1b[31m\u202e.csv").write_text("a,b\n1,2\n")
    (tmp_path / "salesops.yaml").write_text("company: {currency: EUR}\n")
    done = CliRunner().invoke(main, ["load", "salesforce", str(place), "-w", str(tmp_path)], color=True)
    assert done.exit_code == 0, done.output[:2000]
    assert {letter for letter in done.output if not letter.isprintable()} == {"\n"}
    assert len(done.output) < 10_000


# -- huge fields ------------------------------------------------------------------------------------------------

HUGE = """
import json, resource, sys
from pathlib import Path
from salesops_lib.errors import SalesOpsError
from salesops_lib.sources import load
told = {}
for place in sorted(Path(sys.argv[1]).iterdir()):
    try:
        loaded = load("csv", place / "export_2026-02-01", mapping=place / "map.yaml", max_loss=1)
        told[place.name] = int(loaded.report["rows_quarantined"].sum())
    except SalesOpsError as error:
        told[place.name] = str(error)
print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, told]))
"""


def test_huge_fields_keep_to_the_memory_and_to_short_messages(tmp_path):
    long = {
        "text": "é" * 1_500_000,
        "digits": "9" * 1_000_000,
        "quotes": '"' * 300_000,
        "lines": "a\n" * 300_000,
        "commas": "," * 1_000_000,
        "dates": "2026-01-01 " * 100_000,
    }
    for what, value in long.items():
        case = by_hand("small", "csv")
        deals = case.sheets["deals"]
        for k, column in enumerate(("title", "amount", "close", "id", "id", "owner")):
            deals.rows[k][deals.at(column)] = value
        case.write(tmp_path / what)
    for form in ("xlsx", "parquet"):
        case = by_hand("small", form)
        case.sheets["deals"].rows[3][1] = long["digits"]
        case.write(tmp_path / form)
    long_record = by_hand("small", "csv")
    long_record.sheets["deals"].rows[3][1] = "x" * 20_000_000  # no block holds it
    long_record.write(tmp_path / "record")
    header = by_hand("small", "csv")
    header.sheets["deals"].header[5] = long["digits"]
    header.write(tmp_path / "header")
    opened = by_hand("small", "csv")
    opened.write(tmp_path / "quote")
    (tmp_path / "quote/export_2026-02-01/deals.csv").write_bytes(
        opened.files["deals.csv"] + b'"' + b"a,\n" * 3_000_000
    )
    done = subprocess.run(
        [sys.executable, "-c", HUGE, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    peak, outcomes = json.loads(done.stdout)
    assert peak < PEAK, f"{peak:,} bytes: {outcomes}"
    for outcome in outcomes.values():
        if isinstance(outcome, str):
            check_words(outcome)
    assert {outcomes[what] for what in long} == {3}, "amount, date and the second id are set aside, text is kept"
    assert outcomes["record"] == 0
    assert "row 1" in outcomes["header"]
    assert "quotation mark" in outcomes["quote"]


def by_hand(name: str, form: str) -> Case:
    """A sound export to damage by hand."""
    case = bare(name, "api", form)
    case.sheets = {name: Sheet(list(s.header), [list(row) for row in s.rows]) for name, s in case.sheets.items()}
    return case


# -- properties ---------------------------------------------------------------------------------------------------

words = st.one_of(st.text(max_size=30), st.sampled_from(HOSTILE)).filter(
    lambda text: not re.search("[\ud800-\udfff]", text)
)


def only_xml(text: str) -> str:
    return re.sub("[\x00-\x1f\ufffe\uffff]|_x", "", text)


@pytest.mark.parametrize("form", mutator.FORMS)
@settings(max_examples=max(8, LOADS // 100), deadline=None)
@given(names=st.lists(words, min_size=1, max_size=40))
@example(names=["\r"])
@example(names=["a\rb", "\n", "\r\n"])
def test_names_come_through_as_they_are(form, names):
    names = [only_xml(name) for name in names] if form == "xlsx" else names
    case = by_hand("small", form)
    deals = case.sheets["deals"]
    for k, name in enumerate(names):
        deals.rows.append([f"n{k}", name, *deals.rows[0][2:]])
    with TemporaryDirectory() as root:
        loaded = read(case, Path(root), 0)
    got = loaded.tables["opportunities"].set_index("opportunity_id")["name"]
    for k, name in enumerate(names):
        kept = got[f"s:n{k}"]
        kept = "" if pd.isna(kept) else kept
        assert kept in name
        assert kept.strip() == name.strip()


@settings(max_examples=max(6, LOADS // 100), deadline=None)
@given(data=st.data())
def test_the_order_of_columns_and_rows_changes_nothing(data):
    case = by_hand("small", "csv")
    deals = case.sheets["deals"]
    order = data.draw(st.permutations(range(len(deals.header))))
    deals.rows = [[row[k] for k in order] for row in data.draw(st.permutations(deals.rows))]
    deals.header = [deals.header[k] for k in order]
    with TemporaryDirectory() as root:
        got = read(case, Path(root) / "a", 0).tables
        usual = read(bare("small", "api", "csv"), Path(root) / "b", 0).tables
    for name, frame in usual.items():
        key = list(tables.table(name).key)
        one, other = (
            f.drop(columns="source_file_sha256").sort_values(key, ignore_index=True) for f in (frame, got[name])
        )
        pd.testing.assert_frame_equal(
            one, other.drop(columns="extracted_at").assign(extracted_at=one["extracted_at"])
        )


cells = st.text(st.sampled_from('ab,;"\n\r \t\x00é'), max_size=8)
quoted = st.text(st.sampled_from("ab,\n\r x"), max_size=6).map(lambda text: f'"{text}"')
lines = st.lists(st.one_of(cells, quoted, quoted), max_size=4).map(",".join)
files = st.tuples(
    st.sampled_from(["a,b\n", "a\n", '"a",b,c\r\n', "a;b\n", "a,b\r"]),
    st.lists(st.tuples(lines, st.sampled_from(["\n", "\n", "\r\n", "\r"])).map("".join), max_size=40),
).map(lambda parts: (parts[0] + "".join(parts[1])).encode())


@settings(max_examples=max(400, LOADS), deadline=None)
@given(st.one_of(files, st.binary(max_size=200)), st.sampled_from([1 << 24, 256]))
def test_blocks_of_arrow_and_single_records_say_the_same(content, block):
    with TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", block)
        path = Path(root) / "a.csv"
        path.write_bytes(content)
        try:
            raw = reading.RawFile(path)
        except SalesOpsError as error:
            check_words(str(error))
            return
        if not raw._well_formed:
            return
        assert gathered(raw._blocks(raw.header)) == gathered(raw._chunks(raw.header))


def gathered(batches) -> list:
    """Rows by number; those of the wrong length by reason only: Arrow tells their text with its quotes."""
    rows, ragged = {}, {}
    for frame, aside in batches:
        rows |= {
            number: tuple(row) for number, row in zip(frame.index, frame.itertuples(index=False), strict=True)
        }
        ragged |= dict(zip(aside["row"], aside["reason"], strict=True))
    return [rows, ragged]


@pytest.mark.parametrize("at", [0, 3, 999])
def test_a_byte_that_no_encoding_has_is_told_by_its_line(at, tmp_path):
    """Also where it stands behind what is read for the header."""
    case = by_hand("small", "csv")
    case.sheets["deals"].rows = [["d1", "é" * 100, *case.sheets["deals"].rows[0][2:]]] * 1000
    place, chosen = case.write(tmp_path)
    whole = (place / "deals.csv").read_text(encoding="utf-8").splitlines()
    whole[at] += "\x8f"
    (place / "deals.csv").write_bytes("\n".join(whole).encode("latin-1"))
    with pytest.raises(SalesOpsError, match=rf"deals.csv, line {at + 1}: b'\\x8f' cannot be read as cp1252"):
        load("csv", place, mapping=chosen, max_loss=1)


# -- hostile ids and names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_hostile_ids_and_names_survive_and_do_no_harm(form, tmp_path):
    hostile = [*HOSTILE, "😀" * 250_000, "<b>" + "x" * 1_000_000]
    case = by_hand("small", form)
    deals = case.sheets["deals"]
    deals.rows = [[f"{text}|{k}", text, *deals.rows[0][2:]] for k, text in enumerate(hostile)]
    loaded = read(case, tmp_path, 0)
    snapshot = Store(tmp_path / "snapshots").save(loaded)
    frame = snapshot.read("opportunities")
    pd.testing.assert_frame_equal(frame, loaded.tables["opportunities"])
    assert frame["opportunity_id"].tolist() == [f"s:{f'{text}|{k}'.strip()}" for k, text in enumerate(hostile)]
    assert frame["name"].fillna("").tolist() == [text.strip() for text in hostile]
    held = frame[["opportunity_id", "name", "amount"]]
    markup = present.table(held, units={"amount": "amount"}).markup
    inside = re.sub(r"</?(p|div|table|thead|tbody|tr|th|td)( [^<>]*)?>", "", markup)
    assert "<" not in inside
    assert ">" not in inside
    book = load_workbook(export.write_xlsx({"s": held}, tmp_path / "a.xlsx"))
    shown = [cell for row in book["s"].iter_rows(min_row=2) for cell in row]
    assert {cell.data_type for cell in shown} <= {"s", "n"}
    with export.write_csv(held, tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        written = [cell for row in list(csv.reader(file))[1:] for cell in row]
    assert len(written) == len(shown) == 3 * len(hostile)
    for text in (*written, *(cell.value for cell in shown if isinstance(cell.value, str))):
        assert not text.lstrip().startswith(("=", "+", "-", "@", "\t", "\r")) or export.NUMBER.fullmatch(text), (
            text[:50]
        )
