"""The alternative that the paper argues against: fixed positional encoding, and weights that a decoder emits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ddmi_fields import BasisField, PlaneLayout, ReadOut, grid_coordinates
from ddmi_vae import D2CVAE, AutoencoderConfig, EncoderConfig, PlaneEncoderConfig
from ddmi_vae.posterior import Planes

Shapes = Sequence[tuple[int, int]]
"""(outputs, inputs + 1) of each layer of the generated MLP: rows of weights with their biases."""


class FourierFeatures(nn.Module):
    """`[sin(B c), cos(B c)]` with fixed normal frequencies B (Tancik et al. 2020).

    Args:
        axes: of a coordinate in [-1, 1].
        count: frequencies.
        bandwidth: their standard deviation, in cycles a side of the domain.
    """

    frequencies: Tensor

    def __init__(self, axes: int, count: int, bandwidth: float) -> None:
        super().__init__()
        draws = torch.randn(axes, count, generator=torch.Generator().manual_seed(0), device="cpu")
        self.register_buffer("frequencies", math.pi * bandwidth * draws)

    def forward(self, coords: Tensor) -> Tensor:
        angles = coords.float() @ self.frequencies
        return torch.cat((angles.sin(), angles.cos()), dim=-1)


class GeneratedWeights(BasisField):
    """The weights of a batch of MLPs: a basis field of one cell, the same at every point."""

    def _at_all(self, queries: int) -> list[Tensor]:
        ((plane,),) = self.fields
        return [plane[:, None, :, 0, 0].expand(-1, queries, -1)]  # a view: nothing is copied

    def embed(self, coords: Tensor, *, twice_differentiable: bool = False) -> list[Tensor]:
        return self._at_all(coords.shape[1])

    def grid_sampler(self) -> Callable[[Sequence[Tensor]], list[Tensor]]:
        return lambda lines: self._at_all(math.prod(len(line) for line in lines))


class WeightDecoder(nn.Module):
    """A transformer over the cells of the latent and one token for each row of weights (Chen and Wang 2022).

    Args:
        layout: one plane.
        latent_channels: of a cell.
        shapes: of the MLP.
        width: channels of a token.
        depth: layers.
    """

    def __init__(
        self, layout: PlaneLayout, latent_channels: int, shapes: Shapes, *, width: int, depth: int, heads: int = 4
    ) -> None:
        super().__init__()
        if len(layout.planes) != 1:
            raise ValueError(f"WeightDecoder: made for one plane, not for {layout.planes}")
        self.layout = layout
        self.cells = nn.Conv2d(latent_channels, width, 3, padding=1)
        self.place = FourierFeatures(len(layout.axes), width // 2, bandwidth=1.0)
        self.rows = nn.Parameter(0.02 * torch.randn(sum(outputs for outputs, _ in shapes), width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.emit = nn.ModuleList(nn.Linear(width, inputs) for _, inputs in shapes)
        # every function's weights are those of a usual initialisation plus what its tokens say
        self.shared = nn.ParameterList(
            torch.randn(outputs, inputs) * (2 / (inputs - 1)) ** 0.5 for outputs, inputs in shapes
        )

    def forward(self, latent: Planes) -> BasisField:
        (plane,) = latent
        cells = rearrange(self.cells(plane), "b d h w -> b (h w) d")
        cells = cells + self.place(grid_coordinates(plane.shape[-2:], device=plane.device)).to(cells.dtype)
        tokens = self.layers(torch.cat((self.rows.expand(len(plane), -1, -1).to(cells.dtype), cells), dim=1))
        rows = tokens[:, : len(self.rows)].split([len(shared) for shared in self.shared], dim=1)
        weights = [
            shared + emit(row).float() * shared.shape[1] ** -0.5
            for shared, emit, row in zip(self.shared, self.emit, rows, strict=True)
        ]
        flat = torch.cat([one.flatten(1) for one in weights], dim=1)
        return GeneratedWeights(self.layout, [[flat[..., None, None]]])


class GeneratedReadOut(ReadOut):
    """An MLP of Fourier features without parameters of its own: its weights come with the function.

    With `native`, the logarithm of the scale is one more feature, as a read-out of DDMI is conditioned on scale.
    """

    def __init__(self, axes: int, out_channels: int, *, width: int, layers: int, features: int, bandwidth: float,
                 native: int | None) -> None:  # fmt: skip
        super().__init__()
        self.native = native
        self.encoding = FourierFeatures(axes, features, bandwidth)
        widths = [2 * features + (native is not None), *[width] * layers, out_channels]
        self.shapes = [(outputs, inputs + 1) for inputs, outputs in itertools.pairwise(widths)]

    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | float | None = None) -> Tensor:
        flat = embeddings[0][:, 0]
        h = self.encoding(coords)
        if self.native is not None:
            scale = torch.as_tensor(1.0 if condition is None else condition, dtype=h.dtype, device=h.device)
            h = torch.cat((h, scale.reshape(-1, 1, 1).log2().expand(*h.shape[:2], 1)), dim=-1)
        rows = flat.split([outputs * inputs for outputs, inputs in self.shapes], dim=1)
        for i, (shape, row) in enumerate(zip(self.shapes, rows, strict=True)):
            matrix = row.unflatten(1, shape)
            h = torch.baddbmm(matrix[:, None, :, -1], h if i == 0 else F.gelu(h), matrix[..., :-1].transpose(1, 2))
        return h


@dataclass(frozen=True, kw_only=True)
class WeightVAEConfig(AutoencoderConfig):
    """An autoencoder with the encoder of a D2C-VAE that generates the weights of its read-out."""

    encoder: EncoderConfig = field(default_factory=PlaneEncoderConfig)
    """Data to moments."""
    latent_channels: int = 64
    """C of a latent plane."""
    decoder_width: int = 96
    """Channels of a token of the decoder."""
    depth: int = 4
    """Layers of the decoder."""
    mlp_width: int = 64
    """Of the hidden layers of the generated MLP."""
    mlp_layers: int = 3
    """Its hidden layers."""
    out_channels: int = 3
    """Channels of a value."""
    features: int = 64
    """Frequencies of the positional encoding."""
    bandwidth: float = 8.0
    """Their standard deviation, in cycles a side."""
    native: int | None = None
    """Rows of the grid at which the scale condition is 1; None: no condition."""

    def build(self, layout: PlaneLayout) -> D2CVAE:
        read_out = GeneratedReadOut(
            len(layout.axes), self.out_channels, width=self.mlp_width, layers=self.mlp_layers,
            features=self.features, bandwidth=self.bandwidth, native=self.native,
        )  # fmt: skip
        decoder = WeightDecoder(
            layout, self.latent_channels, read_out.shapes, width=self.decoder_width, depth=self.depth
        )
        return D2CVAE(self.encoder.build(layout, self.latent_channels), decoder, read_out)
