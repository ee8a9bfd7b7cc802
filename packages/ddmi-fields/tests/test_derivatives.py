"""First and second derivatives with respect to coordinates, planes and weights, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ddmi_fields import BasisField, CoarseToFineReadOut, ImplicitFunction, PlaneLayout


def smooth_function(layout: PlaneLayout, native: int | None = None) -> ImplicitFunction:
    torch.manual_seed(0)
    fields = [[torch.randn(1, 3, 4, 4, dtype=torch.float64) for _ in layout.planes] for _ in range(2)]
    basis = BasisField(layout, fields)
    read_out = CoarseToFineReadOut(basis.channels, 1, width=8, native=native, coordinates=len(layout.axes)).double()
    for parameter in read_out.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return ImplicitFunction(basis, read_out)


# away from cell borders, where the interpolation has kinks
POINTS = torch.tensor([[0.05, 0.31, -0.13], [-0.42, 0.11, 0.55], [0.61, -0.58, 0.07]], dtype=torch.float64)[None]


@pytest.mark.parametrize("native", [None, 8])
@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("layout", [PlaneLayout.image(), PlaneLayout.triplane(), PlaneLayout.video()])
def test_first_derivatives(layout: PlaneLayout, twice: bool, native: int | None) -> None:
    function = smooth_function(layout, native)
    points = POINTS[..., : len(layout.axes)].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda c: function(c, twice_differentiable=twice), points, eps=1e-6)


@pytest.mark.parametrize("layout", [PlaneLayout.image(), PlaneLayout.triplane()])
def test_second_derivatives(layout: PlaneLayout) -> None:
    function = smooth_function(layout)
    points = POINTS[..., : len(layout.axes)].clone().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda c: function(c, twice_differentiable=True), points, eps=1e-6)


def test_eikonal_loss_reaches_planes_and_weights() -> None:
    """And no bias: a slope changes with a bias of a ReLU network in jumps only."""
    function = smooth_function(PlaneLayout.triplane())
    planes = [plane.requires_grad_() for scale in function.basis.fields for plane in scale]
    points = POINTS.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(points, twice_differentiable=True).sum(), points, create_graph=True)
    (slope.norm(dim=-1) - 1).square().mean().backward()
    named = {f"plane {i}": plane for i, plane in enumerate(planes)} | dict(function.read_out.named_parameters())
    reached = {name for name, one in named.items() if one.grad is not None and one.grad.abs().sum() > 0}
    assert reached == {name for name in named if not name.endswith("bias")}
    assert all(torch.isfinite(named[name].grad).all() for name in reached)  # type: ignore[arg-type]


def test_planes_get_gradients_through_grids() -> None:
    plane = torch.randn(1, 2, 5, 5, dtype=torch.float64, requires_grad=True)

    def read(values: Tensor) -> Tensor:
        basis = BasisField(PlaneLayout.image(), [[values]])
        read_out = CoarseToFineReadOut(basis.channels, 1, width=4).double()
        torch.manual_seed(0)
        for parameter in read_out.parameters():
            torch.nn.init.normal_(parameter)
        return ImplicitFunction(basis, read_out).grid((4, 3))

    assert torch.autograd.gradcheck(read, plane)
