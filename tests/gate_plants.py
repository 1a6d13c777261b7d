"""One defect for each check, planted in the company of `gate_company`, and what the check must say of it."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

import pandas as pd

from salesops_lib.config import ControlTotal
from tests.gate_company import EXPORTED, FIRST, OTHER, REP, change, days

KEY = {"users": "user_id", "accounts": "account_id", "stages": "stage_id", "opportunities": "opportunity_id",
       "activities": "activity_id", "leads": "lead_id", "quotas": "holder_id", "fx_rates": "rate_date",
       "teams": "team_id"}  # fmt: skip


@dataclass
class Plant:
    """A defect: how to plant it, and what the check must say."""

    n: int
    amount: str | None = None
    ids: tuple[str, ...] = ()
    severity: str = ""
    currency: str = ""
    inspect: dict = field(default_factory=dict)
    save: dict = field(default_factory=dict)
    manifest: dict = field(default_factory=dict)
    earlier: tuple = ()  # rows of an earlier export, and its instant


def edit(rows, table, *keys, **changes):
    """Change columns of the rows with these keys, of all by default; a callable gets the row."""
    for row in rows[table]:
        if not keys or row[KEY[table]] in keys:
            row.update({name: value(row) if callable(value) else value for name, value in changes.items()})


def deal(*numbers):
    return tuple(f"x:d{k:02}" for k in numbers)


def worth(*numbers):
    return f"{sum(1000 + 10 * k for k in numbers)}.00"


def deals(rows, *numbers, **changes):
    """Change these deals; the plant that is expected of a check that finds just them."""
    edit(rows, "opportunities", *deal(*numbers), **changes)
    return Plant(len(numbers), worth(*numbers), deal(*numbers))


def again(row, **changes):
    return {**row, **changes}


PLANTS = {}


def plant(check):
    def keep(function):
        PLANTS[check] = function
        return function

    return keep


# -- the load ------------------------------------------------------------------------------------------


@plant("G01")
def _(rows):
    totals = {"opportunities": ControlTotal(rows=25, amount=Decimal("27100.00"))}
    ids = ("opportunities: amount", "opportunities: rows")
    return Plant(2, "100.00", ids, "red", inspect={"control_totals": totals})


@plant("G02")
def _(rows):
    losses = pd.DataFrame(
        {"table": ["opportunities", "users"], "rows_in": [2000, 3], "rows_kept": [2000, 3], "rows_quarantined": 0}
    )
    return Plant(1, ids=("opportunities",), save={"losses": losses.assign(reason="")})


@plant("G03")
def _(rows):
    losses = pd.DataFrame(
        {"table": ["users"], "rows_in": [10], "rows_kept": [3], "rows_quarantined": [7], "reason": ["7 × no name"]}
    )
    return Plant(7, ids=("users",), save={"losses": losses})


@plant("G04")
def _(rows):
    edit(rows, "opportunities", *deal(1, 2), forecast_category="MostLikely")
    edit(rows, "opportunities", *deal(3), type="upsell")
    return Plant(3, ids=("opportunities.forecast_category: MostLikely", "opportunities.type: upsell"))


@plant("G05")
def _(rows):
    rows["accounts"].append(again(rows["accounts"][0]))
    return Plant(1, ids=("accounts: x:a01",), severity="red")


@plant("G06")
def _(rows):
    findings = [
        ("column not read", "deals.csv", "", "Champion", "", 1),
        ("unmatched reference", "", "a", "b", "c", 9),
    ]
    return Plant(1, ids=("column not read deals.csv Champion",), save={"findings": findings})


@plant("G07")
def _(rows):
    return Plant(8, ids=("export",), inspect={"today": date(2026, 7, 23)})


@plant("G08")
def _(rows):
    return Plant(1, ids=("extracted_at",), save={"extraction": "file time"})


@plant("G09")
def _(rows):
    rows["accounts"] += [
        again(rows["accounts"][0], account_id="x:1.00234E+15"),
        again(rows["accounts"][1], account_id="x:4711.0"),
    ]
    edit(rows, "accounts", "x:1.00234E+15", "x:4711.0", name=lambda row: row["account_id"])
    ids = ("accounts.account_id: x:1.00234E+15", "accounts.account_id: x:4711.0")
    return Plant(2, ids=ids)


@plant("G10")
def _(rows):
    edit(rows, "users", REP, team_id="x:t9")
    edit(rows, "activities", "x:act03", "x:act04", account_id="x:a99")
    return Plant(3, ids=("activities.account_id: x:a99", "users.team_id: x:t9"))


@plant("G11")
def _(rows):
    return deals(rows, 4, 5, account_id="x:a77")


@plant("G12")
def _(rows):
    edit(rows, "accounts", "x:a03", name="ACCOUNT  4, Inc.")
    return Plant(2, worth(3, 4), ("x:a04", "x:a03"))


@plant("G13")
def _(rows):
    edit(rows, "opportunities", "x:d20", next_step="mail jo.doe@example.com")
    return Plant(1, ids=("x:d20",))


@plant("G14")
def _(rows):
    edit(rows, "accounts", "x:a05", created_at="1899-12-30T00:00:00Z")
    edit(rows, "opportunities", "x:d20", expected_close_date=date(2062, 1, 1))
    return Plant(2, ids=("x:a05", "x:d20"))


@plant("G15")
def _(rows):
    edit(rows, "accounts", "x:a05", created_at=EXPORTED + timedelta(seconds=1))
    return Plant(1, ids=("x:a05",))


@plant("G16")
def _(rows):
    edit(rows, "users", OTHER, end_date=date(2019, 12, 31), is_active=True)
    edit(rows, "quotas", REP, period_end=date(2026, 7, 1))
    return Plant(2, ids=(f"quotas: user | {REP} | 2026-07-01 | bookings | 1", f"users: {OTHER}"))


@plant("G17")
def _(rows):
    edit(rows, "opportunities", *deal(1, 2), currency="€")
    return Plant(2, ids=("opportunities: €",))


@plant("G18")
def _(rows):
    edit(rows, "opportunities", created_at=lambda row: row["created_at"].replace(hour=0, minute=0))
    return Plant(24, ids=("opportunities.created_at",))


@plant("G19")
def _(rows):
    edit(rows, "opportunities", "x:d03", closed_at="2026-06-30T22:30:00Z", close_date=date(2026, 7, 1))
    return Plant(1, worth(3), deal(3))


# -- people and quotas ---------------------------------------------------------------------------------


@plant("G20")
def _(rows):
    return deals(rows, 1, 18, owner_id="x:u9")


@plant("G21")
def _(rows):
    return deals(rows, 20, owner_id="x:t1")


@plant("G22")
def _(rows):
    edit(rows, "users", OTHER, is_active=False, end_date=date(2026, 7, 14))
    edit(rows, "users", REP, end_date=date(2026, 7, 15))  # the last day is still one
    return Plant(4, worth(17, 19, 21, 23), deal(23, 21, 19, 17))


@plant("G23")
def _(rows):
    edit(rows, "users", OTHER, is_active=False)
    edit(rows, "users", REP, end_date=date(2026, 7, 14))
    return Plant(2, ids=(REP, OTHER))


@plant("G24")
def _(rows):
    edit(rows, "users", "x:u1", manager_id=REP)
    edit(rows, "teams", "x:t1", parent_team_id="x:t1")
    return Plant(3, ids=("teams: x:t1", "users: x:u1", f"users: {REP}"))


@plant("G25")
def _(rows):
    edit(rows, "users", OTHER, name=" BO ")
    return Plant(2, ids=(REP, OTHER))


@plant("G26")
def _(rows):
    rows["users"].append(again(rows["users"][1], user_id="x:u4", name="Di"))
    rows["users"].append(again(rows["users"][1], user_id="x:u5", name="Ed", start_date=date(2026, 7, 1)))
    return Plant(1, ids=("x:u4",))


@plant("G27")
def _(rows):
    edit(rows, "quotas", OTHER, period_start=date(2026, 4, 1), period_end=date(2026, 7, 1))
    return Plant(1, ids=(OTHER,))


@plant("G28")
def _(rows):
    rows["quotas"].append(again(rows["quotas"][0], period_start=date(2026, 8, 1), period_end=date(2026, 11, 1)))
    rows["quotas"].append(again(rows["quotas"][1], version=2))
    return Plant(1, "5000.00", (f"user | {REP} | 2026-08-01 | bookings | 1",))


@plant("G29")
def _(rows):
    edit(rows, "quotas", OTHER, approved_at="2026-07-01T22:30:00Z")
    return Plant(1, "5000.00", (f"user | {OTHER} | 2026-07-01 | bookings | 1",))


@plant("G30")
def _(rows):
    edit(rows, "quotas", REP, period_start=date(2026, 7, 2))
    return Plant(1, "5000.00", (f"user | {REP} | 2026-07-02 | bookings | 1",))


@plant("G31")
def _(rows):
    rows["quotas"].append(again(rows["quotas"][0], holder_id="x:u9"))
    return Plant(1, "5000.00", ("user | x:u9 | 2026-07-01 | bookings | 1",))


@plant("G32")
def _(rows):
    edit(rows, "quotas", REP, quota_amount="0.00")
    return Plant(1, "0.00")


@plant("G33")
def _(rows):
    edit(rows, "users", REP, manager_id=None)
    return Plant(1, ids=(REP,))


# -- deals ---------------------------------------------------------------------------------------------


@plant("G34")
def _(rows):
    return again_severity(deals(rows, 20, probability_crm=60.0), "red")


def again_severity(expected, severity):
    expected.severity = severity
    return expected


@plant("G35")
def _(rows):
    return deals(rows, *range(24, 16, -1), probability_crm=0.006)


@plant("G36")
def _(rows):
    return again_severity(deals(rows, 20, is_won=True), "red")


@plant("G37")
def _(rows):
    return again_severity(deals(rows, 2, close_date=None, closed_at=None), "red")


@plant("G38")
def _(rows):
    return deals(rows, 20, closed_at=EXPORTED - days(3))


@plant("G39")
def _(rows):
    return deals(rows, 20, stage_id="x:lost")


@plant("G40")
def _(rows):
    edit(rows, "stages", "x:won", is_won=False)
    return Plant(1, worth(*range(1, 25)), ("x:p",), "red")


@plant("G41")
def _(rows):
    return deals(rows, 20, stage_id="x:s9")


@plant("G42")
def _(rows):
    edit(rows, "stages", "x:s2", stage_order=1)
    edit(rows, "stages", "x:lost", stage_name="Won")
    return Plant(4, ids=("x:p | x:lost", "x:p | x:s1", "x:p | x:s2", "x:p | x:won"))


@plant("G43")
def _(rows):
    edit(rows, "stages", "x:s3", forecast_category="omitted")
    return Plant(8, worth(*range(17, 25)), deal(24, 23, 22, 21, 20))


@plant("G44")
def _(rows):
    deals(rows, 20, 21, amount=None)
    return Plant(2, None, deal(20, 21))


@plant("G45")
def _(rows):
    deals(rows, 2, amount=None)
    return Plant(1, None, deal(2))


@plant("G46")
def _(rows):
    deals(rows, 2, 20, amount="0.00")
    return Plant(2, "0.00", deal(2, 20))


@plant("G47")
def _(rows):
    deals(rows, 2, amount="-12.50")
    return Plant(1, "-12.50", deal(2))


@plant("G48")
def _(rows):
    deals(rows, 11, 12, amount=None)
    return Plant(2, None, deal(11, 12))


@plant("G49")
def _(rows):
    return deals(rows, *range(15, 0, -1), type=None)


@plant("G50")
def _(rows):
    return deals(rows, *range(15, 0, -1), amount_basis=None)


@plant("G51")
def _(rows):
    return deals(rows, 4, amount_basis="tcv")


@plant("G52")
def _(rows):
    edit(rows, "opportunities", "x:d20", currency="USD")  # has a rate
    expected = deals(rows, 4, currency="GBP")
    expected.currency = "GBP"
    return expected


@plant("G53")
def _(rows):
    rows["fx_rates"].append(again(rows["fx_rates"][0], currency="EUR", rate_to_corp="1.1"))
    return Plant(1, ids=("EUR | 2026-07-13 | daily",), severity="red")


@plant("G54")
def _(rows):
    edit(rows, "fx_rates", date(2026, 7, 14), rate_to_corp="2.5")
    return Plant(2, ids=("USD | 2026-07-14 | daily", "USD | 2026-07-15 | daily"))


@plant("G55")
def _(rows):
    lost = next(row for row in rows["opportunities"] if row["opportunity_id"] == "x:d11")
    changes = {"account_id": "x:a11", "amount": lost["amount"]}
    deals(rows, 20, created_at=lost["closed_at"] + days(29), **changes)
    deals(rows, 21, created_at=lost["closed_at"] + days(30), **changes)
    return Plant(1, worth(11), deal(20))


@plant("G56")
def _(rows):
    edit(rows, "opportunities", "x:d20", name="deal 21 ", account_id="x:a21", amount="1210.00",
         created_at=lambda row: row["created_at"] + days(3))  # fmt: skip
    return Plant(1, "1210.00", deal(21))


@plant("G57")
def _(rows):
    return deals(rows, 20, merged_into_id="x:d21")


@plant("G58")
def _(rows):
    deals(rows, 21, is_deleted=True, deleted_at=EXPORTED - days(1))
    return deals(rows, 20, is_deleted=True)


@plant("G59")
def _(rows):
    edit(rows, "accounts", "x:a20", is_deleted=True)
    edit(rows, "accounts", "x:a21", merged_into_id="x:a22")
    edit(rows, "accounts", "x:a01", is_deleted=True)
    return Plant(2, worth(20, 21), deal(21, 20))


# -- their course --------------------------------------------------------------------------------------


@plant("G60")
def _(rows):
    return deals(rows, 20, owner_id=None)


@plant("G61")
def _(rows):
    return deals(rows, 2, owner_at_close_id=None)


@plant("G62")
def _(rows):
    return deals(rows, 20, expected_close_date=None)


@plant("G63")
def _(rows):
    deals(rows, 21, expected_close_date=date(2026, 7, 15))  # the day of the export is not over
    return deals(rows, 20, expected_close_date=date(2026, 7, 14))


@plant("G64")
def _(rows):
    return deals(rows, 2, created_at=lambda row: row["closed_at"] + days(1))


@plant("G97")
def _(rows):
    return deals(rows, 22, expected_close_date=lambda row: row["created_at"].date() - days(3))


@plant("G65")
def _(rows):
    return deals(rows, 2, close_date=lambda row: row["close_date"] - days(1))


@plant("G66")
def _(rows):
    for k in (20, 21, 22):
        untouched(rows, f"x:d{k}")
    return deals(rows, 22, 21, 20, expected_close_date=date(2026, 3, 31))


def untouched(rows, opportunity):
    rows["opportunity_history"] = [
        row
        for row in rows["opportunity_history"]
        if row["opportunity_id"] != opportunity
        or row["field"] != "expected_close_date"
        or row["old_value"] is None
    ]


@plant("G67")
def _(rows):
    return deals(rows, *range(24, 4, -1), created_at=lambda row: FIRST + timedelta(seconds=row["is_won"]))


@plant("G68")
def _(rows):
    deals(rows, 3, created_at=lambda row: row["closed_at"] - timedelta(days=3, seconds=1))
    return deals(rows, 2, created_at=lambda row: row["closed_at"] - days(3))


@plant("G69")
def _(rows):
    deals(rows, 6, close_date=date(2026, 3, 28))
    deals(rows, 7, close_date=date(2026, 4, 1))
    return deals(rows, 5, 4, 3, 2, 1, close_date=date(2026, 3, 29))


@plant("G70")
def _(rows):
    deals(rows, 2, amount="9000.00")
    return Plant(1, "9000.00", deal(2))


@plant("G71")
def _(rows):
    return deals(rows, 21, 20, next_step=lambda row: " " if row["opportunity_id"] == "x:d20" else None)


@plant("G72")
def _(rows):
    for k, at in ((20, EXPORTED - days(60)), (21, EXPORTED - days(59))):
        rows["activities"] = [row for row in rows["activities"] if row["opportunity_id"] != f"x:d{k}"]
        deals(rows, k, last_activity_at=at)
    return Plant(1, worth(20), deal(20))


# -- history -------------------------------------------------------------------------------------------


@plant("G73")
def _(rows):
    rows["opportunity_history"].append(change("x:d20", EXPORTED - days(2), "amount", "1200.00", "1300.00"))
    rows["opportunity_history"].append(change("x:d21", EXPORTED - days(2), "stage", "x:s3", "x:s2"))
    return Plant(2, worth(20, 21), deal(21, 20))


@plant("G74")
def _(rows):
    closed = next(row["closed_at"] for row in rows["opportunities"] if row["opportunity_id"] == "x:d02")
    late, soon = closed + timedelta(hours=2), closed + timedelta(minutes=1)
    rows["opportunity_history"].append(change("x:d02", late, "expected_close_date", "2026-03-01", "2026-04-01"))
    rows["opportunity_history"].append(change("x:d03", soon, "expected_close_date", "2026-03-01", "2026-04-01"))
    return Plant(1, worth(2), deal(2))


@plant("G75")
def _(rows):
    return deals(rows, 2, closed_at=lambda row: row["closed_at"] + days(2))


@plant("G76")
def _(rows):
    at = EXPORTED - days(10)
    rows["opportunity_history"] += [
        change("x:d02", at, "stage", "x:won", "x:s3"),
        change("x:d02", at + days(1), "stage", "x:s3", "x:won"),
    ]
    return Plant(1, worth(2), deal(2))


@plant("G77")
def _(rows):
    gone = change("x:d20", EXPORTED - days(1), "deleted", "false", "true", origin="snapshot_diff")
    rows["opportunity_history"] += [gone, change("x:d21", EXPORTED - days(1), "deleted", "false", "true")]
    return Plant(1, worth(20), deal(20))


@plant("G78")
def _(rows):
    kept = [row for row in rows["opportunity_history"] if row["field"] in ("stage", "owner")]
    rows["opportunity_history"] = kept
    return Plant(3, ids=("amount", "expected_close_date", "forecast_category"))


@plant("G79")
def _(rows):
    coverage = {"stage": "2020-01-01T00:00:00+00:00", "amount": "2026-05-01T00:00:00+00:00", "owner": None}
    return Plant(1, ids=("amount",), manifest={"coverage": coverage})


@plant("G80")
def _(rows):
    at = EXPORTED - days(3)
    rows["opportunity_history"] += [
        change("x:d20", at, "owner", OTHER, REP, 0), change("x:d20", at, "owner", "Cy", "Bo", 1)
    ]  # fmt: skip
    return Plant(1, ids=(f"x:d20 | {at:%Y-%m-%d %H:%M:%S}+00",))


@plant("G81")
def _(rows):
    return deals(rows, 20, created_at=lambda row: row["created_at"] + days(2))


@plant("G82")
def _(rows):
    rows["opportunity_history"].append(change("x:d99", EXPORTED - days(9), "stage", None, "x:s1"))
    return Plant(1, ids=("x:d99",))


@plant("G83")
def _(rows):
    rows["opportunity_history"].append(change("x:d20", FIRST + days(65), "stage", "x:s1", "x:old"))
    return Plant(1, ids=("x:old",))


@plant("G84")
def _(rows):
    rows["opportunity_history"] = [
        again(row, old_value="x:s1") if row["new_value"] == "x:s3" else row
        for row in rows["opportunity_history"]
        if (row["opportunity_id"], row["new_value"]) != ("x:d20", "x:s2")
    ]
    edit_history(rows, "x:s3", "x:s2", except_for="x:d20")
    return Plant(1, worth(20), deal(20))


def edit_history(rows, new_value, old_value, except_for):
    for row in rows["opportunity_history"]:
        if row["new_value"] == new_value and row["opportunity_id"] != except_for:
            row["old_value"] = old_value


@plant("G85")
def _(rows):
    at = EXPORTED - days(9)
    rows["opportunity_history"] += [
        change("x:d20", at, "stage", "x:s3", "x:s1"), change("x:d20", at + days(1), "stage", "x:s1", "x:s2"),
        change("x:d20", at + days(2), "stage", "x:s2", "x:s3"),
    ]  # fmt: skip
    return Plant(1, worth(20), deal(20))


@plant("G98")
def _(rows):
    at = EXPORTED - days(3)
    rows["opportunity_history"] += [
        change("x:d20", at, "amount", "1200.00", "1300.00", 0),
        change("x:d20", at, "amount", "1200.00", "1400.00", 1),
        # one after the other, written twice, and only spelt otherwise
        change("x:d21", at, "amount", "1210.00", "1300.00", 0),
        change("x:d21", at, "amount", "1300", "1400.00", 1),
        change("x:d22", at, "stage", "x:s3", "x:s2", 0), change("x:d22", at, "stage", "x:s3", "x:s2", 1),
    ]  # fmt: skip
    return Plant(1, ids=(said("x:d20", at),))


@plant("G99")
def _(rows):
    at, later = EXPORTED - days(3), EXPORTED - days(2)
    rows["opportunity_history"] += [
        change("x:d20", at, "stage", "x:s2", "x:s3"), change("x:d20", at, "amount", None, "1200.00"),
        change("x:d21", at, "expected_close_date", "2026-08-19", "2026-08-20"),
        # the same amount and date written otherwise, an owner by id and by name, and one that was emptied
        change("x:d22", at, "amount", "1220", "1300.00"), change("x:d22", later, "amount", "1300.0", None),
        change("x:d22", EXPORTED - days(1), "amount", None, "1220.00"),
        change("x:d23", at, "expected_close_date", "2026-08-20T00:00:00", "2026-08-20"),
        change("x:d24", at, "owner", REP, OTHER, 0), change("x:d24", at, "owner", "Bo", "Cy", 1),
        change("x:d24", later, "owner", OTHER, REP, 0), change("x:d24", later, "owner", "Cy", "Bo", 1),
        # two that contradict each other at one instant are of another check, a second creation too
        change("x:d19", at, "amount", "1190.00", "1.00", 0),
        change("x:d19", at, "amount", "1190.00", "1190.00", 1),
        change("x:d18", at, "stage", None, "x:s3"),
    ]  # fmt: skip
    for row in rows["opportunity_history"]:  # a field of which nobody keeps the value before
        if row["field"] == "forecast_category":
            row["old_value"] = None
    return Plant(3, ids=(said("x:d20", at), said("x:d20", at), said("x:d21", at)))


@plant("G100")
def _(rows):
    at = EXPORTED - days(3)
    closed = next(row["closed_at"] for row in rows["opportunities"] if row["opportunity_id"] == "x:d02")
    rows["opportunity_history"] += [
        change("x:d20", at, "stage", None, "x:s1"), change("x:d20", at + days(1), "stage", None, "x:s3"),
        change("x:d21", FIRST + timedelta(days=63, minutes=21), "stage", None, "x:s1", 99),  # as it was created
        change("x:d02", closed + days(1), "stage", None, "x:won"),  # once it had closed
        change("x:d22", at, "amount", None, "1220.00"),
    ]  # fmt: skip
    return Plant(1, worth(20), deal(20))


@plant("G101")
def _(rows):
    exported, created = EXPORTED - days(7), FIRST + days(40)
    held = again(rows, opportunity_history=list(rows["opportunity_history"]))
    held["opportunities"] = [row for row in rows["opportunities"] if row["opportunity_id"] != "x:d24"]
    rows["opportunity_history"] += [
        change("x:d20", exported - days(1), "amount", "1200.00", "1200.00"),
        change("x:d20", exported - days(1), "stage", "x:s3", "x:s3"),
        change("x:d21", exported, "amount", "1210.00", "1210.00"),  # on the day of the export
        change("x:d22", exported + days(1), "amount", "1220.00", "1220.00"),  # after it
        change("x:d24", exported - days(1), "amount", "1240.00", "1240.00"),  # of a deal it did not hold
        change("x:d23", created, "probability", "0.5", "0.6"),  # a field it did not track
    ]
    earlier = (held, exported)
    return Plant(2, ids=(said("x:d20", exported - days(1)),) * 2, earlier=earlier)


def said(key, at):
    return f"{key} | {at:%Y-%m-%d %H:%M:%S}+00"


# -- activities and leads ------------------------------------------------------------------------------


@plant("G86")
def _(rows):
    edit(rows, "activities", "x:act03", duration_s=14401.0)
    edit(rows, "activities", "x:act06", duration_s=14400.0)
    return Plant(1, ids=("x:act03",))


@plant("G87")
def _(rows):
    edit(rows, "activities", "x:act03", "x:act04", type="task")
    edit(rows, "activities", "x:act04", started_at=EXPORTED + days(3), ended_at=None)
    return Plant(1, ids=("x:act04",))


@plant("G88")
def _(rows):
    edit(rows, "activities", "x:act02", "x:act05", "x:act08", group_id="x:g1")
    return Plant(2, ids=("x:g1",))


def mails(rows, n, **changes):
    first = again(
        rows["activities"][0], type="email", ended_at=None, duration_s=None, started_at=EXPORTED - days(3)
    )
    rows["activities"] += [again(first, activity_id=f"x:mail{k}", **changes) for k in range(n)]


@plant("G89")
def _(rows):
    mails(rows, 12)
    mails(rows, 11, user_id=REP, started_at=EXPORTED - days(4))
    for k, row in enumerate(rows["activities"]):
        row["activity_id"] = f"x:act{k}"
    at = f"{EXPORTED - days(3):%Y-%m-%d %H:%M:%S}+00"
    return Plant(12, ids=(f"{OTHER} | {at}",))


@plant("G90")
def _(rows):
    mails(rows, 30, is_automated=True)
    return Plant(30, ids=(OTHER,))


@plant("G91")
def _(rows):
    months = pd.date_range("2026-01-05 10:00", periods=6, freq="MS", tz="UTC")
    first = again(rows["activities"][0], type="note", ended_at=None, duration_s=None)
    rows["activities"] += [
        again(first, activity_id=f"x:{month:%m}-{k}", started_at=month + timedelta(hours=k))
        for month in months[:1].append(months[2:])
        for k in range(1 if month.month == 5 else 30)
    ]
    return Plant(2, ids=("note 2026-03-01", "note 2026-05-01"))


@plant("G92")
def _(rows):
    began = rows["activities"][1]["started_at"]
    edit(rows, "activities", "x:act08", "x:act11", user_id=REP)
    edit(rows, "activities", "x:act08", started_at=began + timedelta(seconds=599), ended_at=None)
    edit(rows, "activities", "x:act11", started_at=began + timedelta(seconds=1199), ended_at=None)
    return Plant(1, ids=("x:act08",))


@plant("G93")
def _(rows):
    first = tuple(f"x:l{k}" for k in range(1, 6))
    edit(rows, "leads", *first, converted_at="2026-02-01T23:00:00Z")  # midnight in Berlin
    return Plant(5, ids=first)


@plant("G94")
def _(rows):
    edit(rows, "leads", "x:l3", converted_at=FIRST - timedelta(seconds=1))
    edit(rows, "leads", "x:l4", disqualified_at=FIRST - timedelta(seconds=1))
    return Plant(2, ids=("x:l3", "x:l4"))


@plant("G95")
def _(rows):
    first = rows["leads"][0]
    at = FIRST + days(2)
    rows["leads"] += [
        again(first, lead_id=f"x:import{k:02}", created_at=at + timedelta(seconds=k), converted_at=None)
        for k in range(20)
    ]
    return Plant(20, ids=tuple(f"x:import{k:02}" for k in range(5)))


@plant("G96")
def _(rows):
    edit(rows, "leads", "x:l3", opportunity_id=None)
    return Plant(1, ids=("x:l3",))
