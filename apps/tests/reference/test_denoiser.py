"""Latent diffusion against the reference implementation's golden tensors, and loading its weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddmi.reference import latent_diffusion, latent_diffusion_sources, load_latent_diffusion
from ddmi_diffusion import LatentDiffusion, NoiseConfig, make_scheduler

from ..golden import GRADIENT, Golden, assert_close, read_golden

UNET: dict[str, Any] = {
    "image_size": 4, "in_channels": 2, "out_channels": 2, "model_channels": 8, "num_res_blocks": 1,
    "attention_resolutions": [2], "channel_mult": [1, 2], "num_head_channels": 4, "use_fp16": False,
}  # fmt: skip
DDPM: dict[str, Any] = {"timesteps": 1000, "image_size": 4, "channels": 2, "mixed_prediction": True, "mixed_init": -6}


@pytest.fixture(scope="module", params=["ddpm_unet", "ddpm_unet_triplane"])
def golden(request: pytest.FixtureRequest) -> Golden:
    """One plane, and three planes in a row."""
    return read_golden(request.param)


@pytest.fixture(scope="module")
def model(golden: Golden) -> LatentDiffusion:
    model = latent_diffusion(golden.config["unetconfig"], golden.config["ddpmconfig"])
    load_latent_diffusion(model, golden.weights("diffusion"))
    return model.eval()


@torch.no_grad()
def test_predictions(model: LatentDiffusion, golden: Golden) -> None:
    for case in golden.numbers("in.t"):
        t = golden[f"in.t{case}"].float()
        assert_close(model.noise.add_noise(golden["in.x0"], golden["in.noise"], t), golden[f"q.x_t{case}"])
        assert_close(model.denoiser(golden[f"q.x_t{case}"], t), golden[f"out.net{case}"])
        assert_close(model.predict(golden[f"q.x_t{case}"], t), golden[f"out.eps{case}"])


@torch.no_grad()
def test_losses(model: LatentDiffusion, golden: Golden) -> None:
    z, noise, velocity = golden["in.x0"], golden["in.noise"], replace(model.noise, prediction="v")
    for case in golden.numbers("in.t"):
        t = golden[f"in.t{case}"].float()
        assert_close(model.loss(z, noise, t).mean(), golden[f"loss.eps{case}"])
        # The network predicts eps in every parameterisation; its prediction is converted before the squared error.
        eps, z_t = model.predict(golden[f"q.x_t{case}"], t), golden[f"q.x_t{case}"]
        alpha, sigma = model.noise.coefficients(t, z_t)
        assert_close(((z_t - sigma * eps) / alpha - z).square().mean(), golden[f"loss.x0{case}"])
        error = velocity.target(z, eps, t) - velocity.target(z, noise, t)
        assert_close(error.square().mean(), golden[f"loss.v{case}"])


@torch.no_grad()
def test_ancestral_step(model: LatentDiffusion, golden: Golden) -> None:
    """Mean and log-variance, item by item, through the noise that the step draws."""
    scheduler = make_scheduler("ddpm", model.noise)
    abar, betas = model.noise.alphas_cumprod, model.noise.betas
    for case in golden.numbers("in.t"):
        mean, log_variance = golden[f"out.post_mean{case}"], golden[f"out.post_logvar{case}"]
        t, z_t = golden[f"in.t{case}"], golden[f"q.x_t{case}"]
        eps = model.predict(z_t, t.float())
        for i, time in enumerate(t.tolist()):
            before = abar[time - 1] if time else torch.ones((), dtype=torch.float64)
            variance = (betas[time] * (1 - before) / (1 - abar[time])).clamp_min(1e-20)
            assert_close(variance.log().expand(log_variance[i].shape), log_variance[i])
            draws = torch.Generator().manual_seed(case)
            step = scheduler.step(eps[i], time, z_t[i], generator=draws, return_dict=False)[0]
            drawn = torch.randn(eps[i].shape, generator=torch.Generator().manual_seed(case)) if time else 0.0
            assert_close(step - drawn * torch.exp(0.5 * log_variance[i]), mean[i])


def test_gradients(model: LatentDiffusion, golden: Golden) -> None:
    model = copy.deepcopy(model)
    model.loss(golden["in.x0"], golden["in.noise"], golden["in.t0"].float()).mean().backward()
    sources = latent_diffusion_sources(model)
    norms = {sources[name].name: p.grad.norm() for name, p in model.named_parameters() if p.grad is not None}
    theirs = golden["grad.eps0.diffusion"]
    assert len(norms) == len(theirs)
    assert_close(torch.stack([norms[name] for name in sorted(norms)]), theirs, GRADIENT)


def test_ddim(model: LatentDiffusion, golden: Golden) -> None:
    times: list[int] = []
    states: list[Tensor] = []
    initial, num_steps = golden["in.x_T"], len(golden["out.ddim_times"])

    def watch(timesteps: Any) -> Any:
        for t in timesteps:
            times.append(int(t))
            yield t

    hook = model.denoiser.register_forward_pre_hook(lambda _module, inputs: states.append(inputs[0].clone()))
    try:
        end = model.sample(len(initial), noise=initial, num_steps=num_steps, sampler="ddim", progress=watch)
    finally:
        hook.remove()
    assert times == golden["out.ddim_times"].tolist()
    for ours, theirs in zip(states, golden["out.ddim_states"], strict=True):
        assert_close(ours, theirs)
    assert_close(end, golden["out.ddim"], GRADIENT)


def theirs(model: LatentDiffusion) -> dict[str, Tensor]:
    """A state dict under the reference implementation's names, of random numbers."""
    ours = model.state_dict()
    return {source.name: torch.randn_like(ours[name]) for name, source in latent_diffusion_sources(model).items()}


def test_names_of_the_reference_implementation() -> None:
    names = {source.name for source in latent_diffusion_sources(latent_diffusion(UNET, DDPM)).values()}
    assert {
        "diffusion.mixing_logit",
        "diffusion.model.time_embed.2.weight",
        "diffusion.model.input_blocks.0.0.weight",
        "diffusion.model.input_blocks.2.0.op.weight",
        "diffusion.model.input_blocks.3.1.qkv.weight",
        "diffusion.model.middle_block.0.in_layers.2.weight",
        "diffusion.model.middle_block.1.norm.weight",
        "diffusion.model.middle_block.2.out_layers.3.weight",
        "diffusion.model.output_blocks.0.0.skip_connection.weight",
        "diffusion.model.output_blocks.1.2.conv.weight",
        "diffusion.model.output_blocks.3.0.emb_layers.1.bias",
        "diffusion.model.out.2.bias",
    } <= names


def test_an_upsampling_follows_its_block_directly_where_there_is_no_attention() -> None:
    sources = latent_diffusion_sources(latent_diffusion(UNET | {"attention_resolutions": []}, DDPM))
    assert sources["denoiser.upsamples.0.weight"].name == "diffusion.model.output_blocks.1.1.conv.weight"


def test_heads_of_a_qkv_projection_are_regrouped() -> None:
    """Theirs: q, k, v of the first head, then of the second.  Ours: q of both heads, then k, then v."""
    model = latent_diffusion(UNET, DDPM)
    name = "diffusion.model.middle_block.1.qkv.bias"
    state = theirs(model)
    state[name] = torch.arange(48.0)
    load_latent_diffusion(model, state)
    assert state[name].numel() == 3 * 16  # four heads of four channels
    q, k, v = model.denoiser.middle1.attention.qkv.bias.detach().reshape(3, 4, 4)
    for head in range(4):
        assert torch.equal(torch.cat((q[head], k[head], v[head])), torch.arange(12.0) + 12 * head)


def test_loading_names_every_tensor_that_does_not_fit() -> None:
    model = latent_diffusion(UNET, DDPM)
    state = theirs(model)
    del state["diffusion.mixing_logit"]
    state["diffusion.model.out.2.bias"] = torch.zeros(5)
    state["diffusion.model.label_emb.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match="loading the latent diffusion") as error:
        load_latent_diffusion(model, state)
    assert "missing: diffusion.mixing_logit" in str(error.value)
    assert "unexpected: diffusion.model.label_emb.weight" in str(error.value)
    assert "of another shape: diffusion.model.out.2.bias is (5,)" in str(error.value)


def test_weights_of_another_noise_schedule_are_refused() -> None:
    model = latent_diffusion(UNET, DDPM)
    state = theirs(model)
    load_latent_diffusion(model, state | {"diffusion.betas": model.noise.betas.float()})
    for betas in (torch.linspace(1e-4, 0.02, 1000), model.noise.betas[:500]):
        with pytest.raises(ValueError, match=f"trained with {len(betas)} noise levels, beta .* has 1000 from 0.0015"):
            load_latent_diffusion(model, state | {"diffusion.betas": betas})


def test_without_mixed_prediction_there_is_no_mixing_logit() -> None:
    model = latent_diffusion(UNET, DDPM | {"mixed_prediction": False})
    assert model.mixing is None
    assert "diffusion.mixing_logit" not in theirs(model)


def test_planes_share_the_channels() -> None:
    model = latent_diffusion(UNET | {"in_channels": 6, "out_channels": 6}, DDPM | {"channels": 6}, planes=3)
    assert model.denoiser.plane_shapes == ((2, 4, 4),) * 3
    assert model.shape == (6, 4, 4)
    with pytest.raises(ValueError, match="2 channels are not those of 3 equal planes"):
        latent_diffusion(UNET, DDPM, planes=3)


@pytest.mark.parametrize(
    ("unet", "ddpm", "message"),
    [
        ({"in_channels": 3}, {}, "in_channels=3 has no counterpart here, only 2"),
        ({"resblock_updown": True}, {}, "resblock_updown=True has no counterpart"),
        ({"num_head_channels": -1}, {}, "num_head_channels=-1 gives every level the same number of heads"),
        ({}, {"beta_schedule": "cosine"}, "beta_schedule='cosine' has no counterpart"),
        ({}, {"domain": "video"}, "unetconfig: size1, size2, size3 missing"),
    ],
)
def test_an_option_without_counterpart_is_refused(unet: dict[str, Any], ddpm: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        latent_diffusion(UNET | unet, DDPM | ddpm)


def test_a_model_of_another_make_is_refused() -> None:
    model = LatentDiffusion(nn.Identity(), NoiseConfig(), (2, 4, 4))
    with pytest.raises(ValueError, match=r"build it with ddmi\.reference\.latent_diffusion"):
        load_latent_diffusion(model, {})
