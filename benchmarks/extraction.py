"""Hierarchical against dense extraction of the shapes of a trained run: points, time, and whether the surface is one.

python benchmarks/extraction.py --run runs/shape
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree

from ddmi import DDMI
from ddmi.machine.allocator import keep_freed_pages
from ddmi_modalities.geometry.extraction import Extraction, dense_surface, extract_surface
from ddmi_modalities.shape import ShapeModality

RESULTS = Path(__file__).parent / "results"


def hausdorff(a: trimesh.Trimesh, b: trimesh.Trimesh) -> float:
    """Symmetric Hausdorff distance of the vertices, in world units."""
    there, back = cKDTree(b.vertices).query(a.vertices)[0], cKDTree(a.vertices).query(b.vertices)[0]
    return float(max(there.max(), back.max()))


def timed(extract: object, function: object, **options: object) -> tuple[Extraction, float]:
    start = time.perf_counter()
    result = extract(function, **options)  # type: ignore[operator]
    return result, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/shape"))
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "extraction.json")
    arguments = parser.parse_args()
    keep_freed_pages()
    model = DDMI.from_pretrained(arguments.run)
    modality = model.experiment.modality
    if not isinstance(modality, ShapeModality):
        parser.error(f"{arguments.run} is no run of shapes")
    held_out = modality.dataset("test")
    functions = model.reconstruct(modality.inputs([held_out[i] for i in range(arguments.count)]))
    options = {"extent": modality.extent, "resolution": arguments.resolution}
    timed(extract_surface, functions[0], extent=modality.extent, resolution=32)  # warm-up
    rows = []
    for function in functions:
        sparse, fast = timed(extract_surface, function, **options)
        dense, slow = timed(dense_surface, function, **options)
        rows.append(
            {
                "points": sparse.evaluated / dense.evaluated,
                "speed_up": slow / fast,
                "hausdorff_in_cells": hausdorff(sparse.mesh, dense.mesh) / (1.1 / arguments.resolution),
            }
        )
        print({name: round(value, 4) for name, value in rows[-1].items()}, flush=True)
    result = {
        "command": f"python benchmarks/extraction.py --run {arguments.run} --resolution {arguments.resolution}",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "shapes": arguments.count,
        "resolution": arguments.resolution,
        "worst/points_of_dense": max(row["points"] for row in rows),
        "median/speed_up": float(np.median([row["speed_up"] for row in rows])),
        "worst/speed_up": min(row["speed_up"] for row in rows),
        "worst/hausdorff_in_cells": max(row["hausdorff_in_cells"] for row in rows),
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
