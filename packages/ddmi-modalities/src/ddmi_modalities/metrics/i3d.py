"""The Frechet video distance (Unterthiner et al. 2018) in two protocols, from I3D weights by path."""

from __future__ import annotations

import io
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from ddmi_modalities.files.pretrained_weights import read_announced

FRAMES = 16
"""Consecutive frames of a clip in both protocols."""

SOURCES = {
    "stylegan-v": "i3d_torchscript.pt of https://github.com/universome/stylegan-v",
    "logits": "a TorchScript of the 400-class InceptionI3d with the weights i3d_pretrained_400.pt",
}


class I3DFeatures:
    """I3D from a TorchScript file, whose sha256 is printed; a `FeatureNetwork` of clips.

    "stylegan-v" (Skorokhodov et al. 2022): `module(x, rescale=True, resize=True, return_features=True)` gets (batch, 3,
    frame, rows, columns) in [0, 255], and rescales it, resizes it to 224 and returns features.

    "logits": clips are brought to 224 on the shorter side (bilinear, no antialias), cut to the centred square and
    scaled to [-1, 1]; `module(x)` returns logits.  Scores of the two are not comparable.

    A TorchScript runs code: load only files that you trust.

    Raises:
        ValueError: The file is absent, is no TorchScript, or does not take or return what the protocol says.
    """

    def __init__(self, weights: Path | str, protocol: str = "stylegan-v", device: torch.device | str = "cpu") -> None:
        if protocol not in SOURCES:
            raise ValueError(f"FVD: there is no protocol {protocol!r}; choose {' or '.join(map(repr, SOURCES))}")
        self.protocol, self.path, self.device = protocol, Path(weights), torch.device(device)
        purpose = f"FVD ({protocol})"
        content = read_announced(weights, purpose=purpose, source=SOURCES[protocol])
        try:
            self.module = torch.jit.load(io.BytesIO(content), map_location=self.device).eval()
        except RuntimeError as error:
            raise ValueError(
                f"FVD: {str(weights)!r} is no TorchScript ({str(error).splitlines()[0]}); get {SOURCES[protocol]}"
            ) from error

    @property
    def name(self) -> str:
        return f"I3D ({self.protocol})"

    @torch.no_grad()
    def __call__(self, clips: UInt8[Tensor, "batch frame 3 rows columns"]) -> Float[Tensor, "batch feature"]:
        pixels = clips.transpose(1, 2).float().to(self.device)
        try:
            if self.protocol == "stylegan-v":
                features = self.module(pixels, rescale=True, resize=True, return_features=True)
            else:
                features = self.module(_square(pixels) / 127.5 - 1)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ValueError(
                f"FVD: {str(self.path)!r} does not fit the protocol {self.protocol!r} ({reason}); get "
                f"{SOURCES[self.protocol]}"
            ) from error
        if not isinstance(features, Tensor) or len(features) != len(clips):
            raise ValueError(f"FVD: {str(self.path)!r} returned no vector a clip; get {SOURCES[self.protocol]}")
        return features.flatten(1).float()


def _square(pixels: Float[Tensor, "batch 3 frame rows columns"], side: int = 224) -> Tensor:
    """The centred square of clips whose shorter side is brought to `side`."""
    rows, columns = pixels.shape[-2:]
    shorter = min(rows, columns)
    size = tuple(-(-n * side // shorter) for n in (rows, columns))
    frames = F.interpolate(pixels.transpose(1, 2).flatten(0, 1), size, mode="bilinear", align_corners=False)
    top, left = ((n - side) // 2 for n in size)
    cut = frames[..., top : top + side, left : left + side]
    return cut.unflatten(0, (len(pixels), -1)).transpose(1, 2)
