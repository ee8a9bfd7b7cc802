"""What a denoiser is conditioned on: a masked token sequence per item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """Tokens for cross-attention and which of them count. The null condition (an encoded empty prompt) is data.

    Examples:
        >>> cond = Conditioning(tokens=torch.randn(2, 7, 16), mask=torch.ones(2, 7, dtype=torch.bool))
        >>> len(cond), cond.tokens.shape
        (2, torch.Size([2, 7, 16]))
    """

    tokens: Float[Tensor, "batch n d"]
    mask: Bool[Tensor, "batch n"]

    def __post_init__(self) -> None:
        if self.tokens.ndim != 3 or self.mask.shape != self.tokens.shape[:2] or self.mask.dtype != torch.bool:
            raise ValueError(
                f"Conditioning: tokens (batch, n, d) with a boolean mask (batch, n); got {tuple(self.tokens.shape)} "
                f"and {self.mask.dtype} {tuple(self.mask.shape)}"
            )
        # a mask on a device would have to be waited for: it was on the CPU when it was made, or is of an encoder
        if self.mask.device.type == "cpu" and not bool(self.mask.any(dim=1).all()):
            raise ValueError("Conditioning: an item has no unmasked token; encode the empty prompt instead")

    @classmethod
    def from_labels(cls, labels: Int64[Tensor, " batch"], classes: int) -> Conditioning:
        """One token an item, with a 1 at its class: for class-conditional generation, `condition=classes`.

        -1 is no class, the null condition.

        Examples:
            >>> Conditioning.from_labels(torch.tensor([2, -1]), 3).tokens.tolist()
            [[[0.0, 0.0, 1.0]], [[0.0, 0.0, 0.0]]]
        """
        if len(labels) and (int(labels.min()) < -1 or int(labels.max()) >= classes):
            raise ValueError(
                f"Conditioning.from_labels: labels are 0 to {classes - 1}, and -1 for none; got {int(labels.min())} to "
                f"{int(labels.max())}"
            )
        tokens = torch.nn.functional.one_hot(labels + 1, classes + 1)[:, None, 1:].float()
        return cls(tokens, torch.ones(len(labels), 1, dtype=torch.bool, device=labels.device))

    def __len__(self) -> int:
        return self.tokens.shape[0]

    def to(self, target: torch.device | str | torch.dtype) -> Conditioning:
        """On another device, or with tokens of another precision."""
        mask = self.mask if isinstance(target, torch.dtype) else self.mask.to(target)
        return self if (tokens := self.tokens.to(target)) is self.tokens else Conditioning(tokens, mask)

    def expand(self, count: int) -> Conditioning:
        """The same condition for `count` items, from a batch of one."""
        if len(self) == count:
            return self
        if len(self) != 1:
            raise ValueError(f"Conditioning: {len(self)} conditions for {count} items; give one, or one an item")
        return Conditioning(self.tokens.expand(count, -1, -1), self.mask.expand(count, -1))

    @staticmethod
    def _pad(condition: Conditioning, length: int) -> Conditioning:
        extra = length - condition.tokens.shape[1]
        return Conditioning(
            torch.nn.functional.pad(condition.tokens, (0, 0, 0, extra)),
            torch.nn.functional.pad(condition.mask, (0, extra)),
        )

    @staticmethod
    def cat(first: Conditioning, second: Conditioning) -> Conditioning:
        """Batch concatenation; the shorter sequence is padded with masked tokens."""
        length = max(first.tokens.shape[1], second.tokens.shape[1])
        a, b = Conditioning._pad(first, length), Conditioning._pad(second, length)
        return Conditioning(torch.cat((a.tokens, b.tokens)), torch.cat((a.mask, b.mask)))

    def where(self, keep: Bool[Tensor, " batch"], other: Conditioning) -> Conditioning:
        """This condition where `keep`, else `other` (prompt dropout)."""
        length = max(self.tokens.shape[1], other.tokens.shape[1])
        a, b = Conditioning._pad(self, length), Conditioning._pad(other.expand(len(self)), length)
        return Conditioning(
            torch.where(keep[:, None, None], a.tokens, b.tokens), torch.where(keep[:, None], a.mask, b.mask)
        )


@runtime_checkable
class Conditioner(Protocol):
    """A module that turns prompts into what a denoiser attends to, such as a text tower."""

    def tokenize(self, prompts: Sequence[str]) -> Int64[Tensor, "batch n"]:
        """Prompts as numbers, of one length."""

    def __call__(self, tokens: Int64[Tensor, "batch n"]) -> tuple[Tensor, Tensor]:
        """Token features (batch, n, d), and the boolean mask (batch, n) of those that count."""


def encode_prompts(conditioner: Conditioner, prompts: Sequence[str], device: torch.device | str) -> Conditioning:
    """The condition of each prompt; of `[""]` the null condition.

    Examples:
        >>> class Letters(torch.nn.Module):  # any `Conditioner`; here a token is a letter's number
        ...     def tokenize(self, prompts):
        ...         return torch.tensor([[ord(letter) for letter in prompt.ljust(4)] for prompt in prompts])
        ...     def forward(self, tokens):
        ...         return tokens[..., None].float(), torch.ones_like(tokens, dtype=torch.bool)
        >>> encode_prompts(Letters(), ["cat", ""], "cpu").tokens.shape
        torch.Size([2, 4, 1])
    """
    return Conditioning(*conditioner(conditioner.tokenize(prompts).to(device)))
