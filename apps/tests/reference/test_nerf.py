"""Radiance fields against the reference implementation's golden tensors, and loading its weights."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ddmi.reference import NERF_EXTENT, load_nerf_vae, nerf_sources, nerf_vae
from ddmi_fields import ImplicitFunction
from ddmi_modalities.nerf.render.volume import Rendered, composite
from ddmi_vae import D2CVAE, Posterior, VAEObjective, laplace_nll

from ..golden import GRADIENT, Golden, assert_close, read_golden, view_camera, view_depths
from ..no_noise import NoNoise

PLANES = ("xy", "yz", "xz")


@pytest.fixture(scope="module")
def golden() -> Golden:
    return read_golden("nerf")


@pytest.fixture(scope="module")
def vae(golden: Golden) -> D2CVAE:
    vae = nerf_vae(golden.config)
    load_nerf_vae(vae, golden.weights("pointnet", "vaemodel", "mlp"))
    return vae


@pytest.fixture(scope="module")
def posterior(vae: D2CVAE, golden: Golden) -> Posterior:
    with torch.no_grad():
        return vae.encode((cloud(golden),))


@pytest.fixture(scope="module")
def function(vae: D2CVAE, golden: Golden) -> ImplicitFunction:
    with torch.no_grad():
        return vae.function(latent(golden))


def cloud(golden: Golden) -> Tensor:
    points = golden["in.cloud"]
    return torch.cat((NERF_EXTENT.to_field(points[..., :3]), points[..., 3:]), dim=-1)


def latent(golden: Golden) -> tuple[Tensor, ...]:
    return golden["z.xy_yz_xz"].chunk(3, dim=1)


def test_planes_of_the_point_network(vae: D2CVAE, golden: Golden) -> None:
    points = cloud(golden)
    points[..., :3] *= vae.encoder.rescale
    with torch.no_grad():
        features = vae.encoder.points(points)
    for name, plane in zip(PLANES, features, strict=True):
        assert_close(plane, golden[f"feat.{name}"])


def test_posterior(posterior: Posterior, golden: Golden) -> None:
    for name, mean, std in zip(PLANES, posterior.mean, posterior.std, strict=True):
        assert_close(mean, golden[f"enc.{name}.mean"])
        assert_close(std, golden[f"enc.{name}.std"])


def test_basis_fields(function: ImplicitFunction, golden: Golden) -> None:
    (planes,) = function.basis.fields
    for name, plane in zip(PLANES, planes, strict=True):
        assert_close(plane, golden[f"field.{name}"])


def raw(function: ImplicitFunction, world: Tensor, directions: Tensor) -> Tensor:
    """Colour and density before its softplus at (point, 3)."""
    at = NERF_EXTENT.to_field(world)[None]
    with torch.no_grad():
        return function.read_out.logits(function.basis.embed(at), at, directions[None])[0]


def test_colour_and_density(function: ImplicitFunction, golden: Golden) -> None:
    made = raw(function, golden["in.query"], golden["in.dirs"])
    assert_close(made, golden["out.rgb_sigma"])
    with torch.no_grad():
        values = function(NERF_EXTENT.to_field(golden["in.query"])[None], golden["in.dirs"][None])[0]
    assert_close(values[:, :3], golden["out.rgb_sigma"][:, :3])
    # per unit of field coordinates, which is that many units of the world
    half = golden.metadata["plane_half_width"]
    assert_close(values[:, 3], half * torch.nn.functional.softplus(golden["out.rgb_sigma"][:, 3]))


def theirs(colours: Tensor, sigma: Tensor, z: Tensor, rays: Tensor) -> Rendered:
    """Our compositing of their samples: z counts directions that are not unit vectors, the last interval has no end."""
    length = rays.norm(dim=-1, keepdim=True)
    edges = torch.cat((z, z[:, -1:] + 1e10), dim=-1) * length
    density = torch.nn.functional.softplus(sigma)
    return composite(colours[None], density[None], edges[None], z[None], torch.ones(3))


def view_samples(golden: Golden) -> tuple[Tensor, Tensor]:
    """Depths (ray, sample) and directions of the golden view."""
    rays = golden["in.rays_d"].reshape(-1, 3)
    return view_depths(golden).expand(len(rays), -1), rays


def test_a_view(function: ImplicitFunction, golden: Golden) -> None:
    z, rays = view_samples(golden)
    points = golden["in.rays_o"].reshape(-1, 1, 3) + rays[:, None] * z[..., None]
    towards = (rays / rays.norm(dim=-1, keepdim=True))[:, None].expand_as(points)
    made = raw(function, points.reshape(-1, 3), towards.reshape(-1, 3)).reshape(len(rays), -1, 4)
    assert_close(made, golden["out.raw"])
    seen = theirs(made[..., :3], made[..., 3], z, rays)
    assert_close(seen.colour[0], golden["out.rgb"])
    assert_close(seen.opacity[0, :, 0], golden["out.acc"])
    assert_close(1 / seen.depth[0, :, 0], golden["out.disp"])


def test_rays_of_a_camera(golden: Golden) -> None:
    origins, directions = view_camera(golden).image_rays(0)
    rays = golden["in.rays_d"].reshape(-1, 3)
    assert_close(torch.from_numpy(origins), golden["in.rays_o"].reshape(-1, 3))
    assert_close(torch.from_numpy(directions), rays / rays.norm(dim=-1, keepdim=True))


def test_compositing(golden: Golden) -> None:
    samples, z = golden["comp.raw"], golden["comp.z_vals"]
    seen = theirs(samples[..., :3], samples[..., 3], z, golden["comp.rays_d"])
    assert_close(seen.colour[0], golden["comp.rgb"])
    assert_close(seen.opacity[0, :, 0], golden["comp.acc"])
    assert_close(seen.depth[0, :, 0] * seen.opacity[0, :, 0], golden["comp.depth"])
    assert golden["comp.acc"].min() < 0.9  # the background shows


def test_losses_and_gradients(vae: D2CVAE, golden: Golden) -> None:
    vae = copy.deepcopy(vae)
    z, rays = view_samples(golden)
    origins = golden["in.rays_o"].reshape(-1, 1, 3)

    def predict(function: ImplicitFunction, query: Tensor) -> Tensor:
        points = origins + query[:, None] * z[..., None]
        towards = (query / query.norm(dim=-1, keepdim=True))[:, None].expand_as(points)
        at = NERF_EXTENT.to_field(points.reshape(1, -1, 3))
        made = function.read_out.logits(function.basis.embed(at), at, towards.reshape(1, -1, 3))
        made = made.reshape(len(query), -1, 4)
        return theirs(made[..., :3], made[..., 3], z, query).colour

    weight = 20 * len(rays)  # our likelihood is a mean over rays, theirs 20 times a sum
    objective = VAEObjective(vae, predict=predict, nll=laplace_nll, kl_weight=lambda step: 0.01 / weight)
    batch = SimpleNamespace(inputs=(cloud(golden),), query=rays, target=golden["in.target_rgb"].reshape(1, -1, 3))
    losses = objective(batch, step=0, rng=NoNoise())
    assert_close(losses["nll"] * weight, golden["loss.recon_l1_x20"])
    assert_close(losses["kl"], golden["loss.kl"])

    (losses["loss"] * weight).backward()
    sources = nerf_sources(vae)
    norms = {}
    for name, parameter in vae.named_parameters():
        source = sources[name]
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        # d loss / d theirs = scale * d loss / d ours, as ours = scale * theirs
        norms[source.name] = (gradient * (1.0 if source.scale is None else source.scale)).norm()
    for part in ("pointnet", "vaemodel", "mlp"):
        names = sorted(golden.weights(part))
        recorded = golden[f"grad.recon_plus_0.01kl.{part}"]
        assert len(names) == len(recorded)
        assert_close(torch.stack([norms[name] for name in names]), recorded, GRADIENT)


def test_options_and_models_of_another_make_are_refused(golden: Golden, vae: D2CVAE) -> None:
    config = copy.deepcopy(golden.config)
    inputs = golden.config["mlpconfig"]["in_channels_xyz"]
    config["mlpconfig"]["in_channels_xyz"] = inputs + 9
    with pytest.raises(ValueError, match=f"in_channels_xyz={inputs + 9} has no counterpart here, only {inputs}"):
        nerf_vae(config)
    with pytest.raises(ValueError, match="radiance configuration: pointnet, mlpconfig, embed_dim"):
        nerf_vae({"ddconfig": {}})
    with pytest.raises(ValueError, match=r"build it with ddmi\.reference\.nerf_vae"):
        load_nerf_vae(D2CVAE(vae.encoder, vae.decoder.body, vae.read_out), {})
