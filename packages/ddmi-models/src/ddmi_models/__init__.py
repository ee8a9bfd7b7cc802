"""Directories of trained models, one for each embedded recipe; `DDMI.from_pretrained(NAME)` finds them."""

from importlib.metadata import version
from pathlib import Path

__version__ = version("ddmi-models")

_HERE = Path(__file__).parent

MOVING_OPENMOJI = _HERE / "moving-openmoji"
"""Videos of moving drawings."""

__all__ = ["MOVING_OPENMOJI"]
