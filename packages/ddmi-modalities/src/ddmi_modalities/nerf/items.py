"""What a data set of radiance fields hands out: scenes, seen from cameras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch import Tensor

from ddmi_modalities.geometry.cameras import Cameras

Which = Literal["given", "held_out", "all"]

WHITE = 252
"""A pixel without alpha belongs to the object where any of its channels is below this: compression leaves white so."""


@dataclass(frozen=True, eq=False)
class Views:
    """Posed pictures of one scene."""

    images: UInt8[np.ndarray, "view rows columns 3"]
    """RGB on white; may be memory-mapped."""
    masks: Bool[np.ndarray, "view rows columns"]
    """Where the object is: at least half of the pixel; derived from white where the data have no alpha."""
    cameras: Cameras

    def __post_init__(self) -> None:
        wanted = (len(self.cameras), self.cameras.rows, self.cameras.columns)
        if self.images.shape[:3] != wanted or self.masks.shape != wanted:
            raise ValueError(
                f"Views: images {self.images.shape} and masks {self.masks.shape} of cameras for {wanted} views, rows "
                "and columns; give one picture and mask of the cameras' size for every view"
            )

    def __len__(self) -> int:
        return len(self.cameras)

    def __getitem__(self, views: slice | Int[np.ndarray, " chosen"]) -> Views:
        return Views(self.images[views], self.masks[views], self.cameras[views])

    def reduced(self, size: int) -> Views:
        """The same views, `size` pixels on the longer side, by kornia's antialiased reduction.

        Raises ValueError where that would enlarge them: photographs know nothing of finer pixels.
        """
        rows, columns = self.cameras.rows, self.cameras.columns
        longer = max(rows, columns)
        if size < 1 or size > longer:
            raise ValueError(
                f"Views: pictures of {rows} x {columns} pixels can be reduced but not brought to {size} on the longer "
                f"side; ask for 1 to {longer}"
            )
        if size == longer:
            return self
        from kornia.geometry.transform import resize

        shape = max(1, round(rows * size / longer)), max(1, round(columns * size / longer))
        masks = self.masks[..., None].astype(np.uint8) * np.uint8(255)
        stacked = torch.from_numpy(np.concatenate([self.images, masks], axis=-1)).permute(0, 3, 1, 2).float()
        small = resize(stacked, shape, antialias=True).permute(0, 2, 3, 1).round().clamp(0, 255).to(torch.uint8).numpy()
        return Views(np.ascontiguousarray(small[..., :3]), small[..., 3] >= 128, self.cameras.resized(*shape))


@dataclass(frozen=True)
class RayQuery:
    """Rays of each scene of a batch, in field coordinates."""

    origins: Float[Tensor, "batch ray 3"]
    directions: Float[Tensor, "batch ray 3"]
    """Of unit length."""
    jitter: Float[Tensor, "batch ray sample"]
    """Where in its interval each sample of a ray lies, in [0, 1)."""


@runtime_checkable
class NerfItem(Protocol):
    """One scene.  Lazy: nothing is read or drawn before it is asked for.  The world's y axis points up."""

    @property
    def name(self) -> str:
        """Unique in its data set."""

    @property
    def captions(self) -> tuple[str, ...]:
        """English descriptions, the fullest first; empty where nobody wrote any."""

    def views(self, which: Which, size: int | None = None) -> Views:
        """Views to learn from, views held out for evaluation, or all in their own order.

        Args:
            which: "given", "held_out" or "all"; the first two share no view.
            size: Pixels of the pictures' longer side; None: as the source has them.

        Raises:
            ValueError: The data are broken, or smaller than `size`.
        """

    def pictures(self, cameras: Cameras) -> UInt8[np.ndarray, "view 3 rows columns"]:
        """The true pictures from any cameras, RGB on white.  Raises ValueError for photographs: nobody took them."""

    def cloud(self, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "count 6"]:
        """Points of the surface, x, y, z in world units, and their colours r, g, b in [0, 1] as the pictures show them.

        Raises ValueError where the data hold no points.
        """


def check_which(which: str) -> None:
    """ValueError for a choice of views that is not in `Which`."""
    if which not in ("given", "held_out", "all"):
        raise ValueError(f"scene: there are no views {which!r}; choose 'given', 'held_out' or 'all'")


def mask_of_white(images: UInt8[np.ndarray, "*view rows columns 3"]) -> Bool[np.ndarray, "*view rows columns"]:
    """Where pictures without alpha are not white; white parts of the object are lost."""
    return np.asarray((images < WHITE).any(axis=-1))
