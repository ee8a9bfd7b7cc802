"""Shapes against the reference implementation's golden tensors, and loading its weights."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ddmi.reference import (
    OCCUPANCY_EXTENT,
    Source,
    load_occupancy_vae,
    load_sources,
    occupancy_sources,
    occupancy_vae,
)
from ddmi.reference.triplane import FIRST_STAGE, SECOND_STAGE
from ddmi_fields import ImplicitFunction
from ddmi_modalities.extent import Extent
from ddmi_modalities.geometry.extraction import dense_surface
from ddmi_vae import D2CVAE, Posterior, VAEObjective, bernoulli_nll

from ..golden import FORWARD, GRADIENT, Golden, assert_close, mesh_box, mesh_nodes, read_golden
from ..no_noise import NoNoise

TINY: dict[str, Any] = {
    "pointnet": {
        "dim": 3, "c_dim": 6, "hidden_dim": 8, "n_blocks": 2, "plane_resolution": 16, "plane_type": ["xz", "xy", "yz"],
        "padding": 0.1,
    },
    "ddconfig": {
        "double_z": True, "z_channels": 2, "resolution": 16, "in_channels": 6, "out_ch": 4, "ch": 8, "ch_mult": [1, 2],
        "num_res_blocks": 1, "attn_resolutions": [], "hdbf_resolutions": [8], "inter_attn_resolutions": [16],
        "dropout": 0.0, "attn_type": "vanilla",
    },
    "mlpconfig": {"in_ch": 3, "out_ch": 1, "ch": 16, "latent_dim": 4},
    "embed_dim": 3,
}  # fmt: skip

PLANES = ("xy", "yz", "xz")
SLOTS = {"xy_yz_xz": FIRST_STAGE, "xy_xz_yz": SECOND_STAGE}


@pytest.fixture(scope="module")
def golden() -> Golden:
    return read_golden("occupancy")


@pytest.fixture(scope="module")
def vaes(golden: Golden) -> dict[str, D2CVAE]:
    """One for each order in which the reference implementation fills the slots of its decoder."""
    vaes = {name: occupancy_vae(golden.config, slots) for name, slots in SLOTS.items()}
    for vae in vaes.values():
        load_occupancy_vae(vae, golden.weights("pointnet", "vaemodel", "mlp"))
    return vaes


@pytest.fixture(scope="module")
def posterior(vaes: dict[str, D2CVAE], golden: Golden) -> Posterior:
    with torch.no_grad():
        return vaes["xy_yz_xz"].encode((field(golden["in.cloud"]),))


@pytest.fixture(scope="module")
def functions(vaes: dict[str, D2CVAE], golden: Golden) -> dict[str, ImplicitFunction]:
    """Of the golden latents: rounding in the encoder, which the decoder would enlarge, is tested with the posterior."""
    with torch.no_grad():
        return {name: vae.function(latent(golden, name)) for name, vae in vaes.items()}


def latent(golden: Golden, order: str) -> tuple[Tensor, ...]:
    """The planes that the reference implementation puts side by side, in the order of the layout."""
    slots = dict(zip(SLOTS[order], golden[f"z.{order}"].chunk(3, dim=1), strict=True))
    return tuple(slots[name] for name in PLANES)


def field(world: Tensor) -> Tensor:
    return OCCUPANCY_EXTENT.to_field(world)


def test_planes_of_the_point_network(vaes: dict[str, D2CVAE], golden: Golden) -> None:
    with torch.no_grad():
        features = vaes["xy_yz_xz"].encoder.points(field(golden["in.cloud"]))
    for name, plane in zip(PLANES, features, strict=True):
        assert_close(plane, golden[f"feat.{name}"])


def test_posterior(posterior: Posterior, golden: Golden) -> None:
    for name, mean, std in zip(PLANES, posterior.mean, posterior.std, strict=True):
        assert_close(mean, golden[f"enc.{name}.mean"])
        assert_close(std, golden[f"enc.{name}.std"])


@pytest.mark.parametrize("order", SLOTS)
def test_latents(posterior: Posterior, golden: Golden, order: str) -> None:
    for mean, plane in zip(posterior.mean, latent(golden, order), strict=True):
        assert_close(mean, plane)


@pytest.mark.parametrize("order", SLOTS)
def test_basis_fields(functions: dict[str, ImplicitFunction], golden: Golden, order: str) -> None:
    for scale, planes in zip(golden.numbers(f"hdbf.{order}.xy."), functions[order].basis.fields, strict=True):
        for name, plane in zip(PLANES, planes, strict=True):
            assert_close(plane, golden[f"hdbf.{order}.{name}.{scale}"])


@pytest.mark.parametrize("order", SLOTS)
@torch.no_grad()
def test_logits(functions: dict[str, ImplicitFunction], golden: Golden, order: str) -> None:
    # Some queries are outside the box.  Theirs end 2e-5 before its border, ours at the border: no difference at 1e-4.
    assert_close(functions[order](field(golden["in.query"]))[..., 0], golden[f"out.logits.{order}"])


def test_the_orders_differ(golden: Golden) -> None:
    one, other = (golden[f"out.logits.{order}"] for order in SLOTS)
    assert (one - other).abs().max() > 100 * FORWARD * one.abs().max()


def test_losses_and_gradients(vaes: dict[str, D2CVAE], golden: Golden) -> None:
    vae = copy.deepcopy(vaes["xy_yz_xz"])
    count = golden["in.query"].shape[1]  # our likelihood is a mean over points, theirs a sum
    objective = VAEObjective(
        vae, predict=lambda f, query: f(query), nll=bernoulli_nll, kl_weight=lambda step: 0.01 / count
    )
    query, target = field(golden["in.query"]), golden["in.occ"][..., None]
    batch = SimpleNamespace(inputs=(field(golden["in.cloud"]),), query=query, target=target)
    losses = objective(batch, step=0, rng=NoNoise())
    assert_close(losses["nll"] * count, golden["loss.bce"])
    assert_close(losses["kl"], golden["loss.kl"])

    (losses["loss"] * count).backward()
    sources = occupancy_sources(vae)
    norms = {}
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None
        source = sources[name]
        # d loss / d theirs = scale * d loss / d ours, as ours = scale * theirs
        norms[source.name] = (parameter.grad * (1.0 if source.scale is None else source.scale)).norm()
    for part in ("pointnet", "vaemodel", "mlp"):
        names = sorted(golden.weights(part))
        theirs = golden[f"grad.bce_plus_0.01kl.{part}"]
        assert len(names) == len(theirs)
        assert_close(torch.stack([norms[name] for name in names]), theirs, GRADIENT)


@torch.no_grad()
def test_logits_of_the_mesh(functions: dict[str, ImplicitFunction], golden: Golden) -> None:
    logits = functions["xy_xz_yz"][0](field(mesh_nodes(golden)).reshape(1, -1, 3))
    assert_close(logits.reshape(golden["mesh.logits"].shape), golden["mesh.logits"])


def test_mesh(functions: dict[str, ImplicitFunction], golden: Golden) -> None:
    """The same surface out of our extraction, given what theirs sees: this grid, -1e6 outside of the box.

    The vertices must be the same: both interpolate linearly along the edges of the grid.  The triangles are not: the
    two marching cubes cut the cells differently, and decide differently whether parts touch in an ambiguous one.  So
    surfaces are compared by distance (less than a cell), volume, area and closedness.
    """
    function = functions["xy_xz_yz"][0]
    nodes, half = len(golden["mesh.logits"]), mesh_box(golden)
    cell = 2 * half / (nodes - 1)
    inside = float(field(torch.full((3,), half + cell / 2))[0])

    def padded(coords: Tensor) -> Tensor:
        return torch.where((coords.abs() < inside).all(dim=-1, keepdim=True), function(coords), -1e6)

    # The golden nodes are among those of a larger box: extraction wants a power of two, here the next above `nodes`.
    cells = 2 ** nodes.bit_length()
    before = (cells - (nodes - 1)) // 2
    low = -half - before * cell
    level = float(torch.logit(golden["mesh.threshold_probability"].double()))
    mesh = dense_surface(
        padded,
        extent=OCCUPANCY_EXTENT,
        resolution=cells,
        level=level,
        box=Extent((low,) * 3, (low + cells * cell,) * 3),
    ).mesh
    vertices, faces = golden["mesh.vertices"].numpy(), golden["mesh.faces"].numpy()
    # There may be a vertex inside of an ambiguous cell, too; one on an edge has two coordinates that are a node's.
    on_edges = []
    for points in (np.asarray(mesh.vertices), vertices):
        at = (points + half) / cell
        on_edges.append(points[(np.abs(at - at.round()) < 1e-3).sum(axis=1) >= 2])
    # A logit within rounding of the level may put up to six vertices next to its node, or none.
    assert abs(len(on_edges[0]) - len(on_edges[1])) <= 6
    assert distance(*on_edges) < FORWARD

    assert mesh.is_watertight
    theirs = type(mesh)(vertices, faces, process=False)
    assert theirs.is_watertight
    tolerance = max(1e-3, 0.29 * cell**2)  # on a coarse grid triangles of the same vertices differ more
    assert mesh.volume == pytest.approx(theirs.volume, rel=tolerance)
    assert mesh.area == pytest.approx(theirs.area, rel=10 * tolerance)
    weights = np.random.default_rng(0).dirichlet((1, 1, 1), 10)
    assert distance(*(np.einsum("pk,fkd->pfd", weights, m.triangles).reshape(-1, 3) for m in (mesh, theirs))) < cell


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Hausdorff distance between two sets of points."""
    return max(cKDTree(one).query(other)[0].max(), cKDTree(other).query(one)[0].max())


def theirs(vae: D2CVAE) -> dict[str, Tensor]:
    """A state dict under the reference implementation's names, of random numbers."""
    ours = vae.state_dict()
    return {source.name: torch.randn_like(ours[name]) for name, source in occupancy_sources(vae).items()}


def test_names_of_the_reference_implementation() -> None:
    names = {source.name for source in occupancy_sources(occupancy_vae(TINY)).values()}
    assert {
        "pointnet.fc_pos.weight",
        "pointnet.blocks.1.fc_0.bias",
        "pointnet.blocks.1.shortcut.weight",
        "pointnet.fc_c.weight",
        "vaemodel.quant_conv_yz.weight",
        "vaemodel.post_quant_conv_xz.bias",
        "vaemodel.encoder.down.0.inter_attn.1.proj_out.weight",
        "vaemodel.encoder.down.1.block.0.nin_shortcut.weight",
        "vaemodel.encoder.mid.block_4.norm1.weight",
        "vaemodel.decoder.mid_attn.q.weight",
        "vaemodel.decoder.up.0.inter_attn.2.conv1.weight",
        "mlp.net_p.weight",
        "mlp.net_res1.fc_1.weight",
        "mlp.net_res2.shortcut.weight",
        "mlp.net_out.bias",
    } <= names
    assert not any("down.1.inter_attn" in name or "up.1.inter_attn" in name for name in names)


def test_the_first_layers_take_field_coordinates() -> None:
    vae = occupancy_vae(TINY)
    state = theirs(vae)
    load_occupancy_vae(vae, state)
    world = torch.tensor([[[0.3, -0.2, 0.7]]])
    wanted = world @ state["pointnet.fc_pos.weight"].T + state["pointnet.fc_pos.bias"]
    torch.testing.assert_close(vae.encoder.points.lift(field(world)), wanted)


def test_a_source_scales_columns() -> None:
    layer = torch.nn.Linear(3, 2, bias=False)
    state = {"theirs": torch.arange(6.0).reshape(2, 3)}
    load_sources(layer, state, {"weight": Source("theirs", scale=torch.tensor([2.0, 1.0, 0.5]))}, what="a layer")
    assert layer.weight.tolist() == [[0, 1, 1], [6, 4, 2.5]]


def test_loading_names_every_tensor_that_does_not_fit() -> None:
    vae = occupancy_vae(TINY)
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    state = theirs(vae)
    del state["vaemodel.quant_conv_yz.weight"]
    state["pointnet.fc_pos.weight"] = torch.zeros(16, 6)
    state["mlp.net_res5.fc_0.bias"] = torch.zeros(1)
    with pytest.raises(ValueError, match="loading the occupancy autoencoder") as error:
        load_occupancy_vae(vae, state)
    text = str(error.value)
    assert "missing: vaemodel.quant_conv_yz.weight" in text
    assert "unexpected: mlp.net_res5.fc_0.bias" in text
    assert "of another shape: pointnet.fc_pos.weight is (16, 6)" in text
    assert all(torch.equal(before[name], tensor) for name, tensor in vae.state_dict().items())


def test_a_model_of_another_make_is_refused() -> None:
    vae = occupancy_vae(TINY)
    with pytest.raises(ValueError, match=r"build it with ddmi\.reference\.occupancy_vae"):
        load_occupancy_vae(D2CVAE(vae.encoder, vae.decoder.body, vae.read_out), theirs(vae))


def test_latents_of_another_number_of_planes_are_refused() -> None:
    with pytest.raises(ValueError, match="ProjectedDecoder: wanted 3 latent planes, got 1"):
        occupancy_vae(TINY).decode((torch.zeros(1, 3, 8, 8),))


@pytest.mark.parametrize(
    ("section", "option", "value", "message"),
    [
        ("ddconfig", "attn_resolutions", [16], r"attn_resolutions=\[16\] has no counterpart"),
        ("ddconfig", "temb_ch", 8, "temb_ch=8 has no counterpart"),
        ("ddconfig", "hdbf_resolutions", [4], r"must be the levels below resolution 16, that is \[8\]"),
        ("mlpconfig", "latent_dim", 5, "latent_dim=5 has no counterpart here, only 4"),
        ("mlpconfig", "out_ch", 3, "out_ch=3 has no counterpart here, only 1"),
        (
            "pointnet",
            "plane_type",
            ["grid"],
            r"plane_type=\['grid'\] has no counterpart here, only \['xy', 'yz', 'xz'\]",
        ),
        ("pointnet", "plane_type", "xz", "plane_type='xz' has no counterpart"),
        ("pointnet", "padding", 0.2, "padding=0.2 has no counterpart here, only 0.1"),
        ("pointnet", "scatter_type", "mean", "scatter_type='mean' has no counterpart"),
        ("pointnet", "dim", 6, "dim=6 has no counterpart here, only 3"),
        ("pointnet", "plane_resolution", 32, "plane_resolution=32 has no counterpart here, only 16"),
        ("pointnet", "c_dim", 8, "c_dim=8 has no counterpart here, only 6"),
    ],
)
def test_an_option_without_counterpart_is_refused(section: str, option: str, value: Any, message: str) -> None:
    config = copy.deepcopy(TINY)
    config[section][option] = value
    with pytest.raises(ValueError, match=message):
        occupancy_vae(config)


def test_a_missing_option_is_named() -> None:
    for section, option in (
        ("ddconfig", "inter_attn_resolutions"),
        ("pointnet", "n_blocks"),
        ("mlpconfig", "in_ch"),
    ):
        config = copy.deepcopy(TINY)
        del config[section][option]
        with pytest.raises(ValueError, match=f"{section}: {option} missing"):
            occupancy_vae(config)
    with pytest.raises(ValueError, match="occupancy configuration: pointnet, mlpconfig, embed_dim missing"):
        occupancy_vae({"ddconfig": {}})


def test_slots_name_each_plane_once() -> None:
    with pytest.raises(ValueError, match=r"slots \('xy', 'xy', 'xz'\) must name each latent plane"):
        occupancy_vae(TINY, ("xy", "xy", "xz"))
