"""The report factory from end to end: who is told, what makes a page anew, what a library cannot do to it."""

import json

import nbformat
import pytest

from salesops_lib import report
from salesops_lib.errors import ParameterError, ReportBlocked
from salesops_lib.report import runs
from salesops_lib.report.parameters import declared
from tests.conftest import make_workspace
from tests.gate_company import clean, save
from tests.test_deliver import mail_server
from tests.test_report import notebook, page

DAY, BEFORE = "2026-07-15", "2026-07-08"
TOLD = {"deliver": [{"mail": ["vp@example.com"], "sender": "reports@example.com"}]}
THREAD = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
WORD = notebook(
    "as_of: str = ''  # day\nword: str = 'first'  # shown\nfail: bool = False  # whether",
    "from salesops_lib import present\nimport threading, time, words\nassert not fail",
    "present.headline(f'{word}, {words.SAID}')",
    tags=[None, "headline"],
)


@pytest.fixture
def ws(tmp_path, monkeypatch):
    """A report of two pages, whose notebook takes a word from a module of the workspace; it starts a thread."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # the warm parent finds it too, and must not keep its thread
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "reports").mkdir()
    (tmp_path / "words.py").write_text(f"{THREAD}\nSAID = 'a'\n")
    nbformat.write(WORD, tmp_path / "notebooks/word.ipynb")
    made = make_workspace(tmp_path, "source: {kind: csv}\n")
    save(clean(), made.store.root)
    return made


def write(ws, **keys):
    pages = [{"notebook": "word", "name": name} for name in ("one", "two")]
    content = {"title": "Words", "notebooks": pages, "allow_red": True} | TOLD | keys
    (ws.root / "reports/words.yaml").write_text(json.dumps(content), encoding="utf-8")


def made(run) -> list[str]:
    return [entry.name for entry in run.pages if not entry.is_reused]


def test_who_was_told_is_not_told_again_and_every_change_makes_a_page_anew(ws, monkeypatch):
    write(ws)
    with mail_server() as inbox:
        monkeypatch.setenv("SALESOPS_SMTP_URL", f"smtp://127.0.0.1:{inbox.port}")

        def run(tell=True, **kwargs):
            return report.render("words", workspace=ws, as_of=DAY, tell=tell, workers=2, **kwargs)

        silent = run(tell=False)
        assert [entry.headline for entry in silent.pages] == ["first, a"] * 2, [e.error for e in silent.pages]
        assert (inbox.mails, made(silent)) == ([], ["one", "two"])
        first, again = run(), run()
        assert (made(first), made(again), len(inbox.mails)) == ([], [], 1)
        assert [told["status"] for told in again.manifest["deliveries"]] == ["skipped"]
        (ws.root / "words.py").write_text("SAID = 'b'\n")
        changed = run()
        assert (made(changed), len(inbox.mails)) == (["one", "two"], 2)
        assert "first, b" in page(changed.folder, "one")
        write(ws, show_code=False)
        hidden = run(tell=False)
        assert made(hidden) == ["one", "two"]
        assert "words.SAID" not in page(hidden.folder, "one")


def test_a_report_that_cannot_be_rendered_is_told_of(ws, monkeypatch):
    rows = clean()
    rows["opportunities"] = [row | {"owner_id": "x:nobody"} for row in rows["opportunities"]]
    save(rows, ws.store.root)
    write(ws, allow_red=False)
    with mail_server() as inbox:
        monkeypatch.setenv("SALESOPS_SMTP_URL", f"smtp://127.0.0.1:{inbox.port}")
        with pytest.raises(ReportBlocked):
            report.render("words", workspace=ws, as_of=DAY, tell=True)
        (mail,) = inbox.mails
    assert mail["Subject"] == f"Failed: Words, {DAY}: not rendered"
    assert "blocked by" in mail.get_content()


def test_the_last_good_page_of_the_day_before_is_linked(ws):
    (ws.root / "words.py").write_text("SAID = 'a'\n")
    write(ws, deliver=[])
    report.render("words", workspace=ws, as_of=BEFORE, workers=2)
    failed = report.render("words", workspace=ws, as_of=DAY, parameters={"fail": True}, workers=2)
    assert [entry.last_good for entry in failed.pages] == [f"../{BEFORE}/{name}.html" for name in ("one", "two")]
    assert (failed.folder / failed.pages[0].last_good).is_file()
    assert f'href="../{BEFORE}/one.html"' in page(failed.folder, "index")
    assert {runs.earlier(failed.folder)["as_of"], runs.last(failed.folder.parent)["as_of"]} <= {DAY, BEFORE}


@pytest.mark.parametrize("name", ["api_token", "PASSWORD", "db_dsn", "client_secret"])
def test_a_secret_is_no_parameter(name):
    with pytest.raises(ParameterError, match=f"line 1: {name} would stand in the page"):
        declared(notebook(f"{name}: str = ''  # no"), "x")


def test_words_that_only_sound_like_secrets_are_parameters():
    assert set(declared(notebook("tokens_per_day: int = 1  # yes\npassion: str = ''  # yes"), "x")) == {
        "tokens_per_day", "passion",
    }  # fmt: skip
