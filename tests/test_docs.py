"""What the documents say is true."""

import ast
import re
import tomllib

from salesops_lib import gate, kpis
from salesops_lib.cli import main
from salesops_lib.sources import load
from tests.conftest import ROOT, make_workspace

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", README, re.S)[1]


def test_the_tour_on_an_own_csv_works_as_written(tmp_path):
    ws = make_workspace(tmp_path)
    (tmp_path / "export").mkdir()
    (tmp_path / "export/deals.csv").write_text(block("csv"), encoding="utf-8")
    (tmp_path / "my_crm.yaml").write_text(block("yaml"), encoding="utf-8")
    loaded = load("csv", tmp_path / "export", mapping=tmp_path / "my_crm.yaml")
    assert loaded.quarantine.empty
    assert loaded.findings.empty
    ws.save(loaded)
    book = ws.book("2026-01-31")
    won = book.opportunities[book.opportunities["is_won"]]
    assert [str(amount) for amount in won["amount"]] == ["12500.00"]
    assert won["close_date"].dt.strftime("%Y-%m-%d").tolist() == ["2026-01-19"]
    assert len(book.users) == 2

    from salesops_lib import leadership

    assert leadership.summarize(book).headline.startswith("Booked 12.5 k EUR after 34 % of Q1 2026 (1 deal")


def test_every_command_named_exists_and_every_target_too():
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    documents = [
        README,
        *(path.read_text(encoding="utf-8") for path in (ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"))),
    ]
    for text in documents:
        for name in re.findall(r"`(?:\.venv/bin/)?salesops ([a-z]+)", text):
            assert name in main.commands, name
        for target in re.findall(r"`?make ([a-z-]+)\b(?=`|\s{2,})", text):
            assert re.search(rf"^{target}:", make, re.M), target


def test_every_link_points_at_a_file():
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_the_inventory_names_every_module_and_no_other():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| \S", text, re.M)
    package = ROOT / "salesops_lib"
    there = {path.stem for path in package.glob("*.py")} | {
        path.parent.name for path in package.glob("*/__init__.py")
    }
    assert sorted(listed) == sorted(there - {"__init__", "__main__"})
    assert len(text.splitlines()) <= 120


def test_the_inventory_stands_in_the_order_of_imports():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ][0]
    layers = [layer.replace("salesops_lib.", "").split(" | ") for layer in contract["layers"]]
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| \S", text, re.M)
    rank = {name: k for k, layer in enumerate(layers) for name in layer}
    assert [rank[name] for name in listed] == sorted(rank[name] for name in listed)


def test_each_method_page_says_formula_assumptions_refusals_and_source():
    pages = sorted((ROOT / "docs/methods").glob("*.md"))
    assert {"data_health", "forecast", "kpis", "leadership", "pipeline"} <= {page.stem for page in pages}
    for page in pages:
        heads = re.findall(r"^## (\w+)", page.read_text(encoding="utf-8"), re.M)
        assert [h for h in ("Formula", "Assumptions", "Refuses", "Source") if h not in heads] == [], page.name


def test_the_formulas_of_the_methods_are_those_of_the_code():
    text = (ROOT / "docs/methods/kpis.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (K\d+) ([^|]+) \| ([^|]+) \|$", text, re.M)
    known = {(row.kpi_id, row.name, row.formula) for row in kpis.catalogue().itertuples(index=False)}
    assert len(told) >= 6
    assert set(told) <= known


def test_the_list_of_checks_is_the_one_the_code_makes():
    text = (ROOT / "docs/checks.md").read_text(encoding="utf-8")
    assert text == gate.catalogue(), "run `make dictionary`"


def test_every_trap_is_caught_where_the_document_says():
    text = (ROOT / "docs/data_gate.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", text, re.M)
    assert [int(number) for number, _ in lines] == list(range(1, 67))
    tests = {path.name: _functions(path) for path in ROOT.glob("tests/test_*.py")}
    for number, caught in lines:
        listed = {check.id for check in gate.CHECKS.values() if int(number) in check.traps}
        assert set(re.findall(r"\bG\d+\b", caught)) == listed, f"trap {number}: {sorted(listed)}"
        named = re.findall(r"`tests/(\w+\.py)::(\w+)`", caught)
        for file, name in named:
            assert name in tests[file], f"trap {number}: {file} has no {name}"
        assert listed or named or "out of reach" in caught, f"trap {number}"
    for file, name in re.findall(r"`tests/(\w+\.py)::(\w+)`", text):
        assert name in tests[file], name


def _functions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
