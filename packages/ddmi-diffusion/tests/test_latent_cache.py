from __future__ import annotations

import errno
import io
from pathlib import Path

import numpy as np
import pytest
import torch

from ddmi_diffusion import (
    CheckpointError,
    DiffusionObjective,
    LatentBatch,
    LatentCache,
    LatentDiffusion,
    LatentSpace,
    NoiseConfig,
    PlaneUNet,
    StepRandom,
    UNetConfig,
)

SHAPES = ((3, 4, 4), (3, 2, 4))


def moments(rows: int) -> list[tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]]:
    torch.manual_seed(0)
    means = tuple(torch.randn(rows, *s) for s in SHAPES)
    stds = tuple(torch.rand(rows, *s) + 0.1 for s in SHAPES)
    return [(tuple(m[i : i + 4] for m in means), tuple(s[i : i + 4] for s in stds)) for i in range(0, rows, 4)]


def test_rows_come_back_to_half_precision(tmp_path: Path) -> None:
    batches = moments(10)
    cache = LatentCache.build(tmp_path / "a" / "train.npy", "key", 10, batches)
    assert len(cache) == 10
    assert cache.plane_shapes == SHAPES
    batch = cache.collate([cache[i] for i in range(10)], StepRandom(0, 0, range(10)))
    for half, got in enumerate((batch.mean, batch.std)):
        wanted = [torch.cat([one[half][plane] for one in batches]) for plane in range(len(SHAPES))]
        for plane, kept in zip(got, wanted, strict=True):
            torch.testing.assert_close(plane, kept, rtol=2e-3, atol=2e-3)
    assert isinstance(cache.rows, np.memmap)
    assert LatentSpace.fit(cache.moments(3), "row").plane_shapes == SHAPES


def test_another_key_a_truncated_file_and_an_unfinished_build(tmp_path: Path) -> None:
    path = tmp_path / "train.npy"
    LatentCache.build(path, "key", 8, moments(8))
    assert LatentCache.opened(path, "key")
    assert not LatentCache.opened(path, "other")
    with pytest.raises(ValueError, match="made by another model"):
        LatentCache(path, "other")

    def breaks() -> object:
        yield moments(8)[0]
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        LatentCache.build(path, "new", 8, breaks())  # type: ignore[arg-type]
    assert LatentCache.opened(path, "key"), "the old cache is untouched"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")], "no half file is left"
    path.write_bytes(path.read_bytes()[:100])
    assert not LatentCache.opened(path, "key")
    with pytest.raises(ValueError, match="delete it"):
        LatentCache(path, "key")


def test_any_other_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "train.npy"
    LatentCache.build(path, "key", 8, moments(8))
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"train\.npy: its checksum is wrong; delete it and train again"):
        LatentCache(path, "key")


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"key": 3}', "[" * 10**5, '{"key": "key", "rows": "8"}'])
def test_a_damaged_description_is_no_cache(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.npy"
    LatentCache.build(path, "key", 8, moments(8))
    path.with_suffix(".json").write_text(text)
    assert LatentCache.opened(path, "key") is None
    with pytest.raises(ValueError, match=r"latent cache .*train\.npy: .*; delete it"):
        LatentCache(path, "key")


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.FileIO):
        def write(self, content: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    opened = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, mode="r", **rest: Full(self, "w+") if mode == "w+b" else opened(self, mode)
    )
    with pytest.raises(CheckpointError, match=r"cannot write .*train\.npy: No space left on device"):
        LatentCache.build(tmp_path / "train.npy", "key", 8, moments(8))
    assert not list(tmp_path.iterdir())


def test_announced_rows_must_come(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="8 rows came, 9 were announced"):
        LatentCache.build(tmp_path / "a.npy", "k", 9, moments(8))
    with pytest.raises(ValueError, match="more than the 5 rows"):
        LatentCache.build(tmp_path / "a.npy", "k", 5, moments(8))


def test_values_beyond_half_precision_stay_finite(tmp_path: Path) -> None:
    huge = (torch.full((1, 1, 1, 1), 1e9),)
    cache = LatentCache.build(tmp_path / "a.npy", "k", 1, [(huge, huge)])
    assert np.isfinite(cache[0]).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("half", [0, 1])
def test_moments_that_are_not_finite_are_refused_by_item(tmp_path: Path, bad: float, half: int) -> None:
    batches = moments(10)
    batches[1][half][1][2, 0, 1, 3] = bad  # of the seventh item
    with pytest.raises(
        ValueError, match=r"latent cache .*: the moments of item 6 are NaN or infinite; look at that item"
    ):
        LatentCache.build(tmp_path / "a.npy", "k", 10, batches)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"LatentSpace.fit: the moments of item 6, plane 1, are NaN or infinite; look"):
        LatentSpace.fit(batches, "row")


def test_objective_samples_latents_afresh_each_step() -> None:
    means, stds = moments(4)[0]
    space = LatentSpace.identity(SHAPES, "row")
    denoiser = PlaneUNet(
        SHAPES, "row", UNetConfig(width=16, multipliers=(1,), blocks=1, attention_factors=(1,), head_channels=8)
    )
    objective = DiffusionObjective(LatentDiffusion(denoiser, NoiseConfig(), space.shape), space)
    seen = []
    space_pack = LatentSpace.pack

    def watch(self: LatentSpace, planes: tuple[torch.Tensor, ...]) -> torch.Tensor:
        seen.append(planes[0])
        return space_pack(self, planes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LatentSpace, "pack", watch)
        for step in (0, 1, 0):
            objective(LatentBatch(means, stds), step=step, rng=StepRandom(0, step, range(4)))
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])
    spread = (seen[0] - means[0]) / stds[0]
    assert 0.8 < spread.std() < 1.2
