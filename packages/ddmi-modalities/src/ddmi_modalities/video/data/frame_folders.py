"""Folders whose pictures are the frames of a video, as SkyTimelapse has them."""

from __future__ import annotations

import itertools
import re
from collections import Counter
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
from ddmi_modalities.said import say_once

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
        """`length`, after all pictures were decoded; says where numbers are left out.

        Raises ValueError as `read` does.
        """
        if gaps := missing_after(self._files):
            say_once(
                ("gaps", self.path),
                f"frames {str(self.path)!r}: numbers are left out after {', '.join(map(repr, gaps[:5]))}: the video "
                "jumps there; put the frames back, or split the folder",
            )
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


def missing_after(files: Sequence[Path]) -> list[str]:
    """Names of the files after which the last number in their names grows by more than it mostly does."""
    numbers = [int(found[-1]) for file in files if (found := re.findall(r"[0-9]+", file.stem))]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    if len(numbers) < len(files) or not steps:
        return []
    usual = Counter(steps).most_common(1)[0][0]
    return [file.name for file, step in zip(files, steps, strict=False) if step > usual]
