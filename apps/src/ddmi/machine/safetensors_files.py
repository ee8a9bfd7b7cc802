"""Files of weights whose hashes may be listed, checked against the list before they are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from ddmi.machine.listed_weights import check_listed
from ddmi_diffusion import weights_files
from ddmi_diffusion.weights_files import Network


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a file.  ValueError where it is not there, damaged, or not as it was written."""
    check_listed(path)
    return weights_files.read_tensors(path)


def load_weights(module: nn.Module, path: Path, *, hint: str) -> None:
    """Loads a state dict exactly, or says what does not fit or is no number; `hint` where the file is not there."""
    check_listed(path)
    weights_files.load_weights(module, path, hint=hint)


def load_network(build: Callable[[], Network], path: Path, config: Path, *, hint: str) -> Network:
    """The network of a file of weights, see `ddmi_diffusion.weights_files`."""
    check_listed(path)
    return weights_files.load_network(build, path, config, hint=hint)
