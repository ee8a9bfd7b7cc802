"""The models of the Debian package sweethome3d-furniture: catalogues of OBJ files (.sh3f, zip archives), CC0 and CC BY.

A catalogue's `PluginFurnitureCatalog.properties` numbers its models: name#7, category#7, model#7 (the path of the OBJ
file), creator#7, width#7, depth#7 and height#7 in centimetres, and modelRotation#7, nine numbers row by row, which set
a model upright.  The package's copyright file (DEP 5) states the licence of each catalogue.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ddmi_modalities.files.checksums import sha256_file
from ddmi_modalities.files.deb import LARGEST, deb_control, deb_files
from ddmi_modalities.files.text import read_text
from ddmi_modalities.files.whole import whole

PACKAGE = "sweethome3d-furniture"
CATALOGUE = "PluginFurnitureCatalog.properties"
KEPT = (".mtl", ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".txt", ".html")
"""Files beside a model that belong to it: materials, textures, and its author's licence."""
COPYRIGHT = "copyright"
DAMAGED = (zipfile.BadZipFile, zlib.error, KeyError, EOFError, OSError, NotImplementedError, RuntimeError)
"""What `zipfile` raises of damaged or encrypted archives."""


@dataclass(frozen=True, kw_only=True)
class CatalogueModel:
    """One model of a catalogue."""

    catalogue: str
    """The archive's name without its ending."""
    path: str
    """Of the OBJ file in the archive."""
    name: str
    category: str
    """Of rooms: 'Living room'."""
    creator: str
    licence: str
    """Its short name in the package: 'CC-BY-3.0'."""
    copyright: str
    size: tuple[float, ...]
    """Width, height and depth in centimetres; empty where it is not told."""
    rotation: tuple[float, ...]
    """Rows of a matrix that sets the model upright; empty: it stands."""

    @property
    def key(self) -> str:
        """What it is called among all models."""
        folder = PurePosixPath(self.path)
        stem = folder.parent.name if folder.parent.name == folder.stem else f"{folder.parent.name}-{folder.stem}"
        return re.sub(r"[^a-z0-9]+", "-", f"{self.catalogue}-{stem}".lower()).strip("-")

    def files(self, folder: Path) -> Iterator[tuple[str, bytes]]:
        """model.obj, upright, and what belongs to it, of the archives in a folder.

        ValueError where the archive is damaged.
        """
        archive = folder / f"{self.catalogue}.sh3f"
        home = PurePosixPath(self.path).parent
        try:
            with zipfile.ZipFile(archive) as files:
                for info in files.infolist():
                    file = PurePosixPath(info.filename)
                    if file.as_posix() == self.path:
                        yield "model.obj", turned_obj(_content(files, info), self.rotation)
                    elif file.parent == home and not info.is_dir() and file.suffix.lower() in KEPT:
                        yield file.name, _content(files, info)
        except DAMAGED as error:
            raise ValueError(f"{archive.name} is damaged at {self.path} ({error}); fetch the package again") from error


def unpacked_package(deb: Path, cache: Path) -> Path:
    """A folder of the cache with the package's catalogues and its copyright file, unpacked once.

    ValueError where it is another package, or damaged.
    """
    if not deb.is_file():
        raise ValueError(f"{str(deb)!r} is no file; give the path of {PACKAGE}_VERSION_all.deb, or none to fetch it")
    folder = cache / "sweethome" / sha256_file(deb)[:16]
    if (folder / COPYRIGHT).exists():  # written last
        return folder
    package = deb_control(deb).get("Package")
    if package != PACKAGE:
        raise ValueError(f"{str(deb)!r} is the package {package!r}; give {PACKAGE}_VERSION_all.deb")
    found = deb_files(deb, lambda name: name.endswith((".sh3f", f"{PACKAGE}/{COPYRIGHT}")))
    for name, content in sorted(found.items(), key=lambda one: not one[0].endswith(".sh3f")):
        with whole(folder / PurePosixPath(name).name) as temporary:
            temporary.write_bytes(content)
    return folder


def models_of(folder: Path) -> list[CatalogueModel]:
    """All models of the catalogues in a folder, in the order of names.

    ValueError where there are none, a catalogue is damaged, or the copyright file does not state its licence.
    """
    catalogues = sorted(folder.glob("*.sh3f"))
    if not catalogues:
        raise ValueError(f"{str(folder)!r}: the package holds no catalogue (.sh3f); fetch it again")
    licences = _licences(read_text(folder / COPYRIGHT)) if (folder / COPYRIGHT).exists() else {}
    models = []
    for file in catalogues:
        if file.stem not in licences:
            raise ValueError(f"{file.name}: the package's copyright file states no licence of it; do not use it")
        try:
            with zipfile.ZipFile(file) as archive:
                properties = _properties(_content(archive, archive.getinfo(CATALOGUE)).decode("latin-1"))
        except DAMAGED as error:
            raise ValueError(f"{str(file)!r} is no whole catalogue ({error}); fetch the package again") from error
        licence, holder = licences[file.stem]
        for number in sorted({key.partition("#")[2] for key in properties if key.startswith("model#")}, key=_natural):
            of = {key.partition("#")[0]: text for key, text in properties.items() if key.endswith(f"#{number}")}
            where = f"{str(file)!r}, model {of.get('name', number)!r}"
            size = [_numbers(where, key, of[key]) for key in ("width", "height", "depth") if key in of]
            models.append(
                CatalogueModel(
                    catalogue=file.stem,
                    path=of["model"].lstrip("/"),
                    name=of.get("name", ""),
                    category=of.get("category", ""),
                    creator=of.get("creator", ""),
                    licence=licence,
                    copyright=holder,
                    size=tuple(one for each in size for one in each),
                    rotation=_numbers(where, "modelRotation", of.get("modelRotation", "")),
                )
            )
    return models


def turned_obj(content: bytes, rotation: tuple[float, ...]) -> bytes:
    """An OBJ file with its vertices and normals multiplied by a matrix of nine numbers, row by row; none: as it is."""
    if not rotation:
        return content
    if len(rotation) != 9:
        raise ValueError(f"a modelRotation of {len(rotation)} numbers, wanted 9")
    matrix = np.reshape(rotation, (3, 3))
    lines = content.decode("latin-1").splitlines()
    for index, line in enumerate(lines):
        words = line.split()
        if words and words[0] in ("v", "vn"):
            place = matrix @ [float(word) for word in words[1:4]]
            lines[index] = " ".join([words[0], *(f"{one:.9g}" for one in place), *words[4:]])
    return ("\n".join(lines) + "\n").encode("latin-1")


def _numbers(where: str, key: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(one) for one in text.split())
    except ValueError as error:
        raise ValueError(f"{where}: its {key} is {text[:40]!r}, wanted numbers; fetch the package again") from error


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > LARGEST:
        raise ValueError(f"{info.filename} has {info.file_size} bytes, and at most {LARGEST} are read")
    return archive.read(info)


def _properties(text: str) -> dict[str, str]:
    """A Java properties file of one line an entry, with its \\uXXXX read."""
    entries = [line.partition("=") for line in text.splitlines() if not line.lstrip().startswith(("#", "!"))]
    return {key.strip(): _unescaped(value.strip()) for key, equals, value in entries if equals}


def _unescaped(text: str) -> str:
    return re.sub(r"\\u([0-9a-fA-F]{4})|\\(.)", lambda one: chr(int(one[1], 16)) if one[1] else one[2], text)


def _licences(text: str) -> Mapping[str, tuple[str, str]]:
    """Short name of the licence and who holds the copyright, by the folder that a line `Files: FOLDER/*` names."""
    found = {}
    for paragraph in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(Files|Copyright|License):[ \t]*(.*(?:\n[ \t]+.*)*)", paragraph, re.MULTILINE))
        if {"Files", "License"} <= fields.keys():
            holder = " ".join(fields.get("Copyright", "").split())
            for pattern in fields["Files"].split():
                found[pattern.partition("/")[0]] = (fields["License"].splitlines()[0].strip(), holder)
    return found


def _natural(number: str) -> tuple[int, str]:
    return (int(number) if number.isdecimal() else 0, number)
