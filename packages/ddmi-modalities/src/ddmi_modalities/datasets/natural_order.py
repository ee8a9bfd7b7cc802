"""Names in the order of the numbers in them."""

from __future__ import annotations

import re


def natural_key(name: str) -> list[tuple[int, str]]:
    """To sort by: frame9 comes before frame10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
