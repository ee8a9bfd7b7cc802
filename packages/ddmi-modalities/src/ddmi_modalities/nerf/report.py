"""The pictures, clips and meshes that show what a model of radiance fields has learnt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ddmi_modalities.clip_files import save_gif, save_mp4
from ddmi_modalities.modality import FunctionSource
from ddmi_modalities.nerf.modality import RadianceModality
from ddmi_modalities.nerf.rendering import render_views
from ddmi_modalities.nerf.view import RadianceView
from ddmi_modalities.sheet import comparison, contact_sheet

SCENES = 8
ORBIT_FPS = 12


def report_scenes(
    modality: RadianceModality,
    model: FunctionSource,
    directory: Path,
    *,
    seed: int = 0,
    note: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """An unseen view of each of some unseen scenes; with stage 2 samples, their depth, one turning, one as a mesh."""
    directory.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []

    def save(name: str, picture: Image.Image) -> None:
        note(f"drawing {name}")
        picture.save(directory / name)
        written.append(directory / name)

    held_out = modality.dataset("test")
    items = [held_out[i] for i in range(min(SCENES, len(held_out)))]
    background = torch.tensor(modality.background)
    functions = model.reconstruct(modality.inputs(items))
    true, made = [], []
    for item, function in zip(items, functions, strict=True):
        unseen = item.views("held_out", modality.size)[:1]
        true.append(torch.from_numpy(np.array(unseen.images)).permute(0, 3, 1, 2)[0])
        made.append(render_views(function, unseen.cameras, modality.extent, background=background).colour[0])
    rows = {"true": torch.stack(true), "DDMI": torch.stack(made)}
    save("unseen_views.png", comparison(rows, tile=max(96, modality.size)))
    if not model.can_sample:
        return written
    size = 2 * modality.size
    view = RadianceView(views=4, resolution=size, depth=True)
    samples = modality.render(model.sample(SCENES, seed=seed), view)
    save("samples.png", contact_sheet(samples.pictures.flatten(0, 1), columns=8, tile=size))
    assert samples.depth is not None
    save("depth.png", contact_sheet(samples.depth.flatten(0, 1), columns=8, tile=size))
    one = replace(view, views=1, depth=False, mesh=True, orbit=directory / "orbit.mp4")
    turning = modality.render(model.sample(1, seed=seed), one)
    note("drawing orbit.mp4 and orbit.gif")
    frames = list(turning.orbits[0])
    save_mp4(frames, directory / "orbit.mp4", fps=ORBIT_FPS)
    save_gif(frames, directory / "orbit.gif", fps=ORBIT_FPS)
    turning.meshes[0].export(directory / "sample_0.glb")
    return [*written, directory / "orbit.mp4", directory / "orbit.gif", directory / "sample_0.glb"]
