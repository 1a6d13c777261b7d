"""A warm parent: a process that has imported the heavy libraries once and forks a fresh process for each run.

The parent runs no report itself: it holds one thread, no connection and no state of a run, so that what it
forks differs from an ordinary process only in what it need not import again. It listens on a socket in a private
folder; who closes a connection ends what was started through it, with all its children. Its own end, however it
comes, ends everything it has forked, and what that started: a mark in the environment tells it from the rest.
Linux only: elsewhere `reason` says why not.
"""

from __future__ import annotations

import ast
import atexit
import gc
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Connection, Listener, wait
from pathlib import Path
from typing import Any

from salesops_lib.errors import RenderError
from salesops_lib.store import alive

ADDRESS = "SALESOPS_WARM"  # where the parent listens
MEMORY = "SALESOPS_MEMORY_MB"  # what a run may take beyond the parent's own
MARK = "SALESOPS_RUN"  # which parent a process descends from
START_S = 120
KILLED = "it was killed; out of memory, perhaps"
# What every page needs, whatever its notebook imports
BASE = (
    "IPython.core.interactiveshell", "ipykernel.debugger", "ipykernel.kernelapp", "ipywidgets", "jupyter_client",
    "matplotlib.backends.backend_agg", "matplotlib.pyplot", "nbconvert", "papermill", "seaborn",
    "salesops_lib.report.execute", "salesops_lib.report.kernels",
)  # fmt: skip
# One core each: two runs side by side would fight for the others
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")

ALONE = THREADS | {"JE_ARROW_MALLOC_CONF": "background_thread:false"}  # Arrow's allocator keeps a thread else


def reason() -> str:
    """Say why there can be no warm parent here; nothing where there can."""
    return "" if sys.platform == "linux" else f"no safe fork on {sys.platform}"


@contextmanager
def parent(modules: Iterable[str] = ()) -> Iterator[str]:
    """Start a warm parent with some modules imported; yield its address, and end it with all it has forked.

    Raises
    ------
    RenderError
        Where it does not start, with what it said.
    """
    folder = _folder()
    address = f"{folder}/warm"
    # -P: kernels started by Jupyter do not import from the folder that the command was called in either
    command = [sys.executable, "-P", "-m", "salesops_lib.report.warm", address, *modules]
    with tempfile.TemporaryFile("w+") as said:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": said}
        env = os.environ | ALONE | {MARK: folder, "PYTHONPATH": os.pathsep.join(filter(os.path.isabs, _given()))}
        process = subprocess.Popen(command, env=env, text=True, **pipes)
        patience_s = 0  # while it imports it has forked nothing, and does not listen either
        try:
            if process.stdout.readline().strip() != "ready":
                process.wait(START_S)
                said.seek(0)
                last = said.read().strip().splitlines() or [KILLED]
                raise RenderError(f"the warm parent did not start: {last[-1]}")
            patience_s = 10
            yield address
        finally:
            process.stdin.close()
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
            _clear(folder)


def sweep() -> None:
    """Remove the private folders of owners that were killed."""
    for left in Path(tempfile.gettempdir()).glob("so-*-*"):
        owner = left.name.split("-")[1]
        if owner.isdecimal() and not alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _folder() -> str:
    """Make a private folder with a short path, as sockets need."""
    return tempfile.mkdtemp(prefix=f"so-{os.getpid()}-")


def _given() -> list[str]:
    """List the folders that the environment adds to the path; a relative one depends on where a process starts."""
    given = os.environ.get("PYTHONPATH")
    return given.split(os.pathsep) if given else []


def _clear(folder: str) -> None:
    """End whatever still bears the mark of a parent, sessions of its own included, and remove its folder."""
    for _ in range(3):  # one may be starting another just now
        end_marked(folder)
    shutil.rmtree(folder, ignore_errors=True)


def end_marked(folder: str, *spared: int) -> None:
    """End the processes that bear the mark of a folder, this one and those spared left out."""
    mark = f"{MARK}={folder}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        with suppress(OSError):  # another user's, or gone
            if pid not in (os.getpid(), *spared) and mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)


class Forked:
    """What a warm parent forked: enough of a `subprocess.Popen` for a kernel's provisioner.

    Parameters
    ----------
    address
        Where the parent listens.
    target
        ``module:function`` to call in the new process.
    arguments
        Its keyword arguments; they travel pickled.
    env, cwd
        Environment and working directory; this process's own by default.

    Raises
    ------
    RenderError
        Where the system has no room for another process.
    """

    stdin = stdout = stderr = None

    def __init__(self, address: str, target: str, *, env: dict | None = None, cwd: str | None = None, **arguments):
        self._pipe: Connection = Client(address, "AF_UNIX")
        self.returncode: int | None = None
        self._answer: tuple[str, Any] = ("failed", KILLED)
        asked = {"target": target, "arguments": arguments, "cwd": cwd or str(Path.cwd())}
        self._pipe.send(asked | {"env": THREADS | dict(os.environ if env is None else env)})
        answer = self._pipe.recv()
        if isinstance(answer, OSError):
            raise RenderError(f"no process could be started for it: {answer}")
        if not isinstance(answer, int):
            raise EOFError("it was killed as it began")
        self.pid: int = answer

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end."""
        while self.returncode is None and self._pipe.poll(timeout):
            try:
                kind, value = self._pipe.recv()
            except (EOFError, OSError):  # the parent is gone, and with it all it forked, save what that started
                kind, value = "ended", -signal.SIGKILL
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
            if kind == "ended":
                self.returncode = value
                self._pipe.close()
            else:
                self._answer = kind, value
        return self.returncode

    def result(self, timeout: float | None = None) -> Any:
        """Wait for what the target returned.

        Raises
        ------
        TimeoutError
            Where it takes longer; it is ended with all its children.
        RenderError
            Where it failed or was killed.
        """
        if self.wait(timeout) is None:
            self.close()
            raise TimeoutError(f"it took longer than {timeout:.0f} s")
        kind, value = self._answer
        if kind == "failed":
            raise RenderError(str(value))
        return value

    def send_signal(self, number: int) -> None:
        """Send a signal to it and its children."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Let go of it: the parent ends it."""
        self._pipe.close()
        self.returncode = -signal.SIGKILL if self.returncode is None else self.returncode


def imported(sources: Iterable[str]) -> list[str]:
    """List the modules that code imports at its top level: what is worth having before it is run."""
    found = set()
    for source in sources:
        try:
            lines = ast.parse(source).body
        except SyntaxError:  # a %magic, perhaps
            continue
        for line in lines:
            if isinstance(line, ast.Import):
                found.update(name.name for name in line.names)
            elif isinstance(line, ast.ImportFrom) and line.module and not line.level:
                found.update([line.module, *(f"{line.module}.{name.name}" for name in line.names)])
    return sorted(found)


def _warm(modules: Iterable[str]) -> None:
    """Import and fill caches: fonts, templates, validators."""
    for name in (*BASE, *modules):
        with suppress(Exception, SystemExit):  # the notebook that imports it says what is wrong
            importlib.import_module(name)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from nbformat import v4, validate

    from salesops_lib.report.execute import to_html

    figure = Figure()
    figure.text(0, 0, "warm")
    FigureCanvasAgg(figure).draw()
    empty = v4.new_notebook(cells=[v4.new_markdown_cell("# warm"), v4.new_code_cell("")])
    validate(empty)
    to_html(empty, "warm", {})
    gc.collect()
    gc.freeze()


def threads() -> int:
    """Count this process's threads, those that Python does not know included."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def serve(address: str, owner: int, ready: Callable[[], None]) -> None:
    """Fork for everybody who asks, until the descriptor `owner` closes; then end them all."""
    children: dict[int, tuple[int, Connection]] = {}  # by pidfd
    with Listener(address, "AF_UNIX", backlog=64) as listener:
        ready()
        try:
            while _turn(listener, owner, children):
                pass
        finally:
            for pid, _ in children.values():
                _end(pid)
                os.waitpid(pid, 0)


def _turn(listener: Listener, owner: int, children: dict) -> bool:
    """Wait for something to happen and see to it; False once the owner is gone."""
    door = listener._listener._socket
    pipes = {pipe: handle for handle, (_, pipe) in children.items()}
    for event in wait([owner, door, *children, *pipes]):
        if event == owner:
            return False
        if event is door:
            _take(listener, children)
        elif event in children:
            _bury(event, children)
        elif pipes.get(event) in children:  # its owner let go
            _end(children[pipes[event]][0])
            _bury(pipes[event], children)
    return True


def _take(listener: Listener, children: dict) -> None:
    """Accept one request, and fork for it."""
    pipe = listener.accept()
    try:
        asked = pipe.recv() if pipe.poll(5) else None
    except (EOFError, OSError):
        asked = None
    if asked is None:
        pipe.close()
        return
    asked["parent"] = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        with suppress(OSError):
            pipe.send(error)
        pipe.close()
        return
    if pid == 0:
        for _, other in children.values():
            other.close()
        for handle in children:
            os.close(handle)
        listener.close()
        _become(pipe, asked)
    children[os.pidfd_open(pid)] = (pid, pipe)


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # it may not lead its group yet


def _bury(handle: int, children: dict) -> None:
    """Reap one that has ended, end what it left behind, and tell its owner."""
    pid, pipe = children.pop(handle)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(handle)
    with suppress(OSError):
        pipe.send(("ended", os.waitstatus_to_exitcode(status)))
    pipe.close()


def _become(pipe: Connection, asked: dict[str, Any]) -> None:
    """Turn the forked process into a fresh one of its own, call the target, and never return."""
    code = 1
    try:
        pipe.send(os.getpid())  # from here: sent by the parent it might come after the answer
        _part(asked)
        module, _, name = asked["target"].partition(":")
        answer = getattr(importlib.import_module(module), name)(**asked["arguments"])
        pipe.send(("done", answer))
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        with suppress(Exception):
            pipe.send(("failed", f"{type(error).__name__}: {error}"))
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            atexit._run_exitfuncs()
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _part(asked: dict[str, Any]) -> None:
    """Take leave of the parent: session, signals, environment, folder, random numbers, memory."""
    import random

    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # standard input was the parent's tie to its owner
    os.close(nothing)
    _end_with_parent()
    if os.getppid() != asked["parent"]:  # it had ended before
        os._exit(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    mark = os.environ[MARK]
    os.environ.clear()
    os.environ.update(asked["env"] | {MARK: mark})
    os.chdir(asked["cwd"])
    for place, folder in enumerate(map(os.path.abspath, _given())):
        if folder not in sys.path:
            sys.path.insert(place, folder)
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if limit := asked["env"].get(MEMORY):
        limit_memory(int(limit))


def limit_memory(mb: int) -> None:
    """Let this process take so much beyond what it has, where the system can tell."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return
    import resource

    # Of what can be written to: of addresses alone, each thread's allocator sets 64 MB aside
    most = int(statm.read_text().split()[5]) * resource.getpagesize() + mb * 2**20
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _end_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the system send this process a signal once its parent is gone; 0 for none."""
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, number)


def main(address: str, *modules: str) -> None:
    """Be a warm parent until standard input closes."""
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is its owner's affair
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a run prints past its kernel is no answer to anybody
    _warm(modules)
    if threads() > 1:
        sys.exit(f"{threads()} threads run after the imports, which a fork would lose")

    def ready() -> None:
        _end_with_parent(0)  # from here on standard input tells, and what is forked is ended first
        print("ready", file=said, flush=True)
        said.close()

    try:
        serve(address, sys.stdin.fileno(), ready)
    finally:
        _clear(os.environ[MARK])


if __name__ == "__main__":
    main(*sys.argv[1:])
