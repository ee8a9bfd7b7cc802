"""What a kind of signal needs beside this package."""

from __future__ import annotations

from importlib.util import find_spec


def require_extra(extra: str, *modules: str) -> None:
    """Raises ImportError, which says what to install, unless all modules can be imported; imports none."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ImportError(
            f"ddmi_modalities.{extra} needs {missing[0]!r}; install the extra: pip install 'ddmi-modalities[{extra}]'",
            name=missing[0],
        )
