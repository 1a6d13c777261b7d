"""Every notebook in a real JupyterLab: opened, run, its lens moved, its rows and values taken out."""

import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit
from urllib.request import urlopen

import nbformat
import psutil
import pytest
from openpyxl import load_workbook

from tests.conftest import ROOT, make_workspace

pytestmark = [pytest.mark.slow, pytest.mark.browser]

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHORTER = {  # not two years of weeks, nor the whole company six times
    "forecast_backtest": "periods, every, cutoffs = 1, 'month', 2", "territory_design": "team = 'Central'",
}  # fmt: skip
TOKEN = "only-for-this-test"
START_S, RUN_S, MOVE_S = 120, 400, 90


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of what `salesops lab` starts, on copies of the notebooks; it ends with all its kernels."""
    root = tmp_path_factory.mktemp("lab")
    (root / "notebooks").mkdir()
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        given = next(k for k, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
        if path.stem in SHORTER:
            notebook.cells.insert(given + 1, nbformat.v4.new_code_cell(SHORTER[path.stem]))
        nbformat.write(notebook, root / "notebooks" / path.name)
    make_workspace(root).ingest("sample", opportunities=3_000)  # half the sample company: cells take half the time
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{name}_DIR": str(root / f".{name}") for name in ("CONFIG", "RUNTIME")}
    own["JUPYTERLAB_SETTINGS_DIR"] = str(root / ".SETTINGS")
    options = [
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--port-retries=0",
        f"--IdentityProvider.token={TOKEN}",
    ]
    command = [sys.executable, "-m", "salesops_lib", "lab", "-w", str(root), "--", *options]
    with (root / "log").open("wb") as log:
        server = subprocess.Popen(command, env=os.environ | own, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield _answering(server, f"http://127.0.0.1:{port}", root / "log"), server.pid
        finally:
            _end(server)


def _answering(server, url, log):
    until = time.monotonic() + START_S
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError), urlopen(f"{url}/api/status?token={TOKEN}", timeout=5):
            return url
        time.sleep(0.2)
    raise AssertionError(log.read_text())


def _end(server):
    family = [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]
    server.send_signal(signal.SIGTERM)
    _, left = psutil.wait_procs(family, timeout=20)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    server.wait(20)


@pytest.fixture(scope="module")
def desk(browser, lab):
    """One window for all notebooks, and what it said and asked for that it should not have."""
    url, _ = lab
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(MOVE_S * 1000)
    page = context.new_page()
    page.wrong = []
    page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("request", lambda asked: page.wrong.append(asked.url) if _is_outside(asked.url) else None)
    page.goto(f"{url}/lab?token={TOKEN}")
    yield page
    context.close()


def _is_outside(url):
    return urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname != "127.0.0.1"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def ran(request, desk, lab):
    """A notebook after Run All Cells; its kernel is ended afterwards."""
    url, _ = lab
    cells = nbformat.read(request.param, as_version=4).cells
    n_code = sum(cell.cell_type == "code" for cell in cells) + (request.param.stem in SHORTER)
    desk.wrong.clear()
    desk.goto(f"{url}/lab/workspaces/{request.param.stem}/tree/notebooks/{request.param.name}")
    prompts = desk.locator(".jp-CodeCell .jp-InputArea-prompt")
    _until(lambda: prompts.count() == n_code, f"not {n_code} cells")
    _until(lambda: _has_kernel(desk, url), "no kernel", START_S)  # until there is one, the sign says idle too
    desk.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    desk.get_by_role("menuitem", name="Run", exact=True).click()
    desk.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    _until(lambda: all(re.search(r"\d", said) for said in prompts.all_text_contents()), "cells still run", RUN_S)
    tagged = {tag: cell for cell in cells for tag in cell.metadata.get("tags", ())}
    yield desk, tagged["parameters"].source.splitlines()
    sessions = desk.request.get(f"{url}/api/sessions").json()
    for session in sessions:
        desk.request.delete(f"{url}/api/sessions/{session['id']}", headers={"Authorization": f"token {TOKEN}"})


def test_a_notebook_runs_and_its_lens_answers(ran, lab):
    page, given = ran
    assert page.locator("[data-mime-type*=error], [data-mime-type*=stderr]").all_text_contents() == []
    for kind, side in (("num", "right"), ("txt", "left")):
        cells = page.locator(f".jp-RenderedHTML td.{kind}")
        assert set(cells.evaluate_all("all => all.map(e => getComputedStyle(e).textAlign)")) <= {side}
    assert page.locator(".headline").first.evaluate("e => getComputedStyle(e).borderLeftStyle") == "solid"
    lens = page.locator(".salesops-lens")
    assert lens.count() == 1
    lens.scroll_into_view_if_needed()
    _status, shown, said = (lens.locator("> .widget-html").nth(k) for k in range(3))
    before = shown.inner_html()
    assert "<table" in before or "<img" in before
    is_slider = _move(lens)
    _until(
        lambda: shown.inner_html() != before and lens.locator(".salesops-busy").count() == 0,
        "the lens stands still",
    )
    assert shown.locator("table, img").first.is_visible()
    rows = lens.get_by_label("rows behind")
    if rows.is_visible():
        rows.select_option(index=1)
        cells = lens.locator("table.dataTable tbody td")
        cells.first.wait_for()
        aligned = "all => all.map(cell => [cell.innerText, getComputedStyle(cell).textAlign])"
        numbers = [side for text, side in cells.evaluate_all(aligned) if re.fullmatch("-?[0-9,.]+", text)]
        assert set(numbers) <= {"right"}
    lens.get_by_role("button", name="Keep these values").click()
    _until(lambda: said.locator("textarea, .note").count(), "nothing is said of what was kept")
    if is_slider:
        kept = said.locator("textarea").input_value().splitlines()
        assert len(kept) == len(given)
        assert kept != given
    lens.get_by_role("button", name="Export to XLSX").click()
    with page.expect_download() as found:
        said.get_by_role("link", name="lens.xlsx").click()
    assert found.value.suggested_filename == "lens.xlsx"
    assert load_workbook(io.BytesIO(found.value.path().read_bytes())).worksheets[0].max_row > 1
    assert page.wrong == []
    assert _far(lab[1]) == []


def _has_kernel(page, url):
    kernels = [session["kernel"] for session in page.request.get(f"{url}/api/sessions").json()]
    return [(kernel["execution_state"], kernel["connections"]) for kernel in kernels] == [("idle", 1)]


def _move(lens):
    """Step a slider with the keyboard, or else pick another value of the first list that has one."""
    sliders = lens.get_by_role("slider")
    if sliders.count():
        sliders.first.focus()
        sliders.first.press("ArrowRight")
        return True
    for pick in lens.locator("select").all():
        values = pick.locator("option").all_inner_texts()
        if len(values) > 1:
            now = pick.locator("option:checked").inner_text()
            pick.select_option(label=next(value for value in values if value != now))
            return False
    raise AssertionError("there is nothing to move")


def _until(is_so, otherwise, within_s=MOVE_S):
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until, otherwise
        time.sleep(0.1)


def _far(pid):
    """Connections of the server and its kernels that leave this machine."""
    found = []
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [
                c.raddr for c in process.net_connections() if c.raddr and c.raddr.ip not in ("127.0.0.1", "::1")
            ]
    return found
