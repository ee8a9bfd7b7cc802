"""Named protocols of shapes and scenes measure their part only."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddmi import DDMI
from ddmi.evaluation.run import find_protocol
from ddmi.registry import make_experiment, spec_of
from ddmi_modalities.nerf.evaluation import NerfEvaluation


def untrained(recipe: str) -> DDMI:
    torch.manual_seed(0)
    experiment = make_experiment(recipe, "test", None)
    return DDMI(experiment, experiment.vae.build(experiment.modality.layout).eval().requires_grad_(False))


def test_pixelnerf_measures_views_and_ssdnerf_sets() -> None:
    model = untrained("turntable")
    modality = model.experiment.modality
    views, sets = (find_protocol(modality, name) for name in ("pixelnerf", "ssdnerf"))
    assert (views.settings.count, sets.settings.scenes) == (0, 0)
    assert (sets.settings.count, sets.settings.poses) == (704, 251)
    settings = replace(views.settings, scenes=2)
    assert views.deviations(settings) == ("scenes is 2, not 704",)
    measured = views.measure(modality, model, settings, seed=0, device="cpu")
    assert {"psnr/unseen_views", "ssim/unseen_views", "count/scenes"} <= set(measured.metrics)
    assert not any(name.startswith(("fd", "kd")) for name in measured.metrics)
    with pytest.raises(ValueError, match="nor both 0"):
        NerfEvaluation(scenes=0, count=0)


def test_prompts_are_of_models_with_sentences() -> None:
    model = untrained("furniture")
    modality = model.experiment.modality
    protocol = find_protocol(modality, "prompts")
    with pytest.raises(ValueError, match="this run takes none"):
        protocol.measure(modality, model, protocol.settings, seed=0, device="cpu")
    assert set(spec_of(modality).evaluation_protocols()) == {
        "offline", "sets-dataset", "sets-box", "sets-sphere", "sets-unit", "prompts",
    }  # fmt: skip
