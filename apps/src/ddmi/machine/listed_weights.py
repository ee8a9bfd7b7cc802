"""Files of weights whose hashes a model's manifest.json lists, so that another byte is noticed when they are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ddmi_diffusion import atomic_write_text, save_tensors
from ddmi_modalities.files.checksums import sha256_file
from ddmi_modalities.files.text import read_json

MANIFEST = "manifest.json"


def save_listed(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Writes one file of weights, whole or not at all, and lists it.

    Meanwhile it is not listed: whoever is killed in between leaves a file that is read as it is.
    """
    listed = read_manifest(path.parent)
    if listed.pop(path.name, None) is not None:
        _write(path.parent, listed)
    save_tensors(path, tensors, metadata)
    _write(path.parent, {**listed, path.name: sha256_file(path)})


def check_listed(path: Path) -> None:
    """ValueError where a file is listed and is not as it was written; one that is not there is somebody else's."""
    known = read_manifest(path.parent).get(path.name)
    if known is not None and path.exists() and sha256_file(path) != known:
        raise ValueError(
            f"{path} is not as it was written: its sha256 is not that of {path.parent / MANIFEST}; restore it from a "
            "copy, or train again"
        )


def read_manifest(directory: Path) -> dict[str, str]:
    """The sha256 of each listed file by its name; none where there is no manifest."""
    file = directory / MANIFEST
    if not file.exists():
        return {}
    content = read_json(file)
    listed = content.get("sha256") if isinstance(content, dict) else None
    if not isinstance(listed, dict) or not all(isinstance(one, str) for one in listed.values()):
        raise ValueError(f"{file} lists no hashes of weights; restore it from a copy, or remove it")
    return listed


def _write(directory: Path, listed: Mapping[str, str]) -> None:
    atomic_write_text(directory / MANIFEST, json.dumps({"format": 1, "sha256": dict(sorted(listed.items()))}) + "\n")
