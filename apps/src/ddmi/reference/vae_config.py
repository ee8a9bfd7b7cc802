"""The autoencoders of the reference implementation as a part of an `Experiment`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ddmi.reference.image import image_vae, load_image_vae
from ddmi.reference.nerf import load_nerf_vae, nerf_vae
from ddmi.reference.occupancy import load_occupancy_vae, occupancy_vae
from ddmi.reference.options import Domain
from ddmi.reference.triplane import FIRST_STAGE
from ddmi.reference.video import load_video_vae, video_vae
from ddmi_fields import PlaneLayout
from ddmi_vae import D2CVAE, AutoencoderConfig

_LOAD: dict[Domain, Callable[[D2CVAE, Mapping[str, Tensor]], None]] = {
    "image": load_image_vae,
    "occupancy": load_occupancy_vae,
    "video": load_video_vae,
    "nerf": load_nerf_vae,
}


@dataclass(frozen=True, kw_only=True)
class ReferenceVAEConfig(AutoencoderConfig):
    """A D2C-VAE that the reference implementation's own names describe; it brings its layout."""

    domain: Domain
    """Which of its models."""
    model: dict[str, Any]
    """`ddconfig`, `mlpconfig`, `embed_dim` and what else the domain needs."""
    slots: tuple[str, ...] = FIRST_STAGE
    """Of occupancy and NeRF: the latent plane in each slot of the decoder, see `triplane_autoencoder`."""

    def build(self, layout: PlaneLayout) -> D2CVAE:
        """Randomly initialised.  Raises ValueError where an option is missing, or has no counterpart here."""
        if self.domain == "occupancy":
            return occupancy_vae(self.model, self.slots)
        if self.domain == "nerf":
            return nerf_vae(self.model, self.slots, turned=True)
        return {"image": image_vae, "video": video_vae}[self.domain](self.model)

    def load(self, vae: D2CVAE, state: Mapping[str, Tensor]) -> None:
        """Copies weights under the reference implementation's names.  ValueError lists what does not fit."""
        _LOAD[self.domain](vae, state)
