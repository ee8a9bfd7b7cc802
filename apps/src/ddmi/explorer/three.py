"""three.js with its reader of glTF and its controls, as trimesh brings it for its own viewer: nothing is downloaded."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from importlib.resources import files

BEGIN, END = "<script>", "var camera,controls,scene"
"""Between them is the library; after it trimesh's own page."""


@cache
def three_js() -> str:
    """A script that defines THREE, GLTFLoader and TrackballControls.  ValueError where trimesh has none like it."""
    archive = files("trimesh") / "resources" / "templates" / "viewer.zip"
    try:
        with zipfile.ZipFile(io.BytesIO(archive.read_bytes())) as opened:
            page = opened.read("viewer.html.template").decode()
        script = page[page.index(BEGIN) + len(BEGIN) : page.index(END)]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"the installed trimesh has no viewer with three.js in it ({error}): meshes cannot be shown; install a "
            "trimesh from 5.0 to before 6"
        ) from None
    if not all(name in script for name in ("THREE.GLTFLoader=", "TrackballControls")):
        raise ValueError("the three.js of the installed trimesh reads no glTF; install a trimesh from 5.0 to before 6")
    return script
