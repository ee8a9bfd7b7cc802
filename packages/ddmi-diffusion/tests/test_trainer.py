from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import safetensors.torch
import tiny_training as tiny
import torch
from torch import Tensor

from ddmi_diffusion import atomic_files
from ddmi_diffusion.checkpoint import CheckpointError
from ddmi_diffusion.device_transfer import detach, to_device
from ddmi_diffusion.divergence import NonFiniteLossError
from ddmi_diffusion.interruption import TrainingInterrupted
from ddmi_diffusion.objective import Objective
from ddmi_diffusion.trained_objective import TrainedObjective
from ddmi_diffusion.trainer import Trainer
from ddmi_diffusion.trainer_config import OptimizerConfig


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
    tiny.assert_same_bits(tmp_path, whole)
    assert lines(tmp_path) == lines(whole)
    assert metrics["loss"] == lines(whole)[-1]["loss"]


def test_many_interruptions_and_both_signals(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step, number in ((2, signal.SIGINT), (3, signal.SIGTERM), (9, signal.SIGINT)):
        with monkeypatch.context() as patch:
            interrupt_at(patch, step, number)
            with pytest.raises(TrainingInterrupted):
                tiny.trainer(tmp_path).fit(resume=True)
    tiny.trainer(tmp_path).fit(resume=True)
    tiny.assert_same_bits(tmp_path, whole)


def test_a_signal_in_the_last_step_does_not_spoil_the_end(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, tiny.STEPS - 1)
    tiny.trainer(tmp_path).fit()
    tiny.assert_same_bits(tmp_path, whole)


def test_it_trains_outside_the_main_thread(tmp_path: Path, whole: Path) -> None:
    thread = threading.Thread(target=lambda: tiny.trainer(tmp_path).fit())
    thread.start()
    thread.join()
    tiny.assert_same_bits(tmp_path, whole)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of threads
def test_worker_processes_do_not_change_the_weights(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)  # where Python starts workers anew, they import the data set
    tiny.trainer(tmp_path, num_workers=1).fit()
    tiny.assert_same_bits(tmp_path, whole)


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
    tiny.assert_same_bits(tmp_path, whole)


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
    tiny.assert_same_bits(tmp_path, whole)


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
    assert all(v.isfinite().all() for v in tiny.state_of(tmp_path).values())
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
    one, two = tiny.state_of(tmp_path / "1"), tiny.state_of(tmp_path / "2")
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
    assert torch.equal(shown[-1][1], tiny.state_of(tmp_path)["ema/net.0.weight"])
    assert run.objective.training
    tiny.assert_same_bits(tmp_path, whole)


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
    assert torch.equal(seen[1][1], tiny.state_of(tmp_path)["ema/net.0.weight"])
    assert not torch.equal(seen[0][1], seen[1][1])
    tiny.assert_same_bits(tmp_path, whole)


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
    tiny.assert_same_bits(tmp_path, whole)


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
