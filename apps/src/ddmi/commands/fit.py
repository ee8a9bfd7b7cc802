"""`ddmi fit`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from ddmi.commands.line import PROGRAM, parse

logger = logging.getLogger("ddmi")


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Fit one image with learned planes (no training data), and zoom into it.  Further options: `--help` after FILE."""

    file: Positional[Path]
    """An image."""
    size: int = 256
    """Its centred square is brought to this many pixels a side."""
    out: Path = Path("fit")
    """Directory to write to."""
    zoom: int = 4
    """Size of the enlarged picture, as a multiple."""
    device: str = "auto"
    """Where it is fitted: cuda, mps or cpu; auto: the first of them that is there."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.fit import FitConfig, fit_image_file
        from ddmi.machine.processes import find_device

        config = parse(FitConfig(), rest, f"{PROGRAM} fit")
        device = find_device(self.device)
        for path in fit_image_file(self.file, self.out, size=self.size, zoom=self.zoom, config=config, device=device):
            logger.info("wrote %s", path)
