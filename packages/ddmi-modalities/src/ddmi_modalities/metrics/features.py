"""Features of images for distances between sets of them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from ddmi_modalities.files.pixels import to_float
from ddmi_modalities.files.pretrained_weights import read_weights


@runtime_checkable
class FeatureNetwork(Protocol):
    """Images, or clips, to vectors.  Distances are comparable only between results of the same network."""

    @property
    def name(self) -> str:
        """To be printed beside every distance."""

    def __call__(self, items: UInt8[Tensor, "batch ..."], /) -> Float[Tensor, "batch feature"]: ...


class EfficientNetLiteFeatures:
    """1280 pooled features of EfficientNet-Lite at the size it was trained at; offline, Lite0 takes 48 ms an image.

    Images are brought to that size by bilinear interpolation with antialias.  Enlarging, that is plain bilinear;
    reducing, it does not alias (Parmar et al. 2022).  There are no published distances of these networks.

    Args:
        number: 0, or 2 as a second judge, whose features no loss of ours uses.
    """

    def __init__(self, device: torch.device | str = "cpu", number: Literal[0, 2] = 0) -> None:
        from ddmi_modalities.metrics.efficientnet import NATIVE_SIZES, FrozenEfficientNetLite

        self.device, self.size = torch.device(device), NATIVE_SIZES[number]
        self.network = FrozenEfficientNetLite(number).to(self.device)
        self.name = f"EfficientNet-Lite{number} (ImageNet, pooled, 1280)"

    @torch.no_grad()
    def __call__(self, images: UInt8[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch 1280"]:
        pixels = to_float(images.to(self.device))
        resized = F.interpolate(pixels, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True)
        return self.network.pooled(resized)


class InceptionFeatures:
    """2048 pooled features of the TensorFlow Inception of 2015, by torch-fidelity: those of published FIDs.

    Resizing is torch-fidelity's (TensorFlow 1's bilinear, no antialias), because published FIDs are.

    Args:
        weights: `weights-inception-2015-12-05-6726825d.pth` from torch-fidelity's releases; its sha256 is printed.

    Raises:
        ValueError: The file is absent or has other contents.
    """

    name = "Inception v3 (TensorFlow 2015, pool3, 2048)"
    source = (
        "weights-inception-2015-12-05-6726825d.pth from https://github.com/toshas/torch-fidelity/releases/tag/v0.2.0"
    )

    def __init__(self, weights: Path | str, device: torch.device | str = "cpu") -> None:
        state = read_weights(weights, purpose="FID (Inception)", source=self.source)
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        # torch-fidelity unpickles the file it is given without restriction; it gets what we read safely instead
        safe = io.BytesIO()
        torch.save(state, safe)
        safe.seek(0)
        try:
            network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], safe)
        except RuntimeError as error:
            reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise ValueError(
                f"FID (Inception): the weights in {str(weights)!r} do not fit ({reason[:200]}); get {self.source}"
            ) from error
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()

    @torch.no_grad()
    def __call__(self, images: UInt8[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch 2048"]:
        (features,) = self.network(images.to(self.device))
        return features


def feature_network(weights: Path | None, device: torch.device | str = "cpu") -> FeatureNetwork:
    """Inception where its weights are given, for the usual FID; otherwise EfficientNet-Lite0, which a package ships."""
    return EfficientNetLiteFeatures(device) if weights is None else InceptionFeatures(weights, device)


def extract(
    network: FeatureNetwork, batches: Iterable[UInt8[Tensor, "_ ..."]], *, batch: int = 32
) -> Float[Tensor, "count feature"]:
    """Features of all images or clips of some batches, on the CPU; each is cut into pieces of at most `batch`."""
    rows = [network(piece).float().cpu() for group in batches for piece in torch.split(group, batch)]
    if not rows:
        raise ValueError(f"features ({network.name}): there is nothing to have features of")
    return torch.cat(rows)
