"""Whether a training has become slow, as trainings on CPUs do beside other work."""

from __future__ import annotations

import math
import os

SLOW = 1.7
"""Times the fastest steps of the run."""
PATIENCE = 3
"""Looks in a row at which steps were slow, before it is said: what is written now and then takes time, too."""


class Pace:
    """Looks at how long steps take, and says once when that has grown.

    Examples:
        >>> pace = Pace()
        >>> said = [pace.look(seconds) for seconds in (0.3, 0.3, 0.9, 0.9, 0.9, 0.9)]
        >>> [line is not None for line in said]
        [False, False, False, False, True, False]
    """

    def __init__(self) -> None:
        self._fastest = math.inf
        self._slow = 0

    def look(self, seconds: float) -> str | None:
        """What the user should know of steps that took so long, if anything."""
        self._fastest = min(self._fastest, seconds)
        self._slow = self._slow + 1 if seconds > SLOW * self._fastest else 0
        if self._slow != PATIENCE:
            return None
        load = f", the load is {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        return (
            f"steps take {seconds / self._fastest:.1f} times as long as before: other processes use the cores, of "
            f"which there are {os.cpu_count()}{load}; stop them, or stop this and go on by --resume with "
            "OMP_NUM_THREADS=1, since threads wait for each other"
        )
