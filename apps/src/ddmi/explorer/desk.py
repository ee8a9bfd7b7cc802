"""One computation at a time, in a thread of its own; whoever has left is not served."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ddmi_modalities.progress import watched_by

Result = TypeVar("Result")
Event = dict[str, Any]

POLL = 0.05
"""Seconds between looks whether a client has left."""


class Left(Exception):  # no error: nobody waits for the answer any more
    """The client has gone, or has asked for something else."""


class Desk:
    """Models compute with all cores, so two at once would only wait for each other."""

    def __init__(self) -> None:
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="explorer")

    async def answer(self, work: Callable[[], Result], has_left: Callable[[], Awaitable[bool]]) -> Result:
        """What `work` gives.  `Left` as soon as nobody waits for it; the work ends at its next sign of progress."""
        left = threading.Event()
        waiting = self._submit(work, left, lambda *_: None)
        try:
            while not waiting.done():
                await asyncio.wait([waiting], timeout=POLL)
                if await has_left():
                    raise Left
            return await waiting
        finally:
            left.set()

    async def stream(self, work: Callable[[], Iterator[Event]]) -> AsyncIterator[Event]:
        """Events of `work` as they come, and between them {"progress": 0 to 1, "what": ...}.

        Each step of `work` waits for its turn, so that others are answered in between.  Closing the stream ends it.
        """
        left = threading.Event()
        told: queue.SimpleQueue[Event] = queue.SimpleQueue()

        def tell(what: str, done: int, total: int | None) -> None:
            told.put({"what": what, "progress": round(done / total, 3) if total else None})

        steps = work()
        end: Event = {}
        try:
            while True:
                waiting = self._submit(lambda: next(steps, end), left, tell)
                while not waiting.done() or not told.empty():
                    await asyncio.wait([waiting], timeout=POLL)
                    latest = None
                    while not told.empty():
                        latest = told.get()
                    if latest is not None and not waiting.done():
                        yield latest
                event = await waiting
                if event is end:
                    return
                yield event
        finally:
            left.set()

    def _submit(
        self, work: Callable[[], Result], left: threading.Event, tell: Callable[[str, int, int | None], None]
    ) -> asyncio.Future[Result]:
        def watch(what: str, done: int, total: int | None) -> None:
            if left.is_set():
                raise Left
            tell(what, done, total)

        def task() -> Result:
            if left.is_set():
                raise Left
            with watched_by(watch):
                return work()

        context = contextvars.copy_context()
        future = asyncio.get_running_loop().run_in_executor(self.worker, lambda: context.run(task))
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to ask
        return future

    def close(self) -> None:
        self.worker.shutdown(wait=False, cancel_futures=True)
