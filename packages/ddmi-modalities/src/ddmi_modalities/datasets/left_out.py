"""What could not be used, said alike by all data sets."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

NAMED = 5
"""Problems that a message names; the others are counted."""

logger = logging.getLogger("ddmi")


def some_of(problems: Collection[str], separator: str = "; ") -> str:
    """The first problems of a list, and how many more there are."""
    shown = list(problems)[:NAMED]
    more = [f"and {len(problems) - NAMED} more"] if len(problems) > NAMED else []
    return separator.join([*shown, *more])


def leave_out(
    source: str, what: str, problems: Mapping[str, str], total: int, *, remedy: str, strict: bool = False
) -> None:
    """Logs which of `total` items are left out, by their names, and why.

    Raises ValueError where all are, since there is nothing to learn from, and with `strict` where any is.  Messages
    begin with `source`, which says where the items are.
    """
    if not problems:
        return
    listed = some_of([f"{name}: {reason}" for name, reason in problems.items()])
    if strict or len(problems) >= total:
        raise ValueError(f"{source}: {len(problems)} of {total} {what} cannot be used: {listed}; {remedy}")
    logger.warning("%s: left out %d of %d %s: %s; %s", source, len(problems), total, what, listed, remedy)
