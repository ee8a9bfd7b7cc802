"""Third-party weights that nobody may download for you: by path, checked, with their sha256 said."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
from pathlib import Path

import torch
from torch import Tensor

logger = logging.getLogger("ddmi")


def read_announced(path: Path | str, *, purpose: str, source: str) -> bytes:
    """The content of a file of weights, whose sha256 is logged.

    Args:
        path: The file.
        purpose: What the weights are for, for messages: "LPIPS (vgg)".
        source: Where a user gets the file: its address or usual name.

    Raises:
        ValueError: The file cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"{purpose}: cannot read weights {str(path)!r} ({error.strerror}); "
            f"get {source} on a machine with a network and give its path"
        ) from error
    logger.info("%s: weights %s sha256 %s", purpose, path, hashlib.sha256(content).hexdigest())
    return content


def read_weights(path: Path | str, *, purpose: str, source: str) -> dict[str, Tensor]:
    """The state dict in a file, loaded with `weights_only=True`; arguments are those of `read_announced`.

    Raises ValueError where the file is absent, is no state dict of tensors, or would need to run code.
    """
    content = read_announced(path, purpose=purpose, source=source)
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{purpose}: {str(path)!r} is not a file of plain weights ({reason}); get {source}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{purpose}: {str(path)!r} holds {type(state).__name__}, wanted a state dict; get {source}")
    return state


def load_exactly(module: torch.nn.Module, state: dict[str, Tensor], *, purpose: str, source: str) -> None:
    """`module.load_state_dict(state)`; ValueError that names the first key that does not fit."""
    wanted = module.state_dict()
    for key, value in wanted.items():
        if key not in state:
            raise ValueError(f"{purpose}: the weights have no {key!r}; these are not {source}")
        if state[key].shape != value.shape:
            raise ValueError(
                f"{purpose}: {key!r} has the shape {tuple(state[key].shape)}, wanted {tuple(value.shape)}; "
                f"these are not {source}"
            )
    module.load_state_dict({key: state[key] for key in wanted})
