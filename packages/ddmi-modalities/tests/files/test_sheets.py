"""Sheets have the right cells at the right places."""

from __future__ import annotations

import pytest
import torch

from ddmi_modalities.files.sheets import comparison, contact_sheet
from ddmi_modalities.image import zoom_strip, zoom_views


def flat(count: int, size: int = 16) -> torch.Tensor:
    return torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 3, size, size) * 10


def test_contact_sheet_cells() -> None:
    sheet = contact_sheet(flat(5), columns=3)
    gap = 2
    assert sheet.size == (3 * 18 + gap, 2 * 18 + gap)
    assert sheet.getpixel((0, 0)) == (255, 255, 255)
    for index in range(5):
        assert sheet.getpixel((gap + index % 3 * 18 + 8, gap + index // 3 * 18 + 8)) == (index * 10,) * 3
    assert sheet.getpixel((gap + 2 * 18 + 8, gap + 18 + 8)) == (255, 255, 255)


def test_mixed_sizes_and_labels() -> None:
    images = [flat(1, 4)[0], flat(1, 32)[0]]
    plain, labelled = contact_sheet(images), contact_sheet(images, labels=["a label that is far too long", "b"])
    assert labelled.width == plain.width
    assert labelled.height > plain.height


def test_comparison_rows() -> None:
    sheet = comparison({"input": flat(3, 4), "made": flat(3, 32)})
    assert sheet.height == 2 * 34 + 2
    with pytest.raises(ValueError, match="the same number of images"):
        comparison({"a": flat(3), "b": flat(2)})


def test_zoom_strip_marks_the_next_window() -> None:
    views = zoom_views(64, (1, 4))
    white = torch.full((2, 3, 64, 64), 255, dtype=torch.uint8)
    sheet = zoom_strip(list(white), views)
    marked = [x for x in range(sheet.width) for y in (4 + 24,) if sheet.getpixel((x, y)) == (214, 40, 40)]
    assert marked
    assert min(marked) == 4 + 24  # the quarter window starts at 64 * (1 - 1/4) / 2
    assert max(marked) == 4 + 39
    with pytest.raises(ValueError, match="2 images for 1 views"):
        zoom_strip(list(white), views[:1])


def test_nothing_to_show() -> None:
    with pytest.raises(ValueError, match="no images"):
        contact_sheet([])
    with pytest.raises(ValueError, match="1 labels for 2 images"):
        contact_sheet(flat(2), labels=["one"])
