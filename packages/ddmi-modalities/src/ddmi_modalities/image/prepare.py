"""Pictures of any size to centred squares of one size: what training decodes at every step, decoded once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.datasets.preparation import Item, Plan
from ddmi_modalities.datasets.splits import SPLITS
from ddmi_modalities.files.pixels import centre_square, open_picture, resize_square, to_png, to_tensor
from ddmi_modalities.files.text import read_text
from ddmi_modalities.image.data.cifar import batches_folder
from ddmi_modalities.image.data.encoded import EncodedPicture
from ddmi_modalities.image.data.folder_split import pictures_of_split
from ddmi_modalities.image.data.idx import holds_idx
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
        if not root.is_dir() and not holds_idx(root):
            what = "is a file" if root.exists() else "does not exist"
            raise ValueError(f"prepare: {modality.source!r} {what}; give the path of a folder of images")
        if batches_folder(root) is not None or holds_idx(root):
            raise ValueError(
                f"prepare: files of CIFAR-10 and MNIST are read as they are; pass {modality.source!r} to --data of "
                "`ddmi train`"
            )
        size = self.size or max(modality.size, *modality.target_sizes)
        items = []
        for split in SPLITS:
            base, pictures = pictures_of_split(
                root, split, modality.classes, modality.held_out, modality.cache or default_cache()
            )
            for name, encoded in pictures.items():
                made = f"{split}/{name.removesuffix(encoded.suffix)}"
                sources = dict.fromkeys([base / name, *encoded.sources])  # the first is what messages name
                make = partial(_picture, encoded, made, size, self.allow_small)
                names = tuple(path.relative_to(root).as_posix() for path in sources)
                items.append(Item(name=f"{made}.png", split=split, sources=names, make=make))
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


def _picture(encoded: EncodedPicture, name: str, size: int, allow_small: bool) -> Iterator[tuple[str, bytes]]:
    square = centre_square(open_picture(encoded))
    if square.width < size and not allow_small:
        raise ValueError(f"{square.width} pixels on its shorter side, wanted {size}")
    yield f"{name}.png", to_png(to_tensor(resize_square(square, min(size, square.width))))
    if caption := encoded.text():
        yield f"{name}.txt", read_text(caption).encode()
