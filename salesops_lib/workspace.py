"""A workspace: a folder with `salesops.yaml`, its snapshots, notebooks and reports."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from salesops_lib.book import Book
from salesops_lib.config import FILE_NAME, CompanySettings, Settings, load_settings
from salesops_lib.errors import ConfigError, LossLimitExceeded, ParameterError, SnapshotError
from salesops_lib.export import write_csv
from salesops_lib.language import ENGLISH
from salesops_lib.sources import Loaded, Staged, load, stage
from salesops_lib.store import Snapshot, Store, private_folder

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("salesops")
PINNED = "SALESOPS_SNAPSHOT"  # set by the report runner: every page of a run reads the same snapshot
STREAM_FROM = 50_000  # deals
REFUSED = "refused.csv"  # quarantine of a load that was refused


@dataclass(frozen=True)
class Workspace:
    """Settings and the places they name."""

    root: Path
    settings: Settings
    _books: dict[tuple[str, pd.Timestamp], Book] = field(default_factory=dict, repr=False, compare=False)

    @property
    def store(self) -> Store:
        """The snapshots."""
        return Store(self.root / self.settings.snapshots)

    @property
    def notebooks(self) -> Path:
        """Folder of the notebooks."""
        return self.root / self.settings.notebooks

    @property
    def reports(self) -> Path:
        """Folder of the report definitions."""
        return self.root / self.settings.reports

    @property
    def out(self) -> Path:
        """Folder that pages are published to."""
        return self.root / self.settings.out

    @property
    def language(self) -> str:
        """Language of the pages, or the path of the company's own catalogue.

        Raises
        ------
        ConfigError
            Where that is not there.
        """
        named = self.settings.company.language or ENGLISH
        if not named.endswith(".po"):
            return named
        path = (self.root / named).resolve()
        if not path.is_file():
            raise ConfigError(f"{FILE_NAME}: company.language: there is no {named}.")
        return str(path)

    def load(
        self, source: str | None = None, *paths: str | Path, mapping=None, max_loss=None, **options
    ) -> Loaded:
        """Load a source, by default the one in `salesops.yaml`, with the settings there; see `sources.load`."""
        source, paths, given = self._given(source, paths, mapping, max_loss, options)
        return load(source, *paths, **given)

    def _given(self, source, paths, mapping, max_loss, options) -> tuple[str, tuple, dict]:
        """Complete the arguments of a load from `salesops.yaml`."""
        own = self.settings.source
        if source is None or source == own.kind == "sql":  # a database is where salesops.yaml says, named or not
            source = own.kind
            paths = paths or tuple(self.root / path for path in own.paths)
            mapping = mapping or (own.mapping and self._mapping(own.mapping))
            options = {**own.options, **options}
        if source == "sample":
            return source, paths, options
        given = {
            "mapping": mapping,
            "max_loss": self.settings.max_loss if max_loss is None else max_loss,
            "company": self.settings.company,
        }
        return source, paths, given | options

    def _mapping(self, name: str) -> str | Path:
        return self.root / name if Path(name).suffix else name

    def save(self, loaded: Loaded | Staged) -> Snapshot:
        """Make a load the current snapshot."""
        return self.store.save(loaded)

    def ingest(self, source: str | None = None, *paths: str | Path, **options) -> Snapshot:
        """Load a source and make it the current snapshot, in the memory of a few batches.

        A refused load leaves the rows it would have set aside in `REFUSED`, beside the snapshots.

        Takes what `load` takes.
        """
        if (source or self.settings.source.kind) == "sample" and options.get("opportunities", 0) > STREAM_FROM:
            from salesops_lib.sources import sample_source

            options = {name: options[name] for name in options if name not in ("mapping", "max_loss")}
            return self.store.save_batches(**sample_source.stream(**options))
        source, paths, given = self._given(
            source, paths, options.pop("mapping", None), options.pop("max_loss", None), options
        )
        if source == "sample":
            return self.save(load(source, *paths, **given))
        self.store.root.mkdir(parents=True, exist_ok=True)
        place = private_folder(self.store.root, "staging")
        try:
            return self.save(stage(source, *paths, place=place, **given))
        except LossLimitExceeded as error:
            aside = error.loaded.quarantine
            write_csv(aside, self.store.root / REFUSED)
            raise LossLimitExceeded(
                f"{error} All {len(aside):,} rows: {self.store.root / REFUSED}.", error.loaded
            ) from None
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def snapshot(self) -> Snapshot:
        """Return the current snapshot; a workspace on the sample company makes it when there is none yet.

        Raises
        ------
        SnapshotError
            Where nothing has been loaded.
        """
        pinned = os.environ.get(PINNED)
        found = self.store.get(pinned) if pinned else self.store.current()
        if found is None and self.settings.source.kind == "sample":
            found = self.ingest()
        if found is None:
            raise SnapshotError(f"{self.root} has no snapshot yet; run `salesops load` first.")
        return found

    def book(self, as_of: str | None = None, *, snapshot: str | None = None, rates: str = "actual") -> Book:
        """Open the company as known at `as_of`.

        Parameters
        ----------
        as_of
            A day such as ``2026-09-30`` (seen to its end, company time) or an ISO instant; the end of what was
            exported where it is empty.
        snapshot
            Id of a snapshot other than the current one.
        rates
            ``actual``, or ``plan`` for constant currency; see `Book`.

        Raises
        ------
        ParameterError
            For an `as_of` that is no date, or unknown `rates`.
        SnapshotError
            Where there is no such snapshot.
        """
        source = self.store.get(snapshot) if snapshot else self.snapshot()
        company = self.settings.company.over(CompanySettings(**source.manifest["company"]))
        calendar = company.calendar()
        instant = calendar.instant(as_of) if as_of else source.until
        key = (source.id, instant)
        if key not in self._books:
            self._books[key] = Book(source, instant, company, calendar)
        found = self._books[key]
        return found if rates == found.rates else replace(found, rates=rates)


def open_workspace(path: str | Path = ".") -> Workspace:
    """Open the workspace that `path` lies in: the nearest `salesops.yaml` at or above it.

    Where there is none, the sample company in a cache folder of the user's, so that any notebook runs anywhere.

    Raises
    ------
    ConfigError
        Where `salesops.yaml` is wrong, naming the key.
    ParameterError
        Where `path` does not exist.
    """
    start = Path(path).resolve()
    if not start.exists():
        raise ParameterError(f"{path} does not exist.")
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return Workspace(folder, load_settings(folder / FILE_NAME))
    from platformdirs import user_cache_path

    from salesops_lib.scaffold import templates

    log.info("no %s at or above %s: this is the sample company", FILE_NAME, start)
    shipped = templates()
    places = {name: str(shipped / name) for name in ("notebooks", "reports")}
    return Workspace(
        user_cache_path("salesops", ensure_exists=True), Settings(**places, out=str(start / "reports/out"))
    )
