"""Kinds of files by their suffixes: which are read here, and what to do about others that people have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePath

from PIL import features


@dataclass(frozen=True)
class Kind:
    """Files that hold one kind of thing."""

    what: str
    """In the plural."""
    read: frozenset[str]
    """Suffixes in small letters."""
    unread: Mapping[str, str]
    """What a user can do about such files, by suffix: "install pillow-heif"."""

    def takes(self, file: PurePath) -> bool:
        """Whether the name says that it is read."""
        return file.suffix.lower() in self.read

    @property
    def wanted(self) -> str:
        return f"files that end in {', '.join(sorted(self.read))}"


def _pictures() -> Kind:
    convert = "convert them to PNG or JPEG"
    read = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".jp2"}
    read |= {".tga", ".ppm", ".pgm", ".pnm"}
    other = [".jxl", ".psd", ".exr", ".hdr", ".svg", ".eps", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"]
    other += [".raf", ".raw", ".pcx", ".xcf", ".bpg", ".dcm", ".jxr", ".heics", ".avifs", ".avif", ".heic", ".heif"]
    unread = dict.fromkeys(other, convert)
    if features.check("avif"):
        read.add(".avif")
    if find_spec("pillow_heif") is not None:
        import pillow_heif

        pillow_heif.register_heif_opener()
        read |= {".heic", ".heif"}
    else:
        unread |= dict.fromkeys((".heic", ".heif"), f"install pillow-heif, or {convert}")
    return Kind("images", frozenset(read), {ending: do for ending, do in unread.items() if ending not in read})


PICTURES = _pictures()
FRAMES = Kind("frames", PICTURES.read - {".gif"}, PICTURES.unread)
"""Pictures that can be one of a video: a GIF may be all of it."""
VIDEOS = Kind(
    "videos",
    frozenset(
        {
            *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mpe", ".ts", ".m2ts", ".mts", ".wmv"),
            *(".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".vob", ".mxf", ".divx", ".dv", ".y4m"),
        }
    ),
    dict.fromkeys(
        (".rm", ".rmvb", ".swf", ".h264", ".h265", ".hevc", ".264", ".265", ".ivf", ".mjpeg", ".r3d", ".braw", ".gif"),
        "convert them, such as by `ffmpeg -i FILE out.mp4`",
    ),
)
TARS = Kind(
    "tar shards",
    frozenset({".tar"}),
    dict.fromkeys(
        (".tgz", ".gz", ".bz2", ".tbz", ".xz", ".txz", ".zst", ".tzst"),
        "unpack them to plain .tar, such as by `gunzip`: what is compressed cannot be read by index",
    ),
)
TABLES = Kind("tables of pictures", frozenset({".parquet", ".arrow"}), {})
MESHES = Kind(
    "meshes",
    frozenset({".obj", ".ply", ".stl", ".off", ".glb", ".gltf"}),
    dict.fromkeys(
        (
            *(".dae", ".fbx", ".3ds", ".3mf", ".x3d", ".wrl", ".step", ".stp", ".iges", ".igs", ".blend", ".usd"),
            *(".usda", ".usdc", ".usdz", ".vtk", ".vtp", ".msh", ".binvox", ".skp", ".abc"),
        ),
        "convert them to PLY, OBJ or GLB",
    ),
)
