"""Shapes: the point network, the tri-plane D2C-VAE and the occupancy read-out, all in field coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ddmi.reference.autoencoder import (
    ProjectedDecoder,
    ProjectedEncoder,
    autoencoder_rules,
    check_ddconfig,
    mixed_levels,
)
from ddmi.reference.options import refuse_others, require
from ddmi.reference.sources import Rule, Source, load_sources, sources_by_rules
from ddmi_fields import CoarseToFineReadOut, PlaneLayout
from ddmi_fields.blocks import ResidualBlock
from ddmi_modalities.extent import Extent
from ddmi_modalities.shape.point_encoder import LocalPoolPointNet
from ddmi_vae import D2CVAE, PlaneDecoder, PlaneEncoder, Planes

PADDING = 0.1
"""Of the unit cube; the read-out knows no other."""

HALF = (1 + PADDING + 1e-5) / 2
"""World coordinate that is 1 in field coordinates."""

OCCUPANCY_EXTENT = Extent.cube(HALF)
"""The world box of the planes: models of `occupancy_vae` take and give field coordinates of it."""

FIRST_STAGE, SECOND_STAGE = ("xy", "yz", "xz"), ("xy", "xz", "yz")
"""Which latent plane fills each slot of the decoder: where the autoencoder is trained, and where latents are made."""

_BRANCHES = ("xy", "xz", "yz")
"""The plane that the decoder makes of each slot."""

_WORLD_WEIGHTS = ("encoder.points.lift.weight", "read_out.coordinates.weight")
"""Weights that see world coordinates there and field coordinates here."""


class NarrowBlock(ResidualBlock):
    """A residual block as wide between its two layers as its narrower end."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        hidden = min(inputs, outputs)
        self.inner = nn.Linear(inputs, hidden)
        self.outer = nn.Linear(hidden, outputs)
        nn.init.zeros_(self.outer.weight)


class PointEncoder(nn.Module):
    """Point network, then a projected plane encoder: a 1-tuple of points (batch, point, 3) to planes of moments."""

    def __init__(self, points: LocalPoolPointNet, planes: ProjectedEncoder) -> None:
        super().__init__()
        self.points = points
        self.planes = planes

    def forward(self, inputs: tuple[Tensor, ...]) -> Planes:
        (points,) = inputs
        return self.planes(self.points(points))


def occupancy_vae(config: Mapping[str, Any], slots: Sequence[str] = FIRST_STAGE) -> D2CVAE:
    """The D2C-VAE that a configuration of the reference implementation describes, randomly initialised.

    Points and coordinates are field coordinates of `OCCUPANCY_EXTENT`, latents and basis fields in the order of the
    layout, (xy, yz, xz).

    The reference implementation's decoder reads three slots, from which it makes the planes xy, xz and yz.  Its first
    stage fills them with the latents xy, yz and xz: the plane yz is made of the latent xz, and the reverse.  Its second
    stage fills them with xy, xz and yz: each plane is made of its own latent.

    Args:
        config: with `pointnet` (what its point network is built with), `ddconfig`, `mlpconfig` and `embed_dim`.
        slots: the latent plane in each slot, `FIRST_STAGE` or `SECOND_STAGE`.

    Raises:
        ValueError: an option is missing, or asks for what has no counterpart here.
    """
    require(config, "occupancy configuration", ("pointnet", "ddconfig", "mlpconfig", "embed_dim"))
    dd, mlp, latent = config["ddconfig"], config["mlpconfig"], int(config["embed_dim"])
    scales = check_ddconfig(dd)
    refuse_others(dd, "ddconfig", dict(temb_ch=0))
    require(mlp, "mlpconfig", ("ch", "in_ch", "latent_dim", "out_ch"))
    refuse_others(mlp, "mlpconfig", dict(in_ch=3, latent_dim=dd["out_ch"], out_ch=1))
    layout = PlaneLayout.triplane(align_corners=True)
    mixed, levels = mixed_levels(dd), len(dd["ch_mult"])
    shared: dict[str, Any] = dict(width=dd["ch"], multipliers=tuple(dd["ch_mult"]))
    shared |= dict(mixing="channels")
    encoder = PlaneEncoder(
        layout, dd["in_channels"], dd["z_channels"], blocks=dd["num_res_blocks"], mixed_levels=mixed, **shared
    )
    decoder = PlaneDecoder(
        layout, dd["z_channels"], dd["out_ch"], scales=scales, blocks=dd["num_res_blocks"] + 1,
        mixed_levels=[levels - 1 - level for level in mixed], **shared,
    )  # fmt: skip
    points = _point_network(config["pointnet"], dd, layout)
    return D2CVAE(
        PointEncoder(points, ProjectedEncoder(encoder, dd["z_channels"], latent)),
        ProjectedDecoder(decoder, dd["z_channels"], latent, _order(slots, layout)),
        _read_out(dd["out_ch"], scales, mlp["ch"]),
    )


def _point_network(config: Mapping[str, Any], ddconfig: Mapping[str, Any], layout: PlaneLayout) -> LocalPoolPointNet:
    require(config, "pointnet", ("c_dim", "hidden_dim", "n_blocks", "plane_resolution", "plane_type"))
    if sorted(config["plane_type"]) != sorted(layout.planes):
        raise ValueError(
            f"pointnet: plane_type={config['plane_type']!r} has no counterpart here, only {list(layout.planes)} in any "
            "order; models trained with it cannot be brought in"
        )
    sizes = dict(c_dim=ddconfig["in_channels"], plane_resolution=ddconfig["resolution"])
    refuse_others(config, "pointnet", dict(dim=3, padding=PADDING, scatter_type="max", **sizes))
    return LocalPoolPointNet(
        layout, 3, config["c_dim"], hidden=config["hidden_dim"], blocks=config["n_blocks"],
        size=config["plane_resolution"],
    )  # fmt: skip


def _order(slots: Sequence[str], layout: PlaneLayout) -> list[int]:
    """For each plane of the layout, the position of the latent plane that the decoder makes it of."""
    if sorted(slots) != sorted(_BRANCHES):
        raise ValueError(f"slots {tuple(slots)} must name each latent plane of {layout.planes} once")
    return [layout.planes.index(slots[_BRANCHES.index(plane)]) for plane in layout.planes]


def _read_out(channels: int, scales: int, width: int) -> CoarseToFineReadOut:
    read_out = CoarseToFineReadOut([channels] * scales, 1, width=width, coordinates=3)
    # All blocks of theirs are such; those of ours are as wide as the output, which is the narrower end of the others.
    read_out.blocks[0] = NarrowBlock(channels, width)
    return read_out


_RULES: list[Rule] = [
    (r"^encoder\.points\.", "pointnet."),
    (r"^encoder\.planes\.", "encoder."),
    (r"^pointnet\.lift\.", "pointnet.fc_pos."),
    (r"^pointnet\.out\.", "pointnet.fc_c."),
    (r"^read_out\.coordinates\.", "mlp.net_p."),
    (r"^read_out\.blocks\.(\d+)\.", lambda match: f"mlp.net_res{int(match[1]) + 1}."),
    (r"^read_out\.out\.", "mlp.net_out."),
    (r"^((?:pointnet|mlp)\..*)\.inner\.", r"\1.fc_0."),
    (r"^((?:pointnet|mlp)\..*)\.outer\.", r"\1.fc_1."),
]


def occupancy_sources(vae: D2CVAE) -> dict[str, Source]:
    """For each tensor of an `occupancy_vae`, the reference implementation's 'pointnet.', 'vaemodel.' or 'mlp.' tensor.

    Its networks see world coordinates: the weights of our first layers are theirs times world per field unit.
    """
    if not isinstance(vae.encoder, PointEncoder) or not isinstance(vae.decoder, ProjectedDecoder):
        raise ValueError(
            f"this D2CVAE has a {type(vae.encoder).__name__} and a {type(vae.decoder).__name__}; "
            "build it with ddmi.reference.occupancy_vae(config)"
        )
    body = vae.decoder.body
    suffixes = [f"_{plane}" for plane in body.layout.planes]
    sources = sources_by_rules(vae, [*_RULES, *autoencoder_rules(len(body.levels), suffixes)])
    return sources | {name: replace(sources[name], scale=HALF) for name in _WORLD_WEIGHTS}


def load_occupancy_vae(vae: D2CVAE, state: Mapping[str, Tensor]) -> None:
    """Copies the reference implementation's weights ('pointnet.*', 'vaemodel.*', 'mlp.*') into an `occupancy_vae`.

    Raises:
        ValueError: lists what is missing, unexpected or of another shape; the model is left as it was.
    """
    load_sources(vae, state, occupancy_sources(vae), what="the occupancy autoencoder")
