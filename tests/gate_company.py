"""A company of 24 deals in which nothing is wrong, as rows that a test may spoil."""

import pickle
import random
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import pandas as pd
import pyarrow as pa

from salesops_lib import gate, tables
from salesops_lib.config import CompanySettings
from salesops_lib.sources import Loaded
from salesops_lib.store import Snapshot, Store

COMPANY = CompanySettings(name="Clean", currency="EUR", timezone="Europe/Berlin")
EXPORTED = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
FIRST = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
FINDINGS = ["kind", "file", "table", "column", "value", "n"]
REP, OTHER = "x:u2", "x:u3"

Company = dict[str, list[dict]]


def days(n: float) -> timedelta:
    return timedelta(days=n)


def clean() -> Company:
    deals = [_deal(k) for k in range(1, 25)]
    return {
        "users": [_user("x:u1", "Ada", "manager", None), _user(REP, "Bo", "ae", "x:u1"),
                  _user(OTHER, "Cy", "ae", "x:u1")],
        "teams": [{"team_id": "x:t1", "name": "North"}],
        "accounts": [
            {"account_id": f"x:a{k:02}", "name": f"Account {k} GmbH", "owner_id": REP,
             "created_at": FIRST - days(100), "is_deleted": False} for k in range(1, 25)
        ],
        "stages": [_stage(*row) for row in (
            ("x:s1", "Prospect", 1, "pipeline"), ("x:s2", "Demo", 2, "best_case"), ("x:s3", "Offer", 3, "commit"),
            ("x:won", "Won", 4, "closed"), ("x:lost", "Lost", 5, "omitted"),
        )],
        "opportunities": deals,
        "opportunity_history": [row for deal in deals for row in _changes(deal)],
        "activities": [_activity(k) for k in range(1, 61)],
        "leads": [
            {"lead_id": f"x:l{k}", "created_at": FIRST + days(k / 7), "owner_id": REP, "is_deleted": False,
             "converted_at": FIRST + days(k / 7 + 1), "opportunity_id": f"x:d{k:02}", "account_id": f"x:a{k:02}"}
            for k in range(1, 11)
        ],
        "quotas": [_quota(holder) for holder in (REP, OTHER)],
        "fx_rates": [
            {"currency": "USD", "rate_date": date(2026, 7, day), "kind": "daily", "rate_to_corp": "0.9"}
            for day in (13, 14, 15)
        ],
    }  # fmt: skip


def _user(user_id, name, role, manager):
    return {"user_id": user_id, "name": name, "role": role, "is_quota_carrying": role == "ae", "is_active": True,
            "manager_id": manager, "team_id": "x:t1", "start_date": date(2020, 1, 1)}  # fmt: skip


def _stage(stage_id, name, order, category):
    return {"pipeline_id": "x:p", "stage_id": stage_id, "valid_from": date(2020, 1, 1), "stage_name": name,
            "stage_order": order, "is_closed": order > 3, "is_won": order == 4, "is_qualified": order > 1,
            "forecast_category": category}  # fmt: skip


def _deal(k):
    state = "won" if k <= 10 else "lost" if k <= 16 else "open"
    created = FIRST + timedelta(days=3 * k, minutes=k)
    closed = None if state == "open" else created + timedelta(days=45, minutes=5 * k)
    return {
        "opportunity_id": f"x:d{k:02}", "name": f"Deal {k}", "account_id": f"x:a{k:02}",
        "owner_id": (REP, OTHER)[k % 2], "pipeline_id": "x:p",
        "stage_id": "x:s3" if state == "open" else f"x:{state}", "type": "new",
        "amount": f"{1000 + 10 * k}.00", "currency": "EUR", "amount_basis": "acv", "created_at": created,
        "expected_close_date": date(2026, 8, 20) if closed is None else closed.date(), "closed_at": closed,
        "close_date": closed and closed.date(), "is_closed": state != "open", "is_won": state == "won",
        "owner_at_close_id": closed and (REP, OTHER)[k % 2], "forecast_category": "commit",
        "probability_crm": {"won": 1.0, "lost": 0.0, "open": 0.6}[state], "next_step": None if closed else "call",
        "last_activity_at": EXPORTED - days(5), "is_deleted": False,
    }  # fmt: skip


def _changes(deal):
    """The course of a deal: created in the first stage, moved twice, closed."""
    start, end = deal["created_at"], deal["closed_at"]
    steps = [
        (start, "stage", None, "x:s1"), (start, "amount", None, "900.00"), (start, "owner", None, "x:u1"),
        (start, "expected_close_date", None, "2026-05-31"), (start, "forecast_category", None, "pipeline"),
        (start + days(10), "stage", "x:s1", "x:s2"), (start + days(10), "amount", "900.00", deal["amount"]),
        (start + days(11), "owner", "x:u1", deal["owner_id"]),
        (start + days(20), "stage", "x:s2", "x:s3"),
        (start + days(20), "forecast_category", "pipeline", deal["forecast_category"]),
        (start + days(21), "expected_close_date", "2026-05-31", str(deal["expected_close_date"])),
    ]  # fmt: skip
    if end:
        steps.append((end, "stage", "x:s3", deal["stage_id"]))
    return [change(deal["opportunity_id"], *step, seq=n) for n, step in enumerate(steps)]


def change(deal, changed_at, field, old, new, seq=0, origin="native"):
    return {"opportunity_id": deal, "changed_at": changed_at, "field": field, "seq": seq, "old_value": old,
            "new_value": new, "is_bulk": False, "origin": origin}  # fmt: skip


def _activity(k):
    kind = ("call", "email", "meeting")[k % 3]
    began = FIRST + timedelta(days=3 * k, minutes=7 * k)
    return {"activity_id": f"x:act{k:02}", "type": kind, "direction": "out", "user_id": (REP, OTHER)[k % 2],
            "opportunity_id": f"x:d{k % 24 + 1:02}", "started_at": began,
            "duration_s": None if kind == "email" else 600.0,
            "ended_at": None if kind == "email" else began + timedelta(seconds=600),
            "group_id": "x:g1" if k == 2 else None,
            "is_automated": False, "is_external": True, "is_first_meeting": False}  # fmt: skip


def _quota(holder):
    return {"holder_type": "user", "holder_id": holder, "period_start": date(2026, 7, 1), "measure": "bookings",
            "version": 1, "period_end": date(2026, 10, 1), "quota_amount": "5000.00", "currency": "EUR",
            "is_overlay": False, "approved_at": datetime(2026, 6, 20, 9, tzinfo=UTC)}  # fmt: skip


ODD = {
    "instant": (None, "1700-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-03-29T01:30:00Z"),
    "date": (None, date(1, 1, 2), date(9999, 12, 31), date(2026, 7, 15)),
    "money": (None, "9999999999999999.99", "-9999999999999999.99", "0.00"),
    "rate": (None, "999999999.999999999", "0.000000001"),
    "text": (None, "", " ", "'", "x" * 5000, "\x00", "%{}$1", "\u202e"),
    "id": (None, "", "x:u1", "'; drop table users", "x:d01", "😀"),
    "enum": (None, "", "odd"),
    "share": (None, -1.0, 50.0, float("inf"), float("nan")),
    "number": (None, -1e308, 1e308, float("inf")),
    "count": (None, 0, -1, 2**53),
    "duration": (None, -1.0, 1e300, float("inf"), 0.5),
    "flag": (None, True, False),
}


def odd(seed: int) -> Company:
    """The company with odd values strewn over half of its columns; now and then a whole table is there twice."""
    rng, rows = random.Random(seed), clean()
    rate = rng.choice((0.02, 0.1, 0.5, 1))
    for name, part in rows.items():
        for column in tables.TABLES[name].columns:
            if rng.random() < 0.5:
                for row in part:
                    if rng.random() < rate:
                        row[column.name] = rng.choice(ODD[column.kind])
        if rng.random() < 0.1:
            rows[name] = part * 2
    return rows


def save(
    rows: Company, root, *, exported=EXPORTED, company=COMPANY, findings=(), losses=None, extraction="stated"
) -> Snapshot:
    frames = {name: _frame(name, pickle.dumps(part)) for name, part in rows.items()}
    counts = pd.DataFrame({"table": list(frames), "rows_in": [len(frame) for frame in frames.values()]})
    report = counts.assign(rows_kept=counts["rows_in"], rows_quarantined=0, reason="")
    return Store(root).save(
        Loaded(
            tables=frames,
            quarantine=pd.DataFrame(),
            report=report if losses is None else losses,
            findings=pd.DataFrame(list(findings), columns=FINDINGS),
            company=company,
            extracted_at=pd.Timestamp(exported).as_unit("us"),
            extraction=extraction,
        )
    )


@lru_cache(256)  # of a spoilt company most tables are as they always are
def _frame(name: str, pickled: bytes) -> pd.DataFrame:
    """Canonical frame of rows; instants and dates may lie outside what nanoseconds hold."""
    rows, out = pickle.loads(pickled), {}
    for column in tables.table(name).columns:
        values = [row.get(column.name) for row in rows]
        if column.kind in ("instant", "date"):
            read = [datetime.fromisoformat(value) if isinstance(value, str) else value for value in values]
            out[column.name] = (
                pa.array(read, tables.arrow_type(column.kind))
                .cast(pa.timestamp("us", tz="UTC" if column.kind == "instant" else None))
                .to_pandas()
            )
        else:
            object_ = column.kind in ("money", "rate")
            out[column.name] = pd.Series(values, dtype=object if object_ else tables.dtype(column.kind))
    return tables.conform(pd.DataFrame(out), name)


def inspect(snapshot: Snapshot, **options) -> gate.Findings:
    company = CompanySettings(**snapshot.manifest["company"])
    return gate.inspect(snapshot, calendar=company.calendar(), company=company, **options)
