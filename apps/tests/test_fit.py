from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from ddmi.cli import main
from ddmi.fit import FitConfig, FittedFunction


def test_default_function_has_no_more_numbers_than_the_image() -> None:
    assert sum(p.numel() for p in FittedFunction(FitConfig(), 3).parameters()) <= 256 * 256 * 3
    assert max(FitConfig().sizes) <= 128


def test_fit_writes_the_image_and_its_enlargement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ramp = torch.arange(32, dtype=torch.uint8) * 8
    Image.fromarray(ramp.expand(32, 32).numpy().copy()).save(tmp_path / "ramp.png")
    argv = ["fit", str(tmp_path / "ramp.png"), "--size", "32", "--zoom", "2", "--out", str(tmp_path / "out")]
    assert main([*argv, "--steps", "150", "--sizes", "8", "16", "--batch", "1024"]) == 0
    said = capsys.readouterr().err
    assert float(said.split(" dB with")[0].split()[-1]) > 30
    with Image.open(tmp_path / "out" / "fit_64.png") as image:
        assert image.size == (64, 64)
