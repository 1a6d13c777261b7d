"""Distances on the ground, and coordinates that cannot be right."""

from __future__ import annotations

import numpy as np

EARTH_KM = 6371.0088  # mean radius (IUGG)


def to_unit(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Turn degrees into points on the unit sphere, one row each."""
    lat, lon = np.radians(np.asarray(lat, dtype=float)), np.radians(np.asarray(lon, dtype=float))
    return np.column_stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)))


def all_distances_km(lat, lon, to_lat, to_lon) -> np.ndarray:
    """Great-circle kilometres between all points of one list (rows) and of another (columns), as 32-bit numbers.

    Taken from the chord between unit vectors, some rows at a time, so that memory stays that of the result.
    """
    here, there = to_unit(lat, lon), to_unit(to_lat, to_lon).T
    out = np.empty((len(here), there.shape[1]), dtype=np.float32)
    step = max(1, 4_000_000 // max(there.shape[1], 1))
    for first in range(0, len(here), step):
        dot = here[first : first + step] @ there
        half = np.sqrt(np.clip((1 - dot) / 2, 0, 1), out=dot)
        out[first : first + step] = 2 * EARTH_KM * np.arcsin(half, out=half)
    return out
