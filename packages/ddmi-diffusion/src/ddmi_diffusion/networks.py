"""The networks that a module is made of."""

from __future__ import annotations

from torch import nn


def is_layer(module: nn.Module) -> bool:
    """Whether it maps by a weight of its own; a table that is looked up in does not."""
    own = module.named_parameters(recurse=False)
    looks_up = isinstance(module, nn.Embedding | nn.EmbeddingBag)
    return not looks_up and any("weight" in leaf and parameter.ndim >= 2 for leaf, parameter in own)


def trained_parts(module: nn.Module) -> list[nn.Module]:
    """The children that hold parameters."""
    return [part for part in module.children() if any(True for _ in part.parameters())]


def is_network(module: nn.Module) -> bool:
    """Whether it holds layers, embeddings or norms itself, such as `PlaneUNet`, or is a list of blocks.

    A module whose parts all are networks, such as an objective or an autoencoder, is none.
    """
    parts = trained_parts(module)
    return isinstance(module, nn.ModuleList) or any(is_layer(part) or not list(part.children()) for part in parts)


def networks(module: nn.Module) -> list[nn.Module]:
    """The outermost networks within a module, in order; the module itself where it is one, or holds parameters only."""
    if is_network(module) or not trained_parts(module):
        return [module]
    return [network for part in trained_parts(module) for network in networks(part)]
