"""How slow work says how far it is: by tqdm's bar, until an application sets another way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


class _Setting:
    bar: type[tqdm] = tqdm


def show_progress_by(bar: type[tqdm]) -> None:
    """From now on, `progress` makes bars of this class."""
    _Setting.bar = bar


def progress(items: Iterable[Any] | None = None, *, what: str, total: int | None = None, delay: int = 0) -> tqdm:
    """The items, counted; or without items a counter to be told by `update(n)` and ended by `close()`.

    Args:
        items: Iterated over.
        what: Is being done.
        total: How many items there will be, where they cannot say.
        delay: Seconds before anything is shown.
    """
    return _Setting.bar(items, desc=what, total=total, delay=delay, leave=False, disable=None, dynamic_ncols=True)
