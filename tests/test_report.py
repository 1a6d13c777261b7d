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
from salesops_lib.errors import ConfigError, ParameterError, RenderError
from salesops_lib.report.execute import prune, run_page, to_html
from salesops_lib.report.parameters import check, declared
from tests import guards
from tests.conftest import ROOT, make_workspace

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
    run = run_page(tmp_path / "hostile.ipynb", work, {"a": 1}, tmp_path, {"Company": HOSTILE}, 60)
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
