"""Samples that outlast the evaluation that needs them, and evaluations by several processes."""

from __future__ import annotations

import copy
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from accelerate import PartialState

from ddmi import DDMI
from ddmi.cli import main
from ddmi.machine.processes import join_processes
from ddmi.sampling.kept_samples import GENERATED, KeptSamples

from ..command_line import fails
from ..stopping import interrupted_after, launched, started, watched


@pytest.fixture
def run(one_thread: None, tiny_run: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "run"
    shutil.copytree(tiny_run, copy, ignore=shutil.ignore_patterns("metrics.json", "evaluations", "report"))
    return copy


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """(start, count) of what the denoiser is asked for.  Evaluations take three images at once."""
    monkeypatch.setattr("ddmi_modalities.image.evaluation.CHUNK", 3)
    with watched() as asked:
        yield asked


def kept(run: Path) -> KeptSamples:
    model = DDMI.from_pretrained(run)
    return KeptSamples(model, model.experiment, run, join_processes(torch.device("cpu")))


def evaluate(run: Path, *options: str | Path) -> dict[str, Any]:
    assert main(["evaluate", str(run), "--count", "8", "--pairs", "2", "--num-steps", "2", *map(str, options)]) == 0
    return json.loads((run / "metrics.json").read_text())


def test_samples_are_those_of_the_model_and_made_once(run: Path, batches: list[tuple[int, int]]) -> None:
    model, source = DDMI.from_pretrained(run), kept(run)
    for start, count in ((0, 3), (3, 2)):
        wanted = model.sample(count, seed=4, start=start, num_steps=2).grid((9, 9))
        for _ in range(2):
            got = source.sample(count, seed=4, start=start, num_steps=2).grid((9, 9))
            torch.testing.assert_close(got, wanted, rtol=0, atol=0)
    assert batches == [(0, 3), (0, 3), (3, 2), (3, 2)], "once by the model itself, once to be kept"
    kept(run).sample(3, seed=4, num_steps=2)
    assert len(batches) == 4, "another process finds them"


def damage(file: Path, how: str) -> None:
    content = file.read_bytes()
    if how == "cut":
        file.write_bytes(content[:-5])
    elif how == "changed":
        file.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    else:
        file.write_bytes(b"")


@pytest.mark.parametrize("how", ["cut", "changed", "empty"])
def test_damaged_batches_are_made_again(run: Path, batches: list[tuple[int, int]], how: str) -> None:
    source = kept(run)
    wanted = [source.sample(2, start=start, num_steps=2).grid((9, 9)) for start in (0, 2)]
    (file,) = (run / GENERATED).glob("*/00000002-2.safetensors")
    whole = file.read_bytes()
    damage(file, how)
    batches.clear()
    again = [source.sample(2, start=start, num_steps=2).grid((9, 9)) for start in (0, 2)]
    assert batches == [(2, 2)]
    torch.testing.assert_close(again, wanted, rtol=0, atol=0)
    assert file.read_bytes() == whole


def test_what_samples_depend_on_keeps_them_apart(run: Path, batches: list[tuple[int, int]]) -> None:
    source = kept(run)
    plain: dict[str, Any] = dict(seed=1, num_steps=2)
    for options in (plain, {**plain, "seed": 2}, {**plain, "num_steps": 3}, {**plain, "sampler": "unipc"}):
        source.sample(2, **options)
    assert len(batches) == len(list((run / GENERATED).iterdir())) == 4
    how: dict[str, Any] = {**plain, "prompts": ["a"], "guidance_scale": 2.0, "guidance_interval": (0.0, 1.0)}
    others: dict[str, Any] = {"prompts": ["b"], "guidance_scale": 3.0, "guidance_interval": (0.0, 0.5)}
    chosen = [how, *({**how, name: value} for name, value in others.items())]
    assert len({source._file((range(2), one)).parent for one in chosen}) == 4
    model = DDMI.from_pretrained(run)
    assert model.diffusion is not None
    next(model.diffusion.parameters()).data[0] += 1e-3
    again = KeptSamples(model, model.experiment, run, join_processes(torch.device("cpu")))
    again.sample(2, **plain)
    assert len(batches) == 5, "other weights"
    guided = KeptSamples(model, model.experiment, run, again.processes)
    guided.guide = copy.deepcopy(model.diffusion)
    guided.sample(2, **plain)
    assert len(batches) == 6, "another guide"
    source.remove()
    assert len(list((run / GENERATED).iterdir())) == 2, "what another evaluation has is left to it"


def test_a_stopped_evaluation_goes_on(run: Path, batches: list[tuple[int, int]]) -> None:
    whole = evaluate(run)
    assert batches == [(0, 3), (3, 3), (6, 2)]
    assert not (run / GENERATED).exists()
    batches.clear()
    with interrupted_after(2):
        assert main(["evaluate", str(run), "--count", "8", "--pairs", "2", "--num-steps", "2"]) == 130
    assert batches == [(0, 3), (3, 3)]
    assert evaluate(run) == whole
    assert batches == [(0, 3), (3, 3), (6, 2)], "only the last was missing"
    assert not (run / GENERATED).exists()


def test_kept_samples_serve_other_evaluations(
    run: Path, batches: list[tuple[int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    first = evaluate(run, "--keep-samples")
    assert f"the samples are in {run / GENERATED}" in capsys.readouterr().err
    again = evaluate(run, "--pairs", "4")
    assert again["fd/samples"] == first["fd/samples"]
    assert len(batches) == 3
    assert not (run / GENERATED).exists(), "nobody asked to keep them this time"


def test_a_store_that_cannot_be_written_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / GENERATED).write_text("in the way")
    message = fails(capsys, "evaluate", run, "--count", "4", "--pairs", "2", "--num-steps", "2")
    assert str(run / GENERATED) in message


def one_of_two(index: int) -> PartialState:
    """A process that waits for nobody."""
    return mock.Mock(spec=PartialState, process_index=index, num_processes=2)


def test_each_process_makes_one_batch_of_those_to_come(run: Path, batches: list[tuple[int, int]]) -> None:
    told: list[Any] = []

    class Heard(KeptSamples):
        def _tell(self, batches: Any) -> Any:
            if self.processes.process_index:
                return told.pop(0)
            told.append(batches)
            return batches

    model = DDMI.from_pretrained(run)
    one, other = (Heard(model, model.experiment, run, one_of_two(index)) for index in range(2))
    one.sample(3, num_steps=2)
    assert batches == [(0, 3)]
    told.append(None)
    other.serve()
    assert batches == [(0, 3), (3, 3)], "the second process made what will be asked for next"
    one.sample(3, start=3, num_steps=2)
    assert len(batches) == 2
    wanted = model.sample(3, start=3, num_steps=2).grid((9, 9))
    torch.testing.assert_close(one.sample(3, start=3, num_steps=2).grid((9, 9)), wanted, rtol=0, atol=0)


def test_one_process_is_alone() -> None:
    state = join_processes(torch.device("cpu"))
    assert isinstance(state, PartialState)
    assert (state.num_processes, state.is_main_process) == (1, True)


KILLED = """
import os, signal, sys
import ddmi_modalities.image.evaluation as evaluation
from ddmi.cli import main
from ddmi_diffusion import LatentDiffusion
evaluation.CHUNK, sample, done = 3, LatentDiffusion.sample, []
def stop(self, *args, **rest):
    done.append(1)
    if len(done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return sample(self, *args, **rest)
LatentDiffusion.sample = stop
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_killed_evaluation_goes_on(run: Path, batches: list[tuple[int, int]]) -> None:
    whole = evaluate(run)
    batches.clear()
    done = started("-c", KILLED, "evaluate", run, "--count", "8", "--pairs", "2", "--num-steps", "2")
    assert done.returncode == -signal.SIGKILL
    assert evaluate(run) == whole
    assert batches == [(6, 2)]


SMALL = """
import sys
import ddmi_modalities.image.evaluation as evaluation
from ddmi.cli import main
evaluation.CHUNK = 3
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_two_processes_measure_what_one_measures(run: Path, batches: list[tuple[int, int]], tmp_path: Path) -> None:
    script = tmp_path / "small.py"
    script.write_text(SMALL)
    one, two = run, tmp_path / "two"
    shutil.copytree(run, two)
    whole = evaluate(one, "--keep-samples")
    options = ["--count", "8", "--pairs", "2", "--num-steps", "2", "--keep-samples"]
    done = started(*launched(str(script)), "evaluate", two, *options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((two / "metrics.json").read_text()) == whole
    assert json.loads((two / "evaluations" / "offline.json").read_text())["processes"] == 2
    assert done.stderr.count(f"wrote {two / 'metrics.json'}") == 1
    files = [{path.relative_to(root) for path in root.glob("generated/*/*.safetensors")} for root in (one, two)]
    assert sorted(path.stem for path in files[0]) == ["00000000-3", "00000003-3", "00000006-2"]
    assert files[0] <= files[1], "beside them, what the second process made ahead"
    for path in files[0]:
        assert (one / path).read_bytes() == (two / path).read_bytes(), path


@pytest.mark.slow
def test_an_error_of_the_main_process_is_the_only_one(run: Path) -> None:
    done = started(*launched("-m", "ddmi"), "evaluate", run, "--protocol", "fid-50k")
    assert done.returncode != 0
    assert done.stderr.count("ddmi: error: this protocol needs the weights of its network") == 1
    assert "Connection closed" not in done.stderr
    assert not (run / "evaluations").exists()
