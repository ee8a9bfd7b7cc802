"""Pictures show the right thing at the right place; files can be read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from ddmi_modalities.clip_files import save_gif
from ddmi_modalities.modality import Artefact
from ddmi_modalities.shape.camera import Camera
from ddmi_modalities.shape.rendering import COLOUR, shade, turntable
from ddmi_modalities.shape.view import ShapeArtefact, ShapeView


def ball(centre: tuple[float, float, float], radius: float = 0.1) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    mesh.apply_translation(centre)
    return mesh


def seen_at(mesh: trimesh.Trimesh, **view: int) -> tuple[float, float]:
    """Mean (row, column) of what is not white, as fractions of the picture."""
    dark = (shade(mesh, 64, **view) < 255).any(0).nonzero().float()  # type: ignore[arg-type]
    row, column = ((dark.mean(0) + 0.5) / 64).tolist()
    return row, column


def test_camera_by_hand() -> None:
    front = Camera(azimuth=0, elevation=0, distance=3).to_world
    # OpenCV: x right, y down, z forward; the camera is in front of the chair and looks back
    assert np.allclose(front, [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 3], [0, 0, 0, 1]])
    side = Camera(azimuth=90, elevation=0, distance=2).to_world
    assert np.allclose(side[:3], [[0, 0, -1, 2], [0, -1, 0, 0], [-1, 0, 0, 0]])
    above = Camera(azimuth=0, elevation=90, distance=2).to_world
    assert np.allclose(above[:3], [[1, 0, 0, 0], [0, 0, -1, 2], [0, 1, 0, 0]])
    for azimuth in (10, 200):
        turn = Camera(azimuth=azimuth, elevation=-40).to_world[:3, :3]
        assert np.allclose(turn.T @ turn, np.eye(3))
        assert np.linalg.det(turn) == pytest.approx(1)


def test_rays_go_through_pixel_centres() -> None:
    rays = Camera(azimuth=0, elevation=0, field_of_view=90).rays(2)
    assert np.allclose(rays[0, 1], np.array([0.5, 0.5, -1]) / np.sqrt(1.5))  # upper right: +x, +y, into the picture
    assert np.allclose(np.linalg.norm(rays, axis=-1), 1)


def test_pictures_are_upright_and_not_mirrored() -> None:
    assert seen_at(ball((0.3, 0, 0)), azimuth=0, elevation=0)[1] > 0.6  # +x is right from the front
    assert seen_at(ball((0, 0.3, 0)), azimuth=0, elevation=0)[0] < 0.4  # +y is up
    assert seen_at(ball((0, 0, 0.3)), azimuth=90, elevation=0)[1] < 0.4  # from +x, the front is left
    assert seen_at(ball((0, 0, 0.3)), azimuth=0, elevation=90)[0] > 0.6  # from above, the front is below
    assert seen_at(ball((0, 0, 0))) == pytest.approx((0.5, 0.5), abs=0.02)


def test_projected_size_and_background() -> None:
    picture = shade(ball((0, 0, 0), 0.4), 200)
    assert picture.dtype == torch.uint8
    assert picture.shape == (3, 200, 200)
    assert (picture[:, 0] == 255).all()
    assert (picture[:, :, 0] == 255).all()
    # a sphere's outline: tan of the half angle is r / sqrt(d^2 - r^2)
    radius = 0.4 / np.sqrt(2.9**2 - 0.4**2) / np.tan(np.radians(15)) * 100
    assert (picture < 255).any(0).sum().item() == pytest.approx(np.pi * radius**2, rel=0.03)


def test_light_comes_from_above_and_a_flat_face_is_flat() -> None:
    box = trimesh.creation.box(extents=(0.5, 0.5, 0.5))
    picture = shade(box, 128, azimuth=45, elevation=25).float().mean(0)
    top, left, right = picture[45, 64], picture[75, 50], picture[75, 78]
    assert top > left > right > 40
    face = picture[70:80, 46:54]
    assert face.max() - face.min() <= 2


def test_colour_and_two_sides() -> None:
    red = shade(ball((0, 0, 0), 0.3), 32, colour=(0.9, 0.1, 0.1))[:, 16, 16]
    assert red[0] > 3 * red[1]
    inverted = ball((0, 0, 0), 0.3)
    inverted.invert()
    difference = shade(inverted, 32).int() - shade(ball((0, 0, 0), 0.3), 32).int()
    assert difference.abs().max() <= 1


def test_a_camera_within_the_shape() -> None:
    from ddmi_modalities.shape.rendering import Shader

    picture = Shader(ball((0, 0, 0), 2.0)).picture(Camera(distance=1.0), 16)
    assert (picture < 255).any(0).all()


def test_empty_mesh_is_plain_background() -> None:
    assert (shade(trimesh.Trimesh(), 16) == 255).all()


def test_turntable_and_gif(tmp_path: Path) -> None:
    frames = turntable(ball((0.3, 0, 0)), frames=4, size=32, camera=Camera(azimuth=0, elevation=0))
    assert torch.equal(frames[0], shade(ball((0.3, 0, 0)), 32, azimuth=0, elevation=0))
    columns = [(frame < 255).any(0).nonzero()[:, 1].float().mean().item() for frame in frames]
    assert columns[0] > 20
    assert columns[2] < 12
    assert columns[1] == pytest.approx(15.5, abs=0.5)
    save_gif(frames, tmp_path / "new" / "turn.gif", fps=2)
    with Image.open(tmp_path / "new" / "turn.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"]) == (4, (32, 32), 500)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["obj", "ply", "stl", "glb"])
def test_saved_meshes_can_be_read(tmp_path: Path, kind: Any) -> None:
    made = ShapeArtefact((ball((0, 0, 0)), ball((0.1, 0.2, 0.3))), ShapeView(format=kind, picture=16))
    assert isinstance(made, Artefact)
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
    made = ShapeArtefact((trimesh.Trimesh(),), ShapeView(format=kind, picture=16, turntable=True))
    (path,) = made.save(tmp_path)
    assert path.exists()
    made.save_sheet(tmp_path / "sheet.png")


def test_only_what_was_asked_for(tmp_path: Path) -> None:
    ShapeArtefact((ball((0, 0, 0)),), ShapeView(picture=0)).save(tmp_path / "a")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["000.obj"]
    ShapeArtefact((ball((0, 0, 0)),), ShapeView(picture=16, turntable=True)).save(tmp_path / "b")
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
        ShapeView(**options)


def test_rendering_messages(tmp_path: Path) -> None:
    mesh = ball((0, 0, 0))
    with pytest.raises(ValueError, match=r"a colour is \(red, green, blue\) in \[0, 1\], got \(255, 0, 0\)"):
        shade(mesh, 16, colour=(255, 0, 0))
    with pytest.raises(ValueError, match="at least one pixel a side, got 0"):
        shade(mesh, 0)
    with pytest.raises(ValueError, match="elevation goes from -90 to 90 degrees, got 100"):
        shade(mesh, 16, elevation=100)
    with pytest.raises(ValueError, match="wanted a positive distance and a field of view"):
        Camera(distance=0)
    with pytest.raises(ValueError, match="wanted at least one frame, got 0"):
        turntable(mesh, frames=0)
    with pytest.raises(ValueError, match=r"there are no frames to write to .*a\.gif"):
        save_gif([], tmp_path / "a.gif", 10)
    assert all(0 <= value <= 1 for value in COLOUR)


def test_unknown_format() -> None:
    with pytest.raises((ValueError, TypeError), match=r"format is one of obj, ply, stl, glb; got 'fbx'|Type-check"):
        ShapeView(format="fbx")  # type: ignore[arg-type]
