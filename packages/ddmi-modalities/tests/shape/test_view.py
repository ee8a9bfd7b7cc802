"""Files of rendered shapes can be read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from ddmi_modalities.modality import Rendering
from ddmi_modalities.shape.view import ShapeRendering, ShapeRenderOptions


def ball(centre: tuple[float, float, float], radius: float = 0.1) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    mesh.apply_translation(centre)
    return mesh


@pytest.mark.parametrize("kind", ["obj", "ply", "stl", "glb"])
def test_saved_meshes_can_be_read(tmp_path: Path, kind: Any) -> None:
    made = ShapeRendering((ball((0, 0, 0)), ball((0.1, 0.2, 0.3))), ShapeRenderOptions(format=kind, picture=16))
    assert isinstance(made, Rendering)
    assert len(made) == 2
    made.save_sheet(tmp_path / "sheets" / "a.png")  # shading first: it must not change what is written
    paths = made.save(tmp_path / "made", start=7)
    assert [path.name for path in paths] == [f"007.{kind}", f"008.{kind}"]
    assert sorted(path.name for path in (tmp_path / "made").glob("*.png")) == ["007.png", "008.png"]
    back = trimesh.load_mesh(paths[1])
    assert back.is_watertight
    assert np.allclose(back.bounds, made.meshes[1].bounds, atol=1e-6)
    with Image.open(tmp_path / "sheets" / "a.png") as sheet:
        assert sheet.size[0] > sheet.size[1]


@pytest.mark.parametrize("kind", ["obj", "ply", "stl", "glb"])
def test_empty_shapes_are_saved(tmp_path: Path, kind: Any) -> None:
    made = ShapeRendering((trimesh.Trimesh(),), ShapeRenderOptions(format=kind, picture=16, turntable=True))
    (path,) = made.save(tmp_path)
    assert path.exists()
    made.save_sheet(tmp_path / "sheet.png")


def test_only_what_was_asked_for(tmp_path: Path) -> None:
    ShapeRendering((ball((0, 0, 0)),), ShapeRenderOptions(picture=0)).save(tmp_path / "a")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["000.obj"]
    ShapeRendering((ball((0, 0, 0)),), ShapeRenderOptions(picture=16, turntable=True)).save(tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["000.gif", "000.obj", "000.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mesh_resolution": 100}, "power of two of at least 8, got 100; take 64, 128 or 256"),
        ({"mesh_resolution": 4}, "power of two of at least 8, got 4"),
        ({"refine": -1}, "refine counts steps from 0, got -1"),
        ({"picture": 5}, "at least 16 pixels a side, or 0 for none; got 5"),
        ({"picture": 0, "turntable": True}, "a turntable needs the size of its pictures"),
    ],
)
def test_view_messages(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShapeRenderOptions(**options)


def test_unknown_format() -> None:
    with pytest.raises((ValueError, TypeError), match=r"format is one of obj, ply, stl, glb; got 'fbx'|Type-check"):
        ShapeRenderOptions(format="fbx")  # type: ignore[arg-type]
