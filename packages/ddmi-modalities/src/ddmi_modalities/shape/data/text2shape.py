"""Text2Shape: descriptions of ShapeNet's chairs and tables that people wrote (Chen et al. 2018)."""

from __future__ import annotations

import csv
import io
import logging
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Bool, Float32

from ddmi_modalities.files.text import read_text
from ddmi_modalities.shape.data.shapenet import ShapeNet, ShapeNetItem

logger = logging.getLogger("ddmi")

COLUMNS = ("id", "modelId", "description", "category", "topLevelSynsetId", "subSynsetId")
"""Of captions.tablechair.csv.  Only the model, its description and its top-level synset are used."""
USED = ("modelId", "description", "topLevelSynsetId")


@dataclass(frozen=True)
class CaptionedShape:
    """A model with what people said of it; a `ShapeItem`."""

    shape: ShapeNetItem
    captions: tuple[str, ...]
    """At least one, in the order of the file."""

    @property
    def name(self) -> str:
        return self.shape.name

    @property
    def label(self) -> str:
        return self.shape.label

    def surface(
        self, count: int, rng: np.random.Generator
    ) -> tuple[Float32[np.ndarray, "count 3"], Float32[np.ndarray, "count 3"]]:
        return self.shape.surface(count, rng)

    def cloud(self, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "count 3"]:
        return self.shape.cloud(count, rng)

    def points(
        self, count: int, rng: np.random.Generator, near: float | None, spread: float = 0.03
    ) -> tuple[Float32[np.ndarray, "count 3"], Bool[np.ndarray, " count"]]:
        return self.shape.points(count, rng, near, spread)

    def mesh(self) -> trimesh.Trimesh:
        return self.shape.mesh()


class Text2Shape:
    """The models of a ShapeNet split that have a description, in ShapeNet's order.

    Args:
        file: captions.tablechair.csv, with the columns `COLUMNS`, in UTF-8.
        shapenet: The models of one split.

    Raises:
        ValueError: The file cannot be read, lacks columns or has a broken row, or no row has a model.
    """

    def __init__(self, file: Path | str, shapenet: ShapeNet) -> None:
        file = Path(file).expanduser()
        self.shapenet = shapenet
        captions: dict[tuple[str, str], list[str]] = defaultdict(list)
        known = set(shapenet.models)
        self.missing = 0
        """Rows whose model is not in this split: in another one, or without files."""
        self.blank = 0
        """Rows without a description."""
        rows = _rows(file)
        for model, description, synset in rows:
            key = (synset.zfill(8), model)  # spreadsheets drop the leading zero
            if key not in known:
                self.missing += 1
            elif not description:
                self.blank += 1
            else:
                captions[key].append(description)
        if not captions:
            raise ValueError(
                f"Text2Shape: none of the {len(rows)} rows of {str(file)!r} describes one of the {len(known)} models "
                f"in split {shapenet.split!r} of {str(shapenet.root)!r}; open its classes 03001627 (chair) and "
                "04379243 (table)"
            )
        if self.missing or self.blank:
            logger.info(
                "Text2Shape: of %d descriptions, %d are of models that are not in split %r, %d are empty; %d of %d "
                "models have one", len(rows), self.missing, shapenet.split, self.blank, len(captions), len(known),
            )  # fmt: skip
        self._captions = {key: tuple(dict.fromkeys(texts)) for key, texts in captions.items()}
        self._indices = [index for index, key in enumerate(shapenet.models) if key in captions]

    def __len__(self) -> int:
        return len(self._indices)

    def digest(self) -> str:
        """Of the shapes: what they are called is no part of what an encoder reads."""
        return f"{self.shapenet.digest()} {self._indices}"

    def __getitem__(self, index: int) -> CaptionedShape:
        shape = self.shapenet[self._indices[index]]
        return CaptionedShape(shape, self._captions[shape.synset, shape.model])


def _rows(file: Path) -> list[tuple[str, str, str]]:
    """Model, description in one line, and synset of each row."""
    remedy = "take captions.tablechair.csv of Text2Shape as it is distributed"
    try:
        reader = csv.DictReader(io.StringIO(read_text(file), newline=""), strict=True)
        columns = reader.fieldnames
        if columns is None:
            raise ValueError(f"{str(file)!r} is empty; {remedy}")
        if lacking := [column for column in USED if column not in columns]:
            raise ValueError(
                f"{str(file)!r} lacks the columns {', '.join(lacking)} and has {', '.join(map(repr, columns))}; "
                f"{remedy}"
            )
        rows = []
        for row in reader:
            cells = [row[column] for column in USED]
            if any(cell is None for cell in cells):
                raise ValueError(f"line {reader.line_num} of {str(file)!r} has fewer cells than columns; {remedy}")
            model, description, synset = (" ".join(cell.split()) for cell in cells)
            rows.append((model, description, synset))
        if not rows:
            raise ValueError(f"{str(file)!r} has columns but no rows; {remedy}")
    except csv.Error as error:
        raise ValueError(f"Text2Shape: {str(file)!r} is no sound CSV ({error}); {remedy}") from error
    except ValueError as error:
        raise ValueError(f"Text2Shape: {error}") from error
    return rows
