"""Spherical harmonics against SciPy's Legendre functions, and functions whose spectra are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import torch

from ddmi_modalities.geometry.sphere_grid import SphereGrid
from ddmi_modalities.metrics.sphere_spectra import legendre, power_spectrum

GRIDS = [SphereGrid(np.linspace(90, -90, 25), -180 + 7.5 * np.arange(48)), SphereGrid.even(24)]


def test_legendre_functions_are_those_of_scipy() -> None:
    z = np.linspace(-1, 1, 41)
    for m in range(8):
        for place, l in enumerate(range(m, 13)):
            scale = math.sqrt((2 * l + 1) * math.factorial(l - m) / math.factorial(l + m))
            found = legendre(12, m, z)[place]
            np.testing.assert_allclose(found, (-1) ** m * scale * scipy.special.lpmv(m, l, z), atol=1e-10)


@pytest.mark.parametrize("grid", GRIDS)
def test_a_harmonic_has_its_power_at_its_degree(grid: SphereGrid) -> None:
    z, east = np.sin(np.radians(grid.latitude))[:, None], np.radians(grid.longitude)
    for l, m in ((0, 0), (1, 0), (3, 2), (7, 7), (10, 4)):
        wave = (
            legendre(l, m, z[:, 0])[-1][:, None] * np.cos(m * east + 0.3) * (math.sqrt(2) if m else 1 / math.cos(0.3))
        )
        power = power_spectrum(torch.from_numpy(3 * wave), grid, 10)
        wanted = torch.zeros(11, dtype=torch.float64)
        wanted[l] = 9
        torch.testing.assert_close(power, wanted, atol=1e-9, rtol=0)


def test_together_the_degrees_are_the_mean_square() -> None:
    grid, rng = SphereGrid.even(48), np.random.default_rng(0)
    x, y, z = grid.points.double().unbind(-1)
    a, b, c = rng.normal(size=3)
    values = torch.stack((a + b * x * y - c * z**3 + x, z * y**2))
    power = power_spectrum(values, grid, 6)
    assert power.shape == (2, 7)
    # the grid's own mean squares are exact to the second order of its step only
    torch.testing.assert_close(power.sum(-1), grid.mean(values**2), rtol=3e-3, atol=0)
    assert power[:, 4:].max() < 1e-12


def test_grids_that_are_too_coarse_say_so() -> None:
    with pytest.raises(ValueError, match="a grid of 24 x 48 tells degrees to 23 apart, not 24"):
        power_spectrum(torch.zeros(24, 48), SphereGrid.even(24), 24)
