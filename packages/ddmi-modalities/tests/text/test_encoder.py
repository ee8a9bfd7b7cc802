"""The text tower: new and small, or pretrained and frozen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ddmi_modalities.metrics.clip_score import ClipScore
from ddmi_modalities.text import TextEncoderConfig
from ddmi_modalities.text.encoder import pretrained_text_encoder


@pytest.fixture
def clip_folder(tmp_path: Path) -> tuple[Path, nn.Module]:
    """A tiny CLIP with random weights, saved as open_clip saves one."""
    import open_clip

    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "patch_size": 16, "head_width": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }
    model = open_clip.model.CLIP(**settings)
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings, "preprocess_cfg": preprocess}))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, tmp_path / "open_clip_model.safetensors")
    return tmp_path, model.eval()


def test_tokens_end_with_the_end_token_and_padding_is_masked() -> None:
    torch.manual_seed(0)
    tower = TextEncoderConfig(width=32, layers=1).build()
    tokens = tower.tokenize(["a round table", "", "chair " * 100])
    assert tokens.shape == (3, 32)
    sequence, mask = tower(tokens)
    assert sequence.shape == (3, 32, 32)
    assert mask.sum(1).tolist() == [5, 2, 32]  # start and end token, and the words; what is too long is cut
    assert mask[0, :5].all()
    # padding does not change what counts: attention is causal
    changed = tokens.clone()
    changed[0, 6:] = 7
    torch.testing.assert_close(tower(changed)[0][0, :5], sequence[0, :5])


def test_small_towers_are_trained() -> None:
    tower = TextEncoderConfig(width=16, layers=2, heads=2).build()
    sequence, _ = tower(tower.tokenize(["a chair"]))
    sequence.square().sum().backward()
    assert all(p.grad is not None for name, p in tower.named_parameters() if "final" not in name or "ln" in name)


def test_pretrained_weights(clip_folder: tuple[Path, nn.Module]) -> None:
    folder, model = clip_folder
    tower = pretrained_text_encoder(str(folder))
    assert tower.config == TextEncoderConfig(
        weights=str(folder), frozen=True, width=16, layers=2, heads=2, context=77, mlp_ratio=4.0
    )
    assert not any(p.requires_grad for p in tower.parameters())
    tokens = tower.tokenize(["a chair with arms"])
    embedded = model.token_embedding(tokens) + model.positional_embedding
    expected = model.ln_final(model.transformer(embedded, attn_mask=model.attn_mask))
    torch.testing.assert_close(tower(tokens)[0], expected)
    # what a run saves is enough to build it again, without the folder
    again = tower.config.build()
    again.load_state_dict(tower.state_dict())
    torch.testing.assert_close(again(tokens)[0], expected)


def test_clip_score_is_the_cosine(clip_folder: tuple[Path, nn.Module]) -> None:
    import open_clip

    folder, model = clip_folder
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    scores = ClipScore(str(folder))(images, ["a chair", "a table"])
    with torch.no_grad():
        pictures = model.encode_image(images.float() / 255 * 2 - 1)  # mean and std of the folder are 0.5
        sentences = model.encode_text(open_clip.SimpleTokenizer()(["a chair", "a table"]))
    expected = 100 * torch.cosine_similarity(pictures, sentences).clamp_min(0)
    torch.testing.assert_close(scores, expected, atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match="2 pictures for 1 prompts"):
        ClipScore(str(folder))(images, ["a chair"])


def test_weights_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be had"):
        pretrained_text_encoder(str(tmp_path / "nowhere"))
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(ValueError, match="cannot be had"):
        pretrained_text_encoder(str(tmp_path))


def test_a_tower_with_another_vocabulary_is_refused(clip_folder: tuple[Path, nn.Module]) -> None:
    import open_clip

    folder, _ = clip_folder
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["vocab_size"] = 100
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.model.CLIP(**config["model_cfg"])
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    with pytest.raises(ValueError, match="another tokenizer than CLIP's"):
        pretrained_text_encoder(str(folder))


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match="must be a multiple of heads"):
        TextEncoderConfig(width=10, heads=4)
