"""Functions show themselves in notebooks."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest
from PIL import Image

from ddmi import DDMI


def test_samples_and_reconstructions_are_pictures(tiny_run: Path) -> None:
    model = DDMI.from_pretrained(tiny_run)
    functions = model.sample(3, seed=0, num_steps=2)
    sheet = functions.show(resolution=32)
    assert isinstance(sheet, Image.Image)
    png = functions._repr_png_()
    assert Image.open(io.BytesIO(png)).format == "PNG"
    assert functions[0].show(resolution=32).width < sheet.width
    modality = model.experiment.modality
    again = model.reconstruct(modality.inputs([modality.dataset("test")[0]]))
    assert again._repr_png_()
    with pytest.raises(TypeError, match="frames"):
        functions.show(frames=3)


def test_a_function_does_not_bring_its_model_along(tiny_run: Path) -> None:
    function = DDMI.from_pretrained(tiny_run).sample(1, num_steps=2)
    kept = pickle.loads(pickle.dumps(function))
    assert kept.show(resolution=16).size == function.show(resolution=16).size
    assert len(pickle.dumps(function)) < 200_000
