"""The warm parent that a process keeps: the second render of an analyst or a script does not wait for imports."""

from __future__ import annotations

import atexit
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock

from salesops_lib.errors import RenderError
from salesops_lib.report import warm

# What libraries read from the environment as they are imported
READ_ONCE = ("JE_", "LANG", "LC_", "MPL", "NUMBA_", "PYTHON", "TZ")


class _Kept:
    """A parent, and what it was started for."""

    def __init__(self) -> None:
        self.in_use = Lock()
        self._forget()

    def _forget(self) -> None:
        self._stack, self._modules, self._owner = ExitStack(), set(), 0
        self.address, self.pid, self._environment, self._code = "", 0, {}, ""

    def fit(self, modules: Iterable[str]) -> None:
        """Have a parent that has imported some modules as they are now: the one kept, or a new one."""
        wanted = {name for name in modules if name.partition(".")[0] not in sys.stdlib_module_names}
        if self._owner == os.getpid() and self._environment == _environment():
            with suppress(OSError, EOFError, RenderError):  # it is gone
                code, loaded, _ = self._state()
                if code == self._code and wanted <= self._modules | loaded:
                    return
        wanted |= self._modules
        self.end()
        self.address = self._stack.enter_context(warm.parent(sorted(wanted)))
        self._modules, self._owner, self._environment = wanted, os.getpid(), _environment()
        self._code, _, self.pid = self._state()

    def _state(self) -> tuple[str, set[str], int]:
        return warm.Forked(self.address, f"{__name__}:state").result(30)

    def end(self) -> None:
        """End the parent with all it has forked; one that another process started is not ours to end."""
        if self._owner == os.getpid():
            self._stack.close()
        self._forget()


_ours = _Kept()
atexit.register(_ours.end)


@contextmanager
def parent(modules: Iterable[str] = ()) -> Iterator[str]:
    """Yield the address of a warm parent as `warm.parent` does, and keep it for the next call that it fits.

    One is kept at a time, until this process ends or a run is broken off. It is started anew where other modules
    are wanted, where code that it has imported and that is not installed has changed, or what libraries read from
    the environment. A call beside another has one to itself.

    Raises
    ------
    RenderError
        Where it does not start, with what it said.
    """
    if not _ours.in_use.acquire(blocking=False):
        with warm.parent(modules) as address:
            yield address
        return
    try:
        _ours.fit(modules)
        try:
            yield _ours.address
        except BaseException:
            _ours.end()
            raise
        warm.end_marked(str(Path(_ours.address).parent), _ours.pid)
    finally:
        _ours.in_use.release()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(READ_ONCE)}


def state() -> tuple[str, set[str], int]:
    """Say of the parent that forked this process what it has imported, and who it is.

    Returns
    -------
    tuple
        Hash of the files imported, save what is installed and stays as it is; names of all modules; process id.
    """
    installed = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib"))
    files = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
    found = hashlib.sha256()
    for path in sorted(path for path in files if path.endswith(".py") and not path.startswith(installed)):
        with suppress(OSError):  # removed since
            found.update(path.encode() + b"\0" + Path(path).read_bytes())
    return found.hexdigest(), set(sys.modules), os.getppid()
