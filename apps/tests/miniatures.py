"""The layouts in which data sets are distributed, with a few tiny items."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from ddmi_modalities.shape.data.shapenet import CLASSES


def picture(path: Path, shade: int, size: int = 24) -> None:
    """A square on a ground of another colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size, size, 3), (shade % 200, 90, 160), np.uint8)
    pixels[5:12, 4 + shade % 8 : 16] = 230
    Image.fromarray(pixels).save(path)


def afhq(root: Path) -> Path:
    """ROOT/train/CLASS and ROOT/test/CLASS."""
    for split, count in (("train", 6), ("test", 2)):
        for place, name in enumerate(("cat", "dog", "wild")):
            for i in range(count + place):
                picture(root / split / name / f"flickr_{name}_{i:06}.png", 30 * i + place)
    return root


def celeba(root: Path) -> Path:
    """Faces by number, without leading zeros."""
    for i in range(12):
        picture(root / f"{i}.jpg", 20 * i)
    return root


def cifar(root: Path) -> Path:
    """The binary version of CIFAR-10, with 4 records a batch."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        records = rng.integers(0, 256, (4, 3073), np.uint8)
        records[:, 0] %= 10
        records.tofile(folder / f"{name}.bin")
    return root


def mnist(root: Path) -> Path:
    """MNIST's four files, packed."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 12), ("t10k", 4)):
        for name, array in (
            ("images-idx3", rng.integers(0, 256, (count, 28, 28))),
            ("labels-idx1", np.arange(count) % 10),
        ):
            head = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
            (root / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))
    return root


def lsun(root: Path) -> Path:
    """Exports of both databases, which nest pictures by their names' first letters."""
    for split, count in (("train", 6), ("val", 2)):
        for i in range(count):
            picture(root / f"church_outdoor_{split}" / "a" / f"{i}" / f"{i:040x}.webp", 30 * i)
    return root


def shapenet(root: Path) -> Path:
    """ROOT/SYNSET/MODEL/points.npz and pointcloud.npz, and lists: balls in all 13 classes."""
    rng = np.random.default_rng(0)
    for synset in CLASSES:
        models = [f"{synset[-3:]}model{i}" for i in range(4)]
        for model in models:
            folder = root / synset / model
            folder.mkdir(parents=True)
            points = rng.uniform(-0.5, 0.5, (256, 3)).astype(np.float16)
            inside = np.linalg.norm(points, axis=1) < 0.4
            place = dict(loc=np.zeros(3, np.float32), scale=np.float32(1))
            np.savez(folder / "points.npz", points=points, occupancies=np.packbits(inside), **place)
            normals = rng.normal(size=(128, 3))
            normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float16)
            np.savez(folder / "pointcloud.npz", points=np.float16(0.4) * normals, normals=normals, **place)
        for split, names in (("train", models[:2]), ("val", models[2:3]), ("test", models[3:])):
            (root / synset / f"{split}.lst").write_text("\n".join(names) + "\n")
    return root


def text2shape(root: Path) -> Path:
    """ShapeNet with the captions beside its classes."""
    shapenet(root)
    with (root / "captions.tablechair.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("id", "modelId", "description", "category", "topLevelSynsetId", "subSynsetId"))
        for synset, what in (("03001627", "chair"), ("04379243", "table")):
            for i in range(4):
                for text in (f"a round {what}", f"a {what} like a ball"):
                    writer.writerow((i, f"{synset[-3:]}model{i}", text, what.title(), synset, synset))
    return root


def sky(root: Path) -> Path:
    """ROOT/train and ROOT/val with a folder of frames for each video."""
    for split, count in (("train", 3), ("val", 1)):
        for video in range(count):
            for frame in range(9):
                picture(root / split / f"video{video}" / f"frame{frame:05}.png", 20 * video + frame)
    return root


def cars(root: Path) -> Path:
    """ROOT/cars/sampled/carNNNNN.npz: views from a circle, and points with colours."""
    folder = root / "cars" / "sampled"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (6, 1, 1))
    for view in range(6):
        angle = np.pi * view / 3
        back = np.array([np.cos(angle), np.sin(angle), 0.0])
        right = np.array([-np.sin(angle), np.cos(angle), 0.0])
        poses[view, :3] = np.stack([right, np.array([0.0, 0.0, 1.0]), back, 1.3 * back], axis=1)
    for car in range(12):
        images = np.full((6, 24, 24, 3), 255, np.uint8)
        images[:, 8:16, 6:18] = (200, 20 * car, 40)
        points = np.concatenate([rng.uniform(-0.3, 0.3, (80, 3)), rng.uniform(0, 1, (80, 3))], axis=1)
        np.savez(folder / f"car{car:05}.npz", images=images, cam_poses=poses, data=points)
    return root


def srn(root: Path) -> Path:
    """ROOT/cars_train and ROOT/cars_test with rgb, pose and intrinsics.txt of each scene: a ball, seen all around."""
    rows, columns = np.mgrid[:24, :24] + 0.5
    ball = np.hypot(rows - 12, columns - 12) < 6
    for split, count in (("train", 3), ("test", 2)):
        for scene in range(count):
            folder = root / f"cars_{split}" / f"{split}{scene:04}"
            for name in ("rgb", "pose"):
                (folder / name).mkdir(parents=True)
            for view in range(8):
                pixels = np.full((24, 24, 3), 255, np.uint8)
                pixels[ball] = (200, 60 * scene, 40)
                Image.fromarray(pixels).save(folder / "rgb" / f"{view:06}.png")
                angle, height = np.pi * view / 4, 0.5 * (-1) ** view
                back = np.array([np.cos(angle), np.sin(angle), height]) / np.hypot(1, height)  # z is up
                right = np.array([-np.sin(angle), np.cos(angle), 0.0])
                pose = np.eye(4)
                pose[:3] = np.stack([right, np.cross(right, back), -back, 1.3 * back], axis=1)  # x right, y down
                (folder / "pose" / f"{view:06}.txt").write_text(" ".join(map(str, pose.ravel())))
            (folder / "intrinsics.txt").write_text("26. 12. 12. 0.\n0. 0. 0.\n1.\n24 24\n")
    return root


def meshes(root: Path) -> Path:
    """ROOT/boxes/N.ply, as somebody's own files."""
    import trimesh

    (root / "boxes").mkdir(parents=True)
    for i in range(30):
        trimesh.creation.box((1, 1 + i, 2)).export(root / "boxes" / f"{i}.ply")
    return root


def fields(path: Path, times: int = 16, names: tuple[str, str] = ("u", "v")) -> Path:
    """A NetCDF file of two variables on 13 latitudes and 24 longitudes: waves that wander to the east."""
    import xarray

    path.parent.mkdir(parents=True, exist_ok=True)
    north, east = np.linspace(-90, 90, 13), np.arange(0.0, 360, 15)
    axes = {
        "time": ("time", 15.0 + 30.4 * np.arange(times), {"units": "days since 2001-01-01"}),
        "latitude": ("latitude", north, {"units": "degrees_north"}),
        "longitude": ("longitude", east, {"units": "degrees_east"}),
    }
    away = np.cos(np.radians(north))[:, None]
    phase = np.radians(east) - 0.5 * np.arange(times)[:, None, None]
    waves = {
        name: (tuple(axes), 5 * away * np.sin(phase + shift), {"units": "m s-1"}) for shift, name in enumerate(names)
    }
    xarray.Dataset(waves, axes, {"title": "waves of a test"}).to_netcdf(path, engine="scipy")
    return path


def ferret(path: Path, package: str = "ferret-datasets", without: str = "") -> Path:
    """A package of Debian with the winds' file, and what is said of its licence."""
    inside = "usr/share/ferret-vis/data/monthly_navy_winds.cdf"
    winds = fields(path.with_suffix(".cdf"), 40, ("UWND", "VWND"))
    files = {inside: winds.read_bytes(), f"usr/share/doc/{package}/copyright": b"public domain\n"}
    winds.unlink()
    return deb(path, package, {n: content for n, content in files.items() if not without or without not in n})


def sweethome(path: Path) -> Path:
    """A package of Debian with a catalogue of boxes, every other one with a hole."""
    files, lines = {}, []
    for number in range(17, 33):
        mesh = trimesh.creation.box(extents=(1, 1 + number / 16, 2)).subdivide().subdivide()
        if number % 2:
            mesh.update_faces(np.arange(len(mesh.faces)) > 0)
        files[f"all/box{number}/box{number}.obj"] = mesh.export(file_type="obj").encode()
        of = {"name": f"Box chair {number}", "creator": "Somebody", "model": f"/all/box{number}/box{number}.obj"}
        lines += [f"{key}#{number}={value}" for key, value in of.items()]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {"PluginFurnitureCatalog.properties": "\n".join(lines).encode(), **files}.items():
            archive.writestr(name, content)
    said = b"Files: Boxes/*\nCopyright: 2026 Somebody\nLicense: CC-BY-3.0\n"
    inside = {
        "usr/share/sweethome3d/Boxes.sh3f": buffer.getvalue(),
        "usr/share/doc/sweethome3d-furniture/copyright": said,
    }
    return deb(path, "sweethome3d-furniture", inside)


def deb(path: Path, package: str, files: dict[str, bytes]) -> Path:
    """A package of Debian that installs some files."""
    control = {"control": f"Package: {package}\nVersion: 1.0-1\n".encode()}
    members = {"debian-binary": b"2.0\n", "control.tar.xz": _tar(control), "data.tar.xz": _tar(files)}
    whole = b"!<arch>\n"
    for name, content in members.items():
        whole += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        whole += content + b"\n" * (len(content) % 2)
    path.write_bytes(whole)
    return path


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
