"""`ddmi fit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from ddmi.commands.line import PROGRAM, parse, say


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

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.fit import FitConfig
        from ddmi.fit_image_file import fit_image_file

        config = parse(FitConfig, FitConfig(), rest, f"{PROGRAM} fit")
        for path in fit_image_file(self.file, self.out, size=self.size, zoom=self.zoom, config=config, say=say):
            say(f"wrote {path}")
