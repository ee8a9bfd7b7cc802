"""A folder of pictures, clips and meshes about one model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from ddmi_modalities.files.clips import save_gif, save_mp4
from ddmi_modalities.files.whole import save_picture

logger = logging.getLogger("ddmi")


class Album:
    """Writes what it is given into a folder, which is made, and remembers the paths.

    Args:
        directory: The folder.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.paths: list[Path] = []
        """Of all that was written, in order."""

    def add(self, name: str, write: Callable[[Path], object]) -> Path:
        """A file that `write(path)` makes."""
        logger.info("drawing %s", name)
        path = self.directory / name
        write(path)
        self.paths.append(path)
        return path

    def picture(self, name: str, picture: Image.Image) -> None:
        self.add(name, lambda path: save_picture(picture, path))

    def gif(self, name: str, frames: Sequence[UInt8[Tensor, "3 _ _"]] | Tensor, fps: int | float) -> None:
        self.add(name, lambda path: save_gif(frames, path, fps))

    def mp4(self, name: str, frames: Sequence[UInt8[Tensor, "3 _ _"]] | Tensor, fps: int | float) -> None:
        self.add(name, lambda path: save_mp4(frames, path, fps))
