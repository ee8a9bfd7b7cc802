"""The latents that stage 2 learns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import PartialState
from torch import Tensor
from torch.utils.data import Subset

from ddmi import DDMI
from ddmi.cli import main
from ddmi.experiment.config import DiffusionConfig
from ddmi.registry import make_experiment
from ddmi.training.latents import cached_items, encoded
from ddmi_diffusion import HeldOut
from ddmi_modalities.datasets.splits import evenly_spaced


def test_a_part_of_the_items_is_cached(tiny_run: Path, tmp_path: Path) -> None:
    options = ["--vae", str(tiny_run), "--run", str(tmp_path), "--diffusion.cached-items", "3"]
    assert main(["train", "openmoji", "--preset", "test", *options]) == 0
    model = DDMI.from_pretrained(tmp_path)
    assert model.latent_space is not None
    data = model.experiment.modality.dataset("train")
    assert len(data) > 3
    chosen = [data[place] for place in evenly_spaced(len(data), 3)]
    (means,), _ = next(iter(encoded(model.experiment, model.vae, chosen, PartialState())))
    # whitening by the statistics of the three alone
    torch.testing.assert_close(model.latent_space.mean[0], means.mean((0, 2, 3)), rtol=1e-2, atol=1e-2)


def test_more_than_there_are_is_all_of_them() -> None:
    experiment = make_experiment("openmoji", "test")
    data = experiment.modality.dataset("train")
    for count in (None, len(data), 10 * len(data)):
        settings = replace(experiment.diffusion, cached_items=count)
        assert cached_items(replace(experiment, diffusion=settings), data) is data


def test_bad_settings_of_the_cache() -> None:
    with pytest.raises(ValueError, match="cached_items 0 counts from 1"):
        DiffusionConfig(cached_items=0)
    with pytest.raises(ValueError, match="needs cache=True"):
        DiffusionConfig(cached_items=4, cache=False)


def test_losses_of_held_out_items_are_measured_in_both_stages(tmp_path: Path) -> None:
    options = [f"--{stage}.validate-every=1" for stage in ("vae-training", "diffusion-training")]
    assert main(["train", "openmoji", "--preset", "test", "--run", str(tmp_path), *options]) == 0
    for stage, watched in (("vae", "held_out/nll"), ("diffusion", "held_out/loss")):
        rows = [json.loads(line) for line in (tmp_path / stage / "metrics.jsonl").read_text().splitlines()]
        assert [row["step"] for row in rows if row[watched] > 0] == [0, 1]
    cache = np.load(tmp_path / "latents" / "held_out.npy", mmap_mode="r")
    held_out = make_experiment("openmoji", "test").modality.dataset("test")
    assert len(cache) == min(len(held_out), HeldOut.most)


def test_statistics_are_fitted_once(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from ddmi.training import latents

    passes: list[int] = []

    def counted(*arguments: Any) -> Any:
        passes.append(len(arguments[2]))
        return encoded(*arguments)

    monkeypatch.setattr(latents, "encoded", counted)
    model = DDMI.from_pretrained(tiny_run)
    items = Subset(model.experiment.modality.dataset("train"), range(3))
    file = tmp_path / "new" / latents.STATISTICS

    def statistics(data: Any = items) -> list[Tensor]:
        space = latents.cached_statistics(model.experiment, model.vae, data, file, PartialState())
        return [*space.mean, *space.std]

    first, second = statistics(), statistics()
    assert passes == [3]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\0")
    with caplog.at_level("WARNING", logger="ddmi"):
        assert all(torch.equal(a, b) for a, b in zip(first, statistics(), strict=True)), "damaged ones are made anew"
    assert "statistics.safetensors is damaged, or of other data" in caplog.text
    statistics(Subset(items.dataset, range(2)))
    assert passes == [3, 3, 2], "others' are not taken"
