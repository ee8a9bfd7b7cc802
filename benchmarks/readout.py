"""The read-out's arithmetic rate, its error in bfloat16, and the memory of a large image and a large clip.

    python benchmarks/readout.py [--large] [--out benchmarks/results/readout.json]

A paper-size image read-out: three 64-channel planes of 64, 128 and 256 cells, width 256. The matrix-product rate is
that of a (tile x 256) by (256 x 256) product, measured between the read-outs of the same run, in the same precision.
`--large` also reads a 4096 x 4096 image, and a clip of 64 x 512 x 512 from the nine planes of a paper-size video model,
and reports the memory above the model.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from ddmi_fields import BasisField, CoarseToFineReadOut, ImplicitFunction, PlaneLayout
from ddmi_fields.function import TILE

REPEATS = 7


def paper_size_function(native: int | None) -> ImplicitFunction:
    torch.manual_seed(0)
    basis = BasisField(PlaneLayout.image(), [[torch.randn(1, 64, side, side)] for side in (64, 128, 256)])
    return ImplicitFunction(basis, CoarseToFineReadOut(basis.channels, 3, width=256, native=native))


def paper_size_clip() -> ImplicitFunction:
    """The planes xy, yt and xt of 16 frames of 256 x 256, concatenated."""
    torch.manual_seed(0)
    sides = [(side, side) for side in (64, 128, 256)]
    planes = [[torch.randn(1, 64, *shape) for shape in ((y, x), (16, y), (16, x))] for y, x in sides]
    basis = BasisField(PlaneLayout.video(), planes, reduction="concat")
    return ImplicitFunction(basis, CoarseToFineReadOut(basis.channels, 3, width=256))


def flop_per_coordinate(read_out: nn.Module) -> int:
    """Two for each weight of the layers that run at every coordinate (styles are computed once a grid)."""
    skip = ("style", "modulation")
    return sum(2 * p.numel() for n, p in read_out.named_parameters() if p.ndim == 2 and not any(s in n for s in skip))


@torch.no_grad()
def rates(function: ImplicitFunction, dtype: torch.dtype, side: int) -> tuple[float, float]:
    """FLOP/s of reading a side x side grid, and of plain products: medians of interleaved runs."""
    function = function.to(dtype)
    a, w = torch.randn(TILE, 256).to(dtype), torch.randn(256, 256).to(dtype)
    flop = flop_per_coordinate(function.read_out) * side * side
    products = max(1, flop // (2 * a.shape[0] * 256 * 256))
    read, product = [], []
    for i in range(REPEATS + 1):
        began = time.perf_counter()
        function.grid((side, side))
        middle = time.perf_counter()
        for _ in range(products):
            F.linear(a, w)
        end = time.perf_counter()
        if i:  # the first round warms up
            read.append(flop / (middle - began))
            product.append(2 * products * a.shape[0] * 256 * 256 / (end - middle))
    return statistics.median(read), statistics.median(product)


@torch.no_grad()
def bfloat16_error(function: ImplicitFunction) -> dict[str, float]:
    exact, rounded = function.grid((256, 256)), function.to(torch.bfloat16).grid((256, 256)).float()
    error = (rounded - exact).abs()
    return {
        "rms_over_std": float(error.square().mean().sqrt() / exact.std()),
        "max_over_std": float(error.max() / exact.std()),
    }


@torch.no_grad()
def _growth(function: ImplicitFunction, size: tuple[int, ...]) -> float:
    function = function.to(torch.bfloat16)
    function.grid([16] * len(size))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    name = " x ".join(map(str, size))
    values = function.grid(size, progress=lambda tiles: tqdm(list(tiles), desc=name, file=sys.stderr))
    assert values.isfinite().all()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20


def gib_above_model(function: ImplicitFunction, size: tuple[int, ...]) -> float:
    """GiB for a grid of this size: growth of the peak memory of a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return round(pool.apply(_growth, (function, size)), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/readout.json"))
    arguments = parser.parse_args()
    result: dict[str, object] = {
        "command": " ".join(["python", *sys.argv]),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "side": arguments.side,
        "repeats": REPEATS,
    }
    if arguments.large:
        result["clip/gib_64x512x512"] = gib_above_model(paper_size_clip(), (64, 512, 512))
    for name, native in (("plain", None), ("scale-conditioned", 256)):
        function = paper_size_function(native)
        if arguments.large:
            result[f"{name}/gib_4096"] = gib_above_model(function, (4096, 4096))
        for dtype in (torch.float32, torch.bfloat16):
            read, product = rates(function, dtype, arguments.side)
            key = f"{name}/{str(dtype).removeprefix('torch.')}"
            result[f"{key}/fraction_of_product_rate"] = round(read / product, 3)
        result |= {f"{name}/bfloat16/{k}": round(v, 4) for k, v in bfloat16_error(function).items()}
    for name, value in result.items():
        print(f"{name:55} {value}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
