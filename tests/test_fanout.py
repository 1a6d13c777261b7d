"""One page for each of several segments: who gets one, what it is called, and what happens to the others."""

import json
import re

import nbformat
import pytest

from salesops_lib import report
from salesops_lib.config import parse
from salesops_lib.errors import ConfigError, ParameterError
from salesops_lib.report import fanout
from salesops_lib.report.definition import Definition
from tests import guards
from tests.conftest import make_workspace
from tests.gate_company import OTHER, REP, clean, save
from tests.test_report import notebook

DAY = "2026-07-15"
DECLARED = "".join(
    f"{name}: str = ''  # which\n"
    for name in ("as_of", "team", "rep", "region", "segment", "product", "role", "who")
)
ONE = notebook(
    f"{DECLARED}n: int = 1  # shown",
    "from salesops_lib import present\nnone = {}[who] if who == 'x:h2' else 0",
    "present.headline(f'{n} about {who}')",
    tags=[None, "headline"],
)
HOSTILE = [
    "../../x",
    "<script>alert(1)</script>",
    "=cmd|'/c calc'!A1",
    "Ana Šuć",
    "ana-suc",
    "株式会社",
    "{{ 7*7 }}\n# x",
]
SCRIPT, LINES, BROKEN = HOSTILE[1], HOSTILE[-1], "broken"


def company():
    """Two teams; the deals of two reps in two regions, segments and products."""
    rows = clean()
    rows["teams"].append({"team_id": "x:t2", "name": "South & East"})
    rows["users"][2]["team_id"] = "x:t2"
    for k, account in enumerate(rows["accounts"], start=1):
        account |= {"region": ("EMEA", "APAC")[k % 2], "segment": ("SMB", "Enterprise")[k % 2]}
    for k, deal in enumerate(rows["opportunities"], start=1):
        deal["product_family"] = ("Core", "Plus")[k % 2]
    return rows


def peopled(names):
    """The company with one rep a name."""
    rows = clean()
    people = [rows["users"][1] | {"user_id": f"x:h{k}", "name": name} for k, name in enumerate(names)]
    return rows | {"users": [*rows["users"], *people]}


def made(root, rows, **keys):
    """A workspace with a report `each` that makes a page of one notebook for each segment."""
    (root / "notebooks").mkdir(parents=True)
    (root / "reports").mkdir()
    nbformat.write(ONE, root / "notebooks/one.ipynb")
    definition = {"title": "Each", "notebooks": ["one"], "allow_red": True, "parameters": {"as_of": DAY}} | keys
    (root / "reports/each.yaml").write_text(json.dumps(definition), encoding="utf-8")
    ws = make_workspace(root, "source: {kind: csv}\n")
    save(rows, ws.store.root)
    return ws


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    return made(tmp_path_factory.mktemp("company"), company())


def jobs(ws, for_each, **asked):
    definition = parse(Definition, {"title": "T", "notebooks": ["one"], "for_each": for_each}, "each.yaml")
    return fanout.jobs(definition, asked, ws.notebooks, ws.book(DAY))


# -- who gets a page -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("for_each", "parameter", "values", "shown"),
    [
        ("team", "team", ["x:t1", "x:t2"], ["North", "South & East"]),
        ("rep", "rep", [REP, OTHER], ["Bo", "Cy"]),
        ({"by": "rep", "parameter": "who"}, "who", [REP, OTHER], ["Bo", "Cy"]),
        ("region", "region", ["APAC", "EMEA"], ["APAC", "EMEA"]),
        ("segment", "segment", ["Enterprise", "SMB"], ["Enterprise", "SMB"]),
        ("product", "product", ["Core", "Plus"], ["Core", "Plus"]),
        ("users.role", "role", ["ae", "manager"], ["ae", "manager"]),
        ({"by": "users.role", "where": {"is_quota_carrying": True}}, "role", ["ae"], ["ae"]),
        ({"by": "rep", "where": {"team_id": "x:t2"}}, "rep", [OTHER], ["Cy"]),
        ({"by": "rep", "where": {"name": ["Cy", "Ada"]}}, "rep", [OTHER], ["Cy"]),
        ({"by": "team", "where": {"name": ["North"]}}, "team", ["x:t1"], ["North"]),
        ({"by": "region", "where": {"segment": "SMB"}}, "region", ["EMEA"], ["EMEA"]),
        ({"by": "users.role", "where": {"manager_id": None}}, "role", ["manager"], ["manager"]),
        ({"by": "product", "where": {"rep": [OTHER], "is_won": True}}, "product", ["Plus"], ["Plus"]),
    ],
)
def test_who_gets_a_page(ws, for_each, parameter, values, shown):
    found = jobs(ws, for_each)
    assert [job.parameters for job in found] == [{parameter: value} for value in values]
    assert [job.segment for job in found] == shown
    assert [job.title for job in found] == [f"A page: {name}" for name in shown]
    assert all(job.is_asked for job in found)


@pytest.mark.parametrize(
    ("for_each", "says"),
    [
        ("regin", "for_each: unknown dimension 'regin'. Did you mean 'region'"),
        ("user.role", "for_each: unknown table 'user'. Did you mean 'users'"),
        ("users.rolle", "for_each: unknown column of users 'rolle'. Did you mean 'role'"),
        (
            {"by": "rep", "where": {"tem_id": "x"}},
            "for_each: unknown column of users 'tem_id'. Did you mean 'team_id'",
        ),
        ({"by": "region", "where": {"segmnt": "x"}}, "unknown column of deals 'segmnt'. Did you mean 'segment'"),
        ({"by": "rep", "where": {"team_id": "x:t9"}}, "there is no rep where team_id is x:t9 as of 2026-07-15"),
        ({"by": "rep", "parameter": "whom"}, "for_each: one: unknown parameter 'whom'. Did you mean 'who'"),
        ({"by": "rep", "parameter": "n"}, "parameter n must be int, got 'x:u2'"),
    ],
)
def test_what_nobody_is_in_is_refused_with_the_near_miss(ws, for_each, says):
    with pytest.raises(ParameterError, match=re.escape(says)):
        jobs(ws, for_each)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"for_each": {"bye": "rep"}}, "for_each.bye"),
        ({"for_each": {"by": "rep; drop"}}, "for_each.by"),
        ({"for_each": {"by": "rep", "where": ["x"]}}, "for_each.where"),
        ({"notebooks": [{"notebook": "one", "name": "index"}]}, "index"),
        ({"notebooks": ["one", {"notebook": "one", "name": "One"}]}, "twice"),
    ],
)
def test_a_wrong_definition_names_the_key(keys, says):
    with pytest.raises(ConfigError, match=says) as error:
        parse(Definition, {"title": "T", "notebooks": ["one"]} | keys, "each.yaml")
    assert "each.yaml" in str(error.value)


# -- one of them ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [OTHER, "Cy"])
def test_one_is_asked_for_by_id_or_name_and_the_others_keep_their_pages(ws, asked):
    found = jobs(ws, "rep", rep=asked)
    assert [(job.name, job.is_asked) for job in found] == [("one-bo", False), ("one-cy", True)]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("Cyy", "for_each: unknown rep 'Cyy'. Did you mean 'Cy'? Known: Bo, Cy"),
        ("Ada", "unknown rep 'Ada'"),
        ("", "unknown rep ''"),
    ],
)
def test_one_who_gets_no_page_is_refused_with_the_near_miss(ws, asked, says):
    with pytest.raises(ParameterError, match=re.escape(says)):
        jobs(ws, "rep", rep=asked)


def test_a_name_that_two_have_needs_the_id(tmp_path):
    rows = company()
    rows["teams"][1]["name"] = "North"
    ws = made(tmp_path, rows)
    with pytest.raises(ParameterError, match="team=North: several have that name; write one's id: x:t1, x:t2"):
        jobs(ws, "team", team="North")
    assert [job.is_asked for job in jobs(ws, "team", team="x:t2")] == [False, True]


# -- what the pages are called -------------------------------------------------------------------------


def test_names_become_file_names_that_no_system_takes_for_anything_else(tmp_path):
    ws = made(tmp_path, peopled([*HOSTILE, "x" * 300, "CON"]))
    found = {job.segment: job.name for job in jobs(ws, "rep")}
    assert len(set(found.values())) == len(found) == 2 + len(HOSTILE) + 2
    assert all(re.fullmatch(r"one-[a-z0-9-]{1,60}", name) for name in found.values())
    assert found["../../x"] == "one-x"
    assert found["<script>alert(1)</script>"] == "one-script-alert-1-script"
    assert found["=cmd|'/c calc'!A1"] == "one-cmd-c-calc-a1"
    # both, so that no page passes to a namesake once its owner has gone
    assert all(re.fullmatch(r"one-ana-suc-[0-9a-f]{6}", found[name]) for name in ("Ana Šuć", "ana-suc"))
    assert re.fullmatch(r"one-[0-9a-f]{8}", found["株式会社"])
    assert {job.segment: job.name for job in jobs(ws, "rep", rep="株式会社")} == found


def test_one_page_a_segment_of_each_notebook(ws):
    entries = ["one", {"notebook": "one", "name": "two", "title": "Second", "parameters": {"n": 2}}]
    definition = parse(Definition, {"title": "T", "notebooks": entries, "for_each": "team"}, "each.yaml")
    found = fanout.jobs(definition, {"n": "3"}, ws.notebooks, ws.book(DAY))
    assert [(job.name, job.title) for job in found] == [
        ("one-north", "A page: North"), ("one-south-east", "A page: South & East"),
        ("two-north", "Second: North"), ("two-south-east", "Second: South & East"),
    ]  # fmt: skip
    assert {job.parameters["n"] for job in found} == {3}


# -- made ----------------------------------------------------------------------------------------------


def read(path):
    return path.read_text(encoding="utf-8")


def shown(folder):
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.html")}


@pytest.mark.slow
def test_hostile_names_one_failure_one_asked_for_and_one_who_left(tmp_path):
    each = {"by": "rep", "parameter": "who", "where": {"user_id": [OTHER, "x:h0", "x:h1", "x:h2", "x:h3"]}}
    ws = made(tmp_path, peopled([SCRIPT, LINES, BROKEN]), for_each=each)
    with pytest.raises(ParameterError, match="Did you mean 'broken'"):
        report.render("each", workspace=ws, parameters={"who": "brokn"})
    assert not ws.out.exists()

    run = report.render("each", workspace=ws, workers=2)
    statuses = {page.segment: page.status for page in run.pages}
    assert statuses == {SCRIPT: "ok", BROKEN: "failed", "Cy": "ok", LINES: "ok"}
    assert "KeyError" in next(page.error for page in run.pages if page.segment == BROKEN)
    pages = shown(run.folder) | {"catalogue": (ws.out / "index.html").read_text(encoding="utf-8")}
    assert sorted(pages) == sorted(["catalogue", "index.html", *(page.path for page in run.pages if page.path)])
    for name, text in pages.items():
        assert "<script>alert" not in text, name
        assert guards.external_addresses(text) == [], name
        assert text.count("<h1>") == 1, name
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in pages["one-script-alert-1-script.html"]
    assert "<title>A page: {{ 7*7 }} # x</title>" in pages["one-7-7-x.html"]
    assert (run.folder / "failed/one-broken.ipynb").exists()

    save(peopled([SCRIPT, "New"]), ws.store.root)
    one = report.render("each", workspace=ws, parameters={"who": "Cy", "n": 2})
    assert [(page.name, page.status, page.headline) for page in one.pages] == [
        ("one-cy", "ok", f"2 about {OTHER}")
    ]
    after = shown(one.folder)
    assert set(after) == {"index.html", "one-cy.html", "one-script-alert-1-script.html"}
    assert after["one-script-alert-1-script.html"] == pages["one-script-alert-1-script.html"]
    assert [page["name"] for page in one.manifest["pages"]] == ["one-script-alert-1-script", "one-cy"]
    assert not [path for path in one.folder.rglob("*") if "broken" in path.name or "7-7" in path.name]
