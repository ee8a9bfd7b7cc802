"""One photograph, learned planes: `ddmi fit` beside Fourier features and SIREN at equal size.

    python benchmarks/photograph.py [--seconds 60] [--out benchmarks/results/photograph.json]

scikit-image's astronaut, 256 x 256: 196,608 values. Fitted by `ddmi.fit` (at most as many numbers, finest plane 128^2)
and by the three networks of examples/plane_embedding.py, each for the same time, one after the other.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from skimage import data

from ddmi.fit import FitConfig, fit_image
from ddmi.machine.allocator import keep_freed_pages
from ddmi_modalities.files.pixels import resize_square, to_float, to_tensor

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=FitConfig().steps)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "photograph.json")
    arguments = parser.parse_args()
    keep_freed_pages()
    image = to_float(to_tensor(resize_square(Image.fromarray(data.astronaut()), 256)))
    began = time.perf_counter()
    model = fit_image(image, FitConfig(steps=arguments.steps))
    seconds = time.perf_counter() - began
    with torch.no_grad():
        error = (model.function.grid((256, 256))[0] - image).square().mean().item()
    numbers = sum(p.numel() for p in model.parameters())
    result: dict[str, object] = {
        "command": " ".join(["python", *sys.argv]),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "ddmi fit": {"db": round(10 * math.log10(4 / error), 2), "numbers": numbers, "seconds": round(seconds, 1)},
    }
    spec = importlib.util.spec_from_file_location("example", ROOT / "examples" / "plane_embedding.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    for name, make in example.networks().items():
        torch.manual_seed(0)
        network, rate = make()
        db = example.fit(network, rate, image, arguments.seconds)
        result[name] = {
            "db": round(db, 2),
            "numbers": sum(p.numel() for p in network.parameters()),
            "seconds": arguments.seconds,
        }
    for name, value in result.items():
        print(f"{name:20} {value}")
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
