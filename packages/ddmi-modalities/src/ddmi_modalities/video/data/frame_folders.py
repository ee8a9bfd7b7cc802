"""Folders whose pictures are the frames of a video, as SkyTimelapse has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from ddmi_modalities.datasets.folders import is_hidden
from ddmi_modalities.datasets.natural_order import natural_key
from ddmi_modalities.files.kinds import FRAMES
from ddmi_modalities.files.pixels import centre_square, open_picture, resize_square, to_tensor

AT_ONCE = 64
"""Frames that are looked at together."""


@dataclass(frozen=True)
class FrameFolder:
    """The pictures of one folder in the order of the numbers in their names."""

    path: Path
    name: str

    interval = None

    @cached_property
    def _files(self) -> list[Path]:
        files = [file for file in self.path.iterdir() if FRAMES.takes(file) and not is_hidden(file.name)]
        return sorted(files, key=lambda file: natural_key(file.name))

    @property
    def length(self) -> int:
        """Pictures."""
        return len(self._files)

    @property
    def side(self) -> int:
        """Pixels of the first picture's shorter side.  ValueError that names the file, where it cannot be read."""
        return min(open_picture(self._files[0]).size)

    def check(self) -> int:
        """`length`, after all pictures were decoded.  Raises ValueError as `read` does."""
        for start in range(0, self.length, AT_ONCE):
            self.read(range(max(0, start - 1), min(start + AT_ONCE, self.length)), 1)
        return self.length

    def read(self, positions: Sequence[int], size: int) -> UInt8[Tensor, "frame 3 size size"]:
        """The centred squares of these frames at `size`.

        Raises ValueError that names the file which cannot be read, or is of another size than the first.
        """
        first, frames = None, []
        for file in (self._files[position] for position in positions):
            picture = open_picture(file)
            first = first or picture.size
            if picture.size != first:
                raise ValueError(
                    f"frame {str(file)!r} has {picture.width} x {picture.height} pixels, others of its video "
                    f"{first[0]} x {first[1]}; bring them to one size"
                )
            frames.append(to_tensor(resize_square(centre_square(picture), size)))
        return torch.stack(frames)
