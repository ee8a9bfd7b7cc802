"""`ddmi fit FILE`: reads an image, fits it, writes its reconstruction and an enlargement."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from ddmi.fit import FitConfig, fit_image
from ddmi_modalities.image import ImageArtefact, ImageModality, ImageView
from ddmi_modalities.image.metrics import psnr
from ddmi_modalities.pixels import to_bytes


def fit_image_file(
    file: Path, out: Path, *, size: int, zoom: int, config: FitConfig, say: Callable[[str], None]
) -> list[Path]:
    """Writes fit_SIZE.png and fit_{SIZE * zoom}.png."""
    if zoom < 1 or size < 1:
        raise ValueError(f"fit: --size and --zoom must be at least 1, got {size} and {zoom}")
    modality = ImageModality(size=size)
    (image,) = modality.read(file)

    def report(step: int, error: float, seconds: float) -> None:
        say(f"step {step:5d}  {10 * math.log10(4 / max(error, 1e-12)):5.2f} dB  {seconds:5.1f} s")

    model = fit_image(image[0], config, report)
    made = {s: modality.render(model.function, ImageView(resolution=s)) for s in (size, size * zoom)}
    numbers = sum(p.numel() for p in model.parameters())
    say(f"{psnr(made[size].images, to_bytes(image)).item():.2f} dB with {numbers:,} numbers")
    return [_save(out / f"fit_{s}.png", artefact) for s, artefact in made.items()]


def _save(path: Path, artefact: ImageArtefact) -> Path:
    from ddmi_modalities.pixels import to_picture

    path.parent.mkdir(parents=True, exist_ok=True)
    to_picture(artefact.images[0]).save(path)
    return path
