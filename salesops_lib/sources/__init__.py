"""The one door for data: `load()` turns a source into canonical tables and says what it set aside."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from salesops_lib.config import CompanySettings
from salesops_lib.errors import DataContractError, LossLimitExceeded, ParameterError, shown, unknown
from salesops_lib.sources.loaded import Loaded, Staged

__all__ = ["Loaded", "Staged", "catalogue", "load", "stage"]

KEEP_LOSS = 0.05
CRMS = ("salesforce", "hubspot", "pipedrive", "dynamics")


def catalogue() -> dict[str, str]:
    """Name the sources that `load` knows, with one line each."""
    return {
        "csv": "any set of CSV, XLSX or Parquet files, through a mapping file (YAML)",
        "salesforce": "a folder of Salesforce exports (Data Export, Data Loader, reports)",
        "hubspot": "a folder of HubSpot exports, in any of five UI languages",
        "pipedrive": "a folder of Pipedrive exports, in any of five UI languages",
        "dynamics": "a folder of Dynamics 365 Sales exports",
        "sql": "a database: canonical-shaped tables, or queries through a mapping file",
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
    """Read a source into canonical tables, in memory.

    Parameters
    ----------
    source
        One of `catalogue()`.
    paths
        Folder of the source; of a CRM also several, exported at different times: what changed between them
        becomes history.
    mapping
        Mapping file, or the name of a shipped one; the `csv` source needs it. For a CRM, a file that
        ``extends`` its mapping.
    max_loss
        Largest share of a table's rows that may be quarantined.
    company
        Time zone, currency and calendar, over those of the mapping.
    options
        For the `sample` source: fields of `SampleSettings`, e.g. ``seed=7``. For files: `date_order`, `decimal`.
        For `sql`: `url_env`, `keyring`, `schema`, `since`, `until`, `timeout_s`; see `sql.stage_sql`.

    Raises
    ------
    DataContractError
        Where a file cannot be read as the mapping says; names file, row, column, value and the mend.
    LossLimitExceeded
        Where more than `max_loss` of a table would be set aside.
    ParameterError
        For an unknown source.
    """
    if source == "sample":
        from salesops_lib.sources.sample_source import load_sample

        return load_sample(**options)
    with TemporaryDirectory(prefix="salesops-") as place:
        try:
            given = {"mapping": mapping, "max_loss": max_loss, "company": company, **options}
            return stage(source, *paths, place=Path(place), **given).read()
        except LossLimitExceeded as error:
            raise LossLimitExceeded(str(error), error.loaded.read()) from None


def stage(
    source: str,
    *paths: str | Path,
    place: Path,
    mapping: str | Path | None = None,
    max_loss: float = KEEP_LOSS,
    company: CompanySettings | None = None,
    **options,
) -> Staged:
    """Do what `load` does in the memory of a few batches: the tables end as Parquet files in `place`."""
    if source not in catalogue():
        raise ParameterError(unknown("source", source, catalogue()))
    with warnings.catch_warnings():
        # pandas warns that it could be faster on Arrow text; nothing a user can act on
        warnings.filterwarnings("ignore", category=UserWarning, module="pandas")
        warnings.filterwarnings("ignore", category=FutureWarning, module="pandas")
        given = (paths, mapping, company or CompanySettings(), place, options)
        staged = _stage_sql(*given) if source == "sql" else _stage_files(source, *given)
    refuse_losses(staged, max_loss)
    return staged


def refuse_losses(loaded: Loaded | Staged, max_loss: float) -> None:
    """Refuse a load that sets too much aside.

    Raises
    ------
    LossLimitExceeded
        Naming the worst table, the share and the first reasons.
    """
    report = loaded.report
    # where one record makes several rows, or several one, what is lost is a share of the records
    read = report["records"].where(report["records"] > 0, report["rows_in"])
    share = report["rows_quarantined"] / read.clip(lower=1)
    if share.empty or share.max() <= max_loss:
        return
    worst = report.loc[share.idxmax()]
    aside = loaded.quarantine
    first = aside[aside["table"] == worst["table"]].iloc[0]
    value = f"{shown(first['value'])} is " if isinstance(first["value"], str) else ""
    place = f", column {first['column']}" if first["column"] else ""
    raise LossLimitExceeded(
        f"{worst['table']}: {worst['rows_quarantined']} of {read[share.idxmax()]} rows ({share.max():.1%}) "
        f"would be set aside, the limit is {max_loss:.1%}. First: {first['file']}, row {first['row']}"
        f"{place}: {value}{first['reason']}. "
        "Mend the file or the mapping, or raise --max-loss.",
        loaded,
    )


def _stage_sql(paths, mapping, company: CompanySettings, place: Path, options: dict) -> Staged:
    from salesops_lib.sources.mapping import read_mapping
    from salesops_lib.sources.sql import OPTIONS, stage_sql

    if paths:
        raise ParameterError("the sql source reads a database, not a folder; its URL is in the environment.")
    for name in options:
        if name not in OPTIONS:
            raise ParameterError(unknown("option of the sql source", name, OPTIONS))
    return stage_sql(mapping and read_mapping(mapping), company, place, **options)


def _stage_files(source, paths, mapping, company: CompanySettings, place: Path, options: dict) -> Staged:
    from salesops_lib.sources.files import stage_files
    from salesops_lib.sources.mapping import read_mapping

    if source in CRMS:
        chosen = read_mapping(mapping or source)
    elif mapping is None:
        raise ParameterError(f"the {source} source needs a mapping: --map FILE, or mapping=… (e.g. maven_crm).")
    else:
        chosen = read_mapping(mapping)
    known = ("date_order", "decimal")
    for name in options:
        if name not in known:
            raise ParameterError(f"the {source} source takes no option {name!r}; it takes {' and '.join(known)}.")
    chosen = chosen.model_copy(update={name: value for name, value in options.items() if value is not None})
    folders = [Path(path) for path in paths]
    if not folders or not all(folder.is_dir() for folder in folders):
        got = ", ".join(str(path) for path in folders if not path.is_dir()) or "nothing"
        raise DataContractError(f"the {source} source needs a folder that exists, got {got}.")
    if len(folders) > 1 and not chosen.objects:
        raise DataContractError(f"several exports at once need a mapping with objects; {chosen.name} has none.")
    return stage_files(folders, chosen, company, place)
