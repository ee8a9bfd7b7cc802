"""How slow work says how far it is: by tqdm's bar, until an application sets another way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

Watcher = Callable[[str, int, int | None], None]
"""Told what is being done, how many items are done and of how many."""

_WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


class _Setting:
    bar: type[tqdm] = tqdm


def show_progress_by(bar: type[tqdm]) -> None:
    """From now on, `progress` makes bars of this class."""
    _Setting.bar = bar


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """In this block, `progress` tells of every item before it is begun, too; what the watcher raises ends the work."""
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def progress(items: Iterable[Any] | None = None, *, what: str, total: int | None = None, delay: int = 0) -> tqdm:
    """The items, counted; or without items a counter to be told by `update(n)` and ended by `close()`.

    Args:
        items: Iterated over.
        what: Is being done.
        total: How many items there will be, where they cannot say.
        delay: Seconds before anything is shown.
    """
    watcher = _WATCHER.get()
    if watcher is not None and items is not None:
        total = len(items) if total is None and isinstance(items, Sized) else total
        items = _Told(items, watcher, what, total)
    return _Setting.bar(items, desc=what, total=total, delay=delay, leave=False, disable=None, dynamic_ncols=True)


@dataclass(frozen=True, eq=False)
class _Told:
    """The items, of each of which the watcher is told; as often iterated over as they can be."""

    items: Iterable[Any]
    watcher: Watcher
    what: str
    total: int | None

    def __iter__(self) -> Iterator[Any]:
        for done, item in enumerate(self.items):
            self.watcher(self.what, done, self.total)
            yield item
