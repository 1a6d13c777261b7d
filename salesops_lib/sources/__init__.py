"""The one door for data: `load()` turns a source into canonical tables and says what it set aside."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from salesops_lib.config import CompanySettings
from salesops_lib.errors import DataContractError, LossLimitExceeded, ParameterError, unknown

if TYPE_CHECKING:
    import pandas as pd

KEEP_LOSS = 0.05


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
        `table`, `rows_in`, `rows_kept`, `rows_quarantined`, `reason`; ``rows_in = rows_kept + rows_quarantined``.
    findings
        `kind`, `file`, `table`, `column`, `value`, `n`: unmatched references, unmapped values, columns nobody
        reads, amounts rounded; rows they count were kept.
    company
        What the source knows of the company (currency, time zone, fiscal calendar).
    extracted_at
        When the source was exported.
    extraction
        ``stated`` by the source or its mapping, or read off the ``file time``.
    files
        SHA-256 by file name.
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
    truth: dict = field(default_factory=dict)


def catalogue() -> dict[str, str]:
    """Name the sources that `load` knows, with one line each."""
    return {
        "csv": "any set of CSV files, through a mapping file (YAML)",
        "sample": "a made-up company with known ground truth, seeded",
    }


def load(
    source: str,
    *paths: str | Path,
    mapping: str | Path | None = None,
    max_loss: float = KEEP_LOSS,
    company: CompanySettings | None = None,
    **options,
) -> Loaded:
    """Read a source into canonical tables.

    Parameters
    ----------
    source
        One of `catalogue()`.
    paths
        Folder or files of the source.
    mapping
        Mapping file, or the name of a shipped one; the `csv` source needs it.
    max_loss
        Largest share of a table's rows that may be quarantined.
    company
        Time zone and calendar to read dates in, over those of the mapping.
    options
        For the `sample` source: fields of `SampleSettings`, e.g. ``seed=7``.

    Raises
    ------
    DataContractError
        Where a file cannot be read as the mapping says; names file, row, column, value and the mend.
    LossLimitExceeded
        Where more than `max_loss` of a table would be set aside.
    ParameterError
        For an unknown source.
    """
    if options and source != "sample":
        raise ParameterError(f"the {source} source takes no option {sorted(options)[0]!r}.")
    readers: dict[str, Callable[[], Loaded]] = {
        "csv": lambda: _load_csv(paths, mapping, company or CompanySettings()),
        "sample": lambda: _load_sample(**options),
    }
    if source not in readers:
        raise ParameterError(unknown("source", source, readers))
    with warnings.catch_warnings():
        # pandas warns that it could be faster on Arrow text; nothing a user can act on
        warnings.filterwarnings("ignore", category=UserWarning, module="pandas")
        loaded = readers[source]()
    refuse_losses(loaded, max_loss)
    return loaded


def refuse_losses(loaded: Loaded, max_loss: float) -> None:
    """Refuse a load that sets too much aside.

    Raises
    ------
    LossLimitExceeded
        Naming the worst table, the share and the first reasons.
    """
    report = loaded.report
    share = report["rows_quarantined"] / report["rows_in"].clip(lower=1)
    if share.empty or share.max() <= max_loss:
        return
    worst = report.loc[share.idxmax()]
    first = loaded.quarantine[loaded.quarantine["table"] == worst["table"]].iloc[0]
    raise LossLimitExceeded(
        f"{worst['table']}: {worst['rows_quarantined']} of {worst['rows_in']} rows ({share.max():.1%}) would be "
        f"set aside, the limit is {max_loss:.1%}. First: {first['file']}, row {first['row']}, column "
        f"{first['column']}: {first['value']!r} is {first['reason']}. "
        "Mend the file or the mapping, or raise --max-loss.",
        loaded,
    )


def _load_csv(paths, mapping, company: CompanySettings) -> Loaded:
    from salesops_lib.sources.files import load_files
    from salesops_lib.sources.mapping import read_mapping

    if mapping is None:
        raise ParameterError("the csv source needs a mapping: --map FILE, or mapping=… (e.g. maven_crm).")
    if len(paths) != 1 or not Path(paths[0]).is_dir():
        got = ", ".join(str(path) for path in paths) or "nothing"
        raise DataContractError(f"the csv source needs one folder that exists, got {got}.")
    return load_files(Path(paths[0]), read_mapping(mapping), company)


def _load_sample(**options) -> Loaded:
    from salesops_lib.sources.sample_source import load_sample

    return load_sample(**options)
