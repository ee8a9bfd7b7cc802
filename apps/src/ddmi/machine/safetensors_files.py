"""Reading safetensors with errors that name the file and the remedy."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ddmi.machine.listed_weights import check_listed


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a file.  ValueError where it is not there, damaged, or not as it was written."""
    check_listed(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except FileNotFoundError:
        raise ValueError(f"{path} is not there; the run is not finished, or files were moved") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: damaged or no safetensors file ({error}); restore it or train again") from error


def load_weights(module: nn.Module, path: Path, *, hint: str) -> None:
    """Loads a state dict exactly, or says which tensor does not fit, or has numbers that are NaN or infinite."""
    if not path.exists():
        raise ValueError(f"{path} is not there; {hint}")
    tensors, _ = read_tensors(path)
    wanted = module.state_dict()
    for name in [*wanted, *tensors]:
        ours = tuple(wanted[name].shape) if name in wanted else "nothing of that name"
        theirs = tuple(tensors[name].shape) if name in tensors else "nothing of that name"
        if ours != theirs:
            raise ValueError(
                f"{path}: weights of another configuration: {name!r} is {theirs} in the file, the config wants {ours}; "
                "use the config.json that was saved with the weights"
            )
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(
                f"{path}: {name!r} has numbers that are NaN or infinite, and nothing can be made with them; restore "
                "the file, or go on from a checkpoint before that"
            )
    module.load_state_dict(tensors)
