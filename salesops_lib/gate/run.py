"""The one runner: every check over one snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from salesops_lib.config import CompanySettings, ControlTotal
from salesops_lib.gate import depth, touches
from salesops_lib.gate.check import Check
from salesops_lib.gate.findings import COLUMNS, FRAMES, Findings, brief, ordered
from salesops_lib.gate.ground import Ground, standing_on
from salesops_lib.gate.registry import pick
from salesops_lib.language import mark, say

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.periods import FiscalCalendar
    from salesops_lib.store import Snapshot

KEPT = 5  # sample rows a finding
LONG = 300  # characters of a detail
STALE_DAYS, MAX_AGE_DAYS = 60, 7
NEEDS = {
    "today": mark("today's date was not given"),
    "control": mark("salesops.yaml states no control_totals"),
    "coverage": mark("the source does not say since when it tracks changes"),
    "earlier": mark("no earlier export to compare with"),
    "touches": mark("neither history nor activities"),
}


def inspect(
    snapshot: Snapshot,
    *,
    calendar: FiscalCalendar,
    company: CompanySettings,
    control_totals: Mapping[str, ControlTotal] | None = None,
    accepted: Mapping[str, str] | None = None,
    thresholds: Mapping[str, float] | None = None,
    stale_days: int = STALE_DAYS,
    max_age_days: int = MAX_AGE_DAYS,
    today: date | None = None,
    only: Iterable[str] | None = None,
    earlier: Snapshot | None = None,
) -> Findings:
    """Look for every known trap in a snapshot.

    Parameters
    ----------
    control_totals
        What the CRM itself shows, by table.
    accepted
        Reasons by check: a red finding that somebody accepts no longer blocks, and is still printed.
    thresholds
        Share of rows by check from which its finding is red.
    stale_days, max_age_days
        Days without a touch that make an open deal stale, and days that make an export old.
    today
        Day the gate is asked on; without it nobody says how old the export is.
    only
        Ids of the checks to run; all by default.
    earlier
        An earlier export of the same company, for what only two exports together show.

    Raises
    ------
    ParameterError
        For an unknown check.
    SnapshotError
        Where the snapshot is damaged.
    """
    import pandas as pd

    checks = pick(only)
    limits = thresholds or {}
    pick([*(accepted or {}), *limits])
    control = depth.reconcile(snapshot, control_totals or {})
    days = {"stale_days": stale_days, "max_age_days": max_age_days}
    told, samples, unseen = [], [], []
    noted = _noted(snapshot, control)
    given = {"noted": noted, "today": today, "limits": days, "earlier": earlier}
    with standing_on(snapshot, calendar, company.currency, **given) as ground:
        ground.db.execute(f"create temp table breaks as {touches.BREAKS}")
        if any(map(ground.has, ("activities", "opportunity_history", "opportunities.last_activity_at"))):
            ground.given.add("touches")
        for check in checks:
            why = _unable(ground, check)
            if why:
                unseen.append((check.id, check.title, why))
                continue
            row, kept = _look(ground, check, limits.get(check.id))
            if row:
                told.append({**row, "status": "", "accepted": (accepted or {}).get(check.id, "")})
                samples += kept
        frames = {name: getattr(depth, name)(ground) for name in ("completeness", "staleness", "breaks")}
    return Findings(
        snapshot=snapshot.id,
        table=ordered(pd.DataFrame(told, columns=COLUMNS)),
        samples=pd.DataFrame(samples, columns=FRAMES["samples"]).astype({"amount": object}),
        not_looked_at=pd.DataFrame(unseen, columns=FRAMES["not_looked_at"]),
        control=control,
        **frames,
    )


def _noted(snapshot: Snapshot, control: pd.DataFrame) -> dict[str, list[tuple]]:
    """Take over what the load noticed; the time of export read off the files is one of those things."""
    found = [_texts(row) for row in snapshot.findings().itertuples(index=False)]
    if snapshot.manifest.get("extraction") == "file time":
        found.append(("file time", "", "", "extracted_at", "", 1))
    losses = [
        (row.table, int(row.rows_in), int(row.rows_kept), int(row.rows_quarantined), _text(row.reason))
        for row in snapshot.losses().itertuples()
    ]
    coverage = [(field, since) for field, since in (snapshot.manifest.get("coverage") or {}).items()]
    totals = [tuple(row) for row in control.itertuples(index=False)]
    return {"load_findings": found, "load_losses": losses, "coverage": coverage, "control": totals}


def _texts(row: Any) -> tuple:
    *texts, n = row
    return (*map(_text, texts), int(n))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _unable(ground: Ground, check: Check) -> str:
    """Say why a check cannot look; empty where it can."""
    own = () if check.table == "load" else (check.table,)
    for need in (*own, *check.needs):
        if not ground.has(need):
            if need.startswith("history:"):
                return say("nobody tracks {field}", field=need.removeprefix("history:"))
            table, dot, column = need.partition(".")
            if dot:
                return say("{table} has no values in {column}", table=table, column=column)
            return say(NEEDS[need]) if need in NEEDS else say("the source has no {tables}", tables=table)
    return ""


def _look(ground: Ground, check: Check, red_from: float | None) -> tuple[dict[str, Any] | None, list[tuple]]:
    """Run one check; return its finding and sample rows, or nothing."""
    n, sums, picked = _count(ground, check.sql)
    if not n or n < check.least:
        return None, []
    of = ground.one(check.whole)
    share = min(n / int(of), 1.0) if of else None
    if share is not None and share < check.least_share:
        return None, []
    amount, currency = _amount(sums)
    samples = [(check.id, row["id"], row["amount"], row["currency"], row["detail"]) for row in picked]
    return {
        "check": check.id,
        "traps": check.traps,
        "severity": check.severity_at(share, red_from),
        "title": check.title,
        "table": check.table,
        "n": int(n),
        "of": None if of is None else int(of),
        "share": share,
        "amount": amount,
        "currency": currency,
        "sample": brief(picked),
        "meaning": check.meaning,
        "mend": check.mend,
    }, samples


_columns: dict[str, list[str]] = {}  # of a check's query; the same for every snapshot, and asking costs a third


def _count(ground: Ground, sql: str) -> tuple[int, list[tuple[str, Decimal]], list[dict[str, Any]]]:
    """Count the offenders, sum their amounts by currency, and keep the largest: one pass over the query."""
    if sql not in _columns:
        _columns[sql] = ground.db.sql(sql).columns
    has = _columns[sql]
    weight = "n" if "n" in has else "1"
    currency = "coalesce(currency, '')" if "currency" in has else "if(amount is null, '', corporate())"
    rows = ground.rows(f"""
        select currency, sum(n), sum(amount), arg_min(
            {{'id': id, 'amount': amount, 'currency': currency, 'detail': detail}},
            (coalesce(-amount, 1e30), id, detail), {KEPT})
        from (
            select coalesce(id, '') id, amount, {currency} currency, {weight} n,
                case when length(detail) > {LONG} then left(detail, {LONG}) || '…' else coalesce(detail, '') end
                    detail
            from ({sql})
        ) group by currency
    """)
    picked = sorted((row for *_, kept in rows for row in kept), key=_by_size)[:KEPT]
    return sum(int(row[1]) for row in rows), [(row[0], row[2]) for row in rows if row[2] is not None], picked


def _by_size(row: dict[str, Any]) -> tuple[bool, Decimal, str, str]:
    return row["amount"] is None, -(row["amount"] or Decimal(0)), row["id"], row["detail"]


def _amount(sums: list[tuple[str, Decimal]]) -> tuple[Decimal | None, str]:
    """One currency has a sum; several are named and never added."""
    if len(sums) == 1:
        return sums[0][1].quantize(Decimal("0.01")), sums[0][0]
    return None, ", ".join(sorted(currency or "no currency" for currency, _ in sums))
