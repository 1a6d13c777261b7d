"""Pages in other languages: catalogues are whole, numbers and dates follow, the data are never translated."""

import re
import shutil
from datetime import UTC, date, datetime

import pandas as pd
import pytest
from babel.dates import get_day_names, get_month_names
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from bs4 import BeautifulSoup, NavigableString

from salesops_lib import present, tables
from salesops_lib.config import CompanySettings
from salesops_lib.errors import ConfigError, InsufficientData
from salesops_lib.gate.findings import sentence
from salesops_lib.language import FOLDER, dated, extract, language, languages, say, say_many, speaking
from salesops_lib.periods import FiscalCalendar
from salesops_lib.report import render
from salesops_lib.report.deliver import Delivery
from salesops_lib.report.notice import Notice
from salesops_lib.report.page import translated
from salesops_lib.stats import proportion
from tests.conftest import make_workspace

HOLE = re.compile(r"\{(\w+)\}")
FINDING = {"title": "Open deals without an owner", "n": 1234, "check": "G60", "currency": "EUR", "amount": 120000,
           "accepted": ""}  # fmt: skip


@pytest.fixture(scope="module")
def wanted() -> Catalog:
    return extract.template()


@pytest.fixture(scope="module", params=[name for name in languages() if name != "en"])
def catalogue(request) -> Catalog:
    return catalogue_of(FOLDER / f"{request.param}.po")


def catalogue_of(path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file)


def forms(text) -> tuple[str, ...]:
    return text if isinstance(text, tuple) else (text,)


# -- catalogues ------------------------------------------------------------------------------------------


def test_every_message_is_translated_with_the_same_placeholders(wanted, catalogue):
    assert len(wanted) > 1000
    missing, differ = [], []
    for message in (message for message in wanted if message.id):
        found = catalogue.get(message.id)
        if found is None or not all(forms(found.string)):
            missing.append(message.id)
        else:
            ours, theirs = (
                [set(HOLE.findall(form)) for form in forms(text)] for text in (message.id, found.string)
            )
            # a form for one thing may leave out that it is one; nothing else may be asked for
            if len(ours) != len(theirs) or ours[-1] != theirs[-1] or not theirs[0] <= ours[0]:
                differ.append((message.id, found.string))
    assert not differ
    assert not missing, f"{len(missing)} without a translation; `make words` lists them"


def test_no_translation_is_of_a_message_that_is_gone(wanted, catalogue):
    known = {message.id for message in wanted}
    assert [message.id for message in catalogue if message.id not in known] == []
    assert not catalogue.obsolete


def test_what_is_said_is_found_wherever_it_stands(tmp_path):
    for folder in ("salesops_lib", "notebooks", "reports"):
        (tmp_path / folder).mkdir()
    (tmp_path / "salesops_lib" / "a.py").write_text(
        'LABELS = {"a": "first"}\nsay("{n} of it", n=1)\nsay_many("{n} one", "{n} many", 2)\nmark("later")\n'
        'dated(day, "d. M.")\ncounted(3, "thing")\nsay(name)\ntable(x, labels={"b": "second"})\n'
    )
    (tmp_path / "salesops_lib" / "b.j2").write_text(
        '{{ say("in a page", n=1) }}{{ say(name) }}{{ dated(x, "y") }}'
    )
    (tmp_path / "reports" / "r.yaml").write_text("title: A report\nnotebooks: [{notebook: x, title: A page}]\n")
    found = {message.id for message in extract.template(tmp_path)}
    assert found >= {
        "first", "second", "{n} of it", ("{n} one", "{n} many"), "later", "d. M.", ("{n} thing", "{n} things"),
        "in a page", "y", "A report", "A page", "Quota attainment", "Open deals without an owner",
    }  # fmt: skip


# -- words, numbers and dates ----------------------------------------------------------------------------


def test_german_writes_dates_numbers_and_plurals_its_own_way():
    day = date(2026, 3, 5)
    assert (dated(day), present.number(1234567, "money"), present.number(-0.1234, "share")) == (
        "05 Mar 2026", "1.23 M", "−12.3 %",
    )  # fmt: skip
    with speaking("de"):
        assert language() == "de"
        assert dated(day) == "5. März 2026"
        assert dated(datetime(2026, 3, 5, 6, 30, tzinfo=UTC), present.about.INSTANT) == "Do. 5. März 2026, 06:30"
        assert present.number(1234567, "money") == "1,23 Mio."
        assert present.number(1234567.8, "amount") == "1.234.568"
        assert present.number(-0.1234, "share") == "−12,3 %"
        assert [present.counted(n, "row") for n in (0, 1, 1200)] == ["0 Zeilen", "1 Zeile", "1.200 Zeilen"]
        assert say_many("{n} page", "{n} pages", 1) == "1 Seite"
        assert say("{first} to {last}", first="Q1", last="Q3") == "Q1 bis Q3"
    assert language() == "en"


def test_periods_are_named_in_the_language_spoken_then():
    calendar, day = FiscalCalendar(start_month=2), date(2026, 5, 20)
    kinds = ("month", "quarter", "week")
    english = [calendar.period(kind, day).label for kind in kinds]
    with speaking("de"):
        german = [calendar.period(kind, day) for kind in kinds]
    assert english == ["May 2026", "Q2 FY27", "week of 18 May 2026"]
    assert [period.label for period in german] == ["Mai 2026", "Q2 GJ27", "Woche ab 18. Mai 2026"]
    assert [calendar.period(kind, day).label for kind in kinds] == english


def test_refusals_notes_and_findings_are_said_in_german():
    with speaking("de"):
        refused = InsufficientData(say("Stale deals by owner"), needed=1, got=0, of=say("stale deals"))
        assert str(refused) == "Liegengebliebene Deals je Inhaber: braucht 1 liegengebliebene Deals, es gibt 0."
        assert proportion(0, 0).note == "keine Fälle"
        assert proportion(0, 0).status == "not defined"  # a key, translated where it is shown
        assert sentence(FINDING) == "Offene Deals ohne Inhaber: 1.234 (120.000 EUR; G60)."
        shown = present.table(pd.DataFrame({"n": [0.5]}), units={"n": "share"}, caption="")
        assert "50,0" in shown.markup
    assert sentence(FINDING) == "Open deals without an owner: 1,234 (EUR 120,000; G60)."


def test_headings_and_paragraphs_of_a_notebook_are_translated_each():
    with speaking("de"):
        assert translated(
            "# Data health\n\nCan the numbers be trusted, and what has to be mended at the source?"
        ) == ("# Datenqualität\n\nKann man den Zahlen trauen, und was ist an der Quelle zu beheben?")
        assert translated("Own words.") == "Own words."


def test_a_mail_is_in_german(tmp_path):
    (tmp_path / "a.html").write_text("page", encoding="utf-8")
    page = {"name": "a", "title": "Lage", "status": "ok", "headline": "Gut.", "path": "a.html"}
    record = {"report": "r", "title": "Bericht", "company": "Reports", "as_of": "2026-09-30", "pages": [page]}
    notice = Notice(record, tmp_path, Delivery(mail=("ann@example.com",)), record | {"as_of": "2026-09-29"})
    with speaking("de"):
        subject, lines = notice.subject, notice.body.splitlines()
    assert subject == "Lage, 2026-09-30: Gut."
    assert lines[0] == "Bericht (Reports), Stand 2026-09-30"
    assert lines[2:] == ["Lage", "  Gut.", "  Wie für 2026-09-29.", f"  Seite: {tmp_path / 'a.html'}"]


def test_data_are_neither_translated_nor_formatted():
    names = ["red", "{n} deals", "{0.__class__}", "open", "%s"]
    rows = pd.DataFrame({"account": names, "value": [1.0] * 5})
    with speaking("de"):
        shown = present.table(rows, units={"value": "count"}, labels={"account": "account"}).markup
        said = say("{n} of {total}", n="{total}", total="{n.__class__}")
        title = sentence(FINDING | {"accepted": "{n} red"})
    assert [name for name in names if f">{name}<" not in shown] == []
    assert ">Kunde<" in shown
    assert said == "{total} von {n.__class__}"
    assert "{n} red" in title


# -- a company's own language ----------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["xx", "German", "words.txt"])
def test_a_language_nobody_knows_is_refused(named):
    with pytest.raises(ValueError, match=r"none of de, en"):
        CompanySettings(language=named)


def twisted(text: str) -> str:
    """Put brackets around what is said, and leave placeholders and patterns of dates."""
    if re.fullmatch(r"[EdMyHms :.,'/n\\-]+", text):
        return text
    parts = re.split(r"(\{[^}]*\})", text)
    said = (part if part.startswith("{") or not re.search("[A-Za-z]", part) else f"⟦{part}⟧" for part in parts)
    return "".join(said)


def pseudo(path, wanted: Catalog) -> None:
    """Write a catalogue in which everything is twisted: what is not was never looked up."""
    made = Catalog(locale="de", charset="utf-8")
    for message in wanted:
        if message.id:
            given = forms(message.id)
            made.add(message.id, tuple(map(twisted, given)) if len(given) > 1 else twisted(given[0]))
    with path.open("wb") as file:
        write_po(file, made)


@pytest.fixture(scope="module")
def own(tmp_path_factory, sample_ws, wanted):
    """A workspace with the sample company that speaks a language of its own, and its rep sheet."""
    root = tmp_path_factory.mktemp("own")
    shutil.copytree(sample_ws.store.root, root / sample_ws.store.root.relative_to(sample_ws.root))
    (root / "reports").mkdir()
    ws = make_workspace(root, "source: {kind: sample}\ncompany: {language: own.po}\nreports: reports\n")
    pseudo(root / "own.po", wanted)
    (root / "reports" / "sheet.yaml").write_text("title: Rep sheets\nnotebooks: [rep_sheet]\n")
    return ws, render("sheet", workspace=ws, as_of="2026-09-30")


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("rep_sheet.html", "⟦Rep sheet⟧"),
        ("index.html", "⟦Rep sheets⟧, 2026-09-30"),
        ("../../index.html", "⟦Reports⟧"),
    ],
)
def test_nothing_on_a_page_or_an_index_is_said_in_english_only(own, path, title):
    ws, run = own
    assert [page.error for page in run.failed] == []
    page = BeautifulSoup((run.folder / path).read_text(encoding="utf-8"), "html.parser")
    assert page.html["lang"] == "de"
    assert page.title.string == title
    # a method note is English and says so, and files have names in one language
    for part in page.select("style, script, pre, code, footer dd, [lang=en], a[download]"):
        part.decompose()
    said = [str(text) for text in page.find_all(string=lambda text: type(text) is NavigableString)]
    said += [image["alt"] for image in page.select("img")]
    said += [part["aria-label"] for part in page.select("[aria-label]")]
    known = words_of(ws.book("2026-09-30"))
    left = {text.strip() for text in said if set(words(re.sub("⟦[^⟧]*⟧", " ", text))) - known}
    assert left == set()


def words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]{2,}", text)


def words_of(book) -> set[str]:
    """Collect the words of the data, of German months and days, and of what is no language: ids and columns."""
    found = {"EUR", "UTC", "Excel", *words(f"{book.company.name} {book.snapshot_id}")}
    found.update(words(" ".join(tables.TABLES)))
    for name in ("users", "teams", "accounts", "opportunities", "stages"):
        rows = book.table(name)
        for column in rows.select_dtypes(include=["object", "string"]):
            found.update(words(" ".join(rows[column].dropna().astype(str).unique())))
    months, days = (names("abbreviated", locale="de").values() for names in (get_month_names, get_day_names))
    return found.union(*map(words, [*months, *days]))


def test_a_page_is_made_anew_when_its_words_change(own):
    ws, run = own
    again = render("sheet", workspace=ws, as_of="2026-09-30", findings=run.findings)
    assert [page.is_reused for page in again.pages] == [True]
    path = ws.root / "own.po"
    path.write_text(path.read_text(encoding="utf-8").replace("⟦Rep sheet⟧", "⟦Blatt⟧"), encoding="utf-8")
    try:
        made = render("sheet", workspace=ws, as_of="2026-09-30", findings=run.findings)
    finally:
        path.write_text(path.read_text(encoding="utf-8").replace("⟦Blatt⟧", "⟦Rep sheet⟧"), encoding="utf-8")
    assert [page.is_reused for page in made.pages] == [False]
    assert "<title>⟦Blatt⟧</title>" in (made.folder / "rep_sheet.html").read_text(encoding="utf-8")


def test_a_catalogue_that_is_not_there_is_refused_in_words(tmp_path):
    ws = make_workspace(tmp_path, "source: {kind: sample}\ncompany: {language: gone.po}\n")
    with pytest.raises(ConfigError, match=r"salesops.yaml: company.language: there is no gone.po"):
        _ = ws.language


def test_a_slip_in_a_companys_own_words_falls_back_to_english(tmp_path):
    made = Catalog(locale="de", charset="utf-8")
    made.add("{n} of {rows}.", "{m} von {rows}.")
    made.add("Metrics", "Kennzahlen {offen")
    made.add("First {n} of {rows}.", "Die ersten {n} von {rows}.")
    with (tmp_path / "own.po").open("wb") as file:
        write_po(file, made)
    with speaking(str(tmp_path / "own.po")):
        assert say("{n} of {rows}.", n=1, rows=2) == "1 of 2."
        assert say("Metrics") == "Metrics"
        assert say("First {n} of {rows}.", n=1, rows=2) == "Die ersten 1 von 2."


def test_numbers_follow_the_locale_beside_the_language():
    with speaking("de", "de_CH"):
        assert present.number(1234567, "amount") == "1’234’567"
    with speaking("en", "de_DE"):
        assert present.number(1234567, "amount") == "1.234.567"
    assert present.number(1234567, "amount") == "1,234,567"
