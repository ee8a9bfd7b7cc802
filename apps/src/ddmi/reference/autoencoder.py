"""What the convolutional autoencoders of all modalities share: 1x1 convolutions at the latent, and names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ddmi.reference.options import refuse_others, require
from ddmi.reference.sources import Rule
from ddmi_fields import BasisField
from ddmi_vae import PlaneDecoder, PlaneEncoder, Planes


class ProjectedEncoder(nn.Module):
    """A plane encoder whose moments go through a 1x1 convolution, one a plane, to a latent of another width."""

    def __init__(self, body: PlaneEncoder, channels: int, latent_channels: int) -> None:
        super().__init__()
        self.body = body
        self.project = nn.ModuleList(nn.Conv2d(2 * channels, 2 * latent_channels, 1) for _ in body.layout.planes)

    def forward(self, inputs: Any) -> Planes:
        return tuple(project(plane) for project, plane in zip(self.project, self.body(inputs), strict=True))


class ProjectedDecoder(nn.Module):
    """A plane decoder whose latent goes through a 1x1 convolution first, one a plane.

    Args:
        body: the plane decoder.
        channels, latent_channels: after and before the convolution.
        order: for each plane of the layout, the position of the latent plane that it is decoded from; None: its own.
    """

    def __init__(
        self, body: PlaneDecoder, channels: int, latent_channels: int, order: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        count = len(body.layout.planes)
        self.project = nn.ModuleList(nn.Conv2d(latent_channels, channels, 1) for _ in range(count))
        self.body = body
        self.order = tuple(range(count) if order is None else order)
        assert sorted(self.order) == list(range(count)), "order must be a permutation of the planes"

    def forward(self, latent: Planes) -> BasisField:
        if len(latent) != len(self.order):
            raise ValueError(f"ProjectedDecoder: wanted {len(self.order)} latent planes, got {len(latent)}")
        return self.body(tuple(project(latent[i]) for project, i in zip(self.project, self.order, strict=True)))


def check_ddconfig(ddconfig: Mapping[str, Any]) -> int:
    """The number of scales that a `ddconfig` asks for.  Raises ValueError where it asks for what we do not have."""
    require(
        ddconfig,
        "ddconfig",
        ("ch", "out_ch", "ch_mult", "num_res_blocks", "in_channels", "resolution", "z_channels", "hdbf_resolutions"),
    )
    refuse_others(
        ddconfig,
        "ddconfig",
        dict(
            attn_resolutions=[], attn_type="vanilla", double_z=True, dropout=0.0, give_pre_end=False,
            resamp_with_conv=True, tanh_out=False, use_linear_attn=False, use_timestep=False,
        ),
    )  # fmt: skip
    scales = len(ddconfig["hdbf_resolutions"]) + 1
    wanted = [ddconfig["resolution"] // 2**level for level in range(1, scales)]
    if sorted(ddconfig["hdbf_resolutions"], reverse=True) != wanted or scales > len(ddconfig["ch_mult"]):
        raise ValueError(
            f"ddconfig: hdbf_resolutions {ddconfig['hdbf_resolutions']} must be the levels below resolution "
            f"{ddconfig['resolution']}, that is {wanted}, and fewer than ch_mult {ddconfig['ch_mult']} has entries"
        )
    return scales


def mixed_levels(ddconfig: Mapping[str, Any]) -> list[int]:
    """Levels, fine to coarse, at which a `ddconfig` mixes planes; resolutions that no level has are ignored there."""
    require(ddconfig, "ddconfig", ("inter_attn_resolutions",))
    sides = [ddconfig["resolution"] // 2**level for level in range(len(ddconfig["ch_mult"]))]
    return [level for level, side in enumerate(sides) if side in ddconfig["inter_attn_resolutions"]]


def autoencoder_rules(levels: int, suffixes: Sequence[str] = ("",)) -> list[Rule]:
    """Our names within a D2CVAE of projected encoder and decoder to theirs.

    Args:
        levels: of encoder and decoder.  Ours count the decoder's from the coarsest, theirs from the finest.
        suffixes: what follows the name of the 1x1 convolution of each plane.
    """

    def project(match: re.Match[str]) -> str:
        return ("quant_conv" if match[1] == "encoder" else "post_quant_conv") + suffixes[int(match[2])]

    def up(match: re.Match[str]) -> str:
        part = {"levels": "block", "upsamples": "upsample", "taps": "hdbf.0"}[match[1]]
        return f"decoder.up.{levels - 1 - int(match[2])}.{part}"

    def attention(match: re.Match[str]) -> str:
        return match[1] + {"query": "q", "key": "k", "value": "v", "out": "proj_out"}[match[2]] + "."

    def mix(match: re.Match[str]) -> str:
        down = match[1] == "encoder"
        level = int(match[2]) if down else levels - 1 - int(match[2])
        return f"{match[1]}.{'down' if down else 'up'}.{level}.inter_attn."

    return [
        (r"^(encoder|decoder)\.project\.(\d+)", project),
        (r"^(encoder|decoder)\.body\.", r"\1."),
        (r"^encoder\.levels\.(\d+)", r"encoder.down.\1.block"),
        (r"^encoder\.downsamples\.(\d+)", r"encoder.down.\1.downsample"),
        (r"^decoder\.(levels|upsamples|taps)\.(\d+)", up),
        (r"^(encoder|decoder)\.mixes\.(\d+)\.layers\.", mix),
        (r"\.middle\.block(\d)", r".mid.block_\1"),
        (r"\.middle\.attention\.", ".mid.attn_1."),
        (r"\.middle\.mix\.layers\.0\.", ".mid.block_3."),
        (r"\.middle\.mix\.layers\.1\.", ".mid_attn."),
        (r"\.middle\.mix\.layers\.2\.", ".mid.block_4."),
        (r"(\.mid\.attn_1\.|\.mid_attn\.|\.inter_attn\.1\.)(query|key|value|out)\.", attention),
        (r"^(encoder|decoder)\.stem\.", r"\1.conv_in."),
        (r"^(encoder|decoder)\.norm\.", r"\1.norm_out."),
        (r"^(encoder|decoder)\.out\.", r"\1.conv_out."),
        (r"^((?:encoder|decoder)\..*)\.shortcut\.", r"\1.nin_shortcut."),
        (r"^(encoder|decoder|quant_conv|post_quant_conv)", r"vaemodel.\1"),
    ]
