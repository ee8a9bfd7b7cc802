"""Commands let threads sleep where they wait, unless the user has chosen otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COMMAND = "from ddmi.cli import main; main(['recipes'])"


@pytest.mark.parametrize(
    ("before", "chosen", "policy"),
    [("", None, "PASSIVE"), ("", "ACTIVE", "ACTIVE"), ("import torch; ", None, "None")],
    ids=["default", "chosen", "torch is loaded"],
)
def test_commands_let_threads_sleep(before: str, chosen: str | None, policy: str) -> None:
    env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    env |= {} if chosen is None else {"OMP_WAIT_POLICY": chosen}
    code = f"{before}{COMMAND}; import os; print(os.environ.get('OMP_WAIT_POLICY'))"
    done = subprocess.run((sys.executable, "-c", code), env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == policy
