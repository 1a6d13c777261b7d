"""Immutable snapshots: a folder of Parquet files with a manifest, named after its content.

A snapshot is written beside the others and moved into place in one step, so a reader sees all of it or nothing
and a crash leaves the previous one. ``CURRENT`` names the one in use and is replaced in one step too. Any number
of processes may read at once; nothing is ever changed in place, so nothing is locked.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from platform import node
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from salesops_lib.errors import SnapshotError, unknown
from salesops_lib.export import write_text
from salesops_lib.frames import to_arrow, to_pandas

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.sources import Loaded, Staged

CURRENT = "CURRENT"
MANIFEST = "manifest.json"
FORMAT = 1
DROPPED = ("extracted_at",)  # one value a snapshot, kept in the manifest: it must not change the content's name


@dataclass(frozen=True)
class Snapshot:
    """One immutable snapshot on disk."""

    path: Path

    @property
    def id(self) -> str:
        """Name made from the content."""
        return self.path.name

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Row counts, hashes, source files, losses, findings, company, time of extraction."""
        try:
            manifest = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
            if not isinstance(manifest, dict) or not {"tables", "company", "extracted_at"} <= set(manifest):
                raise ValueError("keys are missing")
        except (OSError, ValueError) as error:
            raise SnapshotError(
                f"snapshot {self.id}: its manifest cannot be read ({error}); load again."
            ) from error
        return manifest

    @property
    def tables(self) -> list[str]:
        """Canonical tables it holds."""
        return list(self.manifest["tables"])

    def file(self, name: str) -> Path:
        """Path of a table's Parquet file.

        Raises
        ------
        SnapshotError
            Where the snapshot has no such table.
        """
        if name not in self.manifest["tables"]:
            raise SnapshotError(f"snapshot {self.id}: {unknown('table', name, self.tables)}")
        return self.path / f"{name}.parquet"

    def read(self, name: str, columns: Iterable[str] | None = None) -> pd.DataFrame:
        """Read a table, or some of its columns, with canonical dtypes.

        Raises
        ------
        SnapshotError
            Where the table or its file is missing or damaged.
        """
        import pyarrow.parquet as pq

        wanted = None if columns is None else [c for c in columns if c not in DROPPED]
        try:
            frame = to_pandas(pq.read_table(self.file(name), columns=wanted), name)
        except (OSError, ValueError) as error:
            raise SnapshotError(f"snapshot {self.id}: {name} cannot be read ({error}); load again.") from error
        if columns is None or "extracted_at" in columns:
            frame["extracted_at"] = self.extracted_at
        return frame

    @property
    def extracted_at(self) -> pd.Timestamp:
        """When the source was exported."""
        import pandas as pd

        return pd.Timestamp(self.manifest["extracted_at"]).as_unit("us")

    @property
    def until(self) -> pd.Timestamp:
        """Last instant its rows are from: the export, or earlier where later rows were left in the source."""
        import pandas as pd

        stated = self.manifest.get("until")
        return pd.Timestamp(stated).as_unit("us") if stated else self.extracted_at

    def losses(self) -> pd.DataFrame:
        """Rows in, kept and quarantined by table."""
        import pandas as pd

        return pd.DataFrame(
            self.manifest["losses"], columns=["table", "rows_in", "rows_kept", "rows_quarantined", "reason"]
        )

    def findings(self) -> pd.DataFrame:
        """What the load noticed in rows it kept."""
        import pandas as pd

        return pd.DataFrame(self.manifest["findings"], columns=["kind", "file", "table", "column", "value", "n"])

    def quarantine(self) -> pd.DataFrame:
        """Rows set aside: `file`, `table`, `row`, `column`, `value`, `reason`."""
        import pandas as pd

        return pd.read_parquet(self.path / "quarantine.parquet")

    @property
    def coverage(self) -> dict[str, pd.Timestamp | None]:
        """Since when each history field was tracked; none where from each deal's creation on."""
        import pandas as pd

        return {
            name: None if at is None else pd.Timestamp(at).as_unit("us")
            for name, at in self.manifest.get("coverage", {}).items()
        }

    def truth(self) -> dict[str, Any]:
        """Ground truth of a simulated company; empty for real data."""
        path = self.path / "truth.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def verify(self) -> None:
        """Compare every file with the hash in the manifest.

        Raises
        ------
        SnapshotError
            Naming the first file that differs.
        """
        for name, entry in self.manifest["tables"].items():
            if not self.file(name).exists() or _sha256(self.file(name)) != entry["sha256"]:
                raise SnapshotError(f"snapshot {self.id}: {name}.parquet is damaged; load the source again.")


class Writer:
    """Collects tables, batch by batch, into a folder that `publish` moves into place.

    Use as a context manager: leaving it without `publish` removes everything written.
    """

    def __init__(self, root: Path):
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.path = private_folder(root, "writing")
        self._open: dict[str, Any] = {}
        self.rows: dict[str, int] = {}

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        shutil.rmtree(self.path, ignore_errors=True)

    def append(self, name: str, frame: pd.DataFrame) -> None:
        """Add rows, already in canonical form, to a table."""
        import pyarrow.parquet as pq

        table = to_arrow(frame.drop(columns=list(DROPPED), errors="ignore"), name)
        if name not in self._open:
            self._open[name] = pq.ParquetWriter(self.path / f"{name}.parquet", table.schema, compression="zstd")
        self._open[name].write_table(table)
        self.rows[name] = self.rows.get(name, 0) + table.num_rows

    def adopt(self, name: str, path: Path) -> None:
        """Take over a finished Parquet file of canonical rows."""
        import pyarrow.parquet as pq

        shutil.move(path, self.path / f"{name}.parquet")
        self.rows[name] = pq.read_metadata(self.path / f"{name}.parquet").num_rows

    def _close(self) -> None:
        for writer in self._open.values():
            writer.close()
        self._open = {}

    def publish(
        self,
        *,
        extracted_at: pd.Timestamp,
        company: dict[str, Any],
        losses: pd.DataFrame,
        findings: pd.DataFrame,
        quarantine: pd.DataFrame,
        files: dict[str, str],
        truth: dict[str, Any] | None = None,
        extraction: str = "stated",
        coverage: dict[str, str | None] | None = None,
        until: pd.Timestamp | None = None,
    ) -> Snapshot:
        """Write the manifest, move the folder into place and make it current.

        The same content gives the same id; a snapshot that is already there stays untouched.
        """
        self._close()
        quarantine.astype("string").to_parquet(self.path / "quarantine.parquet", index=False)
        if truth:
            (self.path / "truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")
        entries = {
            name: {"rows": rows, "sha256": _sha256(self.path / f"{name}.parquet")}
            for name, rows in sorted(self.rows.items())
        }
        manifest = {
            "format": FORMAT,
            "extracted_at": extracted_at.isoformat(),
            "extraction": extraction,
            "until": until and until.isoformat(),
            "company": company,
            "tables": entries,
            "losses": _plain(losses),
            "findings": _plain(findings),
            "coverage": coverage or {},
            "files": files,
        }
        name = content_id(manifest)
        (self.path / MANIFEST).write_text(json.dumps({"id": name, **manifest}, indent=1), encoding="utf-8")
        for file in self.path.iterdir():
            _sync(file)
        place = self.root / name
        if place.exists() and not _sound(Snapshot(place)):
            place.rename(private_folder(self.root, "damaged") / name)
        try:
            self.path.rename(place)
        except OSError:
            if not _sound(Snapshot(place)):  # else another writer was there first, with the same content
                raise
        _sync(self.root)
        write_text(name + "\n", self.root / CURRENT)
        return Snapshot(place)


@dataclass(frozen=True)
class Store:
    """A folder of snapshots."""

    root: Path

    def save(self, loaded: Loaded | Staged) -> Snapshot:
        """Make `loaded` a snapshot and the current one; the files of a `Staged` are moved, not copied."""
        with Writer(self.root) as writer:
            for name, path in getattr(loaded, "files_by_table", {}).items():
                writer.adopt(name, path)
            for name, frame in getattr(loaded, "tables", {}).items():
                writer.append(name, frame)
            return writer.publish(
                extracted_at=loaded.extracted_at,
                company=loaded.company.model_dump(exclude_none=True),
                losses=loaded.report,
                findings=loaded.findings,
                quarantine=loaded.quarantine,
                files=loaded.files,
                truth=getattr(loaded, "truth", None),
                extraction=loaded.extraction,
                coverage=loaded.coverage,
                until=loaded.until,
            )

    def save_batches(self, batches, *, extracted_at, company: dict[str, Any], truth=None) -> Snapshot:
        """Make a stream of batches (canonical frames by table) a snapshot, in the memory of one batch."""
        import pandas as pd

        empty = pd.DataFrame()
        with Writer(self.root) as writer:
            for batch in batches:
                for name, frame in batch.items():
                    writer.append(name, frame)
            counts = pd.DataFrame({"table": list(writer.rows), "rows_in": list(writer.rows.values())})
            losses = counts.assign(rows_kept=counts["rows_in"], rows_quarantined=0, reason="")
            return writer.publish(
                extracted_at=extracted_at, company=company, losses=losses, findings=empty, quarantine=empty,
                files={}, truth=truth,
            )  # fmt: skip

    def current(self) -> Snapshot | None:
        """The snapshot in use, or none.

        Raises
        ------
        SnapshotError
            Where ``CURRENT`` names a snapshot that is gone.
        """
        try:
            name = (self.root / CURRENT).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise SnapshotError(f"{self.root / CURRENT} is damaged; load again.") from error
        return self.get(name)

    def get(self, name: str) -> Snapshot:
        """Open a snapshot by id.

        Raises
        ------
        SnapshotError
            With the near miss.
        """
        if not (self.root / name / MANIFEST).is_file():
            if name and (self.root / name).is_dir():
                raise SnapshotError(f"snapshot {name}: its manifest is missing; load again.")
            raise SnapshotError(unknown("snapshot", name, [snapshot.id for snapshot in self.list()]))
        return Snapshot(self.root / name)

    def list(self) -> list[Snapshot]:
        """Every readable snapshot, oldest extraction first."""
        found = [Snapshot(path.parent) for path in self.root.glob(f"[!.]*/{MANIFEST}")]
        found = [snapshot for snapshot in found if _readable(snapshot)]
        return sorted(found, key=lambda snapshot: (snapshot.manifest["extracted_at"], snapshot.id))


def content_id(manifest: dict[str, Any]) -> str:
    """Name a snapshot after its content: 12 hexadecimal digits.

    A time of extraction that was only read off the files' dates, or off a database's clock, is no content: copying
    them, or asking again, must change nothing.
    """
    told = {key: manifest[key] for key in ("format", "company", "tables", "losses", "findings", "coverage")}
    if manifest["extraction"] == "stated":
        told["extracted_at"] = manifest["extracted_at"]
    if manifest.get("until"):
        told["until"] = manifest["until"]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(frame.to_json(orient="records"))


def _readable(snapshot: Snapshot) -> bool:
    try:
        return bool(snapshot.manifest)
    except SnapshotError:
        return False


def _sound(snapshot: Snapshot) -> bool:
    try:
        snapshot.verify()
    except SnapshotError:
        return False
    return True


def private_folder(root: Path, purpose: str) -> Path:
    """Make a hidden folder that only this process writes to, and remove those that dead ones of this host left."""
    for left in root.glob(f".{purpose}-*"):
        host, _, rest = left.name.removeprefix(f".{purpose}-").rpartition("~")[0].rpartition("~")
        if host == node() and rest.isdecimal() and not alive(int(rest)):
            shutil.rmtree(left, ignore_errors=True)
    path = root / f".{purpose}-{node()}~{os.getpid()}~{uuid4().hex[:8]}"
    path.mkdir()
    return path


def alive(pid: int) -> bool:
    """Whether a process of this host is there still."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # no process has so large a number
        return False
    except PermissionError:
        return True  # another user's
    return True
