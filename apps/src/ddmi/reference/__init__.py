"""Models that compute what the reference implementation of DDMI computes, and the way its weights come in.

Networks are built from the reference implementation's own configuration names (`ddconfig`, `mlpconfig`, `embed_dim`,
`pointnet`, `unetconfig`, `ddpmconfig`) out of the classes of this project.  Weights are its state dict with the
prefixes 'pointnet.', 'vaemodel.', 'mlp.' and 'diffusion.' (its first-stage image checkpoints call the autoencoder
'model').
"""

from ddmi.reference.denoiser import latent_diffusion, latent_diffusion_sources, load_latent_diffusion
from ddmi.reference.image import ImageReadOut, image_sources, image_vae, load_image_vae
from ddmi.reference.occupancy import (
    OCCUPANCY_EXTENT,
    load_occupancy_vae,
    occupancy_sources,
    occupancy_vae,
)
from ddmi.reference.radiance import RADIANCE_EXTENT, load_radiance_vae, radiance_sources, radiance_vae
from ddmi.reference.sources import Source, load_sources
from ddmi.reference.video import load_video_vae, video_sources, video_vae

__all__ = [
    "OCCUPANCY_EXTENT",
    "RADIANCE_EXTENT",
    "ImageReadOut",
    "Source",
    "image_sources",
    "image_vae",
    "latent_diffusion",
    "latent_diffusion_sources",
    "load_image_vae",
    "load_latent_diffusion",
    "load_occupancy_vae",
    "load_radiance_vae",
    "load_sources",
    "load_video_vae",
    "occupancy_sources",
    "occupancy_vae",
    "radiance_sources",
    "radiance_vae",
    "video_sources",
    "video_vae",
]
