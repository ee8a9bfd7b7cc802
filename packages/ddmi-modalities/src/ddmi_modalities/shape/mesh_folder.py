"""A folder of meshes as a data set of solids."""

from __future__ import annotations

from pathlib import Path

from ddmi_modalities.shape.meshes import MeshItem, mesh_names, open_mesh, some_of
from ddmi_modalities.splits import Split, check_split, split_of

__all__ = ["MeshFolder", "MeshItem"]


class MeshFolder:
    """The meshes below `root` (OBJ, PLY, STL, OFF, GLB), each in the middle of the unit cube, its largest side 1.

    Every tenth or so is held out, by the hash of its path.  All meshes of a split are read at once and stay in memory;
    convert a large collection with `ddmi prepare shapes`.

    Args:
        root: The folder; links are followed to files, not to folders.
        split: "train" or "test".
        repair: Close meshes that are not watertight by filling holes, where that can be done.

    Raises:
        ValueError: There is no such folder, it has no mesh in this split, or some cannot be read or are not watertight.
    """

    def __init__(self, root: Path | str, split: Split, repair: bool = False) -> None:
        check_split(split)
        self.root = Path(root).expanduser()
        self.names = tuple(name for name in mesh_names(self.root, "MeshFolder") if split_of(name) == split)
        if not self.names:
            raise ValueError(
                f"MeshFolder: no mesh below {str(self.root)!r} falls into the split {split!r}; add meshes, "
                "about one in nine is for testing"
            )
        items, refused = [], {}
        for name in self.names:
            try:
                items.append(open_mesh(self.root, name, repair))
            except ValueError as error:
                refused[name] = str(error)
        if refused:
            remedy = "remove them" if repair else "pass repair=True, or remove them"
            raise ValueError(
                f"MeshFolder: {len(refused)} of {len(self.names)} meshes below {str(self.root)!r} are no solids: "
                f"{some_of(refused)}; {remedy}"
            )
        self._items = tuple(items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> MeshItem:
        return self._items[index]
