"""Pictures of which a model sees the left half are completed: how close both halves come to the true ones.

    python examples/complete.py RUN [--count 8] [--num-steps 25] [--out completed.png]

RUN is a trained run or saved model of images.  PSNR in dB, mean over held-out pictures: of the completed pictures,
of samples of the same seed, which see nothing, and of reconstructions, which see everything.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from ddmi import DDMI
from ddmi_fields import ImplicitFunction, grid_coordinates
from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.files.pixels import to_bytes
from ddmi_modalities.grid_query import GridQuery
from ddmi_modalities.image import ImageModality, ImageRendering
from ddmi_modalities.metrics.pairs import psnr


def main() -> None:
    parser = argparse.ArgumentParser(description="Pictures from their left halves.")
    parser.add_argument("run", help="a trained run or saved model of images")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--num-steps", type=int, default=25)
    parser.add_argument("--out", type=Path, default=Path("completed.png"))
    options = parser.parse_args()

    model = DDMI.from_pretrained(options.run)
    modality = model.experiment.modality
    if not isinstance(modality, ImageModality):
        parser.error(f"{options.run} is of {type(modality).__name__}; name a run of images, such as of openmoji")
    data, size, half = modality.dataset("test"), modality.size, modality.size // 2
    chosen = evenly_spaced(len(data), options.count)
    (true,) = modality.inputs([data[i] for i in chosen])  # (count, 3, size, size) in [-1, 1]

    def pictures(functions: ImplicitFunction) -> Tensor:
        with torch.no_grad():
            return to_bytes(functions.grid((size, size)))

    def report(name: str, made: Tensor) -> None:
        wanted = to_bytes(true)
        seen, hidden = (psnr(made[..., part], wanted[..., part]).mean() for part in (slice(half), slice(half, None)))
        print(f"{name:13} seen half {seen:5.2f} dB, hidden half {hidden:5.2f} dB")

    left = grid_coordinates((size, size), ((0, size), (0, half))).expand(len(true), -1, -1)
    query = GridQuery(left, torch.ones(len(true)), (size, half))
    seen = true[..., :half].flatten(2).transpose(1, 2)  # as the query has it: columns fastest
    completed = pictures(model.complete(query, seen, num_steps=options.num_steps))
    report("completed", completed)
    report("sampled", pictures(model.sample(len(true), num_steps=options.num_steps)))
    report("reconstructed", pictures(model.reconstruct((true,))))
    ImageRendering(torch.cat((to_bytes(true), completed))).save_sheet(options.out)
    print(f"wrote {options.out}: {len(true)} true pictures, then as many completed ones")


if __name__ == "__main__":
    main()
