"""Where and when clips are compared with the truth in a training step."""

from __future__ import annotations

from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class VideoQuery:
    """Points of space and time of each clip of a batch: drawn at random, or windows of consecutive frames."""

    coords: Float[Tensor, "batch query 3"]
    """(x, y, t) in field coordinates; of a window frame by frame, row by row."""
    condition: Float[Tensor, " batch"]
    """native size / rows of the full grid."""
    window: tuple[int, int, int] | None = None
    """(frames, rows, columns) of the window; query is their product."""

    def pictures(self, values: Float[Tensor, "batch query 3"]) -> Float[Tensor, "_ 3 rows columns"]:
        """`as_frames`, as perceptual and adversarial terms of images ask for it."""
        return as_frames(values, self)


def field_time(times: Float[Tensor, "*shape"], frames: int) -> Float[Tensor, "*shape"]:
    """Times in frames (0 is the first of `frames`) as field coordinates: frame k sits at the centre of its cell."""
    return (2 * times + 1) / frames - 1


def as_clip(values: Float[Tensor, "batch query 3"], query: VideoQuery) -> Float[Tensor, "batch 3 frame rows columns"]:
    """Values at a query as clips, for terms that look at motion.  ValueError for random points."""
    if query.window is None:
        raise ValueError(
            "perceptual and adversarial terms look at windows, and this run compares random points; "
            "set the modality's points to 0"
        )
    frames, rows, columns = query.window
    return rearrange(values, "b (t h w) c -> b c t h w", t=frames, h=rows, w=columns)


def as_frames(values: Float[Tensor, "batch query 3"], query: VideoQuery) -> Float[Tensor, "frame 3 rows columns"]:
    """Values at a query as single frames, clip after clip, for terms that look at pictures."""
    return rearrange(as_clip(values, query), "b c t h w -> (b t) c h w")
