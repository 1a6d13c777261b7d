"""The indexes: what failed, changed, left or did not come; and names that mean harm, from export to browser."""

import csv
import json
import re
import subprocess
import sys
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import yaml
from bs4 import BeautifulSoup
from openpyxl import load_workbook

from salesops_lib import export, tables
from salesops_lib.report import runs
from salesops_lib.report.execute import PageRun
from salesops_lib.report.fanout import slug
from salesops_lib.report.page import TEMPLATE, Section, fill
from salesops_lib.report.publish import FOLD_FROM, LINKED, overdue, prune, write_catalogue, write_index
from tests.conftest import ROOT, make_workspace
from tests.gate_company import clean
from tests.wcag import OPEN_ALL, RINGS, colour, contrast, faults, faults_of_looks, ground, jumps, pale

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 9, 28, 6, 0, tzinfo=BERLIN)
HOSTILE = [
    "<script>alert(1)</script>", "</table>", "{{7*7}}", "$x$", "[link](javascript:alert(1))", "=cmd|'/c calc'!A1",
    "two\nlines",
]  # fmt: skip
TRAVERSAL = ["../../etc/passwd", "..", "a/b\\c", "nul\0l", "%2e%2e%2f", "~", "日本", "x" * 300, "\r\nX: y"]
BLANK = fill(
    "page.html.j2",
    title="A page",
    details={},
    health=None,
    contents={},
    top=Section("<p>Text</p>", []),
    sections=[],
)


def made(name, headline="Fine.", **found):
    return PageRun(name, **{"title": name, "status": "ok", "headline": headline, "seconds": 1.0} | found)


def failed(name, error="ValueError: no quota", **found):
    return PageRun(
        name, **{"title": name, "error": error, "cell": 3, "source": "plan(x)", "traceback": "tb"} | found
    )


def publish(out, as_of, *pages, report="demo", rendered=MONDAY, **more):
    """Publish pages as a run does, from its lock to its index, without running a notebook."""
    place = out / report / as_of
    record = {
        "report": report, "title": "Demo", "company": "Acme", "as_of": as_of, "snapshot_id": as_of,
        "finished_at": None, "rendered_at": rendered.isoformat(), "health": {},
        "details": {"Snapshot": as_of}, "kernels": "none",
    } | more  # fmt: skip
    with runs.locked(place) as work:
        folder = runs.Folder(place, work, record, [page.name for page in pages], runs.earlier(place))
        for page in pages:
            (work / f"{page.name}.ipynb").write_text("{}", encoding="utf-8")
            if page.status == "ok":
                (work / f"{page.name}.html").write_text(BLANK, encoding="utf-8")
            folder.publish(page)
        folder.sweep()
        write_index(folder.write(finished_at=rendered.isoformat()), place)
    return place


def read(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def said(path):
    """The text of a page, blanks as one."""
    return " ".join(read(path).body.get_text(" ").split())


def targets_exist(path):
    """Every link of a page leads to a file that is there."""
    links = [link["href"] for link in read(path).find_all("a") if not link["href"].startswith("#")]
    return [link for link in links if not (path.parent / link).is_file()]


# -- what changed --------------------------------------------------------------------------------------


def test_the_line_on_changes_counts_each_page_once(tmp_path):
    publish(tmp_path, "2026-09-20", made("a"), made("b"), made("c"), failed("d"), made("left", title="Left"))
    place = publish(
        tmp_path, "2026-09-27", made("a"), made("b", "Other."), failed("c"), made("d"), made("came"),
    )  # fmt: skip
    write_catalogue(tmp_path)
    told = "Against 2026-09-20, on other data: 1 headline changed, 1 newly failed, 1 mended, 1 new, 1 gone."
    assert told in said(tmp_path / "index.html")
    index = said(place / "index.html")
    assert told in index
    for part in ("For 2026-09-20: Fine.", "For 2026-09-20 it had failed.", "New since 2026-09-20.",
                 "No longer part of it: Left."):  # fmt: skip
        assert index.count(part) == 1, part
    assert index.index("✗ c") < index.index("Other.") > index.index("ValueError: no quota")


def test_a_run_of_the_same_data_in_which_nothing_changed_says_so(tmp_path):
    for as_of in ("2026-09-20", "2026-09-27"):
        publish(tmp_path, as_of, made("a"), snapshot_id="s")
    publish(tmp_path, "2026-09-28", made("a", "Else."), report="another")
    write_catalogue(tmp_path)
    text = said(tmp_path / "index.html")
    assert text.count("Against") == 1
    assert "Against 2026-09-20, on the same data: nothing changed." in text


# -- what failed ---------------------------------------------------------------------------------------


def test_the_last_good_page_says_so_itself_and_in_the_index(tmp_path):
    publish(tmp_path, "2026-09-27", made("a"), made("b"))
    place = publish(tmp_path, "2026-09-27", made("a"), failed("b"), failed("c"))
    write_catalogue(tmp_path)
    (banner,) = read(place / "b.html").select(".warning")
    assert (
        banner.get_text() == "This is the last good page: the run of 2026-09-28 06:00 failed in code cell 3. Why"
    )
    assert banner.a["href"] == "index.html"
    assert not read(place / "a.html").select(".warning")
    first, second = read(place / "index.html").select(".failure")
    assert first.h2.a["href"] == "b.html"
    assert "The page linked above is the last good one." in first.get_text()
    assert second.h2.a is None, "there never was one"
    for part in ("ValueError: no quota", "Code cell 3", "plan(x)", "tb"):
        assert part in first.get_text()
    assert targets_exist(place / "index.html") == targets_exist(tmp_path / "index.html") == []
    assert "2 of 3 pages failed" in said(tmp_path / "index.html")
    assert "Failed: b, c" in said(tmp_path / "index.html")
    assert "a b (last good)" in said(tmp_path / "index.html"), "the links; of c there is no page"
    publish(tmp_path, "2026-09-27", made("a"), made("b"), made("c"))
    assert not read(place / "b.html").select(".warning")


def test_one_damaged_record_is_named_and_hides_no_other(tmp_path):
    whole = publish(tmp_path, "2026-09-27", made("a")) / "run.json"
    text = whole.read_text()
    damaged = {
        "cut": text[: len(text) // 2], "empty": "", "list": "[]", "null": "null", "no_pages": '{"report": "x"}',
        "odd_page": text.replace('"name": "a"', '"name": 7'), "pages_of_words": text.replace("[\n", '["a",\n', 1),
        "binary": "\ufffd\0", "no_day": text.replace('"as_of": "2026-09-27"', '"as_of": null'),
    }  # fmt: skip
    for name, content in damaged.items():
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "run.json").write_text(content)
    write_catalogue(tmp_path)
    page = read(tmp_path / "index.html")
    assert [heading.get_text() for heading in page.find_all("h2")] == ["Demo"]
    for name in damaged:
        assert f"broken/{name}" in page.find_all("p")[-1].get_text(), name
    publish(tmp_path, "2026-09-28", made("a"))
    prune(tmp_path, 1)
    assert not whole.exists()


def test_a_run_broken_off_before_its_index_is_no_dead_link(tmp_path):
    place = publish(tmp_path, "2026-09-27", made("a"), made("b"))
    record = json.loads((place / "run.json").read_text()) | {"finished_at": None}
    (place / "run.json").write_text(json.dumps(record | {"pages": record["pages"][:1]}))
    (place / "index.html").unlink()
    write_catalogue(tmp_path)
    assert "not finished" in said(tmp_path / "index.html")
    assert targets_exist(tmp_path / "index.html") == []
    assert [link.get_text() for link in read(tmp_path / "index.html").find_all("a")] == ["a"]


# -- older runs ----------------------------------------------------------------------------------------


def test_older_runs_are_folded_and_can_be_reached(tmp_path):
    days = ["2026-09-06", "2026-09-13", "2026-09-20", "2026-09-27"]
    for k, as_of in enumerate(days):
        publish(tmp_path, as_of, made("a", f"Week {k}."))
    write_catalogue(tmp_path)
    page = read(tmp_path / "index.html")
    (folded,) = page.find_all("details")
    assert folded.summary.get_text() == "3 earlier runs"
    assert [link["href"] for link in folded.find_all("a")] == [f"demo/{day}/index.html" for day in days[2::-1]]
    assert page.h2.a["href"] == "demo/2026-09-27/index.html"
    assert "Week 3." not in folded.get_text()
    assert targets_exist(tmp_path / "index.html") == []


def test_prune_leaves_the_newest_dates_and_a_catalogue_without_the_others(tmp_path):
    for as_of in ("2026-09-13", "2026-09-20", "2026-09-27"):
        publish(tmp_path, as_of, made("a"))
        publish(tmp_path, as_of, made("a"), report="other", title="Other")
    with runs.locked(tmp_path / "other/2026-09-13"):
        gone = prune(tmp_path, 2)
    assert gone == [tmp_path / "demo/2026-09-13"], "a run at work stays"
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["2026-09-20", "2026-09-27"]
    links = [link["href"] for link in read(tmp_path / "index.html").find_all("a")]
    assert "demo/2026-09-20/index.html" in links
    assert not any(link.startswith("demo/2026-09-13") for link in links)
    assert targets_exist(tmp_path / "index.html") == []


# -- many pages ----------------------------------------------------------------------------------------


def segments(n, **found):
    names = [f"Rep {chr(65 + k // 20)}{k % 20:02d}" for k in range(n)]
    return [
        made(f"rep-{slug(name)}", f"{name}: booked 1.2 M EUR after 34 % of Q3. " * 6, title=f"Rep report: {name}",
             segment=name, path=f"rep-{slug(name)}.html", **found)
        for name in names
    ]  # fmt: skip


def test_three_hundred_pages_are_one_light_index_of_folded_lists(tmp_path):
    place = publish(tmp_path, "2026-09-27", report="rep")
    pages = segments(300)
    long = {"error": "Error: " + "long " * 40, "source": "x = 1\n" * 30, "traceback": "a line of it\n" * 40}
    for k in range(7, 17):
        pages[k] = failed(pages[k].name, title=pages[k].title, segment=pages[k].segment, **long)
    for page in pages:
        (place / "data" / page.name).mkdir(parents=True)
        for k in range(12):
            (place / "data" / page.name / f"{k:02d} Open deals that need somebody EUR.csv").touch()
        (place / "data" / page.name / f"{page.name}.xlsx").touch()
    record = json.loads((place / "run.json").read_text())
    write_index(record | {"pages": [page.as_dict() for page in pages]}, place)
    assert (place / "index.html").stat().st_size < 2_000_000
    page = read(place / "index.html")
    assert [heading.get_text(strip=True) for heading in page.find_all("h2")] == [
        *(f"✗{page.title}" for page in pages[7:17]), "Rep report, 290 pages",
    ]  # fmt: skip
    lists = page.select("section > details")
    assert all(not fold.has_attr("open") for fold in page.find_all("details"))
    listed = [line.a.get_text() for line in page.select("section > details .lines > li")]
    assert listed == [page.segment for page in pages if page.status == "ok"]
    assert len(lists) == 12
    assert page.select(".lines .cut")[0].get_text().startswith("booked 1.2 M EUR"), "the name stands beside it"
    assert page.select(".lines .files a")[0]["href"] == "data/rep-rep-a00/rep-rep-a00.xlsx"
    few = publish(tmp_path, "2026-09-27", *segments(FOLD_FROM), report="few")
    assert not read(few / "index.html").find_all("details")
    assert len(read(few / "index.html").select(".lines > li")) == FOLD_FROM


def test_the_catalogue_links_to_pages_itself_where_they_are_few(tmp_path):
    publish(tmp_path, "2026-09-27", *segments(LINKED), report="few")
    publish(tmp_path, "2026-09-27", *segments(LINKED + 1), report="many")
    two = [*segments(2), *(made(f"x{k}", title=f"Other: {k}", segment=str(k)) for k in range(2))]
    publish(tmp_path, "2026-09-27", *two, report="two")
    write_catalogue(tmp_path)
    few, many, both = read(tmp_path / "index.html").find_all("section")
    assert [link.get_text() for link in few.select(".inline a")] == [page.segment for page in segments(LINKED)]
    assert many.select(".inline a") == []
    assert [link.get_text() for link in both.select(".inline a")] == [page.title for page in two]
    assert targets_exist(tmp_path / "index.html") == []


# -- what did not come ---------------------------------------------------------------------------------


@pytest.fixture
def scheduled(tmp_path):
    """A workspace with a report due on Mondays, one every day that was never run, and one that is wrong."""
    (tmp_path / "reports").mkdir()
    for name, text in {
        "demo": "title: <i>Demo</i>\nnotebooks: [a]\nschedule: 0 6 * * 1\n",
        "daily": "title: Daily\nnotebooks: [a]\nschedule: 30 5 * * *\n",
        "wrong": "title: Wrong\nnotebooks: [a]\nschedule: soon\n",
    }.items():
        (tmp_path / f"reports/{name}.yaml").write_text(text)
    return make_workspace(tmp_path, "company: {timezone: Europe/Berlin}\n")


def catalogue(ws, now):
    write_catalogue(ws.out, overdue(ws, now))
    return ws.out / "index.html"


def due_lines(path):
    return [" ".join(line.get_text().split()) for line in read(path).select(".due li")]


def test_missed_runs_stand_on_top_and_a_run_takes_them_away(scheduled):
    publish(scheduled.out, "2026-09-13", made("a"), rendered=MONDAY - timedelta(days=14))
    lines = due_lines(catalogue(scheduled, MONDAY + timedelta(hours=2)))
    assert lines == [
        "✗ <i>Demo</i>: expected Mon 06:00, not run, nor 1 before it",
        "Daily: next Tue 29 Sep 05:30 CEST",
        "<i>Demo</i>: next Mon 05 Oct 06:00 CEST",
    ]
    text = said(scheduled.out / "index.html")
    assert text.index("not run") < text.index("As of")
    publish(scheduled.out, "2026-09-27", made("a"), rendered=MONDAY + timedelta(hours=1))
    assert not any("not run" in line for line in due_lines(catalogue(scheduled, MONDAY + timedelta(hours=2))))


@pytest.mark.browser
def test_the_readers_clock_tells_what_did_not_come_since(scheduled, browser):
    publish(scheduled.out, "2026-09-27", made("a"), rendered=MONDAY)
    path = catalogue(scheduled, MONDAY)
    monday = MONDAY + timedelta(days=7)
    next_daily, next_demo = "Daily: next Tue 29 Sep 05:30 CEST", "<i>Demo</i>: next Mon 05 Oct 06:00 CEST"
    no_daily = "✗ Daily: expected Tue 29 Sep 05:30, not run"
    no_demo = "✗ <i>Demo</i>: expected Mon 05 Oct 06:00, not run"
    for now, lines in (
        (MONDAY + timedelta(minutes=5), [next_daily, next_demo]),
        (monday + timedelta(minutes=59), [no_daily, next_demo]),
        (monday + timedelta(minutes=60), [no_demo, no_daily]),
    ):
        context = browser.new_context(timezone_id="Asia/Tokyo")
        page = context.new_page()
        page.clock.set_fixed_time(now)
        told = []
        page.on("console", lambda message, told=told: told.append(message.text))
        page.on("request", lambda request, told=told: told.append(request.url))
        page.goto(path.as_uri())
        assert page.locator(".due li").all_inner_texts() == lines, now
        assert page.locator(".due .failed").count() == sum(line.startswith("✗") for line in lines)
        assert told == [path.as_uri()]
        context.close()
    (script,) = read(path).find_all("script")
    assert script.string == (TEMPLATE / "due.js").read_text(encoding="utf-8")


# -- who can use it ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A catalogue and two indexes with everything on them, and a page of the last good kind."""
    root = tmp_path_factory.mktemp("shelf")
    (root / "reports").mkdir()
    (root / "reports/demo.yaml").write_text("title: Demo\nnotebooks: [a]\nschedule: 0 6 * * 1\n")
    ws = make_workspace(root, "company: {timezone: Europe/Berlin}\n")
    health = {
        "blocking": ["Won deals without a date: 3 (G37)."],
        "notes": ["Old: 1 (G07)."],
        "more": 1,
        "link": "",
    }
    publish(ws.out, "2026-09-13", made("a"), made("b"), rendered=MONDAY - timedelta(days=14), health=health)
    publish(ws.out, "2026-09-20", made("a"), made("b"), rendered=MONDAY - timedelta(days=14), health=health)
    last = publish(
        ws.out, "2026-09-20", made("a", "Other. " * 30, is_reused=True, tries=2), failed("b", "E: " + "wide" * 60),
        made("c", error="no PDF: none"), rendered=MONDAY - timedelta(days=14), health=health, rows_excluded=12,
    )  # fmt: skip
    (last / "data/a").mkdir(parents=True)
    for name in ("a.xlsx", "01 Table.csv", "02 " + "x" * 60 + ".csv"):
        (last / "data/a" / name).touch()
    write_index(json.loads((last / "run.json").read_text()), last)
    many = publish(ws.out, "2026-09-20", *segments(60), report="rep", title="Rep report")
    path = catalogue(ws, MONDAY + timedelta(hours=2))
    return [path, last / "index.html", many / "index.html", last / "b.html"]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_indexes_can_be_read_and_used_by_everybody(shelf, browser, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 844})
    for path in shelf:
        page = context.new_page()
        page.goto(path.as_uri())
        page.evaluate(OPEN_ALL)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert not jumps(page), path
        assert pale(page) == [], path
        assert faults(page) + faults_of_looks(page) == [], path
        body = ground([page.evaluate("getComputedStyle(document.body).backgroundColor")])
        for tag, at, style, width, ring in page.evaluate(RINGS):
            assert (at, style) == (0, "solid"), tag
            assert width >= 2, tag
            assert contrast(colour(ring)[0], body) >= 3, tag
        page.close()
    context.close()


@pytest.mark.browser
def test_sixty_segments_open_with_the_keyboard_and_are_whole_on_paper(shelf, browser):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(shelf[2].as_uri())
    assert page.evaluate("document.documentElement.scrollHeight") < 2 * 844
    first = page.locator(".lines a").first
    assert not first.is_visible()
    while page.evaluate("document.activeElement.tagName") != "SUMMARY":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Rep A00" == first.inner_text()
    page.keyboard.press("Enter")
    page.wait_for_url("**/rep-rep-a00.html")
    page.go_back()
    page.emulate_media(media="print")
    lines = "[...document.querySelectorAll('.lines > li')]"
    assert page.evaluate(f"{lines}.filter(line => line.checkVisibility()).length") == 60
    page.close()


# -- names that mean harm ------------------------------------------------------------------------------


def test_no_name_leaves_its_folder():
    for name in HOSTILE + TRAVERSAL:
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,48}", slug(name)), name


def test_indexes_show_hostile_names_as_they_are(tmp_path):
    everything = " ".join(HOSTILE)
    pages = [made("a", everything, title=everything),
             made("s", everything, title=f"T: {everything}", segment=everything),
             failed("f", everything, title=everything, source=everything, traceback=everything)]  # fmt: skip
    names = {"title": everything, "company": everything, "details": {everything: everything}}
    publish(tmp_path, "2026-09-20", made("gone", title=everything), **names)
    place = publish(tmp_path, "2026-09-27", *pages, **names)
    write_catalogue(tmp_path)
    for path, times in ((tmp_path / "index.html", 6), (place / "index.html", 13)):
        page = harmless(path)
        assert page.body.get_text().count(everything) == times, path
    assert read(place / "index.html").title.get_text() == f"{everything}, 2026-09-27"


def harmless(path):
    """Parse a page, and refuse scripts that are not ours, handlers, and links that run."""
    page = read(path)
    ours = {(TEMPLATE / name).read_text(encoding="utf-8") for name in ("sort.js", "due.js")}
    assert {script.string for script in page.find_all("script")} <= ours, path
    for tag in page.find_all(True):
        assert not [name for name in tag.attrs if name.startswith("on")], tag
        for name in ("href", "src", "action", "formaction", "xlink:href"):
            target = re.sub(r"[\s\0-\x1f]", "", tag.get(name, "")).lower()
            assert not target.startswith(("javascript:", "vbscript:", "//", "http")), tag
            assert not target.startswith("data:") or (tag.name, name) == ("img", "src") or tag.has_attr("download")
        assert tag.name not in ("iframe", "object", "embed", "form", "base", "link"), tag
    return page


def hostile_company():
    """The company of 24 deals, its people, team, accounts and deals named to do harm."""
    rows = clean()
    for k, (account, deal) in enumerate(zip(rows["accounts"], rows["opportunities"], strict=True)):
        account["name"], deal["name"] = HOSTILE[k % len(HOSTILE)], HOSTILE[(k + 3) % len(HOSTILE)]
        deal["next_step"] = HOSTILE[(k + 1) % len(HOSTILE)] if deal["next_step"] else None
    for user, name in zip(rows["users"], (HOSTILE[6], HOSTILE[0], HOSTILE[5]), strict=True):
        user["name"] = name
    rows["teams"][0]["name"] = HOSTILE[1]
    return rows


def write_export(rows, folder):
    """Write canonical tables as CSV, and the mapping that takes each column as it is."""
    folder.mkdir(parents=True)
    sections = {}
    for name, part in rows.items():
        columns = [column.name for column in tables.table(name).columns]
        filled = [column for column in columns if any(row.get(column) is not None for row in part)]
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(filled)
            for row in part:
                values = [row.get(column) for column in filled]
                writer.writerow([v.isoformat() if hasattr(v, "isoformat") else v for v in values])
        sections[name] = [{"file": f"{name}.csv", "columns": {column: column for column in filled}}]
    company = {"currency": "EUR", "timezone": "Europe/Berlin", "name": HOSTILE[4]}
    mapping = {"name": "plain", "id_prefix": "x", "date_order": "ymd", "decimal": ".", "company": company}
    text = yaml.safe_dump(mapping | {"tables": sections}, allow_unicode=True)
    (folder.parent / "plain.yaml").write_text(text, encoding="utf-8")


def salesops(*arguments, cwd):
    command = [sys.executable, "-m", "salesops_lib", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def hostile_out(tmp_path_factory):
    """What the command line makes of such an export: the page of a rep, and one for leadership."""
    root = tmp_path_factory.mktemp("hostile")
    write_export(hostile_company(), root / "export_2026-07-15")
    (root / "ws/reports").mkdir(parents=True)
    ws = make_workspace(root / "ws", "source: {kind: csv}\n")
    rep_report = yaml.safe_load((ROOT / "reports/rep_report.yaml").read_text(encoding="utf-8"))
    rep_report["for_each"]["where"] = {"name": HOSTILE[0]}
    (ws.reports / "rep_report.yaml").write_text(yaml.safe_dump(rep_report), encoding="utf-8")
    title = " ".join(HOSTILE)
    page = {"notebook": "leadership_report", "title": title}
    lead = {"title": title, "notebooks": [page], "schedule": "0 6 * * 1"}
    (ws.reports / "lead.yaml").write_text(yaml.safe_dump(lead), encoding="utf-8")
    salesops("load", "csv", root / "export_2026-07-15", "--map", root / "plain.yaml", cwd=ws.root)
    salesops("render", "rep_report", "lead", "--as-of", "2026-07-15", "--workers", "2", "--force", cwd=ws.root)
    return ws.out


@pytest.mark.slow
def test_from_a_hostile_export_to_harmless_pages(hostile_out):
    reps, lead = hostile_out / "rep_report/2026-07-15", hostile_out / "lead/2026-07-15"
    pages = sorted(hostile_out.rglob("*.html"))
    assert [path.relative_to(hostile_out).as_posix() for path in pages] == [
        "index.html", "lead/2026-07-15/index.html", "lead/2026-07-15/leadership_report.html",
        "rep_report/2026-07-15/index.html", "rep_report/2026-07-15/rep_report-script-alert-1-script.html",
    ]  # fmt: skip
    parsed = {path: harmless(path) for path in pages}
    title = " ".join(HOSTILE)
    assert parsed[lead / "leadership_report.html"].title.get_text() == title
    assert parsed[lead / "leadership_report.html"].h1.get_text() == title
    assert parsed[hostile_out / "index.html"].h2.get_text() == title
    rep = HOSTILE[0]
    assert parsed[pages[-1]].h1.get_text() == f"Rep report: {rep}"
    assert parsed[pages[-1]].select_one(".headline").get_text().startswith(f"{rep}: ")
    assert parsed[reps / "index.html"].select_one(".lines a").get_text() == rep
    assert rep in [link.get_text() for link in parsed[hostile_out / "index.html"].select(".inline a")]
    cells = {cell.get_text() for path in pages for cell in parsed[path].find_all(["td", "th"])}
    assert [name for name in HOSTILE if name not in cells] == []
    alts = [image["alt"] for path in pages for image in parsed[path].find_all("img")]
    assert alts
    assert "49" not in {text.strip() for path in pages for text in parsed[path].find_all(string=True)}


@pytest.mark.slow
def test_what_a_spreadsheet_opens_runs_nothing(hostile_out):
    found = set()
    for path in hostile_out.rglob("*.csv"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            for cell in (cell for row in csv.reader(file) for cell in row):
                assert export.neutral(cell) == cell, f"{path}: {cell}"
                found.add(cell)
    books = list(hostile_out.rglob("*.xlsx"))
    assert len(books) == 2
    for path in books:
        for sheet in load_workbook(path):
            for cell in (cell for row in sheet for cell in row):
                assert cell.data_type != "f", f"{path}: {cell.value}"
                assert cell.hyperlink is None
                if isinstance(cell.value, str):
                    assert export.neutral(cell.value) == cell.value, f"{path}: {cell.value}"
    assert "'=cmd|'/c calc'!A1" in found
    assert {name for name in HOSTILE if not name.startswith("=")} <= found
