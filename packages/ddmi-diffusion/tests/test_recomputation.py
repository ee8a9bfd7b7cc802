"""Gradient checkpointing: the same training, of which less is kept."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import tiny_training as tiny
import torch
from torch import Tensor, nn

from ddmi_diffusion import DiTConfig, UNetConfig
from ddmi_diffusion.recomputation import blocks, recompute_blocks
from ddmi_diffusion.trainer import Trainer


def kept_by(denoiser: nn.Module) -> tuple[int, dict[str, Tensor]]:
    """Bytes of activations that the backward pass finds kept, and the gradients."""
    kept: dict[int, int] = {}
    weights = {parameter.data_ptr() for parameter in denoiser.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(0)
    z, t = torch.randn(2, 4, 16, 16), torch.tensor([10.0, 900.0])
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = denoiser(z, t).square().mean()
    held = sum(kept.values())
    loss.backward()
    return held, {name: p.grad.clone() for name, p in denoiser.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "config", [UNetConfig(width=32, multipliers=(1, 2), blocks=1, dropout=0.1), DiTConfig(width=32, depth=3)]
)
def test_gradients_are_equal_and_less_is_kept(config: UNetConfig | DiTConfig) -> None:
    torch.manual_seed(0)
    denoiser = config.build([(4, 16, 16)], "grid")
    nn.init.normal_(denoiser.out.weight if isinstance(denoiser.out, nn.Conv2d) else next(denoiser.out.parameters()))
    other = deepcopy(denoiser)
    assert recompute_blocks(other) == blocks(other)
    (usual, gradients), (little, recomputed) = kept_by(denoiser), kept_by(other)
    assert little < 0.6 * usual
    assert gradients.keys() == recomputed.keys()
    assert len(gradients) > 10
    for name, gradient in gradients.items():
        assert torch.equal(gradient, recomputed[name]), name


def test_a_block_is_recomputed_once_though_an_outer_list_holds_its_network() -> None:
    network = UNetConfig(width=32, multipliers=(1, 2), blocks=1).build([(4, 8, 8)], "grid")
    both = nn.ModuleDict({"network": network, "watched": nn.ModuleList([network])})
    assert set(blocks(both)) == set(blocks(network))
    assert network not in blocks(both)


def test_a_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    class Deep(tiny.Regression):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.2), nn.SiLU(), nn.Linear(8, 8))])

        def forward(self, batch, *, step, rng):  # type: ignore[no-untyped-def]
            return {"loss": (self.net[0](batch["x"]) - batch["x"].flip(-1)).square().mean()}

    for name in (False, True):
        config = tiny.config(steps=3, gradient_checkpointing=name)
        Trainer(Deep(), tiny.Points(), tiny.collate, config, tmp_path / str(name)).fit()
    tiny.assert_same_bits(tmp_path / "False", tmp_path / "True")
