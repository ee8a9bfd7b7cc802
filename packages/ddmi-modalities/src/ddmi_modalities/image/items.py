"""What an image data set hands out: a picture that can be had at any size."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import UInt8
from torch import Tensor


@runtime_checkable
class ImageItem(Protocol):
    """One square picture.  Lazy: nothing is decoded before `pixels` is called."""

    @property
    def name(self) -> str:
        """Unique in its data set: a code or a path below the root."""

    @property
    def caption(self) -> str | None:
        """A few English words, None where nobody wrote any."""

    def pixels(self, size: int) -> UInt8[Tensor, "3 size size"]:
        """RGB at `size` x `size`, transparent parts on white.

        A drawing is rasterised anew at every size, a photograph is resized from its own.
        """

    def window(self, size: int, top: int, left: int, side: int) -> UInt8[Tensor, "3 side side"]:
        """Rows [top, top + side) and columns [left, left + side) of `pixels(size)`."""
