"""How torch's threads wait for each other on a CPU."""

from __future__ import annotations

import os
import sys

CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
SPINS = "10000"
"""Of GNU's OpenMP, which has 300,000: fewer cost nothing on an idle machine, 1,000 cost 40 % of a step."""


def spin_briefly() -> None:
    """Lets threads of OpenMP sleep soon where they wait for others, unless the user has chosen how they wait.

    Beside other work a thread that spins keeps a core from the one that it waits for, and steps become several times as
    long.  OpenMP reads this when torch is loaded, so it is to be said before.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in CHOICES):
        os.environ["GOMP_SPINCOUNT"] = SPINS
