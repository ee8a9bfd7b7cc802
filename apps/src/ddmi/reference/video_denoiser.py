"""The U-Net over the three latent planes of a video, in one row: attention across planes after every block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ddmi_diffusion import Conditioning, PlaneUNet, UNetConfig
from ddmi_diffusion.latent_space import PlaneShape
from ddmi_diffusion.unet import Part
from ddmi_vae.blocks import PlaneMixing

HEADS = 16
"""Of the attention across planes, at every width."""


class RowUNet(PlaneUNet):
    """A `PlaneUNet` on a row of planes whose own attention stays within a plane.

    Every block but the first convolution is followed by attention over the tokens of all planes.  A block is a stage, a
    down-sampling, both stages of the middle, or a stage with the up-sampling that follows it.

    Args:
        plane_shapes: (channels, rows, columns) of each plane, in the order of the row.
        config: its sizes.
    """

    def __init__(self, plane_shapes: Sequence[PlaneShape], config: UNetConfig) -> None:
        super().__init__(plane_shapes, "row", config)
        down: list[int] = []
        up: list[int] = []
        widths = [config.width * multiplier for multiplier in config.multipliers]
        for level, width in enumerate(widths):
            down += [width] * (config.blocks + (level + 1 < len(widths)))
            up = [width] * (config.blocks + 1) + up
        self.down_mixes, self.up_mixes = (nn.ModuleList(_mixing(width) for width in line) for line in (down, up))
        self.middle_mix = _mixing(widths[-1])

    def apply_stage(
        self, stage: nn.Module, planes: list[Tensor], time: Tensor, cond: Conditioning | None
    ) -> list[Tensor]:
        return [stage([plane], time, cond)[0] for plane in planes]

    def join(self, planes: list[Tensor], part: Part, skips: int) -> list[Tensor]:
        if part == "middle":
            return self.middle_mix(planes)
        return self.down_mixes[skips - 1](planes) if part == "down" else self.up_mixes[-1 - skips](planes)


def _mixing(width: int) -> PlaneMixing:
    return PlaneMixing("tokens", 3, width, heads=HEADS)


def row_shapes(unetconfig: Mapping[str, Any]) -> tuple[PlaneShape, ...]:
    """(channels, rows, columns) of the planes in the order of the row: xy, and the two of time."""
    channels, rows, columns, frames = (int(unetconfig[k]) for k in ("in_channels", "size1", "size2", "size3"))
    return ((channels, rows, columns), (channels, frames, rows), (channels, frames, columns))
