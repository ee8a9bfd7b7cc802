"""Weights of latent diffusion on one plane, on equal planes stacked on channels, or on a row: the ADM U-Net."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from ddmi.reference.latent_config import diffusion_config, latent_shapes
from ddmi.reference.sources import Rule, Source, load_sources, sources_by_rules
from ddmi_diffusion import LatentDiffusion, LatentSpace, PlaneUNet

DERIVED = (
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "betas",
    "log_one_minus_alphas_cumprod",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "posterior_variance",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
)
"""Buffers that follow from the noise schedule."""


def latent_diffusion(
    unetconfig: Mapping[str, Any], ddpmconfig: Mapping[str, Any], *, planes: int = 1
) -> LatentDiffusion:
    """Denoiser, noise process and mixed prediction of a `unetconfig` and a `ddpmconfig`, randomly initialised.

    Args:
        unetconfig, ddpmconfig: as under `model.params` of the reference implementation's files.
        planes: equal planes that the latent's channels are made of.

    Raises:
        ValueError: an option is missing, or asks for what has no counterpart here.
    """
    config = diffusion_config(unetconfig, ddpmconfig)
    shapes = latent_shapes(unetconfig, ddpmconfig, planes)
    return config.build(shapes, LatentSpace.identity(shapes, config.packing).shape)


_STAGE: list[Rule] = [
    (r"\.block\.norm1\.", ".0.in_layers.0."),
    (r"\.block\.conv1\.", ".0.in_layers.2."),
    (r"\.block\.time\.", ".0.emb_layers.1."),
    (r"\.block\.norm2\.", ".0.out_layers.0."),
    (r"\.block\.conv2\.", ".0.out_layers.3."),
    (r"\.block\.shortcut\.", ".0.skip_connection."),
    (r"\.attention\.out\.", ".1.proj_out."),
    (r"\.attention\.", ".1."),
]


_ATTENTION = {"query": "q.", "key": "k.", "value": "v.", "out": "proj_out."}


def _legacy_heads(heads: int, channels: int) -> Int[Tensor, " row"]:
    """Their rows of a qkv projection (head, then q, k, v) in our order (q, k, v, then head)."""
    return torch.arange(3 * channels).reshape(heads, 3, -1).transpose(0, 1).flatten()


def latent_diffusion_sources(model: LatentDiffusion) -> dict[str, Source]:
    """For each tensor of a `latent_diffusion`, the reference implementation's 'diffusion.' tensor."""
    network = model.denoiser
    if not isinstance(network, PlaneUNet) or network.condition is not None:
        raise ValueError(
            f"this LatentDiffusion has a {type(network).__name__} that was not built for these weights; "
            "build it with ddmi.reference.latent_diffusion(unetconfig, ddpmconfig)"
        )
    stages: list[Any] = list(network.up)
    # Theirs is one list of stages and resamplings, down and up; a level has as many stages as ours and one resampling.
    down, up = len(network.down[0]) + 1, len(stages[0])  # type: ignore[arg-type]

    def upsample(match: re.Match[str]) -> str:
        level = int(match[1])
        place = 1 if stages[level][-1].attention is None else 2
        return f"model.output_blocks.{level * up + up - 1}.{place}.conv."

    rules: list[Rule] = [
        (r"^denoiser\.", "model."),
        (r"^model\.stem\.", "model.input_blocks.0.0."),
        (r"^model\.down\.(\d+)\.(\d+)", lambda m: f"model.input_blocks.{1 + int(m[1]) * down + int(m[2])}"),
        (r"^model\.downsamples\.(\d+)\.", lambda m: f"model.input_blocks.{(int(m[1]) + 1) * down}.0.op."),
        (r"^model\.up\.(\d+)\.(\d+)", lambda m: f"model.output_blocks.{int(m[1]) * up + int(m[2])}"),
        (r"^model\.upsamples\.(\d+)\.", upsample),
        (r"^model\.time\.", "model.time_embed."),
        (r"^model\.norm\.", "model.out.0."),
        (r"^model\.out\.(weight|bias)", r"model.out.2.\1"),
        *_STAGE,
        # Residual block, attention, residual block: the middle is one list of three there, and two stages here.
        (r"^model\.middle1\.", "model.middle_block."),
        (r"^model\.middle2\.0\.", "model.middle_block.2."),
        (r"^model\.down_mixes\.(\d+)\.", lambda m: f"model.input_attns.{int(m[1]) + 1}."),
        (r"^model\.up_mixes\.", "model.output_attns."),
        (r"^model\.middle_mix\.", "model.mid_attn."),
        (r"_attn(s\.\d+)?\.layers\.", r"_attn\1."),
        (r"(_attn(?:s\.\d+)?\.)(query|key|value|out)\.", lambda m: m[1] + _ATTENTION[m[2]]),
        (r"^mixing$", "mixing_logit"),
        (r"^", "diffusion."),
    ]
    sources = sources_by_rules(model, rules)
    for name, module in network.named_modules():
        if hasattr(module, "qkv"):
            order = _legacy_heads(module.heads, module.out.in_channels)
            for part in ("weight", "bias"):
                key = f"denoiser.{name}.qkv.{part}"
                sources[key] = Source(sources[key].name, order)
    return sources


def load_latent_diffusion(
    model: LatentDiffusion, state: Mapping[str, Tensor], order: Sequence[int] | None = None
) -> None:
    """Copies the reference implementation's weights ('diffusion.*') into a `latent_diffusion`.

    Args:
        model: of `latent_diffusion`.
        state: the reference implementation's tensors.
        order: for each of our equal planes on channels, its position among theirs; None: the same.

    Raises:
        ValueError: lists what is missing, unexpected or of another shape, or says that the weights were trained with
            another noise schedule; the model is left as it was.
    """
    sources = latent_diffusion_sources(model)
    betas = state.get("diffusion.betas")
    ours = model.noise.betas
    if betas is not None and not (betas.shape == ours.shape and torch.allclose(betas.double().cpu(), ours, rtol=1e-5)):
        raise ValueError(
            f"loading the latent diffusion: the weights were trained with {len(betas)} noise levels, beta "
            f"{float(betas[0]):.6g} to {float(betas[-1]):.6g}, the model has {len(ours)} from {float(ours[0]):.6g} to "
            f"{float(ours[-1]):.6g}; build it from the ddpmconfig that belongs to the weights"
        )
    derived = [f"diffusion.{name}" for name in DERIVED]
    load_sources(model, state, sources, what="the latent diffusion", derived=derived)
    if order is not None:
        _reorder_planes(model, order)


@torch.no_grad()
def _reorder_planes(model: LatentDiffusion, order: Sequence[int]) -> None:
    """Channels of the latent are those of the first layer's input, of the last layer and of the mixed prediction."""
    network = model.denoiser
    assert isinstance(network, PlaneUNet)
    along = [(network.stem.weight, 1), (network.out.weight, 0), (network.out.bias, 0), (model.mixing, 0)]
    for weight, dim in along:
        if isinstance(weight, Tensor):  # there may be no mixed prediction
            planes = weight.chunk(len(order), dim)
            weight.copy_(torch.cat([planes[i] for i in order], dim))
