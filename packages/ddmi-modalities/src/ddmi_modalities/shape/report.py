"""The pictures and meshes that show what a shape model has learnt."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import trimesh
from jaxtyping import UInt8
from torch import Tensor

from ddmi_modalities.files.album import Album
from ddmi_modalities.files.sheets import comparison, contact_sheet
from ddmi_modalities.geometry.shading import TURNTABLE_FPS, shade, turntable
from ddmi_modalities.modality import FunctionSource
from ddmi_modalities.shape.modality import ShapeModality
from ddmi_modalities.shape.prompts import prompted_items
from ddmi_modalities.shape.view import ShapeRenderOptions

TILE = 192
RESOLUTION = 128
"""Of the meshes."""
SHOWN = 3  # samples that are written as meshes


def report_shapes(modality: ShapeModality, model: FunctionSource, album: Album, seed: int = 0) -> None:
    """Reconstructions of held-out shapes; with stage 2 samples, some as meshes, one turning; with text, prompts."""
    options = ShapeRenderOptions(mesh_resolution=RESOLUTION, format="glb", picture=256)
    held_out = modality.dataset("test")
    items = [held_out[i] for i in range(min(8, len(held_out)))]
    made = modality.render(model.reconstruct(modality.inputs(items)), options).meshes
    rows = {"DDMI": _pictures(made)}
    if all(hasattr(item, "inside") for item in items):  # stored points have no mesh to compare with
        rows = {"true": _pictures(modality.truth(items, options).meshes), **rows}
    album.picture("reconstructions.png", comparison(rows, tile=TILE))
    if not model.can_sample:
        return
    samples = modality.render(model.sample(24, seed=seed), options)
    album.picture("samples.png", contact_sheet(_pictures(samples.meshes), columns=8, tile=TILE))
    for number, mesh in enumerate(samples.meshes[:SHOWN]):
        album.add(f"sample_{number}.{options.format}", mesh.export)
    album.gif("turntable.gif", turntable(samples.meshes[0], size=TILE), TURNTABLE_FPS)
    if model.can_prompt:
        asked = prompted_items(modality)
        prompts = dict.fromkeys(next(iter(modality.captions(asked[i])), "") for i in range(min(6, len(asked))))
        lines = {}
        for prompt in prompts:
            functions = model.sample(6, seed=seed, prompts=prompt)
            lines[prompt] = _pictures(modality.render(functions, options).meshes)
        album.picture("prompts.png", comparison(lines, tile=TILE))


def _pictures(meshes: Sequence[trimesh.Trimesh]) -> UInt8[Tensor, "count 3 rows columns"]:
    return torch.stack([shade(mesh, TILE) for mesh in meshes])
