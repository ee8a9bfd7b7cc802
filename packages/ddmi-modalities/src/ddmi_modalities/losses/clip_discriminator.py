"""The discriminator of motion."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class _PaddedConv3d(nn.Conv3d):
    """A 4 x 4 x 4 convolution of inputs padded by one.

    Padding goes first because torch's bfloat16 kernel for CPUs gives wrong gradients of the weights (by 90 %, or NaN)
    where it pads inputs that are thinner than the kernel.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 4, stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (1,) * 6))


class ClipDiscriminator(nn.Module):
    """PatchGAN over space and time: one logit for each patch of several frames, above 0 for real.

    It takes frames, clip after clip, as `PatchDiscriminator` takes images, so that both serve the same terms.

    Args:
        frames: Of a clip.
        width: Channels of the first layer; doubled by each further one up to 8 times.
        layers: Layers of stride 2.
    """

    def __init__(self, frames: int, width: int = 64, layers: int = 2) -> None:
        super().__init__()
        self.smallest = 2 ** (layers + 2)
        if width % 8 or layers < 1 or frames < self.smallest:
            raise ValueError(
                f"ClipDiscriminator: width {width} must be a multiple of 8, layers {layers} at least 1, and clips of "
                f"{frames} frames need fewer layers, as these take {self.smallest} frames"
            )
        self.frames = frames
        body: list[nn.Module] = [_PaddedConv3d(3, width, 2), nn.LeakyReLU(0.2)]
        channels = width
        for layer in range(1, layers + 1):
            wider = width * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            body += [_PaddedConv3d(channels, wider, stride, bias=False), nn.GroupNorm(8, wider), nn.LeakyReLU(0.2)]
            channels = wider
        self.body = nn.Sequential(*body, _PaddedConv3d(channels, 1, 1))

    def forward(self, images: Float[Tensor, "frame 3 rows columns"]) -> Float[Tensor, "clip 1 _ _ _"]:
        """Logits per patch of clips in [-1, 1]."""
        if len(images) % self.frames or min(images.shape[-2:]) < self.smallest:
            raise ValueError(
                f"ClipDiscriminator: {len(images)} frames of {tuple(images.shape[-2:])} pixels; wanted clips of "
                f"{self.frames} frames (the modality's shown) of at least {self.smallest} pixels"
            )
        return self.body(images.unflatten(0, (-1, self.frames)).transpose(1, 2))
