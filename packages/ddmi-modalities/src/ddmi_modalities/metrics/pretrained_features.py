"""Networks of published distances, beside FID's own: Inception behind other resizes, and VGG16."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ddmi_modalities.files.pixels import to_float
from ddmi_modalities.files.pretrained_weights import load_exactly, read_weights
from ddmi_modalities.metrics.features import InceptionFeatures

LAYERS = (
    "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2",
    "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7a",
    "Mixed_7b", "Mixed_7c", "AvgPool",
)  # fmt: skip
"""Of Inception from its input of 299 x 299 pixels to the 2048 pooled features, as torch-fidelity names them."""
INCEPTION_SIZE, VGG_SIZE = 299, 224
VGG_MEAN, VGG_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Prepare = Callable[[UInt8[Tensor, "batch 3 rows columns"]], Float[Tensor, "batch 3 299 299"]]


def bilinear_in_torch(images: UInt8[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch 3 299 299"]:
    """pytorch-fid's: to [-1, 1], then torch's bilinear at pixel centres without antialias."""
    size = (INCEPTION_SIZE, INCEPTION_SIZE)
    return F.interpolate(to_float(images), size, mode="bilinear", align_corners=False)


def clean(images: UInt8[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch 3 299 299"]:
    """clean-fid's (Parmar et al. 2022): Pillow's antialiased bicubic in floating point, clipped; (x - 128) / 128."""
    size = (INCEPTION_SIZE, INCEPTION_SIZE)
    resized = F.interpolate(images.float(), size, mode="bicubic", align_corners=False, antialias=True)
    return (resized.clamp(0, 255) - 128) / 128


class PreparedInceptionFeatures(InceptionFeatures):
    """`InceptionFeatures` of images that `prepare` has brought to the network's size and range.

    Args:
        weights: as of `InceptionFeatures`.
        prepare: `bilinear_in_torch` or `clean`.

    Raises:
        ValueError: as `InceptionFeatures`.
    """

    def __init__(self, weights: Path | str, prepare: Prepare, device: torch.device | str = "cpu") -> None:
        super().__init__(weights, device)
        self.prepare = prepare
        self.name = f"{InceptionFeatures.name}, resize {prepare.__name__}"
        self.layers = nn.Sequential(*(getattr(self.network, name) for name in LAYERS))

    @torch.no_grad()
    def __call__(self, images: UInt8[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch 2048"]:
        return self.layers(self.prepare(images.to(self.device))).flatten(1)


class VGG16Features:
    """4096 features of VGG16's second fully connected layer after its ReLU, those of improved precision and recall.

    Images are resized as torch-fidelity does (TensorFlow 1's bilinear, no antialias) and normalised as torchvision's.

    Args:
        weights: torchvision's `vgg16-397923af.pth`; its sha256 is printed.

    Raises:
        ValueError: The file is absent or holds other weights.
    """

    name = "VGG16 (ImageNet, fc2 after ReLU, 4096)"
    source = "torchvision's vgg16-397923af.pth, https://download.pytorch.org/models/vgg16-397923af.pth"

    def __init__(self, weights: Path | str, device: torch.device | str = "cpu") -> None:
        purpose = "precision and recall (VGG16)"
        state = read_weights(weights, purpose=purpose, source=self.source)
        from torchvision.models import vgg16  # type: ignore[import-untyped,unused-ignore]

        with torch.device("meta"):  # 138 million numbers that need not be drawn
            network = vgg16(weights=None, init_weights=False)
        network.to_empty(device="cpu")
        load_exactly(network, state, purpose=purpose, source=self.source)
        self.device = torch.device(device)
        self.network = network.to(self.device).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, images: UInt8[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch 4096"]:
        return second_layer(self.network, images.to(self.device))


def second_layer(
    network: nn.Module, images: UInt8[Tensor, "batch 3 rows columns"], size: int = VGG_SIZE
) -> Float[Tensor, "batch feature"]:
    """The second layer of a VGG's `classifier`, after its ReLU, of images resized to `size`."""
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    resized = interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=(size, size), align_corners=False)
    mean, std = (resized.new_tensor(values)[:, None, None] for values in (VGG_MEAN, VGG_STD))
    maps = network.avgpool(network.features((resized / 255 - mean) / std))  # type: ignore[operator]
    classifier = network.classifier
    assert isinstance(classifier, nn.Sequential)
    return classifier[:5](maps.flatten(1))  # linear, ReLU, dropout, linear, ReLU
