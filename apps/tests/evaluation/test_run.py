"""Named protocols from the command line, the files that they leave, and the table that is made of these."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from ddmi.cli import main
from ddmi.evaluation.run import read_evaluations
from ddmi.evaluation.table import PAPER, markdown_table
from ddmi.registry import make_experiment, spec_of
from ddmi_modalities.image.protocols import NAMED as IMAGE_PROTOCOLS
from ddmi_modalities.spec import OFFLINE

from ..command_line import fails


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run, so that what is written into it does not meet other tests."""
    copy = tmp_path_factory.mktemp("evaluated") / "tiny"
    shutil.copytree(tiny_run, copy, ignore=shutil.ignore_patterns("metrics.json", "evaluations"))
    return copy


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inception with random weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Inception

    folder = tmp_path_factory.mktemp("weights")
    torch.save({}, folder / "blank.pth")
    torch.manual_seed(0)
    with mock.patch.object(Inception, "load_state_dict"):  # its constructor cannot leave the weights random
        network = Inception("inception-v3-compat", ["2048"], str(folder / "blank.pth"))
    torch.save(network.state_dict(), folder / "inception.pth")
    return folder / "inception.pth"


def evaluate(run: Path, *options: str | Path) -> dict[str, Any]:
    assert main(["evaluate", str(run), *map(str, options)]) == 0
    return json.loads((run / "metrics.json").read_text())


def test_a_protocol_leaves_its_number_and_its_circumstances(
    run: Path, inception: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = evaluate(
        run, "--protocol", "fid-50k", "--weights", inception, "--count", "4", "--seed", "7", "--num-steps", "3"
    )
    assert set(metrics) == {"fid-50k/fid"}
    out = capsys.readouterr()
    assert "fid-50k/fid" in out.out
    assert "not this protocol's number: count is 4" in out.err
    record = json.loads((run / "evaluations" / "fid-50k.json").read_text())
    assert record["metrics"] == metrics
    assert record["modality"]["source"] == "openmoji"
    assert (record["seed"], record["num_steps"], record["protocol"], record["recipe"]) == (7, 3, "fid-50k", "openmoji")
    assert record["sampler"] == make_experiment("openmoji", "test", None).diffusion.sampler
    assert record["deviations"] == ["count is 4"]
    assert "50,000 samples" in record["comparable_with"]
    conditions = record["conditions"]
    sha256 = hashlib.sha256(inception.read_bytes()).hexdigest()
    assert conditions["sha256_weights"] == record["sha256_files"]["weights"] == sha256
    assert (conditions["count_made"], conditions["count_real"], conditions["resolution"]) == (4, 4, 16)
    digest = hashlib.sha256((run / "vae.safetensors").read_bytes()).hexdigest()
    assert record["sha256_checkpoint"]["vae.safetensors"] == digest
    assert {"vae.safetensors", "denoiser.safetensors"} <= set(record["sha256_checkpoint"])
    assert record["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert record["seconds"] > 0
    # numbers of both evaluations, as long as the weights are the same
    both = evaluate(run, "--count", "4", "--pairs", "2")
    assert {"fid-50k/fid", "fd/samples", "psnr/16"} <= set(both)
    other = run.parent / "other"
    shutil.copytree(run, other)
    (other / "note.safetensors").write_bytes(b"other weights")
    assert "fid-50k/fid" not in evaluate(other, "--count", "4", "--pairs", "2"), "measured with other weights"


def test_reconstructions_are_measured_with_lpips(run: Path, tmp_path: Path) -> None:
    from torchvision.models import vgg16

    with torch.device("meta"):
        features = vgg16(weights=None, init_weights=False).features
    shapes = {f"features.{key}": value.shape for key, value in features.state_dict().items()}
    rng = torch.Generator().manual_seed(0)
    torch.save({key: 0.05 * torch.randn(shape, generator=rng) for key, shape in shapes.items()}, tmp_path / "vgg.pth")
    metrics = evaluate(run, "--protocol", "reconstruction", "--weights", tmp_path / "vgg.pth", "--count", "3")
    measured = {key: value for key, value in metrics.items() if key.startswith("reconstruction/")}
    assert set(measured) == {"reconstruction/psnr", "reconstruction/ssim", "reconstruction/lpips"}
    assert 0 < measured["reconstruction/lpips"] < 10
    record = json.loads((run / "evaluations" / "reconstruction.json").read_text())
    assert record["deviations"] == ["count is 3"]
    assert "LPIPS (VGG16" in record["comparable_with"]
    assert "| reconstruction/psnr, 16 px |" in markdown_table([run])


def test_errors_name_the_remedy(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    message = fails(capsys, "evaluate", run, "--protocol", "fid")
    assert "no protocol 'fid'" in message
    assert "fid-50k, fid-10k, clean-fid" in message
    assert "fvd" not in message
    assert "give --weights FILE with weights-inception" in fails(capsys, "evaluate", run, "--protocol", "kid")
    absent = fails(capsys, "evaluate", run, "--protocol", "rfid", "--weights", tmp_path / "none.pth")
    assert "cannot read weights" in absent
    assert "name at least one run" in fails(capsys, "table")
    assert f"run `ddmi evaluate {tmp_path}` first" in fails(capsys, "table", tmp_path)
    assert "choose one of celeba-hq" in fails(capsys, "table", run, "--paper", "mnist")


@pytest.mark.parametrize("recipe", ["openmoji", "furniture", "turntable", "moving-openmoji"])
def test_every_kind_of_signal_has_protocols(recipe: str) -> None:
    modality = make_experiment(recipe, "test", None).modality
    protocols = spec_of(modality).evaluation_protocols()
    assert next(iter(protocols)) == OFFLINE
    assert len(protocols) > 1
    for name, protocol in protocols.items():
        assert protocol.citation, name
        assert protocol.deviations(protocol.settings) == (), name
    assert ("fid-50k" in protocols) == (recipe == "openmoji")
    assert ("fvd" in protocols) == (recipe == "moving-openmoji")


def record(run: Path, name: str, metrics: dict[str, float], **changes: Any) -> None:
    content = {
        "protocol": name, "metrics": metrics, "comparable_with": f"those of {name}", "deviations": [],
        "sha256_checkpoint": {}, "recipe": "images", "conditions": {"resolution": 256},
    } | changes  # fmt: skip
    (run / "evaluations").mkdir(parents=True, exist_ok=True)
    (run / "evaluations" / f"{name}.json").write_text(json.dumps(content))


def test_the_table_stands_beside_the_paper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    record(a, "fid-10k", {"fid-10k/fid": 5.123456}, recipe="afhqv2-cat")
    record(a, "offline", {"fd/samples": 120.0, "count/pairs": 9}, recipe="afhqv2-cat", conditions={})
    record(b, "fid-10k", {"fid-10k/fid": 7.5}, deviations=["count is 4", "pairs is 2, not 9"])
    record(b, "precision-recall", {"precision-recall/precision": 0.5, "precision-recall/recall": 0.25})
    assert main(["table", str(a), str(b)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| metric | a | b | paper, afhqv2-cat |"
    assert lines[1] == "| --- | ---: | ---: | ---: |"
    assert "| fd/samples | 120 |  |  |" in lines
    assert "| fid-10k/fid, 256 px | 5.123 | 7.5 (1) | 4.27 |" in lines
    assert "| fid-10k/fid, 128 px |  |  | 5.88 |" in lines
    assert "| precision-recall/recall |  | 0.25 | 0.367 |" in lines
    assert not any("count/pairs" in line for line in lines)
    assert "- (1) not the protocol's own number: count is 4; pairs is 2, not 9" in lines
    sizes = [line.split("|")[1].strip() for line in lines if "fid-10k/fid" in line and line.startswith("|")]
    assert sizes == [f"fid-10k/fid, {size} px" for size in (128, 256, 384)]
    assert "- `fid-10k`: those of fid-10k" in lines
    assert "paper, celeba-hq" in markdown_table([b], "celeba-hq")
    assert "paper" not in markdown_table([b]).splitlines()[0]


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for parent in ("x", "y"):
        record(tmp_path / parent / "demo", "offline", {"fd/samples": 1.0}, conditions={})
    head = markdown_table([tmp_path / "x" / "demo", tmp_path / "y" / "demo"]).splitlines()[0]
    assert str(tmp_path / "x" / "demo") in head
    assert str(tmp_path / "y" / "demo") in head


def test_numbers_of_the_paper_belong_to_protocols() -> None:
    named = {f"{name}/" for name in IMAGE_PROTOCOLS} | {"fvd/"}
    for data, rows in PAPER.items():
        for key, _ in rows:
            assert key.startswith(tuple(named)) or "," in key, (data, key)


RECORD: dict[str, Any] = {
    "protocol": "kid", "comparable_with": "", "deviations": [], "metrics": {"kid": 1}, "conditions": {},
    "sha256_checkpoint": {}, "recipe": "openmoji",
}  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", '{"protocol": "x"}', json.dumps({**RECORD, "metrics": {"kid": "1"}})),
        *(json.dumps({**RECORD, name: value}) for name, value in (("protocol", []), ("deviations", [1]))),
        *(json.dumps({**RECORD, "metrics": {"kid": value}}) for value in (True, float("nan"), 10**400)),
        json.dumps({**RECORD, "conditions": {"resolution": "64"}}),
    ],
)
def test_damaged_records_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "evaluations").mkdir()
    (tmp_path / "evaluations" / "kid.json").write_text(json.dumps(RECORD))
    assert read_evaluations(tmp_path) == [RECORD]
    (tmp_path / "evaluations" / "kid.json").write_text(content)
    with pytest.raises(ValueError, match=r"kid.json is no record of an evaluation .*evaluate again"):
        read_evaluations(tmp_path)
