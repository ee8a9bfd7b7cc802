"""A text tower of open_clip as a conditioner: prompts to the token sequence that a denoiser attends to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

VOCABULARY = 49408
"""Of CLIP's byte-pair encoding, which open_clip ships."""


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig:
    """Architecture of a text tower (a causal transformer), and whether it is trained with the denoiser."""

    weights: str | None = None
    """Where a pretrained tower came from: ARCHITECTURE:TAG, hf-hub:OWNER/NAME, or a folder; see
    `pretrained_text_encoder`."""
    frozen: bool = False
    """Keep the weights as they are; False trains the tower together with the denoiser."""
    width: int = 128
    """Channels of a token."""
    layers: int = 4
    """Blocks."""
    heads: int = 4
    """Of attention."""
    context: int = 32
    """Tokens of a prompt; what is longer is cut."""
    mlp_ratio: float = 4.0
    """Hidden channels of a block's MLP, as a multiple of the width."""
    quick_gelu: bool = False
    """x sigmoid(1.702 x) instead of GELU, as in OpenAI's models."""

    def __post_init__(self) -> None:
        if self.width % self.heads or min(self.width, self.layers, self.heads, self.context) < 1:
            raise ValueError(
                f"TextEncoderConfig: width {self.width} must be a multiple of heads {self.heads}, and all of width, "
                f"layers, heads and context positive"
            )

    def build(self) -> TextEncoder:
        return TextEncoder(self)


class TextEncoder(nn.Module):
    """Prompts to tokens (batch, n, width) after the last layer norm, and which of them count.

    Examples:
        >>> tower = TextEncoderConfig(width=32, layers=1).build()
        >>> tokens, mask = tower(tower.tokenize(["a round table", ""]))
        >>> tokens.shape, mask.sum(1).tolist()
        (torch.Size([2, 32, 32]), [5, 2])
    """

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        from open_clip.transformer import QuickGELU, TextTransformer

        self.config = config
        self.body = TextTransformer(
            context_length=config.context,
            vocab_size=VOCABULARY,
            width=config.width,
            heads=config.heads,
            layers=config.layers,
            mlp_ratio=config.mlp_ratio,
            act_layer=QuickGELU if config.quick_gelu else nn.GELU,
            # The pooled embedding is not used: the denoiser attends to the sequence.
            proj_type="none",
            output_dim=None,
            output_tokens=True,
        )
        if config.frozen:
            self.requires_grad_(False)

    def tokenize(self, prompts: Sequence[str]) -> Int64[Tensor, "batch context"]:
        """Prompts by CLIP's byte-pair encoding, each between a start and an end token; 0 pads."""
        return _tokenizer()(list(prompts), context_length=self.config.context)

    def forward(
        self, tokens: Int64[Tensor, "batch context"]
    ) -> tuple[Float[Tensor, "batch context width"], Bool[Tensor, "batch context"]]:
        """The sequence, and a mask that ends with the end token (the largest number of the vocabulary)."""
        _, sequence = self.body(tokens)
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        return sequence, positions <= tokens.argmax(dim=1, keepdim=True)


@cache
def _tokenizer() -> Any:
    from open_clip import SimpleTokenizer

    return SimpleTokenizer()


def open_clip_model(source: str) -> Any:
    """A pretrained open_clip model.

    Args:
        source: "ARCHITECTURE:TAG" (such as "ViT-L-14:openai") or "hf-hub:OWNER/NAME", which open_clip fetches where
            there is a network; or the path of a folder with open_clip_config.json and the weights beside it.

    Raises:
        ValueError: it cannot be had.
    """
    import open_clip

    try:
        if source.startswith("hf-hub:"):
            return open_clip.create_model(source, require_pretrained=True)
        if ":" in source:
            name, tag = source.split(":", 1)
            return open_clip.create_model(name, pretrained=tag, require_pretrained=True)
        return open_clip.create_model(f"local-dir:{source}", require_pretrained=True)
    except Exception as error:  # open_clip and the hub raise many kinds, all of which mean that there are no weights
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"CLIP weights {source!r} cannot be had ({reason}); give ARCHITECTURE:TAG or hf-hub:OWNER/NAME where there "
            "is a network, or the path of a folder with open_clip_config.json and its weights"
        ) from error


def pretrained_text_encoder(source: str) -> TextEncoder:
    """A frozen tower with the weights of an open_clip model, which `source` names as in `open_clip_model`.

    Raises:
        ValueError: it cannot be had, or its text tower is of another kind (another tokenizer or pooling).
    """
    model = open_clip_model(source)
    text: Any = getattr(model, "text", model)
    body: Any = getattr(text, "transformer", None)
    if not hasattr(body, "resblocks") or text.token_embedding.num_embeddings != VOCABULARY:
        raise ValueError(
            f"text weights {source!r}: the text tower has another tokenizer than CLIP's; choose a CLIP model, such as "
            "ViT-L-14:openai"
        )
    block = body.resblocks[0]
    config = TextEncoderConfig(
        weights=source,
        frozen=True,
        width=text.token_embedding.embedding_dim,
        layers=len(body.resblocks),
        heads=block.attn.num_heads,
        context=text.positional_embedding.shape[0],
        mlp_ratio=block.mlp.c_fc.out_features / text.token_embedding.embedding_dim,
        quick_gelu=type(block.mlp.gelu).__name__ == "QuickGELU",
    )
    tower = TextEncoder(config)
    theirs = text.state_dict()
    missing = [name for name in tower.body.state_dict() if name not in theirs]
    if missing:
        raise ValueError(f"text weights {source!r}: the text tower lacks {missing[0]!r}; choose a CLIP model")
    tower.body.load_state_dict({name: theirs[name] for name in tower.body.state_dict()})
    return tower.eval()
