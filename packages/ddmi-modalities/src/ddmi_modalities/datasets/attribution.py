"""Whose data are: a text in their folder, which what is prepared of them and trained on them carries on."""

from __future__ import annotations

from pathlib import Path

from ddmi_modalities.files.text import read_text

ATTRIBUTION = "ATTRIBUTION.txt"
"""Names who made the data, and the licence, in sentences that can be printed as they are."""


def attribution_of(folder: Path) -> str | None:
    """What the folder says of whose it is; None where it says nothing, or nobody can read it."""
    try:
        return read_text(folder / ATTRIBUTION).strip() or None
    except (ValueError, OSError):
        return None
