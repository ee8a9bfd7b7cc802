"""How far slow work is: a bar on a terminal, and lines of the log elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import Any

from tqdm import tqdm

logger = logging.getLogger("ddmi")

EVERY = 30.0
"""Seconds between two lines of the log, at least: the log of a cluster's job tells how it goes, and stays short."""


class Progress(tqdm):  # type: ignore[misc]
    """tqdm, whose bar is drawn on a terminal only.

    Elsewhere it logs lines such as "stage vae: 1200 of 5000 steps, loss=0.0312, 12:34 left"; what takes less than
    `EVERY` logs nothing.  Where the logger is quieter than INFO, nothing is shown.

    Examples:
        >>> sum(step for step in Progress(range(4), desc="counting", disable=True))
        6
    """

    disable = True
    """Until it is made whole: tqdm closes what failed to be made, too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.logs = not sys.stderr.isatty()
        settings = dict(file=sys.stderr, dynamic_ncols=True) | kwargs
        if self.logs:
            settings |= dict(mininterval=EVERY, miniters=1)
        settings["disable"] = not logger.isEnabledFor(logging.INFO)
        super().__init__(*args, **settings)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Called by tqdm when it is time."""
        if not self.logs:
            return bool(super().display(msg, pos))
        if self.n > self.initial:
            logger.info("%s", self._line())
        return True

    def close(self) -> None:
        if not self.logs or self.disable:
            return super().close()
        self.disable = True
        self._decr_instances(self)
        return None

    def _line(self) -> str:
        state = self.format_dict
        done, total, rate = self.n - self.initial, state["total"], state["rate"]
        rate = rate or (done / state["elapsed"] if state["elapsed"] else 0)
        unit = "" if state["unit"] == "it" else f" {state['unit']}"
        parts = [f"{self.n} of {total}{unit}" if total else f"{self.n}{unit}"]
        parts += [str(self.postfix)] if self.postfix else []
        parts += [f"{self.format_interval((total - self.n) / rate)} left"] if total and rate else []
        return f"{str(self.desc).removesuffix(': ') or 'done'}: {', '.join(parts)}"
