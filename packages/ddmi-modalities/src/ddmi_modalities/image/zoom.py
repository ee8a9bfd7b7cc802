"""Zoom strips: one function at growing magnification."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from ddmi_modalities.files.pixels import to_picture
from ddmi_modalities.files.sheets import picture_table
from ddmi_modalities.image.view import ImageRenderOptions

MARK = (214, 40, 40)


def zoom_views(
    resolution: int, factors: Sequence[int | float], centre: tuple[int | float, int | float] = (0.5, 0.5)
) -> tuple[ImageRenderOptions, ...]:
    """Views of `resolution` x `resolution` pixels that magnify the point `centre` by each of the factors >= 1.

    `centre` is (row, column) as fractions of the image; a window is moved inwards where it would leave it.
    """
    views = []
    for factor in factors:
        if factor < 1:
            raise ValueError(f"zoom: a factor of {factor} would show more than the image; give factors of at least 1")
        full = round(resolution * factor)
        starts = [min(max(round(at * full - resolution / 2), 0), full - resolution) for at in centre]
        rows, columns = ((start, start + resolution) for start in starts)
        views.append(ImageRenderOptions(resolution=full, crop=(rows, columns)))
    return tuple(views)


def zoom_strip(images: Sequence[UInt8[Tensor, "3 _ _"]], views: Sequence[ImageRenderOptions]) -> Image.Image:
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
    sizes = [options.size[0] / views[0].size[0] for options in views]
    return picture_table([marked], captions=[[f"{size:g} x" for size in sizes]])


def _inside(
    outer: ImageRenderOptions, inner: ImageRenderOptions, pixels: tuple[int, int]
) -> tuple[float, float, float, float]:
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
