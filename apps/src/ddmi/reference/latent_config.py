"""Stage 2 of the reference implementation's configurations as ours: noise, U-Net, sampler and guidance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ddmi.experiment.config import DiffusionConfig
from ddmi.reference.options import refuse_others, require
from ddmi.reference.video_denoiser import RowUNet, row_shapes
from ddmi_diffusion import NoiseConfig, UNetConfig
from ddmi_diffusion.latent_space import Packing, PlaneShape
from ddmi_diffusion.schedulers import SamplerName


@dataclass(frozen=True, kw_only=True)
class RowUNetConfig(UNetConfig):
    """The U-Net over the planes of a video in one row, with attention across all of them after every block."""

    def build(self, plane_shapes: Sequence[PlaneShape], packing: Packing, condition: int | None = None) -> RowUNet:
        """ValueError for planes that are not in a row, and for a condition."""
        if packing != "row" or condition is not None:
            raise ValueError(f"RowUNet: takes packing 'row' and no condition, not {packing!r} and {condition}")
        return RowUNet(plane_shapes, self)


def diffusion_config(unetconfig: Mapping[str, Any], ddpmconfig: Mapping[str, Any]) -> DiffusionConfig:
    """What a `unetconfig` and a `ddpmconfig` describe: for equal planes stacked on channels, or for planes in a row.

    The network predicts eps whatever `parameterization` says: that names the quantity whose squared error is the
    training loss, and sampling does not depend on it.  `attention_resolutions` are down-sampling factors there, as
    `attention_factors` are here.  The guidance weight `w` is less by one than ours.

    Raises:
        ValueError: an option is missing, or asks for what has no counterpart here.
    """
    row = ddpmconfig.get("domain") == "video"
    require(ddpmconfig, "ddpmconfig", ("channels",) if row else ("channels", "image_size"))
    refuse_others(
        ddpmconfig,
        "ddpmconfig",
        dict(beta_schedule="linear", clip_denoised=False, given_betas=None, learn_logvar=False, loss_type="l2"),
    )
    if row:
        require(unetconfig, "unetconfig", ("size1", "size2", "size3"))
    steps = int(ddpmconfig.get("timesteps", 1000))
    mixed = float(ddpmconfig.get("mixed_init", -6)) if ddpmconfig.get("mixed_prediction", True) else None
    sampler, num_steps = _sampler(ddpmconfig, steps)
    return DiffusionConfig(
        noise=NoiseConfig(
            steps=steps,
            beta_start=float(ddpmconfig.get("linear_start", 0.0015)),
            beta_end=float(ddpmconfig.get("linear_end", 0.0195)),
        ),
        denoiser=_unet(unetconfig, int(ddpmconfig["channels"]), RowUNetConfig if row else UNetConfig),
        mixed=mixed,
        packing="row" if row else "grid",
        whiten=False,
        cache=False,
        sampler=sampler,
        num_steps=num_steps,
        guidance_scale=float(ddpmconfig.get("w", 1.0)) + 1,
    )


def _unet(unetconfig: Mapping[str, Any], channels: int, kind: type[UNetConfig]) -> UNetConfig:
    names = ("model_channels", "num_res_blocks", "attention_resolutions", "num_head_channels", "channel_mult")
    require(unetconfig, "unetconfig", names)
    refuse_others(
        unetconfig,
        "unetconfig",
        dict(
            in_channels=channels, out_channels=channels, conv_resample=True, dims=2, n_embed=None, num_classes=None,
            resblock_updown=False, use_new_attention_order=False, use_spatial_transformer=False,
        ),
    )  # fmt: skip
    if unetconfig["num_head_channels"] < 1:
        raise ValueError(
            f"unetconfig: num_head_channels={unetconfig['num_head_channels']} gives every level the same number of "
            "heads there; here the channels of a head must be given"
        )
    return kind(
        width=unetconfig["model_channels"],
        multipliers=tuple(unetconfig["channel_mult"]),
        blocks=unetconfig["num_res_blocks"],
        attention_factors=tuple(unetconfig["attention_resolutions"]),
        head_channels=unetconfig["num_head_channels"],
        dropout=float(unetconfig.get("dropout", 0)),
        scale_shift=bool(unetconfig.get("use_scale_shift_norm", False)),
    )


def _sampler(ddpmconfig: Mapping[str, Any], steps: int) -> tuple[SamplerName, int]:
    """Its sampler, whose eta of 1 is the ancestral one, and the number of its steps."""
    count, eta = int(ddpmconfig.get("sampling_timesteps", 1000)), float(ddpmconfig.get("ddim_sampling_eta", 1))
    if count < steps and eta not in (0, 1):
        raise ValueError(
            f"ddpmconfig: ddim_sampling_eta={eta} has no counterpart here, only 0 (ddim) and 1 (ddpm); the weights do "
            "not depend on it, so write one of them there"
        )
    return ("ddim" if count < steps and eta == 0 else "ddpm"), min(count, steps)


def latent_shapes(
    unetconfig: Mapping[str, Any], ddpmconfig: Mapping[str, Any], planes: int = 1
) -> tuple[PlaneShape, ...]:
    """(channels, rows, columns) of each plane that the latents are made of: of those in a row, or of equal ones.

    Raises ValueError where the channels are not those of so many planes.
    """
    if ddpmconfig.get("domain") == "video":
        return row_shapes(unetconfig)
    channels, size = int(ddpmconfig["channels"]), int(ddpmconfig["image_size"])
    if planes < 1 or channels % planes:
        raise ValueError(f"ddpmconfig: {channels} channels are not those of {planes} equal planes")
    return ((channels // planes, size, size),) * planes
