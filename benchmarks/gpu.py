"""What a device does with this project: kernels, steps, read-outs and views.  One command, some minutes on a GPU.

    python benchmarks/gpu.py [--size paper|tiny] [--out benchmarks/results/gpu.json]

- kernels: which attention torch chooses for planes of so many tokens, as `attend` lays them out.
- steps: of both stages of the embedded recipes at the paper's size, their time and memory, and the share of the
  device's matrix-product rate that their floating-point operations come to; how often a step waits for the device.
- read-out: a paper-size one on a grid, as a fraction of the matrix-product rate of the same run.
- bf16: how far a denoiser's and a read-out's values are from those in float32.
- views: a radiance field with all samples, without what is empty or hidden, and on CUDA by nerfacc's packed functions.

`tiny` is the same at preset test, for a look on any CPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend
from torch.utils.flop_counter import FlopCounterMode

from ddmi import DDMI, make_experiment
from ddmi.training.dry_run import StageCosts
from ddmi.training.run import Run
from ddmi_diffusion.latent_space import LatentSpace
from ddmi_fields import BasisField, CoarseToFineReadOut, ImplicitFunction, PlaneLayout
from ddmi_modalities.nerf import NerfModality, NerfRenderOptions
from ddmi_modalities.nerf.render import packed
from ddmi_modalities.nerf.render.views import render_views

PRESETS = {"paper": "paper", "tiny": "test"}
RECIPES = {"paper": ("openmoji", "furniture", "turntable", "moving-openmoji"), "tiny": ("openmoji",)}
SIDES = {"paper": 512, "tiny": 32}
"""Of the grid that is read."""
TOKENS = {"paper": (256, 1024, 4096, 16_384), "tiny": (64,)}


def now(device: torch.device) -> float:
    if device.type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter()


def seconds(work: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    """The least of some runs, after one that warms up."""
    work()
    times = []
    for _ in range(repeats):
        began = now(device)
        work()
        times.append(now(device) - began)
    return min(times)


def product_rate(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Floating-point operations a second of a square matrix product."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / seconds(lambda: a @ b, device)


def kernels(device: torch.device, size: str) -> dict[str, str]:
    chosen = {}
    for tokens in TOKENS[size]:
        for dtype in (torch.float32, torch.bfloat16):
            q = torch.randn(1, 4, 32, tokens, device=device, dtype=dtype).mT.contiguous().requires_grad_()
            name = SDPBackend(torch._fused_sdp_choice(q, q, q)).name.lower()
            chosen[f"{tokens} tokens, {str(dtype).removeprefix('torch.')}"] = name
    return chosen


def step(recipe: str, size: str, stage: str, device: torch.device, rate: float) -> dict[str, Any]:
    """Of one stage: seconds, memory, share of the product rate and waits."""
    experiment = make_experiment(recipe, PRESETS[size])
    with tempfile.TemporaryDirectory() as folder:
        costs = StageCosts(Run(experiment, Path(folder)), experiment.modality.dataset("train"))
        costs.of(stage)  # chooses kernels
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        measured = costs.of(stage)
        peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None
        cost = measured.cost
        name = {"vae": "vae_training", "diffusion": "diffusion_training"}[stage]
        alone = replace(getattr(experiment, name), batch_size=1, accumulate=1)
        one = StageCosts(Run(replace(experiment, **{name: alone}), Path(folder)), costs.data)
        with FlopCounterMode(display=False) as counter, warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            if device.type == "cuda":
                torch.cuda.set_sync_debug_mode("warn")
            one.of(stage)
            if device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")
    flop = counter.get_total_flops() / 2 * measured.config.batch_size  # it takes two steps of one item
    return {
        "seconds": round(cost.seconds, 4),
        "seconds_of_data": round(cost.data_seconds, 4),
        "items": measured.config.batch_size,
        "precision": cost.precision,
        "peak_gib": None if peak is None else round(peak, 2),
        "tflop_a_step": float(f"{flop / 1e12:.3g}"),
        "of_product_rate": round(flop / (cost.seconds - cost.data_seconds) / rate, 3),
        "waits": sum("synchroniz" in str(one.message) for one in waits) if device.type == "cuda" else None,
    }


@torch.no_grad()
def read_out(device: torch.device, size: str, rates: dict[torch.dtype, float]) -> dict[str, Any]:
    torch.manual_seed(0)
    side, width = SIDES[size], 256 if size == "paper" else 16
    found: dict[str, Any] = {}
    for name, native in (("plain", None), ("scale-conditioned", 256)):
        basis = BasisField(PlaneLayout.image(), [[torch.randn(1, width // 4, s, s)] for s in (64, 128, 256)])
        function = ImplicitFunction(basis, CoarseToFineReadOut(basis.channels, 3, width=width, native=native))
        weights = [p for n, p in function.read_out.named_parameters() if p.ndim == 2 and "modulation" not in n]
        flop = sum(2 * p.numel() for p in weights if "style" not in name) * side * side
        exact = function.to(device).grid((side, side))
        for dtype, rate in rates.items():
            reading = function.to(device, dtype)
            took = seconds(lambda reading=reading: reading.grid((side, side)), device)  # type: ignore[misc]
            error = (reading.grid((side, side)).float() - exact).square().mean().sqrt() / exact.std()
            key = f"{name}, {str(dtype).removeprefix('torch.')}"
            found[key] = {"of_product_rate": round(flop / took / rate, 3), "rms_over_std": round(float(error), 5)}
    return found


@torch.no_grad()
def bfloat16_error(device: torch.device, size: str) -> float:
    """Of a denoiser with random weights, relative."""
    settings = make_experiment("openmoji", PRESETS[size]).diffusion.denoiser
    shapes = [(16, 32, 32)] if size == "paper" else [(4, 8, 8)]
    torch.manual_seed(0)
    denoiser = settings.build(shapes, "grid").to(device).eval()
    for parameter in denoiser.parameters():  # the last layer is zero at the start
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    z, t = torch.randn(4, *LatentSpace.identity(shapes).shape, device=device), torch.full((4,), 500.0, device=device)
    exact = denoiser(z, t)
    with torch.autocast(device.type, torch.bfloat16):
        rounded = denoiser(z, t).float()
    return round(float((rounded - exact).square().mean().sqrt() / exact.std()), 5)


def views(device: torch.device, size: str) -> dict[str, Any] | str:
    """Of the model that comes along."""
    try:
        model = DDMI.from_pretrained("turntable", device=device)
    except ValueError as error:
        return str(error)
    modality = model.experiment.modality
    assert isinstance(modality, NerfModality)
    function = model.sample(1, num_steps=20 if size == "paper" else 1)
    side, samples = (128, 128) if size == "paper" else (16, 8)
    cameras = NerfRenderOptions(views=1, resolution=side).cameras(modality.half)

    def view(cull: bool) -> float:
        return seconds(
            lambda: render_views(function, cameras, modality.extent, samples=samples, cull=cull),
            device,
            repeats=3 if size == "paper" else 1,
        )

    dense, culled = view(cull=False), view(cull=True)
    return {"packed": packed.available(device), "culled_over_all": round(culled / dense, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=list(PRESETS), default="paper")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu.json"))
    arguments = parser.parse_args()
    size, device = arguments.size, torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if size == "paper" and device.type == "cpu":
        parser.error("paper sizes take hours on a CPU; give --size tiny")
    torch.set_float32_matmul_precision("high")
    square = 8192 if size == "paper" else 256
    rates = {dtype: product_rate(device, dtype, square) for dtype in (torch.float32, torch.bfloat16)}
    result: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "tflops_of_products": {str(dtype).removeprefix("torch."): round(r / 1e12, 2) for dtype, r in rates.items()},
        "kernels": kernels(device, size),
    }

    def told(name: str, found: Any) -> None:
        result[name] = found
        print(f"{name}: {found}", flush=True)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")  # what is known, should the rest fail

    told("read_out", read_out(device, size, rates))
    told("bfloat16/denoiser_rms_over_std", bfloat16_error(device, size))
    told("views", views(device, size))
    for recipe in RECIPES[size]:
        for stage in ("vae", "diffusion"):
            precision = torch.bfloat16 if device.type == "cuda" else torch.float32
            told(f"steps/{recipe}/{stage}", step(recipe, size, stage, device, rates[precision]))


if __name__ == "__main__":
    main()
