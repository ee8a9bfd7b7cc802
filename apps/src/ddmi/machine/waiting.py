"""How torch's threads wait for each other on a CPU."""

from __future__ import annotations

import os
import sys


def sleep_at_barriers() -> None:
    """Lets threads of OpenMP sleep where they wait for others, instead of spinning, unless the user has chosen.

    Beside other work a thread that spins keeps a core from the one that it waits for, and steps become several times as
    long.  OpenMP reads this when torch is loaded, so it is to be said before.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
