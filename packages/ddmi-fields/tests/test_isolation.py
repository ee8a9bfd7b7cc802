"""What importing costs, compiling, and that shapes are checked in tests."""

from __future__ import annotations

import subprocess
import sys

import jaxtyping
import pytest
import torch

from ddmi_fields import sample_plane


def test_import_pulls_in_its_requirements_only() -> None:
    code = """
import sys, torch, einops, jaxtyping
before = {name.split(".")[0] for name in sys.modules}
import ddmi_fields
more = {name.split(".")[0] for name in sys.modules} - before - set(sys.stdlib_module_names) - {"ddmi_fields"}
sys.exit(f"imported {more}" if more else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_import_says_nothing_where_numpy_is_missing() -> None:
    code = "import sys, warnings; sys.modules['numpy'] = None; warnings.simplefilter('error'); import ddmi_fields"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    code = code.replace("import ddmi_fields", "import torch")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Failed to initialize NumPy" in done.stderr, "else there is nothing to be quiet about"


def test_wrong_shape_raises_under_the_type_checker() -> None:
    if not hasattr(sample_plane, "__wrapped__"):
        pytest.skip("run without --jaxtyping-packages")
    with pytest.raises(jaxtyping.TypeCheckError, match="sample_plane"):
        sample_plane(torch.zeros(1, 2, 4), torch.zeros(1, 2, 2))


OLD_TORCH = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 7)
MAKE = "ImplicitFunction(BasisField(PlaneLayout.image(), [[plane] for plane in planes]), read_out)"


@pytest.mark.slow
@pytest.mark.parametrize(
    "read",
    [
        pytest.param("lambda at: function(at)", id="a function made before"),
        pytest.param(
            f"lambda at: {MAKE}(at)",
            id="one made inside",
            marks=pytest.mark.skipif(OLD_TORCH, reason="torch 2.6 cannot trace the making of an object with __len__"),
        ),
        pytest.param("PlaneEmbedding(PlaneLayout.image(), (4, 8), 3, bounds=((-1, 1), (-1, 1)))", id="learned planes"),
    ],
)
def test_torch_compile(read: str) -> None:
    # In a process of its own: the shape checker wraps functions in ways that the compiler cannot follow.
    code = f"""
import torch
from ddmi_fields import BasisField, CoarseToFineReadOut, ImplicitFunction, PlaneEmbedding, PlaneLayout
torch.manual_seed(0)
read_out = CoarseToFineReadOut([4, 4], 3, width=16, native=8)
planes = [torch.randn(2, 4, s, s) for s in (4, 8)]
function = {MAKE}
coords = torch.rand(2, 50, 2) * 2 - 1
plain = {read}
read = torch.compile(plain, backend="aot_eager")
torch.testing.assert_close(read(coords), plain(coords))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
