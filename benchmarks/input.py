"""Pictures a second that one core feeds to a training: decoded and resized each time, and kept on disk.

    python benchmarks/input.py [--sides 512 1024] [--out benchmarks/results/input.json]

A photograph that scikit-image ships, shifted and saved as JPEG, read as pixels of 256 x 256; by processor time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import skimage.data
import torch
from PIL import Image

from ddmi_modalities.image import ImageFolder

COUNT, SIZE = 120, 256


def rate(folder: ImageFolder) -> int:
    began = time.thread_time()
    for i in range(len(folder)):
        folder[i].pixels(SIZE)
    return round(len(folder) / (time.thread_time() - began))


def rates(side: int) -> dict[str, int]:
    photograph = Image.fromarray(skimage.data.astronaut())
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory() as cache:
        for i in range(COUNT):
            window = photograph.crop((i % 60, i % 37, i % 60 + 440, i % 37 + 440))
            window.resize((side, side), Image.Resampling.BICUBIC).save(Path(root) / f"{i}.jpg", quality=92)

        def opened(*sizes: int) -> ImageFolder:
            return ImageFolder(root, "train", sizes=sizes, cache=Path(cache))

        kept = opened(SIZE)
        return {
            "decoded": rate(opened()),
            "kept, first time": rate(kept),
            "kept, then": rate(kept),
            "kept, another process": rate(opened(SIZE)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/input.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, object] = {"command": " ".join(["python", *sys.argv]), "torch": torch.__version__}
    for side in arguments.sides:
        result[f"pictures a second of {side} x {side}"] = rates(side)
        print(side, result[f"pictures a second of {side} x {side}"], flush=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
