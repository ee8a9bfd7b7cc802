"""Legal meshes beyond triangles come out right, and files of another meaning are recognised."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh

from ddmi_modalities.geometry.mesh_files import load_geometry
from ddmi_modalities.geometry.ply import read_ply
from ddmi_modalities.geometry.polygons import split, triangles_of
from ddmi_modalities.geometry.watertight import load_solid
from ddmi_modalities.nerf.data.clouds import read_coloured_points
from ddmi_modalities.shape.data.sources import read_cloud

STAR = np.array([[np.cos(turn), np.sin(turn), 0] for turn in np.arange(10) * np.pi / 5]) * np.tile([[2], [0.7]], (5, 1))
"""Five arms, counter-clockwise."""
STAR_AREA = 10 * 0.5 * 2 * 0.7 * np.sin(np.pi / 5)


def prism() -> tuple[np.ndarray, list[list[int]]]:
    """The star, one high: two faces of ten corners, ten of four."""
    vertices = np.concatenate([STAR, STAR + np.array([0, 0, 1])])
    sides = [[i, (i + 1) % 10, (i + 1) % 10 + 10, i + 10] for i in range(10)]
    return vertices, [list(range(10))[::-1], list(range(10, 20)), *sides]


def obj(path: Path, *, relative: bool = False, parts: int = 1) -> Path:
    text = ""
    for part in range(parts):
        vertices, faces = prism()
        text += f"o part{part}\n" + "".join(f"v {x + 5 * part:g} {y:g} {z:g}\n" for x, y, z in vertices)
        for face in faces:
            start = -len(vertices) if relative else 1 + part * len(vertices)
            text += "f " + " ".join(str(corner + start) for corner in face) + "\n"
    path.write_text(text)
    return path


def off(path: Path) -> Path:
    vertices, faces = prism()
    lines = ["# by hand", f"OFF{len(vertices)} {len(faces)} 0", *(" ".join(map(str, vertex)) for vertex in vertices)]
    path.write_text(
        "\n".join([*lines, *(" ".join(map(str, [len(face), *face])) + " 255 0 0" for face in faces)]) + "\n"
    )
    return path


def ply(path: Path, *, big: bool = False, colours: str = "") -> Path:
    vertices, faces = prism()
    order = ">" if big else "<"
    head = f"ply\nformat binary_{'big' if big else 'little'}_endian 1.0\nelement vertex {len(vertices)}\n"
    head += "".join(f"property double {axis}\n" for axis in "xyz")
    head += "".join(f"property {colours} {name}\n" for name in ("red", "green", "blue") if colours)
    head += f"element face {len(faces)}\nproperty list uchar uint vertex_index\nend_header\n"
    code, value = {"uchar": ("B", 51), "ushort": ("H", 51 * 257), "float": ("f", 0.2), "": ("", 0)}[colours]
    body = b"".join(
        struct.pack(f"{order}3d", *vertex) + (struct.pack(f"{order}3{code}", value, 0, 0) if colours else b"")
        for vertex in vertices
    )
    body += b"".join(struct.pack(f"{order}B{len(face)}I", len(face), *face) for face in faces)
    path.write_bytes(head.encode() + body)
    return path


def test_a_concave_polygon_is_cut_into_its_own_area() -> None:
    turn = trimesh.transformations.rotation_matrix(0.7, [1, 2, 3])[:3, :3]
    for corners, size in (
        (STAR, 1),
        (STAR @ turn.T + 5, 1),
        (STAR[::-1] * 1e-4, 1e-4),
        (np.roll(STAR, 3, 0) * 1e4, 1e4),
    ):
        triangles = corners[split(corners)]
        normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]) / 2
        area = pytest.approx(STAR_AREA * size**2, rel=1e-9, abs=0)
        assert np.linalg.norm(normals, axis=1).sum() == area
        assert np.linalg.norm(normals.sum(0)) == area, "one orientation"


def test_a_convex_polygon_is_a_fan() -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0.5, 1, 0], [0, 1, 0]], float)
    assert split(square).tolist() == [[0, 1, 2], [0, 2, 3], [0, 3, 4]]


@pytest.mark.parametrize("face", [[0, 1], [0, 1, 10], [0, 1, -1]])
def test_faces_that_are_none(face: list[int]) -> None:
    with pytest.raises(ValueError, match=r"face 1 has the corners .*; wanted three or more of 10 vertices"):
        triangles_of(STAR, [[0, 1, 2], face])


@pytest.mark.parametrize(("name", "write"), [
    ("a.obj", obj), ("a.OBJ", lambda path: obj(path, relative=True)), ("a.off", off), ("a.ply", ply),
    ("a.PLY", lambda path: ply(path, big=True)),
])  # fmt: skip
def test_a_star_keeps_its_arms(tmp_path: Path, name: str, write: object) -> None:
    file = write(tmp_path / name)  # type: ignore[operator]
    closed = load_solid(file)
    assert closed.mesh.volume * closed.scale**3 == pytest.approx(STAR_AREA, rel=1e-6)
    cloud = read_cloud(file, 4000) * closed.scale + closed.loc
    radius = np.linalg.norm(cloud[:, :2], axis=1)
    angle = np.arctan2(cloud[:, 1], cloud[:, 0]) % (2 * np.pi / 5)
    between = np.abs(angle - np.pi / 5) < 0.2
    assert between.any()
    assert (radius[between] < 1.3).all(), "nothing between the arms"


def test_relative_numbers_count_through_all_objects(tmp_path: Path) -> None:
    mesh = load_geometry(obj(tmp_path / "a.obj", relative=True, parts=3))
    assert isinstance(mesh, trimesh.Trimesh)
    assert mesh.volume == pytest.approx(3 * STAR_AREA, rel=1e-4)
    assert mesh.bounds[1, 0] == pytest.approx(12)


def test_colours_of_vertices_stay_with_cut_faces(tmp_path: Path) -> None:
    vertices, faces = prism()
    lines = [f"v {x:g} {y:g} {z:g} 0.2 0.4 0.6" for x, y, z in vertices]
    lines += ["vn 0 0 1", *("f " + " ".join(f"{corner - 20}//-1" for corner in face) for face in faces)]
    (tmp_path / "a.obj").write_text("\n".join(lines))
    points = read_coloured_points(tmp_path / "a.obj", 500)
    assert points[:, 3:] == pytest.approx(np.tile([0.2, 0.4, 0.6], (500, 1)), abs=0.003)


@pytest.mark.parametrize("kind", ["uchar", "ushort", "float"])
def test_colours_of_any_depth(tmp_path: Path, kind: str) -> None:
    points = read_coloured_points(ply(tmp_path / "a.ply", colours=kind), 100)
    assert points[:, 3:] == pytest.approx(np.tile([0.2, 0, 0], (100, 1)), abs=1e-3)


@pytest.mark.parametrize(("text", "message"), [
    ("ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n", "its vertices have no y, z"),
    ("ply\nformat ascii 1.0\nelement camera 1\nproperty float x\nend_header\n1\n", "has no vertices, only camera"),
])  # fmt: skip
def test_ply_files_without_a_mesh(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.ply").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.ply: cannot be read .*{message}"):
        read_cloud(tmp_path / "a.ply", 10)


@pytest.mark.parametrize(("text", "message"), [
    ("4OFF 1 0 0\n0 0 0 1\n", "does not begin with OFF"),
    ("OFF\n4 2 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n", "announces 4 vertices and 2 faces, and ends after 5 lines"),
    ("OFF\n", "does not say how many"),
])  # fmt: skip
def test_off_files_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.off").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_solid(tmp_path / "a.off")


@pytest.mark.parametrize("key", ["occupancies", "sdf", "labels"])
def test_points_of_the_volume_are_refused(tmp_path: Path, key: str) -> None:
    points = np.random.default_rng(0).random((50, 3)) - 0.5
    np.savez(tmp_path / "a.npz", **{"points": points, key: np.zeros(50)})
    with pytest.raises(ValueError, match=rf"a\.npz: holds {key} beside its points, which are of the volume"):
        read_cloud(tmp_path / "a.npz", 10)


@pytest.mark.parametrize("size", [0.04, 0.15, 3.0, 1800.0])
def test_other_units_are_scaled_and_said(tmp_path: Path, said: list[str], size: float) -> None:
    trimesh.creation.box([size, size / 2, size / 4]).export(tmp_path / "a.stl")
    for cloud in (read_cloud(tmp_path / "a.stl", 2000), read_cloud(tmp_path / "a.stl", 2000)):
        assert np.ptp(cloud, axis=0) == pytest.approx([1, 0.5, 0.25], abs=0.02)
    assert any(f"a.stl: its largest side is {size:.4g}; centred and scaled to 1" in one for one in said)


def test_what_fits_the_cube_stays_where_it_is(tmp_path: Path, said: list[str]) -> None:
    box = trimesh.creation.box([0.3, 0.2, 0.2])
    box.apply_translation([0.3, 0, 0])
    box.export(tmp_path / "a.ply")
    cloud = read_cloud(tmp_path / "a.ply", 2000)
    assert cloud[:, 0].min() == pytest.approx(0.15, abs=0.01)
    assert not said


def test_every_form_of_ply_says_the_same(tmp_path: Path) -> None:
    """One table of every kind of number, with a list amid numbers, as text and in both orders of bytes."""
    names = {
        "char": "b",
        "uchar": "B",
        "short": "h",
        "ushort": "H",
        "int": "i",
        "uint": "I",
        "float": "f",
        "double": "d",
    }
    rows = [(tuple(range(8)), (4, 5, 6)), (tuple(range(8, 16)), (7,))]
    head = (
        "".join(f"property {kind} n{kind}\n" for kind in names)
        + "property list uchar short parts\nproperty float end\n"
    )
    for form, order in (("ascii", ""), ("binary_little_endian", "<"), ("binary_big_endian", ">")):
        body = b""
        for numbers, parts in rows:
            if not order:
                body += (" ".join(map(str, [*numbers, len(parts), *parts, 2.5])) + "\n").encode()
            else:
                body += struct.pack(order + "".join(names.values()), *numbers)
                body += struct.pack(f"{order}B{len(parts)}hf", len(parts), *parts, 2.5)
        start = f"ply\nformat {form} 1.0\ncomment by hand\nelement thing 2\n{head}end_header\n"
        (tmp_path / f"{form}.ply").write_bytes(start.replace("\n", "\r\n").encode() + body)
        table = read_ply(tmp_path / f"{form}.ply")["thing"]
        for place, kind in enumerate(names):
            assert np.asarray(table[f"n{kind}"]).tolist() == [place, place + 8]
        assert [part.tolist() for part in table["parts"]] == [[4, 5, 6], [7]]
        assert np.asarray(table["end"]).tolist() == [2.5, 2.5]


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian"])
@pytest.mark.parametrize("count", [3, 2_000_000_000, 10**13])
def test_a_ply_that_claims_more_than_it_holds(tmp_path: Path, form: str, count: int) -> None:
    head = f"ply\nformat {form} 1.0\nelement vertex {count}\n" + "".join(f"property float {axis}\n" for axis in "xyz")
    body = b"0 0 0\n1 1 1\n" if form == "ascii" else bytes(24)
    (tmp_path / "a.ply").write_bytes(f"{head}end_header\n".encode() + body)
    with pytest.raises(ValueError, match=rf"a\.ply: .*announces {count} of 'vertex', and holds (2 lines|24 bytes)"):
        read_cloud(tmp_path / "a.ply", 10)


@pytest.mark.parametrize(
    "line", ["element vertex -1", "element vertex x", "property half x", "property list float", "woe"]
)
def test_headers_that_ply_does_not_know(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.ply").write_text(f"ply\nformat ascii 1.0\nelement face 1\n{line}\nend_header\n")
    with pytest.raises(ValueError, match="its header says .*, which PLY does not know"):
        read_cloud(tmp_path / "a.ply", 10)


SQUARE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\n"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("f 1 2", r"line 6, 'f 1 2', is no face of three corners"),
        ("f", r"line 6, 'f', is no face"),
        ("f 0 1 2", r"line 6, .*is no face"),
        ("f 1 2 -9", r"line 6, .*is no face"),
        ("f 1 2 9", r"a face has the corner 9, and there are 4 vertices"),
        ("v 0 1", r"line 6, 'v 0 1', is no vertex of three finite numbers"),
        ("v", r"line 6, .*is no vertex"),
        ("v 0 nan 1", r"line 6, .*is no vertex"),
        ("v 0 1e999 1", r"line 6, .*is no vertex"),
    ],
)
def test_damaged_obj_files_are_no_smaller_ones(tmp_path: Path, more: str, message: str) -> None:
    (tmp_path / "a.obj").write_text(SQUARE + more + "\n")
    with pytest.raises(ValueError, match=rf"a\.obj: .*{message}"):
        read_cloud(tmp_path / "a.obj", 10)


@pytest.mark.parametrize("kind", ["obj", "ply", "off"])
@pytest.mark.parametrize("number", ["nan", "inf", "1e300"])
def test_places_that_are_none_are_refused(tmp_path: Path, kind: str, number: str) -> None:
    corners = [f"{number} 0 0", "1 0 0", "0 1 0"]
    head = "ply\nformat ascii 1.0\nelement vertex 3\n" + "".join(f"property float {axis}\n" for axis in "xyz")
    text = {
        "obj": "".join(f"v {corner}\n" for corner in corners) + "f 1 2 3\n",
        "ply": head + "end_header\n" + "\n".join(corners) + "\n",
        "off": "OFF\n3 1 0\n" + "\n".join(corners) + "\n3 0 1 2\n",
    }[kind]
    (tmp_path / f"a.{kind}").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.{kind}: .*(NaN or infinite|no vertex)"):
        read_cloud(tmp_path / f"a.{kind}", 10)
