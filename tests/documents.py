"""Code in documents."""

from __future__ import annotations

import re
from pathlib import Path


def code_blocks(path: Path, language: str) -> list[str]:
    """All code of a language."""
    return re.findall(rf"^```{language}(?: \S+)?\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


def files_of(path: Path) -> dict[str, str]:
    """The blocks that name their file, by this name."""
    return dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE))
