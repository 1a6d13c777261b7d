"""Rows of an input frame that cannot be used: named, with the mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from salesops_lib.errors import DataContractError, listed

if TYPE_CHECKING:
    import pandas as pd


def need(frame: pd.DataFrame, columns: tuple[str, ...], what: str) -> None:
    """Refuse a frame without some columns.

    Raises
    ------
    DataContractError
        Naming those that are missing and those that are there.
    """
    missing = [name for name in columns if name not in frame]
    if missing:
        raise DataContractError(
            f"{what}: no column {listed(missing)}; it has {listed(frame.columns) or 'none'}. Add or rename it."
        )


def bad_rows(frame: pd.DataFrame, key: str, mask, says: str, mend: str = "") -> None:
    """Refuse a frame some of whose rows are wrong.

    Raises
    ------
    DataContractError
        With their number, the keys of the first, what is wrong, and the mend.
    """
    need(frame, (key,), "input")
    mask = np.asarray(mask, dtype=bool)
    if mask.any():
        keys = listed(dict.fromkeys(frame.loc[mask, key].tolist()), most=200)
        raise DataContractError(
            f"{int(mask.sum())} of {len(frame)} rows {says}: {key} {keys}.{mend and f' {mend}'}"
        )


def numbers(frame: pd.DataFrame, column: str, key: str, *, least: float | None = None) -> np.ndarray:
    """Take a column as floats.

    Raises
    ------
    DataContractError
        Where a value is missing, no number, or below `least`.
    """
    need(frame, (key, column), "input")
    values = _floats(frame[column])
    bad_rows(frame, key, ~np.isfinite(values), f"have no number in {column}", f"Fill {column} or leave them out.")
    if least is not None:
        bad_rows(frame, key, values < least, f"have {column} below {least:g}", f"Correct {column}.")
    return values


def coordinates(frame: pd.DataFrame, lat: str, lon: str, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Take latitude and longitude in degrees.

    Raises
    ------
    DataContractError
        Where one is missing or out of range; it says so where the two look swapped.
    """
    need(frame, (key, lat, lon), "input")
    north, east = _floats(frame[lat]), _floats(frame[lon])
    absent = ~(np.isfinite(north) & np.isfinite(east))
    bad_rows(frame, key, absent, f"have no {lat} or {lon}", "Geocode them, or leave them out.")
    bad_rows(
        frame, key, (north == 0) & (east == 0), f"stand at {lat} 0, {lon} 0", "That is the sea: geocode them."
    )
    wide = (np.abs(north) > 90) | (np.abs(east) > 180)
    swapped = wide & (np.abs(north) <= 180) & (np.abs(east) <= 90)
    bad_rows(frame, key, swapped, f"have {lat} beyond ±90", f"{lat} and {lon} look swapped: exchange them.")
    bad_rows(frame, key, wide, f"have {lat} beyond ±90 or {lon} beyond ±180", "Degrees are needed.")
    return north, east


def _floats(values: pd.Series) -> np.ndarray:
    """Turn a column of any dtype, money included, into floats; what is no number becomes empty."""
    import pandas as pd

    if values.dtype != object and not pd.api.types.is_string_dtype(values.dtype):
        return values.astype("float64").to_numpy(dtype=float, na_value=np.nan)
    return pd.to_numeric(values.astype(object), errors="coerce").to_numpy(dtype=float, na_value=np.nan)
