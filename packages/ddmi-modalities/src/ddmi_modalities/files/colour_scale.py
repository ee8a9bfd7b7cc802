"""Numbers as colours, and what the colours stand for."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from ddmi_modalities.files.pixels import to_picture
from ddmi_modalities.files.sheets import INK, PAPER, label_font, line_height

COLOURS = (
    (24, 42, 108),
    (72, 126, 190),
    (190, 214, 232),
    (246, 244, 238),
    (240, 190, 160),
    (204, 88, 70),
    (104, 16, 38),
)
"""From low over middle to high values."""


STEPS = 240
"""Of colours: a GIF holds 256, and would mix rare ones."""


def as_colours(values: Float[np.ndarray, "rows columns"], low: float, high: float) -> UInt8[Tensor, "3 rows columns"]:
    """Blue for `low` and below, white in the middle, red for `high` and above; NaN is white paper."""
    share = np.nan_to_num(np.clip((values - low) / (high - low), 0, 1))
    place = np.round(share * STEPS) * ((len(COLOURS) - 1) / STEPS)
    table = np.array(COLOURS, np.float64)
    colours = np.stack([np.interp(place, np.arange(len(table)), table[:, c]) for c in range(3)])
    return torch.from_numpy(np.where(np.isnan(values), 255.0, colours).round().astype(np.uint8))


def colour_bar(title: str, low: float, high: float, height: int) -> Image.Image:
    """The colours from high to low with the values at their ends and in the middle, under a title."""
    font = label_font(height // 2)
    texts = {high: f"{high:.3g}", (low + high) / 2: f"{(low + high) / 2:.2g}", low: f"{low:.3g}"}
    line = line_height(font) + 2
    width = int(max(font.getlength(title), 20 + max(map(font.getlength, texts.values())))) + 4
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((0, 0), title, INK, font)
    top, bottom = 2 * line, height - line
    bar = np.linspace(high, low, bottom - top)[:, None].repeat(12, 1)
    sheet.paste(to_picture(as_colours(bar, low, high)), (0, top))
    for value, text in texts.items():
        at = top + (high - value) / (high - low) * (bottom - top)
        draw.text((18, at), text, INK, font, anchor="lm")
    return sheet
