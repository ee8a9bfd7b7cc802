"""What a kind of signal, or of file, needs beside this package."""

from __future__ import annotations

from importlib.util import find_spec


def require_extra(extra: str, *modules: str, needed_by: str = "") -> None:
    """Raises ModuleNotFoundError, which says what to install, unless all modules can be imported; imports none.

    `needed_by` is what cannot be done without; by default to import the package of the extra's name.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ModuleNotFoundError(
            f"{needed_by or f'ddmi_modalities.{extra}'} needs {missing[0]!r}; install the extra: "
            f"pip install 'ddmi-modalities[{extra}]'",
            name=missing[0],
        )
