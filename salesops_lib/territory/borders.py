"""Coasts and borders of countries, shipped with the package so that a map needs no network.

Natural Earth 1:50 million (public domain) as packed by world-atlas 2.0.2 (TopoJSON; ISC licence, beside the file).
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from importlib.resources import files

import numpy as np

ATLAS = "countries-50m.json.gz"


@cache
def _atlas() -> tuple[list[np.ndarray], dict]:
    topology = json.loads(gzip.decompress(files(__package__).joinpath(ATLAS).read_bytes()))
    scale, origin = (np.array(topology["transform"][name]) for name in ("scale", "translate"))
    lines = [np.cumsum(arc, axis=0) * scale + origin for arc in topology["arcs"]]
    return lines, topology["objects"]["land"]


def borders() -> list[np.ndarray]:
    """List coasts and borders as lines: longitude and latitude, one row a point."""
    return _atlas()[0]


@cache
def land() -> list[np.ndarray]:
    """List outlines of land, lakes within it left out: longitude and latitude, one row a point."""
    lines, shape = _atlas()
    shapes = [part for geometry in shape["geometries"] for part in geometry["arcs"]]
    return [np.vstack([lines[k] if k >= 0 else lines[~k][::-1] for k in outline]) for outline, *_ in shapes]
