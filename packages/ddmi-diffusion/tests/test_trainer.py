from __future__ import annotations

import dataclasses
import errno
import importlib.util
import json
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import safetensors.torch
import torch
from torch import Tensor

from ddmi_diffusion import atomic_files
from ddmi_diffusion.checkpoint import CheckpointError, latest_checkpoint, load_checkpoint
from ddmi_diffusion.device_transfer import detach, to_device
from ddmi_diffusion.divergence import NonFiniteLossError
from ddmi_diffusion.interruption import TrainingInterrupted
from ddmi_diffusion.objective import Objective
from ddmi_diffusion.trained_objective import TrainedObjective
from ddmi_diffusion.trainer import Trainer
from ddmi_diffusion.trainer_config import OptimizerConfig

_spec = importlib.util.spec_from_file_location("tiny_training", Path(__file__).with_name("tiny_training.py"))
assert _spec is not None
assert _spec.loader is not None
tiny = importlib.util.module_from_spec(_spec)
sys.modules["tiny_training"] = tiny
_spec.loader.exec_module(tiny)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def state_of(run: Path) -> dict[str, Tensor]:
    """Every tensor of the newest checkpoint."""
    path = latest_checkpoint(run / "checkpoints")
    assert path is not None
    return {f"{group}/{k}": v for group, tensors in load_checkpoint(path)[0].items() for k, v in tensors.items()}


def assert_same_bits(run: Path, other: Path) -> None:
    one, two = state_of(run), state_of(other)
    assert one.keys() == two.keys()
    assert [k for k, v in one.items() if not torch.equal(v, two[k])] == []


def lines(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody interrupts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("whole")
    tiny.trainer(run).fit()
    torch.set_num_threads(threads)
    return run


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM) -> None:
    """Send this process a signal in the middle of a step."""
    apply = TrainedObjective.apply

    def apply_and_signal(self: TrainedObjective, now: int, *, bf16: bool) -> float:
        if now == step:
            os.kill(os.getpid(), number)
        return apply(self, now, bf16=bf16)

    monkeypatch.setattr(TrainedObjective, "apply", apply_and_signal)


@pytest.mark.parametrize("step", [0, 4, 6, 12])
def test_a_run_stopped_by_a_signal_resumes_bit_for_bit(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        interrupt_at(patch, step)
        with pytest.raises(TrainingInterrupted, match=f"^stopped at step {step + 1}; run again with --resume$"):
            tiny.trainer(tmp_path).fit()
    assert signal.getsignal(signal.SIGTERM) == handler
    torch.manual_seed(99)  # what the global generator held must not matter
    metrics = tiny.trainer(tmp_path).fit(resume=True)
    assert_same_bits(tmp_path, whole)
    assert lines(tmp_path) == lines(whole)
    assert metrics["loss"] == lines(whole)[-1]["loss"]


def test_many_interruptions_and_both_signals(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step, number in ((2, signal.SIGINT), (3, signal.SIGTERM), (9, signal.SIGINT)):
        with monkeypatch.context() as patch:
            interrupt_at(patch, step, number)
            with pytest.raises(TrainingInterrupted):
                tiny.trainer(tmp_path).fit(resume=True)
    tiny.trainer(tmp_path).fit(resume=True)
    assert_same_bits(tmp_path, whole)


def test_a_signal_in_the_last_step_does_not_spoil_the_end(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, tiny.STEPS - 1)
    tiny.trainer(tmp_path).fit()
    assert_same_bits(tmp_path, whole)


def test_it_trains_outside_the_main_thread(tmp_path: Path, whole: Path) -> None:
    thread = threading.Thread(target=lambda: tiny.trainer(tmp_path).fit())
    thread.start()
    thread.join()
    assert_same_bits(tmp_path, whole)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of threads
def test_worker_processes_do_not_change_the_weights(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)  # where Python starts workers anew, they import the data set
    tiny.trainer(tmp_path, num_workers=1).fit()
    assert_same_bits(tmp_path, whole)


def test_a_finished_run_has_nothing_left_to_do(whole: Path) -> None:
    before = lines(whole)
    assert tiny.trainer(whole).fit(resume=True)["loss"] == before[-1]["loss"]
    assert lines(whole) == before


def test_starting_over_a_run_is_refused(whole: Path) -> None:
    with pytest.raises(
        ValueError, match=r"already has checkpoints, up to step-00000014; go on with --resume, or .*--run"
    ):
        tiny.trainer(whole).fit()


def test_resuming_nothing_starts_at_the_beginning(
    tmp_path: Path, whole: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ddmi")
    tiny.trainer(tmp_path).fit(resume=True)
    assert "no checkpoint yet: starting at step 0" in caplog.text
    assert_same_bits(tmp_path, whole)


def stop_at(run: Path, step: int, **changes: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, step)
        with pytest.raises(TrainingInterrupted):
            tiny.trainer(run, **changes).fit()


def test_a_truncated_checkpoint_is_passed_over(tmp_path: Path, whole: Path, caplog: pytest.LogCaptureFixture) -> None:
    stop_at(tmp_path, 7)
    file = tmp_path / "checkpoints" / "step-00000008" / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    caplog.set_level(logging.INFO, "ddmi")
    tiny.trainer(tmp_path).fit(resume=True)
    assert "step-00000008 is incomplete and left out" in caplog.text
    assert_same_bits(tmp_path, whole)


def test_a_corrupt_or_only_broken_checkpoint_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    stop_at(tmp_path, 2)
    path = tmp_path / "checkpoints" / "step-00000003"
    file = path / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 4]))
    with pytest.raises(CheckpointError, match=f"model.safetensors: its checksum is wrong; remove the directory {path}"):
        tiny.trainer(tmp_path).fit(resume=True)
    (path / "state.json").unlink()
    with pytest.raises(CheckpointError, match="none of the 1 checkpoint"):
        tiny.trainer(tmp_path).fit(resume=True)


def test_another_architecture_is_refused_by_the_first_tensor_that_differs(tmp_path: Path) -> None:
    Trainer(tiny.Regression(8), tiny.Points(), tiny.collate, tiny.config(steps=1), tmp_path).fit()
    wider = Trainer(tiny.Regression(9), tiny.Points(), tiny.collate, tiny.config(), tmp_path)
    with pytest.raises(
        ValueError, match=r"'net.0.weight' is \(8, 8\) in the checkpoint and \(9, 8\) in this model; use"
    ):
        wider.fit(resume=True)
    with pytest.raises(ValueError, match="it has no 'discriminator'"):
        tiny.trainer(tmp_path).fit(resume=True)


def test_changed_settings_are_allowed_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stop_at(tmp_path, 3)
    caplog.set_level(logging.INFO, "ddmi")
    tiny.trainer(tmp_path, batch_size=4, keep=1, precision="auto").fit(resume=True)
    told = caplog.text
    assert "changed since the checkpoint" in told
    assert "batch_size 8 -> 4" in told
    assert "keep" not in told
    assert "precision" not in told


def test_auto_precision_stays_with_the_choice_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ddmi_diffusion.trainer as module

    monkeypatch.setattr(module, "choose_precision", lambda *_: "bf16")
    stop_at(tmp_path, 1, precision="auto")
    monkeypatch.setattr(module, "choose_precision", lambda *_: "fp32")
    again = tiny.trainer(tmp_path, precision="auto")
    again.fit(resume=True)
    assert again.precision == "bf16"


def test_a_nan_stops_the_run_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    def make(nan_at: int) -> Trainer:
        return Trainer(tiny.Regression(nan_at=nan_at), tiny.Points(), tiny.collate, tiny.config(), tmp_path)

    with pytest.raises(NonFiniteLossError, match=r"step 3: .*no checkpoint had been written"):
        make(3).fit()
    with pytest.raises(
        NonFiniteLossError,
        match=r"^step 7: the gradient norm is nan \(loss nan, .*\); the last good checkpoint .*step-00000005 is kept: "
        r"run again with --resume and a lower learning rate",
    ):
        make(7).fit()
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000005"]
    assert all(v.isfinite().all() for v in state_of(tmp_path).values())
    assert make(-1).fit(resume=True)["loss"] > 0


def test_a_full_disk_ends_the_run_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, calls = safetensors.torch.save_file, []

    def full_later(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) > 7:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*arguments)

    monkeypatch.setattr(atomic_files, "save_file", full_later)
    with pytest.raises(CheckpointError, match=r"cannot write .*step-00000010: No space left on device"):
        tiny.trainer(tmp_path).fit()
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000005"]


def test_accumulation_follows_one_big_batch_to_rounding(tmp_path: Path) -> None:
    for accumulate in (1, 2):
        tiny.trainer(tmp_path / str(accumulate), dropout=0.0, accumulate=accumulate).fit()
    one, two = state_of(tmp_path / "1"), state_of(tmp_path / "2")
    for name in one:
        if not name.split("/")[0].endswith("optimizer"):
            torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5, msg=name)
    for a, b in zip(lines(tmp_path / "1"), lines(tmp_path / "2"), strict=True):
        assert a == pytest.approx(b, rel=1e-3)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_objectives_are_compiled_and_train_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_ = torch.nn.Module.compile
    multiplied: list[torch.fx.Node] = []

    def count(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        multiplied.extend(node for node in graph.graph.nodes if "linear" in str(node.target))
        return graph.forward

    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compile_(self, backend=count))
    metrics = [
        Trainer(
            tiny.Regression(),
            tiny.Points(),
            tiny.collate,
            tiny.config(steps=3, compile=compiled),
            tmp_path / str(compiled),
        ).fit()
        for compiled in (False, True)
    ]
    torch._dynamo.reset()
    assert len(multiplied) >= 3, "the three linear layers"
    assert metrics[1] == pytest.approx(metrics[0], rel=1e-5)


def test_each_optimizer_changes_only_its_own_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny.trainer(tmp_path, steps=3)
    model, judge = run._model, run._judge
    assert judge is not None
    apply, moved = TrainedObjective.apply, []
    own: list[Tensor | None] = [None for _ in judge.parameters]  # what its own backward pass left, in the step before

    def apply_and_compare(self: TrainedObjective, step: int, *, bf16: bool) -> float:
        before = [{k: v.clone() for k, v in one.weights().items()} for one in (model, judge)]
        gradients = [None if p.grad is None else p.grad.clone() for p in judge.parameters]
        if self is judge:
            assert all(gradient is not None for gradient in gradients)
            own[:] = gradients
        for gradient, kept in zip(gradients, own, strict=True):
            assert gradient is kept is None or (
                gradient is not None and kept is not None and torch.equal(gradient, kept)
            ), "the model's backward pass went into the judge"
        rate = apply(self, step, bf16=bf16)
        after = [one.weights() for one in (model, judge)]
        moved.append([any(not torch.equal(a[k], b[k]) for k in a) for a, b in zip(before, after, strict=True)])
        return rate

    monkeypatch.setattr(TrainedObjective, "apply", apply_and_compare)
    run.fit()
    assert moved == [[True, False], [False, True]] * 3


def test_the_discriminators_gradient_is_its_own_loss_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny.trainer(tmp_path, steps=2, grad_clip=None)
    judge = run._judge
    assert judge is not None
    backward = TrainedObjective.backward

    def check(self: TrainedObjective, batches: Any, *arguments: Any, **options: Any) -> Any:
        result = backward(self, batches, *arguments, **options)
        if self is judge:
            loss = judge.objective(batches[0], step=0, rng=arguments[0][0])["loss"]
            for p, wanted in zip(judge.parameters, torch.autograd.grad(loss, judge.parameters), strict=True):
                torch.testing.assert_close(p.grad, wanted)
        else:
            assert not any(p.requires_grad for p in judge.parameters)
        return result

    monkeypatch.setattr(TrainedObjective, "backward", check)
    run.fit()
    assert all(p.requires_grad for p in judge.parameters)


def test_a_discriminator_inside_the_objective_is_refused(tmp_path: Path) -> None:
    judge = tiny.Judge()
    model = tiny.Regression()
    model.inner = judge
    with pytest.raises(ValueError, match=r"share 4 parameter.*plain callable"):
        Trainer(model, tiny.Points(), tiny.collate, tiny.config(), tmp_path, discriminator=judge)


def test_the_discriminator_has_settings_of_its_own(tmp_path: Path) -> None:
    settings = OptimizerConfig(learning_rate=0.5, schedule="constant", warmup=0)
    model, judge = tiny.Regression(), tiny.Judge()
    run = Trainer(
        model, tiny.Points(), tiny.collate, tiny.config(steps=2), tmp_path,
        discriminator=judge, discriminator_config=settings,
    )  # fmt: skip
    assert run.fit()["discriminator/lr"] == 0.5


def test_sheets_show_the_average_and_do_not_disturb_the_run(tmp_path: Path, whole: Path) -> None:
    shown = []

    def sheet(done: int, objective: Objective) -> None:
        torch.randn(done)
        assert not objective.training
        assert not torch.is_grad_enabled()
        shown.append((done, objective.state_dict()["net.0.weight"].clone()))

    judge = tiny.Judge()
    model, settings = tiny.Regression(dropout=0.2, judge=judge.net), tiny.config(preview_every=6)
    run = Trainer(
        model, tiny.Points(), tiny.collate, settings, tmp_path,
        discriminator=judge, on_preview=sheet,
    )  # fmt: skip
    run.fit()
    assert [done for done, _ in shown] == [6, 12, 14]
    assert torch.equal(shown[-1][1], state_of(tmp_path)["ema/net.0.weight"])
    assert run.objective.training
    assert_same_bits(tmp_path, whole)


def test_a_milestone_sees_the_average_of_its_step_once(tmp_path: Path, whole: Path) -> None:
    seen: list[tuple[int, torch.Tensor]] = []

    def keep(done: int, objective: Objective) -> None:
        seen.append((done, objective.state_dict()["net.0.weight"].clone()))

    judge = tiny.Judge()
    model = tiny.Regression(dropout=0.2, judge=judge.net)
    run = Trainer(
        model, tiny.Points(), tiny.collate, tiny.config(), tmp_path, discriminator=judge, milestones={5: keep, 14: keep}
    )
    run.fit()
    assert [done for done, _ in seen] == [5, 14]
    assert torch.equal(seen[1][1], state_of(tmp_path)["ema/net.0.weight"])
    assert not torch.equal(seen[0][1], seen[1][1])
    assert_same_bits(tmp_path, whole)


def test_a_callback_is_called_after_each_step_and_may_end_the_training(tmp_path: Path, whole: Path) -> None:
    seen: list[tuple[int, float]] = []

    def watch(done: int, run: Trainer) -> None:
        torch.randn(done)
        seen.append((done, run.metrics["loss"]))
        if done == 9 and len(seen) == 9:
            raise KeyboardInterrupt

    def run() -> Trainer:
        judge = tiny.Judge()
        model = tiny.Regression(dropout=0.2, judge=judge.net)
        return Trainer(model, tiny.Points(), tiny.collate, tiny.config(), tmp_path, discriminator=judge, callback=watch)

    with pytest.raises(KeyboardInterrupt):
        run().fit()
    assert [done for done, _ in seen] == list(range(1, 10))
    run().fit(resume=True)
    assert [done for done, _ in seen[9:]] == list(range(6, 15))  # from the checkpoint after step 5 on
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [loss for _, loss in seen[:5] + seen[9:]] == [line["loss"] for line in lines]
    assert_same_bits(tmp_path, whole)


class Bad(Objective):
    def __init__(self, result: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.result = result

    def forward(self, batch: Any, *, step: int, rng: Any) -> Any:
        return self.result(self.weight)


@pytest.mark.parametrize(
    "result",
    [lambda w: w.sum(), lambda w: {"nll": w.sum()}, lambda w: {"loss": w}, lambda w: {"loss": w.sum().detach()}],
)
def test_an_objective_without_a_usable_loss_is_told(tmp_path: Path, result: Any) -> None:
    with pytest.raises(ValueError, match=r"Bad.forward must return a dict whose 'loss' is a tensor of one element"):
        Trainer(Bad(result), tiny.Points(), tiny.collate, tiny.config(), tmp_path).fit()


def test_nothing_to_train_is_refused(tmp_path: Path) -> None:
    frozen = Bad(None).requires_grad_(False)
    with pytest.raises(ValueError, match="Bad has no trainable parameters"):
        Trainer(frozen, tiny.Points(), tiny.collate, tiny.config(), tmp_path)


class Pair(NamedTuple):
    a: Tensor
    b: str


@dataclasses.dataclass(frozen=True)
class Record:
    value: Tensor
    rest: tuple[Any, ...]


def test_batches_of_any_nest_move() -> None:
    leaf = torch.ones(2, requires_grad=True)
    nest: dict[str, Any] = {"r": Record(leaf, (leaf, [leaf, 3])), "p": Pair(leaf, "x"), "n": None}
    moved = to_device(nest, "meta")
    assert moved["r"].value.is_meta
    assert moved["r"].rest[1][0].is_meta
    assert moved["r"].rest[1][1] == 3
    assert isinstance(moved["p"], Pair)
    assert moved["p"].b == "x"
    assert moved["n"] is None
    assert not nest["r"].value.is_meta
    assert not detach(nest)["r"].rest[0].requires_grad


def test_a_training_says_that_it_has_become_slow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.001
        return now[0]

    def slower(steps_done: int, _: Trainer) -> None:
        now[0] += 1.0 if steps_done < 5 else 10.0

    monkeypatch.setattr(time, "perf_counter", clock)
    with caplog.at_level(logging.WARNING, logger="ddmi"):
        trainer = tiny.trainer(tmp_path, log_every=1, steps=12)
        trainer.callback = slower
        trainer.fit()
    assert caplog.text.count("times as long as before") == 1


class Holed(tiny.Regression):  # type: ignore[name-defined, misc]
    """Its loss is not a number at some steps."""

    holes: tuple[int, ...] = ()

    def forward(self, batch: Any, *, step: int, rng: Any) -> dict[str, Any]:
        result = super().forward(batch, step=step, rng=rng)
        return result | ({"loss": result["loss"] * float("nan")} if step in self.holes else {})


def holed(run: Path, *holes: int, **changes: Any) -> Trainer:
    judge = tiny.Judge()
    model = Holed(dropout=0.2, judge=judge.net)
    model.holes = holes
    config = tiny.config(non_finite_steps=2, **changes)
    return Trainer(model, tiny.Points(), tiny.collate, config, run, discriminator=judge)


def test_a_step_that_is_not_finite_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = holed(tmp_path, 3, 9)
    seen: dict[int, dict[str, Tensor]] = {}

    def watch(done: int, own: Trainer) -> None:
        assert own.ema is not None
        assert own._judge is not None
        state = {**own._model.weights(), **own._model.optimizer_state(), **own._judge.weights()}
        seen[done] = {name: one.clone() for name, one in (state | own.ema.state_dict()).items()}

    trainer.callback = watch
    with caplog.at_level(logging.WARNING, logger="ddmi"):
        metrics = trainer.fit()
    assert metrics["loss"] > 0
    assert caplog.text.count("the step is left out") == 2
    for done in (3, 9):
        assert all(torch.equal(one, seen[done + 1][name]) for name, one in seen[done].items())
        assert not all(torch.equal(one, seen[done + 2][name]) for name, one in seen[done].items())


def test_steps_in_a_row_that_are_not_finite_end_the_training_also_over_a_resumption(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match=r"step 7: the gradient norm is nan .* the last good checkpoint"):
        holed(tmp_path / "whole", 3, 6, 7).fit()
    stop_after = tmp_path / "stopped"
    trainer = holed(stop_after, 4, 5)  # a checkpoint lies between them
    trainer.callback = lambda done, _: signal.raise_signal(signal.SIGTERM) if done == 4 else None
    with pytest.raises(TrainingInterrupted, match="step 5"):
        trainer.fit()
    with pytest.raises(NonFiniteLossError, match="step 5: "):
        holed(stop_after, 4, 5).fit(resume=True)


def test_a_run_with_holes_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    holed(tmp_path / "whole", 3, 9).fit()
    trainer = holed(tmp_path / "parts", 3, 9)
    trainer.callback = lambda done, _: signal.raise_signal(signal.SIGTERM) if done == 10 else None
    with pytest.raises(TrainingInterrupted):
        trainer.fit()
    holed(tmp_path / "parts", 3, 9).fit(resume=True)
    whole, parts = state_of(tmp_path / "whole"), state_of(tmp_path / "parts")
    assert all(torch.equal(one, parts[name]) for name, one in whole.items())


class Bursting(Objective):
    """A slope that is learned until it is above a limit, from where on its loss is not a number."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.zeros(()))

    def forward(self, batch: Any, *, step: int, rng: Any) -> dict[str, Any]:
        loss = (self.slope - 2).square()
        return {"loss": loss * (float("nan") if float(self.slope.detach()) > 0.5 else 1.0)}


@pytest.mark.parametrize("allowed", [1, 4])
def test_weights_that_have_burst_do_not_take_the_place_of_good_ones(tmp_path: Path, allowed: int) -> None:
    def make() -> Trainer:
        config = tiny.config(
            steps=30, save_every=1, keep=1, learning_rate=0.2, warmup=1, ema_decay=0.0, non_finite_steps=allowed
        )
        return Trainer(Bursting(), tiny.Points(), tiny.collate, config, tmp_path)

    with pytest.raises(NonFiniteLossError, match="the last good checkpoint .* is kept") as raised:
        make().fit()
    (kept,) = re.findall(r"checkpoint (\S+) is kept", str(raised.value))
    tensors, _ = load_checkpoint(Path(kept))
    assert float(tensors["model"]["slope"]) <= 0.5, "weights from which one can go on"
    assert latest_checkpoint(tmp_path / "checkpoints") != Path(kept), "the burst ones are there, too, and known as such"


def test_a_training_without_a_finite_step_fails(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match="no step had a finite loss and gradient"):
        Trainer(
            tiny.Regression(nan_at=0), tiny.Points(), tiny.collate, tiny.config(steps=1, non_finite_steps=9), tmp_path
        ).fit()
    assert latest_checkpoint(tmp_path / "checkpoints") is None


class TornJudge(tiny.Judge):  # type: ignore[name-defined, misc]
    def forward(self, batch: Any, *, step: int, rng: Any) -> dict[str, Any]:
        result = super().forward(batch, step=step, rng=rng)
        return result | {"loss": result["loss"] * (float("nan") if step == 2 else 1.0)}


def test_the_average_follows_the_model_where_only_the_judge_leaves_a_step_out(tmp_path: Path) -> None:
    judge = TornJudge()
    config = tiny.config(non_finite_steps=2, ema_every=1)
    trainer = Trainer(
        tiny.Regression(judge=judge.net), tiny.Points(), tiny.collate, config, tmp_path, discriminator=judge
    )
    averages: dict[int, Tensor] = {}

    def watch(done: int, own: Trainer) -> None:
        assert own.ema is not None
        averages[done] = torch.cat([one.flatten().clone() for one in own.ema.state_dict().values()])

    trainer.callback = watch
    trainer.fit()
    assert not torch.equal(averages[2], averages[3])
