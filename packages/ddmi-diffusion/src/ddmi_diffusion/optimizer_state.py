"""The state of a torch optimizer as named tensors, so that it fits a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

_NUMBER = ":number"  # marks state that is a Python number and not a tensor


def flatten_optimizer(optimizer: Optimizer, names: Sequence[str]) -> dict[str, Tensor]:
    """The per-parameter state under the keys `<parameter name>/<state key>`.

    `names` are the names of the parameters in the order of the optimizer's groups. Hyper-parameters are not included:
    they belong to the configuration. Raises ValueError for state that is neither tensor nor number.
    """
    _check(optimizer, names)
    result = {}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                result[f"{names[index]}/{key}"] = value
            elif isinstance(value, bool | int | float):
                dtype = torch.float64 if isinstance(value, float) else torch.int64
                result[f"{names[index]}/{key}{_NUMBER}"] = torch.tensor(value, dtype=dtype)
            elif value is not None:  # SGD without momentum keeps None
                raise ValueError(
                    f"{type(optimizer).__name__}: state {key!r} of {names[index]!r} is a {type(value).__name__}; only "
                    "tensors and numbers can be saved: use an optimizer such as AdamW"
                )
    return result


def restore_optimizer(optimizer: Optimizer, names: Sequence[str], tensors: Mapping[str, Tensor]) -> None:
    """Put the state of `flatten_optimizer` back; the hyper-parameters stay as they are.

    Raises ValueError for a name the optimizer does not have or a tensor of another shape than its parameter.
    """
    _check(optimizer, names)
    index = {name: i for i, name in enumerate(names)}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for entry, value in tensors.items():
        name, _, key = entry.rpartition("/")
        if name not in index:
            raise ValueError(
                f"restoring {type(optimizer).__name__}: the saved state has a parameter {name!r} that is not "
                "optimised here; build the model with the settings it was saved with"
            )
        if value.ndim and value.shape != parameters[index[name]].shape:
            raise ValueError(
                f"restoring {type(optimizer).__name__}: {entry!r} has shape {tuple(value.shape)}, its parameter "
                f"{tuple(parameters[index[name]].shape)}; build the model with the settings it was saved with"
            )
        number = key.endswith(_NUMBER)
        state.setdefault(index[name], {})[key.removesuffix(_NUMBER)] = value.item() if number else value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _check(optimizer: Optimizer, names: Sequence[str]) -> None:
    count = sum(len(group["params"]) for group in optimizer.param_groups)
    if count != len(names) or len(set(names)) != len(names):
        raise ValueError(
            f"{type(optimizer).__name__} has {count} parameters, got {len(names)} names, {len(set(names))} of them "
            "different; give one name for each parameter, in the order of the optimizer's groups"
        )
