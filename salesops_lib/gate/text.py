"""Findings as a terminal shows them."""

from __future__ import annotations

from typing import Any

from salesops_lib.gate.findings import Findings

WIDTH = 115
INDENT = " " * 11


def as_text(findings: Findings) -> str:
    """Write findings for a terminal: red first, each with its share, status, an example and the mend."""
    lines = [findings.headline, ""]
    for row in findings.table.to_dict("records"):
        lines.append(f"{row['severity']:6} {row['check']:4} {_count(row)}")
        if row["sample"]:
            lines.append(_line(f"e.g. {row['sample']}"))
        lines += [f"{INDENT}mend: {row['mend']}"] if row["n"] else []
        lines += [f"{INDENT}accepted: {_plain(row['accepted'])}"] if row["accepted"] else []
    unseen = findings.not_looked_at
    if len(unseen):
        lines += ["", "Not looked at:"]
        lines += [f"{INDENT}{why}: {', '.join(rows)}" for why, rows in unseen.groupby("why", sort=False)["check"]]
    if findings.compared_with:
        lines.append(f"Compared with snapshot {findings.compared_with}.")
    return "\n".join(lines)


def _count(row: dict[str, Any]) -> str:
    share = f" ({row['share']:.1%})" if row["share"] > 0 else ""  # NaN where it is a share of nothing
    amount = f", {_plain(row['currency'])} {row['amount']:,.0f}" if row["amount"] is not None else ""
    status = f"  [{row['status']}]" if row["status"] else ""
    return f"{row['title']}: {row['n']:,}{share}{amount}{status}"


def _line(text: str) -> str:
    """One indented line; CRM text cannot move the cursor or colour the terminal."""
    room = WIDTH - len(INDENT)
    text = _plain(text[: room + 1])
    return INDENT + (text if len(text) <= room else text[: room - 1] + "…")


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
