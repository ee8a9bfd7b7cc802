"""Whether something fits into memory, by an estimate: said before the work and not by a crash after it."""

from __future__ import annotations

import psutil


def check_fits(needed: int, what: str, remedy: str) -> None:
    """Raises ValueError, which ends with `remedy`, where `what` needs more bytes than are free."""
    free = psutil.virtual_memory().available
    if needed > free:
        raise ValueError(f"{what} needs about {_size(needed)} of memory, and {_size(free)} are free; {remedy}")


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GB" if count >= 2**30 else f"{count / 2**20:,.0f} MB"
