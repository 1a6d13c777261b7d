"""Every check is planted in a company in which nothing else is wrong, and must find exactly the planted rows."""

import json
import re
from datetime import date
from decimal import Decimal

import duckdb
import pandas as pd
import pytest
from click.testing import CliRunner
from openpyxl import load_workbook

from salesops_lib import gate, present, tables
from salesops_lib.config import CompanySettings, ControlTotal
from salesops_lib.errors import ConfigError, ParameterError, SnapshotError
from salesops_lib.gate.findings import ordered
from salesops_lib.workspace import open_workspace
from tests.conftest import make_workspace
from tests.gate_company import COMPANY, EXPORTED, OTHER, REP, clean, days, inspect, odd, save
from tests.gate_plants import PLANTS, deals, edit, worth

TODAY = date(2026, 7, 16)
# -- the checks ----------------------------------------------------------------------------------------


def test_every_check_is_planted():
    assert sorted(PLANTS) == sorted(gate.CHECKS)


@pytest.fixture(scope="module")
def clean_findings(tmp_path_factory):
    snapshot = save(clean(), tmp_path_factory.mktemp("clean"))
    snapshot.manifest["coverage"] = {"stage": None}
    totals = {"opportunities": ControlTotal(rows=24, amount=Decimal("27000"))}
    earlier = save(clean(), tmp_path_factory.mktemp("earlier"), exported=EXPORTED - days(7))
    return inspect(snapshot, today=TODAY, control_totals=totals, earlier=earlier)


def test_nothing_is_found_where_nothing_is_wrong_and_every_check_looked(clean_findings):
    assert gate.as_text(clean_findings).startswith("Nothing blocks reports. Findings: 0 amber, 0 notes; 0 ")
    assert clean_findings.table.empty
    assert clean_findings.not_looked_at.empty


@pytest.mark.parametrize("check", sorted(PLANTS))
def test_a_planted_defect_is_found(check, tmp_path):
    rows = clean()
    expected = PLANTS[check](rows)
    snapshot = save(rows, tmp_path, **expected.save)
    snapshot.manifest.update(expected.manifest)
    if expected.earlier:
        held, exported = expected.earlier
        expected.inspect["earlier"] = save(held, tmp_path, exported=exported)
    found = inspect(snapshot, **{"only": [check], **expected.inspect})
    assert len(found.table) == 1, found.not_looked_at
    row = found.table.iloc[0]
    assert row["n"] == expected.n
    assert row["amount"] == (None if expected.amount is None else Decimal(expected.amount))
    assert row["severity"] == (expected.severity or gate.CHECKS[check].severity)
    if expected.amount is not None:
        assert row["currency"] == (expected.currency or "EUR")
    ids = [identity.strip() for identity in found.samples["id"]]
    if expected.ids:
        assert sorted(ids) == sorted(expected.ids)[:5] or ids == list(expected.ids)[:5]
    assert len(ids) == min(len(found.samples), 5)
    assert found.samples["detail"].str.len().gt(0).all()


def test_checks_are_written_for_people():
    for check in gate.CHECKS.values():
        assert check.title[0].isupper(), check.id
        assert not check.title.endswith("."), check.id
        assert check.meaning.endswith("."), check.id
        assert check.mend.endswith("."), check.id
    seen = {trap for check in gate.CHECKS.values() for trap in check.traps}
    never_in_data = {2, 3, 25, 26, 30, 31, 35, 37, 56, 59, 60, 61}
    assert set(range(1, 67)) - seen == never_in_data


@pytest.mark.parametrize("bare", ["no rows", "no tables", "only what is required"])
def test_poor_data_is_never_an_error(bare, tmp_path):
    rows = {name: [] for name in clean()} if bare == "no rows" else {} if bare == "no tables" else clean()
    if bare == "only what is required":
        for name, part in rows.items():
            required = tables.TABLES[name].required
            rows[name] = [{column: row.get(column) for column in required} for row in part]
    found = inspect(save(rows, tmp_path), today=TODAY)
    assert len(found.table) + len(found.not_looked_at) <= len(gate.CHECKS)
    if bare != "only what is required":
        assert set(found.table["check"]) == set()
        assert {"G20", "G44", "G73"} <= set(found.not_looked_at["check"]) | {"G44"}
    json.dumps(found.to_dict(), allow_nan=False)
    assert gate.as_text(found)


@pytest.mark.parametrize("seed", range(8))
def test_odd_values_are_never_an_error(seed, tmp_path):
    found = inspect(save(odd(seed), tmp_path), today=TODAY)
    json.dumps(found.to_dict(), allow_nan=False)
    assert gate.as_text(found)
    gate.write(found, tmp_path / "found.xlsx")


@pytest.mark.parametrize("seed", range(3))
def test_what_is_held_and_what_is_read_from_its_file_are_checked_alike(seed, tmp_path, monkeypatch):
    snapshot = save(odd(seed), tmp_path)
    earlier = save(odd(seed + 1), tmp_path, exported=EXPORTED - days(7))
    held = inspect(snapshot, today=TODAY, earlier=earlier)
    monkeypatch.setattr("salesops_lib.gate.ground.SMALL", -1)
    assert inspect(snapshot, today=TODAY, earlier=earlier).to_dict() == held.to_dict()
    assert len(held.table) > 10


def test_columns_that_are_all_empty_are_not_looked_at(tmp_path):
    rows = clean()
    edit(rows, "opportunities", next_step=None, probability_crm=None)
    found = inspect(save(rows, tmp_path), today=TODAY)
    why = found.not_looked_at.set_index("check")["why"]
    assert why["G71"] == "opportunities has no values in next_step"
    assert "G71" not in set(found.table["check"])


def test_hostile_text_is_kept_as_it_is_and_escaped_by_the_page(tmp_path):
    rows = clean()
    hostile = "<script>alert('x')</script>\u202e=cmd|'/c'!A1 \x00😀"
    deals(rows, 20, opportunity_id=hostile, owner_id="x:u9" + "y" * 1_000_000)
    found = inspect(save(rows, tmp_path), only=["G20"])
    assert found.samples["id"].iloc[0] == hostile
    assert len(found.samples["detail"].iloc[0]) < 400
    assert len(found.table["sample"].iloc[0]) < 400
    page = present.table(found.table[["check", "sample"]]).markup
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert all(line.isprintable() for line in gate.as_text(found).splitlines())
    gate.write(found, tmp_path / "out.xlsx")
    gate.write(found, tmp_path / "out.csv")
    sheet = load_workbook(tmp_path / "out.xlsx")["samples"]
    assert sheet["B2"].value == hostile.replace("\x00", "\ufffd")


# -- severity, acceptance, comparison ------------------------------------------------------------------


def spoiled(tmp_path, numbers, **options):
    rows = clean()
    deals(rows, *numbers, close_date=None, closed_at=None)
    return inspect(save(rows, tmp_path), only=["G37", "G63", "G01"], **options)


def test_red_from_a_share_on_and_the_share_can_be_set(tmp_path):
    assert list(spoiled(tmp_path, [2]).blocking["check"]) == ["G37"]  # 1 of 16 closed deals
    lenient = spoiled(tmp_path, [2], thresholds={"G37": 0.1})
    assert list(lenient.table["severity"]) == ["amber"]
    assert lenient.blocking.empty
    with pytest.raises(ParameterError, match=r"unknown check 'G370'\. Did you mean"):
        spoiled(tmp_path, [2], thresholds={"G370": 0.1})


def test_an_accepted_finding_is_printed_and_does_not_block(tmp_path):
    found = spoiled(tmp_path, [2], accepted={"G37": "old deals, known."})
    assert found.blocking.empty
    assert found.header_notes == [
        "Closed deals without a close date: 1 (EUR 1,020; G37). Accepted: old deals, known."
    ]
    assert "accepted: old deals, known." in gate.as_text(found)
    assert found.headline.startswith("Nothing blocks reports. Findings: 1 red accepted, 0 amber, 0 notes; ")


def test_header_notes_are_a_handful(tmp_path):
    rows = clean()
    edit(rows, "opportunities", owner_id=None, account_id=None, expected_close_date=None, type=None, amount=None,
         owner_at_close_id=None, close_date=None, closed_at=None)  # fmt: skip
    snapshot = save(rows, tmp_path)
    found = inspect(snapshot)
    assert len(found.header_notes) == len(found.blocking) + 3 + 1
    assert found.header_notes[0].startswith("Deals whose history does not lead to what they show: 24")
    assert found.header_notes[1].startswith("Closed deals without a close date: 16")
    assert found.header_notes[-1] == f"And {found.header.more} more: see data health."
    assert found.header.blocking == tuple(found.header_notes[: len(found.blocking)])
    assert found.headline.startswith("Reports are blocked. Deals whose history")
    stricter = inspect(snapshot, thresholds={"G44": 0.5, "G60": 0.5})
    assert len(stricter.header.blocking) == len(found.blocking) + 2
    assert "And 2 more red ones." in stricter.headline


def test_comparison_with_an_earlier_snapshot(tmp_path):
    rows = clean()
    deals(rows, 20, 21, expected_close_date=date(2026, 7, 1))
    deals(rows, 22, owner_id=None)
    deals(rows, 3, closed_at=None, close_date=None)
    edit(rows, "quotas", REP, quota_amount="0.00")
    before = inspect(save(rows, tmp_path), thresholds={"G37": 1.0})
    rows = clean()
    deals(rows, 20, expected_close_date=date(2026, 7, 1))  # fewer
    deals(rows, 3, closed_at=None, close_date=None)  # as many, now red
    deals(rows, 24, next_step=None)  # new
    edit(rows, "quotas", REP, quota_amount="0.00")  # the same
    now = gate.compare(inspect(save(rows, tmp_path)), before)
    status = now.table.set_index("check")["status"].to_dict()
    assert status["G63"] == "better"
    assert status["G37"] == "worse"
    assert status["G71"] == "new"
    assert status["G32"] == "same"
    assert status["G60"] == "gone"
    gone = now.table.set_index("check").loc["G60"]
    assert (gone["n"], gone["amount"]) == (0, None)
    assert now.compared_with == before.snapshot
    assert now.headline.endswith("Since the load before: 1 new, 1 worse, 1 better, 1 gone.")
    assert "G60" not in set(now.current["check"])
    assert not any("G60" in note for note in now.header_notes)


def test_what_could_not_be_looked_at_is_neither_new_nor_gone(tmp_path):
    rows = clean()
    deals(rows, 24, next_step=None)
    with_steps = inspect(save(rows, tmp_path))
    edit(rows, "opportunities", next_step=None)
    without = inspect(save(rows, tmp_path))
    assert "G71" not in set(gate.compare(without, with_steps).table["check"])
    assert gate.compare(with_steps, without).table.set_index("check")["status"]["G71"] == ""


def test_findings_are_read_back_as_they_were_written(tmp_path):
    rows = odd(3)
    before = inspect(save(clean(), tmp_path))
    found = gate.compare(inspect(save(rows, tmp_path), today=TODAY), before)
    again = gate.Findings.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again.to_dict() == found.to_dict()
    assert (again.headline, again.header) == (found.headline, found.header)
    for name in ("table", "not_looked_at", "completeness", "staleness", "breaks", "control"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(found, name), obj=name)


def test_amounts_of_several_currencies_are_named_and_never_added(tmp_path):
    rows = clean()
    deals(rows, 4, currency="GBP")
    deals(rows, 5, currency="CHF")
    row = inspect(save(rows, tmp_path), only=["G52"]).table.iloc[0]
    assert (row["n"], row["amount"], row["currency"]) == (2, None, "CHF, GBP")


def test_amounts_are_in_corporate_currency_at_the_rate_of_the_day(tmp_path):
    rows = clean()
    deals(rows, 20, currency="USD", owner_id=None)
    row = inspect(save(rows, tmp_path), only=["G60"]).table.iloc[0]
    assert (row["amount"], row["currency"]) == (Decimal("1080.00"), "EUR")


# -- beside the findings -------------------------------------------------------------------------------


def test_completeness_by_stage(tmp_path):
    rows = clean()
    deals(rows, 20, 21, amount=None)
    filled = inspect(save(rows, tmp_path)).completeness
    row = filled[filled["field"].eq("amount")].iloc[0]
    assert (row["stage"], row["filled"], row["n"], row["share"]) == ("Offer", 6, 8, 0.75)
    assert row["low"] == pytest.approx(0.4093, abs=1e-4)  # Wilson, 6 of 8
    assert row["high"] == pytest.approx(0.9285, abs=1e-4)


def test_staleness_by_owner(tmp_path):
    rows = clean()
    rows["activities"] = []
    deals(rows, 20, 22, last_activity_at=None)
    stale = inspect(save(rows, tmp_path)).staleness.set_index("owner_id")
    assert stale.loc[REP, ["owner", "open", "stale"]].tolist() == ["Bo", 4, 2]
    assert stale.loc[REP, "amount"] == Decimal(worth(20, 22))
    assert stale.loc[REP, "share"] == 0.5
    assert stale.loc[OTHER, "stale"] == 0
    last = next(row["created_at"] for row in rows["opportunities"] if row["opportunity_id"] == "x:d20") + days(21)
    assert stale.loc[REP, "oldest_days"] == (EXPORTED.date() - last.date()).days


def test_breaks_in_logging(tmp_path):
    rows = clean()
    PLANTS["G91"](rows)
    breaks = inspect(save(rows, tmp_path)).breaks
    notes = breaks[breaks["type"].eq("note")]
    assert notes["note"].tolist() == ["nothing logged", "down by more than 80 %"] or len(notes) == 2


def test_the_control_total_is_reconciled_to_the_cent(tmp_path):
    totals = {"opportunities": ControlTotal(rows=24, amount=Decimal("27000.01"))}
    found = inspect(save(clean(), tmp_path), control_totals=totals)
    assert found.control["difference"].tolist() == ["0", "-0.01"]
    assert found.blocking["amount"].tolist() == [Decimal("0.01")]


def test_a_capped_table_is_fine_where_the_control_total_agrees(tmp_path):
    rows = clean()
    expected = PLANTS["G02"](rows)
    totals = {"opportunities": ControlTotal(rows=2000)}
    assert inspect(save(rows, tmp_path, **expected.save), only=["G02"], control_totals=totals).table.empty


def test_a_damaged_snapshot_says_so(tmp_path):
    snapshot = save(clean(), tmp_path)
    snapshot.file("opportunities").write_bytes(b"no parquet")
    with pytest.raises(SnapshotError, match="load again"):
        inspect(snapshot)


def test_the_sample_company_has_nothing_red(sample_ws):
    found = gate.check_workspace(sample_ws)
    assert found.blocking.empty
    assert not found.table["severity"].eq("red").any()
    assert {"G63", "G76"} <= set(found.table["check"])
    assert not {"G98", "G99", "G100", "G101"} & set(found.table["check"])


def test_what_is_found_does_not_depend_on_the_order_of_rows(tmp_path):
    rows = clean()
    deals(rows, *range(17, 25), expected_close_date=date(2026, 7, 1))
    first = inspect(save(rows, tmp_path))
    for part in rows.values():
        part.reverse()
    second = inspect(save(rows, tmp_path))
    assert first.snapshot != second.snapshot
    pd.testing.assert_frame_equal(first.table, second.table)
    pd.testing.assert_frame_equal(first.samples, second.samples)


# -- the command ---------------------------------------------------------------------------------------


def run(root, *arguments):
    from salesops_lib.cli import main

    return CliRunner().invoke(main, ["check", "-w", str(root), *arguments])


def company_workspace(tmp_path, text=""):
    root = tmp_path / "ws"
    text = text or "gate: {max_age_days: 100000}"  # these tests must not know what day it is
    return make_workspace(root, f"source: {{kind: csv}}\n{text}"), root


def test_the_command_blocks_with_exit_4(tmp_path):
    ws, root = company_workspace(tmp_path)
    save(clean(), ws.store.root, exported=EXPORTED - days(1))
    fine = run(root)
    assert fine.exit_code == 0, fine.output
    rows = clean()
    deals(rows, 2, closed_at=None, close_date=None)
    current = save(rows, ws.store.root)
    told = run(root)
    assert told.exit_code == 4
    assert "red    G37  Closed deals without a close date: 1 (6.2%), EUR 1,020  [new]" in told.output
    assert "Reports are blocked. Closed deals without a close date: 1 (EUR 1,020; G37)." in told.stderr
    machine = run(root, "--json")
    assert machine.exit_code == 4
    findings = json.loads(machine.stdout)
    assert findings["snapshot"] == current.id
    assert findings["blocking"] == ["G37"]
    first = findings["findings"][0]
    assert (first["check"], first["amount"], first["status"]) == ("G37", "1020.00", "new")
    assert (first["n"], first["of"], first["share"]) == (1, 16, 0.0625)
    assert first["sample"][0]["id"] == "x:d02"


def test_acceptance_in_the_settings_opens_the_gate(tmp_path):
    ws, root = company_workspace(
        tmp_path, "gate: {accept: {G37: known from the old system}, stale_days: 30, max_age_days: 100000}"
    )
    rows = clean()
    deals(rows, 2, closed_at=None, close_date=None)
    save(rows, ws.store.root)
    told = run(root)
    assert told.exit_code == 0
    assert "accepted: known from the old system" in told.output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gate: {accept: {G370: why}}", "salesops.yaml: gate.accept: unknown check 'G370'. Did you mean "),
        ("gate: {thresholds: {G999: 0.5}}", "gate.thresholds: unknown check 'G999'"),
        ("gate: {accept: {G37: ''}}", "gate.accept.G37"),
        ("gate: {stale_days: 0}", "gate.stale_days"),
        ("gate: {thresholds: {G37: 5}}", "gate.thresholds.G37"),
        ("gate: {acept: {}}", "Did you mean 'accept'"),
    ],
)
def test_wrong_settings_are_named(tmp_path, text, says):
    root = tmp_path / "ws"
    save(clean(), root / "data/snapshots")
    (root / "salesops.yaml").write_text(f"source: {{kind: csv}}\n{text}")
    with pytest.raises(ConfigError, match=re.escape(says)):
        gate.check_workspace(open_workspace(root))


def test_the_snapshot_before_is_of_the_same_company(tmp_path):
    ws, root = company_workspace(tmp_path)
    other = CompanySettings(**{**COMPANY.model_dump(exclude_none=True), "name": "Another"})
    save(clean(), ws.store.root, exported=EXPORTED - days(1), company=other)
    current = save(clean(), ws.store.root)
    assert gate.check_workspace(ws).compared_with == ""
    earlier = save(clean(), ws.store.root, exported=EXPORTED - days(7))
    later = save(clean(), ws.store.root, exported=EXPORTED + days(7))
    (ws.store.root / "CURRENT").write_text(current.id)
    assert gate.check_workspace(ws).compared_with == earlier.id
    assert gate.check_workspace(ws, against=later.id).compared_with == later.id
    assert run(root, "--against", "nothing").exit_code == 1


@pytest.mark.parametrize("ending", ["xlsx", "csv", "json"])
def test_findings_are_written_to_a_file(tmp_path, ending):
    ws, root = company_workspace(tmp_path)
    rows = clean()
    deals(rows, 20, owner_id=None)
    save(rows, ws.store.root)
    out = tmp_path / f"findings.{ending}"
    assert run(root, "--out", str(out)).exit_code == 0
    if ending == "xlsx":
        book = load_workbook(out)
        assert book.sheetnames[:2] == ["findings", "samples"]
        assert book["findings"]["A2"].value == "G60"
    elif ending == "csv":
        assert pd.read_csv(out)["check"].iloc[0] == "G60"
    else:
        assert json.loads(out.read_text(encoding="utf-8"))["findings"][0]["check"] == "G60"


def test_changes_that_arrived_late_are_told_against_the_export_before_only(tmp_path):
    ws, _ = company_workspace(tmp_path)
    rows = clean()
    PLANTS["G101"](rows)
    earlier = save(clean(), ws.store.root, exported=EXPORTED - days(7))
    current = save(rows, ws.store.root)
    late = gate.check_workspace(ws, only=["G101"])
    assert (late.table["n"].tolist(), late.compared_with) == ([3], earlier.id)  # this one held x:d24 too
    assert gate.check_workspace(ws, snapshot=earlier, only=["G101"], against=current.id).not_looked_at[
        "why"
    ].tolist() == ["no earlier export to compare with"]


def test_ids_are_ordered_by_their_number():
    listed = [line.split(" ")[1] for line in gate.catalogue().splitlines() if line.startswith("| G")]
    assert [int(name[1:]) for name in listed] == sorted(int(name[1:]) for name in gate.CHECKS)
    assert ids_in_order(["G100", "G99", "G101", "G09"]) == ["G09", "G99", "G100", "G101"]


def ids_in_order(ids):
    check = {"severity": "amber", "n": 1, "of": 1, "share": 1.0, "amount": None}
    return ordered(pd.DataFrame([{"check": name, **check} for name in ids]))["check"].tolist()


def test_a_damaged_load_before_is_no_reason_to_stop(tmp_path):
    ws, _ = company_workspace(tmp_path)
    before = save(clean(), ws.store.root, exported=EXPORTED - days(1))
    save(clean(), ws.store.root)
    before.file("opportunities").write_bytes(b"no parquet")
    assert gate.check_workspace(ws).compared_with == ""
    with pytest.raises(SnapshotError, match="load again"):
        gate.check_workspace(ws, against=before.id)


def test_another_ending_is_refused(tmp_path):
    ws, root = company_workspace(tmp_path)
    save(clean(), ws.store.root)
    refused = run(root, "--out", str(tmp_path / "findings.pdf"))
    assert refused.exit_code == 2
    assert "Known: .csv, .json, .xlsx" in refused.stderr


def test_the_session_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    snapshot = save(clean(), tmp_path / "store")
    inspect(snapshot)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert duckdb.sql("select 1").fetchall() == [(1,)]
