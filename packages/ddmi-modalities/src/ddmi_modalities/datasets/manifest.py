"""The record of a prepared folder, manifest.json: what was made of what, with checksums, and what was left out."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

from ddmi_modalities.datasets.splits import SPLITS
from ddmi_modalities.files.checksums import sha256_file
from ddmi_modalities.files.text import printable, read_json

FORMAT = 1
NAME = "manifest.json"
WRITING = ".writing-"
"""Begins the names of files that are being written; no data set reads names that begin with a dot."""


class Stored(TypedDict):
    """A file as it was written."""

    sha256: str
    bytes: int


class Record(TypedDict):
    """An item that was made."""

    split: str
    sources: dict[str, list[int]]
    """Of each source, by its path below the folder of sources: bytes, and nanoseconds of the last change."""
    files: dict[str, Stored]
    """By path below the prepared folder."""


class LeftOut(TypedDict):
    """An item that could not be made."""

    split: str
    source: str
    reason: str


class Unwritable(ValueError):
    """A file of the prepared folder cannot be written; the message names it and the remedy."""


@dataclass(kw_only=True)
class Manifest:
    """What is in a prepared folder, by the names of items."""

    folder: Path
    recipe: str
    settings: dict[str, Any]
    """All that the files depend on besides their sources."""
    items: dict[str, Record] = field(default_factory=dict)
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    lists: dict[str, Stored] = field(default_factory=dict)
    """Files about all items."""
    complete: bool = False
    """Whether every item was made or left out."""

    @classmethod
    def open(cls, folder: Path, recipe: str, settings: Mapping[str, Any]) -> Manifest:
        """That of a folder, or a new one of an empty folder.

        Raises ValueError where the folder holds other files, or was prepared with other settings.
        """
        wanted = json.loads(json.dumps(dict(settings)))
        if not (folder / NAME).exists():
            others = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
            if others:
                raise ValueError(
                    f"prepare: {str(folder)!r} holds other files, such as {others[0]!r}, and no {NAME}; name a new or "
                    "empty folder"
                )
            return cls(folder=folder, recipe=recipe, settings=wanted)
        stored = _load(folder / NAME)
        if stored is None:
            raise ValueError(
                f"prepare: {str(folder / NAME)!r} is damaged, or of another version or program; name a new folder"
            )
        before = stored["settings"]
        changed = [key for key in sorted({*before, *wanted}) if before.get(key) != wanted.get(key)]
        if changed and stored["items"]:
            listed = ", ".join(f"{key} {before.get(key)!r}, now {wanted.get(key)!r}" for key in changed)
            raise ValueError(
                f"prepare: {str(folder)!r} was prepared with {listed}; give the same settings, or another folder"
            )
        return cls(folder=folder, recipe=recipe, settings=wanted, items=stored["items"])

    def save(self) -> None:
        """Raises Unwritable where that cannot be done; then the old manifest stands."""
        found = Counter(record["split"] for record in self.items.values())
        counts = dict(found) if "time" in found else {str(split): found[split] for split in SPLITS}
        content = {
            "format": FORMAT,
            "recipe": self.recipe,
            "settings": self.settings,
            "complete": self.complete,
            "counts": {**counts, "left_out": len(self.left_out)},
            "lists": self.lists,
            "left_out": dict(sorted(self.left_out.items())),
            "items": dict(sorted(self.items.items())),
        }
        write_file(self.folder / NAME, json.dumps(content, indent=1).encode(), flush=True)


def describe_manifest(folder: Path) -> str | None:
    """How many items were prepared; None of a folder without a manifest of ours."""
    stored = _load(folder / NAME)
    if stored is None:
        return None
    counts = ", ".join(f"{key.replace('_', ' ')} {count}" for key, count in stored["counts"].items())
    unfinished = "" if stored["complete"] else "; NOT COMPLETE: run `ddmi prepare` again"
    return printable(f"prepared by recipe {stored['recipe']!r}: {counts}{unfinished}")


def write_file(file: Path, content: bytes, flush: bool = False) -> Stored:
    """Write a file whole or not at all, making its folder; with `flush` it outlives a power failure.

    Raises Unwritable where that cannot be done; then what was there stands.
    """
    temporary = file.with_name(f"{WRITING}{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as handle:
            handle.write(content)
            if flush:
                handle.flush()
                os.fsync(handle.fileno())
        os.replace(temporary, file)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise Unwritable(
            f"prepare: cannot write {str(file)!r}: {error.strerror or error}; make room or fix its permissions and run "
            "the same command again, which keeps what is done"
        ) from error
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def is_stored(file: Path, stored: Stored) -> bool:
    """Whether the file is there as it was written."""
    try:
        return file.stat().st_size == stored["bytes"] and sha256_file(file) == stored["sha256"]
    except OSError:
        return False


def _load(file: Path) -> dict[str, Any] | None:
    """The content of a manifest of ours, None otherwise."""
    try:
        content: dict[str, Any] = read_json(file, most=2**32)
        records = [(record["split"], record["sources"]) for record in content["items"].values()]
        stored = [pair for record in content["items"].values() for pair in record["files"].items()]
        inside = all(not PurePosixPath(name).is_absolute() and ".." not in name.split("/") for name, _ in stored)
        typed = all(isinstance(one["sha256"], str) and isinstance(one["bytes"], int) for _, one in stored)
        split = all(isinstance(split, str) and isinstance(sources, dict) for split, sources in records)
        heads = (("settings", dict), ("counts", dict), ("complete", bool), ("recipe", str))
        known = content["format"] == FORMAT and all(isinstance(content[name], kind) for name, kind in heads)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return content if inside and typed and split and known else None
