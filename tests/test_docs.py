"""What the documents say is true."""

import re

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
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"
