"""Video: the space-time transformer, the tri-plane D2C-VAE whose time is not up-sampled, and its read-out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ddmi.reference.autoencoder import ProjectedDecoder, autoencoder_rules, check_ddconfig, mixed_levels
from ddmi.reference.occupancy import NarrowBlock
from ddmi.reference.options import refuse_others, require
from ddmi.reference.sources import Rule, Source, load_sources, sources_by_rules
from ddmi_fields import BasisField, CoarseToFineReadOut, PlaneLayout
from ddmi_modalities.video.networks.space_time_encoder import SpaceTimeEncoder, SpaceTimeEncoderConfig
from ddmi_modalities.video.networks.transformer import AxisPooling, Positions, Turn
from ddmi_vae import D2CVAE, PlaneDecoder, PlaneDecoderConfig, Planes
from ddmi_vae.blocks import PlaneMixing, TokenAttention, group_norm

LAYOUT = PlaneLayout("xyt", ("xy", "ty", "tx"), align_corners=True)
"""Its temporal planes are read transposed: time scans their columns, space their rows."""

_OURS = PlaneLayout.video(align_corners=True)
_DEPTH, _HEADS, _HEAD_WIDTH = 8, 8, 64
"""Of its transformer, whatever the configuration says."""
_POOLING_DEPTH, _POOLING_HEADS, _POOLING_HIDDEN = 4, 4, 512
_WIDE_HEADS, _PLANE_HEADS = 8, 16
"""Of attention across planes, and within each."""
_POOLS = ("xy", "xt", "yt")
"""Its names of our planes xy, yt and xt: it names a temporal plane by the axis that it pools over."""


class IndexedPositions(Positions):
    """Frames turn by their number, patches by corner-aligned coordinates."""

    def time(self, frames: int, device: torch.device) -> Turn:
        """The channels of a pair turn at two different rates: the table of rates is laid out for another pairing."""
        rates = 10000.0 ** (-torch.arange(0, self.head_width, 2, device=device) / self.head_width)
        angles = torch.arange(frames, device=device)[:, None] * rates.repeat(2)
        return angles.cos(), angles.sin()

    def space(self, rows: int, columns: int, device: torch.device) -> Turn:
        scales = torch.pi * torch.logspace(0, torch.tensor(5.0).log2().item(), self.head_width // 4, base=2.0)
        down, right = (
            (torch.linspace(-1, 1, count)[:, None] * scales).repeat_interleave(2, -1).to(device)
            for count in (rows, columns)
        )
        angles = torch.cat((down.repeat_interleave(columns, 0), right.repeat(rows, 1)), dim=-1)
        return angles.cos(), angles.sin()


class FirstTokenPooling(AxisPooling):
    """Learned positions, the learned token last; what is read is the output at the first token of the sequence."""

    def __init__(self, width: int, length: int) -> None:
        head_width = width // 8
        super().__init__(
            width, depth=_POOLING_DEPTH, heads=_POOLING_HEADS, head_width=head_width, hidden=_POOLING_HIDDEN
        )
        self.places = nn.Parameter(torch.randn(length + 1, width))

    def sequence(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.token.expand(len(x), 1, -1)), dim=1) + self.places[: x.shape[1] + 1]


class WideTokenAttention(TokenAttention):
    """Each head is as wide as all channels."""

    def __init__(self, channels: int) -> None:
        nn.Module.__init__(self)
        self.heads = _WIDE_HEADS
        self.norm = group_norm(channels, 32)
        self.query, self.key, self.value = (nn.Conv1d(channels, _WIDE_HEADS * channels, 1) for _ in range(3))
        self.out = nn.Conv1d(_WIDE_HEADS * channels, channels, 1)


class SwappedEncoder(nn.Module):
    """Moments of our planes (xy, yt, xt) in the places of (xy, ty, tx): the plane over t and x is read as ty."""

    def __init__(self, body: SpaceTimeEncoder) -> None:
        super().__init__()
        self.body = body

    def forward(self, inputs: Any) -> Planes:
        xy, yt, xt = self.body(inputs)
        return xy, xt, yt


class TransposedDecoder(ProjectedDecoder):
    """The basis fields of our layout, to be read by `LAYOUT`."""

    def forward(self, latent: Planes) -> BasisField:
        return BasisField(LAYOUT, super().forward(latent).fields, "concat")


class VideoReadOut(CoarseToFineReadOut):
    """A leaky activation before the last layer; first block as wide inside as its narrower end."""

    def __init__(self, channels: int, scales: int, width: int) -> None:
        super().__init__([3 * channels] * scales, 3, width=width)
        self.blocks[0] = NarrowBlock(3 * channels, width)
        self.out = nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(width, 3))

    @property
    def last_layer(self) -> Tensor:
        return self.out[1].weight  # type: ignore[index]


def video_vae(config: Mapping[str, Any]) -> D2CVAE:
    """The D2C-VAE that a configuration of the reference implementation describes, randomly initialised.

    It takes a 1-tuple of clips (batch, 3, frames, size, size) in [-1, 1].  Latents and basis fields are in the order
    (xy, ty, tx) of `LAYOUT`; the reference implementation's own row of latents is in the order (xy, tx, ty).

    Args:
        config: with `ddconfig`, `mlpconfig`, `embed_dim` and `frames`.

    Raises:
        ValueError: an option is missing, or asks for what has no counterpart here.
    """
    require(config, "video configuration", ("ddconfig", "mlpconfig", "embed_dim", "frames"))
    dd, mlp, latent = config["ddconfig"], config["mlpconfig"], int(config["embed_dim"])
    require(dd, "ddconfig", ("timesformer_channels", "patch_size"))
    levels = len(dd.get("ch_mult", ()))
    # three halvings and an attention of 16 heads are built into its code
    refuse_others(dd, "ddconfig", dict(splits=1, patch_size=8, attn_type="vanilla-multihead", temb_ch=0))
    scales = check_ddconfig({**dd, "attn_type": "vanilla"})
    if levels != 4:
        raise ValueError(f"ddconfig: ch_mult {dd['ch_mult']} has {levels} levels; patches of 8 pixels need 4")
    require(mlp, "mlpconfig", ("ch", "latent_dim", "out_ch"))
    refuse_others(mlp, "mlpconfig", dict(latent_dim=dd["out_ch"], out_ch=3))
    width, mixed = int(dd["timesformer_channels"]), mixed_levels(dd)
    encoder = SpaceTimeEncoderConfig(
        width=width, depth=_DEPTH, heads=_HEADS, head_width=_HEAD_WIDTH, patch=8, pooling_heads=1
    ).build(_OURS, latent)
    encoder.positions = IndexedPositions(_HEAD_WIDTH)
    patches = dd["resolution"] // 8
    encoder.pools = nn.ModuleList(FirstTokenPooling(width, n) for n in (int(config["frames"]), patches, patches))
    basis = PlaneDecoderConfig(
        channels=dd["out_ch"],
        scales=scales,
        width=dd["ch"],
        multipliers=tuple(dd["ch_mult"]),
        blocks=dd["num_res_blocks"] + 1,
        mixing="tokens",
        mixed_levels=tuple(levels - 1 - level for level in mixed),
        scaled_axes="xy",
        reduction="concat",
        heads=_PLANE_HEADS,
    )
    decoder = PlaneDecoder(_OURS, dd["z_channels"], basis)
    for mix in decoder.modules():
        if isinstance(mix, PlaneMixing):
            assert isinstance(mix.layers, TokenAttention)
            mix.layers = WideTokenAttention(mix.layers.query.in_channels)
    return D2CVAE(
        SwappedEncoder(encoder),
        TransposedDecoder(decoder, dd["z_channels"], latent),
        VideoReadOut(dd["out_ch"], scales, mlp["ch"]),
    )


def _encoder_name(match: re.Match[str]) -> str:
    """Their name of a tensor of ours that belongs to the pooling along an axis."""
    plane, rest = _POOLS[int(match[2])], match[3]
    if match[1] == "out":
        return f"vaemodel.pre_{plane}.{rest}"
    if rest in ("token", "places"):
        return f"vaemodel.{plane}_{'token' if rest == 'token' else 'pos_embedding'}"
    kind, number, part = rest.split(".", 2)
    layer, half = divmod(int(number), 2) if kind == "norms" else (int(number), int(kind == "feed_forwards"))
    inner = {"qkv.": "fn.to_qkv.", "out.": "fn.to_out.0.", "0.": "fn.net.0.", "2.": "fn.net.3."}
    part = f"norm.{part}" if kind == "norms" else re.sub(r"^\w+\.", lambda m: inner[m[0]], part)
    return f"vaemodel.{plane}_quant_attn.layers.{layer}.{half}.{part}"


_ENCODER = r"^encoder\.body\."
_RULES: list[Rule] = [
    (_ENCODER + r"(pools|out)\.(\d+)\.(.+)", _encoder_name),
    (_ENCODER + r"embed\.", "vaemodel.encoder.to_patch_embedding."),
    (_ENCODER + r"layers\.(\d+)\.norms\.(\d+)\.", r"vaemodel.encoder.layers.\1.\2.norm."),
    (_ENCODER + r"layers\.(\d+)\.time\.", r"vaemodel.encoder.layers.\1.0.fn."),
    (_ENCODER + r"layers\.(\d+)\.space\.", r"vaemodel.encoder.layers.\1.1.fn."),
    (_ENCODER + r"layers\.(\d+)\.feed_forward\.", r"vaemodel.encoder.layers.\1.2.fn."),
    (r"^(vaemodel\.encoder\..*\.fn\.)qkv\.", r"\1to_qkv."),
    (r"^(vaemodel\.encoder\..*\.fn\.)out\.", r"\1to_out.0."),
    (r"^(vaemodel\.encoder\..*\.fn\.)inner\.", r"\1net.0."),
    (r"^(vaemodel\.encoder\..*\.fn\.)outer\.", r"\1net.3."),
    (r"^decoder\.project\.(\d+)\.", lambda match: f"vaemodel.post_{('xy', 'yt', 'xt')[int(match[1])]}."),
    (r"^(decoder\.body)\.middle\.mix\.layers\.", r"\1.mid_attn."),
    (r"^(decoder\.body\.mixes\.\d+\.layers)\.", r"\1.0."),
    (r"^read_out\.blocks\.(\d+)\.", lambda match: f"mlp.net_res{int(match[1]) + 1}."),
    (r"^read_out\.out\.1\.", "mlp.net_out."),
    (r"^(mlp\..*)\.inner\.", r"\1.fc_0."),
    (r"^(mlp\..*)\.outer\.", r"\1.fc_1."),
]
_WIDE = {"query": "q", "key": "k", "value": "v", "out": "proj_out"}
_AFTER: list[Rule] = [
    (r"(\.inter_attn\.0\.)(query|key|value|out)\.", lambda match: f"{match[1]}{_WIDE[match[2]]}."),
]
_DERIVED = ("vaemodel.encoder.frame_rot_emb.inv_freqs", "vaemodel.encoder.image_rot_emb.scales")
"""Buffers that follow from its code."""


def video_sources(vae: D2CVAE) -> dict[str, Source]:
    """For each tensor of a `video_vae`, the reference implementation's 'vaemodel.' or 'mlp.' tensor."""
    if not isinstance(vae.encoder, SwappedEncoder) or not isinstance(vae.decoder, TransposedDecoder):
        raise ValueError(
            f"this D2CVAE has a {type(vae.encoder).__name__} and a {type(vae.decoder).__name__}; "
            "build it with ddmi.reference.video_vae(config)"
        )
    return sources_by_rules(vae, [*_RULES, *autoencoder_rules(len(vae.decoder.body.levels)), *_AFTER])


def load_video_vae(vae: D2CVAE, state: Mapping[str, Tensor]) -> None:
    """Copies the reference implementation's weights ('vaemodel.*', 'mlp.*') into a `video_vae`.

    Raises:
        ValueError: lists what is missing, unexpected or of another shape; the model is left as it was.
    """
    load_sources(vae, state, video_sources(vae), what="the video autoencoder", derived=_DERIVED)
