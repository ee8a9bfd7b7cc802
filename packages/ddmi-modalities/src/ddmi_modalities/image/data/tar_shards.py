"""Tar shards in WebDataset's form: KEY.jpg, and perhaps KEY.txt with its caption; read by index, so in any order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ddmi_modalities.datasets.checked_sources import check_sources
from ddmi_modalities.datasets.folders import is_hidden, say_unread
from ddmi_modalities.files.kinds import PICTURES
from ddmi_modalities.files.tar_members import Entry, TarMember, tar_entries
from ddmi_modalities.image.data.encoded import PictureMember, Pictures
from ddmi_modalities.said import say_once


def pictures_in_shards(base: Path, shards: Sequence[str], cache: Path) -> Pictures:
    """Called SHARD/MEMBER.  A shard's headers are read once, and remembered by its size and time of change.

    Args:
        base: The folder that names begin at.
        shards: Archives below it.
        cache: Folder to remember members in.

    Raises:
        ValueError: A shard is damaged, truncated or compressed; names it.
    """
    indices = check_sources(base, shards, _index, what="shards", cache=cache)
    found: Pictures = {}
    for shard, entries in indices.items():
        if isinstance(entries, str):
            raise ValueError(f"ImageFolder: {entries}")
        for one in _pictures(base / shard, [(name, offset, size) for name, offset, size in entries]):
            found[f"{shard}/{one.name}"] = one
    return dict(sorted(found.items()))


def _index(shard: Path) -> list[Any]:
    return list(tar_entries(shard))


def _pictures(shard: Path, entries: Sequence[Entry]) -> list[PictureMember]:
    """The pictures of a shard whose names have one ending: x.seg.png is another part of sample x."""
    seen = [entry for entry in entries if not any(map(is_hidden, entry[0].split("/")))]
    captions = {_key(one[0]): TarMember(shard, *one) for one in seen if _ending(one[0]).lower() == ".txt"}
    pictures = [entry for entry in seen if PICTURES.takes(PurePosixPath(entry[0]))]
    taken = [entry for entry in pictures if _ending(entry[0]).lower() in PICTURES.read]
    say_unread(shard, PICTURES, [PurePosixPath(one[0]) for one in seen])
    if len(taken) < len(pictures):
        say_once(
            (shard, "parts"),
            f"{str(shard)!r}: {len(pictures) - len(taken)} pictures of two endings, such as x.seg.png, are other "
            "parts of a sample, and are not read",
        )
    return [PictureMember(shard, *one, captions.get(_key(one[0]))) for one in taken]


def _key(name: str) -> str:
    """What members of one sample have in common: all up to the first dot of the last part."""
    return name.removesuffix(_ending(name))


def _ending(name: str) -> str:
    """From the first dot of the last part."""
    return "".join(name.rpartition("/")[2].partition(".")[1:])
