"""What a video data set hands out: a clip whose frames can be had at any size, and of some clips at any time."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int, UInt8
from torch import Tensor


@runtime_checkable
class ClipItem(Protocol):
    """One square clip of T frames.  Lazy: nothing is decoded before frames are asked for.

    Times count frames of the clip's native rate: its own frames are at 0, 1, ... T - 1.
    """

    @property
    def name(self) -> str:
        """Unique in its data set."""

    @property
    def captions(self) -> tuple[str, ...]:
        """What it shows, in English; empty where nobody said."""

    @property
    def continuous(self) -> bool:
        """Whether its true values are known between its frames, too.  Otherwise times must be whole."""

    def frames(self, times: Float[Tensor, " frame"], size: int) -> UInt8[Tensor, "frame 3 size size"]:
        """The whole frames at these times."""

    def points(
        self, times: Float[Tensor, " query"], pixels: Int[Tensor, " query"], size: int
    ) -> UInt8[Tensor, "query 3"]:
        """Single pixels, each of the frame at its own time; `pixels` count row by row in size x size."""
