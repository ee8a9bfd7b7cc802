"""Files that are there as a whole or not at all: written under a temporary name beside, and renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trimesh
    from PIL import Image


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name in the same directory, which is made; it becomes `path` when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_picture(picture: Image.Image, path: Path) -> None:
    """In the format that the name ends with."""
    with whole(path) as temporary:
        picture.save(temporary)


def save_mesh(mesh: trimesh.Trimesh, path: Path) -> None:
    """In the format that the name ends with."""
    with whole(path) as temporary:
        mesh.export(temporary)
