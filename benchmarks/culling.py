"""Views of a trained radiance field with and without skipping what is empty or hidden: time, read-outs and equality.

python benchmarks/culling.py --run runs/nerf

On CUDA, with nerfacc's extension, what is skipped is skipped by its packed functions, timed beside torch's culling.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from unittest import mock

import torch

from ddmi import DDMI
from ddmi.machine.allocator import keep_freed_pages
from ddmi_modalities.nerf import NerfModality, NerfRenderOptions
from ddmi_modalities.nerf.render import packed
from ddmi_modalities.nerf.render.views import Pictures, render_views

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/nerf"))
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--out", type=Path, default=RESULTS / "culling.json")
    arguments = parser.parse_args()
    keep_freed_pages()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = DDMI.from_pretrained(arguments.run, device=device)
    modality = model.experiment.modality
    if not isinstance(modality, NerfModality):
        parser.error(f"{arguments.run} is no run of radiance fields")
    held_out = modality.dataset("test")
    inputs = modality.inputs([held_out[i] for i in range(arguments.count)])
    functions = model.reconstruct(tuple(part.to(device) for part in inputs))
    cameras = NerfRenderOptions(views=1, resolution=arguments.resolution).cameras(modality.half)

    def timed(function: object, cull: bool) -> tuple[Pictures, float]:
        start = time.perf_counter()
        seen = render_views(function, cameras, modality.extent, samples=arguments.samples, cull=cull)  # type: ignore[arg-type]
        return seen, time.perf_counter() - start

    for cull in (True, False):  # warm-up
        timed(functions[0], cull=cull)
    rows = []
    for function in functions:
        culled, fast = timed(function, cull=True)
        plain, slow = timed(function, cull=False)
        error = (culled.colour.double() - plain.colour.double()).square().mean().item() / 255**2
        row = {"speed_up": slow / fast, "psnr": 10 * math.log10(1 / max(error, 1e-10))}
        if packed.available(device):
            with mock.patch.object(packed, "available", return_value=False):
                row["speed_up_without_packing"] = slow / timed(function, cull=True)[1]
        rows.append(row)
    result = {
        "command": "python benchmarks/culling.py --run RUN",
        "threads": torch.get_num_threads(),
        "device": device.type,
        "packed": packed.available(device),
        "resolution": arguments.resolution,
        "samples": arguments.samples,
        "views": rows,
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
