"""The findings of the data gate in the words and order a page needs; nothing is looked for here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from salesops_lib.book import Book
from salesops_lib.gate.check import SEVERITIES

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
    months = findings.breaks["month"]
    return Health(
        headline=findings.headline + _scope(book),
        findings=_listed(findings.table),
        samples=_samples(findings),
        completeness=completeness,
        filled=filled,
        empty=empty,
        staleness=stale.drop(columns="owner_id").reset_index(drop=True),
        breaks=findings.breaks.rename(columns={"n": "logged"}).assign(month=months.dt.strftime("%b %Y")),
        control=findings.control,
        unseen=_unseen(findings.not_looked_at),
        currency=book.currency,
        compared=bool(findings.compared_with),
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

    rows = sorted(
        table.to_dict("records"),
        key=lambda row: (row["n"] == 0, SEVERITIES.index(row["severity"]), -(row["amount"] or 0), -row["n"]),
    )
    return pd.DataFrame(
        {
            "finding": [row["title"] for row in rows],
            "severity": [row["severity"] if row["n"] else "" for row in rows],
            "change": [row["status"] for row in rows],
            "rows": [row["n"] for row in rows],
            "share": [row["share"] if row["n"] else None for row in rows],
            "amount": ["" if row["amount"] is None else f"{row['currency']} {row['amount']:,.0f}" for row in rows],
            "meaning": [row["meaning"] for row in rows],
            "mend": [_mend(row) for row in rows],
            "example": [_example(row["sample"].partition("; ")[0]) for row in rows],
            "check": [row["check"] for row in rows],
        }
    )


def _mend(row: dict[str, Any]) -> str:
    return f"Accepted: {row['accepted']}" if row["accepted"] else row["mend"].replace("`", "")


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
        index=["stage", "n"], columns="field", values="share", sort=False
    )
    wide = wide[list(telling)].reset_index().rename(columns={"n": "deals"}).rename_axis(columns=None)
    return tuple(sums.index[full]), tuple(sums.index[none]), wide


def findings_table(result: Health) -> dict[str, Any]:
    """Say how the findings are shown: arguments of `present.table`."""
    caption = "Red first, then the largest amount; amounts are those of the rows concerned."
    if result.compared:
        return FINDINGS | {"frame": result.findings, "caption": f"{caption} Change: since the load before."}
    return FINDINGS | {"frame": result.findings.drop(columns="change"), "caption": caption}


def completeness_table(result: Health) -> dict[str, Any]:
    """Say how completeness is shown: arguments of `present.table`."""
    shares = result.completeness.columns.drop(["stage", "deals"])
    told = [
        f"{what}: {', '.join(fields)}."
        for what, fields in (("Always filled", result.filled), ("Never filled", result.empty))
        if fields
    ]
    return {
        "frame": result.completeness,
        "units": {"deals": "count"} | dict.fromkeys(shares, "percent"),
        "labels": {"deals": "open deals"},
        "caption": " ".join(["Share of open deals with the field filled.", *told]),
    }


def _unseen(rows: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    groups = [
        (why.replace("_", " "), len(part), "; ".join(part["title"]))
        for why, part in rows.groupby("why", sort=False)
    ]
    return pd.DataFrame(groups, columns=["why", "checks", "titles"])


# how the tables are shown; arguments of `present.table`
FINDINGS = {
    "units": {"finding": "long", "severity": "severity", "rows": "count", "share": "percent", "amount": "shown",
              "meaning": "long", "mend": "long", "example": "long"},
    "labels": {"finding": "what", "meaning": "what it does to the numbers", "mend": "what to do", "check": "id"},
}  # fmt: skip
STALENESS = {
    "units": {"open": "count", "stale": "count", "share": "share", "amount": "amount", "oldest_days": "days"},
    "labels": {"open": "open deals", "share": "share [95 %]", "oldest_days": "longest"},
    "ranges": {"share": ("low", "high")},
}
BREAKS = {"units": {"logged": "count", "expected": "count"}, "labels": {"type": "activity"}}
UNSEEN = {"units": {"checks": "count", "titles": "long"}, "labels": {"titles": "not looked for"}}
