"""Models that compute what the reference implementation of DDMI computes, and the way its weights come in.

Networks are built from the reference implementation's own configuration names (`ddconfig`, `mlpconfig`, `embed_dim`,
`pointnet`, `unetconfig`, `ddpmconfig`) out of the classes of this project.  Weights are its state dict with the
prefixes 'pointnet.', 'vaemodel.', 'mlp.' and 'diffusion.' (its first-stage image checkpoints call the autoencoder
'model').
"""

from ddmi.reference.denoiser import latent_diffusion, latent_diffusion_sources, load_latent_diffusion
from ddmi.reference.image import ImageReadOut, image_sources, image_vae, load_image_vae
from ddmi.reference.nerf import NERF_EXTENT, load_nerf_vae, nerf_sources, nerf_vae
from ddmi.reference.occupancy import (
    OCCUPANCY_EXTENT,
    load_occupancy_vae,
    occupancy_sources,
    occupancy_vae,
)
from ddmi.reference.sources import Source, load_sources
from ddmi.reference.video import load_video_vae, video_sources, video_vae

__all__ = [
    "NERF_EXTENT",
    "OCCUPANCY_EXTENT",
    "ImageReadOut",
    "Source",
    "image_sources",
    "image_vae",
    "latent_diffusion",
    "latent_diffusion_sources",
    "load_image_vae",
    "load_latent_diffusion",
    "load_nerf_vae",
    "load_occupancy_vae",
    "load_sources",
    "load_video_vae",
    "nerf_sources",
    "nerf_vae",
    "occupancy_sources",
    "occupancy_vae",
    "video_sources",
    "video_vae",
]
