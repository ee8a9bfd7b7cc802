from __future__ import annotations

from typing import Any

import pytest
import torch

from ddmi_diffusion import Conditioning, DiTConfig, LatentDiffusion, NoiseConfig, PlaneDiT

SMALL: dict[str, Any] = dict(width=16, depth=2, head_channels=8)
SHAPES = ((4, 6, 8), (4, 4, 6), (4, 4, 8))


def perturbed(model: PlaneDiT) -> PlaneDiT:
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize("patch", [1, 2])
def test_starts_at_zero_and_keeps_the_shape(patch: int) -> None:
    model = PlaneDiT(SHAPES, "row", DiTConfig(patch=patch, **SMALL))
    z = torch.randn(2, 4, 48 + 24 + 32)
    out = model(z, torch.tensor([0.0, 999.0]))
    assert out.shape == z.shape
    assert (out == 0).all()


@pytest.mark.parametrize("patch", [1, 2])
def test_row_and_grid_are_two_layouts_of_one_network(patch: int) -> None:
    shapes = [(4, 4, 6)] * 3
    row, grid = (perturbed(PlaneDiT(shapes, packing, DiTConfig(patch=patch, **SMALL))) for packing in ("row", "grid"))
    planes, t = [torch.randn(2, 4, 4, 6) for _ in range(3)], torch.tensor([3.0, 700.0])
    from_row = row(torch.cat([p.flatten(2) for p in planes], dim=2), t)
    from_grid = grid(torch.cat(planes, dim=1), t)
    back = torch.cat([p.flatten(2) for p in from_grid.chunk(3, dim=1)], dim=2)
    torch.testing.assert_close(back, from_row)


def test_a_patch_keeps_its_place() -> None:
    # with all but the way through linear layers switched off, cell in = cell out
    model = PlaneDiT([(3, 4, 6)], config=DiTConfig(patch=2, width=12, depth=1, head_channels=6))
    torch.nn.init.eye_(model.stem.weight)
    torch.nn.init.zeros_(model.stem.bias)
    torch.nn.init.zeros_(model.position)
    torch.nn.init.eye_(model.out.weight)
    z = torch.randn(2, 3, 4, 6)
    tokens = z.unflatten(2, (2, 2)).unflatten(4, (3, 2)).permute(0, 2, 4, 1, 3, 5).flatten(3)  # b h w (c p q)
    normed = torch.nn.functional.layer_norm(tokens, (12,))
    expected = normed.unflatten(3, (3, 2, 2)).permute(0, 3, 1, 4, 2, 5).reshape(z.shape)
    torch.testing.assert_close(model(z, torch.zeros(2)), expected)


def test_time_condition_and_every_plane_matter_and_masked_tokens_do_not() -> None:
    model = perturbed(PlaneDiT(SHAPES, "row", DiTConfig(**SMALL), condition=6))
    z, t = torch.randn(2, 4, 104, requires_grad=True), torch.tensor([3.0, 3.0])
    tokens, mask = torch.randn(2, 3, 6), torch.tensor([[True, True, False]] * 2)
    out = model(z, t, Conditioning(tokens, mask))
    out[..., :48].sum().backward()
    assert z.grad is not None
    assert all(part.abs().sum() > 0 for part in z.grad.split([48, 24, 32], dim=2))
    assert not torch.allclose(out, model(z, t + 500, Conditioning(tokens, mask)))
    assert not torch.allclose(out, model(z, t, Conditioning(tokens + 1, mask)))
    changed = tokens.clone()
    changed[:, 2] = 99.0
    torch.testing.assert_close(out, model(z, t, Conditioning(changed, mask)))


def test_overfits_one_latent() -> None:
    torch.manual_seed(0)
    shapes = [(2, 4, 4)] * 3
    diffusion = LatentDiffusion(
        PlaneDiT(shapes, "row", DiTConfig(width=32, depth=2, head_channels=16)), NoiseConfig(prediction="v"), (2, 48)
    )
    z = torch.randn(1, 2, 48)
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=3e-3)
    for _ in range(300):
        t = diffusion.noise.sample_times(torch.rand(32))
        loss = diffusion.loss(z.expand(32, -1, -1), torch.randn(32, 2, 48), t).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error = (diffusion.sample(4, num_steps=20) - z).square().mean().sqrt()
    assert error < 0.15, f"samples are {float(error):.3f} from the only latent, whose standard deviation is 1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head_channels": 5}, "divisible by its 3 heads; choose another width, or head_channels other than 5"),
        ({"patch": 4}, "choose patch=1"),
    ],
)
def test_bad_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PlaneDiT(SHAPES, "row", DiTConfig(**{**SMALL, **options}))


def test_a_condition_that_it_was_not_built_for() -> None:
    model = PlaneDiT([(4, 4, 4)], config=DiTConfig(**SMALL))
    with pytest.raises(ValueError, match="pass condition=WIDTH"):
        model(torch.zeros(1, 4, 4, 4), torch.zeros(1), Conditioning(torch.zeros(1, 1, 6), torch.ones(1, 1, dtype=bool)))
