"""How images are evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ImageEvaluation:
    """How much of a model is measured, and with what."""

    count: int = 500
    """Images a side of Frechet distances."""
    pairs: int = 100
    """Held-out images of PSNR and SSIM."""
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    """Sizes at which reconstructions are compared, as multiples of what the encoder sees."""
    frechet_ratios: tuple[float, ...] = (1.0,)
    """Sizes at which Frechet distances are measured; `fd/samples` at 1, `fd/samples/SIZE` at others."""
    weights: Path | None = None
    """Weights of Inception, for the usual FID; without them, features of EfficientNet-Lite0, which a package ships."""

    def __post_init__(self) -> None:
        if min(self.ratios + self.frechet_ratios, default=1.0) <= 0:
            raise ValueError(
                f"ImageEvaluation: sizes are positive multiples, got ratios {self.ratios} and frechet_ratios "
                f"{self.frechet_ratios}"
            )
