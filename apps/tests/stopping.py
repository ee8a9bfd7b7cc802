"""Commands that are watched, stopped half-way, or run as processes of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from ddmi_diffusion import LatentDiffusion


def launched(*command: str) -> list[str]:
    """What `started` is given for two processes of a module, without a GPU too.

    `PartialState` is told "cpu" in the program: `--cpu` would start only one.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    line = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    line += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", port]
    return [*line, *command]


def started(module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`python -m MODULE ...`, or with the module "-c" a script."""
    line = [sys.executable, *(["-c"] if module == "-c" else ["-m", module]), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(line, capture_output=True, text=True, env=environment, check=False, timeout=600)


@contextmanager
def watched() -> Iterator[list[tuple[int, int]]]:
    """(start, count) of all that denoisers are asked for."""
    asked: list[tuple[int, int]] = []
    sample = LatentDiffusion.sample

    def watch(self: LatentDiffusion, count: int, *, start: int = 0, **rest: Any) -> Any:
        asked.append((start, count))
        return sample(self, count, start=start, **rest)

    with mock.patch.object(LatentDiffusion, "sample", watch):
        yield asked


@contextmanager
def interrupted_after(count: int) -> Iterator[None]:
    """Stops where the denoiser is asked for another batch, as control-C would."""
    sample, done = LatentDiffusion.sample, []

    def stop(self: LatentDiffusion, *args: Any, **rest: Any) -> Any:
        if len(done) == count:
            raise KeyboardInterrupt
        done.append(1)
        return sample(self, *args, **rest)

    with mock.patch.object(LatentDiffusion, "sample", stop):
        yield
