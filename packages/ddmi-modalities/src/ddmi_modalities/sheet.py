"""Contact sheets and comparison grids: many images in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ddmi_modalities.pixels import to_picture

PAPER, INK = "white", (70, 70, 70)


def contact_sheet(
    images: UInt8[Tensor, "count 3 rows columns"] | Sequence[UInt8[Tensor, "3 _ _"]],
    *,
    columns: int = 8,
    tile: int | None = None,
    labels: Sequence[str] | None = None,
) -> Image.Image:
    """Images row by row on white.

    Args:
        images: uint8 RGB; they may differ in size.
        columns: Images in a row.
        tile: Pixels of each cell's longer side, default the largest image's.  Smaller images are enlarged to it
            without smoothing, so that their pixels can be seen; larger ones are reduced.
        labels: A short text under each image.
    """
    if len(images) == 0:
        raise ValueError("contact sheet: there are no images to show")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"contact sheet: {len(labels)} labels for {len(images)} images")
    pictures = [to_picture(image) for image in images]
    tile = tile or max(max(picture.size) for picture in pictures)
    pictures = [_fit(picture, tile) for picture in pictures]
    columns = min(columns, len(pictures))
    gap, font = max(2, tile // 16), label_font(tile)
    line = line_height(font) + gap // 2 if labels is not None else 0
    width, height = (max(picture.size[axis] for picture in pictures) for axis in (0, 1))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + line + gap) + gap), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, picture in enumerate(pictures):
        left, top = gap + index % columns * (width + gap), gap + index // columns * (height + line + gap)
        sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
        if labels is not None:
            at = (left + width / 2, top + height + gap // 4)
            draw.text(at, _shorten(labels[index], font, width), INK, font, anchor="ma")
    return sheet


def comparison(rows: Mapping[str, UInt8[Tensor, "count 3 _ _"]], *, tile: int | None = None) -> Image.Image:
    """One labelled row per way of making the images; column i shows item i in all of them.

    The rows may have images of different sizes (an input beside its enlargement), but not different counts.
    """
    counts = {name: len(images) for name, images in rows.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise ValueError(f"comparison: every row needs the same number of images, at least one; got {counts}")
    tile = tile or max(max(images.shape[-2:]) for images in rows.values())
    font, gap = label_font(tile), max(2, tile // 16)
    strips = [contact_sheet(images, columns=len(images), tile=tile) for images in rows.values()]
    margin = max(int(font.getlength(name)) for name in rows) + 2 * gap
    height = sum(strip.height - gap for strip in strips) + gap
    sheet = Image.new("RGB", (margin + max(strip.width for strip in strips), height), PAPER)
    draw, top = ImageDraw.Draw(sheet), 0
    for name, strip in zip(rows, strips, strict=True):
        sheet.paste(strip, (margin, top))
        draw.text((margin - gap, top + strip.height / 2), name, INK, font, anchor="rm")
        top += strip.height - gap
    return sheet


def _fit(picture: Image.Image, tile: int) -> Image.Image:
    scale = tile / max(picture.size)
    if scale == 1:
        return picture
    filter_ = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), filter_)


def label_font(tile: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The letters that go with cells of `tile` pixels."""
    return ImageFont.load_default(min(max(tile / 9, 10), 28))


def line_height(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    """Pixels of a line of text."""
    return int(font.getbbox("Ágy")[3]) + 1


def _shorten(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip(" ,") + "…"
