"""Randomness that belongs to an item."""

from __future__ import annotations

import zlib

import numpy as np


def named_generator(name: str) -> np.random.Generator:
    """Draws that depend on an item's name only."""
    return np.random.default_rng(zlib.crc32(name.encode()))
