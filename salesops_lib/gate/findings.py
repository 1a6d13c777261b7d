"""What the gate found: tables, what blocks, what pages must say, and the comparison with an earlier snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from salesops_lib.gate.check import SEVERITIES, by_number
from salesops_lib.language import localised, mark, say, say_many

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["check", "traps", "severity", "title", "table", "n", "of", "share", "amount", "currency", "sample",
           "meaning", "mend", "status", "accepted"]  # fmt: skip
FRAMES = {
    "samples": ["check", "id", "amount", "currency", "detail"],
    "not_looked_at": ["check", "title", "why"],
    "completeness": ["pipeline_id", "stage", "field", "filled", "n", "share", "low", "high"],
    "staleness": ["owner_id", "owner", "open", "stale", "share", "low", "high", "amount", "oldest_days"],
    "breaks": ["month", "type", "n", "expected", "note"],
    "control": ["table", "measure", "stated", "found", "difference"],
}
NOTES = 3  # sentences in a page header, beside those that block
STATUSES = ("new", "worse", "better", "same", "gone")
CHANGED = {
    "new": mark("{n} new"), "worse": mark("{n} worse"), "better": mark("{n} better"), "gone": mark("{n} gone"),
}  # fmt: skip
STATUS_LABELS = {"new": "new", "worse": "worse", "better": "better", "same": "same", "gone": "gone"}
SEVERITY_LABELS = {"red": "red", "amber": "amber", "note": "note"}


class Header(NamedTuple):
    """Sentences for the header of a page: `blocking`, `notes`, and how many `more` there are."""

    blocking: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    more: int = 0


@dataclass(frozen=True)
class Findings:
    """What is wrong with the data of a snapshot, and what nobody could look at.

    Attributes
    ----------
    snapshot
        Id of the snapshot.
    table
        One row a finding, red first: `check`, `traps`, `severity` (red blocks reports, amber is printed in page
        headers, note), `title`, `table`, `n`, `of`, `share`, `amount` (Decimal or None) in `currency`, `sample`,
        `meaning`, `mend`, `status` (new, gone, worse, better, same, or empty where nothing was compared),
        `accepted` (the reason, or empty).
    samples
        Up to five rows a finding, largest amount first: `check`, `id`, `amount`, `currency`, `detail`; raw text.
    not_looked_at
        `check`, `title`, `why`.
    completeness, staleness, breaks, control
        See `gate.depth`.
    compared_with
        Id of the earlier snapshot, or empty.
    """

    snapshot: str
    table: pd.DataFrame
    samples: pd.DataFrame
    not_looked_at: pd.DataFrame
    completeness: pd.DataFrame
    staleness: pd.DataFrame
    breaks: pd.DataFrame
    control: pd.DataFrame
    compared_with: str = ""

    @cached_property
    def current(self) -> pd.DataFrame:
        """The findings that are there, without those gone since the earlier snapshot."""
        return self.table[self.table["status"].ne("gone")]

    @property
    def blocking(self) -> pd.DataFrame:
        """Red findings that nobody has accepted."""
        return self.current[self.current["severity"].eq("red") & self.current["accepted"].eq("")]

    @property
    def header(self) -> Header:
        """What every page must print: all that blocks, then accepted red and amber findings by amount."""
        rows = self.current[self.current["severity"].ne("note")]
        rows = rows[rows["severity"].eq("red") | rows["accepted"].eq("")]
        ranked = sorted(
            rows.to_dict("records"),
            key=lambda row: (
                SEVERITIES.index(row["severity"]),
                -(row["amount"] or 0),
                -row["n"],
                by_number(row["check"]),
            ),
        )
        blocking = set(self.blocking["check"])
        red = [sentence(row) for row in ranked if row["check"] in blocking]
        others = [sentence(row) for row in ranked if row["check"] not in blocking]
        return Header(tuple(red), tuple(others[:NOTES]), len(others[NOTES:]))

    @property
    def header_notes(self) -> list[str]:
        """The sentences of `header`, one after the other."""
        red, notes, more = self.header
        return [*red, *notes, *([say("And {n} more: see data health.", n=more)] if more else [])]

    @property
    def headline(self) -> str:
        """What blocks, how many findings there are, and what changed since the load before."""
        red, found = self.header.blocking, self.current["severity"]
        n_red, amber, note = (int(found.eq(severity).sum()) for severity in SEVERITIES)
        more = [say("And {n} more red ones.", n=len(red) - NOTES)] if len(red) > NOTES else []
        first = [say("Reports are blocked."), *red[:NOTES], *more] if red else [say("Nothing blocks reports.")]
        notes = say_many("{n} note", "{n} notes", note)
        told = {"accepted": n_red - len(red), "amber": amber, "notes": notes, "unseen": len(self.not_looked_at)}
        message = mark("Findings: {amber} amber, {notes}; {unseen} checks could not look.")
        if told["accepted"] > 0:
            message = mark(
                "Findings: {accepted} red accepted, {amber} amber, {notes}; {unseen} checks could not look."
            )
        return " ".join([*first, say(message, **told), *self._changes])

    @property
    def _changes(self) -> list[str]:
        if not self.compared_with:
            return []
        counts = self.table["status"].value_counts()
        told = ", ".join(say(words, n=counts[status]) for status, words in CHANGED.items() if status in counts)
        return [say("Since the load before: {changes}.", changes=told or say("no change"))]

    def to_dict(self) -> dict[str, Any]:
        """Write everything as plain JSON values; amounts as text, exact to the cent."""
        told = {"snapshot": self.snapshot, "compared_with": self.compared_with or None, "headline": self.headline}
        told |= {"blocking": list(self.blocking["check"]), "header_notes": self.header_notes, "findings": []}
        for row in _records(self.table):
            samples = self.samples[self.samples["check"].eq(row["check"])].drop(columns="check")
            told["findings"].append({**row, "sample": list(_records(samples))})
        for name in ("not_looked_at", "completeness", "staleness", "breaks", "control"):
            told[name] = list(_records(getattr(self, name)))
        return told

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Findings:
        """Read back what `to_dict` wrote."""
        import pandas as pd

        samples = {row["check"]: row["sample"] for row in told["findings"]}
        rows = [
            {**row, "traps": tuple(row["traps"]), "amount": _money(row["amount"]), "sample": brief(row["sample"])}
            for row in told["findings"]
        ]
        held = told | {"samples": [{"check": check, **row} for check, kept in samples.items() for row in kept]}
        frames = {name: pd.DataFrame(held[name], columns=columns) for name, columns in FRAMES.items()}
        for name in ("samples", "staleness"):
            frames[name]["amount"] = frames[name]["amount"].astype(object).map(_money)
        frames["breaks"]["month"] = pd.to_datetime(frames["breaks"]["month"])
        table = ordered(pd.DataFrame(rows, columns=COLUMNS))
        return cls(told["snapshot"], table, **frames, compared_with=told["compared_with"] or "")

    def sheets(self) -> dict[str, pd.DataFrame]:
        """List the frames of a workbook by sheet."""
        table = self.table.assign(traps=self.table["traps"].map(lambda traps: ", ".join(map(str, traps))))
        names = ("samples", "not_looked_at", "completeness", "staleness", "breaks", "control")
        return {"findings": table, **{name: getattr(self, name) for name in names}}


def sentence(row: Any) -> str:
    """Say one finding as a sentence, e.g. ``Open deals without an owner: 14 (EUR 120,000; G60).``."""
    told = {"title": say(row["title"]), "n": localised(f"{row['n']:,}"), "check": row["check"]}
    if row["amount"]:
        amount = localised(f"{row['amount']:,.0f}")
        said = say("{title}: {n} ({currency} {amount}; {check}).", **told, currency=row["currency"], amount=amount)
    else:
        said = say("{title}: {n} ({check}).", **told)
    accepted = say("Accepted: {reason}.", reason=row["accepted"].rstrip(".")) if row["accepted"] else ""
    return f"{said} {accepted}".strip()


def brief(samples: Iterable[dict[str, Any]]) -> str:
    """Write the sample rows of a finding as one short text."""
    return "; ".join(f"{_cut(row['id'], 60)}: {_cut(row['detail'], 120)}" for row in samples)


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Sort findings, red first, then by id, and give the columns their types."""
    rank, place = table["severity"].map(SEVERITIES.index), table["check"].map(by_number)
    table = table.assign(rank=rank, place=place).sort_values(["rank", "place"], ignore_index=True)
    table = table.drop(columns=["rank", "place"])
    return table.astype({"n": "int64", "of": "Int64", "share": "float64", "amount": object})


def compare(current: Findings, previous: Findings) -> Findings:
    """Say of each finding whether it is new, worse, better or the same as in an earlier snapshot.

    Worse is a higher severity, or as high with more rows. Findings that are gone are added with n = 0; a check
    that could not look, now or then, says nothing.
    """
    import pandas as pd

    before = {row["check"]: row for row in previous.current.to_dict("records")}
    unseen = set(previous.not_looked_at["check"])
    status = [_status(row, before.get(row["check"]), unseen) for row in current.table.to_dict("records")]
    table = current.table.assign(status=pd.Series(status, index=current.table.index, dtype=object))
    looked_at = {*current.table["check"], *current.not_looked_at["check"]}
    gone = [
        {**row, "n": 0, "share": 0.0, "amount": None, "sample": "", "status": "gone"}
        for check, row in before.items()
        if check not in looked_at
    ]
    if gone:
        table = pd.DataFrame([*table.to_dict("records"), *gone], columns=COLUMNS)
    return replace(current, table=ordered(table), compared_with=previous.snapshot)


def _status(row: dict[str, Any], before: dict[str, Any] | None, unseen: set[str]) -> str:
    if before is None:
        return "" if row["check"] in unseen else "new"
    now, then = ((-SEVERITIES.index(r["severity"]), r["n"]) for r in (row, before))
    return "same" if now == then else "worse" if now > then else "better"


def _records(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for row in frame.to_dict("records"):
        yield {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    import pandas as pd

    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, pd.Timestamp):
        return value.date().isoformat()
    return None if pd.isna(value) else value


def _money(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
