"""Columns of canonical tables from whole numbers: -1 stands for an empty text, amount or date."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from salesops_lib import tables
from salesops_lib.sources.sample.clock import NEVER

Text = pd.arrays.ArrowStringArray


def text(words, codes) -> Text:
    """Take words by index."""
    words = words if isinstance(words, Text) else Text(pa.array(words, pa.large_string()))
    return words.take(np.asarray(codes, np.int64), allow_fill=True)


def as_text(values) -> Text:
    """Write values as the history of a field does."""
    return Text(pa.array(values).cast(pa.string()))


def ids(letter: str, numbers: np.ndarray, width: int) -> Text:
    """Make ids such as `sample:o0000017`."""
    digits = pa.array(numbers).cast(pa.large_string())
    return f"sample:{letter}" + Text(pc.utf8_lpad(digits, width, "0"))


def money(cents: np.ndarray) -> pd.arrays.ArrowExtensionArray:
    """Build decimal(18,2) from whole cents, bit for bit: a low and a high word a value."""
    words = np.stack([cents, np.zeros_like(cents)], axis=1).astype("<i8")
    valid = np.packbits(cents >= 0, bitorder="little")
    buffers = [pa.py_buffer(valid), pa.py_buffer(words)]
    return pd.arrays.ArrowExtensionArray(pa.Array.from_buffers(pa.decimal128(18, 2), len(cents), buffers))


def instants(seconds: np.ndarray, at: int = NEVER - 1) -> pd.DatetimeIndex:
    """Turn UTC seconds into instants; what comes after `at` is not known yet."""
    known = np.where(seconds <= at, seconds.astype("datetime64[s]"), np.datetime64("NaT"))
    return pd.DatetimeIndex(known.astype("datetime64[us]")).tz_localize("UTC")


def dates(days: np.ndarray) -> np.ndarray:
    """Turn day numbers into dates."""
    return np.where(days == -1, np.datetime64("NaT"), days.astype("datetime64[D]")).astype("datetime64[us]")


def take(columns: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Take rows of columns kept in a dict."""
    return {name: values[rows] for name, values in columns.items()}


def frame(name: str, columns: dict, at: int, shown: np.ndarray | None = None) -> pd.DataFrame:
    """Conform columns to the contract, restricted to the rows `shown`, and add the provenance."""
    rows = pd.DataFrame(columns)
    if shown is not None:
        rows = rows[shown].reset_index(drop=True)
    rows["source_system"] = text(["sample"], np.zeros(len(rows)))
    rows["source_file_sha256"] = text(["sample"], np.full(len(rows), -1))
    rows["extracted_at"] = pd.Timestamp(at, unit="s", tz="UTC")
    return tables.conform(rows, name)
