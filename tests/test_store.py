import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from salesops_lib.errors import SnapshotError
from salesops_lib.sources import load
from salesops_lib.store import Store, private_folder
from tests.conftest import ROOT, make_workspace

SMALL = {"opportunities": 300, "accounts": 60, "reps": 8}


@pytest.fixture(scope="module")
def loaded():
    return load("sample", **SMALL)


def test_what_is_saved_comes_back_the_same(tmp_path, loaded):
    snapshot = Store(tmp_path).save(loaded)
    for name, frame in loaded.tables.items():
        pd.testing.assert_frame_equal(snapshot.read(name)[frame.columns], frame.reset_index(drop=True))
    snapshot.verify()
    assert snapshot.losses()["rows_in"].sum() == sum(map(len, loaded.tables.values()))
    assert snapshot.truth() == loaded.truth


def test_the_same_content_changes_nothing(tmp_path, loaded):
    store = Store(tmp_path)
    first = store.save(loaded)
    stamps = {file: file.stat().st_mtime_ns for file in first.path.iterdir()}
    again = store.save(load("sample", **SMALL))
    assert again.id == first.id
    assert {file: file.stat().st_mtime_ns for file in first.path.iterdir()} == stamps
    assert [s.id for s in store.list()] == [first.id]


def test_other_content_is_another_snapshot_and_the_old_one_stays(tmp_path, loaded):
    store = Store(tmp_path)
    first, second = store.save(loaded), store.save(load("sample", seed=8, **SMALL))
    assert first.id != second.id
    assert store.current().id == second.id
    first.verify()


def test_a_batched_snapshot_holds_every_row(tmp_path, monkeypatch):
    monkeypatch.setattr("salesops_lib.workspace.STREAM_FROM", 100)
    ws = make_workspace(tmp_path)
    snapshot = ws.ingest("sample", opportunities=2_000)
    assert snapshot.manifest["tables"]["opportunities"]["rows"] == 2_000
    book = ws.book("2026-09-30")
    assert book.opportunities["opportunity_id"].is_unique
    assert (book.losses["rows_in"] == book.losses["rows_kept"]).all()


def test_damage_is_found(tmp_path, loaded):
    snapshot = Store(tmp_path).save(loaded)
    file = snapshot.file("accounts")
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(SnapshotError, match="accounts"):
        snapshot.verify()
    with pytest.raises(SnapshotError, match="load again"):
        snapshot.read("accounts")
    with pytest.raises(SnapshotError, match="unknown snapshot"):
        Store(tmp_path).get("0123456789ab")


def test_loading_again_mends_a_damaged_snapshot(tmp_path, loaded):
    snapshot = Store(tmp_path).save(loaded)
    snapshot.file("users").write_bytes(b"no parquet")
    mended = Store(tmp_path).save(loaded)
    assert mended.id == snapshot.id
    mended.verify()
    (mended.path / "manifest.json").write_text("[]")
    with pytest.raises(SnapshotError, match="manifest"):
        Store(tmp_path).current().manifest  # noqa: B018
    Store(tmp_path).save(loaded).verify()


def test_many_readers_while_snapshots_change(tmp_path, loaded):
    store = Store(tmp_path)
    store.save(loaded)
    others = [load("sample", seed=seed, **SMALL) for seed in (11, 12)]

    def read(_):
        snapshot = store.current()
        return (
            len(snapshot.read("opportunities", ["opportunity_id"]))
            == snapshot.manifest["tables"]["opportunities"]["rows"]
        )

    with ThreadPoolExecutor(8) as pool:
        seen = pool.map(read, range(200))
        for other in others:
            store.save(other)
        assert all(seen)


@pytest.mark.slow
def test_killing_a_load_at_any_moment_leaves_the_snapshot_before(tmp_path):
    ws = make_workspace(tmp_path)
    before = ws.ingest("sample", **SMALL)
    rng, killed, finished = random.Random(3), 0, 0
    for attempt in range(8):
        code = (
            "from salesops_lib.workspace import open_workspace\n"
            f"open_workspace({str(tmp_path)!r}).ingest('sample', seed={100 + attempt}, opportunities=3000)\n"
        )
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
        time.sleep(rng.uniform(0.6, 3.2))
        killed += process.poll() is None
        finished += process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = ws.store.current()
        now.verify()
        assert len(now.read("opportunities")) == now.manifest["tables"]["opportunities"]["rows"]
        before.verify()
    assert killed >= 3
    ws.ingest("sample", seed=999, **SMALL)
    assert not list(ws.store.root.glob(".writing-*")), "the next writer sweeps what the dead ones left"


def test_a_living_writer_is_not_swept(tmp_path, loaded):
    living = private_folder(tmp_path, "writing")
    foreign = tmp_path / ".writing-elsewhere~1~abc"
    foreign.mkdir()
    Store(tmp_path).save(loaded)
    assert living.exists()
    assert foreign.exists(), "another host's process cannot be seen from here"
