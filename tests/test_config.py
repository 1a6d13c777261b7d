import pytest

from salesops_lib.config import load_settings
from salesops_lib.errors import ConfigError, ParameterError
from salesops_lib.sources.mapping import MAPS, read_mapping
from salesops_lib.workspace import open_workspace
from tests.conftest import ROOT

SHIPPED = [
    "adventureworks",
    "adventureworks_tables",
    "dynamics",
    "hubspot",
    "maven_crm",
    "pipedrive",
    "salesforce",
]


def settings(tmp_path, text):
    path = tmp_path / "salesops.yaml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path)


def test_the_shipped_settings_are_read():
    assert load_settings(ROOT / "salesops.yaml").source.kind == "sample"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("company: {curency: EUR}", r"salesops.yaml: unknown key 'curency'. Did you mean 'currency'"),
        ("company: {fiscal_start_month: 13}", r"company.fiscal_start_month.*13"),
        ("company: {timezone: Berlin}", r"time zone 'Berlin'"),
        ("max_loss: 2", r"max_loss"),
        ("company: {holidays: ZZ}", r"company.*'ZZ'"),
        ("company: {timezone: Europe}", r"time zone 'Europe'"),
        ("control_totals: {opportunites: {rows: 5}}", r"Did you mean 'opportunities'"),
        ("control_totals: {users: {amount: 5}}", r"users has no amount"),
        ("control_totals: {opportunities: {amount: lots}}", r"amount"),
        ("- a list", r"must hold keys"),
        ("company: {currency: [", r"not valid YAML"),
        ("sources: {kind: csv}", r"Did you mean 'source'"),
    ],
)
def test_errors_name_the_key(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says):
        settings(tmp_path, text)


def test_workspace_is_found_upwards(tmp_path):
    (tmp_path / "salesops.yaml").write_text("company: {name: Up}\n")
    (tmp_path / "a/b").mkdir(parents=True)
    assert open_workspace(tmp_path / "a/b").settings.company.name == "Up"
    with pytest.raises(ParameterError, match="does not exist"):
        open_workspace(tmp_path / "nowhere")


def test_without_a_workspace_the_sample_company_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "empty").mkdir()
    book = open_workspace(tmp_path / "empty").book("2026-09-30")
    assert len(book.opportunities) > 5_000


def test_settings_override_what_the_source_knows(tmp_path):
    (tmp_path / "salesops.yaml").write_text("company: {fiscal_start_month: 7}\n")
    book = open_workspace(tmp_path).book("2026-09-30")
    assert book.calendar.start_month == 7
    assert book.currency == "EUR"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{name: m, id_prefix: m, tables: {acounts: [{file: a.csv, columns: {}}]}}", "Did you mean 'accounts'"),
        ("{name: m, id_prefix: m, tables: {teams: [{file: a.csv, columns: {team_id: id}}]}}", "required.*name"),
        (
            "{name: m, id_prefix: m, tables: {teams: [{file: a.csv, columns: {team_id: {}, name: n}}]}}",
            "exactly one",
        ),
        ("{name: m, id_prefix: m, tables: {teams: [{file: a.csv, colums: {}}]}}", "Did you mean 'columns'"),
        ("{name: m, id_prefix: 'M:', tables: {}}", "id_prefix"),
        ("{name: m, id_prefix: m}", "tables is missing"),
    ],
)
def test_mapping_errors_name_the_key(tmp_path, text, says):
    path = tmp_path / "map.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        read_mapping(path)


def test_shipped_mappings_are_valid():
    assert [read_mapping(path).name for path in sorted(MAPS.glob("*.yaml"))] == SHIPPED
    with pytest.raises(ConfigError, match="Did you mean 'maven_crm'"):
        read_mapping("maven")
