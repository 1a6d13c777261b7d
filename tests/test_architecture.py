import subprocess
import sys
import tomllib

import nbformat
import pytest
import yaml

from tests import guards
from tests.conftest import ROOT

PACKAGE = ROOT / "salesops_lib"
MODULES = sorted(PACKAGE.rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def linted(folder) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=folder, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(folder), "PATH": ""},
    )  # fmt: skip


def test_imports_go_one_way():
    done = linted(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("leadership/analysis.py", "import salesops_lib.benchmark"),
        ("stats.py", "import salesops_lib.present"),
        ("report/execute.py", "import salesops_lib.leadership"),
        ("kpis/results.py", "import matplotlib"),
        ("tables.py", "import salesops_lib.periods"),
    ],
)
def test_a_wrong_import_is_seen(tmp_path, module, line):
    for source in (*MODULES, ROOT / "pyproject.toml"):
        target = tmp_path / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    broken = tmp_path / "salesops_lib" / module
    broken.write_text(broken.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    done = linted(tmp_path)
    assert done.returncode != 0
    assert "BROKEN" in done.stdout


def test_only_the_command_line_reads_the_clock():
    for path in MODULES:
        if path.name != "cli.py":
            assert guards.reads_clock(path.read_text(encoding="utf-8")) == [], path
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, 4).cells:
            assert cell.cell_type != "code" or guards.reads_clock(cell.source) == [], path
    assert guards.reads_clock((PACKAGE / "cli.py").read_text(encoding="utf-8"))
    for planted in ("pd.Timestamp.now()", "datetime.datetime.today()", "date.today()", "time.time()"):
        assert guards.reads_clock(planted), planted


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_in_house_form(path):
    assert guards.breaks_house_form(nbformat.read(path, as_version=4)) == []


@pytest.mark.parametrize(
    ("planted", "says"),
    [
        ("def helper():\n    pass", "FunctionDef"),
        ("for row in [1]:\n    print(row)", "For"),
        ("f = lambda x: x", "Lambda"),
        ("class A:\n    pass", "ClassDef"),
    ],
)
def test_a_notebook_out_of_form_is_seen(planted, says):
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    notebook.cells[3].source = planted
    assert says in " ".join(guards.breaks_house_form(notebook))


def test_stored_outputs_and_missing_parts_are_seen():
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[1].outputs = [nbformat.v4.new_output("stream", text="x")]
    code[0].metadata.tags = []
    notebook.cells = [*notebook.cells[1:], *[nbformat.v4.new_code_cell("1")] * 20]
    said = " ".join(guards.breaks_house_form(notebook))
    for part in ("outputs", "0 cells tagged parameters", "code cells", "title"):
        assert part in said


def test_the_public_surface_is_documented(tmp_path):
    assert [problem for path in MODULES for problem in guards.undocumented(path)] == []
    bare = tmp_path / "bare.py"
    bare.write_text("class Thing:\n    def act(self):\n        return 1\n")
    assert len(guards.undocumented(bare)) == 3


COMPUTE = [
    "kpis", "stats", "decompose", "fx", "facts", "gate", "history", "book", "store", "workspace", "tables",
    "periods", "sources", "export", "report.parameters", "leadership.analysis", "benchmark.analysis",
    "health.analysis", "funnel.analysis", "pooling", "curves", "passages", "win_probability", "ageing",
    "benchmark.compare", "funnel.conversion", "leads.analysis", "territory.analysis", "territory.review",
]  # fmt: skip


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(' '.join(sys.modules))"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_no_drawing_library_behind_a_compute_module():
    names = loaded_by("\n".join(f"import salesops_lib.{name}" for name in COMPUTE))
    assert not names & {"matplotlib", "seaborn", "IPython", "ipywidgets", "plotly", "prophet"}
    assert not names & {"numba", "ortools"}  # read where a plan is made, not by every page
    assert "matplotlib" in loaded_by("import salesops_lib.leadership.charts"), (
        "the test would not see it otherwise"
    )


def test_help_imports_nothing_heavy():
    code = "import sys; sys.argv = ['salesops', '--help']\nfrom salesops_lib.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass"
    assert not loaded_by(code) & {"pandas", "numpy", "duckdb", "pydantic", "nbformat", "papermill", "matplotlib"}


def test_the_libraries_live_together():
    """pandas 2.3 with statsforecast, prophet and statsmodels; plotly must not be needed."""
    names = loaded_by("import pandas, statsmodels.api, prophet, statsforecast\nassert pandas.__version__ < '3'")
    assert "plotly" not in names


def test_the_conda_route_is_in_step_with_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert f"python{project['requires-python']}" in conda
    assert "pip" in conda
    (steps,) = (entry["pip"] for entry in conda if isinstance(entry, dict))
    assert steps == ["--require-hashes", "-r requirements.lock"]
    assert "pip install --no-deps --no-build-isolation -e ." in (ROOT / "environment.yml").read_text(
        encoding="utf-8"
    )


def test_the_lock_pins_every_dependency_with_hashes_and_names_no_address():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert guards.locked_versions(lock) == []
    assert guards.locked_versions("--index-url https://example.org\npandas>=2\n")
    pinned = {line.partition("==")[0].partition("[")[0] for line in lock.splitlines() if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = project["project"]["dependencies"] + [
        entry for extra in project["project"]["optional-dependencies"].values() for entry in extra
    ]
    names = {entry.split(">")[0].split("[")[0].strip() for entry in wanted + project["build-system"]["requires"]}
    assert names <= pinned


def test_no_external_address_is_seen_when_planted():
    for planted in (
        '<script src="https://cdn.example.org/x.js"></script>',
        "<link href=//fonts.example.org/a.css>",
        "<style>@import url(x.css)</style>",
        "<img src='http://example.org/a.png'>",
    ):
        assert guards.external_addresses(planted), planted
    assert guards.external_addresses('<a href="index.html">x</a><img src="data:image/png;base64,AA">') == []


def test_every_command_has_help():
    from click.testing import CliRunner

    from salesops_lib.cli import main

    assert {"init", "load", "check", "render", "reports", "kpis", "sources", "snapshots", "lab"} <= set(
        main.commands
    )
    for name in main.commands:
        shown = CliRunner().invoke(main, [name, "--help"])
        assert shown.exit_code == 0
        assert len(shown.output) > 80
