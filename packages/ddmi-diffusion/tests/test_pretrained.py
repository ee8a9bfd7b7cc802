"""Networks in folders: what is written is read again, and what is not sound is refused by its name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ddmi_diffusion import (
    CheckpointError,
    DiTConfig,
    LatentDiffusion,
    NoiseConfig,
    PlaneDenoiser,
    PlaneDiT,
    PlaneUNet,
    UNetConfig,
    pretrained,
)

UNET = UNetConfig(width=8, multipliers=(1, 2), blocks=1, attention_factors=(2,), groups=4, head_channels=8)
SHAPES = [(2, 4, 4), (2, 4, 6)]


def denoisers() -> list[PlaneDenoiser]:
    dit = DiTConfig(width=16, depth=1, head_channels=8)
    return [
        PlaneUNet([(2, 4, 4)], config=UNET),
        PlaneUNet(SHAPES, "row", replace(UNET, positions=True, mean_flow=True), condition=3),
        PlaneDiT(SHAPES, "row", dit, condition=3),
    ]


def awake(network: nn.Module) -> Any:
    """Last layers begin as zeros: with these, weights would make no difference."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network.eval()


@pytest.mark.parametrize("index", range(3))
def test_a_denoiser_comes_back(index: int, tmp_path: Path) -> None:
    network = awake(denoisers()[index])
    network.save_pretrained(tmp_path / "new" / "folder")
    again = type(network).from_pretrained(tmp_path / "new" / "folder")
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {"config.json", "model.safetensors"}
    assert again.config == network.config
    assert not again.training
    z = torch.randn(2, 2, 40) if network.packing == "row" else torch.randn(2, 2, 4, 4)
    assert torch.equal(again(z, torch.tensor([3.0, 500.0])), network(z, torch.tensor([3.0, 500.0])))


@pytest.mark.parametrize(
    ("noise", "options"),
    [
        (NoiseConfig(prediction="eps", beta_end=0.02), {"mixed": -6.0}),
        (NoiseConfig(prediction="v"), {"min_snr_gamma": 5.0}),
        (NoiseConfig(prediction="flow", times="logit-normal", shift=None), {}),
    ],
)
def test_a_diffusion_comes_back(noise: NoiseConfig, options: dict[str, Any], tmp_path: Path) -> None:
    diffusion = LatentDiffusion(awake(denoisers()[0]), noise, (2, 4, 4), **options)
    diffusion.save_pretrained(tmp_path)
    again = LatentDiffusion.from_pretrained(tmp_path)
    assert again.noise == diffusion.noise
    assert (again.mixed, again.min_snr_gamma) == (diffusion.mixed, diffusion.min_snr_gamma)
    sampler = "euler" if noise.prediction == "flow" else "ddim"
    one, other = (each.sample(2, num_steps=3, sampler=sampler) for each in (diffusion, again))
    assert torch.equal(one, other)
    again.save_pretrained(tmp_path)  # over itself
    assert LatentDiffusion.from_pretrained(tmp_path).noise == noise.for_latents_of(32)


class Foreign(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor, t: Tensor, cond: None = None) -> Tensor:
        return self.scale * z


def test_a_foreign_denoiser_is_given(tmp_path: Path) -> None:
    diffusion = LatentDiffusion(awake(Foreign()), NoiseConfig(), (2, 4, 4))
    diffusion.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"config.json: its denoiser, a Foreign, cannot be built .* denoiser=\.\.\."):
        LatentDiffusion.from_pretrained(tmp_path)
    again = LatentDiffusion.from_pretrained(tmp_path, denoiser=Foreign())
    assert torch.equal(again.sample(1, num_steps=2), diffusion.sample(1, num_steps=2))


def test_a_network_that_its_settings_do_not_build_is_not_written(tmp_path: Path) -> None:
    class Wider(PlaneUNet):
        pass

    with pytest.raises(ValueError, match="Wider: its settings build a PlaneUNet, so what is saved could not be loaded"):
        Wider([(2, 4, 4)], config=UNET).save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_of_something_else_stays(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"type": "experiment"}')
    with pytest.raises(ValueError, match="config.json is of type 'experiment' and would be lost; save the PlaneUN"):
        denoisers()[0].save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="config.json is of type 'experiment', not of a PlaneUNet; load it with the"):
        PlaneUNet.from_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def changed(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def drop_bytes(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])


def not_a_number(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["out.bias"][0] = torch.nan
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json is not there; give a folder that save_pretr"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is not there; write it with Pla"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json cannot be read as JSON .*; restore it"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "config.json describes no network; restore it"),
        (drop_bytes, "model.safetensors: damaged or no safetensors file"),
        (not_a_number, "model.safetensors: 'out.bias' has numbers that are NaN or infinite"),
        (lambda folder: changed(folder, plane_shapes=[[3, 4, 4]]), r"model.safetensors: weights of another .* 'stem"),
        (lambda folder: changed(folder, plane_shapes=7), "config.json: a field has a value that makes no sense"),
        (lambda folder: changed(folder, config=[]), "config.json: a field has a value that makes no sense"),
        (lambda folder: changed(folder, config={"type": "os.system"}), "config.json: 'os.system' is no DenoiserConfig"),
        (lambda folder: changed(folder, config={"type": "DiTConfig", "width": 16}), "build a PlaneDiT, not a Plane"),
        (lambda folder: changed(folder, config={"type": "UNetConfig", "wide": 8}), "config.json: .*unexp.* 'wide'"),
        (lambda folder: changed(folder, config={"type": "UNetConfig", "width": "8"}), "config.json: a field has"),
    ],
)  # fmt: skip
def test_what_is_not_sound_is_named(damage: Any, message: str, tmp_path: Path) -> None:
    denoisers()[0].save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        PlaneUNet.from_pretrained(tmp_path)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (awake(PlaneUNet([(2, 4, 4)], config=UNET)) for _ in range(2))
    old.save_pretrained(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pretrained, "write_tensors", full)
    with pytest.raises(CheckpointError, match="No space left on device; free space"):
        new.save_pretrained(tmp_path)
    kept = PlaneUNet.from_pretrained(tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(kept.parameters(), old.parameters(), strict=True))
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
