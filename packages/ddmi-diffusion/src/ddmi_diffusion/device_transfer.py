"""Tensors of a nest to a device (batches are tuples, lists, dicts and dataclasses of tensors); where a module is."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn


def map_tensors(function: Callable[[Tensor], Tensor], nest: Any) -> Any:
    """The same nest with `function` applied to every tensor; anything else is passed through unchanged.

    Dataclasses are copied without running `__init__`, so derived fields and checks are not repeated.
    """
    if isinstance(nest, Tensor):
        return function(nest)
    if isinstance(nest, Mapping):
        return {key: map_tensors(function, value) for key, value in nest.items()}
    if isinstance(nest, tuple) and hasattr(nest, "_fields"):  # a named tuple takes its fields one by one
        return type(nest)(*(map_tensors(function, value) for value in nest))
    if isinstance(nest, tuple | list):
        return type(nest)(map_tensors(function, value) for value in nest)
    if dataclasses.is_dataclass(nest) and not isinstance(nest, type):
        result = copy.copy(nest)
        for field in dataclasses.fields(nest):
            object.__setattr__(result, field.name, map_tensors(function, getattr(nest, field.name)))
        return result
    return nest


def sent(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on `device`; what comes from the host to CUDA is not waited for, and must stay as it is.

    Other devices may read a tensor of the host after it has been freed (MPS: pytorch#139550).
    """
    return tensor.to(device, non_blocking=tensor.device.type == "cpu" and torch.device(device).type == "cuda")


def to_device(nest: Any, device: torch.device | str) -> Any:
    """The nest with every tensor on `device`, by `sent`."""
    return map_tensors(lambda tensor: sent(tensor, device), nest)


def detach(nest: Any) -> Any:
    """The nest with every tensor cut from the graph that made it."""
    return map_tensors(Tensor.detach, nest)


def device_of(module: nn.Module) -> torch.device:
    """Where its parameters and buffers are; the CPU for a module that has none."""
    return next((tensor.device for tensor in chain(module.parameters(), module.buffers())), torch.device("cpu"))
