"""Reading the reference implementation's configurations: what they must say, and what they must not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

Domain = Literal["image", "occupancy", "video", "nerf"]
"""Which of its models."""


def require(config: Mapping[str, Any], section: str, names: Iterable[str]) -> None:
    """Raises ValueError that lists the options which `config` lacks."""
    missing = [name for name in names if name not in config]
    if missing:
        raise ValueError(f"{section}: {', '.join(missing)} missing; it has {', '.join(map(str, config)) or 'nothing'}")


def refuse_others(config: Mapping[str, Any], section: str, supported: Mapping[str, Any]) -> None:
    """Raises ValueError where an option is given and is not its one supported value.

    Options that `supported` does not name are left alone: the reference implementation ignores names it does not know.
    """
    for name, wanted in supported.items():
        given = config.get(name, wanted)
        same = list(given) == list(wanted) if isinstance(wanted, list | tuple) else given == wanted
        if not same:
            raise ValueError(
                f"{section}: {name}={given!r} has no counterpart here, only {wanted!r}; "
                "models trained with it cannot be brought in"
            )
