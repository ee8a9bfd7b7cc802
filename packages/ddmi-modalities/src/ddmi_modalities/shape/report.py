"""The pictures and meshes that show what a shape model has learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import trimesh
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from ddmi_modalities.clip_files import save_gif
from ddmi_modalities.modality import FunctionSource
from ddmi_modalities.shape.modality import ShapeModality
from ddmi_modalities.shape.rendering import TURNTABLE_FPS, shade, turntable
from ddmi_modalities.shape.sources import prompted_items
from ddmi_modalities.shape.view import ShapeView
from ddmi_modalities.sheet import comparison, contact_sheet

TILE = 192
RESOLUTION = 128
"""Of the meshes."""
SHOWN = 3  # samples that are written as meshes


def report_shapes(
    modality: ShapeModality,
    model: FunctionSource,
    directory: Path,
    *,
    seed: int = 0,
    note: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Reconstructions of held-out shapes; with stage 2 samples, some as meshes, one turning; with text, prompts."""
    directory.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    view = ShapeView(mesh_resolution=RESOLUTION, format="glb", picture=256)

    def save(name: str, picture: Image.Image) -> None:
        note(f"drawing {name}")
        picture.save(directory / name)
        written.append(directory / name)

    held_out = modality.dataset("test")
    items = [held_out[i] for i in range(min(8, len(held_out)))]
    made = modality.render(model.reconstruct(modality.inputs(items)), view).meshes
    rows = {"DDMI": _pictures(made)}
    if all(hasattr(item, "inside") for item in items):  # stored points have no mesh to compare with
        rows = {"true": _pictures(modality.truth(items, view).meshes), **rows}
    save("reconstructions.png", comparison(rows, tile=TILE))
    if not model.can_sample:
        return written
    samples = modality.render(model.sample(24, seed=seed), view)
    save("samples.png", contact_sheet(_pictures(samples.meshes), columns=8, tile=TILE))
    for number, mesh in enumerate(samples.meshes[:SHOWN]):
        path = directory / f"sample_{number}.{view.format}"
        mesh.export(path)
        written.append(path)
    note("drawing turntable.gif")
    save_gif(turntable(samples.meshes[0], size=TILE), directory / "turntable.gif", TURNTABLE_FPS)
    written.append(directory / "turntable.gif")
    if model.can_prompt:
        asked = prompted_items(modality)
        prompts = dict.fromkeys(next(iter(modality.captions(asked[i])), "") for i in range(min(6, len(asked))))
        lines = {}
        for prompt in prompts:
            note(f"drawing {prompt!r}")
            functions = model.sample(6, seed=seed, prompts=[prompt])
            lines[prompt] = _pictures(modality.render(functions, view).meshes)
        save("prompts.png", comparison(lines, tile=TILE))
    return written


def _pictures(meshes: Sequence[trimesh.Trimesh]) -> UInt8[Tensor, "count 3 rows columns"]:
    return torch.stack([shade(mesh, TILE) for mesh in meshes])
