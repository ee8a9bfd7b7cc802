"""Points to planes: cells, what is pooled over them, and where in its cell a point is."""

from __future__ import annotations

import pytest
import torch

from ddmi_fields import PlaneLayout
from ddmi_modalities.networks.point_encoder import LocalPoolPointNet, PointEncoderConfig, cell_offsets, plane_pools
from ddmi_vae import PlaneEncoderConfig

LAYOUT = PlaneLayout.triplane()


def test_pools_are_those_of_a_loop_over_cells() -> None:
    torch.manual_seed(0)
    coords, features = torch.rand(2, 40, 3) * 2.4 - 1.2, torch.randn(2, 40, 5)
    for (column, row), pool in zip(LAYOUT.plane_axes, plane_pools(coords, LAYOUT, 4), strict=True):
        maxima, means = pool.maximum(features), pool.plane_means(features)
        for item in range(2):
            cell = [
                tuple(min(max(int((float(c) + 1) / 2 * 4), 0), 3) for c in (point[column], point[row]))
                for point in coords[item]
            ]
            for x, y in {(x, y) for x in range(4) for y in range(4)}:
                inside = torch.tensor([i for i, at in enumerate(cell) if at == (x, y)], dtype=torch.long)
                mean = means[item, y * 4 + x]
                if len(inside):
                    torch.testing.assert_close(mean, features[item, inside].mean(0))
                    torch.testing.assert_close(
                        maxima[item, inside], features[item, inside].amax(0).expand(len(inside), -1)
                    )
                else:
                    assert not mean.any()


def test_offsets_are_places_inside_the_cell() -> None:
    coords = torch.tensor([[[-1.0, -0.75, -0.5], [0.0, 0.125, 0.999999], [1.0, 1.3, -1.2]]])
    expected = torch.tensor([[[-1.0, 0.0, -1.0], [-1.0, -0.5, 1.0], [1.0, 1.0, -1.0]]])
    torch.testing.assert_close(cell_offsets(coords, 4), expected, atol=1e-4, rtol=0)


def test_a_network_with_offsets_tells_places_in_a_cell_apart() -> None:
    torch.manual_seed(0)
    one, other = torch.full((1, 1, 3), 0.02), torch.full((1, 1, 3), 0.23)  # both in the cells that begin at 0
    change = {}
    for offsets in (False, True):
        torch.manual_seed(0)
        network = LocalPoolPointNet(LAYOUT, 3, 8, hidden=8, blocks=2, size=8, offsets=offsets)
        change[offsets] = max((a - b).abs().max().item() for a, b in zip(network(one), network(other), strict=True))
    assert change[True] > 2 * change[False] > 0


def test_points_keep_their_channels_with_offsets() -> None:
    network = LocalPoolPointNet(LAYOUT, 6, 8, hidden=8, blocks=2, size=8, offsets=True)
    planes = network(torch.rand(2, 10, 6))
    assert [plane.shape for plane in planes] == [(2, 8, 8, 8)] * 3
    with pytest.raises(ValueError, match=r"wanted points \(batch, point, 6\)"):
        network(torch.rand(2, 10, 9))


def test_planes_that_cannot_be_reduced_are_refused_when_built() -> None:
    with pytest.raises(ValueError, match=r"planes of 30 cells a side cannot be reduced by 4; .* such as 32"):
        PointEncoderConfig(size=30, hidden=8, blocks=1, planes=PlaneEncoderConfig(in_channels=8, width=8)).build(
            LAYOUT, 4
        )
