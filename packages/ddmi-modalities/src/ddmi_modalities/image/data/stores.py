"""Where the pictures of a folder are: in files of their own, in tar shards, or in tables.

All that differs between these is in `STORES`; what is made of a picture, an `EncodedPicture`, does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ddmi_modalities.datasets.folders import say_unread, walk
from ddmi_modalities.files.kinds import PICTURES, TABLES, TARS, Kind
from ddmi_modalities.files.table_cells import open_table
from ddmi_modalities.image.data.encoded import PictureCell, PictureFile, Pictures
from ddmi_modalities.image.data.tar_shards import pictures_in_shards
from ddmi_modalities.said import say_once


@dataclass(frozen=True, eq=False)
class Store:
    """A way to store pictures in files."""

    kind: Kind
    """Of the files."""
    pictures: Callable[[Path, Sequence[str], Path], Pictures]
    """Those in files below a folder, given the names of the files and the cache's folder."""
    holds_many: bool
    """Whether a file holds many pictures; then files called train-... and test-... are the splits."""


def find_store(base: Path, places: Sequence[Path]) -> tuple[Store, list[str]] | None:
    """The first of `STORES` that has files below some folders in `base`, and the names of its files, sorted.

    Files of the others are counted aloud: archives of what was unpacked beside them would be every picture twice.
    None where there are no files of any.
    """
    found = {place: [file for _, here in walk(place) for file in here] for place in places}
    seen = {file for files in found.values() for file in files}
    files = {store: sorted(file for file in seen if store.kind.takes(file) and not _left(file)) for store in STORES}
    store = next((store for store in STORES if files[store]), None)
    if store is None:
        return None
    for place in places:
        say_unread(place, store.kind, found[place])
    for other in STORES:
        if other is not store and files[other]:
            say_once(
                (base, store.kind.what, other.kind.what),
                f"{str(base)!r}: {len(files[store])} {store.kind.what} are read, and {len(files[other])} "
                f"{other.kind.what} beside them, such as {files[other][0].name!r}, are not; name a folder that holds "
                "only those to read them",
            )
    return store, sorted(file.relative_to(base).as_posix() for file in files[store])


def _left(file: Path) -> bool:
    """Whether `datasets` left it, which keeps the results of `map` beside the data."""
    return file.suffix == ".arrow" and file.name.startswith("cache-")


def _own_files(base: Path, names: Sequence[str], cache: Path) -> Pictures:
    return {name: PictureFile(base / name) for name in names}


def _cells(base: Path, names: Sequence[str], cache: Path) -> Pictures:
    """Called TABLE/ROW, with as many digits as the table's last row needs."""
    found: Pictures = {}
    for name in names:
        count = len(open_table(base / name))
        digits = len(str(count - 1))
        found |= {f"{name}/{row:0{digits}}": PictureCell(base / name, row) for row in range(count)}
    return dict(sorted(found.items()))


STORES = (
    Store(PICTURES, _own_files, holds_many=False),
    Store(TARS, pictures_in_shards, holds_many=True),
    Store(TABLES, _cells, holds_many=True),
)
