"""Pictures of meshes show the right thing at the right place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from ddmi_modalities.files.clips import save_gif
from ddmi_modalities.geometry.cameras import Cameras
from ddmi_modalities.geometry.shading import COLOUR, Shader, shade, turntable


def ball(centre: tuple[float, float, float], radius: float = 0.1) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    mesh.apply_translation(centre)
    return mesh


def seen_at(mesh: trimesh.Trimesh, **view: int) -> tuple[float, float]:
    """Mean (row, column) of what is not white, as fractions of the picture."""
    dark = (shade(mesh, 64, **view) < 255).any(0).nonzero().float()  # type: ignore[arg-type]
    row, column = ((dark.mean(0) + 0.5) / 64).tolist()
    return row, column


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
    picture = Shader(ball((0, 0, 0), 2.0)).pictures(Cameras.around([0], [0], distance=1.0, size=16))[0]
    assert (picture < 255).any(0).all()


def test_empty_mesh_is_plain_background() -> None:
    assert (shade(trimesh.Trimesh(), 16) == 255).all()


def test_turntable_and_gif(tmp_path: Path) -> None:
    frames = turntable(ball((0.3, 0, 0)), frames=4, size=32, elevation=0)
    assert torch.equal(frames[0], shade(ball((0.3, 0, 0)), 32, elevation=0))
    columns = [(frame < 255).any(0).nonzero()[:, 1].float().mean().item() for frame in frames]
    assert columns[0] > 20
    assert columns[2] < 12
    assert columns[1] < 15.5 < columns[3]
    save_gif(frames, tmp_path / "new" / "turn.gif", fps=2)
    with Image.open(tmp_path / "new" / "turn.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"]) == (4, (32, 32), 500)  # type: ignore[attr-defined]


def test_rendering_messages(tmp_path: Path) -> None:
    mesh = ball((0, 0, 0))
    with pytest.raises(ValueError, match=r"a colour is \(red, green, blue\) in \[0, 1\], got \(255, 0, 0\)"):
        shade(mesh, 16, colour=(255, 0, 0))
    with pytest.raises(ValueError, match="at least one row and column of pixels, got 0 x 0"):
        shade(mesh, 0)
    with pytest.raises(ValueError, match="elevations go from -90 to 90 degrees, got"):
        shade(mesh, 16, elevation=100)
    with pytest.raises(ValueError, match="wanted a positive distance and a field of view"):
        Cameras.around([0], [0], distance=0.0, size=16)
    with pytest.raises(ValueError, match="wanted at least one camera, got 0"):
        turntable(mesh, frames=0)
    with pytest.raises(ValueError, match=r"there are no frames to write to .*a\.gif"):
        save_gif([], tmp_path / "a.gif", 10)
    assert all(0 <= value <= 1 for value in COLOUR)
