"""Muon: momentum whose update has equal singular values, for the matrices of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_diffusion.networks import is_layer, is_network, trained_parts

LEAST = 8
"""Rows and columns that a weight needs to be a matrix here; thinner ones, such as gains, are not."""


def is_matrix(parameter: Tensor) -> bool:
    """Whether Muon can serve it: a linear map, or a convolution as (out, in x kernel), of at least 8 x 8."""
    return parameter.ndim >= 2 and min(parameter.shape[0], parameter[0].numel()) >= LEAST


def inner_matrices(module: nn.Module) -> set[str]:
    """Names of the parameters of a module that Muon serves; AdamW serves the others.

    Muon is for maps of features to features: the `weight` of linear, convolution and attention layers.  Not for
    embeddings (a row moves by itself), positions and whatever else a module holds beside its layers, gains and biases,
    nor for the two ends of a network, where data enter and leave (Jordan et al. 2024).

    The ends of a network, see `ddmi_diffusion.networks`, are the first and the last of the layers that it holds.  A
    module whose parts are networks, such as an objective, has the ends of all, and one with the attribute `is_chain`,
    whose parts work on each other's results as those of an autoencoder do, the first of its first part and the last of
    its last: between them there are features.  Blocks of a list are none.
    """
    ends = set[nn.Module]().union(*_ends(module))
    return {
        f"{name}.{leaf}" if name else leaf
        for name, layer in module.named_modules()
        if is_layer(layer) and layer not in ends
        for leaf, parameter in layer.named_parameters(recurse=False)
        if "weight" in leaf and is_matrix(parameter)
    }


def _ends(module: nn.Module) -> tuple[set[nn.Module], set[nn.Module]]:
    """Where data enter, and where they leave."""
    parts = trained_parts(module)
    layers = [part for part in parts if is_layer(part)]
    if layers:
        return {layers[0]}, {layers[-1]}
    if is_network(module):
        return set(), set()
    ends = [_ends(part) for part in parts]
    if ends and getattr(module, "is_chain", False):
        return ends[0][0], ends[-1][1]
    return set().union(*(first for first, _ in ends)), set().union(*(last for _, last in ends))


def orthogonalise(matrices: Float[Tensor, "n rows columns"], steps: int = 5) -> Float[Tensor, "n rows columns"]:
    """About `U V^T` of each `U S V^T`: singular values come out between 0.7 and 1.2, whatever they were.

    `X <- a X + (b A + c A^2) X` with `A = X X^T`, a Newton-Schulz iteration whose coefficients have the steepest start
    at 0 (Jordan et al. 2024).
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """`m <- mu m + (1 - mu) g`, `w <- w - lr 0.2 sqrt(max(rows, columns)) orthogonalise(mu m + (1 - mu) g)`.

    Jordan et al. 2024, "Muon"; the factor of Liu et al. 2025, "Muon is scalable for LLM training", gives the update the
    size that AdamW's has, so that one learning rate serves both.  The update does not depend on the gradient's scale.
    Within autocast to bfloat16 updates are orthogonalised in bfloat16, as Jordan et al. do: they differ by 3 %.

    Args:
        parameters: matrices, see `is_matrix`; ValueError for another.
        lr: learning rate.
        momentum: mu.
        weight_decay: decoupled.
        processes: those of a group hold the same parameters and gradients: each orthogonalises a part of the updates.

    Examples:
        >>> layer = torch.nn.Linear(8, 8, bias=False)
        >>> optimizer = Muon(layer.parameters(), lr=0.1)
        >>> layer(torch.randn(4, 8)).square().mean().backward()
        >>> optimizer.step()
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        processes: dist.ProcessGroup | None = None,
    ) -> None:
        parameters = list(parameters)
        for parameter in parameters:
            if not is_matrix(parameter):
                raise ValueError(
                    f"Muon: a parameter of shape {tuple(parameter.shape)} is no matrix of at least {LEAST} x {LEAST}; "
                    "give it to AdamW"
                )
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.processes = processes

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        assert closure is None, "Muon takes no closure"
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            gradients = [weight.grad.float() for weight in weights]
            for weight, gradient in zip(weights, gradients, strict=True):
                if not self.state[weight]:
                    self.state[weight]["momentum"] = torch.zeros_like(gradient)
            momenta = [self.state[weight]["momentum"] for weight in weights]
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            directions = torch._foreach_lerp(gradients, momenta, group["momentum"])
            if group["weight_decay"]:
                torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            matrices = [direction.flatten(1) for direction in directions]
            if torch.is_autocast_enabled(matrices[0].device.type):
                matrices = [matrix.bfloat16() for matrix in matrices]
            updates = _orthogonalised(matrices) if self.processes is None else _shared(matrices, self.processes)
            for weight, update in zip(weights, updates, strict=True):
                rate = group["lr"] * 0.2 * max(update.shape) ** 0.5
                weight.sub_(update.float().view_as(weight), alpha=rate)


def _orthogonalised(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Equal shapes together: many small products cost more than one batch of them."""
    by_shape: dict[torch.Size, list[int]] = {}
    for i, matrix in enumerate(matrices):
        by_shape.setdefault(matrix.shape, []).append(i)
    made = list(matrices)
    for places in by_shape.values():
        batch = orthogonalise(torch.stack([matrices[i] for i in places]))
        for i, update in zip(places, batch, strict=True):
            made[i] = update
    return made


def _shared(matrices: Sequence[Tensor], processes: dist.ProcessGroup) -> list[Tensor]:
    """`_orthogonalised` by several processes, each of which ends up with all of them."""
    shares = _even_shares([min(matrix.shape) * matrix.numel() for matrix in matrices], processes.size())
    lengths = [sum(matrices[i].numel() for i in share) for share in shares]
    mine = shares[processes.rank()]
    sent = matrices[0].new_zeros(max(lengths))
    if mine:
        done = torch.cat([one.flatten() for one in _orthogonalised([matrices[i] for i in mine])])
        sent[: len(done)] = done
    received = [torch.empty_like(sent) for _ in shares]
    # as bytes, because not every backend sends bfloat16
    dist.all_gather([one.view(torch.uint8) for one in received], sent.view(torch.uint8), group=processes)
    made = list(matrices)
    for share, length, values in zip(shares, lengths, received, strict=True):
        for i, update in zip(share, values[:length].split([matrices[i].numel() for i in share]), strict=True):
            made[i] = update.view_as(matrices[i])
    return made


def _even_shares(costs: Sequence[int], count: int) -> list[list[int]]:
    """`count` lists of the places of `costs` whose sums are about equal: the largest goes where least is so far."""
    shares: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    for i in sorted(range(len(costs)), key=lambda i: -costs[i]):
        least = loads.index(min(loads))
        shares[least].append(i)
        loads[least] += costs[i]
    return shares
