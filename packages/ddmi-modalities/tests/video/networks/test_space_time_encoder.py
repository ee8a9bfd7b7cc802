"""The space-time transformer: its planes depend on what they should, at any size."""

from __future__ import annotations

import pytest
import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor

from ddmi_fields import PlaneLayout
from ddmi_modalities.video.networks.space_time_encoder import SpaceTimeEncoder, SpaceTimeEncoderConfig, cosine_modes
from ddmi_modalities.video.networks.transformer import Attention, Positions


def small(**options: int) -> SpaceTimeEncoder:
    torch.manual_seed(0)
    settings = dict(width=16, depth=1, heads=2, patch=4, expansion=2, pooling_depth=1, pooling_heads=2)
    return SpaceTimeEncoder(2, SpaceTimeEncoderConfig(**{**settings, **options})).eval()


@pytest.mark.parametrize(("frames", "rows", "columns"), [(5, 8, 12), (3, 16, 8)])
def test_planes_of_the_layout_at_any_size(frames: int, rows: int, columns: int) -> None:
    moments = small()((torch.randn(2, 3, frames, rows, columns),))
    sizes = PlaneLayout.video().plane_sizes({"x": columns // 4, "y": rows // 4, "t": frames})
    assert [tuple(plane.shape) for plane in moments] == [(2, 4, *size) for size in sizes]


def test_each_plane_sees_its_own_line() -> None:
    """Without layers the transformer is a sum of patches: a change at one place shows on the lines through it only."""
    encoder = small(depth=0)
    clip = torch.randn(1, 3, 5, 8, 12)
    changed = clip.clone()
    changed[0, :, 3, 4:8, 8:12] += 1  # frame 3, patch row 1, patch column 2
    with torch.no_grad():
        before, after = encoder((clip,)), encoder((changed,))
    places = [
        ((one - other).abs().sum((0, 1)) > 1e-6).nonzero().tolist() for one, other in zip(before, after, strict=True)
    ]
    assert places == [[[1, 2]], [[3, 1]], [[3, 2]]]  # xy: (y, x); yt: (t, y); xt: (t, x)


@pytest.mark.parametrize(("length", "modes"), [(7, 4), (3, 5)])
def test_modes_are_those_of_the_cosine_transform(length: int, modes: int) -> None:
    wanted = torch.zeros(modes, length)
    known = torch.from_numpy(scipy.fft.dct(torch.eye(length).numpy(), norm="ortho", axis=0))[:modes]
    wanted[: len(known)] = known
    torch.testing.assert_close(cosine_modes(length, modes), wanted)


def test_the_direct_path_carries_modes_of_patches_to_the_latent() -> None:
    encoder = small(direct=3)
    assert encoder.direct is not None
    clip = torch.randn(1, 3, 5, 8, 12)
    with torch.no_grad():
        made = encoder((clip,))
        for path in encoder.direct:
            path.weight.mul_(0)
            path.bias.mul_(0)
        plain = encoder((clip,))
        path = encoder.direct[0]
        path.weight[0, :3] = 1.0  # the first latent channel of xy: the colours' sum at the first pixel of each patch,
        path.weight[1, 96:99] = 1.0  # over all frames; the second: of the third mode in time
        xy = encoder((clip,))[0] - plain[0]
    corner = clip[0, :, :, ::4, ::4].sum(0)
    torch.testing.assert_close(xy[0, 0], corner.sum(0) / 5**0.5)
    torch.testing.assert_close(xy[0, 1], torch.einsum("t,tyx->yx", cosine_modes(5, 3)[2], corner))
    assert torch.equal(xy[0, 2:], torch.zeros_like(xy[0, 2:]))
    assert all(not torch.equal(one[:, :2], other[:, :2]) for one, other in zip(made, plain, strict=True))
    assert all(torch.equal(one[:, 2:], other[:, 2:]) for one, other in zip(made, plain, strict=True))


def test_layers_carry_everything_everywhere() -> None:
    encoder = small(depth=2)
    clip = torch.randn(1, 3, 4, 8, 8)
    changed = clip.clone()
    changed[0, :, 0, :4, :4] += 1
    with torch.no_grad():
        pairs = zip(encoder((clip,)), encoder((changed,)), strict=True)
        assert all(((one - other).abs().sum(1) > 1e-7).all() for one, other in pairs)


def test_attention_is_what_its_formula_says() -> None:
    torch.manual_seed(0)
    layer, x = Attention(8, 2, 6), torch.randn(3, 5, 8)
    q, k, v = (part.unflatten(-1, (2, 6)).transpose(1, 2) for part in layer.qkv(x).chunk(3, dim=-1))
    slow = torch.softmax(q @ k.transpose(2, 3) / 6**0.5, -1) @ v
    torch.testing.assert_close(layer(x), layer.out(slow.transpose(1, 2).flatten(2)))


def test_bfloat16_training_attends_alike() -> None:
    torch.manual_seed(0)
    layer, x = Attention(16, 2, 8), torch.randn(3, 7, 16)
    wanted = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        made = layer(x)
    assert made.requires_grad
    torch.testing.assert_close(made.float(), wanted, atol=0.03, rtol=0.05)


def test_turned_products_depend_on_distance_only() -> None:
    """`<R_a q, R_b k>` is a function of b - a, which is what makes the embedding relative."""
    cosine, sine = Positions(8).time(6, torch.device("cpu"))
    q, k = torch.randn(2, 8)

    def turned(x: Tensor, place: int) -> Tensor:
        pairs = torch.view_as_complex(x.reshape(4, 2))
        turn = torch.complex(cosine[place, ::2], sine[place, ::2])
        return torch.view_as_real(pairs * turn).flatten()

    products = torch.tensor([[turned(q, a) @ turned(k, b) for b in range(6)] for a in range(6)])
    for shift in range(-5, 6):
        diagonal = products.diagonal(shift)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert not torch.allclose(products[0, 0], products[0, 1])


def test_space_is_turned_by_rows_and_columns_apart() -> None:
    cosine, _ = Positions(8).space(2, 3, torch.device("cpu"))
    grid = cosine.reshape(2, 3, 8)
    assert torch.equal(grid[:, 0, :4], grid[:, 2, :4])  # the first half knows the row
    assert torch.equal(grid[0, :, 4:], grid[1, :, 4:])
    assert not torch.equal(grid[0, 0, 4:], grid[0, 1, 4:])


def test_gradients_reach_every_weight() -> None:
    encoder = small()
    loss = sum(plane.square().sum() for plane in encoder((torch.randn(1, 3, 4, 8, 8),)))
    assert isinstance(loss, Tensor)
    loss.backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in encoder.parameters())


def test_messages() -> None:
    with pytest.raises(ValueError, match=r"multiples of the patch of 4, got \(1, 3, 4, 8, 9\)"):
        small()((F.pad(torch.zeros(1, 3, 4, 8, 8), (0, 1)),))
    with pytest.raises(ValueError, match="width 16 cannot be split into 3 heads"):
        small(heads=3)
    with pytest.raises(ValueError, match="turned in fours, got 2"):
        small(heads=8)
