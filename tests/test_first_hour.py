"""Files that come without a mapping: the nearest one is named, a draft written, nothing guessed in silence."""

import re

import pytest
import yaml
from click.testing import CliRunner
from openpyxl import Workbook

from salesops_lib.cli import main
from salesops_lib.errors import ConfigError, ParameterError
from salesops_lib.sources import draft, load, suggest
from salesops_lib.sources.mapping import read_mapping
from tests.conftest import make_workspace, shared

DEALS = """Deal no;Sales rep;Stage;Value;Created on;Closed on
1001;Ann;Won;12.500,00;03.11.2025;19.01.2026
1002;Bob;Lost;4.200,50;28.11.2025;27.01.2026
1003;Ann;Demo;9.900,00;14.01.2026;
"""


def export(root, text=DEALS, name="deals.csv"):
    folder = root / "export"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def run(root, *arguments):
    return CliRunner().invoke(main, [*map(str, arguments), "-w", str(root)])


def test_unknown_files_get_a_draft_and_the_next_step(tmp_path):
    make_workspace(tmp_path)
    folder = export(tmp_path)
    said = run(tmp_path, "load", folder)
    target = tmp_path / "export_mapping.yaml"
    assert said.exit_code == 2
    assert "'Deal no', 'Sales rep', 'Stage'" in said.output
    assert "nearest mapping: pipedrive" in said.output
    assert "lacks id, status" in said.output
    assert f"nothing was loaded. Next: edit {target}" in said.stderr
    assert f"salesops load csv {folder} --map {target}" in said.stderr
    text = target.read_text(encoding="utf-8")
    assert "amount: Value    # as in pipedrive" in text
    assert "map: {Won: true, Lost: true, Demo: false}}    # CHECK" in text
    assert re.search(r"# opportunity_id:     # REQUIRED", text)
    assert not make_workspace(tmp_path).store.list()
    with pytest.raises(ConfigError, match=r"nothing fills the required column.s. opportunity_id"):
        read_mapping(target)


def test_a_draft_that_is_edited_where_it_asks_loads(tmp_path):
    make_workspace(tmp_path, "company: {currency: EUR}\n")
    folder = export(tmp_path)
    run(tmp_path, "load", "csv", folder)
    target = tmp_path / "export_mapping.yaml"
    text = target.read_text(encoding="utf-8")
    text = re.sub("# opportunity_id: .*", "opportunity_id: Deal no", text)
    text = re.sub("# owner_id: .*", "owner_id: Sales rep", text)
    target.write_text(text, encoding="utf-8")
    said = run(tmp_path, "load", "csv", folder, "--map", target)
    assert said.exit_code == 0, said.output
    assert "Next: salesops check, then salesops render" in said.output
    deals = make_workspace(tmp_path).store.current().read("opportunities")
    assert [str(amount) for amount in deals["amount"]] == ["12500.00", "4200.50", "9900.00"]
    assert deals["is_won"].tolist() == [True, False, False]
    assert deals["owner_id"].tolist() == ["export:Ann", "export:Bob", "export:Ann"]
    assert deals["close_date"].dt.strftime("%Y-%m-%d").tolist()[:2] == ["2026-01-19", "2026-01-27"]
    assert set(deals["currency"]) == {"EUR"}


def test_a_draft_that_is_there_is_never_overwritten(tmp_path):
    make_workspace(tmp_path)
    (tmp_path / "export_mapping.yaml").write_text("mine", encoding="utf-8")
    said = run(tmp_path, "load", export(tmp_path))
    assert said.exit_code == 2
    assert "was left as it is" in said.output
    assert (tmp_path / "export_mapping.yaml").read_text(encoding="utf-8") == "mine"


def test_files_that_a_shipped_mapping_reads_are_told_so_and_nothing_is_drafted(tmp_path):
    make_workspace(tmp_path)
    header = "Id,IsDeleted,Name,StageName,Amount,CloseDate,CreatedDate,OwnerId,IsClosed,IsWon\n"
    folder = export(
        tmp_path, header + "006000000000001,0,A,New,1,2026-01-01,2025-01-01,005000000000001,0,0\n", "x.csv"
    )
    said = run(tmp_path, "load", folder)
    assert said.exit_code == 2
    assert f"Next: salesops load salesforce {folder}" in said.stderr
    assert not list(tmp_path.glob("*_mapping.yaml"))
    assert load("salesforce", folder).report.set_index("table").loc["opportunities", "rows_kept"] == 1


def test_the_maven_files_are_known(tmp_path):
    found = suggest.offer(shared("maven_crm"), tmp_path)
    assert found.candidates[0].mapping == "maven_crm"
    assert found.next.startswith(f"salesops load csv {shared('maven_crm')} --map maven_crm")
    assert found.draft is None


def test_no_header_or_value_breaks_out_of_its_line(tmp_path):
    """Names of a file are text: marks of YAML, line ends and comments in them stay inside quotes."""
    nasty = [
        "a: {b: c}",
        "# x",
        "- y",
        "no",
        "Owner\ninjected: true",
        "é 'q' \"d\"",
        "{x}",
        "*a",
        "null",
        "Won?: x",
    ]
    header = ";".join('"' + name.replace('"', '""') + '"' for name in [*nasty, "Stage", "Value"])
    cells = ";".join(['"Won: {}\n# z"'] + ["1"] * (len(nasty) - 1) + ['"won ] , }"', "5"])
    folder = export(tmp_path, f"{header}\n{cells}\n")
    made = suggest.offer(folder, tmp_path, always_draft=True).draft
    read = yaml.safe_load(made.read_text(encoding="utf-8"))
    assert set(read) == {"name", "id_prefix", "tables"}
    section = read["tables"]["opportunities"][0]
    assert section["columns"]["amount"] == "Value"
    assert (
        section["columns"]["is_won"]["map"] == {"won ] , }": True}
        or section["columns"]["is_won"]["from"] == nasty[0]
    )
    assert "injected" not in str(read)


def test_a_label_is_not_believed_where_the_cells_say_otherwise(tmp_path):
    """Salesforce calls *Closed* what says yes or no; here it holds dates."""
    folder = export(tmp_path, "Id;Stage;Amount;Closed\n1;Won;5;2026-01-31\n2;Open;6;\n")
    text = suggest.offer(folder, tmp_path).draft.read_text(encoding="utf-8")
    assert "is_closed: Closed" not in text
    assert "# close_date: Closed    # CHECK" in text


def test_of_a_workbook_the_first_sheet_is_drafted_as_the_first_is_what_a_mapping_reads(tmp_path):
    book = Workbook()
    book.active.title = "Deals"
    for row in (["Id", "Stage", "Amount"], ["1", "Won", 5]):
        book.active.append(row)
    book.create_sheet("Accounts").append(["account", "industry"])
    book["Accounts"].append(["Acme", "steel"])
    book.save(tmp_path / "crm.xlsx")
    text = suggest.offer(tmp_path / "crm.xlsx", tmp_path).draft.read_text(encoding="utf-8")
    assert set(yaml.safe_load(text)["tables"]) == {"opportunities"}
    assert re.search("# not used: .*Accounts", text)


def test_a_column_that_needs_a_conversion_is_asked_with_it():
    known = draft.vocabulary("opportunities")["probability"]
    assert known["probability_crm"].how == "unit: percent"


def test_nothing_to_read_is_said(tmp_path):
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")
    with pytest.raises(ParameterError, match=r"holds nothing to load: there is no \.csv"):
        suggest.offer(tmp_path, tmp_path)
