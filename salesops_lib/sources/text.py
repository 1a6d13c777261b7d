"""A load as a terminal shows it."""

from __future__ import annotations

import pandas as pd

from salesops_lib.errors import listed, printable, shown

COLUMNS_SHOWN = 12
FINDINGS_SHOWN = 60


def as_text(report: pd.DataFrame, findings: pd.DataFrame) -> str:
    """Write what a load kept, set aside and noticed; texts from files are cut, and cannot act on the terminal."""
    lines = [report.drop(columns="reason").to_string(index=False)]
    for row in report[report["rows_quarantined"] > 0].itertuples():
        lines.append(f"{row.table} set aside: {row.reason[:1000]}")
    unread = findings[findings["kind"].eq("column not read")]
    for file, rows in unread.groupby("file"):
        more = f" … and {len(rows) - COLUMNS_SHOWN} more" if len(rows) > COLUMNS_SHOWN else ""
        lines.append(f"not read in {file}: {listed(rows['column'].head(COLUMNS_SHOWN))}{more}")
    absent = findings[findings["kind"].eq("not in the export")]
    if len(absent):
        lines.append(f"not in the export: {', '.join(absent['column'])}")
    rest = findings.drop(index=[*unread.index, *absent.index])
    for row in rest.head(FINDINGS_SHOWN).itertuples():
        value = row.value and shown(row.value, 200)
        told = " ".join(part for part in (row.table or row.file, row.column, value) if part)
        lines.append(f"{row.kind}: {told}{f' × {row.n}' if row.n > 1 else ''}")
    if len(rest) > FINDINGS_SHOWN:
        lines.append(f"… and {len(rest) - FINDINGS_SHOWN} more findings; `salesops check` looks at all of them.")
    return "\n".join(map(printable, lines))
