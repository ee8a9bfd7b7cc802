"""One function on many arguments, over processes that end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

Result = TypeVar("Result")


def cores() -> int:
    """How many of them this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    function: Callable[..., Result], jobs: Sequence[tuple[Any, ...]], workers: int
) -> Generator[tuple[int, Result], None, None]:
    """The number of each job and `function(*job)`, in any order; with one worker in this process, in theirs.

    Raises what the function raises, and ValueError where a process dies.
    """
    if workers == 1:
        yield from ((number, function(*job)) for number, job in enumerate(jobs))
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start)
    ahead, waiting = iter(range(len(jobs))), dict[Future[Result], int]()
    try:
        while True:
            for number in islice(ahead, 4 * workers - len(waiting)):
                waiting[pool.submit(function, *jobs[number])] = number
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), _result(future)
    except BrokenProcessPool as error:
        raise ValueError(
            f"one of {workers} worker processes died, perhaps for want of memory; run the same command again with "
            "fewer, which keeps what is done"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _result(future: Future[Result]) -> Result:
    """What a worker raised is raised here: its traceback would say that it is the pool's.  The worker's own stays its
    cause."""
    try:
        return future.result()
    except BrokenProcessPool:
        raise
    except Exception as error:
        raise error.with_traceback(None)  # noqa: B904


def _start() -> None:
    """One thread a process; an interrupt is the parent's business."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Where the parent is killed, its workers would wait for more work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
