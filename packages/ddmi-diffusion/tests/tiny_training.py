"""A tiny training run: imported by the trainer's tests, and run as a script by those that kill processes."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ddmi_diffusion import atomic_files, checkpoint
from ddmi_diffusion.held_out import HeldOut
from ddmi_diffusion.objective import Objective
from ddmi_diffusion.randomness import StepRandom
from ddmi_diffusion.trainer import Trainer
from ddmi_diffusion.trainer_config import TrainerConfig

STEPS, BATCH, WIDTH = 14, 8, 8


class Points:
    """Thirty-seven vectors: no multiple of the batch, so batches span epochs."""

    def __init__(self, delay: float = 0.0) -> None:
        self.values = torch.randn(37, WIDTH, generator=torch.Generator().manual_seed(1))
        self.delay = delay

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Tensor:
        time.sleep(self.delay)
        return self.values[index]


def collate(items: list[Tensor], rng: StepRandom) -> dict[str, Tensor]:
    return {"x": torch.stack(items) + 0.1 * rng.normal(WIDTH)}


class Regression(Objective):
    def __init__(
        self, width: int = 8, *, dropout: float = 0.0, nan_at: int = -1, judge: nn.Module | None = None
    ) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(
            nn.Linear(WIDTH, width), nn.SiLU(), nn.Dropout(dropout),
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, WIDTH),
        )  # fmt: skip
        self.nan_at = nan_at
        self.adversary = None if judge is None else lambda x: judge(x)  # a plain callable: not a submodule

    def forward(self, batch: Any, *, step: int, rng: StepRandom) -> dict[str, Any]:
        x = batch["x"]
        target = x.flip(-1) + 0.1 * rng.normal(WIDTH)
        value = self.net(x)
        loss = (value - target).square().mean()
        if self.adversary is not None:
            loss = loss - 0.1 * self.adversary(value).mean()
        if step == self.nan_at:
            loss = loss * float("nan")
        return {"loss": loss, "scale": 1.5, "aux": {"fake": value}}


class Judge(Objective):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.net = nn.Sequential(nn.Linear(WIDTH, 8), nn.SiLU(), nn.Linear(8, 1))

    def forward(self, batch: Any, *, step: int, rng: StepRandom) -> dict[str, Any]:
        fake, real = batch["aux"]["fake"], batch["batch"]["x"]
        assert not fake.requires_grad
        return {"loss": self.net(fake).square().mean() + (self.net(real) - 1).square().mean()}


def config(**changes: Any) -> TrainerConfig:
    settings: dict[str, Any] = {
        "steps": STEPS,
        "batch_size": BATCH,
        "learning_rate": 1e-2,
        "warmup": 3,
        "precision": "fp32",
    }
    settings |= {"device": "cpu", "tracker": "none", "log_every": 1, "save_every": 5, "ema_every": 2}
    return TrainerConfig(**(settings | changes))


def trainer(run_dir: Path, *, delay: float = 0.0, dropout: float = 0.2, **changes: Any) -> Trainer:
    """The run that is killed and resumed: dropout, two objectives, an average of the weights."""
    judge = Judge()
    model = Regression(dropout=dropout, judge=judge.net)
    held_out = HeldOut(Points(), most=13)
    return Trainer(model, Points(delay), collate, config(**changes), run_dir, discriminator=judge, held_out=held_out)


def state_of(run: Path) -> dict[str, Tensor]:
    """Every tensor of the newest checkpoint."""
    path = checkpoint.latest_checkpoint(run / "checkpoints")
    assert path is not None
    groups = checkpoint.load_checkpoint(path)[0]
    return {f"{group}/{name}": one for group, tensors in groups.items() for name, one in tensors.items()}


def assert_same_bits(run: Path, other: Path) -> None:
    one, two = state_of(run), state_of(other)
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    assert not list((run / "checkpoints").glob(".tmp*"))


def _kill_in_second_save() -> None:
    """SIGKILL this process when half the files of its second checkpoint are written."""
    save, calls = atomic_files.write_tensors, [0]

    def write_or_die(path: Path, *arguments: Any) -> None:
        save(path, *arguments)
        calls[0] += 1
        if calls[0] == 8:  # five files in each
            os.kill(os.getpid(), signal.SIGKILL)

    vars(checkpoint)["write_tensors"] = write_or_die


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=BATCH)
    parser.add_argument("--optimizer", default="adamw")
    parser.add_argument("--validate-every", type=int, default=0)
    parser.add_argument("--die-in-save", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.die_in_save:
        _kill_in_second_save()
    changes = {"num_workers": options.workers, "accumulate": options.accumulate, "optimizer": options.optimizer}
    changes["batch_size"] = options.batch_size
    changes["validate_every"] = options.validate_every
    trained = trainer(options.run_dir, delay=options.delay, dropout=options.dropout, **changes)
    trained.fit()
    print(f"of {trained.accelerator.num_processes} processes")
    if torch.distributed.is_initialized():
        del trained
        gc.collect()  # a group that is held keeps its threads, and Python would end before them
        torch.distributed.destroy_process_group()
