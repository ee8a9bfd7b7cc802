"""ShapeNet in the layout of occupancy networks: a miniature of it, and broken ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ddmi_modalities import DataSet
from ddmi_modalities.shape.data.shapenet import CLASSES, ShapeNet
from ddmi_modalities.shape.items import ShapeItem

CHAIR, TABLE = "03001627", "04379243"
COUNT = 101
"""No multiple of 8: the last byte of the packed bits is not full."""


def radius(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points.astype(np.float32), axis=1)


def write_model(folder: Path, seed: int, **other: np.ndarray) -> None:
    """A ball of radius 0.4."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    points = (rng.random((COUNT, 3)) - 0.5).astype(np.float16)
    bits = np.packbits(radius(points) < 0.4)
    place = {"loc": np.array([1.0, 2, 3]), "scale": np.array(2.5)}
    np.savez(folder / "points.npz", **{"points": points, "occupancies": bits, **place, **other})
    normals = rng.standard_normal((COUNT, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    np.savez(
        folder / "pointcloud.npz",
        points=(0.4 * normals).astype(np.float16),
        normals=normals.astype(np.float16),
        **place,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for synset, models in ((CHAIR, "abcd"), (TABLE, "xy")):
        for seed, model in enumerate(models):
            write_model(tmp_path / synset / model, seed)
    (tmp_path / CHAIR / "train.lst").write_text("a\nb\n\n c \n")
    (tmp_path / CHAIR / "val.lst").write_text("d\n")
    (tmp_path / CHAIR / "test.lst").write_text("d\r\n")
    for split, models in (("train", "x"), ("val", "y"), ("test", "y")):
        (tmp_path / TABLE / f"{split}.lst").write_text(models)
    (tmp_path / "notes").mkdir()
    return tmp_path


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_models_and_classes(root: Path) -> None:
    data = ShapeNet(root, "train")
    assert data.models == ((CHAIR, "a"), (CHAIR, "b"), (CHAIR, "c"), (TABLE, "x"))
    assert [data[index].label for index in range(len(data))] == ["chair"] * 3 + ["table"]
    assert data[-1].name == f"{TABLE}/x"
    assert data[0].captions == ()
    assert isinstance(data[0], ShapeItem)
    assert isinstance(data, DataSet)
    assert ShapeNet(root, "test").models == ShapeNet(root, "val").models == ((CHAIR, "d"), (TABLE, "y"))
    assert ShapeNet(root, "train", ["table"]).models == ((TABLE, "x"),)
    assert len(ShapeNet(root, "train", (CHAIR, "chair"))) == 3
    assert len(CLASSES) == 13


def test_names_of_metadata(root: Path) -> None:
    (root / "notes" / "train.lst").write_text("n")
    write_model(root / "notes" / "n", 0)
    text = f"'{CHAIR}':\n  id: '{CHAIR}'\n  name: chair,seat\nnotes:\n  id: notes\n  name: a thing\n"
    (root / "metadata.yaml").write_text(text)
    assert ShapeNet(root, "train").labels == {CHAIR: "chair", TABLE: "table", "notes": "a thing"}
    assert len(ShapeNet(root, "train", ["seat", "a thing"])) == 4
    (root / "metadata.yaml").write_bytes(b"\xff\xff")
    with pytest.raises(ValueError, match=r"metadata.yaml' as text: .*; repair or remove it"):
        ShapeNet(root, "train")


def test_stored_points_and_bits(root: Path) -> None:
    item = ShapeNet(root, "train")[0]
    points, occupied = item.stored_points
    assert points.shape == (COUNT, 3)
    assert points.dtype == np.float32
    assert np.array_equal(points, points.astype(np.float16))  # no jitter
    assert np.array_equal(occupied, radius(points) < 0.4)
    loc, scale = item.placement
    assert (loc.tolist(), scale) == ([1, 2, 3], 2.5)
    surface, normals = item.surface(50, rng())
    assert np.allclose(surface, 0.4 * normals, atol=1e-3)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)


def test_subsamples_come_from_the_stored_points(root: Path) -> None:
    item = ShapeNet(root, "train")[0]
    points, occupied = item.points(2000, rng(), None)  # more than there are
    assert (points.dtype, occupied.dtype, points.shape) == (np.float32, np.bool_, (2000, 3))
    assert np.array_equal(occupied, radius(points) < 0.4)
    assert {tuple(point) for point in points.tolist()} == {tuple(point) for point in item.stored_points[0].tolist()}
    assert np.array_equal(points, item.points(2000, rng(), None)[0])


def test_bool_occupancy_single_precision_and_no_placement(root: Path) -> None:
    points = np.random.default_rng(1).random((COUNT, 3), dtype=np.float32)
    inside = points[:, 0] > 0.5
    np.savez_compressed(root / CHAIR / "a" / "points.npz", points=points, occupancies=inside)
    item = ShapeNet(root, "train")[0]
    assert np.array_equal(item.stored_points[0], points)
    assert np.array_equal(item.stored_points[1], inside)
    assert (item.placement[0].tolist(), item.placement[1]) == ([0, 0, 0], 1)


def test_missing_models_are_reported(root: Path, said: list[str]) -> None:
    (root / CHAIR / "train.lst").write_text("a\ngone\nhalf\n")
    write_model(root / CHAIR / "half", 0)
    (root / CHAIR / "half" / "pointcloud.npz").unlink()
    data = ShapeNet(root, "train")
    assert data.missing == (f"{CHAIR}/gone", f"{CHAIR}/half")
    assert len(data) == 2
    (sentence,) = said
    assert "left out 2 of 4 models: 03001627/gone: it lacks points.npz or pointcloud.npz; 03001627/half" in sentence
    (root / CHAIR / "train.lst").write_text("gone\n")
    with pytest.raises(ValueError, match=r"train.lst: 1 of 1 models cannot be used: .*gone: .*; unpack the data there"):
        ShapeNet(root, "train", ["chair"])


def test_messages_of_the_folder(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist; give the folder that holds the class folders"):
        ShapeNet(root / "nowhere", "train")
    with pytest.raises(ValueError, match="is a file"):
        ShapeNet(root / CHAIR / "train.lst", "train")
    with pytest.raises(ValueError, match="no class folder in .*; wanted folders such as 03001627 with train.lst"):
        ShapeNet(root / "notes", "train")
    with pytest.raises(ValueError, match=r"no class 'lamp' in .*; choose from 03001627 \(chair\), 04379243 \(table\)"):
        ShapeNet(root, "train", ["lamp"])
    with pytest.raises(ValueError, match="no split 'all'; choose 'train', 'val' or 'test'"):
        # without the type checks of the test run, which are stricter than a user's Python
        inspect.unwrap(ShapeNet.__init__)(object.__new__(ShapeNet), root, "all")
    (root / CHAIR / "val.lst").write_text("\n \n")
    with pytest.raises(ValueError, match=r"val.lst' lists no model; write one model id a line"):
        ShapeNet(root, "val")
    (root / CHAIR / "val.lst").unlink()
    with pytest.raises(ValueError, match=r"val.lst' does not exist; make it, one model id a line, or leave the class"):
        ShapeNet(root, "val")
    (root / CHAIR / "val.lst").write_bytes(b"\xff\xff")
    with pytest.raises(ValueError, match=r"cannot read '.*val.lst' as text"):
        ShapeNet(root, "val")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[400] ^= 255
    file.write_bytes(bytes(data))


def change(**arrays: np.ndarray | None) -> Callable[[Path], None]:
    """Store these arrays instead; None takes one away."""

    def rewrite(file: Path) -> None:
        with np.load(file) as stored:
            merged = {**stored, **arrays}
        np.savez(file, **{key: array for key, array in merged.items() if array is not None})

    return rewrite


def single(file: Path) -> None:
    with file.open("wb") as handle:
        np.save(handle, np.zeros(3))


NAN = np.full((COUNT, 3), np.nan, dtype=np.float32)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (cut, "is damaged"),
        (flip, "is damaged.*CRC"),
        (single, "lacks points, occupancies and has no named arrays"),
        (Path.unlink, "does not exist"),
        (lambda file: file.write_text("no archive"), "is damaged"),
        (lambda file: file.write_bytes(b""), "is damaged"),
        (change(points=None), r"lacks points and has occupancies, loc, scale"),
        (change(occupancies=None), r"lacks occupancies"),
        (change(points=NAN), "points has 101 rows with NaN or infinity"),
        (change(points=np.full((COUNT, 3), 1e300)), "points has 101 rows with NaN or infinity, or beyond"),
        (change(points=np.zeros((COUNT, 3), dtype=complex)), r"points is complex128 \(101, 3\), wanted floating-point"),
        (change(points=np.zeros((COUNT, 3), dtype=int)), r"points is int64 \(101, 3\), wanted floating-point numbers"),
        (change(points=np.zeros((COUNT, 2))), r"points is float64 \(101, 2\)"),
        (change(points=np.zeros((0, 3))), r"points is float64 \(0, 3\)"),
        (change(points=np.array([{}], dtype=object)), "is damaged.*allow_pickle"),
        (change(occupancies=np.zeros(12, dtype=np.uint8)), r"occupancies is uint8 \(12,\), wanted uint8 \(13,\)"),
        (change(occupancies=np.zeros(COUNT, dtype=np.float32)), r"occupancies is float32 .* or bool \(101,\) for 101"),
    ],
)
def test_a_broken_file_is_named(root: Path, spoil: Callable[[Path], object], text: str) -> None:
    data = ShapeNet(root, "train")
    spoil(root / CHAIR / "b" / "points.npz")
    data[0].points(4, rng(), None)
    with pytest.raises(ValueError, match=rf"b/points.npz: {text}.*; copy it anew or take it off the"):
        data[1].points(4, rng(), None)


def test_a_broken_cloud_is_named(root: Path) -> None:
    file = root / CHAIR / "a" / "pointcloud.npz"
    change(normals=np.zeros((7, 3)))(file)
    item = ShapeNet(root, "train")[0]
    with pytest.raises(ValueError, match=r"pointcloud.npz: it has 101 points and 7 normals"):
        item.surface(4, rng())
    change(scale=np.inf)(root / CHAIR / "a" / "points.npz")
    with pytest.raises(ValueError, match=r"points.npz: loc is .* and scale inf, wanted numbers that say where it was"):
        _ = item.placement
    change(loc=np.zeros(2))(root / CHAIR / "a" / "points.npz")
    with pytest.raises(ValueError, match=r"loc is float64 \(2,\) and scale float64 \(\), wanted \(3,\) and \(\)"):
        _ = item.placement


def test_zero_normals_stay_zero(root: Path) -> None:
    change(normals=np.zeros((COUNT, 3)))(root / CHAIR / "a" / "pointcloud.npz")
    assert not ShapeNet(root, "train")[0].surface(4, rng())[1].any()


def test_what_stored_points_cannot_do(root: Path) -> None:
    item = ShapeNet(root, "train")[0]
    with pytest.raises(ValueError, match=r"03001627/a has stored points only .*got near 0.5; pass near=None"):
        item.points(4, rng(), 0.5)
    with pytest.raises(ValueError, match="03001627/a is stored as points, without a mesh"):
        item.mesh()
    with pytest.raises(ValueError, match="count of at least 1, got 0"):
        item.points(0, rng(), None)


def test_a_cloud_is_the_surface_without_reading_normals(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    surface, _ = ShapeNet(root, "train")[0].surface(50, rng())
    read: list[str] = []

    def spy(file: Path, key: str, array: np.ndarray) -> np.ndarray:
        read.append(key)
        return array.astype(np.float32)

    monkeypatch.setattr("ddmi_modalities.shape.data.shapenet._vectors", spy)
    assert np.array_equal(ShapeNet(root, "train")[0].cloud(50, rng()), surface)
    assert read == ["points"]
    change(normals=None)(root / CHAIR / "a" / "pointcloud.npz")
    with pytest.raises(ValueError, match="lacks normals and has points"):
        ShapeNet(root, "train")[0].cloud(50, rng())
