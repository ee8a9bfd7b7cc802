"""What `ddmi evaluate` measures of a video model, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class VideoEvaluation:
    """How much of a model is measured, and with what."""

    count: int = 200
    """Clips a side of Frechet distances."""
    pairs: int = 50
    """Held-out clips of PSNR and SSIM."""
    rates: tuple[int, ...] = (2, 4, 8)
    """Multiples of the frame rate at which in-between frames are compared with the truth, where it is known."""
    weights: Path | None = None
    """I3D as TorchScript, for the Frechet video distance; without it, features of EfficientNet-Lite0 only."""
    fvd: Literal["stylegan-v", "logits"] = "stylegan-v"
    """Protocol of the Frechet video distance, see `ddmi_modalities.video.fvd`."""
    fvd_count: int = 2048
    """Clips a side of the Frechet video distance."""

    def __post_init__(self) -> None:
        if min(self.count, self.fvd_count) < 2 or self.pairs < 1:
            raise ValueError(
                f"VideoEvaluation: a covariance needs 2 clips a side and a mean 1, got count {self.count}, "
                f"fvd_count {self.fvd_count}, pairs {self.pairs}"
            )
        if any(rate < 2 for rate in self.rates):
            raise ValueError(f"VideoEvaluation: rates are multiples of the frame rate from 2, got {self.rates}")
