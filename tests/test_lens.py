"""The lens, with real widgets: what is picked is computed once, shown, opened to its rows, exported and kept."""

import ast
import asyncio
import base64
import io
import json
import re
from decimal import Decimal

import ipywidgets
import nbformat
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from openpyxl import load_workbook

from salesops_lib import kpis, present
from salesops_lib.errors import ParameterError
from salesops_lib.present.grid import COLUMNS, ROWS
from salesops_lib.present.kpi_lens import BEFORE, describe_kpi, plot_kpi
from salesops_lib.present.lens import BUSY, KEPT, PAUSE_S
from salesops_lib.report.parameters import declared
from tests.conftest import ROOT

HOSTILE = '<img src=x onerror="alert(1)">'
CELL = """# what is shown
period: str = "quarter"  # "quarter" or month – naïve
win_rate: float = 1.0  # factor
locked: list[str] = []  # ids
hires: int = 0"""


def parts(box, kind=ipywidgets.Widget):
    """All widgets of a kind in a lens, in order."""
    found = [box] if isinstance(box, kind) else []
    for child in getattr(box, "children", ()):
        found += parts(child, kind)
    return found


def control(box, words):
    return next(w for w in parts(box, ipywidgets.DOMWidget) if getattr(w, "description", None) == words)


def said(box) -> str:
    return "".join(w.value for w in parts(box, ipywidgets.HTML))


class Counted:
    """A call that counts how often it is made."""

    def __init__(self):
        self.calls = []

    def __call__(self, *, win_rate=1.0, who="", hires=0):
        self.calls.append((win_rate, who, hires))
        if who == "nobody":
            raise ParameterError("nobody sells nothing")
        if who == "broken":
            raise ZeroDivisionError
        return pd.DataFrame({"measure": ["bookings", HOSTILE], "value": [1000 * win_rate, hires], "who": who})


@pytest.fixture
def call():
    return Counted()


def test_controls_are_of_the_kind_of_the_choice_in_peoples_words(call):
    box = present.explore(
        call, win_rate=present.Scale(0.5, 1.5, 0.05, at=1.0), who={"all of them": "", "one_rep": "U1"},
        hires=present.Scale(0, 20, 1),
    )  # fmt: skip
    slider, people = control(box, "win rate"), control(box, "who")
    assert isinstance(slider, ipywidgets.FloatSlider)
    assert (slider.value, slider.min, slider.max, slider.readout_format) == (1.0, 0.5, 1.5, ".2f")
    assert isinstance(control(box, "hires"), ipywidgets.IntSlider)
    assert [words for words, _ in people.options] == ["all of them", "one_rep"]
    assert call.calls == [(1.0, "", 0)]
    named = control(present.explore(call, who=["", "auto_ets", "auto_ets"], labels={"who": "which"}), "which")
    assert named.options == ((present.EMPTY, ""), ("auto ets", "auto_ets"))
    assert control(present.explore(call, win_rate=present.Scale(0.5, 1.5, 0.05, at=2.0)), "win rate").value == 2.0


def test_a_choice_that_the_call_does_not_take_is_refused_and_none_to_pick_from_is_said(call):
    with pytest.raises(ParameterError, match="win_rate"):
        present.explore(lambda *, win_rate: win_rate, win_rat=[1])
    assert "there is no who" in repr(present.explore(call, who=pd.Series([], dtype=object)))
    assert call.calls == []


def test_a_move_shows_its_result_at_once_where_no_loop_runs(call):
    box = present.explore(call, win_rate=present.Scale(0.5, 1.5, 0.05, at=1.0))
    assert "1000.0" in said(box)
    control(box, "win rate").value = 0.8500000000000001
    assert call.calls[-1] == (0.85, "", 0)
    assert "850.0" in said(box)
    assert "1000.0" not in said(box)


def test_a_burst_of_moves_computes_once_and_says_so_meanwhile(call):
    async def move():
        box = present.explore(call, win_rate=present.Scale(0.5, 1.5, 0.05, at=1.0))
        slider, busy = control(box, "win rate"), lambda: [w for w in parts(box) if BUSY in w._dom_classes]
        for k in range(1, 6):
            slider.value = 1.0 + 0.05 * k
            await asyncio.sleep(0)
        assert call.calls == [(1.0, "", 0)]
        assert "computing" in said(box)
        assert 'role="status"' in said(box)
        assert len(busy()) == 1
        await asyncio.sleep(PAUSE_S * 2)
        assert call.calls == [(1.0, "", 0), (1.25, "", 0)]
        assert "1250.0" in said(box)
        slider.value = 1.0  # known: nothing to wait for
        assert "1000.0" in said(box)
        assert "computing" not in said(box)
        assert not busy()
        slider.value = 1.4
        slider.value = 1.0  # what was on its way is not wanted any more
        await asyncio.sleep(PAUSE_S * 2)
        assert len(call.calls) == 2
        assert "1000.0" in said(box)

    asyncio.run(move())


def test_what_was_seen_comes_from_before_up_to_a_limit(call):
    box = present.explore(call, hires=present.Scale(0, 500, 1))
    slider = control(box, "hires")
    slider.value, slider.value = 1, 0
    assert len(call.calls) == 2
    for k in range(2, KEPT + 2):
        slider.value = k
    slider.value = 0
    assert len(call.calls) == KEPT + 3


def test_a_refusal_is_a_sentence_and_a_bug_leaves_nothing_that_lies(call):
    box = present.explore(call, who=["", "nobody", "broken"])
    people = control(box, "who")
    people.value = "nobody"
    assert '<p class="note">nobody sells nothing</p>' in said(box)
    assert "1000.0" not in said(box)
    with pytest.raises(ZeroDivisionError):
        people.value = "broken"
    assert "could not be computed" in said(box)
    assert "computing" not in said(box)
    people.value = ""
    assert "1000.0" in said(box)


def test_hostile_text_is_escaped_in_table_note_and_parameters(call, monkeypatch):
    in_notebook(monkeypatch, f"who: str = ''  # {HOSTILE}")
    box = present.explore(call, who=["", HOSTILE])
    control(box, "who").value = HOSTILE
    control(box, "Keep these values").click()
    assert "&lt;img" in said(box)
    assert "<img" not in said(box)


def test_a_figure_stands_above_the_table_drawn_once(call):
    def plot(frame):
        import matplotlib.pyplot as plt

        return plt.subplots()[1]

    box = present.explore(call, plot=plot, describe=lambda frame: f"{len(frame)} dots", who=["", "nobody"])
    assert re.search(r'<img alt="2 dots" src="data:image/svg.*<table', said(box), re.S)
    control(box, "who").value = "nobody"
    assert "<img" not in said(box)


def test_rows_behind_a_number_open_in_a_grid(call):
    many = pd.DataFrame({"name": [HOSTILE] * (ROWS + 5), "won": True} | {f"c{k}": 1.5 for k in range(COLUMNS)})
    many["when_closed"] = pd.Timestamp("2026-09-30 12:00", tz="UTC")
    opened = []

    def rows(result, *, hires):
        return {"few": result, f"many {hires}": lambda: opened.append(hires) or many}

    box = present.explore(call, hires=[0, 3], rows=rows)
    pick = control(box, "rows behind")
    assert pick.options == (present.EMPTY, "few", "many 0")
    assert opened == []
    pick.value = "many 0"
    (grid,) = [w for w in parts(box) if type(w).__name__ == "ITable"]
    assert "1,005 rows. Shown, sorted and searched are only the first 1,000 rows, 9 of 12 columns" in said(box)
    cells = json.dumps(grid._dt_args)
    assert "<img" not in cells.replace("\\\\u003c", "<").replace("\\u003c", "<")
    assert HOSTILE not in cells
    control(box, "hires").value = 3
    assert pick.value == present.EMPTY
    assert not [w for w in parts(box) if type(w).__name__ == "ITable"]
    assert pick.options[-1] == "many 3"


def test_a_result_may_have_a_table_looks_and_rows_of_its_own():
    class Result:
        rows = table = pd.DataFrame({"share": [0.25]})  # rows are not what is behind
        looks = {"units": {"share": "share"}}
        rows_behind = {"deals": pd.DataFrame({"name": ["x"]})}

    class Bare:
        rows = table = pd.DataFrame({"n": [3]})

    box = present.explore(lambda *, of: of(), of={"one": Result, "other": Bare})
    assert "25.0&nbsp;%" in said(box)
    assert control(box, "rows behind").options == (present.EMPTY, "deals")
    control(box, "of").value = Bare
    assert control(box, "rows behind").options == (present.EMPTY,)
    control(box, "Export to XLSX").click()
    assert "1 row" in said(box)


def test_days_and_flags_read_well_in_the_grid():
    (_, grid) = present.grid(
        pd.DataFrame(
            {
                "close_date": pd.to_datetime(["2026-09-30", None]), "is_won": [True, False],
                "priced": [Decimal("1200.00"), None], "kind": pd.Categorical(["new", None]),
                "nothing": [None, None], "days": pd.array([1200, None], "Int64"), "chance": [0.256, np.nan],
            }
        )
    )  # fmt: skip
    assert [*grid.df.columns] == ["close date", "is won", "priced", "kind", "days", "chance"]
    assert grid.df.iloc[0].tolist() == ["2026-09-30", "yes", "1,200", "new", "1200", "0.26"]
    assert grid.df.iloc[1].tolist() == ["", "no", "", "", "", ""]


def test_the_lens_on_kpis_opens_on_one_that_has_a_number(maven):
    lens = present.explore_kpis(maven, ["K02", "K03"], by="rep")
    pick = control(lens, "KPI")
    assert pick.label == "K03 Win rate"
    assert "K02 Quota attainment" in dict(pick.options)
    assert len(control(lens, "rows behind").options) > 1
    without = present.explore_kpis(maven, ["K02"])
    assert control(without, "KPI").label.startswith("K02")


def test_the_export_holds_result_and_open_rows_and_no_formula(call):
    box = present.explore(call, hires=[0], rows={"deals": pd.DataFrame({"name": ["=1+1", HOSTILE], "n": [1, 2]})})
    assert "data:application" not in said(box)
    control(box, "rows behind").value = "deals"
    control(box, "Export to XLSX").click()
    (data,) = re.findall(r'href="data:[^;]+;base64,([^"]+)"', said(box))
    book = load_workbook(io.BytesIO(base64.b64decode(data)))
    assert book.sheetnames == ["result", "rows", "about"]
    assert [*book["about"].values] == [("what", "value"), ("hires", "0"), ("rows behind", "deals")]
    assert [[cell.value for cell in row] for row in book["rows"]] == [["name", "n"], ["'=1+1", 1], [HOSTILE, 2]]
    assert book["result"]["B2"].value == 1000


def in_notebook(monkeypatch, *cells):
    """Stand in for the shell that has run some cells."""
    shell = InteractiveShell()
    shell.user_ns["In"] = ["", *cells]
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)


def keeping(monkeypatch, box, *cells) -> str:
    in_notebook(monkeypatch, *cells)
    control(box, "Keep these values").click()
    return said(box)


def test_what_is_picked_goes_into_the_text_of_the_parameters_cell(call, monkeypatch):
    box = present.explore(
        call, win_rate=present.Scale(0.5, 1.5, 0.05, at=1.0), who=["", "U1"], hires=present.Scale(0, 20, 1)
    )
    control(box, "win rate").value = 1.3
    text = keeping(monkeypatch, box, "x = 1", CELL, "present.start()", "y: int = x")
    assert "takes it: who." in text
    (area,) = re.findall(r"<textarea readonly[^>]*>(.*?)</textarea>", text, re.S)
    assert area.replace("&quot;", '"') == CELL.replace("float = 1.0", "float = 1.3")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(area.replace("&quot;", '"'))])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    assert declared(notebook, "kept")["win_rate"].default == 1.3


def test_a_pick_takes_the_form_of_its_parameter_or_is_not_kept(monkeypatch):
    def pick(*, locked, period, win_rate):
        return pd.DataFrame({"n": [1]})

    box = present.explore(pick, locked=["A1"], period=[None], win_rate=present.Scale(1, 3, 1, at=2))
    text = keeping(monkeypatch, box, CELL)
    assert "list[str] = ['A1']" in text.replace("&#x27;", "'")
    assert "float = 2.0" in text
    assert "takes it: period." in text
    assert "<textarea" not in keeping(monkeypatch, box, "x = 1")


def test_the_pages_style_stays_in_the_outputs_of_a_live_notebook(monkeypatch):
    monkeypatch.setenv(present.RENDERING, "1")
    assert present.start().markup == ""
    monkeypatch.delenv(present.RENDERING)
    style = present.start().markup
    assert style.startswith("<style>@scope (.jp-OutputArea-output)")
    assert BUSY in style
    assert style.count("{") == style.count("}")


# -- the lens on KPIs ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lens(book):
    return present.explore_kpis(book, ["K26", "K02", "K44"], period="4 quarters", by="team", who="Central")


def test_kpis_of_each_rep_of_a_team_with_the_rows_behind_each(book, lens):
    control(lens, "split").value, control(lens, "who").value = "rep", ""
    frame = kpis.compute(book, "K26", "4 quarters", by="rep", variants="default")
    shown = said(lens)
    assert all(name in shown for name in frame["segment_name"])
    control(lens, "who").value = "Central"
    users = book.table("users", ["user_id", "team_id"])
    reps = frame[frame["segment"].isin(users.loc[users["team_id"].eq(frame_team(book)), "user_id"])]
    assert 0 < len(reps) < len(frame)
    assert said(lens).count("K26 Bookings</th>") == len(reps)
    pick = control(lens, "rows behind")
    first = reps.sort_values("segment_name").iloc[0]
    assert pick.options[1].startswith(f"{first['segment_name']}: ")
    pick.value = pick.options[1]
    rows = kpis.rows_behind(book, "K26", "4 quarters", by="rep", segment=first["segment"])
    assert f"{len(rows)} rows." in said(lens)
    (grid,) = [w for w in parts(lens) if type(w).__name__ == "ITable"]
    assert set(grid.df["rep"]) == {first["segment_name"]}
    priced = pd.to_numeric(grid.df["priced"].str.replace(",", ""))
    assert priced.sum() == pytest.approx(first["value"], abs=len(rows))


def frame_team(book) -> str:
    teams = book.table("teams", ["team_id", "name"])
    return teams.loc[teams["name"].eq("Central"), "team_id"].item()


def test_one_part_of_the_company_is_shown_over_time(book, lens):
    control(lens, "split").value, control(lens, "who").value = "team", "Central"
    alone = kpis.compute(book, "K26", "4 quarters", by="team", variants="default").query(
        "segment_name == 'Central'"
    )
    again = kpis.compute(book, "K26", "4 quarters", by="team", segment=alone["segment"].item(), variants="default")
    pd.testing.assert_frame_equal(again, alone.reset_index(drop=True))
    assert said(lens).count("K26 Bookings</th>") == BEFORE + 1
    control(lens, "period").value = "quarter"
    assert said(lens).count("K26 Bookings</th>") == BEFORE


def test_every_kpi_and_variant_can_be_picked_and_what_has_no_number_says_why(book, lens):
    box = control(lens, "KPI")
    assert {kpi for _, (kpi, _) in box.options} == {"K26", "K02", "K44"}
    assert ("K26 Bookings – renewals", ("K26", "renewals")) in box.options
    control(lens, "who").value, control(lens, "split").value = "", "product"
    box.value = ("K44", next(iter(kpis.REGISTRY["K44"].variants)))
    assert "<img" not in said(lens)
    assert "not defined" in said(lens)


def test_the_figure_says_what_it_shows(book):
    frame = kpis.compute(book, "K03", "4 quarters", by="team", variants="default")
    ax = plot_kpi(frame)
    assert [label.get_text() for label in ax.get_yticklabels()] == frame["segment_name"].tolist()
    assert ax.lines[0].get_xdata() == pytest.approx(frame["value"].to_numpy())
    assert all(name in describe_kpi(frame) for name in frame["segment_name"])
    assert present.show(ax, describe_kpi(frame), is_live=True).markup.startswith("<figure><img alt=")


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_has_a_lens_that_keeps_something(path):
    """Choices named like parameters are kept; a lens without one would have nothing to keep."""
    notebook = nbformat.read(path, 4)
    known = set(declared(notebook, path.stem))
    (cell,) = [cell for cell in notebook.cells if "explore" in cell.metadata.get("tags", ())]
    (call,) = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)
               and getattr(node.func, "attr", "").startswith("explore")]  # fmt: skip
    choices = {keyword.arg for keyword in call.keywords}
    assert choices & known or path.stem in ("data_health", "forecast_backtest")  # what they pick is no parameter


@pytest.mark.parametrize(
    ("kpi", "by", "variants"),
    [
        ("K08", "rep", ("overdue", "renewals", "no date")),
        ("K15", "rep", ("calls", "connected calls", "e-mails", "automated e-mails")),
        ("K16", None, ("per day",)),
        ("K25", "team", ("new business", "renewals")),
    ],
)
def test_the_rows_behind_a_variant_are_those_it_counts(book, kpi, by, variants):
    for variant in variants:
        frame = kpis.compute(book, kpi, "quarter", by=by, variants=variant)
        for row in frame[frame["n"].gt(0)].to_dict("records"):
            segment = row["segment"] if by else ""
            found = kpis.rows_behind(book, kpi, "quarter", by=by, segment=segment, variant=variant)
            assert len(found) == row["n"], (variant, row["segment_name"])


@pytest.mark.parametrize(("kpi", "period"), [("K17", "quarter"), ("K20", "quarter"), ("K26", "quarter")])
def test_looking_at_rows_changes_no_number(book, kpi, period):
    """What is listed is a copy: names written over its ids stay out of what the next KPI counts."""
    before = kpis.compute(book, ["K15", "K17", "K20", "K26"], period, by="rep")
    box = present.explore_kpis(book, [kpi], period=period)
    open_rows = next(w for w in parts(box, ipywidgets.Dropdown) if w.description == "rows behind")
    open_rows.index = 1
    assert parts(box, ipywidgets.VBox)[-1].children
    pd.testing.assert_frame_equal(kpis.compute(book, ["K15", "K17", "K20", "K26"], period, by="rep"), before)


def test_a_list_that_is_not_what_the_number_rests_on_says_so(book):
    found = kpis.compute(book, "K28", "quarter", variants="year before").iloc[0]
    box = present.explore_kpis(book, ["K28"], period="quarter")
    pick = control(box, "KPI")
    pick.value = ("K28", "year before")
    open_rows = next(w for w in parts(box, ipywidgets.Dropdown) if w.description == "rows behind")
    open_rows.index = 1
    assert f"The number rests on {found['n']}, not on all of these" in said(box)
