"""Directories of trained models, one for each embedded recipe; `DDMI.from_pretrained(NAME)` finds them."""

from importlib.metadata import version
from pathlib import Path

__version__ = version("ddmi-models")

_HERE = Path(__file__).parent

OPENMOJI = _HERE / "openmoji"
"""Drawings."""
FURNITURE = _HERE / "furniture"
"""Shapes: chairs and tables."""
FURNITURE_TEXT = _HERE / "furniture-text"
"""The same from sentences."""
TURNTABLE = _HERE / "turntable"
"""Radiance fields of toy scenes."""
MOVING_OPENMOJI = _HERE / "moving-openmoji"
"""Videos of moving drawings."""

__all__ = ["FURNITURE", "FURNITURE_TEXT", "MOVING_OPENMOJI", "OPENMOJI", "TURNTABLE"]
