"""Many images in one picture: contact sheets, comparisons, labelled tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ddmi_modalities.files.pixels import to_picture

PAPER, INK = "white", (70, 70, 70)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


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
    starts = range(0, len(pictures), columns)
    return picture_table(
        [pictures[start : start + columns] for start in starts],
        captions=None if labels is None else [labels[start : start + columns] for start in starts],
        tile=tile,
    )


def comparison(rows: Mapping[str, UInt8[Tensor, "count 3 _ _"]], *, tile: int | None = None) -> Image.Image:
    """One labelled row per way of making the images; column i shows item i in all of them.

    The rows may have images of different sizes (an input beside its enlargement), but not different counts.
    """
    counts = {name: len(images) for name, images in rows.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise ValueError(f"comparison: every row needs the same number of images, at least one; got {counts}")
    tile = tile or max(max(images.shape[-2:]) for images in rows.values())
    pictures = [[_fit(to_picture(image), tile) for image in images] for images in rows.values()]
    return picture_table(pictures, labels=list(rows), tile=tile)


def picture_table(
    rows: Sequence[Sequence[Image.Image]],
    *,
    labels: Sequence[str] | None = None,
    titles: Sequence[str] = (),
    captions: Sequence[Sequence[str]] | None = None,
    tile: int | None = None,
) -> Image.Image:
    """Pictures in rows of cells as large as the largest of them.

    Args:
        rows: The pictures; rows may differ in length.
        labels: A text left of each row, perhaps of several lines.
        titles: A text over each column.
        captions: A text under each picture.
        tile: Pixels that letters and gaps fit to; default the cells' height.
    """
    if not rows or not all(rows):
        raise ValueError("table of pictures: every row needs at least one picture, and there must be a row")
    width, height = (max(picture.size[axis] for row in rows for picture in row) for axis in (0, 1))
    tile = tile or height
    gap, font = max(2, tile // 16), label_font(tile)
    line = line_height(font) + gap // 2
    under, head = line if captions is not None else 0, line if titles else 0
    margin = max(_width(label, font) for label in labels) + 2 * gap if labels is not None else 0
    across = max(map(len, rows)) * (width + gap) + gap
    sheet = Image.new("RGB", (margin + across, head + len(rows) * (height + under + gap) + gap), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        middle = margin + gap + column * (width + gap) + width / 2
        draw.text((middle, gap), _shorten(title, font, width), INK, font, anchor="ma")
    for number, row in enumerate(rows):
        top = head + gap + number * (height + under + gap)
        if labels is not None:
            at = (margin - gap, top + height / 2)
            draw.text(at, labels[number], INK, font, anchor="rm", align="right")
        for column, picture in enumerate(row):
            left = margin + gap + column * (width + gap)
            sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
            if captions is not None:
                text = _shorten(captions[number][column], font, width)
                draw.text((left + width / 2, top + height + gap // 4), text, INK, font, anchor="ma")
    return sheet


def label_font(tile: int) -> Font:
    """The letters that go with cells of `tile` pixels."""
    return ImageFont.load_default(min(max(tile / 9, 10), 28))


def line_height(font: Font) -> int:
    """Pixels of a line of text."""
    return int(font.getbbox("Ágy")[3]) + 1


def _fit(picture: Image.Image, tile: int) -> Image.Image:
    scale = tile / max(picture.size)
    if scale == 1:
        return picture
    filter_ = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), filter_)


def _width(text: str, font: Font) -> int:
    return int(max(font.getlength(line) for line in text.split("\n")))


def _shorten(text: str, font: Font, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip(" ,") + "…"
