"""The ablation: each variant is what it says, is as large as the recipe, and can be trained, measured and tabulated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddmi.ablation.table import ablation_table
from ddmi.ablation.variants import VARIANTS, decoding_parameters, make_variant
from ddmi.cli import main
from ddmi.experiment.alternatives.generated_weights import GeneratedReadOut, WeightVAEConfig
from ddmi.experiment.alternatives.pixels import PixelVAEConfig
from ddmi.experiment.config import Experiment
from ddmi.pipeline import DDMI
from ddmi.registry import make_experiment
from ddmi.serialization import from_json, to_json
from ddmi_fields import ConcatReadOut, PlaneLayout, grid_coordinates
from ddmi_vae import D2CVAE

LAYOUT = PlaneLayout.image()
QUICK = ("--evaluation.count", "4", "--evaluation.pairs", "2", "--evaluation.ratios", "1", "2")


def built(name: str, preset: str = "test") -> D2CVAE:
    torch.manual_seed(0)
    return make_variant(name, make_experiment("openmoji", preset, None)).vae.build(LAYOUT)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_as_large_as_the_recipe(name: str) -> None:
    """Of the sizes that people compare; a width that only comes in steps is allowed to miss by a tenth."""
    recipe = make_experiment("openmoji", "demo", None)
    variant = make_variant(name, recipe)
    wanted, got = (decoding_parameters(one.vae, LAYOUT) for one in (recipe, variant))
    assert abs(got / wanted - 1) < (0.11 if name == "pixels" else 0.01)
    assert variant.vae.encoder == recipe.vae.encoder
    assert (variant.vae_training, variant.diffusion) == (recipe.vae_training, recipe.diffusion)
    assert from_json(json.loads(json.dumps(to_json(variant))), Experiment) == variant


def test_variants_take_away_one_part_each() -> None:
    whole, one_scale, at_the_input = (built(name) for name in ("pe-hdbf-cfc", "pe", "pe-hdbf"))
    latent = (torch.randn(2, 4, 4, 4),)
    assert [len(vae.decode(latent).fields) for vae in (whole, one_scale, at_the_input)] == [3, 1, 3]
    assert isinstance(at_the_input.read_out, ConcatReadOut)
    assert at_the_input.read_out.native == whole.read_out.native == one_scale.read_out.native == 16


@pytest.mark.parametrize("name", VARIANTS)
def test_grids_are_points_and_one_of_a_batch_is_alone(name: str) -> None:
    vae = built(name).eval()
    latent = (torch.randn(3, 4, 4, 4),)
    with torch.no_grad():
        function = vae.function(latent)
        grid = function.grid((24, 24))
        condition = None if function.native is None else torch.full((3,), function.native / 24)
        points = function(grid_coordinates((24, 24)), condition)
        alone = vae.function((latent[0][1:2],)).grid((24, 24))
    assert grid.shape == (3, 3, 24, 24)
    torch.testing.assert_close(grid.flatten(2).transpose(1, 2), points, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(function[1].grid((24, 24)), alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone, grid[1:2], atol=1e-4, rtol=1e-4)


def test_pixels_are_enlarged_as_torch_enlarges_them() -> None:
    vae = built("pixels").eval()
    with torch.no_grad():
        function = vae.function((torch.randn(1, 4, 4, 4),))
    ((pixels,),) = function.basis.fields
    rows = pixels.shape[-1]
    torch.testing.assert_close(function.grid((rows, rows)), pixels, atol=1e-5, rtol=1e-5)
    large = F.interpolate(pixels, (3 * rows, 3 * rows), mode="bicubic", align_corners=False)
    torch.testing.assert_close(function.grid((3 * rows, 3 * rows)), large, atol=1e-5, rtol=1e-5)


def test_generated_weights_are_those_of_an_mlp() -> None:
    """Against one nn.Sequential a function, filled with what the decoder emits."""
    vae = WeightVAEConfig(decoder_width=16, depth=1, mlp_width=8, mlp_layers=2, features=6, native=16).build(LAYOUT)
    read_out = vae.read_out
    assert isinstance(read_out, GeneratedReadOut)
    latent = torch.randn(2, 64, 4, 4)
    coords = torch.rand(2, 5, 2) * 2 - 1
    with torch.no_grad():
        function = vae.function((latent,))
        values = function(coords, torch.tensor([1.0, 0.5]))
        for i, scale in enumerate((1.0, 0.5)):
            mlp = nn.Sequential(nn.Linear(13, 8), nn.GELU(), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 3))
            fill(mlp, function.basis.fields[0][0][i, :, 0, 0])
            log_scale = torch.full((5, 1), scale).log2()
            features = torch.cat((read_out.encoding(coords[i]), log_scale), dim=-1)
            torch.testing.assert_close(values[i], mlp(features), atol=1e-5, rtol=1e-5)
    assert not list(read_out.parameters())
    with pytest.raises(ValueError, match="one plane"):
        WeightVAEConfig().build(PlaneLayout.triplane())


def fill(mlp: nn.Sequential, flat: Tensor) -> None:
    for layer in mlp:
        if isinstance(layer, nn.Linear):
            outputs, inputs = layer.weight.shape
            rows, flat = flat[: outputs * (inputs + 1)].view(outputs, -1), flat[outputs * (inputs + 1) :]
            layer.weight.copy_(rows[:, :-1])
            layer.bias.copy_(rows[:, -1])
    assert len(flat) == 0


def test_generated_weights_overfit_two_drawings() -> None:
    modality = make_experiment("openmoji", "test", None).modality
    (inputs,) = modality.inputs([modality.dataset("train")[i] for i in (3, 14)])
    torch.manual_seed(0)
    vae = WeightVAEConfig(
        encoder=make_experiment("openmoji", "test", None).vae.encoder, latent_channels=4, decoder_width=32, depth=1,
        mlp_width=32, mlp_layers=2, features=32, bandwidth=4.0,
    ).build(LAYOUT)  # fmt: skip
    target, coords = inputs.flatten(2).transpose(1, 2), grid_coordinates((16, 16))
    optimizer = torch.optim.Adam(vae.parameters(), lr=5e-3)
    for _ in range(150):
        loss = (vae.function(vae.encode((inputs,)).mean)(coords) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    psnr = 10 * torch.log10(4 / loss.detach())
    assert psnr > 25, f"{psnr:.1f} dB"


def test_ablate_openmoji(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ablation"
    line = ["ablate", "openmoji", "--preset", "test", "--out", str(out), *QUICK]
    assert main([*line, "--variants", "pixels", "--seeds", "0", "1"]) == 0
    table = capsys.readouterr().out
    assert "| pixels |" in table
    assert "psnr/32" in table
    assert " ± " in table
    assert (out / "ablation.md").read_text() == table
    figures = json.loads((out / "ablation.json").read_text())
    assert set(figures["pixels"]["metrics"]) == {"0", "1"}
    for picture in ("reconstructions.png", "samples.png"):
        assert (out / picture).stat().st_size > 1000
    pixels = DDMI.from_pretrained(out / "pixels" / "1")
    assert isinstance(pixels.experiment.vae, PixelVAEConfig)
    assert pixels.experiment.vae_training.seed == 1

    weights, evaluation = (out / "pixels" / "0" / name for name in ("vae.safetensors", "evaluations/offline.json"))
    before = weights.read_bytes(), evaluation.stat().st_mtime_ns
    assert main([*line, "--variants", "pixels", "weights", "--seeds", "0"]) == 0  # what is missing only
    assert "| pixels | weights |" in capsys.readouterr().out
    assert (weights.read_bytes(), evaluation.stat().st_mtime_ns) == before


def test_bad_requests_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def says(*args: str) -> str:
        assert main(["ablate", *args, "--out", str(tmp_path / "out")]) == 2
        return capsys.readouterr().err

    assert "no variant 'cfc'; choose among pe," in says("openmoji", "--preset", "test", "--variants", "cfc")
    assert "--seeds needs at least one, each once" in says("openmoji", "--preset", "test", "--seeds", "1", "1")
    assert "read-out of its own" in says("turntable", "--preset", "test")
    assert "pixels are of images" in says("furniture", "--preset", "test", "--variants", "pixels")
    assert not (tmp_path / "out").exists()


def test_table_by_hand() -> None:
    figures = {
        "a": {"summary": "first", "parameters": 1200, "metrics": {"0": {"psnr/64": 1, "x": 0}, "1": {"psnr/64": 3}}},
        "b": {"summary": "second", "parameters": 7, "metrics": {"0": {"psnr/64": 5}, "1": {"psnr/64": 5}}},
    }
    text = ablation_table(figures)
    assert "| parameters after the latent | 1,200 | 7 |" in text
    assert "| psnr/64 | 2 ± 1.4 | 5 ± 0 |" in text
    assert "| x |" not in text  # not all runs have it
    assert "of 2 seeds" in text
    # gains of 4 and 2: 3 with a standard error of 1, and t(0.975, 1) is 12.706
    assert "| psnr/64 | +3 [-9.71, +15.7] |" in text
    alone = {name: {**variant, "metrics": {"0": variant["metrics"]["0"]}} for name, variant in figures.items()}
    assert "interval" not in ablation_table(alone)
