"""What an explorer may ask of one function, and what it is answered: the seam between kinds of signal and explorers.

A kind answers *questions*, frozen dataclasses such as "tile 3 / 2 / 5 of this picture" or "the mesh of 64 cells"; its
script draws the answers in a browser.  An explorer knows neither: it hands on questions by name, keeps answers, and may
write some of them into a page ahead of time.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from PIL import Image

from ddmi_fields import ImplicitFunction

if TYPE_CHECKING:
    import trimesh

Params = Mapping[str, int | float | str | bool]
Format = Literal["png", "webp"]


@dataclass(frozen=True)
class Content:
    """An answer, as HTTP sends it."""

    data: bytes
    media: str
    """Its type, such as image/png."""

    @classmethod
    def picture(cls, image: Image.Image, format: Format = "png") -> Content:
        """A picture without loss, or as WebP of high quality, which is smaller."""
        buffer = io.BytesIO()
        lossy: dict[str, Any] = {"quality": 92, "method": 2} if format == "webp" else {}
        image.save(buffer, format.upper(), **lossy)
        return cls(buffer.getvalue(), f"image/{format}")

    @classmethod
    def mesh(cls, mesh: trimesh.Trimesh) -> Content:
        """Binary glTF with normals, and colours where the mesh has some; nothing where it has no faces."""
        data: Any = mesh.export(file_type="glb", include_normals=True) if len(mesh.faces) else b""
        return cls(data, "model/gltf-binary")


@runtime_checkable
class Question(Protocol):
    """A frozen dataclass whose fields are numbers, flags and words with defaults, checked when it is made."""

    def answer(self, modality: Any, function: ImplicitFunction) -> Content:
        """Of one function, a batch of 1."""


@dataclass(frozen=True)
class Asked:
    """A question by its name, with what is not its default."""

    question: str
    params: Params = field(default_factory=dict)


def no_facts(modality: Any) -> dict[str, Any]:
    """Nothing to know."""
    return {}


def nothing_ahead(modality: Any) -> tuple[Asked, ...]:
    """Nothing but the picture."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """How a kind of signal is explored."""

    questions: Mapping[str, type[Question]]
    """By the names that its script asks by."""
    script: str
    """"package:file" of the script that draws a function; see `plain.js` for what it defines."""
    view: str
    """What it defines: the class `ddmi.views[view]`."""
    picture: Asked
    """What stands for a function on a wall of many."""
    downloads: Mapping[str, Asked] = field(default_factory=dict)
    """Files to take away, by their names' ends, such as ".glb"."""
    facts: Callable[[Any], dict[str, Any]] = no_facts
    """What the script has to know of a modality, as JSON."""
    ahead: Callable[[Any], Sequence[Asked]] = nothing_ahead
    """What a page without a server has to have answers to, beside `picture`."""
    solid: bool = False
    """Whether the script draws meshes with three.js."""
