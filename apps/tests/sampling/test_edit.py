"""Functions like given ones, from a part of the noise process on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ddmi import DDMI


def test_edits_lie_between_the_reconstruction_and_a_sample(tiny_run: Path) -> None:
    model = DDMI.from_pretrained(tiny_run)
    modality = model.experiment.modality
    data = modality.dataset("test")
    inputs = modality.inputs([data[0], data[1]])
    grid = (16, 16)
    kept, other = model.reconstruct(inputs).grid(grid), model.sample(2, seed=3, num_steps=20).grid(grid)
    parts = [model.edit(inputs, t_start=part, seed=3, num_steps=20).grid(grid) for part in (0.0, 0.2, 0.9, 1.0)]
    torch.testing.assert_close(parts[0], kept, rtol=1e-3, atol=1e-4)  # whitened and back
    torch.testing.assert_close(parts[-1], other)
    assert [float((part - kept).abs().mean()) for part in parts] == sorted(
        float((part - kept).abs().mean()) for part in parts
    )
    assert not torch.equal(parts[1], parts[2])
    with pytest.raises(ValueError, match=r"goes with t_start in \[0, 1\], got t_start=1.5"):
        model.edit(inputs, t_start=1.5)
