"""The U-Net over the three latent planes of a video, in one row: attention across planes after every block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_diffusion import Conditioning, PlaneUNet
from ddmi_diffusion.latent_space import PlaneShape, split_planes
from ddmi_diffusion.unet import timestep_embedding
from ddmi_vae.blocks import PlaneMixing

HEADS = 16
"""Of the attention across planes, at every width."""


class RowUNet(PlaneUNet):
    """A `PlaneUNet` on a row of planes whose own attention stays within a plane.

    Every block but the first convolution is followed by attention over the tokens of all planes.  A block is a stage, a
    down-sampling, both stages of the middle, or a stage with the up-sampling that follows it.

    Args:
        plane_shapes: (channels, rows, columns) of each plane, in the order of the row.
        settings: of `PlaneUNet`.
    """

    def __init__(self, plane_shapes: Sequence[PlaneShape], **settings: Any) -> None:
        super().__init__(plane_shapes, "row", **settings)
        down: list[int] = []
        up: list[int] = []
        coarsest = self.width * settings["multipliers"][-1]
        for level, multiplier in enumerate(settings["multipliers"]):
            width, count = self.width * multiplier, settings["blocks"]
            down += [width] * (count + (level + 1 < len(settings["multipliers"])))
            up = [width] * (count + 1) + up
        self.down_mixes, self.up_mixes = (nn.ModuleList(_mixing(width) for width in widths) for widths in (down, up))
        self.middle_mix = _mixing(coarsest)

    def forward(
        self, z: Float[Tensor, "batch *packed"], t: Float[Tensor, " batch"], cond: Conditioning | None = None
    ) -> Float[Tensor, "batch *packed"]:
        if cond is not None:
            raise ValueError("RowUNet: got a condition, but was built without one")
        time = self.time(timestep_embedding(t, self.width).to(self.stem.weight.dtype))
        planes = [self.stem(plane) for plane in split_planes(z, self.plane_shapes, self.packing)]
        skips, mixes = [planes], iter(self.down_mixes)

        def each(stage: nn.Module, planes: list[Tensor]) -> list[Tensor]:
            return [stage([plane], time, None)[0] for plane in planes]

        for level, stages in enumerate(self.down):
            assert isinstance(stages, nn.ModuleList)
            for stage in stages:
                planes = next(mixes)(each(stage, planes))
                skips.append(planes)
            if level < len(self.downsamples):
                planes = next(mixes)([self.downsamples[level](plane) for plane in planes])
                skips.append(planes)
        planes = self.middle_mix(each(self.middle2, each(self.middle1, planes)))
        mixes = iter(self.up_mixes)
        for level, stages in enumerate(self.up):
            assert isinstance(stages, nn.ModuleList)
            for number, stage in enumerate(stages):
                skip = skips.pop()
                planes = each(stage, [torch.cat(pair, dim=1) for pair in zip(planes, skip, strict=True)])
                if number + 1 == len(stages) and level < len(self.upsamples):
                    planes = [
                        self.upsamples[level](F.interpolate(plane, size=to.shape[2:], mode="nearest"))
                        for plane, to in zip(planes, skips[-1], strict=True)
                    ]
                planes = next(mixes)(planes)
        planes = [self.out(F.silu(self.norm(plane))) for plane in planes]
        return torch.cat([plane.flatten(2) for plane in planes], dim=2)


def _mixing(width: int) -> PlaneMixing:
    return PlaneMixing("tokens", 3, width, heads=HEADS)


def row_shapes(unetconfig: Mapping[str, Any]) -> tuple[PlaneShape, ...]:
    """(channels, rows, columns) of the planes in the order of the row: xy, and the two of time."""
    channels, rows, columns, frames = (int(unetconfig[k]) for k in ("in_channels", "size1", "size2", "size3"))
    return ((channels, rows, columns), (channels, frames, rows), (channels, frames, columns))
