"""SIGINT and SIGTERM become a request to stop after the running step."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_Handler = Callable[[int, FrameType | None], Any] | int | None


class TrainingInterrupted(Exception):
    """Training was asked to stop, has saved its state, and can be resumed."""


class StopRequest:
    """While entered, SIGINT and SIGTERM only set `requested`; the handlers of before come back on exit.

    Launchers and batch systems repeat signals within milliseconds, so a repetition does not stop the process at
    once. Only the main thread can handle signals: entered from another one, this does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, _Handler] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.requested:  # print() is not safe in a handler that may interrupt a print()
            os.write(2, b"\nfinishing the running step, then saving (Ctrl-\\ stops at once)\n")
        self.requested = True
