"""Furniture that people modelled, of the Debian package sweethome3d-furniture, to a folder of meshes with captions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.datasets.attribution import ATTRIBUTION
from ddmi_modalities.datasets.preparation import Item, Plan
from ddmi_modalities.datasets.splits import split_of
from ddmi_modalities.files.deb import download_deb
from ddmi_modalities.shape.data.sweethome import (
    PACKAGE,
    CatalogueModel,
    models_of,
    unpacked_package,
)
from ddmi_modalities.shape.modality import ShapeModality

KINDS = ("chair", "table", "sofa", "desk", "stool", "bench")
"""What is taken unless the caller says otherwise."""
ALSO = {"armchair": "chair", "seat": "chair", "couch": "sofa", "ottoman": "stool"}
"""Words for a kind beside its own."""
LICENCES = {
    "CC0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-3.0-USA": "https://creativecommons.org/licenses/by/3.0/us/",
}


@dataclass(frozen=True, kw_only=True)
class SweetHomePreparation:
    """The package's models as OUT/KIND/MODEL/model.obj with materials and textures, and model.txt, the name as caption.

    models.json has name, category, author, licence and size in centimetres of each, ATTRIBUTION.txt what must be said
    of what is made of them.  Meshes are as their authors left them, most of them not closed: see `MeshFolder`.
    """

    kinds: tuple[str, ...] = KINDS
    """Last words of the names that are taken, in the singular: 'Bar stool' is a stool; none: all models."""

    def fetch(self, folder: Path) -> Path:
        """The package.  ValueError with the remedy where it cannot be had."""
        return download_deb(PACKAGE, folder)

    def plan(self, modality: ShapeModality) -> Plan:
        """All models of the modality's source, a .deb file.  ValueError where there are none."""
        folder = unpacked_package(Path(modality.source).expanduser().resolve(), default_cache())
        chosen = {}
        for model in models_of(folder):
            kind = kind_of(model.name)
            if not self.kinds or kind in self.kinds:
                name = f"{kind}/{model.key}"
                if name in chosen:
                    raise ValueError(
                        f"prepare: {model.path!r} of {model.catalogue} is there twice; fetch the package again"
                    )
                chosen[name] = model
        if not chosen:
            raise ValueError(
                f"prepare: no model of {PACKAGE} is one of {', '.join(self.kinds)}; give other --kinds, in the "
                "singular, such as lamp"
            )
        items = [
            Item(
                name=name,
                split=split_of(f"{name}/model.obj"),
                sources=(f"{model.catalogue}.sh3f/{model.path}", f"{model.catalogue}.sh3f"),
                make=partial(_files, folder, name, model),
            )
            for name, model in chosen.items()
        ]
        return Plan(
            what="models",
            source=folder,
            items=items,
            settings={"kinds": self.kinds},
            lists=partial(_lists, chosen),
            remedy="fetch the package again",
        )


def kind_of(name: str) -> str:
    """The word of a name that says what it is: 'chair' of 'Chair with cushion', 'sofa' of 'Sofa 2 seats', 'Couch'."""
    head = re.split(r" (?:with|on|of|in|for|\d)", name)[0]
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", head) if len(word) < 2 or not word.isupper()]
    return ALSO.get(words[-1], words[-1]) if words else "thing"


def _files(folder: Path, name: str, model: CatalogueModel) -> Iterator[tuple[str, bytes]]:
    found = dict(model.files(folder))
    if "model.obj" not in found:
        raise ValueError(f"{model.catalogue}.sh3f has no {model.path}")
    for file, content in found.items():
        yield f"{name}/{file}", content
    yield f"{name}/model.txt", f"{model.name}\n".encode()


def _lists(models: Mapping[str, CatalogueModel], made: Sequence[Item]) -> dict[str, str]:
    taken = {item.name: models[item.name] for item in made}
    return {
        "models.json": json.dumps({name: asdict(model) for name, model in sorted(taken.items())}, indent=1),
        ATTRIBUTION: attribution([*taken.values()]),
    }


def attribution(models: Sequence[CatalogueModel]) -> str:
    """Who made models, under which licence, catalogue by catalogue."""
    lines = [f"3D models of the Debian package {PACKAGE} (https://www.sweethome3d.com), turned upright and resampled."]
    for catalogue, licence, holder in sorted({(one.catalogue, one.licence, one.copyright) for one in models}):
        authors = Counter(one.creator or "unknown" for one in models if one.catalogue == catalogue)
        names = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in sorted(authors.items()))
        address = f", {LICENCES[licence]}" if licence in LICENCES else ""
        lines.append(f"{catalogue}: {licence}{address}; (c) {holder}; models by {names}.")
    return "\n".join(lines) + "\n"
