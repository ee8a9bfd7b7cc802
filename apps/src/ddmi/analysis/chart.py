"""Line charts with two logarithmic axes, drawn with Pillow alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from ddmi_modalities.files.sheets import INK, PAPER

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
"""Okabe and Ito's, which the colour-blind can tell apart."""
GRID, FRAME = (228, 228, 228), (150, 150, 150)
OVERSAMPLED = 3
"""Drawn this much larger and reduced: Pillow's lines have jagged edges."""
WIDTH, HEIGHT = 460, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 40, 52
DECADES = 7
"""Shown at most, below the highest point."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """Points with positive x; those with y of 0 or below are not on a logarithmic axis and are left out."""

    label: str
    x: Sequence[int | float]
    y: Sequence[int | float]


def log_charts(panels: Mapping[str, Sequence[Line]], *, x_label: str, y_label: str) -> Image.Image:
    """Panels side by side with common axes: x in powers of 2, y in powers of 10; titles are the keys.

    Raises ValueError where there is no positive point at all.
    """
    points = [(x, y) for lines in panels.values() for line in lines for x, y in zip(line.x, line.y, strict=True)]
    points = [(x, y) for x, y in points if x > 0 and y > 0 and math.isfinite(y)]
    if not points:
        raise ValueError(f"chart of {y_label!r}: no point is positive, so a logarithmic axis shows none")
    top = math.ceil(math.log10(max(y for _, y in points)))
    bottom = max(math.floor(math.log10(min(y for _, y in points))), top - DECADES)
    right = math.ceil(math.log2(max(x for x, _ in points)))
    left = math.floor(math.log2(min(x for x, _ in points)))
    frame = _Frame(left, max(right, left + 1), bottom, max(top, bottom + 1))
    scale = OVERSAMPLED
    sheet = Image.new("RGB", (len(panels) * WIDTH * scale, HEIGHT * scale), PAPER)
    for index, (title, lines) in enumerate(panels.items()):
        panel = Image.new("RGB", (WIDTH * scale, HEIGHT * scale), PAPER)
        _draw_panel(ImageDraw.Draw(panel), frame, title, lines, x_label)
        sheet.paste(panel, (index * WIDTH * scale, 0))
        if index == 0:
            _draw_upright(sheet, y_label)
    return sheet.resize((len(panels) * WIDTH, HEIGHT), Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class _Frame:
    """Where powers of 2 and of 10 lie, in oversampled pixels."""

    left: int
    right: int
    bottom: int
    top: int

    def x(self, exponent: int | float) -> float:
        return OVERSAMPLED * (LEFT + (exponent - self.left) / (self.right - self.left) * (WIDTH - LEFT - RIGHT))

    def y(self, exponent: int | float) -> float:
        return OVERSAMPLED * (TOP + (self.top - exponent) / (self.top - self.bottom) * (HEIGHT - TOP - BOTTOM))


def _font(points: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(points * OVERSAMPLED)


def _draw_panel(draw: ImageDraw.ImageDraw, frame: _Frame, title: str, lines: Sequence[Line], x_label: str) -> None:
    small, thin = _font(12), OVERSAMPLED
    box = (frame.x(frame.left), frame.y(frame.top), frame.x(frame.right), frame.y(frame.bottom))
    for exponent in range(frame.left, frame.right + 1):
        at = frame.x(exponent)
        draw.line((at, box[1], at, box[3]), GRID, thin)
        draw.text((at, box[3] + 6 * thin), f"{2.0**exponent:g}", INK, small, anchor="ma")
    for exponent in range(frame.bottom, frame.top + 1):
        at = frame.y(exponent)
        draw.line((box[0], at, box[2], at), GRID, thin)
        draw.text((box[0] - 6 * thin, at), f"1e{exponent}", INK, small, anchor="rm")
    draw.rectangle(box, outline=FRAME, width=thin)
    draw.text(((box[0] + box[2]) / 2, 12 * thin), title, INK, _font(15), anchor="ma")
    draw.text(((box[0] + box[2]) / 2, (HEIGHT - 10) * thin), x_label, INK, small, anchor="mb")
    for line, colour in zip(lines, _colours(len(lines)), strict=True):
        shown = [(x, y) for x, y in zip(line.x, line.y, strict=True) if x > 0 and y >= 10.0**frame.bottom]
        at_pixels = [(frame.x(math.log2(x)), frame.y(math.log10(y))) for x, y in shown]
        if len(at_pixels) > 1:
            draw.line(at_pixels, colour, round(2.5 * thin), joint="curve")
        for x, y in at_pixels if len(at_pixels) < 12 else at_pixels[:0]:
            draw.ellipse((x - 3 * thin, y - 3 * thin, x + 3 * thin, y + 3 * thin), colour)
    _draw_legend(draw, box, lines)


def _draw_legend(draw: ImageDraw.ImageDraw, box: tuple[int | float, ...], lines: Sequence[Line]) -> None:
    """In the lower left corner, where falling spectra leave room."""
    font, step, thin = _font(11), 17 * OVERSAMPLED, OVERSAMPLED
    top = box[3] - 8 * thin - step * len(lines)
    width = max((font.getlength(line.label) for line in lines), default=0.0)
    draw.rectangle((box[0] + 6 * thin, top - 3 * thin, box[0] + 48 * thin + width, box[3] - 6 * thin), PAPER)
    for index, (line, colour) in enumerate(zip(lines, _colours(len(lines)), strict=True)):
        middle = top + (index + 0.5) * step
        draw.line((box[0] + 12 * thin, middle, box[0] + 34 * thin, middle), colour, 3 * thin)
        draw.text((box[0] + 40 * thin, middle), line.label, INK, font, anchor="lm")


def _draw_upright(sheet: Image.Image, text: str) -> None:
    """A label that reads upwards along the left edge."""
    font = _font(12)
    label = Image.new("RGB", (int(font.getlength(text)) + 2, 18 * OVERSAMPLED), PAPER)
    ImageDraw.Draw(label).text((0, 9 * OVERSAMPLED), text, INK, font, anchor="lm")
    turned = label.rotate(90, expand=True)
    sheet.paste(turned, (6 * OVERSAMPLED, (HEIGHT + TOP - BOTTOM) * OVERSAMPLED // 2 - turned.height // 2))


def _colours(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]
