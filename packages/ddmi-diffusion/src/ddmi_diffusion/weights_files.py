"""Reading safetensors with errors that name the file and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ddmi_diffusion.stored_precision import is_scale, restored

Network = TypeVar("Network", bound=nn.Module)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a file.  ValueError where it is not there or damaged."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def load_weights(module: nn.Module, path: Path, *, hint: str) -> None:
    """Loads a state dict exactly, or says which tensor does not fit, or has numbers that are NaN or infinite.

    `hint` is the remedy where the file is not there.
    """
    check_shapes(module, path, hint=hint)
    stored, _ = read_tensors(path)
    try:
        tensors = restored(stored)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(
                f"{path}: {name!r} has numbers that are NaN or infinite, and nothing can be made with them; restore "
                "the file, or go on from a checkpoint before that"
            )
    module.load_state_dict(tensors)


def load_network(build: Callable[[], Network], path: Path, config: Path, *, hint: str) -> Network:
    """The network of a file of weights; settings that want others are refused before it is given memory.

    Args:
        build: makes it, on the device of the context, from the settings in `config`, which errors name.
        path, hint: as of `load_weights`.
    """
    with errors_of(config), torch.device("meta"):
        sketch = build()
    check_shapes(sketch, path, hint=hint)
    with errors_of(config):
        network = build()
    load_weights(network, path, hint=hint)
    return network


def check_shapes(module: nn.Module, path: Path, *, hint: str) -> None:
    """Says which tensor of a file does not fit a module, which may be on the device "meta"; reads the header only."""
    if not path.exists():
        raise ValueError(f"{path} is not there; {hint}")
    with _opened(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        eight_bits = {name: one.get_dtype() == "I8" for name, one in slices.items()}
        theirs = {name: tuple(one.get_shape()) for name, one in slices.items() if not is_scale(name, eight_bits)}
    ours = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            there, wanted = (sizes.get(name, "nothing of that name") for sizes in (theirs, ours))
            raise ValueError(
                f"{path}: weights of another configuration: {name!r} is {there} in the file, the config wants "
                f"{wanted}; use the config.json that was saved with the weights"
            )


@contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """What is wrong with settings shows where they are used: such errors become ValueErrors that name their file."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError) as error:
        # a word where a number belongs, no number where a list belongs, and so on
        if "allocate" in str(error):
            raise
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path}: a field has a value that makes no sense ({reason}); compare with its publisher's"
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise ValueError(f"{path} is not there; the run is not finished, or files were moved") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: damaged or no safetensors file ({error}); restore it or train again") from error
