"""Damaged files are read, or refused by one line that names them: no traceback, hang, crash, or silence."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from .conftest import Reader
from .loaders import LOADERS

SEEDS = int(os.environ.get("DDMI_ATTACK", "4"))
FIRST = int(os.environ.get("DDMI_ATTACK_FROM", "0"))
"""The first seed, to look at one of them."""


@pytest.mark.parametrize("name", LOADERS)
def test_damaged_files(name: str, reader: Reader, count: Callable[[str, str], None]) -> None:
    failures = []
    for seed in range(FIRST, FIRST + SEEDS):
        kind, said, damage = reader.attack(name, seed)
        count(name, kind)
        if kind not in ("read", "refused"):
            failures.append(f"{name} seed {seed}, {damage}: {kind}: {said}")
    assert not failures, "\n\n".join(failures)
