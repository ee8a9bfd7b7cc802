from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ddmi_fields import CoarseToFineReadOut, ConcatReadOut, ReadOut
from ddmi_fields.blocks import ModulatedLinear, ResidualBlock, StyledBlock, sinusoidal_embedding


@pytest.mark.parametrize("scales", [1, 2, 4])
@pytest.mark.parametrize("fusion", ["concat", "sum"])
@pytest.mark.parametrize("native", [None, 32])
def test_any_number_of_scales(scales: int, fusion: str, native: int | None) -> None:
    channels = [5, 6, 7, 8][:scales]
    read_out = CoarseToFineReadOut(channels, 3, width=16, fusion=fusion, native=native, coordinates=2)  # type: ignore[arg-type]
    values = read_out([torch.randn(2, 9, c) for c in channels], torch.randn(2, 9, 2))
    assert values.shape == (2, 9, 3)
    assert len(read_out.blocks) == scales + 1, "one block a scale and one more"


def test_coarse_to_fine_is_the_written_recursion() -> None:
    torch.manual_seed(0)
    read_out = CoarseToFineReadOut([4, 4, 4], 2, width=8)
    for parameter in read_out.parameters():
        torch.nn.init.normal_(parameter)
    p = [torch.randn(1, 5, 4) for _ in range(3)]
    blocks = read_out.blocks
    h = blocks[0](p[0])
    h = blocks[1](torch.cat((h, p[1]), -1))
    h = blocks[2](torch.cat((h, p[2]), -1))
    wanted = read_out.out(blocks[3](h))
    torch.testing.assert_close(read_out(p, torch.zeros(1, 5, 2)), wanted)


def test_fine_scale_reaches_the_value_only_through_later_blocks() -> None:
    torch.manual_seed(0)
    read_out = CoarseToFineReadOut([4, 4], 1, width=8)
    first: list[Tensor] = []
    read_out.blocks[0].register_forward_hook(lambda block, inputs, h: first.append(h))
    p = [torch.randn(1, 1, 4, requires_grad=True) for _ in range(2)]
    value = read_out(p, torch.zeros(1, 1, 2))
    assert torch.autograd.grad(first[0].sum(), p, retain_graph=True, allow_unused=True)[1] is None
    value.sum().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in p)


def test_modulated_weights_have_unit_norm_and_follow_the_style() -> None:
    layer = ModulatedLinear(6, 4, style=3)
    style = torch.randn(2, 3)
    weight = layer.modulated_weight(style)
    torch.testing.assert_close(weight.square().sum(-1), torch.ones(2, 4), atol=1e-4, rtol=0)
    h = torch.randn(2, 5, 6)
    slow = torch.stack([h[i] @ weight[i].T for i in range(2)]) + layer.bias
    torch.testing.assert_close(layer(h, style), slow, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("inputs", [6, 8])
def test_blocks_are_the_written_formulas(inputs: int) -> None:
    h, style = torch.randn(2, 5, inputs), torch.randn(2, 3)
    styled = StyledBlock(inputs, 8, style=3, layers=2)
    x = h
    for layer in styled.layers:
        x = 2**0.5 * F.leaky_relu(layer(x, style), 0.2)
    skip = h if styled.shortcut is None else h @ (styled.shortcut / inputs**0.5).T
    torch.testing.assert_close(styled(h, style), (x + skip) / 2**0.5, atol=1e-5, rtol=1e-5)
    plain = ResidualBlock(inputs, 8)
    assert torch.equal(plain(h), (h if plain.shortcut is None else plain.shortcut(h)) + plain.outer.bias)
    torch.nn.init.normal_(plain.outer.weight)
    wanted = plain.outer(plain.inner(h.relu()).relu()) + (h if plain.shortcut is None else plain.shortcut(h))
    torch.testing.assert_close(plain(h), wanted)
    assert (styled.shortcut is None) == (plain.shortcut is None) == (inputs == 8)


def test_sinusoidal_embedding_is_sines_then_cosines_down_to_one_in_ten_thousand() -> None:
    embedded = sinusoidal_embedding(torch.tensor([0.5]), 8)[0]
    frequencies = torch.tensor([1.0, 10000 ** (-1 / 3), 10000 ** (-2 / 3), 1e-4])
    torch.testing.assert_close(embedded, torch.cat(((0.5 * frequencies).sin(), (0.5 * frequencies).cos())))


@pytest.mark.parametrize("width", [5, 7])
def test_an_odd_width_has_one_sine_more(width: int) -> None:
    values = torch.tensor([0.5, 2.0])
    embedded, even = sinusoidal_embedding(values, width), sinusoidal_embedding(values, width + 1)
    torch.testing.assert_close(embedded, even[:, :width], rtol=0, atol=0)


@pytest.mark.parametrize("make", [CoarseToFineReadOut, ConcatReadOut])
@pytest.mark.parametrize("width", [4, 6, 20, 23, 28])
def test_any_width_is_conditioned_on_scale(make: type[CoarseToFineReadOut] | type[ConcatReadOut], width: int) -> None:
    torch.manual_seed(0)
    read_out = make([3], 2, width=width, native=8)
    one, half = (read_out([torch.ones(1, 5, 3)], torch.zeros(1, 5, 2), scale) for scale in (1.0, 0.5))
    assert one.shape == (1, 5, 2)
    assert not torch.allclose(one, half)
    with pytest.raises(ValueError, match=f"{make.__name__}: width .* or 4 with native.* got 3"):
        make([3], 2, width=3, native=8)


def test_concat_read_out_sees_all_scales_and_the_coordinate_at_the_input() -> None:
    torch.manual_seed(0)
    read_out = ConcatReadOut([3, 4], 2, width=8, blocks=2, coordinates=2)
    for parameter in read_out.parameters():
        torch.nn.init.normal_(parameter)
    p, coords = [torch.randn(1, 5, 3), torch.randn(1, 5, 4)], torch.randn(1, 5, 2)
    wanted = read_out.out(read_out.blocks[1](read_out.blocks[0](torch.cat((*p, coords), -1))))
    torch.testing.assert_close(read_out(p, coords), wanted)


@pytest.mark.parametrize("make", [CoarseToFineReadOut, ConcatReadOut])
@pytest.mark.parametrize("native", [None, 8])
@pytest.mark.parametrize(("batch", "queries"), [(0, 3), (2, 0), (0, 0)])
def test_no_functions_and_no_points(
    make: type[CoarseToFineReadOut] | type[ConcatReadOut], native: int | None, batch: int, queries: int
) -> None:
    read_out = make([3, 4], 2, width=16, native=native)
    p = [torch.zeros(batch, queries, width, requires_grad=True) for width in (3, 4)]
    scales = [None] if native is None else [None, 0.5, torch.ones(batch)]
    for scale in scales:
        values = read_out(p, torch.zeros(batch, queries, 2), scale)
        assert values.shape == (batch, queries, 2)
        values.sum().backward()
    assert all(one.grad is not None for one in p)


@pytest.mark.parametrize("make", [CoarseToFineReadOut, ConcatReadOut])
def test_both_are_conditioned_on_scale_alike(make: type[CoarseToFineReadOut] | type[ConcatReadOut]) -> None:
    torch.manual_seed(0)
    read_out = make([3, 4], 2, width=8, native=16)
    embeddings, coords = [torch.randn(2, 5, 3), torch.randn(2, 5, 4)], torch.zeros(2, 5, 2)
    one, half = read_out(embeddings, coords), read_out(embeddings, coords, 0.5)
    assert not torch.allclose(one, half)
    both = read_out(embeddings, coords, torch.tensor([1.0, 0.5]))
    torch.testing.assert_close(both, torch.stack((one[0], half[1])))
    with pytest.raises(ValueError, match=r"one number or \(2,\)"):
        read_out(embeddings, coords, torch.ones(3))
    with pytest.raises(ValueError, match=f"{make.__name__}: got a condition, but was built without one"):
        make([3, 4], 2, width=8)(embeddings, coords, 0.5)


@pytest.mark.parametrize("make", [CoarseToFineReadOut, ConcatReadOut])
def test_embeddings_of_another_basis_are_refused(make: type[CoarseToFineReadOut] | type[ConcatReadOut]) -> None:
    with pytest.raises(ValueError, match=r"embeddings of \[3, 4\] channels .* got \[4, 4\]; build it with"):
        make([3, 4], 1, width=8)([torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)], torch.zeros(1, 2, 2))


@pytest.mark.usefixtures("_untyped")
def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="fusion must be 'concat' or 'sum', got 'mean'"):
        CoarseToFineReadOut([3], 1, fusion="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one positive width"):
        CoarseToFineReadOut([], 1)
    with pytest.raises(ValueError, match="rows of a grid"):
        ConcatReadOut([3], 1, native=0)
    with pytest.raises(ValueError, match="at least one block"):
        ConcatReadOut([3], 1, blocks=0)
    with pytest.raises(ValueError, match="width counts hidden channels, at least 1.* got 0"):
        ConcatReadOut([3], 1, width=0)


def _read_out(make: type[ReadOut], native: int | None, **options: Any) -> ReadOut:
    torch.manual_seed(0)
    read_out = make([3, 4], 2, width=8, native=native, coordinates=2, **options)
    for parameter in read_out.parameters():
        torch.nn.init.normal_(parameter)
    return read_out


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("condition", [None, 0.5, "one a function"])
@pytest.mark.parametrize("native", [None, 16])
@pytest.mark.parametrize(
    ("make", "options"),
    [(CoarseToFineReadOut, {}), (CoarseToFineReadOut, {"fusion": "sum"}), (ConcatReadOut, {"blocks": 2})],
)
def test_a_prepared_read_out_reads_the_same(
    make: type[ReadOut], options: dict[str, Any], native: int | None, condition: Any, autocast: bool
) -> None:
    read_out, batch = _read_out(make, native, **options), 3
    p, coords = [torch.randn(batch, 5, 3), torch.randn(batch, 5, 4)], torch.randn(batch, 5, 2)
    scale = None if native is None else torch.tensor([0.3, 1.0, 2.0]) if isinstance(condition, str) else condition
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        wanted, read = read_out(p, coords, scale), read_out.prepared(scale, batch)
        given = [one.clone() for one in p]
        for _ in range(2):  # nothing of a call is left in it
            made = read(p, coords)
            tolerance = 0.05 if autocast else 1e-5
            torch.testing.assert_close(made, wanted, atol=tolerance * float(wanted.abs().max()), rtol=0)
    assert all(torch.equal(one, other) for one, other in zip(p, given, strict=True))


def test_a_prepared_read_out_calls_layers_that_have_hooks_and_forward_of_subclasses() -> None:
    class Doubled(CoarseToFineReadOut):
        def forward(self, *inputs: Any) -> Tensor:
            return 2 * super().forward(*inputs)

    p, coords = [torch.randn(1, 5, 3), torch.randn(1, 5, 4)], torch.randn(1, 5, 2)
    with torch.no_grad():
        plain, doubled = _read_out(CoarseToFineReadOut, 16), _read_out(Doubled, 16)
        wanted = plain(p, coords, 0.5)
        torch.testing.assert_close(doubled.prepared(0.5, 1)(p, coords), 2 * wanted)
        plain.out.register_forward_hook(lambda layer, inputs, values: values + 1)
        torch.testing.assert_close(plain.prepared(0.5, 1)(p, coords), wanted + 1)


@pytest.mark.parametrize("make", [CoarseToFineReadOut, ConcatReadOut])
def test_preparing_refuses_what_forward_refuses(make: type[ReadOut]) -> None:
    read_out = _read_out(make, 16)
    with pytest.raises(ValueError, match=r"the scale must be one number or \(3,\), got \(2,\)"):
        read_out.prepared(torch.ones(2), 3)
    with pytest.raises(ValueError, match=r"made for embeddings of \[3, 4\] channels"), torch.no_grad():
        read_out.prepared(1.0, 1)([torch.zeros(1, 5, 3)], torch.zeros(1, 5, 2))
    with pytest.raises(ValueError, match="built without one"):
        _read_out(make, None).prepared(0.5, 1)
