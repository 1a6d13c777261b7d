"""Salesforce exports: real ones, and small ones made here for what real ones do not show."""
# ruff: noqa: E501 - records are kept on one line

from decimal import Decimal

import pandas as pd
import pytest

from salesops_lib import facts
from salesops_lib.errors import ConfigError, DataContractError, InsufficientData
from salesops_lib.history import state
from salesops_lib.sources import ids, load
from tests.conftest import make_workspace, shared

pytestmark = pytest.mark.usefixtures("mappings_read_once")
DEALS = """Id,AccountId,OwnerId,Name,StageName,Amount,Probability,CloseDate,IsClosed,IsWon,CreatedDate,Type,IsDeleted
006A00000000001IAA,001A00000000001,005A00000000001,One,Closed Won,1000.50,100,2026-01-20,true,true,2026-01-02T09:00:00.000Z,New Business,false
006A00000000002,001A00000000001IAA,005A00000000001IAA,Two,Proposal,250,60,2026-02-20,false,false,2026-01-05T09:00:00.000Z,Renewal,false
006A00000000003IAA,,005A00000000002IAA,Three,Closed Lost,,0,2026-01-31,true,false,2026-01-06T09:00:00.000Z,Odd,false
"""
USERS = """Id,Name,IsActive,ForecastEnabled,ManagerId
005A00000000001IAA,Ann,true,true,005A00000000002IAA
005A00000000002IAA,Bob,true,false,
"""
ACCOUNTS = "Id,Name,Industry\n001A00000000001IAA,Acme,Energy\n"
HISTORY = """Id,OpportunityId,CreatedById,CreatedDate,StageName,Amount,CloseDate,Probability,ForecastCategory
1,006A00000000001IAA,005A00000000001IAA,2026-01-02T09:00:00.000Z,Proposal,900,2026-01-31,60,Pipeline
2,006A00000000001IAA,005A00000000001IAA,2026-01-10T09:00:00.000Z,Proposal,1000.5,2026-01-31,60,BestCase
3,006A00000000001IAA,005A00000000001IAA,2026-01-18T09:00:00.000Z,Closed Won,1000.5,2026-01-18,100,Closed
4,006A00000000002IAA,005A00000000001IAA,2026-01-05T09:00:00.000Z,Proposal,250,2026-02-20,60,MostLikely
"""
OWNERS = """OpportunityId,Field,OldValue,NewValue,CreatedDate,CreatedById
006A00000000002IAA,Owner,005A00000000002IAA,005A00000000001IAA,2026-01-15T09:00:00.000Z,005A00000000002IAA
006A00000000002IAA,Owner,005A00000000002IAA,005A00000000001IAA,2026-01-15T09:00:00.000Z,005A00000000002IAA
006A00000000002IAA,Description,a,b,2026-01-15T09:00:00.000Z,005A00000000002IAA
"""


def export(root, name="export_2026-02-01", **files):
    folder = root / name
    folder.mkdir()
    given = {"Opportunity": DEALS, "User": USERS, "Account": ACCOUNTS} | files
    for stem, text in given.items():
        if text is not None:
            (folder / f"{stem}.csv").write_text(text, encoding="utf-8")
    return folder


def balanced(loaded):
    report = loaded.report
    assert (report["rows_in"] == report["rows_kept"] + report["rows_quarantined"]).all()
    assert {n: len(f) for n, f in loaded.tables.items()} == dict(
        zip(report["table"], report["rows_kept"], strict=True)
    )
    return loaded


def deals_of(loaded):
    return loaded.tables["opportunities"].set_index("opportunity_id")


def kinds(loaded):
    return loaded.findings.groupby("kind")["n"].sum().to_dict()


# --- ids ---------------------------------------------------------------------------------------------------------


def test_real_ids_carry_their_own_witness():
    """Known answers: the last three characters of 119 ids that Salesforce itself wrote."""
    found = 0
    for file in ("Account", "Opportunity", "Lead", "Contact"):
        written = pd.read_csv(shared("salesforce_devorg") / f"{file}.csv")["Id"]
        assert [ids.suffix(one[:15]) for one in written] == [one[15:] for one in written]
        found += len(written)
    assert found == 101


def test_trap_65_short_and_long_ids_are_one_and_damaged_case_is_told():
    given = ["006A00000000001", "006A00000000001IAA", "006a00000000001IAA", "x", None]
    done, damaged = ids.complete(pd.Series(given, dtype="string[pyarrow]"))
    assert done.fillna("").tolist() == ["006A00000000001IAA", "006A00000000001IAA", "006a00000000001IAA", "x", ""]
    assert damaged == ["006a00000000001IAA"]


# --- a small export ----------------------------------------------------------------------------------------------


def test_a_small_export_lands_in_the_contract(tmp_path):
    loaded = balanced(load("salesforce", export(tmp_path, OpportunityHistory=HISTORY)))
    deals = deals_of(loaded)
    assert loaded.extracted_at == pd.Timestamp("2026-02-01 23:59:59.999999Z")  # the folder's name
    assert deals["amount"].dropna().tolist() == [Decimal("1000.50"), Decimal("250.00")]
    assert deals["probability_crm"].tolist() == [1.0, 0.6, 0.0]  # trap 1: 0–100 here
    assert deals["type"].tolist() == ["new", "renewal", "Odd"]
    assert kinds(loaded)["unmapped value"] == 1  # trap 5
    # trap 7: history dates the closing, the editable CloseDate stays what was expected
    assert deals["close_date"].tolist()[0] == pd.Timestamp("2026-01-18")
    assert deals["expected_close_date"].tolist()[0] == pd.Timestamp("2026-01-20")
    # without a closing move in history the close date counts
    assert deals["close_date"].tolist()[2] == pd.Timestamp("2026-01-31")
    assert loaded.tables["stages"]["stage_name"].tolist() == ["Proposal", "Closed Won", "Closed Lost"]
    assert loaded.tables["users"]["is_quota_carrying"].tolist() == [True, False]


def test_saved_states_become_changes(tmp_path):
    loaded = load("salesforce", export(tmp_path, OpportunityHistory=HISTORY))
    history = loaded.tables["opportunity_history"]
    first = history[history["opportunity_id"].str.contains("001")]
    told = [
        (str(r.changed_at)[:10], r.field, r.old_value, r.new_value)
        for r in first.assign(old_value=first["old_value"].fillna("")).itertuples()
        if r.field == "amount"
    ]
    assert told == [("2026-01-02", "amount", "", "900.00"), ("2026-01-10", "amount", "900.00", "1000.50")]
    assert set(history["origin"]) == {"native"}
    assert loaded.coverage == dict.fromkeys(
        ["amount", "expected_close_date", "forecast_category", "probability", "stage"]
    )
    then = state(loaded.tables["opportunities"], history, "2026-01-12", stages=loaded.tables["stages"])
    then = then.set_index("opportunity_id")
    assert then["amount"].iloc[0] == Decimal("1000.50")
    assert then["forecast_category"].tolist()[:2] == ["best_case", "most_likely"]
    assert not then["is_closed"].iloc[0]


def test_trap_16_a_field_is_unknown_before_it_was_tracked(tmp_path):
    folder = export(tmp_path, OpportunityFieldHistory=OWNERS)
    ws = make_workspace(tmp_path / "ws")
    ws.ingest("salesforce", folder)
    found = ws.snapshot()
    assert {k: str(v)[:10] for k, v in found.coverage.items()} == {"owner": "2026-01-15"}
    before, after = ws.book("2026-01-14"), ws.book("2026-01-16")
    assert not before.tracks("owner")
    assert after.tracks("owner")
    with pytest.raises(InsufficientData, match="Owner of deals before 2026-01-15"):
        before.require("owner")
    after.require("owner")
    findings = found.findings().groupby("kind")["n"].sum()
    assert findings["the same change told twice, kept once"] == 1  # trap 19
    assert findings["change of a field not tracked"] == 1


def test_before_tracking_an_open_deal_shows_nothing_rather_than_a_guess(tmp_path):
    changes = (
        "OpportunityId,Field,OldValue,NewValue,CreatedDate,CreatedById\n"
        "006A00000000002IAA,Amount,100,250,2026-01-20T09:00:00.000Z,005A00000000001IAA\n"
        "006A00000000001IAA,Amount,900,1000.5,2026-01-12T09:00:00.000Z,005A00000000001IAA\n"
    )
    ws = make_workspace(tmp_path / "ws")
    ws.ingest("salesforce", export(tmp_path, OpportunityFieldHistory=changes))

    def amount(day):
        deals = ws.book(day).opportunities.set_index("opportunity_id")
        return deals["amount"].get("sf:006A00000000002IAA")

    assert amount("2026-01-13") == Decimal("100.00")  # tracked by then, changed later
    assert pd.isna(amount("2026-01-11"))  # nobody tracked it yet
    assert amount("2026-01-21") == Decimal("250.00")


# --- headers, formats, files ---------------------------------------------------------------------------------------


def test_labels_of_a_report_in_german_with_semicolons_and_commas(tmp_path):
    german = (
        "Opportunity-ID;Name der Opportunity;Phase;Betrag;Wahrscheinlichkeit (%);Schlusstermin;Erstelldatum;Geschlossen;Gewonnen\n"
        "006A00000000001IAA;Eins;Closed Won;1.000,50;100;18.01.2026;02.01.2026;1;1\n"
        "006A00000000002IAA;Zwei;Proposal;250,00;60;20.02.2026;05.01.2026;0;0\n"
    )
    folder = export(tmp_path, Opportunity="\ufeff" + german, User=None, Account=None)
    loaded = balanced(load("salesforce", folder))
    assert deals_of(loaded)["amount"].tolist() == [Decimal("1000.50"), Decimal("250.00")]
    assert deals_of(loaded)["close_date"].tolist()[0] == pd.Timestamp("2026-01-18")


def test_the_same_deals_from_xlsx_and_parquet(tmp_path):
    frame = pd.read_csv(export(tmp_path) / "Opportunity.csv", dtype="string")
    plain = deals_of(load("salesforce", tmp_path / "export_2026-02-01"))
    for suffix, write in {"xlsx": "to_excel", "parquet": "to_parquet"}.items():
        folder = tmp_path / f"{suffix}_2026-02-01"
        folder.mkdir()
        typed = frame.assign(Amount=pd.to_numeric(frame["Amount"]), CloseDate=pd.to_datetime(frame["CloseDate"]))
        getattr(typed, write)(folder / f"opportunities.{suffix}", index=False)
        other = deals_of(load("salesforce", folder))
        shared_columns = [c for c in plain if c not in ("source_file_sha256", "owner_id")]
        pd.testing.assert_frame_equal(plain[shared_columns], other[shared_columns])


def test_trap_65_serial_dates_of_excel_are_read_where_the_whole_column_has_them(tmp_path):
    serial = DEALS.replace("2026-01-20", "46042").replace("2026-02-20", "46073").replace("2026-01-31", "46053")
    deals = deals_of(load("salesforce", export(tmp_path, Opportunity=serial)))
    assert deals["expected_close_date"].dt.strftime("%Y-%m-%d").tolist() == [
        "2026-01-20",
        "2026-02-20",
        "2026-01-31",
    ]
    mixed = DEALS.replace("2026-01-20", "46042")
    with pytest.raises(DataContractError, match=r"CloseDate.*mixes readings.*a serial day of Excel"):
        load("salesforce", export(tmp_path, "mixed_2026-02-01", Opportunity=mixed))


def test_objects_are_told_by_header_where_the_name_says_nothing(tmp_path):
    folder = export(tmp_path, Opportunity=None, report1700000000=DEALS)
    assert len(load("salesforce", folder).tables["opportunities"]) == 3


def test_a_needed_column_that_is_missing_or_misspelt_is_named(tmp_path):
    wrong = DEALS.replace("StageName", "StgeName")
    with pytest.raises(
        DataContractError, match=r"Opportunity.csv, row 1: as Opportunity it lacks 'StageName'.*is it 'StgeName'"
    ):
        load("salesforce", export(tmp_path, Opportunity=wrong))


def test_an_unread_column_is_listed_with_what_it_may_have_meant(tmp_path):
    odd = DEALS.replace("Probability", "Probabilty").replace("Name,StageName", "Nmae__c,StageName")
    found = load("salesforce", export(tmp_path, Opportunity=odd)).findings
    told = found.loc[found["kind"].eq("column not read") & found["file"].eq("Opportunity.csv"), "column"].tolist()
    assert told == ["Nmae__c", "Probabilty (near Probability)"]


def test_a_folder_without_anything_known_says_what_it_looked_for(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataContractError, match=r"no file is recognised as a salesforce export \(found: x.csv\)"):
        load("salesforce", tmp_path)


def test_custom_fields_come_through_a_mapping_that_extends(tmp_path):
    custom = DEALS.replace("Type,IsDeleted", "Type,Loss_Reason__c").replace(",Odd,false", ",Odd,Price")
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nextends: salesforce\ntables:\n  opportunities:\n    columns:\n      loss_reason: Loss_Reason__c\n"
        "      type: {from: Type, map: {New Business: new, Renewal: renewal, Odd: other}}\n"
    )
    loaded = load("salesforce", export(tmp_path, Opportunity=custom), mapping=tmp_path / "mine.yaml")
    assert deals_of(loaded)["loss_reason"].iloc[2] == "Price"
    assert deals_of(loaded)["type"].tolist() == ["new", "renewal", "other"]
    (tmp_path / "bad.yaml").write_text("name: bad\nextends: salesfroce\n")
    with pytest.raises(ConfigError, match="Did you mean 'salesforce'"):
        load("salesforce", tmp_path, mapping=tmp_path / "bad.yaml")


def test_activities_of_three_kinds(tmp_path):
    """Traps 39, 40, 41: open tasks are no activity, invitees no meetings, list mails are automated."""
    task = (
        "Id,TaskSubtype,Status,IsClosed,OwnerId,WhatId,WhoId,ActivityDate,CompletedDateTime,CreatedDate,CallDurationInSeconds\n"
        "00T1,Call,Completed,true,005A00000000001IAA,006A00000000001IAA,,2026-03-01,2026-01-10T10:00:00Z,2026-01-09T10:00:00Z,125\n"
        "00T2,ListEmail,Completed,true,005A00000000001IAA,,00Q000000000001IAA,2026-01-11,2026-01-11T10:00:00Z,2026-01-11T10:00:00Z,\n"
        "00T3,Task,Open,false,005A00000000001IAA,,,2026-05-01,,2026-01-09T10:00:00Z,\n"
    )
    event = (
        "Id,OwnerId,WhatId,StartDateTime,EndDateTime,IsChild\n"
        "00U1,005A00000000001IAA,006A00000000001IAA,2026-01-12T10:00:00Z,2026-01-12T11:00:00Z,false\n"
        "00U2,005A00000000002IAA,006A00000000001IAA,2026-01-12T10:00:00Z,2026-01-12T11:00:00Z,true\n"
    )
    loaded = balanced(load("salesforce", export(tmp_path, Task=task, Event=event)))
    found = loaded.tables["activities"].set_index("activity_id")
    assert found.index.tolist() == ["sf:00T1", "sf:00T2", "sf:00U1"]
    assert found["type"].tolist() == ["call", "email", "meeting"]
    assert found["is_automated"].tolist() == [False, True, False]
    assert found["started_at"].iloc[0] == pd.Timestamp("2026-01-10 10:00Z")  # done, not due
    assert found["duration_s"].iloc[0] == 125
    assert found["opportunity_id"].fillna("").tolist()[:2] == ["sf:006A00000000001IAA", ""]
    left_out = loaded.findings[loaded.findings["kind"].str.startswith("left out by rule")]
    assert left_out["n"].tolist() == [1, 1]


def test_trap_29_dated_rates_hold_until_the_next_and_price_each_deal(tmp_path):
    """Salesforce writes units per corporate unit; a rate holds from its day until the next one."""
    deals = DEALS.replace("Type,IsDeleted", "CurrencyIsoCode,IsDeleted").replace("New Business", "EUR")
    deals = deals.replace("Renewal", "GBP").replace("Odd", "USD")
    rates = "IsoCode,StartDate,ConversionRate\nEUR,2026-01-01,0.8\nEUR,2026-01-25,0.5\nUSD,2026-01-01,1\n"
    ws = make_workspace(tmp_path / "ws", "company: {currency: USD, timezone: UTC}\nsource: {kind: sample}\n")
    ws.ingest("salesforce", export(tmp_path, Opportunity=deals, DatedConversionRate=rates))
    priced = facts.deals(ws.book()).set_index("opportunity_id")["priced"]
    assert priced["sf:006A00000000001IAA"] == Decimal("1250.62")  # 1250.625, half to even
    assert pd.isna(priced["sf:006A00000000002IAA"])  # no rate for GBP: counted, not priced
    assert len(ws.book().fx_rates) == 24 + 8 + 32


# --- real exports --------------------------------------------------------------------------------------------------


def test_a_real_developer_org(tmp_path):
    ws = make_workspace(tmp_path)
    ws.ingest("salesforce", shared("salesforce_devorg"))
    losses = ws.snapshot().losses().set_index("table")
    assert losses["rows_kept"].to_dict() == {
        "accounts": 18, "stages": 10, "opportunities": 36, "opportunity_history": 215, "leads": 22,
    }  # fmt: skip
    assert losses["rows_quarantined"].sum() == 0
    # counted by hand in the history file: 19 rows of creation already won; seven of them lost on 2026-03-07
    at = {day: ws.book(day).opportunities for day in ("2026-02-22", "2026-02-24", "2026-03-08")}
    assert [len(deals) for deals in at.values()] == [0, 36, 36]
    assert [int(deals["is_won"].sum()) for deals in at.values()] == [0, 19, 12]
    findings = ws.snapshot().findings().groupby("kind")["n"].sum()
    assert findings["closed on another day than the close date says; history counts"] == 20


def test_a_connectors_tables_load_and_balance():
    loaded = balanced(load("salesforce", shared("fivetran_seeds") / "salesforce"))
    assert loaded.report["rows_quarantined"].sum() == 0
    assert len(loaded.tables["opportunities"]) == 10
    assert (
        "sf_order_data.csv"
        in loaded.findings.loc[loaded.findings["kind"].eq("file not recognised"), "file"].tolist()
    )


# --- successive exports -----------------------------------------------------------------------------------------------


def test_trap_14_successive_exports_become_history_and_absence_deletion(tmp_path):
    first = export(
        tmp_path,
        "export_2026-01-15",
        Opportunity=DEALS.replace(
            "Closed Won,1000.50,100,2026-01-20,true,true", "Proposal,800,60,2026-01-31,false,false"
        ),
    )
    second = export(tmp_path, "export_2026-02-01")
    without_two = "".join(line for line in DEALS.splitlines(True) if ",Two," not in line)
    late = (
        without_two
        + "006A00000000009IAA,,005A00000000001IAA,Nine,Proposal,70,60,2026-03-20,false,false,2026-02-03T09:00:00.000Z,Renewal,false\n"
    )
    third = export(tmp_path, "export_2026-02-08", Opportunity=late)
    ws = make_workspace(tmp_path / "ws")
    ws.ingest("salesforce", third, first, second)  # in any order
    history = ws.snapshot().read("opportunity_history")
    assert set(history["origin"]) == {"snapshot_diff"}
    told = {
        (r.opportunity_id[-4:], r.field, r.old_value, r.new_value, str(r.changed_at)[:10])
        for r in history.itertuples()
    }
    assert ("1IAA", "amount", "800.00", "1000.50", "2026-02-01") in told
    assert ("1IAA", "stage", "sf:Proposal", "sf:Closed Won", "2026-02-01") in told
    assert ("2IAA", "deleted", "false", "true", "2026-02-08") in told

    def known(day):
        return sorted(one[-4:] for one in ws.book(day).opportunities["opportunity_id"])

    assert known("2026-02-07") == ["1IAA", "2IAA", "3IAA", "9IAA"]
    assert known("2026-02-09") == ["1IAA", "3IAA", "9IAA"]
    amount = ws.book("2026-01-20").opportunities.set_index("opportunity_id")["amount"]
    assert amount["sf:006A00000000001IAA"] == Decimal("800.00")
    with pytest.raises(InsufficientData, match="before 2026-01-15"):
        ws.book("2026-01-10").require("amount")
    findings = ws.snapshot().findings().groupby("kind")["n"].sum()
    assert findings["gone from the export, taken as deleted"] == 1
    losses = ws.snapshot().losses()
    assert (losses["rows_in"] == losses["rows_kept"] + losses["rows_quarantined"]).all()


def test_two_exports_of_one_day_cannot_be_told_apart(tmp_path):
    folders = [export(tmp_path, f"{name}_2026-02-01") for name in "ab"]
    with pytest.raises(DataContractError, match="two exports carry the same date"):
        load("salesforce", *folders)


# --- what a reviewer found ------------------------------------------------------------------------------------------


def test_trap_19_of_an_owner_told_by_id_and_by_name_the_id_counts(tmp_path):
    by_name = OWNERS + "006A00000000002IAA,Owner,Bob Jones,Ann Smith,2026-01-15T09:00:00.000Z,005A00000000002IAA\n"
    loaded = load("salesforce", export(tmp_path, OpportunityFieldHistory=by_name))
    history = loaded.tables["opportunity_history"]
    assert history.loc[history["field"].eq("owner"), "new_value"].tolist() == ["sf:005A00000000001IAA"]
    assert kinds(loaded)["change of owner told by name"] == 1


def test_values_in_history_are_renamed_as_the_deals_own_column_is(tmp_path):
    changes = (
        "OpportunityId,Field,OldValue,NewValue,CreatedDate,CreatedById\n"
        "006A00000000002IAA,ForecastCategoryName,Pipeline,Best Case,2026-01-20T09:00:00.000Z,005A00000000001IAA\n"
        "006A00000000002IAA,Type,New Business,Renewal,2026-01-21T09:00:00.000Z,005A00000000001IAA\n"
        "006A00000000002IAA,Type,Renewal,Odd,2026-01-22T09:00:00.000Z,005A00000000001IAA\n"
    )
    loaded = load("salesforce", export(tmp_path, OpportunityFieldHistory=changes))
    told = loaded.tables["opportunity_history"][["old_value", "new_value"]].fillna("").values.tolist()
    assert told == [["pipeline", "best_case"], ["new", "renewal"], ["renewal", "Odd"]]
    unknown = loaded.findings[loaded.findings["kind"].eq("unmapped value")]
    assert ["opportunity_history", "Odd"] in unknown[["table", "value"]].values.tolist()


@pytest.mark.parametrize("newest_first", [False, True])
def test_moves_of_one_minute_stand_in_the_order_of_the_file(tmp_path, newest_first):
    lines = [
        "1,006A00000000001IAA,005A00000000001IAA,2026-01-02 09:00,Proposal,900,2026-01-31,60,Pipeline\n",
        "2,006A00000000001IAA,005A00000000001IAA,2026-01-18 09:00,Negotiation,900,2026-01-31,80,Pipeline\n",
        "3,006A00000000001IAA,005A00000000001IAA,2026-01-18 09:00,Closed Won,900,2026-01-31,100,Closed\n",
    ]
    text = HISTORY.splitlines(True)[0] + "".join(reversed(lines) if newest_first else lines)
    loaded = load("salesforce", export(tmp_path, OpportunityHistory=text))
    moves = loaded.tables["opportunity_history"]
    moves = moves[moves["field"].eq("stage")].sort_values(["changed_at", "seq"])
    assert moves["new_value"].tolist() == ["sf:Proposal", "sf:Negotiation", "sf:Closed Won"]


def test_stages_of_any_alphabet_and_of_nearly_one_name_stay_apart(tmp_path):
    words = {"Proposal": "商談中", "Closed Won": "受注", "Closed Lost": "失注"}
    deals, history = DEALS, HISTORY
    for word, other in words.items():
        deals, history = deals.replace(word, other), history.replace(word, other)
    stages = "MasterLabel,ApiName,SortOrder,IsClosed,IsWon\n商談中,Neg,1,false,false\n受注,Won,2,true,true\n失注,Lost,3,true,false\n"
    loaded = load(
        "salesforce", export(tmp_path, Opportunity=deals, OpportunityHistory=history, OpportunityStage=stages)
    )
    assert deals_of(loaded)["stage_id"].tolist() == ["sf:Won", "sf:Neg", "sf:Lost"]
    moves = loaded.tables["opportunity_history"]
    assert moves.loc[moves["field"].eq("stage"), "new_value"].tolist() == ["sf:Neg", "sf:Won", "sf:Neg"]
    assert deals_of(loaded)["close_date"].iloc[0] == pd.Timestamp("2026-01-18")  # closed by a stage told by label
    near = HISTORY.replace("Proposal,900", "Demo 1,900").replace("Proposal,1000.5", "Demo-1,1000.5")
    moves = load("salesforce", export(tmp_path, "near_2026-02-01", OpportunityHistory=near)).tables[
        "opportunity_history"
    ]
    first = moves[moves["field"].eq("stage") & moves["opportunity_id"].str.contains("001")]
    assert first["new_value"].tolist() == ["sf:Demo 1", "sf:Demo-1", "sf:Closed Won"]


def without(name, text=DEALS):
    return "".join(line for line in text.splitlines(True) if f",{name}," not in line)


def test_a_deal_deleted_and_then_purged_stays_known_for_the_time_before(tmp_path):
    gone = DEALS.replace("09:00:00.000Z,Renewal,false", "09:00:00.000Z,Renewal,true")
    folders = [
        export(tmp_path, "export_2026-01-10"),
        export(tmp_path, "export_2026-01-17", Opportunity=gone),
        export(tmp_path, "export_2026-01-24", Opportunity=without("Two")),
    ]
    ws = make_workspace(tmp_path / "ws")
    ws.ingest("salesforce", *folders)
    known = {day: len(ws.book(day).opportunities) for day in ("2026-01-12", "2026-01-18", "2026-01-25")}
    assert known == {"2026-01-12": 3, "2026-01-18": 2, "2026-01-25": 2}
    assert len(ws.snapshot().read("opportunities")) == 3


def test_a_deal_that_could_not_be_read_is_not_taken_as_deleted(tmp_path):
    folders = [
        export(tmp_path, "export_2026-01-10"),
        export(tmp_path, "export_2026-01-17", Opportunity=DEALS.replace(",250,60", ",25x0,60")),
        export(tmp_path, "export_2026-01-24"),
    ]
    loaded = balanced_all(load("salesforce", *folders, max_loss=1))
    assert loaded.tables["opportunity_history"].empty
    assert kinds(loaded)["set aside in an export, so neither there nor gone"] == 1
    report = loaded.report.set_index("table")
    assert report.loc["opportunities (export of 2026-01-17)", ["rows_in", "rows_quarantined"]].tolist() == [3, 1]


def balanced_all(loaded):
    report = loaded.report
    assert (report["rows_in"] == report["rows_kept"] + report["rows_quarantined"]).all()
    assert loaded.quarantine["table"].value_counts().to_dict() == {
        row.table: row.rows_quarantined for row in report.itertuples() if row.rows_quarantined
    }
    return loaded


def test_a_column_missing_in_one_export_makes_no_changes(tmp_path):
    bare = pd.read_csv(export(tmp_path, "source") / "Opportunity.csv", dtype="string").drop(columns="Amount")
    first = export(tmp_path, "export_2026-01-10", Opportunity=bare.to_csv(index=False))
    loaded = load("salesforce", first, export(tmp_path, "export_2026-01-17"))
    assert loaded.tables["opportunity_history"].empty
    assert loaded.coverage["amount"][:10] == "2026-01-17"
    assert loaded.coverage["stage"][:10] == "2026-01-10"


def test_one_broken_line_among_many_deals_does_not_refuse_for_the_owners(tmp_path):
    head, *lines = DEALS.splitlines(True)
    many = (
        head + "".join(lines[1].replace("006A00000000002", f"006A0000000{k:04d}") for k in range(100)) + "broken\n"
    )
    loaded = balanced_all(load("salesforce", export(tmp_path, Opportunity=many, User=None)))
    assert loaded.report.set_index("table")["rows_quarantined"].to_dict()["opportunities"] == 1
    assert len(loaded.tables["users"]) == 1


def test_parts_and_strays_beside_the_files(tmp_path):
    head, *lines = DEALS.splitlines(True)
    folder = export(
        tmp_path, Opportunity=head + lines[0], Opportunity_part2=head + lines[1], extra=head + lines[2]
    )
    (folder / "readme.txt").write_text("")
    (folder / "notes.xlsx").write_bytes(b"no workbook")
    loaded = load("salesforce", folder)
    assert len(loaded.tables["opportunities"]) == 3
    strangers = loaded.findings.loc[loaded.findings["kind"].eq("file not recognised"), "file"].tolist()
    assert [name.partition(",")[0] for name in strangers] == ["notes.xlsx", "readme.txt"]


def test_short_and_long_ids_meet_in_lookups(tmp_path):
    leads = "Id,Status,IsConverted,ConvertedOpportunityId,CreatedDate\n00Q000000000001AAA,Converted,true,006A00000000002,2026-01-01\n"
    deals = deals_of(load("salesforce", export(tmp_path, Lead=leads)))
    assert deals["lead_id"].fillna("").tolist() == ["", "sf:00Q000000000001AAA", ""]


def test_several_exports_must_say_their_day(tmp_path):
    with pytest.raises(DataContractError, match="nothing says of which day old is"):
        load("salesforce", export(tmp_path, "old"), export(tmp_path, "export_2026-02-01"))


def test_typed_numbers_of_a_workbook_are_taken_as_they_are(tmp_path):
    frame = pd.DataFrame({"Id": ["006A00000000001IAA", "006A00000000002IAA"], "StageName": "Proposal", "Amount": [100.125, 7.0],
                          "IsClosed": False, "IsWon": False})  # fmt: skip
    for suffix, write in {"xlsx": "to_excel", "parquet": "to_parquet"}.items():
        folder = export(
            tmp_path,
            f"{suffix}_2026-02-01",
            Opportunity=None,
            User=None,
            Account='Id,Name,AnnualRevenue\n001A,A,"1.000,5"\n',
        )
        getattr(frame, write)(folder / f"Opportunity.{suffix}", index=False)
        assert deals_of(load("salesforce", folder))["amount"].tolist() == [Decimal("100.12"), Decimal("7.00")]
