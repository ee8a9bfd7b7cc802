from __future__ import annotations

from typing import Any

import pytest
import torch

from ddmi_diffusion import Conditioning, LatentDiffusion, NoiseConfig, PlaneUNet, UNetConfig
from ddmi_diffusion.unet import timestep_embedding

SMALL: dict[str, Any] = dict(
    width=16, multipliers=(1, 2), blocks=1, attention_factors=(1, 2), head_channels=8, groups=4
)
SHAPES = ((4, 6, 8), (4, 5, 6), (4, 5, 8))


def perturbed(model: PlaneUNet) -> PlaneUNet:
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def test_starts_at_zero_and_keeps_the_shape_for_odd_sides() -> None:
    model = PlaneUNet(SHAPES, "row", UNetConfig(**SMALL))
    z = torch.randn(2, 4, 48 + 30 + 40)
    out = model(z, torch.tensor([0.0, 999.0]))
    assert out.shape == z.shape
    assert (out == 0).all()


def test_every_plane_sees_every_other() -> None:
    model = perturbed(PlaneUNet(SHAPES, "row", UNetConfig(**SMALL)))
    z = torch.randn(1, 4, 118, requires_grad=True)
    model(z, torch.tensor([5.0]))[..., :48].sum().backward()
    assert z.grad is not None
    assert all(part.abs().sum() > 0 for part in z.grad.split([48, 30, 40], dim=2))


def test_positions_tell_equal_planes_apart() -> None:
    shapes, z, t = ((4, 6, 8), (4, 6, 8)), torch.randn(1, 4, 96), torch.tensor([900.0])

    def swapped(planes: torch.Tensor) -> torch.Tensor:
        return planes.roll(48, dims=2)

    blind = perturbed(PlaneUNet(shapes, "row", UNetConfig(**SMALL)))
    torch.testing.assert_close(blind(swapped(z), t), swapped(blind(z, t)))
    placed = perturbed(PlaneUNet(shapes, "row", UNetConfig(positions=True, **SMALL)))
    assert not torch.allclose(placed(swapped(z), t), swapped(placed(z, t)), atol=1e-3)


def test_grid_of_equal_planes_is_a_unet_on_stacked_channels() -> None:
    three = perturbed(PlaneUNet([(4, 8, 8)] * 3, "grid", UNetConfig(positions=True, **SMALL)))
    one = perturbed(PlaneUNet([(12, 8, 8)], "grid", UNetConfig(positions=True, **SMALL)))
    one.load_state_dict(three.state_dict())
    z, t = torch.randn(2, 12, 8, 8), torch.tensor([3.0, 700.0])
    torch.testing.assert_close(three(z, t), one(z, t))


def test_time_and_condition_matter_and_masked_tokens_do_not() -> None:
    model = perturbed(PlaneUNet([(4, 8, 8)], config=UNetConfig(**SMALL), condition=6))
    z, t = torch.randn(2, 4, 8, 8), torch.tensor([3.0, 3.0])
    tokens, mask = torch.randn(2, 3, 6), torch.tensor([[True, True, False]] * 2)
    out = model(z, t, Conditioning(tokens, mask))
    assert not torch.allclose(out, model(z, t + 500, Conditioning(tokens, mask)))
    assert not torch.allclose(out, model(z, t, Conditioning(tokens + 1, mask)))
    changed = tokens.clone()
    changed[:, 2] = 99.0
    torch.testing.assert_close(out, model(z, t, Conditioning(changed, mask)))


def test_timestep_embedding_is_cosines_then_sines() -> None:
    embedded = timestep_embedding(torch.tensor([7.0]), 8)[0]
    frequencies = torch.tensor([1.0, 10000**-0.25, 10000**-0.5, 10000**-0.75])
    torch.testing.assert_close(embedded, torch.cat(((7 * frequencies).cos(), (7 * frequencies).sin())))


def test_conditioning_errors_and_joins() -> None:
    mask = torch.tensor([[True, False]])
    short, long = Conditioning(torch.ones(1, 2, 3), mask), Conditioning(torch.zeros(1, 4, 3), torch.ones(1, 4).bool())
    both = Conditioning.cat(short, long)
    assert both.tokens.shape == (2, 4, 3)
    assert both.mask[0].tolist() == [True, False, False, False]
    kept = both.where(torch.tensor([True, False]), short)
    assert kept.mask.sum(1).tolist() == [1, 1]
    with pytest.raises(ValueError, match="no unmasked token"):
        Conditioning(torch.zeros(1, 2, 3), torch.zeros(1, 2).bool())
    with pytest.raises(ValueError, match="1 conditions for|2 conditions for"):
        both.expand(3)
    with pytest.raises(ValueError, match="built without one"):
        PlaneUNet([(4, 8, 8)], config=UNetConfig(**SMALL))(torch.zeros(1, 4, 8, 8), torch.zeros(1), short)
    with pytest.raises(ValueError, match="head_channels 7"):
        PlaneUNet([(4, 8, 8)], config=UNetConfig(**{**SMALL, "head_channels": 7}))


def test_mixed_prediction_starts_as_the_gaussian_answer() -> None:
    """At s = sigmoid(-6) the prediction is almost sigma_t z_t, exact for N(0, 1) latents."""
    model = PlaneUNet([(4, 8, 8)], config=UNetConfig(**SMALL))
    diffusion = LatentDiffusion(model, NoiseConfig(), (4, 8, 8), mixed=-6.0)
    z, t = torch.randn(2, 4, 8, 8), torch.tensor([100.0, 900.0])
    _, sigma = diffusion.noise.coefficients(t, z)
    torch.testing.assert_close(diffusion.predict(z, t), sigma * z, rtol=0.01, atol=0.01)
    with pytest.raises(ValueError, match="mixed prediction mixes eps"):
        LatentDiffusion(model, NoiseConfig(prediction="v"), (4, 8, 8), mixed=-6.0)
    with pytest.raises(ValueError, match="made for packed latents"):
        diffusion.loss(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), torch.zeros(1))


@pytest.mark.slow
def test_learns_a_two_point_distribution() -> None:
    """Latents are one of two fixed patterns; after training every sample is close to one of them, and both occur."""
    torch.manual_seed(0)
    patterns = torch.randn(2, 2, 4, 4)
    model = PlaneUNet(
        [(2, 4, 4)], config=UNetConfig(width=32, multipliers=(1, 2), blocks=1, attention_factors=(2,), groups=8)
    )
    diffusion = LatentDiffusion(model, NoiseConfig(prediction="v"), (2, 4, 4))
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(250):
        z = patterns[torch.randint(2, (64,), generator=generator)]
        t = diffusion.noise.sample_times(torch.rand(64, generator=generator))
        loss = diffusion.loss(z, torch.randn(z.shape, generator=generator), t).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    samples = diffusion.sample(32, num_steps=20)
    distance = (samples[:, None] - patterns).square().flatten(2).mean(2)
    nearest, which = distance.min(1)
    assert nearest.median() < 0.05, nearest
    assert 0 < which.sum() < 32, "both patterns occur"
