"""What is said once, however often it is met."""

from __future__ import annotations

import logging
from collections.abc import Hashable

logger = logging.getLogger("ddmi")

_said: set[Hashable] = set()


def say_once(about: Hashable, message: str) -> None:
    """A warning, unless there was one about the same in this process."""
    if about not in _said:
        _said.add(about)
        logger.warning("%s", message)
