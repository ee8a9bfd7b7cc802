from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # of tiny_training


@pytest.fixture
def _untyped() -> Iterator[None]:
    """Without the type checks of the test suite, as users run: it is our own check that must refuse the value."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
