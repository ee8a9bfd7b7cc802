"""Rasters of OpenMoji drawings, kept on disk: each is drawn when it is first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from ddmi_modalities.datasets.shared_rows import SharedRows
from ddmi_modalities.datasets.splits import Split
from ddmi_modalities.drawings.openmoji import drawing_file, versions
from ddmi_modalities.drawings.rasterise import rasterise, rasterise_alpha

Raster = UInt8[np.ndarray, "_ _ _"]

KINDS = {"white": rasterise, "alpha": rasterise_alpha}
"""(3, side, side) on white, and (side, side, 4) on nothing, colours times alpha."""


class DrawingRasters(SharedRows):
    """The rasters of some drawings at one size.

    Args:
        folder: Of the file.
        split, codes: The drawings.
        side: Pixels a side; 3 or 4 side^2 bytes a drawing.
        kind: On what they are drawn, see `KINDS`.
    """

    def __init__(
        self, folder: Path, split: Split, codes: Sequence[str], side: int, kind: Literal["white", "alpha"]
    ) -> None:
        file = folder / f"openmoji-{kind}-{versions()}-{split}-{side}.raw"
        super().__init__(file, len(codes), (3, side, side) if kind == "white" else (side, side, 4))
        self.codes, self.side, self.kind = tuple(codes), side, kind

    def __getitem__(self, index: int) -> Raster:
        """The raster of drawing `index`, to be read only."""
        return self.row(index, lambda: KINDS[self.kind](drawing_file(self.codes[index]), self.side))
