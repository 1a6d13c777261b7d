"""The sample company as a source: whole for everyday use, in batches for millions of deals."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from salesops_lib.config import CompanySettings
from salesops_lib.errors import ParameterError, unknown
from salesops_lib.sources import Loaded
from salesops_lib.sources.convert import FINDINGS, QUARANTINE
from salesops_lib.sources.sample import SampleSettings, batches, export, simulate, truth

NAME = "Nordlicht Industrial Software"


def settings(**options) -> SampleSettings:
    """Build the settings; unknown options are refused with the near miss.

    Raises
    ------
    ParameterError
        For an unknown option or an impossible value.
    """
    known = asdict(SampleSettings())
    for name in options:
        if name not in known:
            raise ParameterError(unknown("sample option", name, known))
    return SampleSettings(**options)


def company_settings(chosen: SampleSettings) -> CompanySettings:
    """What the sample knows of its company."""
    return CompanySettings(
        name=NAME,
        currency=chosen.currency,
        timezone=chosen.timezone,
        fiscal_start_month=chosen.fiscal_start_month,
    )


def load_sample(**options) -> Loaded:
    """Simulate the company and export it; options are the fields of `SampleSettings`."""
    chosen = settings(**options)
    simulated = simulate(chosen)
    tables = export(simulated)
    counts = pd.DataFrame({"table": list(tables), "rows_in": [len(frame) for frame in tables.values()]})
    return Loaded(
        tables=tables,
        quarantine=pd.DataFrame(columns=QUARANTINE),
        report=counts.assign(rows_kept=counts["rows_in"], rows_quarantined=0, reason=""),
        findings=pd.DataFrame(columns=FINDINGS),
        company=company_settings(chosen),
        extracted_at=tables["opportunities"]["extracted_at"].iloc[0],
        truth=truth(simulated),
    )


def stream(**options) -> dict[str, Any]:
    """Describe the company as a stream of batches of bounded size: the arguments of `Store.save_batches`."""
    chosen = settings(**options)
    if "accounts" not in options:  # about as many deals an account and a rep as in the small company
        deals = chosen.opportunities
        chosen = replace(
            chosen, accounts=max(600, deals // 16), reps=min(400, max(24, deals // 250)), activities_per_deal=2.0
        )
    return {
        "batches": batches(chosen),
        "extracted_at": company_settings(chosen).calendar().instant(chosen.end),
        "company": company_settings(chosen).model_dump(exclude_none=True),
    }
