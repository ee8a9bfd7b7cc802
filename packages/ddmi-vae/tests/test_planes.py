from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from ddmi_fields import CoarseToFineReadOut, PlaneLayout
from ddmi_vae import D2CVAE, PlaneDecoder, PlaneDecoderConfig, PlaneEncoder, PlaneEncoderConfig, reconstruct
from ddmi_vae.blocks import Downsample, PlaneAttention, PlaneMixing, TokenAttention, Upsample, group_norm, on_each

SMALL: dict[str, Any] = dict(width=8, multipliers=(1, 2, 2), blocks=1, groups=4)


def test_sides_are_halved_along_scaled_axes_only() -> None:
    layout = PlaneLayout.video()
    encoder = PlaneEncoder(layout, 4, PlaneEncoderConfig(in_channels=3, mixing="tokens", scaled_axes="xy", **SMALL))
    planes = tuple(torch.randn(2, 3, *s) for s in layout.plane_sizes({"x": 16, "y": 8, "t": 5}))
    moments = encoder(planes)
    assert [tuple(m.shape) for m in moments] == [(2, 8, 2, 4), (2, 8, 5, 2), (2, 8, 5, 4)]
    decoder = PlaneDecoder(
        layout, 4, PlaneDecoderConfig(channels=6, scales=2, mixing="tokens", scaled_axes="xy", **SMALL)
    )
    basis = decoder(tuple(m.chunk(2, 1)[0] for m in moments))
    assert [[tuple(p.shape[1:]) for p in scale] for scale in basis.fields] == [
        [(6, 4, 8), (6, 5, 4), (6, 5, 8)],
        [(6, 8, 16), (6, 5, 8), (6, 5, 16)],
    ]


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_basis_fields_are_the_finest_levels(scales: int) -> None:
    decoder = PlaneDecoder(PlaneLayout.image(), 4, PlaneDecoderConfig(channels=6, scales=scales, **SMALL))
    sizes = [scale[0].shape[-1] for scale in decoder((torch.randn(1, 4, 2, 2),)).fields]
    assert sizes == [2, 4, 8][-scales:]


def test_basis_fields_are_float32_under_half_precision() -> None:
    decoder = PlaneDecoder(PlaneLayout.image(), 4, PlaneDecoderConfig(channels=6, **SMALL))
    with torch.autocast("cpu", torch.bfloat16):
        fields = decoder((torch.randn(1, 4, 2, 2),)).fields
    assert [plane.dtype for scale in fields for plane in scale] == [torch.float32] * 3


def test_planes_alike_go_through_a_layer_together_and_keep_their_places() -> None:
    seen: list[tuple[int, ...]] = []

    def layer(planes: torch.Tensor, sign: int) -> torch.Tensor:
        seen.append(tuple(planes.shape))
        return sign * planes

    planes = [torch.randn(2, 3, *sides) for sides in ((4, 4), (5, 4), (4, 4), (4, 4))]
    signs = (1, 1, -1, 1)
    made = on_each(layer, planes, signs)
    assert sorted(seen) == [(2, 3, 4, 4), (2, 3, 5, 4), (4, 3, 4, 4)]
    for sign, plane, after in zip(signs, planes, made, strict=True):
        assert torch.equal(after, sign * plane)


def test_patch_reduces_in_one_step() -> None:
    encoder = PlaneEncoder(PlaneLayout.image(), 4, PlaneEncoderConfig(in_channels=3, patch=2, **SMALL))
    assert encoder(torch.randn(1, 3, 32, 24))[0].shape == (1, 8, 4, 3)


@pytest.mark.parametrize("patch", [1, 2, 3])
def test_every_cell_is_seen(patch: int) -> None:
    """By one latent cell at least: none is lost at the right and the bottom."""
    options = dict(SMALL, multipliers=(1, 2))
    encoder = PlaneEncoder(PlaneLayout.image(), 4, PlaneEncoderConfig(in_channels=3, patch=patch, **options))
    image = torch.randn(1, 3, 4 * patch, 6 * patch, requires_grad=True)
    (slope,) = torch.autograd.grad(encoder(image)[0].square().sum(), image)
    assert (slope.abs().sum(1) > 0).all()


@pytest.mark.parametrize(
    ("patch", "scaled_axes", "sides", "reduced", "such_as"),
    [
        (1, None, (8, 10), (4, 4), (8, 12)),
        (1, None, (9, 8), (4, 4), (12, 8)),
        (2, None, (27, 19), (8, 8), (32, 24)),
        (2, None, (32, 4), (8, 8), (32, 8)),
        (3, "x", (7, 12), (3, 12), (9, 12)),
        (3, "x", (6, 18), (3, 12), (6, 24)),
        (1, None, (0, 8), (4, 4), (4, 8)),
    ],
)
def test_sides_that_cannot_be_divided_are_refused(
    patch: int, scaled_axes: str | None, sides: tuple[int, int], reduced: tuple[int, int], such_as: tuple[int, int]
) -> None:
    config = PlaneEncoderConfig(in_channels=3, patch=patch, scaled_axes=scaled_axes, **SMALL)
    encoder = PlaneEncoder(PlaneLayout.image(), 4, config)
    says = f"plane 'xy' of {sides} cells (rows, columns) is reduced by {reduced}, which must divide it; "
    with pytest.raises(ValueError, match=re.escape(says) + ".* multiples, such as " + re.escape(str(such_as))):
        encoder(torch.zeros(1, 3, *sides))
    assert encoder(torch.zeros(1, 3, *such_as))[0].shape[2:] == tuple(
        n // f for n, f in zip(such_as, reduced, strict=True)
    )


def test_hooks_of_every_convolution_see_its_use() -> None:
    layout = PlaneLayout.image()
    encoder = PlaneEncoder(layout, 4, PlaneEncoderConfig(in_channels=3, **SMALL))
    decoder = PlaneDecoder(layout, 4, PlaneDecoderConfig(channels=6, **SMALL))
    seen: set[str] = set()
    convolutions = {
        name: module
        for name, module in torch.nn.ModuleList([encoder, decoder]).named_modules()
        if isinstance(module, torch.nn.Conv1d | torch.nn.Conv2d)
    }
    for name, module in convolutions.items():
        module.register_forward_hook(lambda *_, name=name: seen.add(name))
    decoder((encoder(torch.randn(1, 3, 8, 8))[0].chunk(2, 1)[0],))
    assert seen == set(convolutions)


def test_no_items() -> None:
    options = dict(SMALL, mixing="tokens")
    encoder = PlaneEncoder(PlaneLayout.triplane(), 4, PlaneEncoderConfig(in_channels=3, **options))
    decoder = PlaneDecoder(PlaneLayout.triplane(), 4, PlaneDecoderConfig(channels=6, **options))
    vae = D2CVAE(encoder, decoder, CoarseToFineReadOut([6] * 3, 3, width=16))
    posterior = vae.encode(tuple(torch.zeros(0, 3, 8, 8) for _ in range(3)))
    assert posterior.kl().shape == (0,)
    values = vae.function(posterior.mean).grid((3, 4, 5))
    assert values.shape == (0, 3, 3, 4, 5)
    values.sum().backward()


def test_items_of_a_batch_do_not_see_each_other() -> None:
    encoder = PlaneEncoder(PlaneLayout.triplane(), 4, PlaneEncoderConfig(in_channels=3, mixing="channels", **SMALL))
    planes = tuple(torch.randn(2, 3, 8, 8) for _ in range(3))
    both = encoder(planes)
    for i in range(2):
        alone = encoder(tuple(plane[i : i + 1] for plane in planes))
        for a, b in zip(both, alone, strict=True):
            torch.testing.assert_close(a[i : i + 1], b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("mixing", "sees"), [("none", False), ("channels", True), ("tokens", True)])
def test_mixing_lets_planes_see_each_other(mixing: Any, sees: bool) -> None:
    encoder = PlaneEncoder(PlaneLayout.triplane(), 4, PlaneEncoderConfig(in_channels=3, mixing=mixing, **SMALL))
    planes = [torch.randn(1, 3, 8, 8) for _ in range(3)]
    before = encoder(tuple(planes))
    for i in range(3):
        after = encoder(tuple(plane + (i == j) for j, plane in enumerate(planes)))
        changed = [not torch.allclose(a, b) for a, b in zip(before, after, strict=True)]
        assert changed == [sees or i == j for j in range(3)]


def test_attention_is_the_written_formula() -> None:
    attention = TokenAttention(8, heads=2, groups=4)
    x = torch.randn(1, 8, 5)
    h = attention.norm(x)
    q, k, v = (m(h)[0].reshape(2, 4, 5) for m in (attention.query, attention.key, attention.value))
    heads = [v[i] @ torch.softmax(q[i].T @ k[i] / 2.0, dim=-1).T for i in range(2)]
    torch.testing.assert_close(attention(x), x + attention.out(torch.cat(heads)[None]), atol=1e-5, rtol=1e-5)
    plane = PlaneAttention(8, heads=2, groups=4)
    plane.load_state_dict(attention.state_dict())
    image = torch.randn(1, 8, 3, 4)
    torch.testing.assert_close(plane(image).flatten(2), attention(image.flatten(2)))


@pytest.mark.usefixtures("_untyped")
def test_wrong_inputs_name_the_plane_and_the_remedy() -> None:
    encoder = PlaneEncoder(PlaneLayout.image(), 4, PlaneEncoderConfig(in_channels=3, **SMALL))
    with pytest.raises(ValueError, match=r"wanted 1 planes \('xy',\) of \(batch, 3, rows, columns\)"):
        encoder((torch.zeros(1, 1, 8, 8),))
    with pytest.raises(ValueError, match="PlaneDecoder: wanted 1 planes"):
        PlaneDecoder(PlaneLayout.image(), 4, PlaneDecoderConfig(channels=6, **SMALL))((torch.zeros(1, 5, 2, 2),))
    with pytest.raises(ValueError, match="scales must be 1 to 3"):
        PlaneDecoder(PlaneLayout.image(), 4, PlaneDecoderConfig(channels=6, scales=4, **SMALL))
    with pytest.raises(ValueError, match="not all axes"):
        PlaneEncoder(PlaneLayout.image(), 4, PlaneEncoderConfig(in_channels=3, scaled_axes="xt", **SMALL))
    with pytest.raises(ValueError, match="use 'tokens'"):
        PlaneMixing("channels", 2, 4, groups=2)([torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 3)])
    with pytest.raises(ValueError, match="mixing must be 'none', 'channels' or 'tokens', got 'sum'"):
        PlaneMixing("sum", 2, 4, groups=2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="4 channels cannot be split into 3 heads"):
        TokenAttention(4, heads=3, groups=2)


def test_state_dict_round_trip_gives_the_same_function() -> None:
    def make() -> D2CVAE:
        encoder = PlaneEncoder(PlaneLayout.image(), 4, PlaneEncoderConfig(in_channels=3, **SMALL))
        decoder = PlaneDecoder(PlaneLayout.image(), 4, PlaneDecoderConfig(channels=6, **SMALL))
        return D2CVAE(encoder, decoder, CoarseToFineReadOut([6] * 3, 3, width=16, native=8))

    first, second = make(), make()
    second.load_state_dict(first.state_dict())
    image = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        wanted = reconstruct(first, image).grid((9, 7))
        torch.testing.assert_close(reconstruct(second, image).grid((9, 7)), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("scaled", [(True, True), (True, False), (False, True)])
def test_sampling_shortcuts_undo_each_other(scaled: tuple[bool, bool]) -> None:
    down, up = Downsample(8, shortcut=True), Upsample(8, shortcut=True)
    for module in (down, up):
        torch.nn.init.zeros_(module.conv.weight)
        torch.nn.init.zeros_(module.conv.bias)
    cells = torch.randn(2, 2 if all(scaled) else 4, 6, 4)
    x = cells.repeat_interleave(4 if all(scaled) else 2, dim=1)  # as many equal channels as cells become one
    small = down(x, scaled)
    assert small.shape == (2, 8, 3 if scaled[0] else 6, 2 if scaled[1] else 4)
    torch.testing.assert_close(up(small, scaled), x)


@pytest.mark.parametrize("scaled", [(True, True), (True, False), (False, True), (False, False)])
def test_sampling_is_the_written_convolutions(scaled: tuple[bool, bool]) -> None:
    x, down, up = torch.randn(2, 8, 6, 4), Downsample(8), Upsample(8)
    top, left = (0 if one else 1 for one in scaled)
    padded = torch.zeros(2, 8, top + 7, left + 5)  # one row and column of zeros after, and where not scaled before
    padded[:, :, top : top + 6, left : left + 4] = x
    steps = tuple(1 + one for one in scaled)
    wanted = F.conv2d(padded, down.conv.weight, down.conv.bias)[:, :, :: steps[0], :: steps[1]]
    torch.testing.assert_close(down(x, scaled), wanted)
    repeated = x.repeat_interleave(steps[0], 2).repeat_interleave(steps[1], 3)
    torch.testing.assert_close(up(x, scaled), F.conv2d(repeated, up.conv.weight, up.conv.bias, padding=1))


@pytest.mark.parametrize("shortcut", [False, True])
def test_odd_sides_are_halved_by_nothing(shortcut: bool) -> None:
    down = Downsample(8, shortcut=shortcut)
    assert down(torch.randn(1, 8, 6, 5), (True, False)).shape == (1, 8, 3, 5)
    for scaled in ((False, True), (True, True)):
        with pytest.raises(ValueError, match=r"Downsample: sides \(6, 5\) cannot be divided by \([12], 2\)"):
            down(torch.randn(1, 8, 6, 5), scaled)


def test_shortcuts_at_bad_widths() -> None:
    with pytest.raises(ValueError, match="use multiples of 4"):
        PlaneEncoder(
            PlaneLayout.image(), 4, PlaneEncoderConfig(in_channels=3, width=6, multipliers=(1, 2), shortcuts=True)
        )


@pytest.mark.parametrize("groups", [0, -8])
def test_no_groups_end_at_once(groups: int) -> None:
    with pytest.raises(ValueError, match=f"wanted at least 1 group, got {groups}"):
        group_norm(16, groups)
