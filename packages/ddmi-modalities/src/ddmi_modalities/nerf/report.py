"""The pictures, clips and meshes that show what a model of radiance fields has learnt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ddmi_modalities.files.album import Album
from ddmi_modalities.files.sheets import comparison, contact_sheet
from ddmi_modalities.modality import FunctionSource
from ddmi_modalities.nerf.modality import NerfModality
from ddmi_modalities.nerf.render.views import render_views
from ddmi_modalities.nerf.view import NerfRenderOptions

SCENES = 8
ORBIT_FPS = 12


def report_nerf(modality: NerfModality, model: FunctionSource, album: Album, seed: int = 0) -> None:
    """An unseen view of each of some unseen scenes; with stage 2 samples, their depth, one turning, one as a mesh."""
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
    album.picture("unseen_views.png", comparison(rows, tile=max(96, modality.size)))
    if not model.can_sample:
        return
    size = 2 * modality.size
    options = NerfRenderOptions(views=4, resolution=size, depth=True)
    samples = modality.render(model.sample(SCENES, seed=seed), options)
    album.picture("samples.png", contact_sheet(samples.pictures.flatten(0, 1), columns=8, tile=size))
    assert samples.depth is not None
    album.picture("depth.png", contact_sheet(samples.depth.flatten(0, 1), columns=8, tile=size))
    one = replace(options, views=1, depth=False, mesh=True, orbit=album.directory / "orbit.mp4")
    turning = modality.render(model.sample(1, seed=seed), one)
    frames = list(turning.orbits[0])
    album.mp4("orbit.mp4", frames, ORBIT_FPS)
    album.gif("orbit.gif", frames, ORBIT_FPS)
    album.add("sample_0.glb", turning.meshes[0].export)
