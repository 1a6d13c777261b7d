"""The findings of the data gate in the words and order a page needs; nothing is looked for here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from salesops_lib.book import Book

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.gate import Findings

EXAMPLE = 90  # characters
PREFIX = re.compile(r"(?<!\w)[a-z_]{1,12}:(?=[A-Za-z0-9])")  # of ids, e.g. "sf:"
INSTANT = re.compile(r"(\d\d:\d\d):\d\d(\.\d+)?\+00\b")
FIELDS = {"owner_id": "owner", "account_id": "account", "expected_close_date": "expected close",
          "forecast_category": "forecast category", "probability_crm": "probability", "lead_source": "lead source",
          "next_step": "next step"}  # fmt: skip


@dataclass(frozen=True)
class Health:
    """What is known about the quality of the data behind a book.

    Attributes
    ----------
    headline
        What blocks, how many findings there are, what changed since the load before; and which export is meant
        where the book shows an earlier day.
    findings
        One row a finding, red first, those gone since the load before last: `finding`, `severity`, `since`,
        `rows`, `share`, `amount` (text with its currency), `meaning`, `mend`, `example`, `check`.
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


def inspect(book: Book, findings: Findings) -> Health:
    """Prepare what the gate found in the snapshot behind a book; see `gate.findings_of`."""
    filled, empty, completeness = _completeness(findings.completeness)
    stale = findings.staleness[findings.staleness["stale"].gt(0)]
    return Health(
        headline=findings.headline + _scope(book),
        findings=_listed(findings.table),
        samples=_samples(findings),
        completeness=completeness,
        filled=filled,
        empty=empty,
        staleness=stale.drop(columns="owner_id").reset_index(drop=True),
        breaks=findings.breaks.rename(columns={"n": "logged"}),
        control=findings.control,
        unseen=_unseen(findings.not_looked_at),
        currency=book.currency,
    )


def _scope(book: Book) -> str:
    """Say that the gate looks at the whole export, where the page shows an earlier day."""
    exported = book.calendar.day_of(book.snapshot.extracted_at)
    if exported <= book.day:
        return ""
    return (
        f" All of this is about the export of {exported:%d %b %Y} as a whole, also about what happened after "
        f"{book.day:%d %b %Y}."
    )


def _listed(table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    table = table.sort_values("status", key=lambda status: status.eq("gone"), kind="stable")
    rows = table.to_dict("records")
    return pd.DataFrame(
        {
            "finding": [row["title"] for row in rows],
            "severity": [row["severity"] if row["n"] else "" for row in rows],
            "since": [row["status"] for row in rows],
            "rows": [row["n"] for row in rows],
            "share": [row["share"] for row in rows],
            "amount": ["" if row["amount"] is None else f"{row['currency']} {row['amount']:,.0f}" for row in rows],
            "meaning": [row["meaning"] for row in rows],
            "mend": [f"Accepted: {row['accepted']}" if row["accepted"] else row["mend"] for row in rows],
            "example": [_example(row["sample"].partition("; ")[0]) for row in rows],
            "check": [row["check"] for row in rows],
        }
    )


def _example(text: str) -> str:
    """Write a sample row without the prefix of ids and the seconds of instants, cut to one line or two."""
    text = INSTANT.sub(r"\1 UTC", PREFIX.sub("", text))
    return text if len(text) <= EXAMPLE else f"{text[: EXAMPLE - 1]}…"


def _samples(findings: Findings) -> pd.DataFrame:
    rows = findings.samples
    amounts = [
        "" if row.amount is None else f"{row.currency} {row.amount:,.2f}" for row in rows.itertuples(index=False)
    ]
    told = rows.assign(amount=amounts, detail=rows["detail"].map(_example)).rename(columns={"id": "row"})
    return told[["check", "row", "detail", "amount"]]


def examples(result: Health, check: str) -> pd.DataFrame:
    """Show up to five rows of one finding; for the explore lens."""
    rows = result.samples
    return rows[rows["check"].eq(check)].drop(columns="check").reset_index(drop=True)


def _completeness(counted: pd.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...], pd.DataFrame]:
    """Spread fields over columns; leave out those that say nothing because all or no deals have them."""
    counted = counted.assign(field=counted["field"].replace(FIELDS))
    sums = counted.groupby("field", sort=False)[["filled", "n"]].sum()
    full, none = sums["filled"].eq(sums["n"]), sums["filled"].eq(0)
    telling = sums.index[~full & ~none]
    several = counted["pipeline_id"].nunique() > 1
    pipeline = counted["pipeline_id"].map(lambda name: PREFIX.sub("", str(name)))
    stage = (pipeline + ": " if several else "") + counted["stage"]
    wide = counted.assign(stage=stage).pivot_table(
        index=["stage", "n"], columns="field", values="share", sort=False, dropna=False
    )
    wide = wide[list(telling)].reset_index().rename(columns={"n": "deals"}).rename_axis(columns=None)
    return tuple(sums.index[full]), tuple(sums.index[none]), wide


def completeness_table(result: Health) -> dict[str, object]:
    """Say how completeness is shown: arguments of `present.table`."""
    shares = result.completeness.columns.drop(["stage", "deals"])
    told = [
        f"{what}: {', '.join(fields)}."
        for what, fields in (("Always filled", result.filled), ("Never filled", result.empty))
        if fields
    ]
    return {
        "units": {"deals": "count"} | dict.fromkeys(shares, "percent"),
        "labels": {"deals": "open deals"},
        "caption": " ".join(["Share of open deals with the field filled.", *told]),
    }


def _unseen(rows: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    groups = [
        (f"{why[:1].upper()}{why[1:]}", len(part), "; ".join(part["title"]))
        for why, part in rows.groupby("why", sort=False)
    ]
    return pd.DataFrame(groups, columns=["why", "checks", "titles"])


# how the tables are shown; arguments of `present.table`
FINDINGS = {
    "units": {"severity": "severity", "rows": "count", "share": "percent", "amount": "shown", "meaning": "long",
              "mend": "long", "example": "long"},
    "labels": {"finding": "what", "since": "since the load before", "meaning": "what it does to the numbers",
               "mend": "what to do", "check": "id"},
}  # fmt: skip
STALENESS = {
    "units": {"open": "count", "stale": "count", "share": "share", "amount": "amount", "oldest_days": "days"},
    "labels": {"open": "open deals", "share": "share [95 %]", "oldest_days": "longest"},
    "ranges": {"share": ("low", "high")},
}
BREAKS = {"units": {"month": "date", "logged": "count", "expected": "count"}, "labels": {"type": "activity"}}
UNSEEN = {"units": {"checks": "count", "titles": "long"}, "labels": {"titles": "not looked for"}}
