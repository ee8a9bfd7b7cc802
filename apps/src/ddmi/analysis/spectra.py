"""Which spatial frequencies the basis fields hold: radially averaged power spectra of every scale and plane."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ddmi_fields import BasisField


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Of one plane of one scale.  Entry i of the vectors is the ring of frequency i + 1, in cycles per side."""

    scale: int
    """From 1, the coarsest."""
    plane: str
    """Its name in the layout."""
    size: tuple[int, int]
    """(rows, columns) of cells."""
    power: Float[Tensor, " ring"]
    """Mean power of a mode (one frequency in both directions) of the ring, in squared units of the basis field."""
    share: Float[Tensor, " ring"]
    """Part of all power in the ring; what is missing from 1 lies in the corners above the highest ring."""

    @property
    def median(self) -> float:
        """The frequency below which half of the rings' power lies, interpolated within its ring; 0 without power."""
        total = self.share.cumsum(0)
        if total[-1] <= 0:
            return 0.0
        half = total[-1] / 2
        ring = int((total < half).sum())
        before = total[ring - 1].item() if ring else 0.0
        return ring + 0.5 + (half.item() - before) / self.share[ring].item()


def basis_spectra(basis: BasisField) -> list[Spectrum]:
    """Spectra of all scales (coarse to fine) and planes, averaged over functions and channels.

    Planes of a single cell hold no frequency and are left out.
    """
    return [
        Spectrum(scale=number, plane=name, size=(plane.shape[2], plane.shape[3]), power=power, share=share)
        for number, planes in enumerate(basis.fields, start=1)
        for name, plane in zip(basis.layout.planes, planes, strict=True)
        if max(plane.shape[2:]) > 1
        for power, share in [power_spectrum(plane)]
    ]


def power_spectrum(
    plane: Float[Tensor, "batch channel rows columns"],
) -> tuple[Float[Tensor, " ring"], Float[Tensor, " ring"]]:
    """Mean power of the modes of each ring, and each ring's part of all power, from 1 cycle a side to the highest.

    A plane is not periodic: without a window the jump from one border to the other would look like power at all
    frequencies (a floor of 1 / f^2).  A Hann window along both axes removes it and widens a peak by one cycle to either
    side.  The windowed mean is subtracted before; powers of all modes add up to the windowed variance.
    """
    rows, columns = plane.shape[2:]
    values = plane.detach().cpu().double()
    window = torch.outer(*(torch.hann_window(n, dtype=torch.float64) for n in (rows, columns)))
    values = (values - (values * window).sum((2, 3), keepdim=True) / window.sum()) * window
    modes = torch.fft.fft2(values).abs().square().mean((0, 1)) / (rows * columns * window.square().sum())
    frequencies = [torch.fft.fftfreq(n, 1 / n, dtype=torch.float64) for n in (rows, columns)]
    ring = torch.hypot(frequencies[0][:, None], frequencies[1][None]).round().long().flatten()
    highest = max(rows, columns) // 2
    sums = torch.zeros(int(ring.max()) + 1, dtype=torch.float64)
    counts = torch.bincount(ring, minlength=len(sums))
    sums.index_add_(0, ring, modes.flatten())
    total = modes.sum().clamp_min(torch.finfo(torch.float64).tiny)
    rings = slice(1, highest + 1)
    return (sums / counts.clamp_min(1))[rings], (sums / total)[rings]


def write_csv(spectra: Iterable[Spectrum], path: Path) -> None:
    """One line a ring: scale, plane, rows, columns, frequency (cycles a side), power, share."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("scale", "plane", "rows", "columns", "frequency", "power", "share"))
        for one in spectra:
            for ring, (power, share) in enumerate(zip(one.power.tolist(), one.share.tolist(), strict=True), start=1):
                writer.writerow((one.scale, one.plane, *one.size, ring, f"{power:.6g}", f"{share:.6g}"))
