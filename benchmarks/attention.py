"""Attention forward and backward: planes as convolutions leave them, laid out for a fused kernel, and written out.

    python benchmarks/attention.py [--out benchmarks/results/attention.json]

Processor seconds of one thread, the least of five runs, relative to torch's own attention of tensors as they come; and
which of the ways `ddmi_diffusion.attention.attend` takes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ddmi_diffusion.attention import attend

SHAPES = ((8, 4, 64, 32), (32, 3, 192, 32), (8, 4, 768, 32), (2, 4, 2048, 64))
"""(batch, heads, tokens, channels of a head)."""


def written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v


def laid_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q.contiguous(), k.contiguous(), v.contiguous())


WAYS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "as they come": F.scaled_dot_product_attention,
    "laid out": laid_out,
    "written out": written_out,
    "attend": attend,
}


def seconds(way: Callable[[Tensor, Tensor, Tensor], Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> float:
    batch, heads, tokens, channels = shape
    planes = [torch.randn(batch, heads, channels, tokens).to(dtype).requires_grad_() for _ in range(3)]
    times = []
    for _ in range(6):
        began = time.thread_time()
        made = way(*(plane.mT for plane in planes))
        torch.autograd.grad(made, planes, torch.ones_like(made))
        times.append(time.thread_time() - began)
    return min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/attention.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, object] = {"command": " ".join(["python", *sys.argv]), "torch": torch.__version__}
    for dtype in (torch.float32, torch.bfloat16):
        for shape in SHAPES:
            times = {name: seconds(way, shape, dtype) for name, way in WAYS.items()}
            name = f"{str(dtype).removeprefix('torch.')} {shape[2]} tokens"
            result[name] = {way: round(one / times["as they come"], 2) for way, one in times.items()}
            print(f"{name:25} {result[name]}", flush=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
