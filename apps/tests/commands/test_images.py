"""A folder of somebody's pictures, as it is: of all sizes and modes, at the size that a newcomer trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddmi.cli import main


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Fifty: wide, tall, tiny, large, grey, with a palette, with transparency; JPEG, PNG and WebP; in folders."""
    draws = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    for number in range(50):
        rows, columns = draws.integers(20, 400, 2)
        pixels = draws.integers(0, 256, (rows // 8 + 1, columns // 8 + 1, 4), np.uint8)
        picture = Image.fromarray(pixels).resize((int(columns), int(rows)))
        mode, end = (("RGB", "jpg"), ("L", "png"), ("P", "png"), ("RGBA", "png"), ("RGB", "webp"))[number % 5]
        path = folder / ("trip" if number % 2 else "home") / f"IMG {number}.{end}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.convert("RGB").convert(mode).save(path) if mode == "P" else picture.convert(mode).save(path)
    return folder


def test_fifty_pictures_of_mixed_sizes(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    few = ("--vae-training.steps", "2", "--diffusion-training.steps", "2", "--diffusion-training.warmup", "1")
    line = ["train", "images", "--data", "pictures", "--preset", "demo", "--run", "runs/mine", *few]
    assert main([*line, "--vae-training.warmup", "1"]) == 0
    assert (
        main(["sample", "runs/mine", "--count", "2", "--num-steps", "2", "--resolution", "128", "--out", "mine"]) == 0
    )
    for path in (Path("mine") / name for name in ("000.png", "001.png")):
        with Image.open(path) as made:
            assert made.size == (128, 128)
