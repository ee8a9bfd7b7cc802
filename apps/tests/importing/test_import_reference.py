"""`ddmi import-reference` on small random weights: stages in one file or two, and one line where it cannot."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from ddmi import DDMI
from ddmi.cli import main
from ddmi.importing.settings import read_settings
from ddmi.reference import image_sources, image_vae, latent_diffusion, latent_diffusion_sources, nerf_vae
from ddmi.reference.latent_config import diffusion_config
from ddmi_modalities.geometry.cameras import Z_UP

from ..command_line import fails
from ..reference.test_denoiser import DDPM, UNET
from ..reference.test_image import TINY
from ..reference.test_occupancy import TINY as TINY_OCCUPANCY
from .reference_files import stage_one, stage_two, write_config

CONFIG: dict[str, Any] = {**TINY, "embed_dim": 2}
SECOND: dict[str, Any] = {
    "unetconfig": {**UNET, "image_size": 8},
    "ddpmconfig": {**DDPM, "image_size": 8, "sampling_timesteps": 3, "ddim_sampling_eta": 0.0},
}


@pytest.fixture(scope="module")
def autoencoder() -> dict[str, Tensor]:
    torch.manual_seed(0)
    vae = image_vae(CONFIG)
    ours = vae.state_dict()
    return {source.name: torch.randn(ours[name].shape) for name, source in image_sources(vae).items()}


@pytest.fixture(scope="module")
def diffusion() -> dict[str, Tensor]:
    torch.manual_seed(1)
    model = latent_diffusion(SECOND["unetconfig"], SECOND["ddpmconfig"])
    ours = model.state_dict()
    state = {source.name: torch.randn(ours[name].shape) for name, source in latent_diffusion_sources(model).items()}
    return state | {"diffusion.betas": model.noise.betas.float()}


def command(checkpoint: dict[str, Any], config: Path, out: Path, *options: str | Path) -> list[str]:
    """The command line; the checkpoint is written beside its configuration."""
    path = config.parent / "checkpoint.pt"
    torch.save(checkpoint, path)
    return ["import-reference", str(path), "--config", str(config), "--out", str(out), *map(str, options)]


def average(model: DDMI) -> Tensor:
    assert model.diffusion is not None
    return model.diffusion.state_dict()["denoiser.stem.bias"]


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return write_config(tmp_path / "first", CONFIG, "image")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return write_config(tmp_path / "second", CONFIG, "image", **SECOND)


def test_stages_from_one_file_and_from_two(
    first: Path,
    second: Path,
    autoencoder: dict[str, Tensor],
    diffusion: dict[str, Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, two = stage_one(autoencoder, "image"), stage_two({}, "image", diffusion, diffusion)
    both = stage_two(autoencoder, "image", diffusion, diffusion)
    assert main(command(both, second, tmp_path / "one")) == 0
    # the second stage without the first: by --vae, or added to what is there
    assert "holds no autoencoder; name the checkpoint of stage 1" in fails(
        capsys, *command(two, second, tmp_path / "no")
    )
    torch.save(one, tmp_path / "model-last.pt")
    assert main(command(two, second, tmp_path / "vae", "--vae", tmp_path / "model-last.pt")) == 0
    assert main(command(one, first, tmp_path / "added")) == 0
    with pytest.raises(ValueError, match="only its autoencoder is trained"):
        DDMI.from_pretrained(tmp_path / "added").sample(1)
    assert main(command(two, second, tmp_path / "added")) == 0
    images = [
        DDMI.from_pretrained(tmp_path / name).sample(2, seed=1).grid((16, 16)) for name in ("one", "vae", "added")
    ]
    assert torch.isfinite(images[0]).all()
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2])
    # what is there belongs to another configuration
    config = write_config(
        tmp_path / "wider", {**CONFIG, "mlpconfig": {**CONFIG["mlpconfig"], "ch": 8}}, "image", **SECOND
    )
    assert main(command(one, first, tmp_path / "other")) == 0
    message = fails(capsys, *command(two, config, tmp_path / "other"))
    assert f"--out {tmp_path / 'other'}: its autoencoder has another configuration" in message
    # and what is complete is not written over
    for content, config in ((both, second), (one, first)):
        assert "holds a model already" in fails(capsys, *command(content, config, tmp_path / "one"))


def test_an_imported_model_is_used_like_any_other(
    second: Path, autoencoder: dict[str, Tensor], diffusion: dict[str, Tensor], tmp_path: Path
) -> None:
    assert main(command(stage_two(autoencoder, "image", diffusion, diffusion), second, tmp_path / "out")) == 0
    model = DDMI.from_pretrained(tmp_path / "out")
    model.save_pretrained(tmp_path / "copy")
    again = DDMI.from_pretrained(tmp_path / "copy")
    assert again.experiment == model.experiment
    assert torch.equal(model.sample(1, seed=2).grid((8, 8)), again.sample(1, seed=2).grid((8, 8)))
    view = ["--count", "1", "--resolution", "24", "--out", str(tmp_path / "pictures")]
    assert main(["sample", str(tmp_path / "out"), *view]) == 0
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["000.png"]


def test_the_moving_average_is_preferred(
    second: Path,
    autoencoder: dict[str, Tensor],
    diffusion: dict[str, Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    last = {name: tensor if name.endswith("betas") else tensor + 1 for name, tensor in diffusion.items()}
    content = stage_two(autoencoder, "image", diffusion, last)
    for name, options in (("average", []), ("last", ["--raw"])):
        assert main(command(content, second, tmp_path / name, *options)) == 0
    theirs = diffusion["diffusion.model.input_blocks.0.0.bias"]
    assert torch.equal(average(DDMI.from_pretrained(tmp_path / "average")), theirs)
    assert torch.equal(average(DDMI.from_pretrained(tmp_path / "last")), theirs + 1)
    without = {name: part for name, part in content.items() if name != "ema"}
    assert "has no 'ema'; take the weights themselves with --raw" in fails(
        capsys, *command(without, second, tmp_path / "no")
    )
    assert not (tmp_path / "no").exists()


def test_names_of_distributed_training(first: Path, autoencoder: dict[str, Tensor], tmp_path: Path) -> None:
    content = stage_one(autoencoder, "image")
    wrapped = {**content, "mlp": {f"module.{name}": tensor for name, tensor in content["mlp"].items()}}
    assert main(command(wrapped, first, tmp_path / "out")) == 0


def test_all_tensors_that_do_not_fit_are_named(
    first: Path, autoencoder: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = stage_one(autoencoder, "image")
    content["model"] = {name: one for name, one in content["model"].items() if not name.startswith("encoder.down")}
    content["mlp"]["extra"] = torch.zeros(1)
    content["mlp"]["torgb.bias"] = torch.zeros(4)
    message = fails(capsys, *command(content, first, tmp_path / "out"))
    missing = sum(name.startswith("vaemodel.encoder.down") for name in autoencoder)
    assert (
        "checkpoint.pt: loading the image autoencoder: missing: vaemodel.encoder.down.0.block.0.conv1.bias" in message
    )
    assert f"and {missing - 10} more, {missing} in all" in message
    assert "unexpected: mlp.extra" in message
    assert "of another shape: mlp.torgb.bias is (4,)" in message
    assert not (tmp_path / "out").exists()


def test_checkpoints_of_another_kind(
    first: Path, second: Path, autoencoder: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert "holds state, wanted the weights of an autoencoder" in fails(capsys, *command({"state": 1}, first, out))
    content = stage_one(autoencoder, "image")
    assert "'mlp' is a int, wanted a dictionary" in fails(capsys, *command({**content, "mlp": 3}, first, out))
    odd = {**content, "mlp": {"weight": "words"}}
    assert "'weight' of 'mlp' is a str, wanted a dense tensor" in fails(capsys, *command(odd, first, out))
    argv = command(content, first, out, "--vae", tmp_path / "x.pt")
    assert "is of stage 1 itself; --vae belongs to a checkpoint of stage 2" in fails(capsys, *argv)
    assert "unknown option '--nonsense'" in fails(capsys, *command(content, first, out, "--nonsense"))


def test_configurations_that_do_not_belong(
    first: Path,
    second: Path,
    autoencoder: dict[str, Tensor],
    diffusion: dict[str, Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    both, out = stage_two(autoencoder, "image", diffusion, diffusion), tmp_path / "out"
    message = fails(capsys, *command(both, first, out))
    assert (
        "model.yaml: model.params.unetconfig is missing; name the file that the checkpoint was trained with" in message
    )
    whole = yaml.safe_load(second.read_text())

    def changed(*path: str, to: Any) -> list[str]:
        config = copy.deepcopy(whole)
        section = config
        for name in path[:-1]:
            section = section[name]
        section[path[-1]] = to
        second.write_text(yaml.safe_dump(config))
        return command(both, second, out)

    for path, to, text in (
        (("model", "embed_dim"), None, "model.embed_dim is missing"),
        (("model", "params"), 3, "model.params is 3, wanted a section with fields"),
        (("model", "DiT"), True, "model.DiT asks for a transformer"),
        (("data", "domain"), "sound", "data.domain is 'sound', wanted one of image, occupancy, video, nerf"),
        (("model", "params", "ddconfig", "ch"), "many", "a field has a value that makes no sense"),
        (("model", "params", "ddconfig", "attn_type"), "linear", "attn_type='linear' has no counterpart"),
        (("model", "params", "ddpmconfig", "image_size"), 4, "for latent planes ((2, 4, 4),), ddconfig and embed_dim"),
        (("model", "params", "ddpmconfig", "ddim_sampling_eta"), 0.5, "ddim_sampling_eta=0.5 has no counterpart"),
    ):
        message = fails(capsys, *changed(*path, to=to))
        assert "model.yaml: " in message
        assert text in message
    message = fails(capsys, *changed("model", "params", "ddpmconfig", "timesteps", to=500))
    assert "checkpoint.pt: loading the latent diffusion: the weights were trained with 1000 noise levels" in message
    for text, error in (("- a list", "is no configuration"), ("a: [", "cannot be read as YAML")):
        second.write_text(text)
        assert error in fails(capsys, *command(both, second, out))
    second.unlink()
    assert "cannot be read as YAML" in fails(capsys, *command(both, second, out))
    assert not out.exists()


def test_the_file_of_the_point_clouds_is_found_and_named(tmp_path: Path) -> None:
    path = write_config(tmp_path, TINY_OCCUPANCY, "occupancy")
    assert read_settings(path).autoencoder()["pointnet"] == {**TINY_OCCUPANCY["pointnet"], "padding": 0.1}
    (tmp_path / "convocc" / "configs" / "points.yaml").unlink()
    with pytest.raises(ValueError, match=r"model\.yaml: data\.conv_config names convocc/configs/points\.yaml"):
        read_settings(path)


def test_numbers_with_exponents_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text("{model: {lr: 1e-4, name: e4}, data: {domain: image, w: [5E3, -1.e2]}}")
    settings = read_settings(path)
    assert settings.model == {"lr": 1e-4, "name": "e4"}
    assert settings.data["w"] == [5000.0, -100.0]


def test_guidance_and_sampler() -> None:
    assert diffusion_config(UNET, DDPM | {"w": 2.0}).guidance_scale == 3.0
    for options, wanted in (
        ({}, ("ddpm", 1000)),
        ({"sampling_timesteps": 50}, ("ddpm", 50)),
        ({"sampling_timesteps": 50, "ddim_sampling_eta": 0}, ("ddim", 50)),
    ):
        config = diffusion_config(UNET, DDPM | options)
        assert (config.sampler, config.num_steps) == wanted


def test_radiance_fields_live_in_our_world() -> None:
    """The same weights, with z up and colours in [0, 1] as there, and with y up and colours in [-1, 1]."""
    config = {
        **TINY_OCCUPANCY, "pointnet": {**TINY_OCCUPANCY["pointnet"], "dim": 6}, "multires": 2, "multires_views": 1,
        "ddconfig": {**TINY_OCCUPANCY["ddconfig"], "hdbf_resolutions": []},
        "mlpconfig": {"D": 2, "W": 8, "in_channels_xyz": 12 + 3 + 12, "skips": [1]},
    }  # fmt: skip
    torch.manual_seed(0)
    theirs, ours = nerf_vae(config), nerf_vae(config, turned=True)
    ours.load_state_dict(theirs.state_dict())
    turn = torch.from_numpy(Z_UP).float().T
    cloud, coords = torch.rand(1, 40, 6), torch.rand(1, 30, 3) * 2.2 - 1.1
    cloud[..., :3] = cloud[..., :3] - 0.5
    directions = torch.nn.functional.normalize(torch.randn(1, 30, 3), dim=-1)
    turned = torch.cat((cloud[..., :3] @ turn, cloud[..., 3:] * 2 - 1), dim=-1)
    for one, other in zip(theirs.encode((cloud,)).mean, ours.encode((turned,)).mean, strict=True):
        torch.testing.assert_close(one, other)
    latent = tuple(torch.randn(1, 3, 8, 8) for _ in range(3))
    wanted = theirs.function(latent)(coords, directions)
    torch.testing.assert_close(ours.function(latent)(coords @ turn, directions @ turn), wanted)
    assert not torch.allclose(ours.function(latent)(coords, directions), wanted)


def test_a_configuration_far_larger_than_its_weights_gets_no_memory(
    first: Path, autoencoder: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load(first.read_text())
    content["model"]["params"]["ddconfig"]["ch"] = 2**16
    first.write_text(yaml.safe_dump(content))
    line = command(stage_one(autoencoder, "image"), first, tmp_path / "out")
    assert "asks for a network of" in fails(capsys, *line)
