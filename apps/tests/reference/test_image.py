"""Images against the reference implementation's golden tensors, and loading its weights."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddmi.reference import ImageReadOut, image_sources, image_vae, load_image_vae
from ddmi_fields import ImplicitFunction
from ddmi_vae import D2CVAE, Posterior, SpectralRegulariser, VAEObjective, convolution_matrices, laplace_nll

from ..golden import FORWARD, GRADIENT, POWER_ITERATION, Golden, assert_close, read_golden
from ..no_noise import NoNoise

TINY: dict[str, Any] = {
    "ddconfig": {
        "double_z": True, "z_channels": 2, "resolution": 16, "in_channels": 3, "out_ch": 4, "ch": 8, "ch_mult": [1, 2],
        "num_res_blocks": 1, "attn_resolutions": [], "hdbf_resolutions": [8], "dropout": 0.0, "attn_type": "vanilla",
    },
    "mlpconfig": {"in_ch": 2, "out_ch": 3, "ch": 16, "latent_dim": 4},
    "embed_dim": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def golden() -> Golden:
    return read_golden("image")


@pytest.fixture(scope="module")
def vae(golden: Golden) -> D2CVAE:
    vae = image_vae(golden.config)
    load_image_vae(vae, golden.weights("vaemodel", "mlp"))
    return vae


@pytest.fixture(scope="module")
def posterior(vae: D2CVAE, golden: Golden) -> Posterior:
    with torch.no_grad():
        return vae.encode(golden["in.image"])


@pytest.fixture(scope="module")
def function(vae: D2CVAE, posterior: Posterior) -> ImplicitFunction:
    with torch.no_grad():
        return vae.function(posterior.mean)


def points(grid: Tensor) -> Tensor:
    """(1, 2, rows, columns), x first, to (1, query, 2)."""
    return grid.flatten(2).transpose(1, 2)


def as_image(values: Tensor, like: Tensor) -> Tensor:
    return values.transpose(1, 2).unflatten(2, like.shape[2:])


def test_posterior(posterior: Posterior, golden: Golden) -> None:
    assert_close(posterior.mean[0], golden["enc.mean"])
    assert_close(posterior.std[0], golden["enc.std"])


def test_basis_fields(function: ImplicitFunction, golden: Golden) -> None:
    for (field,), scale in zip(function.basis.fields, golden.numbers("hdbf."), strict=True):
        assert_close(field, golden[f"hdbf.{scale}"])


@pytest.mark.parametrize("name", ["native", "1p5"])
@torch.no_grad()
def test_image(function: ImplicitFunction, golden: Golden, name: str) -> None:
    wanted = golden[f"out.image_{name}"]
    assert_close(function.grid(wanted.shape[2:]), wanted)
    values = function(points(golden[f"in.coords_{name}"]), golden[f"in.scale_{name}"])
    assert_close(as_image(values, wanted), wanted)


def test_losses_and_gradients(vae: D2CVAE, golden: Golden) -> None:
    vae = copy.deepcopy(vae)
    image = golden["in.image"]
    pixels = image.shape[2] * image.shape[3]  # our likelihood is a mean over coordinates, theirs a sum
    objective = VAEObjective(
        vae,
        predict=lambda f, query: f(query, golden["in.scale_native"]),
        nll=laplace_nll,
        kl_weight=lambda step: 0.01 / pixels,
    )
    target = image.flatten(2).transpose(1, 2)
    batch = SimpleNamespace(inputs=image, query=points(golden["in.coords_native"]), target=target)
    losses = objective(batch, step=0, rng=NoNoise())
    assert_close(losses["nll"] * pixels, golden["loss.recon_l1"])
    assert_close(losses["kl"], golden["loss.kl"])

    (losses["loss"] * pixels).backward()
    sources = image_sources(vae)
    norms = {sources[name].name: p.grad.norm() for name, p in vae.named_parameters() if p.grad is not None}
    for part in ("vaemodel", "mlp"):
        names = sorted(golden.weights(part))
        theirs = golden[f"grad.recon_plus_0.01kl.{part}"]
        # A strength's gradient is that of noise which was not kept; here the strengths are no parameters.
        kept = [i for i, name in enumerate(names) if not name.endswith(".noise.weight")]
        assert len(names) == len(theirs)
        assert len(names) - len(kept) == (len(golden.metadata["noise_order"]) if part == "mlp" else 0)
        assert_close(torch.stack([norms[names[i]] for i in kept]), theirs[kept], GRADIENT)


def test_regularisers(vae: D2CVAE, golden: Golden) -> None:
    autoencoder = nn.ModuleList([vae.encoder, vae.decoder])
    exact = sum(torch.linalg.matrix_norm(matrix.detach(), 2) for matrix in convolution_matrices(autoencoder))
    assert_close(torch.as_tensor(exact), golden["reg.spectral_exact"])
    assert_close(SpectralRegulariser(autoencoder)(), golden["reg.spectral_power_iteration"], POWER_ITERATION)
    gains = [module.weight.abs().max() for module in autoencoder.modules() if isinstance(module, nn.GroupNorm)]
    assert_close(torch.stack(gains).sum(), golden["reg.groupnorm"])


@torch.no_grad()
def test_noise_is_loaded_but_off(golden: Golden, posterior: Posterior) -> None:
    order = [f"mlp.{name}.weight" for name in golden.metadata["noise_order"]]
    strengths = {name: strength[None] for name, strength in zip(order, golden["noisy.weights"], strict=True)}
    vae = image_vae(golden.config)
    load_image_vae(vae, golden.weights("vaemodel", "mlp") | strengths)
    sources = image_sources(vae)
    ours = [sources[f"read_out.{name}"].name for name, _ in vae.read_out.named_buffers()]
    maps = golden["noisy.maps"].flatten(2)[[order.index(name) for name in ours]]

    function, wanted = vae.function(posterior.mean), golden["noisy.image_native"]
    assert_close(function.grid(wanted.shape[2:]), golden["out.image_native"])
    coords, scale = points(golden["in.coords_native"]), golden["in.scale_native"]
    embeddings, everywhere = function.basis.embed(coords), coords.expand(len(wanted), -1, -1)
    assert isinstance(vae.read_out, ImageReadOut)
    noisy = vae.read_out(embeddings, everywhere, scale, maps)
    assert_close(as_image(noisy, wanted), wanted)
    difference = (noisy - vae.read_out(embeddings, everywhere, scale)).abs().max()
    assert difference > 100 * FORWARD * wanted.abs().max()


def theirs(vae: D2CVAE) -> dict[str, Tensor]:
    """A state dict under the reference implementation's names, of random numbers."""
    ours = vae.state_dict()
    return {source.name: torch.randn_like(ours[name]) for name, source in image_sources(vae).items()}


def test_names_of_the_reference_implementation() -> None:
    names = {source.name for source in image_sources(image_vae(TINY)).values()}
    assert {
        "vaemodel.quant_conv.weight",
        "vaemodel.post_quant_conv.bias",
        "vaemodel.encoder.down.0.downsample.conv.weight",
        "vaemodel.encoder.down.1.block.0.nin_shortcut.weight",
        "vaemodel.decoder.mid.attn_1.proj_out.weight",
        "vaemodel.decoder.up.1.hdbf.0.weight",
        "vaemodel.decoder.up.1.upsample.conv.bias",
        "vaemodel.decoder.up.0.block.1.norm2.weight",
        "vaemodel.decoder.norm_out.weight",
        "mlp.net_res3.conv3.noise.weight",
        "mlp.time_mlp.3.bias",
        "mlp.torgb.conv.modulation.bias",
    } <= names


def test_loading_names_every_tensor_that_does_not_fit() -> None:
    vae = image_vae(TINY)
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    state = theirs(vae)
    del state["vaemodel.quant_conv.weight"]
    state["vaemodel.encoder.conv_in.weight"] = torch.zeros(8, 4, 3, 3)
    state["in.image"] = torch.zeros(1)
    with pytest.raises(ValueError, match="loading the image autoencoder") as error:
        load_image_vae(vae, state)
    text = str(error.value)
    assert "missing: vaemodel.quant_conv.weight" in text
    assert "unexpected: in.image" in text
    assert "of another shape: vaemodel.encoder.conv_in.weight is (8, 4, 3, 3)" in text
    assert all(torch.equal(before[name], tensor) for name, tensor in vae.state_dict().items())


def test_a_model_of_another_make_is_refused() -> None:
    vae = image_vae(TINY)
    with pytest.raises(ValueError, match=r"build it with ddmi\.reference\.image_vae"):
        load_image_vae(D2CVAE(vae.encoder, vae.decoder, vae.read_out.body), theirs(vae))


@pytest.mark.parametrize(
    ("section", "option", "value", "message"),
    [
        ("ddconfig", "attn_resolutions", [16], r"attn_resolutions=\[16\] has no counterpart"),
        ("ddconfig", "double_z", False, "double_z=False has no counterpart"),
        ("ddconfig", "attn_type", "linear", "attn_type='linear' has no counterpart"),
        ("ddconfig", "hdbf_resolutions", [4], r"must be the levels below resolution 16, that is \[8\]"),
        ("ddconfig", "hdbf_resolutions", [8, 4], "fewer than ch_mult"),
        ("mlpconfig", "latent_dim", 5, "latent_dim=5 has no counterpart here, only 4"),
    ],
)
def test_an_option_without_counterpart_is_refused(section: str, option: str, value: Any, message: str) -> None:
    config = copy.deepcopy(TINY)
    config[section][option] = value
    with pytest.raises(ValueError, match=message):
        image_vae(config)


def test_a_missing_option_is_named() -> None:
    config = copy.deepcopy(TINY)
    del config["ddconfig"]["z_channels"]
    with pytest.raises(ValueError, match="ddconfig: z_channels missing"):
        image_vae(config)
    with pytest.raises(ValueError, match="image configuration: mlpconfig, embed_dim missing"):
        image_vae({"ddconfig": {}})


@torch.no_grad()
def test_read_out_takes_a_scale_per_function_and_checks_its_inputs() -> None:
    read_out = ImageReadOut((4, 4), 3, width=16, native=32)
    embeddings = [torch.randn(2, 5, 4), torch.randn(2, 5, 4)]
    coords = torch.zeros(2, 5, 2)
    both = read_out(embeddings, coords, torch.tensor([1.0, 0.5]))
    for i, scale in enumerate((1.0, 0.5)):
        alone = read_out([p[i : i + 1] for p in embeddings], coords[:1], scale)
        torch.testing.assert_close(both[i : i + 1], alone)
    torch.testing.assert_close(read_out(embeddings, coords), read_out(embeddings, coords, 1.0))
    with pytest.raises(ValueError, match=r"the scale must be one number or \(2,\), got \(3,\)"):
        read_out(embeddings, coords, torch.ones(3))
    with pytest.raises(ValueError, match="one map for each of 9 layers, got 2"):
        read_out(embeddings, coords, 1.0, torch.zeros(2, 2, 5))
