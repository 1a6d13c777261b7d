"""The warm parent that a process keeps: reused where it fits, anew where anything it imported has changed."""

import subprocess
import sys
import time

import psutil
import pytest

from salesops_lib.report import kept, warm

pytestmark = [
    pytest.mark.skipif(bool(warm.reason()), reason=warm.reason() or "never"),
    pytest.mark.xdist_group("warm"),
]


def used(*modules) -> int:
    """Which process serves a call."""
    with kept.parent(modules) as address:
        return warm.Forked(address, "os:getppid").result(10)


def has_ended(pid: int) -> bool:
    until = time.monotonic() + 15
    while psutil.pid_exists(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not psutil.pid_exists(pid)


LEAVE = "import subprocess\ndef leave(**asked):\n    return subprocess.Popen(**asked).pid\n"


def test_a_parent_serves_until_what_it_imported_changes(tmp_path, monkeypatch):
    before = used()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # which libraries read as they are imported
    (tmp_path / "kept_word.py").write_text(LEAVE)
    with kept.parent(["kept_word", "pandas"]) as address:
        parent = warm.Forked(address, "os:getppid").result(10)
        asked = {"args": ["sleep", "973"], "start_new_session": True}
        left = warm.Forked(address, "kept_word:leave", **asked).result(20)
        assert psutil.pid_exists(left)
        with kept.parent() as other:  # a run beside it has one of its own
            assert warm.Forked(other, "os:getppid").result(10) not in (before, parent)
    assert has_ended(before)
    assert has_ended(left)
    assert used("pandas", "json", "seaborn", "kept_word") == parent
    (tmp_path / "kept_word.py").write_text("SAID = 'b'\n")
    anew = used("kept_word")
    assert anew != parent
    assert has_ended(parent)
    with pytest.raises(KeyboardInterrupt), kept.parent():
        raise KeyboardInterrupt
    assert has_ended(anew)


def test_it_ends_with_its_process_and_one_that_was_killed_is_replaced():
    code = """
import os
from salesops_lib.report import kept, warm
def used():
    with kept.parent() as address:
        return warm.Forked(address, "os:getppid").result(10)
first = used()
os.kill(first, 9)
print(first, used())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = map(int, done.stdout.split())
    assert first != second
    assert has_ended(second)
