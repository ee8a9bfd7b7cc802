"""Video against the reference implementation's golden tensors, and loading its weights."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ddmi.reference import load_video_vae, video_sources, video_vae
from ddmi_fields import ImplicitFunction
from ddmi_vae import D2CVAE, Posterior, VAEObjective, laplace_nll

from ..golden import FORWARD, GRADIENT, Golden, assert_close, read_golden
from ..no_noise import NoNoise

TINY: dict[str, Any] = {
    "ddconfig": {
        "double_z": True, "z_channels": 2, "resolution": 16, "in_channels": 3, "out_ch": 4, "ch": 16,
        "ch_mult": [1, 1, 1, 1], "num_res_blocks": 1, "attn_resolutions": [], "hdbf_resolutions": [8],
        "inter_attn_resolutions": [4, 16], "dropout": 0.0, "attn_type": "vanilla-multihead", "splits": 1,
        "patch_size": 8, "timesformer_channels": 16,
    },
    "mlpconfig": {"in_ch": 2, "out_ch": 3, "ch": 16, "latent_dim": 4},
    "embed_dim": 3,
    "frames": 5,
}  # fmt: skip

PLANES = ("xy", "yt", "xt")
"""The reference implementation's names of our planes xy, ty and tx."""


@pytest.fixture(scope="module")
def golden() -> Golden:
    return read_golden("video")


@pytest.fixture(scope="module")
def vae(golden: Golden) -> D2CVAE:
    vae = video_vae(golden.config)
    load_video_vae(vae, golden.weights("vaemodel", "mlp"))
    return vae


@pytest.fixture(scope="module")
def posterior(vae: D2CVAE, golden: Golden) -> Posterior:
    with torch.no_grad():
        return vae.encode((golden["in.video"],))


@pytest.fixture(scope="module")
def function(vae: D2CVAE, golden: Golden) -> ImplicitFunction:
    """Of the golden latents: rounding in the encoder, which the decoder would enlarge, is tested with the posterior."""
    with torch.no_grad():
        return vae.function(latent(golden))


def latent(golden: Golden) -> tuple[Tensor, ...]:
    """The row of latents, which is in the order (xy, xt, yt), as planes in our order."""
    cells = [golden[f"enc.{name}.mean"].shape[-2:] for name in PLANES]
    xy, xt, yt = golden["z"].split([cells[i].numel() for i in (0, 2, 1)], dim=2)
    return tuple(plane.unflatten(2, size) for plane, size in zip((xy, yt, xt), cells, strict=True))


def test_posterior(posterior: Posterior, golden: Golden) -> None:
    for name, mean, std in zip(PLANES, posterior.mean, posterior.std, strict=True):
        assert_close(mean, golden[f"enc.{name}.mean"])
        assert_close(std, golden[f"enc.{name}.std"])


def test_latents(posterior: Posterior, golden: Golden) -> None:
    for mean, plane in zip(posterior.mean, latent(golden), strict=True):
        assert_close(mean, plane)


def test_basis_fields(function: ImplicitFunction, golden: Golden) -> None:
    for scale, planes in zip(golden.numbers("hdbf.xy."), function.basis.fields, strict=True):
        for name, plane in zip(PLANES, planes, strict=True):
            assert_close(plane, golden[f"hdbf.{name}.{scale}"])


@torch.no_grad()
def test_read_out(function: ImplicitFunction, golden: Golden) -> None:
    wanted = golden["out.video"]
    assert_close(function.grid(wanted.shape[2:]), wanted)
    # its grid is that of cell centres
    (x, y), times = golden["in.coords.xy"][0], golden["in.coords.yt"][0, 0, :, 0]
    points = torch.stack(torch.broadcast_tensors(x, y, times[:, None, None]), dim=-1)
    values = function(points.reshape(1, -1, 3))
    assert_close(values.transpose(1, 2).reshape(wanted.shape), wanted)


def test_another_scale_of_attention_would_show(golden: Golden) -> None:
    one, other = golden["out.video"], golden["alt.video"]
    assert (one - other).abs().max() > 100 * FORWARD * one.abs().max()


def test_losses_and_gradients(vae: D2CVAE, golden: Golden) -> None:
    """Theirs sum over values: ours times the number of points, with the weight of the KL term divided by it."""
    clips = golden["in.video"]
    points = clips[0, 0].numel()
    objective = VAEObjective(
        vae,
        predict=lambda function, query: function.grid(query).flatten(2).transpose(1, 2),
        nll=laplace_nll,
        kl_weight=lambda step: 0.01 / points,
    )
    batch = SimpleNamespace(inputs=(clips,), query=clips.shape[2:], target=clips.flatten(2).transpose(1, 2))
    vae.zero_grad()
    result = objective(batch, step=0, rng=NoNoise())
    assert_close(result["nll"] * points, golden["loss.recon_l1"])
    assert_close(result["kl"], golden["loss.kl"])
    (result["loss"] * points).backward()
    sources, weights = video_sources(vae), dict(vae.named_parameters())
    norms = {sources[name].name: weight.grad.norm() for name, weight in weights.items() if weight.grad is not None}
    for part in ("vaemodel", "mlp"):
        names = sorted(name for name in golden.weights(part) if not name.endswith(("inv_freqs", "scales")))
        wanted = golden[f"grad.recon_plus_0.01kl.{part}"]
        assert_close(torch.stack([norms[name] for name in names]), wanted, GRADIENT)


def theirs(vae: D2CVAE) -> dict[str, Tensor]:
    """A state dict under the reference implementation's names, of random numbers."""
    ours = vae.state_dict()
    return {source.name: torch.randn_like(ours[name]) for name, source in video_sources(vae).items()}


def test_names_of_the_reference_implementation() -> None:
    names = {source.name for source in video_sources(video_vae(TINY)).values()}
    assert {
        "vaemodel.encoder.to_patch_embedding.weight",
        "vaemodel.encoder.layers.7.1.fn.to_out.0.bias",
        "vaemodel.encoder.layers.0.2.fn.net.3.weight",
        "vaemodel.xt_quant_attn.layers.3.1.norm.weight",
        "vaemodel.yt_pos_embedding",
        "vaemodel.pre_xt.bias",
        "vaemodel.post_yt.weight",
        "vaemodel.decoder.mid_attn.proj_out.weight",
        "vaemodel.decoder.up.0.inter_attn.0.q.weight",
        "mlp.net_res1.shortcut.weight",
        "mlp.net_out.bias",
    } <= names
    assert not any("up.1.inter_attn" in name for name in names)


def test_loading_names_every_tensor_that_does_not_fit() -> None:
    vae = video_vae(TINY)
    state = theirs(vae)
    del state["vaemodel.xy_token"]
    state["vaemodel.encoder.frame_rot_emb.inv_freqs"] = torch.zeros(32)
    state["mlp.net_res5.fc_0.bias"] = torch.zeros(1)
    with pytest.raises(ValueError, match="loading the video autoencoder") as error:
        load_video_vae(vae, state)
    assert "missing: vaemodel.xy_token; unexpected: mlp.net_res5.fc_0.bias" in str(error.value)


def test_a_model_of_another_make_is_refused() -> None:
    vae = video_vae(TINY)
    with pytest.raises(ValueError, match=r"build it with ddmi\.reference\.video_vae"):
        load_video_vae(D2CVAE(vae.encoder, vae.decoder.body, vae.read_out), theirs(vae))


@pytest.mark.parametrize(
    ("section", "option", "value", "message"),
    [
        ("ddconfig", "splits", 2, "splits=2 has no counterpart"),
        ("ddconfig", "patch_size", 4, "patch_size=4 has no counterpart here, only 8"),
        ("ddconfig", "attn_type", "vanilla", "attn_type='vanilla' has no counterpart"),
        ("ddconfig", "ch_mult", [1, 1], "has 2 levels; patches of 8 pixels need 4"),
        ("mlpconfig", "latent_dim", 5, "latent_dim=5 has no counterpart here, only 4"),
    ],
)
def test_an_option_without_counterpart_is_refused(section: str, option: str, value: Any, message: str) -> None:
    config = copy.deepcopy(TINY)
    config[section][option] = value
    with pytest.raises(ValueError, match=message):
        video_vae(config)


def test_a_missing_option_is_named() -> None:
    with pytest.raises(ValueError, match="video configuration: mlpconfig, embed_dim, frames missing"):
        video_vae({"ddconfig": {}})
