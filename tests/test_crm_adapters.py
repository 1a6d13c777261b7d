"""Three CRMs, one company: whatever language and file format it comes in, the same canonical rows come out."""

import os
from datetime import timedelta
from decimal import Decimal

import pandas as pd
import pytest
from click.testing import CliRunner

from salesops_lib import tables
from salesops_lib.cli import main
from salesops_lib.config import CompanySettings
from salesops_lib.errors import ConfigError, DataContractError
from salesops_lib.history import state
from salesops_lib.sources import load
from tests import crm_exports
from tests.conftest import make_workspace, shared
from tests.crm_exports import FORMS, LANGUAGES, exports, write

COMPANY = CompanySettings(timezone="Europe/Berlin", currency="EUR")
pytestmark = pytest.mark.usefixtures("mappings_read_once")
PREFIX = {"hubspot": "hs:", "pipedrive": "pd:", "dynamics": "dyn:"}


def read(crm, path, **options):
    return load(crm, path, company=options.pop("company", COMPANY), **options)


def made(crm, tmp_path, language="api", form="csv", change=None, **options):
    """Load an export of the company, changed by hand."""
    files = exports(crm, language)
    if change:
        change(files)
    return read(crm, write(tmp_path, files, form), **options)


def balanced(loaded) -> bool:
    report = loaded.report
    kept = {name: len(frame) for name, frame in loaded.tables.items()}
    return (report["rows_in"] == report["rows_kept"] + report["rows_quarantined"]).all() and dict(
        zip(report["table"], report["rows_kept"], strict=True)
    ) == kept


def plain(cell):
    """Bring a cell to a Python value: nothing, instant, date, number, text."""
    if pd.isna(cell):
        return None
    return cell.to_pydatetime() if isinstance(cell, pd.Timestamp) else cell


def day(cell):
    return None if pd.isna(cell) else cell.date()


def names(loaded, table):
    frame = loaded.tables[table]
    return dict(zip(frame.iloc[:, 0], frame["name"], strict=True))


def stage_of(loaded):
    """Name a deal's stage; closed ones by how they end."""
    stages = loaded.tables["stages"]
    known = {
        (row.pipeline_id, row.stage_id): ("won" if row.is_won else "lost") if row.is_closed else row.stage_name
        for row in stages.itertuples()
    }
    return lambda row: known.get((row.pipeline_id, row.stage_id), f"? {row.stage_id}")


def deals_of(loaded) -> dict:
    stage, users, accounts = stage_of(loaded), names(loaded, "users"), names(loaded, "accounts")
    frame = loaded.tables["opportunities"]
    titles = dict(zip(frame["opportunity_id"], frame["name"], strict=True))
    return {
        row.name: {
            "amount": plain(row.amount),
            "currency": row.currency,
            "account": accounts.get(row.account_id),
            "owner": users.get(row.owner_id),
            "pipeline": row.pipeline_id.split(":")[1][-1],
            "stage": stage(row),
            "closed": row.is_closed,
            "won": row.is_won,
            "created": plain(row.created_at),
            "expected": day(row.expected_close_date),
            "closed_at": plain(row.closed_at),
            "close_date": day(row.close_date),
            "probability": plain(row.probability_crm),
            "reason": plain(row.loss_reason),
            "deleted": row.is_deleted,
            "merged_into": titles.get(row.merged_into_id),
            "category": plain(row.forecast_category),
            "type": plain(row.type),
        }
        for row in frame.itertuples(index=False)
    }


def past_of(loaded, when) -> dict:
    stage, users = stage_of(loaded), names(loaded, "users")
    then = state(
        loaded.tables["opportunities"],
        loaded.tables["opportunity_history"],
        when,
        stages=loaded.tables["stages"],
        calendar=loaded.company.calendar(),
    )
    return {
        row.name: {
            "stage": stage(row),
            "amount": plain(row.amount),
            "expected": day(row.expected_close_date),
            "owner": users.get(row.owner_id),
            "closed": row.is_closed,
            "won": row.is_won,
            "deleted": row.is_deleted,
        }
        for row in then.itertuples(index=False)
    }


def canonical(loaded) -> dict:
    users = names(loaded, "users")
    frame = loaded.tables["opportunities"]
    titles = dict(zip(frame["opportunity_id"], frame["name"], strict=True))
    spent = loaded.tables["activities"].assign(
        duration_s=lambda a: a["duration_s"].fillna((a["ended_at"] - a["started_at"]).dt.total_seconds())
    )
    return {
        "users": set(users.values()),
        "accounts": set(names(loaded, "accounts").values()),
        "deals": deals_of(loaded),
        "past": {when: past_of(loaded, when) for when in crm_exports.PAST},
        "activities": {
            (a.type, users.get(a.user_id), titles.get(a.opportunity_id), plain(a.started_at), a.duration_s)
            for a in spent.itertuples()
        },
        "leads": {
            (plain(le.created_at), users.get(le.owner_id), le.source) for le in loaded.tables["leads"].itertuples()
        },
    }


# every language in one form, every form in one language of each CRM; SALESOPS_FUZZ (the nightly run) takes all
EVERY = [
    (crm, language, form)
    for crm, languages in LANGUAGES.items() for language in languages for form in FORMS
    if form == FORMS[0] or language == "de" or "SALESOPS_FUZZ" in os.environ
]  # fmt: skip


@pytest.mark.parametrize(("crm", "language", "form"), EVERY, ids=["-".join(one) for one in EVERY])
def test_the_same_company_comes_out(tmp_path, crm, language, form):
    loaded = made(crm, tmp_path, language, form)
    assert balanced(loaded)
    assert loaded.quarantine.empty
    for name, frame in loaded.tables.items():
        assert tables.violations(frame, name).empty, name
    got, wanted = canonical(loaded), crm_exports.expected(crm, language)
    for part in ("users", "accounts", "activities", "leads"):
        assert got[part] == wanted[part], part
    for name, deal in wanted["deals"].items():
        assert got["deals"].get(name) == deal, name
    assert set(got["deals"]) == set(wanted["deals"])
    assert got["past"] == wanted["past"]
    doubts = loaded.findings[
        loaded.findings["kind"].isin(["unmatched reference", "unmapped value", "file not recognised"])
    ]
    assert doubts.empty, doubts.to_string()


def found(loaded, kind) -> list[tuple]:
    hits = loaded.findings[loaded.findings["kind"] == kind]
    return [tuple(row) for row in hits[["file", "column", "value", "n"]].itertuples(index=False)]


def one(loaded, name, table="opportunities"):
    frame = loaded.tables[table]
    return frame[frame["name"] == name].iloc[0]


@pytest.mark.parametrize(
    ("crm", "language", "file", "label", "typo", "api"),
    [
        ("hubspot", "en", "deals", "Amount", "Amuont", "amount"),
        ("hubspot", "de", "deals", "Abschlussdatum", "Abschlusdatum", "closedate"),
        ("pipedrive", "cs", "deals", "Obchod - Název", "Obchod - Názvy", "title"),
        ("dynamics", "de", "opportunities", "Gesch. Umsatz", "Gesch. Umsaz", "estimatedvalue"),
    ],
)
def test_a_misspelt_label_is_listed_with_what_it_resembles(tmp_path, crm, language, file, label, typo, api):
    def change(files):
        files[file] = [{typo if k == label else k: v for k, v in row.items()} for row in files[file]]

    loaded = made(crm, tmp_path, language, change=change)
    assert (f"{file}.csv", f"{typo} (near {api})", "", 1) in found(loaded, "column not read")


def test_missing_needed_columns_stop_with_the_exact_list(tmp_path):
    def change(files):
        files["deals"] = [
            {("Deal Stagge" if k == "Deal Stage" else k): v for k, v in row.items() if k != "Record ID"}
            for row in files["deals"]
        ]

    with pytest.raises(DataContractError) as caught:
        made("hubspot", tmp_path, "en", change=change)
    said = str(caught.value)
    assert said.startswith("deals.csv, row 1: as Deal it lacks 'hs_object_id' (also called id, deal_id, Record ID")
    assert "'dealstage' (also called" in said
    assert "is it 'Deal Stagge'?" in said
    assert "amount" not in said


def test_missing_objects_and_strange_files_are_listed(tmp_path):
    def change(files):
        files["holiday photos"] = [{"a": 1}]
        del files["organizations"], files["leads"]

    loaded = made("pipedrive", tmp_path, "de", change=change)
    assert {column for _, column, _, _ in found(loaded, "not in the export")} == {
        "Organization",
        "Lead",
        "Pipeline",
    }
    assert found(loaded, "file not recognised") == [("holiday photos.csv", "", "", 1)]
    assert {"Acme GmbH", "Dune, Inc."} < set(names(loaded, "accounts").values())  # from the deals, by name


def test_an_unknown_status_is_refused_not_taken_for_open(tmp_path):
    def change(files):
        files["deals"][0]["Deal - Status"] = "Vinto"

    loaded = made("pipedrive", tmp_path, "en", change=change, max_loss=1)
    row = loaded.quarantine.iloc[0]
    assert (row["row"], row["column"], row["value"], row["reason"]) == (
        2,
        "is_closed",
        "Vinto",
        "not true or false",
    )
    assert balanced(loaded)


def test_an_unmapped_value_is_kept_raw_and_listed(tmp_path):
    def change(files):
        files["deals"][3]["hs_manual_forecast_category"] = "STRETCH"

    loaded = made("hubspot", tmp_path, change=change)
    assert one(loaded, "Delta")["forecast_category"] == "STRETCH"
    assert found(loaded, "unmapped value") == [("deals.csv", "forecast_category", "STRETCH", 1)]


def test_changes_of_fields_nobody_tracks_are_counted(tmp_path):
    assert found(made("pipedrive", tmp_path), "change of a field not tracked") == [
        ("dealflow.csv", "field", "label", 1)
    ]


def test_excel_bookkeeping_columns_of_dynamics_are_no_news(tmp_path):
    loaded = made("dynamics", tmp_path, "de", "xlsx")
    assert not any("Nicht" in column for _, column, _, _ in found(loaded, "column not read"))


@pytest.mark.parametrize(("crm", "language"), [("hubspot", "api"), ("pipedrive", "en")])
def test_trap_66_notes_and_subjects_are_never_loaded(tmp_path, crm, language):
    loaded = made(crm, tmp_path, language)
    for frame in loaded.tables.values():
        assert not frame.astype("string").eq("private").fillna(False).to_numpy().any()


@pytest.mark.parametrize(
    ("crm", "language", "file", "parts"),
    [
        ("pipedrive", "fr", "deals", ("amount", "owner", "account", "won", "closed_at", "close_date", "stage")),
        ("hubspot", "en", "deals", ("amount", "owner", "won", "closed", "closed_at", "close_date", "stage")),
        ("dynamics", "de", "opportunities", ("amount", "owner", "account", "won", "closed", "close_date")),
    ],
)
def test_a_list_view_alone_is_enough(tmp_path, crm, language, file, parts):
    """One file as a user downloads it: people and companies by name, stages from the deals."""

    def change(files):
        deals = files[file]
        files.clear()
        files["view 7 (1)"] = deals  # told by its header

    loaded = made(crm, tmp_path, language, change=change)
    wanted = crm_exports.expected(crm, language)
    got = deals_of(loaded)
    assert got.keys() == wanted["deals"].keys()
    for name, deal in got.items():
        assert {part: deal[part] for part in parts} == {part: wanted["deals"][name][part] for part in parts}, name
    assert set(names(loaded, "users").values()) == wanted["users"]
    assert found(loaded, "unmatched reference") == []
    assert any(kind.startswith("stages inferred") for kind in loaded.findings["kind"])


def test_several_views_of_one_object_add_up(tmp_path):
    def change(files):
        deals = files.pop("opportunities")
        files["Won view 29.04"], files["Open view 29.04"] = deals[:4], deals[4:]

    loaded = made("dynamics", tmp_path, "en", change=change)
    assert len(loaded.tables["opportunities"]) == 10


def test_a_name_borne_by_two_counts_for_the_first_and_is_told(tmp_path):
    def change(files):
        files["users"].append({**files["users"][0], "id": "19"})

    loaded = made("pipedrive", tmp_path, "en", change=change)
    assert one(loaded, "Alpha")["owner_id"] == "pd:11"
    assert ("User", "", "Ann Adler", 1) in found(loaded, "several id for one name; the first counts")


def test_a_reopened_deal_goes_back_to_its_stage(tmp_path):
    loaded = made("pipedrive", tmp_path)
    history = loaded.tables["opportunity_history"]
    moves = history[(history["opportunity_id"] == "pd:105") & (history["field"] == "stage")]
    assert list(zip(moves["old_value"], moves["new_value"], strict=True)) == [
        ("pd:1", "pd:lost"), ("pd:lost", "pd:1"), ("pd:1", "pd:2"), ("pd:2", "pd:won"),
    ]  # fmt: skip
    assert set(history["origin"]) == {"native"}
    assert loaded.coverage["stage"] is None  # complete since creation
    gone = history[history["field"] == "deleted"]
    assert set(gone["opportunity_id"]) == {"pd:109", "pd:110"}


def test_dynamics_audit_counts_from_its_first_change(tmp_path):
    assert made("dynamics", tmp_path).coverage["stage"] == "2025-01-20T10:00:00+00:00"


def test_hubspot_history_is_told_by_the_best_source(tmp_path):
    """Property history before a connector's stage record before one date a stage."""
    stamps = {
        "hs_v2_date_entered_qualifiedtobuy": "2025-02-03T12:00:00Z",
        "hs_date_entered_qualifiedtobuy": "2025-02-04T12:00:00Z",
        "hs_v2_date_entered_contractsent": None,
    }

    def change(files):
        files["deals"] = [{**row, **dict.fromkeys(stamps)} for row in files["deals"]]
        files["deals"][3] |= stamps
        files["deal_stage"] = [
            {"deal_id": "104", "value": "qualifiedtobuy", "date_entered": "2025-02-03 12:00:01"}
        ]

    def stage_history(loaded):
        history = loaded.tables["opportunity_history"]
        rows = history[(history["opportunity_id"] == "hs:104") & (history["field"] == "stage")]
        return list(
            zip(rows["new_value"], rows["changed_at"].dt.strftime("%d %H:%M:%S"), rows["origin"], strict=True)
        )

    full = made("hubspot", tmp_path / "a", change=change)
    assert stage_history(full) == [("hs:qualifiedtobuy", "03 12:00:00", "property_history")]
    assert {n for *_, n in found(full, "another source of history tells this field")} == {1}
    assert not any("qualifiedtobuy" in c for _, c, _, _ in found(full, "column not read") if "v2" in c)

    def without(*gone):
        def fewer(files):
            change(files)
            for name in gone:
                del files[name]

        return fewer

    middle = made("hubspot", tmp_path / "b", change=without("deal_property_history"))
    assert stage_history(middle) == [("hs:qualifiedtobuy", "03 12:00:01", "property_history")]
    least = made("hubspot", tmp_path / "c", change=without("deal_property_history", "deal_stage"))
    assert stage_history(least) == [("hs:qualifiedtobuy", "03 12:00:00", "inferred")]


def test_stage_dates_in_ui_headers_speak_of_the_stage_of_the_deals_pipeline(tmp_path):
    def change(files):
        del files["deal_property_history"]
        headers = ('Date entered "Closed won (Sales)"', 'Date entered "Closed won (Renewals)"')
        files["deals"] = [{**row, **dict.fromkeys(headers)} for row in files["deals"]]
        by_name = {row["Deal Name"]: row for row in files["deals"]}
        by_name["Alpha"][headers[0]] = by_name["Alpha"]["Close Date"]
        by_name["Eta"][headers[1]] = by_name["Eta"]["Close Date"]

    history = made("hubspot", tmp_path, "en", change=change).tables["opportunity_history"]
    assert dict(zip(history["opportunity_id"], history["new_value"], strict=True)) == {
        "hs:101": "hs:closedwon",
        "hs:107": "hs:7718",
    }


def test_two_list_views_a_month_apart_make_a_history(tmp_path):
    deals = exports("pipedrive", "en")["deals"]
    early = [
        {**row, "Deal - Status": "Open", "Deal - Won time": None} if row["Deal - Title"] == "Alpha" else row
        for row in deals
    ]
    write(tmp_path, {"deals": early[:-1]}, "csv").rename(tmp_path / "export_2025-03-15")
    write(tmp_path, {"deals": [row for row in deals if row["Deal - Title"] != "Delta"]}, "csv")
    loaded = load("pipedrive", tmp_path / "export_2025-03-15", tmp_path / "export_2025-04-30", company=COMPANY)
    history = loaded.tables["opportunity_history"]
    assert sorted(zip(history["opportunity_id"], history["field"], history["new_value"], strict=True)) == [
        ("pd:101", "stage", "pd:won"),
        ("pd:104", "deleted", "true"),
    ]
    assert set(history["origin"]) == {"snapshot_diff"}


@pytest.mark.parametrize(
    ("crm", "file", "column", "given", "share"),
    [
        ("hubspot", "deals", "hs_deal_stage_probability", "0.2", 0.2),
        ("hubspot", "deals", "hs_deal_stage_probability", "20", None),
        ("pipedrive", "deals", "probability", "20", 0.2),
        ("pipedrive", "deals", "probability", "1", 0.01),
        ("dynamics", "opportunities", "closeprobability", "101", None),
    ],
)
def test_trap_1_probability_has_the_scale_of_its_crm(tmp_path, crm, file, column, given, share):
    def change(files):
        for row in files[file]:
            row[column] = given

    loaded = made(crm, tmp_path, change=change)
    assert {plain(p) for p in loaded.tables["opportunities"]["probability_crm"]} == {share}
    emptied = [kind for kind in loaded.findings["kind"] if kind.startswith("emptied")]
    assert bool(emptied) == (share is None)
    assert balanced(loaded)


def test_trap_7_a_close_date_edited_after_closing_does_not_count(tmp_path):
    def change(files):
        files["deals"][0]["closedate"] = "2025-04-25T10:00:00Z"
        files["deals"][2]["closedate"] = "2025-06-30T10:00:00Z"

    loaded = made("hubspot", tmp_path, change=change)
    won, still_open = one(loaded, "Alpha"), one(loaded, "Gamma")
    assert (day(won.close_date), day(won.expected_close_date)) == (
        pd.Timestamp("2025-03-21").date(),
        pd.Timestamp("2025-04-25").date(),
    )
    assert pd.isna(still_open.close_date)
    assert pd.isna(still_open.closed_at)
    assert day(still_open.expected_close_date) == pd.Timestamp("2025-06-30").date()
    (told,) = [k for k in loaded.findings["kind"] if k.startswith("closed on another day")]
    assert told


def test_trap_9_from_won_to_won_does_not_close_again(tmp_path):
    def change(files):
        stages = files["deal_pipeline_stages"]
        stages.append({**stages[3], "stage_id": "invoiced", "label": "Invoiced", "display_order": 9})
        files["deals"][0]["dealstage"] = "invoiced"
        last = {
            "deal_id": "101",
            "name": "dealstage",
            "value": "invoiced",
            "timestamp": "2025-04-10T10:00:00Z",
            "source": "CRM_UI",
        }
        files["deal_property_history"].append(last)

    deal = one(made("hubspot", tmp_path, change=change), "Alpha")
    assert (deal.stage_id, day(deal.close_date)) == ("hs:invoiced", pd.Timestamp("2025-03-21").date())


@pytest.mark.parametrize("language", ["api", "connector"])
def test_trap_13_merged_deals_name_the_survivor_and_existed_before(tmp_path, language):
    loaded = made("hubspot", tmp_path, language)
    assert one(loaded, "Kappa").merged_into_id == one(loaded, "Gamma").opportunity_id
    then = state(loaded.tables["opportunities"], loaded.tables["opportunity_history"], "2025-03-31",
                 stages=loaded.tables["stages"], calendar=COMPANY.calendar()).set_index("name")  # fmt: skip
    assert pd.isna(then.loc["Kappa", "merged_into_id"])
    assert not then.loc["Kappa", "is_deleted"]


@pytest.mark.parametrize("language", ["api", "en"])
def test_trap_20_a_team_that_owns_deals_is_no_rep(tmp_path, language):
    team = "00000000-0000-0000-0000-000000000099"

    def change(files):
        files["teams"] = [
            {
                "teamid": team,
                "name": "Inside Sales",
                "administratorid": files["systemusers"][1]["systemuserid"],
                "teamtype": 0,
            },
            {"teamid": team[:-1] + "8", "name": "Sharing", "administratorid": None, "teamtype": 1},
        ]
        files["opportunities"][0] |= {"Owner": "Inside Sales"} if language == "en" else {"ownerid": team}

    loaded = made("dynamics", tmp_path, language, change=change)
    users = loaded.tables["users"].set_index("user_id")
    owner = users.loc[one(loaded, "Alpha").owner_id]
    assert (owner["name"], owner["role"], owner["is_quota_carrying"]) == ("Inside Sales", "other", False)
    assert users.loc[owner["manager_id"], "name"] == "Bob Baker"
    assert len(users) == 4  # an access team owns nothing
    assert loaded.tables["opportunities"]["amount"].sum() == sum(  # still in the totals
        d["amount"]
        for d in crm_exports.expected("dynamics", language)["deals"].values()
        if d["amount"] is not None
    )
    assert found(loaded, "unmatched reference") == []


def test_trap_38_durations_in_milliseconds_and_hours(tmp_path):
    hubspot = made("hubspot", tmp_path / "a").tables["activities"].set_index("activity_id")
    assert hubspot.loc["hs:902", "duration_s"] == 4500.0

    def change(files):
        files["activities"][0]["duration"] = "30 minutes"

    loaded = made("pipedrive", tmp_path / "b", change=change)
    pipedrive = loaded.tables["activities"].set_index("activity_id")
    assert pipedrive.loc["pd:902", "duration_s"] == 4500.0
    assert pd.isna(pipedrive.loc["pd:901", "duration_s"])
    assert found(loaded, "emptied: not a duration") == [("activities.csv", "duration_s", "30 minutes", 1)]


def test_trap_39_a_task_that_is_only_due_is_no_activity(tmp_path):
    loaded = made("hubspot", tmp_path / "a")
    assert "hs:904" not in set(loaded.tables["activities"]["activity_id"])
    assert [n for f, c, _, n in found(loaded, "left out by rule: not wanted") if c == "hs_task_status"] == [1]

    def change(files):
        files["tasks"] = [{"hs_object_id": "904", "hs_timestamp": "2025-05-20T09:00:00Z"}]

    loaded = made("hubspot", tmp_path / "b", change=change)
    assert [c for _, c, _, _ in found(loaded, "rule not applied, no such column")] == ["hs_task_status"]


def test_trap_46_the_migrated_date_comes_before_the_date_of_the_import(tmp_path):
    def change(files):
        files["opportunities"] = [
            {**row, "createdon": "2025-04-01T00:00:00Z", "overriddencreatedon": row["createdon"] if k else None}
            for k, row in enumerate(files["opportunities"])
        ]

    loaded = made("dynamics", tmp_path, change=change)
    assert plain(one(loaded, "Alpha").created_at) == crm_exports.at("2025-04-01T00:00")
    assert plain(one(loaded, "Beta").created_at) == crm_exports.at("2025-01-15T08:30")


def test_trap_47_and_48_the_actual_value_counts_for_won_deals_only(tmp_path):
    loaded = made("dynamics", tmp_path)
    assert one(loaded, "Alpha").amount == Decimal("12500.50")
    assert one(loaded, "Beta").amount == Decimal("800.00")  # its actual value is 0


def test_trap_64_a_column_that_mixes_decimal_signs_is_refused(tmp_path):
    def change(files):
        files["deals"][0]["Deal - Wert"] = "12.500,50"

    with pytest.raises(DataContractError, match=r"'Deal - Wert' mixes readings"):
        made("pipedrive", tmp_path, "de", change=change)


@pytest.mark.parametrize(
    ("yes", "no"), [("WAHR", "FALSCH"), ("VRAI", "FAUX"), ("VERDADERO", "FALSO"), ("ONWAAR", None)]
)
def test_trap_64_truth_is_read_in_five_languages(tmp_path, yes, no):
    def change(files):
        yes_no = (yes, no) if no else ("WAAR", yes)
        files["deals"] = [
            {**row, "Is Deal Closed?": yes_no[not won_or_lost], "Is Closed Won": yes_no[not won]}
            for row in files["deals"]
            for won in [row["Deal Stage"] == "Closed won"]
            for won_or_lost in [won or row["Deal Stage"] == "Closed lost"]
        ]
        del files["deal_pipeline_stages"]
        del files["deal_property_history"]

    deals = deals_of(made("hubspot", tmp_path, "en", "semicolon", change=change))
    wanted = crm_exports.expected("hubspot", "en")["deals"]
    assert {name: (d["closed"], d["won"]) for name, d in deals.items()} == {
        name: (d["closed"], d["won"]) for name, d in wanted.items()
    }


def serial(moment) -> str:
    """An instant as Excel counts it, where a CSV was saved from a cell without a date format."""
    gone = moment - pd.Timestamp("1899-12-30").to_pydatetime()
    return repr(round(gone / timedelta(days=1), 6))


def test_trap_65_serial_days_are_read_where_a_column_holds_nothing_else(tmp_path):
    def change(files):
        for row in files["deals"]:
            row["Deal - Deal created"] = serial(row["Deal - Deal created"])
            row["Deal - Value"] = 45_000 if row["Deal - Title"] == "Delta" else row["Deal - Value"]

    loaded = made("pipedrive", tmp_path / "a", "en", change=change)
    created = {name: deal["created"] for name, deal in deals_of(loaded).items()}
    wanted = crm_exports.expected("pipedrive", "en")["deals"]
    assert all(abs(created[name] - deal["created"]) < timedelta(seconds=1) for name, deal in wanted.items())
    assert one(loaded, "Delta").amount == Decimal("45000.00")  # a number stays a number

    def mixed(files):
        files["deals"][0]["Deal - Deal created"] = serial(files["deals"][0]["Deal - Deal created"])

    with pytest.raises(DataContractError, match=r"'Deal - Deal created' mixes readings.*serial day of Excel"):
        made("pipedrive", tmp_path / "b", "en", change=mixed)


def test_times_without_a_zone_are_utc_where_programs_wrote_them(tmp_path):
    """Before midnight in UTC is the next day in Berlin (trap 33); a list view already shows Berlin's clock."""
    api, view = made("pipedrive", tmp_path / "a", "api"), made("pipedrive", tmp_path / "b", "en")
    connector = made("hubspot", tmp_path / "c", "connector")
    for loaded in (api, view, connector):
        assert plain(one(loaded, "Gamma").created_at) == crm_exports.at("2025-01-31T23:30")
        assert day(one(loaded, "Alpha").close_date) == pd.Timestamp("2025-03-21").date()


def test_real_connector_tables_load_whole(tmp_path):
    """Values are hashed and no deal has a stage: that is listed, not fatal."""
    folder = shared("fivetran_seeds/hubspot")
    loaded = load("hubspot", folder)
    assert balanced(loaded)
    assert loaded.quarantine.empty
    kept = loaded.report.set_index("table")["rows_kept"]
    assert kept[["users", "accounts", "stages", "opportunities", "activities"]].tolist() == [100, 24, 71, 44, 104]
    assert ("", "stage_id", "hs:unknown", 44) in found(loaded, "unmatched reference")
    done = CliRunner().invoke(
        main, ["load", "hubspot", str(folder), "--workspace", str(make_workspace(tmp_path).root)]
    )
    assert done.exit_code == 0, done.output


def test_a_company_adds_its_own_columns(tmp_path):
    (tmp_path / "own.yaml").write_text(
        "extends: pipedrive\nname: ours\nobjects:\n  Deal: {columns: {competitor: {en: Deal - Competitor}}}\n"
        "tables:\n  opportunities: {file: Deal, columns: {competitor: competitor}}\n",
        encoding="utf-8",
    )

    def change(files):
        files["deals"] = [{**row, "Deal - Competitor": "Rival"} for row in files["deals"]]

    loaded = made("pipedrive", tmp_path, "en", change=change, mapping=tmp_path / "own.yaml")
    assert set(loaded.tables["opportunities"]["competitor"]) == {"Rival"}


CHAINS = """
name: small
id_prefix: s
extracted_at: 2025-04-30
objects:
  Quota:
    files: [quota]
    columns: {who: {}, first: {}, last: {}, from: {}, until: {}, money: {}, units: {}, kind: {}, n: {}}
  Person: {files: [person], columns: {id: {}, first: {}, last: {}, olds: {}}}
tables:
  quotas:
    - file: Quota
      having: [until]
      columns:
        holder_type: {const: user}
        holder_id:
          - who
          - {template: "{first} {last}", lookup: {file: Person, key: [first, last], value: id}}
          - {from: kind, lookup: {file: Person, key: olds, several: ";", value: id}}
        period_start: from
        measure: [{const: units, when: {kind: [pieces]}}, {const: bookings}]
        version: {from: n, plus: 1}
        period_end: {from: until, plus: 1}
        quota_amount: [{from: units, multiply: 10, when: {kind: [pieces]}}, money]
        currency: {const: EUR}
        is_overlay: {const: false}
"""


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("{file: Person, key: olds", "{file: Persn, key: olds", "unknown object 'Persn'. Did you mean 'Person'"),
        (
            "{file: Person, key: olds",
            "{file: Person, key: oldz",
            "unknown column of Person 'oldz'. Did you mean 'olds'",
        ),
    ],
)
def test_a_lookup_of_what_no_object_has_is_refused(tmp_path, right, wrong, says):
    (tmp_path / "map.yaml").write_text(CHAINS.replace(right, wrong))
    with pytest.raises(ConfigError, match=says):
        load("csv", tmp_path, mapping=tmp_path / "map.yaml")


def test_changes_that_do_not_say_of_which_field_they_are_are_refused(tmp_path):
    (tmp_path / "map.yaml").write_text("""
name: small
id_prefix: s
extracted_at: 2025-04-30
objects: {Change: {files: [change], columns: {deal: {}, at: {}, what: {}, new: {}}}}
tables:
  opportunity_history:
    file: Change
    columns: {opportunity_id: deal, changed_at: at, field: what, new_value: new}
""")
    (tmp_path / "change.csv").write_text("deal,at,new\n1,2025-01-01,a\n")
    with pytest.raises(DataContractError, match=r"nothing in it fills opportunity_history.field \(.* from what"):
        load("csv", tmp_path, mapping=tmp_path / "map.yaml")


def test_chains_take_the_first_that_is_filled(tmp_path):
    (tmp_path / "map.yaml").write_text(CHAINS)
    (tmp_path / "person.csv").write_text("id,first,last,olds\n1,Ann,Adler,\n2,Bob,Baker,o1;o2\n")
    (tmp_path / "quota.csv").write_text(
        "who,first,last,from,until,money,units,kind,n\n"
        "7,,,2025-01-01,2025-03-31,100,5,money,0\n,Bob,Baker,2025-01-01,2025-02-28,100,5,pieces,1\n,,,2025-01-01,2025-12-31,1,,o2,2\n"
    )
    quotas = load("csv", tmp_path, mapping=tmp_path / "map.yaml").tables["quotas"]
    assert quotas["holder_id"].tolist() == ["s:7", "s:2", "s:2"]
    assert quotas["quota_amount"].tolist() == [Decimal("100.00"), Decimal("50.00"), Decimal("1.00")]
    assert quotas["measure"].tolist() == ["bookings", "units", "bookings"]
    assert quotas["version"].tolist() == [1, 2, 3]
    assert quotas["period_end"].dt.strftime("%m-%d").tolist() == ["04-01", "03-01", "01-01"]
    (tmp_path / "quota.csv").write_text("who,from,n\n7,2025-01-01,0\n")
    loaded = load("csv", tmp_path, mapping=tmp_path / "map.yaml")
    assert found(loaded, "not read as quotas: no such column") == [("quota.csv", "until", "", 1)]


def test_goals_become_quotas_that_end_the_day_after(tmp_path):
    quota = made("dynamics", tmp_path).tables["quotas"].iloc[0]
    assert (quota.quota_amount, day(quota.period_end)) == (Decimal("100000.00"), pd.Timestamp("2025-04-01").date())
