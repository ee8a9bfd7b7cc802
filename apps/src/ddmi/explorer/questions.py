"""Questions as they come from a page: words that become the fields of a question, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints
from urllib.parse import urlencode

from ddmi_modalities.exploration import Asked

Kind = TypeVar("Kind")

WORDS: Mapping[str, bool] = {"true": True, "false": False}


def question_of(kind: type[Kind], params: Mapping[str, str]) -> Kind:
    """A dataclass, such as a `Question`, with fields from words.  ValueError for unknown names and for no numbers."""
    hints = get_type_hints(kind)
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # it is a dataclass
    if unknown := set(params) - known:
        raise ValueError(f"{sorted(unknown)[0]!r} is unknown here; known: {', '.join(sorted(known)) or 'nothing'}")
    return kind(**{name: _value(name, hints[name], word) for name, word in params.items()})


def _value(name: str, wanted: Any, word: str) -> Any:
    if wanted is bool:
        if word not in WORDS:
            raise ValueError(f"{name} is true or false, got {word!r}")
        return WORDS[word]
    if wanted not in (int, float, int | float):
        return word
    try:
        return int(word) if wanted is int else float(word)
    except ValueError:
        raise ValueError(f"{name} is a {'whole ' * (wanted is int)}number, got {word!r}") from None


def address(asked: Asked) -> str:
    """A question as a page writes it: QUESTION?NAME=VALUE&..., in the order of the names, numbers as in JavaScript."""

    def word(value: int | float | str | bool) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        return value if isinstance(value, str) else f"{value:g}"

    words = urlencode({name: word(value) for name, value in sorted(asked.params.items())})
    return f"{asked.question}?{words}"
