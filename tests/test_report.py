import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from salesops_lib import report
from salesops_lib.errors import ConfigError, ParameterError, RenderError, ReportBlocked
from salesops_lib.report.definition import Page
from salesops_lib.report.execute import prune, run_page, to_html
from salesops_lib.report.parameters import check, declared
from tests import guards
from tests.conftest import ROOT, make_workspace
from tests.gate_company import EXPORTED, clean, days, save
from tests.gate_plants import deals

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SMALL = {"opportunities": 600, "accounts": 80, "reps": 8}


def notebook(parameters="as_of: str = '2026-09-30'  # last day", *cells, tags=None):
    made = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    made.cells = [nbformat.v4.new_markdown_cell("# A page\n\nIs it so?")]
    made.cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    for source, tag in zip(cells, tags or [None] * len(cells), strict=True):
        made.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": [tag]} if tag else {}))
    return made


def workspace(tmp_path: Path, yaml: str, **notebooks):
    (tmp_path / "notebooks").mkdir(parents=True)
    (tmp_path / "reports").mkdir()
    for name, made in notebooks.items():
        nbformat.write(made, tmp_path / f"notebooks/{name}.ipynb")
    (tmp_path / "reports/demo.yaml").write_text(yaml, encoding="utf-8")
    ws = make_workspace(tmp_path)
    ws.ingest("sample", **SMALL)
    return ws


# -- parameters ----------------------------------------------------------------------------------------


def test_parameters_are_read_with_type_default_and_meaning():
    source = 'a: str = "x # y"  # text with a # in it\nb: int | None = None  # a number\nc: list[str] = []\n'
    source += "d: float = 1"
    found = declared(notebook(source), "n")
    assert [(p.name, p.annotation, p.default, p.help) for p in found.values()] == [
        ("a", "str", "x # y", "text with a # in it"),
        ("b", "int | None", None, "a number"),
        ("c", "list[str]", [], ""),
        ("d", "float", 1, ""),
    ]


@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        ("str", "007", "007"),
        ("str", "1e5", "1e5"),
        ("str", "true", "true"),
        ("int", "7", 7),
        ("float", "1e5", 1e5),
        ("float", 2, 2),
        ("bool", "true", True),
        ("bool", "False", False),
        ("int | None", "null", None),
        ("list[str]", "['a']", ["a"]),
    ],
)
def test_text_becomes_what_the_annotation_names_and_nothing_else(annotation, given, expected):
    defaults = {"str": "''", "int": "0", "float": "0.0", "bool": "False", "int | None": "None", "list[str]": "[]"}
    known = declared(notebook(f"p: {annotation} = {defaults[annotation]}"), "n")
    got = check({"p": given}, known, "n")["p"]
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("source", "given", "says"),
    [
        ("p: int = 0", {"p": "seven"}, "parameter p must be int, got 'seven'"),
        ("p: int = 0", {"p": True}, "must be int"),
        ("p: int = 0", {"p": False}, "must be int"),
        ("p: list[str] = []", {"p": [1]}, "must be list"),
        ("as_of: str = ''", {"asof": "x"}, "Did you mean 'as_of'"),
        ("p = 1", {}, "name: type = value"),
        ("p: int = f()", {}, "must be plain"),
        ("p: dict = {}", {}, "unknown parameter type"),
        ("p: int = 'x'", {}, "must be int"),
    ],
)
def test_wrong_parameters_are_refused_in_words(source, given, says):
    with pytest.raises(ParameterError, match=says):
        check(given, declared(notebook(source), "n"), "n")


def test_a_notebook_needs_its_parameters_cell():
    made = notebook()
    made.cells[1].metadata.tags = []
    with pytest.raises(ParameterError, match="exactly one cell tagged"):
        declared(made, "n")


# -- explore cells -------------------------------------------------------------------------------------


def test_explore_cells_are_dropped():
    made = notebook("a: int = 1", "lens = 2", "b = a", tags=["explore", None])
    assert [cell.source for cell in prune(made, "n").cells][1:] == ["a: int = 1", "b = a"]


def test_a_page_may_not_depend_on_a_lens():
    with pytest.raises(RenderError, match="code cell 2 uses lens"):
        prune(notebook("a: int = 1", "lens = 2", "b = lens", tags=["explore", None]), "n")


# -- the page ------------------------------------------------------------------------------------------

HOSTILE = "<script>alert(1)</script></table>{{ 7*7 }} $x$ [link](javascript:alert(1))"


def test_whatever_a_cell_prints_is_text_and_no_script_can_run(tmp_path):
    made = notebook(
        "a: int = 1",
        f"print({HOSTILE!r})",
        f"from salesops_lib import present\npresent.note({HOSTILE!r})",
        f"import pandas as pd\npd.DataFrame({{'name': [{HOSTILE!r}]}})",
    )
    nbformat.write(made, tmp_path / "hostile.ipynb")
    work = tmp_path / "work"
    work.mkdir()
    page = Page(notebook="hostile")
    run = run_page(tmp_path / "hostile.ipynb", work, page, {"a": 1}, tmp_path, {"Company": HOSTILE}, 60)
    assert run.status == "ok", run.error
    page = (work / "hostile.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4
    assert "{{ 7*7 }}" in page
    assert "default-src 'none'" in page


def test_our_template_asks_for_nothing():
    page = to_html(notebook(), "Title <b>", {"x": "<i>"})
    assert guards.external_addresses(page) == []
    assert "<title>Title &lt;b&gt;</title>" in page
    assert "&lt;i&gt;" in page


def test_the_header_says_how_healthy_the_data_are_and_nothing_else_gets_in():
    told = {"blocking": (f"Won {HOSTILE}: 3 (G45).",), "notes": (f"Open {HOSTILE}: 1 (G60).",), "more": 4}
    linked = to_html(notebook(), "T", {}, told | {"link": "data_health.html"})
    assert linked.count("&lt;script&gt;") == 2
    assert "<script" not in linked
    assert '<p class="health red"><b>Red' in linked
    assert 'And 4 more: see <a href="data_health.html">data health</a>.' in linked
    assert linked.index("Won &lt;") < linked.index("Open &lt;") < linked.index("<h1")
    assert "And 4 more: see data health." in to_html(notebook(), "T", {}, told | {"link": ""})
    nothing = to_html(notebook(), "T", {}, {"blocking": (), "notes": (), "more": 0, "link": ""})
    assert '<p class="health' not in nothing


# -- runs ----------------------------------------------------------------------------------------------

YAML = "title: Demo\nnotebooks: [good, bad]\nparameters: {as_of: last_month_end}\n"
GOOD = notebook("as_of: str = ''  # day\nword: str = 'first'  # shown", "from salesops_lib import present",
                "present.headline(f'{word} as of {as_of}')", tags=[None, "headline"])  # fmt: skip
FAILING = notebook(
    "as_of: str = ''  # day\nfail: bool = True  # whether",
    "x = 1\nif fail:\n    raise ValueError('<b>gone</b>')\nx",
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return workspace(tmp_path_factory.mktemp("demo"), YAML, good=GOOD, bad=FAILING)


def page(folder: Path, name: str) -> str:
    return (folder / f"{name}.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_failing_page_leaves_the_last_good_one_and_is_shown(demo):
    first = report.render("demo", workspace=demo, as_of="2026-08-31", parameters={"fail": False})
    assert [p.status for p in first.pages] == ["ok", "ok"]
    good_before = page(first.folder, "bad")
    second = report.render("demo", workspace=demo, as_of="2026-08-31", parameters={"word": "second"})
    assert [(p.name, p.status) for p in second.pages] == [("good", "ok"), ("bad", "failed")]
    assert page(second.folder, "bad") == good_before
    assert "second as of 2026-08-31" in page(second.folder, "good")
    index = page(second.folder, "index")
    for part in (
        "failed",
        "code cell 3",
        "ValueError: &lt;b&gt;gone&lt;/b&gt;",
        "last good one",
        "failed/bad.ipynb",
    ):
        assert part in index, part
    assert "<b>gone</b>" not in index
    assert (second.folder / "failed/bad.ipynb").exists()
    record = json.loads((second.folder / "run.json").read_text())
    assert record["snapshot_id"] == demo.snapshot().id
    assert [p["status"] for p in record["pages"]] == ["ok", "failed"]
    assert "1 of 2 pages failed" in page(demo.out, "index")
    assert guards.external_addresses(index + page(demo.out, "index")) == []
    third = report.render("demo", workspace=demo, as_of="2026-08-31", parameters={"fail": False})
    assert not third.failed
    assert not (third.folder / "failed/bad.ipynb").exists()


@pytest.mark.slow
def test_words_for_days_are_resolved_before_anything_runs(demo):
    run = report.render("demo", workspace=demo, today="2026-09-15", parameters={"fail": False})
    assert run.as_of == "2026-08-31"
    assert run.pages[0].headline == "first as of 2026-08-31"


def test_wrong_calls_are_refused_before_anything_runs(demo, tmp_path):
    for arguments, says in (
        ({"report": "dmo"}, "Did you mean 'demo'"),
        ({"report": "demo", "parameters": {"wrd": "x"}}, "Did you mean 'word'"),
        ({"report": "demo", "as_of": "someday"}, "not a date"),
        ({"report": "demo", "parameters": {"fail": "maybe"}}, "must be bool"),
    ):
        with pytest.raises(ParameterError, match=says):
            report.render(workspace=demo, out=tmp_path, **arguments)
    assert not list(tmp_path.rglob("*.html"))


def test_a_wrong_definition_names_file_and_key(tmp_path):
    ws = workspace(tmp_path, "title: Demo\nnotebook: [good]\n", good=GOOD)
    with pytest.raises(ConfigError, match=r"demo.yaml: (notebooks is missing|unknown key 'notebook')"):
        report.render("demo", workspace=ws)
    (tmp_path / "reports/demo.yaml").write_text("title: Demo\nnotebooks: [goood]\n")
    with pytest.raises(ParameterError, match="Did you mean 'good'"):
        report.render("demo", workspace=ws)


@pytest.mark.slow
def test_killing_a_render_at_any_moment_leaves_whole_pages(demo):
    place = report.render("demo", workspace=demo, as_of="2026-07-31", parameters={"fail": False}).folder
    rng, killed = random.Random(4), 0
    for attempt in range(8):
        before = {path: path.read_bytes() for path in place.glob("*.html")}
        code = (
            "from salesops_lib import report\n"
            f"report.render('demo', workspace={str(demo.root)!r}, as_of='2026-07-31',\n"
            f"    parameters={{'fail': False, 'word': 'try{attempt}'}})\n"
        )
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
        time.sleep(rng.uniform(1.0, 6.5))
        killed += process.poll() is None
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for path, content in before.items():
            now = path.read_bytes()
            assert now == content or (now.rstrip().endswith(b"</html>") and now.startswith(b"<!DOCTYPE html>"))
            assert f"try{attempt}".encode() in now or now == content or path.stem != "good"
        json.loads((place / "run.json").read_text())
    assert killed >= 3
    last = report.render("demo", workspace=demo, as_of="2026-07-31", parameters={"fail": False, "word": "last"})
    assert "last as of" in page(last.folder, "good")


@pytest.mark.slow
def test_two_workers_give_the_same_pages_as_one(demo, tmp_path):
    for workers in (1, 2):
        report.render(
            "demo", workspace=demo, as_of="2026-06-30", parameters={"fail": False}, out=tmp_path / str(workers),
            workers=workers,
        )  # fmt: skip
    for name in ("good", "bad"):
        one, two = (page(tmp_path / str(k) / "demo/2026-06-30", name) for k in (1, 2))
        assert one == two


# -- the gate ------------------------------------------------------------------------------------------

WORDY = notebook("as_of: str = '2026-07-15'  # day", "from salesops_lib import gate, present\n"
                 "from salesops_lib.workspace import open_workspace\nfound = gate.findings_of(open_workspace())",
                 "present.headline(' '.join(found.table['check']))", tags=[None, "headline"])  # fmt: skip


def gated(tmp_path, settings=""):
    """A workspace with a demo report and one about data health, on a company in which nothing is wrong."""
    (tmp_path / "notebooks").mkdir(parents=True)
    (tmp_path / "reports").mkdir()
    for name in ("good", "data_health"):
        nbformat.write(WORDY, tmp_path / f"notebooks/{name}.ipynb")
        (tmp_path / f"reports/{name}.yaml").write_text(f"title: Demo\nnotebooks: [{name}]\n", encoding="utf-8")
    ws = make_workspace(tmp_path, f"source: {{kind: csv}}\n{settings}")
    save(clean(), ws.store.root, exported=EXPORTED - days(1))
    return ws


def spoil(ws):
    rows = clean()
    deals(rows, 2, close_date=None, closed_at=None)
    return save(rows, ws.store.root)


@pytest.mark.slow
def test_red_blocks_a_report_and_its_published_pages_stay(tmp_path):
    ws = gated(tmp_path)
    place = report.render("good", workspace=ws, as_of="2026-06-30").folder
    assert "Data health" not in page(place, "good")
    before = {path: path.read_bytes() for path in ws.out.rglob("*") if path.is_file()}
    spoil(ws)
    with pytest.raises(ReportBlocked) as blocked:
        report.render("good", workspace=ws, as_of="2026-06-30")
    for part in ("good is blocked by 1 red finding;", "Closed deals without a close date: 1 (EUR 1,020; G37).",
                 "Mend: Map the close date;", 'gate: {accept: {G37: "reason"}}', "--force"):  # fmt: skip
        assert part in str(blocked.value)
    assert {path: path.read_bytes() for path in ws.out.rglob("*") if path.is_file()} == before
    run = report.render("good", workspace=ws, as_of="2026-06-30", force=True)
    red = "the numbers are wrong until this is mended:</b> Closed deals without a close date: 1 (EUR 1,020; G37)."
    assert red in page(run.folder, "good")
    assert red in page(run.folder, "index")
    assert "red findings in the data" in page(ws.out, "index")
    assert json.loads((run.folder / "run.json").read_text())["health"]["red"] == ["G37"]
    assert [path.name for path in run.folder.iterdir() if path.suffix == ".json"] == ["run.json"]


@pytest.mark.slow
def test_the_page_about_data_health_is_never_blocked_and_shows_what_the_run_found(tmp_path):
    ws = gated(tmp_path)
    spoil(ws)
    run = report.render("data_health", workspace=ws, as_of="2026-07-15", today="2026-08-15")
    assert run.pages[0].headline == "G37 G07"  # the age of the export: the page itself knows no clock
    assert run.manifest["health"]["notes"] == ("Days since the export: 31 (G07).",)
    assert '<a href="data_health.html">' not in page(run.folder, "data_health")


def test_who_accepts_a_finding_or_allows_red_renders(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(report, "_run_all", lambda jobs, workers: ran.append(jobs) or [])
    ws = gated(tmp_path, "gate: {accept: {G37: known from the old system}}")
    spoil(ws)
    run = report.render("good", workspace=ws, as_of="2026-06-30")
    notes = run.manifest["health"]["notes"]
    assert notes == (
        "Closed deals without a close date: 1 (EUR 1,020; G37). Accepted: known from the old system.",
    )
    (tmp_path / "salesops.yaml").write_text("source: {kind: csv}\n")
    (tmp_path / "reports/good.yaml").write_text("title: Demo\nnotebooks: [good]\nallow_red: true\n")
    assert report.render("good", workspace=tmp_path, as_of="2026-06-30").manifest["health"]["red"] == ["G37"]
    assert len(ran) == 2


def test_the_command_ends_with_4_and_renders_what_is_not_blocked(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from salesops_lib import gate
    from salesops_lib.cli import main

    looked = []
    once = gate.check_workspace
    monkeypatch.setattr(gate, "check_workspace", lambda *a, **k: looked.append(1) or once(*a, **k))
    monkeypatch.setattr(report, "_run_all", lambda jobs, workers: [])
    ws = gated(tmp_path, "gate: {max_age_days: 100000}")
    spoil(ws)
    done = CliRunner().invoke(main, ["render", "good", "data_health", "-w", str(ws.root), "--json"])
    assert done.exit_code == 4
    told = json.loads(done.stdout)
    assert [run["report"] for run in told["runs"]] == ["data_health"]
    assert [(entry["report"], entry["checks"]) for entry in told["blocked"]] == [("good", ["G37"])]
    assert "good is blocked by 1 red finding" in done.stderr
    assert len(looked) == 1
    forced = CliRunner().invoke(main, ["render", "good", "-w", str(ws.root), "--force"])
    assert forced.exit_code == 0
