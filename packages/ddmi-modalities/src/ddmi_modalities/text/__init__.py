"""Sentences as conditions: needs the extra `ddmi-modalities[text]`."""

from ddmi_modalities.text.encoder import TextEncoder, TextEncoderConfig

__all__ = ["TextEncoder", "TextEncoderConfig"]
