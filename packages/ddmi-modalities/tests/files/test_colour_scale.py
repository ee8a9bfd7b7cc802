"""Numbers as colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ddmi_modalities.files.clips import save_gif
from ddmi_modalities.files.colour_scale import COLOURS, as_colours, colour_bar


def test_ends_middle_and_nothing() -> None:
    found = as_colours(np.array([[-9.0, -1, 0, 1, 9, np.nan]]), -1.0, 1.0)[:, 0].T.tolist()
    low, middle, high = (list(COLOURS[place]) for place in (0, 3, 6))
    assert found == [low, low, middle, high, high, [255, 255, 255]]


def test_a_gif_keeps_rare_colours(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 0.2, (64, 64))
    values[0, 0], values[0, 1] = -1, 1
    pixels = as_colours(values, -1.0, 1.0)
    save_gif([pixels, pixels.flip(-1)], tmp_path / "a.gif", 5)
    with Image.open(tmp_path / "a.gif") as file:
        kept = np.asarray(file.convert("RGB")).astype(int)
    assert np.abs(kept - pixels.permute(1, 2, 0).numpy().astype(int)).max() <= 4


def test_a_bar_runs_from_high_to_low() -> None:
    bar = colour_bar("wind [m/s]", -2.0, 3.0, 120)
    column = np.asarray(bar)[:, 6]
    coloured = [tuple(pixel) for pixel in column if tuple(pixel) in COLOURS]
    assert coloured[0] == COLOURS[-1]
    assert coloured[-1] == COLOURS[0]
    assert bar.height == 120
