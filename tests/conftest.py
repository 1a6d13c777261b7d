import gc
import shutil
import signal
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from salesops_lib.errors import RenderError
from salesops_lib.report.pdf import find_browser
from salesops_lib.sources import mapping, sample
from salesops_lib.workspace import Workspace, open_workspace

# A shell without job control starts what it puts into the background deaf to interrupts, and its children with it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"


def shared(folder: str) -> Path:
    """A folder of third-party data that lies beside the project, or a skip that says it is missing."""
    path = SHARED / folder
    if not path.is_dir():
        pytest.skip(f"third-party data {folder} is not beside the project")
    return path


def make_workspace(root: Path, text: str = "") -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    (root / "salesops.yaml").write_text(text or "source: {kind: sample}\n", encoding="utf-8")
    if not (root / "notebooks").exists():
        (root / "notebooks").symlink_to(ROOT / "notebooks")
    if not (root / "reports").exists():  # a copy: what is rendered must not land among the project's own pages
        shutil.copytree(ROOT / "reports", root / "reports", ignore=shutil.ignore_patterns("out"))
    return open_workspace(root)


@pytest.fixture(scope="session")
def mappings_read_once():
    """Reading the YAML of a CRM takes longer than a small load."""
    with pytest.MonkeyPatch.context() as patch:
        plain = mapping.read_mapping
        once = lru_cache(64)(plain)  # a shipped one is named, another is a path
        patch.setattr(mapping, "read_mapping", lambda name: (plain if "/" in str(name) else once)(name))
        yield


@pytest.fixture(scope="session")
def company():
    return sample.simulate()


@pytest.fixture(scope="session")
def frames(company):
    return sample.export(company)


@pytest.fixture(scope="session")
def sample_ws(tmp_path_factory) -> Workspace:
    ws = make_workspace(tmp_path_factory.mktemp("sample"))
    ws.ingest()
    return ws


@pytest.fixture(scope="session")
def book(sample_ws):
    return sample_ws.book("2026-09-30")


@pytest.fixture(scope="session")
def maven_ws(tmp_path_factory) -> Workspace:
    folder = shared("maven_crm")
    ws = make_workspace(tmp_path_factory.mktemp("maven"))
    ws.ingest("csv", folder, mapping="maven_crm")
    return ws


@pytest.fixture(scope="module")
def browser():
    """A real browser, or a skip that says it is missing."""
    from playwright.sync_api import sync_playwright

    try:
        path = find_browser()
    except RenderError:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as player:
        found = player.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def maven(maven_ws):
    return maven_ws.book("2017-12-31")


def pytest_collection_finish():
    """What is imported by now stays: to look for garbage in it again and again takes a twentieth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_runtest_teardown():
    """What one test draws is not open in the next."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def pytest_itemcollected(item):
    """What tests share is made by one process: those of `book`, and what a module makes once, stay together."""
    if item.get_closest_marker("xdist_group"):
        return
    found = item._fixtureinfo.name2fixturedefs
    if "book" in found:
        item.add_marker(pytest.mark.xdist_group("book"))
    elif any(fixtures[-1].scope == "module" for fixtures in found.values()):
        item.add_marker(pytest.mark.xdist_group(item.module.__name__))
