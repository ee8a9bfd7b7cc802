"""Power spectra of functions on the sphere, by spherical harmonics."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ddmi_modalities.geometry.sphere_grid import SphereGrid


def legendre(degrees: int, order: int, heights: Float64[np.ndarray, " place"]) -> Float64[np.ndarray, "degree place"]:
    """Associated Legendre functions of one order m and the degrees m to `degrees`, at z = sin(latitude).

    Normalised so that each harmonic P_lm(z) exp(i m longitude) has a mean square of 1 over the sphere.  The recurrence
    in the degree is stable (Holmes and Featherstone 2002, eqs. (11) to (13)).
    """
    away = np.sqrt(np.clip(1 - heights**2, 0, None))
    diagonal = np.ones_like(heights)
    for m in range(1, order + 1):
        diagonal = diagonal * away * np.sqrt((2 * m + 1) / (2 * m))
    found = [diagonal]
    for degree in range(order + 1, degrees + 1):
        a = np.sqrt((4 * degree**2 - 1) / (degree**2 - order**2))
        new = a * heights * found[-1]
        if degree > order + 1:
            b = np.sqrt(((degree - 1) ** 2 - order**2) / (4 * (degree - 1) ** 2 - 1))
            new = new - a * b * found[-2]
        found.append(new)
    return np.stack(found)


def power_spectrum(
    values: Float[Tensor, "*shape rows columns"], grid: SphereGrid, degrees: int
) -> Float[Tensor, "*shape degree"]:
    """Power of each degree from 0 to `degrees`: together the mean square over the sphere of what they make up.

    Fourier transforms along the rows, then for each order least squares over the rows, weighted by area: exact for
    functions of no higher degree.

    Raises:
        ValueError: The grid cannot tell so many degrees apart.
    """
    rows, columns = grid.shape
    if degrees < 0 or 2 * degrees >= columns or degrees >= rows:
        most = min((columns - 1) // 2, rows - 1)
        raise ValueError(f"power spectrum: a grid of {rows} x {columns} tells degrees to {most} apart, not {degrees}")
    waves = np.fft.rfft(values.double().cpu().numpy(), axis=-1) / columns
    heights, weights = np.sin(np.radians(grid.latitude)), np.sqrt(grid.row_shares)
    power = np.zeros((*values.shape[:-2], degrees + 1))
    for order in range(degrees + 1):
        basis = legendre(degrees, order, heights) * weights
        wave = np.moveaxis(waves[..., order] * weights, -1, 0).reshape(rows, -1)
        coefficients = np.linalg.lstsq(basis.T, wave, rcond=1e-10)[0].reshape(-1, *values.shape[:-2])
        # negative orders are the conjugates of positive ones
        power[..., order:] += (1 if order == 0 else 2) * np.moveaxis(np.abs(coefficients) ** 2, 0, -1)
    return torch.from_numpy(power)
