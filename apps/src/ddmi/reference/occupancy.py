"""Shapes: the point network, the tri-plane D2C-VAE and the occupancy read-out, all in field coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ddmi.reference.autoencoder import ProjectedDecoder, autoencoder_rules
from ddmi.reference.options import refuse_others, require
from ddmi.reference.sources import Rule, Source, load_sources, sources_by_rules
from ddmi.reference.triplane import FIRST_STAGE, HALF, POINT_RULES, PointEncoder, triplane_autoencoder
from ddmi_fields import CoarseToFineReadOut, PlaneLayout
from ddmi_fields.blocks import ResidualBlock
from ddmi_modalities.extent import Extent
from ddmi_vae import D2CVAE

OCCUPANCY_EXTENT = Extent.cube(HALF)
"""The world box of the planes: models of `occupancy_vae` take and give field coordinates of it."""

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


def occupancy_vae(config: Mapping[str, Any], slots: Sequence[str] = FIRST_STAGE) -> D2CVAE:
    """The D2C-VAE that a configuration of the reference implementation describes, randomly initialised.

    Points and coordinates are field coordinates of `OCCUPANCY_EXTENT`, latents and basis fields in the order of the
    layout, (xy, yz, xz).

    Args:
        config: with `pointnet` (what its point network is built with), `ddconfig`, `mlpconfig` and `embed_dim`.
        slots: the latent plane in each slot of the decoder, see `triplane_autoencoder`.

    Raises:
        ValueError: an option is missing, or asks for what has no counterpart here.
    """
    require(config, "occupancy configuration", ("pointnet", "ddconfig", "mlpconfig", "embed_dim"))
    layout = PlaneLayout.triplane(align_corners=True)
    points, encoder, decoder = triplane_autoencoder(config, layout, dim=3, slots=slots, reduction="sum")
    dd, mlp = config["ddconfig"], config["mlpconfig"]
    require(mlp, "mlpconfig", ("ch", "in_ch", "latent_dim", "out_ch"))
    refuse_others(mlp, "mlpconfig", dict(in_ch=3, latent_dim=dd["out_ch"], out_ch=1))
    scales = len(dd["hdbf_resolutions"]) + 1
    return D2CVAE(PointEncoder(points, encoder), decoder, _read_out(dd["out_ch"], scales, mlp["ch"]))


def _read_out(channels: int, scales: int, width: int) -> CoarseToFineReadOut:
    read_out = CoarseToFineReadOut([channels] * scales, 1, width=width, coordinates=3)
    # All blocks of theirs are such; those of ours are as wide as the output, which is the narrower end of the others.
    read_out.blocks[0] = NarrowBlock(channels, width)
    return read_out


_RULES: list[Rule] = [
    (r"^read_out\.coordinates\.", "mlp.net_p."),
    (r"^read_out\.blocks\.(\d+)\.", lambda match: f"mlp.net_res{int(match[1]) + 1}."),
    (r"^read_out\.out\.", "mlp.net_out."),
    (r"^(mlp\..*)\.inner\.", r"\1.fc_0."),
    (r"^(mlp\..*)\.outer\.", r"\1.fc_1."),
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
    sources = sources_by_rules(vae, [*_RULES, *POINT_RULES, *autoencoder_rules(len(body.levels), suffixes)])
    return sources | {name: replace(sources[name], scale=HALF) for name in _WORLD_WEIGHTS}


def load_occupancy_vae(vae: D2CVAE, state: Mapping[str, Tensor]) -> None:
    """Copies the reference implementation's weights ('pointnet.*', 'vaemodel.*', 'mlp.*') into an `occupancy_vae`.

    Raises:
        ValueError: lists what is missing, unexpected or of another shape; the model is left as it was.
    """
    load_sources(vae, state, occupancy_sources(vae), what="the occupancy autoencoder")
