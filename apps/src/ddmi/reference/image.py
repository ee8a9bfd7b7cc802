"""Images: the 2D convolutional D2C-VAE and the read-out that knows the scale of the grid."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddmi.reference.autoencoder import ProjectedDecoder, ProjectedEncoder, autoencoder_rules, check_ddconfig
from ddmi.reference.options import refuse_others, require
from ddmi.reference.sources import Rule, Source, load_sources, sources_by_rules
from ddmi_fields import CoarseToFineReadOut, PlaneLayout, ReadOut
from ddmi_fields.read_out import Reading
from ddmi_vae import D2CVAE, PlaneDecoder, PlaneDecoderConfig, PlaneEncoder, PlaneEncoderConfig

SCALE_CHANNELS = 2
"""Constant channels that hold the scale, one an axis of the image."""


class ImageReadOut(ReadOut):
    """A coarse-to-fine read-out, conditioned on scale, whose embeddings also carry the scale as two more channels.

    The reference implementation adds white noise times a learned strength to the output of every modulated layer, at
    evaluation too.  The strengths are kept here, but a read-out is a function: only explicit noise is added.

    Args:
        channels: width of each scale's embedding, coarse to fine.
        out_channels, width, native: of `CoarseToFineReadOut`.
    """

    def __init__(self, channels: tuple[int, ...], out_channels: int, *, width: int, native: int) -> None:
        super().__init__()
        self.native = native
        self.body = CoarseToFineReadOut(
            [c + SCALE_CHANNELS for c in channels], out_channels, width=width, native=native
        )
        # Buffers, because what no gradient reaches is no parameter.
        for block, layer, _ in self._noisy_layers():
            self.register_buffer(f"strength_{block}_{layer}", torch.zeros(1))

    @property
    def last_layer(self) -> Tensor:
        return self.body.last_layer

    def _noisy_layers(self) -> list[tuple[int, int, nn.Module]]:
        return [
            (i, j, layer)
            for i, block in enumerate(self.body.blocks)
            for j, layer in enumerate(block.layers)  # type: ignore[arg-type]
        ]

    def forward(
        self,
        embeddings: list[Float[Tensor, "batch query _"]],
        coords: Float[Tensor, "batch query axis"],
        condition: Tensor | float | None = None,
        noise: Float[Tensor, "layer batch query"] | None = None,
    ) -> Float[Tensor, "batch query channel"]:
        """Values at points.

        Args:
            embeddings, coords: see `ReadOut`.
            condition: scale s = native / rows of the grid, one number or one a function; None is 1.
            noise: one map for each modulated layer, block by block, added times the layer's strength.
        """
        scale = self._scale(condition, len(embeddings[0]))
        with contextlib.ExitStack() as hooks:
            if noise is not None:
                self._add_noise(noise, hooks)
            return self.body(_with_scale(embeddings, scale), coords, scale)

    def prepared(self, condition: Tensor | float | None, batch: int) -> Reading:
        if self._must_be_called(ImageReadOut):
            return super().prepared(condition, batch)
        scale = self._scale(condition, batch)
        read = self.body.prepared(scale, batch)
        return lambda embeddings, coords: read(_with_scale(embeddings, scale), coords)

    def _scale(self, condition: Tensor | float | None, batch: int) -> Tensor:
        scale = torch.as_tensor(
            1.0 if condition is None else condition, dtype=torch.float32, device=self.last_layer.device
        )
        if scale.ndim > 1 or scale.numel() not in (1, batch):
            raise ValueError(f"ImageReadOut: the scale must be one number or ({batch},), got {tuple(scale.shape)}")
        return scale

    def _add_noise(self, noise: Tensor, hooks: contextlib.ExitStack) -> None:
        layers = self._noisy_layers()
        if len(noise) != len(layers):
            raise ValueError(f"ImageReadOut: noise needs one map for each of {len(layers)} layers, got {len(noise)}")
        for (block, layer, module), one in zip(layers, noise, strict=True):
            added = (getattr(self, f"strength_{block}_{layer}") * one)[..., None]
            # the layer's third argument is the gain of its output, and so of the noise
            handle = module.register_forward_hook(lambda _, inputs, output, added=added: output + inputs[2] * added)
            hooks.callback(handle.remove)


def _with_scale(embeddings: list[Tensor], scale: Tensor) -> list[Tensor]:
    """Embeddings, each with the scale of its function as more channels."""
    batch, query, _ = embeddings[0].shape
    channels = scale.reshape(-1, 1, 1).expand(batch, query, SCALE_CHANNELS)
    return [torch.cat((p, channels.to(p)), dim=-1) for p in embeddings]


def image_vae(config: Mapping[str, Any]) -> D2CVAE:
    """The D2C-VAE that a configuration of the reference implementation describes, randomly initialised.

    Args:
        config: with `ddconfig`, `mlpconfig` and `embed_dim`, as under `model` and `model.params` of its image files.

    Raises:
        ValueError: an option is missing, or asks for what has no counterpart here.
    """
    require(config, "image configuration", ("ddconfig", "mlpconfig", "embed_dim"))
    dd, mlp, latent = config["ddconfig"], config["mlpconfig"], int(config["embed_dim"])
    scales = check_ddconfig(dd)
    require(mlp, "mlpconfig", ("ch", "latent_dim", "out_ch"))
    refuse_others(mlp, "mlpconfig", dict(in_ch=SCALE_CHANNELS, latent_dim=dd["out_ch"]))
    layout = PlaneLayout.image()
    shared: dict[str, Any] = dict(width=dd["ch"], multipliers=tuple(dd["ch_mult"]))
    encoder = PlaneEncoder(
        layout,
        dd["z_channels"],
        PlaneEncoderConfig(in_channels=dd["in_channels"], blocks=dd["num_res_blocks"], **shared),
    )
    decoder = PlaneDecoder(
        layout,
        dd["z_channels"],
        PlaneDecoderConfig(channels=dd["out_ch"], scales=scales, blocks=dd["num_res_blocks"] + 1, **shared),
    )
    return D2CVAE(
        ProjectedEncoder(encoder, dd["z_channels"], latent),
        ProjectedDecoder(decoder, dd["z_channels"], latent),
        ImageReadOut((dd["out_ch"],) * scales, mlp["out_ch"], width=mlp["ch"], native=dd["resolution"]),
    )


def _layer(match: re.Match[str]) -> str:
    part = {
        "weight": "conv.weight",
        "bias": "activate.bias",
        "modulation": "conv.modulation.weight",
        "modulation_bias": "conv.modulation.bias",
    }[match[3]]
    return f"mlp.net_res{int(match[1]) + 1}.conv{int(match[2]) + 1}.{part}"


_READ_OUT: list[Rule] = [
    (
        r"^read_out\.strength_(\d+)_(\d+)$",
        lambda match: f"mlp.net_res{int(match[1]) + 1}.conv{int(match[2]) + 1}.noise.weight",
    ),
    (r"^read_out\.body\.blocks\.(\d+)\.layers\.(\d+)\.(\w+)$", _layer),
    (r"^read_out\.body\.blocks\.(\d+)\.shortcut$", lambda match: f"mlp.net_res{int(match[1]) + 1}.skip.0.weight"),
    # Their network of the style begins with the sinusoidal embedding, as a layer without weights.
    (r"^read_out\.body\.style\.(\d+)\.", lambda match: f"mlp.time_mlp.{int(match[1]) + 1}."),
    (r"^read_out\.body\.out\.bias$", "mlp.torgb.bias"),
    (r"^read_out\.body\.out\.modulation$", "mlp.torgb.conv.modulation.weight"),
    (r"^read_out\.body\.out\.modulation_bias$", "mlp.torgb.conv.modulation.bias"),
    (r"^read_out\.body\.out\.", "mlp.torgb.conv."),
]


def image_sources(vae: D2CVAE) -> dict[str, Source]:
    """For each tensor of an `image_vae`, the reference implementation's 'vaemodel.' or 'mlp.' tensor."""
    if not isinstance(vae.decoder, ProjectedDecoder) or not isinstance(vae.read_out, ImageReadOut):
        raise ValueError(
            f"this D2CVAE has a {type(vae.decoder).__name__} and a {type(vae.read_out).__name__}; "
            "build it with ddmi.reference.image_vae(config)"
        )
    return sources_by_rules(vae, [*autoencoder_rules(len(vae.decoder.body.levels)), *_READ_OUT])


def load_image_vae(vae: D2CVAE, state: Mapping[str, Tensor]) -> None:
    """Copies the reference implementation's weights ('vaemodel.*' and 'mlp.*') into an `image_vae`.

    Raises:
        ValueError: lists what is missing, unexpected or of another shape; the model is left as it was.
    """
    load_sources(vae, state, image_sources(vae), what="the image autoencoder")
