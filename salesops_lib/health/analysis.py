"""The findings of the data gate in the words and order a page needs; nothing is looked for here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from salesops_lib.book import Book
from salesops_lib.gate.check import SEVERITIES
from salesops_lib.gate.touches import BEGUN
from salesops_lib.language import dated, localised, mark, say
from salesops_lib.present import fitted

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.gate import Findings

EXAMPLE = 90  # characters
PREFIX = re.compile(r"(?<!\w)[a-z_]{1,12}:(?=[A-Za-z0-9])")  # of ids, e.g. "sf:"
SEVERAL = re.compile(r"amount, (\d+) currencies added as written")
INSTANT = re.compile(r"(\d\d:\d\d):\d\d(\.\d+)?\+00\b")
FIELD_LABELS = {
    "owner_id": "owner", "account_id": "account", "expected_close_date": "expected close", "amount": "amount",
    "type": "type", "forecast_category": "forecast category", "probability_crm": "probability",
    "lead_source": "lead source", "next_step": "next step",
}  # fmt: skip


@dataclass(frozen=True)
class Health:
    """What is known about the quality of the data behind a book.

    Attributes
    ----------
    headline
        What blocks, how many findings there are, what changed since the load before; and which export is meant
        where the book shows an earlier day.
    findings
        One row a finding, red first and largest amount first, at the end those gone since the load before:
        `finding`, `severity`, `change`, `rows`, `share`, `amount` (text with its currency), `meaning`, `mend`,
        `example`, `check`.
    samples
        Up to five rows a finding: `check`, `row`, `detail`, `amount`.
    completeness
        Share of open deals with a field filled: a row a stage, a column a field that somebody fills and not
        everybody does; `stage`, `deals`.
    filled, empty
        Fields that every open deal has, and that none has.
    staleness
        Open deals nobody has touched for long, by owner: `owner`, `open`, `stale`, `share` with `low` and `high`,
        `amount`, `oldest_days`; owners without any are left out.
    breaks
        Months in which logging broke: `month`, `type`, `logged`, `expected`, `note`.
    control
        Totals stated in `salesops.yaml`: `table`, `measure`, `stated`, `found`, `difference`.
    unseen
        What no check could look at, by reason: `why`, `checks`, `titles`.
    currency
        Corporate currency, of `staleness`.
    compared
        Whether there was a load before to compare with.
    """

    headline: str
    findings: pd.DataFrame
    samples: pd.DataFrame
    completeness: pd.DataFrame
    filled: tuple[str, ...]
    empty: tuple[str, ...]
    staleness: pd.DataFrame
    breaks: pd.DataFrame
    control: pd.DataFrame
    unseen: pd.DataFrame
    currency: str
    compared: bool


def inspect(book: Book, findings: Findings) -> Health:
    """Prepare what the gate found in the snapshot behind a book; see `gate.findings_of`."""
    filled, empty, completeness = _completeness(findings.completeness)
    stale = findings.staleness[findings.staleness["stale"].gt(0)]
    stale = stale.assign(owner=stale["owner"].where(stale["owner_id"].notna(), say("nobody")))
    breaks = findings.breaks.rename(columns={"n": "logged"})
    return Health(
        headline=f"{findings.headline} {_scope(book)}".strip(),
        findings=_listed(findings.table),
        samples=_samples(findings),
        completeness=completeness,
        filled=filled,
        empty=empty,
        staleness=stale.drop(columns="owner_id").reset_index(drop=True),
        breaks=breaks.assign(
            month=[dated(month, "MMM y") for month in breaks["month"]], note=breaks["note"].map(_broke)
        ),
        control=findings.control.assign(measure=findings.control["measure"].map(_measured)),
        unseen=_unseen(findings.not_looked_at),
        currency=book.currency,
        compared=bool(findings.compared_with),
    )


def _scope(book: Book) -> str:
    """Say that the gate looks at the whole export, where the page shows an earlier day."""
    exported = book.calendar.day_of(book.snapshot.extracted_at)
    if exported <= book.day:
        return ""
    return say(
        "All of this is about the export of {exported} as a whole, also about what happened after {day}.",
        exported=dated(exported), day=dated(book.day),
    )  # fmt: skip


def _broke(note: str) -> str:
    """Say how the logging of an activity broke; a day stands at the end where it only began."""
    if note.startswith(BEGUN):
        return say("nothing before, though deals go back to {day}", day=note.removeprefix(BEGUN))
    return say(note)


def _measured(measure: str) -> str:
    if several := SEVERAL.fullmatch(measure):
        return say("amount, {n} currencies added as written", n=several[1])
    return say(measure)


def _listed(table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    rows = sorted(
        table.to_dict("records"),
        key=lambda row: (row["n"] == 0, SEVERITIES.index(row["severity"]), -(row["amount"] or 0), -row["n"]),
    )
    return pd.DataFrame(
        {
            "finding": [say(row["title"]) for row in rows],
            "severity": [row["severity"] if row["n"] else "" for row in rows],
            "change": [say(row["status"]) for row in rows],
            "rows": [row["n"] for row in rows],
            "share": [row["share"] if row["n"] else None for row in rows],
            "amount": [_money(row["currency"], row["amount"]) for row in rows],
            "meaning": [say(row["meaning"]) for row in rows],
            "mend": [_mend(row) for row in rows],
            "example": [_example(row["sample"].partition("; ")[0]) for row in rows],
            "check": [row["check"] for row in rows],
        }
    )


def _mend(row: dict[str, Any]) -> str:
    if row["accepted"]:
        return say("Accepted: {why}", why=row["accepted"])
    return say(row["mend"].replace("`", ""))


def _money(currency: str, amount: Any, places: int = 0) -> str:
    return "" if amount is None else f"{currency} {localised(f'{amount:,.{places}f}')}"


def _example(text: str) -> str:
    """Write a sample row without the prefix of ids and the seconds of instants, cut to one line or two."""
    text = INSTANT.sub(r"\1 UTC", PREFIX.sub("", text))
    return text if len(text) <= EXAMPLE else f"{text[: EXAMPLE - 1]}…"


def _samples(findings: Findings) -> pd.DataFrame:
    rows = findings.samples
    amounts = [_money(row.currency, row.amount, 2) for row in rows.itertuples(index=False)]
    told = rows.assign(amount=amounts, detail=rows["detail"].map(_example)).rename(columns={"id": "row"})
    return told[["check", "row", "detail", "amount"]]


def examples(result: Health, check: str) -> pd.DataFrame:
    """Show up to five rows of one finding; for the explore lens."""
    rows = result.samples
    return rows[rows["check"].eq(check)].drop(columns="check").reset_index(drop=True)


def _completeness(counted: pd.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...], pd.DataFrame]:
    """Spread fields over columns; leave out those that say nothing because all or no deals have them."""
    counted = counted.assign(field=counted["field"].replace(FIELD_LABELS))
    sums = counted.groupby("field", sort=False)[["filled", "n"]].sum()
    full, none = sums["filled"].eq(sums["n"]), sums["filled"].eq(0)
    telling = sums.index[~full & ~none]
    several = counted["pipeline_id"].nunique() > 1
    pipeline = counted["pipeline_id"].map(lambda name: PREFIX.sub("", str(name)))
    stage = (pipeline + ": " if several else "") + counted["stage"]
    wide = counted.assign(stage=stage).pivot_table(
        index=["stage", "n"], columns="field", values="share", sort=False
    )
    wide = wide[list(telling)].reset_index().rename(columns={"n": "deals"}).rename_axis(columns=None)
    return tuple(sums.index[full]), tuple(sums.index[none]), wide


def findings_table(result: Health) -> dict[str, Any]:
    """Say how the findings are shown: arguments of `present.table`."""
    caption = say("Red first, then the largest amount; amounts are those of the rows concerned.")
    if result.compared:
        caption = f"{caption} {say('Change: since the load before.')}"
        return FINDINGS | {"frame": result.findings, "caption": caption}
    rows = result.findings.drop(columns="change")
    return {"frame": rows, "caption": caption, **fitted(rows, **FINDINGS)}


def completeness_table(result: Health) -> dict[str, Any]:
    """Say how completeness is shown: arguments of `present.table`."""
    shares = result.completeness.columns.drop(["stage", "deals"])
    told = [
        say(message, fields=", ".join(map(say, fields)))
        for message, fields in (
            (mark("Always filled: {fields}."), result.filled),
            (mark("Never filled: {fields}."), result.empty),
        )
        if fields
    ]
    return {
        "frame": result.completeness,
        "units": {"deals": "count"} | dict.fromkeys(shares, "percent"),
        "labels": {"stage": "stage", "deals": "open deals"},
        "caption": " ".join([say("Share of open deals with the field filled."), *told]),
    }


def _unseen(rows: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    groups = [
        (why.replace("_", " "), len(part), "; ".join(map(say, part["title"])))
        for why, part in rows.groupby("why", sort=False)
    ]
    return pd.DataFrame(groups, columns=["why", "checks", "titles"])


# how the tables are shown; arguments of `present.table`
FINDINGS = {
    "units": {"finding": "long", "severity": "severity", "rows": "count", "share": "percent", "amount": "shown",
              "meaning": "long", "mend": "long", "example": "long"},
    "labels": {"finding": "what", "severity": "severity", "change": "change", "rows": "rows", "share": "share",
               "amount": "amount", "meaning": "what it does to the numbers", "mend": "what to do",
               "example": "example", "check": "id"},
}  # fmt: skip
STALENESS = {
    "units": {"open": "count", "stale": "count", "share": "share", "amount": "amount", "oldest_days": "days"},
    "labels": {
        "owner": "owner",
        "open": "open deals",
        "stale": "stale",
        "share": "share [95 %]",
        "amount": "amount",
        "oldest_days": "longest",
    },
    "ranges": {"share": ("low", "high")},
}
BREAKS = {
    "units": {"type": "word", "logged": "count", "expected": "count"},
    "labels": {"month": "month", "type": "activity", "logged": "logged", "expected": "expected", "note": "note"},
}
TYPE_LABELS = {"call": "call", "email": "email", "meeting": "meeting", "task": "task", "note": "note"}
NOTE_LABELS = {  # of breaks, as the gate writes them
    "none": "nothing logged", "less": "down by more than 80 %",
    "more": "more than five times as many: logging may have begun",
}  # fmt: skip
CONTROL = {
    "labels": {
        "table": "table", "measure": "measure", "stated": "stated", "found": "found", "difference": "difference",
    },
}  # fmt: skip
MEASURE_LABELS = {"rows": "rows", "amount": "amount"}
UNSEEN = {
    "units": {"checks": "count", "titles": "long"},
    "labels": {"why": "why", "checks": "checks", "titles": "not looked for"},
}
