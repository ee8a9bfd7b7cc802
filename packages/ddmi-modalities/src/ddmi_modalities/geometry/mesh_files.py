"""Mesh and point files by trimesh, with what it reads differently put right first.

trimesh fans every polygon, so that concave ones spill over their edge; counts relative indices of OBJ from the end of
the object instead of the file; reads no binary PLY whose faces differ in corners; and takes colours of 16 bits for 8.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float64, UInt8
from numpy.typing import NDArray

from ddmi_modalities.files.text import read_text
from ddmi_modalities.geometry.ply import Column, read_ply
from ddmi_modalities.geometry.polygons import split, triangles_of
from ddmi_modalities.geometry.unit_cube import FARTHEST


def load_geometry(file: Path) -> trimesh.Trimesh | trimesh.PointCloud:
    """One mesh, or a point cloud where there are no faces; scenes are taken as one mesh.

    Colours are those of trimesh's `visual`.  Raises anything that a parser raises.
    """
    kind = file.suffix.lower()
    if kind == ".ply":
        return _ply(file)
    if kind == ".off":
        return _off(read_text(file))
    if kind == ".obj":
        resolver = trimesh.resolvers.FilePathResolver(str(file))
        text = _with_triangles(read_text(file))
        loaded: Any = trimesh.load(io.BytesIO(text.encode()), file_type="obj", resolver=resolver)
    else:
        loaded = trimesh.load(file)
    geometry: Any = loaded.to_geometry() if isinstance(loaded, trimesh.Scene) else loaded
    _places(geometry.vertices)
    return geometry


def _places(vertices: NDArray[Any]) -> NDArray[Any]:
    """The vertices; ValueError where one is no place."""
    if not (np.abs(vertices) <= FARTHEST).all():
        raise ValueError(f"has vertices that are NaN or infinite, or beyond {FARTHEST:g}")
    return vertices


def _ply(file: Path) -> trimesh.Trimesh | trimesh.PointCloud:
    tables = read_ply(file)
    vertex, face = tables.get("vertex"), tables.get("face", {})
    if vertex is None:
        raise ValueError(f"has no vertices, only {', '.join(tables) or 'nothing'}")
    if "tristrips" in tables:
        raise ValueError("its faces are strips of triangles; write plain faces")
    if missing := [axis for axis in "xyz" if axis not in vertex]:
        raise ValueError(f"its vertices have no {', '.join(missing)}")
    vertices = _places(np.stack([np.asarray(vertex[axis], np.float64) for axis in "xyz"], axis=1))
    colours = _colours(vertex)
    corners = next((face[name] for name in ("vertex_indices", "vertex_index") if name in face), None)
    if corners is None and face:
        raise ValueError(f"its faces have no vertex_indices, only {', '.join(face)}")
    if corners is None or not len(corners):
        return trimesh.PointCloud(vertices, colours)  # type: ignore[no-untyped-call]
    if any(np.asarray(one).dtype.kind not in "iu" for one in corners):
        raise ValueError("the corners of its faces are no whole numbers")
    triangles = {len(one) for one in corners} == {3}
    faces = np.stack(list(corners)).astype(np.int64) if triangles else triangles_of(vertices, corners)
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(f"a face has the corner {faces.max()}, and there are {len(vertices)} vertices")
    return trimesh.Trimesh(vertices, faces, vertex_colors=colours, process=False)


def _colours(vertex: Mapping[str, Column]) -> UInt8[np.ndarray, "vertex 4"] | None:
    """Of all vertices, None where they have none; numbers of 8 or 16 bits, or floats in [0, 1], or in [0, 255]."""
    columns = [np.asarray(vertex[name]) for name in ("red", "green", "blue") if name in vertex]
    if len(columns) < 3:
        return None
    values = np.stack(columns, axis=1)
    if values.dtype.kind in "iu":
        scale = 255 / np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1.0
    else:
        scale = 255.0 if values.max(initial=0) <= 1 else 1.0
    rgb = (values.astype(np.float64) * scale).round()
    if rgb.min(initial=0) < 0 or rgb.max(initial=0) > 255:
        raise ValueError(f"its colours go from {values.min()} to {values.max()}; wanted 0 to 255, or floats in [0, 1]")
    return np.concatenate([rgb, np.full((len(rgb), 1), 255.0)], axis=1).astype(np.uint8)


def _off(text: str) -> trimesh.Trimesh | trimesh.PointCloud:
    """OFF: counts, vertices and faces of any number of corners; colours are left aside."""
    head = re.match(r"\s*(?:#.*\s+)*C?N?OFF(?![A-Za-z])", text)  # the counts may follow at once, as in ModelNet
    if head is None:
        raise ValueError("does not begin with OFF")
    lines = [words for line in text[head.end() :].splitlines() if (words := line.split("#")[0].split())]
    if not lines or len(lines[0]) < 2:
        raise ValueError("does not say how many vertices and faces it has")
    count, faces = (int(word) for word in lines[0][:2])
    if len(lines) - 1 < count + faces:
        raise ValueError(f"announces {count} vertices and {faces} faces, and ends after {len(lines) - 1} lines of them")
    places = np.array([[float(word) for word in words[:3]] for words in lines[1 : count + 1]])
    vertices = _places(places.reshape(-1, 3))
    corners = [[int(word) for word in words[1 : int(words[0]) + 1]] for words in lines[count + 1 : count + faces + 1]]
    if not corners:
        return trimesh.PointCloud(vertices)  # type: ignore[no-untyped-call]
    return trimesh.Trimesh(vertices, triangles_of(vertices, corners), process=False)


def _with_triangles(text: str) -> str:
    """An OBJ file whose faces count vertices from 1, and are convex.

    Raises ValueError that names the line of a vertex that is no place, or of a face that has no three corners: of a
    truncated file they would be left out without a word.
    """
    kinds = {"v": 0, "vt": 0, "vn": 0}
    places: list[list[float]] = []
    highest = 0
    lines = text.replace("\\\n", " ").splitlines()
    for number, line in enumerate(lines):
        head, *words = line.partition("#")[0].split() or [""]
        if head in kinds:
            kinds[head] += 1
            if head == "v":
                places.append(_place(words, number))
        elif head == "f":
            relative = any(word.startswith("-") or "/-" in word for word in words)
            corners = [_counted(corner, kinds) for corner in words] if relative else words
            named = [int(corner.partition("/")[0]) for corner in corners]
            if len(named) < 3 or min(named) < 1:
                raise ValueError(f"line {number + 1}, {line[:60]!r}, is no face of three corners or more")
            highest = max(highest, *named)
            faces = [corners] if len(corners) < 4 else _split(corners, places)
            if relative or len(faces) > 1:
                lines[number] = "\n".join("f " + " ".join(face) for face in faces)
    if highest > len(places):
        raise ValueError(f"a face has the corner {highest}, and there are {len(places)} vertices")
    return "\n".join(lines) + "\n"


def _place(words: list[str], number: int) -> list[float]:
    place = [float(word) for word in words[:3]]
    if len(place) < 3 or not all(abs(one) <= FARTHEST for one in place):
        raise ValueError(
            f"line {number + 1}, 'v {' '.join(words)[:60]}', is no vertex of three finite numbers up to {FARTHEST:g}"
        )
    return place


def _counted(corner: str, kinds: dict[str, int]) -> str:
    """`-1/-1/-1` as numbers from the beginning."""
    parts = zip(corner.split("/"), kinds.values(), strict=False)
    return "/".join(str(count + 1 + int(part)) if part.startswith("-") else part for part, count in parts)


def _split(corners: list[str], places: list[list[float]]) -> list[list[str]]:
    numbers = [int(corner.split("/")[0]) - 1 for corner in corners]
    if min(numbers) < 0 or max(numbers) >= len(places):
        return [corners]  # vertices that come later, or never: trimesh says so
    points: Float64[np.ndarray, "corner 3"] = np.array([places[number] for number in numbers])
    return [[corners[corner] for corner in triangle] for triangle in split(points)]
