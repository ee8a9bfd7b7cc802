"""Sentences as conditions: needs the extra `ddmi-modalities[text]`."""

from ddmi_modalities.text.tower import TextTower, TextTowerConfig

__all__ = ["TextTower", "TextTowerConfig"]
