"""Folders of meshes: what becomes a solid, what is refused, and the conversion to ShapeNet's layout."""

from __future__ import annotations

import json
import pickle
from math import pi
from pathlib import Path

import numpy as np
import pytest
import trimesh

from ddmi_modalities import DataSet, split_of
from ddmi_modalities.datasets.preparation import Prepared, prepare
from ddmi_modalities.geometry.solids import Box
from ddmi_modalities.geometry.watertight import contains, load_solid
from ddmi_modalities.shape import ShapeModality
from ddmi_modalities.shape.data import mesh_folder
from ddmi_modalities.shape.data.furniture import Furniture
from ddmi_modalities.shape.data.mesh_folder import MeshFolder
from ddmi_modalities.shape.data.shapenet import ShapeNet
from ddmi_modalities.shape.items import ShapeItem
from ddmi_modalities.shape.prepare import ShapePreparation


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def cube(side: float = 1.0, at: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> trimesh.Trimesh:
    mesh = trimesh.creation.box(extents=(side,) * 3)
    mesh.apply_translation(at)
    return mesh


def turned(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Inside out."""
    return trimesh.Trimesh(mesh.vertices, mesh.faces[:, ::-1], process=False)


def together(*meshes: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.util.concatenate(meshes)


def save(mesh: trimesh.Trimesh, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    mesh.export(file)
    return file


def holed() -> trimesh.Trimesh:
    """A cube without one of its 12 triangles."""
    mesh = cube()
    return trimesh.Trimesh(mesh.vertices, mesh.faces[1:], process=False)


def torn() -> trimesh.Trimesh:
    """A cube without one of 48 triangles."""
    mesh = cube().subdivide()
    return trimesh.Trimesh(mesh.vertices, mesh.faces[1:], process=False)


def bottomless() -> trimesh.Trimesh:
    mesh = cube()
    return trimesh.Trimesh(mesh.vertices, mesh.faces[mesh.face_normals[:, 1] > -0.5], process=False)


def names(split: str, count: int, pattern: str = "{}.ply") -> list[str]:
    """The first names of the pattern that fall into a split."""
    return [name for name in map(pattern.format, range(1000)) if split_of(name) == split][:count]


def test_contains_is_right_for_a_ball_and_for_furniture() -> None:
    points = rng().random((30_000, 3), dtype=np.float32) - np.float32(0.5)
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
    planes = (ball.triangles_center * ball.face_normals).sum(1)
    true = (points.astype(np.float64) @ ball.face_normals.T <= planes).all(1)  # it is convex
    assert np.array_equal(contains(ball, points), true)
    data = Furniture("train")
    items = (item for item in map(data.__getitem__, range(100)) if all(isinstance(s, Box) for s in item.union.solids))
    for _ in range(3):
        item = next(items)
        assert np.array_equal(contains(item.mesh(), points), item.inside(points))
    assert not contains(ball, points[:0]).shape[0]
    assert not contains(ball, points[:3] + np.float32(2)).any()


@pytest.mark.parametrize("suffix", ["obj", "ply", "stl", "off", "glb"])
def test_formats_and_normalisation(tmp_path: Path, suffix: str) -> None:
    closed = load_solid(save(trimesh.creation.box(extents=(2, 4, 1)), tmp_path / f"a.{suffix}"))
    assert closed.mesh.bounds == pytest.approx(np.array([[-0.25, -0.5, -0.125], [0.25, 0.5, 0.125]]))
    assert closed.mesh.is_watertight
    assert (closed.loc.tolist(), closed.scale) == (pytest.approx([0, 0, 0]), pytest.approx(4))
    moved = trimesh.creation.box(extents=(2, 4, 1))
    moved.apply_translation((3, 2, 1))
    assert load_solid(save(moved, tmp_path / f"b.{suffix}")).loc == pytest.approx([3, 2, 1])


# The largest side of each is 2, so a world volume times 8 is one of the file.
SHELL = together(cube(2.0), turned(cube(1.0)))
SOLIDS = {
    "cube": (cube(2.0), 8),
    "inside out": (turned(cube(2.0)), 8),
    "overlapping": (together(cube(1.5, (-0.25, 0.0, 0.0)), cube(1.5, (0.25, 0.01, 0.0))), None),
    "one of two inside out": (together(cube(0.8, (-0.6, 0.0, 0.0)), turned(cube(0.4, (0.8, 0.0, 0.0)))), 0.512 + 0.064),
    "within, same way": (together(cube(2.0), cube(1.0)), 8),
    "cavity": (SHELL, 7),
    "all of it inside out": (turned(SHELL), 7),
    "ball in a cavity": (together(SHELL, cube(0.5)), 7.125),
    "two apart": (together(cube(0.5, (-0.75, 0.0, 0.0)), cube(0.5, (0.75, 0.0, 0.0))), 0.25),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_what_becomes_of_parts(tmp_path: Path, name: str) -> None:
    mesh, volume = SOLIDS[name]
    if volume is None:  # 1.5^3 twice without 1.0 x 1.49 x 1.5
        volume = 2 * 1.5**3 - 1.0 * 1.49 * 1.5
    solid = load_solid(save(mesh, tmp_path / "a.ply")).mesh
    assert solid.is_volume
    assert solid.volume * 8 == pytest.approx(volume, rel=1e-5)
    points = rng().random((20_000, 3), dtype=np.float32) - np.float32(0.5)
    assert contains(solid, points).mean() * 8 == pytest.approx(volume, abs=0.1)


def test_surface_has_nothing_inside(tmp_path: Path) -> None:
    root = tmp_path / "m"
    (name,) = names("train", 1, "chair/{}.ply")
    save(together(cube(2.0, (-0.5, 0.0, 0.0)), cube(1.9, (0.55, 0.0, 0.0))), root / name)
    item = MeshFolder(root, "train")[0]
    points, normals = item.surface(4000, rng())
    assert (points.dtype, normals.dtype) == (np.float32, np.float32)
    assert item.inside(points - np.float32(1e-3) * normals).mean() > 0.99
    assert item.inside(points + np.float32(1e-3) * normals).mean() < 0.01
    assert item.label == "chair"
    again = pickle.loads(pickle.dumps(item)).points(50, rng(), 0.5)
    assert np.array_equal(again[0], item.points(50, rng(), 0.5)[0])


def test_surface_is_even(tmp_path: Path) -> None:
    (name,) = names("train", 1)
    save(trimesh.creation.box(extents=(1, 2, 3)), tmp_path / name)
    points, normals = MeshFolder(tmp_path, "train")[0].surface(30_000, rng())
    assert (np.abs(normals) > 0.5).mean(0) == pytest.approx(np.array([6, 3, 2]) / 11, abs=0.01)
    side = points[normals[:, 0] > 0.5]
    counts = np.histogram2d(side[:, 1], side[:, 2], bins=3)[0] / len(side)
    assert counts == pytest.approx(np.full((3, 3), 1 / 9), abs=0.01)


def test_folder_and_split(tmp_path: Path) -> None:
    chosen = [*names("train", 3, "deep/er/{}.ply"), *names("test", 2), *names("train", 1, "{}.STL")]
    for name in chosen:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cube().export(tmp_path / name, file_type=name[-3:].lower())
    (tmp_path / ".hidden.ply").write_text("no mesh")
    (tmp_path / "readme.txt").write_text("no mesh")
    train, test = MeshFolder(tmp_path, "train"), MeshFolder(tmp_path, "test")
    assert sorted(train.names + test.names) == sorted(chosen)
    assert len(test) == 2
    item = test[0]
    assert isinstance(item, ShapeItem)
    assert isinstance(test, DataSet)
    assert (item.label, item.captions, item.name) == (None, (), test.names[0])
    points, occupied = item.points(100, rng(), None)
    assert occupied.all()  # the cube fills the cube
    assert points.shape == (100, 3)
    item.mesh().apply_scale(3)  # a copy
    assert item.solid.extents == pytest.approx([1, 1, 1])


def test_holes_are_refused_or_filled(tmp_path: Path) -> None:
    for name in names("train", 7):
        save(holed(), tmp_path / name)
    with pytest.raises(ValueError, match="7 of 7 meshes cannot be used") as caught:
        MeshFolder(tmp_path, "train", most_ambiguous=0.01)
    text = str(caught.value)
    assert text.count("not watertight: 3 of 18 edges do not join two faces, and ") == 5
    assert text.count("% of its box are neither inside nor outside, more than 1.0%") == 5
    assert (
        "; and 2 more; pass repair=True (--modality.repair), or remove them; most_ambiguous (--modality.most-" in text
    )
    assert sorted(names("train", 7))[0] in text
    repaired = MeshFolder(tmp_path, "train", repair=True)
    assert all(item.solid.volume == pytest.approx(1) for item in map(repaired.__getitem__, range(7)))


def test_meshes_that_are_not_closed(tmp_path: Path) -> None:
    """As ShapeNet distributes them: occupancy by winding numbers, shares measured once, captions beside."""
    root, cache = tmp_path / "m", tmp_path / "cache"
    chosen = names("train", 3, "03001627/{}/models/model_normalized.obj")
    for name, mesh in zip(chosen, (cube(), torn(), bottomless()), strict=True):
        save(mesh, root / name)
        (root / name).with_suffix(".txt").write_text("a box\na cube\n")
    data = MeshFolder(root, "train", cache=cache)
    assert (set(data.shares), set(data.skipped)) == ({chosen[1]}, {chosen[2]})
    assert 0.001 < data.shares[chosen[1]] < 0.05
    assert data.describe().startswith("1 not closed, read by winding numbers, at most ")
    assert data.describe().endswith(f"% ambiguous ({chosen[1]}); 1 left out")
    closed, opened = data[0], data[1]
    assert (closed.closed, opened.closed, opened.label) == (True, False, "03001627")
    assert opened.captions == ("a box", "a cube")
    points = rng().uniform(-0.499, 0.499, (3000, 3)).astype(np.float32)
    assert closed.inside(points).all()
    assert opened.inside(points).all()  # the missing triangle takes at most one half
    assert not opened.inside(points + np.float32(1)).any()
    surface, normals = pickle.loads(pickle.dumps(opened)).surface(500, rng())
    assert np.abs(surface).max(1) == pytest.approx(0.5)
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1)
    everything = MeshFolder(root, "train", cache=cache, most_ambiguous=1.0)
    assert len(everything) == 3


def test_shares_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (name,) = names("train", 1)
    save(torn(), tmp_path / "m" / name)
    first = MeshFolder(tmp_path / "m", "train", cache=tmp_path / "cache")
    monkeypatch.setattr(mesh_folder, "ambiguous_share", lambda mesh: pytest.fail("measured again"))
    assert MeshFolder(tmp_path / "m", "train", cache=tmp_path / "cache").shares == first.shares
    monkeypatch.setattr(mesh_folder, "ambiguous_share", lambda mesh: 0.04)
    save(together(torn(), torn()), tmp_path / "m" / name)
    assert MeshFolder(tmp_path / "m", "train", cache=tmp_path / "cache").shares == {name: 0.04}


def test_what_cannot_be_repaired(tmp_path: Path) -> None:
    (name,) = names("train", 1)
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    save(sheet, tmp_path / name)
    with pytest.raises(ValueError, match="1 of 1 meshes .*; repair or remove them$"):
        MeshFolder(tmp_path, "train", repair=True)


def test_repair_merges_vertices_and_turns_faces(tmp_path: Path) -> None:
    mesh = cube()
    faces = mesh.faces.copy()
    faces[::3] = faces[::3, ::-1]
    vertices = mesh.vertices[faces].reshape(-1, 3) + rng().normal(0, 1e-9, (36, 3))
    torn = trimesh.Trimesh(vertices, np.arange(36).reshape(12, 3), process=False)
    closed = load_solid(save(torn, tmp_path / "a.ply"), repair=True)
    assert closed.mesh.volume == pytest.approx(1)


def test_reasons(tmp_path: Path) -> None:
    file = tmp_path / "a.ply"
    file.write_text("no mesh at all")
    with pytest.raises(ValueError, match="^cannot be read"):
        load_solid(file)
    whole = save(cube(), tmp_path / "whole.stl").read_bytes()
    (tmp_path / "cut.stl").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"^(cannot be read|has no)"):
        load_solid(tmp_path / "cut.stl")
    (tmp_path / "nan.off").write_text("OFF\n3 1 0\n0 0 nan\n1 0 0\n0 1 0\n3 0 1 2\n")
    with pytest.raises(ValueError, match=r"has vertices that are NaN or infinite|has no"):
        load_solid(tmp_path / "nan.off")
    trimesh.PointCloud(np.eye(3)).export(tmp_path / "points.ply")
    with pytest.raises(ValueError, match=r"^(has no faces|cannot be read)"):
        load_solid(tmp_path / "points.ply")
    flat = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2], [2, 1, 0]], process=False)
    with pytest.raises(ValueError, match=r"^encloses no volume"):
        load_solid(save(flat, tmp_path / "flat.ply"))
    klein = 2 * pi * np.stack(np.meshgrid(np.arange(12) / 12, np.arange(12) / 12, indexing="ij"), -1)
    u, v = klein[..., 0], klein[..., 1]
    ring = 3 + np.cos(u / 2) * np.sin(v) - np.sin(u / 2) * np.sin(2 * v)
    height = np.sin(u / 2) * np.sin(v) + np.cos(u / 2) * np.sin(2 * v)
    vertices = np.stack([ring * np.cos(u), ring * np.sin(u), height], -1).reshape(-1, 3)

    def number(i: int, j: int) -> int:
        return i * 12 + j % 12 if i < 12 else (-j) % 12  # glued the other way round

    cells = [(i, j) for i in range(12) for j in range(12)]
    squares = [[number(i, j), number(i + 1, j), number(i + 1, j + 1), number(i, j + 1)] for i, j in cells]
    vertices += rng().normal(0, 1e-3, vertices.shape)  # where it crosses itself, corners would merge
    bottle = trimesh.Trimesh(vertices, [f for a, b, c, d in squares for f in ((a, b, c), (a, c, d))], process=False)
    with pytest.raises(ValueError, match="one side only, like a Klein bottle"):
        load_solid(save(bottle, tmp_path / "klein.ply"))


def test_messages_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="MeshFolder: .*does not exist; give the path of a folder of meshes"):
        MeshFolder(tmp_path / "nowhere", "train")
    with pytest.raises(ValueError, match="MeshFolder: no meshes below .*; wanted files that end in .glb, .gltf, .obj"):
        MeshFolder(tmp_path, "train")
    save(cube(), tmp_path / names("train", 1)[0])
    with pytest.raises(ValueError, match="is a file"):
        MeshFolder(tmp_path / names("train", 1)[0], "train")
    with pytest.raises(ValueError, match="no mesh below .* falls into the split 'test'; add meshes"):
        MeshFolder(tmp_path, "test")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    for name in (
        *names("train", 2, "box/{}.ply"),
        *names("test", 1, "box/{}.ply"),
        *names("train", 1, "box/in/{}.off"),
    ):
        save(trimesh.creation.box(extents=(1, 2, 2)), root / name)
    save(trimesh.creation.icosphere(subdivisions=2), root / names("train", 1)[0])
    save(bottomless(), root / "box" / "holed.stl")
    return root


def run(source: Path, out: Path, count: int = 64, **settings: bool) -> Prepared:
    plan = ShapePreparation(count=count, **settings).plan(ShapeModality(source=str(source)))
    return prepare(plan, out, workers=1)


def test_prepared_shapes_are_read_by_shapenet(source: Path, tmp_path: Path, said: list[str]) -> None:
    out = tmp_path / "out"
    done = run(source, out, 1001)
    assert len(done.made) == 5
    assert (done.kept, list(done.left_out)) == ((), ["box/holed"])
    assert any("left out 1 of 6 shapes: box/holed.stl: not watertight" in text for text in said)
    assert any("mend them with --repair, or take more of them with --most-ambiguous" in text for text in said)
    assert any("shapes/test.lst is empty" in text for text in said)
    train = ShapeNet(out, "train")
    assert [train[i].label for i in range(len(train))] == ["box"] * 3 + ["shapes"]
    assert any(model.startswith("in_") for _, model in train.models)
    (test,) = (ShapeNet(out, "test", ["box"])[0],)
    points, occupied = test.stored_points
    assert len(points) == 1001
    margin = np.abs(np.abs(points) - [0.25, 0.5, 0.5]).min(1) > 1e-6  # rounded points may lie on the surface
    assert np.array_equal(occupied[margin], np.abs(points[margin, 0]) < 0.25)
    assert (test.placement[0].tolist(), test.placement[1]) == ([0, 0, 0], 2)
    surface, normals = test.stored_surface
    assert np.abs(np.abs(surface) - [0.25, 0.5, 0.5]).min(1).max() < 1e-6
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-3)


def test_prepared_shapes_are_in_the_splits_of_the_folder(source: Path, tmp_path: Path) -> None:
    (source / "box" / "holed.stl").unlink()
    run(source, tmp_path / "out")
    for split in ("train", "test"):
        names = {name.rsplit(".", 1)[0] for name in MeshFolder(source, split).names}  # type: ignore[arg-type]
        listed = {
            f"{file.parent.name}/{model}"
            for file in tmp_path.glob(f"out/*/{split}.lst")
            for model in file.read_text().split()
        }
        assert {model.removeprefix("shapes/").replace("in_", "in/") for model in listed} == names


def test_preparation_goes_on_where_it_stopped(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run(source, out)
    files = {file: file.read_bytes() for file in out.rglob("*.npz")}
    again = run(source, out)
    assert (again.made, again.kept) == ((), first.made)
    (out / first.made[0] / "pointcloud.npz").unlink()
    cut = out / first.made[1] / "points.npz"
    cut.write_bytes(cut.read_bytes()[:-50])
    assert run(source, out).made == first.made[:2]
    assert {file: file.read_bytes() for file in out.rglob("*.npz")} == files  # the same points as before


def test_repair_in_preparation(source: Path, tmp_path: Path) -> None:
    done = run(source, tmp_path / "out", repair=True)
    assert done.left_out == {}
    assert "box/holed" in done.made


def test_open_meshes_in_preparation(source: Path, tmp_path: Path, said: list[str]) -> None:
    (source / "ATTRIBUTION.txt").write_text("By somebody, CC BY 4.0\n")
    plan = ShapePreparation(count=500, most_ambiguous=1.0).plan(ShapeModality(source=str(source)))
    done = prepare(plan, tmp_path / "out", workers=1)
    assert done.left_out == {}
    share = json.loads((tmp_path / "out" / "box" / "holed" / "open.json").read_text())["ambiguous"]
    assert 0.1 < share < 0.4
    assert f"1 not closed, read by winding numbers, at most {share:.1%} ambiguous (box/holed)" in said
    assert any("By somebody, CC BY 4.0" in text for text in said)
    assert ShapeModality(source=str(tmp_path / "out")).attribution == "By somebody, CC BY 4.0"
    assert ShapeModality(source=str(tmp_path)).attribution is None
    with np.load(tmp_path / "out" / "box" / "holed" / "points.npz") as stored:
        assert np.unpackbits(stored["occupancies"], count=500).mean() > 0.9


def test_classes_and_numbers_of_shapenet_in_preparation(tmp_path: Path) -> None:
    root = tmp_path / "meshes"
    for name in (
        "03001627/1a2b/model.obj",
        "03001627/3c4d/models/model_normalized.obj",
        "table/round.ply",
        "car/x.ply",
    ):
        save(cube(), root / name)

    def models(*classes: str) -> list[str]:
        plan = ShapePreparation().plan(ShapeModality(source=str(root), classes=classes, near=None))
        return [item.name for item in plan.items]

    assert models("chair", "table") == ["03001627/1a2b", "03001627/3c4d", "table/round"]
    assert models("03001627") == ["03001627/1a2b", "03001627/3c4d"]
    assert len(models()) == 4
    with pytest.raises(ValueError, match="no meshes in folders named lamp in '.*meshes'; name its folders so"):
        models("lamp")


def test_messages_of_preparation(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="prepare: .*does not exist"):
        run(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(ValueError, match="count of at least 1, got 0"):
        run(source, tmp_path / "out", count=0)
    save(cube(), source / "box" / "holed.obj")
    with pytest.raises(ValueError, match=r"'box/holed.obj' and 'box/holed.stl' .* both become 'box/holed'; rename one"):
        run(source, tmp_path / "out")
    only = tmp_path / "only"
    save(bottomless(), only / "a.ply")
    with pytest.raises(ValueError, match=r"1 of 1 shapes cannot be used: a.ply: not watertight.* with --repair, or"):
        run(only, tmp_path / "out")
    (source / "box" / "train.lst").write_text("")
    with pytest.raises(ValueError, match=r"source' is in the layout that training reads; pass it to --data of"):
        run(source, tmp_path / "out")
