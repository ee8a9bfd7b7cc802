"""From the reference implementation's state dict to ours: names by rules, shapes by dropping sides of 1."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Rule = tuple[str, str | Callable[[re.Match[str]], str]]
"""A regular expression and its replacement, as `re.sub` takes them."""


@dataclass(frozen=True)
class Source:
    """Where one of our tensors comes from."""

    name: str
    """In the reference implementation's state dict."""
    rows: Tensor | None = None
    """For each of our rows (first dimension), the row there; None where the order is the same."""
    scale: float | Tensor | None = None
    """Ours are theirs, in our order of rows, times this (it broadcasts); None is 1.

    A weight for coordinates in other units: `W_ours (x / s) = W_theirs x` where `W_ours = s W_theirs`.
    """


def rename(name: str, rules: Sequence[Rule]) -> str:
    """Applies every rule in order."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def sources_by_rules(model: nn.Module, rules: Sequence[Rule]) -> dict[str, Source]:
    """The source of every tensor of `model`, from rules that turn our names into theirs."""
    sources = {name: Source(rename(name, rules)) for name in model.state_dict()}
    assert len({source.name for source in sources.values()}) == len(sources), "two tensors of one source"
    return sources


def _listed(names: Sequence[str], shown: int = 10) -> str:
    more = f" and {len(names) - shown} more, {len(names)} in all" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _sides(shape: Sequence[int]) -> list[int]:
    return [side for side in shape if side != 1]


def load_sources(
    model: nn.Module,
    state: Mapping[str, Tensor],
    sources: Mapping[str, Source],
    *,
    what: str,
    derived: Collection[str] = (),
) -> None:
    """Copies `state` into `model`, all of it or nothing.

    A tensor fits when its shape is ours up to sides of 1 (a 1x1 convolution is a linear map).

    Args:
        model: whose tensors `sources` names, every one.
        state: the reference implementation's tensors.
        sources: for each of our names, where it comes from.
        what: the model's name, for errors.
        derived: names that may be in `state` and are not read, because they follow from the configuration.

    Raises:
        ValueError: lists the tensors that are missing, that have no place in the model, and that do not fit.
    """
    ours = model.state_dict()
    assert set(ours) == set(sources), "sources must name every tensor of the model"
    wanted = {source.name for source in sources.values()}
    misshaped = [
        f"{source.name} is {tuple(state[source.name].shape)} for our {name} {tuple(ours[name].shape)}"
        for name, source in sources.items()
        if source.name in state and _sides(state[source.name].shape) != _sides(ours[name].shape)
    ]
    problems = {
        "missing": sorted(wanted - set(state)),
        "unexpected": sorted(set(state) - wanted - set(derived)),
        "of another shape": misshaped,
    }
    found = [f"{kind}: {_listed(names)}" for kind, names in problems.items() if names]
    if found:
        raise ValueError(
            f"loading {what}: {'; '.join(found)}. Build the model from the configuration that these weights were "
            "trained with, and pass the weights of this model only"
        )
    tensors = {}
    for name, source in sources.items():
        tensor = state[source.name]
        tensor = tensor if source.rows is None else tensor[source.rows.to(tensor.device)]
        if source.scale is not None:
            tensor = tensor * torch.as_tensor(source.scale).to(tensor)
        tensors[name] = tensor.reshape(ours[name].shape)
    model.load_state_dict(tensors)
