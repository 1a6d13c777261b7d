"""What a load brought in: in memory for an analyst, as Parquet files on their way into a snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from salesops_lib.config import CompanySettings

if TYPE_CHECKING:
    import pandas as pd

    from salesops_lib.sources.staging import Stage


@dataclass(frozen=True)
class Loaded:
    """What a load brought in.

    Attributes
    ----------
    tables
        Canonical frames by name.
    quarantine
        `file`, `table`, `row` (as a spreadsheet counts, the header is row 1), `column`, `value`, `reason`; one
        row for each record set aside.
    report
        `table`, `rows_in`, `rows_kept`, `rows_quarantined`, `reason`, `records`; ``rows_in = rows_kept +
        rows_quarantined``. `records` is the number read from files: it differs from `rows_in` where one record
        makes several rows, or several make one.
    findings
        `kind`, `file`, `table`, `column`, `value`, `n`: unmatched references, unmapped values, columns nobody
        reads, amounts rounded; rows they count were kept.
    company
        What the source knows of the company (currency, time zone, fiscal calendar).
    extracted_at
        When the source was exported.
    extraction
        ``stated`` by the source or its mapping, or read off the ``file time`` or the ``database clock``.
    until
        Last instant the rows are from, where later ones were left in the source.
    files
        SHA-256 by file name.
    coverage
        Since when each history field was tracked (ISO instant); none where from each deal's creation on.
    truth
        Ground truth of a simulated source; empty for real ones.
    """

    tables: dict[str, pd.DataFrame]
    quarantine: pd.DataFrame
    report: pd.DataFrame
    findings: pd.DataFrame
    company: CompanySettings
    extracted_at: pd.Timestamp
    extraction: str = "stated"
    files: dict[str, str] = field(default_factory=dict)
    coverage: dict[str, str | None] = field(default_factory=dict)
    until: pd.Timestamp | None = None
    truth: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Staged:
    """The same as `Loaded`, with the tables and the quarantine still in Parquet files."""

    stage: Stage
    files_by_table: dict[str, Path]
    report: pd.DataFrame
    findings: pd.DataFrame
    company: CompanySettings
    extracted_at: pd.Timestamp
    extraction: str
    files: dict[str, str]
    coverage: dict[str, str | None]
    until: pd.Timestamp | None = None

    @property
    def quarantine(self) -> pd.DataFrame:
        """Rows set aside."""
        return self.stage.quarantine()

    def read(self) -> Loaded:
        """Read everything into memory."""
        import pyarrow.parquet as pq

        from salesops_lib.frames import to_pandas

        frames = {
            name: to_pandas(pq.read_table(path), name).assign(extracted_at=self.extracted_at)
            for name, path in self.files_by_table.items()
        }
        return Loaded(
            tables=frames,
            quarantine=self.quarantine,
            report=self.report,
            findings=self.findings,
            company=self.company,
            extracted_at=self.extracted_at,
            extraction=self.extraction,
            files=self.files,
            coverage=self.coverage,
            until=self.until,
        )
