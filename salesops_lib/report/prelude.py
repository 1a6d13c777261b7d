"""The cells above the parameters: the same for every page of a fan-out, so run once, and kernels forked after.

Only where a fork carries on everything they did. Cells that show something, use magics, or leave behind what a
forked process loses or would share (a thread, an open file or connection, an environment, a folder, a seed) run
with every page, as they would without this module.
"""

from __future__ import annotations

import ast
import io
import linecache
import logging
import os
import random
import shutil
import sys
import tempfile
import time
import types
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from salesops_lib.errors import RenderError
from salesops_lib.report import warm
from salesops_lib.report.execute import Setting, above, prune, surroundings
from salesops_lib.report.fanout import Job

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

LOOK_S = 0.02
ONLY_KERNELS = ("get_ipython", "__future__")  # what only a kernel has, or carries from cell to cell
log = logging.getLogger("salesops")


@dataclass(frozen=True)
class Prelude:
    """Cells that have run, and what they left: the module that notebooks know as ``__main__``."""

    cells: list[str]
    files: list[str]
    module: types.ModuleType

    def enter(self, shell: InteractiveShell) -> None:
        """Let a kernel go on counting behind the cells, and find their lines for a traceback."""
        for number, (source, file) in enumerate(zip(self.cells, self.files, strict=True), start=1):
            shell.history_manager.store_inputs(number, source)
            shell.compile._filename_map[file] = number
        shell.execution_count = len(self.cells) + 1


DONE: list[Prelude] = []  # in a process that has run one, and in those forked from it


@contextmanager
def templates(jobs: list[Job], setting: Setting, address: str) -> Iterator[dict[Path, str]]:
    """Run once what stands above the parameters of each notebook that makes several pages.

    Yields
    ------
    dict
        By notebook, where to ask for kernels that have run them; absent where every page has to run them.
    """
    folder = Path(tempfile.mkdtemp(prefix="so-", dir=Path(address).parent))
    started: dict[Path, tuple[warm.Forked, Path]] = {}
    env = os.environ | surroundings(setting) | {warm.MEMORY: str(setting.memory_mb)}
    try:
        for source, n in Counter(job.source for job in jobs).items():
            if n > 1 and (cells := _cells(source)):
                place = folder / str(len(started))
                asked = {"place": str(place), "cells": cells, "env": env, "cwd": str(setting.root)}
                started[source] = warm.Forked(address, f"{__name__}:serve", **asked), place
        until = time.monotonic() + setting.page_timeout_s
        yield {
            source: str(place)
            for source, (process, place) in started.items()
            if _is_ready(source, process, place, until)
        }
    finally:
        for process, _ in started.values():
            process.close()
        shutil.rmtree(folder, ignore_errors=True)


def _cells(source: Path) -> list[str]:
    """Sources of the code cells above the parameters; none where there is a magic, which only a kernel knows."""
    try:
        cells = [cell.source for cell in above(prune(nbformat.read(source, as_version=4), source.stem))]
        for cell in cells:
            ast.parse(cell)
    except (ValueError, SyntaxError, RenderError):
        return []
    return [] if any(word in cell for word in ONLY_KERNELS for cell in cells) else cells


def _is_ready(source: Path, process: warm.Forked, place: Path, until: float) -> bool:
    while not place.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(LOOK_S)
    if process.poll() is None and place.exists():
        return True
    try:
        why = process.result(0)
    except (RenderError, TimeoutError) as error:
        why = str(error)
    log.info("%s: the cells above its parameters run with every page: %s", source.stem, why)
    return False


def serve(place: str, cells: list[str]) -> str:
    """Run cells, then fork for everybody who asks; or return what a fork would not carry on."""
    before = _state()
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    done = Prelude(cells, [], module)
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        for number, cell in enumerate(cells, start=1):
            if not _run(cell, number, done):
                return "they show something"
    if said.getvalue():
        return "they print something"
    if (pyplot := sys.modules.get("matplotlib.pyplot")) and pyplot.get_fignums():
        return "they draw something"
    after = _state()
    if lost := [what for what in after if after[what] != before[what]]:
        return f"they change {', '.join(lost)}"
    DONE.append(done)
    closed, _open = os.pipe()  # never closes: whoever started this process ends it
    warm.serve(place, closed, lambda: None)
    return ""


def _run(source: str, number: int, done: Prelude) -> bool:
    """Run a cell as IPython would; False where its last line has a value, which a notebook shows."""
    file = f"<cell {number} above the parameters>"
    done.files.append(file)
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    body, last = ast.parse(source).body, None
    if body and isinstance(body[-1], ast.Expr):
        last = ast.Expression(body.pop().value)
    names = done.module.__dict__
    exec(compile(ast.Module(body, []), file, "exec", dont_inherit=True), names)
    return last is None or eval(compile(last, file, "eval", dont_inherit=True), names) is None


def _state() -> dict[str, Any]:
    """What a forked process loses, shares or is given anew."""
    seeds = [random.getstate()]
    if numpy := sys.modules.get("numpy"):
        seeds.append(repr(numpy.random.get_state()))
    return {
        "the environment": dict(os.environ),
        "the folder": Path.cwd(),
        "random seeds": seeds,
        "open files": sorted(path.name for path in Path("/proc/self/fd").iterdir()),
        "threads": warm.threads(),
    }
