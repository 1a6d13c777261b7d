import csv
import json
from pathlib import Path

import nbformat
import pytest
from openpyxl import load_workbook

from salesops_lib import report
from salesops_lib.errors import ConfigError, ParameterError, RenderError, ReportBlocked
from salesops_lib.report.execute import PageRun, Setting, prune, run_page, to_html
from salesops_lib.report.fanout import Job
from salesops_lib.report.parameters import check, declared
from salesops_lib.report.runs import BANNER
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
    setting = Setting(work=work, root=tmp_path, details={"Company": HOSTILE}, cell_timeout_s=60)
    run = run_page(Job(tmp_path / "hostile.ipynb", "hostile", HOSTILE, {"a": 1}), setting)
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


# -- the data behind a page ----------------------------------------------------------------------------

SHOWN = notebook(
    "a: int = 1",
    "import pandas as pd\nfrom matplotlib.figure import Figure\nfrom salesops_lib import present\n"
    "frame = pd.DataFrame({'who': ['=1+1', 'B'], 'won': [1234567.891, None], 'low': [1e6, 0], 'high': [2e6, 1]})\n"
    "pay = present.table(pd.DataFrame({'salary': [424242]}), caption='Pay')",
    "present.table(frame, units={'won': 'money'}, ranges={'won': ('low', 'high')}, limit=1,\n"
    "              caption='Won: by/who')",
    "present.section(False, 'For others', pay, present.folded('more', pay))",
    "rest = present.section(True, 'Kept back', pay)",
    "present.section(True, 'Here', present.columns(present.folded('all', present.drill(frame, 'who'))))",
    "axes = Figure().subplots()\nbars = axes.bar([0, 1], [2.5, -7], label='bars')\n"
    "line = axes.plot([0, 1], [0.125, 3], label='line')\ntitle = axes.set_title('Drawn', loc='left')",
    "present.show(axes, 'Two bars and a line.')",
)


def rows_of(path: Path) -> list[list]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.reader(file))
    return {sheet.title: [list(row) for row in sheet.values] for sheet in load_workbook(path)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder of the data behind a page, and the page's own text."""
    work = tmp_path_factory.mktemp("work")
    nbformat.write(SHOWN, work / "in.ipynb")
    job, setting = Job(work / "in.ipynb", "shown", "Shown", {}), Setting(work=work, root=work, details={})
    for _ in range(2):  # made twice, as after a failure that passed, it is there once
        run = run_page(job, setting)
        assert run.status == "ok", run.error
    return work / "data/shown", page(work, "shown")


def test_behind_each_table_and_figure_stand_its_raw_numbers(data):
    folder, text = data
    names = ["01 Won by who", "02 table", "03 table", "04 Drawn"]
    assert sorted(path.name for path in folder.iterdir()) == [*(f"{name}.csv" for name in names), "shown.xlsx"]
    assert text.count("<table") + text.count("<figure") == len(names)
    first, _, last, drawn = (rows_of(folder / f"{name}.csv") for name in names)
    assert first == [["who", "won", "low", "high"], ["'=1+1", "1234567.891", "1000000.0", "2000000.0"],
                     ["B", "", "0.0", "1.0"]]  # fmt: skip
    assert last == [["won", "low", "high"], ["", "0.0", "1.0"]]
    assert [row[0] for row in drawn[1:]] == ["line", "line", "bars", "bars"]
    assert [[float(n) for n in row[1:3]] for row in drawn[1:3]] == [[0, 0.125], [1, 3]]
    assert [float(row[4]) for row in drawn[3:]] == [2.5, -7]
    sheets = rows_of(folder / "shown.xlsx")
    assert list(sheets) == names
    assert sheets["01 Won by who"] == [["who", "won", "low", "high"], ["'=1+1", 1234567.891, 1e6, 2e6],
                                       ["B", None, 0, 1]]  # fmt: skip
    assert [row[2] for row in sheets["04 Drawn"][1:3]] == [0.125, 3]


def test_what_a_page_does_not_show_is_in_no_data_file(data):
    folder, text = data
    assert "424242" in text  # in the code of the cell only
    assert "424,242" not in text
    assert not [path for path in folder.iterdir() if b"424242" in path.read_bytes()]
    assert "424242" not in str(rows_of(folder / "shown.xlsx"))


def test_a_page_of_a_run_that_is_over_is_not_made(tmp_path):
    nbformat.write(SHOWN, tmp_path / "in.ipynb")
    job, gone = Job(tmp_path / "in.ipynb", "shown", "Shown", {}), tmp_path / "gone"
    with pytest.raises(FileNotFoundError):
        run_page(job, Setting(work=gone, root=tmp_path, details={}))
    assert not gone.exists()


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
    kept = page(second.folder, "bad")
    (banner,) = BANNER.findall(kept)
    assert kept.replace(banner, "<!-- last good --><!-- /last good -->") == good_before
    assert "This is the last good page" in banner
    assert "failed in code cell 3" in banner
    assert "second as of 2026-08-31" in page(second.folder, "good")
    index = page(second.folder, "index")
    for part in (
        "failed",
        "Code cell 3, where it stopped",
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
    assert "last good page" not in page(third.folder, "bad")


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
    assert list(run.manifest["health"]["notes"]) == ["Days since the export: 31 (G07)."]
    assert '<a href="data_health.html">' not in page(run.folder, "data_health")


@pytest.fixture
def ran(monkeypatch):
    """What would have been made, where only the gate's word counts: pages are empty."""
    jobs = []

    def made(wanted, setting, **how):
        for job in wanted:
            jobs.append(job.name)
            for suffix in (".html", ".ipynb"):
                (setting.work / f"{job.name}{suffix}").write_text("")
            yield PageRun.of(job, status="ok")

    monkeypatch.setattr(report.executors, "run_all", made)
    return jobs


def test_who_accepts_a_finding_or_allows_red_renders(tmp_path, ran):
    ws = gated(tmp_path, "gate: {accept: {G37: known from the old system}}")
    spoil(ws)
    run = report.render("good", workspace=ws, as_of="2026-06-30")
    notes = list(run.manifest["health"]["notes"])
    assert notes == ["Closed deals without a close date: 1 (EUR 1,020; G37). Accepted: known from the old system."]
    (tmp_path / "salesops.yaml").write_text("source: {kind: csv}\n")
    (tmp_path / "reports/good.yaml").write_text("title: Demo\nnotebooks: [good]\nallow_red: true\n")
    assert report.render("good", workspace=tmp_path, as_of="2026-06-30").manifest["health"]["red"] == ["G37"]
    assert ran == ["good", "good"]


def test_the_command_ends_with_4_and_renders_what_is_not_blocked(tmp_path, monkeypatch, ran):
    from click.testing import CliRunner

    from salesops_lib import gate
    from salesops_lib.cli import main

    looked = []
    once = gate.check_workspace
    monkeypatch.setattr(gate, "check_workspace", lambda *a, **k: looked.append(1) or once(*a, **k))
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
    assert ran == ["data_health", "good"]
