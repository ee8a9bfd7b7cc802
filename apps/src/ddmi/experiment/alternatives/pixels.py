"""The practical alternative: a plain latent diffusion model, whose pixels are enlarged bicubically."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddmi_fields import BasisField, PlaneLayout, ReadOut
from ddmi_fields.basis_field import Reduction
from ddmi_vae import D2CVAE, AutoencoderConfig, EncoderConfig, PlaneDecoder, PlaneDecoderConfig, PlaneEncoderConfig
from ddmi_vae.posterior import Planes


class PixelField(BasisField):
    """One plane of pixels.  Between their centres values are interpolated bicubically (Keys 1981, a = -0.75)."""

    def __init__(self, layout: PlaneLayout, fields: Sequence[Sequence[Tensor]], reduction: Reduction = "sum") -> None:
        super().__init__(layout, fields, reduction)
        if layout.planes != PlaneLayout.image().planes or len(fields) != 1:
            raise ValueError(f"PixelField: one plane {PlaneLayout.image().planes} at one scale, got {layout.planes}")

    def embed(self, coords: Tensor, *, twice_differentiable: bool = False) -> list[Tensor]:
        """Values at points; a coordinate batch of 1 broadcasts."""
        at = coords.expand(self.batch, -1, -1)[:, None].to(self.dtype)
        ((plane,),) = self.fields
        values = F.grid_sample(plane, at, mode="bicubic", padding_mode="border", align_corners=False)
        return [values[:, :, 0].transpose(1, 2)]

    def grid_sampler(self) -> Callable[[Sequence[Tensor]], list[Tensor]]:
        def sample(lines: Sequence[Tensor]) -> list[Tensor]:
            columns, rows = lines
            mesh = torch.meshgrid(columns, rows, indexing="xy")
            return self.embed(torch.stack([axis.reshape(-1) for axis in mesh], dim=-1)[None])

        return sample


class PixelDecoder(PlaneDecoder):
    """The decoder of basis fields, with pixels as its only field."""

    def forward(self, latent: Planes) -> BasisField:
        return PixelField(self.layout, super().forward(latent).fields)


class PixelReadOut(ReadOut):
    """The embedding is the value."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Identity()

    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | float | None = None) -> Tensor:
        return embeddings[0]


@dataclass(frozen=True, kw_only=True)
class PixelVAEConfig(AutoencoderConfig):
    """An autoencoder with the encoder and decoder of a D2C-VAE, and pixels in the place of its function."""

    encoder: EncoderConfig = field(default_factory=PlaneEncoderConfig)
    """Data to moments."""
    decoder: PlaneDecoderConfig = field(default_factory=PlaneDecoderConfig)
    """Latent planes to pixels; it has one scale, of `out_channels`."""
    latent_channels: int = 64
    """C of a latent plane."""
    out_channels: int = 3
    """Channels of a pixel."""

    def build(self, layout: PlaneLayout) -> D2CVAE:
        decoder = PixelDecoder(
            layout, self.latent_channels, replace(self.decoder, channels=self.out_channels, scales=1)
        )
        return D2CVAE(self.encoder.build(layout, self.latent_channels), decoder, PixelReadOut())
