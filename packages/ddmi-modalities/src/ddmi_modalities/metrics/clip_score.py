"""CLIP-S: how well pictures fit a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ddmi_modalities.text.encoder import open_clip_model


class ClipScore:
    """`100 max(cos(image, text), 0)` of CLIP's embeddings (Hessel et al. 2021, without their factor of 2.5).

    Args:
        weights: an open_clip model, as in `pretrained_text_encoder`.
    """

    def __init__(self, weights: str) -> None:
        import open_clip

        self.model: Any = open_clip_model(weights).eval()
        settings = open_clip.get_model_preprocess_cfg(self.model)
        size = settings["size"]
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.mean, self.std = (torch.tensor(settings[name])[:, None, None] for name in ("mean", "std"))
        self.tokenize = open_clip.SimpleTokenizer(context_length=self.model.context_length)

    @torch.no_grad()
    def __call__(
        self, images: UInt8[Tensor, "image 3 rows columns"], prompts: Sequence[str]
    ) -> Float[Tensor, " image"]:
        """One score a picture, of the prompt at its place."""
        if len(images) != len(prompts):
            raise ValueError(f"CLIP-S: {len(images)} pictures for {len(prompts)} prompts; give one prompt a picture")
        pixels = torch.nn.functional.interpolate(images.float() / 255, self.size, mode="bicubic", antialias=True)
        pictures = self.model.encode_image((pixels.clamp(0, 1) - self.mean) / self.std, normalize=True)
        sentences = self.model.encode_text(self.tokenize(list(prompts)), normalize=True)
        return 100 * (pictures * sentences).sum(1).clamp_min(0)
