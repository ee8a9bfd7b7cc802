"""Radiance fields: coloured points, the tri-plane D2C-VAE of one scale, and its read-out, in field coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ddmi.reference.autoencoder import ProjectedDecoder, autoencoder_rules
from ddmi.reference.options import refuse_others, require
from ddmi.reference.sources import Rule, Source, load_sources, sources_by_rules
from ddmi.reference.triplane import FIRST_STAGE, HALF, POINT_RULES, PointEncoder, triplane_autoencoder
from ddmi_fields import BasisField, PlaneLayout
from ddmi_modalities.extent import Extent
from ddmi_modalities.nerf.read_out import RadianceField, fourier_encoding
from ddmi_vae import D2CVAE, Planes

PLANE_HALF = 3.5
"""World coordinate at the border of the planes that are read out; those of the point network end at `HALF`."""

NERF_EXTENT = Extent.cube(PLANE_HALF)
"""The world box of the planes: models of `nerf_vae` take and give field coordinates of it."""


TURNED = PlaneLayout("xyz", ("xz", "zy", "xy"), align_corners=True)
"""Its planes xy, yz and xz in a world whose y is up: (x, y, z) of its own, z up, becomes (x, z, -y)."""


def _in_its_world(vectors: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
    x, y, z = vectors.unbind(-1)
    return torch.stack((x, -z, y), dim=-1)


class TurnedEncoder(PointEncoder):
    """Takes points of a world whose y is up, with colours in [-1, 1]; its own are in [0, 1]."""

    def forward(self, inputs: tuple[Tensor, ...]) -> Planes:
        (points,) = inputs
        return super().forward((torch.cat((_in_its_world(points[..., :3]), (points[..., 3:] + 1) / 2), dim=-1),))


class TurnedDecoder(ProjectedDecoder):
    """Gives basis fields of `TURNED`: rows of the plane xy and columns of yz run the other way."""

    def forward(self, latent: Planes) -> BasisField:
        basis = super().forward(latent)
        fields = tuple((xy.flip(2), yz.flip(3), xz) for xy, yz, xz in basis.fields)
        return BasisField(TURNED, fields, basis.reduction)


class AffineNerfReadOut(RadianceField):
    """An affine map up to the sigmoid of the colour and the softplus of the density.

    The reference implementation's leaky ReLUs have slope one, so its layers follow each other without activation.

    Args:
        channels: of the embedding.
        width: of the hidden layers.
        layers: how many.
        skips: layers, counted from 0, that read the input again.
        octaves, view_octaves: of the encoding of world positions and of directions.
        turned: coordinates and directions are those of a world whose y is up.
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int,
        layers: int,
        skips: Sequence[int],
        octaves: int,
        view_octaves: int,
        turned: bool = False,
    ) -> None:
        super().__init__()
        self.turned = turned
        inputs = channels + 3 + 6 * octaves
        self.octaves, self.view_octaves, self.skips = octaves, view_octaves, tuple(skips)
        self.layers = nn.ModuleList(
            nn.Linear(inputs if i == 0 else width + inputs * (i in self.skips), width) for i in range(layers)
        )
        self.sigma = nn.Linear(width, 1)
        self.features = nn.Linear(width, width)
        self.view = nn.Linear(width + 3 + 6 * view_octaves, width // 2)
        self.out: nn.Module = nn.Linear(width // 2, 3)

    def _trunk(self, embeddings: list[Tensor], coords: Tensor) -> Tensor:
        (embedding,) = embeddings
        coords = _in_its_world(coords) if self.turned else coords
        x = torch.cat((embedding, fourier_encoding(coords * PLANE_HALF, self.octaves)), dim=-1)
        h = x
        for i, layer in enumerate(self.layers):
            h = layer(torch.cat((x, h), dim=-1) if i in self.skips else h)
        return h

    def logits(
        self, embeddings: list[Tensor], coords: Tensor, directions: Float[Tensor, "batch query 3"]
    ) -> Float[Tensor, "batch query 4"]:
        """Colour in [0, 1], and density before its softplus, per unit of the world."""
        h = self._trunk(embeddings, coords)
        directions = _in_its_world(directions) if self.turned else directions
        hidden = self.view(torch.cat((self.features(h), fourier_encoding(directions, self.view_octaves)), dim=-1))
        return torch.cat((torch.sigmoid(self.out(hidden)), self.sigma(h)), dim=-1)

    def density(
        self, embeddings: list[Float[Tensor, "batch query _"]], coords: Float[Tensor, "batch query 3"]
    ) -> Float[Tensor, "batch query 1"]:
        return PLANE_HALF * F.softplus(self.sigma(self._trunk(embeddings, coords)))

    def forward(
        self,
        embeddings: list[Float[Tensor, "batch query _"]],
        coords: Float[Tensor, "batch query 3"],
        condition: Tensor | float | None = None,
    ) -> Float[Tensor, "batch query 4"]:
        """Density is per unit of field coordinates."""
        assert isinstance(condition, Tensor), "colours need directions"
        values = self.logits(embeddings, coords, condition)
        return torch.cat((values[..., :3], PLANE_HALF * F.softplus(values[..., 3:])), dim=-1)


def nerf_vae(config: Mapping[str, Any], slots: Sequence[str] = FIRST_STAGE, *, turned: bool = False) -> D2CVAE:
    """The D2C-VAE that a configuration of the reference implementation describes, randomly initialised.

    Points (x, y, z, and colour) and coordinates are field coordinates of `NERF_EXTENT`.

    Args:
        config: with `pointnet`, `ddconfig`, `mlpconfig`, `embed_dim`, `multires` and `multires_views`.
        slots: the latent plane in each slot of the decoder, see `triplane_autoencoder`.
        turned: y is up and colours are in [-1, 1], as `NerfModality` has them; else z is up and they are in [0, 1],
            as there.

    Raises:
        ValueError: an option is missing, or asks for what has no counterpart here.
    """
    names = ("pointnet", "ddconfig", "mlpconfig", "embed_dim", "multires", "multires_views")
    require(config, "radiance configuration", names)
    layout = PlaneLayout.triplane(align_corners=True)
    points, encoder, decoder = triplane_autoencoder(config, layout, dim=6, slots=slots, reduction="concat")
    dd, mlp = config["ddconfig"], config["mlpconfig"]
    refuse_others(dd, "ddconfig", dict(hdbf_resolutions=[]))
    require(mlp, "mlpconfig", ("D", "W", "in_channels_xyz", "skips"))
    channels, octaves, view_octaves = 3 * dd["out_ch"], config["multires"], config["multires_views"]
    sizes = dict(in_channels_xyz=channels + 3 + 6 * octaves, in_channels_dir=3 + 6 * view_octaves)
    refuse_others(mlp, "mlpconfig", sizes)
    read_out = AffineNerfReadOut(
        channels, width=mlp["W"], layers=mlp["D"], skips=mlp["skips"], octaves=octaves, view_octaves=view_octaves,
        turned=turned,
    )  # fmt: skip
    if turned:
        decoder = TurnedDecoder(decoder.body, dd["z_channels"], int(config["embed_dim"]), decoder.order)
    kind = TurnedEncoder if turned else PointEncoder
    return D2CVAE(kind(points, encoder, rescale=PLANE_HALF / HALF), decoder, read_out)


_RULES: list[Rule] = [
    (r"^read_out\.layers\.(\d+)\.", lambda match: f"mlp.xyz_encoding_{int(match[1]) + 1}.0."),
    (r"^read_out\.sigma\.", "mlp.sigma."),
    (r"^read_out\.features\.", "mlp.xyz_encoding_final."),
    (r"^read_out\.view\.", "mlp.dir_encoding.0."),
    (r"^read_out\.out\.", "mlp.rgb.0."),
]

_LIFT = "encoder.points.lift.weight"


def nerf_sources(vae: D2CVAE) -> dict[str, Source]:
    """For each tensor of a `nerf_vae`, the reference implementation's 'pointnet.', 'vaemodel.' or 'mlp.' tensor."""
    if not isinstance(vae.encoder, PointEncoder) or not isinstance(vae.decoder, ProjectedDecoder):
        raise ValueError(
            f"this D2CVAE has a {type(vae.encoder).__name__} and a {type(vae.decoder).__name__}; "
            "build it with ddmi.reference.nerf_vae(config)"
        )
    body = vae.decoder.body
    suffixes = [f"_{plane}" for plane in body.layout.planes]
    sources = sources_by_rules(vae, [*_RULES, *POINT_RULES, *autoencoder_rules(len(body.levels), suffixes)])
    # its point network sees world coordinates, and colours as they are
    scale = torch.tensor([HALF] * 3 + [1.0] * 3)
    return sources | {_LIFT: replace(sources[_LIFT], scale=scale)}


def load_nerf_vae(vae: D2CVAE, state: Mapping[str, Tensor]) -> None:
    """Copies the reference implementation's weights ('pointnet.*', 'vaemodel.*', 'mlp.*') into a `nerf_vae`.

    Raises:
        ValueError: lists what is missing, unexpected or of another shape; the model is left as it was.
    """
    load_sources(vae, state, nerf_sources(vae), what="the radiance autoencoder")
