"""Point network and tri-plane autoencoder, which shapes and radiance fields share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ddmi.reference.autoencoder import (
    ProjectedDecoder,
    ProjectedEncoder,
    check_ddconfig,
    mixed_levels,
)
from ddmi.reference.options import refuse_others, require
from ddmi.reference.sources import Rule
from ddmi_fields import PlaneLayout
from ddmi_fields.basis_field import Reduction
from ddmi_modalities.networks.point_encoder import LocalPoolPointNet
from ddmi_vae import PlaneDecoder, PlaneDecoderConfig, PlaneEncoder, PlaneEncoderConfig, Planes

PADDING = 0.1
"""Of the unit cube; the point network knows no other."""

HALF = (1 + PADDING + 1e-5) / 2
"""World coordinate that is 1 in the point network's field coordinates."""

FIRST_STAGE, SECOND_STAGE = ("xy", "yz", "xz"), ("xy", "xz", "yz")
"""Which latent plane fills each slot of the decoder: where the autoencoder is trained, and where latents are made."""

_BRANCHES = ("xy", "xz", "yz")
"""The plane that the decoder makes of each slot."""


class PointEncoder(nn.Module):
    """Point network, then a projected plane encoder: a 1-tuple of points (batch, point, channel) to planes of moments.

    With `rescale` the first three channels are multiplied before: the cells of the point network may cover another part
    of the world than the planes that are read out.
    """

    def __init__(self, points: LocalPoolPointNet, planes: ProjectedEncoder, rescale: float = 1.0) -> None:
        super().__init__()
        self.points = points
        self.planes = planes
        self.rescale = rescale

    def forward(self, inputs: tuple[Tensor, ...]) -> Planes:
        (points,) = inputs
        if self.rescale != 1:
            points = torch.cat((points[..., :3] * self.rescale, points[..., 3:]), dim=-1)
        return self.planes(self.points(points))


def triplane_autoencoder(
    config: Mapping[str, Any], layout: PlaneLayout, *, dim: int, slots: Sequence[str], reduction: Reduction
) -> tuple[LocalPoolPointNet, ProjectedEncoder, ProjectedDecoder]:
    """The networks that `pointnet`, `ddconfig` and `embed_dim` of a configuration describe, randomly initialised.

    The reference implementation's decoder reads three slots, from which it makes the planes xy, xz and yz.  Its first
    stage fills them with the latents xy, yz and xz: the plane yz is made of the latent xz, and the reverse.  Its second
    stage fills them with xy, xz and yz: each plane is made of its own latent.

    Args:
        config: the configuration.
        layout: of our planes.
        dim: channels of a point.
        slots: the latent plane in each slot, `FIRST_STAGE` or `SECOND_STAGE`.
        reduction: how the embeddings of the planes become one.

    Raises:
        ValueError: an option is missing, or asks for what has no counterpart here.
    """
    dd, latent = config["ddconfig"], int(config["embed_dim"])
    scales = check_ddconfig(dd)
    refuse_others(dd, "ddconfig", dict(temb_ch=0))
    mixed, coarsest = tuple(mixed_levels(dd)), len(dd["ch_mult"]) - 1
    shared: dict[str, Any] = dict(width=dd["ch"], multipliers=tuple(dd["ch_mult"]), mixing="channels")
    encoder = PlaneEncoder(
        layout,
        dd["z_channels"],
        PlaneEncoderConfig(in_channels=dd["in_channels"], blocks=dd["num_res_blocks"], mixed_levels=mixed, **shared),
    )
    basis = PlaneDecoderConfig(
        channels=dd["out_ch"],
        scales=scales,
        blocks=dd["num_res_blocks"] + 1,
        mixed_levels=tuple(coarsest - level for level in mixed),
        reduction=reduction,
        **shared,
    )
    decoder = PlaneDecoder(layout, dd["z_channels"], basis)
    return (
        _point_network(config["pointnet"], dd, layout, dim),
        ProjectedEncoder(encoder, dd["z_channels"], latent),
        ProjectedDecoder(decoder, dd["z_channels"], latent, _order(slots, layout)),
    )


def _point_network(
    config: Mapping[str, Any], ddconfig: Mapping[str, Any], layout: PlaneLayout, dim: int
) -> LocalPoolPointNet:
    require(config, "pointnet", ("c_dim", "hidden_dim", "n_blocks", "plane_resolution", "plane_type"))
    if sorted(config["plane_type"]) != sorted(layout.planes):
        raise ValueError(
            f"pointnet: plane_type={config['plane_type']!r} has no counterpart here, only {list(layout.planes)} in any "
            "order; models trained with it cannot be brought in"
        )
    sizes = dict(c_dim=ddconfig["in_channels"], plane_resolution=ddconfig["resolution"])
    refuse_others(config, "pointnet", dict(dim=dim, padding=PADDING, scatter_type="max", **sizes))
    return LocalPoolPointNet(
        layout, dim, config["c_dim"], hidden=config["hidden_dim"], blocks=config["n_blocks"],
        size=config["plane_resolution"],
    )  # fmt: skip


def _order(slots: Sequence[str], layout: PlaneLayout) -> list[int]:
    """For each plane of the layout, the position of the latent plane that the decoder makes it of."""
    if sorted(slots) != sorted(_BRANCHES):
        raise ValueError(f"slots {tuple(slots)} must name each latent plane of {layout.planes} once")
    return [layout.planes.index(slots[_BRANCHES.index(plane)]) for plane in layout.planes]


POINT_RULES: list[Rule] = [
    (r"^encoder\.points\.", "pointnet."),
    (r"^encoder\.planes\.", "encoder."),
    (r"^pointnet\.lift\.", "pointnet.fc_pos."),
    (r"^pointnet\.out\.", "pointnet.fc_c."),
    (r"^(pointnet\..*)\.inner\.", r"\1.fc_0."),
    (r"^(pointnet\..*)\.outer\.", r"\1.fc_1."),
]
"""Our names of a `PointEncoder` to theirs; those of the autoencoder come after."""
