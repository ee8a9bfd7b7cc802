"""Whose data are stands in their folder."""

from __future__ import annotations

from pathlib import Path

from ddmi_modalities.datasets.attribution import ATTRIBUTION, attribution_of
from ddmi_modalities.image import ImageModality


def test_what_a_folder_says(tmp_path: Path) -> None:
    assert attribution_of(tmp_path) is None
    assert attribution_of(tmp_path / "none") is None
    (tmp_path / ATTRIBUTION).write_text(" \n")
    assert attribution_of(tmp_path) is None
    (tmp_path / ATTRIBUTION).write_text("By Zoë, CC BY 4.0\n", encoding="utf-8")
    assert attribution_of(tmp_path) == "By Zoë, CC BY 4.0"
    assert ImageModality(source=str(tmp_path)).attribution == "By Zoë, CC BY 4.0"
    assert ImageModality(source="").attribution is None
    (tmp_path / ATTRIBUTION).write_bytes(b"\xff\xfe\xff")
    assert attribution_of(tmp_path) is None
