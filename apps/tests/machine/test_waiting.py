"""Threads of commands spin briefly where they wait, unless the user has chosen otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ddmi.machine.waiting import CHOICES, SPINS

COMMAND = "from ddmi.cli import main; main(['recipes'])"


@pytest.mark.parametrize(
    ("before", "chosen", "spins"),
    [
        ("", {}, SPINS),
        ("", {"OMP_WAIT_POLICY": "ACTIVE"}, "None"),
        ("", {"GOMP_SPINCOUNT": "7"}, "7"),
        ("import torch; ", {}, "None"),
    ],
    ids=["default", "a policy", "a number", "torch is loaded"],
)
def test_threads_of_commands_spin_briefly(before: str, chosen: dict[str, str], spins: str) -> None:
    env = {name: value for name, value in os.environ.items() if name not in CHOICES} | chosen
    code = f"{before}{COMMAND}; import os; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run((sys.executable, "-c", code), env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == spins
