"""Choice between float32 and bfloat16 autocast by a short measurement."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]
_GAIN = 1.2  # bfloat16 costs accuracy: "about as fast" is not enough


def choose_precision(requested: Literal["auto", "fp32", "bf16"], device: torch.device | str) -> Precision:
    """The precision to train in on `device`.

    "auto" times a small matrix product and a convolution (some ten milliseconds) and takes "bf16" only where it is
    more than 1.2 times faster. Raises ValueError for an unknown request.
    """
    if requested == "fp32" or requested == "bf16":
        return requested
    if requested != "auto":
        raise ValueError(f"precision {requested!r} is not known; choose 'auto', 'fp32' or 'bf16'")
    device = torch.device(device)
    return "bf16" if _seconds(torch.float32, device) > _GAIN * _seconds(torch.bfloat16, device) else "fp32"


def _seconds(dtype: torch.dtype, device: torch.device) -> float:
    """Shortest of a few timed runs: other work on the machine only ever adds time."""
    image = torch.ones(4, 64, 32, 32, dtype=dtype, device=device)
    kernel = torch.ones(64, 64, 3, 3, dtype=dtype, device=device)
    matrix = torch.ones(384, 384, dtype=dtype, device=device)

    def work() -> None:
        torch.nn.functional.conv2d(image, kernel, padding=1)
        matrix @ matrix
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with torch.no_grad():
        work()  # the first call chooses kernels
        return min(_timed(work) for _ in range(5))


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
