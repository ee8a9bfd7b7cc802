"""Choice between float32 and bfloat16 autocast, and of how GPUs multiply float32."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]
_GAIN = 1.2  # bfloat16 costs accuracy: "about as fast" is not enough


def choose_precision(requested: Literal["auto", "fp32", "bf16"], device: torch.device | str) -> Precision:
    """The precision to train in on `device`.

    "auto" takes "bf16" on GPUs whose hardware has it.  On other devices it times a small matrix product and a
    convolution (some ten milliseconds), and takes "bf16" only where it is more than 1.2 times faster.  Raises
    ValueError for an unknown request.
    """
    if requested == "fp32" or requested == "bf16":
        return requested
    if requested != "auto":
        raise ValueError(f"precision {requested!r} is not known; choose 'auto', 'fp32' or 'bf16'")
    device = torch.device(device)
    if device.type == "cuda":  # so small a product would tell how long a launch takes
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if _seconds(torch.float32, device) > _GAIN * _seconds(torch.bfloat16, device) else "fp32"


@contextmanager
def fast_products(device: torch.device) -> Iterator[None]:
    """Within the block GPUs multiply float32 matrices as TF32, as they convolve by default: sums stay float32."""
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _seconds(dtype: torch.dtype, device: torch.device) -> float:
    """Shortest of a few timed runs: other work on the machine only ever adds time."""
    image = torch.ones(4, 64, 32, 32, dtype=dtype, device=device)
    kernel = torch.ones(64, 64, 3, 3, dtype=dtype, device=device)
    matrix = torch.ones(384, 384, dtype=dtype, device=device)

    def work() -> None:
        torch.nn.functional.conv2d(image, kernel, padding=1)
        matrix @ matrix

    with torch.no_grad():
        work()  # the first call chooses kernels
        return min(_timed(work) for _ in range(5))


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
