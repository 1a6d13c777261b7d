"""The draft of a mapping for files nobody knows, for editing: what is certain is filled in, the rest is asked.

A column is certain where its name is a label that a shipped mapping reads, and its cells can be read as what that
label holds. Everything else stands there as a comment: CHECK a likely column, REQUIRED what nothing fills.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, cached_property

import pandas as pd
import yaml

from salesops_lib import tables
from salesops_lib.periods import FiscalCalendar
from salesops_lib.sources import parse
from salesops_lib.sources.mapping import normal, shipped
from salesops_lib.sources.process import CLOSED_NAME, WON_NAME
from salesops_lib.sources.read.raw import TEXT, Raw

DEALS = "opportunities"
TABLES = (DEALS, "accounts", "users", "leads", "activities", "products", "opportunity_products", "quotas")
ENOUGH = 2  # columns a table must know of a file
SAMPLE = 1_000  # cells looked at
NAMED = {"users": ("owner_id", "user_id"), "accounts": ("account_id", "account_id")}  # told by deals alone
WANTED = (
    "owner_id",
    "amount",
    "created_at",
    "close_date",
)  # of a deal: without them most pages have little to say
STAGES = 30  # more values than that are no stage
CUTOFF = 0.75
# what stands in required columns that files seldom have
STANDARD = {
    (DEALS, "pipeline_id"): ("{const: sales}", "one pipeline"),
    (DEALS, "currency"): ("{const: $currency}", "company.currency of salesops.yaml"),
    ("users", "is_quota_carrying"): ("{const: true}", "everybody sells"),
    ("users", "is_active"): ("{const: true}", "nobody has left"),
    ("opportunity_products", "is_recurring"): ("{const: false}", "nothing recurs"),
} | {(name, "is_deleted"): ("{const: false}", "nothing is deleted") for name in (DEALS, "accounts", "leads")}


@dataclass(frozen=True)
class Draft:
    """The text of a mapping, and how much of it is left to do."""

    text: str

    @property
    def sentence(self) -> str:
        """How many lines need a look."""
        check, required = (self.text.count(f"# {mark}:") for mark in ("CHECK", "REQUIRED"))
        return f"{check} lines to check, {required} required columns that nothing fills"


@dataclass(frozen=True, eq=False)
class File:
    """A file, and the first cells of each of its columns: trimmed, blanks empty."""

    raw: Raw

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The first rows."""
        rows = next((rows for rows, _ in self.raw.batches()), pd.DataFrame(columns=self.raw.header, dtype=TEXT))
        rows = rows.head(SAMPLE).apply(lambda cells: cells.str.strip())
        return rows.mask(rows.eq(""))

    def values(self, column: str) -> list[str]:
        """Every value of a column."""
        found = [rows[column].str.strip() for rows, _ in self.raw.batches({column})]
        return [value for value in pd.concat(found).dropna().unique() if value]


@dataclass(frozen=True)
class Meaning:
    """What a shipped mapping reads under a label: who says so, and how cells have to be converted, if at all."""

    why: str
    how: str = ""


def draft(raws: list[Raw], name: str) -> Draft:
    """Write a mapping for some files; nothing that is not certain is filled in without a comment."""
    prefix = re.sub(r"^[^a-z]+", "", name) or "crm"
    lines = [
        "# Draft of a mapping. A line marked CHECK is likely, not certain; where it begins with #, take that away",
        "# if it is right. A line marked REQUIRED has to be filled in. docs/sources.md says what may stand here.",
        f"name: {prefix}",
        f"id_prefix: {prefix}    # put before every id",
        "# company: {currency: EUR, timezone: Europe/Berlin, fiscal_start_month: 1}    # or in salesops.yaml",
        "tables:",
    ]
    first = list({raw.path: raw for raw in reversed(raws)}.values())[::-1]  # of sheets the first
    files = _choose([File(raw) for raw in first])
    for table in TABLES:
        parts = [line for file, told in files if told == table for line in _section(file, table)]
        if not parts and table in NAMED:
            parts = [line for file, told in files if told == DEALS for line in _named(file, table)]
        lines += [f"  {table}:", *parts] if parts else []
    lines += ["# stages: taken from the deals, in the order of their probability, else of their name, unless"]
    lines += ["# they are written here as rows; data/README.md has the columns of every table"]
    used = [file.raw for file, told in files if told]
    lines += [f"# not used: {_quoted(raw.name)}" for raw in raws if raw not in used]
    return Draft("\n".join(lines) + "\n")


def _choose(files: list[File]) -> list[tuple[File, str | None]]:
    """Tell which table each file fills: deals the nearest to them, the others what they know most columns of.

    A second file of one table must have the header of the first; one that could not be loaded is left out.
    """
    scores = [{table: len(_certain(file, table)) for table in TABLES} for file in files]
    first = {DEALS: max(range(len(files)), key=lambda k: scores[k][DEALS])}
    for k in sorted(range(len(files)), key=lambda k: -max(scores[k].values())):
        table = max(TABLES, key=scores[k].get)
        absent = set(tables.table(table).required) - set(_certain(files[k], table))
        if scores[k][table] >= ENOUGH and not [name for name in absent if (table, name) not in STANDARD]:
            first.setdefault(table, k)
    headers = {frozenset(files[k].raw.header): table for table, k in reversed(first.items())}
    return [(file, headers.get(frozenset(file.raw.header))) for file in files]


@cache
def vocabulary(table: str) -> dict[str, dict[str, Meaning]]:
    """Map the normal form of every label that a shipped mapping reads to the columns of the table it fills."""
    made = {column.name for column in tables.PROVENANCE}
    own = [name for name in tables.table(table).names if name not in made]
    found = {normal(name): {name: Meaning("the name in data/README.md")} for name in own}
    for mapping in shipped():
        kinds = mapping.kinds()
        for section in (
            section for section in mapping.tables.get(table, ()) if section.file and not section.distinct
        ):
            labels = kinds[section.file].columns
            links = [(name, link) for name, spec in section.columns.items() for link in spec.links]
            for name, link in links:
                told = link.model_dump(exclude_defaults=True, exclude={"source", "default", "otherwise", "zone"})
                if told.keys() - {"unit", "multiply", "empty", "unreadable"}:
                    continue  # more than a column: renamed, looked up, under a condition
                how = {
                    key: list(v) if isinstance(v, tuple) else v for key, v in told.items() if key != "unreadable"
                }
                meaning = Meaning(
                    f"as in {mapping.name}", yaml.safe_dump(how, default_flow_style=True).strip()[1:-1]
                )
                for label in (one for column in link.source for one in _labels(column, labels[column])):
                    known = found.setdefault(normal(label), {})
                    known[name] = meaning if meaning.how else known.get(name, meaning)
    return {label: names for label, names in found.items() if label}


def _labels(column: str, by_language: dict[str, str | tuple[str, ...]]) -> Iterator[str]:
    yield column
    for said in by_language.values():
        yield from [said] if isinstance(said, str) else said


def _certain(file: File, table: str) -> dict[str, tuple[str, str]]:
    """Columns of a table that a label tells and the cells bear out: (column of the file, who says so)."""
    words, found = vocabulary(table), {}
    for column in file.raw.header:
        for name, meaning in words.get(normal(column), {}).items():
            if name not in found and not meaning.how and _reads(file.cells[column], tables.table(table)[name]):
                found[name] = column, meaning.why
    return found


def _likely(file: File, table: str, known: dict[str, tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Columns that need a conversion, or have a similar name in the file: (column, the one of the file, line)."""
    words, used = vocabulary(table), {column for column, _ in known.values()}
    for column in file.raw.header:
        near = [] if column in used else get_close_matches(normal(column), words, n=5, cutoff=CUTOFF)
        hits = {name: (words[label][name], label) for label in reversed(near) for name in words[label]}
        for name, (meaning, label) in hits.items():
            kind = tables.table(table)[name]
            if name not in known and (meaning.how or _reads(file.cells[column], kind)):
                spec = f"{{from: {_quoted(column)}, {meaning.how}}}" if meaning.how else _quoted(column)
                why = meaning.why if label == normal(column) else f"near {label!r}, {meaning.why}"
                yield name, column, f"        # {name}: {spec}    # CHECK: {why}"


def _section(file: File, table: str) -> list[str]:
    """Write what one file fills."""
    known = _certain(file, table)
    lines = [f"    - file: {_quoted(file.raw.path.name)}", "      columns:"]
    lines += [f"        {name}: {_quoted(column)}    # {why}" for name, (column, why) in known.items()]
    if table == DEALS and (outcome := _outcome(file, known.get("stage_id", ("",))[0])):
        column, values = outcome
        made = {name: line for name, line in _ends(column, values, known).items() if name not in known}
        known |= dict.fromkeys(made, (column, ""))
        lines += made.values()
    lines += [_missing(table, name) for name in tables.table(table).required if name not in known]
    likely = list(_likely(file, table, known))
    found = {*known, *(name for name, *_ in likely)}
    lines += [_wanted(name) for name in WANTED if table == DEALS and name not in found]
    read = {column for column, _ in known.values()} | {column for _, column, _ in likely}
    lines += [line for *_, line in likely]
    return lines + [f"      # not read: {_quoted(column)}" for column in file.raw.header if column not in read]


def _outcome(file: File, stage: str) -> tuple[str, list[str]] | None:
    """Find the column that says won, the stage first, else the stage; with its values."""
    few = [column for column in dict.fromkeys([stage, *file.raw.header]) if column in file.cells]
    few = [column for column in few if 0 < file.cells[column].nunique() <= STAGES]
    won = [column for column in few if any(map(_is_won, file.cells[column].dropna().unique()))]
    column = next(iter(won or [column for column in few if column == stage]), None)
    values = file.values(column) if column else []
    return (column, values) if column and len(values) <= STAGES else None


def _is_closed(stage: str) -> bool:
    return re.search(CLOSED_NAME, stage.lower()) is not None


def _is_won(stage: str) -> bool:
    return _is_closed(stage) and re.search(WON_NAME, stage.lower()) is not None


def _ends(column: str, values: list[str], known: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Write the columns that the end of a deal fills, told by the names of its stages."""
    closed = {value: _is_closed(value) for value in values}
    won = {value: _is_won(value) for value in values}
    lines = {"stage_id": f"        stage_id: {_quoted(column)}    # CHECK: no column is called a stage"}
    for name, said in (("is_closed", closed), ("is_won", won)):
        told = ", ".join(f"{_quoted(value)}: {str(is_so).lower()}" for value, is_so in said.items())
        lines[name] = f"        {name}: {{from: {_quoted(column)}, map: {{{told}}}}}    # CHECK: by their names"
    if "owner_id" in known and any(closed.values()):
        when = f"{{{_quoted(column)}: [{', '.join(_quoted(value) for value in values if closed[value])}]}}"
        spec = f"{{from: {_quoted(known['owner_id'][0])}, when: {when}}}"
        lines["owner_at_close_id"] = (
            f"        owner_at_close_id: {spec}    # CHECK: owners do not change afterwards"
        )
    return lines


def _named(file: File, table: str) -> list[str]:
    """Write the people or accounts that the deals name, where no file lists them."""
    of_deal, key = NAMED[table]
    told = _certain(file, DEALS).get(of_deal)
    if not told:
        return []
    column = _quoted(told[0])
    lines = [
        f"    - file: {_quoted(file.raw.path.name)}",
        "      distinct: true    # one a name, however many deals",
    ]
    lines += ["      columns:", f"        {key}: {column}", f"        name: {column}"]
    return lines + [_missing(table, name) for name in tables.table(table).required if name != key]


def _wanted(name: str) -> str:
    return f"        # {name}:     # CHECK: no column is called so; {tables.table(DEALS)[name].meaning}"


def _missing(table: str, name: str) -> str:
    if (table, name) in STANDARD:
        value, why = STANDARD[table, name]
        return f"        {name}: {value}    # CHECK: no column tells; {why}"
    return f"        # {name}:     # REQUIRED: {tables.table(table)[name].meaning}"


def _reads(cells: pd.Series, column: tables.Column) -> bool:
    """Whether cells can be read as what a column holds; empty ones contradict nothing."""
    cells, calendar = cells.dropna().astype(TEXT), FiscalCalendar()
    if cells.empty:
        return True
    if column.kind in ("date", "instant"):
        return any(parse.to_date(cells, order, calendar).notna().all() for order in parse.READINGS)
    if column.kind == "flag":
        return bool(parse.to_flag(cells).notna().all())
    if column.kind == "enum":
        return bool(cells.isin(column.values).all())
    if column.kind in ("money", "rate", "number", "count", "share", "duration"):
        plain = cells.str.removesuffix("%") if column.kind == "share" else cells
        return any(parse.to_number(plain, sign).notna().all() for sign in ".,")
    return True


def _quoted(text: str) -> str:
    """Write a text from a file as YAML of one line, in quotes where it could be read as anything else."""
    if re.fullmatch(r"[^\W\d_][\w ]*\w", text) and yaml.safe_load(text) == text:
        return text
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=float("inf")).strip()
