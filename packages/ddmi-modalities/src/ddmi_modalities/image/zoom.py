"""Zoom strips: one function at growing magnification."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from ddmi_modalities.image.view import ImageView
from ddmi_modalities.pixels import to_picture
from ddmi_modalities.sheet import INK, PAPER, label_font, line_height

MARK = (214, 40, 40)


def zoom_strip(images: Sequence[UInt8[Tensor, "3 _ _"]], views: Sequence[ImageView]) -> Image.Image:
    """One function at growing magnification, left to right; a box in each image shows where the next one looks.

    `views` are those that the images were drawn with, `zoom_views(...)`.
    """
    if len(images) != len(views) or not views:
        raise ValueError(f"zoom strip: {len(images)} images for {len(views)} views; wanted one each, at least one")
    marked = []
    for index, image in enumerate(images):
        picture = to_picture(image)
        if index + 1 < len(views):
            box = _inside(views[index], views[index + 1], picture.size)
            ImageDraw.Draw(picture).rectangle(box, outline=MARK, width=max(1, picture.width // 128))
        marked.append(picture)
    gap, width = max(2, marked[0].width // 16), sum(picture.width for picture in marked)
    font = label_font(marked[0].width)
    height = max(picture.height for picture in marked) + line_height(font) + gap // 2
    sheet = Image.new("RGB", (width + gap * (len(marked) + 1), height + 2 * gap), PAPER)
    draw, left = ImageDraw.Draw(sheet), gap
    for picture, view in zip(marked, views, strict=True):
        sheet.paste(picture, (left, gap))
        label = f"{view.size[0] / views[0].size[0]:g} x"
        draw.text((left + picture.width / 2, gap + picture.height + gap // 4), label, INK, font, anchor="ma")
        left += picture.width + gap
    return sheet


def _inside(outer: ImageView, inner: ImageView, pixels: tuple[int, int]) -> tuple[float, float, float, float]:
    """The inner view's window as (left, top, right, bottom) in the pixels of a picture of the outer view."""
    edges = []
    for axis in (1, 0):  # x first, as Pillow wants it
        count, whole = inner.size[axis], outer.size[axis]
        window = inner.crop[axis] if inner.crop else (0, count)
        start, stop = outer.crop[axis] if outer.crop else (0, whole)
        scale = pixels[1 - axis] / (stop - start)
        edges.append([(edge / count * whole - start) * scale for edge in window])
    (left, right), (top, bottom) = edges
    return left, top, right - 1, bottom - 1
