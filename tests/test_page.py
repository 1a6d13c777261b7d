"""The page in a real browser: what it shows, what it lets run, who can use it."""

import base64
import hashlib
import io
import json
import re
import shutil
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from openpyxl import load_workbook

from salesops_lib import export, kpis, pipeline, present
from salesops_lib.errors import RenderError
from salesops_lib.report.execute import PageRun
from salesops_lib.report.page import to_html
from salesops_lib.report.pdf import to_pdf
from salesops_lib.report.publish import write_catalogue, write_index
from tests.conftest import make_workspace
from tests.gate_company import clean, save
from tests.wcag import OPEN_ALL, RINGS, colour, contrast, faults, faults_of_looks, ground, jumps, pale

HOSTILE = [
    "<script>alert(1)</script>", "</table></div>", "{{ 7*7 }}", "$x$ and $y$", "[link](javascript:alert(1))",
    "=cmd|'/c calc'!A1", '"><img src=x onerror=alert(1)>', "../../etc/passwd", "<!--", "&lt;b&gt; &amp;",
]  # fmt: skip
HEALTH = {"blocking": (f"Won {HOSTILE[0]}: 3 (G45).",), "notes": ("Open deals: 1 (G60).",), "more": 2, "link": ""}
VALUES = pd.DataFrame(
    {
        "who": ["a", "b", "c", "d", "e", "f10", "f9"],
        "money": [1.2e6, 7.9e3, None, 950, 1.2e6, -5.0, 2.5e9],
        "share": [0.1, 0.095, 1.0, None, 0.1, 0.1, 0.1],
        "day": pd.to_datetime(["2026-09-30", "2025-12-01", None, "2026-01-15", "2026-10-02", "2024-02-29", None]),
        "light": ["note", "red", "amber", "", "red", "note", "amber"],
        "said": ["7.9×", "12.0× [2.0; 3.0]", "–", "none", "EUR 1.20 k", "−3.0×", "1,500"],
        "low": [1.0] * 7, "high": [2e9] * 7,
    }
)  # fmt: skip
UNITS = {"money": "money", "share": "share", "day": "date", "light": "severity", "said": "shown"}
ORDER = "table => [...table.tBodies[0].rows].map(row => row.cells[0].textContent).join(' ')"


def made(*parts, title="A page", details=None, **options):
    """A page from Markdown cells (text) and code cells with the output of a `Shown`."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_markdown_cell("# Replaced\n\nIs it so?")]
    for n, part in enumerate(parts):
        if isinstance(part, str):
            notebook.cells.append(nbformat.v4.new_markdown_cell(part))
            continue
        data = {"text/html": part.markup, "text/plain": part.text}
        output = nbformat.v4.new_output("display_data", data=data)
        notebook.cells.append(nbformat.v4.new_code_cell(f"cell_{n} = {HOSTILE}", outputs=[output]))
    return to_html(notebook, title, details or {"Company": HOSTILE[0]}, **options)


def sections(n):
    return [part for k in range(n) for part in (f"## Part {k}", present.note(f"Text {k}"))]


@pytest.fixture(scope="module")
def new_page(browser):
    """Opens an empty tab; one context for each way to look at a page."""
    contexts = {}

    def opened(**options):
        key = json.dumps(options)
        if key not in contexts:
            contexts[key] = browser.new_context(**options)
        return contexts[key].new_page()

    return opened


@pytest.fixture
def tab(new_page, tmp_path):
    """Opens a page made here and notes in `told` what it asks for, says and pops up."""
    tabs = []

    def opened(page, **options):
        path = page if hasattr(page, "as_uri") else tmp_path / "page.html"
        if path is not page:
            path.write_text(page, encoding="utf-8")
        found = new_page(**options)
        tabs.append(found)
        found.told = []
        found.on("request", lambda request: found.told.append(request.url))
        found.on("dialog", lambda dialog: (found.told.append(dialog.message), dialog.dismiss()))
        found.on("console", lambda message: found.told.append(message.text))
        found.goto(path.as_uri())
        found.told = [url for url in found.told if not url.startswith(("file:", "data:"))]
        return found

    yield opened
    for found in tabs:
        found.close()


class Sink(ThreadingHTTPServer):
    """A server that notes every connection, even one that asks for nothing."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), BaseHTTPRequestHandler)
        self.seen = []

    def verify_request(self, request, client_address):
        self.seen.append(client_address)
        return False


@pytest.fixture
def sink():
    server = Sink()
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


# -- contents and code ---------------------------------------------------------------------------------


def test_contents_link_to_headings_whatever_these_hold(tab):
    named = (HOSTILE[0], HOSTILE[0], '" onclick="x', "«»", "Ça va?")
    hostile = [present.section(True, text, "x") for text in named]
    page = tab(made(*hostile, f"## {HOSTILE[2]}\n\ntext"))
    links = page.locator(".contents a")
    assert links.all_text_contents() == [*named, HOSTILE[2]]
    for anchor in [link.get_attribute("href") for link in links.all()]:
        assert re.fullmatch(r"#s-[\w-]*", anchor)
        assert page.locator(f"h2{anchor}").count() == 1
    page.locator(".contents summary").press("Enter")
    links.last.press("Enter")
    assert page.evaluate("document.querySelector(':target').textContent") == HOSTILE[2]
    assert page.told == []


def test_short_pages_have_no_contents():
    assert 'class="contents"' not in made(*sections(4))
    assert 'class="contents"' in made(*sections(5))


def test_each_section_has_its_own_code_and_a_report_may_forbid_it():
    block = present.columns(present.section(True, "Two", "x"), present.section(True, "Three", "y"))
    page = made(present.note("top"), "## One", present.note("one"), block, present.note("more"))
    body, _, foot = page.partition("<footer>")
    assert re.findall(r"Code of this section|cell_\d|<h2", body) == [
        "<h2", "Code of this section", "cell_2", "<h2", "<h2", "Code of this section", "cell_3", "cell_4",
    ]  # fmt: skip
    assert re.findall(r"cell_\d", foot) == ["cell_0"]
    assert HOSTILE[0] not in page
    assert "cell_" not in made(present.note("top"), "## One", present.note("one"), show_code=False)


def test_the_title_is_text_and_the_only_first_heading():
    page = made("## One", title="*A* <b>[x](javascript:y)")
    assert re.findall("<h1.*?</h1>", page) == ["<h1>*A* &lt;b&gt;[x](javascript:y)</h1>"]
    assert "<p>Is it so?</p>" in page


# -- sorting -------------------------------------------------------------------------------------------


SORTED = {  # by column: after the first click, and the second
    "who": ("a b c d e f9 f10", "f10 f9 e d c b a"),
    "money": ("f9 a e b d f10 c", "f10 d b a e f9 c"),
    "share": ("c a e f10 f9 b d", "b a e f10 f9 c d"),
    "day": ("e a d b f10 c f9", "f10 b d a e c f9"),
    "light": ("b e c f9 a f10 d", "a f10 c f9 b e d"),
    "said": ("f9 e b a f10 c d", "f10 a b e f9 c d"),
}
STATE = f"""(() => {{
  const table = document.querySelector("table"), marked = [...document.querySelectorAll("[aria-sort]")];
  return [document.activeElement.textContent, ({ORDER})(table),
          marked.map(head => [head.textContent, head.getAttribute("aria-sort")])];
}})()"""


def test_a_heading_sorts_by_the_value_and_back_by_keyboard(tab):
    page = tab(made(present.table(VALUES, units=UNITS, ranges={"money": ("low", "high")})))
    size = "['offsetWidth', 'offsetHeight'].map(side => document.querySelector('table')[side])"
    before = page.evaluate(size)
    while page.evaluate(STATE)[0] != "who":
        page.keyboard.press("Tab")
    for column, (first, second) in SORTED.items():
        ways = ("ascending", "descending") if column == "who" else ("descending", "ascending")
        page.keyboard.press("Enter")
        assert page.evaluate(STATE) == [column, first, [[column, ways[0]]]]
        page.keyboard.press(" ")
        assert page.evaluate(STATE) == [column, second, [[column, ways[1]]]]
        page.keyboard.press("Enter")
        assert page.evaluate(STATE) == [column, " ".join(VALUES["who"]), []]
        page.keyboard.press("Tab")
    page.locator("thead button", has_text="money").click()
    page.locator("thead button", has_text="who").click()
    assert page.evaluate(STATE)[1:] == [SORTED["who"][0], [["who", "ascending"]]]
    assert page.evaluate(size) == before, "the arrow moves nothing"


def test_no_buttons_where_they_would_be_dead_or_in_the_way(tab):
    rows, one = present.table(VALUES, units=UNITS), present.table(VALUES.head(1), units=UNITS)
    page = made(rows, one, present.table(VALUES[["who", "money"]], labels={"who": "", "money": ""}))
    off = tab(page, java_script_enabled=False)
    assert off.locator("button").count() == 0
    assert off.locator("thead th").first.inner_text() == "who"
    on = tab(page)
    assert on.locator("button").count() == len(VALUES.columns)
    heads = "[...document.querySelectorAll('thead')].map(head => head.offsetHeight)"
    for media in ("screen", "print"):
        for each in (on, off):
            each.emulate_media(media=media)
        assert on.evaluate(heads) == off.evaluate(heads), "the buttons make no table higher"
    assert off.told == on.told == []


def test_a_raw_table_sorts_too_unless_its_cells_are_joined(tab):
    frame = pd.DataFrame({"n": [9, -10, 2.5], "kind": ["x", "y", "x"]})
    page = tab(made(present.Shown(frame.to_html() + frame.set_index(["kind", "n"]).T.to_html(), "")))
    assert page.locator("button").all_text_contents() == ["n", "kind"]
    page.locator("button").first.click()
    assert page.locator("table").first.evaluate(ORDER.replace("cells[0]", "cells[1]")) == "-10.0 2.5 9.0"


# -- what may run --------------------------------------------------------------------------------------


def test_the_policy_names_our_script_by_its_hash_and_none_where_there_is_no_table():
    page = made(present.table(VALUES))
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script.count("\n") <= 40
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in page
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    assert f'content="{policy};' in page
    assert f'content="{policy}"' in made(present.note("x"))
    assert "<script" not in made(present.note("x"))


RAW = """
<script>window.ran = 1; fetch('SINK/fetch')</script><script src="SINK/script.js"></script>
<img src="SINK/image.png"><img src="data:," onerror="window.ran = 2; new Image().src = 'SINK/handler'">
<svg onload="window.ran = 3"></svg><details open ontoggle="window.ran = 4"></details>
<link rel="stylesheet" href="SINK/style.css"><link rel="preconnect" href="SINK"><link rel="prefetch" href="SINK/p">
<link rel="icon" href="SINK/icon"><style>@import url(SINK/import.css); h1 { background: url(SINK/b.png) }</style>
<iframe src="SINK/frame"></iframe><iframe srcdoc="<script>parent.ran = 5</script><img src='SINK/inner'>"></iframe>
<object data="SINK/object"></object><embed src="SINK/embed"><video src="SINK/video" autoplay></video>
<form id="form" action="SINK/form"><input name="a"></form><base href="SINK/base/">
<a id="js" href="javascript:window.ran = 6">x</a><p onmouseover="window.ran = 7">y</p>
"""
REFRESH = '<meta http-equiv="refresh" content="0; url=SINK/away">'


def test_with_escaping_defeated_nothing_runs_and_nothing_is_requested(tab, sink):
    from playwright.sync_api import Error

    address = f"http://127.0.0.1:{sink.server_port}"
    raw = (RAW + REFRESH).replace("SINK", address)
    page = made(present.Shown(raw, ""), "text <script>window.ran = 8</script>" + raw, present.table(VALUES))

    def provoke(page, connections):
        """Open the page, click and submit what is there, and wait for so many connections, or half a second."""
        sink.seen.clear()
        found = tab(page)
        with suppress(Error):  # it may be leaving
            found.evaluate("document.getElementById('js').click(); document.getElementById('form')?.submit()")
        for _ in range(100 if connections else 10):
            found.wait_for_timeout(50)
            if connections and len(sink.seen) >= connections:
                break
        return found

    ours = provoke(page, 0)
    assert sink.seen == []
    assert ours.evaluate("window.ran") is None
    assert ours.url.startswith("file:")
    assert f"url={address}/away" in ours.locator("main").inner_text()
    ours.locator("thead button", has_text="who").click()  # ours alone runs
    assert ours.locator("[aria-sort]").count() == 1

    # the same page without each of the two walls: the sink would have seen it
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    provoke(bare, 6)
    assert len(sink.seen) >= 6
    for stopped in ("meta", "iframe", "form"):
        provoke(page.replace(f"&lt;{stopped}", f"<{stopped}"), 1)
        assert sink.seen, stopped


# -- names from a CRM ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile_book(tmp_path_factory):
    rows = clean()
    for k, (account, deal) in enumerate(zip(rows["accounts"], rows["opportunities"], strict=True)):
        account["name"], deal["name"] = HOSTILE[k % len(HOSTILE)], HOSTILE[(k + 3) % len(HOSTILE)]
        deal["next_step"] = None
    for user, name in zip(rows["users"], (HOSTILE[6], HOSTILE[0], HOSTILE[1]), strict=True):
        user["name"] = name
    rows["teams"][0]["name"] = HOSTILE[8]
    ws = make_workspace(tmp_path_factory.mktemp("hostile"), "source: {kind: csv}\n")
    save(rows, ws.store.root)
    return ws.book("2026-07-15")


def blocks_of(book):
    deals = book.opportunities.merge(book.accounts, on="account_id", suffixes=("", "_of_account"))
    deals = deals[["name", "name_of_account", "amount"]]
    review = pipeline.review(book)
    axes = plt.subplots()[1]
    axes.barh(HOSTILE, range(len(HOSTILE)))
    tile = dict.fromkeys(("label", "value", "range", "change", "kpi_id"), HOSTILE[1]) | {"tone": '"><script>'}
    return deals, [
        present.headline(" ".join(HOSTILE)),
        present.tiles(pd.DataFrame([tile])),
        present.section(True, HOSTILE[6], present.show(axes, " ".join(HOSTILE))),
        present.table(deals, units={"amount": "amount"}, caption=HOSTILE[0]),
        present.table(review.deals, **pipeline.shown_as(review.deals)),
        present.drill(review.deals, "rep", of="deal", units=pipeline.UNITS),
        present.table(review.owners, **pipeline.shown_as(review.owners)),
        present.table(review.coverage, **pipeline.shown_as(review.coverage)),
        present.download({"deals": deals}, f"../../{HOSTILE[0]}=cmd|x.xlsx"),
    ]


def test_names_from_a_crm_appear_as_they_are_and_do_nothing(hostile_book, tab, tmp_path):
    deals, blocks = blocks_of(hostile_book)
    title = " ".join(HOSTILE)
    page = tab(made(*blocks, title=title, details={HOSTILE[1]: HOSTILE[0]}, health=HEALTH), accept_downloads=True)
    page.evaluate(OPEN_ALL)
    said = page.evaluate("[...document.querySelectorAll('td, tbody th')].map(cell => cell.innerText)")
    for text in HOSTILE:
        assert said.count(text) >= 2 * sum(deals["name"] == text) > 0, text
    assert page.title() == page.locator("h1").inner_text() == page.locator(".headline").inner_text() == title
    assert page.evaluate("[...document.images].map(image => image.alt)") == [title]
    shown = page.locator("body").inner_text()
    for part in (f"Won {HOSTILE[0]}: 3", f"{HOSTILE[0]}: ", HOSTILE[8]):
        assert part in shown
    assert page.locator("main table").count() == page.locator("main .scroll").count() > 4
    assert page.told == []
    with page.expect_download() as got:
        page.locator(".download a").click()
    assert got.value.suggested_filename == "script_alert(1)_script_cmd_x.xlsx"
    sheet = load_workbook(got.value.path().rename(tmp_path / "got.xlsx"))["deals"]
    cells = [cell for row in sheet.iter_rows(min_row=2, max_col=2) for cell in row]
    assert {cell.data_type for cell in cells} == {"s"}
    expected = {export.neutral(text) for text in HOSTILE}
    assert {cell.value for cell in cells} == expected
    assert "'=cmd|'/c calc'!A1" in expected
    path = export.write_csv(deals, tmp_path / "deals.csv")
    assert set(pd.read_csv(io.StringIO(path.read_text("utf-8-sig")))["name"]) == expected


@pytest.fixture(scope="module")
def indexes(tmp_path_factory):
    """The index of a run and the catalogue, of a page that was made and one that failed."""
    out, title = tmp_path_factory.mktemp("out"), " ".join(HOSTILE)
    pages = [
        PageRun("good", title=title, status="ok", path="good.html", headline=title),
        PageRun("bad", title=title, error=title, cell=3, source=title, traceback=title),
    ]
    record = {
        "report": "demo", "title": title, "company": title, "as_of": "2026-07-15", "snapshot_id": "s",
        "rendered_at": "2026-07-15T12:00:00+02:00",
        "details": {HOSTILE[0]: HOSTILE[1]}, "health": HEALTH | {"blocking": [title]},
        "pages": [page.as_dict() for page in pages],
    }  # fmt: skip
    place = out / "demo/2026-07-15"
    place.mkdir(parents=True)
    (place / "run.json").write_text(json.dumps(record))
    write_index(record, place)
    write_catalogue(out)
    return [out / "index.html", place / "index.html"]


def test_the_indexes_show_names_as_they_are(indexes, tab):
    title = " ".join(HOSTILE)
    for path, times in zip(indexes, (3, 8), strict=True):
        page = tab(path)
        page.evaluate(OPEN_ALL)
        assert page.locator("body").inner_text().count(title) >= times, path
        assert page.told == []


def test_the_id_on_a_tile_opens_its_definition(hostile_book, tab):
    tile = dict.fromkeys(("label", "value", "range", "change", "tone"), "x") | {"kpi_id": "K26"}
    page = tab(made(present.tiles(pd.DataFrame([tile])), present.run_details(hostile_book, kpis.catalogue())))
    place = page.locator("#K26")
    assert not place.is_visible()
    page.locator("a.kpi").click()
    assert place.is_visible()


# -- who can use it ------------------------------------------------------------------------------------


def everything():
    tones = [dict.fromkeys(("label", "value", "range", "change", "kpi_id"), "K1") | {"tone": tone}
             for tone in ("good", "bad", "")]  # fmt: skip
    return made(
        present.Shown('<p class="warning">Warning</p>', ""),
        present.headline("Headline"),
        present.tiles(pd.DataFrame(tones)),
        present.section(True, "Figure", present.show(plt.subplots()[1], "An empty chart."), "note"),
        present.section(True, "Table", present.table(VALUES, units=UNITS, labels={"who": ""}, caption="Caption")),
        present.download({"deals": VALUES}, "deals.xlsx"),
        *sections(4),
        health=HEALTH | {"link": "data_health.html"},
    )


def test_contrast_is_computed_as_wcag_defines_it(tab):
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)
    assert ground(["rgba(0, 0, 0, 0.5)", "rgb(100, 100, 100)"]) == (50, 50, 50)
    page = tab(made(present.Shown('<p style="color: #777">pale</p><h4>deep</h4>', "")))
    assert pale(page) == ["pale"]
    assert jumps(page)
    page = tab(made(present.Shown('<p style="color: #777">pale</p><details><button></button></details>', "")))
    assert [fault.partition(":")[0] for fault in faults(page)] == ["button-name"]
    assert [fault.partition(":")[0] for fault in faults_of_looks(page)] == ["color-contrast"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_read_and_used_by_everybody(indexes, tab, tmp_path, scheme):
    (tmp_path / "all.html").write_text(everything(), encoding="utf-8")
    for path in (tmp_path / "all.html", *indexes):
        page = tab(path, color_scheme=scheme)
        assert not jumps(page), path
        assert page.evaluate("[...document.images].every(image => image.alt)")
        assert page.evaluate("[...document.querySelectorAll('th')].every(th => th.scope && "
                             "(th.textContent || th.ariaLabel))")  # fmt: skip
        page.evaluate(OPEN_ALL)
        assert pale(page) == [], path
        assert faults(page) + faults_of_looks(page) == [], path
        body = ground([page.evaluate("getComputedStyle(document.body).backgroundColor")])
        assert (sum(body) < 200) == (scheme == "dark")
        rings = page.evaluate(RINGS)
        assert len(rings) == page.locator("a, button, summary, .scroll").count() > 0
        for tag, at, style, width, ring in rings:
            assert (at, style) == (0, "solid"), tag
            assert width >= 2, tag
            assert contrast(colour(ring)[0], body) >= 3, tag


def test_contents_and_buttons_cost_no_room(tab):
    page = tab(everything(), viewport={"width": 390, "height": 844})
    top = "document.querySelector('h1').getBoundingClientRect().top"
    before = page.evaluate(top)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.evaluate("document.querySelector('.contents').remove()")
    assert before - page.evaluate(top) <= 1
    page = tab(everything())
    page.emulate_media(media="print")
    page.evaluate(OPEN_ALL)
    off_paper = "[...document.querySelectorAll('.contents, details.code')].map(part => part.checkVisibility())"
    assert set(page.evaluate(off_paper)) == {False}


# -- on paper ------------------------------------------------------------------------------------------


def test_a_page_becomes_a_pdf_that_asks_for_nothing(new_page, sink, tmp_path):
    raw = RAW.replace("SINK", f"http://127.0.0.1:{sink.server_port}")
    (tmp_path / "my page.html").write_text(
        made(present.Shown(raw, ""), health=HEALTH | {"link": "data_health.html"})
    )
    target = tmp_path / "pages" / "page.pdf"
    with pytest.raises(RenderError, match="is no folder"):
        to_pdf(tmp_path / "my page.html", target)
    target.parent.mkdir()
    assert to_pdf(tmp_path / "my page.html", target) == target
    assert target.read_bytes().startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", target.read_bytes())) == 1
    assert b"file:" not in target.read_bytes(), "no link carries the path of this machine"
    assert sink.seen == []
    assert list(target.parent.iterdir()) == [target], "no profile, no half a file"


def test_without_a_browser_the_message_says_how_to_get_one(tmp_path, monkeypatch):
    (tmp_path / "page.html").write_text("<p>x")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    with pytest.raises(RenderError, match="playwright install chromium"):
        to_pdf(tmp_path / "page.html", tmp_path / "page.pdf")
    with pytest.raises(RenderError, match=r"gone\.html is not there"):
        to_pdf(tmp_path / "gone.html", tmp_path / "page.pdf")


@pytest.mark.skipif(shutil.which("sh") is None, reason="the stand-ins are shell scripts")
def test_a_browser_that_fails_or_hangs_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "page.html").write_text("<p>x")
    (tmp_path / "page.pdf").write_bytes(b"old")
    browser = tmp_path / "bin" / "chromium"
    browser.parent.mkdir()
    monkeypatch.setenv("PATH", f"{browser.parent}:/usr/bin:/bin")
    for script, says in (
        ("echo noise >&2; echo no room left >&2; exit 1", r"page\.html was not printed by .*: no room left"),
        (f"(sleep 1.5; touch {tmp_path}/alive) & wait", "printed nothing within 1 s"),
    ):
        browser.write_text(f"#!/bin/sh\n{script}\n")
        browser.chmod(0o700)
        with pytest.raises(RenderError, match=says):
            to_pdf(tmp_path / "page.html", tmp_path / "page.pdf", timeout_s=1)
        assert (tmp_path / "page.pdf").read_bytes() == b"old"
    time.sleep(1)
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "page.html", "page.pdf"}, "helpers ended too"
