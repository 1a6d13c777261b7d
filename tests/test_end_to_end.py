"""The command line as a user types it, in a folder of its own."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT, shared


def salesops(*arguments, cwd, check=None):
    done = subprocess.run(
        [sys.executable, "-m", "salesops_lib", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home") / "my-company"
    salesops("init", folder, cwd=ROOT, check=0)
    return folder


def test_init_writes_a_workspace_once(home):
    assert (home / "salesops.yaml").exists()
    written = {path.name for path in (home / "notebooks").glob("*.ipynb")}
    assert written == {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    again = salesops("init", home, cwd=ROOT, check=2)
    assert "already holds" in again.stderr


@pytest.mark.slow
def test_maven_from_export_to_pages(home):
    loaded = salesops("load", "csv", shared("maven_crm"), "--map", "maven_crm", "--json", cwd=home, check=0)
    told = json.loads(loaded.stdout)
    rows = {entry["table"]: entry for entry in told["tables"]}
    assert rows["opportunities"]["rows_in"] == rows["opportunities"]["rows_kept"] == 8_800
    again = json.loads(
        salesops("load", "csv", shared("maven_crm"), "--map", "maven_crm", "--json", cwd=home).stdout
    )
    assert again["snapshot"] == told["snapshot"]
    done = salesops(
        "render", "weekly_leadership", "--as-of", "2017-12-31", "--workers", "2", "--json", cwd=home, check=0
    )
    (run,) = json.loads(done.stdout)["runs"]
    assert [page["status"] for page in run["pages"]] == ["ok"] * 6
    folder = home / "reports/out/weekly_leadership/2017-12-31"
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.html"))
    for figure in (
        "63.2 %", "10,005,534", "1,134,672", "3,086,111", "2,982,255", "2,802,496", "3,510,578", "3,346,293",
        "3,090,594", "3,568,647", "6,711", "the source has no quotas", "statistically indistinguishable",
    ):  # fmt: skip
        assert figure in text, figure
    listed = salesops("snapshots", "--json", cwd=home, check=0)
    assert json.loads(listed.stdout)["snapshots"][0]["rows"]["opportunities"] == 8_800


def test_wrong_calls_end_in_a_sentence_and_the_right_code(home, tmp_path):
    salesops("load", "sample", "--opportunities", "300", cwd=home, check=0)
    for arguments, code, says in (
        (("render", "weekly"), 2, "Did you mean 'weekly_leadership'"),
        (("render", "weekly_leadership", "-p", "asof=2026-01-01"), 2, "Did you mean 'as_of'"),
        (("render", "weekly_leadership", "-p", "as_of"), 2, "NAME=VALUE"),
        (("load", "cvs"), 2, "Did you mean 'csv'"),
        (("load", "csv", tmp_path, "--map", "maven_crm"), 3, "unknown file"),
        (("load", "csv", tmp_path), 2, "--map"),
    ):
        done = salesops(*arguments, cwd=home, check=code)
        assert says in done.stderr


def test_a_refused_load_says_why_and_keeps_the_snapshot(home, tmp_path):
    before = json.loads(salesops("snapshots", "--json", cwd=home).stdout)
    for source in shared("maven_crm").glob("*.csv"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    pipeline = tmp_path / "sales_pipeline.csv"
    lines = pipeline.read_text(encoding="utf-8").splitlines()
    broken = [line.rsplit(",", 1)[0] + ",lots" if k % 4 == 0 and k else line for k, line in enumerate(lines)]
    pipeline.write_text("\n".join(broken), encoding="utf-8")
    done = salesops("load", "csv", tmp_path, "--map", "maven_crm", "--json", cwd=home, check=3)
    told = json.loads(done.stdout)
    assert told["snapshot"] is None
    assert "sales_pipeline.csv, row 5, column amount: 'lots'" in told["refused"]
    assert json.loads(salesops("snapshots", "--json", cwd=home).stdout) == before
    kept = salesops(
        "load", "csv", tmp_path, "--map", "maven_crm", "--max-loss", "0.3", "--json", cwd=home, check=0
    )
    rows = {entry["table"]: entry for entry in json.loads(kept.stdout)["tables"]}["opportunities"]
    assert (rows["rows_in"], rows["rows_quarantined"]) == (8_800, 2_200)
    assert rows["rows_kept"] == 6_600


def test_catalogues_list_what_there_is(home):
    assert "K03 Win rate" in salesops("kpis", cwd=home, check=0).stdout
    assert "maven_crm" in salesops("sources", cwd=home, check=0).stdout
    told = json.loads(salesops("reports", "--json", cwd=home, check=0).stdout)
    schedules = {entry["name"]: entry["schedule"] for entry in told["reports"]}
    assert schedules == {
        "data_health": "30 5 * * *", "weekly_leadership": "0 6 * * 1", "forecast": "30 6 * * 1",
        "manager_report": None, "rep_report": None,
        "rep_sheets": None, "reps_and_funnel": "0 6 2 * *", "territory_design": None,
    }  # fmt: skip
