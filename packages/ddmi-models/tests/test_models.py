"""Every model that comes along generates, is small, and says whose data it learned from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ddmi_models
from ddmi import DDMI
from ddmi.registry import installed_models

NAMES = ("furniture", "furniture-text", "moving-openmoji", "openmoji", "turntable")
MB = 1e6


def size_of(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / MB


def test_all_are_announced() -> None:
    here = Path(ddmi_models.__file__).parent
    assert sorted(name for name, path in installed_models().items() if here in path.parents) == list(NAMES)


def test_they_are_small() -> None:
    sizes = {name: size_of(installed_models()[name]) for name in NAMES}
    assert max(sizes.values()) <= 20
    assert sum(sizes.values()) <= 90


@pytest.mark.parametrize("name", NAMES)
def test_one_sample_of_each(name: str) -> None:
    model = DDMI.from_pretrained(name)
    prompt = "a round table with three legs" if model.can_prompt else None
    functions = model.sample(1, seed=0, prompts=prompt, num_steps=4)
    axes = len(model.experiment.modality.layout.axes)
    points = torch.rand(1, 50, axes, generator=torch.Generator().manual_seed(0)) * 2 - 1
    condition = torch.nn.functional.normalize(points, dim=-1) if name == "turntable" else None
    values = functions(points, condition)
    assert values.isfinite().all()
    assert values.std() > 0


@pytest.mark.parametrize("name", NAMES)
def test_cards_say_whose_data_and_what_was_measured(name: str) -> None:
    card = (installed_models()[name] / "README.md").read_text()
    assert f"# {name}" in card
    assert ("CC BY-SA 4.0" if "openmoji" in name else "nobody else's data") in card
    assert "## Figures" in card
