"""Real furniture: how much of it is closed, and how well a model trained on procedural furniture encodes it.

    ddmi prepare sweethome --out furniture
    python benchmarks/sweethome.py furniture [MODEL] [--out benchmarks/results/sweethome.json]

Both splits are measured, since the model has seen neither: IoU at 100,000 points of the unit cube, distances of 10,000
points of the surfaces in world units, of meshes at 128^3, as `ddmi evaluate` measures them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ddmi import DDMI
from ddmi_modalities.datasets.splits import SPLITS
from ddmi_modalities.modality import with_source
from ddmi_modalities.shape import ShapeModality
from ddmi_modalities.shape.data.mesh_folder import MeshFolder, MeshItem
from ddmi_modalities.shape.evaluation import reconstruction_quality

FIGURES = ("iou", "chamfer_l1", "f_score", "normal_consistency")


def counted(folders: Sequence[MeshFolder]) -> dict[str, object]:
    """How many meshes are closed, read or left out, and how ambiguous those that are not closed are."""
    shares = {name: share for folder in folders for name, share in folder.shares.items()}
    skipped = {name: reason for folder in folders for name, reason in folder.skipped.items()}
    names = [name for folder in folders for name in folder.names]
    bounds = (0.0, 0.001, 0.007, 0.05)
    return {
        "meshes": len(names) + len(skipped),
        "closed": len(names) - len(shares),
        "not_closed_but_read": len(shares),
        "ambiguous_at_most": {str(bound): sum(share <= bound for share in shares.values()) for bound in bounds},
        "ambiguous": {name: round(share, 4) for name, share in sorted(shares.items()) if share},
        "left_out": skipped,
    }


def means(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    found = {name: round(statistics.mean(one[name] for one in scores), 4) for name in FIGURES}
    return {"count": len(scores), **found, "iou/median": round(statistics.median(one["iou"] for one in scores), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", nargs="?", default="furniture")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/sweethome.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folders = [MeshFolder(arguments.data, split) for split in SPLITS]
    result: dict[str, object] = {"command": " ".join(["python", *sys.argv]), "data": counted(folders)}
    model = DDMI.from_pretrained(arguments.model)
    modality = model.experiment.modality
    assert isinstance(modality, ShapeModality)
    procedural = modality.dataset("test")
    scores: dict[str, list[dict[str, float]]] = {}
    for index in range(50):
        scores.setdefault("procedural", []).append(reconstruction_quality(modality, model, [procedural[index]]))
    real = with_source(modality, str(arguments.data))
    items: list[MeshItem] = [folder[index] for folder in folders for index in range(len(folder))]
    each: dict[str, float] = {}
    for item in items:
        score = reconstruction_quality(real, model, [item])
        each[item.name] = round(score["iou"], 4)
        kind = f"kind/{item.label}"
        for group in ("real", "closed" if item.closed else "not closed", kind):
            scores.setdefault(group, []).append(score)
        print(item.name, item.closed, each[item.name], flush=True)
    result |= {group: means(found) for group, found in sorted(scores.items())}
    result["iou_of_each"] = dict(sorted(each.items(), key=lambda one: one[1]))
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
