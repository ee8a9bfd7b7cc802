from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, spectral_norm, weight_norm

from ddmi_fields import BasisField, CoarseToFineReadOut, ImplicitFunction, PlaneEmbedding, PlaneLayout, grid_coordinates


def triplanes() -> tuple[PlaneEmbedding, Tensor]:
    """Learned planes, and points to read them at."""
    torch.manual_seed(0)
    return PlaneEmbedding(PlaneLayout.triplane(), sizes=(4, 8), channels=4), torch.rand(2, 50, 3) * 2 - 1


def test_embedding_concatenates_scales_for_any_batch() -> None:
    embed = PlaneEmbedding(PlaneLayout.triplane(), sizes=(4, (5, 6, 7)), channels=3)
    coords = torch.rand(2, 6, 3) * 2 - 1
    features = embed(coords)
    assert features.shape == (2, 6, embed.out_channels) == (2, 6, 6)
    for i in range(2):
        wanted = torch.cat(embed.basis.embed(coords[i : i + 1]), dim=-1)
        torch.testing.assert_close(features[i : i + 1], wanted)


@pytest.mark.parametrize("leading", [(), (4,), (2, 3), (2, 1, 3, 2), (0,), (2, 0), (0, 3)])
@pytest.mark.parametrize("twice", [False, True])
def test_leading_dimensions_are_kept(leading: tuple[int, ...], twice: bool) -> None:
    embed = PlaneEmbedding(PlaneLayout.image(), sizes=(4, 8), channels=(3, 2))
    coords = (torch.rand(*leading, 2) * 2 - 1).requires_grad_()
    features = embed(coords, twice_differentiable=twice)
    assert features.shape == (*leading, 5)
    torch.testing.assert_close(features.reshape(-1, 5), embed(coords.reshape(1, -1, 2))[0])
    features.sum().backward()
    assert coords.grad is not None
    assert all(plane.grad is not None for plane in embed.parameters())


def test_one_number_is_one_scale_and_channels_are_given_by_scale() -> None:
    one = PlaneEmbedding(PlaneLayout.image(), sizes=32, channels=4)
    assert [tuple(plane.shape) for plane in one.parameters()] == [(1, 4, 32, 32)]
    two = PlaneEmbedding(PlaneLayout.video(), sizes=(4, (8, 6, 2)), channels=(5, 3), reduction="concat")
    assert [tuple(plane.shape[1:]) for plane in two.parameters()] == [
        *[(5, 4, 4)] * 3, (3, 6, 8), (3, 2, 6), (3, 2, 8),
    ]  # fmt: skip
    assert two.basis.channels == (15, 9)
    assert two.out_channels == 24


def test_bounds_are_mapped_to_the_field() -> None:
    bounds = ((0.0, 640.0), (-10.0, 30.0))
    embed = PlaneEmbedding(PlaneLayout.image(), sizes=8, channels=3, bounds=bounds)
    plain = PlaneEmbedding(PlaneLayout.image(), sizes=8, channels=3)
    plain.load_state_dict(embed.state_dict())
    given = torch.tensor([[0.0, -10.0], [640.0, 30.0], [320.0, 10.0], [480.0, -20.0]])
    field = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0], [0.5, -1.5]])
    torch.testing.assert_close(embed(given), plain(field))


def test_learns_an_image_to_30_db_in_seconds() -> None:
    """A 32 x 32 picture of rings and a bar, by planes and a small read-out."""
    torch.manual_seed(0)
    coords = grid_coordinates((32, 32))
    radius = coords.norm(dim=-1, keepdim=True)
    target = torch.cat((torch.sin(9 * radius), (coords[..., :1] > 0.2).float(), radius), dim=-1)
    embed = PlaneEmbedding(PlaneLayout.image(), sizes=(4, 8, 16), channels=6)
    read_out = CoarseToFineReadOut(embed.basis.channels, 3, width=32)
    optimizer = torch.optim.Adam([*embed.parameters(), *read_out.parameters()], lr=1e-2)
    for _ in range(250):
        loss = (ImplicitFunction(embed.basis, read_out)(coords) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert 10 * torch.log10(4 / loss) > 30


def test_state_dict_has_a_key_a_plane_and_loads() -> None:
    embed, coords = triplanes()
    assert list(embed.state_dict()) == [f"planes.{scale}.{plane}" for scale in range(2) for plane in range(3)]
    other = PlaneEmbedding(PlaneLayout.triplane(), sizes=(4, 8), channels=4)
    assert not torch.allclose(other(coords), embed(coords))
    other.load_state_dict(embed.state_dict())
    torch.testing.assert_close(other(coords), embed(coords), rtol=0, atol=0)
    torch.testing.assert_close(copy.deepcopy(embed)(coords), embed(coords), rtol=0, atol=0)


def replica(module: nn.Module) -> Any:
    """As `torch.nn.parallel.replicate` makes it: tensors are plain attributes, `parameters()` is empty."""
    made = module._replicate_for_data_parallel()
    for name, child in module._modules.items():
        assert child is not None
        made._modules[name] = replica(child)
        setattr(made, name, made._modules[name])
    for name, parameter in module._parameters.items():
        setattr(made, name, None if parameter is None else parameter.clone())
    return made


def test_replicas_of_data_parallel_read_their_own_planes() -> None:
    embed, coords = triplanes()
    made = replica(embed)
    assert not list(made.parameters())
    torch.testing.assert_close(made(coords), embed(coords), rtol=0, atol=0)
    made(coords).sum().backward()
    assert all(plane.grad is not None for plane in embed.parameters()), "gradients go back to the original"
    read_out = CoarseToFineReadOut(embed.basis.channels, 3, width=16, native=8)
    function, copied = ImplicitFunction(embed.basis, read_out), ImplicitFunction(made.basis, replica(read_out))
    torch.testing.assert_close(copied(coords[:1]), function(coords[:1]), rtol=0, atol=0)
    torch.testing.assert_close(copied.grid((20, 20, 20)), function.grid((20, 20, 20)), rtol=1e-5, atol=1e-5)


def test_functional_calls_read_the_planes_that_they_are_given() -> None:
    embed, coords = triplanes()
    doubled = {name: 2 * plane for name, plane in embed.state_dict().items()}
    torch.testing.assert_close(torch.func.functional_call(embed, doubled, (coords,)), 2 * embed(coords))
    several = [triplanes()[0], embed, PlaneEmbedding(PlaneLayout.triplane(), sizes=(4, 8), channels=4)]
    stacked, _ = torch.func.stack_module_state(several)  # type: ignore[arg-type]
    read = torch.func.vmap(lambda planes: torch.func.functional_call(embed, planes, (coords,)))(stacked)
    torch.testing.assert_close(read, torch.stack([one(coords) for one in several]), rtol=1e-5, atol=1e-6)


def test_derivatives_of_single_points_are_mapped_over_points() -> None:
    embed, coords = triplanes()
    points = coords[0].requires_grad_()
    jacobians = torch.func.vmap(torch.func.jacrev(embed))(points)
    assert jacobians.shape == (50, 8, 3)
    (slope,) = torch.autograd.grad(embed(points).sum(), points)
    torch.testing.assert_close(jacobians.sum(1), slope, rtol=1e-4, atol=1e-5)


class Doubled(nn.Module):
    def forward(self, plane: Tensor) -> Tensor:
        return 2 * plane


def test_parametrised_planes_are_read() -> None:
    embed, coords = triplanes()
    before = embed(coords)
    for scale in embed.planes:
        for name in "012":
            parametrize.register_parametrization(scale, name, Doubled())
    torch.testing.assert_close(embed(coords), 2 * before)
    torch.testing.assert_close(copy.deepcopy(embed)(coords), 2 * before)


@pytest.mark.parametrize(
    "reparametrise",
    [
        lambda scale: prune.random_unstructured(scale, "0", 0.5),
        lambda scale: spectral_norm(scale, "0"),
        lambda scale: weight_norm(scale, "0"),
    ],
    ids=["pruning", "spectral norm", "weight norm"],
)
def test_hooks_that_compute_a_plane_see_every_use(reparametrise: Any) -> None:
    embed, coords = triplanes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's new weight norm is a parametrisation
        reparametrise(embed.planes[0])
    optimizer = torch.optim.SGD(embed.parameters(), lr=0.1)
    read = []
    for _ in range(2):
        features = embed(coords)
        optimizer.zero_grad()
        features.square().mean().backward()
        optimizer.step()
        read.append(features)
    assert not torch.equal(read[0], read[1])
    features = embed(coords)
    computed = [[getattr(scale, name) for name in "012"] for scale in embed.planes]
    wanted = BasisField(embed.layout, computed).embed(coords.reshape(1, -1, 3))
    torch.testing.assert_close(features, torch.cat(wanted, dim=-1).reshape(2, 50, -1), rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("_untyped")
def test_bad_arguments() -> None:
    layout = PlaneLayout.image()
    with pytest.raises(ValueError, match="one an axis of 'xy'"):
        PlaneEmbedding(layout, sizes=((3, 4, 5),), channels=2)
    with pytest.raises(ValueError, match="size 0 must be a positive number"):
        PlaneEmbedding(layout, sizes=0, channels=2)
    with pytest.raises(ValueError, match="at least one size"):
        PlaneEmbedding(layout, sizes=(), channels=2)
    for channels in (0, (3,), (3, 0), (3, 4, 5)):
        with pytest.raises(ValueError, match=r"one a scale, got sizes \[4, 8\] and channels"):
            PlaneEmbedding(layout, sizes=(4, 8), channels=channels)
    fine, nan, inf = (0.0, 1.0), float("nan"), float("inf")
    for bounds in ((fine,), (fine, (2.0, 2.0)), (fine, (0.0, inf)), (fine, (nan, 1.0)), (fine, (1.0, 0.0))):
        with pytest.raises(ValueError, match=r"bounds must be finite \(low, high\), low first, for each axis of 'xy'"):
            PlaneEmbedding(layout, sizes=4, channels=2, bounds=bounds)
    embed = PlaneEmbedding(layout, sizes=(4,), channels=2)
    for shape in ((3,), (5, 3), (2, 5, 1), ()):
        with pytest.raises(ValueError, match=r"must be \(..., 2\) in the order 'xy', got"):
            embed(torch.zeros(shape))
