"""Even points: where they lie, and what they are for."""

from __future__ import annotations

import pytest
import torch

from ddmi_modalities.grid_query import even_points


def shifts(batch: int, axes: int) -> torch.Tensor:
    return torch.rand(batch, axes, generator=torch.Generator().manual_seed(0))


def test_one_axis_is_the_golden_ratio() -> None:
    points = even_points(torch.zeros(1, 1), 5)[0, :, 0]
    torch.testing.assert_close(points, torch.arange(5).double() * (5**0.5 - 1) / 2 % 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_points_are_uniform_and_in_the_half_open_cube(axes: int) -> None:
    points = even_points(shifts(4000, axes), 3)
    assert points.shape == (4000, 3, axes)
    assert points.min() >= 0
    assert points.max() < 1
    quarters = torch.histc(points[:, 2].flatten(), 4, 0, 1) / points[:, 2].numel()
    assert (quarters - 0.25).abs().max() < 0.03, "any one of them"


def test_every_cell_has_about_its_share() -> None:
    points = even_points(shifts(8, 3), 2048)
    cells = (points * 8).long()
    counts = torch.stack([torch.bincount(c @ torch.tensor([64, 8, 1]), minlength=512) for c in cells]).float()
    assert counts.mean() == 4
    assert counts.var() < 0.5 * 4, "independent points would have a variance of about 4"


def test_means_over_them_are_unbiased_and_vary_less() -> None:
    def field(points: torch.Tensor) -> torch.Tensor:
        return (torch.linalg.vector_norm(points - 0.5, dim=-1) < 0.4).double().mean(dim=1)

    even = field(even_points(shifts(400, 3), 512))
    independent = field(torch.rand(400, 512, 3, generator=torch.Generator().manual_seed(1)))
    ball = 4 / 3 * torch.pi * 0.4**3
    assert abs(even.mean() - ball) < 3 * even.std() / 20
    assert even.std() < 0.5 * independent.std()
