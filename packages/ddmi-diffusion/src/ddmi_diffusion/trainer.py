"""The training loop: one objective, or two in alternation, on 1..N processes, resumable bit for bit."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn

from ddmi_diffusion.checkpoint import (
    CheckpointError,
    checkpoint_directories,
    checkpoint_name,
    checkpoint_step,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from ddmi_diffusion.data_order import (
    BatchShare,
    Collate,
    Items,
    PlainCollate,
    StepLoader,
    with_random,
    workers_to_feed,
)
from ddmi_diffusion.device_transfer import to_device
from ddmi_diffusion.divergence import (
    NonFiniteLossError,
    back_before_divergence,
    check_finite,
    exploded,
    finite_or_none,
    last_sound,
    mark_diverged,
    mark_exploded,
)
from ddmi_diffusion.ema import ExponentialMovingAverage
from ddmi_diffusion.held_out import HeldOut, HeldOutCurve
from ddmi_diffusion.interruption import StopRequest, TrainingInterrupted
from ddmi_diffusion.networks import networks
from ddmi_diffusion.pace import Pace
from ddmi_diffusion.precision import choose_precision, fast_products
from ddmi_diffusion.randomness import StepRandom
from ddmi_diffusion.recomputation import recompute_blocks
from ddmi_diffusion.resumption import CHECKPOINTS, check_memory, describe_run, note_changes, starting_point
from ddmi_diffusion.run_lock import alone_in
from ddmi_diffusion.run_log import RunLog
from ddmi_diffusion.trackers import Tracking, log_with
from ddmi_diffusion.trained_objective import Gradients, MuonTakes, SettingsOf, TrainedObjective
from ddmi_diffusion.trainer_config import OptimizerConfig, TrainerConfig

logger = logging.getLogger("ddmi")

Callback = Callable[[int, "Trainer"], None]
"""Steps done, and the trainer with its `objective`, `metrics` and `ema` as they are then."""
LOWEST = "lowest"
"""Directory of a run that holds the averaged weights of the lowest held-out loss, in the form of a checkpoint."""
_MODEL_STREAM, _DISCRIMINATOR_STREAM = 1, 2  # of StepRandom; 0 is the data's


class Trainer:
    """Trains an objective, and optionally a second one that judges the first.

    A run's directory holds checkpoints/step-00000123 (after 123 steps), metrics.jsonl and, where held-out losses may
    end it, the weights of the lowest. The same command with the same number of processes, resumed wherever it was
    stopped, ends with the same weights bit for bit (on CPU).

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from ddmi_diffusion import TrainerConfig
        >>> class Line(nn.Module):  # an `Objective`
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.slope = nn.Parameter(torch.zeros(()))
        ...     def forward(self, batch, *, step, rng):
        ...         return {"loss": (self.slope * batch - 2 * batch).square().mean()}
        >>> config = TrainerConfig(steps=30, batch_size=4, learning_rate=0.2, warmup=1, precision="fp32")
        >>> with TemporaryDirectory() as run:
        ...     trainer = Trainer(Line(), torch.linspace(-1, 1, 64), lambda items, rng: torch.stack(items), config, run)
        ...     trainer.fit()["loss"] < 0.1
        True
    """

    def __init__(
        self,
        objective: nn.Module,
        dataset: Items,
        collate: Collate | PlainCollate | None,
        config: TrainerConfig,
        run_dir: Path | str,
        *,
        discriminator: nn.Module | None = None,
        discriminator_config: OptimizerConfig | None = None,
        callback: Callback | None = None,
        on_preview: Callable[[int, nn.Module], None] | None = None,
        milestones: Mapping[int, Callable[[int, nn.Module], None]] | None = None,
        muon_takes: MuonTakes | None = None,
        settings_of: SettingsOf | None = None,
        held_out: HeldOut | None = None,
    ) -> None:
        """`collate(items, rng)` makes a batch of items, or `collate(items)`; None is torch's `default_collate`.
        `discriminator` takes its step after the objective's, on `{"batch": batch, "aux": aux}`; while the objective
        takes its own, the discriminator's parameters take no gradient. `callback(steps_done, trainer)` is called after
        each step, in every process; what it raises ends the training there. `on_preview(steps_done, objective)` is
        called in the main process with the averaged weights, in evaluation mode, without gradients; so is
        `milestones[n]` after n steps. `muon_takes(name, parameter)` says which of the objective's parameters `Muon`
        serves where it is the optimizer; by default `ddmi_diffusion.muon.inner_matrices`. `settings_of(name,
        parameter)` says which learn at another rate or decay otherwise, see `ParameterSettings`. `held_out` is measured
        as `config.validate_every` and `config.patience` say, with the averaged weights, in evaluation mode.

        Raises ValueError for an empty data set, a batch that cannot be split, nothing to train or shared parameters.
        """
        self.config, self.run_dir = config, Path(run_dir)
        self.callback, self.on_preview, self.milestones = callback, on_preview, dict(milestones or {})
        self.metrics: dict[str, float] = {}
        """Those that were logged last, means over the processes."""
        unused = DistributedDataParallelKwargs(find_unused_parameters=config.find_unused_parameters)
        # Autocast is this class's own: accelerate's would hold for every later run of the process.
        self.accelerator = Accelerator(
            cpu=config.cpu, mixed_precision="no", kwargs_handlers=[unused], log_with=log_with(config.tracker),
            project_dir=self.run_dir,
        )  # fmt: skip
        self.share = BatchShare.of_process(
            config.batch_size, config.accumulate, self.accelerator.num_processes, self.accelerator.process_index
        )
        collate = with_random(collate)
        self.data = StepLoader(dataset, collate, self.share, config.seed)
        if config.gradient_checkpointing:
            for module in (objective, discriminator):
                if module is not None:
                    recompute_blocks(module)
        if config.compile:
            # Not the objective: what it draws and checks beside its networks would break the graph at each line.
            for module in (objective, discriminator):
                for network in networks(module) if module is not None else ():
                    network.compile()
        self._model = TrainedObjective(objective, config, config.steps, self.accelerator, muon_takes, settings_of)
        self._judge: TrainedObjective | None = None
        if discriminator is not None:
            shared = {id(p) for p in objective.parameters()} & {id(p) for p in discriminator.parameters()}
            if shared:
                raise ValueError(
                    f"the objective and the discriminator share {len(shared)} parameter(s), which both would train; "
                    "hand the discriminator to the objective as a plain callable, not as a submodule"
                )
            settings = discriminator_config or config
            self._judge = TrainedObjective(discriminator, settings, config.steps, self.accelerator)
        self.ema = ExponentialMovingAverage(objective, config.ema_decay, config.ema_every) if config.ema_decay else None
        if config.patience is not None and held_out is None:
            raise ValueError(f"patience {config.patience} waits for held-out losses; pass held_out, or patience=None")
        measures = config.validate_every > 0 and held_out is not None
        self._curve = HeldOutCurve(held_out, collate, config, self.accelerator) if measures else None  # type: ignore[arg-type]
        self.precision: str = config.precision
        self._loss = math.nan
        """That of the checkpoint that the training goes on from."""
        self._first_loss: float | None = None
        """Of the run's first step, which tells later ones that have exploded."""
        self._non_finite = 0
        """Steps in a row, up to the last one, whose loss or gradient was not finite."""
        self._unconfirmed: Path | None = None
        """The checkpoint that was written last, until a step was taken from its weights."""

    @property
    def objective(self) -> nn.Module:
        """The objective with its present weights."""
        return self._model.objective

    def load_average(self) -> None:
        """Puts the averaged weights, where an average is kept, in the place of the trained ones.

        With `patience`, those of the lowest held-out loss.
        """
        average = self.ema
        if self.config.patience is not None and self._curve is not None and self._curve.step:
            average = average or ExponentialMovingAverage(self.objective)
            tensors, _ = load_checkpoint(self.run_dir / LOWEST / checkpoint_name(self._curve.step))
            average.load_state_dict(tensors["average"])
        if average is not None:
            average.copy_to(self.objective)

    def fit(self, resume: bool = False) -> dict[str, float]:
        """Train to the configured number of steps; returns the metrics of the last one.

        Raises
        ------
        ValueError: without `resume`, when the run has checkpoints; with it, when they do not fit the model; when
            another process trains in the directory.
        CheckpointError: when a checkpoint cannot be read or written.
        NonFiniteLossError: when a loss, gradient or weight is not finite; what is saved then stays, and `resume` goes
            on from the last checkpoint before the explosion.
        TrainingInterrupted: after SIGINT or SIGTERM, when the running step has been finished and saved.
        """
        main = self.accelerator.is_main_process
        with alone_in(self.run_dir) if main else nullcontext():
            removed = back_before_divergence(self.run_dir, self.run_dir / CHECKPOINTS) if main and resume else []
            self.accelerator.wait_for_everyone()  # all are to find the same checkpoints
            return self._fit(resume, removed)

    def _fit(self, resume: bool, removed: list[str]) -> dict[str, float]:
        main = self.accelerator.is_main_process
        path, notes = starting_point(self.run_dir, resume)
        notes = removed + notes
        start, precision = 0, None
        if path is not None:
            start, self.metrics, precision, changes = self._restore(path)
            notes += changes
        self._settle_precision(precision)
        log = None
        with StopRequest() as stop:
            try:
                if main:
                    tracking = Tracking(self.accelerator, self.run_dir, start)
                    log = RunLog(self.run_dir, start, total=self.config.steps, tracking=tracking)
                    for note in notes:
                        logger.info("%s", note)
                try:
                    with fast_products(self.accelerator.device):
                        self._loop(start, log, stop)
                except NonFiniteLossError as error:
                    if main:
                        mark_diverged(self.run_dir, str(error))
                    raise
                # Scripts may end here: a thread that still held the last message's tensors would abort them.
                self.accelerator.wait_for_everyone()
                return self.metrics
            finally:
                if log is not None:
                    log.close()

    def _loop(self, start: int, log: RunLog | None, stop: StopRequest) -> None:
        config = self.config
        workers = config.num_workers
        if workers is None:
            processes, first = self.accelerator.num_processes, self.data.dataset[0]
            workers = workers_to_feed(self.accelerator.device, processes, first)
        batches = self.data.batches(start, config.steps, workers, pinned=self.accelerator.device.type == "cuda")
        began, timed, pace = time.perf_counter(), 0, Pace()
        loss = torch.tensor(self._loss)  # of the last step that changed anything
        for step in range(start, start if self._over else config.steps):
            micros = [to_device(next(batches), self.accelerator.device) for _ in range(self.share.accumulate)]
            stopping, stepped, values = self._step(step, micros, stop)
            done, timed = step + 1, timed + 1
            if stepped:
                loss = values["loss"]
                if self.ema is not None:
                    self.ema.update(done)
                if self._first_loss is None:
                    self._first_loss = self._average({"loss": loss})["loss"]
            losses = self._measure_held_out(done)
            last = done == config.steps or self._over
            if last and self._first_loss is None:
                raise NonFiniteLossError(f"no step had a finite loss and gradient; {self._remedy()}")
            if step % config.log_every == 0 or last or stopping or losses:
                self.metrics = self._average(values) | losses
                seconds = (time.perf_counter() - began) / timed
                began, timed = time.perf_counter(), 0
                if log is not None:
                    log.write(step, {**self.metrics, "seconds": seconds})
                    if self.accelerator.device.type == "cpu" and (slower := pace.look(seconds)) is not None:
                        logger.warning("%s", slower)
            if log is not None:
                log.advance()
            if done in self.milestones:  # before a checkpoint says that it is past
                self._with_average(self.milestones[done], done)
            due = config.save_every and done % config.save_every == 0 and not self._non_finite
            if last or stopping or due:
                self._save(done, self._average({"loss": loss})["loss"])
            if self.on_preview is not None and config.preview_every and (last or done % config.preview_every == 0):
                self._with_average(self.on_preview, done)
            if self.callback is not None:
                self.callback(done, self)
            if stopping and not last:
                raise TrainingInterrupted(f"stopped at step {done}; run again with --resume")
            if self._over:
                break
        if self._over and self._curve is not None and log is not None:
            logger.info(
                "held-out losses were lowest after step %d, %d measurements ago: the training ends, with the weights "
                "of that step", self._curve.step, self._curve.since,
            )  # fmt: skip

    @property
    def _over(self) -> bool:
        """Whether held-out losses have ended the training."""
        return self._curve is not None and self._curve.over

    def _measure_held_out(self, done: int) -> dict[str, float]:
        """Losses of held-out items where their turn has come; the weights of the lowest are kept where they count."""
        curve, every = self._curve, self.config.validate_every
        if curve is None or (done % every and done != self.config.steps):
            return {}
        with self._averaged() as average:
            losses = curve.measure(self.objective, done, bf16=self.precision == "bf16")
            if self.config.patience is not None and curve.step == done and self.accelerator.is_main_process:
                save_checkpoint(self.run_dir / LOWEST, done, {"average": average.state_dict()}, losses, keep=1)
        return losses

    def _step(self, step: int, micros: list[Any], stop: StopRequest) -> tuple[bool, bool, dict[str, Tensor]]:
        """One step of every objective.

        Returns whether some process was asked to stop, whether the model took its step, and what can be logged.
        """
        judge, bf16 = self._judge, self.precision == "bf16"
        if judge is None:
            gradients = self._backward(self._model, micros, step, _MODEL_STREAM)
        else:
            with judge.frozen():
                gradients = self._backward(self._model, micros, step, _MODEL_STREAM)
        stopping, finite = self._agree(step, gradients, stop)
        values, stepped = {**gradients.scalars, "grad_norm": gradients.norm}, finite
        if stepped:
            values["lr"] = torch.tensor(self._model.apply(step, bf16=bf16))
        if judge is not None and finite:
            pairs = [{"batch": batch, "aux": aux} for batch, aux in zip(micros, gradients.aux, strict=True)]
            gradients = self._backward(judge, pairs, step, _DISCRIMINATOR_STREAM)
            stopping, finite = self._agree(step, gradients, stop)
            values |= {f"discriminator/{name}": value for name, value in gradients.scalars.items()}
            values["discriminator/grad_norm"] = gradients.norm
            if finite:
                values["discriminator/lr"] = torch.tensor(judge.apply(step, bf16=bf16))
        self._non_finite = 0 if finite else self._non_finite + 1
        return stopping, stepped, values

    def _backward(self, trained: TrainedObjective, micros: list[Any], step: int, stream: int) -> Gradients:
        seed = self.config.seed
        randoms = [StepRandom(seed, step, self.share.positions(m), stream=stream) for m in range(len(micros))]
        return trained.backward(
            micros, randoms, step, items=self.share.batch_size, seed=seed, stream=stream, bf16=self.precision == "bf16"
        )

    def _agree(self, step: int, gradients: Gradients, stop: StopRequest) -> tuple[bool, bool]:
        """Whether to stop after this step, and whether loss and gradient are finite: the same in all processes.

        NonFiniteLossError where they are not for as many steps in a row as end the training.
        """
        asked = float(stop.requested)
        state = torch.stack([gradients.scalars["loss"], gradients.norm.float(), torch.tensor(asked).to(gradients.norm)])
        if self.accelerator.num_processes > 1:
            state = self.accelerator.reduce(state, reduction="sum")
        loss, norm, asked = state.tolist()
        finite = math.isfinite(loss) and math.isfinite(norm)
        if not finite and self._non_finite + 1 < self.config.non_finite_steps:
            logger.warning("%s", self._explain_non_finite(step, gradients, "the step is left out"))
            return asked > 0, False
        self._confirm(loss / self.accelerator.num_processes)
        if not finite:
            raise NonFiniteLossError(self._explain_non_finite(step, gradients, self._remedy()))
        return asked > 0, True

    def _confirm(self, loss: float) -> None:
        """What the weights that were just saved are worth: this step's loss is the first that they gave."""
        if self._unconfirmed is not None and self._first_loss is not None and self.accelerator.is_main_process:
            step, path = checkpoint_step(self._unconfirmed), self._unconfirmed
            if exploded(loss, self._first_loss):
                mark_exploded(path)
            else:
                prune_checkpoints(path.parent, newest=step, keep=self.config.keep)
        self._unconfirmed = None

    def _explain_non_finite(self, step: int, gradients: Gradients, then: str) -> str:
        values = ", ".join(f"{name} {float(value):g}" for name, value in gradients.scalars.items())
        return f"step {step}: the gradient norm is {float(gradients.norm):g} ({values}); {then}"

    def _remedy(self) -> str:
        remedy = "a lower learning rate, a smaller grad_clip or precision fp32"
        root = self.run_dir / CHECKPOINTS
        if (path := last_sound(root)) is not None:
            return f"the last good checkpoint {path} is kept: run again with --resume and {remedy}"
        if checkpoint_directories(root):
            return f"it had exploded before the first checkpoint: run again in another directory with {remedy}"
        return f"no checkpoint had been written: run again with {remedy}"

    def _average(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Means over the processes."""
        names = sorted(values)
        stacked = torch.stack([values[name].float().to(self.accelerator.device) for name in names])
        return dict(zip(names, self.accelerator.reduce(stacked, reduction="mean").tolist(), strict=True))

    def _with_average(self, use: Callable[[int, nn.Module], None], done: int) -> None:
        if self.accelerator.is_main_process:
            with self._averaged():
                use(done, self.objective)

    @contextmanager
    def _averaged(self) -> Iterator[ExponentialMovingAverage]:
        """Within the block the objective has its averaged weights, is in evaluation mode, and takes no gradients."""
        modes = {module: module.training for module in self.objective.modules()}
        average = self.ema or ExponentialMovingAverage(self.objective)
        try:
            with torch.no_grad(), average.applied(self.objective):
                self.objective.eval()
                yield average
        finally:
            for module, training in modes.items():
                module.training = training

    def _settle_precision(self, stored: str | None) -> None:
        """Measured once in a run, by one process: all must compute alike, and go on alike when resumed."""
        requested = self.config.precision
        if requested == "auto" and stored is not None:
            self.precision = stored
            return
        bf16 = torch.tensor(float(choose_precision(requested, self.accelerator.device) == "bf16"))
        if not self.accelerator.is_main_process:
            bf16.zero_()
        self.precision = "bf16" if self.accelerator.reduce(bf16.to(self.accelerator.device)).item() else "fp32"

    def _save(self, done: int, loss: float) -> None:
        if not self.accelerator.is_main_process or self._first_loss is None:  # or nothing has been learned yet
            return
        tensors = {"model": self._model.weights(), "optimizer": self._model.optimizer_state()}
        if self.ema is not None:
            tensors["ema"] = self.ema.state_dict()
        if self._judge is not None:
            tensors["discriminator"] = self._judge.weights()
            tensors["discriminator_optimizer"] = self._judge.optimizer_state()
        try:
            check_finite(tensors, f"step {done} is not saved")
        except NonFiniteLossError as error:
            raise NonFiniteLossError(f"{error}; {self._remedy()}") from None
        meta = {
            "step": done,
            "loss": finite_or_none(loss),
            "first_loss": finite_or_none(self._first_loss),
            "non_finite": self._non_finite,
            "precision": self.precision,
            "run": describe_run(self.config, self.accelerator.num_processes),
            "metrics": {name: value for name, value in self.metrics.items() if math.isfinite(value)},
            "torch": torch.__version__,
        }
        if self._curve is not None:
            meta["held_out"] = self._curve.state()
        root = self.run_dir / CHECKPOINTS
        last = (done == self.config.steps or self._over) and not exploded(loss, self._first_loss)
        spare = None if last else last_sound(root)  # until the next step tells that these weights are sound
        # amid steps that are not finite nobody knows which of the checkpoints are worth something: all stay
        keep = sys.maxsize if self._non_finite else self.config.keep
        self._unconfirmed = save_checkpoint(root, done, tensors, meta, keep, spare)

    def _restore(self, path: Path) -> tuple[int, dict[str, float], str, list[str]]:
        """Load a checkpoint: steps done, last metrics, precision, and what the user should know."""
        tensors, meta = load_checkpoint(path)
        check_memory(path, meta)
        try:
            check_finite(tensors, "loading")
            notes = self._model.load(tensors["model"], tensors["optimizer"])
            if self._judge is not None:
                notes += self._judge.load(tensors["discriminator"], tensors["discriminator_optimizer"])
            if self.ema is not None and "ema" in tensors:
                self.ema.load_state_dict(tensors["ema"])
            elif self.ema is not None:  # switched on since: the average starts from the restored weights
                self.ema = ExponentialMovingAverage(self.objective, self.config.ema_decay, self.config.ema_every)
        except NonFiniteLossError as error:
            raise CheckpointError(
                f"resuming from {path}: {error}; remove that directory to go on from the checkpoint before it"
            ) from error
        except KeyError as error:
            raise ValueError(f"resuming from {path}: it has no {error}; start another run with --run") from error
        except ValueError as error:
            raise ValueError(f"resuming from {path}: {error}") from error
        now = describe_run(self.config, self.accelerator.num_processes)
        notes += note_changes(meta["run"], now, meta["precision"])
        self._first_loss, self._non_finite = meta.get("first_loss"), int(meta.get("non_finite", 0))
        self._unconfirmed = path
        self._loss = math.nan if meta.get("loss") is None else float(meta["loss"])
        if self._curve is not None and "held_out" in meta:
            self._curve.load(meta["held_out"], path)
        return meta["step"], meta["metrics"], meta["precision"], notes
