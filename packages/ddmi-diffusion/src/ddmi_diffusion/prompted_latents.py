"""Latents with prompts: one of an item's captions a step, tokenized, or as cached features of a frozen conditioner."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ddmi_diffusion.conditioning import Conditioning
from ddmi_diffusion.device_transfer import device_of
from ddmi_diffusion.latent_cache import LatentCache
from ddmi_diffusion.latent_objective import LatentBatch
from ddmi_diffusion.randomness import StepRandom

_ENCODED_AT_ONCE = 256


class PromptedLatents:
    """A data set of (row of the cache, its captions).

    Args:
        cache: posterior moments.
        captions: of every row; rows without a caption get the empty prompt.
        conditioner: tokenizes; see `Conditioner`.
        frozen: encode all captions now, once, and give out their features (in half precision); otherwise give out
            token numbers, for a conditioner that is trained.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from ddmi_diffusion import StepRandom
        >>> class Letters(nn.Module):  # a `Conditioner`: a token is a letter's number
        ...     def tokenize(self, prompts):
        ...         return torch.tensor([[ord(letter) for letter in prompt.ljust(4)] for prompt in prompts])
        ...     def forward(self, tokens):
        ...         return tokens[..., None].float(), torch.ones_like(tokens, dtype=torch.bool)
        >>> moments = [((torch.randn(2, 4, 8, 8),), (torch.ones(2, 4, 8, 8),))]
        >>> with TemporaryDirectory() as folder:
        ...     cache = LatentCache.build(Path(folder, "latents.npy"), "any text", 2, moments)
        ...     items = PromptedLatents(cache, [["cat", "pet"], []], Letters(), frozen=False)
        ...     batch = items.collate([items[0], items[1]], StepRandom(seed=0, step=0, positions=[0, 1]))
        >>> batch.prompts.shape
        torch.Size([2, 4])
    """

    def __init__(
        self, cache: LatentCache, captions: Sequence[Sequence[str]], conditioner: nn.Module, *, frozen: bool
    ) -> None:
        if len(captions) != len(cache):
            raise ValueError(f"PromptedLatents: {len(captions)} lists of captions for {len(cache)} latents")
        self.cache = cache
        self.captions = [tuple(one) or ("",) for one in captions]
        known = sorted({caption for one in self.captions for caption in one})
        self._number = {caption: i for i, caption in enumerate(known)}
        self._tokens = torch.cat(
            [conditioner.tokenize(known[i : i + 4096]) for i in range(0, len(known), 4096)]  # type: ignore[operator]
        )
        self._features: list[Tensor] | None = self._encode(conditioner) if frozen else None

    @torch.no_grad()
    def _encode(self, conditioner: nn.Module) -> list[Tensor]:
        """Features of every caption, without its padding."""
        device = device_of(conditioner)
        features: list[Tensor] = []
        for part in self._tokens.split(_ENCODED_AT_ONCE):
            sequence, mask = conditioner(part.to(device))
            features += [one[keep].half().cpu() for one, keep in zip(sequence, mask, strict=True)]
        return features

    def __len__(self) -> int:
        return len(self.cache)

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, rows: Sequence[int], rng: StepRandom) -> LatentBatch:
        """Moments of the rows with one caption each, drawn evenly."""
        latents = self.cache.batch([self.cache[row] for row in rows])
        # uniform(1) below 1: the index stays below the number of captions
        drawn = rng.uniform(1).flatten().tolist()
        chosen = [
            self._number[self.captions[row][int(u * len(self.captions[row]))]]
            for row, u in zip(rows, drawn, strict=True)
        ]
        if self._features is None:
            return LatentBatch(latents.mean, latents.std, prompts=self._tokens[chosen])
        features = [self._features[i].float() for i in chosen]
        tokens = nn.utils.rnn.pad_sequence(features, batch_first=True)
        lengths = torch.tensor([len(one) for one in features])
        mask = torch.arange(tokens.shape[1]) < lengths[:, None]
        return LatentBatch(latents.mean, latents.std, cond=Conditioning(tokens, mask))
