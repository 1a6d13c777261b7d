"""Random numbers inside compiled loops: one state per search, so that a seed gives one answer."""

from __future__ import annotations

import numpy as np
from numba import njit


def start(seed: int) -> np.ndarray:
    """Make the state of a generator from a seed (splitmix64; Steele, Lea and Flood 2014)."""
    z = (int(seed) * 0x9E3779B97F4A7C15 + 0xD1B54A32D192ED03) % 2**64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return np.array([(z ^ (z >> 31)) | 1], dtype=np.uint64)


@njit(cache=True)
def uniform(state):
    """Draw from [0, 1) and move the state on (xorshift64*; Vigna 2016)."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return np.float64((x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(11)) / 9007199254740992.0


@njit(cache=True)
def below(state, n):
    """Draw a whole number from 0 to n − 1."""
    return int(uniform(state) * n)
