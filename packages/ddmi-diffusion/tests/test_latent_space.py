from __future__ import annotations

import pickle

import pytest
import torch

from ddmi_diffusion import LatentSpace

SHAPES = ((4, 3, 5), (4, 2, 5), (4, 2, 3))


def random_space(packing: str, shapes: tuple[tuple[int, int, int], ...]) -> LatentSpace:
    torch.manual_seed(0)
    mean, std = (tuple(torch.rand(s[0]) + 0.5 for s in shapes) for _ in range(2))
    return LatentSpace(shapes, mean, std, packing)  # type: ignore[arg-type]


def test_row_packs_plane_after_plane_row_by_row() -> None:
    space = LatentSpace.identity(SHAPES, "row")
    planes = tuple(torch.arange(4 * h * w).reshape(1, 4, h, w).float() + 1000 * p for p, (_, h, w) in enumerate(SHAPES))
    packed = space.pack(planes)
    assert packed.shape == (1, 4, 15 + 10 + 6)
    slow = [planes[p][0, 2, r, c] for p, (_, h, w) in enumerate(SHAPES) for r in range(h) for c in range(w)]
    assert packed[0, 2].tolist() == [float(x) for x in slow]


def test_grid_stacks_planes_on_channels() -> None:
    space = LatentSpace.identity([(4, 3, 5)] * 3)
    planes = tuple(torch.full((2, 4, 3, 5), float(p)) for p in range(3))
    assert space.pack(planes)[:, ::4].mean((0, 2, 3)).tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(("packing", "shapes"), [("row", SHAPES), ("grid", (SHAPES[0],) * 3), ("grid", SHAPES[:1])])
def test_unpack_undoes_pack(packing: str, shapes: tuple[tuple[int, int, int], ...]) -> None:
    space = random_space(packing, shapes)
    planes = tuple(torch.randn(2, *s) for s in shapes)
    for back, plane in zip(space.unpack(space.pack(planes)), planes, strict=True):
        torch.testing.assert_close(back, plane)


def test_fit_whitens_sampled_latents() -> None:
    torch.manual_seed(0)
    scale = torch.tensor([0.1, 1.0, 5.0])[:, None, None]
    means = tuple(scale * torch.randn(400, 3, 4, 4) + 2 for _ in range(2))
    stds = tuple(scale * torch.rand(400, 3, 4, 4) for _ in range(2))
    batches = [(tuple(m[i : i + 64] for m in means), tuple(s[i : i + 64] for s in stds)) for i in range(0, 400, 64)]
    space = LatentSpace.fit(batches)
    z = tuple(m + s * torch.randn_like(m) for m, s in zip(means, stds, strict=True))
    white = space.pack(z)
    torch.testing.assert_close(white.mean((0, 2, 3)), torch.zeros(6), atol=0.05, rtol=0)
    torch.testing.assert_close(white.std((0, 2, 3)), torch.ones(6), atol=0.05, rtol=0)


def test_tensors_round_trip() -> None:
    space = random_space("row", SHAPES)
    again = LatentSpace.from_tensors(space.tensors(), SHAPES, "row")
    planes = tuple(torch.randn(1, *s) for s in SHAPES)
    torch.testing.assert_close(again.pack(planes), space.pack(planes), rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"lack \['std.2'\]"):
        LatentSpace.from_tensors({k: v for k, v in space.tensors().items() if k != "std.2"}, SHAPES, "row")


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="use packing='row'"):
        LatentSpace.identity(SHAPES, "grid")
    with pytest.raises(ValueError, match="same channels"):
        LatentSpace.identity([(4, 2, 2), (3, 2, 2)], "row")
    with pytest.raises(ValueError, match="collapsed channel"):
        LatentSpace(((1, 2, 2),), (torch.zeros(1),), (torch.zeros(1),))
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="mean of plane 0 must be finite"):
            LatentSpace(((1, 2, 2),), (torch.tensor([bad]),), (torch.ones(1),))
        with pytest.raises(ValueError, match="std of plane 0 must be positive and finite"):
            LatentSpace(((1, 2, 2),), (torch.zeros(1),), (torch.tensor([bad]),))
    with pytest.raises(ValueError, match="wanted planes of"):
        LatentSpace.identity([(4, 2, 2)]).pack((torch.zeros(1, 4, 2, 3),))
    with pytest.raises(ValueError, match="no moments"):
        LatentSpace.fit([])


def test_statistics_that_were_first_used_in_inference_mode_can_be_differentiated_by_and_are_not_pickled() -> None:
    used = LatentSpace.fit(torch.randn(20, 2, 4, 4))
    z = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    with torch.inference_mode():
        used.unpack(z)
    z.requires_grad_()
    used.unpack(z)[0].square().sum().backward()
    assert z.grad is not None
    again = pickle.loads(pickle.dumps(used))
    assert not again._sent
    assert torch.equal(again.unpack(z)[0], used.unpack(z)[0])
