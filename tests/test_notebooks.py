"""The reports of the sample company as pages: what they say, and how they are read (live: test_lab)."""

import csv
import html
import importlib
import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from openpyxl import load_workbook

from salesops_lib import report
from tests import guards
from tests.conftest import ROOT
from tests.wcag import OPEN_ALL, faults, faults_of_looks

LIMIT_BYTES = 2_000_000
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def pages(sample_ws):
    return report.render("weekly_leadership", workspace=sample_ws, as_of="2026-09-30", workers=2)


@pytest.mark.slow
def test_renders_as_pages_that_ask_for_nothing(pages):
    assert [(p.name, p.status) for p in pages.pages] == [
        (name, "ok")
        for name in (
            "leadership_report", "board_report", "pipeline_movement", "rep_benchmarking", "kpi_catalogue",
            "data_health",
        )
    ]  # fmt: skip
    for path in [*pages.folder.glob("*.html"), pages.folder.parent.parent / "index.html"]:
        text = path.read_text(encoding="utf-8")
        assert guards.external_addresses(text) == [], path.name
        assert len(text) < LIMIT_BYTES
        assert "Content-Security-Policy" in text
        assert (
            "nan"
            not in text.lower()
            .replace("finan", "")
            .replace("governan", "")
            .split("<footer>")[0]
            .split("base64")[0]
        )


@pytest.mark.slow
def test_pages_say_what_they_rest_on(pages):
    for page in pages.pages:
        text = (pages.folder / page.path).read_text(encoding="utf-8")
        shown = html.unescape(text).replace("\N{NO-BREAK SPACE}", " ")
        for part in (pages.manifest["snapshot_id"], "salesops 0.1.0", "as_of='2026-09-30'", "set aside"):
            assert part in shown, (page.name, part)
        assert page.headline
        assert page.headline in shown, page.name
        for image in text.split("<img ")[1:]:
            assert len(image.split('alt="')[1].split('"')[0]) > 20


def figures_of(path):
    """List the chart functions a notebook shows, and the text of its last cell, which says what they rest on."""
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    imports = {}
    for module, names in re.findall(r"^from (salesops_lib\.\w+) import (.+)$", "\n".join(cells), re.MULTILINE):
        for name in names.split(", "):
            imports[name.split(" as ")[-1]] = f"{module}.{name.split(' as ')[0]}"
    shown = re.findall(r"\.figure\(\s*(\w+)\.(plot_\w+)", "\n".join(cells))
    return [getattr(importlib.import_module(imports[module]), plot) for module, plot in shown], cells[-1]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_says_how_it_is_read_and_its_links_are_on_the_page(path):
    plots, last = figures_of(path)
    assert plots or path.stem == "kpi_catalogue"
    for plot in plots:
        text, method, kpis = plot.reading
        assert text.endswith("."), plot.__name__
        assert f'"{method}"' in last, f"{plot.__name__}: the page lacks its method note {method}"
        for kpi_id in kpis:
            assert "catalogue())" in last or "catalogue()," in last or f"'{kpi_id}'" in last, (
                plot.__name__,
                kpi_id,
            )


@pytest.mark.slow
def test_every_link_within_a_page_leads_somewhere(pages):
    for page in pages.pages:
        text = (pages.folder / page.path).read_text(encoding="utf-8")
        assert text.count("<figure") == text.count("<figcaption>"), page.name
        assert text.count('<details class="method"') > 0
        ids = set(re.findall(r' id="([^"]+)"', text))
        assert [to for to in re.findall(r'href="#([^"]+)"', text) if to not in ids] == [], page.name


HEADINGS = {
    "A": "Will we make it?",
    "B": "What moved the pipeline since",
    "C": "Why did bookings change?",
    "D": "Which deals can hurt or help?",
    "E": "Who needs help?",
    "F": "Is there enough for the next periods?",
    "G": "What is to be decided?",
    "H": "What is to be done this week?",
}


def blocks_of(page) -> str:
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"<h2[^>]*>([^<]*)", text)
    return "".join(letter for letter, heading in HEADINGS.items() if any(one.startswith(heading) for one in found))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("company", "as_of", "report_name", "who", "blocks"),
    [
        ("sample_ws", "2026-09-30", "manager_report", "Central", "ABCDEFGH"),
        ("sample_ws", "2026-09-30", "rep_report", "Elena Rossi", "ABDH"),
        ("maven_ws", "2017-12-31", "manager_report", "Melvin Marxen", "ABCDEFGH"),
        ("maven_ws", "2017-12-31", "rep_report", "Darcel Schlecht", "ABDH"),
    ],
)
def test_a_manager_and_a_rep_have_a_page(request, tmp_path, company, as_of, report_name, who, blocks):
    ws = request.getfixturevalue(company)
    run = report.render(report_name, workspace=ws, as_of=as_of, parameters={"who": who}, out=tmp_path)
    assert [(page.status, page.error) for page in run.pages] == [("ok", "")]
    page = run.folder / run.pages[0].path
    assert blocks_of(page) == blocks
    assert f"{who}: booked" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_leadership_and_board_have_their_blocks(pages):
    assert blocks_of(pages.folder / "leadership_report.html") == "ABCDEFG"
    assert blocks_of(pages.folder / "board_report.html") == "ACG"


@pytest.mark.slow
def test_code_is_one_click_away_and_not_on_show(pages):
    text = (pages.folder / "leadership_report.html").read_text(encoding="utf-8")
    body, _, foot = text.partition("<footer>")
    assert "open_workspace" not in body
    assert "open_workspace" in foot
    blocks = BeautifulSoup(text, "html.parser").find_all("pre")
    assert len(blocks) > 10
    for block in blocks:
        (around,) = block.find_parents("details")
        assert around["class"] == ["code"]
        assert not around.has_attr("open")


@pytest.mark.slow
def test_the_data_behind_every_table_and_figure_lie_beside_the_page(pages):
    for page in pages.pages:
        text = (pages.folder / page.path).read_text(encoding="utf-8")
        folder = pages.folder / "data" / page.name
        files = sorted(folder.glob("*.csv"))
        shown = BeautifulSoup(text, "html.parser")
        for note in shown.select(".method"):  # its tables hold no data
            note.decompose()
        assert len(files) == len(shown.select("table, figure")), page.name
        book = load_workbook(folder / f"{page.name}.xlsx")
        assert len(book.sheetnames) == len(files)
        for file, sheet in zip(files, book, strict=True):
            assert file.stem.startswith(sheet.title)
            with file.open(encoding="utf-8-sig", newline="") as opened:
                first, *rows = csv.reader(opened)
            assert [cell.value for cell in next(sheet.rows)] == first
            assert sheet.max_row == len(rows) + 1


@pytest.fixture(scope="module")
def shown(pages):
    """Every page of the run, its index, and the catalogue over all runs."""
    return [pages.folder.parent.parent / "index.html", *sorted(pages.folder.glob("*.html"))]


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_on_phone_and_desk_without_a_network(shown, browser, width):
    tab = browser.new_context(offline=True, viewport={"width": width, "height": 900}).new_page()
    asked, said = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    for path in shown:
        tab.goto(path.as_uri())
        assert tab.locator("h1").count() == 1
        assert tab.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt)")
        wide = tab.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{path.name} is {wide} px wide at {width}"
        tab.evaluate(OPEN_ALL)
        assert said == [], path.name
    assert {url for url in asked if not url.startswith("data:")} == {path.as_uri() for path in shown}
    tab.context.close()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_fault(shown, browser, width):
    for scheme in ("light", "dark"):
        tab = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}).new_page()
        for path in shown:
            tab.goto(path.as_uri())
            if (scheme, width) == ("light", 1280):  # what hangs on neither is asked once
                assert faults(tab) == [], path.name
            assert faults_of_looks(tab) == [], (path.name, scheme)
        tab.context.close()


WALK = """() => {
  const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
  const told = {tag: at.tagName, box: at.className, wide: at.scrollWidth > at.clientWidth + 1,
                first: !at.dataset.met, ring: at.matches(":focus-visible") && parseFloat(style.outlineWidth),
                seen: box.bottom > 0 && box.top < innerHeight};
  at.dataset.met = "1";
  return told;
}"""
MOVED = """new Promise((moved, stuck) => {
  const look = () => document.activeElement.scrollLeft > 0 ? moved() : requestAnimationFrame(look);
  setTimeout(() => stuck(Error("the table does not scroll")), 3000);
  look();
})"""
REACHED = "a[href], button, summary, [tabindex='0']"


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", ["leadership_report", "index"])
def test_the_keyboard_reaches_and_works_everything(pages, browser, name):
    tab = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    tab.goto((pages.folder / f"{name}.html").as_uri())
    left, met = tab.locator(REACHED).filter(visible=True).count(), []
    while len(met) < left:
        tab.keyboard.press("Tab")
        met.append(here := tab.evaluate(WALK))
        assert here["first"], "the focus goes round before it has been everywhere"
        assert here["seen"], here
        assert here["ring"] >= 2, here
        if here["tag"] == "SUMMARY" and not any(one["tag"] == "SUMMARY" for one in met[:-1]):
            before = tab.locator(REACHED).filter(visible=True).count()
            tab.keyboard.press("Enter")
            assert tab.evaluate("document.activeElement.parentElement.open")
            left += tab.locator(REACHED).filter(visible=True).count() - before
        if here["tag"] == "BUTTON" and not any(one["tag"] == "BUTTON" for one in met[:-1]):
            tab.keyboard.press("Enter")
            assert tab.evaluate("document.activeElement.closest('th').ariaSort")
        if here["box"] == "scroll" and here["wide"]:
            tab.keyboard.press("ArrowRight")
            tab.evaluate(MOVED)
    kinds = {one["tag"] for one in met}
    assert {"A", "SUMMARY"} <= kinds
    if name == "leadership_report":
        assert "BUTTON" in kinds
        assert any(one["box"] == "scroll" and one["wide"] for one in met)
    tab.context.close()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", ["leadership_report", "board_report"])
def test_on_a_sheet_of_paper(pages, browser, name):
    tab = browser.new_page()
    tab.goto((pages.folder / f"{name}.html").as_uri())
    paper = tab.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) == 1, f"{name} is longer than a sheet of A4"
    tab.close()
