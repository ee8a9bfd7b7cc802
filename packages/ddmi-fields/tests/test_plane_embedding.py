from __future__ import annotations

import pytest
import torch

from ddmi_fields import CoarseToFineReadOut, ImplicitFunction, PlaneEmbedding, PlaneLayout, grid_coordinates


def test_embedding_concatenates_scales_for_any_batch() -> None:
    embed = PlaneEmbedding(PlaneLayout.triplane(), sizes=(4, (5, 6, 7)), channels=3)
    coords = torch.rand(2, 6, 3) * 2 - 1
    features = embed(coords)
    assert features.shape == (2, 6, embed.out_channels) == (2, 6, 6)
    torch.testing.assert_close(features[1:], embed(coords[1:]))


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


def test_state_dict_round_trip_and_compile() -> None:
    embed = PlaneEmbedding(PlaneLayout.image(), sizes=(4,), channels=3)
    other = PlaneEmbedding(PlaneLayout.image(), sizes=(4,), channels=3)
    other.load_state_dict(embed.state_dict())
    coords = torch.rand(1, 7, 2)
    torch.testing.assert_close(other(coords), embed(coords), rtol=0, atol=0)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="one an axis of 'xy'"):
        PlaneEmbedding(PlaneLayout.image(), sizes=((3, 4, 5),), channels=2)
    with pytest.raises(ValueError, match="at least one size"):
        PlaneEmbedding(PlaneLayout.image(), sizes=(), channels=2)
    with pytest.raises(Exception, match="batch,? query,? axis"):
        PlaneEmbedding(PlaneLayout.image(), sizes=(4,), channels=2)(torch.zeros(3, 2))
