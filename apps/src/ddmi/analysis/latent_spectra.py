"""Spectra of latent planes beside those of the data: latents are learned best where they fall off alike.

"Spectrum Matching" (Ning et al. 2026, arXiv 2603.14645): diffusion learns low frequencies first, so a latent whose
power lies at high ones is learned late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ddmi.analysis.spectra import power_spectrum
from ddmi_fields import PlaneLayout
from ddmi_modalities.modality import Modality
from ddmi_vae import D2CVAE


@dataclass(frozen=True, kw_only=True)
class LatentSpectrum:
    """Of one latent plane.  Entry i of the vectors is the ring of frequency i + 1, in cycles per side."""

    plane: str
    """Its name in the layout."""
    latent: Float[Tensor, " ring"]
    """Each ring's part of the power in all rings that the latent has."""
    data: Float[Tensor, " ring"]
    """The same of the data, in the same rings."""

    @property
    def divergence(self) -> float:
        """KL of the data's parts from the latent's, in nats: 0 where both fall off alike."""
        return float((self.data * (self.data / self.latent).log())[self.data > 0].sum())


def latent_spectra(vae: D2CVAE, modality: Modality, items: Sequence[Any]) -> list[LatentSpectrum]:
    """Of the planes of posterior means; nothing where the encoder takes no grid (points), as then there is no spectrum
    of the data.

    Channels, and what lies beside a plane, are averaged.
    """
    inputs, layout = modality.inputs(items), modality.layout
    values = inputs[0]
    if values.ndim != 2 + len(layout.axes):
        return []
    with torch.no_grad():
        planes = vae.encode(tuple(one.to(next(vae.parameters()).device) for one in inputs)).mean
    return [
        LatentSpectrum(plane=name, latent=_parts(plane, rings), data=_parts(along_plane(values, layout, name), rings))
        for name, plane in zip(layout.planes, planes, strict=True)
        if (rings := max(plane.shape[2:]) // 2) > 0
    ]


def along_plane(values: Float[Tensor, "batch channel *grid"], layout: PlaneLayout, plane: str) -> Tensor:
    """All slices of a grid (whose last axis is the layout's first) along a plane: (slices, channel, rows, columns)."""
    columns, rows = (-1 - layout.axes.index(axis) for axis in plane)
    moved = values.movedim((rows, columns), (-2, -1))
    return moved.movedim(1, -3).flatten(0, -4)


def _parts(plane: Float[Tensor, "batch channel rows columns"], rings: int) -> Float[Tensor, " ring"]:
    power = power_spectrum(plane)[1][:rings]
    return power / power.sum().clamp_min(torch.finfo(power.dtype).tiny)
