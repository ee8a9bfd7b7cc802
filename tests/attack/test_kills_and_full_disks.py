"""Trainings that are killed at a disk operation, or meet a full disk, go on to the same weights without litter."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent
EACH = int(os.environ.get("DDMI_ATTACK_KILLS", "3"))
"""Kills, and full disks, of each recipe."""
FIRST = int(os.environ.get("DDMI_ATTACK_FROM", "0"))
OFTEN = (
    *("--vae-training.save-every", "1", "--diffusion-training.save-every", "1"),
    *("--vae-training.preview-every", "1"),
)

GAN = (
    *("--modality.num-queries", "0", "--gan.training.steps", "2", "--gan.training.batch-size", "4"),
    *("--gan.training.precision", "fp32", "--gan.training.save-every", "1"),
)

RECIPES: dict[str, tuple[str, ...]] = {
    "openmoji": ("openmoji",),
    "furniture": ("furniture",),
    "moving-openmoji": ("moving-openmoji",),
    "turntable": ("turntable",),
    "furniture-text": ("furniture-text",),
    "openmoji-gan": ("openmoji", "--set", "losses.discriminator=patch", *GAN),
    "openmoji-guide": ("openmoji", "--diffusion.guide-after", "0.5"),
    "openmoji-held-out": ("openmoji", "--vae-training.validate-every=1", "--vae-training.patience=9"),
}

pytestmark = pytest.mark.attack

Count = Callable[[str, str], None]


def line(name: str, run: Path, *more: str) -> list[str]:
    return ["train", *RECIPES[name], "--preset", "test", "--run", str(run), *OFTEN, *more]


def environment(cache: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(cache), **more}


def process(mode: str, at: int, arguments: list[str], cache: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """`ddmi` under `dying`."""
    run = arguments[arguments.index("--run") + 1]
    code = f"import sys; sys.path.insert(0, {str(HERE.parent)!r}); from attack.dying import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, mode, str(at), run, *arguments],
        capture_output=True, text=True, env=environment(cache, **more), timeout=600, check=False,
    )  # fmt: skip


def weights(run: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(run.glob("*.safetensors"))}


def litter(*folders: Path) -> list[str]:
    """What processes that are gone left."""
    left = re.compile(r"\.tmp-.*|.*\.building|\.writing-.*|\.training\.json")
    return [str(path) for folder in folders for path in folder.rglob("*") if left.fullmatch(path.name)]


class Whole:
    """An uninterrupted run of each recipe, made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.known = folder, dict[str, tuple[dict[str, str], int, int]]()

    def __call__(self, name: str) -> tuple[dict[str, str], int, int]:
        """Hashes of its weights, disk operations, writes."""
        if name not in self.known:
            run, cache, counts = (self.folder / f"{name}{what}" for what in ("", ".cache", ".counts"))
            done = process("count", 0, line(name, run), cache, DDMI_ATTACK_COUNTS=str(counts))
            assert done.returncode == 0, done.stderr
            assert not litter(run, cache)
            operations, writes = map(int, counts.read_text().split())
            self.known[name] = (weights(run), operations, writes)
            shutil.rmtree(run)
        return self.known[name]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"))


def resumed(name: str, run: Path, cache: Path, whole: Whole) -> list[str]:
    """What is wrong with a run that is gone on with."""
    done = process("count", 0, line(name, run, "--resume"), cache)
    if done.returncode:
        return [f"--resume ends with {done.returncode}: {done.stderr}"]
    wrong = [] if weights(run) == whole(name)[0] else ["other weights"]
    return wrong + [f"left over: {one}" for one in litter(run, cache)]


@pytest.mark.parametrize("name", RECIPES)
def test_kills(name: str, whole: Whole, tmp_path: Path, count: Count) -> None:
    _, operations, _ = whole(name)
    failures = []
    for seed in range(FIRST, FIRST + EACH):
        at, run, cache = Random(f"{name} {seed}").randint(1, operations), tmp_path / f"run{seed}", tmp_path / f"c{seed}"
        killed = process("kill", at, line(name, run), cache)
        assert killed.returncode == -9, f"operation {at} of {operations}: {killed.stderr}"
        wrong = resumed(name, run, cache, whole)
        count(f"killed: {name}", "bit-equal" if not wrong else "failed")
        failures += [f"killed at operation {at} of {operations}: {one}" for one in wrong]
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("name", RECIPES)
def test_full_disks(name: str, whole: Whole, tmp_path: Path, count: Count) -> None:
    _, _, writes = whole(name)
    failures = []
    for seed in range(FIRST, FIRST + EACH):
        at, run, cache = (
            Random(f"full {name} {seed}").randint(1, writes),
            tmp_path / f"run{seed}",
            tmp_path / f"c{seed}",
        )
        full = process("full", at, line(name, run), cache, DDMI_ATTACK_COUNTS=str(tmp_path / "counts"))
        if full.returncode == 0 and int((tmp_path / "counts").read_text().split()[1]) < at:
            count(f"full disk: {name}", "ended before")  # how often logs are written is a matter of time
            continue
        errors = [one for one in full.stderr.splitlines() if "ddmi: error" in one]
        wrong = []
        if full.returncode != 2 or len(errors) != 1 or "Traceback" in full.stderr:
            wrong.append(f"exit code {full.returncode}: {full.stderr}")
        elif str(run) not in errors[0]:
            wrong.append(f"no file named: {errors[0]}")
        wrong += resumed(name, run, cache, whole)
        count(f"full disk: {name}", "bit-equal" if not wrong else "failed")
        failures += [f"full at write {at} of {writes}: {one}" for one in wrong]
    assert not failures, "\n".join(failures)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("file systems are mounted by root only")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_under_two_workers(small_disk: Path, tmp_path: Path, count: Count) -> None:
    source, out = tmp_path / "pictures", small_disk / "out"
    source.mkdir()
    for i in range(20):
        noise = np.random.default_rng(i).integers(0, 255, (300, 300, 3), dtype=np.uint8)
        Image.fromarray(noise).save(source / f"{i}.png")
    command = [sys.executable, "-m", "ddmi", "prepare", "images", str(source), "--preset", "demo", "--workers", "2"]
    full = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, check=False)
    assert full.returncode == 2, full.stderr
    assert "No space left on device; make room" in full.stderr
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    for folder in (out, tmp_path / "whole"):
        subprocess.run([*command, "--out", str(folder)], check=True, capture_output=True)
    assert not litter(small_disk)
    made, whole = ({path.name: path.read_bytes() for path in one.rglob("*.png")} for one in (out, tmp_path / "whole"))
    assert made == whole
    assert len(made) == 20
    count("full disk: two workers", "same folder")


def test_two_trainings_in_one_folder(whole: Whole, tmp_path: Path, count: Count) -> None:
    command = [sys.executable, "-m", "ddmi", *line("openmoji", tmp_path / "run")]
    both = []
    for delay in (0.0, 1.0):
        time.sleep(delay)
        both.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=environment(tmp_path / "cache"))
        )  # fmt: skip
    said = [one.communicate(timeout=600)[1] for one in both]
    codes = [one.returncode for one in both]
    assert sorted(codes) == [0, 2], said
    winner, loser = codes.index(0), codes.index(2)
    errors = [one for one in said[loser].splitlines() if "ddmi: error" in one]
    assert len(errors) == 1
    named = f"process {both[winner].pid} on" in errors[0] or "holds a run already" in errors[0]
    assert named, errors
    assert weights(tmp_path / "run") == whole("openmoji")[0]
    count("two trainings", "one refused")
