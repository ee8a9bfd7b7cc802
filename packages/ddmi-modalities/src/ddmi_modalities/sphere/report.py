"""The pictures that show what a model of functions on the sphere has learnt."""

from __future__ import annotations

import torch

from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.files.album import Album
from ddmi_modalities.files.sheets import comparison
from ddmi_modalities.modality import FunctionSource
from ddmi_modalities.sphere.modality import SphereModality
from ddmi_modalities.sphere.view import FPS, SphereRendering, SphereRenderOptions

SHOWN, TILE = 4, 240


def report_spheres(modality: SphereModality, model: FunctionSource, album: Album, seed: int = 0) -> None:
    """Reconstructions of held-out times beside the truth; with stage 2 samples, as maps and as a turning globe."""
    held_out, options = modality.dataset("test"), SphereRenderOptions()
    items = [held_out[i] for i in evenly_spaced(len(held_out), SHOWN)]
    true, made = modality.truth(items, options), modality.render(model.reconstruct(modality.inputs(items)), options)
    for number, channel in enumerate(modality.channels):
        mean, end = modality.means[number], 2.5 * modality.stds[number]
        error = modality.rendering(made.values - true.values + mean, true.grid, options)
        rows = {"true": true, "DDMI": made, f"difference,\n± {end:.2g} {channel.units}": error}
        pictures = {
            name: torch.stack([one.coloured(i, number) for i in range(len(items))]) for name, one in rows.items()
        }
        album.picture(f"reconstructions_{channel.name}.png", comparison(pictures, tile=TILE))
    album.picture("reconstruction.png", made.picture(0))
    if not model.can_sample:
        return
    samples: SphereRendering = modality.render(model.sample(16, seed=seed), options)
    album.add("samples.png", samples.save_sheet)
    album.picture("sample.png", samples.picture(0))
    album.gif("turning.gif", samples.turning(0), FPS)
