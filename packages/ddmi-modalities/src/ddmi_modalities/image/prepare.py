"""Pictures of any size to centred squares of one size: what training decodes at every step, decoded once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ddmi_modalities.datasets.preparation import Item, Plan
from ddmi_modalities.datasets.splits import SPLITS
from ddmi_modalities.files.pixels import centre_square, open_picture, resize_square, to_png, to_tensor
from ddmi_modalities.files.text import read_text
from ddmi_modalities.image.data.cifar import batches_folder
from ddmi_modalities.image.data.folder import caption_file
from ddmi_modalities.image.data.folder_split import pictures_of_split
from ddmi_modalities.image.modality import ImageModality


@dataclass(frozen=True, kw_only=True)
class ImagePreparation:
    """Squares as PNG, OUT/train/NAME.png and OUT/test/NAME.png, with the captions beside the pictures."""

    size: int | None = None
    """Pixels a side; default the largest size at which the preset compares."""
    allow_small: bool = False
    """Keep smaller pictures at their own size instead of leaving them out; none is enlarged."""

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ValueError(f"ImagePreparation: size counts pixels, got {self.size}; give 1 or more")

    def plan(self, modality: ImageModality) -> Plan:
        """All pictures of the modality's source, in the splits that it assigns.

        At `size`, an item of the result has the pixels that one of the source has, bit for bit.  Raises ValueError
        where there is no such folder, or it is read as it is.
        """
        root = Path(modality.source).expanduser().resolve()
        if not root.is_dir():
            what = "is a file" if root.exists() else "does not exist"
            raise ValueError(f"prepare: {modality.source!r} {what}; give the path of a folder of images")
        if batches_folder(root) is not None:
            raise ValueError(
                f"prepare: CIFAR-10's files are read as they are; pass {modality.source!r} to --data of `ddmi train`"
            )
        size = self.size or max(modality.size, *modality.target_sizes)
        items = []
        for split in SPLITS:
            base, names = pictures_of_split(root, split, modality.classes, modality.held_out)
            for name in names:
                made = f"{split}/{name.rpartition('.')[0]}"
                caption = caption_file(base / name) or (base / name).with_suffix(".txt")
                sources = tuple(path.relative_to(root).as_posix() for path in (base / name, caption))
                make = partial(_picture, base / name, made, size, self.allow_small)
                items.append(Item(name=f"{made}.png", split=split, sources=sources, make=make))
        return Plan(
            what="images",
            source=root,
            items=items,
            settings={
                "size": size,
                "allow_small": self.allow_small,
                "classes": modality.classes,
                "held_out": modality.held_out,
            },
            folders=SPLITS,
            remedy="repair or remove them; with --allow-small, smaller ones keep their size",
        )


def _picture(file: Path, name: str, size: int, allow_small: bool) -> Iterator[tuple[str, bytes]]:
    square = centre_square(open_picture(file))
    if square.width < size and not allow_small:
        raise ValueError(f"{square.width} pixels on its shorter side, wanted {size}")
    yield f"{name}.png", to_png(to_tensor(resize_square(square, min(size, square.width))))
    if caption := caption_file(file):
        yield f"{name}.txt", read_text(caption).encode()
