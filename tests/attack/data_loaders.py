"""Every reader of users' data, with a function that writes what is sound and one that reads it."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms

from .loader import Loader, check

# --- pictures ----------------------------------------------------------------------------------------------------


def pixels(rows: int = 20, columns: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)


def _write_pictures(folder: Path) -> None:
    rgb = Image.fromarray(pixels())
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    turned = Image.Exif()
    turned[0x0112] = 6
    rgb.save(folder / "8.png", icc_profile=profile)
    Image.fromarray(pixels()[..., 0].astype(np.uint16) * 257).save(folder / "16.png")
    Image.fromarray(np.concatenate([pixels(), pixels()[..., :1]], axis=-1)).save(folder / "alpha.png")
    rgb.convert("P").save(folder / "palette.png", transparency=3)
    rgb.save(folder / "a.jpg", quality=90, icc_profile=profile, exif=turned)
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    rgb.save(folder / "a.webp")
    rgb.save(folder / "a.tif", compression="tiff_lzw")
    Image.fromarray(pixels()[..., 0].astype(np.uint16) * 257).save(folder / "16.tif")
    rgb.convert("P").save(folder / "a.gif", save_all=True, append_images=[Image.fromarray(pixels(seed=1))])
    rgb.save(folder / "a.bmp")
    rgb.save(folder / "a.tga")
    rgb.save(folder / "a.ppm")


def _read_pictures(folder: Path) -> object:
    from ddmi_modalities.files.pixels import open_cutout, open_mask

    for file in sorted(folder.iterdir()):
        picture, alpha = open_cutout(file)
        check(picture.mode == "RGB", f"{file.name} is {picture.mode}")
        check(alpha is None or alpha.shape == (picture.height, picture.width), f"opacity {alpha is None}")
        mask = open_mask(file)
        check(mask.shape == (picture.height, picture.width), f"a mask of {mask.shape}")
    return None


def _write_image_folder(folder: Path) -> None:
    (folder / "cat").mkdir()
    for number in range(6):
        Image.fromarray(pixels(seed=number)).save(folder / "cat" / f"{number}.png")
        (folder / "cat" / f"{number}.txt").write_text(f"a picture, number {number}\n")
    (folder / "train.txt").write_text("".join(f"cat/{number}.png\n" for number in range(4)))
    (folder / "test.txt").write_text("cat/4\ncat/5\n")


def _encoded(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(seed=seed)).save(buffer, "PNG")
    return buffer.getvalue()


def _write_shards(folder: Path) -> None:
    for split, count in (("train", 4), ("test", 2)):
        with tarfile.open(folder / f"{split}-0.tar", "w") as shard:
            for number in range(count):
                members = {".png": _encoded(number), ".txt": b"a picture\n", ".json": b"{}"}
                for ending, content in members.items():
                    info = tarfile.TarInfo(f"{number}{ending}")
                    info.size = len(content)
                    shard.addfile(info, io.BytesIO(content))


def _write_tables(ending: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        for split, count in (("train", 4), ("test", 2)):
            values = [{"bytes": _encoded(number), "path": f"{number}.png"} for number in range(count)]
            table = pa.table({"label": range(count), "image": pa.array(values, kind)})
            file = folder / f"{split}-0.{ending}"
            if ending == "parquet":
                parquet.write_table(table, file, row_group_size=3)
            else:
                with pa.ipc.new_stream(file, table.schema) as writer:
                    writer.write_table(table, max_chunksize=3)

    return write


def _read_images(folder: Path) -> object:
    from ddmi_modalities.image.data.sources import open_images

    for split in ("train", "test"):
        data = open_images(str(folder), split)  # type: ignore[arg-type]
        data.digest()  # type: ignore[attr-defined]
        for item in data:
            check(item.pixels(16).shape == (3, 16, 16), "a picture's size")
            check(item.caption is None or isinstance(item.caption, str), "a caption")
    return None


def _write_cifar(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        records = rng.integers(0, 256, (2, 3073), np.uint8)
        records[:, 0] %= 10
        records.tofile(folder / f"{name}.bin")


# --- videos ------------------------------------------------------------------------------------------------------


def frames(count: int = 9) -> torch.Tensor:
    ramp = np.linspace(0, 255, 32)[None, :] * np.ones((32, 1))
    return torch.from_numpy(np.stack([np.roll(ramp, 3 * shift, 1)[None].repeat(3, 0) for shift in range(count)])).to(
        torch.uint8
    )


def _write_video(folder: Path) -> None:
    from ddmi_modalities.files.clips import save_mp4

    save_mp4(frames(), folder / "clip.mp4", 8)


def _write_frames(folder: Path) -> None:
    for video in ("a", "b"):
        (folder / video).mkdir()
        for number, frame in enumerate(frames()):
            Image.fromarray(frame.permute(1, 2, 0).numpy()).save(folder / video / f"frame{number}.png")
    (folder / "train.txt").write_text("a\n")
    (folder / "test.txt").write_text("b\n")


def _read_clips(folder: Path) -> object:
    from ddmi_modalities.video.data.stored_clips import StoredClips

    for split in ("train", "test"):
        clips = StoredClips(folder, split, frames=3, size=16)  # type: ignore[arg-type]
        clips.digest()
        for clip in clips:  # type: ignore[attr-defined]
            check(clip.frames(torch.arange(3.0), 16).shape == (3, 3, 16, 16), "a clip's shape")
    return None


def _read_one_video(folder: Path) -> object:
    from ddmi_modalities.video.data.stored_clips import clip_seconds, read_clip

    clip = read_clip(folder / "clip.mp4", 3, 2, 16)
    check(clip.shape == (3, 3, 16, 16), "a clip's shape")
    return clip_seconds(folder / "clip.mp4", 3, 2)


# --- meshes ------------------------------------------------------------------------------------------------------


def mesh(ending: str) -> Callable[[Path], None]:
    """Writes a box with colours in this format."""

    def write(folder: Path) -> None:
        import trimesh

        box = trimesh.creation.box((1, 2, 3)).subdivide()
        box.visual.vertex_colors = np.random.default_rng(0).integers(0, 256, (len(box.vertices), 4), np.uint8)
        if ending == "ascii.ply":
            (folder / "box.ply").write_bytes(trimesh.exchange.ply.export_ply(box, encoding="ascii"))
        elif ending == "quads.obj":
            lines = [f"v {x} {y} {z}" for x in (0, 1) for y in (0, 1) for z in (0, 2)]
            faces = ("1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "-7 -3 -1 -5")
            (folder / "box.obj").write_text("\n".join([*lines, *(f"f {face}" for face in faces)]) + "\n")
        else:
            box.export(folder / f"box.{ending}")

    return write


def mesh_folder(ending: str) -> Callable[[Path], None]:
    """The same, for training and held out."""

    def write(folder: Path) -> None:
        for split in ("train", "test"):
            (folder / split).mkdir()
            mesh(ending)(folder / split)

    return write


def _read_meshes(folder: Path) -> object:
    from ddmi_modalities.shape.data.mesh_folder import MeshFolder

    item = MeshFolder(folder, "train", repair=True, strict=True)[0]
    points, normals = item.surface(50, np.random.default_rng(0))
    inside = item.inside(points * 0.5)
    check(np.abs(points).max() <= 0.5 + 1e-5, "points outside of the unit cube")
    return [points, normals, inside, item.scale, list(item.loc), np.asarray(item.solid.vertices)]


def _read_cloud(folder: Path) -> object:
    from ddmi_modalities.shape.data.sources import read_cloud

    (file,) = folder.iterdir()
    points = read_cloud(file, 40)
    check(points.ndim == 2 and points.shape[1] == 3 and len(points) > 0, f"points of {points.shape}")
    check(np.abs(points).max() <= 0.51, "points outside of the unit cube")
    return points


def _read_coloured(folder: Path) -> object:
    from ddmi_modalities.nerf.data.clouds import read_coloured_points

    (file,) = folder.iterdir()
    points = read_coloured_points(file, 40)
    check(points.shape == (40, 6), f"points of {points.shape}")
    check(np.abs(points[:, :3]).max() <= 0.51, "points outside of the unit cube")
    return points


def _write_cloud_npz(folder: Path) -> None:
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (60, 3)).astype(np.float32)
    np.savez(folder / "cloud.npz", points=points, normals=points)


def _write_xyz(folder: Path) -> None:
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (30, 3))
    (folder / "cloud.xyz").write_text("\n".join(" ".join(f"{x:.4f}" for x in point) for point in points) + "\n")


# --- ShapeNet ----------------------------------------------------------------------------------------------------


def _write_shapenet(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for synset in ("03001627", "04379243"):
        for model in ("a", "b", "c"):
            (folder / synset / model).mkdir(parents=True)
            points = rng.uniform(-0.5, 0.5, (64, 3)).astype(np.float16)
            inside = np.linalg.norm(points.astype(np.float32), axis=1) < 0.4
            place = dict(loc=np.zeros(3, np.float32), scale=np.float32(1))
            np.savez(folder / synset / model / "points.npz", points=points, occupancies=np.packbits(inside), **place)
            normals = rng.normal(size=(64, 3)).astype(np.float16)
            np.savez(folder / synset / model / "pointcloud.npz", points=points, normals=normals, **place)
        for split, names in (("train", "a"), ("val", "b"), ("test", "c")):
            (folder / synset / f"{split}.lst").write_text(f"{names}\n")
    (folder / "metadata.yaml").write_text(
        "'03001627':\n  id: '03001627'\n  name: chair\n'04379243':\n  id: '04379243'\n  name: table,desk\n"
    )
    with (folder / "captions.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("id", "modelId", "description", "category", "topLevelSynsetId", "subSynsetId"))
        for synset, what in (("03001627", "Chair"), ("04379243", "Table")):
            for number, model in enumerate("abc"):
                writer.writerow((number, model, f'a round, "nice" {what}', what, synset, synset))


def _read_shapenet(captions: str | None) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from ddmi_modalities.shape.data.sources import open_shapes

        found: list[Any] = []
        for split in ("train", "test"):
            data = open_shapes(str(folder), split, classes=("chair", "table"), captions_file=captions)  # type: ignore[arg-type]
            data.digest()  # type: ignore[attr-defined]
            for number in range(len(data)):
                item: Any = data[number]
                points, inside = item.points(30, np.random.default_rng(0), None)
                check(points.shape == (30, 3) and inside.shape == (30,), "points' shapes")
                surface, normals = item.surface(30, np.random.default_rng(0))
                placement = getattr(item, "shape", item).placement
                found += [points, surface, normals, placement[0], placement[1]]
                check(not captions or all(isinstance(text, str) and text for text in item.captions), "captions")
        return found

    return read


# --- scenes ------------------------------------------------------------------------------------------------------


def poses(count: int) -> np.ndarray:
    """Camera to world, OpenCV style, z up."""
    made = np.tile(np.eye(4), (count, 1, 1))
    for view in range(count):
        angle = 2 * np.pi * view / count
        back = np.array([np.cos(angle), np.sin(angle), 0.4]) / np.hypot(1, 0.4)
        right = np.array([-np.sin(angle), np.cos(angle), 0.0])
        made[view, :3] = np.stack([right, np.cross(right, back), -back, 1.3 * back], axis=1)
    return made


def opengl(pose: np.ndarray) -> np.ndarray:
    return pose * np.array([1, -1, -1, 1])


def view(size: int = 16) -> np.ndarray:
    image = np.full((size, size, 3), 255, np.uint8)
    image[4:12, 4:12] = (200, 40, 40)
    return image


def _write_transforms(folder: Path) -> None:
    scene = folder / "scene"
    (scene / "images").mkdir(parents=True)
    found = []
    for number, pose in enumerate(poses(5)):
        Image.fromarray(view()).save(scene / "images" / f"{number}.png")
        Image.fromarray((view()[..., 1] < 128).astype(np.uint8) * 255).save(scene / "images" / f"mask{number}.png")
        found.append(
            {
                "file_path": f"images/{number}.png",
                "mask_path": f"images/mask{number}.png",
                "transform_matrix": opengl(pose).tolist(),
            }
        )
    lens = {"fl_x": 20.0, "fl_y": 20.0, "cx": 8.0, "cy": 8.0, "w": 16, "h": 16, "camera_model": "OPENCV", "k1": 0.0}
    names = {"train_filenames": [f"images/{n}.png" for n in range(4)], "test_filenames": ["images/4.png"]}
    (scene / "transforms.json").write_text(json.dumps({**lens, **names, "frames": found}))


def _write_synthetic(folder: Path) -> None:
    scene = folder / "scene"
    for split, count in (("train", 4), ("test", 2)):
        (scene / split).mkdir(parents=True)
        found = []
        for number, pose in enumerate(poses(count)):
            rgba = np.concatenate([view(), np.where(view()[..., 1:2] < 128, 255, 0).astype(np.uint8)], axis=-1)
            Image.fromarray(rgba).save(scene / split / f"r_{number}.png")
            found.append({"file_path": f"./{split}/r_{number}", "transform_matrix": opengl(pose).tolist()})
        (scene / f"transforms_{split}.json").write_text(json.dumps({"camera_angle_x": 0.69, "frames": found}))


def _write_srn(folder: Path) -> None:
    scene = folder / "scene"
    for name in ("rgb", "pose"):
        (scene / name).mkdir(parents=True)
    for number, pose in enumerate(poses(5)):
        Image.fromarray(view()).save(scene / "rgb" / f"{number:06}.png")
        (scene / "pose" / f"{number:06}.txt").write_text(" ".join(map(str, pose.ravel())))
    (scene / "intrinsics.txt").write_text("20. 8. 8. 0.\n0. 0. 0.\n1.\n16 16\n")


def _write_sampled(folder: Path) -> None:
    (folder / "sampled").mkdir()
    rng = np.random.default_rng(0)
    data = np.concatenate([rng.uniform(-0.3, 0.3, (30, 3)), rng.uniform(0, 1, (30, 3))], axis=1)
    np.savez(
        folder / "sampled" / "scene.npz",
        images=np.stack([view()] * 5),
        cam_poses=np.stack([opengl(pose) for pose in poses(5)]),
        data=data,
        intrinsics=np.tile([20.0, 20.0, 8.0, 8.0], (5, 1)),
        masks=np.stack([view()[..., 1] < 128] * 5),
        held_out=np.array([4]),
    )


def _read_scenes(points: bool) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from ddmi_modalities.nerf.data.sources import open_scene, read_scene

        path = folder / "scene" if not points else folder / "sampled" / "scene.npz"
        scene = open_scene(path)
        views = scene.views("all", 8)
        scene.views("given"), scene.views("held_out")
        found: list[Any] = [views.images, views.masks, views.cameras.to_world, views.cameras.focal]
        found += list(views.cameras.image_rays(0))
        check(views.images.shape[1:] == (8, 8, 3), f"views of {views.images.shape}")
        cloud = read_scene(path, 20, 0.55)
        check(cloud.shape == (20, 6), f"a cloud of {cloud.shape}")
        return [*found, cloud]

    return read


def _read_scene_folder(folder: Path) -> object:
    from ddmi_modalities.nerf.data.sources import open_scenes

    data: Any = open_scenes(str(folder), "train", items=2, size=16)
    data.digest()
    return [data[number].views("all").images for number in range(len(data))]


# --- prepared folders --------------------------------------------------------------------------------------------


def _write_prepared(folder: Path) -> None:
    from ddmi_modalities.datasets.preparation import Item, Plan, prepare

    source, out = folder / "source", folder / "out"
    source.mkdir()
    (source / "a").write_text("a")
    prepare(_plan(source, Item, Plan), out, workers=1, recipe="images")


def _plan(source: Path, item: Any, plan: Any) -> Any:
    made = [item(name="train/a", split="train", sources=("a",), make=lambda: [("train/a.txt", b"content")])]
    return plan(what="things", source=source, items=made, settings={"size": 3, "mode": "x"})


def _read_prepared(folder: Path) -> object:
    from ddmi_modalities.datasets.manifest import describe_manifest
    from ddmi_modalities.datasets.preparation import Item, Plan, prepare

    said = describe_manifest(folder / "out")
    check(said is None or (isinstance(said, str) and "\x1b" not in said), f"described as {said!r}")
    prepare(_plan(folder / "source", Item, Plan), folder / "out", workers=1, recipe="images")
    check((folder / "out" / "train" / "a.txt").read_bytes() == b"content", "another content was kept")
    return None


def data_loaders() -> Iterable[Loader]:
    yield Loader("pictures", _write_pictures, _read_pictures)
    yield Loader("image-folder", _write_image_folder, _read_images)
    yield Loader("shards", _write_shards, _read_images)
    yield Loader("parquet", _write_tables("parquet"), _read_images)
    yield Loader("arrow", _write_tables("arrow"), _read_images)
    yield Loader("cifar", _write_cifar, _read_images)
    yield Loader("video", _write_video, _read_clips)
    yield Loader("one-video", _write_video, _read_one_video)
    yield Loader("frame-folders", _write_frames, _read_clips)
    for ending in ("obj", "quads.obj", "ply", "ascii.ply", "stl", "off", "glb"):
        yield Loader(f"mesh-{ending}", mesh_folder(ending), _read_meshes, "train/*")
        yield Loader(f"cloud-{ending}", mesh(ending), _read_cloud)
        if ending not in ("stl", "off", "quads.obj"):  # without colours
            yield Loader(f"coloured-{ending}", mesh(ending), _read_coloured)
    yield Loader("cloud-npz", _write_cloud_npz, _read_cloud)
    yield Loader("cloud-xyz", _write_xyz, _read_cloud)
    yield Loader("shapenet", _write_shapenet, _read_shapenet(None), "*.npz *.lst *.yaml")
    yield Loader("text2shape", _write_shapenet, _read_shapenet("captions.csv"), "*.csv")
    yield Loader("transforms", _write_transforms, _read_scenes(False), "*.json *mask0.png")
    yield Loader("transforms-split", _write_synthetic, _read_scenes(False), "*.json")
    yield Loader("scene-folder", _write_transforms, _read_scene_folder)
    yield Loader("srn", _write_srn, _read_scenes(False))
    yield Loader("sampled", _write_sampled, _read_scenes(True))
    yield Loader("prepared", _write_prepared, _read_prepared, "manifest.json a.txt")
