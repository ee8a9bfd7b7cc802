"""Views of a trained radiance field with and without skipping what is empty or hidden: time, read-outs and equality.

python benchmarks/culling.py --run runs/nerf
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import torch

from ddmi import DDMI
from ddmi.allocator import keep_freed_pages
from ddmi_modalities.nerf import RadianceView
from ddmi_modalities.nerf.rendering import Pictures, render_views

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
    model = DDMI.from_pretrained(arguments.run)
    modality = model.experiment.modality
    held_out = modality.dataset("test")
    functions = model.reconstruct(modality.inputs([held_out[i] for i in range(arguments.count)]))
    cameras = RadianceView(views=1, resolution=arguments.resolution).cameras(modality.half)

    def timed(function: object, cull: bool) -> tuple[Pictures, float]:
        start = time.perf_counter()
        seen = render_views(function, cameras, modality.extent, samples=arguments.samples, cull=cull)  # type: ignore[arg-type]
        return seen, time.perf_counter() - start

    timed(functions[0], cull=True)  # warm-up
    rows = []
    for function in functions:
        culled, fast = timed(function, cull=True)
        plain, slow = timed(function, cull=False)
        error = (culled.colour.double() - plain.colour.double()).square().mean().item() / 255**2
        rows.append({"speed_up": slow / fast, "psnr": 10 * math.log10(1 / max(error, 1e-10))})
    result = {
        "command": "python benchmarks/culling.py --run RUN",
        "threads": torch.get_num_threads(),
        "resolution": arguments.resolution,
        "samples": arguments.samples,
        "views": rows,
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
