"""A page on paper: a Chromium that is there prints the file, and reaches nothing else."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from salesops_lib.errors import RenderError
from salesops_lib.store import private_folder

BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge",
)  # fmt: skip
QUIET = (
    "--headless", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--no-first-run",
    "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND", "--no-pdf-header-footer",
)  # fmt: skip

# a link to a page beside this one would carry the path of this machine into the PDF, and is dead there
BESIDE = re.compile(r"""(<a\b[^>]*?)\shref="(?!https?:)[^"]*\"""")
BROUGHT = (
    "from playwright.sync_api import sync_playwright\n"
    "with sync_playwright() as player: print(player.chromium.executable_path)"
)


def to_pdf(page: str | Path, target: str | Path, timeout_s: int = 60) -> Path:
    """Print a page as its style sheet sets it for paper; nobody sees half of the file.

    Parameters
    ----------
    page
        The HTML file; of its links only those to other sites stay.
    target
        The PDF to write; one that stands there stays until the new one is whole.
    timeout_s
        Longest time the browser may take.

    Raises
    ------
    RenderError
        Where no browser is found, or it fails or takes too long; the message says what to do.
    """
    page, target = Path(page).resolve(), Path(target).resolve()
    if not page.is_file():
        raise RenderError(f"{page} is not there; render the page before printing it.")
    if not target.parent.is_dir():
        raise RenderError(f"{target.parent} is no folder; make it, or write the PDF somewhere else.")
    browser = find_browser()
    work = private_folder(target.parent, "printing")
    copy, made = work / "page.html", work / "page.pdf"
    own = (*_as_root(), f"--user-data-dir={work / 'profile'}", f"--print-to-pdf={made}")
    try:
        copy.write_text(BESIDE.sub(r"\1", page.read_text(encoding="utf-8")), encoding="utf-8")
        said = _run([browser, *QUIET, *own, copy.as_uri()], work / "said", timeout_s)
        if not made.is_file() or not made.read_bytes().startswith(b"%PDF-"):
            raise RenderError(f"{page.name} was not printed by {browser}: {said or 'it says nothing'}.")
        made.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def find_browser() -> str:
    """Find Chromium or one of its kin on the path, else the one that playwright brought.

    Raises
    ------
    RenderError
        Where there is none, with the ways to get one.
    """
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    if find_spec("playwright"):
        # in a process of its own: playwright refuses to start where an event loop runs, as in JupyterLab
        asked = subprocess.run([sys.executable, "-c", BROUGHT], capture_output=True, text=True, check=False)
        if Path(brought := asked.stdout.strip()).is_file():
            return brought
    raise RenderError(
        "a PDF needs Chromium, and none was found. Install Chromium or Chrome, or "
        "`pip install 'salesops-workbench[pdf]'` and then `playwright install chromium`; or print the page from "
        "any browser: its style sheet is set for A4."
    )


def _as_root() -> tuple[str, ...]:
    """Chromium does not start as root, the user of most containers, unless its sandbox is off."""
    return ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()


def _run(command: list[str], log: Path, timeout_s: int) -> str:
    """Run the browser and all it starts, at most so long; return the last line it wrote.

    Raises
    ------
    RenderError
        Where it does not start or takes too long.
    """
    with log.open("wb") as stderr:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True
            )
        except OSError as error:
            raise RenderError(f"{command[0]} cannot be started: {error}") from error
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise RenderError(f"{command[0]} printed nothing within {timeout_s} s and was ended.") from None
        finally:
            _end(process)
    return log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]


def _end(process: subprocess.Popen) -> None:
    """End the browser with its helpers, whatever is left of them."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
