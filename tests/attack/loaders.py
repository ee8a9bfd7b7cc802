"""Every reader of users' files, with a function that writes what is sound and one that reads it."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms


class WrongContent(Exception):
    """Something was read that is not finite, or not what it should be."""


@dataclass(frozen=True)
class Loader:
    """A reader, and what it reads."""

    name: str
    write: Callable[[Path], object]
    """Into a folder, which is there."""
    read: Callable[[Path], object]
    """Of that folder.  What it returns must be finite."""
    attacked: str = "*"
    """Names of the files that are damaged, as `Path.match` takes them."""

    def files(self, folder: Path) -> list[Path]:
        """Those that are damaged."""
        files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.startswith(".training")]
        return [file for file in files if any(file.match(one) for one in self.attacked.split())]


def check_finite(value: Any, where: str = "the content") -> None:
    """Raises WrongContent for numbers that are none, anywhere in arrays, lists and dictionaries."""
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiub":
            raise WrongContent(f"{where} is {value.dtype}")
        if not np.isfinite(value).all():
            raise WrongContent(f"{where} has numbers that are not finite")
    elif isinstance(value, float):
        if not np.isfinite(value):
            raise WrongContent(f"{where} is {value}")
    elif isinstance(value, dict):
        for name, one in value.items():
            check_finite(one, f"{where}: {name}")
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            check_finite(one, f"{where}[{number}]")


def _check(sound: bool, what: str) -> None:
    if not sound:
        raise WrongContent(what)


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
        _check(picture.mode == "RGB", f"{file.name} is {picture.mode}")
        _check(alpha is None or alpha.shape == (picture.height, picture.width), f"opacity {alpha is None}")
        mask = open_mask(file)
        _check(mask.shape == (picture.height, picture.width), f"a mask of {mask.shape}")
    return None


def _write_image_folder(folder: Path) -> None:
    (folder / "cat").mkdir()
    for number in range(6):
        Image.fromarray(pixels(seed=number)).save(folder / "cat" / f"{number}.png")
        (folder / "cat" / f"{number}.txt").write_text(f"a picture, number {number}\n")
    (folder / "train.txt").write_text("".join(f"cat/{number}.png\n" for number in range(4)))
    (folder / "test.txt").write_text("cat/4\ncat/5\n")


def _read_images(folder: Path) -> object:
    from ddmi_modalities.image.data.sources import open_images

    for split in ("train", "test"):
        data = open_images(str(folder), split)  # type: ignore[arg-type]
        data.digest()  # type: ignore[attr-defined]
        for item in data:
            _check(item.pixels(16).shape == (3, 16, 16), "a picture's size")
            _check(item.caption is None or isinstance(item.caption, str), "a caption")
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
            _check(clip.frames(torch.arange(3.0), 16).shape == (3, 3, 16, 16), "a clip's shape")
    return None


def _read_one_video(folder: Path) -> object:
    from ddmi_modalities.video.data.stored_clips import clip_seconds, read_clip

    clip = read_clip(folder / "clip.mp4", 3, 2, 16)
    _check(clip.shape == (3, 3, 16, 16), "a clip's shape")
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
    _check(np.abs(points).max() <= 0.5 + 1e-5, "points outside of the unit cube")
    return [points, normals, inside, item.scale, list(item.loc), np.asarray(item.closed.vertices)]


def _read_cloud(folder: Path) -> object:
    from ddmi_modalities.shape.data.sources import read_cloud

    (file,) = folder.iterdir()
    points = read_cloud(file, 40)
    _check(points.ndim == 2 and points.shape[1] == 3 and len(points) > 0, f"points of {points.shape}")
    _check(np.abs(points).max() <= 0.51, "points outside of the unit cube")
    return points


def _read_coloured(folder: Path) -> object:
    from ddmi_modalities.nerf.data.clouds import read_coloured_points

    (file,) = folder.iterdir()
    points = read_coloured_points(file, 40)
    _check(points.shape == (40, 6), f"points of {points.shape}")
    _check(np.abs(points[:, :3]).max() <= 0.51, "points outside of the unit cube")
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
                _check(points.shape == (30, 3) and inside.shape == (30,), "points' shapes")
                surface, normals = item.surface(30, np.random.default_rng(0))
                placement = getattr(item, "shape", item).placement
                found += [points, surface, normals, placement[0], placement[1]]
                _check(not captions or all(isinstance(text, str) and text for text in item.captions), "captions")
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
        _check(views.images.shape[1:] == (8, 8, 3), f"views of {views.images.shape}")
        cloud = read_scene(path, 20, 0.55)
        _check(cloud.shape == (20, 6), f"a cloud of {cloud.shape}")
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
    _check(said is None or (isinstance(said, str) and "\x1b" not in said), f"described as {said!r}")
    prepare(_plan(folder / "source", Item, Plan), folder / "out", workers=1, recipe="images")
    _check((folder / "out" / "train" / "a.txt").read_bytes() == b"content", "another content was kept")
    return None


# --- models ------------------------------------------------------------------------------------------------------


@cache
def tiny_model() -> Any:
    """Both stages and a guide, untrained."""
    import dataclasses

    from ddmi.pipeline import DDMI
    from ddmi.registry import make_experiment
    from ddmi_diffusion import LatentSpace

    torch.manual_seed(0)
    experiment = make_experiment("openmoji", "test", None)
    diffusion = dataclasses.replace(experiment.diffusion, guide_after=0.5, num_steps=2)
    experiment = dataclasses.replace(experiment, diffusion=diffusion)
    vae = experiment.vae.build(experiment.modality.layout).eval()
    item = torch.zeros(1, 3, experiment.modality.size, experiment.modality.size)
    with torch.no_grad():
        shapes = [tuple(plane.shape[1:]) for plane in vae.encode((item,)).mean]
    space = LatentSpace.identity(shapes, diffusion.packing)
    return DDMI(
        experiment, vae, space, diffusion.build(shapes, space.shape), guide=diffusion.build(shapes, space.shape)
    )


def _write_model(folder: Path) -> None:
    tiny_model().save_pretrained(folder / "model")


def _write_unlisted_model(folder: Path) -> None:
    """As of a time before manifests, so that weights are looked at."""
    _write_model(folder)
    (folder / "model" / "manifest.json").unlink()


def _read_model(folder: Path) -> object:
    from ddmi.pipeline import DDMI
    from ddmi.serialization import experiment_text

    model = DDMI.from_pretrained(folder / "model")
    json.loads(experiment_text(model.experiment))
    return [*model.vae.state_dict().values(), *(model.diffusion.state_dict().values() if model.diffusion else ())]


def _read_configuration(folder: Path) -> object:
    from ddmi.commands.settings import named_experiment
    from ddmi.serialization import experiment_text, read_experiment_file

    experiment = named_experiment("", "", None, folder / "config.json")
    text = experiment_text(experiment)
    (folder / "again.json").write_text(text)
    _check(read_experiment_file(folder / "again.json") == experiment, "a configuration that is another one once saved")
    return None


def _write_configuration(folder: Path) -> None:
    from ddmi.serialization import experiment_text

    (folder / "config.json").write_text(experiment_text(tiny_model().experiment))


# --- runs --------------------------------------------------------------------------------------------------------


def _trainer(folder: Path, steps: int, save_every: int = 1) -> Any:
    from ddmi_diffusion import Trainer, TrainerConfig

    config = TrainerConfig(
        steps=steps, batch_size=4, learning_rate=1e-2, precision="fp32", device="cpu", tensorboard=False,
        save_every=save_every, ema_decay=0.9, keep=2,
    )  # fmt: skip
    data = list(torch.randn(8, 4, generator=torch.Generator().manual_seed(0)))
    return Trainer(_regression(), data, lambda items, rng: {"x": torch.stack(items)}, config, folder / "run")


def _regression() -> Any:
    from ddmi_diffusion.objective import Objective

    class Regression(Objective):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = torch.nn.Linear(4, 4)

        def forward(self, batch: Any, *, step: int, rng: Any) -> dict[str, Any]:
            return {"loss": (self.net(batch["x"]) - 1).square().mean()}

    return Regression()


def _write_checkpoints(folder: Path) -> None:
    _trainer(folder, 2).fit()


def _write_one_checkpoint(folder: Path) -> None:
    """Of before checksums of state.json, so that what it says is looked at; there is none before it."""
    _trainer(folder, 2, save_every=0).fit()
    (state,) = folder.rglob("state.json")
    content = json.loads(state.read_bytes())
    del content["crc32"]
    state.write_text(json.dumps(content))


def _read_checkpoints(folder: Path) -> object:
    trainer = _trainer(folder, 3)
    trainer.fit(resume=True)
    return list(trainer.objective.state_dict().values())


def _write_latents(folder: Path) -> None:
    from ddmi_diffusion.latent_cache import LatentCache

    planes = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    LatentCache.build(folder / "train.npy", "key", 6, [((planes,), (planes.exp(),))])


def _read_latents(folder: Path) -> object:
    from ddmi_diffusion.latent_cache import LatentCache

    LatentCache.opened(folder / "train.npy", "key")
    cache_ = LatentCache(folder / "train.npy", "key")
    batch = cache_.batch([cache_[number] for number in range(len(cache_))])
    _check(len(cache_) == 6 and batch.mean[0].shape == (6, 2, 3, 3), "a cache's shape")
    return [*batch.mean, *batch.std]


def _write_evaluations(folder: Path) -> None:
    (folder / "evaluations").mkdir()
    for name in ("offline", "fid-10k"):
        record = {
            "protocol": name, "metrics": {"fid": 3.5, "count": 10}, "sha256_checkpoint": {"vae.safetensors": "00"},
            "deviations": ["fewer samples"], "comparable_with": "a paper", "conditions": {"resolution": 64},
            "recipe": "openmoji",
        }  # fmt: skip
        (folder / "evaluations" / f"{name}.json").write_text(json.dumps(record))


def _read_evaluations(folder: Path) -> object:
    from ddmi.evaluation.table import markdown_table

    table = markdown_table([folder])
    _check(all(line.isprintable() for line in table.splitlines()), "a table with control characters")
    return None


def _write_finished(folder: Path) -> None:
    from ddmi.sampling.finished_batches import FinishedBatches

    for name in ("000.png", "001.png"):
        (folder / name).write_bytes(name.encode())
    FinishedBatches(folder, "key").add(range(2), [folder / "000.png", folder / "001.png"])


def _read_finished(folder: Path) -> object:
    from ddmi.sampling.finished_batches import FinishedBatches

    batches = FinishedBatches(folder, "key")
    batches.others()
    batches.begin(resume=True)
    missing = [number for run in batches.missing(3, 2) for number in run]
    whole = all((folder / name).read_bytes() == name.encode() for name in ("000.png", "001.png"))
    _check(whole or missing == [0, 1, 2], "a damaged file counts as whole")
    return None


# --- the reference implementation --------------------------------------------------------------------------------

REFERENCE: dict[str, Any] = {
    "model": {
        "embed_dim": 2,
        "params": {
            "ddconfig": {
                "double_z": True, "z_channels": 2, "resolution": 16, "in_channels": 3, "out_ch": 4, "ch": 8,
                "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [], "hdbf_resolutions": [8],
                "dropout": 0.0, "attn_type": "vanilla",
            },
            "mlpconfig": {"in_ch": 2, "out_ch": 3, "ch": 16, "latent_dim": 4},
            "unetconfig": {
                "image_size": 8, "in_channels": 2, "out_channels": 2, "model_channels": 8, "num_res_blocks": 1,
                "attention_resolutions": [2], "channel_mult": [1, 2], "num_head_channels": 4, "use_fp16": False,
            },
            "ddpmconfig": {
                "timesteps": 1000, "image_size": 8, "channels": 2, "mixed_prediction": True, "mixed_init": -6,
                "sampling_timesteps": 3, "ddim_sampling_eta": 0.0,
            },
        },
    },
    "data": {"domain": "image", "batch_size": 4, "data_dir": "/data"},
}  # fmt: skip


@cache
def _reference_weights() -> dict[str, Any]:
    from ddmi.reference import image_sources, image_vae, latent_diffusion, latent_diffusion_sources

    torch.manual_seed(0)
    params = REFERENCE["model"]["params"]
    vae = image_vae({"ddconfig": params["ddconfig"], "mlpconfig": params["mlpconfig"], "embed_dim": 2})
    ours = vae.state_dict()
    first = {source.name: torch.randn(ours[name].shape) for name, source in image_sources(vae).items()}
    model = latent_diffusion(params["unetconfig"], params["ddpmconfig"])
    ours = model.state_dict()
    second = {source.name: torch.randn(ours[name].shape) for name, source in latent_diffusion_sources(model).items()}
    second |= {"diffusion.betas": model.noise.betas.float()}

    def part(state: dict[str, Any], name: str) -> dict[str, Any]:
        return {key.removeprefix(f"{name}."): one for key, one in state.items() if key.startswith(f"{name}.")}

    last = part(second, "diffusion")
    ema = {"initted": torch.tensor(True)} | {f"ema_model.{name}": one for name, one in last.items()}
    return {
        "step": 7, "vaemodel": part(first, "vaemodel"), "mlp": part(first, "mlp"), "diffusion": last, "ema": ema,
        "opt": {"param_groups": [{"lr": 1e-4, "betas": (0.9, 0.99)}]}, "args": Namespace(exp="ldm", seed=777),
    }  # fmt: skip


def _write_reference(folder: Path) -> None:
    import yaml

    (folder / "model.yaml").write_text(yaml.safe_dump(REFERENCE))
    torch.save(_reference_weights(), folder / "ldm-last.pt")


def _read_reference(folder: Path) -> object:
    from ddmi.importing.reference import import_reference

    shutil.rmtree(folder / "imported", ignore_errors=True)
    model = import_reference(folder / "ldm-last.pt", folder / "model.yaml", folder / "imported")
    return list(model.vae.state_dict().values())


def _quiet(read: Callable[[Path], object]) -> Callable[[Path], object]:
    def quietly(folder: Path) -> object:
        logging.getLogger("ddmi").setLevel(logging.CRITICAL)
        return read(folder)

    return quietly


def _loaders() -> Iterable[Loader]:
    yield Loader("pictures", _write_pictures, _read_pictures)
    yield Loader("image-folder", _write_image_folder, _read_images)
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
    yield Loader("model", _write_model, _read_model)
    yield Loader("model-config", _write_model, _read_model, "config.json")
    yield Loader("model-unlisted", _write_unlisted_model, _read_model, "*.safetensors")
    yield Loader("configuration", _write_configuration, _read_configuration)
    yield Loader("checkpoints", _write_checkpoints, _read_checkpoints)
    yield Loader("checkpoint-states", _write_checkpoints, _read_checkpoints, "state.json")
    yield Loader("one-checkpoint", _write_one_checkpoint, _read_checkpoints, "state.json")
    yield Loader("latents", _write_latents, _read_latents)
    yield Loader("evaluations", _write_evaluations, _read_evaluations)
    yield Loader("finished-batches", _write_finished, _read_finished)
    yield Loader("reference-yaml", _write_reference, _read_reference, "*.yaml")
    yield Loader("reference-pt", _write_reference, _read_reference, "*.pt")


LOADERS: dict[str, Loader] = {
    loader.name: Loader(loader.name, loader.write, _quiet(loader.read), loader.attacked) for loader in _loaders()
}
