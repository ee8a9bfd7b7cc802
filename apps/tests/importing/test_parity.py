"""`ddmi import-reference` against the reference implementation's golden tensors, from file to file."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ddmi import DDMI
from ddmi.cli import main
from ddmi.reference import (
    NERF_EXTENT,
    OCCUPANCY_EXTENT,
    Source,
    image_sources,
    image_vae,
    latent_diffusion,
    latent_diffusion_sources,
    load_latent_diffusion,
    video_sources,
    video_vae,
)
from ddmi.reference.denoiser import DERIVED
from ddmi.reference.latent_config import latent_shapes
from ddmi_diffusion import LatentDiffusion
from ddmi_fields import ImplicitFunction
from ddmi_modalities.geometry.cameras import Z_UP
from ddmi_modalities.shape import ShapeRenderOptions

from ..golden import GRADIENT, Golden, assert_close, mesh_nodes, read_golden, view_camera, view_depths
from .reference_files import arguments, stage_one, stage_two, write_config

Import = Callable[..., DDMI]
PARTS = ("pointnet", "vaemodel", "mlp")


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """Writes a checkpoint and its configuration, runs the command, loads the directory that it made."""

    def load(content: dict[str, Any], config: Path, *options: str) -> DDMI:
        torch.save({**content, "args": arguments(monkeypatch)}, tmp_path / "checkpoint.pt")
        monkeypatch.undo()  # their classes are not there any more
        out = tmp_path / "out"
        argv = ["import-reference", str(tmp_path / "checkpoint.pt"), "--config", str(config), "--out", str(out)]
        assert main([*argv, *options]) == 0
        return DDMI.from_pretrained(out)

    return load


def second_stage(golden: Golden) -> dict[str, Any]:
    return {name: golden.config[name] for name in ("unetconfig", "ddpmconfig")}


def other(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of another step; the noise schedule is the same."""
    return {name: one if name.removeprefix("diffusion.") in DERIVED else one + 0.1 for name, one in state.items()}


def random_weights(model: nn.Module, sources: dict[str, Source]) -> dict[str, Tensor]:
    """A state dict under their names."""
    draws, ours = torch.Generator().manual_seed(0), model.state_dict()
    return {source.name: 0.1 * torch.randn(ours[name].shape, generator=draws) for name, source in sources.items()}


def autoencoder_of(latents: Golden, golden: Golden) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights of a golden autoencoder; of a random one where the latents are of another size.

    Args:
        latents: of the diffusion model.
        golden: of the autoencoder, image or video.
    """
    (channels, side, _), *temporal = latent_shapes(**second_stage(latents))
    config = copy.deepcopy(golden.config) | {"embed_dim": channels}
    if temporal:
        config["frames"] = temporal[0][1]
    dd, native = config["ddconfig"], golden.config["ddconfig"]["resolution"]
    dd["resolution"] = side * 2 ** (len(dd["ch_mult"]) - 1)
    dd["hdbf_resolutions"] = [one * dd["resolution"] // native for one in dd["hdbf_resolutions"]]
    if config == golden.config:
        return config, golden.weights(*PARTS)
    build, sources = (video_vae, video_sources) if temporal else (image_vae, image_sources)
    vae = build(config)
    return config, random_weights(vae, sources(vae))


def check_images(model: DDMI, golden: Golden) -> None:
    posterior = model.vae.encode((golden["in.image"],))
    assert_close(posterior.mean[0], golden["enc.mean"])
    assert_close(posterior.std[0], golden["enc.std"])
    function = model.vae.function(posterior.mean)
    for name in ("native", "1p5"):
        wanted = golden[f"out.image_{name}"]
        assert_close(function.grid(wanted.shape[2:]), wanted)
        at = golden[f"in.coords_{name}"].flatten(2).transpose(1, 2)
        values = function(at, golden[f"in.scale_{name}"])
        assert_close(values.transpose(1, 2).unflatten(2, wanted.shape[2:]), wanted)


def test_images_of_the_first_stage(imported: Import, tmp_path: Path) -> None:
    golden = read_golden("image")
    weights = golden.weights(*PARTS)
    model = imported(stage_one(weights, "image"), write_config(tmp_path, golden.config, "image"))
    check_images(model, golden)
    assert not model.can_sample


@pytest.mark.parametrize("raw", [False, True])
def test_images_of_the_second_stage(imported: Import, tmp_path: Path, raw: bool) -> None:
    image, golden = read_golden("image"), read_golden("ddpm_unet")
    weights = golden.weights("diffusion")
    average, last = (other(weights), weights) if raw else (weights, other(weights))
    autoencoder, first = autoencoder_of(golden, image)
    config = write_config(tmp_path, autoencoder, "image", **second_stage(golden))
    model = imported(stage_two(first, "image", average, last), config, *["--raw"][: int(raw)])
    if autoencoder == image.config:
        check_images(model, image)
    check_diffusion(model, golden, lambda latent: latent)
    check_sampling(model)


def check_diffusion(model: DDMI, golden: Golden, ours: Callable[[Tensor], Tensor]) -> None:
    """Predictions and a whole DDIM chain with the sampler of the configuration.

    Args:
        model: the imported model.
        golden: of the diffusion model.
        ours: brings their latents into our order.
    """
    assert model.diffusion is not None
    for case in golden.numbers("in.t"):
        t = golden[f"in.t{case}"].float()
        assert_close(model.diffusion.denoiser(ours(golden[f"q.x_t{case}"]), t), ours(golden[f"out.net{case}"]))
        assert_close(model.diffusion.predict(ours(golden[f"q.x_t{case}"]), t), ours(golden[f"out.eps{case}"]))
        loss = model.diffusion.loss(ours(golden["in.x0"]), ours(golden["in.noise"]), t).mean()
        assert_close(loss, golden[f"loss.eps{case}"])
    settings, initial = model.experiment.diffusion, ours(golden["in.x_T"])
    made = model.diffusion.sample(len(initial), noise=initial, num_steps=settings.num_steps, sampler=settings.sampler)
    assert_close(made, ours(golden["out.ddim"]), GRADIENT)


def check_sampling(model: DDMI) -> None:
    """A sample is the decoded latent of diffusion."""
    assert model.diffusion is not None
    assert model.latent_space is not None
    settings = model.experiment.diffusion
    latents = model.diffusion.sample(2, seed=3, num_steps=settings.num_steps, sampler=settings.sampler)
    wanted = model.vae.function(model.latent_space.unpack(latents))
    axes = len(wanted.basis.layout.axes)
    coords = torch.rand(2, 50, axes, generator=torch.Generator().manual_seed(0)) * 2 - 1
    radiance = model.experiment.recipe == "reference-nerf"
    condition = (torch.nn.functional.normalize(coords, dim=-1),) if radiance else ()
    made = model.sample(2, seed=3)(coords, *condition)
    assert torch.isfinite(made).all()
    torch.testing.assert_close(made, wanted(coords, *condition), rtol=0, atol=0)


# --- occupancy -------------------------------------------------------------------------------------------------------


def diffusion_of(golden: Golden) -> dict[str, Any]:
    """`unetconfig` and `ddpmconfig` of a diffusion model of the three latent planes of a golden autoencoder."""
    channels, size = golden["z.xy_yz_xz"].shape[1:3]
    multipliers = [1, 2] if size % 2 == 0 else [1]  # an odd side cannot be halved
    unet = {
        "size1": size, "size2": size, "size3": size, "image_size": size, "in_channels": channels,
        "out_channels": channels, "model_channels": 32, "num_res_blocks": 1, "attention_resolutions": [2],
        "channel_mult": multipliers, "num_head_channels": 16,
    }  # fmt: skip
    ddpm = {
        "timesteps": 1000, "image_size": size, "channels": channels, "clip_denoised": False, "mixed_prediction": True,
        "mixed_init": -6, "sampling_timesteps": 5, "ddim_sampling_eta": 0.0, "domain": golden.metadata["name"],
    }  # fmt: skip
    return {"unetconfig": unet, "ddpmconfig": ddpm}


def random_diffusion(config: dict[str, Any]) -> tuple[LatentDiffusion, dict[str, Tensor]]:
    """A diffusion model of their three planes on channels, and its weights under their names."""
    model = latent_diffusion(**config, planes=3)
    state = random_weights(model, latent_diffusion_sources(model))
    mixing = torch.randn(len(state["diffusion.mixing_logit"]), generator=torch.Generator().manual_seed(1))
    state["diffusion.mixing_logit"] = mixing[None, :, None, None]
    load_latent_diffusion(model, state)
    return model.eval(), state


def field(golden: Golden, name: str) -> Tensor:
    return OCCUPANCY_EXTENT.to_field(golden[name])


def planes(golden: Golden) -> tuple[Tensor, ...]:
    """Their latents in our order."""
    return tuple(golden[f"enc.{name}.mean"] for name in ("xy", "yz", "xz"))


def check_posterior(model: DDMI, golden: Golden, cloud: Tensor) -> None:
    posterior = model.vae.encode((cloud,))
    for name, mean, std in zip(("xy", "yz", "xz"), posterior.mean, posterior.std, strict=True):
        assert_close(mean, golden[f"enc.{name}.mean"])
        assert_close(std, golden[f"enc.{name}.std"])


def test_occupancy_of_the_first_stage(imported: Import, tmp_path: Path) -> None:
    golden = read_golden("occupancy")
    config = write_config(tmp_path, golden.config, "occupancy")
    model = imported(stage_one(golden.weights(*PARTS), "occupancy"), config)
    check_posterior(model, golden, field(golden, "in.cloud"))
    logits = model.vae.function(planes(golden))(field(golden, "in.query"))
    assert_close(logits[..., 0], golden["out.logits.xy_yz_xz"])
    modality = model.experiment.modality
    assert modality.extent == OCCUPANCY_EXTENT
    assert modality.source == "/data/shapes"


def test_occupancy_of_the_second_stage(imported: Import, tmp_path: Path) -> None:
    golden = read_golden("occupancy")
    second = diffusion_of(golden)
    theirs, state = random_diffusion(second)
    config = write_config(tmp_path, golden.config, "occupancy", **second)
    model = imported(stage_two(golden.weights(*PARTS), "occupancy", state, other(state)), config)
    check_posterior(model, golden, field(golden, "in.cloud"))
    function = model.vae.function(planes(golden))
    assert_close(function(field(golden, "in.query"))[..., 0], golden["out.logits.xy_xz_yz"])

    logits = function[0](OCCUPANCY_EXTENT.to_field(mesh_nodes(golden)).reshape(1, -1, 3))
    assert_close(logits.reshape(golden["mesh.logits"].shape), golden["mesh.logits"])

    # their latents are (xy, xz, yz) side by side
    assert model.diffusion is not None
    assert model.latent_space is not None
    initial = torch.randn(2, *theirs.shape, generator=torch.Generator().manual_seed(1))
    xy, xz, yz = initial.chunk(3, dim=1)
    made = model.diffusion.sample(2, noise=torch.cat((xy, yz, xz), dim=1), num_steps=5, sampler="ddim")
    wanted = theirs.sample(2, noise=initial, num_steps=5, sampler="ddim").chunk(3, dim=1)
    for ours, one in zip(model.latent_space.unpack(made), (wanted[0], wanted[2], wanted[1]), strict=True):
        assert_close(ours, one)
    encoded = model.latent_space.pack(planes(golden)).chunk(3, dim=1)
    assert_close(torch.cat((encoded[0], encoded[2], encoded[1]), dim=1), golden["z.xy_xz_yz"])
    check_sampling(model)


def test_meshes_are_drawn_at_the_threshold_of_the_configuration(imported: Import, tmp_path: Path) -> None:
    golden = read_golden("occupancy")
    quartiles = golden["out.logits.xy_yz_xz"][0].quantile(torch.tensor([0.25, 0.75]))
    level, tolerance = max(quartiles.tolist(), key=abs), 1e-3
    assert abs(level) > 40 * tolerance  # and zero would show
    config = write_config(tmp_path, golden.config, "occupancy", threshold=1 / (1 + math.exp(-level)))
    model = imported(stage_one(golden.weights(*PARTS), "occupancy"), config)
    function = model.vae.function(planes(golden))[0]
    (mesh,) = model.experiment.modality.render(function, ShapeRenderOptions(mesh_resolution=32, refine=3)).meshes
    inside = mesh.vertices[np.abs(mesh.vertices).max(axis=1) < 0.5]  # a surface is closed at the border of the box
    assert len(inside) > 100
    logits = function(OCCUPANCY_EXTENT.to_field(torch.from_numpy(inside).float())[None])
    assert float((logits - level).abs().median()) < tolerance


# --- radiance fields and video ---------------------------------------------------------------------------------------


def y_up(theirs: Tensor) -> Tensor:
    """Vectors of their world, in which z is up, in that of our modality."""
    return theirs @ torch.from_numpy(Z_UP).to(theirs).T


def check_radiance(model: DDMI, golden: Golden) -> None:
    modality = model.experiment.modality
    assert modality.extent == NERF_EXTENT
    cloud = golden["in.cloud"]
    (inputs,) = modality._points([torch.cat((y_up(one[:, :3]), one[:, 3:]), dim=1).numpy() for one in cloud])
    check_posterior(model, golden, inputs)
    function = model.vae.function(golden["z.xy_yz_xz"].chunk(3, dim=1))
    at = modality.extent.to_field(y_up(golden["in.query"]))[None]
    values = function(at, y_up(golden["in.dirs"])[None])[0]
    assert_close(values[:, :3], golden["out.rgb_sigma"][:, :3])
    half = golden.metadata["plane_half_width"]
    assert_close(values[:, 3], half * torch.nn.functional.softplus(golden["out.rgb_sigma"][:, 3]))
    check_view(function, golden)


def check_view(function: ImplicitFunction, golden: Golden) -> None:
    """The golden view from its camera, brought into our world as that of a stored scene is."""
    cameras = view_camera(golden).in_world(Z_UP, 1.0)
    origins, directions = (torch.from_numpy(rays) for rays in cameras.image_rays(0))
    rays = golden["in.rays_d"].reshape(-1, 3)
    length = rays.norm(dim=-1)[:, None, None]
    points = origins[:, None] + directions[:, None] * view_depths(golden)[:, None] * length
    at = NERF_EXTENT.to_field(points.reshape(1, -1, 3))
    values = function(at, directions[:, None].expand_as(points).reshape(1, -1, 3)).reshape(len(rays), -1, 4)
    assert_close(values[..., :3], golden["out.raw"][..., :3])
    half = golden.metadata["plane_half_width"]
    assert_close(values[..., 3], half * torch.nn.functional.softplus(golden["out.raw"][..., 3]))


def test_radiance_fields_of_the_first_stage(imported: Import, tmp_path: Path) -> None:
    golden = read_golden("nerf")
    config = write_config(tmp_path, golden.config, "nerf")
    check_radiance(imported(stage_one(golden.weights(*PARTS), "nerf"), config), golden)


def test_radiance_fields_of_the_second_stage_keep_the_order_of_the_first(imported: Import, tmp_path: Path) -> None:
    golden = read_golden("nerf")
    second = diffusion_of(golden)
    theirs, state = random_diffusion(second)
    config = write_config(tmp_path, golden.config, "nerf", **second)
    model = imported(stage_two(golden.weights(*PARTS), "nerf", state, other(state)), config)
    check_radiance(model, golden)
    assert model.diffusion is not None
    initial = torch.randn(2, *theirs.shape, generator=torch.Generator().manual_seed(1))
    assert_close(*(one.sample(2, noise=initial, num_steps=5, sampler="ddim") for one in (model.diffusion, theirs)))
    check_sampling(model)


def check_video(model: DDMI, golden: Golden) -> None:
    posterior = model.vae.encode((golden["in.video"],))
    for name, mean, std in zip(("xy", "yt", "xt"), posterior.mean, posterior.std, strict=True):
        assert_close(mean, golden[f"enc.{name}.mean"])
        assert_close(std, golden[f"enc.{name}.std"])
    latents = tuple(golden[f"enc.{name}.mean"] for name in ("xy", "yt", "xt"))
    wanted = golden["out.video"]
    assert_close(model.vae.function(latents).grid(wanted.shape[2:]), wanted)


def test_video_of_the_first_stage(imported: Import, tmp_path: Path) -> None:
    golden = read_golden("video")
    config = write_config(tmp_path, golden.config, "video")
    check_video(imported(stage_one(golden.weights(*PARTS), "video"), config), golden)


def test_video_of_the_second_stage(imported: Import, tmp_path: Path) -> None:
    video, golden = read_golden("video"), read_golden("ddpm_unet_triplane")
    weights = golden.weights("diffusion")
    autoencoder, first = autoencoder_of(golden, video)
    config = write_config(tmp_path, autoencoder, "video", **second_stage(golden))
    model = imported(stage_two(first, "video", weights, other(weights)), config)
    cells = [rows * columns for _, rows, columns in latent_shapes(**second_stage(golden))]

    def ours(row: Tensor) -> Tensor:
        """Theirs is xy, xt, yt."""
        xy, xt, yt = row.split(cells, dim=2)
        return torch.cat((xy, yt, xt), dim=2)

    assert model.latent_space is not None
    if autoencoder == video.config:
        check_video(model, video)
        latents = tuple(video[f"enc.{name}.mean"] for name in ("xy", "yt", "xt"))
        assert_close(model.latent_space.pack(latents), ours(video["z"]))
    check_diffusion(model, golden, ours)
    check_sampling(model)
